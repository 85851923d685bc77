"""What code in a sandbox must not achieve, tried from inside, as its user and as its root."""
import json
import os
import pathlib
import subprocess
import time

import backend
import host
import mcp_pipe
import pytest


@pytest.fixture(scope="module")
def client(server):
    with mcp_pipe.Client(server) as c:
        yield c


@pytest.fixture
def make(client):
    made = []

    def create(**arguments):
        made.append(client.tool("create_sandbox", **arguments)["id"])
        return made[-1]

    yield create
    for box in made:
        client.call("destroy_sandbox", id=box)


def sh(client, box, command, **more):
    return client.tool("execute_command", id=box, command=command, **more)


@pytest.mark.parametrize("who", ["", "sudo "])
def test_every_probe_is_refused(client, server, make, who):
    box = make()
    upload(server, box, "/tmp/probe", backend.program("probe").read_bytes())
    out = sh(client, box, f"chmod +x /tmp/probe; {who}/tmp/probe > /tmp/report; grep -v '\"refused\":true' /tmp/report; wc -l < /tmp/report",
             timeout=120)
    assert out["exitCode"] == 0
    *wrong, count = out["stdout"].split("\n")[:-1]
    assert {json.loads(line)["probe"] for line in wrong} <= host.open_to_all() and int(count) > 80


def upload(server, box, path, data):
    import urllib.request
    request = urllib.request.Request(f"{server.url}/toolbox/{box}/toolbox/files/upload-raw?path={path}&overwrite=true", data,
                                     method="POST", headers={"Authorization": f"Bearer {backend.KEY}"})
    urllib.request.urlopen(request).close()


def test_sudo_is_root_of_nothing_but_the_sandbox(client, make):
    box = make()
    out = sh(client, box, "sudo id -u; sudo cat /proc/self/uid_map; sudo touch /etc/mine && echo wrote; sudo dmesg; true")
    lines = out["stdout"].split("\n")
    assert lines[0] == "0" and lines[1].split()[1] != "0" and "wrote" in lines


@pytest.mark.parametrize("who", ["", "sudo "])
def test_host_files_are_out_of_reach(client, server, make, who, tmp_path):
    box = make()
    secret = server.data / "state" / "secret-of-the-host"
    secret.write_text("never-to-be-seen")
    attempts = [f"cat {secret}", f"cat /proc/1/root{secret}", "ls -la /proc/1/fd", "cat /proc/1/environ", "cat /proc/1/mem",
                "mount -t proc p /mnt", "mknod /tmp/sda b 8 0", "mount --bind / /mnt", "cat /sys/firmware/dmi/tables/DMI",
                "echo x > /proc/sys/kernel/core_pattern", "[ $(stat -c %t:%T /proc/sysrq-trigger) != 1:3 ] && echo b > /proc/sysrq-trigger", "head -c 1 /proc/kcore | grep -q .",
                "echo 1 > /sys/fs/cgroup/cgroup.procs", "unshare -U true", "unshare -n true", "nsenter -t 1 -m true",
                "chroot /proc/1/root true", "ls /var/lib/daytona", "losetup /dev/loop0 /etc/passwd", "hostname changed",
                "date -s 2020-01-01", "insmod /x.ko", "swapon /etc/passwd"]
    for attempt in attempts:
        out = sh(client, box, f"{who}sh -c '{attempt}'" if who else attempt)
        assert out["exitCode"] != 0, (attempt, out)
        assert "never-to-be-seen" not in out["stdout"]


def test_no_process_of_the_host_is_visible(client, make):
    box = make()
    out = sh(client, box, "ls /proc | grep -E '^[0-9]+$' | wc -l; cat /proc/1/comm; sudo kill -9 1; sleep 0.1; echo alive")
    lines = out["stdout"].split()
    assert int(lines[0]) < 15 and lines[-1] == "alive"


def test_mountinfo_names_no_host_path(client, server, make):
    out = sh(client, make(), "cat /proc/self/mountinfo /proc/mounts")
    assert str(server.data) not in out["stdout"] and str(server.data) not in out.get("stdout_tail", "")


def test_neighbours_do_not_see_each_other(client, make):
    one, two = make(), make()
    address = sh(client, one, "ip -4 -o addr show eth0 2>/dev/null | grep -o '10\\.[0-9.]*' | head -n 1 || hostname -I")["stdout"].split()
    address = address or sh(client, one, "hostname -I")["stdout"].split()
    sh(client, one, "nohup python3 -m http.server 8000 --bind 0.0.0.0 >/dev/null 2>&1 & sleep 0.5")
    out = sh(client, two, f"curl -s --max-time 3 http://{address[0]}:8000/ ; echo rc=$?")
    assert "rc=0" not in out["stdout"]
    assert "Directory listing" not in out["stdout"]


def test_the_network_reaches_out_and_nowhere_else(client, server, net, make):
    box = make()
    reach = "curl -s --max-time 4 -o /dev/null http://{0}:{1}/ ; echo $?"
    assert sh(client, box, reach.format(net.address, 80))["stdout"] == "0\n"
    gateway = sh(client, box, "ip route | awk '/default/{print $3}'")["stdout"].strip()
    for target, port in ((net.gateway, server.port), ("169.254.169.254", 80), (gateway, server.port), (gateway, server.proxy_port),
                         ("192.168.77.1", 80), ("172.16.0.1", 80)):
        assert sh(client, box, reach.format(target, port))["stdout"] != "0\n", target


def test_block_all(client, net, make):
    box = make(network_block_all=True)
    assert sh(client, box, f"curl -s --max-time 4 -o /dev/null http://{net.address}/; echo $?")["stdout"] != "0\n"
    assert sh(client, box, "python3 -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'", timeout=60)["exitCode"] != 0
    assert sh(client, box, "python3 -m http.server 3000 >/dev/null 2>&1 & curl -s -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused localhost:3000; echo $?")["stdout"] == "0\n"


def test_allow_list(client, net, make):
    inside = make(network_allow_list=f"{net.address}/32")
    outside = make(network_allow_list="198.51.100.0/24")
    reach = f"curl -s --max-time 4 -o /dev/null http://{net.address}/; echo $?"
    assert sh(client, inside, reach)["stdout"] == "0\n"
    assert sh(client, outside, reach)["stdout"] != "0\n"
    for bad in ("nonsense", "10.0.0.0", "1.2.3.4/33", "1.2.3.4/32,1.2.3.5/32,1.2.3.6/32,1.2.3.7/32,1.2.3.8/32,1.2.3.9/32"):
        result = client.call("create_sandbox", network_allow_list=bad)
        assert result["isError"], bad


def neighbour_stays_quick(client, box, times):
    start = time.perf_counter()
    assert sh(client, box, "echo still here")["stdout"] == "still here\n"
    times.append(time.perf_counter() - start)


def test_a_fork_bomb_hurts_only_itself(client, make):
    bad, good = make(), make()
    sh(client, bad, "nohup sh -c 'b() { b | b & }; b' >/dev/null 2>&1 & sleep 1")
    times = []
    for _ in range(10):
        neighbour_stays_quick(client, good, times)
    assert client.tool("destroy_sandbox", id=bad)


def test_memory_ends_at_the_limit(client, make):
    box = make(memory=1)
    out = sh(client, box, "python3 -c 'x = bytearray(3 << 30); print(len(x))'", timeout=60)
    assert out["exitCode"] != 0
    out = sh(client, box, "dd if=/dev/zero of=/dev/shm/x bs=1M count=3000 2>&1; true", timeout=60)
    assert "No space left" in out["stdout"] or out["exitCode"] != 0
    assert sh(client, box, "echo alive")["stdout"] == "alive\n"


def test_the_disk_ends_at_the_limit(client, make):
    box = make(disk=1)
    out = sh(client, box, "dd if=/dev/zero of=/tmp/big bs=1M count=3000; df -m / | tail -n 1", timeout=120)
    assert "No space left" in out["stderr"]
    sh(client, box, "rm /tmp/big")
    out = sh(client, box, "mkdir /tmp/many; cd /tmp/many; python3 - <<'E'\nn = 0\ntry:\n    while True:\n        open(str(n), 'w').close(); n += 1\n"
             "except OSError as e:\n    print(n, e.strerror)\nE", timeout=180)
    assert "No space left" in out["stdout"]
    assert sh(client, box, "rm -rf /tmp/many; echo ok > /tmp/f; cat /tmp/f", timeout=120)["stdout"] == "ok\n"


def test_zombies_are_reaped(client, make):
    box = make()
    sh(client, box, "for i in $(seq 3000); do (sleep 0 & ) ; done; wait", timeout=60)
    out = sh(client, box, "sleep 0.3; ps -eo stat= | grep -c Z; true")
    assert out["stdout"].strip() == "0"


def test_limits_are_seen_inside(client, make):
    out = sh(client, make(cpu=1, memory=1), "ulimit -c; ulimit -n; nproc; cat /proc/sys/user/max_user_namespaces")
    core, files, _, namespaces = out["stdout"].split()
    assert core == "0" and int(files) >= 1024 and namespaces == "0"


def test_everyday_tools_work(client, make):
    box = make()
    out = sh(client, box, "set -e; locale | head -n 1; date +%Z; git --version; node --version; npm --version; python3 --version; "
             "pip --version; sudo -n true; python3 -c 'print(\"grüße\")'; strace -V >/dev/null 2>&1 || true; echo all")
    assert out["exitCode"] == 0 and out["stdout"].strip().endswith("all"), out


def test_packages_install_where_a_registry_is_reached(client, make):
    """As far as the host itself reaches the registries."""
    box = make()
    host = subprocess.run(["python3", "-m", "pip", "download", "--no-deps", "-q", "-d", "/tmp/dt-pip", "six==1.16.0"], capture_output=True)
    assert host.returncode == 0, host.stderr
    out = sh(client, box, "pip install -q six==1.16.0 && python3 -c 'import six; print(six.__version__)'", timeout=300)
    assert out["stdout"].strip().endswith("1.16.0"), out
    out = sh(client, box, "npm install --silent is-number@7.0.0 && node -e 'console.log(require(\"is-number\")(5))'", timeout=300)
    assert out["stdout"].strip().endswith("true"), out

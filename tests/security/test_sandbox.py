"""What code in a sandbox must not achieve, tried from inside, as its user and as its root."""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import backend
import host
import pytest

from inside import put_program, sh

WHO = pytest.mark.parametrize("who", ["", "sudo "], ids=["user", "root"])


@WHO
def test_every_probe_is_refused(client, server, make, who):
    """tests/probe, with what this host has: the data directory, runnerd's socket and ports, an abstract socket, sshd."""
    box = make()
    put_program(server, client, box, "probe")
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0dt-host-{os.getpid()}")
    abstract.listen()
    with abstract:
        more = (f"--no-file {server.data} --no-unix {server.socket} --no-unix @dt-host-{os.getpid()} --no-tcp 127.0.0.1:{server.port} "
                f"--no-tcp 127.0.0.1:{server.proxy_port} --no-tcp $(ip route | awk '/default/{{print $3}}'):{server.port}")
        out = sh(client, box, f"{who}/tmp/probe {more} > /tmp/report; grep -v '\"refused\":true' /tmp/report; wc -l < /tmp/report", timeout=180)
    assert out["exitCode"] == 0
    *wrong, count = out["stdout"].split("\n")[:-1]
    assert {json.loads(line)["probe"] for line in wrong} <= host.open_to_all() and int(count) > 300


def test_sudo_is_root_of_nothing_but_the_sandbox(client, make):
    box = make()
    out = sh(client, box, "sudo id -u; sudo cat /proc/self/uid_map; sudo touch /etc/mine && echo wrote; sudo dmesg; true")
    lines = out["stdout"].split("\n")
    assert lines[0] == "0" and lines[1].split()[1] != "0" and "wrote" in lines


@WHO
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


@WHO
def test_a_signal_to_everybody_stays_inside(client, server, make, who):
    box = make()
    before = server.process.poll()
    client.call("execute_command", id=box, command=f"{who}kill -9 -1", timeout=20)
    assert sh(client, box, "echo alive")["stdout"] == "alive\n"
    assert before is None and server.process.poll() is None and server.request("GET", "/health")[0] == 200


def host_view(client, box):
    """The host's ids of the sandbox's processes, by a process that nobody else has."""
    mark = f"7{os.getpid()}.{abs(hash(box)) % 10**6:06d}"
    sh(client, box, f"sleep {mark} >/dev/null 2>&1 &")
    end = time.monotonic() + 60
    while time.monotonic() < end:  # it may not have begun yet
        spaces, marked = {}, None
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                space = os.readlink(p / "ns/pid")
                spaces.setdefault(space, {})[int(re.search(r"NSpid:.*\t(\d+)\n", (p / "status").read_text())[1])] = int(p.name)
                if f"sleep\0{mark}".encode() in (p / "cmdline").read_bytes():
                    marked = space
        if marked is not None:
            return spaces[marked]
    raise AssertionError("no such process")


def test_ids_are_nobody_elses(client, make):
    """Each live sandbox has 65,536 ids of its own, which are no user of the host."""
    maps = []
    for box in (make(), make()):
        inside, outside, count = sh(client, box, "cat /proc/self/uid_map")["stdout"].split()
        assert (inside, count) == ("0", "65536") and sh(client, box, "cat /proc/self/gid_map")["stdout"].split()[1] == outside
        assert sh(client, box, "sudo cat /proc/self/setgroups; sudo id -G")["stdout"] == "allow\n0\n"
        maps.append(int(outside))
        for pid in host_view(client, box).values():
            uid = os.stat(f"/proc/{pid}").st_uid
            assert uid == 0 or int(outside) <= uid < int(outside) + 65536
            owner = re.search(r"Uid:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]
            assert int(outside) <= int(owner) < int(outside) + 65536
    assert abs(maps[0] - maps[1]) >= 65536 and min(maps) >= 1 << 20


def test_the_toolbox_is_no_file(client, make):
    """Nothing that could be overwritten: pid 1 runs from a sealed memory file, and has no descriptor of the host."""
    pid = host_view(client, make())[1]
    assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:daytona-toolbox")
    with pytest.raises(OSError):
        with open(f"/proc/{pid}/exe", "r+b") as f:  # even the host's root
            f.write(b"x")
    targets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    files = {t for t in targets if t.startswith("/") and not t.startswith("/memfd:")}
    assert files <= {"/dev/null", "/proc/1/oom_score_adj"}, targets


@WHO
def test_nobody_inside_reaches_the_toolbox(client, make, who):
    """Known bug 32 of the code: whoever was in the sandbox's network could command it. It listens to no network and
    in no place that the sandbox can name, and its descriptors are nobody's."""
    box = make()
    out = sh(client, box, f"{who}sh -c 'cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 /proc/net/raw /proc/net/unix "
                          "/proc/net/packet | grep -v -i -E \"local_address|RefC\"'")
    assert out["stdout"] == "", "an open socket in a new sandbox"
    out = sh(client, box, f"{who}sh -c 'cat /proc/1/environ /proc/1/mem /proc/1/maps; "
                          "for n in $(seq 0 40); do readlink /proc/1/fd/$n; done; readlink /proc/1/exe /proc/1/cwd /proc/1/root'")
    assert out["stdout"] == "", out
    code = ("import ctypes; l = ctypes.CDLL(None, use_errno=True); fd = l.syscall(434, 1, 0); "
            "print([l.syscall(438, fd, n, 0) for n in range(12)] if fd >= 0 else fd, l.ptrace(16, 1, 0, 0))")
    got = sh(client, box, f'{who}python3 -c "{code}"')["stdout"]
    assert got in (f"{[-1] * 12} -1\n", "-1 -1\n"), got


def test_layers_are_shared_and_nobodys(client, make):
    """What root writes over is its own copy, also through a mapping; the neighbour has the file as it was."""
    one, two = make(), make()
    look = "sha256sum /usr/bin/env /etc/passwd /bin/true"
    before = sh(client, two, look)["stdout"]
    sh(client, one, "sudo sh -c 'echo evil > /usr/bin/env; echo evil >> /etc/passwd'; sudo python3 - <<'E'\n"
                    "import mmap\nwith open('/bin/true', 'r+b') as f:\n    mmap.mmap(f.fileno(), 0)[:4] = b'evil'\nE")
    assert sh(client, one, look)["stdout"] != before
    assert sh(client, two, look)["stdout"] == before
    assert sh(client, make(), look)["stdout"] == before


# Up to the top from wherever it is: a folder of the host would lead to another root.
CLIMB = "for i in $(seq 50); do cd -P ..; done; stat -c %d:%i . /; grep -c -E '/(layers|sandboxes)/' /proc/self/mountinfo; ls /etc/hostname"


@pytest.mark.parametrize("cwd", [*[f"/proc/self/fd/{n}" for n in range(12)], "/proc/1/cwd", "/proc/1/root", "/proc/1/fd/3", "/proc/self/cwd/../../..",
                                 "/proc/self/root/..", "/proc/thread-self/fd/7", "../../../../../..", "/dev/fd/9", "/dev/stdin"])
def test_a_working_folder_is_inside(client, make, box, cwd):
    result = client.call("execute_command", id=box, command=CLIMB, cwd=cwd)
    if result.get("isError"):
        return
    here, root, host_paths, _ = result["structuredContent"]["stdout"].split()
    assert here == root and host_paths == "0", result


@pytest.fixture(scope="module")
def box(client):
    made = client.tool("create_sandbox")["id"]
    yield made
    client.call("destroy_sandbox", id=made)


@pytest.mark.parametrize("path", [*[f"/proc/self/fd/{n}" for n in range(16)], "/proc/self/root", "/proc/self/cwd", "/proc/1/root", "/proc/self/task/1/root",
                                  "/proc/self/map_files", "/proc/self/exe", "/dev/fd/3"])
def test_the_file_api_is_inside(client, server, box, path):
    """The toolbox's own /proc/self is a folder of the sandbox like any other."""
    secret = server.data / "state" / "daytona.db"
    for behind in ("", "/..", "/../../../../../../..", f"/../../../../../../..{secret}", str(secret)):
        for operation in ("files/info", "files", "files/download"):
            target = f"{server.url}/toolbox/{box}/toolbox/{operation}?path={urllib.parse.quote(path + behind)}"
            request = urllib.request.Request(target, headers={"Authorization": f"Bearer {backend.KEY}"})
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    data = reply.read(1 << 20)
            except urllib.error.HTTPError as e:
                assert e.code in (400, 403, 404, 500), (operation, path + behind, e.code)
                continue
            assert b"SQLite format 3" not in data and b"daytona-runnerd" not in data
    assert sh(client, box, "echo alive")["stdout"] == "alive\n"


def test_mountinfo_names_no_host_path(client, server, make):
    """Counted inside: of the whole text only the ends would come out."""
    out = sh(client, make(), f"cat /proc/self/mountinfo /proc/mounts > /tmp/mounts; wc -l < /tmp/mounts; grep -cF {server.data} /tmp/mounts")
    lines, found = map(int, out["stdout"].split())
    assert lines > 60 and found == 0


def test_limits_are_seen_inside(client, make):
    out = sh(client, make(cpu=0.5, memory=1), "ulimit -c; ulimit -n; cat /proc/sys/user/max_user_namespaces; cd /sys/fs/cgroup; "
             "cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max; cat cpu/cpu.cfs_quota_us 2>/dev/null || cat cpu.max; "
             "node -e 'console.log(process.constrainedMemory())'")
    core, files, namespaces, memory, cpu, *_, node = out["stdout"].split()
    assert core == "0" and int(files) >= 1024 and namespaces == "0"
    assert memory == str(1 << 30) and cpu == "50000"
    version_1 = os.path.isdir("/sys/fs/cgroup/memory")  # the one that the snapshot's node knows
    assert node == (memory if version_1 else "undefined")  # runtimes go by them


def test_everyday_tools_work(client, make):
    box = make()
    out = sh(client, box, "set -e; git --version; node --version; npm --version; python3 --version; pip --version; curl --version; sudo -n true; "
             "echo all")
    assert out["exitCode"] == 0 and out["stdout"].strip().endswith("all"), out


def test_the_environment_is_sane(client, make):
    """Locale, time zone, authorities, names of itself; and nothing that is the host's or ours."""
    box = make(env={"MINE": "1"})
    out = sh(client, box, """locale | grep -E '^LANG='; python3 -c 'print("grüße", len("grüße"))'; date +%Z; TZ=Asia/Tokyo date +%Z
        python3 -c 'import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 100)'
        node -e 'console.log(require("tls").rootCertificates.length > 100, require("fs").existsSync(process.env.NODE_EXTRA_CA_CERTS))'
        grep -c BEGIN.CERTIFICATE "$SSL_CERT_FILE"
        getent hosts localhost | head -n 1; getent hosts $(hostname); echo $HOME $USER $SHELL $MINE; umask""")
    lines = out["stdout"].split("\n")
    assert lines[:6] == ["LANG=C.UTF-8", "grüße 5", "UTC", "JST", "True", "true true"], out
    assert int(lines[6]) > 100 and lines[7].split()[1] == "localhost" and lines[8].split()[1] == box
    assert lines[9:11] == ["/home/daytona daytona /bin/bash 1", "0022"]
    names = set(sh(client, box, "env | cut -d= -f1")["stdout"].split())
    assert names <= {"SHELL", "NODE_EXTRA_CA_CERTS", "PWD", "LOGNAME", "HOME", "LANG", "USER", "SHLVL", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PATH",
                     "MINE", "_", "DAYTONA_SANDBOX_USER", "DAYTONA_SANDBOX_ID", "DAYTONA_COMMAND_ID", "TERM", "OLDPWD"}, names


def test_packages_install_where_a_registry_is_reached(client, make, tmp_path):
    """As far as the host itself reaches the registries."""
    box = make()
    host = subprocess.run(["python3", "-m", "pip", "download", "--no-deps", "-q", "-d", tmp_path, "six==1.16.0"], capture_output=True)
    assert host.returncode == 0, host.stderr
    out = sh(client, box, "pip install -q six==1.16.0 && python3 -c 'import six; print(six.__version__)'", timeout=300)
    assert out["stdout"].strip().endswith("1.16.0"), out
    out = sh(client, box, "npm install --silent is-number@7.0.0 && node -e 'console.log(require(\"is-number\")(5))'", timeout=300)
    assert out["stdout"].strip().endswith("true"), out

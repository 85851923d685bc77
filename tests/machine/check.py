#!/usr/bin/env python3
"""The project on a machine of its own: a Debian release as it is installed fresh, in a virtual machine.

Run it with ./dev machine [RELEASE]. Everything is done as its users would: the services are installed with
runnerd/install.sh, members of the group use `daytona mcp start`, the machine is restarted, all is taken away again.
Then this project's own tests of the kernel's parts run there. Prints one line a check.
"""
import json
import os
import pathlib
import shlex
import shutil
import signal
import sys
import time
import traceback

from vm import Machine

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1])
BIN = FOLDER / "bin"  # a copy: builds may go on meanwhile
ROOTFS, TOOLS = os.environ["DAYTONA_ROOTFS"], os.environ["DAYTONA_TOOLS"]
CLIENTS = next(pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"]).glob("venv/lib/python3*/site-packages"))
UNITS = "daytona-sandboxes daytona-launcher daytona-runnerd"
GROUPS = "/sys/fs/cgroup/system.slice/daytona-sandboxes.service"
# Everything that an installation puts on a machine.
TRACES = """
ls -d /usr/local/bin/daytona* /etc/systemd/system/daytona* /etc/systemd/system/*.wants/daytona* /run/daytona* /var/lib/daytona 2>/dev/null
find /sys/fs/cgroup -name '*daytona*'; getent passwd daytona; getent group daytona
nft list tables | grep daytona; ip -o link | grep ' dt[0-9]*-'; ip -o addr show lo | grep 10.222; losetup -a | grep daytona
grep daytona /proc/self/mountinfo | grep -v ' 9p '; pgrep -a daytona; systemctl list-units --all --plain --no-legend 'daytona*'; true"""
UNIT_TESTS = ["base", "cgroup", "seccomp", "probe", "memfd", "jail", "tar", "sandbox_net", "launcher_record", "launcher_request"]
INTERNET = f"""import sys, time; sys.path.insert(0, "{TOP}/tests/lib"); import internet
internet.Internet.wait_for.__defaults__ = (150,)
with internet.Internet() as net: open("/run/internet", "w").write(net.address); time.sleep(1e6)"""


def install_command():
    return f"{TOP}/runnerd/install.sh install {BIN} {ROOTFS} {TOOLS}"


def tool(vm, what, /, *, user="ada", seconds=300, **arguments):
    """A call that must succeed: its structured result."""
    call = shlex.join(["python3", f"{TOP}/tests/machine/call.py", what, json.dumps(arguments)])
    return json.loads(vm.run(shlex.join(["su", "-", user, "-c", call]), seconds))


def answers(vm):
    """Whether ada's calls are answered."""
    call = f"python3 {TOP}/tests/machine/call.py list_sandboxes"
    return vm.attempt(f"su - ada -c '{call}'")[0] == 0


def api(vm, method, path, body=None):
    """A request of the administrator: what it answers."""
    data = f"-H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}" if body is not None else ""
    got = vm.run("eval \"$(journalctl -q -o cat -u daytona-runnerd | grep '^export DAYTONA_API' | tail -n 2)\"; curl -sS --fail-with-body "
                 f"-m 60 -X {method} -H \"authorization: Bearer $DAYTONA_API_KEY\" {data} \"$DAYTONA_API_URL{path}\"")
    return json.loads(got) if got else None


def sh(vm, box, command, **more):
    return tool(vm, "execute_command", id=box, command=command, **more)


def out(vm, box, command):
    done = sh(vm, box, command)
    assert done["exitCode"] == 0, done
    return done["stdout"].strip()


def wait_for(what, seconds=180):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it does not come true"
        time.sleep(1)
    return found


def start_internet(vm):
    """A namespace with a public address and a web server, see tests/lib/internet.py; its address."""
    vm.run(f"rm -f /run/internet; systemctl reset-failed internet 2>/dev/null; "
           f"systemd-run -q --unit=internet python3 -c {shlex.quote(INTERNET)}")
    return wait_for(lambda: vm.attempt("cat /run/internet")[1] if vm.attempt("test -s /run/internet")[0] == 0 else "")


def refuses(vm, box, address, port):
    return sh(vm, box, f"timeout 5 bash -c '</dev/tcp/{address}/{port}'")["exitCode"] != 0


def reaches(vm, box, url):
    return sh(vm, box, f"curl -s -o /dev/null -m 10 {url}")["exitCode"] == 0


# --- the checks, in order; `state` is what one leaves for the next ---

def fresh(vm, state):
    "the machine is fresh: cgroup v2 only, nothing of ours"
    assert vm.run("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert vm.run("systemctl is-system-running") == "running"
    assert vm.run(TRACES) == ""
    state["kernel"] = vm.run("uname -r")


def installs(vm, state):
    "install.sh starts three services, and logs are lines of JSON"
    vm.run(install_command(), 1200)
    assert vm.run(f"systemctl is-active {UNITS}").split() == ["active"] * 3
    for line in vm.run("journalctl -q -o cat -u daytona-launcher -u daytona-runnerd _COMM=daytona-runnerd + _COMM=daytona-launcher").splitlines():
        assert line.startswith("export DAYTONA_API_") or "msg" in json.loads(line), line
    assert "DAYTONA_API_KEY=dtn_" in vm.run("journalctl -q -o cat -u daytona-runnerd")
    for unit, user in ((UNITS.split()[1], "root"), (UNITS.split()[2], "daytona")):
        assert vm.run(f"ps -o user= -p $(systemctl show -P MainPID {unit})") == user
    state["internet"] = start_internet(vm)


def members_only(vm, state):
    "a member of the group may use it; another user gets one line that says what to do"
    vm.run("useradd -m -s /bin/bash ada; usermod -aG daytona ada; useradd -m -s /bin/bash eve")
    wait_for(lambda: answers(vm))
    code, text = vm.attempt(f"su - eve -c 'python3 {TOP}/tests/machine/call.py list_sandboxes'")
    assert code == 1 and "usermod -aG daytona" in text and "\n" not in text, text


def sandbox_lives(vm, state):
    "a sandbox is made, works, is previewed, stopped, started"
    box = state["box"] = tool(vm, "create_sandbox", name="first")["id"]
    assert out(vm, box, "id -un; sudo id -u; echo kept > kept") == "daytona\n0"
    assert out(vm, box, "cat /proc/self/cgroup") == "0::/"
    sh(vm, box, "setsid python3 -m http.server 3000 >/dev/null 2>&1 &")
    link = wait_for(lambda: tool(vm, "preview_link", id=box, port=3000, check_server=True))
    wait_for(lambda: "kept" in vm.attempt(f"curl -s -m 20 '{link['url']}'")[1])
    tool(vm, "stop_sandbox", id=box)
    tool(vm, "start_sandbox", id=box)
    assert out(vm, box, "cat kept") == "kept"


def network(vm, state):
    "the internet and names are reached, the host is not; block and allow list hold"
    box, web = state["box"], f"http://{state['internet']}/"
    assert reaches(vm, box, web)
    host = vm.run("ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1")
    for address in (host, "10.222.0.1"):
        assert refuses(vm, box, address, 22)
    if vm.attempt("getent ahostsv4 deb.debian.org")[0] == 0:
        assert out(vm, box, "getent ahostsv4 deb.debian.org")
    blocked = tool(vm, "create_sandbox", network_block_all=True)["id"]
    allowed = tool(vm, "create_sandbox", network_allow_list=f"{state['internet']}/32")["id"]
    other = tool(vm, "create_sandbox", network_allow_list="198.51.100.0/24")["id"]
    assert not reaches(vm, blocked, web) and reaches(vm, allowed, web) and not reaches(vm, other, web)
    for one in (blocked, allowed, other):
        tool(vm, "destroy_sandbox", id=one)


def firewall_restarts(vm, state):
    "`nft flush ruleset` opens no way to the host and cuts no sandbox off"
    box = state["box"]
    vm.run("nft flush ruleset")
    time.sleep(1)
    assert refuses(vm, box, "10.222.0.1", 22) and reaches(vm, box, f"http://{state['internet']}/")


def limits(vm, state):
    "memory, cpu, processes and disk are limited; running out of them hurts one sandbox alone"
    box = tool(vm, "create_sandbox", memory=1, cpu=1, disk=1)["id"]
    # Groups of the pool have no limits yet; those of sandboxes that are started ahead have.
    groups = vm.run(f"cd {GROUPS}/daytona-0; for g in */; do (cd $g; echo $(cat memory.max memory.swap.max cpu.max pids.max)); done")
    limited = [g for g in groups.splitlines() if not g.startswith("max ")]
    assert len(limited) >= 2 and set(limited) == {f"{1 << 30} 0 100000 100000 1024"}, groups
    assert vm.run(f"cat {GROUPS}/pids.max") == "max"
    assert out(vm, box, "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max").split() == [str(1 << 30), "100000", "100000", "1024"]
    done = sh(vm, box, "python3 -c 'b = [bytearray(1 << 20) for _ in range(2048)]'", timeout=300)
    assert done["exitCode"] in (137, -1), done  # of a shell, and of what it became
    assert "No space left" in sh(vm, box, "head -c 1500M /dev/zero > big", timeout=900, seconds=1000)["stderr"]
    tool(vm, "destroy_sandbox", id=box)
    assert out(vm, state["box"], "echo alive") == "alive"
    assert vm.run(f"systemctl is-active {UNITS}").split() == ["active"] * 3


def restarts(vm, state):
    "sandboxes go on when the services are restarted, killed or installed again"
    box = state["box"]
    sh(vm, box, "setsid sleep 100000 >/dev/null 2>&1 & sleep 0.1")
    before = out(vm, box, "pgrep -x sleep")
    for what in ("systemctl restart daytona-runnerd", "systemctl restart daytona-launcher", "systemctl kill -s KILL daytona-launcher",
                 "systemctl kill -s KILL --kill-who=main daytona-runnerd", install_command()):
        vm.run(what, 1200)
        wait_for(lambda: answers(vm))
        assert wait_for(lambda: sh(vm, box, "pgrep -x sleep")["stdout"].strip()) == before, what
    assert reaches(vm, box, f"http://{state['internet']}/") and refuses(vm, box, "10.222.0.1", 22)
    second = tool(vm, "create_sandbox")["id"]
    tool(vm, "destroy_sandbox", id=second)


def survives_reboot(vm, state):
    "after a restart of the machine the services are up, and a sandbox starts with its files"
    vm.reboot()
    wait_for(lambda: vm.attempt(f"systemctl is-active {UNITS}")[0] == 0)
    state["internet"] = start_internet(vm)
    box = state["box"]
    assert tool(vm, "get_sandbox", id=box)["state"] in ("stopped", "error")
    tool(vm, "start_sandbox", id=box)
    assert out(vm, box, "cat kept") == "kept"
    assert reaches(vm, box, f"http://{state['internet']}/")


def stops(vm, state):
    "stopping daytona-sandboxes ends all sandboxes and keeps their disks"
    vm.run("systemctl stop daytona-sandboxes")
    assert vm.run(f"ls {GROUPS} 2>/dev/null; pgrep -a daytona-toolbox; true") == ""
    vm.run("systemctl start daytona-launcher")
    wait_for(lambda: vm.attempt(f"systemctl is-active {UNITS}")[0] == 0)
    wait_for(lambda: tool(vm, "get_sandbox", id=state["box"])["state"] != "started")
    tool(vm, "start_sandbox", id=state["box"])
    assert out(vm, state["box"], "cat kept") == "kept"


def nothing_left(vm):
    left = vm.run(TRACES)
    assert left == "", left


def uninstalls(vm, state):
    "uninstall keeps the data and nothing else; an installation takes it up again; --purge takes all"
    vm.run(f"{TOP}/runnerd/install.sh uninstall")
    left = vm.run(TRACES).splitlines()
    assert [line for line in left if "/nologin" not in line and not line.startswith("daytona:x:")] == ["/var/lib/daytona"], left
    vm.run(install_command(), 1200)
    wait_for(lambda: answers(vm))
    assert [s["name"] for s in tool(vm, "list_sandboxes")["sandboxes"]] == ["first"]
    tool(vm, "start_sandbox", id=state["box"])
    vm.run(f"{TOP}/runnerd/install.sh uninstall --purge")
    nothing_left(vm)


MESS = """rm -rf d; mkdir -m 2775 m; cd m; echo x > a; ln a b; ln -s ../nowhere c; truncate -s 8M holes; echo end >> holes
sudo chown 1234:5678 a; sudo chmod 4751 a; mkfifo -m 622 fifo; touch -d '1969-12-31 23:59:58.123456789' old
sudo rm -r /usr/share/zoneinfo; sudo mkdir -m 700 /usr/share/zoneinfo; sudo mv /etc/skel /etc/skeleton
python3 -c 'import os; os.setxattr("a" if os.access("a", os.W_OK) else "old", "user.mark", bytes(range(99)))'"""
LOOK = """cd; sudo find m /usr/share/zoneinfo /etc/skel /etc/skeleton -printf '%p %y %m %U:%G %n %s %b %T@ %l\\n' 2>&1 | sort
python3 -c 'import os; print([(f, {a: os.getxattr("m/" + f, a) for a in os.listxattr("m/" + f)}) for f in ("a", "old")])'"""


def quota(vm, state):
    "with project quotas, disks are folders with limits in bytes and in files, and live through an archive and a fork"
    vm.run("mkdir -p /var/lib/daytona; mount -o prjquota /dev/vdb /var/lib/daytona; chmod 711 /var/lib/daytona; " + install_command(), 1200)
    vm.run("id -u ada || useradd -m -s /bin/bash ada; usermod -aG daytona ada; systemctl restart daytona-runnerd")
    box = tool(vm, "create_sandbox", disk=1)["id"]
    assert vm.run(f"ls /var/lib/daytona/sandboxes/{box}/disk") and vm.run("losetup -a") == ""
    assert "quota exceeded" in sh(vm, box, "head -c 1500M /dev/zero > big", timeout=900, seconds=1000)["stderr"]
    assert int(out(vm, box, "stat -c %s big; rm big")) in range(900 << 20, (1 << 30) + 1)
    assert sh(vm, box, "mkdir d; cd d; python3 -c 'for i in range(70000): open(str(i), \"w\").close()'", timeout=900, seconds=1000)["exitCode"] == 1
    assert 60000 < int(out(vm, box, "ls -f d | wc -l")) <= 65536
    # What it leaves: owners, modes, links, holes, attributes, whiteouts, and what a folder hides.
    sh(vm, box, MESS)
    before = out(vm, box, LOOK)
    fork = api(vm, "POST", f"/sandbox/{box}/fork", {"name": "fork"})["id"]
    wait_for(lambda: tool(vm, "get_sandbox", id=fork)["state"] == "started")
    assert out(vm, fork, LOOK) == before
    tool(vm, "destroy_sandbox", id=fork)
    tool(vm, "stop_sandbox", id=box)
    api(vm, "POST", f"/sandbox/{box}/archive")
    wait_for(lambda: tool(vm, "get_sandbox", id=box)["state"] == "archived", 100)
    assert vm.attempt(f"ls /var/lib/daytona/sandboxes/{box}/disk")[0] != 0
    tool(vm, "start_sandbox", id=box)
    assert out(vm, box, LOOK) == before
    assert "quota exceeded" in sh(vm, box, "head -c 1500M /dev/zero > big", timeout=100)["stderr"]
    tool(vm, "stop_sandbox", id=box)
    api(vm, "POST", f"/sandbox/{box}/resize", {"disk": 2})
    wait_for(lambda: tool(vm, "get_sandbox", id=box)["state"] == "stopped")
    tool(vm, "start_sandbox", id=box)
    assert out(vm, box, "head -c 1100M /dev/zero > big; stat -c %s big") == str(1100 << 20)
    tool(vm, "destroy_sandbox", id=box)
    wait_for(lambda: vm.run("ls /var/lib/daytona/trash | wc -l") == "0")
    assert "stays: a file system is mounted there" in vm.run(f"{TOP}/runnerd/install.sh uninstall --purge")
    vm.run("umount /var/lib/daytona; rmdir /var/lib/daytona; mount -o prjquota /dev/vdb /var/tmp; chmod 1777 /var/tmp")
    nothing_left(vm)


def environment():
    return (f"cd {TOP}; ulimit -n 65536; export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={CLIENTS} DAYTONA_BIN={BIN} DAYTONA_ROOTFS={ROOTFS} DAYTONA_TOOLS={TOOLS} "
            f"DT_LAUNCHER={BIN}/daytona-launcher DT_GUEST={BIN}/sandbox_guest DT_PROBE={BIN}/probe\n")


def unit_tests(vm, state):
    "the unit tests of the kernel's parts pass"
    for noun in UNIT_TESTS:
        vm.run(environment() + f"{BIN}/test_{noun} 2>&1 | grep -E 'FAILED|ERROR|PASSED|error' && exit ${{PIPESTATUS[0]}}", 900)
    # /var/tmp has project quotas now; /home, as the rest of the machine, has not.
    both = f"set -e; for t in disk disk_whole tree; do {BIN}/test_$t; done"
    vm.run(f"bash -c '{both}'", 1500)
    vm.run(f"mkdir /home/tmp; unshare -m bash -c 'mount --bind /home/tmp /var/tmp; {both}'", 1500)


def pytest(vm, file, seconds):
    vm.run(environment() + f"python3 -m pytest -q --tb short -p no:cacheprovider --timeout {seconds} {file} 2>&1 | tail -80", seconds)


def launcher_tests(vm, state):
    "the tests of the launcher pass"
    pytest(vm, "tests/integration/test_launcher.py tests/integration/test_launcher_volumes.py tests/integration/test_launcher_life.py "
           "tests/integration/test_launcher_network.py", 3600)


def security_tests(vm, state):
    "what a sandbox must not achieve, it does not achieve here"
    pytest(vm, "tests/security -k 'not registry_is_reached'", 2700)  # the machine has no internet


CHECKS = [fresh, installs, members_only, sandbox_lives, network, firewall_restarts, limits, restarts, survives_reboot, stops,
          uninstalls, quota, unit_tests, launcher_tests, security_tests]


def main():
    only = sys.argv[2:]
    shutil.rmtree(BIN, ignore_errors=True)
    shutil.copytree(TOP / "build" / "bin", BIN, ignore=shutil.ignore_patterns("fuzz_*"))
    shares = dict.fromkeys(str(p) for p in (TOP, BIN, pathlib.Path(ROOTFS).parent, pathlib.Path(TOOLS).parent, CLIENTS))
    state, failed = {}, 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machine ends with us
    begun = time.monotonic()
    with Machine(FOLDER, shares) as vm:
        print(f"up after {time.monotonic() - begun:.0f} s: {vm.run('. /etc/os-release; echo $PRETTY_NAME, Linux $(uname -r)')}", flush=True)
        for check in [c for c in CHECKS if not only or c.__name__ in only]:
            at = time.monotonic()
            try:
                check(vm, state)
                verdict = "ok"
            except Exception:
                failed += 1
                verdict = "FAILED"
                why = traceback.format_exc()
            print(f"{verdict:7}{check.__doc__} ({time.monotonic() - at:.0f} s)", flush=True)
            if verdict == "FAILED":
                print(why[-6000:], vm.attempt("journalctl -q -o cat -n 15 -u 'daytona*'")[1], sep="\n", flush=True)
    count = len([c for c in CHECKS if not only or c.__name__ in only])
    print(f"{count - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

"""daytona-launcher as a whole: real sandboxes, real kernel objects.

DT_LAUNCHER and DT_GUEST name the programs (ctest sets them)."""

import concurrent.futures
import ctypes
import fcntl
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import uuid

import pytest

from host import open_to_all
from launcher import (ALLOW, BUSY, CREATE, DEADLINE, DESTROY, EXISTS, FAILED, FULL, HELLO, LIST, MIB, NONE,
                      NOT_FOUND, NO_LAYER, OK, SOCKETS, START, STATS, STOP, VERSION, Launcher, busybox_layer,
                      config, request, spec, wait_for)

PROGRAM = os.environ["DT_LAUNCHER"]
GUEST = os.environ["DT_GUEST"]
PROBE = os.environ["DT_PROBE"]
GROUPS = pathlib.Path("/sys/fs/cgroup")


def group_roots(instance):
    roots = [GROUPS / f"daytona-{instance}", *GROUPS.glob(f"*/daytona-{instance}")]
    return [r for r in roots if r.is_dir()]


def groups(instance):
    return {d.name for r in group_roots(instance) for d in r.iterdir() if d.is_dir()}


def interfaces(instance):
    return {d.name for d in pathlib.Path("/sys/class/net").iterdir()
            if d.name.startswith(f"dt{instance}-")}


def loops(data):
    """Loop devices on files of this data directory."""
    found = set()
    for f in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if f.read_text().startswith(str(data)):
                found.add(f.parts[3])
        except OSError:
            pass  # gone meanwhile
    return found


def group_pids(instance):
    pids = set()
    for r in group_roots(instance):
        for f in r.glob("*/cgroup.procs"):
            try:
                pids |= {int(p) for p in f.read_text().split()}
            except OSError:
                pass
    return pids


class Host:
    """A data directory with a launcher; checks at the end that nothing is left."""

    def __init__(self, *options):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="dtl-", dir="/var/tmp"))
        self.mounts = self.mountinfo()
        self.l = Launcher(self.data, PROGRAM, GUEST, *options).start()
        self.instance = self.l.hello.hello()["instance"]
        self.box = self.l.layer(busybox_layer)

    def mountinfo(self):
        """The host's mounts, but for those of other tests: named network namespaces, the folder of these, which `ip` mounts
        with the host's first one, and what temporary folders hold."""
        lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        return {line for line in lines if " - nsfs nsfs " not in line and not self.is_foreign(line.split()[4])}

    def is_foreign(self, folder):
        return folder == "/run/netns" or folder.startswith(("/tmp/", "/var/tmp/")) and not folder.startswith(str(self.data))

    def clean(self):
        for one in self.l.list():
            self.l.destroy(one)
        wait_for(lambda: not any((self.data / "trash").iterdir()))
        self.l.stop()
        self.check_nothing_left()
        shutil.rmtree(self.data)

    def check_nothing_left(self):
        wait_for(lambda: not groups(self.instance))
        wait_for(lambda: not interfaces(self.instance))
        wait_for(lambda: not loops(self.data))
        assert self.mountinfo() <= self.mounts
        assert not list((self.data / "sandboxes").iterdir())


@pytest.fixture(scope="module")
def host():
    h = Host()
    yield h
    h.clean()


@pytest.fixture
def own_host():
    h = Host()
    yield h
    h.clean()


@pytest.fixture
def box(host):
    one = host.l.create(layers=[host.box])
    yield one
    if host.l.folder(one).exists():
        host.l.destroy(one)


def test_hello_says_instance_and_network(host):
    h = host.l.hello.hello()
    assert h["version"] == VERSION and h["instance"] < 16
    if h["network"]:
        assert h["base"] & 0xfff == 0


def test_the_launcher_keeps_what_it_needs(host):
    """Not to load modules, program hardware, reboot, set the clock, change security labels, read the kernel's log, trace it."""
    status = dict(l.split(":\t", 1) for l in pathlib.Path(f"/proc/{host.l.process.pid}/status").read_text().splitlines() if ":\t" in l)
    # DAC_READ_SEARCH, NET_RAW, IPC_LOCK, SYS_MODULE, SYS_RAWIO, SYS_PACCT, SYS_BOOT, SYS_TIME, SYS_TTY_CONFIG, AUDIT_*, MAC_*,
    # SYSLOG, WAKE_ALARM, BLOCK_SUSPEND, PERFMON, BPF, CHECKPOINT_RESTORE
    never = [2, 13, 14, 16, 17, 20, 22, 25, 26, 29, 30, 32, 33, 34, 35, 36, 37, 38, 39, 40]
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        held = int(status[kind], 16)
        assert held != 0 and not [c for c in never if held >> c & 1], (kind, hex(held))
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_descriptors_and_configuration(host):
    one = host.l.create(layers=[host.box], text=b'{"id":"conf"}')
    lines = dict(l.split(" ", 1) for l in host.l.run(one, "D").splitlines())
    assert set(lines) == {"0", "1", "2", "3", "4"}, lines
    assert lines["0"] == lines["1"] == lines["2"] == "/dev/null"
    assert lines["3"].startswith("socket:") and lines["4"].startswith("/memfd:config")
    assert host.l.run(one, "G") == '{"id":"conf"}'
    host.l.destroy(one)


def test_process_is_confined(host, box):
    status = dict(l.split(":\t", 1) for l in host.l.run(box, "R/proc/1/status").splitlines()
                  if ":\t" in l)
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0x800405fb
    assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0
    assert status["Seccomp"] == "2"
    assert status["NSpid"].split() == ["1"]
    assert host.l.run(box, "R/proc/1/environ") == ""
    limits = host.l.run(box, "R/proc/1/limits")
    assert "Max core file size        1                    1" in limits
    assert host.l.run(box, "R/proc/sys/kernel/hostname") == "box\n"
    for kind in ("user", "net", "mnt", "pid", "ipc", "uts", "time", "cgroup"):
        assert host.l.run(box, f"R/proc/sys/user/max_{kind}_namespaces") == "0\n"


def test_mounts_show_nothing_of_the_host(host, box):
    lines = [l.split() for l in host.l.run(box, "R/proc/self/mountinfo").splitlines()]
    assert not [l for l in lines if str(host.data) in " ".join(l)]
    assert [l[4] for l in lines].count("/") == 1
    _, out = host.l.shell(box, "stat -c %i / /..")
    first, second = out.split()
    assert first == second
    read_only = {l[4] for l in lines if "ro" in l[5].split(",")}
    assert {"/proc/sys", "/proc/irq", "/proc/fs", "/proc/bus", "/sys"} <= read_only
    for l in lines:
        options = l[5].split(",")
        if l[4].startswith("/dev/") and l[l.index("-") + 1] == "devtmpfs":
            continue
        if l[l.index("-") + 1] not in ("devpts", "tmpfs", "devtmpfs"):
            assert "nodev" in options, l
    for name in ("kcore", "kallsyms", "keys", "timer_list"):
        assert host.l.run(box, f"R/proc/{name}") in ("", "!No such file or directory")
    assert host.l.shell(box, "echo 1 > /proc/sys/kernel/core_pattern")[0] != 0


@pytest.mark.parametrize("user", ["C", "U"])
def test_nothing_is_possible_that_must_not_be(host, user):
    """tests/probe tries it all, as root of the sandbox and as its user."""
    probe = host.l.layer(lambda p: shutil.copy(PROBE, p / "probe"))
    one = host.l.create(layers=[host.box, probe], net=FULL)
    _, out = host.l.shell(one, f"/probe --no-file {host.data} --no-file /var/lib/daytona "
                          f"--no-unix {host.l.folder(one)}/toolbox.sock --no-tcp 127.0.0.1:22", user)
    results = [json.loads(line) for line in out.splitlines()]
    assert len(results) > 200
    assert {r["probe"] for r in results if not r["refused"]} <= open_to_all()
    host.l.destroy(one)


def test_devices(host, box):
    status, out = host.l.shell(box, "echo x > /dev/null && head -c 3 /dev/zero | wc -c && "
                               "head -c 4 /dev/urandom | wc -c && ls -l /dev/ptmx && "
                               "ls /dev | sort | tr '\\n' ' '")
    assert status == 0, out
    assert out.split()[:2] == ["3", "4"]
    assert out.strip().endswith("fd full mqueue null ptmx pts random shm stderr stdin stdout tty "
                                "urandom zero")
    assert host.l.shell(box, "mknod /tmp/sda b 8 0")[0] != 0
    assert host.l.shell(box, "echo x > /dev/full")[0] != 0


def test_files_keep_the_images_ids(host):
    def tree(path):
        (path / "home" / "user").mkdir(parents=True)
        for name in ("a", "b"):
            (path / "home" / "user" / name).write_text("low\n")
        for p in (path / "home" / "user", path / "home" / "user" / "a"):
            os.chown(p, 1000, 1000)
        shutil.copy(GUEST, path / "su")
        os.chmod(path / "su", 0o4755)

    one = host.l.create(layers=[host.box, host.l.layer(tree)])
    sh = lambda text, user="C": host.l.shell(one, text, user)
    assert sh("stat -c '%u %g' /home/user /home/user/a /home/user/b")[1].split("\n")[:3] == \
        ["1000 1000", "1000 1000", "0 0"]
    assert sh("echo more >> /home/user/a && cat /home/user/a", "U") == (0, "low\nmore\n")
    assert sh("stat -c '%u %g' /home/user/a")[1].strip() == "1000 1000"
    assert sh("chown 5:6 /home/user/b && stat -c '%u %g' /home/user/b") == (0, "5 6\n")
    assert sh("rm -r /home/user && mkdir /home/user && ls /home/user") == (0, "")
    assert sh("chown 1000 /etc/passwd; echo x > /etc/new && mv /etc /etc2 && ls /etc2/new")[0] == 0
    assert sh("chown 0 /proc/1/cwd", "U")[0] != 0
    # the set-uid program becomes root of the sandbox, and of nothing else
    assert "uid=1000" in sh("id", "U")[1]
    assert sh("/su euid", "U") == (0, "0\n")
    assert sh("cp /su /bin/suid && chmod 4755 /bin/suid")[0] == 0
    assert sh("/bin/suid euid", "U") == (0, "0\n")
    # on the disk the image's own ids are kept: what the host sees is no shifted id
    assert host.l.call(STOP, one, grace=5000).result == OK
    host.l.create(one, op=START, layers=[host.box])
    assert host.l.shell(one, "stat -c '%u %g' /etc2/passwd /home/user")[1].split("\n")[:2] == \
        ["1000 0", "0 0"]
    host.l.destroy(one)


def test_many_layers_in_order_with_whiteouts(host):
    libc = ctypes.CDLL(None, use_errno=True)

    def numbered(i):
        def tree(path):
            (path / "top").write_text(f"{i}\n")
            (path / f"only{i}").write_text("x")
            (path / "d").mkdir()
            (path / "d" / f"f{i}").write_text("x")
            if i == 30:
                os.mknod(path / "only7", 0o600 | 0o020000, os.makedev(0, 0))
            if i == 40:
                assert libc.setxattr(os.fsencode(path / "d"), b"user.overlay.opaque", b"y", 1, 0) == 0
        return tree

    layers = [host.box] + [host.l.layer(numbered(i)) for i in range(1, 64)]
    one = host.l.create(layers=layers)
    assert host.l.shell(one, "cat /top")[1] == "63\n"
    assert host.l.shell(one, "ls /only6 /only63")[0] == 0
    assert host.l.shell(one, "ls /only7")[0] != 0
    names = host.l.shell(one, "ls /d")[1].split()
    assert sorted(names) == sorted(f"f{i}" for i in range(40, 64))
    host.l.destroy(one)


def test_missing_layer(host):
    missing, one = os.urandom(32), uuid.uuid4().bytes
    a = host.l.call(CREATE, one, [config()], body=spec(layers=[host.box, missing]))
    assert a.result == NO_LAYER and missing.hex() in a.text
    assert not host.l.folder(one).exists()


def test_empty_image(host):
    one = host.l.create()
    names = set(host.l.run(one, "L/").split())
    assert names == {".", "..", "dev", "etc", "proc", "root", "run", "sys", "tmp"}
    assert host.l.run(one, "R/proc/self/comm") != ""
    host.l.destroy(one)


HOSTILE = {
    "links": lambda p: [(p / n).symlink_to("/etc") for n in ("dev", "proc", "sys", "tmp")],
    "links up": lambda p: [(p / n).symlink_to("../../../../..") for n in ("dev", "proc", "sys")],
    "files": lambda p: [(p / n).write_text("x") for n in ("dev", "proc", "sys", "tmp")],
    "loops": lambda p: [(p / n).symlink_to(n) for n in ("dev", "proc", "sys", "tmp")],
    "links within": lambda p: [(p / "dev").mkdir(), (p / "dev" / "pts").symlink_to("/"),
                               (p / "dev" / "null").symlink_to("/proc/1/mem"),
                               (p / "dev" / "shm").write_text("x"),
                               (p / "proc").mkdir(), (p / "proc" / "sys").symlink_to("/etc")],
    "closed": lambda p: [(p / n).mkdir(mode=0) for n in ("dev", "proc", "sys", "tmp")],
    "etc is a link": lambda p: [(p / n).symlink_to("/proc/1/root/etc") for n in ("run", "root")],
}


def looks(host):
    """Of the host, what a layer could spoil. Loop devices come and go with anybody's disks."""
    devices = {name for name in os.listdir("/dev") if not re.fullmatch("loop[0-9]+", name)}
    return os.stat("/dev/null").st_rdev, devices, host.mountinfo()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_layers(host, name):
    before = looks(host)
    one = host.l.create(layers=[host.box, host.l.layer(HOSTILE[name])])
    status, out = host.l.shell(one, "stat -c %F /dev /proc /sys /tmp; ls /proc/1/status /dev/pts/ptmx;"
                               "stat -c '%F %t %T' /dev/null")
    assert out.count("directory") == 4 and status == 0, out
    assert "character special file 1 3" in out
    host.l.destroy(one)
    assert before == looks(host)


def test_stop_start_keeps_the_disk(host, box):
    assert host.l.shell(box, "echo kept > /kept; sync")[0] == 0
    a = host.l.call(STOP, box, grace=10000)
    assert a.result == OK, a
    assert not loops(host.l.folder(box))
    assert host.l.list()[box] == (0, 1)
    assert not (host.l.folder(box) / "toolbox.sock").exists()
    assert host.l.call(STOP, box).result == OK
    stats = host.l.call(STATS, box)
    assert stats.result == OK and stats.stats()["disk_total"] == 0
    host.l.create(box, op=START, layers=[host.box])
    assert host.l.run(box, "R/kept") == "kept\n"
    assert host.l.list()[box] == (1, 1)
    a = host.l.call(START, box, [config()], body=spec(layers=[host.box]))
    assert a.result == BUSY
    a = host.l.call(CREATE, box, [config()], body=spec(layers=[host.box]))
    assert a.result == EXISTS


def test_stop_waits_for_the_grace_and_then_kills(host, box):
    for grace in (1, 5, 20):  # seconds; a busy machine may have them pass before all is said
        assert host.l.run(box, "H") == "ok"
        begin = time.monotonic()
        stop = host.l.send(STOP, box, grace=1000 * grace)
        again = host.l.call(STOP, box).result
        host.l.destroy(host.l.create(layers=[host.box]))  # nobody else waits
        in_time = time.monotonic() - begin < grace
        assert not in_time or (again == BUSY and stop not in [a.seq for a in host.l.early])
        assert host.l.answer(stop).result == OK
        assert time.monotonic() - begin >= grace
        if in_time:
            break
        host.l.create(box, op=START, layers=[host.box])
    assert in_time


def test_unknown_ids(host):
    one = uuid.uuid4().bytes
    for op, fields in ((STOP, {}), (DESTROY, {}), (STATS, {})):
        assert host.l.call(op, one, **fields).result == NOT_FOUND
    a = host.l.call(START, one, [config()], body=spec(layers=[host.box]))
    assert a.result == NOT_FOUND


def test_exited_event(host, box):
    with pytest.raises(OSError):
        if host.l.run(box, "X7") == "":
            raise OSError
    e = host.l.event()
    assert (e.op, e.id, e.status, e.oom) == (1, box, 7 << 8, 0)
    assert host.l.list()[box] == (0, 1)
    host.l.create(box, op=START, layers=[host.box])


def test_memory_limit(host):
    one = host.l.create(layers=[host.box], memory=64 * MIB)
    status, _ = host.l.shell(one, "exec tail /dev/zero")
    assert status == 128 + 9
    stats = host.l.call(STATS, one).stats()
    assert stats["oom_kills"] >= 1 and stats["memory_limit"] == 64 * MIB
    status, _ = host.l.shell(one, "head -c 100m /dev/zero > /dev/shm/x")
    assert status != 0
    host.l.destroy(one)


def test_pids_limit(host):
    one = host.l.create(layers=[host.box], pids=16)
    _, out = host.l.shell(one, "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
                          "sleep 600 >/dev/null 2>&1 & done; echo end")
    assert "fork" in out
    assert host.l.call(STATS, one).stats()["pids"] <= 16
    host.l.destroy(one)


def test_disk_limit(host):
    one = host.l.create(layers=[host.box], disk=64 * MIB)
    status, out = host.l.shell(one, "head -c 100m /dev/zero > /big; stat -c %s /big")
    assert int(out.split()[-1]) <= 64 * MIB
    stats = host.l.call(STATS, one).stats()
    assert stats["disk_used"] > 32 * MIB and stats["disk_total"] <= 64 * MIB
    host.l.destroy(one)


@pytest.mark.parametrize("kind", ["files", "bytes"])
def test_a_full_disk_starts_again(host, kind):
    """An overlay makes files of its own when it is mounted: there has to be room for them, each time."""
    one = host.l.create(layers=[host.box], disk=64 * MIB)
    fill = {"files": "mkdir -p /f; cd /f; seq 100000 | xargs touch", "bytes": "head -c 100m /dev/zero >> /big"}
    for _ in range(3):
        assert host.l.shell(one, fill[kind])[0] != 0
        assert host.l.call(STOP, one, grace=1000).result == OK
        host.l.create(one, op=START, layers=[host.box])
    assert host.l.shell(one, "rm -r /f /big; echo x > /more && cat /more")[1].split()[-1] == "x"
    host.l.destroy(one)


def test_network_modes(host):
    if not host.l.hello.hello()["network"]:
        pytest.fail(f"no network for sandboxes on this host: {host.l.hello.text}")
    a = host.l.call(CREATE, uuid.uuid4().bytes, [config()],
                    body=spec(layers=[host.box], net=FULL))
    assert a.result == OK and a.addr & ~0xfff == host.l.hello.hello()["base"]
    address = socket.inet_ntoa(struct.pack(">I", a.addr))
    assert address in host.l.shell(a.id, "ip addr")[1]
    b = host.l.call(CREATE, uuid.uuid4().bytes, [config()],
                    body=spec(layers=[host.box], net=ALLOW, cidrs=[(0xc0000200, 24)]))
    assert b.result == OK and b.addr not in (0, a.addr)
    # one sandbox cannot reach the other, nor the host
    assert host.l.shell(b.id, f"nc -w 2 {address} 1 < /dev/null")[0] != 0
    n = host.l.call(CREATE, uuid.uuid4().bytes, [config()], body=spec(layers=[host.box], net=NONE))
    assert n.result == OK and n.addr == 0
    for one in (a.id, b.id, n.id):
        host.l.destroy(one)


def http_get(s, path):
    s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    out = b""
    while more := s.recv(65536):
        out += more
    s.close()
    return out.decode()


def serve(l, one, address):
    """The sandbox's /etc behind HTTP."""
    assert l.shell(one, f"httpd -p {address} -h /etc")[0] == 0


def first_pid(host, one):
    """Of the sandbox's processes, see record.h."""
    return struct.unpack_from("=II40sQi", (host.l.folder(one) / "run").read_bytes())[4]


def test_sockets_reach_the_loopback(host, box):
    with socket.create_server(("127.0.0.1", 0)) as other:  # the host's: nobody connects to it
        port = other.getsockname()[1]
        serve(host.l, box, f"127.0.0.1:{port}")
        sockets = host.l.sockets(box, 16)
        for s in sockets:
            assert (s.family, s.type) == (socket.AF_INET, socket.SOCK_STREAM)
            with pytest.raises(OSError):
                s.getpeername()
            s.settimeout(DEADLINE)
            s.connect(("127.0.0.1", port))
            assert "root:x:0:0" in http_get(s, "/passwd")
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    # it is back; while it makes networks for the pool it is elsewhere for a moment
    wait_for(lambda: os.readlink(f"/proc/{host.l.process.pid}/ns/net") == os.readlink("/proc/self/ns/net"))


def test_sockets_of_ipv6(host, box):
    """Sandboxes have no IPv6; one that got it is reached as well."""
    subprocess.run(["nsenter", "-t", str(first_pid(host, box)), "-n", "sh", "-c",
                    "cd /proc/sys/net/ipv6/conf; echo 0 > all/disable_ipv6; echo 0 > lo/disable_ipv6"], check=True)
    serve(host.l, box, "[::1]:3000")
    (s,) = host.l.sockets(box, 1, family=6)
    s.settimeout(DEADLINE)
    s.connect(("::1", 3000))
    assert "root:x:0:0" in http_get(s, "/passwd")


def test_sockets_only_while_it_runs(host, box):
    assert host.l.call(SOCKETS, uuid.uuid4().bytes, count=1, family=4).result == NOT_FOUND
    assert host.l.call(STOP, box, grace=5000).result == OK
    a = host.l.call(SOCKETS, box, count=1, family=4)
    assert a.result == NOT_FOUND and not a.fds
    host.l.create(box, op=START, layers=[host.box])
    for s in host.l.sockets(box, 1):
        s.close()


def test_sockets_that_nobody_reads(host, box):
    """A peer that asks and never reads gets no descriptors it did not take."""
    def open_files():
        return len(os.listdir(f"/proc/{host.l.process.pid}/fd"))

    before = open_files()
    asked = [host.l.send(SOCKETS, box, count=16, family=4) for _ in range(80)]
    answers = [host.l.answer(seq) for seq in asked]
    assert {(a.result, len(a.fds)) for a in answers} == {(OK, 16), (BUSY, 0)}
    for a in answers:
        for fd in a.fds:
            os.close(fd)
    assert open_files() < before + 100  # pools are filled meanwhile


def test_sockets_of_an_adopted_sandbox(own_host):
    l = own_host.l
    one = l.create(layers=[own_host.box], net=FULL)
    serve(l, one, "127.0.0.1:3000")
    l.kill()
    l.start()
    (s,) = l.sockets(one, 1)
    s.settimeout(DEADLINE)
    s.connect(("127.0.0.1", 3000))
    assert "root:x:0:0" in http_get(s, "/passwd")
    (kept,) = l.sockets(one, 1)
    l.destroy(one)
    kept.close()  # the last user of its network, which is gone at the end (own_host checks)


def test_list_pages(own_host):
    ids = {uuid.uuid4().bytes for _ in range(600)}
    for one in ids:
        (own_host.data / "sandboxes" / str(uuid.UUID(bytes=one))).mkdir()
    (own_host.data / "sandboxes" / "no-uuid").mkdir()
    assert own_host.l.list() == {one: (0, 0) for one in ids}
    (own_host.data / "sandboxes" / "no-uuid").rmdir()


def frame(**fields):
    op = fields.pop("op", CREATE)
    fields.setdefault("body", spec())
    return request(op, 9, fields.pop("one", uuid.uuid4().bytes), **fields)


BAD = {
    "short": (frame()[:-1], 1),
    "long": (frame() + b"\0", 1),
    "empty body": (b"\0", 0),
    "version": (frame(version=VERSION - 1), 1),
    "op 0": (frame(op=0), 1),
    "op 11": (frame(op=11), 0),
    "hello twice": (request(HELLO, 9), 0),
    "no id": (frame(one=bytes(16)), 1),
    "id on list": (request(LIST, 9, b"x" * 16), 0),
    "seq 0": (request(LIST, 0), 0),
    "no descriptor": (frame(), 0),
    "two descriptors": (frame(), 2),
    "descriptor on stop": (request(STOP, 9, b"x" * 16), 1),
    "grace": (request(STOP, 9, b"x" * 16, grace=60001), 0),
    "grace on create": (frame(grace=1), 1),
    "cursor on stop": (request(STOP, 9, b"x" * 16, cursor=1), 0),
    "no sockets": (request(SOCKETS, 9, b"x" * 16, family=4), 0),
    "many sockets": (request(SOCKETS, 9, b"x" * 16, count=17, family=4), 0),
    "family": (request(SOCKETS, 9, b"x" * 16, count=1, family=socket.AF_UNIX), 0),
    "sockets of nothing": (request(SOCKETS, 9, count=1, family=4), 0),
    "sockets on stop": (request(STOP, 9, b"x" * 16, count=1, family=4), 0),
    "spec on stop": (request(STOP, 9, b"x" * 16, body=spec()), 0),
    "little memory": (frame(body=spec(memory=16 * MIB - 1)), 1),
    "much memory": (frame(body=spec(memory=(1 << 40) + 1)), 1),
    "little disk": (frame(body=spec(disk=63 * MIB)), 1),
    "odd disk": (frame(body=spec(disk=64 * MIB + 1)), 1),
    "cpu": (frame(body=spec(cpu=9)), 1),
    "pids": (frame(body=spec(pids=65537)), 1),
    "net": (frame(body=spec(net=3)), 1),
    "ranges without allow": (frame(body=spec(net=NONE, cidrs=[(0x0a000000, 8)])), 1),
    "host bits": (frame(body=spec(net=ALLOW, cidrs=[(0x0a000001, 8)])), 1),
    "prefix": (frame(body=spec(net=ALLOW, cidrs=[(0, 33)])), 1),
    "hostname": (frame(body=spec(hostname=b"../x")), 1),
    "empty hostname": (frame(body=spec(hostname=b"")), 1),
    "unterminated hostname": (frame(body=spec(hostname=b"a" * 64)), 1),
    "layers": (frame(body=spec()[:72] + struct.pack("=I", 65) + spec()[76:]), 1),
    "unused layer": (frame(body=spec()[:76] + b"x" + spec()[77:]), 1),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_end_the_peer(shared_socket, name):
    data, nfds = BAD[name]
    peer = shared_socket()
    peer.send_raw(data, [config() for _ in range(nfds)])
    with pytest.raises((EOFError, ConnectionError)):
        peer.receive()
    peer.sock.close()


@pytest.mark.parametrize("bad", ["unsealed", "large", "file", "directory"])
def test_bad_configurations_end_the_peer(shared_socket, bad):
    peer = shared_socket()
    fd = {"unsealed": lambda: config(sealed=False), "large": lambda: config(b"x" * (262144 + 1)),
          "file": lambda: os.open("/etc/passwd", os.O_RDONLY),
          "directory": lambda: os.open("/", os.O_RDONLY)}[bad]()
    peer.send(CREATE, uuid.uuid4().bytes, [fd], body=spec())
    with pytest.raises((EOFError, ConnectionError)):
        peer.receive()
    peer.sock.close()


def test_no_request_before_hello(shared_socket):
    peer = shared_socket(hello=False)
    peer.send(LIST)
    with pytest.raises((EOFError, ConnectionError)):
        peer.receive()
    peer.sock.close()


@pytest.fixture(scope="module")
def shared_socket():
    """A launcher at a socket; the fixture is a function that connects as runnerd's user."""
    data = pathlib.Path(tempfile.mkdtemp(prefix="dtl-", dir="/var/tmp"))
    os.chmod(data, 0o711)
    path = data / "door"
    l = Launcher(data, PROGRAM, GUEST)
    process = subprocess.Popen([*l.command, "--socket", str(path)])
    wait_for(lambda: path.exists())
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_uid == 65534

    def connect(hello=True, uid=65534):
        peer = Launcher(data, PROGRAM, GUEST)

        def dial():
            # The credentials that count are those of connect(2), of this thread only.
            libc = ctypes.CDLL(None, use_errno=True)
            libc.syscall(119, -1, uid, -1)  # setresgid
            libc.syscall(117, -1, uid, -1)  # setresuid
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.connect(str(path))
            return s

        def try_once():
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                peer.sock = pool.submit(dial).result()
            if not hello:
                return True
            peer.seq = 0
            try:
                return peer.call(HELLO).result == OK
            except (EOFError, ConnectionError):
                return False  # the last peer is not gone yet

        if uid == 65534:
            wait_for(try_once)
        else:
            try_once()
        return peer

    yield connect
    process.terminate()
    assert process.wait(60) == 0
    shutil.rmtree(data)


def test_other_users_are_turned_away(shared_socket):
    peer = shared_socket(hello=False, uid=0)
    peer.sock.settimeout(30)
    with pytest.raises((EOFError, ConnectionError)):
        peer.call(HELLO)
    peer.sock.close()


def test_launcher_killed_and_restarted(own_host):
    l = own_host.l
    running = [l.create(layers=[own_host.box], net=FULL) for _ in range(3)]
    stopped = l.create(layers=[own_host.box])
    assert l.call(STOP, stopped, grace=5000).result == OK
    dies = l.create(layers=[own_host.box])
    for i, one in enumerate(running):
        assert l.shell(one, f"echo {i} > /mine")[0] == 0
    l.kill()
    with pytest.raises(OSError):  # ends while nobody watches
        if l.run(dies, "X3") == "":
            raise OSError
    (own_host.data / "sandboxes" / str(uuid.uuid4())).mkdir()  # half-made
    l.start()
    assert l.hello.hello()["instance"] == own_host.instance
    # the one that dies may still be on its way out when the new launcher looks
    wanted = {**{one: (1, 1) for one in running}, stopped: (0, 1), dies: (0, 1)}
    wait_for(lambda: l.list() == wanted)
    wait_for(lambda: len(loops(own_host.data / "sandboxes")) == 3)
    for i, one in enumerate(running):
        assert l.run(one, "R/mine") == f"{i}\n"
        assert l.call(STATS, one).stats()["pids"] >= 1
    # an adopted one ends by itself, is stopped, is destroyed
    assert l.run(running[0], "X0") == ""
    e = l.event()
    if e.id == dies:  # its zombie was still there when the new launcher looked
        e = l.event()
    assert (e.id, e.status) == (running[0], -1)
    assert l.call(STOP, running[1], grace=5000).result == OK
    l.create(running[1], op=START, layers=[own_host.box])
    assert l.run(running[1], "R/mine") == "1\n"
    l.destroy(running[2])


def test_the_number_of_before_is_waited_for(own_host):
    """Whoever looks for a free one holds its lock for a moment, and what runs under it is found with it alone."""
    l = own_host.l
    one = l.create(layers=[own_host.box])
    l.kill()
    with open(f"/run/daytona/instance-{own_host.instance}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        free = threading.Timer(0.5, fcntl.flock, (lock, fcntl.LOCK_UN))
        free.start()
        l.start()
        free.join()
    assert l.hello.hello()["instance"] == own_host.instance and list(l.list()) == [one]


@pytest.mark.parametrize("after_ms", [0, 1, 2, 3, 5, 8, 13, 40])
def test_killed_while_it_creates(own_host, after_ms):
    l = own_host.l
    ids = [uuid.uuid4().bytes for _ in range(6)]
    for one in ids:
        l.send(CREATE, one, [config()], body=spec(layers=[own_host.box], net=FULL))
    time.sleep(after_ms / 1000)  # the point at which it dies is what the test varies
    l.kill()
    l.start()
    for one, (running, disk) in l.list().items():
        assert one in ids and (running, disk) == (1, 1)
        assert l.shell(one, "echo lives")[1] == "lives\n"
    for one in ids:
        assert l.call(DESTROY, one).result in (OK, NOT_FOUND)
    l.create(ids[0], layers=[own_host.box])


def test_sandboxes_outlive_the_connection(own_host):
    l = own_host.l
    one = l.create(layers=[own_host.box])
    l.stop()
    assert l.run(one, "R/proc/self/comm") != ""
    l.start()
    assert l.list() == {one: (1, 1)}


def test_destroy_at_any_moment(host):
    one = uuid.uuid4().bytes
    create = host.l.send(CREATE, one, [config()], body=spec(layers=[host.box], disk=72 * MIB))
    destroy = host.l.send(DESTROY, one)
    again = host.l.send(CREATE, one, [config()], body=spec(layers=[host.box]))
    assert host.l.answer(create).result in (OK, NOT_FOUND)
    assert host.l.answer(destroy).result == OK
    assert host.l.answer(again).result == OK
    host.l.destroy(one)


def test_a_program_that_is_no_toolbox():
    data = pathlib.Path(tempfile.mkdtemp(prefix="dtl-", dir="/var/tmp"))
    l = Launcher(data, PROGRAM, "/bin/true").start()  # dynamic: no loader in an empty image
    one = uuid.uuid4().bytes
    a = l.call(CREATE, one, [config()], body=spec())
    if a.result == OK:  # it was confined; that it cannot be executed came out later
        assert l.event().status != 0
        assert l.call(DESTROY, one).result == OK
    else:
        assert a.result == FAILED and "ended" in a.text or "killed" in a.text, a
    assert not list((data / "sandboxes").iterdir())
    l.stop()
    shutil.rmtree(data)


def warm_pids(h):
    """First processes that run the toolbox already, whoever they belong to."""
    found = set()
    for pid in group_pids(h.instance):
        try:
            if os.readlink(f"/proc/{pid}/exe").startswith("/memfd:daytona-toolbox"):
                found.add(pid)
        except OSError:
            pass
    return found


def warmed(h, before=frozenset(), **kind):
    """Two of a kind in a row, and more of it are started ahead, in the place of those of before. Returns them."""
    found = set()

    def all_there():
        found.clear()
        found.update(warm_pids(h))
        return len(found) == 8 and not before & found

    for _ in range(2):
        h.l.destroy(h.l.create(**kind))
    wait_for(all_there)
    return found


def test_started_ahead(own_host):
    """One that was started before anybody asked is as good as any other."""
    h, l = own_host, own_host.l
    ahead = warmed(h, layers=[h.box], net=FULL)
    assert l.list() == {}
    one = l.create(layers=[h.box], net=NONE, hostname=b"mine", text=b'{"id":"mine"}')
    assert l.run(one, "G") == '{"id":"mine"}'
    assert l.shell(one, "hostname; ip -4 addr show eth0 2>/dev/null | grep -c inet; ip route | wc -l")[1].split()[0] == "mine"
    if h.l.hello.hello()["network"]:
        gateway = socket.inet_ntoa(struct.pack("!I", h.l.hello.hello()["base"] + 1))
        assert l.shell(one, f"ping -c 1 -W 1 {gateway}")[0] != 0  # its network is the one asked for
    assert l.call(STATS, one).stats()["memory_limit"] == 256 * MIB
    status = dict(line.split(":\t", 1) for line in l.run(one, "R/proc/1/status").splitlines() if ":\t" in line)
    assert status["Seccomp"] == "2" and int(status["CapBnd"], 16) == 0x800405fb
    assert (h.data / "sandboxes" / str(uuid.UUID(bytes=one)) / "disk.img").exists() or \
        (h.data / "sandboxes" / str(uuid.UUID(bytes=one))).is_dir()
    assert l.shell(one, "echo kept > /kept")[0] == 0
    assert l.call(STOP, one, grace=5000).result == OK
    l.create(one, op=START, layers=[h.box])
    assert l.run(one, "R/kept") == "kept\n"
    assert len(ahead & warm_pids(h)) >= 7
    # the host keeps its own name
    assert os.uname().nodename != "mine"


def test_started_ahead_and_ended(own_host):
    """Those that wait may end: nobody notices, and others take their place."""
    h, l = own_host, own_host.l
    ends = [os.pidfd_open(pid) for pid in warmed(h, layers=[h.box])]
    for end in ends:
        signal.pidfd_send_signal(end, signal.SIGKILL)
    for end in ends:
        assert select.select([end], [], [], 60)[0]
        os.close(end)
    assert l.shell(l.create(layers=[h.box]), "echo hi") == (0, "hi\n")
    wait_for(lambda: len(warm_pids(h)) == 9)
    assert len(list((h.data / "sandboxes").iterdir())) == 1


def test_started_ahead_of_another_kind(own_host):
    h, l = own_host, own_host.l
    before = warmed(h, layers=[h.box])
    larger = l.create(layers=[h.box], memory=512 * MIB)
    assert l.call(STATS, larger).stats()["memory_limit"] == 512 * MIB
    l.destroy(larger)
    warmed(h, before, layers=[h.box], memory=512 * MIB)


def test_launcher_killed_while_some_are_ahead(own_host):
    h, l = own_host, own_host.l
    ahead = warmed(h, layers=[h.box])
    one = l.create(layers=[h.box])
    l.kill()
    wait_for(lambda: len(warm_pids(h) & ahead) <= 1)  # they do not outlive it
    l.start()
    assert l.list() == {one: (1, 1)}
    assert l.shell(one, "echo lives")[1] == "lives\n"
    assert not list((h.data / "pool").iterdir()) or len(warm_pids(h)) >= 1


def test_a_host_that_cannot_is_told_so(tmp_path):
    """As on kernels before 5.19: the layers' file system cannot be idmapped."""
    subprocess.run(["mount", "-t", "ramfs", "none", tmp_path], check=True)
    try:
        done = subprocess.run([PROGRAM, "--data-dir", tmp_path, "--uid", "65534", "--gid", "65534", "--toolbox", GUEST,
                               "--socket", tmp_path / "socket"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        said = json.loads(done.stderr.splitlines()[-1])["err"]
        assert "Linux 5.19 or newer" in said and "linux-generic-hwe" in said and "ext4, xfs or btrfs" in said, said
        assert not list((tmp_path / "pool").iterdir())
        subprocess.run([PROGRAM, "--data-dir", tmp_path, "--purge"], check=True, timeout=60)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_overlay_by_path():
    """What kernels before 6.13 need."""
    h = Host("--overlay-by-path")
    layers = [h.box] + [h.l.layer(lambda p, i=i: (p / f"f{i}").write_text("x")) for i in range(63)]
    one = h.l.create(layers=layers)
    assert h.l.shell(one, "ls /f0 /f62 && echo y > /f0 && chown 1000 /f1 && rm /f2 && cat /f0") == \
        (0, "/f0\n/f62\ny\n")
    assert str(h.data) not in h.l.run(one, "R/proc/self/mountinfo")
    empty = h.l.create()
    assert "proc" in h.l.run(empty, "L/")
    h.clean()


def test_many_cycles_leave_nothing(own_host):
    l = own_host.l
    with concurrent.futures.ThreadPoolExecutor(1):
        for _ in range(20):
            ids = [uuid.uuid4().bytes for _ in range(10)]
            created = [l.send(CREATE, one, [config()], body=spec(layers=[own_host.box], net=FULL))
                       for one in ids]
            for seq in created:
                a = l.answer(seq)
                assert a.result == OK, a
            gone = [l.send(DESTROY, one) for one in ids]
            for seq in gone:
                assert l.answer(seq).result == OK
    assert l.list() == {}
    fds = len(os.listdir(f"/proc/{l.process.pid}/fd"))
    assert fds < 150, fds

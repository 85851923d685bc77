"""daytona-launcher: what happens to a sandbox between its start and its end. Real disks and processes."""

import contextlib
import fcntl
import ipaddress
import json
import os
import pathlib
import random
import signal
import stat
import subprocess
import tempfile
import time
import uuid

import pytest

from launcher import (ALLOW, ARCHIVE, BACKUP, BUSY, CANCEL, CANCELLED, CREATE, DESTROY, EXISTS, FAILED, FORK, FULL, MIB,
                      NETWORK, NONE, NOT_FOUND, NO_SPACE, OK, PAUSE, RESIZE, RESTORE, RESUME, START, STATS, STOP, config, spec,
                      wait_for)
from test_launcher import GROUPS, Host, group_roots, loops

LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81
FILL = """
set -e
cd /root
echo text > plain; chown 1000:1001 plain; chmod 4750 plain; touch -d '2001-02-03 04:05:06' plain
ln plain hard; ln -s /no/where link; mkfifo pipe; mkdir -p deep/er; chmod 1777 deep
dd if=/dev/zero of=sparse bs=1 count=1 seek=5000000 2>/dev/null
dd if=/dev/urandom of=random bs=64k count=40 2>/dev/null
rm /etc/group; rm -r /srv/lower; mkdir /srv/lower; echo new > /srv/lower/new; mv /srv/moved /srv/elsewhere
i=0; while [ $i -lt 200 ]; do echo $i > deep/er/$i; i=$((i+1)); done
"""
LOOK = "cd /; find root etc srv | sort | xargs stat -c '%n %f %u:%g %h %s %Y %b' | grep -v '^root [0-9]'; " \
       "find root etc srv -type f | sort | xargs md5sum; readlink root/link"


def lower(path):
    """Files of a layer that FILL covers, replaces and moves."""
    (path / "root").mkdir()
    (path / "srv" / "lower").mkdir(parents=True)
    (path / "srv" / "lower" / "old").write_text("old\n")
    (path / "srv" / "moved").write_text("moved\n")


@pytest.fixture(scope="module")
def host():
    h = Host()
    h.layers = [h.box, h.l.layer(lower)]
    yield h
    h.clean()


@pytest.fixture
def own_host():
    h = Host()
    h.layers = [h.box, h.l.layer(lower)]
    yield h
    h.clean()


@pytest.fixture
def box(host):
    one = host.l.create(layers=host.layers)
    yield one
    host.l.call(DESTROY, one)


def start(host, one, **fields):
    host.l.create(one, op=START, layers=host.layers, **fields)


def look(host, one):
    status, text = host.l.shell(one, LOOK)
    assert status == 0, text
    return text


def fill(host, one):
    status, text = host.l.shell(one, FILL)
    assert status == 0, text
    return look(host, one)


def describe(path, data):
    st = os.lstat(path)
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
    content = os.readlink(path) if stat.S_ISLNK(st.st_mode) else path.read_bytes() if stat.S_ISREG(st.st_mode) else None
    size = st.st_size if not stat.S_ISDIR(st.st_mode) else None
    return (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_rdev, size, st.st_blocks, st.st_mtime_ns, xattrs, content)


def tree(host, one):
    """All of the writable layer of a sandbox that does not run, as the host's kernel sees it."""
    found = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as at:
        subprocess.run(["mount", "-o", "loop,ro,noload", host.l.folder(one) / "disk.img", at], check=True)
        try:
            root = pathlib.Path(at) / "upper"
            for folder, folders, files in os.walk(root):
                for name in folders + files:
                    path = pathlib.Path(folder) / name
                    found[str(path.relative_to(root))] = describe(path, True)
        finally:
            subprocess.run(["umount", at], check=True)
    wait_for(lambda: not loops(host.l.folder(one)))
    return found


def objects(host):
    return sorted(str(p.relative_to(host.data / "objects")) for p in (host.data / "objects").glob("*/*"))


def limit(host, one, v1, v2):
    """The content of a file of the sandbox's control group, wherever the host has the controller."""
    for root in group_roots(host.instance):
        for name in (v1, v2):
            for file in root.glob(f"*/{name}"):
                if pid_of(host, one) in {int(p) for p in (file.parent / "cgroup.procs").read_text().split()}:
                    return file.read_text().split()[0]
    raise LookupError(v2)


def pid_of(host, one):
    """The sandbox's pid 1, from its record."""
    return int.from_bytes((host.l.folder(one) / "run").read_bytes()[56:60], "little")


# --- resize ---

def test_memory_and_cpu_change_while_it_runs(host, box):
    assert limit(host, box, "memory.limit_in_bytes", "memory.max") == str(256 * MIB)
    host.l.expect(RESIZE, box, body=spec(memory=512 * MIB, cpu=2500, layers=host.layers))
    assert limit(host, box, "memory.limit_in_bytes", "memory.max") == str(512 * MIB)
    assert limit(host, box, "cpu.cfs_quota_us", "cpu.max") == "250000"
    assert host.l.call(STATS, box).stats()["memory_limit"] == 512 * MIB
    # 300 MiB did not fit before.
    status, _ = host.l.shell(box, "dd if=/dev/zero of=/dev/shm/x bs=1M count=1 && mount >/dev/null; "
                                  "head -c 300000000 /dev/zero | tail -c 300000000 | wc -c")
    assert status == 0
    host.l.expect(RESIZE, box, body=spec(memory=512 * MIB, cpu=500, layers=host.layers))
    assert limit(host, box, "cpu.cfs_quota_us", "cpu.max") == "50000"


def test_its_limits_are_seen_inside(host, box):
    """As on any host, and as they are now; nothing of other groups, and nothing to write to."""
    files = [("memory/memory.limit_in_bytes", "memory.max"), ("cpu/cpu.cfs_quota_us", "cpu.max"), ("pids/pids.max", "pids.max")]

    def seen():
        return [host.l.shell(box, f"cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}")[1].split()[0] for v1, v2 in files]

    assert seen() == [str(256 * MIB), "100000", "128"]
    host.l.expect(RESIZE, box, body=spec(memory=512 * MIB, cpu=2500, layers=host.layers))
    assert seen() == [str(512 * MIB), "250000", "128"]
    tops = host.l.shell(box, "cat /proc/self/mountinfo | grep ' - cgroup' | cut -d' ' -f4 | sort -u; find /sys/fs/cgroup -type d | sort")
    assert tops[1].split()[0] == "/" and set(tops[1].split()[1:]) <= {"/sys/fs/cgroup", *(f"/sys/fs/cgroup/{n}" for n in (
        "memory", "cpu", "pids", "unified"))}, tops
    for user in "CU":
        for v1, v2 in files:
            assert host.l.shell(box, f"echo 1 > /sys/fs/cgroup/{v1} || echo 1 > /sys/fs/cgroup/{v2}", user)[0] != 0
    status, procs = host.l.shell(box, "cat /sys/fs/cgroup/unified/cgroup.procs || cat /sys/fs/cgroup/cgroup.procs")
    assert status == 0 and "1" in procs.split() and "0" not in procs.split(), "processes of others"


def test_no_process_is_killed_to_come_below_a_limit(host, box):
    status, out = host.l.shell(box, "mkfifo /root/go; (head -c 100000000 /dev/zero | tail -c 100000000 | (read x </root/go; wc -c)) "
                                    ">/root/out 2>&1 & echo going")
    assert status == 0 and "going" in out
    wait_for(lambda: host.l.call(STATS, box).stats()["memory"] > 64 * MIB)
    a = host.l.expect(RESIZE, box, BUSY, body=spec(memory=32 * MIB, layers=host.layers))
    assert "more memory" in a.text
    host.l.shell(box, "echo >/root/go")
    wait_for(lambda: host.l.shell(box, "cat /root/out")[1].strip() == "100000000")


def test_the_disk_grows_when_it_does_not_run(host, box):
    before = fill(host, box)
    host.l.expect(STOP, box)
    files = tree(host, box)
    host.l.expect(RESIZE, box, body=spec(disk=1024 * MIB, layers=host.layers))
    assert (host.l.folder(box) / "disk.img").stat().st_size == 1024 * MIB
    assert tree(host, box) == files
    host.l.expect(RESIZE, box, body=spec(disk=1024 * MIB, layers=host.layers))
    assert host.l.expect(RESIZE, box, FAILED, body=spec(disk=512 * MIB, layers=host.layers)).text == "a disk cannot shrink"
    start(host, box, disk=1024 * MIB)
    assert look(host, box) == before
    assert int(host.l.shell(box, "df -m / | tail -1 | awk '{print $2}'")[1]) > 800
    status, _ = host.l.shell(box, "dd if=/dev/zero of=/root/big bs=1M count=600 2>/dev/null")
    assert status == 0


def test_resize_of_what_is_not_there(host):
    host.l.expect(RESIZE, uuid.uuid4().bytes, NOT_FOUND, body=spec())


# --- the network ---

def test_the_network_changes_while_it_runs(host):
    assert host.l.hello.hello()["network"], host.l.hello.text
    one = uuid.uuid4().bytes
    made = host.l.call(CREATE, one, [config()], body=spec(layers=host.layers, net=FULL))
    assert made.result == OK, made
    address, allowed = str(ipaddress.ip_address(made.addr)), 0xc0000200

    def members():
        """Of which of the table's sets the sandbox is an element; `allow` has numbers."""
        command = ["nft", "-j", "list", "table", "inet", f"daytona{host.instance}"]
        table = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        sets = {o["set"]["name"]: json.dumps(o["set"].get("elem", [])) for o in table["nftables"] if "set" in o}
        return (f'"{address}"' in sets["full"], str(made.addr << 32 | allowed) in sets["allow"])

    def with_rules(**fields):
        host.l.expect(NETWORK, one, body=spec(layers=host.layers, **fields))
        return members()

    assert members() == (True, False)
    assert with_rules(net=NONE) == (False, False)
    assert with_rules(net=ALLOW, cidrs=[(allowed, 24)]) == (False, True)
    assert with_rules(net=FULL) == (True, False)
    with_rules(net=ALLOW, cidrs=[(allowed, 24)])
    host.l.kill()
    host.l.start()
    assert members() == (False, True), "the next launcher has other rules"
    host.l.destroy(one)
    host.l.expect(NETWORK, one, NOT_FOUND, body=spec())


# --- pause and resume ---

TICK = "(i=0; while true; do i=$((i+1)); echo $i > /root/tick; done) >/dev/null 2>&1 & echo"


def ticks(host, one):
    """From the disk's side the sandbox need not answer for."""
    return host.l.call(STATS, one).stats()["cpu_usec"]


def settled_ticks(host, one):
    """Of one that is paused: what ran until it froze may be counted a little later."""
    last = None
    while (now := ticks(host, one)) != last:
        last = now
        time.sleep(0.05)
    return now


def test_pause_and_resume(host, box):
    host.l.shell(box, TICK)
    first = ticks(host, box)
    wait_for(lambda: ticks(host, box) > first)
    host.l.expect(PAUSE, box)
    host.l.expect(PAUSE, box)
    still = settled_ticks(host, box)
    time.sleep(0.2)
    assert ticks(host, box) == still
    item = host.l.items()[box]
    assert item["running"] and item["paused"] and item["cpu_usec"] == still
    host.l.expect(RESUME, box)
    host.l.expect(RESUME, box)
    wait_for(lambda: ticks(host, box) > still)
    assert not host.l.items()[box]["paused"]
    assert host.l.shell(box, "echo back") == (0, "back\n")


def test_a_paused_one_stays_so_without_a_launcher(host, box):
    host.l.shell(box, TICK)
    host.l.expect(PAUSE, box)
    still = settled_ticks(host, box)
    host.l.kill()
    host.l.start()
    time.sleep(0.2)
    assert host.l.items()[box]["paused"] and ticks(host, box) == still
    host.l.expect(RESUME, box)
    host.l.kill()
    host.l.start()
    assert not host.l.items()[box]["paused"]
    wait_for(lambda: ticks(host, box) > still)


def test_a_paused_one_is_stopped(host, box):
    host.l.shell(box, "echo kept > /root/kept")
    host.l.expect(PAUSE, box)
    host.l.expect(STOP, box, grace=5000)
    start(host, box)
    assert host.l.shell(box, "cat /root/kept") == (0, "kept\n")


def test_a_paused_one_is_destroyed(host):
    one = host.l.create(layers=host.layers)
    host.l.expect(PAUSE, one)
    host.l.destroy(one)
    wait_for(lambda: one not in host.l.items())


def test_pause_of_what_does_not_run(host, box):
    host.l.expect(STOP, box)
    host.l.expect(PAUSE, box, NOT_FOUND)
    host.l.expect(RESUME, box, NOT_FOUND)


# --- archive and restore ---

def test_archive_and_restore_bit_for_bit(host, box):
    before = fill(host, box)
    host.l.expect(ARCHIVE, box, BUSY)
    host.l.expect(STOP, box)
    files = tree(host, box)
    host.l.expect(ARCHIVE, box)
    assert not host.l.folder(box).exists()
    assert objects(host) == [f"archives/{uuid.UUID(bytes=box)}"]
    item = host.l.items()[box]
    assert (item["running"], item["disk"], item["archived"]) == (0, 0, 1)
    subprocess.run(["zstd", "-tq", host.data / "objects" / objects(host)[0]], check=True)
    host.l.expect(ARCHIVE, box)  # it is so already
    host.l.create(box, op=START, layers=host.layers, expect=NOT_FOUND)
    host.l.create(box, op=CREATE, layers=host.layers, expect=EXISTS)
    host.l.expect(RESTORE, box)
    assert objects(host) == []
    assert tree(host, box) == files
    assert any(stat.S_ISCHR(d[0]) for d in files.values()), "no whiteout was among them"
    assert any(d[8] for d in files.values()), "no attribute was among them"
    host.l.expect(RESTORE, box, EXISTS)
    start(host, box)
    assert look(host, box) == before
    assert host.l.shell(box, "ls /srv/lower /etc/group")[1].split()[:1] != []


def test_an_archived_one_is_destroyed(host, box):
    host.l.expect(STOP, box)
    host.l.expect(ARCHIVE, box)
    host.l.destroy(box)
    assert objects(host) == [] and box not in host.l.items()
    host.l.expect(RESTORE, box, NOT_FOUND)
    host.l.expect(ARCHIVE, box, NOT_FOUND)


def test_a_damaged_archive_is_refused(host, box):
    host.l.shell(box, "head -c 1000000 /dev/urandom > /root/x")
    host.l.expect(STOP, box)
    host.l.expect(ARCHIVE, box)
    file = host.data / "objects" / objects(host)[0]
    good = file.read_bytes()
    file.write_bytes(good[:500000] + bytes([good[500000] ^ 1]) + good[500001:])
    a = host.l.expect(RESTORE, box, FAILED)
    assert "damaged" in a.text
    file.write_bytes(good[:-1000])
    assert "damaged" in host.l.expect(RESTORE, box, FAILED).text
    assert not list((host.data / "pool").glob("*/disk.img.new")) and not host.l.folder(box).exists()
    file.write_bytes(good)
    host.l.expect(RESTORE, box)


def big(host, one, megabytes=150):
    status, _ = host.l.shell(one, f"dd if=/dev/urandom of=/root/big bs=1M count={megabytes} 2>/dev/null")
    assert status == 0


def under_way(host, op, one, begun, meanwhile, wanted):
    """Asks for something that takes a while and does `meanwhile` in the middle of it, which has it answered with `wanted`.
    On a machine that stands still in between it may be done before: then it is undone and asked for again."""
    for _ in range(20):
        seq = host.l.send(op, one)
        wait_for(lambda: begun() or host.l.has_come(seq))
        meanwhile()
        if (result := host.l.answer(seq).result) == wanted:
            return
        assert result == OK, result
        host.l.expect(RESTORE if op == ARCHIVE else ARCHIVE, one)
    raise AssertionError("it was always done before")


def being_copied(host):
    return list((host.data / "pool").glob("*/disk.img.new"))


def test_archiving_is_cancelled(host, box):
    big(host, box)
    host.l.expect(STOP, box)
    files, refused = tree(host, box), []

    def cancel():
        refused.append(host.l.call(START, box, [config()], body=spec(layers=host.layers)).result)
        host.l.expect(CANCEL, box)
    under_way(host, ARCHIVE, box, lambda: objects(host), cancel, CANCELLED)
    assert refused[-1] == BUSY and set(refused) <= {BUSY, NOT_FOUND}
    assert objects(host) == []
    start(host, box)
    host.l.expect(STOP, box)
    assert {k: v for k, v in tree(host, box).items()} == files
    host.l.expect(CANCEL, box)  # there is none: fine


def helpers(host):
    """Helper processes of this launcher, the youngest last."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if b"--worker" in (p / "cmdline").read_bytes().split(b"\0") and \
                    str(host.data).encode() in (p / "cmdline").read_bytes():
                found.append((int((p / "stat").read_text().rsplit(")", 1)[1].split()[19]), int(p.name)))
        except (OSError, IndexError):
            pass
    return [pid for _, pid in sorted(found)]


def test_the_helper_dies(host, box):
    big(host, box)
    host.l.expect(STOP, box)
    files = tree(host, box)

    def kill():
        for pid in helpers(host)[-1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    under_way(host, ARCHIVE, box, lambda: objects(host), kill, BUSY)
    assert objects(host) == [] and tree(host, box) == files
    host.l.expect(ARCHIVE, box)
    under_way(host, RESTORE, box, lambda: being_copied(host), kill, BUSY)
    assert objects(host) and not host.l.folder(box).exists()
    assert not being_copied(host)
    host.l.expect(RESTORE, box)
    assert tree(host, box) == files


def test_a_host_without_room(host, box):
    """What is below archives/ alone is full: an error, and nothing is lost."""
    big(host, box, 30)
    host.l.expect(STOP, box)
    files = tree(host, box)
    archives = host.data / "objects" / "archives"
    inside = ["nsenter", "-t", str(host.l.process.pid), "-m"]
    subprocess.run([*inside, "mount", "-t", "tmpfs", "-o", "size=8m", "none", archives], check=True)
    try:
        host.l.expect(ARCHIVE, box, NO_SPACE)
        left = subprocess.run([*inside, "ls", archives], check=True, capture_output=True).stdout
    finally:
        subprocess.run([*inside, "umount", archives], check=True)
    assert left == b"" and tree(host, box) == files
    host.l.expect(ARCHIVE, box)
    host.l.expect(RESTORE, box)
    assert tree(host, box) == files


def settle(host, one):
    """After a kill: exactly one of disk and archive is the sandbox."""
    item = host.l.items()[one]
    assert item["disk"] != item["archived"], item
    assert not list((host.data / "objects").glob("*/*.part"))
    return item


def test_kill_at_any_moment_loses_nothing(own_host):
    host = own_host
    one = host.l.create(layers=host.layers)
    fill(host, one)
    big(host, one, 20)
    host.l.expect(STOP, one)
    files = tree(host, one)
    done = {ARCHIVE: 0, RESTORE: 0}
    longest = {ARCHIVE: 0.05, RESTORE: 0.05}  # found out as it goes: about every second one gets to its end
    for _ in range(300):
        op = ARCHIVE if settle(host, one)["disk"] else RESTORE
        host.l.send(op, one)
        time.sleep(random.uniform(0, longest[op]))
        host.l.kill()
        host.l.start()
        got_there = settle(host, one)["archived" if op == ARCHIVE else "disk"]
        done[op] += got_there
        longest[op] *= 0.8 if got_there else 1.2
        if min(done.values()) >= 6:
            break
    if settle(host, one)["archived"]:
        host.l.expect(RESTORE, one)
    assert tree(host, one) == files
    assert min(done.values()) > 0, done


# --- backups ---

def test_a_backup_of_what_runs(host, box):
    fill(host, box)
    host.l.shell(box, TICK)
    host.l.expect(BACKUP, box)
    assert objects(host) == [f"backups/{uuid.UUID(bytes=box)}"]
    then = ticks(host, box)
    wait_for(lambda: ticks(host, box) > then)  # it was held for a moment only
    host.l.shell(box, "echo later > /root/later; rm /root/random")
    host.l.expect(RESTORE, box, EXISTS)
    # The disk is lost; what comes back is the moment of the backup.
    host.l.expect(STOP, box)
    subprocess.run(["rm", "-r", host.l.folder(box)], check=True)
    host.l.expect(RESTORE, box)
    assert objects(host) == [f"backups/{uuid.UUID(bytes=box)}"]
    start(host, box)
    status, out = host.l.shell(box, "ls /root/later; wc -c < /root/random; cat /root/tick | wc -l")
    assert "No such file" in out and str(40 * 65536) in out
    host.l.destroy(box)
    assert objects(host) == []


def test_an_archive_replaces_the_backup(host, box):
    host.l.expect(BACKUP, box)
    host.l.expect(STOP, box)
    host.l.expect(ARCHIVE, box)
    assert objects(host) == [f"archives/{uuid.UUID(bytes=box)}"]


def test_a_backup_gives_way(host, box):
    big(host, box)
    for change in (lambda: host.l.expect(STOP, box), lambda: start(host, box)):
        seq = host.l.send(BACKUP, box)
        wait_for(lambda: being_copied(host) or host.l.has_come(seq))
        change()
        assert host.l.answer(seq).result in (OK, CANCELLED)
        assert not [o for o in objects(host) if o.endswith(".part")]
    assert host.l.shell(box, "echo fine") == (0, "fine\n")
    host.l.expect(BACKUP, box)


def test_a_held_one_goes_on_without_its_launcher(host, box):
    big(host, box)
    host.l.shell(box, TICK)
    seq = host.l.send(BACKUP, box)
    wait_for(lambda: being_copied(host) or host.l.has_come(seq))
    host.l.kill()
    host.l.start()
    then = ticks(host, box)
    wait_for(lambda: ticks(host, box) > then)
    assert not host.l.items()[box]["paused"]


# --- fork ---

def fork(host, parent, expect=OK, **fields):
    child = uuid.uuid4().bytes
    a = host.l.call(FORK, child, [config(b'{"id":"child"}')], other=parent,
                    body=spec(layers=host.layers, hostname=b"child", **fields))
    assert a.result == expect, a
    return child


def test_fork_of_what_runs(host, box):
    before = fill(host, box)
    host.l.shell(box, TICK)
    child = fork(host, box)
    then = ticks(host, box)
    wait_for(lambda: ticks(host, box) > then)
    strip = [line for line in look(host, child).splitlines() if "tick" not in line]
    assert strip == [line for line in before.splitlines() if "tick" not in line]
    assert host.l.shell(child, "hostname") == (0, "child\n")
    assert host.l.run(child, "G") == '{"id":"child"}'
    host.l.shell(child, "echo mine > /root/mine; rm /root/random")
    assert host.l.shell(box, "ls /root/mine")[0] != 0 and host.l.shell(box, "ls /root/random")[0] == 0
    host.l.destroy(box)
    host.l.expect(STOP, child)
    start(host, child)
    assert host.l.shell(child, "cat /root/mine") == (0, "mine\n")
    host.l.destroy(child)


def test_fork_of_what_is_stopped_or_paused(host, box):
    before = fill(host, box)
    host.l.expect(PAUSE, box)
    child = fork(host, box)
    assert look(host, child) == before
    assert host.l.items()[box]["paused"]
    host.l.destroy(child)
    host.l.expect(STOP, box)
    child = fork(host, box)
    assert look(host, child) == before
    host.l.destroy(child)
    start(host, box)
    assert look(host, box) == before


def test_fork_fails(host, box):
    fork(host, uuid.uuid4().bytes, NOT_FOUND)
    big(host, box)
    child = uuid.uuid4().bytes

    def results(meanwhile, again):
        """Of forks that `meanwhile` ends, unless they are made before, which is tried again."""
        for _ in range(20):
            seq = host.l.send(FORK, child, [config()], other=box, body=spec(layers=host.layers))
            wait_for(lambda: being_copied(host) or host.l.has_come(seq))
            meanwhile()
            result = host.l.answer(seq).result
            host.l.call(DESTROY, child)
            wait_for(lambda: child not in host.l.items())
            if result != OK:
                return result
            again()
        return OK
    assert results(lambda: host.l.expect(STOP, box), lambda: start(host, box)) == CANCELLED
    assert results(lambda: host.l.expect(DESTROY, child), lambda: None) == NOT_FOUND
    wait_for(lambda: not being_copied(host))
    start(host, box)


def test_many_forks_at_once(host, box):
    fill(host, box)
    children = [uuid.uuid4().bytes for _ in range(12)]
    seqs = [host.l.send(FORK, c, [config()], other=box, body=spec(layers=host.layers)) for c in children]
    for seq in seqs:
        assert host.l.answer(seq).result == OK
    for c in children:
        assert host.l.shell(c, "cat /root/plain") == (0, "text\n")
        host.l.destroy(c)
    assert host.l.shell(box, "echo on") == (0, "on\n")


def test_loop_devices_that_nobody_uses_go(own_host):
    """Some time after the last request: each of them slows the start of every shell of the host a little. Others on the
    host may be given one of these for a disk, and keep it."""
    l = own_host.l
    with open("/dev/loop-control") as control:
        taken = os.listdir("/sys/block")
        free = random.sample([n for n in range(900, 1000) if f"loop{n}" not in taken], 4)
        spares = [f"/sys/block/loop{fcntl.ioctl(control, LOOP_CTL_ADD, n)}" for n in free]
        one = l.create(layers=own_host.layers)
        with_loops = (l.folder(one) / "disk.img").exists()
        l.destroy(one)
        if not with_loops:
            for n in free:
                fcntl.ioctl(control, LOOP_CTL_REMOVE, n)

    def over():
        there = [s for s in spares if os.path.exists(s)]
        return len(there) < len(spares) and all(os.path.exists(f"{s}/loop") for s in there)  # used, when it has this
    for _ in range(20):
        end = time.monotonic() + 30
        while not over() and time.monotonic() < end:
            time.sleep(0.1)
        if over():
            return
        l.destroy(l.create(layers=own_host.layers))  # some came back since it looked
    raise AssertionError(f"of {spares} some stay")

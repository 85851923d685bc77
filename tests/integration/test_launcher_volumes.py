"""Volumes at the launcher: real file systems, shared by real sandboxes, and what must not be possible with them."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import time
import uuid

import pytest

from launcher import (BAD_PATH, BUSY, CREATE, DESTROY, EXISTS, FAILED, MIB, NOT_FOUND, OK, START, STOP, VOLUME_CREATE,
                      VOLUME_DELETE, busybox_layer, config, spec, volume, wait_for)
from test_launcher import GUEST, Host, group_pids, loops


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
def make(host):
    """Makes sandboxes with volumes: make((volume, path, subpath)...)."""
    made = []

    def create(*mounts, layers=()):
        made.append(host.l.create(layers=[host.box, *layers], volumes=[volume(*m) for m in mounts]))
        return made[-1]

    yield create
    for one in made:
        if host.l.folder(one).exists():
            host.l.destroy(one)


@pytest.fixture
def vol(host):
    one = host.l.volume()
    yield one
    assert host.l.call(VOLUME_DELETE, one).result in (OK, BUSY)


def ok(host, box, text, user="C"):
    status, out = host.l.shell(box, text, user)
    assert status == 0, out
    return out


def test_sandboxes_share_a_volume(host, make, vol):
    one, two = make((vol, "/data")), make((vol, "/somewhere/else"))
    ok(host, one, "echo from one > /data/a; mkdir /data/d; chmod 777 /data/d")
    assert ok(host, two, "cat /somewhere/else/a") == "from one\n"
    ok(host, two, "echo from two > /somewhere/else/d/b", user="U")
    assert ok(host, one, "cat /data/d/b; stat -c '%u:%g' /data/a /data/d/b /data") == \
        "from two\n0:0\n1000:1000\n0:0\n"
    owners = {int(re.search(r"\n *0 +(\d+) ", "\n" + host.l.run(box, "R/proc/self/uid_map"))[1]) for box in (one, two)}
    assert len(owners) == 2, "each has its own range of the host's ids, and the files have the image's"


def test_a_volume_survives_its_sandboxes(host, make, vol):
    box = make((vol, "/data"))
    ok(host, box, "echo kept > /data/f; chown 1000:100 /data/f; chmod 640 /data/f; dd if=/dev/zero of=/data/big bs=1M count=8")
    host.l.destroy(box)
    wait_for(lambda: not loops(host.data / "volumes"))
    box = make((vol, "/data"))
    assert ok(host, box, "cat /data/f; stat -c '%u:%g %a' /data/f; stat -c %s /data/big") == "kept\n1000:100 640\n8388608\n"


def test_stop_and_start_keep_it(host, make, vol):
    box = make((vol, "/data"))
    ok(host, box, "echo x > /data/f; echo y > /own")
    assert host.l.call(STOP, box, grace=5000).result == OK
    host.l.create(box, op=START, layers=[host.box], volumes=[volume(vol, "/data")])
    assert ok(host, box, "cat /data/f /own") == "x\ny\n"


def test_flags_and_what_mountinfo_tells(host, make, vol):
    box = make((vol, "/data"))
    info = host.l.run(box, "R/proc/self/mountinfo")
    line = next(l for l in info.splitlines() if " /data " in l)
    assert {"rw", "nosuid", "nodev", "noatime"} <= set(line.split()[5].split(",")), line
    assert "shared:" not in line and "master:" not in line
    assert str(host.data) not in info and str(uuid.UUID(bytes=vol)) not in info


@pytest.mark.parametrize("user", ["C", "U"])
def test_nothing_can_be_mounted_or_remounted(host, make, vol, user):
    box = make((vol, "/data"))
    for command in ("mount -o remount,suid,dev /data", "mount -o remount,ro /data", "umount /data", "umount -l /data",
                    "mkdir -p /data/m && mount -t tmpfs none /data/m", "mount -o bind /data /mnt",
                    "mknod /data/null c 1 3", "mknod /data/disk b 7 0", "chroot /data /bin/true",
                    "rmdir /data", "mv /data /other"):
        status, out = host.l.shell(box, command, user)
        assert status != 0, (command, out)
    assert ok(host, box, "touch /data/still; ls /data").count("still") == 1


def test_set_user_id_files_do_not_work(host, make, vol):
    layer = host.l.layer(lambda p: shutil.copy(GUEST, p / "guest"))
    box = make((vol, "/data"), layers=[layer])
    ok(host, box, "cp /guest /data/guest; cp /guest /suid; chmod 4755 /data/guest /suid")
    assert ok(host, box, "/suid euid; /data/guest euid", user="U") == "0\n1000\n"


def test_device_nodes_do_not_work(host, make, vol):
    """Not even one that the host's root put there."""
    box = make((vol, "/data"))
    status, out = host.l.shell(box, "mknod /data/zero c 1 5")
    assert status != 0 and "not permitted" in out.lower()


HOSTILE = {
    "a link to the root": lambda p: (p / "data").symlink_to("/"),
    "a link to proc": lambda p: (p / "data").symlink_to("/proc"),
    "a link into proc": lambda p: (p / "data").symlink_to("/proc/self/root"),
    "a link to the parent": lambda p: (p / "data").symlink_to("../../../.."),
    "a link to nowhere": lambda p: (p / "data").symlink_to("/not/there"),
    "a link to itself": lambda p: (p / "data").symlink_to("data"),
    "a file": lambda p: (p / "data").write_text("x"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("path", ["/data", "/data/deeper/still"])
def test_a_hostile_image_leads_nowhere(host, vol, what, path):
    layer = host.l.layer(HOSTILE[what])
    one = uuid.uuid4().bytes
    a = host.l.call(CREATE, one, [config()], body=spec(layers=[host.box, layer], volumes=[volume(vol, path)]))
    assert a.result == BAD_PATH and ": data is a link or a file" in a.text, a
    assert not host.l.folder(one).exists()


def test_a_path_through_a_file_deeper_down(host, vol):
    layer = host.l.layer(lambda p: ((p / "a" / "b").mkdir(parents=True), (p / "a" / "b" / "c").symlink_to("/etc")))
    one = uuid.uuid4().bytes
    a = host.l.call(CREATE, one, [config()], body=spec(layers=[host.box, layer], volumes=[volume(vol, "/a/b/c/d")]))
    assert a.result == BAD_PATH and "a/b/c is a link" in a.text, a


def test_what_was_there_is_covered(host, make, vol):
    layer = host.l.layer(lambda p: ((p / "data").mkdir(), (p / "data" / "of-the-image").write_text("x")))
    box = make((vol, "/data"), layers=[layer])
    assert ok(host, box, "ls -A /data") == ""


def test_a_root_that_changed_meanwhile(host, make, vol):
    """While it runs a sandbox may move the folder above; a link in its place ends the next start, and nothing else."""
    box = make((vol, "/a/b/data"))
    ok(host, box, "mv /a /c; ln -s /proc /a; echo x > /c/b/data/f")
    assert host.l.call(STOP, box, grace=5000).result == OK
    a = host.l.call(START, box, [config()], body=spec(layers=[host.box], volumes=[volume(vol, "/a/b/data")]))
    assert a.result == BAD_PATH, a
    wait_for(lambda: host.l.call(START, box, [config()], body=spec(layers=[host.box], volumes=[volume(vol, "/c/b/data")])).result == OK)
    assert ok(host, box, "cat /c/b/data/f") == "x\n"


def test_subpaths(host, make, vol):
    whole = make((vol, "/data"))
    alice, bob = make((vol, "/mine", "users/alice")), make((vol, "/mine", "users/bob"))
    ok(host, alice, "echo a > /mine/f", user="U")
    ok(host, bob, "echo b > /mine/f", user="U")
    assert ok(host, whole, "cat /data/users/alice/f /data/users/bob/f") == "a\nb\n"
    assert "users" not in ok(host, alice, "ls -a /mine/.. /mine")
    assert host.l.shell(alice, "ls /mine/../bob || cat /mine/../users/bob/f")[0] != 0


@pytest.mark.parametrize("target", ["/", "..", "../..", "/proc/1/root", "/etc", "secret", "missing"])
def test_a_link_that_another_sandbox_put_in_a_subpath(host, make, vol, target):
    bad = make((vol, "/data"))
    ok(host, bad, f"mkdir -p /data/secret /data/a; ln -s {target} /data/link; ln -s {target} /data/a/link; touch /data/file")
    for subpath in ("link", "a/link", "link/deeper", "a/link/etc", "file", "file/x"):
        one = uuid.uuid4().bytes
        a = host.l.call(CREATE, one, [config()], body=spec(layers=[host.box], volumes=[volume(vol, "/data", subpath)]))
        assert a.result == BAD_PATH and "link or a file" in a.text, (subpath, a)
        assert not host.l.folder(one).exists()
    # what must be made is made in the volume, beside a link that is not followed
    assert ok(host, make((vol, "/data", "a/new")), "ls -A /data") == ""
    assert ok(host, bad, "ls /data/a | sort") == "link\nnew\n"


def test_a_link_that_appears_just_now(host, make, vol):
    """Another sandbox exchanges a folder and a link as fast as it can while subpaths are opened."""
    bad = make((vol, "/data"))
    ok(host, bad, "mkdir /data/sub /data/sub/in; (while :; do mv /data/sub /data/x; ln -s /etc /data/sub; rm /data/sub; "
                  "mv /data/x /data/sub; done) >/dev/null 2>&1 &")
    results = set()
    for _ in range(40):
        one = uuid.uuid4().bytes
        a = host.l.call(CREATE, one, [config()], body=spec(layers=[host.box], volumes=[volume(vol, "/data", "sub/in")]))
        results.add(a.result)
        if a.result == OK:
            assert "passwd" not in ok(host, one, "ls -A /data")
            host.l.destroy(one)
    assert results <= {OK, BAD_PATH}, results


def test_one_inside_another(host, make, vol):
    inner = host.l.volume()
    box = make((vol, "/data"), (inner, "/data/in/side"))
    ok(host, box, "echo outer > /data/f; echo inner > /data/in/side/f")
    assert ok(host, make((inner, "/x"), (vol, "/y")), "cat /x/f /y/f; ls -A /y/in/side") == "inner\nouter\n"
    host.l.destroy(box)


def test_the_same_twice_and_eight_at_once(host, make, vol):
    box = make(*[(vol, f"/v{i}", f"s{i}" if i else "") for i in range(8)])
    ok(host, box, "for i in 1 2 3 4 5 6 7; do echo $i > /v$i/f; done")
    assert ok(host, box, "cat /v0/s*/f") == "1\n2\n3\n4\n5\n6\n7\n"


def test_bytes_and_files_are_limited(host, make, vol):
    box, other = make((vol, "/data")), make((vol, "/data"))
    status, out = host.l.shell(box, "dd if=/dev/zero of=/data/big bs=1M count=200")
    assert status != 0 and "No space left" in out
    assert int(ok(host, box, "stat -c %s /data/big")) < 64 * MIB
    assert host.l.shell(other, "dd if=/dev/zero of=/data/more bs=1M count=2")[0] != 0
    ok(host, other, "echo own disk > /f; rm /data/big /data/more")
    status, out = host.l.shell(box, "mkdir /data/many; cd /data/many; i=0; while echo > $i; do i=$((i+1)); done 2>/dev/null; ls | wc -l")
    assert 1000 < int(out.split()[-1]) <= 4096, out[-200:]
    one = uuid.uuid4().bytes
    a = host.l.call(CREATE, one, [config()], body=spec(layers=[host.box], volumes=[volume(vol, "/data", "new")]))
    assert a.result == BAD_PATH and "No space left" in a.text, a
    ok(host, box, "rm -rf /data/many; echo fits > /data/f")


def test_create_and_delete(host, make):
    one = host.l.volume()
    assert host.l.call(VOLUME_CREATE, one, size=64 * MIB).result == EXISTS
    box = make((one, "/data"))
    a = host.l.call(VOLUME_DELETE, one)
    assert a.result == BUSY and "uses the volume" in a.text
    host.l.destroy(box)
    assert host.l.call(VOLUME_DELETE, one).result == OK
    assert host.l.call(VOLUME_DELETE, one).result == NOT_FOUND
    a = host.l.call(CREATE, uuid.uuid4().bytes, [config()], body=spec(volumes=[volume(one, "/data")]))
    assert a.result == FAILED and "volumes/" in a.text, a
    wait_for(lambda: not list((host.data / "pool").glob("*/new")) and not (host.data / "volumes" / str(uuid.UUID(bytes=one))).exists())


def test_destroyed_while_it_waits_for_a_volume(host, vol):
    for _ in range(10):
        one = uuid.uuid4().bytes
        create = host.l.send(CREATE, one, [config()], body=spec(layers=[host.box], volumes=[volume(vol, "/data"), volume(vol, "/x", "y")]))
        destroy = host.l.send(DESTROY, one)
        assert host.l.answer(create).result in (OK, NOT_FOUND)
        assert host.l.answer(destroy).result in (OK, NOT_FOUND)


def test_a_killed_launcher_loses_nothing(own_host):
    l = own_host.l
    vol = l.volume()
    old = l.create(layers=[own_host.box], volumes=[volume(vol, "/data")])
    assert l.shell(old, "echo before > /data/f; (while sleep 0.05; do date +%s%N > /data/beat; done) >/dev/null 2>&1 &")[0] == 0
    l.kill()
    assert l.shell(old, "echo meanwhile >> /data/f")[0] == 0
    l.start()
    assert l.call(VOLUME_DELETE, vol).result == BUSY, "the new launcher knows who uses it"
    new = l.create(layers=[own_host.box], volumes=[volume(vol, "/data")])
    assert l.shell(new, "cat /data/f") == (0, "before\nmeanwhile\n")
    first = l.shell(new, "cat /data/beat")
    wait_for(lambda: l.shell(new, "cat /data/beat") != first)
    assert len(loops(own_host.data / "volumes")) == 1, "both have the one mount"
    l.destroy(old)
    l.destroy(new)
    wait_for(lambda: not loops(own_host.data / "volumes"))
    assert l.call(VOLUME_DELETE, vol).result == OK


@pytest.mark.parametrize("after_ms", [0, 1, 3, 8, 20, 60])
def test_killed_while_it_mounts(own_host, after_ms):
    l = own_host.l
    vols = [l.volume() for _ in range(3)]
    keeper = l.create(layers=[own_host.box], volumes=[volume(vols[0], "/data")])
    assert l.shell(keeper, "echo kept > /data/f")[0] == 0
    ids = [uuid.uuid4().bytes for _ in range(4)]
    for one in ids:
        l.send(CREATE, one, [config()], body=spec(layers=[own_host.box], volumes=[volume(v, f"/v{i}", "a") for i, v in enumerate(vols)]))
    half = uuid.uuid4().bytes
    l.send(VOLUME_CREATE, half, size=72 * MIB)
    time.sleep(after_ms / 1000)  # the point at which it dies is what the test varies
    l.kill()
    l.start()
    assert l.shell(keeper, "cat /data/f") == (0, "kept\n")
    for one in ids:
        assert l.call(DESTROY, one).result in (OK, NOT_FOUND)
    assert l.call(VOLUME_CREATE, half, size=72 * MIB).result in (OK, EXISTS)
    again = l.create(layers=[own_host.box], volumes=[volume(v, f"/v{i}") for i, v in enumerate([*vols, half])])
    assert l.shell(again, "cat /v0/f; for i in 0 1 2 3; do echo x > /v$i/g || exit 1; done") == (0, "kept\n")


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return b""


def workers(l):
    children = pathlib.Path(f"/proc/{l.process.pid}/task/{l.process.pid}/children").read_text().split()
    return [int(p) for p in children if b"--worker" in command_line(p)]


def test_killed_helpers_are_replaced(own_host):
    l = own_host.l
    vol = l.volume()
    for _ in range(5):
        sent = [l.send(CREATE, uuid.uuid4().bytes, [config()], body=spec(layers=[own_host.box], volumes=[volume(vol, "/data")]))
                for _ in range(3)]
        sent.append(l.send(VOLUME_CREATE, uuid.uuid4().bytes, size=64 * MIB))
        for pid in workers(l):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for seq in sent:
            assert l.answer(seq).result in (OK, BUSY)
        for one in l.list():
            l.destroy(one)
    one = l.create(layers=[own_host.box], volumes=[volume(vol, "/data")])
    assert l.shell(one, "echo x > /data/f; cat /data/f") == (0, "x\n")


def test_many_cycles_leave_nothing(own_host):
    l = own_host.l
    vol = l.volume()
    for i in range(60):
        one = l.create(layers=[own_host.box], volumes=[volume(vol, "/data")])
        if i % 3 == 0:
            assert l.shell(one, "date > /data/f")[0] == 0
        l.destroy(one)
    assert len(os.listdir(f"/proc/{l.process.pid}/fd")) < 150
    wait_for(lambda: not loops(own_host.data / "volumes"))
    for pid in workers(l):
        with contextlib.suppress(OSError):  # ended meanwhile
            assert len(os.listdir(f"/proc/{pid}/fd")) < 30
    everybody = {l.process.pid, *workers(l), *group_pids(own_host.instance)}  # with the processes that wait to become sandboxes
    assert len(everybody) > 5
    for pid in everybody:
        try:
            mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:
            continue  # ended meanwhile
        assert "/run/daytona/volume" not in mounts

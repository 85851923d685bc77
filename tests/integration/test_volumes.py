"""Volumes through the REST API of a real daytona-runnerd, mounted in real sandboxes."""
import concurrent.futures
import os
import pathlib
import signal
import sqlite3
import tarfile
import threading
import time
import uuid

import host
import pytest
from test_api import delete, end, execute, make, rootfs, wait_state

GIB = 1 << 30
KEYS = {"id", "name", "organizationId", "state", "createdAt", "updatedAt", "lastUsedAt", "errorReason"}


@pytest.fixture(scope="module")
def api(rootfs):
    b = make(rootfs, "--volume-size", "1")
    try:
        yield b.start()
    finally:
        finish(b)


@pytest.fixture
def own(rootfs):
    """One that a test may kill."""
    b = make(rootfs, "--volume-size", "1", "--volume-quota", "3")
    try:
        yield b.start()
    finally:
        finish(b)


def finish(b):
    """With the sandboxes, their volumes."""
    try:
        if b.process is None or b.process.poll() is not None:
            b.start()
        for box in b.request("GET", "/sandbox?limit=200")[1]["items"]:
            delete(b, box["id"])
        for one in b.request("GET", "/volumes")[1]:
            assert b.request("DELETE", f"/volumes/{one['id']}") == (200, None), one
        assert list((b.data / "volumes").iterdir()) == []
    finally:
        end(b)


def new(api, name=None):
    status, made = api.request("POST", "/volumes", {"name": name if name is not None else f"v-{uuid.uuid4()}"})
    assert status == 200, made
    return made["id"]


@pytest.fixture
def vol(api):
    yield new(api)


@pytest.fixture
def box(api):
    """Makes sandboxes: box((volume, path, subpath)...)."""
    made = []

    def create(*mounts, **body):
        volumes = [dict(zip(("volumeId", "mountPath", "subpath"), m)) for m in mounts]
        status, one = api.request("POST", "/sandbox", {"volumes": volumes, **body})
        assert status == 200, one
        made.append(one["id"])
        return one["id"]

    yield create
    for one in made:
        delete(api, one)


def sh(api, box, command):
    out = execute(api, box, command)
    assert out["exitCode"] == 0, (command, out)
    return out["result"]


def refused(api, body):
    status, e = api.request("POST", "/sandbox", body)
    assert status >= 400, e
    return status, e["message"]


# --- the resource ---

def test_a_volume_is_made(api):
    status, made = api.request("POST", "/volumes", {"name": "first one"})
    assert status == 200 and set(made) == KEYS
    assert (made["name"], made["state"], made["lastUsedAt"], made["errorReason"]) == ("first one", "pending_create", None, None)
    assert uuid.UUID(made["id"]).version == 4 and uuid.UUID(made["organizationId"])
    # it is ready by the time that is answered: the next request may use it
    status, now = api.request("GET", f"/volumes/{made['id']}")
    assert (status, now["state"]) == (200, "ready") and set(now) == KEYS
    assert api.request("GET", "/volumes/by-name/first%20one") == (200, now)
    assert now in api.request("GET", "/volumes")[1]
    status, e = api.request("POST", "/volumes", {"name": "first one"})
    assert (status, e["message"]) == (400, "Volume with name first one already exists")


def test_an_empty_name_is_the_id(api):
    status, made = api.request("POST", "/volumes", {"name": ""})
    assert status == 200 and made["name"] == made["id"]


@pytest.mark.parametrize("body, message", [
    ({}, "name is required"), ({"name": None}, "name is required"), ({"name": 7}, "name must be a string"),
    ({"name": "a\nb"}, "name must not contain"), ({"name": "a\0b"}, "NUL"), ({"name": "<b>x"}, "name must not contain"),
    ({"name": "  "}, "name should not be empty"), ({"name": "x" * 256}, "name must be at most 255 bytes")])
def test_bad_names(api, body, message):
    status, e = api.request("POST", "/volumes", body)
    assert status == 400 and message in e["message"], e


def test_what_is_not_there(api):
    missing = str(uuid.uuid4())
    for path, message in ((f"/volumes/{missing}", f"Volume with ID {missing} not found"),
                          ("/volumes/by-name/no-such", "Volume with name no-such not found"),
                          (f"/volumes/by-name/{missing}", f"Volume with name {missing} not found"),
                          ("/volumes/..%2f..%2fetc", "Volume with ID ../../etc not found")):
        status, e = api.request("GET", path)
        assert (status, e["statusCode"], e["message"]) == (404, 404, message)
    for one in (missing, "no-such", "..%2f.."):
        status, e = api.request("DELETE", f"/volumes/{one}")
        assert status == 404 and e["message"].startswith("Volume with ID "), e
    status, e = api.request("GET", f"/volumes/{missing}", key="dtn_" + "0" * 64)
    assert status == 401


def test_deletion(api):
    one = new(api, "to go")
    assert api.request("DELETE", f"/volumes/{one}") == (200, None)
    assert api.request("GET", f"/volumes/{one}")[0] == 404
    assert api.request("GET", "/volumes/by-name/to%20go")[0] == 404
    assert one not in [v["id"] for v in api.request("GET", "/volumes")[1]]
    gone = [v for v in api.request("GET", "/volumes?includeDeleted=true")[1] if v["id"] == one]
    assert [(v["state"], v["name"]) for v in gone] == [("deleted", "to go-deleted")]
    assert not (api.data / "volumes" / one).exists()
    assert api.request("DELETE", f"/volumes/{one}")[0] == 404
    again = new(api, "to go")  # its name is free
    assert api.request("DELETE", f"/volumes/{again}") == (200, None)
    status, e = api.request("GET", "/volumes?includeDeleted=perhaps")
    assert status == 400 and "includeDeleted must be a boolean" in e["message"]


def test_the_last_used_come_first(api, box):
    never, used, newer = new(api), new(api), new(api)
    assert box((used, "/v"))
    order = [v["id"] for v in api.request("GET", "/volumes")[1]]
    assert order.index(used) < order.index(newer) < order.index(never)
    first = api.request("GET", f"/volumes/{used}")[1]["lastUsedAt"]
    assert first is not None
    time.sleep(0.01)
    box((used, "/v"))
    assert api.request("GET", f"/volumes/{used}")[1]["lastUsedAt"] > first


def test_quota(own):
    ids = [new(own) for _ in range(3)]
    status, e = own.request("POST", "/volumes", {"name": "one more"})
    assert (status, e["message"]) == (403, "Volume quota exceeded. Maximum allowed: 3")
    own.request("DELETE", f"/volumes/{ids[0]}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda i: own.request("POST", "/volumes", {"name": f"n{i}"})[0], range(16)))
    assert sorted(done) == [200] + [403] * 15


def test_one_name_many_at_once(api):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: api.request("POST", "/volumes", {"name": "contended"})[0], range(16)))
    assert sorted(done) == [200] + [400] * 15


# --- in a sandbox ---

def test_create_with_volumes(api, box, vol):
    name = api.request("GET", f"/volumes/{vol}")[1]["name"]
    one = box((vol, "/by/id"), (name, "//by-name/", "some/where"))
    shown = api.request("GET", f"/sandbox/{one}")[1]["volumes"]
    assert shown == [{"volumeId": vol, "mountPath": "/by/id"},
                     {"volumeId": vol, "mountPath": "//by-name/", "subpath": "some/where"}]
    listed = {b["id"]: b["volumes"] for b in api.request("GET", "/sandbox/paginated")[1]["items"]}
    assert listed[one] == shown
    sh(api, one, "echo hi > /by-name/f")
    assert sh(api, one, "cat /by/id/some/where/f") == "hi\n"


def test_shared_and_kept(api, box, vol):
    one, two = box((vol, "/a")), box((vol, "/b/c"))
    sh(api, one, "echo from one > /a/f")
    assert sh(api, two, "cat /b/c/f; echo from two > /b/c/g") == "from one\n"
    assert sh(api, one, "cat /a/g") == "from two\n"
    delete(api, one)
    delete(api, two)
    assert sh(api, box((vol, "/x")), "cat /x/f /x/g") == "from one\nfrom two\n"


def test_users_and_ids(api, box, vol):
    root, alice = box((vol, "/v"), user="root"), box((vol, "/v"), user="alice")
    sh(api, alice, "echo hers > /v/hers")
    sh(api, root, "echo his > /v/his; chmod 600 /v/his; chown 1000:100 /v/f 2>/dev/null; true")
    listing = "ls -ln /v | grep -v total | while read m l u g s r; do echo $u $g $m; done"
    assert sh(api, alice, listing) == sh(api, root, listing) == "1000 100 -rw-r--r--\n0 0 -rw-------\n"
    assert execute(api, alice, "cat /v/his")["exitCode"] != 0
    assert sh(api, root, "cat /v/hers") == "hers\n"


def test_stop_and_start(api, box, vol):
    one = box((vol, "/v", "deep/er"))
    sh(api, one, "echo x > /v/f")
    before = api.request("GET", f"/volumes/{vol}")[1]["lastUsedAt"]
    assert api.request("POST", f"/sandbox/{one}/stop")[0] == 200
    wait_state(api, one, "stopped")
    status, e = api.request("DELETE", f"/volumes/{vol}")
    assert status == 409, "also a stopped sandbox has it"
    status, started = api.request("POST", f"/sandbox/{one}/start")
    assert status == 200, started
    assert sh(api, one, "cat /v/f") == "x\n"
    assert api.request("GET", f"/volumes/{vol}")[1]["lastUsedAt"] > before


def test_archive_pause_and_fork(api, box, vol):
    """Volumes are no part of what is archived or copied: a sandbox that comes back, or is forked, has the same ones."""
    one = box((vol, "/v"), name="elder")
    sh(api, one, "echo kept there > /v/f; echo own > /own")
    for verb, state in (("pause", "paused"), ("start", "started")):
        assert api.request("POST", f"/sandbox/{one}/{verb}")[0] == 200
        wait_state(api, one, state)
    assert sh(api, one, "cat /v/f") == "kept there\n"
    before = api.request("GET", f"/volumes/{vol}")[1]["lastUsedAt"]
    status, child = api.request("POST", f"/sandbox/{one}/fork", {"name": "younger"})
    assert api.request("GET", f"/volumes/{vol}")[1]["lastUsedAt"] > before
    assert status == 200 and child["volumes"] == [{"volumeId": vol, "mountPath": "/v"}], child
    assert sh(api, child["id"], "cat /own /v/f; echo of the child >> /v/f; echo mine > /own") == "own\nkept there\n"
    assert sh(api, one, "cat /own /v/f") == "own\nkept there\nof the child\n"
    delete(api, child["id"])
    for verb, state in (("stop", "stopped"), ("archive", "archived")):
        assert api.request("POST", f"/sandbox/{one}/{verb}")[0] == 200
        wait_state(api, one, state)
    status, e = api.request("DELETE", f"/volumes/{vol}")
    assert status == 409 and "(e.g. elder)" in e["message"], "an archived sandbox has it, too"
    other = box((vol, "/v"))
    sh(api, other, "echo meanwhile >> /v/f")
    status, e = api.request("POST", f"/sandbox/{one}/start")
    assert status == 200, e
    wait_state(api, one, "started")
    assert sh(api, one, "cat /own /v/f") == "own\nkept there\nof the child\nmeanwhile\n"


def test_in_use(api, box, vol):
    one = box((vol, "/v"), name="the user of it")
    status, e = api.request("DELETE", f"/volumes/{vol}")
    assert (status, e["message"]) == (409, "Volume cannot be deleted because it is in use by one or more sandboxes "
                                           "(e.g. the user of it)")
    assert api.request("GET", f"/volumes/{vol}")[1]["state"] == "ready"
    delete(api, one)
    assert api.request("DELETE", f"/volumes/{vol}") == (200, None)
    assert refused(api, {"volumes": [{"volumeId": vol, "mountPath": "/v"}]}) == (404, f"Volume '{vol}' not found")


def test_which_volumes(api, vol):
    mount = lambda v, path="/v", **more: {"volumes": [{"volumeId": v, "mountPath": path, **more}]}
    assert refused(api, mount("no-such")) == (404, "Volume 'no-such' not found")
    assert refused(api, {"volumes": [{"mountPath": "/v"}]}) == (400, "volumes.0.volumeId is required")
    assert refused(api, {"volumes": [{"volumeId": vol}]}) == (400, "volumes.0.mountPath is required")
    assert refused(api, mount(vol, 7)) == (400, "volumes.0.mountPath must be a string")
    assert refused(api, mount(vol, "/a\0b"))[0] == 400
    assert refused(api, {"volumes": [{"volumeId": vol, "mountPath": f"/v{i}"} for i in range(9)]})[0] == 400
    status, message = refused(api, {"volumes": [{"volumeId": vol, "mountPath": "etc"}, {"volumeId": vol, "mountPath": "/proc/1"},
                                                {"volumeId": vol, "mountPath": "/ok", "subpath": "../x"}]})
    assert (status, message) == (400, "Invalid mount path etc (must be absolute), "
                                      "Invalid mount path /proc/1 (must not be in a system directory), "
                                      "Invalid subpath ../x (must not contain relative path components)")
    assert refused(api, mount(vol, "/v", subpath="/abs"))[0] == 400


def test_a_volume_that_is_not_ready(api, vol):
    store = sqlite3.connect(api.data / "state" / "daytona.db", timeout=10)
    for state in ("creating", "pending_delete", "deleting", "error"):
        store.execute("UPDATE volume SET state = ? WHERE id = ?", (state, vol))
        store.commit()
        assert refused(api, {"volumes": [{"volumeId": vol, "mountPath": "/v"}]}) == \
            (400, f"Volume '{vol}' is not in a ready state. Current state: {state}")
        if state != "error":
            status, e = api.request("DELETE", f"/volumes/{vol}")
            assert (status, e["message"]) == (400, "Volume must be in 'ready' state in order to be deleted")
    assert api.request("DELETE", f"/volumes/{vol}") == (200, None), "one in state error can be deleted"


@pytest.mark.parametrize("path, part", [("/bin-link/v", "bin-link"), ("/www/index.html", "www/index.html"), ("/www/index.html/v", "www/index.html")])
def test_a_path_that_leads_through_a_link_or_a_file(api, box, vol, path, part):
    keep = box((vol, "/v"))
    status, message = refused(api, {"volumes": [{"volumeId": vol, "mountPath": path}], "snapshot": "linked"})
    assert status == 400 and f"Sandbox failed to start: a volume cannot be mounted there: mount path {path}: {part} is a link or a file" in message
    assert [b["id"] for b in api.request("GET", "/sandbox")[1]["items"]] == [keep], "nothing is left of it"
    assert host.leftovers(api.instance, api.data).get("sandboxes") == [keep]


@pytest.fixture(scope="module", autouse=True)
def linked(api, rootfs, tmp_path_factory):
    """The snapshot with a link in it."""
    root = tmp_path_factory.mktemp("linked")
    with tarfile.open(rootfs) as tar:
        tar.extractall(root)
    (root / "bin-link").symlink_to("/proc/1/root")
    file = tmp_path_factory.mktemp("tar") / "linked.tar"
    with tarfile.open(file, "w") as tar:
        for path in sorted(root.iterdir()):
            tar.add(path, path.name, filter=lambda m: m.replace(uid=0, gid=0, uname="", gname="", deep=False))
    api.import_snapshot("linked", file)


def test_a_link_in_a_subpath(api, box, vol):
    bad = box((vol, "/v"))
    sh(api, bad, "busybox ln -s / /v/root; busybox ln -s ../.. /v/up; mkdir /v/ok")
    for subpath in ("root", "root/etc", "up", "ok/../root"):
        status, message = refused(api, {"volumes": [{"volumeId": vol, "mountPath": "/v", "subpath": subpath}]})
        assert status == 400, message
    assert sh(api, box((vol, "/v", "ok/new")), "ls -a /v") == ".\n..\n"


def test_the_size_is_limited(api, box, vol):
    one, other = box((vol, "/v")), box((vol, "/v"))
    out = execute(api, one, "dd if=/dev/zero of=/v/big bs=1M count=1500 2>&1; true")
    assert "No space left" in out["result"]
    assert "No space left" in sh(api, other, "dd if=/dev/zero of=/v/more bs=1M count=2 2>&1; true")
    sh(api, other, "echo the own disk is another > /f; rm /v/big /v/more; echo fits > /v/f")
    size = sum(f.stat().st_size for f in (api.data / "volumes" / vol).iterdir() if f.name == "disk.img")
    assert size == GIB


# --- what must not be possible, as a user and as root ---

@pytest.mark.parametrize("user", ["alice", "root"])
def test_no_way_out(api, box, vol, user):
    one = box((vol, "/v"), user=user)
    for command in ("busybox mount -o remount,suid,dev,exec /v", "busybox umount /v", "busybox umount -l /v",
                    "busybox mount -t tmpfs x /v", "busybox mount -o bind / /v", "busybox mknod /v/null c 1 3",
                    "busybox mknod /v/loop b 7 0", "busybox rmdir /v", "busybox mv /v /w", "busybox pivot_root /v /v/x"):
        assert execute(api, one, command)["exitCode"] != 0, command
    info = sh(api, one, "cat /proc/self/mountinfo")
    line = next(l for l in info.splitlines() if l.split()[4] == "/v")
    assert {"nosuid", "nodev", "rw"} <= set(line.split()[5].split(",")), line
    assert str(api.data) not in info and vol not in info
    assert sh(api, one, "ls -a /v") == ".\n..\n" and "www" in sh(api, one, "ls /v/..").split(), "above it is the sandbox's own root"


def test_nobody_else_sees_it(api, box, vol):
    """Not in a sandbox without it, not below the data directory as runnerd's user or a sandbox's."""
    sh(api, box((vol, "/v")), "echo secret-of-the-volume > /v/f")
    other = box()
    assert " /v " not in sh(api, other, "cat /proc/self/mountinfo")
    assert execute(api, other, "ls /v")["exitCode"] != 0
    folder = (api.data / "volumes").stat()
    assert (folder.st_uid, folder.st_mode & 0o777) == (0, 0o700)


# --- what survives what ---

def launcher_pid(server):
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (p / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"daytona-launcher") and str(server.data).encode() in words and b"--worker" not in words:
                return int(p.name)
        except OSError:
            pass
    raise LookupError("no launcher")


@pytest.mark.parametrize("victim", ["runnerd", "launcher"])
def test_killed_with_volumes_mounted(own, victim):
    vol = new(own, "kept")
    mounted = {"volumes": [{"volumeId": "kept", "mountPath": "/v"}]}
    old = own.request("POST", "/sandbox", mounted)[1]["id"]
    sh(own, old, "echo before > /v/f; (while busybox sleep 0.1; do busybox date > /v/beat; done) >/dev/null 2>&1 &")
    if victim == "runnerd":
        own.stop(signal.SIGKILL)
    else:
        os.kill(launcher_pid(own), signal.SIGKILL)
        own.process.wait(60)
        own.stop()
    own.start()
    assert own.request("GET", "/volumes/by-name/kept")[1]["state"] == "ready"
    assert sh(own, old, "cat /v/f") == "before\n"
    status, new_box = own.request("POST", "/sandbox", mounted)
    assert status == 200, new_box
    assert sh(own, new_box["id"], "until test -s /v/beat; do busybox sleep 0.01; done; echo after >> /v/f") == ""  # it is empty at times
    assert sh(own, old, "cat /v/f") == "before\nafter\n"
    assert own.request("DELETE", f"/volumes/{vol}")[0] == 409
    delete(own, old)
    delete(own, new_box["id"])
    assert own.request("DELETE", f"/volumes/{vol}") == (200, None)


@pytest.mark.parametrize("after_ms", [0, 2, 5, 10, 20, 40])
def test_killed_while_volumes_are_made_and_deleted(own, after_ms):
    keep = new(own, "keep")
    go = new(own, "go")
    answers = {}

    def call(method, path, body, key):
        try:
            answers[key] = own.request(method, path, body)[0]
        except OSError:
            pass

    threads = [threading.Thread(target=call, args=a) for a in (("POST", "/volumes", {"name": "made"}, "made"),
                                                               ("DELETE", f"/volumes/{go}", None, "go"))]
    for t in threads:
        t.start()
    time.sleep(after_ms / 1000)  # the point at which it dies is what the test varies
    own.stop(signal.SIGKILL)
    for t in threads:
        t.join()
    own.start()
    deadline = time.monotonic() + 60
    while True:
        now = {v["name"]: v["state"] for v in own.request("GET", "/volumes")[1]}
        if set(now.values()) == {"ready"}:
            break
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert "keep" in now and ("made" in now or "made" not in answers)
    assert "go" not in now or answers.get("go") is None
    ids = {v["id"] for v in own.request("GET", "/volumes")[1]}
    assert {p.name for p in (own.data / "volumes").iterdir()} == ids and keep in ids
    box = own.request("POST", "/sandbox", {"volumes": [{"volumeId": n, "mountPath": f"/{n}"} for n in now]})[1]
    sh(own, box["id"], " && ".join(f"echo x > /{n}/f" for n in now))


def first_version(file, into):
    """What the first version of the store would have held of what `file` has."""
    migrations = pathlib.Path(__file__).parents[2] / "core" / "db" / "migrations"
    now, old = sqlite3.connect(file), sqlite3.connect(into)
    old.executescript((migrations / "0001_init.sql").read_text() +
                      "CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
                      "INSERT INTO migration VALUES (1, '0001_init');")
    for table in ("organization", "snapshot", "sandbox"):
        columns = ", ".join(row[1] for row in old.execute(f"PRAGMA table_info({table})"))
        for row in now.execute(f"SELECT {columns} FROM {table}"):
            old.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", row)
    old.execute("INSERT INTO user SELECT 'u', id, 'local', created_ms FROM organization")
    old.commit()
    old.close()
    now.close()


def test_a_store_from_before(own):
    """The rows of sandboxes that knew nothing of volumes."""
    box = own.request("POST", "/sandbox", {})[1]["id"]
    own.stop()
    state = own.data / "state"
    first_version(state / "daytona.db", state / "old.db")
    owner = (state / "daytona.db").stat()
    for file in state.glob("daytona.db*"):
        file.unlink()
    (state / "old.db").rename(state / "daytona.db")
    os.chown(state / "daytona.db", owner.st_uid, owner.st_gid)
    own.start()
    assert own.request("GET", f"/sandbox/{box}")[1]["volumes"] == []
    assert sh(own, box, "echo lives") == "lives\n"
    assert own.request("GET", "/volumes") == (200, [])

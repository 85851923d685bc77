"""The life of a sandbox beyond start and stop, over the REST API of a real daytona-runnerd."""
import collections
import concurrent.futures
import datetime
import json
import random
import re
import shutil
import signal
import sqlite3
import tarfile
import time
import urllib.request

import backend
import mcp_pipe
import pytest

from test_api import delete, end, execute, make, rootfs, wait_state  # noqa: F401

FILL = """
mkdir -p /work/deep; cd /work
echo text > plain; echo x > 'odd name'; ln plain hard; ln -s plain soft
dd if=/dev/zero of=sparse bs=1 count=1 seek=3000000 2>/dev/null; dd if=/dev/urandom of=random bs=64k count=16 2>/dev/null
rm /www/index.html; echo changed >> /etc/group; chmod 700 deep
"""
LOOK = "cd /work && ls -lanR . | grep -v total; cat /etc/group; ls -la /www; md5sum plain random sparse hard"
APPLETS = ("chmod", "ln", "md5sum", "grep", "df", "head", "tail", "wc", "date", "hostname", "true", "sync", "tr")


@pytest.fixture(scope="module")
def more(rootfs, tmp_path_factory):  # noqa: F811
    """The image of test_api with more of busybox."""
    file = tmp_path_factory.mktemp("tar") / "more.tar"
    shutil.copy(rootfs, file)
    with tarfile.open(file, "a") as tar:
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return file


@pytest.fixture(scope="module")
def api(more):
    b = make(more)
    try:
        yield b.start()
    finally:
        end(b)


@pytest.fixture
def own(more):
    """One that a test may kill."""
    b = make(more)
    try:
        yield b.start()
    finally:
        end(b)


def create(api, **body):
    status, made = api.request("POST", "/sandbox", body)
    assert status == 200, made
    return made["id"]


@pytest.fixture
def box(api):
    made = create(api)
    yield made
    delete(api, made)


def do(api, box, what, body=None, expect=200):
    status, answer = api.request("POST", f"/sandbox/{box}/{what}", body)
    assert status == expect, answer
    return answer


def get(api, box):
    status, now = api.request("GET", f"/sandbox/{box}")
    assert status == 200, now
    return now


def run(api, box, command):
    out = execute(api, box, f"sh -c {quote(command)}")
    assert out["exitCode"] == 0, out
    return out["result"]


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def fill(api, box):
    run(api, box, FILL)
    return run(api, box, LOOK)


def objects(api):
    return sorted(str(p.relative_to(api.data / "objects")) for p in (api.data / "objects").glob("*/*"))


def archive(api, box):
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    first = do(api, box, "archive")
    assert (first["state"], first["desiredState"]) == ("archiving", "archived")
    return wait_state(api, box, "archived")


# --- archive ---

def test_archive_and_start(api, box):
    before = fill(api, box)
    now = archive(api, box)
    assert now["backupState"] == "Completed" and now["backupCreatedAt"]
    assert not (api.data / "sandboxes" / box).exists() and objects(api) == [f"archives/{box}"]
    first = do(api, box, "start")
    assert (first["state"], first["desiredState"]) == ("restoring", "started")
    now = wait_state(api, box, "started")
    assert now["backupState"] == "None" and "backupCreatedAt" not in now and "errorReason" not in now
    assert run(api, box, LOOK) == before
    assert objects(api) == []
    archive(api, box)
    do(api, box, "start")
    wait_state(api, box, "started")
    assert run(api, box, LOOK) == before


def test_an_archived_one_is_listed_and_deleted(api):
    box = create(api, name="cold", labels={"a": "b"})
    archive(api, box)
    status, page = api.request("GET", "/sandbox?states=archived&limit=10")
    assert status == 200 and [s["id"] for s in page["items"]] == [box]
    assert api.request("GET", "/sandbox/cold")[1]["labels"] == {"a": "b"}
    assert api.request("GET", f"/sandbox/{box}/ports/80/preview-url")[0] in (200, 404)
    status, out = api.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": "true"})
    assert status == 400 and "not running" in out["message"]
    assert api.request("PUT", "/sandbox/cold/labels", {"labels": {"c": "d"}})[1]["labels"] == {"c": "d"}
    delete(api, box)
    assert objects(api) == [] and api.request("GET", "/sandbox/cold")[0] == 404
    delete(api, create(api, name="cold"))


def test_what_cannot_be_archived(api, box):
    assert do(api, box, "archive", expect=400)["message"].startswith("Sandbox is not stopped")
    archive(api, box)
    assert do(api, box, "archive", expect=400)["message"].startswith("Sandbox is not stopped")
    assert do(api, box, "stop", expect=400)["message"].startswith("Sandbox is not started")
    assert "only a started" in do(api, box, "fork", {}, 400)["message"]
    assert "only a started" in do(api, box, "resize", {"cpu": 2}, 400)["message"]
    ephemeral = create(api, autoDeleteInterval=0)
    do(api, ephemeral, "backup", expect=400)["message"] == "Ephemeral sandboxes cannot be backed up"
    do(api, ephemeral, "autodelete/5", expect=201)
    do(api, ephemeral, "stop")
    wait_state(api, ephemeral, "stopped")
    do(api, ephemeral, "autodelete/0", expect=201)
    assert do(api, ephemeral, "archive", expect=400)["message"] == "Ephemeral sandboxes cannot be archived"
    delete(api, ephemeral)


def test_start_comes_before_archiving(api, box):
    run(api, box, "dd if=/dev/urandom of=/big bs=1M count=150 2>/dev/null")
    digest = run(api, box, "md5sum /big")
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    do(api, box, "archive")
    status, e = api.request("POST", f"/sandbox/{box}/archive")
    assert (status == 409 and e["message"].startswith("Sandbox state change in progress (archiving)")) or \
        (status == 400 and get(api, box)["state"] == "archived"), e  # it may be done by then
    assert do(api, box, "start")["state"] in ("started", "restoring")
    wait_state(api, box, "started")
    assert run(api, box, "md5sum /big") == digest
    assert not [o for o in objects(api) if o.endswith(".part")]


def test_a_lost_archive_is_an_error(api, box):
    archive(api, box)
    file = api.data / "objects" / objects(api)[0]
    saved = file.read_bytes()
    file.write_bytes(saved[:200] + bytes(100) + saved[300:])
    do(api, box, "start")
    now = wait_state(api, box, "archived")
    assert "damaged" in now["errorReason"]
    file.unlink()
    do(api, box, "start")
    now = wait_state(api, box, "error")
    assert "gone" in now["errorReason"] and not now["recoverable"]
    assert do(api, box, "recover", expect=400)["message"].startswith("Sandbox is not in a recoverable state")
    assert do(api, box, "start", expect=400)["message"].startswith("Sandbox is not in valid state")


def test_an_agent_starts_an_archived_one(api, box):
    before = fill(api, box)
    archive(api, box)
    with mcp_pipe.Client(api) as client:
        assert client.tool("get_sandbox", id=box)["state"] == "archived"
        assert client.tool("start_sandbox", id=box)["state"] == "started"
        assert client.tool("start_sandbox", id=box)["state"] == "started"
    assert run(api, box, LOOK) == before
    do(api, box, "pause")
    with mcp_pipe.Client(api) as client:
        assert client.tool("start_sandbox", id=box)["state"] == "started"


# --- pause ---

def test_pause_and_start(api, box):
    run(api, box, "(i=0; while true; do i=$((i+1)); echo $i > /tick; done) >/dev/null 2>&1 & true")
    paused = do(api, box, "pause")
    assert (paused["state"], paused["desiredState"]) == ("paused", "paused")
    assert do(api, box, "pause")["state"] == "paused"
    status, out = api.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": "true"})
    assert status == 400 and "not running" in out["message"]
    assert do(api, box, "start")["state"] == "started"
    first = int(run(api, box, "cat /tick") or 0)
    end_by = time.monotonic() + 60
    while int(run(api, box, "cat /tick") or 0) == first:
        assert time.monotonic() < end_by, "it does not go on"


def test_a_paused_one_is_stopped_and_deleted(api):
    box = create(api)
    run(api, box, "echo kept > /kept")
    do(api, box, "pause")
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    do(api, box, "start")
    assert run(api, box, "cat /kept") == "kept\n"
    do(api, box, "pause")
    delete(api, box)
    assert do(api, create(api), "stop")["state"] in ("stopping", "stopped")


def test_pause_survives_a_restart(own):
    box = create(own)
    run(own, box, "echo alive > /alive")
    do(own, box, "pause")
    own.stop(signal.SIGKILL)
    own.start()
    assert get(own, box)["state"] == "paused"
    assert do(own, box, "start")["state"] == "started"
    assert run(own, box, "cat /alive") == "alive\n"


# --- resize ---

def test_resize_while_it_runs(api):
    box = create(api, memory=0.25)
    need = "head -c 500000000 /dev/zero | tail -c 500000000 | wc -c"
    assert run(api, box, need + " || true").strip() != "500000000"
    now = do(api, box, "resize", {"cpu": 2, "memory": 1})
    assert (now["cpu"], now["memory"], now["state"], now["desiredState"]) == (2, 1, "started", "started")
    assert run(api, box, need).strip() == "500000000"
    assert get(api, box)["memory"] == 1
    assert do(api, box, "resize", {"memory": 1})["memory"] == 1  # nothing to do
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    do(api, box, "start")
    assert run(api, box, need).strip() == "500000000"
    delete(api, box)


def test_the_disk_grows_while_it_is_stopped(api, box):
    before = fill(api, box)

    def size():
        return int(run(api, box, "df -m / | tail -n 1 | tr -s ' '").split()[1])

    assert size() < 3200
    assert do(api, box, "resize", {"disk": 5}, 400)["message"] == \
        "The disk can only be resized while the sandbox is stopped: stop it first"
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    assert do(api, box, "resize", {"disk": 2}, 400)["message"].startswith("Disk size can only be increased")
    now = do(api, box, "resize", {"disk": 5, "cpu": 2})
    assert (now["disk"], now["cpu"], now["state"]) == (5, 2, "stopped")
    do(api, box, "start")
    assert size() > 4500 and run(api, box, LOOK) == before


@pytest.mark.parametrize("body, message", [
    ({}, "At least one of cpu, memory and disk must be given"),
    ({"cpu": 0}, "cpu"),
    ({"cpu": 1.5}, "cpu"),
    ({"memory": "2"}, "memory"),
    ({"cpu": 5000}, "CPU request 5000 exceeds maximum allowed per sandbox"),
    ({"disk": 10000}, "Disk request 10000GB exceeds maximum allowed per sandbox"),
])
def test_bad_resizes(api, box, body, message):
    status, answer = api.request("POST", f"/sandbox/{box}/resize", body)
    assert status == 400 and message in answer["message"], answer
    assert get(api, box)["state"] == "started"


# --- fork ---

def test_fork(api):
    box = create(api, env={"A": "b"}, labels={"x": "y"}, name="elder")
    before = fill(api, box)
    child = do(api, box, "fork", {"name": "younger"})
    assert child["state"] == "started" and child["name"] == "younger" and child["id"] != box
    assert (child["env"], child["labels"]) == ({"A": "b"}, {"x": "y"}) and child["toolboxProxyUrl"]
    assert run(api, child["id"], LOOK) == before
    assert run(api, child["id"], "hostname; echo $A").split() == [child["id"], "b"]
    run(api, child["id"], "echo mine > /work/mine")
    assert "mine" not in run(api, box, "ls /work")
    grandchild = do(api, "younger", "fork")["id"]
    assert "mine" in run(api, grandchild, "ls /work")
    ids = lambda path: [s["id"] for s in api.request("GET", f"/sandbox/{path}")[1]]  # noqa: E731
    assert ids(f"{box}/forks") == [child["id"]] and ids(f"{child['id']}/forks") == [grandchild]
    assert api.request("GET", f"/sandbox/{grandchild}/parent")[1]["id"] == child["id"]
    assert ids(f"{grandchild}/ancestors") == [child["id"], box] and ids(f"{box}/ancestors") == []
    assert api.request("GET", f"/sandbox/{box}/parent")[0] == 404
    assert do(api, box, "fork", {"name": "younger"}, 409)["message"] == "Sandbox with name younger already exists"
    delete(api, child["id"])
    assert ids(f"{box}/forks") == [] and ids(f"{box}/forks?includeDestroyed=true") == [child["id"]]
    assert api.request("GET", f"/sandbox/{grandchild}/parent")[0] == 404
    delete(api, box)
    assert "mine" in run(api, grandchild, "ls /work")
    delete(api, grandchild)


def test_fork_of_a_stopped_one(api, box):
    before = fill(api, box)
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    child = do(api, box, "fork", {})["id"]
    assert run(api, child, LOOK) == before
    assert get(api, box)["state"] == "stopped"
    delete(api, child)


# --- quotas ---

@pytest.fixture(scope="module")
def small(more):
    b = make(more, "--total-cpu", "10", "--total-memory", "12", "--total-disk", "40")
    try:
        yield b.start()
    finally:
        end(b)


def all_at_once(calls, workers=100):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda f: f(), calls))


def test_a_hundred_creates_at_once_stay_below_the_quota(small):
    answers = all_at_once([lambda: small.request("POST", "/sandbox", {})] * 100)
    made = [body["id"] for status, body in answers if status == 200]
    refused = collections.Counter(body["message"].split(".")[0] for status, body in answers if status != 200)
    assert len(made) == 10, refused
    assert refused == {"Total CPU limit exceeded": 90}
    assert [status for status, _ in answers if status not in (200, 400)] == []
    assert small.request("POST", "/sandbox", {"cpu": 0.1})[1]["message"].startswith("Total CPU limit exceeded. Maximum allowed: 10.")
    # What is stopped gives cpu and memory back, but not its disk.
    for box in made[:8]:
        do(small, box, "stop")
        wait_state(small, box, "stopped")
    assert small.request("POST", "/sandbox", {"disk": 11})[1]["message"].startswith("Total disk limit exceeded")
    extra = [create(small, disk=1) for _ in range(8)]
    # Many starts at once, too.
    for box in extra[:3]:
        delete(small, box)
    answers = all_at_once([lambda b=b: small.request("POST", f"/sandbox/{b}/start") for b in made[:8]])
    assert sorted(status for status, _ in answers) == [200] * 3 + [400] * 5
    for box in made + extra[3:]:
        delete(small, box)
    whole = create(small, cpu=10, memory=12, disk=40)
    delete(small, whole)


def test_what_is_archived_takes_nothing(small):
    box = create(small, cpu=6, disk=30)
    assert small.request("POST", "/sandbox", {"disk": 20})[1]["message"].startswith("Total disk limit exceeded")
    assert do(small, box, "resize", {"cpu": 11}, 400)["message"].startswith("Total CPU limit exceeded")
    assert do(small, box, "fork", {}, 400)["message"].startswith("Total CPU limit exceeded")
    archive(small, box)
    other = create(small, cpu=6, disk=20)
    assert do(small, box, "start", expect=400)["message"].startswith("Total CPU limit exceeded")
    assert get(small, box)["state"] == "archived"
    delete(small, other)
    do(small, box, "start")
    wait_state(small, box, "started")
    # A pause keeps the memory, and gives the cpu back.
    do(small, box, "pause")
    other = create(small, cpu=6, memory=1, disk=1)
    assert do(small, box, "start", expect=400)["message"].startswith("Total CPU limit exceeded")
    assert small.request("POST", "/sandbox", {"cpu": 1, "memory": 12, "disk": 1})[1]["message"].startswith("Total memory")
    delete(small, other)
    delete(small, box)


def test_failures_give_back(small):
    for _ in range(3):
        assert small.request("POST", "/sandbox", {"cpu": 10, "user": "nobody-there"})[0] >= 400
        assert small.request("POST", "/sandbox", {"cpu": 10, "snapshot": "no-such"})[0] == 400
    first = create(small, cpu=5, name="taken", disk=1)
    for _ in range(3):
        assert small.request("POST", "/sandbox", {"cpu": 5, "name": "taken", "disk": 1})[0] == 409
    second = create(small, cpu=5, disk=1)
    delete(small, first)
    delete(small, second)


# --- backups and recovery ---

def wait_backup(api, box, state):
    end_by = time.monotonic() + 120
    while (now := get(api, box))["backupState"] != state:
        assert time.monotonic() < end_by, now
        time.sleep(0.02)
    return now


def lose_disk(api, box):
    """As a host's disk does it; the next comparison finds out."""
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    api.stop()
    shutil.rmtree(api.data / "sandboxes" / box)
    api.start()
    return wait_state(api, box, "error")


def test_recovery_from_a_backup(own):
    box = create(own)
    before = fill(own, box)
    assert do(own, box, "backup", expect=201)["backupState"] == "None"
    now = wait_backup(own, box, "Completed")
    assert now["backupCreatedAt"] and objects(own) == [f"backups/{box}"]
    run(own, box, "echo later > /work/later")
    now = lose_disk(own, box)
    assert now["recoverable"] and "recover it from its backup" in now["errorReason"]
    status, page = own.request("GET", "/sandbox?isRecoverable=true&limit=5")
    assert [s["id"] for s in page["items"]] == [box]
    assert do(own, box, "recover")["state"] in ("restoring", "started")
    now = wait_state(own, box, "started")
    assert not now["recoverable"] and "errorReason" not in now
    assert run(own, box, LOOK) == before
    assert do(own, box, "recover", expect=400)["message"] == "Sandbox must be in error state to recover: it is 'started'"
    lose_disk(own, box)
    do(own, box, "recover?skipStart=true")
    wait_state(own, box, "stopped")
    delete(own, box)
    assert objects(own) == []


def test_without_a_backup_nothing_is_recovered(own):
    box = create(own)
    now = lose_disk(own, box)
    assert not now["recoverable"] and now["errorReason"] == "the sandbox's files are gone: destroy it"
    assert do(own, box, "recover", expect=400)["message"].startswith("Sandbox is not in a recoverable state")
    delete(own, box)


def test_an_interrupted_backup_is_made_again(own):
    box = create(own)
    run(own, box, "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null")
    do(own, box, "backup", expect=201)
    status, e = own.request("POST", f"/sandbox/{box}/backup")
    assert status == 201 or (status, e["message"]) == (400, "Sandbox backup is already in progress"), e  # the first may be done by then
    own.stop(signal.SIGKILL)
    own.start()
    wait_backup(own, box, "Completed")
    assert objects(own) == [f"backups/{box}"]


# --- nothing is lost ---

def test_kill_while_it_archives_and_restores(own):
    boxes = [create(own) for _ in range(3)]
    looks = {}
    for box in boxes:
        run(own, box, "mkdir -p /work; dd if=/dev/urandom of=/work/big bs=1M count=12 2>/dev/null")
        looks[box] = fill(own, box)
        do(own, box, "stop")
    for box in boxes:
        wait_state(own, box, "stopped")
    seen, longest = collections.Counter(), 0.7
    for _ in range(14):
        for box in boxes:
            state = get(own, box)["state"]
            own.request("POST", f"/sandbox/{box}/{'archive' if state == 'stopped' else 'start'}")
        time.sleep(random.uniform(0, longest))
        own.stop(signal.SIGKILL)
        own.start()
        end_by = time.monotonic() + 120
        while True:
            states = {box: get(own, box)["state"] for box in boxes}
            if set(states.values()) <= {"stopped", "started", "archived"}:
                break
            assert time.monotonic() < end_by, states
            time.sleep(0.05)
        seen.update(states.values())
        longest = longest if seen["archived"] else min(10, longest * 1.5)  # a busy machine takes longer
        for box, state in states.items():
            if state == "started":
                assert run(own, box, LOOK) == looks[box]
                do(own, box, "stop")
                wait_state(own, box, "stopped")
    for box in boxes:
        if get(own, box)["state"] == "archived":
            do(own, box, "start")
        elif get(own, box)["state"] == "stopped":
            do(own, box, "start")
        wait_state(own, box, "started")
        assert run(own, box, LOOK) == looks[box]
        delete(own, box)
    assert objects(own) == [] and seen["archived"] > 0, seen


# --- by the clock ---

def edit_row(api, box, **values):
    """What hours would do, while the server is away."""
    with sqlite3.connect(api.data / "state" / "daytona.db") as db:
        for name, value in values.items():
            db.execute(f"UPDATE sandbox SET {name} = ? WHERE id = ?", (value, box))


def test_timers(own):
    """One tick of the clock after a long time: who works by itself goes on, who is idle is stopped, who
    was stopped for long is archived or deleted."""
    busy, idle, old, older = (create(own, autoStopInterval=1, autoArchiveInterval=60) for _ in range(4))
    run(own, busy, "(while true; do :; done) >/dev/null 2>&1 & true")
    before = fill(own, old)
    do(own, older, "autodelete/60", expect=201)
    for box in (old, older):
        do(own, box, "stop")
        wait_state(own, box, "stopped")
    own.stop()
    long_ago = int(time.time() * 1000) - 2 * 3600 * 1000
    for box in (busy, idle, old, older):
        edit_row(own, box, activity_ms=long_ago)
    own.start()
    wait_state(own, idle, "stopped")
    wait_state(own, old, "archived")
    end_by = time.monotonic() + 120
    while own.request("GET", f"/sandbox/{older}")[0] != 404:
        assert time.monotonic() < end_by
        time.sleep(0.1)
    now = get(own, busy)
    assert now["state"] == "started" and now["lastActivityAt"] > "2026"
    assert parse(now["lastActivityAt"]) > long_ago / 1000 + 3600
    do(own, old, "start")
    wait_state(own, old, "started")
    assert run(own, old, LOOK) == before


def test_pauses_and_ends_by_the_clock(own):
    """Auto-pause excludes auto-stop; what has a time to live goes in any state, and nothing keeps it."""
    box = create(own, autoPauseInterval=1)
    now = get(own, box)
    assert (now["autoPauseInterval"], now["autoStopInterval"]) == (1, 0) and "autoDestroyAt" not in now
    for path, pause, stop in (("autostop/7", 0, 7), ("autopause/3", 3, 0), ("autostop/0", 3, 0), ("autopause/1", 1, 0)):
        now = do(own, box, path, expect=201)
        assert (now["autoPauseInterval"], now["autoStopInterval"]) == (pause, stop), path
    for path in ("autodelete/0", "autopause/-1", "ttl/-1", "ttl/x"):
        do(own, box, path, expect=400)
    for bad in ({"autoPauseInterval": 5, "autoStopInterval": 5}, {"autoPauseInterval": 5, "autoDeleteInterval": 0},
                {"ttlMinutes": -1}):
        status, e = own.request("POST", "/sandbox", bad)
        assert status == 400 and set(bad) & set(re.findall("auto[A-Za-z]+|ttlMinutes", e["message"])), e
    working, stopped, archived, paused = (create(own, ttlMinutes=60, autoStopInterval=0) for _ in range(4))
    assert 3500 < parse(get(own, working)["autoDestroyAt"]) - time.time() < 3601
    soon = urllib.parse.quote(get(own, stopped)["autoDestroyAt"])
    assert {s["id"] for s in own.request("GET", f"/sandbox?autoDestroyAtBefore={soon}")[1]["items"]} == {working, stopped}
    assert len(own.request("GET", f"/sandbox?autoDestroyAtAfter={soon}")[1]["items"]) == 3
    assert "autoDestroyAt" not in do(own, working, "ttl/0", expect=201)
    assert parse(do(own, working, "ttl/1", expect=201)["autoDestroyAt"]) - time.time() < 61
    run(own, working, "(while true; do :; done) >/dev/null 2>&1 & true")
    do(own, paused, "pause")
    for each in (stopped, archived):
        do(own, each, "stop")
        wait_state(own, each, "stopped")
    do(own, archived, "archive")
    wait_state(own, archived, "archived")
    own.stop()
    long_ago = int(time.time() * 1000) - 2 * 3600 * 1000
    edit_row(own, box, activity_ms=long_ago)
    for each in (working, stopped, archived, paused):
        edit_row(own, each, destroy_ms=long_ago)
    own.start()
    wait_state(own, box, "paused")
    end_by = time.monotonic() + 120
    for each in (working, stopped, archived, paused):
        while own.request("GET", f"/sandbox/{each}")[0] != 404:
            assert time.monotonic() < end_by, each
            time.sleep(0.1)
    do(own, box, "start")
    wait_state(own, box, "started")


def parse(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


# --- usage ---

def test_usage_agrees_with_the_clock(own):
    earliest = time.time()
    box = create(own, cpu=2, memory=1, disk=3)
    created = time.time()
    time.sleep(1)
    own.stop(signal.SIGKILL)
    time.sleep(0.5)  # it runs on
    own.start()
    before_stop = time.time()
    do(own, box, "stop")
    wait_state(own, box, "stopped")
    stopped = time.time()
    time.sleep(0.5)
    status, usage = own.request("GET", f"/sandbox/{box}/usage")
    assert status == 200, usage
    asked = time.time()
    assert 2 * (before_stop - created) <= usage["cpuSeconds"] <= 2 * (stopped - earliest)
    assert before_stop - created <= usage["memoryGiBSeconds"] <= stopped - earliest
    assert 3 * (stopped - created) <= usage["diskGiBSeconds"] <= 3 * (asked - earliest)
    archive_from = time.time()
    do(own, box, "archive")
    wait_state(own, box, "archived")
    archived = own.request("GET", f"/sandbox/{box}/usage")[1]
    time.sleep(0.3)
    later = own.request("GET", f"/sandbox/{box}/usage")[1]
    assert later == archived and archived["diskGiBSeconds"] >= 3 * (archive_from - created)
    delete(own, box)
    status, report = own.request("GET", "/usage")
    assert status == 200 and report["sandboxes"] == 1 and report["nextCursor"] is None
    assert report["items"] == [archived] and report["cpuSeconds"] == archived["cpuSeconds"]
    assert own.request("GET", "/usage?from=2020-01-01&to=2020-02-01")[1]["sandboxes"] == 0
    for query in ("from=yesterday", "from=2026-01-02&to=2026-01-01", "cursor=x", "limit=0"):
        assert own.request("GET", f"/usage?{query}")[0] == 400, query


# --- the network ---

def test_network_settings(api, box):
    assert do(api, box, "network-settings", {}, 400)["message"].startswith("At least one of")
    now = do(api, box, "network-settings", {"networkAllowList": "192.0.2.0/24"})
    assert now["networkAllowList"] == "192.0.2.0/24" and now["networkBlockAll"] is False
    now = do(api, box, "network-settings", {"networkBlockAll": True})
    assert now["networkBlockAll"] is True
    assert get(api, box)["networkBlockAll"] is True
    now = do(api, box, "network-settings", {"networkAllowList": "198.51.100.0/24"})  # which ends the block
    assert now["networkAllowList"] == "198.51.100.0/24" and now["networkBlockAll"] is False
    now = do(api, box, "network-settings", {"networkBlockAll": False})  # all is allowed again
    assert now["networkBlockAll"] is False and "networkAllowList" not in now
    do(api, box, "network-settings", {"networkAllowList": "192.0.2.0/24"})
    assert "networkAllowList" not in do(api, box, "network-settings", {"networkAllowList": ""})
    assert do(api, box, "network-settings", {"networkAllowList": "nonsense"}, 400)["message"].startswith("Invalid network format")
    assert "domain" in do(api, box, "network-settings", {"domainAllowList": "example.com"}, 400)["message"]
    do(api, box, "stop")
    wait_state(api, box, "stopped")
    do(api, box, "network-settings", {"networkBlockAll": True})
    do(api, box, "start")
    assert get(api, box)["networkBlockAll"] is True


# --- lists ---

def raw(api, path, **headers):
    request = urllib.request.Request(api.url + path, headers={"Authorization": f"Bearer {backend.KEY}", **headers})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def test_filters_and_shapes(api):
    large = create(api, cpu=2, memory=2, disk=5, target="eu", public=True)
    small_ = create(api)

    def ids(query):
        status, page = api.request("GET", f"/sandbox?{query}")
        assert status == 200, page
        return {s["id"] for s in page["items"]} & {large, small_}

    assert ids("minCpu=2") == {large} and ids("maxCpu=1") == {small_}
    assert ids("minMemoryGiB=1&maxMemoryGiB=1") == {small_} and ids("minDiskGiB=4") == {large}
    assert ids("regionIds=eu") == {large} and ids("regions=eu&regions=us") == {large, small_}
    assert ids("isPublic=true") == {large} and ids("isPublic=false") == {small_}
    assert ids("isRecoverable=true") == set() and ids("isRecoverable=false") == {large, small_}
    assert ids("sandboxClasses=container") == {large, small_} and ids("sandboxClasses=windows") == set()
    assert ids("createdAtAfter=2020-01-01") == {large, small_} and ids("createdAtBefore=2020-01-01T00:00:00Z") == set()
    assert ids("lastEventAfter=2020-01-01") == {large, small_} and ids("lastEventBefore=2020-01-01") == set()
    for bad in ("createdAtAfter=soon", "minCpu=x", "isPublic=perhaps", "states=flying", "sandboxClasses=toaster"):
        assert api.request("GET", f"/sandbox?{bad}")[0] == 400, bad
    assert api.request("GET", "/sandbox/paginated?minCpu=2&regions=eu")[1]["total"] == 1
    assert api.request("GET", "/sandbox/paginated?sandboxClasses=android")[1]["total"] == 0
    assert raw(api, "/sandbox/regions") == [{"name": "eu"}, {"name": "us"}]
    # Clients of before cursors get the bare list, the others never.
    assert isinstance(raw(api, "/sandbox", **{"X-Daytona-SDK-Version": "0.113.1"}), list)
    for headers in ({}, {"X-Daytona-SDK-Version": "0.190.1"}, {"X-Daytona-SDK-Version": "0.218.0"}):
        assert raw(api, "/sandbox", **headers)["nextCursor"] is None
    assert "items" in raw(api, "/sandbox?limit=1", **{"X-Daytona-SDK-Version": "0.113.1"})
    delete(api, large)
    delete(api, small_)


@pytest.mark.parametrize("method, path", [
    ("POST", "{}/snapshot"), ("GET", "{}/build-logs"), ("GET", "{}/build-logs-url"), ("POST", "{}/ssh-access"),
    ("DELETE", "{}/ssh-access"), ("GET", "ssh-access/validate?token=x"),
])
def test_what_is_not_served_yet_says_so(api, box, method, path):
    status, answer = api.request(method, "/sandbox/" + path.format(box), {} if method in ("POST", "PUT") else None)
    assert status == 501 and answer["error"] == "Not Implemented" and len(answer["message"]) > 20, answer
    assert answer["code"] == "NOT_IMPLEMENTED"


def test_linked_sandboxes(api, box):
    """On one machine they are beside each other; a link is kept and reported."""
    name = api.request("GET", f"/sandbox/{box}")[1]["name"]
    status, linked = api.request("POST", "/sandbox", {"linkedSandbox": name, "autoDeleteInterval": 0})
    assert status == 200 and linked["linkedSandboxId"] == box
    assert "linkedSandboxId" not in api.request("GET", f"/sandbox/{box}")[1]
    assert api.request("GET", f"/sandbox/{linked['id']}")[1]["linkedSandboxId"] == box
    assert {b["id"]: b.get("linkedSandboxId") for b in api.request("GET", "/sandbox")[1]["items"]}[linked["id"]] == box
    for body, status, message in (({"linkedSandbox": "none"}, 404, "Sandbox with ID or name none not found"),
                                  ({"linkedSandbox": linked["id"]}, 400, "is linked to a sandbox itself"),
                                  ({"linkedSandbox": box, "autoDeleteInterval": 5}, 400, "must be ephemeral"),
                                  ({"linkedSandbox": 1}, 400, "linkedSandbox must be a string")):
        got, e = api.request("POST", "/sandbox", {"autoDeleteInterval": 0} | body)
        assert got == status and message in str(e["message"]), e
    status, plain = api.request("POST", "/sandbox", {"linkedSandbox": " "})
    assert status == 200 and "linkedSandboxId" not in plain
    delete(api, plain["id"])
    delete(api, linked["id"])


def test_a_member_is_no_runner(api):
    assert api.request("GET", "/sandbox/for-runner?states=started")[0] == 403
    assert api.request("PUT", "/sandbox/any/state", {"state": "started"})[0] == 403


def test_nothing_here_is_for_strangers(api, box):
    for method, path in (("POST", "archive"), ("POST", "pause"), ("POST", "resize"), ("POST", "fork"), ("POST", "backup"),
                         ("POST", "recover"), ("POST", "network-settings"), ("GET", "forks"), ("GET", "usage"), ("GET", "parent")):
        assert api.request(method, f"/sandbox/{box}/{path}", {} if method == "POST" else None, key="dtn_" + "f" * 64)[0] == 401
        assert api.request(method, f"/sandbox/no-such-box/{path}", {} if method == "POST" else None)[0] == 404
    assert api.request("GET", "/usage", key=None)[0] == 401

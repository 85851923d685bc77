"""The notification socket: who hears what, who does not, and when it ends."""
import contextlib
import datetime
import json
import socket
import sqlite3
import threading
import time

import backend
import people
import pytest
import small_image
import websockets.exceptions
from listen import Listener


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    with people.gathered("--notification-clients-per-organization", "5") as p:
        p.api.import_snapshot("small:1", small_image.tar(tmp_path_factory.mktemp("image")))
        yield p


@pytest.fixture(scope="module")
def org(crowd):
    """Of olga; max is a member who may nothing special, victor one who may read volumes."""
    made = crowd.new_org("olga", "of events")
    crowd.join("olga", made, "max")
    crowd.join("olga", made, "victor", roles=[people.BUILT_IN["Volumes Admin"]])
    return made


@pytest.fixture(scope="module")
def early(crowd, org):
    """Two who are there all the time: one answers pings, the other does not. What came when."""
    found = {}

    def stay(name, answers):
        start, times = time.monotonic(), []
        with Listener(crowd.api.url, crowd.token("olga"), crowd.personal("olga")) as l:
            with contextlib.suppress(websockets.exceptions.ConnectionClosed, TimeoutError):
                while time.monotonic() - start < 150:
                    text = l.ws.recv(timeout=150)
                    if text.startswith("42"):
                        continue
                    times.append((text, time.monotonic() - start))
                    if answers:
                        l.ws.send("3")
                    if answers and len(times) == 2:
                        break
            found[name] = (times, time.monotonic() - start, l.ws.close_reason)

    threads = [threading.Thread(target=stay, args=a) for a in (("answers", True), ("silent", False))]
    for t in threads:
        t.start()
    yield lambda: ([t.join() for t in threads], found)[1]
    for t in threads:
        t.join()


@contextlib.contextmanager
def with_little_time(listen):
    """A listener of listen(seconds), whose right ends so soon; a busy machine needs more until it is accepted."""
    for seconds in (6, 20, 60):
        with listen(seconds) as l:
            if l.refused is None:
                yield l
                return
    raise AssertionError("never accepted in time")


def create(crowd, org, **fields):
    status, box = crowd.ask("olga", "POST", "/sandbox", {"snapshot": "small:1", **fields}, org=org)
    assert status == 200, box
    return box["id"]


def iso(**ahead):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_key(crowd, org, name, permissions, **fields):
    status, made = crowd.ask("olga", "POST", "/api-keys", {"name": name, "permissions": permissions, **fields}, org=org)
    assert status == 201, made
    return made["value"]


def moves(seen, kind, what="state"):
    """[(old, new)] of a kind of thing."""
    old, new = {"state": ("oldState", "newState"), "desired-state": ("oldDesiredState", "newDesiredState")}[what]
    return [(d[old], d[new]) for name, d in seen if name == f"{kind}.{what}.updated"]


def ended(listener, timeout=120):
    """It is told to go, and the connection ends."""
    try:
        assert listener.message(timeout) == "41"
        listener.ws.recv(timeout=timeout)
    except websockets.exceptions.ConnectionClosed as e:
        return e.rcvd.reason
    raise AssertionError("it is still there")


def test_the_life_of_a_sandbox(crowd, org, early):
    with Listener(crowd.api.url, crowd.token("olga"), org) as l:
        assert l.hello["upgrades"] == [] and (l.hello["pingInterval"], l.hello["pingTimeout"]) == (25000, 20000)
        box = create(crowd, org, name="told", labels={"a": "b"})
        seen = l.until("sandbox.state.updated")
        name, first = seen[0]
        assert name == "sandbox.created" and first["id"] == box and first["state"] == "creating"
        assert first["organizationId"] == org and first["labels"] == {"a": "b"} and first["toolboxProxyUrl"]
        assert moves(seen, "sandbox") == [("creating", "started")]
        last = seen[-1][1]["sandbox"]
        now = crowd.ask("olga", "GET", f"/sandbox/{box}", org=org)[1]
        assert {k: v for k, v in last.items() if k != "lastActivityAt"} == \
            {k: v for k, v in now.items() if k != "lastActivityAt"}

        assert crowd.ask("olga", "POST", f"/sandbox/{box}/stop", org=org)[0] == 200
        seen = l.until("sandbox.state.updated", lambda d: d["newState"] == "stopped")
        assert moves(seen, "sandbox", "desired-state") == [("started", "stopped")]
        assert moves(seen, "sandbox") == [("started", "stopping"), ("stopping", "stopped")]
        assert crowd.ask("olga", "POST", f"/sandbox/{box}/start", org=org)[0] == 200
        seen = l.until("sandbox.state.updated", lambda d: d["newState"] == "started")
        assert moves(seen, "sandbox", "desired-state") == [("stopped", "started")]
        assert moves(seen, "sandbox") == [("stopped", "starting"), ("starting", "started")]
        # What is no change of state is no event: the next one is the end.
        assert crowd.ask("olga", "PUT", f"/sandbox/{box}/labels", {"labels": {"c": "d"}}, org=org)[0] == 200
        assert crowd.ask("olga", "DELETE", f"/sandbox/{box}", org=org)[0] == 200
        seen = l.until("sandbox.state.updated", lambda d: d["newState"] == "destroyed")
        assert moves(seen, "sandbox") == [("started", "destroying"), ("destroying", "destroyed")]
        assert moves(seen, "sandbox", "desired-state") == [("started", "destroyed")]
        assert {d["sandbox"]["id"] for _, d in seen} == {box} and seen[-1][1]["sandbox"]["state"] == "destroyed"


def test_the_life_of_a_volume(crowd, org):
    key = new_key(crowd, org, "volumes", ["read:volumes"])
    with Listener(crowd.api.url, key) as l:
        status, volume = crowd.ask("olga", "POST", "/volumes", {"name": "told"}, org=org)
        assert status == 200
        seen = l.until("volume.state.updated", lambda d: d["newState"] == "ready")
        assert seen[0] == ("volume.created", {**volume, "updatedAt": volume["createdAt"]})
        assert volume["state"] == "pending_create"
        assert moves(seen, "volume") == [("pending_create", "creating"), ("creating", "ready")]
        assert seen[-1][1]["volume"] == crowd.ask("olga", "GET", f"/volumes/{volume['id']}", org=org)[1]

        box = create(crowd, org, volumes=[{"volumeId": "told", "mountPath": "/mnt/told"}])
        used = l.until("volume.lastUsedAt.updated")[-1][1]
        assert used == crowd.ask("olga", "GET", f"/volumes/{volume['id']}", org=org)[1] and used["lastUsedAt"]
        assert crowd.ask("olga", "DELETE", f"/sandbox/{box}", org=org)[0] == 200
        l.until("sandbox.state.updated", lambda d: d["newState"] == "destroyed")
        assert crowd.ask("olga", "DELETE", f"/volumes/{volume['id']}", org=org)[0] == 200
        seen = l.until("volume.state.updated", lambda d: d["newState"] == "deleted")
        assert moves(seen, "volume") == [("ready", "pending_delete"), ("pending_delete", "deleting"),
                                         ("deleting", "deleted")]


def test_snapshots(crowd, org, tmp_path):
    """They come from another process, and are everybody's."""
    with Listener(crowd.api.url, crowd.token("olga"), org) as l, \
            Listener(crowd.api.url, crowd.token("stranger"), crowd.personal("stranger")) as other:
        image = small_image.tar(tmp_path)
        for i in range(20):  # one that is new when it has looked at what is there
            crowd.api.import_snapshot(f"mark-{i}:1", image)
            with contextlib.suppress(TimeoutError):
                assert l.event(timeout=6)[1]["name"] == f"mark-{i}:1"
                break
        other.until("snapshot.created", lambda made: made["name"] == f"mark-{i}:1")
        crowd.api.import_snapshot("told:1", image)
        name, made = l.event()
        assert name == "snapshot.created" and (made["name"], made["state"]) == ("told:1", "active")
        assert made == crowd.ask("olga", "GET", "/snapshots/told%3A1", org=org)[1]
        assert other.event() == (name, made)
        with contextlib.closing(sqlite3.connect(crowd.api.data / "state/daytona.db", 20)) as db:
            db.execute("UPDATE snapshot SET state = 'inactive', updated_ms = updated_ms + 1 WHERE name = 'told:1'")
            db.commit()
            name, moved = l.event()
            assert name == "snapshot.state.updated" and (moved["oldState"], moved["newState"]) == ("active", "inactive")
            assert moved["snapshot"] == {**made, "state": "inactive", "updatedAt": moved["snapshot"]["updatedAt"]}
            db.execute("DELETE FROM snapshot WHERE name = 'told:1'")
            db.commit()
            assert l.event() == ("snapshot.removed", moved["snapshot"])


def test_nobody_hears_of_others(crowd, org):
    """Every event goes to members of the organization, that of volumes to those who may read them."""
    own = {name: crowd.personal(name) for name in ("olga", "stranger")}
    other = crowd.new_org("stranger", "elsewhere")
    narrow = new_key(crowd, org, "narrow", ["write:sandboxes"])
    foreign = crowd.ask("stranger", "POST", "/api-keys", {"name": "f", "permissions": ["read:volumes"]}, org=other)[1]["value"]
    with contextlib.ExitStack() as all_of:
        def listen(*args):
            return all_of.enter_context(Listener(crowd.api.url, *args))
        here = {"max": listen(crowd.token("max"), org), "victor": listen(crowd.token("victor"), org),
                "narrow": listen(narrow), "key, whatever the query says": listen(narrow, other)}
        away = {"olga elsewhere": listen(crowd.token("olga"), own["olga"]),
                "stranger": listen(crowd.token("stranger"), own["stranger"]),
                "stranger elsewhere": listen(crowd.token("stranger"), other), "foreign": listen(foreign),
                "foreign, asking for it": listen(foreign, org)}
        assert crowd.ask("max", "GET", "/volumes", org=org)[0] == 403  # as with requests
        volume = crowd.ask("olga", "POST", "/volumes", {"name": "secret"}, org=org)[1]
        box = create(crowd, org)
        assert crowd.ask("olga", "DELETE", f"/sandbox/{box}", org=org)[0] == 200
        assert crowd.ask("olga", "DELETE", f"/volumes/{volume['id']}", org=org)[0] == 200
        for name, l in here.items():
            seen = l.until("sandbox.state.updated", lambda d: d["newState"] == "destroyed")
            assert any(kind.startswith("volume.") for kind, _ in seen) == (name == "victor"), (name, seen)
        here["victor"].until("volume.state.updated", lambda d: d["newState"] == "deleted")
        # The first thing that the others hear is of their own organization.
        for name, l in away.items():
            mine = own["olga"] if name.startswith("olga") else own["stranger"] if name == "stranger" else other
            who = "olga" if name.startswith("olga") else "stranger"
            made = crowd.ask(who, "POST", "/volumes", {"name": f"mark of {name}"}, org=mine)[1]
            while (event := l.event())[1].get("organizationId", mine) == mine and event[1].get("id") != made["id"]:
                assert event[0].startswith("volume.") and event[1].get("volume", event[1])["organizationId"] == mine
            assert event[0] == "volume.created" and event[1]["name"] == made["name"], (name, event)
        for name in ("max", "narrow", "key, whatever the query says"):
            with pytest.raises(TimeoutError):
                here[name].event(timeout=0.2)


def test_who_is_refused(crowd, org):
    def refusal(token=None, *args, **more):
        with Listener(crowd.api.url, token, *args, **more) as l:
            assert l.refused is not None
            with pytest.raises(websockets.exceptions.ConnectionClosedOK):
                l.ws.recv(timeout=60)
            return l.refused
    ended_key = new_key(crowd, org, "ended", [], expiresAt=iso(seconds=5))
    assert refusal("dtn_" + "0" * 64) == "Invalid API key"
    assert "token" in refusal(auth={}) and "token" in refusal(auth={"token": 7})
    assert "organizationId" in refusal(crowd.token("olga"))
    for wrong in ("nonsense", crowd.personal("max"), "00000000-0000-4000-8000-000000000000"):
        assert "no member of this organization" in refusal(crowd.token("olga"), wrong)
    assert "no member of this organization" in refusal(crowd.token("stranger"), org)
    assert refusal(crowd.token("olga")[:-6] + "AAAAAA", org).startswith("Invalid access token")
    while time.time() % 1 < 0.1 or crowd.api.request("GET", "/api-keys/current", key=ended_key)[0] != 401:
        time.sleep(0.1)
    assert refusal(ended_key) == "Invalid API key"
    with Listener(crowd.api.url) as l:  # there is one namespace
        l.ws.send("40/admin,{}")
        assert l.ws.recv(timeout=60) == '44/admin,{"message":"Invalid namespace"}'
        l.ws.send("2")
        assert l.ws.recv(timeout=60) == "3"
        l.ws.send('42["hello"]')
        l.ws.send("40" + json.dumps({"token": backend.KEY}))
        assert l.ws.recv(timeout=60).startswith("40{")
        l.ws.send("41")
        with pytest.raises(websockets.exceptions.ConnectionClosedOK):
            l.ws.recv(timeout=60)


@pytest.mark.parametrize("message, code", [
    ("nonsense", 1002), ("40{", 1002), ('451-["a",{"_placeholder":true,"num":0}]', 1002), (b"\x00", 1002),
    ("40" + json.dumps({"token": "x" * 40000}), 1009)])
def test_what_is_no_socket_io_ends(crowd, message, code):
    with Listener(crowd.api.url) as l:
        l.ws.send(message)
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as e:
            l.ws.recv(timeout=60)
        assert e.value.rcvd.code == code


@pytest.mark.parametrize("frame", [b"\x81\x0540{}x", b"\xff" * 20, b"\x81\xff" + b"\xff" * 12])
def test_what_is_no_websocket_ends(crowd, frame):
    with socket.create_connection(("127.0.0.1", crowd.api.port), 60) as s:
        s.sendall(b"GET /api/socket.io/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame)
        answer = b"".join(iter(lambda: s.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
    end = answer[answer.index(b"\x88"):]
    assert end[2:4] in (b"\x03\xea", b"\x03\xf1"), answer
    status, e = crowd.api.request("GET", "/socket.io/?EIO=4&transport=polling")
    assert status == 400 and "transport=websocket" in e["message"]


def test_it_ends_with_the_right_to_it(crowd, org):
    key = new_key(crowd, org, "to delete", [])
    crowd.join("olga", org, "dora")

    def expiring(seconds):
        return Listener(crowd.api.url, new_key(crowd, org, f"for {seconds} s", [], expiresAt=iso(seconds=seconds)))
    with Listener(crowd.api.url, key) as deleted, with_little_time(expiring) as expired, \
            Listener(crowd.api.url, crowd.token("dora"), org) as member, Listener(crowd.api.url, crowd.token("max"), org) as stays:
        assert crowd.ask("olga", "DELETE", "/api-keys/to%20delete", org=org)[0] == 204
        assert "ended" in ended(deleted)
        assert crowd.ask("olga", "DELETE", f"/organizations/{org}/users/dora")[0] in (200, 204)
        assert "ended" in ended(member)
        assert "ended" in ended(expired)
        box = create(crowd, org)
        assert stays.event()[1]["id"] == box
        assert crowd.ask("olga", "DELETE", f"/sandbox/{box}", org=org)[0] == 200


def test_a_token_ends(crowd, org):
    """One that is accepted for some more seconds: clocks may differ by thirty."""
    tokens = []

    def expiring(seconds):
        tokens.append(crowd.provider.signed(crowd.token("olga"), exp=int(time.time()) - 30 + seconds))
        return Listener(crowd.api.url, tokens[-1], org)
    with with_little_time(expiring) as l:
        assert "ended" in ended(l)
    with Listener(crowd.api.url, tokens[-1], org) as l:
        assert "expired" in l.refused


def test_limits(crowd):
    """Each organization has its number; one that only holds connections is let go."""
    mine = crowd.new_org("rita", "crowded")
    with contextlib.ExitStack() as held:
        for _ in range(5):
            assert held.enter_context(Listener(crowd.api.url, crowd.token("rita"), mine)).refused is None
        with Listener(crowd.api.url, crowd.token("rita"), mine) as one_more:
            assert "of this organization" in one_more.refused
        with Listener(crowd.api.url, crowd.token("rita"), crowd.personal("rita")) as elsewhere:
            assert elsewhere.refused is None
    end, refused = time.monotonic() + 60, True
    while refused:  # they are gone when the server sees it
        assert time.monotonic() < end
        with Listener(crowd.api.url, crowd.token("rita"), mine) as again:
            refused = again.refused is not None
    with Listener(crowd.api.url) as silent:
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as e:
            silent.ws.recv(timeout=60)
        assert "too long" in e.value.rcvd.reason


def test_too_many_at_once(crowd):
    request = (f"GET /api/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{crowd.api.port}\r\n"
               "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
    with contextlib.ExitStack() as held:
        answers = []
        while len(answers) < 600 and b" 503 " not in (answers or [b""])[-1]:
            s = held.enter_context(socket.create_connection(("127.0.0.1", crowd.api.port), 60))
            s.sendall(request)
            answers.append(s.recv(4096))
        assert 400 < len(answers) <= 513 and b" 503 " in answers[-1]
    end = time.monotonic() + 60
    while True:  # who is gone makes room
        try:
            with Listener(crowd.api.url, backend.KEY) as l:
                assert l.refused is None
                return
        except websockets.exceptions.InvalidStatus:
            assert time.monotonic() < end


def test_who_does_not_read_is_dropped(crowd, org):
    """What waits for a client is bounded, and others do not wait for it."""
    box = create(crowd, org, env={f"BIG{i}": "x" * 30000 for i in range(3)})
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", crowd.api.port))
    with Listener(crowd.api.url, crowd.token("olga"), org, sock=slow, max_queue=1) as l, \
            Listener(crowd.api.url, crowd.token("max"), org) as reads:
        for _ in range(40):
            for step, state in (("stop", "stopped"), ("start", "started")):
                assert crowd.ask("olga", "POST", f"/sandbox/{box}/{step}", org=org)[0] == 200
                reads.until("sandbox.state.updated", lambda d: d["newState"] == state)
            if "does not read" in crowd.api.tail():
                break
        else:
            raise AssertionError("it is still there")
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            while True:
                l.ws.recv(timeout=60)
    assert crowd.ask("olga", "DELETE", f"/sandbox/{box}", org=org)[0] == 200


def test_pings(early):
    found = early()
    times, _, _ = found["answers"]
    assert [text for text, _ in times] == ["2", "2"] and 24 < times[0][1] and 48 < times[1][1]
    times, lasted, reason = found["silent"]
    assert [text for text, _ in times] == ["2"] and lasted > 44 and reason == "ping timeout"


def test_the_end_of_the_server():
    with backend.Backend() as b:
        b.start()
        with Listener(b.url, backend.KEY) as l:
            start = time.monotonic()
            assert b.stop() == 0 and time.monotonic() - start < 100
            with pytest.raises(websockets.exceptions.ConnectionClosedOK) as e:
                l.message()
            assert e.value.rcvd.code == 1001


@pytest.mark.parametrize("setting, why", [("--no-notifications", "poll"), ("--maintenance", "maintenance")])
def test_turned_off(setting, why):
    """Told in the protocol: a client that is told so goes on without, one that is not tries for minutes."""
    with backend.Backend(settings=[setting]) as b:
        b.start()
        with Listener(b.url, backend.KEY) as l:
            assert why in l.refused

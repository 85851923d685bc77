"""A launcher that is not there for a while: who wants a sandbox waits for it, a bounded time, and everybody else is served."""
import collections
import random
import threading
import time

import backend
import busybox
import pytest
import service

WAIT = 30  # seconds, runnerd/lifecycle_wait.c


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


@pytest.fixture
def apart(image):
    """A server and its launcher, started apart."""
    with backend.Backend(settings=["--default-snapshot", "busybox"]) as b:
        b.import_snapshot("busybox", image)
        s = service.Service(b)
        s.launch()
        try:
            yield b.start(), s
        finally:
            s.stop()


def later(function, *args):
    """Runs it beside the test; join() returns what it returned."""
    class Later(threading.Thread):
        def run(self):
            self.result = function(*args)

        def join(self, timeout=WAIT * 3):
            super().join(timeout)
            assert not self.is_alive(), "it does not end"
            return self.result

    t = Later()
    t.start()
    return t


def states(server):
    status, page = server.request("GET", "/sandbox?limit=200")
    assert status == 200
    return {box["id"]: box["state"] for box in page["items"]}


def reach(server, box, state, seconds=60):
    end = time.monotonic() + seconds
    while (now := server.request("GET", f"/sandbox/{box}")[1]).get("state") != state:
        assert time.monotonic() < end, now
        time.sleep(0.02)


def lose(server, door):
    """The launcher is killed, and the server knows it: what comes now is asked of nobody."""
    door.kill()
    end = time.monotonic() + 60
    while server.gauge("daytona_launcher_up") != 0:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nobody_sees_that_the_launcher_is_killed(apart):
    """Twenty clients create, use and destroy while it is killed again and again, and started again a second later."""
    server, door = apart
    seen, wrong, over = collections.Counter(), [], threading.Event()

    def client():
        while not over.is_set():
            for method, path, body in (("POST", "/sandbox", {"networkBlockAll": True}), ("POST", "/sandbox/{}/stop", None),
                                       ("POST", "/sandbox/{}/start", None), ("DELETE", "/sandbox/{}", None)):
                began = time.monotonic()
                status, answer = server.request(method, path.format(body is None and box), body)
                seen[method, path, status] += 1
                if status >= 400:
                    wrong.append((method, path, status, answer["message"], round(time.monotonic() - began, 2)))
                    break
                if body is not None:
                    box = answer["id"]
                if path.endswith("stop"):
                    while server.request("GET", f"/sandbox/{box}")[1]["state"] not in ("stopped", "error"):
                        time.sleep(0.02)

    clients = [later(client) for _ in range(20)]
    for _ in range(4):
        # What this launcher was asked first is over: an operation that sees several end is given up.
        most, end = seen.total() + 2 * len(clients), time.monotonic() + 120
        while seen.total() < most:
            assert time.monotonic() < end, seen
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.5))
        door.kill()
        time.sleep(1)
        door.launch()
    time.sleep(1)
    over.set()
    for c in clients:
        c.join()
    assert wrong == [] and seen["POST", "/sandbox", 200] >= 20, seen
    assert states(server) == {}


def test_whoever_comes_before_the_launcher_waits_for_it(apart):
    """The server answers questions before its launcher is ready; what needs one is on its way, for all to see."""
    server, door = apart
    kept = server.request("POST", "/sandbox", {"networkBlockAll": True})[1]["id"]
    server.execute(kept, "echo text > /root/file")
    assert server.request("POST", f"/sandbox/{kept}/stop")[0] == 200
    reach(server, kept, "stopped")
    server.stop()
    door.kill()
    server.start()  # listens without a launcher
    assert server.gauge("daytona_launcher_up") == 0
    made = later(server.request, "POST", "/sandbox", {"name": "made", "networkBlockAll": True})
    started = later(server.request, "POST", f"/sandbox/{kept}/start")
    reach(server, "made", "creating")
    reach(server, kept, "starting")
    for _ in range(20):
        assert server.request("GET", "/sandbox?limit=10")[0] == 200
    assert server.request("POST", "/sandbox", {"name": "made"})[0] == 409, "its name is taken already"
    assert made.is_alive() and started.is_alive()
    door.launch()
    for waited in (made, started):
        status, box = waited.join()
        assert (status, box["state"]) == (200, "started"), box
    assert server.execute(kept, "cat /root/file") == "text\n"
    assert server.execute("made", "echo works") == "works\n"
    for box in (kept, "made"):
        assert server.request("DELETE", f"/sandbox/{box}")[0] == 200


def test_nobody_waits_for_ever(apart):
    server, door = apart
    kept = server.request("POST", "/sandbox", {"networkBlockAll": True})[1]["id"]
    assert server.request("POST", f"/sandbox/{kept}/stop")[0] == 200
    reach(server, kept, "stopped")
    lose(server, door)
    began = time.monotonic()
    waiting = [later(server.request, "POST", "/sandbox", {"name": "none"}), later(server.request, "POST", f"/sandbox/{kept}/start")]
    for w in waiting:
        status, answer = w.join()
        assert status == 503 and f"could not be reached for {WAIT} s" in answer["message"] and "its log" in answer["message"]
    assert time.monotonic() - began >= WAIT - 1
    assert states(server) == {kept: "stopped"}, "nothing is left of what could not be made"
    door.launch()
    assert server.request("POST", f"/sandbox/{kept}/start")[0] == 200
    assert server.request("POST", "/sandbox", {"name": "none", "networkBlockAll": True})[0] == 200
    for box in (kept, "none"):
        assert server.request("DELETE", f"/sandbox/{box}")[0] == 200


def test_what_waits_can_be_deleted(apart):
    server, door = apart
    lose(server, door)
    made = later(server.request, "POST", "/sandbox", {"name": "made", "networkBlockAll": True})
    reach(server, "made", "creating")
    deleted = later(server.request, "DELETE", "/sandbox/made")
    status, answer = made.join()
    assert status == 410 and "destroyed" in answer["message"]
    reach(server, "made", "destroying")
    assert server.request("DELETE", "/sandbox/made")[0] == 409
    door.launch()
    assert deleted.join()[0] == 200
    assert states(server) == {}


def test_a_server_that_ends_lets_them_go(apart):
    server, door = apart
    lose(server, door)
    made = later(server.request, "POST", "/sandbox", {"name": "made", "networkBlockAll": True})
    reach(server, "made", "creating")
    assert server.stop() == 0
    status, answer = made.join()
    assert status == 503 and "going down" in answer["message"]
    door.launch()
    server.start()
    end = time.monotonic() + 120
    while states(server):
        assert time.monotonic() < end, states(server)
        time.sleep(0.05)

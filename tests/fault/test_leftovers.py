"""kill -9 of each program at many points, and a comparison of all that is left on the host with what was there before."""
import contextlib
import os
import pathlib
import random
import signal
import threading
import time

import backend
import host
import mcp_pipe
import pytest

ROUNDS = 3


@pytest.fixture(scope="module")
def own():
    with backend.Backend() as b:
        b.import_default()
        yield b.start()


def expect(status, answer):
    assert status == 200, answer
    return answer


def create(server):
    return expect(*server.request("POST", "/sandbox", {}))["id"]


def execute(server, box, command):
    return expect(*server.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": command, "timeout": 30}))["result"]


def boxes(server):
    return {box["id"]: box["state"] for box in expect(*server.request("GET", "/sandbox?limit=200"))["items"]}


def settled(server):
    end = time.monotonic() + 120
    while not set((now := boxes(server)).values()) <= {"started", "stopped"}:
        assert time.monotonic() < end, now
        time.sleep(0.05)
    return now


def pids(server, program):
    return [pid for pid, line in host.processes(server.instance, server.data) if program in line.partition(" ")[0]]


def parent(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:  # one of its short-lived children
        return None


def prepare(server):
    """The same work behind it: the pools are as they are after sandboxes of the usual kind."""
    for _ in range(3):
        expect(*server.request("DELETE", f"/sandbox/{create(server)}"))


@pytest.fixture(scope="module")
def before(own):
    prepare(own)
    last, same, end = None, 0, time.monotonic() + 120
    while same < 20:  # looks; a machine that stands still passes time without doing anything
        assert time.monotonic() < end, last
        now = host.holdings(own.instance, own.data)
        last, same = now, same + 1 if now == last else 0
        time.sleep(0.1)
    assert last["entries of sandboxes"] == last["entries of trash"] == last["mounts"] == 0
    return last


class Load:
    """Threads that make, use, stop, start and delete sandboxes, and an MCP client that does the same, until all is over."""

    def __init__(self, server):
        self.server, self.over = server, threading.Event()
        self.client = mcp_pipe.Client(server)
        self.client.__enter__()
        self.threads = [threading.Thread(target=self.work, args=(life,)) for life in (self.rest,) * 3 + (self.mcp,)]
        for thread in self.threads:
            thread.start()

    def work(self, life):
        with contextlib.suppress(OSError, AssertionError, ValueError, EOFError, RuntimeError):
            while not self.over.is_set():
                life()

    def rest(self):
        box = create(self.server)
        execute(self.server, box, "echo hi > /tmp/hi")
        if random.random() < 0.3:
            self.server.request("POST", f"/sandbox/{box}/stop")
            self.server.request("POST", f"/sandbox/{box}/start")
        if random.random() < 0.8:
            self.server.request("DELETE", f"/sandbox/{box}")

    def mcp(self):
        box = self.client.tool("create_sandbox")["id"]
        self.client.tool("file_upload", id=box, file_path="/tmp/a", content="x" * 500000)
        self.client.tool("execute_command", id=box, command="sleep 0.05; wc -c /tmp/a")
        self.client.tool("stop_sandbox", id=box)
        self.client.tool("start_sandbox", id=box)
        self.client.tool("destroy_sandbox", id=box)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(120)
        self.client.process.kill()
        self.client.process.wait()
        self.client.process.stdin.close()
        self.client.out.close()


def kill_launcher(server):
    launcher, = (pid for pid in pids(server, "daytona-launcher") if parent(pid) == server.process.pid)
    os.kill(launcher, signal.SIGKILL)


def kill_some_toolboxes(server):
    found = pids(server, "daytona-toolbox")
    for pid in random.sample(found, min(4, len(found))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def strike(server, load, victim):
    if victim == "client":
        load.client.process.kill()
    if victim == "toolbox":
        kill_some_toolboxes(server)
    if victim in ("launcher", "both"):
        kill_launcher(server)
    if victim in ("runnerd", "both"):
        server.stop(signal.SIGKILL)
    if victim == "launcher":  # runnerd does not live without the one it started
        server.process.wait(60)
        server.stop()


def works(server, box, state):
    """It runs and is reachable, or can be started. That its pid 1 was killed shows a moment later."""
    if state == "started":
        answer = server.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": "echo alive", "timeout": 30})
        if answer[0] == 200:
            assert answer[1]["result"] == "alive\n"
            return
        end = time.monotonic() + 60
        while boxes(server)[box] != "stopped":
            assert time.monotonic() < end, answer
            time.sleep(0.05)
    expect(*server.request("POST", f"/sandbox/{box}/start"))


def different(before, now):
    return {k: (before.get(k), now.get(k)) for k in before | now if before.get(k) != now.get(k)}


@pytest.mark.parametrize("victim", ["runnerd", "launcher", "both", "toolbox", "client"])
def test_nothing_is_left_of_what_was_killed(own, before, victim):
    for _ in range(ROUNDS):
        load = Load(own)
        try:
            time.sleep(random.uniform(0, 1.2))  # the point at which it dies is what the test varies
            strike(own, load, victim)
        finally:
            load.end()
        if own.process is None:
            own.start()
        for box, state in settled(own).items():
            works(own, box, state)
            expect(*own.request("DELETE", f"/sandbox/{box}"))
        prepare(own)
        end = time.monotonic() + 120
        while (now := host.holdings(own.instance, own.data)) != before:
            assert time.monotonic() < end, f"{different(before, now)}\n{own.complaints()}"
            time.sleep(0.2)

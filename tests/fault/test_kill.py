"""kill -9 of every program at many points: what ran goes on, what was half made is gone, nothing is left."""
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


@pytest.fixture
def own():
    """A runnerd of its own, since this module kills it; at its end nothing may be left."""
    with backend.Backend() as b:
        b.import_default()
        yield b.start()


def launcher_pid(server):
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (p / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"daytona-launcher") and str(server.data).encode() in words and \
                    int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == server.process.pid:
                return int(p.name)
        except OSError:
            pass
    raise LookupError("no launcher")


def create(server, **body):
    status, box = server.request("POST", "/sandbox", body)
    assert status == 200, box
    return box["id"]


def states(server):
    status, page = server.request("GET", "/sandbox?limit=200")
    assert status == 200
    return {box["id"]: box["state"] for box in page["items"]}


def settled(server):
    """The states once nothing is under way any more."""
    end = time.monotonic() + 120
    while True:
        now = states(server)
        if set(now.values()) <= {"started", "stopped"}:
            return now
        assert time.monotonic() < end, now
        time.sleep(0.05)


def load(server, seconds, answered):
    """Creates, uses and deletes sandboxes from several threads until the server goes away."""
    end = time.monotonic() + seconds

    def work():
        while time.monotonic() < end:
            try:
                box = create(server)
                answered.setdefault(box, "created")
                server.execute(box, "echo hi")
                if random.random() < 0.7:
                    answered[box] = "deleting"
                    status, _ = server.request("DELETE", f"/sandbox/{box}")
                    if status == 200:
                        answered[box] = "deleted"
            except (OSError, AssertionError, ValueError):
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    return threads


@pytest.mark.parametrize("victim", ["runnerd", "launcher"])
def test_a_daemon_is_killed_under_load(own, victim):
    keeper = create(own, name="keeper")
    own.execute(keeper, "nohup sh -c 'while sleep 0.1; do date +%s%N > /tmp/beat; done' >/dev/null 2>&1 &")
    started = "sed 's/.*) //' /proc/1/stat | cut -d' ' -f20"  # in ticks since the boot
    born = own.execute(keeper, started)
    for round_number in range(6):
        answered = {}
        threads = load(own, 5, answered)
        time.sleep(random.uniform(0.02, 0.6))
        if victim == "runnerd":
            own.stop(signal.SIGKILL)
        else:
            os.kill(launcher_pid(own), signal.SIGKILL)
            own.process.wait(60)
            own.stop()
        for t in threads:
            t.join()
        own.start()
        now = settled(own)
        assert now[keeper] == "started"
        first, end = own.execute(keeper, "cat /tmp/beat"), time.monotonic() + 60
        while own.execute(keeper, "cat /tmp/beat") in (first, ""):
            assert time.monotonic() < end, "its process stopped"
            time.sleep(0.1)
        assert own.execute(keeper, started) == born
        for box, last in answered.items():
            if last == "created":
                assert now.get(box) == "started", (box, now.get(box))
                assert own.execute(box, "echo back") == "back\n"
            if last == "deleted":
                assert box not in now
        for box in now:
            if box != keeper:
                assert own.request("DELETE", f"/sandbox/{box}")[0] == 200
    own.request("DELETE", f"/sandbox/{keeper}")
    assert states(own) == {}
    assert [p for p in (own.data / 'sandboxes').iterdir() if len(p.name) == 36] == []


def test_the_toolbox_is_killed(own):
    box = create(own)
    own.execute(box, "echo kept > kept")
    toolboxes = [pid for pid, line in host.processes(own.instance, own.data) if line.startswith("daytona-toolbox")]
    assert len(toolboxes) == 1
    os.kill(toolboxes[0], signal.SIGKILL)
    end = time.monotonic() + 60
    while states(own)[box] == "started" and time.monotonic() < end:
        time.sleep(0.05)
    assert states(own)[box] in ("stopped", "error")
    status, answer = own.request("POST", f"/sandbox/{box}/start")
    assert status == 200, answer
    assert own.execute(box, "cat kept") == "kept\n"
    own.request("DELETE", f"/sandbox/{box}")


def test_the_client_is_killed(own):
    with mcp_pipe.Client(own) as client:
        box = client.tool("create_sandbox")["id"]
        client.send({"jsonrpc": "2.0", "id": 77, "method": "tools/call",
                     "params": {"name": "execute_command", "arguments": {"id": box, "command": "sleep 4343"}}})
        end = time.monotonic() + 60
        while "sleep" not in own.execute(box, "ps -eo args | grep '[s]leep 4343'; true"):
            assert time.monotonic() < end
            time.sleep(0.05)
        client.process.kill()
        client.process.wait()
        end = time.monotonic() + 60
        while "sleep" in own.execute(box, "ps -eo args | grep '[s]leep 4343'; true"):
            assert time.monotonic() < end, "the command outlived its client"
            time.sleep(0.05)
    own.request("DELETE", f"/sandbox/{box}")


def test_sandboxes_outlive_a_clean_stop(own):
    box = create(own)
    own.execute(box, "echo x > /tmp/here")
    assert own.stop() == 0
    own.start()
    assert own.execute(box, "cat /tmp/here") == "x\n"
    own.request("DELETE", f"/sandbox/{box}")


def test_many_cycles_leave_nothing(own):
    def size():
        pid = own.process.pid
        return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{launcher_pid(own)}/fd"))

    def calm():
        """The numbers once the launcher's pools are full again: the same for so many looks, since a machine that stands
        still passes time without doing anything."""
        end, last, same = time.monotonic() + 120, None, 0
        while time.monotonic() < end and same < 20:
            now = size()
            last, same = now, same + 1 if now == last else 0
            time.sleep(0.1)
        return last

    for _ in range(60):
        own.request("DELETE", f"/sandbox/{create(own)}")
    before = calm()
    for _ in range(200):
        own.request("DELETE", f"/sandbox/{create(own)}")
    after = calm()
    assert after[0] <= before[0] + 4 and after[1] <= before[1] + 4, (before, after)

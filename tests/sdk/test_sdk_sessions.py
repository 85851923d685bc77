"""The unmodified SDKs: sessions, their logs as they come, input, and commands, by all generations of paths."""
import concurrent.futures
import http.client
import json
import signal
import socket
import threading
import time

import backend
import pytest
import sdk
from websockets.sync.client import connect


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("sessions", version)


@sdk.python
def test_python(programs, version, kind):
    programs.python("sessions", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("process", version)
    programs.go("sessions", version)


@pytest.fixture(scope="module")
def box(server):
    made = server.request("POST", "/sandbox", {})[1]
    yield made["id"]
    server.request("DELETE", f"/sandbox/{made['id']}")


NEW = {"X-Daytona-SDK-Version": "0.190.1"}


def raw(server, box, method, path, body=None, proxy=False, timeout=200, **headers):
    """Through the API's path, or through the proxy's."""
    c = http.client.HTTPConnection("127.0.0.1", server.proxy_port if proxy else server.port, timeout=timeout)
    prefix = f"/toolbox/{box}" if proxy else f"/api/toolbox/{box}/toolbox"
    if proxy:
        headers["Host"] = "localhost"
    c.request(method, prefix + path, json.dumps(body) if body is not None else None,
              {"Authorization": f"Bearer {backend.KEY}", **headers})
    reply = c.getresponse()
    got = reply.status, reply.headers, reply.read()
    c.close()
    return got


def test_the_apis_path_follows_without_a_websocket(server, box):
    """Old clients read a chunked stream there."""
    assert raw(server, box, "POST", "/process/session", {"sessionId": "f"})[0] == 201
    status, _, body = raw(server, box, "POST", "/process/session/f/exec",
                          {"command": "for i in 1 2 3; do echo $i; sleep 0.2; done", "runAsync": True})
    assert status == 202
    logs = f"/process/session/f/command/{json.loads(body)['cmdId']}/logs?follow=true"
    version = {"X-Daytona-SDK-Version": "0.111.1"}
    status, headers, body = raw(server, box, "GET", logs, **version)
    assert (status, headers["Content-Type"], body) == (200, "application/octet-stream", b"1\n2\n3\n")
    assert headers["Transfer-Encoding"] == "chunked"
    status, headers, body = raw(server, box, "GET", logs, proxy=True, **version)
    assert (status, body) == (200, b"\1\1\0011\n2\n3\n") and headers["Content-Type"].startswith("text/plain")
    assert raw(server, box, "DELETE", "/process/session/f")[0] == 204


def test_who_says_what_it_is_told(server, box):
    """`code` is for callers that are no SDK, and the API never had it; the header of its path cannot be forged."""
    assert json.loads(raw(server, box, "POST", "/process/execute", {"command": "exit 3"})[2]) == {"exitCode": 3, "result": ""}
    got = raw(server, box, "POST", "/process/execute", {"command": "exit 3"}, proxy=True)[2]
    assert json.loads(got) == {"exitCode": 3, "code": 3, "result": ""}
    got = raw(server, box, "POST", "/process/execute", {"command": "exit 3"}, proxy=True, **{"X-Daytona-Route": "api"})[2]
    assert json.loads(got)["code"] == 3
    got = raw(server, box, "POST", "/process/execute", {"command": "exit 3"}, proxy=True, **{"X-Daytona-Source": "sdk-go"})[2]
    assert json.loads(got) == {"exitCode": 3, "result": ""}


def test_341_time_limits_are_those_of_the_path(server, box):
    """Commands have one by the API's path and none by the proxy's; no client can say what it is otherwise."""
    shorter = {"X-Daytona-Default-Timeout": "1"}
    for proxy in (False, True):
        status, _, body = raw(server, box, "POST", "/process/execute", {"command": "sleep 2; echo done"}, proxy=proxy, **shorter)
        assert status == 200 and json.loads(body)["result"] == "done\n"
        assert raw(server, box, "POST", "/process/execute", {"command": "sleep 60", "timeout": 1}, proxy=proxy)[0] == 408


SILENT = 75  # seconds; longer than any time that connections without a request are kept


def test_4741_who_is_silent_is_left_alone(server, box):
    """Commands that print nothing, logs and terminals where nothing happens, by both paths."""
    command = {"command": f"sleep {SILENT}; echo end"}

    def run(proxy):
        return json.loads(raw(server, box, "POST", "/process/execute", command, timeout=300, proxy=proxy)[2])["result"]

    def in_session(proxy):
        id = f"silent-{proxy}"
        assert raw(server, box, "POST", "/process/session", {"sessionId": id}, proxy=proxy)[0] == 201
        answer = raw(server, box, "POST", f"/process/session/{id}/exec", command, proxy=proxy, timeout=300, **NEW)
        return json.loads(answer[2])["stdout"]

    def opened(path):
        return connect(f"ws://localhost/toolbox/{box}{path}", sock=socket.create_connection(("127.0.0.1", server.proxy_port)),
                       compression=None, additional_headers={"Authorization": f"Bearer {backend.KEY}"})

    def follow(_):
        assert raw(server, box, "POST", "/process/session", {"sessionId": "followed"})[0] == 201
        c = json.loads(raw(server, box, "POST", "/process/session/followed/exec", {**command, "runAsync": True})[2])["cmdId"]
        with opened(f"/process/session/followed/command/{c}/logs?follow=true") as ws:
            return ws.recv(300).decode()

    def terminal(_):
        assert raw(server, box, "POST", "/process/pty", {"id": "silent"})[0] == 201
        with opened("/process/pty/silent/connect") as ws:
            time.sleep(SILENT)
            ws.send("echo e''nd\n")
            got = b""
            while b"end" not in got:
                piece = ws.recv(100)
                got += piece if isinstance(piece, bytes) else b""
        return "end\n"
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(what, proxy) for what, proxy in ((run, False), (run, True), (in_session, False), (in_session, True),
                                                             (follow, True), (terminal, True))]
        assert [job.result().replace("\1", "") for job in jobs] == ["end\n"] * 6


def test_4142_changes_of_state_are_told(server):
    """A call that meets one is answered well, or with what the state is; never with nothing."""
    box = server.request("POST", "/sandbox", {})[1]["id"]
    answers, over = [], threading.Event()

    def ask(proxy):
        while not over.is_set():
            try:
                answers.append(raw(server, box, "POST", "/process/execute", {"command": "echo on"}, proxy=proxy))
            except (ConnectionError, http.client.HTTPException) as e:
                answers.append((0, None, repr(e).encode()))
    threads = [threading.Thread(target=ask, args=(i % 2 == 0,)) for i in range(4)]
    for t in threads:
        t.start()
    for change, state in (("stop", "stopped"), ("start", "started")) * 3:
        status, made = server.request("POST", f"/sandbox/{box}/{change}")
        assert status == 200, made
        while server.request("GET", f"/sandbox/{box}")[1]["state"] != state:
            time.sleep(0.01)
        seen = len(answers)
        while len(answers) < seen + 5:  # one of them was asked in this state
            time.sleep(0.01)
    over.set()
    for t in threads:
        t.join()
    server.request("DELETE", f"/sandbox/{box}")
    seen = {}
    for status, _, body in answers:
        said = json.loads(body)
        told = f"exit {said['exitCode']}: {said['result']}" if status == 200 else said["message"]
        seen.setdefault((status, told.split(box)[0][:40]), body)
    assert (200, "exit 0: on\n") in seen and any(status == 400 and "not running" in told for status, told in seen), seen
    assert all(status in (200, 400, 409, 502, 503) and told for status, told in seen), seen


def test_sessions_outlive_the_server(server):
    """Commands, their logs and exit codes are the sandbox's, not runnerd's."""
    box = server.request("POST", "/sandbox", {})[1]["id"]
    assert raw(server, box, "POST", "/process/session", {"sessionId": "s"})[0] == 201
    command = {"command": "export KEPT=yes; seq 100000; sleep 2; echo the end", "runAsync": True}
    c = json.loads(raw(server, box, "POST", "/process/session/s/exec", command)[2])["cmdId"]
    server.stop(signal.SIGKILL)
    server.start()
    end = time.monotonic() + 120
    while "exitCode" not in (shown := json.loads(raw(server, box, "GET", f"/process/session/s/command/{c}")[2])):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert shown["exitCode"] == 0
    logs = raw(server, box, "GET", f"/process/session/s/command/{c}/logs")[2]
    assert logs == "".join(f"{i}\n" for i in range(1, 100001)).encode() + b"the end\n"
    again = raw(server, box, "POST", "/process/session/s/exec", {"command": "echo $KEPT"}, **{"X-Daytona-SDK-Version": "0.190.1"})
    assert json.loads(again[2])["stdout"] == "yes\n"
    server.request("DELETE", f"/sandbox/{box}")

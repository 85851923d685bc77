"""The unmodified SDKs: sessions, their logs as they come, input, and commands, by all generations of paths."""
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import backend
import pytest

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
HERE = pathlib.Path(__file__).parent


# Names below localhost are this host's (RFC 6761), whatever its resolver knows of that.
LOCALHOST = """import dns from 'node:dns';
const real = dns.lookup;
dns.lookup = (name, ...more) => real(name.endsWith('.localhost') ? 'localhost' : name, ...more);
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "sessions.mjs").write_text((HERE / "sessions.mjs").read_text())
    (folder / "localhost.mjs").write_text(LOCALHOST)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder / "sessions.mjs"


def run(server, *command):
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr
    assert server.request("GET", "/sandbox")[1]["items"] == []


@pytest.mark.parametrize("version", ["0.111.1", "0.113.1", "0.190.1", "0.218.0"])
def test_typescript(server, script, version):
    run(server, "node", "--import", script.parent / "localhost.mjs", script, f"daytona-sdk-{version}")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_python(server, kind):
    run(server, sys.executable, HERE / "sessions.py", kind)


@pytest.fixture(scope="module")
def box(server):
    made = server.request("POST", "/sandbox", {})[1]
    yield made["id"]
    server.request("DELETE", f"/sandbox/{made['id']}")


def raw(server, box, method, path, body=None, proxy=False, **headers):
    """Through the API's path, or through the proxy's."""
    c = http.client.HTTPConnection("127.0.0.1", server.proxy_port if proxy else server.port, timeout=60)
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


def test_sessions_outlive_the_server(server):
    """Commands, their logs and exit codes are the sandbox's, not runnerd's."""
    box = server.request("POST", "/sandbox", {})[1]["id"]
    assert raw(server, box, "POST", "/process/session", {"sessionId": "s"})[0] == 201
    command = {"command": "export KEPT=yes; seq 100000; sleep 2; echo the end", "runAsync": True}
    c = json.loads(raw(server, box, "POST", "/process/session/s/exec", command)[2])["cmdId"]
    server.stop(signal.SIGKILL)
    server.start()
    end = time.monotonic() + 60
    while "exitCode" not in (shown := json.loads(raw(server, box, "GET", f"/process/session/s/command/{c}")[2])):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert shown["exitCode"] == 0
    logs = raw(server, box, "GET", f"/process/session/s/command/{c}/logs")[2]
    assert logs == "".join(f"{i}\n" for i in range(1, 100001)).encode() + b"the end\n"
    again = raw(server, box, "POST", "/process/session/s/exec", {"command": "echo $KEPT"}, **{"X-Daytona-SDK-Version": "0.190.1"})
    assert json.loads(again[2])["stdout"] == "yes\n"
    server.request("DELETE", f"/sandbox/{box}")

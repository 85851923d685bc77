"""What is done inside sandboxes, in the audit log: each way in, each action of the contract's list, each end."""
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import backend
import pytest

KEY = {"Authorization": f"Bearer {backend.KEY}"}
SECRETS = ("hush-env", "hush-password", "hush-text", "hush-url", "hush-old", "hush-new")


class Server:
    def __init__(self, api):
        self.api = api
        self.box = api.request("POST", "/sandbox", {"name": "deeds"})[1]["id"]
        self.token = api.request("GET", f"/sandbox/{self.box}/ports/2280/preview-url")[1]["token"]

    def way(self, name):
        """(port, base path, Host) of a way to the toolbox."""
        return {"api": (self.api.port, f"/api/toolbox/{self.box}/toolbox", "localhost"),
                "api by name": (self.api.port, "/api/toolbox/deeds/toolbox", "localhost"),
                "proxy": (self.api.proxy_port, f"/toolbox/{self.box}", f"localhost:{self.api.proxy_port}"),
                "host": (self.api.proxy_port, "", f"2280-{self.box}.proxy.localhost:{self.api.proxy_port}")}[name]

    def call(self, method, path, body=None, way="api", headers=None):
        port, base, host = self.way(way)
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        c.request(method, base + path, body, {"Host": host, **(KEY if headers is None else headers)})
        reply = c.getresponse()
        text = reply.read()
        c.close()
        with contextlib.suppress(ValueError):
            return reply.status, json.loads(text)
        return reply.status, text

    def log(self, count=None):
        status, page = self.api.request("GET", f"/audit?limit={count or 200}")
        assert status == 200, page
        return page["items"]

    def newest(self):
        return self.log(1)[0]

    def verify(self):
        run = subprocess.run([backend.program("daytona-runnerd"), "audit", "verify", "--data-dir", self.api.data],
                             capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr

    def stored(self):
        with sqlite3.connect(f"file:{self.api.data}/state/daytona.db?mode=ro", uri=True) as db:
            return repr(db.execute("SELECT * FROM audit").fetchall())


@contextlib.contextmanager
def server(*settings):
    with backend.Backend(settings=settings) as b:
        b.import_default()
        b.start()
        yield Server(b)
        b.request("DELETE", "/sandbox/deeds")


@pytest.fixture(scope="module")
def shared():
    with server("--audit-toolbox") as s:
        yield s
        s.verify()


def until(check, seconds=60):
    end = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


@pytest.mark.parametrize("way", ["api", "api by name", "proxy", "host"])
def test_each_way_in(shared, way):
    headers = {**KEY, "X-Daytona-Source": "python-sdk", "User-Agent": "a test/1.0", "Content-Type": "application/json"}
    status, ran = shared.call("POST", "/process/execute", {"command": "echo hi", "envs": {"TOKEN": "hush-env"}, "cwd": "/tmp"}, way, headers)
    assert (status, ran["exitCode"], ran["result"]) == (200, 0, "hi\n")
    entry = shared.newest()
    orgs = shared.api.as_local_user("GET", "/organizations")[1]
    local = shared.api.as_local_user("GET", "/users/me")[1]["id"]
    assert {k: v for k, v in entry.items() if k not in ("id", "createdAt", "actorEmail")} == {
        "action": "toolbox_execute_command", "targetType": "sandbox", "targetId": shared.box, "statusCode": 200,
        "source": "python-sdk", "userAgent": "a test/1.0", "ipAddress": "127.0.0.1", "actorId": local,
        "actorApiKeyPrefix": "dtn", "actorApiKeySuffix": backend.KEY[-3:], "organizationId": orgs[0]["id"],
        "metadata": {"body": {"command": "echo hi", "envs": {"TOKEN": "********"}, "cwd": "/tmp"}}}


def test_the_socket(shared):
    assert shared.api.as_local_user("POST", f"/toolbox/{shared.box}/toolbox/process/execute", {"command": "true"})[0] == 200
    entry = shared.newest()
    assert (entry["ipAddress"], entry["statusCode"], entry["targetId"]) == ("local", 200, shared.box)
    assert entry["actorId"] and "actorApiKeySuffix" not in entry


@pytest.mark.parametrize("way", ["api", "proxy", "host"])
def test_every_action(shared, way):
    """The list of the contract, in its order as far as things can be done in it."""
    root = f"/tmp/all-{way}"
    quoted = urllib.parse.quote(root, safe="")
    upload = (f'--b\r\nContent-Disposition: form-data; name="files[0].path"\r\n\r\n{root}/bulk\r\n'
              f'--b\r\nContent-Disposition: form-data; name="files[0].file"; filename="f"\r\n\r\nhush-text\r\n--b--\r\n').encode()
    form = {**KEY, "Content-Type": "multipart/form-data; boundary=b"}
    one = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhush-text\r\n--b--\r\n'
    repo, user = f"{root}/repo", {"author": "A", "email": "a@example.com"}
    done = [
        ("create_folder", "POST", f"/files/folder?path={quoted}&mode=0755", None, 201),
        ("upload_file", "POST", f"/files/upload?path={quoted}%2Fone", one, 200),
        ("upload_file", "POST", f"/files/upload-raw?path={quoted}%2Fraw", b"hush-text", 200),
        ("bulk_upload_files", "POST", "/files/bulk-upload", upload, 200),
        ("download_file", "GET", f"/files/download?path={quoted}%2Fone", None, 200),
        ("download_file", "POST", "/files/bulk-download", {"paths": [f"{root}/one"]}, 200),
        ("replace_in_files", "POST", "/files/replace", {"files": [f"{root}/one"], "pattern": "hush-text", "newValue": "hush-old"}, 200),
        ("replace_in_files", "POST", "/files/edit", {"path": f"{root}/one", "oldText": "hush-old", "newText": "hush-new"}, 200),
        ("set_file_permissions", "POST", f"/files/permissions?path={quoted}%2Fone&mode=0600", None, 200),
        ("move_file", "POST", f"/files/move?source={quoted}%2Fone&destination={quoted}%2Ftwo", None, 200),
        ("delete_file", "DELETE", f"/files?path={quoted}%2Ftwo", None, 204),
        (None, "POST", "/git/init", {"path": repo, "initial_branch": "main"}, None),
        ("execute_command", "POST", "/process/execute", {"command": f"echo x > {repo}/f; git init -q --bare {root}/bare"}, 200),
        ("git_add_files", "POST", "/git/add", {"path": repo, "files": ["f"]}, 200),
        ("git_commit_changes", "POST", "/git/commit", {"path": repo, "message": "m", **user}, 200),
        ("git_create_branch", "POST", "/git/branches", {"path": repo, "name": "b"}, 201),
        ("git_checkout_branch", "POST", "/git/checkout", {"path": repo, "branch": "main"}, 200),
        ("git_delete_branch", "DELETE", "/git/branches", {"path": repo, "name": "b"}, 204),
        (None, "POST", "/git/remotes", {"path": repo, "name": "origin", "url": f"file://{root}/bare"}, None),
        ("git_push_changes", "POST", "/git/push", {"path": repo, "set_upstream": True, "username": "u", "password": "hush-password"}, None),
        ("git_pull_changes", "POST", "/git/pull", {"path": repo, "username": "u", "password": "hush-password"}, None),
        ("git_clone_repository", "POST", "/git/clone", {"url": "https://u:hush-url@127.0.0.1:1/r.git", "path": f"{root}/no"}, None),
        ("create_session", "POST", "/process/session", {"sessionId": f"s-{way}"}, 201),
        ("session_execute_command", "POST", f"/process/session/s-{way}/exec", {"command": "echo hi"}, 200),
        ("session_execute_command", "POST", f"/process/session/s-{way}/exec", {"command": "echo hi", "runAsync": True}, 202),
        ("delete_session", "DELETE", f"/process/session/s-{way}", None, 204),
        ("execute_command", "POST", "/process/code-run", {"code": "print(1)", "language": "python", "envs": {"A": "hush-env"}}, None),
        ("computer_use_start", "POST", "/computeruse/start", None, 501),
        ("computer_use_stop", "POST", "/computeruse/stop", None, 501),
        ("computer_use_restart_process", "POST", "/computeruse/process/x/restart", None, 501),
    ]
    before, expected, bodies = shared.newest()["id"], [], []
    for action, method, path, body, want in done:
        headers = form if isinstance(body, bytes) and body.startswith(b"--b") else {**KEY, "Content-Type": "application/json"}
        status, answer = shared.call(method, path, body, way, headers)
        assert status == (want or status), (path, status, answer)
        if action:
            expected.append((f"toolbox_{action}", status))
            bodies.append(answer)
        elif status >= 300:
            raise AssertionError((path, status, answer))
    fresh = []
    for entry in shared.log():
        if entry["id"] == before:
            break
        fresh.insert(0, entry)
    assert [(e["action"], e["statusCode"]) for e in fresh] == expected
    for entry, answer in zip(fresh, bodies):
        assert (entry["targetType"], entry["targetId"]) == ("sandbox", shared.box)
        if entry["statusCode"] >= 400:
            assert entry["errorMessage"] == answer["message"].replace("u:hush-url", "********"), entry
        else:
            assert "errorMessage" not in entry, entry
    told = {e["action"][8:]: e.get("metadata") for e in fresh}
    assert told["create_folder"] == {"query": {"path": root, "mode": "0755"}}
    assert told["move_file"] == {"query": {"source": f"{root}/one", "destination": f"{root}/two"}}
    assert told["bulk_upload_files"] is None
    assert told["replace_in_files"] == {"body": {"path": f"{root}/one", "oldText": "********", "newText": "********"}}
    assert told["git_push_changes"]["body"]["password"] == "********"
    assert told["git_clone_repository"]["body"] == {"url": "https://********@127.0.0.1:1/r.git", "path": f"{root}/no"}
    assert told["session_execute_command"] == {"body": {"command": "echo hi", "runAsync": True}, "params": {"sessionId": f"s-{way}"}}
    assert told["execute_command"] == {"body": {"code": "print(1)", "language": "python", "envs": {"A": "********"}}}
    assert told["computer_use_restart_process"] == {"params": {"processName": "x"}}
    stored = shared.stored()
    assert not [s for s in SECRETS if s in stored]


def test_reading_is_not_audited(shared):
    before = shared.newest()
    for path in ("/files?path=/tmp", "/files/info?path=/tmp", "/process/session", "/version", "/system/metrics", "/port", "/nothing"):
        for way in ("api", "proxy", "host"):
            shared.call("GET", path, way=way)
    # Nor what never got in.
    for way in ("api", "proxy", "host"):
        assert shared.call("POST", "/process/execute", {"command": "true"}, way, {"Authorization": "Bearer dtn_wrong"})[0] == 401
    # Nor what goes to a server of the sandbox.
    assert shared.call("POST", "/proxy/9/process/execute", {"command": "true"}, "proxy")[0] == 502
    assert shared.newest() == before


@pytest.mark.parametrize("method, path, action", [
    ("POST", "/process/execute/", "toolbox_execute_command"), ("POST", "/process/execute?x=1", "toolbox_execute_command"),
    ("HEAD", "/files/download?path=/etc/passwd", "toolbox_download_file")])
def test_other_spellings(shared, method, path, action):
    before = shared.newest()["id"]
    assert shared.call(method, path, {"command": "true"} if method == "POST" else None, "proxy")[0] == 200
    entry = shared.newest()
    assert entry["id"] != before and (entry["action"], entry["statusCode"]) == (action, 200)


def test_who_has_no_name(shared):
    """The sandbox's own token and signed URLs say nobody's name."""
    way = {"X-Daytona-Preview-Token": shared.token}
    assert shared.call("POST", "/process/execute", {"command": "true"}, "proxy", way)[0] == 200
    assert (shared.newest()["actorId"], shared.newest()["actorEmail"]) == ("preview-token", "")
    assert shared.call("POST", f"/process/execute?DAYTONA_SANDBOX_AUTH_KEY={shared.token}", {"command": "true"}, "host", {})[0] == 200
    assert shared.newest()["actorId"] == "preview-token" and shared.token not in shared.stored()
    with urllib.request.urlopen(urllib.request.Request(f"{shared.api.url}/sandbox/{shared.box}/signing-key", headers=KEY)) as reply:
        key = reply.read().decode()
    digest = hmac.new(key.encode(), b"v1:files:GET:/etc/hostname:0", hashlib.sha256).digest()
    signature = "v1_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert shared.call("GET", f"/files/download?path=%2Fetc%2Fhostname&expires=0&signature={signature}", way="proxy", headers={})[0] == 200
    entry = shared.newest()
    assert (entry["actorId"], entry["metadata"]) == ("signed-url", {"query": {"path": "/etc/hostname"}})
    assert signature not in shared.stored()


def test_what_fails_says_why(shared):
    status, answer = shared.call("GET", "/files/download?path=/no/such", way="proxy")
    entry = shared.newest()
    assert status == entry["statusCode"] == 404 and entry["errorMessage"] == answer["message"]
    status, answer = shared.call("POST", "/process/execute", b"{not json", "proxy")
    entry = shared.newest()
    assert status == entry["statusCode"] == 400 and entry["errorMessage"] == answer["message"] and "metadata" not in entry
    api = shared.api
    assert api.request("POST", "/toolbox/no-such/toolbox/process/execute", {"command": "true"})[0] == 400
    entry = shared.newest()
    assert (entry["targetId"], entry["statusCode"], entry["errorMessage"]) == ("no-such", 400, "Sandbox not found")
    other = api.request("POST", "/sandbox", {})[1]["id"]
    api.request("POST", f"/sandbox/{other}/stop")
    until(lambda: api.request("GET", f"/sandbox/{other}")[1]["state"] == "stopped")
    assert api.request("POST", f"/toolbox/{other}/toolbox/process/execute", {"command": "true"})[0] == 400
    entry = shared.newest()
    assert (entry["action"], entry["targetId"], entry["statusCode"], entry["errorMessage"]) == (
        "toolbox_execute_command", other, 400, "Sandbox is not running")
    api.request("DELETE", f"/sandbox/{other}")


def test_long_requests(shared):
    """Texts are cut, long bodies are left out, and all of it arrives."""
    status, ran = shared.call("POST", "/process/execute", {"command": "printf %s " + "x" * 20000})
    assert status == 200 and len(ran["result"]) == 20000
    command = shared.newest()["metadata"]["body"]["command"]
    assert command.startswith("printf %s xxx") and command.endswith(" (15914 bytes more)") and len(command) < 4200
    status, ran = shared.call("POST", "/process/execute", {"command": "wc -c <<'END'\n" + "x" * (3 << 20) + "\nEND"}, "proxy")
    assert (status, ran["result"]) == (200, f"{(3 << 20) + 1}\n"), ran
    assert (shared.newest()["statusCode"], "metadata" in shared.newest()) == (200, False)
    port, base, host = shared.way("proxy")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("POST", base + "/process/execute", iter([b'{"command": ', b'"echo hi"}']), {"Host": host, **KEY}, encode_chunked=True)
    assert json.loads(c.getresponse().read())["result"] == "hi\n"
    c.close()
    assert (shared.newest()["statusCode"], "metadata" in shared.newest()) == (200, False)
    big = b"z" * (5 << 20)
    assert shared.call("POST", "/files/upload-raw?path=/tmp/big", big, "proxy")[0] == 200
    assert shared.call("GET", "/files/download?path=/tmp/big", way="proxy") == (200, big)
    assert [(e["action"], e["statusCode"]) for e in shared.log(2)] == [("toolbox_download_file", 200), ("toolbox_upload_file", 200)]


def leave(shared, head, body=b"", read=0):
    """A client that goes away after so many bytes of the answer."""
    port, base, host = shared.way("proxy")
    s = socket.create_connection(("127.0.0.1", port), 30)
    method, path = head
    s.sendall(f"{method} {base}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {backend.KEY}\r\n"
              f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    got = 0
    while got < read:
        got += len(s.recv(65536))
    return s


def sleeping(shared):
    """Whether the command below runs; the look finds itself, or it is none."""
    seen = shared.call("POST", "/process/execute", {"command": "cat /proc/[0-9]*/cmdline 2>/dev/null; true"})[1]["result"]
    assert "cat /proc/" in seen
    return "sleep\000600\0" in seen or "sleep 600" in seen


def test_clients_that_leave(shared):
    s = leave(shared, ("POST", "/process/execute"), b'{"command": "sleep 600 # left"}')
    entry = until(lambda: next((e for e in shared.log() if "# left" in str(e.get("metadata"))), None))
    assert "statusCode" not in entry  # it is under way
    until(lambda: sleeping(shared))
    s.close()
    entry = until(lambda: next((e for e in shared.log() if e["id"] == entry["id"] and "statusCode" in e), None))
    assert (entry["statusCode"], entry["errorMessage"]) == (499, "the client went away before the answer")
    until(lambda: not sleeping(shared))
    shared.call("POST", "/process/execute", {"command": "truncate -s 300M /tmp/sparse"})
    leave(shared, ("GET", "/files/download?path=/tmp/sparse"), read=100000).close()
    entry = until(lambda: next((e for e in shared.log(3) if e["action"] == "toolbox_download_file" and "statusCode" in e), None))
    assert (entry["statusCode"], entry["errorMessage"]) == (200, "the answer was cut off")
    # Half of a body: nothing was to be done yet, so nothing was written.
    before = shared.newest()["id"]
    port, base, host = shared.way("proxy")
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(f"POST {base}/process/execute HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {backend.KEY}\r\nContent-Length: 99\r\n\r\n{{".encode())
        time.sleep(0.2)
    assert shared.call("POST", "/files/folder?path=/tmp/after&mode=0755")[0] == 201
    assert [e["id"] for e in shared.log(2)][1] == before


def test_what_cannot_be_written_down_is_not_done():
    with server("--audit-toolbox") as s:
        with sqlite3.connect(s.api.data / "state" / "daytona.db") as db:
            db.execute("CREATE TRIGGER stop BEFORE INSERT ON audit WHEN new.begin_seq IS NULL BEGIN SELECT RAISE(ABORT, 'no room'); END")
        for way in ("api", "proxy", "host"):
            status, e = s.call("POST", "/process/execute", {"command": "touch /tmp/done"}, way)
            assert status == 500 and "audit log cannot be written, so nothing was done" in e["message"], e
            assert s.call("POST", "/files/upload-raw?path=/tmp/done", b"x" * (2 << 20), way)[0] == 500
        assert s.call("GET", "/files/info?path=/tmp/done")[0] == 404
        with sqlite3.connect(s.api.data / "state" / "daytona.db") as db:
            db.execute("DROP TRIGGER stop")
        assert s.call("POST", "/process/execute", {"command": "true"})[0] == 200
        s.verify()


def test_killed_in_the_middle():
    with server("--audit-toolbox") as s:
        def run():
            with contextlib.suppress(OSError, http.client.HTTPException):
                s.call("POST", "/process/execute", {"command": "sleep 600"}, "proxy")
        t = threading.Thread(target=run)
        t.start()
        entry = until(lambda: next((e for e in s.log(3) if e["action"] == "toolbox_execute_command"), None))
        s.api.stop(signal.SIGKILL)
        t.join()
        s.verify()
        s.api.start()
        after = next(e for e in s.log(5) if e["id"] == entry["id"])
        assert (after["statusCode"], after["metadata"]) == (0, {"body": {"command": "sleep 600"}})
        assert "does not know" in after["errorMessage"]
        s.verify()


@pytest.mark.parametrize("settings", [(), ("--audit-toolbox", "--no-audit")])
def test_off(settings):
    with server(*settings) as s:
        for way in ("api", "proxy", "host"):
            assert s.call("POST", "/process/execute", {"command": "true"}, way)[0] == 200
        assert not [e for e in s.log() if e["action"].startswith("toolbox_")]
        s.verify()


def test_the_setting_has_its_name():
    out = subprocess.run([backend.program("daytona-runnerd"), "--help"], capture_output=True, text=True).stdout
    assert "AUDIT_TOOLBOX_REQUESTS_ENABLED" in out

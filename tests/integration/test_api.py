"""The REST API and the preview proxy of a real daytona-runnerd, with a snapshot of one static program."""
import concurrent.futures
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import uuid

import backend
import busybox
import host
import image
import pytest
import service
import websockets.exceptions
import websockets.sync.client


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    """A root file system of busybox alone, as a tar."""
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


def make(rootfs, *settings):
    b = backend.Backend(tempfile.mkdtemp(prefix="dt-api-", dir="/var/tmp"),
                        settings=("--default-snapshot", "busybox", *settings))
    b.__enter__()
    b.import_snapshot("busybox", rootfs)
    return b


def end(b):
    """Also after a test that failed with a dead server: nothing may stay on the host."""
    try:
        if b.process is None or b.process.poll() is not None:
            b.start()
        for box in b.request("GET", "/sandbox?limit=200")[1]["items"]:
            delete(b, box["id"])
    finally:
        b.__exit__()


@pytest.fixture(scope="module")
def api(rootfs):
    b = make(rootfs)
    try:
        yield b.start()
    finally:
        end(b)


@pytest.fixture(scope="module", autouse=True)
def idle(rootfs):
    """Two that end when nobody needs them, beside all other tests: it takes them a minute. The second has a sandbox that runs."""
    pair = [make(rootfs, "--idle-exit", "1") for _ in range(2)]
    try:
        for b in pair:
            b.start()
        assert pair[1].request("POST", "/sandbox", {})[0] == 200
        yield pair
    finally:
        for b in pair:
            end(b)


@pytest.fixture
def own(rootfs):
    """One that a test may kill."""
    b = make(rootfs)
    try:
        yield b.start()
    finally:
        end(b)


@pytest.fixture
def box(api):
    status, made = api.request("POST", "/sandbox", {})
    assert status == 200, made
    yield made["id"]
    delete(api, made["id"])


def delete(api, box):
    """Whatever it is doing just now."""
    end = time.monotonic() + 120
    while (status := api.request("DELETE", f"/sandbox/{box}")[0]) == 409 and time.monotonic() < end:
        time.sleep(0.02)
    assert status in (200, 404)


def wait_state(api, box, state):
    end = time.monotonic() + 120
    while True:
        status, now = api.request("GET", f"/sandbox/{box}")
        assert status == 200, now
        if now["state"] == state:
            return now
        assert time.monotonic() < end, now
        time.sleep(0.02)


def execute(api, box, command):
    status, out = api.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": command, "timeout": 120})
    assert status == 200, out
    return out


def ask(api, host, path="/", method="GET", headers=None, body=None, port=None):
    """One request to the preview proxy (or another port), with that Host."""
    c = http.client.HTTPConnection("127.0.0.1", port or api.proxy_port, timeout=120)
    c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    c.putheader("Host", host)
    for name, value in (headers or {}).items():
        c.putheader(name, value)
    if body is not None:
        c.putheader("Content-Length", str(len(body)))
    c.endheaders(body)
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, r.headers, data


def preview_host(api, box, port):
    return f"{port}-{box}.proxy.localhost:{api.proxy_port}"


def token(api, box, port=3000):
    status, link = api.request("GET", f"/sandbox/{box}/ports/{port}/preview-url")
    assert status == 200
    assert link["url"] == f"http://{preview_host(api, box, port)}"
    return link["token"]


def serve_www(api, box, port=3000):
    execute(api, box, f"httpd -p 0.0.0.0:{port} -h /www")
    wait_listen(api, box, port)


def wait_listen(api, box, port):
    end = time.monotonic() + 60
    while not api.request("GET", f"/toolbox/{box}/toolbox/port/{port}/in-use")[1].get("isInUse"):
        assert time.monotonic() < end
        time.sleep(0.02)


# --- the server itself ---

def test_health_and_config(api):
    for path in ("/health", "/api/health"):
        assert ask(api, "x", path, port=api.port)[0] == 200
    status, c = api.request("GET", "/config", key=None)
    assert status == 200
    assert c["announcements"] == {} and c["maintananceMode"] is False and "provider" in c["oidc"]
    assert c["proxyTemplateUrl"] == f"http://{{{{PORT}}}}-{{{{sandboxId}}}}.proxy.localhost:{api.proxy_port}"
    assert c["proxyToolboxUrl"] == f"http://localhost:{api.proxy_port}/toolbox"
    assert c["defaultSnapshot"] == "busybox"


def test_help_and_version():
    run = backend.program("daytona-runnerd")
    text = subprocess.run([run, "--help"], check=True, capture_output=True, text=True).stdout
    schema = json.loads((pathlib.Path(__file__).parents[2] / "schemas/config/runnerd.json").read_text())
    listed = dict(re.findall(r"^  --([a-z0-9-]+) +([A-Z0-9_]+)$", text, re.M))
    assert listed == {s["flag"]: s["env"] for s in schema["settings"] if not s.get("hidden")} and len(listed) > 60
    for flag, variable in (("data-dir", "DAYTONA_DATA_DIR"), ("port", "PORT"), ("proxy-port", "PROXY_PORT"), ("proxy-domain", "PROXY_DOMAIN"),
                           ("default-snapshot", "DEFAULT_SNAPSHOT"), ("admin-api-key", "ADMIN_API_KEY")):
        assert listed[flag] == variable
    assert subprocess.run([run, "--version"], check=True, capture_output=True, text=True).stdout.startswith("daytona-runnerd ")
    bad = subprocess.run([run, "--no-such-thing"], capture_output=True, text=True)
    assert bad.returncode == 2 and "--no-such-thing" in bad.stderr


def filters_of(pid):
    """More than none where the tests themselves run in a container."""
    return int(re.search(r"Seccomp_filters:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def test_its_key_is_for_no_other_eyes(api):
    """Not in what other users can read of its processes, and not in its sandboxes."""
    launcher = int(subprocess.run(["pgrep", "-P", str(api.process.pid), "-f", "daytona-launcher"], capture_output=True, text=True, check=True).stdout)
    for pid in (api.process.pid, launcher):
        assert backend.KEY.encode() not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        read = subprocess.run(["cat", f"/proc/{pid}/environ"], user=65533, group=65533, extra_groups=[], capture_output=True)
        assert read.returncode != 0 and read.stdout == b""
        for other in (65530, 65533):  # its own user neither: it is not dumpable
            assert subprocess.run(["cat", f"/proc/{pid}/mem"], user=other, group=other, extra_groups=[], capture_output=True).returncode != 0
    box = api.request("POST", "/sandbox", {})[1]["id"]
    assert backend.KEY not in execute(api, box, "cat /proc/*/environ; env")["result"]
    delete(api, box)


def test_secret_flags_are_for_no_other_eyes(rootfs):
    """Everybody on the host can read the arguments of its processes."""
    key, other = "dtn_" + "f" * 64, "5ecret-of-a-proxy"
    b = make(rootfs, "--admin-api-key", key, f"--proxy-api-key={other}", "--SMTP_PASSWORD", other)
    try:
        b.start()
        assert b.request("GET", "/sandbox", key=key)[0] == 200 and b.request("GET", "/sandbox")[0] == 401
        words = pathlib.Path(f"/proc/{b.process.pid}/cmdline").read_bytes().decode().split("\0")
        assert str(b.data) in words and "--admin-api-key" in words
        assert key not in words and not [w for w in words if other in w], words
    finally:
        b.__exit__()


def test_it_says_what_the_kernel_cannot(api):
    create_ruleset, version = 444, 1
    landlock = ctypes.CDLL(None).syscall(create_ruleset, None, ctypes.c_size_t(0), version)
    assert ("no Landlock" in (api.data / "runnerd.log").read_text()) == (landlock < 1)


def test_it_runs_without_privileges(api):
    assert api.request("GET", "/sandbox")[0] == 200  # by now it has all its threads
    threads = list(pathlib.Path(f"/proc/{api.process.pid}/task").iterdir())
    for thread in threads:
        field = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        assert "0" not in field["Uid"].split() and "0" not in field["Gid"].split() and field["Groups"].strip() == ""
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(field[name], 16) == 0
        assert field["NoNewPrivs"] == "1"
        assert field["Seccomp"] == "2" and int(field["Seccomp_filters"]) == filters_of("self") + 1
    assert len(threads) > 1
    for name in ("daytona.db", "secret"):
        assert (api.data / "state" / name).stat().st_mode & 0o077 == 0


def test_a_data_directory_has_one_server(api):
    run = subprocess.run([backend.program("daytona-runnerd"), "--data-dir", api.data, "--port", "0"],
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 75 and "another daytona-runnerd" in run.stderr


def test_a_plain_user_gets_one_line(api, tmp_path):
    tmp_path.chmod(0o777)
    where = tmp_path / "data"
    run = subprocess.run([backend.program("daytona-runnerd"), "--data-dir", where], user=65534, group=65534,
                         extra_groups=[], capture_output=True, text=True, timeout=120, cwd="/")
    assert run.returncode == 1 and run.stderr.count("\n") == 1 and "root" in run.stderr


# --- credentials ---

def test_keys(api):
    for key, message in ((None, "Unauthorized"), ("dtn_" + "0" * 64, "Invalid API key"), ("x", "Invalid API key")):
        status, e = api.request("GET", "/sandbox", key=key)
        assert status == 401 and message in e["message"] and e["code"] == "UNAUTHORIZED"
    status, _, body = ask(api, "x", "/api/sandbox", port=api.port, headers={"Authorization": "Basic YTpi"})
    assert status == 401 and json.loads(body)["statusCode"] == 401


def over_socket(path, uid):
    code = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "s.sendall(b'GET /api/sandbox HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
            "print(s.makefile().read())")
    return subprocess.run(["python3", "-c", code, path], user=uid, group=uid, extra_groups=[], capture_output=True,
                          text=True, check=True, cwd="/").stdout


def test_the_socket_knows_its_peers(api):
    assert " 200 OK" in over_socket(api.socket, 0)
    refused = over_socket(api.socket, 65534)
    assert " 403 Forbidden" in refused and "65534" in refused


def test_the_store_has_hashes_only(api):
    text = b"".join(p.read_bytes() for p in (api.data / "state").iterdir() if p.name.startswith("daytona.db"))
    assert backend.KEY.encode() not in text and b"SQLite format 3" in text


def test_the_first_start_prints_a_key_once(rootfs):
    b = make(rootfs)
    try:
        environment = {k: v for k, v in os.environ.items() if k != "ADMIN_API_KEY"}
        found = []
        for _ in range(2):
            out = open(b.data / "out", "wb")
            run = subprocess.Popen([backend.program("daytona-runnerd"), "--data-dir", b.data, "--port", "0",
                                    "--proxy-port", "0"], stdout=out, stderr=subprocess.PIPE, text=True, env=environment)
            while "listening" not in (line := run.stderr.readline()):
                assert line, "it ended"
            run.send_signal(signal.SIGTERM)
            run.stderr.read()
            assert run.wait(60) == 0
            found.append((b.data / "out").read_text())
        assert re.search(r"^export DAYTONA_API_URL=http://localhost:\d+/api\nexport DAYTONA_API_KEY=dtn_[0-9a-f]{64}$",
                         found[0], re.M)
        assert "export" not in found[1]
    finally:
        b.__exit__()


# --- errors ---

def test_unknown_paths(api):
    for method, path in (("GET", "/nope"), ("POST", "/sandbox/x/nope"), ("PATCH", "/sandbox")):
        status, e = api.request(method, path)
        assert status == 404 and e["message"] == f"Cannot {method} /api{path}"
        assert e["source"] == "DAYTONA_API" and e["error"] == "Not Found" and e["statusCode"] == 404
        assert e["path"] == f"/api{path}" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["timestamp"])


def test_a_slash_too_many(api):
    assert ask(api, "localhost", "/api//config", port=api.port)[0] == 200


@pytest.mark.parametrize("body, message", [
    ({"name": 7}, "name must be a string"),
    ({"cpu": "two"}, "cpu must be a number"),
    ({"env": {"A": 1}}, "env.A must be a string"),
    ({"env": []}, "env must be an object"),
    ({"env": {"A=B": "x"}}, "env: a variable's name"),
    ({"name": "a\nb"}, "name must not contain"),
    ({"name": "x" * 300}, "name must be at most 255 bytes"),
    ({"class": "huge"}, "class must be one of"),
    ({"cpu": 1000}, "exceeds maximum allowed per sandbox"),
    ({"memory": 100000}, "exceeds maximum allowed per sandbox"),
    ({"gpu": 1}, "GPU"),
    ({"volumes": [{"volumeId": "v", "mountPath": "/etc"}]}, "Invalid mount path /etc"),
    ({"buildInfo": {"dockerfileContent": "FROM x"}}, "cannot build images"),
    ({"snapshot": "no-such"}, "Snapshot no-such not found"),
    ({"networkAllowList": "10.0.0.0"}, "Missing CIDR prefix length"),
    ({"networkAllowList": "1.1.1.1/1,1.1.1.1/1,1.1.1.1/1,1.1.1.1/1,1.1.1.1/1,1.1.1.1/1"}, "more than 5"),
    ({"autoStopInterval": -1}, "autoStopInterval must not be less than 0"),
    ({"user": "a b"}, "user must be a name"),
])
def test_bad_requests_to_create(api, body, message):
    status, e = api.request("POST", "/sandbox", body)
    assert status == 400 and message in e["message"], e
    assert api.request("GET", "/sandbox")[1]["items"] == []


def test_bodies_that_are_no_json(api):
    key = {"Authorization": f"Bearer {backend.KEY}"}
    for body in (b"{", b"\xff", b"[1]", b'{"a":1,"a":2}', b"[" * 1000):
        status, _, text = ask(api, "x", "/api/sandbox", "POST", key, body, port=api.port)
        assert status == 400, text
    status, _, text = ask(api, "x", "/api/sandbox", "POST", key, b" " * (5 << 20), port=api.port)
    assert status == 413


def test_unknown_sandboxes(api):
    for name in (str(uuid.uuid4()), "nobody", "..%2f..", "%00", "a%2Fb"):
        status, e = api.request("GET", f"/sandbox/{name}")
        assert status in (400, 404), e
    status, e = api.request("POST", f"/toolbox/{uuid.uuid4()}/toolbox/process/execute", {})
    assert status == 400 and e["message"] == "Sandbox not found" and e["response"]["statusCode"] == 400


# --- the life of a sandbox ---

def test_create_answers_started(api):
    status, made = api.request("POST", "/sandbox", {
        "name": "first one", "env": {"A": "b c"}, "labels": {"code-toolbox-language": "python"}, "cpu": 0.5,
        "memory": 0.25, "disk": 1, "autoStopInterval": 0, "unknownField": [1]})
    assert status == 200
    try:
        assert made["state"] == made["desiredState"] == "started"
        assert uuid.UUID(made["id"]).version == 4
        assert (made["name"], made["snapshot"], made["target"], made["class"]) == ("first one", "busybox", "us", "small")
        assert (made["cpu"], made["memory"], made["disk"], made["gpu"]) == (0.5, 0.25, 1, 0)
        assert (made["autoStopInterval"], made["autoArchiveInterval"], made["autoDeleteInterval"]) == (0, 10080, -1)
        assert made["env"] == {"A": "b c"} and made["user"] == "root" and made["volumes"] == []
        assert made["toolboxProxyUrl"] == f"http://localhost:{api.proxy_port}/toolbox"
        assert execute(api, made["id"], "echo $A; id -u")["result"] == "b c\n0\n"
        by_name = api.request("GET", "/sandbox/first%20one")
        by_id = api.request("GET", f"/sandbox/{made['id']}")
        assert by_name == by_id and by_id[1]["name"] == "first one"
        status, e = api.request("POST", "/sandbox", {"name": "first one"})
        assert status == 409 and e["message"] == "Sandbox with name first one already exists"
    finally:
        status, gone = api.request("DELETE", "/sandbox/first%20one")
    assert status == 200 and gone["name"].startswith("DESTROYED_first one_") and gone["desiredState"] == "destroyed"
    assert api.request("GET", f"/sandbox/{made['id']}")[0] == 404
    assert api.request("GET", "/sandbox")[1]["items"] == []
    assert not (api.data / "sandboxes" / made["id"]).exists()


@pytest.mark.parametrize("user", ["nobody-here", "alice:no-group", "65534x"])
def test_a_user_that_the_image_does_not_have(api, user):
    status, e = api.request("POST", "/sandbox", {"user": user})
    assert status == 400 and e["code"] == "BAD_REQUEST", e
    assert f"user '{user}' does not exist in snapshot 'busybox'; name a user of the image" in e["message"]
    assert api.request("GET", "/sandbox")[1]["items"] == [] and not on_disk(api)


@pytest.mark.parametrize(("user", "uid"), [("root", 0), ("alice", 1000), ("1000", 1000), ("4242", 4242), ("", 0)])
def test_a_user_by_name(api, user, uid):
    status, made = api.request("POST", "/sandbox", {"user": user})
    assert status == 200 and made["user"] == (user or "root"), made
    try:
        assert execute(api, made["id"], "id -u")["result"] == f"{uid}\n"
    finally:
        delete(api, made["id"])


def test_a_user_that_went_away(api):
    """Who can write the image's list of users can only stop the sandbox with it, not become root."""
    box = api.request("POST", "/sandbox", {"user": "0:users"})[1]["id"]
    try:
        assert execute(api, box, "echo root:x:0: > /etc/group; id -g")["result"] == "100\n"
        assert api.request("POST", f"/sandbox/{box}/stop")[0] == 200
        wait_state(api, box, "stopped")
        status, e = api.request("POST", f"/sandbox/{box}/start")
        assert status == 400 and "user '0:users' does not exist" in e["message"], e
        now = wait_state(api, box, "stopped")
        assert "user '0:users' does not exist" in now["errorReason"]
    finally:
        delete(api, box)


def test_a_name_is_free_again(api):
    for _ in range(3):
        status, made = api.request("POST", "/sandbox", {"name": "again"})
        assert status == 200 and api.request("DELETE", "/sandbox/again")[0] == 200


def test_stop_and_start_keep_the_files(api, box):
    execute(api, box, "echo kept > /root/file")
    old = token(api, box)
    status, now = api.request("POST", f"/sandbox/{box}/stop")
    assert status == 200 and now["state"] == "stopping" and now["desiredState"] == "stopped"
    stopped = wait_state(api, box, "stopped")
    assert "errorReason" not in stopped
    assert api.request("POST", f"/sandbox/{box}/stop")[0] == 400
    status, e = api.request("GET", f"/toolbox/{box}/toolbox/version")
    assert status == 400 and e["message"] == "Sandbox is not running" and e["name"] == "BadRequestException"
    status, _, body = ask(api, preview_host(api, box, 3000), headers={"X-Daytona-Preview-Token": old})
    assert status == 400 and f"/api/sandbox/{box}/start" in json.loads(body)["message"]
    status, now = api.request("POST", f"/sandbox/{box}/start")
    assert status == 200 and now["state"] == "started"
    assert api.request("POST", f"/sandbox/{box}/start")[0] == 200  # it is so already
    assert execute(api, box, "cat /root/file")["result"] == "kept\n"
    assert token(api, box) != old


def test_one_change_at_a_time(api, box):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.request("POST", f"/sandbox/{box}/stop")[0], range(8)))
    assert answers.count(200) == 1 and set(answers) <= {200, 400, 409}
    wait_state(api, box, "stopped")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.request("POST", f"/sandbox/{box}/start")[0], range(8)))
    assert answers.count(200) >= 1 and set(answers) <= {200, 409}
    wait_state(api, box, "started")


def test_the_same_name_at_once(api):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.request("POST", "/sandbox", {"name": "race"})[0], range(8)))
    assert sorted(answers) == [200] + [409] * 7
    assert api.request("DELETE", "/sandbox/race")[0] == 200


def test_edits_while_it_starts(api, box):
    """Neither the answer of the start nor what is shown afterwards forgets them."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for i in range(8):
            api.request("POST", f"/sandbox/{box}/stop")
            wait_state(api, box, "stopped")
            start = pool.submit(api.request, "POST", f"/sandbox/{box}/start")
            edit = pool.submit(api.request, "POST", f"/sandbox/{box}/autostop/{20 + i}")
            assert start.result()[0] == 200 and edit.result()[0] in (200, 201)
            assert api.request("GET", f"/sandbox/{box}")[1]["autoStopInterval"] == 20 + i
            assert api.request("POST", f"/sandbox/{box}/start")[1]["autoStopInterval"] == 20 + i


def test_edits(api, box):
    status, now = api.request("PUT", f"/sandbox/{box}/labels", {"labels": {"a": "1", "b": "2"}})
    assert status == 200 and now["labels"] == {"a": "1", "b": "2"}
    assert api.request("PUT", f"/sandbox/{box}/labels", {"labels": {"a": 1}})[0] == 400
    assert api.request("PUT", f"/sandbox/{box}/labels", {})[0] == 400
    for path, field, want in (("autostop/7", "autoStopInterval", 7), ("autoarchive/0", "autoArchiveInterval", 43200),
                              ("autoarchive/99", "autoArchiveInterval", 99), ("autodelete/5", "autoDeleteInterval", 5),
                              ("autodelete/-1", "autoDeleteInterval", -1), ("public/true", "public", True),
                              ("public/no", "public", False)):
        status, now = api.request("POST", f"/sandbox/{box}/{path}")
        assert status == 201 and now[field] == want
        assert api.request("GET", f"/sandbox/{box}")[1][field] == want
    for path in ("autostop/-1", "autoarchive/-1", "autostop/x", "autostop/1.5"):
        assert api.request("POST", f"/sandbox/{box}/{path}")[0] == 400
    before = api.request("GET", f"/sandbox/{box}")[1]["lastActivityAt"]
    time.sleep(0.01)
    assert api.request("POST", f"/sandbox/{box}/last-activity") == (201, None)
    assert api.request("GET", f"/sandbox/{box}")[1]["lastActivityAt"] > before


def listed(api, box):
    """What the list says of it; lists always ask the store."""
    found = [b for b in api.request("GET", "/sandbox?limit=200")[1]["items"] if b["id"] == box]
    return found[0] if found else None


def read(api, box):
    """What GET says, also when it says so again: the same as the list."""
    answers = [api.request("GET", f"/sandbox/{box}") for _ in range(3)]
    assert answers == [(200, listed(api, box))] * 3
    return answers[0][1]


def wait_listed(api, box, state):
    """Waits without GET, so that GET is asked the first time behind the change."""
    end = time.monotonic() + 120
    while listed(api, box)["state"] != state:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_get_after_each_edit(api, box):
    big = {f"text{n}": "x" * 4096 for n in range(3)}  # more than is kept in memory
    for method, path, body, field, want in (
            ("PUT", "labels", {"labels": {"a": "1"}}, "labels", {"a": "1"}),
            ("PUT", "labels", {"labels": big}, "labels", big), ("PUT", "labels", {"labels": {}}, "labels", {}),
            ("POST", "public/true", None, "public", True), ("POST", "public/false", None, "public", False),
            ("POST", "autostop/7", None, "autoStopInterval", 7),
            ("POST", "autoarchive/9", None, "autoArchiveInterval", 9),
            ("POST", "autodelete/5", None, "autoDeleteInterval", 5),
            ("POST", "autopause/6", None, "autoPauseInterval", 6)):
        before = read(api, box)
        assert before[field] != want
        status, now = api.request(method, f"/sandbox/{box}/{path}", body)
        assert status in (200, 201) and read(api, box) == now and now[field] == want
    for touch in (lambda: api.request("POST", f"/sandbox/{box}/last-activity"), lambda: execute(api, box, "id")):
        before = read(api, box)["lastActivityAt"]
        time.sleep(0.002)
        touch()
        assert read(api, box)["lastActivityAt"] > before


def test_get_after_each_step(api):
    box = api.request("POST", "/sandbox", {"name": "steps"})[1]["id"]
    try:
        assert read(api, box)["state"] == "started" and read(api, box) == api.request("GET", "/sandbox/steps")[1]
        assert api.request("POST", f"/sandbox/{box}/stop")[0] == 200
        assert api.request("GET", f"/sandbox/{box}")[1]["desiredState"] == "stopped"
        wait_listed(api, box, "stopped")
        assert read(api, box)["state"] == "stopped"
        status, now = api.request("POST", f"/sandbox/{box}/start")
        assert status == 200 and read(api, box) == now and now["state"] == "started"
        assert api.request("POST", f"/sandbox/{box}/start") == (200, now)  # it is so already
        assert host.kill_first_process(box) == 1
        wait_listed(api, box, "stopped")
        assert "ended by itself" in read(api, box)["errorReason"]
        assert api.request("POST", f"/sandbox/{box}/start")[0] == 200 and "errorReason" not in read(api, box)
    finally:
        delete(api, box)
    for name in (box, "steps"):
        status, e = api.request("GET", f"/sandbox/{name}")
        assert status == 404 and e["message"] == f"Sandbox with ID or name {name} not found"
    assert listed(api, box) is None


def test_gets_beside_edits(api, box):
    """None is older than an edit that was answered before it was asked."""
    answered, over = [0], threading.Event()

    def reader():
        count = 0
        while not over.is_set():
            least = answered[0]
            assert api.request("GET", f"/sandbox/{box}")[1]["autoStopInterval"] >= least
            count += 1
        return count

    assert api.request("POST", f"/sandbox/{box}/autostop/0")[0] == 201
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(reader) for _ in range(4)]
        try:
            for minutes in range(1, 200):
                assert api.request("POST", f"/sandbox/{box}/autostop/{minutes}")[0] == 201
                answered[0] = minutes
        finally:
            over.set()
        assert all(r.result() > 0 for r in readers)
    assert read(api, box)["autoStopInterval"] == 199


def test_stop_ends_an_ephemeral_one(api):
    box = api.request("POST", "/sandbox", {"autoDeleteInterval": 0})[1]["id"]
    assert api.request("POST", f"/sandbox/{box}/stop")[0] == 200
    assert api.request("GET", f"/sandbox/{box}")[0] == 404


def test_one_that_ends_by_itself(api, box):
    execute(api, box, "echo x")
    assert host.kill_first_process(box) == 1
    now = wait_state(api, box, "stopped")
    assert "ended by itself" in now["errorReason"]
    status, now = api.request("POST", f"/sandbox/{box}/start")
    assert status == 200 and now["state"] == "started" and "errorReason" not in now


# --- lists ---

def test_lists(api):
    made = [api.request("POST", "/sandbox", {"name": f"list-{i}", "labels": {"n": str(i % 2), "all": "x"}})[1]["id"]
            for i in range(5)]
    try:
        status, page = api.request("GET", "/sandbox")
        assert status == 200 and [b["id"] for b in page["items"]] == made[::-1] and page["nextCursor"] is None
        seen, cursor = [], ""
        while cursor is not None:
            status, page = api.request("GET", f"/sandbox?limit=2&cursor={cursor}")
            assert status == 200 and len(page["items"]) <= 2
            seen += [b["id"] for b in page["items"]]
            cursor = page["nextCursor"]
        assert seen == made[::-1]
        seen, cursor = [], ""
        while cursor is not None:
            page = api.request("GET", f"/sandbox?limit=2&sort=name&order=asc&cursor={cursor}")[1]
            seen += [b["name"] for b in page["items"]]
            cursor = page["nextCursor"]
        assert seen == [f"list-{i}" for i in range(5)]

        def ids(query):
            status, page = api.request("GET", f"/sandbox?{query}")
            assert status == 200, page
            return [b["id"] for b in page["items"]]
        assert ids("labels=%7B%22n%22%3A%221%22%7D") == [made[3], made[1]]
        assert ids("labels=%7B%22n%22%3A%221%22%2C%22all%22%3A%22y%22%7D") == []
        assert ids("labels=null") == ids("labels=%7B%7D") == made[::-1]
        both = "labels=%7B%22n%22%3A%220%22%2C%22all%22%3A%22x%22%7D"
        assert ids(both) == [made[4], made[2], made[0]]
        assert ids(both + "&sort=name&order=asc") == [made[0], made[2], made[4]]
        first = api.request("GET", f"/sandbox?{both}&limit=2")[1]
        assert [b["id"] for b in first["items"]] == [made[4], made[2]]
        assert ids(f"{both}&limit=2&cursor={first['nextCursor']}") == [made[0]]
        page = api.request("GET", f"/sandbox/paginated?{both}&page=2&limit=2")[1]
        assert (page["total"], [b["id"] for b in page["items"]]) == (3, [made[0]])
        assert api.request("PUT", f"/sandbox/{made[0]}/labels", {"labels": {"n": "1", "new": "\"ü\""}})[0] == 200
        assert ids(both) == [made[4], made[2]]
        assert ids("labels=%7B%22new%22%3A%22%5C%22%C3%BC%5C%22%22%7D") == [made[0]]
        assert ids("labels=%7B%22n%22%3A%221%22%7D&states=started") == [made[3], made[1], made[0]]
        assert api.request("PUT", f"/sandbox/{made[0]}/labels", {"labels": {"n": "0", "all": "x"}})[0] == 200
        assert ids(both) == [made[4], made[2], made[0]] and ids("labels=%7B%22new%22%3A%22%5C%22%C3%BC%5C%22%22%7D") == []
        assert ids("name=LIST-3") == [made[3]] and ids(f"id={made[2][:13].upper()}") == [made[2]]
        assert ids("states=stopped") == [] and ids("states=stopped&states=started") == made[::-1]
        assert ids("snapshots=busybox&limit=1") == [made[4]] and ids("snapshots=other") == []
        assert ids("name=list-%25") == []
        status, page = api.request("GET", "/sandbox/paginated?page=2&limit=2")
        assert (page["total"], page["page"], page["totalPages"]) == (5, 2, 3)
        assert [b["id"] for b in page["items"]] == [made[2], made[1]]
        for query in ("limit=0", "limit=201", "limit=x", "cursor=zzz", "cursor=k1.x", "labels=%7B", "labels=[]",
                      "states=flying", "sort=size"):
            assert api.request("GET", f"/sandbox?{query}")[0] == 400, query
    finally:
        for box in made:
            delete(api, box)


def test_snapshots(api):
    status, page = api.request("GET", "/snapshots")
    assert status == 200 and [s["name"] for s in page["items"]] == ["busybox"] and page["total"] == 1
    status, one = api.request("GET", "/snapshots/busybox")
    assert status == 200 and one["state"] == "active" and one["mem"] == 1 and one["sourceSandboxId"] is None
    assert api.request("GET", f"/snapshots/{one['id']}")[1] == one
    status, e = api.request("GET", "/snapshots/none")
    assert status == 404 and e["message"] == "Snapshot with name none not found"


def test_import_while_it_runs(api, rootfs):
    api.import_snapshot("team/second:1.0", rootfs)
    api.import_snapshot("team/second:1.0", rootfs)
    status, one = api.request("GET", "/snapshots/team%2Fsecond%3A1.0")
    assert status == 200
    status, made = api.request("POST", "/sandbox", {"snapshot": "team/second:1.0"})
    assert status == 200 and made["snapshot"] == "team/second:1.0"
    delete(api, made["id"])
    with sqlite3.connect(f"file:{api.data}/state/daytona.db?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM snapshot WHERE name LIKE 'team%'").fetchone()[0] == 1
        db.execute("SELECT 1")
    bad = subprocess.run([backend.program("daytona-runnerd"), "snapshot", "import", "a b", rootfs, "--data-dir", api.data],
                         capture_output=True, text=True)
    assert bad.returncode == 1 and "Invalid snapshot name" in bad.stderr


def test_snapshots_in_order(api, rootfs):
    for name in ("sorted-b", "sorted-a", "sorted-c"):
        api.import_snapshot(name, rootfs)

    def names(query=""):
        status, page = api.request("GET", f"/snapshots?name=SORTED-{query}")
        assert status == 200 and page["total"] == 3, page
        return "".join(s["name"][-1] for s in page["items"])
    assert names("&sort=name&order=asc") == "abc" and names("&sort=name") == "cba"
    assert names("&sort=createdAt&order=asc") == "bac" and names("&sort=createdAt") == "cab"
    assert names("&sort=state") == "abc"  # all are active
    assert names() == "abc"  # none was used
    for name in ("sorted-c", "sorted-b"):
        status, made = api.request("POST", "/sandbox", {"snapshot": name})
        assert status == 200, made
        delete(api, made["id"])
    assert names() == "bca" and names("&sort=lastUsedAt&order=asc") == "cba"
    assert names("&limit=1&page=2&sort=name&order=asc") == "b"
    for bad in ("&sort=size", "&order=up"):
        assert api.request("GET", f"/snapshots?{bad}")[0] == 400


@pytest.mark.parametrize("workdir", ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/root", "/proc/1/cwd", "/proc/self/cwd/../../..", "../../../..",
                                     "/proc/thread-self/fd/8", "/dev/fd/9", "/tmp/../../../etc"])
def test_the_working_folder_of_an_image(api, rootfs, tmp_path, workdir):
    """Wherever it says, from there all ways up end at the sandbox's root."""
    name = f"odd-{abs(hash(workdir)) % 10**8}"
    api.import_snapshot(name, image.docker_save(rootfs, tmp_path / "image.tar", WorkingDir=workdir, Env=["LD_PRELOAD=/evil.so", "PATH=/bin"]))
    status, made = api.request("POST", "/sandbox", {"snapshot": name})
    assert status == 200, made
    climb = "i=0; while [ $i -lt 40 ]; do cd -P ..; i=$((i+1)); done; busybox stat -c %d:%i . /; ls /www"
    out = execute(api, made["id"], climb)
    if out["exitCode"] == 0:
        here, root, inside = out["result"].split()[:3]
        assert here == root and inside == "big"
    else:  # what only pid 1 may enter
        assert workdir in ("/proc/1/root", "/proc/1/cwd") and "working directory" in out["result"], out
    delete(api, made["id"])


# --- previews ---

def test_preview_credentials(api, box):
    serve_www(api, box)
    host, good = preview_host(api, box, 3000), token(api, box)
    status, _, body = ask(api, host)
    assert status == 401 and "signed-preview-url" in json.loads(body)["message"]
    assert ask(api, host, headers={"X-Daytona-Preview-Token": "0" * 32})[0] == 401
    for headers in ({"X-Daytona-Preview-Token": good}, {"Authorization": f"Bearer {backend.KEY}"}):
        status, h, body = ask(api, host, headers=headers)
        assert status == 200 and body == b"hello from the sandbox\n" and h["Set-Cookie"] is None
    status, h, body = ask(api, host, f"/?DAYTONA_SANDBOX_AUTH_KEY={good}")
    assert status == 200
    cookie = h["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "domain" not in cookie.lower()
    kept = {"Cookie": cookie.split(";")[0]}
    assert ask(api, host, headers=kept)[0] == 200
    assert ask(api, preview_host(api, box, 3001), headers=kept)[0] == 401
    assert ask(api, host, headers={**kept, "Origin": f"http://{host}"})[0] == 200
    assert ask(api, host, headers={**kept, "Origin": "http://evil.example"})[0] == 401
    # An HTML answer for those who read HTML.
    status, h, body = ask(api, host, headers={"Accept": "text/html,*/*"})
    assert status == 401 and h["Content-Type"].startswith("text/html") and b"<h1>" in body


def test_hosts_that_are_none(api, box):
    key = {"Authorization": f"Bearer {backend.KEY}"}
    domain = f"proxy.localhost:{api.proxy_port}"
    for host in ("evil.example", f"3000-{box}.evil.example", f"3000-{box}proxy.localhost"):
        assert ask(api, host, headers=key)[0] == 421, host
    for port in ("03000", "+3000", "-1", "0", "65536", "3000x", "0x10"):
        assert ask(api, f"{port}-{box}.{domain}", headers=key)[0] == 400, port
    assert ask(api, f"3000-{uuid.uuid4()}.{domain}", headers=key)[0] == 401
    assert ask(api, domain, "/health")[0] == 200 and ask(api, domain, "/")[0] == 404


def test_public_ones_keep_the_internal_ports_closed(api, box):
    serve_www(api, box)
    assert api.request("POST", f"/sandbox/{box}/public/true")[0] == 201
    assert ask(api, preview_host(api, box, 3000))[0] == 200
    for port in (2280, 22222, 22220, 33333):
        status, _, body = ask(api, preview_host(api, box, port), "/version")
        assert status == 401 and b"this port is private" in body, port
    for port in ("02280", "+2280"):
        assert ask(api, f"{port}-{box}.proxy.localhost:{api.proxy_port}", "/version")[0] == 400
    status, _, body = ask(api, preview_host(api, box, 2280), "/version", headers={"X-Daytona-Preview-Token": token(api, box)})
    assert status == 200 and b"version" in body


def test_signed_links(api, box):
    serve_www(api, box)
    path = f"/sandbox/{box}/ports/3000/signed-preview-url"
    for bad in ("0", "86401", "x", "-1"):
        assert api.request("GET", f"{path}?expiresInSeconds={bad}")[0] == 400
    status, link = api.request("GET", f"{path}?expiresInSeconds=600")
    assert status == 200 and link["port"] == 3000 and re.fullmatch("[a-z0-9]{16}", link["token"])
    host = link["url"].removeprefix("http://")
    assert ask(api, host)[2] == b"hello from the sandbox\n"
    assert ask(api, host.replace("3000-", "3001-", 1))[0] == 401
    assert ask(api, host.replace("3000-", "2280-", 1), "/version")[0] == 401
    for seconds in (1, 5, 25):  # on a machine that stands still the first may be over before it is used
        short = api.request("GET", f"{path}?expiresInSeconds={seconds}")[1]["url"].removeprefix("http://")
        if (opened := ask(api, short)[0]) == 200:
            break
    assert opened == 200
    end = time.monotonic() + 60
    while ask(api, short)[0] == 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert api.request("POST", f"{path}/{link['token']}/expire")[0] == 201
    assert ask(api, host)[0] == 401
    with sqlite3.connect(f"file:{api.data}/state/daytona.db?mode=ro", uri=True) as db:
        assert link["token"].encode() not in b"".join(bytes(r[0]) for r in db.execute("SELECT hash FROM signed_url"))


def test_nothing_listens(api, box):
    status, _, body = ask(api, preview_host(api, box, 3999), headers={"X-Daytona-Preview-Token": token(api, box)})
    assert status == 502 and "nothing listens on port 3999" in json.loads(body)["message"]
    for port in ("0", "65536", "08080", "x"):
        assert api.request("GET", f"/sandbox/{box}/ports/{port}/preview-url")[0] == 400


SERVER = """read -r line; echo "$line" > /tmp/seen
while read -r line && [ "$line" != "$(printf '\\r')" ]; do echo "$line" >> /tmp/seen; done
printf '%b'"""


def serve_answer(api, box, port, answer):
    """A server of one answer: busybox nc and a script."""
    execute(api, box, f"cat > /tmp/serve <<'EOF'\n{SERVER} '{answer}'\nEOF\n"
                      f"(nc -ll -p {port} -e sh /tmp/serve >/dev/null 2>&1 &)")
    wait_listen(api, box, port)


def test_what_is_stripped(api, box):
    answer = ("HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\nSet-Cookie: a=1; Domain=localhost\\r\\n"
              "Set-Cookie: b=2; Path=/\\r\\nClear-Site-Data: \"*\"\\r\\nAlt-Svc: h3\\r\\n"
              "Strict-Transport-Security: max-age=1; includeSubDomains\\r\\nX-Kept: yes\\r\\n\\r\\nok")
    serve_answer(api, box, 3500, answer)
    good = token(api, box)
    status, h, body = ask(api, preview_host(api, box, 3500), f"/path?x=1&DAYTONA_SANDBOX_AUTH_KEY={good}&y=2", headers={
        "Cookie": "theirs=1; daytona-sandbox-auth-x=y", "X-Daytona-Preview-Token": good,
        "Authorization": f"Bearer {backend.KEY}", "X-Daytona-Organization-ID": "o", "X-Other": "stays"})
    assert status == 200 and body == b"ok" and h["X-Kept"] == "yes"
    assert h.get_all("Set-Cookie") == ["b=2; Path=/"]
    for name in ("Clear-Site-Data", "Alt-Svc", "Strict-Transport-Security"):
        assert h[name] is None
    seen = execute(api, box, "cat /tmp/seen")["result"]
    assert seen.startswith("GET /path?x=1&y=2 ") and "theirs=1" in seen and "X-Other: stays" in seen
    for secret in (good, backend.KEY, "daytona-sandbox-auth", "Organization"):
        assert secret not in seen


def test_cors(api, box):
    serve_www(api, box)
    host, good = preview_host(api, box, 3000), token(api, box)
    other = {"Origin": "http://other.example"}
    status, h, _ = ask(api, host, method="OPTIONS", headers={
        **other, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"})
    assert status == 204 and h["Access-Control-Allow-Origin"] == "http://other.example"
    assert h["Access-Control-Allow-Headers"] == "x-a" and h["Access-Control-Allow-Credentials"] is None
    status, h, _ = ask(api, host, headers={**other, "X-Daytona-Preview-Token": good})
    assert status == 200 and h["Access-Control-Allow-Origin"] == "http://other.example"
    status, h, _ = ask(api, host, headers={**other, "X-Daytona-Preview-Token": good, "X-Daytona-Disable-CORS": "true"})
    assert status == 200 and h["Access-Control-Allow-Origin"] is None


def test_big_answers_and_uploads_stream(api, box):
    serve_www(api, box)
    good = {"X-Daytona-Preview-Token": token(api, box)}
    status, h, body = ask(api, preview_host(api, box, 3000), "/big", headers=good)
    assert status == 200 and body == bytes(range(256)) * 4096 * 4


def test_upgrades_become_tunnels(api, box):
    serve_answer(api, box, 3600, "HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n'; cat; echo '")
    s = socket.create_connection(("127.0.0.1", api.proxy_port), 20)
    s.settimeout(20)
    s.sendall(f"GET /ws HTTP/1.1\r\nHost: {preview_host(api, box, 3600)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
              f"X-Daytona-Preview-Token: {token(api, box)}\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(4096)
    assert got.startswith(b"HTTP/1.1 101 ")
    got = got.split(b"\r\n\r\n", 1)[1]
    s.sendall(b"ping\0\xff" * 1000)
    while len(got) < 6000:
        piece = s.recv(65536)
        assert piece
        got += piece
    assert got == b"ping\0\xff" * 1000
    s.close()


def test_the_toolbox_route(api, box):
    key = {"Authorization": f"Bearer {backend.KEY}"}
    for host in (f"localhost:{api.proxy_port}", f"127.0.0.1:{api.proxy_port}", f"proxy.localhost:{api.proxy_port}"):
        assert ask(api, host, f"/toolbox/{box}/version", headers=key)[0] == 200
        assert ask(api, host, f"/toolbox/{box}/version")[0] == 401
        assert ask(api, host, f"/toolbox/{uuid.uuid4()}/version", headers=key)[0] == 401
    query = f"/toolbox/{box}/version?DAYTONA_SANDBOX_AUTH_KEY={token(api, box, 2280)}"
    assert ask(api, f"localhost:{api.proxy_port}", query)[0] == 200
    assert api.request("GET", f"/sandbox/{box}/toolbox-proxy-url")[1] == {"url": f"http://localhost:{api.proxy_port}/toolbox"}
    status, h, _ = ask(api, "x", f"/api/toolbox/{box}/toolbox/version", headers=key, port=api.port)
    assert status == 200 and h["X-Content-Type-Options"] == "nosniff" and h["Content-Security-Policy"] == "sandbox"
    assert h["X-Request-Id"]


# --- what survives ---

# --- notices of changes ---

@contextlib.contextmanager
def changes(api, status=200):
    """An open sandbox-changes over the unix socket, behind its head."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(str(api.socket))
        s.sendall(b"GET /api/sandbox-changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(4096)
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        yield s


def notices(s):
    """What has come until now, without waiting for more."""
    text = b""
    while select.select([s], [], [], 0)[0]:
        chunk = s.recv(4096)
        if not chunk:
            return text, True
        text += chunk
    return text, False


def test_a_change_is_told_before_it_is_answered(api):
    with changes(api) as s:
        status, made = api.request("POST", "/sandbox", {})
        try:
            assert status == 200 and made["id"].encode() in notices(s)[0]
            for i in range(50):
                assert api.request("PUT", f"/sandbox/{made['id']}/labels", {"labels": {"n": str(i)}})[0] == 200
                assert made["id"].encode() in notices(s)[0]
                assert api.request("GET", f"/sandbox/{made['id']}")[0] == 200
                assert notices(s) == (b"", False)
            for step in ("stop", "start", "stop"):
                assert api.request("POST", f"/sandbox/{made['id']}/{step}")[0] == 200
                assert made["id"].encode() in notices(s)[0]
                wait_state(api, made["id"], "stopped" if step == "stop" else "started")
        finally:
            delete(api, made["id"])
        assert made["id"].encode() in notices(s)[0]


def test_who_does_not_read_notices_is_cut_off(api, box):
    with changes(api) as s:
        told = 0
        for i in range(2000):
            assert api.request("POST", f"/sandbox/{box}/autostop/{i}")[0] == 201
            if select.select([s], [], [], 0)[0] and (p := select.poll()) is not None:
                p.register(s, select.POLLHUP)
                if any(event & select.POLLHUP for _, event in p.poll(0)):
                    break
            told += 1
        text, over = notices(s)
        assert over and 20 < told < 2000 and text.count(box.encode()) >= 20


def test_notices_have_limits(api):
    assert api.request("GET", "/sandbox-changes", key="x")[0] == 401
    status, _, body = ask(api, "x", "/api/sandbox-changes", "HEAD", {"Authorization": f"Bearer {backend.KEY}"}, port=api.port)
    assert (status, body) == (200, b"")
    with contextlib.ExitStack() as held:
        for _ in range(256):
            held.enter_context(changes(api))
        with changes(api, 503):
            pass
    end = time.monotonic() + 60
    while True:
        try:
            with changes(api):
                return
        except AssertionError:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_notices_end_with_the_server(own):
    with changes(own) as s:
        assert own.stop() == 0
        assert notices(s) == (b"0\r\n\r\n", True)
    own.start()


def test_restart_keeps_what_runs(own):
    boxes = [own.request("POST", "/sandbox", {"name": f"r{i}"})[1]["id"] for i in range(3)]
    execute(own, boxes[0], "echo alive > /tmp/alive; (sleep 1000 >/dev/null 2>&1 &)")
    assert own.request("POST", f"/sandbox/{boxes[1]}/stop")[0] == 200
    wait_state(own, boxes[1], "stopped")
    link = own.request("GET", f"/sandbox/{boxes[0]}/ports/2280/signed-preview-url?expiresInSeconds=600")[1]
    for how in (signal.SIGTERM, signal.SIGKILL):
        code = own.stop(how)
        assert code == (0 if how == signal.SIGTERM else -signal.SIGKILL), own.tail()
        own.start()
        states = {b["id"]: b["state"] for b in own.request("GET", "/sandbox")[1]["items"]}
        assert states == {boxes[0]: "started", boxes[1]: "stopped", boxes[2]: "started"}
        assert execute(own, boxes[0], "cat /tmp/alive")["result"] == "alive\n"
        assert ask(own, f"2280-{link['token']}.proxy.localhost:{own.proxy_port}", "/version")[0] == 200
    assert own.request("POST", f"/sandbox/{boxes[1]}/start")[0] == 200
    for box in boxes:
        delete(own, box)


def rows(server):
    with sqlite3.connect(f"file:{server.data}/state/daytona.db?mode=ro", uri=True) as db:
        return dict(db.execute("SELECT id, state FROM sandbox WHERE state <> 'destroyed'").fetchall())


def on_disk(server):
    return {p.name for p in (server.data / "sandboxes").iterdir()}


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.004, 0.007, 0.011, 0.02])
def test_kill_while_it_creates_and_destroys(own, delay):
    kept = own.request("POST", "/sandbox", {"name": "kept"})[1]["id"]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        def cycle(i):
            try:
                status, made = own.request("POST", "/sandbox", {"name": f"c{i}"})
                if status == 200:
                    own.request("POST" if i % 2 else "DELETE", f"/sandbox/{made['id']}" + ("/stop" if i % 2 else ""))
            except (OSError, http.client.HTTPException):
                pass
        work = [pool.submit(cycle, i) for i in range(6)]
        time.sleep(delay)
        own.stop(signal.SIGKILL)
        concurrent.futures.wait(work)
    own.start()
    end = time.monotonic() + 120
    while True:
        found = rows(own)
        settled = all(s in ("started", "stopped") for s in found.values()) and on_disk(own) == set(found)
        if settled:
            break
        assert time.monotonic() < end, (found, on_disk(own), own.tail())
        time.sleep(0.05)
    assert found[kept] == "started" and execute(own, kept, "echo ok")["result"] == "ok\n"
    for box, state in found.items():
        if state == "started":
            assert execute(own, box, "echo ok")["result"] == "ok\n"


def test_rows_without_files_and_files_without_rows(own):
    boxes = [own.request("POST", "/sandbox", {})[1]["id"] for _ in range(3)]
    own.stop()
    with sqlite3.connect(own.data / "state" / "daytona.db") as db:
        db.execute("UPDATE sandbox SET state = 'creating' WHERE id = ?", (boxes[0],))
        db.execute("DELETE FROM sandbox WHERE id = ?", (boxes[1],))
        db.execute("UPDATE sandbox SET state = 'destroying', desired = 'destroyed' WHERE id = ?", (boxes[2],))
    own.start()
    end = time.monotonic() + 120
    while rows(own) or on_disk(own):
        assert time.monotonic() < end, (rows(own), on_disk(own), own.tail())
        time.sleep(0.05)


def test_the_launchers_death_is_the_end(own):
    children = pathlib.Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
    assert len(children) == 1
    box = own.request("POST", "/sandbox", {})[1]["id"]
    os.kill(int(children[0]), signal.SIGKILL)
    assert own.process.wait(120) == 1
    own.process = None
    own.log.close()
    assert "the launcher" in own.tail()
    own.start()
    assert own.request("GET", f"/sandbox/{box}")[1]["state"] == "started"
    assert execute(own, box, "echo ok")["result"] == "ok\n"


def test_an_installed_service(own):
    own.stop()
    apart = service.Service(own)
    apart.launch()
    try:
        own.start()
        status, made = own.request("POST", "/sandbox", {"name": "kept"})
        assert status == 200, made
        apart.kill()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waits = pool.submit(own.request, "POST", "/sandbox", {"name": "waits"})
            assert execute(own, made["id"], "echo still here")["result"] == "still here\n"
            assert not waits.done()
            apart.launch()
            status, answer = waits.result()
        assert status == 200, answer
        assert execute(own, made["id"], "echo still here")["result"] == "still here\n"
        for box in (made["id"], answer["id"]):
            delete(own, box)
        assert own.stop() == 0
        assert not own.socket.exists() and not (own.data / "run" / "ports.json").exists()
    finally:
        apart.stop()
        own.settings = own.settings[:-2]


@pytest.mark.parametrize(("setting", "queues"), [((), {"rate 1Gbit"}), (("--sandbox-bandwidth", "8"), {"rate 8Mbit"}),
                                                 (("--sandbox-bandwidth", "0"), set())])
def test_the_bandwidth_of_a_sandbox(rootfs, setting, queues):
    b = make(rootfs, *setting)
    try:
        b.start()
        box = b.request("POST", "/sandbox", {})[1]["id"]
        address = re.search(r"inet (10\.[0-9.]+)", execute(b, box, "ip addr")["result"])[1]
        route = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True, check=True).stdout
        device = re.search(rf"dev (dt{b.instance}-\d+)", route)[1]
        shown = subprocess.run(["tc", "qdisc", "show", "dev", device], capture_output=True, text=True, check=True).stdout
        assert set(re.findall(r"rate \w+", shown)) == queues, shown
    finally:
        end(b)


def test_who_is_not_needed_ends(idle):
    """As the one does that an agent's client started in the background; but not while a sandbox runs."""
    bored, busy = idle
    assert bored.process.wait(300) == 0
    bored.process = None
    bored.expect_nothing_left()  # the launcher ends behind it
    time.sleep(12)  # it looks every 10 s
    assert busy.process.poll() is None and busy.request("GET", "/health")[0] == 200


def test_logs_are_lines_of_json(api):
    """Of both daemons, whatever the tests before have made them say."""
    assert api.request("GET", "/sandbox/%0A%1B%5B31m%22", key="dtn_wrong\"")[0] == 401
    said = (api.data / "runnerd.log").read_bytes().splitlines()
    lines = [json.loads(line) for line in said if not line.startswith((b"# API port ", b"export DAYTONA_API_"))]  # these on stdout
    assert {line["program"] for line in lines} == {"daytona-runnerd", "daytona-launcher"}
    assert all(line["time"] and line["level"] in ("debug", "info", "warn", "error") and line["msg"] for line in lines)


def test_settings_of_a_file(rootfs):
    """A flag comes before the environment, and that before the file; what is none is named with its file."""
    b = make(rootfs)
    try:
        file = b.data / "settings.yaml"
        file.write_text("# ours\nDEFAULT_SNAPSHOT: of-the-file\nBILLING_API_URL: of-the-file\nANALYTICS_API_URL: of-the-file\nENVIRONMENT: 'of-the-file'\n")
        b.settings += ["--config", str(file), "--billing-api-url", "of-the-flag"]
        os.environ.update(BILLING_API_URL="of-the-environment", ENVIRONMENT="of-the-environment")
        b.start()
        told = b.request("GET", "/config", key=None)[1]
        assert told["defaultSnapshot"] == "busybox"  # the flag of make()
        assert told["environment"] == "of-the-environment"
        assert (told["billingApiUrl"], told["analyticsApiUrl"]) == ("of-the-flag", "of-the-file")
        b.stop()
        file.write_text("NO_SUCH_SETTING: 1\n")
        run = subprocess.run([backend.program("daytona-runnerd"), "--data-dir", b.data, "--config", file], capture_output=True, text=True)
        assert run.returncode == 2 and str(file) in run.stderr and "NO_SUCH_SETTING" in run.stderr
    finally:
        for name in ("BILLING_API_URL", "ENVIRONMENT"):
            os.environ.pop(name, None)
        b.__exit__()


def test_two_beside_each_other(api, own):
    a = api.request("POST", "/sandbox", {"name": "same"})[1]["id"]
    b = own.request("POST", "/sandbox", {"name": "same"})[1]["id"]
    assert [x["id"] for x in own.request("GET", "/sandbox")[1]["items"]] == [b]
    assert api.request("GET", f"/sandbox/{b}")[0] == 404
    delete(api, a)
    assert execute(own, b, "echo ok")["result"] == "ok\n"

"""A hostile toolbox: whatever a sandbox's pid 1 answers, runnerd does not wait, grow or crash, its other sandboxes do not
notice, and who asked gets an error. tests/probe/evil_toolbox.c runs as pid 1 here instead of ours."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tarfile
import time

import backend
import mcp_pipe
import pytest
import websockets.exceptions
import websockets.sync.client

MB = 1 << 20
# AddressSanitizer keeps freed memory for a while and shadows all of it: then the bounds are wider.
SLACK = 6 if b"libasan" in subprocess.run(["ldd", backend.program("daytona-runnerd")], capture_output=True).stdout else 1
WAYS = re.findall(r'\{"([a-z0-9-]+)"', (pathlib.Path(__file__).parents[1] / "probe" / "evil_toolbox.c").read_text())

SILENT = {"silent", "slow", "ssh"}           # only the one who asks can know how long to wait
STREAMS = {"endless", "endless-chunks", "json-deep", "json-long", "error"}  # good heads; the body is the client's to judge
CUT = {"cut", "cut-chunk", "length-max", "chunk-size", "chunk-word", "chunk-extension", "trailers"}
FRAMES = {"half-frame", "endless-frames"}
PROPER = {"poison", "poison-204", "poison-304", "html"} | {w for w in WAYS if w.startswith("json-")} - STREAMS


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A runnerd whose sandboxes all have the hostile toolbox."""
    programs = tmp_path_factory.mktemp("bin")
    for name in ("daytona", "daytona-runnerd", "daytona-launcher"):
        shutil.copy(backend.program(name), programs)
    shutil.copy(backend.program("evil_toolbox"), programs / "daytona-toolbox")
    root = programs / "root.tar"
    with tarfile.open(root, "w") as tar:
        for name in ("etc", "tmp", "bin"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
    before = os.environ["DAYTONA_BIN"]
    os.environ["DAYTONA_BIN"] = str(programs)
    try:
        with backend.Backend(settings=("--default-snapshot", "empty")) as b:
            b.import_snapshot("empty", root)
            yield b.start()
    finally:
        os.environ["DAYTONA_BIN"] = before


@pytest.fixture(scope="module")
def box(evil):
    status, made = evil.request("POST", "/sandbox", {"cpu": 3})  # it has a thread for each of thousands of connections
    assert status == 200, made
    yield made["id"]
    assert evil.request("DELETE", f"/sandbox/{made['id']}")[0] == 200


@pytest.fixture(scope="module")
def client(evil):
    with mcp_pipe.Client(evil) as c:
        yield c


def peak(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture(autouse=True)
def goes_on(evil, box):
    """After each attempt: runnerd lives, is small, has let go of what it opened, and the sandbox's good side answers."""
    before = descriptors(evil.process.pid)
    yield
    assert evil.process.poll() is None
    end = time.monotonic() + 60
    while (answer := evil.request("GET", f"/toolbox/{box}/toolbox/version"))[0] == 429:
        assert time.monotonic() < end, "requests stay open"
        time.sleep(0.05)
    assert answer == (200, {"version": "evil"})
    while descriptors(evil.process.pid) > before + 8:  # idle connections are kept
        assert time.monotonic() < end, "connections stay open"
        time.sleep(0.05)
    assert peak(evil.process.pid) < SLACK * 64 * MB


HEAD = f"Host: x\r\nAuthorization: Bearer {backend.KEY}\r\n"


def ask(evil, box, way, seconds=60, limit=4 * MB, method="GET", more="", body=b"", first=0):
    """(what came up to `limit` bytes, whether the connection ended) after at most so many seconds, which count from the
    first byte on when that has a time of its own."""
    with socket.create_connection(("127.0.0.1", evil.port), 60) as s:
        s.sendall(f"{method} /api/toolbox/{box}/toolbox/files/info?path=evil={way} HTTP/1.1\r\n{HEAD}{more}"
                  f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        got, end = b"", time.monotonic() + (first or seconds)
        while len(got) < limit and (left := end - time.monotonic()) > 0:
            s.settimeout(left)
            try:
                piece = s.recv(65536)
            except TimeoutError:
                break
            except ConnectionError:
                return got, True
            if not piece:
                return got, True
            if not got and first:
                end = time.monotonic() + seconds
            got += piece
        return got, False


@pytest.mark.parametrize("way", WAYS)
def test_answers(evil, box, way):
    got, ended = ask(evil, box, way, 1.5 if way in SILENT | PROPER else 60, first=60 if way in PROPER else 0)
    status = int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP/1.1 ") else 0
    if way in SILENT:
        assert got == b"" and not ended
    elif way in STREAMS:
        assert status in (200, 500) and len(got) >= 4 * MB
    elif way in CUT:
        # A good head may be out by then; that the rest is none shows in the framing.
        assert ended and status in (0, 200) and not got.endswith(b"\r\n0\r\n\r\n"), got
    elif way in PROPER:
        assert status in (200, 204, 304, 404, 500)
    else:
        assert status == 502 and ended, got
        assert b"toolbox does not answer" in got
    assert b"venom" not in got and b"Set-Cookie" not in got and got.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("way", [w for w in WAYS if w.startswith("poison")])
def test_a_kept_connection_is_not_poisoned(evil, box, way):
    """Answers that nobody asked for are nobody's: not the next request's on the same connection."""
    for _ in range(20):
        ask(evil, box, way, 0.3)
        assert evil.request("GET", f"/toolbox/{box}/toolbox/version") == (200, {"version": "evil"})


def test_who_does_not_read_holds_little(evil, box):
    """50 clients that ask for endless answers and read nothing: each costs a bounded queue."""
    idle = []
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", evil.port), 60)
        s.sendall(f"GET /api/toolbox/{box}/toolbox/x?evil=endless-chunks HTTP/1.1\r\n{HEAD}\r\n".encode())
        idle.append(s)
    time.sleep(1)
    assert peak(evil.process.pid) < SLACK * 64 * MB
    assert evil.request("GET", "/health")[0] == 200
    for s in idle:
        s.close()


def test_an_upload_that_nobody_reads(evil, box):
    """The toolbox stops reading: the client is held back, nothing piles up in between."""
    with socket.create_connection(("127.0.0.1", evil.port), 60) as s:
        s.sendall(f"POST /api/toolbox/{box}/toolbox/files/upload-raw?path=evil=silent HTTP/1.1\r\n{HEAD}"
                  f"Content-Length: {1 << 30}\r\n\r\n".encode())
        s.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1 << 30:
                sent += s.send(b"x" * 65536)
        assert sent < 32 * MB
        assert peak(evil.process.pid) < SLACK * 64 * MB


@pytest.mark.parametrize("way", sorted(FRAMES))
def test_frames(evil, box, way):
    """A tunnel carries bytes; half a frame, or frames without end, are between the client and its sandbox."""
    url = f"ws://127.0.0.1:{evil.port}/api/toolbox/{box}/toolbox/x?evil={way}"
    with contextlib.suppress(websockets.exceptions.WebSocketException, TimeoutError):
        with websockets.sync.client.connect(url, additional_headers={"Authorization": f"Bearer {backend.KEY}"}, open_timeout=5,
                                            close_timeout=1) as ws:
            for _ in range(100):
                ws.recv(timeout=1)


def test_without_an_upgrade_there_is_no_tunnel(evil, box):
    for way in ("switching", "half-frame"):
        got, ended = ask(evil, box, way)
        assert got.startswith(b"HTTP/1.1 502 ") and ended


def test_preview_answers(evil, box):
    """The same through the preview proxy, by its port for the toolbox itself."""
    token = evil.request("GET", f"/sandbox/{box}/ports/2280/preview-url")[1]["token"]
    for way in sorted(set(WAYS) - SILENT - STREAMS - CUT - FRAMES - PROPER):
        c = http.client.HTTPConnection("127.0.0.1", evil.proxy_port, timeout=30)
        c.request("GET", f"/x?evil={way}", headers={"Host": f"2280-{box}.proxy.localhost:{evil.proxy_port}",
                                                    "X-Daytona-Preview-Token": token})
        reply = c.getresponse()
        assert reply.status == 502, way
        assert reply.headers.get("Set-Cookie") is None
        c.close()


def test_a_sandbox_with_a_silent_toolbox_can_be_destroyed(evil):
    made = evil.request("POST", "/sandbox", {})[1]["id"]
    with socket.create_connection(("127.0.0.1", evil.port), 60) as s:
        s.sendall(f"GET /api/toolbox/{made}/toolbox/x?evil=silent HTTP/1.1\r\n{HEAD}\r\n".encode())
        time.sleep(0.2)
        assert evil.request("DELETE", f"/sandbox/{made}")[0] == 200
        s.settimeout(60)
        answer = s.recv(65536)
        assert answer.startswith(b"HTTP/1.1 502 ") or answer == b""


def test_stop_does_not_wait_for_it(evil):
    made = evil.request("POST", "/sandbox", {})[1]["id"]
    start = time.monotonic()
    assert evil.request("POST", f"/sandbox/{made}/stop")[0] in (200, 201)
    while evil.request("GET", f"/sandbox/{made}")[1]["state"] != "stopped":
        assert time.monotonic() - start < 120
        time.sleep(0.1)
    assert evil.request("DELETE", f"/sandbox/{made}")[0] == 200


def test_one_sandbox_has_so_many_exchanges_at_once(evil, box):
    """Those of others go on while one holds all it may hold."""
    other = evil.request("POST", "/sandbox", {})[1]["id"]
    held = []
    try:
        for _ in range(2001):
            s = socket.create_connection(("127.0.0.1", evil.port), 60)
            s.sendall(f"GET /api/toolbox/{box}/toolbox/x?evil=silent HTTP/1.1\r\n{HEAD}\r\n".encode())
            held.append(s)
        held[-1].settimeout(60)
        answer = held[-1].recv(65536)
        assert answer.startswith(b"HTTP/1.1 429 ") and b"2000 requests at once" in answer
        assert evil.request("GET", f"/toolbox/{other}/toolbox/version") == (200, {"version": "evil"})
    finally:
        for s in held:
            s.close()
        assert evil.request("DELETE", f"/sandbox/{other}")[0] == 200


TOOLS = [("execute_command", {"command": "evil={}", "timeout": 2}), ("file_download", {"file_path": "/evil={}"}),
         ("get_file_info", {"file_path": "/evil={}"}), ("list_files", {"path": "/evil={}"}), ("delete_file", {"file_path": "/evil={}"}),
         ("create_folder", {"folder_path": "/evil={}"}), ("move_file", {"source_path": "/evil={}", "dest_path": "/x"}),
         ("edit_file", {"file_path": "/evil={}", "old_text": "a", "new_text": "b"}), ("search_files", {"path": "/evil={}", "query": "a"})]


@pytest.mark.parametrize("way", sorted(set(WAYS) - SILENT - {"endless", "endless-chunks"}))
def test_tools(client, box, way):
    """What an agent sees of it: a result or an error, in valid lines, and its server goes on."""
    for tool, arguments in TOOLS:
        result = client.call(tool, id=box, **{k: v.format(way) if isinstance(v, str) else v for k, v in arguments.items()})
        text = json.dumps(result)
        assert len(text) < 9 * MB and "\x1b" not in text and "\\u001b]" not in text
        if result.get("isError"):
            assert len(result["content"][0]["text"]) < 4000
        assert "venom" not in text
    assert peak(client.process.pid) < SLACK * 64 * MB


def test_a_tool_does_not_wait_for_ever(client, box):
    start = time.monotonic()
    assert client.call("execute_command", id=box, command="evil=silent", timeout=1).get("isError")
    assert time.monotonic() - start < 60

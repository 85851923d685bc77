"""Parts of bench.py about the control plane: the SDK's first result, reads, long lists, the audit log."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
import uuid

import backend

HERE = pathlib.Path(__file__).resolve().parent
median = statistics.median
CLIENTS = "DAYTONA_TEST_CLIENTS"


def quantile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


@contextlib.contextmanager
def scratch(prefix):
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Api:
    """One kept connection, as every SDK has."""

    def __init__(self, server):
        self.c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.c.connect()
        self.c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __call__(self, method, path, body=None):
        self.c.request(method, "/api" + path, None if body is None else json.dumps(body),
                       {"Authorization": f"Bearer {backend.KEY}", "Content-Type": "application/json"})
        reply = self.c.getresponse()
        text = reply.read()
        assert reply.status < 300, text
        return json.loads(text) if text else None

    def timed(self, *args):
        start = time.perf_counter()
        answer = self(*args)
        return (time.perf_counter() - start) * 1000, answer


def part_sdk(server, report, rounds=100, burst=100):
    with scratch("dt-sdk-") as folder:
        shutil.copy(HERE / "sdk_bench.mjs", folder)
        (folder / "node_modules").symlink_to(pathlib.Path(os.environ[CLIENTS]) / "node_modules")
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
               "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
        out = json.loads(subprocess.run(["node", folder / "sdk_bench.mjs", str(rounds), str(burst)], env=env, check=True,
                                        capture_output=True, text=True).stdout)
    first, alone = median(out["first"]), median(out["create"])
    report("SDK: create() to first executeCommand()", first, 0, "", 25)
    report("the same, p99", quantile(out["first"], 0.99), first, "median", 4)
    report(f"SDK: create(), {burst} at once, median", median(out["burst"]), alone, "one alone",
           2 * burst / os.cpu_count())


NGINX = """daemon off; pid {dir}/pid; error_log {dir}/error; worker_processes 1;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; keepalive_requests 100000000; default_type application/json;
  server {{ listen 127.0.0.1:{port}; root {dir}/files; }} }}
"""


def wrk(url, *headers):
    out = subprocess.run(["wrk", "-t1", "-c16", "-d2s", *[f"-H{h}" for h in headers], url], check=True,
                         capture_output=True, text=True).stdout
    assert "Non-2xx" not in out, out
    return float(out.split("Requests/sec:")[1].split()[0])


@contextlib.contextmanager
def nginx(folder):
    """Serves folder/files; the base URL."""
    folder.chmod(0o755)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, port=port))
    process = subprocess.Popen(["nginx", "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def part_get(server, report, rounds=5):
    ask = Api(server)
    box = ask("POST", "/sandbox", {})["id"]
    text = json.dumps(ask("GET", f"/sandbox/{box}"), separators=(",", ":"))
    ours, peer = [], []
    with scratch("dt-nginx-") as folder:
        (folder / "files").mkdir(mode=0o755)
        (folder / "files" / box).write_text(text)
        with nginx(folder) as base:
            for _ in range(rounds):
                ours.append(wrk(f"{server.url}/sandbox/{box}", f"Authorization: Bearer {backend.KEY}"))
                peer.append(wrk(f"{base}/{box}"))
    ask("DELETE", f"/sandbox/{box}")
    report(f"GET /sandbox/{{id}}, {len(text)} bytes", median(ours), median(peer), "nginx, a file", 0.4, "/s", True)


def multiply(own, box, count):
    """An archived sandbox becomes that many, in the files of a server that is stopped: rows of the store, and each
    one's archive, which is the same file under another name."""
    archive = own.data / "objects" / "archives" / box
    with contextlib.closing(sqlite3.connect(own.data / "state/daytona.db")) as db:
        db.row_factory = sqlite3.Row
        row = dict(db.execute("SELECT * FROM sandbox WHERE id = ?", (box,)).fetchone())
        statement = f"INSERT INTO sandbox ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        for i in range(1, count):
            new = str(uuid.uuid4())
            at = row["created_ms"] - i * 1000
            row.update(id=new, name=f"box-{i}", created_ms=at, updated_ms=at, labels=json.dumps({"group": str(i % 100)}))
            db.execute(statement, tuple(row.values()))
            os.link(archive, archive.with_name(new))
        db.commit()
    return archive.parent


def archived(ask, box):
    ask("POST", f"/sandbox/{box}/stop")
    end = time.monotonic() + 60
    while (state := ask("GET", f"/sandbox/{box}")["state"]) != "archived":
        assert time.monotonic() < end, state
        if state == "stopped":
            ask("POST", f"/sandbox/{box}/archive")
        time.sleep(0.1)


LISTS = {"list page of 100": "/sandbox?limit=100", "page 50 of 100": "/sandbox/paginated?page=50&limit=100",
         "100 by label of": "/sandbox?limit=100&labels=%7B%22group%22%3A%227%22%7D"}


def part_list(server, report, count=10000, n=200):
    with backend.Backend() as own:  # the other one's data is kept
        own.import_default()
        own.start()
        ask = Api(own)
        box = ask("POST", "/sandbox", {"name": "box-0"})["id"]
        archived(ask, box)
        small = {what: median(ask.timed("GET", path)[0] for _ in range(n)) for what, path in LISTS.items()}
        own.stop()
        folder = multiply(own, box, count)
        own.start()
        ask = Api(own)
        for what, path in LISTS.items():
            _, page = ask.timed("GET", path)
            assert len(page["items"]) == 100 and page["items"][0]["state"] == "archived", page
            times = [ask.timed("GET", path)[0] for _ in range(n)]
            report(f"{what} out of {count:,}", median(times), 0, f"of 1: {small[what]:.2f}", 5)
        own.stop()
        for file in folder.iterdir():
            file.unlink()


def part_audit(server, report, rounds=6, each=15):
    """Two servers on the same data in turns: one writes the audit log, with what is done in sandboxes, the other does not."""
    times = {(on, what): [] for on in (True, False) for what in ("create", "exec")}
    settings = list(server.settings)
    for r in range(rounds):
        for on in (True, False) if r % 2 == 0 else (False, True):
            server.stop()
            server.settings = settings + ["--audit-toolbox" if on else "--no-audit"]
            server.start()
            ask = Api(server)
            for i in range(5 + each):
                took, box = ask.timed("POST", "/sandbox", {})
                path = f"/toolbox/{box['id']}/toolbox/process/execute"
                ran = [ask.timed("POST", path, {"command": "echo hi"})[0] for _ in range(4)]
                ask("DELETE", f"/sandbox/{box['id']}")
                if i >= 5:
                    times[on, "create"].append(took)
                    times[on, "exec"] += ran
                time.sleep(0.05)
    server.settings = settings
    for what in ("create", "exec"):
        report(f"{what} with the audit log", median(times[True, what]), median(times[False, what]), "without", 1.1)


PARTS = {"sdk": part_sdk, "get": part_get, "list": part_list, "audit": part_audit}

#!/usr/bin/env python3
"""Measures the main job, side by side with its peers in the same run. Run it with ./dev bench.

Usage: bench.py [--json FILE] [--live N] [PART ...]
Parts: create exec session neighbour scale memory start calls proxy transfer pty sdk get list audit execute bulk
folder find toolbox. Each figure is the median of many runs, taken in turns with its peer's; the last column says
whether the bound holds.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import api_parts  # noqa: E402
import toolbox_parts  # noqa: E402
import backend  # noqa: E402
import mcp_pipe  # noqa: E402
from reader import PIECE, download, receive  # noqa: E402

median = statistics.median
rows = []


def report(what, ours, peer, peer_name, bound, unit="ms", higher_is_better=False):
    ratio = ours / peer if peer else ours
    good = ratio >= bound if higher_is_better else ratio <= bound
    rows.append({"what": what, "ours": ours, "peer": peer, "beside": peer_name, "unit": unit, "ratio": ratio,
                 "bound": bound, "holds": good})
    sign = ">=" if higher_is_better else "<="
    beside = f"{peer_name} {peer:.2f} {unit}, ratio {ratio:.2f}" if peer else ""
    print(f"{what:<46} {ours:10.2f} {unit:<5} {beside:<46} {sign} {bound:<6} {'ok' if good else 'NOT MET'}", flush=True)


PAUSE_MS = 50  # before each sandbox, ours and the peers': agents think, and caches and processors cool down


def spawn(n, pause_ms, *command):
    """Milliseconds until the first byte, of n runs of a program."""
    out = subprocess.run([backend.program("spawn_bench"), str(n), str(pause_ms), *map(str, command)], check=True, capture_output=True,
                         text=True).stdout
    return [float(line.split()[0]) / 1000 for line in out.splitlines()]


def extract(folder):
    """The one layer of the default snapshot's archive (an OCI layout): its largest member."""
    with tarfile.open(os.environ["DAYTONA_ROOTFS"]) as archive:
        layer = max(archive.getmembers(), key=lambda m: m.size).name
    subprocess.run(["sh", "-c", 'tar -xOf "$0" "$1" | zstd -dc | tar -C "$2" -x', os.environ["DAYTONA_ROOTFS"], layer,
                    str(folder)], check=True)


@contextlib.contextmanager
def unpacked():
    """The default root file system in a directory, for bwrap and runc."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-rootfs-", dir="/var/tmp"))
    try:
        extract(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def runc_bundle(rootfs, bundle):
    subprocess.run(["runc", "spec"], cwd=bundle, check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["root"] = {"path": str(rootfs), "readonly": True}
    config["process"].update(terminal=False, args=["/bin/bash", "-c", "echo hi"])
    (bundle / "config.json").write_text(json.dumps(config))


class Life:
    """An MCP client in C, as its peers are timed: a client in Python would be a good part of what is measured."""

    def __init__(self, server):
        self.process = subprocess.Popen([backend.program("life_bench"), backend.program("daytona"), "mcp", "start"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=server.client_env())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def ask(self, kind, n):
        """Tuples of milliseconds."""
        self.process.stdin.write(f"{kind} {n}\n")
        self.process.stdin.flush()
        rows = [[float(us) / 1000 for us in line.split()] for line in iter(self.process.stdout.readline, "\n")]
        assert len(rows) == n
        return rows


def part_create(server, rounds=20, each=5):
    lives, bwrap, runc = [], [], []
    with unpacked() as rootfs, tempfile.TemporaryDirectory() as bundle, Life(server) as life:
        runc_bundle(rootfs, pathlib.Path(bundle))
        for r in range(rounds):
            lives += life.ask("life", each)
            bwrap += spawn(each, PAUSE_MS, "bwrap", "--unshare-all", "--ro-bind", rootfs, "/", "--proc", "/proc", "--dev", "/dev",
                           "--tmpfs", "/tmp", "/bin/bash", "-c", "echo hi")
            for i in range(2):
                runc += spawn(1, PAUSE_MS, "runc", "run", "-b", bundle, f"bench-{os.getpid()}-{r}-{i}")
    create, first, destroy = map(list, zip(*lives))
    ours = list(map(sum, zip(create, first)))
    report("create_sandbox + first output", median(ours), median(bwrap), "bwrap", 1.0)
    report("create_sandbox + first output", median(ours), median(runc), "runc", 0.15)
    report("destroy_sandbox", median(destroy), median(create), "create", 1.0)


def part_exec(server, rounds=20, each=20):
    ours, peer = [], []
    with Life(server) as life:
        for _ in range(rounds):
            ours += [row[0] for row in life.ask("exec", each)]
            peer += spawn(each, 0, "/bin/bash", "-c", "echo hi")
    report("execute_command echo hi", median(ours), median(peer), "vfork+exec+pipe", 2.0)


def toolbox_connection(server, box):
    """A kept connection to the toolbox through the API: call(method, path, body) gives the open answer."""
    c = http.client.HTTPConnection("127.0.0.1", server.port)

    def call(method, path, body=None):
        c.request(method, f"/api/toolbox/{box}/toolbox{path}", json.dumps(body) if body else None,
                  {"Authorization": f"Bearer {backend.KEY}"})
        return c.getresponse()
    return call


def part_session(server, rounds=20, each=50):
    box = server.request("POST", "/sandbox", {})[1]["id"]
    call, ours, nothing, late = toolbox_connection(server, box), [], [], []
    call("POST", "/process/session", {"sessionId": "s"}).read()
    for _ in range(rounds):
        for _ in range(each):
            start = time.perf_counter()
            call("POST", "/process/session/s/exec", {"command": "true"}).read()
            ours.append((time.perf_counter() - start) * 1000)
            start = time.perf_counter()
            call("GET", "/work-dir").read()
            nothing.append((time.perf_counter() - start) * 1000)
    lines = {"command": "for i in $(seq 300); do date +%s.%N; sleep 0.01; done", "runAsync": True}
    command = json.loads(call("POST", "/process/session/s/exec", lines).read())["cmdId"]
    for line in call("GET", f"/process/session/s/command/{command}/logs?follow=true"):
        late.append((time.time() - float(line)) * 1000)
    server.request("DELETE", f"/sandbox/{box}")
    report("command in a session, without the request", median(ours) - median(nothing), 0, "", 0.3)
    report("followed log: line written to received", median(late), 0, "", 2.0)


LOUD = {"a cpu burner": "for i in $(seq 4); do (while :; do :; done) & done; wait", "a fork bomb": "b() { b | b & }; b"}


def part_neighbour(server, rounds=4, each=120):
    """A command in one sandbox while another one, of one cpu, does its worst."""
    quiet, loud = [], {kind: [] for kind in LOUD}
    with mcp_pipe.Client(server) as client:
        box = client.tool("create_sandbox")["id"]

        def sample():
            times = []
            for _ in range(each):
                start = time.perf_counter()
                client.tool("execute_command", id=box, command="echo hi")
                times.append((time.perf_counter() - start) * 1000)
                time.sleep(0.005)  # else it takes turns with itself as well
            return times

        for _ in range(rounds):
            quiet += sample()
            for kind, command in LOUD.items():
                bad = client.tool("create_sandbox", cpu=1, memory=1)["id"]
                client.tool("execute_command", id=bad, command=f"nohup bash -c '{command}' >/dev/null 2>&1 &")
                time.sleep(0.5)
                loud[kind] += sample()
                client.tool("destroy_sandbox", id=bad)
                time.sleep(0.5)
        client.tool("destroy_sandbox", id=box)
    for kind, times in loud.items():
        report(f"execute_command beside {kind}", median(times), median(quiet), "alone", 1.1)


def kernel_and_user_kib():
    values = dict(line.split(":") for line in open("/proc/meminfo"))
    kib = {k: int(v.split()[0]) for k, v in values.items()}
    return kib["MemTotal"] - kib["MemFree"] - kib["Buffers"] - kib["Cached"] - kib["SReclaimable"] + kib["Shmem"]


def settle():
    subprocess.run(["sync"])
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    time.sleep(1)


def part_memory(server, count=200):
    with mcp_pipe.Client(server) as client:
        warm = client.tool("create_sandbox")["id"]
        settle()
        before = kernel_and_user_kib()
        boxes = [client.tool("create_sandbox")["id"] for _ in range(count)]
        settle()
        used = (kernel_and_user_kib() - before) / count
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
        for box in [warm, *boxes]:
            client.tool("destroy_sandbox", id=box)
    report(f"memory of an idle sandbox, over {count}", used / 1024, 0, "", 1.0, "MiB")
    report(f"runnerd resident, {count} sandboxes", rss, 0, "", 25, "MB")


def part_scale(server, live=1000, n=40):
    with mcp_pipe.Client(server) as client, Life(server) as life:
        def sample():
            return median([row[0] for row in life.ask("life", n)])

        boxes = [client.tool("create_sandbox")["id"]]
        sample()  # so that both are measured with pools that know what is asked for
        one = sample()
        boxes += [client.tool("create_sandbox")["id"] for _ in range(live - 1)]
        time.sleep(2)
        many = sample()
        for box in boxes:
            client.tool("destroy_sandbox", id=box)
    report(f"create_sandbox with {live} idle", many, one, "with 1", 1.3)


def part_start(server, n=60):
    times = []
    for _ in range(n):
        start = time.perf_counter()
        with mcp_pipe.Client(server):
            times.append((time.perf_counter() - start) * 1000)
    report("daytona mcp start to initialize's answer", median(times), 0, "", 15)


def call_rate(flight, tool, arguments, command, env):
    """Calls per second, and the median latency in ms, of a server that call_bench starts."""
    out = subprocess.run([backend.program("call_bench"), "1", str(flight), tool, json.dumps(arguments), *map(str, command)],
                         check=True, capture_output=True, text=True, env=env).stdout
    rate, microseconds, _ = map(float, out.split())
    return rate, microseconds / 1000


def part_calls(server, rounds=7):
    folder = pathlib.Path(tempfile.mkdtemp())
    shutil.copy(HERE / "idle_server.mjs", folder)
    (folder / "node_modules").symlink_to(pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"]) / "node_modules")
    ours = [backend.program("daytona"), "mcp", "start"]
    peer = ["node", folder / "idle_server.mjs"]
    with mcp_pipe.Client(server) as client:
        box = client.tool("create_sandbox")["id"]
        for flight, bound in ((64, 5.0), (1, 1.0)):
            a, b = [], []
            for _ in range(rounds):
                a.append(call_rate(flight, "get_sandbox", {"id": box}, ours, server.client_env()))
                b.append(call_rate(flight, "nothing", {"id": box}, peer, dict(os.environ)))
            report(f"tools/call, {flight} in flight", median(r[0] for r in a), median(r[0] for r in b), "Node server",
                   bound, "/s", True)
            report(f"latency of tools/call, {flight} in flight", median(r[1] for r in a), median(r[1] for r in b),
                   "Node server", 1.0)
        client.tool("destroy_sandbox", id=box)
    shutil.rmtree(folder)


NGINX = """daemon off; pid {dir}/pid; error_log {dir}/error; worker_processes 1; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; keepalive_requests 1000000;
  upstream app {{ server {address}:3000; keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1;
    proxy_set_header Connection ""; }} }} }}
"""


def wrk(url, *headers):
    out = subprocess.run(["wrk", "-t1", "-c16", "-d2s", *[f"-H{h}" for h in headers], url], check=True, capture_output=True,
                         text=True).stdout
    assert "Non-2xx" not in out, out
    return float(out.split("Requests/sec:")[1].split()[0])


def part_proxy(server):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-nginx-"))
    folder.chmod(0o755)
    with mcp_pipe.Client(server) as client:
        box = client.tool("create_sandbox")["id"]
        upload(server, box, "/tmp/httpd", backend.program("perf_httpd").read_bytes())
        started = client.tool("execute_command", id=box, command=(
            "chmod +x /tmp/httpd; nohup /tmp/httpd 3000 >/dev/null 2>&1 & sleep 0.3; hostname -I || cat /proc/net/fib_trie"))
        address = next(a for a in started["stdout"].split() if a.startswith("10."))
        status, link = server.request("GET", f"/sandbox/{box}/ports/3000/preview-url")
        host = link["url"].split("//")[1].rstrip("/")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        (folder / "nginx.conf").write_text(NGINX.format(dir=folder, address=address, port=port))
        nginx = subprocess.Popen(["nginx", "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        for size, name in ((1024, "1 KB"), (1 << 20, "1 MB")):
            a, b = [], []
            for _ in range(4):
                a.append(wrk(f"http://127.0.0.1:{server.proxy_port}/{size}", f"Host: {host}",
                             f"X-Daytona-Preview-Token: {link['token']}"))
                b.append(wrk(f"http://127.0.0.1:{port}/{size}"))
            report(f"preview proxy, {name}", median(a), median(b), "nginx proxy_pass", 0.8, "/s", True)
        nginx.terminate()
        nginx.wait()
        client.tool("destroy_sandbox", id=box)
    shutil.rmtree(folder)


def upload(server, box, path, data):
    request = urllib.request.Request(
        f"{server.url}/toolbox/{box}/toolbox/files/upload-raw?path={path}&overwrite=true", data, method="POST",
        headers={"Authorization": f"Bearer {backend.KEY}", "Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as reply:
        assert reply.status < 300


def raw_copy(source, target):
    """MB/s of a file through a unix socket into another file."""
    a, b = socket.socketpair()

    def send():
        with open(source, "rb") as f:
            while chunk := f.read(PIECE):
                a.sendall(chunk)
        a.close()

    start = time.perf_counter()
    thread = threading.Thread(target=send)
    thread.start()
    receive(b, target)
    thread.join()
    return 256 / (time.perf_counter() - start)


def part_transfer(server, n=5):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-transfer-", dir="/var/tmp"))
    source = folder / "source"
    with open(source, "wb") as f:
        for _ in range(256):
            f.write(os.urandom(1 << 20))
    up, down, raw = [], [], []
    with mcp_pipe.Client(server) as client:
        box = client.tool("create_sandbox")["id"]
        base = f"{server.url}/toolbox/{box}/toolbox/files"
        curl = ["curl", "-sSf", "-H", f"Authorization: Bearer {backend.KEY}"]
        for _ in range(n):
            start = time.perf_counter()
            subprocess.run([*curl, "-T", source, "-X", "POST", "-o", "/dev/null",
                            f"{base}/upload-raw?path=/tmp/big&overwrite=true"], check=True)
            up.append(256 / (time.perf_counter() - start))
            down.append(256 / download(server, f"/api/toolbox/{box}/toolbox/files/download?path=/tmp/big", folder / "back"))
            raw.append(raw_copy(source, folder / "copy"))
        assert subprocess.run(["cmp", source, folder / "back"]).returncode == 0
        client.tool("destroy_sandbox", id=box)
    shutil.rmtree(folder)
    report("upload of 256 MB", median(up), median(raw), "raw copy", 0.6, "MB/s", True)
    report("download of 256 MB", median(down), median(raw), "raw copy", 0.6, "MB/s", True)


def web_socket(server, path):
    """A WebSocket through the proxy, as plain as can be: (send, receive) of short frames."""
    s = socket.create_connection(("127.0.0.1", server.proxy_port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              f"Authorization: Bearer {backend.KEY}\r\n\r\n".encode())
    f = s.makefile("rb")
    assert b" 101 " in f.readline()
    while f.readline() != b"\r\n":
        pass

    def receive():
        head = f.read(2)
        size = head[1] if head[1] < 126 else int.from_bytes(f.read(2), "big")
        return f.read(size)

    return lambda text: s.sendall(bytes([0x82, 0x80 | len(text), 0, 0, 0, 0]) + text), receive


def part_pty(server, n=500):
    """A key is pressed at the shell's prompt: until its echo is here."""
    took = []
    with mcp_pipe.Client(server) as client:
        box = client.tool("create_sandbox")["id"]
        send, receive = web_socket(server, f"/toolbox/{box}/process/pty/create-connect?id=bench")
        seen = b""
        while b"$ " not in seen:
            seen += receive()
        for i in range(n):
            key = b"%c" % (97 + i % 26)
            start = time.perf_counter()
            send(key)
            while key not in receive():
                pass
            took.append((time.perf_counter() - start) * 1000)
            if i % 50 == 49:
                send(b"\x15")  # an empty line again
                time.sleep(0.05)
        client.tool("destroy_sandbox", id=box)
    report("PTY: keystroke to echo", median(took), None, "", 1.0)


PARTS = {"create": part_create, "exec": part_exec, "session": part_session, "neighbour": part_neighbour,
         "start": part_start, "calls": part_calls, "proxy": part_proxy,
         "transfer": part_transfer, "pty": part_pty, "memory": part_memory, "scale": part_scale,
         **{name: lambda server, part=part: part(server, report) for name, part in api_parts.PARTS.items()},
         **{name: lambda server, part=part: part(server, report, spawn) for name, part in toolbox_parts.PARTS.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="write the figures to this file as well")
    parser.add_argument("parts", nargs="*", default=[])
    options = parser.parse_args()
    for name in options.parts or PARTS:
        quotas = ["--total-cpu", "100000", "--total-memory", "100000"]
        data = os.environ.get("DAYTONA_BENCH_DATA", "/var/cache/daytona-bench")  # keeps the layers between runs
        settings = quotas if name in ("scale", "sdk") else ["--sandbox-bandwidth", "0"] if name == "proxy" else ()
        with backend.Backend(data=data, keep_data=True, settings=settings) as server:
            server.import_default()
            server.start()
            PARTS[name](server)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Ports of sandboxes through the preview proxy: what goes through, what is kept, and what ends when."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import backend
import pytest

APP = pathlib.Path(__file__).parent.parent / "data" / "portapp.py"
KEY = {"Authorization": f"Bearer {backend.KEY}"}


def execute(server, box, command):
    status, out = server.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": command, "timeout": 30})
    assert status == 200, out
    return out


def listen(server, box, port=3000, address="127.0.0.1"):
    execute(server, box, f"cat > /tmp/app.py <<'EOF'\n{APP.read_text()}\nEOF\n"
                         f"(setsid python3 /tmp/app.py {address} {port} >/tmp/log{port} 2>&1 &)")
    end = time.monotonic() + 60
    while not server.request("GET", f"/toolbox/{box}/toolbox/port/{port}/in-use")[1].get("isInUse"):
        assert time.monotonic() < end, execute(server, box, f"cat /tmp/log{port}")
        time.sleep(0.02)


def first_pid(server, box):
    """Of the sandbox's processes, as the host sees it: see launcher/record.h."""
    record = (server.data / "sandboxes" / box / "run").read_bytes()
    return struct.unpack_from("=II40sQi", record)[4]


@pytest.fixture
def box(server):
    """With a server on port 3000; gone afterwards."""
    status, made = server.request("POST", "/sandbox", {})
    assert status == 200, made
    listen(server, made["id"])
    yield made["id"]
    assert server.request("DELETE", f"/sandbox/{made['id']}")[0] in (200, 404)


@pytest.fixture(scope="module")
def shared(server):
    status, made = server.request("POST", "/sandbox", {})
    assert status == 200, made
    listen(server, made["id"])
    yield made["id"]
    server.request("DELETE", f"/sandbox/{made['id']}")


class Client:
    """A kept connection to the preview of one port."""

    def __init__(self, server, box, port=3000):
        self.head = {"Host": f"{port}-{box}.proxy.localhost:{server.proxy_port}", **KEY}
        self.c = http.client.HTTPConnection("127.0.0.1", server.proxy_port, timeout=120)

    def ask(self, path="/what", method="GET", body=None, headers=None):
        self.c.request(method, path, body, {**self.head, **(headers or {})})
        r = self.c.getresponse()
        return r.status, r.headers, r.read()


def raw(server, box, head, port=3000):
    """A connection with a request's head sent, and its buffered reader."""
    s = socket.create_connection(("127.0.0.1", server.proxy_port), 30)
    s.sendall(f"{head}\r\nHost: {port}-{box}.proxy.localhost:{server.proxy_port}\r\nAuthorization: Bearer {backend.KEY}"
              "\r\n\r\n".encode())
    return s, s.makefile("rb")


def read_head(f):
    lines = []
    while (line := f.readline().strip()):
        lines.append(line.decode())
    return lines


# --- what goes through ---

def test_requests_arrive_as_they_are(server, shared):
    status, _, body = Client(server, shared).ask("/a%20b/%C3%A9?x=1&y=%2F", "POST", b"body" * 1000, {"X-Mine": "yes"})
    seen = json.loads(body)
    assert status == 200 and seen["method"] == "POST" and seen["path"] == "/a%20b/%C3%A9?x=1&y=%2F"
    assert seen["length"] == 4000 and seen["headers"]["x-mine"] == "yes"
    assert seen["headers"]["host"] == "localhost:3000"
    assert seen["headers"]["x-forwarded-host"] == f"3000-{shared}.proxy.localhost:{server.proxy_port}"


def test_pieces_go_both_ways_at_once(server, shared):
    """Neither the request nor the answer waits to be complete."""
    s, f = raw(server, shared, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked")
    for i in range(5):
        data = bytes([65 + i]) * (1 + 10000 * i)
        s.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        if i == 0:
            assert read_head(f)[0] == "HTTP/1.1 200 OK"
        got = b""
        while len(got) < len(data):
            got += f.read(int(f.readline(), 16))
            f.readline()
        assert got == data
    s.sendall(b"0\r\n\r\n")
    assert f.readline() == b"0\r\n"
    s.close()


def test_who_does_not_read_holds_the_sender_up(server, shared):
    """Memory does not grow with what is on its way."""
    def resident():
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    before = resident()
    s, f = raw(server, shared, f"POST /echo HTTP/1.1\r\nContent-Length: {1 << 30}")
    s.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 1 << 30:
            sent += s.send(bytes(1 << 20))
    assert sent < 64 << 20
    assert resident() - before < 16 << 10  # KiB
    s.close()


def test_heads_without_a_body(server, shared):
    c = Client(server, shared)
    status, h, body = c.ask(method="HEAD")
    assert status == 200 and int(h["Content-Length"]) > 100 and body == b""
    assert c.ask()[0] == 200  # on the same connection


def test_the_end_of_the_connection_ends_the_answer(server, shared):
    status, h, body = Client(server, shared).ask("/until-close")
    assert status == 200 and body == b"x" * 1000000


def test_interim_answers(server, shared):
    assert Client(server, shared).ask("/hints")[2] == b"final"
    s, f = raw(server, shared, "POST /what HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue")
    assert read_head(f) == ["HTTP/1.1 100 Continue"]
    s.sendall(b"body")
    head = read_head(f)
    assert head[0] == "HTTP/1.1 200 OK"
    s.close()


def test_a_broken_answer_is_cut(server, shared):
    with pytest.raises(http.client.IncompleteRead) as e:
        Client(server, shared).ask("/break")
    assert e.value.partial == b"half"


def test_tunnels_half_close(server, shared):
    s, f = raw(server, shared, "GET /any HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket")
    assert read_head(f)[0].startswith("HTTP/1.1 101 ")
    data = os.urandom(300000)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sent = pool.submit(lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        assert f.read() == data + b"end after 300000"
        sent.result()
    s.close()


def test_only_ipv6(server, box):
    """Sandboxes have no IPv6; one that got it is reached as well."""
    subprocess.run(["nsenter", "-t", str(first_pid(server, box)), "-n", "sh", "-c",
                    "cd /proc/sys/net/ipv6/conf; echo 0 > all/disable_ipv6; echo 0 > lo/disable_ipv6"], check=True)
    listen(server, box, 3002, "::1")
    c = Client(server, box, 3002)
    for _ in range(3):
        status, _, body = c.ask()
        assert status == 200 and json.loads(body)["connections"] == 1


# --- the toolbox's own route to ports ---

def test_the_proxy_route_of_the_toolbox(server, shared):
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    for path, seen in (("/a%20b?x=%2F", "/a%20b?x=%2F"), ("", "/"), ("?q", "/?q"), ("/", "/")):
        c.request("POST", f"/api/toolbox/{shared}/toolbox/proxy/3000{path}", b"1234", KEY)
        r = c.getresponse()
        body = json.loads(r.read())
        assert r.status == 200 and body["path"] == seen and body["length"] == 4
        assert r.headers["X-Content-Type-Options"] == "nosniff"  # not on an origin of its own
    p = http.client.HTTPConnection("127.0.0.1", server.proxy_port, timeout=120)
    p.request("GET", f"/toolbox/{shared}/proxy/3000/x?y=1", headers={**KEY, "Host": f"localhost:{server.proxy_port}"})
    assert json.loads(p.getresponse().read())["path"] == "/x?y=1"


@pytest.mark.parametrize("port", ["0", "65536", "abc", "", "03000", "+3000"])
def test_ports_that_are_none(server, shared, port):
    status, e = server.request("GET", f"/toolbox/{shared}/toolbox/proxy/{port}/")
    assert status == 400 and "port" in e["message"]


def test_nothing_listens(server, shared):
    status, e = server.request("GET", f"/toolbox/{shared}/toolbox/proxy/3999/x")
    assert status == 502 and "nothing listens on port 3999" in e["message"]
    c = Client(server, shared, 3999)
    for method in ("GET", "POST"):
        status, _, body = c.ask(method=method, body=b"x" * 100000 if method == "POST" else None)
        assert status == 502 and b"nothing listens on port 3999" in body


def test_the_hosts_own_ports_are_not_reached(server, shared):
    with socket.create_server(("127.0.0.1", 0)) as host:
        port = host.getsockname()[1]
        assert Client(server, shared, port).ask()[0] == 502
        host.setblocking(False)
        with pytest.raises(BlockingIOError):
            host.accept()


# --- what is kept, and what ends it ---

def test_connections_are_kept(server, box):
    c = Client(server, box)
    for _ in range(50):
        status, _, body = c.ask()
        assert status == 200
    assert json.loads(body)["connections"] <= 2


def test_many_at_once(server, box):
    def some(_):
        c = Client(server, box)
        return [c.ask()[0] for _ in range(5)]

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(some, range(80)))
    assert answers == [[200] * 5] * 80
    seen = json.loads(Client(server, box).ask()[2])
    assert seen["connections"] <= 100  # at most one for each that was open at once, and some more


def test_a_server_that_ends_and_comes_again(server, box):
    c = Client(server, box)
    assert c.ask()[0] == 200
    execute(server, box, "pkill -f /tmp/[a]pp.py; while pgrep -f /tmp/[a]pp.py; do sleep 0.02; done")
    assert c.ask()[0] == 502
    listen(server, box)
    assert c.ask()[0] == 200


def interface_of(server, box):
    """The host's end of its network."""
    address = execute(server, box, "hostname -I")["result"].split()[0]
    route = subprocess.run(["ip", "-o", "route", "get", address], check=True, capture_output=True, text=True).stdout
    return route.split(" dev ")[1].split()[0]


def wait_gone(interface):
    end = time.monotonic() + 60
    while os.path.exists(f"/sys/class/net/{interface}"):
        assert time.monotonic() < end, f"{interface} is still there"
        time.sleep(0.05)


def state(server, box):
    return server.request("GET", f"/sandbox/{box}")[1]["state"]


@pytest.mark.parametrize("how", ["stop", "destroy", "by itself"])
def test_nothing_outlives_the_sandbox(server, box, how):
    """A request on its way, an idle connection and spare sockets: all hold its network namespace."""
    interface = interface_of(server, box)
    assert Client(server, box).ask()[0] == 200
    s, f = raw(server, box, "GET /slow HTTP/1.1")
    assert read_head(f)[0] == "HTTP/1.1 200 OK" and f.read(4) == b"half"
    tunnel, g = raw(server, box, "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x")
    assert read_head(g)[0].startswith("HTTP/1.1 101 ")
    if how == "stop":
        assert server.request("POST", f"/sandbox/{box}/stop")[0] == 200
    elif how == "destroy":
        assert server.request("DELETE", f"/sandbox/{box}")[0] == 200
    else:
        os.kill(first_pid(server, box), signal.SIGKILL)
    assert f.read() == b"" and g.read() == b""  # both are cut
    s.close(), tunnel.close()
    wait_gone(interface)
    if how != "destroy":
        end = time.monotonic() + 60
        while state(server, box) != "stopped":
            assert time.monotonic() < end, state(server, box)
            time.sleep(0.05)
        assert server.request("POST", f"/sandbox/{box}/start")[0] == 200
        listen(server, box)
        assert Client(server, box).ask()[0] == 200


def launcher_of(server):
    parent = server.process.pid
    return next(p for p in map(int, open(f"/proc/{parent}/task/{parent}/children").read().split())
                if b"daytona-launcher" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes())


def test_a_launcher_that_is_slow(server, box):
    """Who needs a new connection waits for it, when those that are kept are in use."""
    c = Client(server, box)
    assert c.ask()[0] == 200
    os.kill(launcher_of(server), signal.SIGSTOP)
    try:
        assert c.ask()[0] == 200
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            many = [pool.submit(lambda: Client(server, box).ask()[0]) for _ in range(40)]
            time.sleep(0.2)
            os.kill(launcher_of(server), signal.SIGCONT)
            assert [m.result() for m in many] == [200] * 40
    finally:
        os.kill(launcher_of(server), signal.SIGCONT)


def test_a_launcher_that_does_not_answer(server, box):
    """The first connection of all, and nobody makes it."""
    os.kill(launcher_of(server), signal.SIGSTOP)
    try:
        status, _, body = Client(server, box).ask()
        assert status == 503 and b"launcher" in body
    finally:
        os.kill(launcher_of(server), signal.SIGCONT)
    assert Client(server, box).ask()[0] == 200

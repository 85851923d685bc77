"""Where a sandbox's packets come to, and where they do not: the host, neighbours, what a policy refuses. Everything that is
refused in one sandbox is reached from another one, so that a test does not pass because nobody listens."""
import concurrent.futures
import contextlib
import signal
import sqlite3
import sys
import time

import backend
import mcp_pipe
import pytest

from inside import sh

# Answers `dns` to any query, over UDP and TCP, on port 53 of the test's internet.
RESOLVER = """
import socket, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 53))
t = socket.create_server(("0.0.0.0", 53))
def serve():
    while True:
        c = t.accept()[0]; c.sendall(b"dns"); c.close()
threading.Thread(target=serve, daemon=True).start()
while True:
    u.sendto(b"dns", u.recvfrom(512)[1])
"""

# ask.py udp|tcp ADDRESS PORT [SOURCE]: prints what came back.
ASK = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.settimeout(2)
try:
    if len(sys.argv) > 4:
        s.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
        s.bind((sys.argv[4], 0))
    s.connect((address, port))
    s.send(b"q")
    print(s.recv(100).decode())
except OSError as e:
    print("refused", e.errno)
"""


@pytest.fixture(scope="module")
def resolver(net):
    net.start(sys.executable, "-c", RESOLVER)
    net.wait_for(53)
    return net.address


@pytest.fixture
def asking(client, make):
    def start(**arguments):
        box = make(**arguments)
        client.tool("file_upload", id=box, file_path="/tmp/ask.py", content=ASK, encoding="text", overwrite=True)
        return box
    return start


def ask(client, box, *words, who=""):
    return sh(client, box, f"{who}python3 /tmp/ask.py {' '.join(map(str, words))}", timeout=60)["stdout"].strip()


def answers(client, box, *words):
    """Whether an answer comes, which on a busy machine may take longer than one question waits for it."""
    end = time.monotonic() + 60
    while (said := ask(client, box, *words)) != "dns":
        assert time.monotonic() < end, said
    return True


def address_of(client, box):
    return sh(client, box, "ip -4 -o addr show eth0 | grep -o '10\\.[0-9.]*' | head -n 1")["stdout"].strip()


def gateway_of(client, box):
    return sh(client, box, "ip route | awk '/default/{print $3}'")["stdout"].strip()


SERVE = "nohup python3 -m http.server 8000 --bind 0.0.0.0 >/dev/null 2>&1 & for i in $(seq 1000); do curl -sf localhost:8000 >/dev/null && exit; sleep 0.05; done; exit 1"


def test_neighbours_do_not_see_each_other(client, net, asking):
    one, two = asking(), asking()
    address = address_of(client, one)
    assert address.startswith("10.") and sh(client, one, SERVE)["exitCode"] == 0
    assert sh(client, one, f"curl -s --max-time 60 http://{address}:8000/ >/dev/null; echo $?")["stdout"] == "0\n"
    for who in ("", "sudo "):
        assert sh(client, two, f"{who}curl -s --max-time 3 http://{address}:8000/; echo rc=$?")["stdout"].strip() != "rc=0"
        assert ask(client, two, "udp", address, 8000, who=who).startswith("refused")
    assert sh(client, two, f"sudo ping -c 1 -W 2 {address} 2>&1 || python3 - <<'E'\nimport socket\n"
                           f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)\ns.settimeout(2)\n"
                           f"s.sendto(b'\\x08\\0\\0\\0\\0\\1\\0\\1', ('{address}', 0))\nprint(s.recv(100))\nE")["exitCode"] != 0
    # A port that its neighbours cannot reach is open for its own preview all the same: test_preview shows that.


def test_abstract_sockets_are_each_sandboxs_own(client, make):
    one, two = make(), make()
    listen = "import socket,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(chr(0)+'mine')\ns.listen(64)\ntime.sleep(6000)"
    sh(client, one, f"nohup python3 -c \"{listen}\" >/dev/null 2>&1 &")
    connect = "python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect(chr(0)+'mine')\""
    end = time.monotonic() + 60
    while sh(client, one, connect)["exitCode"] != 0:
        assert time.monotonic() < end
    for who in ("", "sudo "):
        assert sh(client, two, who + connect)["exitCode"] != 0


def test_a_borrowed_address_is_dropped(client, resolver, asking):
    """Anybody may bind to an address that is not his; the packets end at the host's end of the wire."""
    one, two = asking(), asking()
    own, other = address_of(client, one), address_of(client, two)
    assert answers(client, one, "udp", resolver, 53) and answers(client, one, "udp", resolver, 53, own)
    for who in ("", "sudo "):
        for source in (other, gateway_of(client, one), "127.0.0.1", "203.0.113.99", resolver):
            assert ask(client, one, "udp", resolver, 53, source, who=who).startswith("refused"), source


def test_the_network_reaches_out_and_nowhere_else(client, server, net, make):
    box = make()
    reach = "curl -s --max-time 4 -o /dev/null http://{0}:{1}/ ; echo $?"
    assert becomes(client, box, net.address, True)
    gateway = gateway_of(client, box)
    for target, port in ((net.gateway, server.port), ("169.254.169.254", 80), (gateway, server.port), (gateway, server.proxy_port),
                         ("192.168.77.1", 80), ("172.16.0.1", 80)):
        for who in ("", "sudo "):
            assert sh(client, box, who + reach.format(target, port))["stdout"] != "0\n", target


BLOCKED = {"all": {"network_block_all": True}, "other ranges": {"network_allow_list": "198.51.100.0/24"}}


@pytest.mark.parametrize("how", BLOCKED)
@pytest.mark.parametrize("who", ["", "sudo "], ids=["user", "root"])
def test_no_way_round_a_block(client, net, resolver, asking, how, who):
    """Not by DNS over UDP or TCP, the gateway's, another resolver's or the metadata address's; not by IPv6 or a mapped address."""
    free, bound = asking(), asking(**BLOCKED[how])
    for kind in ("udp", "tcp"):
        assert answers(client, free, kind, resolver, 53)
        for address in (resolver, gateway_of(client, free), "169.254.169.254", "8.8.8.8", f"::ffff:{resolver}", "2001:4860:4860::8888", "fe80::1%2"):
            assert ask(client, bound, kind, address, 53, who=who).startswith("refused"), (kind, address)
    assert sh(client, bound, f"{who}curl -s --max-time 4 -o /dev/null http://{net.address}/; echo $?")["stdout"] != "0\n"
    assert sh(client, bound, f"{who}python3 -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'", timeout=60)["exitCode"] != 0
    # Its own loopback is not the network.
    assert sh(client, bound, SERVE)["exitCode"] == 0


def test_allow_list(client, net, make):
    inside = make(network_allow_list=f"{net.address}/32")
    outside = make(network_allow_list="198.51.100.0/24")
    assert becomes(client, inside, net.address, True)
    assert not reaches(client, outside, net.address)
    for bad in ("nonsense", "10.0.0.0", "1.2.3.4/33", "1.2.3.4/32,1.2.3.5/32,1.2.3.6/32,1.2.3.7/32,1.2.3.8/32,1.2.3.9/32"):
        result = client.call("create_sandbox", network_allow_list=bad)
        assert result["isError"], bad


@contextlib.contextmanager
def limited(server):
    """The local organization's egress is limited."""
    path = f"/organizations/{server.as_local_user('GET', '/organizations')[1][0]['id']}/sandbox-default-limited-network-egress"
    assert server.request("POST", path, {"sandboxDefaultLimitedNetworkEgress": True})[0] == 201
    try:
        yield
    finally:
        assert server.request("POST", path, {"sandboxDefaultLimitedNetworkEgress": False})[0] == 201


def reaches(client, box, address):
    return sh(client, box, f"curl -s --max-time 3 -o /dev/null http://{address}/; echo $?")["stdout"] == "0\n"


def becomes(client, box, address, wanted):
    end = time.monotonic() + 60
    while reaches(client, box, address) != wanted:
        assert time.monotonic() < end
    return True


def test_a_limited_organization(server, client, net, make):
    """It reaches nothing, whatever its sandboxes say, those that run already included."""
    running = make()
    assert becomes(client, running, net.address, True)
    with limited(server):
        assert becomes(client, running, net.address, False)
        assert not reaches(client, make(), net.address)
        assert not reaches(client, make(network_allow_list=f"{net.address}/32"), net.address)
        for ask in ({"networkBlockAll": False}, {"networkAllowList": f"{net.address}/32"}):
            status, e = server.request("POST", f"/sandbox/{running}/network-settings", ask)
            assert status == 400 and "limited" in e["message"]
        client.tool("stop_sandbox", id=running)
        client.tool("start_sandbox", id=running)
        assert not reaches(client, running, net.address)
        for who in ("", "sudo "):
            assert sh(client, running, f"{who}python3 -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'", timeout=60)["exitCode"] != 0
    assert becomes(client, running, net.address, True)
    assert server.request("POST", f"/sandbox/{running}/network-settings", {"networkBlockAll": True})[0] == 200
    assert not reaches(client, running, net.address)


def test_one_that_is_being_made_when_its_organization_is_limited(server, client, net, make):
    """The copy of the disk takes a while, and the policy of its beginning is not that of its end."""
    parent = make()
    sh(client, parent, "head -c 400M /dev/urandom > big", timeout=120)

    def state(name):
        status, child = server.as_local_user("GET", f"/sandbox/{name}")
        return child["state"] if status == 200 else None

    def limited_meanwhile(name):
        """Whether it was still being made when its organization was limited; it is, in any case, in the end."""
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            forking = pool.submit(server.as_local_user, "POST", f"/sandbox/{parent}/fork", {"name": name})
            while state(name) is None and not forking.done():
                pass
            with limited(server):
                in_time = state(name) == "creating"
                status, child = forking.result()
                assert status == 200, child
                try:
                    assert becomes(client, child["id"], net.address, False)
                finally:
                    client.tool("destroy_sandbox", id=child["id"])
        return in_time
    # A machine that stands still at the wrong moment has it made before.
    assert any(limited_meanwhile(f"child-{i}-of-{parent}") for i in range(10))


def test_a_limit_of_which_the_launcher_was_not_told(net):
    """The server was killed just after it had written it down."""
    with backend.Backend() as b:
        b.import_default()
        b.start()
        with mcp_pipe.Client(b) as c:
            box = c.tool("create_sandbox")["id"]
            assert becomes(c, box, net.address, True)
        b.stop(signal.SIGKILL)
        with sqlite3.connect(b.data / "state" / "daytona.db") as db:
            db.execute("UPDATE organization SET limited_egress = 1")
        b.start()
        with mcp_pipe.Client(b) as c:
            assert becomes(c, box, net.address, False)
            c.tool("destroy_sandbox", id=box)


def test_what_a_limited_organization_may_reach(net):
    """The setting's networks, and of those what a sandbox's own list names."""
    with backend.Backend(settings=("--limited-egress-allow-list", f"{net.address}/32, 198.51.100.0/24")) as b:
        b.import_default()
        b.start()
        with mcp_pipe.Client(b) as c, limited(b):
            boxes = [(c.tool("create_sandbox", **own)["id"], wanted) for own, wanted in (
                ({}, True), ({"network_allow_list": f"{net.address}/32"}, True), ({"network_allow_list": "0.0.0.0/0"}, True),
                ({"network_allow_list": "198.51.100.7/32"}, False), ({"network_allow_list": "192.0.2.0/24"}, False),
                ({"network_block_all": True}, False))]
            for box, wanted in boxes:
                assert becomes(c, box, net.address, True) if wanted else not reaches(c, box, net.address), (box, wanted)
                c.tool("destroy_sandbox", id=box)
    with pytest.raises(RuntimeError, match="LIMITED_EGRESS_ALLOW_LIST"), backend.Backend(settings=("--limited-egress-allow-list", "here")) as b:
        b.start()

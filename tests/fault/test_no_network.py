"""A server whose host cannot give sandboxes a network says so, serves what needs none, and has one as soon as it can."""
import time

import backend
import busybox
import nft_owner
import pytest


@pytest.fixture
def blocked(tmp_path):
    """A server, and who keeps its launcher from having a network."""
    with backend.Backend(settings=["--default-snapshot", "busybox"]) as b:
        b.import_snapshot("busybox", busybox.make(tmp_path / "busybox.tar"))
        b.start()
        kept = b.request("POST", "/sandbox", {"name": "kept"})[1]["id"]
        b.request("POST", f"/sandbox/{kept}/stop")
        # With a sandbox nobody else gets the instance's number, and with it the name of its table.
        assert b.request("POST", "/sandbox", {"name": "keeper", "networkBlockAll": True})[0] == 200
        b.stop()
        owner = nft_owner.Owner(b.instance)
        try:
            yield b.start(), owner, kept
        finally:
            owner.let_go()


def test_a_network_that_comes_later(blocked):
    server, owner, kept = blocked
    status, refused = server.request("POST", "/sandbox", {"name": "first"})
    assert status == 503 and "another process has instance" in refused["message"] and "networkBlockAll" in refused["message"]
    status, refused = server.request("POST", f"/sandbox/{kept}/start")
    assert status == 503 and "the host has no network for sandboxes" in refused["message"]
    assert server.request("GET", f"/sandbox/{kept}")[1]["state"] == "stopped"
    status, alone = server.request("POST", "/sandbox", {"networkBlockAll": True})
    assert status == 200 and server.execute(alone["id"], "echo works") == "works\n"
    assert "sandboxes have no network" in server.tail() and server.gauge("daytona_sandbox_network_up") == 0

    owner.let_go()
    # A request that comes right after another does not look again.
    end = time.monotonic() + 60
    while (answer := server.request("POST", "/sandbox", {"name": "first"}))[0] == 503:
        assert time.monotonic() < end, answer
        time.sleep(0.05)
    status, first = answer
    assert status == 200, first
    # All that it takes, though its request was what brought the network.
    address = server.execute(first["id"], "ip -4 addr show dev eth0 | awk '/inet/{print $2}'")
    assert address.startswith("10.222.")
    gateway = server.execute(first["id"], "ip route | awk '/default/{print $3}'").strip()
    assert f"nameserver {gateway}\n" in server.execute(first["id"], "cat /etc/resolv.conf")
    status, started = server.request("POST", f"/sandbox/{kept}/start")
    assert status == 200, started
    assert server.execute(kept, "ip -4 addr show dev eth0 | awk '/inet/{print $2}'").startswith("10.222.")
    end = time.monotonic() + 60
    while "sandboxes have a network now" not in [line.split('"msg":"')[1].split('"')[0] for line in server.tail().splitlines()
                                                 if '"program":"daytona-runnerd"' in line]:
        assert time.monotonic() < end, "the server was not told"
        time.sleep(0.05)
    assert server.gauge("daytona_sandbox_network_up") == 1
    for box in (alone["id"], first["id"], kept, "keeper"):
        assert server.request("DELETE", f"/sandbox/{box}")[0] == 200

"""daytona-launcher on a host that has no network for sandboxes, and on one that has it later."""
import socket
import struct
import time
import uuid

import pytest

import nft_owner
from launcher import (ALLOW, CREATE, FAILED, FORK, FULL, NETWORK, NETWORK_UP, NONE, NO_NETWORK, OK, START, STOP,
                      config, spec)
from test_launcher import Host, interfaces

RANGE = (0xc0000200, 24)


class Blocked:
    """A host whose launcher starts while somebody else has its table.

    It has a sandbox all the time: only then nobody else gets the instance's number, and with it the table's name.
    """

    def __init__(self, host):
        self.host, self.l = host, host.l
        self.owner = None
        self.keeper = self.l.create(layers=[host.box])

    def start(self):
        """Again, without a network."""
        if self.l.process.poll() is None:
            self.l.stop()
        self.owner = nft_owner.Owner(self.host.instance)
        self.l.start()
        assert not self.l.hello.hello()["network"] and "another process has instance" in self.l.hello.text
        return self.l

    def up(self):
        """The launcher says that it has one now."""
        event = self.l.event()
        assert event.op == NETWORK_UP and event.hello()["network"] == 1 and event.text == ""
        assert event.hello() == {**self.l.hello.hello(), "network": 1}

    def ask(self, op=CREATE, one=None, **fields):
        return self.l.call(op, one or uuid.uuid4().bytes, [config()], body=spec(layers=[self.host.box], **fields))


@pytest.fixture
def blocked():
    b = Blocked(Host())
    yield b
    if b.owner:
        b.owner.let_go()
    b.host.clean()


def address(l, one):
    return l.shell(one, "ip -4 addr show dev eth0 2>/dev/null | awk '/inet/{print $2}'")[1].split("/")[0].strip()


def text(number):
    return socket.inet_ntoa(struct.pack(">I", number))


def test_what_needs_a_network_is_told_why_there_is_none(blocked):
    l = blocked.start()
    for fields in ({"net": FULL}, {"net": ALLOW, "cidrs": [RANGE]}):
        refused = blocked.ask(**fields)
        assert refused.result == NO_NETWORK and "another process has instance" in refused.text
    assert l.list() == {blocked.keeper: (1, 1)}
    alone = l.create(layers=[blocked.host.box], net=NONE)
    assert l.shell(alone, "echo works; cat /sys/class/net/*/address | wc -l")[1].split() == ["works", "1"]
    assert l.call(FORK, uuid.uuid4().bytes, [config()], body=spec(layers=[blocked.host.box], net=FULL),
                  other=alone).result == NO_NETWORK
    l.expect(NETWORK, alone, NO_NETWORK, body=spec(layers=[blocked.host.box], net=FULL))
    l.expect(NETWORK, alone, body=spec(layers=[blocked.host.box], net=NONE))
    l.expect(STOP, alone)
    assert blocked.ask(START, alone, net=FULL).result == NO_NETWORK
    l.create(alone, op=START, layers=[blocked.host.box], net=NONE)


def test_it_is_tried_again_by_the_clock(blocked):
    l = blocked.start()
    alone = l.create(layers=[blocked.host.box], net=NONE)
    for _ in range(3):  # some of these are started ahead without a network
        l.destroy(l.create(layers=[blocked.host.box], net=NONE))
    blocked.owner.let_go()
    blocked.up()
    made = blocked.ask(net=FULL)
    assert made.result == OK and address(l, made.id) == text(made.addr) != ""
    # What runs already gets a network when it starts again.
    assert "stop it and start it again" in l.expect(NETWORK, alone, FAILED, body=spec(layers=[blocked.host.box], net=FULL)).text
    l.expect(NETWORK, alone, body=spec(layers=[blocked.host.box], net=NONE))
    assert address(l, alone) == ""
    l.expect(STOP, alone)
    started = blocked.ask(START, alone, net=FULL)
    assert started.result == OK and address(l, alone) == text(started.addr) != ""


def test_who_needs_one_does_not_wait_for_the_clock(blocked):
    l = blocked.start()
    time.sleep(3.5)  # by now the next attempt is seconds away
    blocked.owner.let_go()
    time.sleep(0.2)
    made = blocked.ask(net=FULL)
    assert made.result == OK, made
    blocked.up()
    assert address(l, made.id) == text(made.addr)
    assert f'"{text(made.addr)}"' in nft_owner.elements(blocked.host.instance, "full")


def test_sandboxes_of_before_get_their_rules_back(blocked):
    l = blocked.l
    full = blocked.ask(net=FULL)
    some = blocked.ask(net=ALLOW, cidrs=[RANGE])
    none = blocked.ask(net=NONE)
    assert [a.result for a in (full, some, none)] == [OK] * 3
    l.kill()
    blocked.start()
    assert {one: i["running"] for one, i in l.items().items()} == {a.id: 1 for a in (full, some, none)} | {blocked.keeper: 1}
    # Rules that cannot be put in force are not said to be.
    l.expect(NETWORK, full.id, NO_NETWORK, body=spec(layers=[blocked.host.box], net=NONE))
    blocked.owner.let_go()
    blocked.up()
    assert f'"{text(full.addr)}"' in nft_owner.elements(blocked.host.instance, "full")
    assert str(some.addr << 32 | RANGE[0]) in nft_owner.elements(blocked.host.instance, "allow")
    assert len(interfaces(blocked.host.instance)) >= 3
    l.expect(NETWORK, full.id, body=spec(layers=[blocked.host.box], net=NONE))
    assert f'"{text(full.addr)}"' not in nft_owner.elements(blocked.host.instance, "full")
    l.expect(NETWORK, none.id, body=spec(layers=[blocked.host.box], net=FULL))
    assert address(l, none.id) != ""


def test_a_launcher_after_one_without_a_network(blocked):
    """What was made without a network has none with the next launcher either, and that is said."""
    l = blocked.start()
    alone = l.create(layers=[blocked.host.box], net=NONE)
    l.kill()
    blocked.owner.let_go()
    l.start()
    assert l.hello.hello()["network"] and l.list() == {alone: (1, 1), blocked.keeper: (1, 1)}
    assert "stop it and start it again" in l.expect(NETWORK, alone, FAILED, body=spec(layers=[blocked.host.box], net=FULL)).text


def test_nothing_stays_when_it_ends_without_a_network(blocked):
    l = blocked.start()
    l.destroy(blocked.keeper)
    l.stop()
    blocked.owner.let_go()
    blocked.host.check_nothing_left()
    assert f"daytona{blocked.host.instance}" not in nft_owner.tables()
    l.start()
    assert l.hello.hello()["network"]

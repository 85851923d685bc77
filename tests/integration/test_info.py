"""What daytona-toolbox says of itself and the sandbox, and how it changes the environment of later processes."""
import pytest

from toolbox_box import Box, wait_for


@pytest.fixture
def box():
    with Box(env={"FOO": "bar baz", "SECRET": "vault:one", "OTHER": "vault:two"}) as b:
        yield b


def test_init(box):
    answer = box.post("/init", {"token": "t"})
    assert answer.status == 200 and answer.json == {"message": "Auth token set and telemetry initialized successfully"}
    for bad in ({}, {"token": 1}, "x"):
        assert box.post("/init", bad).status == 400, bad


def test_env(box):
    assert box.sh("echo $FOO") == "bar baz\n"
    answer = box.post("/env", {"set": {"FOO": "new value", "ADDED": "é=\"'\n$x"}})
    assert (answer.status, answer.json) == (200, {"message": "Environment updated"})
    assert box.sh("printf %s \"$FOO|$ADDED\"") == "new value|é=\"'\n$x"
    # A command's own variables win, and only for itself.
    assert box.sh("echo $FOO", envs={"FOO": "own"}) == "own\n"
    assert box.sh("echo $FOO") == "new value\n"
    box.post("/env", {"unset": ["FOO", "NOT_THERE"]})
    assert box.sh("echo ${FOO-unset}") == "unset\n"
    # First what a value begins with, then the names, then what is set.
    box.post("/env", {"unsetValuePrefix": "vault:", "set": {"SECRET": "kept", "LATE": "1"}, "unset": ["LATE", "ADDED"]})
    assert box.sh("echo $SECRET ${OTHER-unset} $LATE ${ADDED-unset}") == "kept unset 1 unset\n"
    box.post("/env", {"unsetValuePrefix": ""})
    assert box.sh("echo $SECRET $HOME") == "kept /home/daytona\n"
    assert box.post("/env", {}).status == 200


def test_env_that_cannot_be(box):
    names = "env | grep -v COMMAND_ID | sort"
    before = box.sh(names)
    for bad in ({"set": {"": "x"}}, {"set": {"A=B": "x"}}, {"set": {"1A": "x"}}, {"set": {"A-B": "x"}}, {"set": {"A": 1}},
                {"set": {"A": "x\0y"}}, {"set": {"A" * 256: "x"}}, {"set": {"A": "x" * 200_000}}, {"set": []},
                {"unset": "A"}, {"unset": [1]}, {"unsetValuePrefix": 1}, "x",
                {"set": {"GOOD": "x", "BAD NAME": "x"}}):
        answer = box.post("/env", bad)
        assert answer.status == 400 and answer.json["message"], bad
    assert box.post("/env", {"set": {f"V{i}": "x" * 100_000 for i in range(15)}}).status == 429
    assert box.sh(names) == before


def test_metrics_are_not_guessed(box):
    """Its limits are known outside of it."""
    answer = box.get("/system/metrics")
    assert answer.status == 501 and answer.json["code"] == "NOT_IMPLEMENTED"


def test_11_2_26_ports_of_every_number_and_version(box, tmp_path):
    script = tmp_path / "listen.py"
    script.write_text("import socket, time\n"
                      "kept = []\n"
                      "for family, host, port in ((socket.AF_INET6, '::1', 81), (socket.AF_INET6, '::', 50001), (socket.AF_INET, '127.0.0.1', 2999)):\n"
                      "    s = socket.socket(family)\n"
                      "    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
                      "    s.bind((host, port)); s.listen(); kept.append(s)\n"
                      "time.sleep(600)\n")
    assert box.get("/port").json == {"ports": []}
    process = box.beside(script)
    try:
        wait_for(lambda: box.listens(2999))
        assert box.get("/port").json == {"ports": [81, 2999, 50001]}
        assert box.get("/port/50001/in-use").json == {"isInUse": True}
        assert box.get("/port/50002/in-use").json == {"isInUse": False}
    finally:
        process.kill()
        process.wait()


def test_11_2_27_the_toolbox_forwards_nothing(box):
    """/proxy is answered before it, and it listens on no port of the sandbox."""
    assert box.get("/proxy/2280/version").status == 404
    assert box.sh("cat /proc/net/tcp /proc/net/tcp6 | grep -c : || :") == "0\n"

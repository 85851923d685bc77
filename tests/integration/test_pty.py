"""PTYs of daytona-toolbox as pid 1, driven over its socket. `known bug n`: the contract's section 11.2."""
import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import re
import signal
import socket
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed
from toolbox_box import Box, wait_for
from toolbox_pty import CONNECTED, EXIT_CONTROL, Viewer, connect, create, create_connect, envs_item

PROMPT = re.compile(rb"[$#] ")


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


@pytest.fixture(autouse=True)
def nothing_left(request):
    yield
    if "box" in request.fixturenames:
        b = request.getfixturevalue("box")
        for session in b.get("/process/pty").json["sessions"]:
            b.request("DELETE", f"/process/pty/{session['id']}")


def sessions(box):
    return [s["id"] for s in box.get("/process/pty").json["sessions"]]


def gone(box, name):
    return name not in sessions(box)


# --- create, list, get, delete, resize ---

def test_life(box):
    assert box.get("/process/pty").json == {"sessions": []}
    create(box, "life", cwd="/tmp", envs={"A": "b"}, cols=100, rows=30)
    info = box.get("/process/pty/life").json
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", info.pop("createdAt"))
    assert info == {"id": "life", "cwd": "/tmp", "envs": {"A": "b"}, "cols": 100, "rows": 30, "active": True,
                    "lazyStart": False}
    create(box, "second")
    assert sessions(box) == ["life", "second"]
    second = box.get("/process/pty/second").json
    assert (second["cwd"], second["cols"], second["rows"], second["envs"]) == ("/home/daytona", 80, 24, {})
    resized = box.post("/process/pty/life/resize", {"cols": 120, "rows": 40})
    assert resized.status == 200 and (resized.json["cols"], resized.json["rows"]) == (120, 40)
    deleted = box.request("DELETE", "/process/pty/life")
    assert (deleted.status, deleted.json) == (200, {"message": "PTY session deleted"})
    assert sessions(box) == ["second"]
    assert box.request("DELETE", "/process/pty/life").status == 404


def test_null_members_count_as_absent(box):
    create(box, "nulls", cwd=None, envs=None, cols=None, rows=None, lazyStart=None)


@pytest.mark.parametrize("body, status, text", [
    ({}, 400, "session ID is required"),
    ({"id": ""}, 400, "session ID is required"),
    ({"id": "x", "cols": 1001}, 400, "invalid value for cols - must be less than 1000"),
    ({"id": "x", "rows": 65536 * 5}, 400, "invalid value for rows - must be less than 1000"),
    ({"id": "x", "cols": -1}, 400, "cols"),
    ({"id": "x", "cols": "wide"}, 400, "cols"),
    ({"id": "x", "cwd": "/nowhere"}, 400, "working directory '/nowhere': No such file"),
    ({"id": "x", "cwd": "/etc/passwd"}, 400, "not a directory"),
    ({"id": "x", "cwd": "/nowhere", "lazyStart": True}, 400, "working directory '/nowhere'"),
    ({"id": "x", "envs": {"A-B": "c"}}, 400, "A-B"),
    ({"id": "x", "envs": {"A": "c\0d"}}, 400, "NUL"),
    ({"id": "x", "envs": {"A": 1}}, 400, "envs"),
    ({"id": "a\0b"}, 400, "NUL"),
    ("no json", 400, ""),
    # known bug 24: ids were not validated, and broke routes
    *[({"id": name}, 400, "session ID") for name in ("a/b", "a\\b", "..", ".", "a?b", "a#b", "a%2f", "a\nb",
                                                     "create-connect", "x" * 129)],
])
def test_bad_creates(box, body, status, text):
    answer = box.post("/process/pty", body)
    assert answer.status == status and text in answer.json["message"], answer.body
    assert answer.json["error"] == answer.json["message"] and answer.json["statusCode"] == status
    assert box.get("/process/pty").json == {"sessions": []}


def test_ids_of_many_kinds(box):
    for name, path in (("my session", "my%20session"), ("é~@:+", "%C3%A9~@:+"), ("x" * 128, "x" * 128)):
        create(box, name, lazyStart=True)
        assert box.get(f"/process/pty/{path}").json["id"] == name
        with Viewer(box, f"/process/pty/{path}/connect") as v:
            v.connected().until(PROMPT)
        assert box.request("DELETE", f"/process/pty/{path}").status == 200


def test_conflict(box):
    create(box, "same")
    again = box.post("/process/pty", {"id": "same"})
    assert (again.status, again.json["error"]) == (409, "PTY session with ID 'same' already exists")
    with create_connect(box, id="same") as v:
        assert v.one() and "already exists" in v.control[0][1]["error"]
        assert v.ends()[0] == 1011
    assert sessions(box) == ["same"]


def test_statuses_of_what_is_not_there(box):
    """known bug 24: resize said 410 for an id that never was."""
    assert box.get("/process/pty/never").json["error"] == "PTY session not found"
    assert box.get("/process/pty/never").status == 404
    assert box.request("DELETE", "/process/pty/never").status == 404
    assert box.post("/process/pty/never/resize", {"cols": 1, "rows": 1}).status == 404
    create(box, "was")
    box.request("DELETE", "/process/pty/was")
    assert box.post("/process/pty/was/resize", {"cols": 1, "rows": 1}).status == 410
    assert box.get("/process/pty/was").status == 404
    create(box, "was")  # the id is free again
    assert box.post("/process/pty/was/resize", {"cols": 1001, "rows": 1}).status == 400
    assert box.post("/process/pty/was/resize", {"rows": 1}).status == 400
    assert box.post("/process/pty/was/resize", {"cols": 0, "rows": 0}).status == 200


def test_resize_before_the_start(box):
    """known bug 24: a lazy session could not be resized before its shell ran."""
    create(box, "lazy", lazyStart=True)
    info = box.get("/process/pty/lazy").json
    assert (info["active"], info["lazyStart"]) == (False, True)
    wait_for(lambda: box.processes("-i\x00-l") == 0)
    assert box.post("/process/pty/lazy/resize", {"cols": 77, "rows": 11}).status == 200
    with connect(box, "lazy") as v:
        v.connected().until(PROMPT)
        v.send("stty size\n")
        v.until(b"11 77")
        assert box.get("/process/pty/lazy").json["active"] is True


def test_envs_given_and_no_more(box):
    """known bug 24: the whole environment, secrets included, came back from get and list."""
    create(box, "envs", envs={"GIVEN": "1"})
    for info in (box.get("/process/pty/envs").json, box.get("/process/pty").json["sessions"][0]):
        assert info["envs"] == {"GIVEN": "1"}
    with connect(box, "envs") as v:
        v.connected().until(PROMPT)
        v.send("echo =$GIVEN=$FOO=$TERM=$SHELL=\n")
        v.until(b"=1=bar baz=xterm-256color=/bin/bash=")


def test_nothing_of_the_toolbox_leaks(box):
    """known bug 33: the daemon's whole environment went into user processes."""
    create(box, "env")
    with connect(box, "env") as v:
        v.connected().until(PROMPT)
        v.send("env -0 | cut -z -d= -f1 | sort -z | tr '\\0' ' '; echo; echo do''ne\n")
        names = set(re.sub(rb"\x1b\[\?2004[hl]\r?", b"", v.until(b"done\r\n")).split(b"\r\n")[-3].decode().split())
    assert names - {"PWD", "SHLVL", "_", "OLDPWD", "LS_COLORS"} == {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "FOO", "TERM", "DAYTONA_SANDBOX_ID", "DAYTONA_SANDBOX_USER",
        "DAYTONA_COMMAND_ID"}


def test_term_of_ones_own(box):
    create(box, "term", envs={"TERM": "vt100"})
    with connect(box, "term") as v:
        v.connected()
        v.send("echo =$TERM=\n")
        v.until(b"=vt100=")


# --- the terminal ---

def test_a_real_terminal(box):
    create(box, "tty", cols=90, rows=20)
    with connect(box, "tty") as v:
        v.connected().until(PROMPT)
        v.send("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; id -un; ps -o tty= -p $$\n")
        v.until(re.compile(rb"/dev/pts/\d+\r\n20 90\r\nall\r\ndaytona\r\npts/\d+ *\r\n"))
        v.send("stty -a | grep -c iutf8; grep ^Sig /proc/self/status; echo do''ne\n")
        masks = v.until(b"done\r\n").decode()
        assert re.search(r"SigBlk:\s+0{16}", masks) and re.search(r"[\r\n]1\r\n", masks), masks
        # the descriptors of the toolbox do not leak
        v.send("ls -l /proc/$$/fd | grep -v -E 'pts|total' | wc -l\n")
        v.until(re.compile(rb"[\r\n]0\r\n"))


def test_text_and_binary_are_input(box):
    create(box, "kinds")
    with connect(box, "kinds") as v:
        v.connected().until(PROMPT)
        v.send("echo tex")
        v.send(b"t-and-bin\n")
        v.until(re.compile(rb"[\r\n]text-and-bin\r\n"))


def test_keys(box):
    """Ctrl+C ends the program in front, Ctrl+D the input, Ctrl+Z and fg work: job control is on."""
    create(box, "keys")
    with connect(box, "keys") as v:
        v.connected().until(PROMPT)
        v.send("sleep 100\n")
        wait_for(lambda: box.processes("sleep\x00100") == 1)
        v.send("\x03")
        v.until(PROMPT)
        v.send("echo status-$?\n")
        v.until(b"status-130")
        v.send("cat\n")
        wait_for(lambda: box.processes("cat\x00") == 1)  # until then the keys are the shell's editor's
        v.send("line\n\x04")
        v.until(b"line\r\nline\r\n")
        v.send("sleep 101\n")
        wait_for(lambda: box.processes("sleep\x00101") == 1)
        v.send("\x1a")
        v.until(b"Stopped")
        v.send("kill %1; wait; echo over\n")
        v.until(re.compile(rb"[\r\n]over"))


def test_sigwinch(box):
    create(box, "winch")
    with connect(box, "winch") as v:
        v.connected().until(PROMPT)
        v.send("trap 'echo size-$(stty size)' WINCH; echo re''ady\n")
        v.until(b"ready\r\n")
        box.post("/process/pty/winch/resize", {"cols": 133, "rows": 44})
        v.send("\n")
        v.until(b"size-44 133")


def test_binary_output_is_exact(box):
    create(box, "bytes")
    with connect(box, "bytes") as v:
        v.connected().until(PROMPT)
        v.send("stty raw -echo; head -c 300000 /dev/zero | tr '\\0' '\\377'; printf 'EN%s' D; stty sane\n")
        out = v.until(b"END")
        assert out.count(b"\xff") == 300000


# --- ends ---

@pytest.mark.parametrize("command, code, close, reason", [
    ("exit 0", 0, 1000, {"exitCode": 0}),
    ("exit 3", 3, 1011, {"exitCode": 3, "exitReason": "non-zero exit"}),
    ("exit 130", 130, 1011, {"exitCode": 130, "exitReason": "Ctrl+C"}),
    # known bug 24: death by a signal was reported as -1
    ("kill -KILL $$", 137, 1011, {"exitCode": 137, "exitReason": "SIGKILL"}),
    ("trap - TERM; exec sh -c 'kill -TERM $$'", 143, 1011, {"exitCode": 143, "exitReason": "SIGTERM"}),
    ("kill -SEGV $$", 139, 1011, {"exitCode": 139, "exitReason": "signal 11"}),
    ("kill -HUP $$", 129, 1011, {"exitCode": 129, "exitReason": "signal 1"}),
])
def test_exit_codes(box, command, code, close, reason):
    create(box, "end")
    with connect(box, "end", [EXIT_CONTROL]) as new, connect(box, "end") as old:
        assert (new.ws.subprotocol, old.ws.subprotocol) == (EXIT_CONTROL, None)
        new.connected()
        old.connected()
        new.send(f"echo last words; {command}\n")
        assert new.ends() == (close, reason)
        assert old.ends() == (close, reason)
        # `exited` goes to those who asked for it, before the close and behind all output
        assert [c for _, c in old.control] == [CONNECTED]
        at, exited = new.control[-1]
        assert exited == {"type": "control", "status": "exited", **reason}
        assert at == len(new.output) and b"last words\r\n" in new.output and exited["exitCode"] == code
    assert gone(box, "end")


def test_the_go_client_is_told_in_its_way(box):
    """It takes the exit code from a normal close alone, and cannot read the answer to DELETE."""
    go = {"X-Daytona-Source": "sdk-go"}
    create(box, "go")
    with connect(box, "go", additional_headers=go) as v:
        v.connected()
        v.send("exit 3\n")
        assert v.ends() == (1000, {"exitCode": 3, "exitReason": "non-zero exit"})
    create(box, "go")
    with connect(box, "go", additional_headers=go) as v, connect(box, "go") as other:
        v.connected()
        other.connected()
        answer = box.request("DELETE", "/process/pty/go", headers=go)
        assert (answer.status, answer.body) == (200, b"")
        assert v.ends() == (1000, {"exitCode": 137, "exitReason": "SIGKILL"})
        assert other.ends() == (1011, {"exitCode": 137, "exitReason": "SIGKILL"})


def test_delete_tells_viewers_and_kills_the_tree(box):
    create(box, "tree")
    with connect(box, "tree") as v:
        v.connected().until(PROMPT)
        v.send("(setsid sh -c 'sleep 271; :' &) ; nohup sleep 272 >/dev/null 2>&1 & sleep 273\n")
        for n in (271, 272, 273):
            wait_for(lambda n=n: box.processes(f"sleep\x00{n}"))
        assert box.request("DELETE", "/process/pty/tree").status == 200
        assert v.ends() == (1011, {"exitCode": 137, "exitReason": "SIGKILL"})
    for n in (271, 272, 273):
        wait_for(lambda n=n: not box.processes(f"sleep\x00{n}"))


def test_the_end_is_told_at_once(box):
    """#4926: the exit was detected late. A background process that keeps the terminal does not delay it."""
    create(box, "late")
    with connect(box, "late", [EXIT_CONTROL]) as v:
        v.connected().until(PROMPT)
        v.send("(trap '' HUP; exec sleep 6000) & disown; exit 5\n")
        assert v.ends() == (1011, {"exitCode": 5, "exitReason": "non-zero exit"})
    assert gone(box, "late")
    box.run("pkill -f 'sleep 6000'")


def test_all_output_before_the_end(box):
    """The shell's last megabyte is there although nobody read while it was written."""
    for i in range(5):
        create(box, f"tail{i}")
        with connect(box, f"tail{i}") as v:
            v.connected().until(PROMPT)
            v.send("head -c 900000 /dev/zero | tr '\\0' x; printf 'THE%s' END; exit\n")
            time.sleep(0.3)
            assert v.ends()[0] == 1000
            assert b"THEEND" in v.output and v.output.count(b"x") >= 900000


# --- viewers ---

def test_connect_to_what_is_not_there(box):
    create(box, "ended")
    box.request("DELETE", "/process/pty/ended")
    for name, why in (("never", "PTY session not found"), ("ended", "PTY session 'ended' has ended")):
        with connect(box, name) as v:
            assert v.one()
            assert v.control == [(0, {"type": "control", "status": "error",
                                      "error": f"Failed to connect to PTY session: {why}"})]
            code, reason = v.ends()
            assert code == 1011 and reason["error"]


def test_without_an_upgrade(box):
    create(box, "plain")
    for path in ("/process/pty/plain/connect", "/process/pty/create-connect?id=nope"):
        answer = box.get(path)
        assert answer.status == 400 and "WebSocket" in answer.json["message"]
    assert sessions(box) == ["plain"]


def test_several_viewers_and_scrollback(box):
    """known bug 24: what was printed before the first viewer came, was lost."""
    create(box, "many")
    wait_for(lambda: box.run("true").status == 200)
    with connect(box, "many") as a:
        a.connected().until(PROMPT)  # printed before anybody connected, or after: it is there
        a.send("echo from-''a\n")
        a.until(b"from-a\r\n")
        with connect(box, "many") as b:
            assert b"from-a\r\n" in b.connected().until(b"from-a\r\n")
            b.send("echo from-''b\n")
            a.until(b"from-b\r\n")
            b.until(b"from-b\r\n")
        a.send("echo still-''here\n")
        a.until(b"still-here\r\n")
    with connect(box, "many") as c:  # after everybody left
        c.connected().until(b"still-here\r\n")


def test_scrollback_is_bounded(box):
    create(box, "long")
    with connect(box, "long") as v:
        v.connected().until(PROMPT)
        v.send("seq -f 'line %09g' 1 40000; echo the-''end\n")
        v.until(b"the-end\r\n")
        v.until(PROMPT)
    with connect(box, "long") as late:
        late.connected()
        late.until(b"the-end\r\n")
        late.send("echo marker-''two\n")
        late.until(b"marker-two")
    with connect(box, "long") as late:
        replay = late.connected().until(b"marker-two")
        assert 60000 < len(replay) <= 65536 + 1000
        assert re.match(rb"line \d{9}\r\n", replay), "begins with a whole line"


def test_viewers_that_leave(box):
    create(box, "leave")
    with connect(box, "leave") as stays:
        stays.connected().until(PROMPT)
        for how in ("close", "cut", "half"):
            v = connect(box, "leave").connected()
            if how == "close":
                v.ws.close(1001)
            else:
                v.ws.socket.shutdown(socket.SHUT_RDWR if how == "cut" else socket.SHUT_WR)
            stays.send(f"echo after-''{how}\n")
            stays.until(f"after-{how}\r\n".encode())


def test_ends_in_the_middle_of_everything(box):
    """#4110, #4178: a PTY that closed while others wrote took the daemon with it."""
    for i in range(5):
        name = create(box, f"middle{i}")
        with contextlib.ExitStack() as stack:
            # Without a limit of theirs: who has paused its own reading waits for ever in websockets' close().
            viewers = [stack.enter_context(connect(box, name, max_queue=None)) for _ in range(6)]
            for v in viewers:
                v.connected()
            viewers[0].send("yes\n")
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                writers = [pool.submit(lambda v=v: [v.send("x" * 1000) for _ in range(20)]) for v in viewers[1:]]
                leaver = pool.submit(viewers.pop().ws.close)
                deleter = pool.submit(box.request, "DELETE", f"/process/pty/{name}")
                assert deleter.result().status == 200
                leaver.result()
                for w in writers:
                    assert w.exception() is None or isinstance(w.exception(), ConnectionClosed)
            for v in viewers:
                assert v.ends() == (1011, {"exitCode": 137, "exitReason": "SIGKILL"})
    assert box.sh("echo lives") == "lives\n"


def test_limit_of_viewers(box):
    create(box, "crowd")
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            stack.enter_context(connect(box, "crowd")).connected()
        with connect(box, "crowd") as v:
            assert v.one() and "at most 32 to one PTY" in v.control[0][1]["error"]
            assert v.ends()[0] == 1011
    wait_for(lambda: still_accepts(box, "crowd"))


def still_accepts(box, name):
    with connect(box, name) as v:
        v.one()
        return v.control[0][1] == CONNECTED


LAG = 1_500_000  # bytes: DT_PTY_LAG_MAX, and what the sockets hold


def crawl(viewer, other, over):
    """Takes little at a time until the other one is so far ahead that it is told off, which it then hears in time."""
    while len(other.output) < LAG and not over.is_set() and viewer.one():
        time.sleep(0.1)
    viewer.ends()


def test_slow_viewer_does_not_hurt_others(box):
    """It is closed with 1008 once it lags; the other gets everything."""
    create(box, "slow")
    with connect(box, "slow") as fast, connect(box, "slow") as slow:
        fast.connected().until(PROMPT)
        slow.connected()
        over = threading.Event()
        reading = threading.Thread(target=crawl, args=(slow, fast, over))
        reading.start()
        try:
            fast.send("stty -onlcr; head -c 10000000 /dev/zero | tr '\\0' 'y'; printf 'TH%s' END\n")
            assert fast.until(b"THEND", 200).count(b"y") >= 10000000
        finally:
            over.set()
            reading.join()
        assert (slow.code, slow.reason) == (1008, "slow consumer")
        assert slow.output.count(b"y") < 10000000
        fast.send("echo al''ive\n")
        fast.until(b"alive")


def test_the_only_viewer_slows_the_shell_instead(box):
    """A reader that pauses loses nothing: the program waits for it."""
    create(box, "pause")
    with connect(box, "pause") as v:
        v.connected().until(PROMPT)
        v.send("stty -onlcr; head -c 8000000 /dev/zero | tr '\\0' 'y'; printf 'TH%s' END\n")
        time.sleep(2)
        assert v.until(b"THEND", 200).count(b"y") >= 8000000


def test_stalled_only_viewer_is_dropped(box):
    """Nobody reads: the shell goes on in the end, and the viewer is told."""
    create(box, "stall")
    with connect(box, "stall") as v:
        v.connected().until(PROMPT)
        v.send("head -c 8000000 /dev/zero | tr '\\0' 'y'; touch /tmp/stalled-done\n")
        wait_for(lambda: box.run("test -e /tmp/stalled-done").json["exitCode"] == 0, 200, 0.5)
        assert v.ends() == (1008, "slow consumer")


def test_large_input(box):
    """known bug 24: a frame of more than 64 KiB cut the connection."""
    create(box, "paste")
    with connect(box, "paste") as v:
        v.connected().until(PROMPT)
        v.send("stty raw -echo; printf 'rea%s' dy; head -c 900000 | sha256sum; stty sane\n")
        v.until(b"ready")
        v.send(b"z" * 900000)
        v.until(hashlib.sha256(b"z" * 900000).hexdigest().encode(), 200)
        assert v.until(PROMPT)
        v.send(b"x" * (1024 * 1024 + 1))
        assert v.ends()[0] == 1009
    assert not gone(box, "paste")


def test_input_that_nobody_reads(box):
    """A stalled program: the input waits, bounded; pings are answered until then, and others work."""
    create(box, "stalled")
    before = box.memory()
    with connect(box, "stalled") as v:
        v.connected().until(PROMPT)
        v.send("stty raw -echo; printf 'rea%s' dy; sleep 6000\n")
        v.until(b"ready")
        sent = 0
        for _ in range(20):
            v.send(b"q" * 10000)
            sent += 10000
        assert v.ws.ping().wait(60)
        assert box.sh("echo works") == "works\n"
        assert box.memory() - before < 40000
        v.send(b"")
        box.request("DELETE", "/process/pty/stalled")
        assert v.ends()[0] == 1011
    ticks = [int(x) for x in pathlib.Path(f"/proc/{box.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]]
    time.sleep(1)
    after = [int(x) for x in pathlib.Path(f"/proc/{box.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]]
    assert sum(after) - sum(ticks) < 50, "it spins"


def test_pings_are_answered_while_data_flows(box):
    create(box, "ping")
    with connect(box, "ping") as v:
        v.connected().until(PROMPT)
        v.send("yes | head -c 3000000\n")
        pongs = [v.ws.ping(b"p%d" % i) for i in range(3)]
        for _ in range(40):
            v.one()
        v.send("echo en''d\n")
        v.until(b"end\r\n", 200)
        assert all(p.wait(60) for p in pongs)


# --- create-connect ---

def test_create_connect(box):
    with create_connect(box, [envs_item({"A": "é b", "TERM": "ansi"}), EXIT_CONTROL, "X-Daytona-SDK-Version~0.218.0"],
                        id="cc", cols=101, rows=31, cwd="/tmp") as v:
        assert v.ws.subprotocol == EXIT_CONTROL, "one, and not the secrets"
        v.connected().until(PROMPT)
        info = box.get("/process/pty/cc").json
        assert (info["cols"], info["rows"], info["cwd"], info["envs"]) == (101, 31, "/tmp", {"A": "é b", "TERM": "ansi"})
        v.send("echo =$A=$TERM=$(pwd)=$(stty size)=; exit 9\n")
        assert v.ends() == (1011, {"exitCode": 9, "exitReason": "non-zero exit"})
        assert "=é b=ansi=/tmp=31 101=".encode() in v.output
        assert v.control[-1][1]["status"] == "exited"


@pytest.mark.parametrize("protocols, query, text", [
    ((), {}, "session ID is required"),
    ((), {"id": "a/b"}, "session ID"),
    ((), {"id": "x", "cols": 1001}, "invalid value for cols"),
    ((), {"id": "x", "cols": "wide"}, "cols"),
    ((), {"id": "x", "cwd": "/nowhere"}, "working directory"),
    (("X-Daytona-Pty-Envs~!",), {"id": "x"}, "Base64url"),
    (("X-Daytona-Pty-Envs~W10",), {"id": "x"}, "JSON object of strings"),
    ((envs_item({"A": 1}),), {"id": "x"}, "must be a string"),
    ((envs_item({"A=B": "1"}),), {"id": "x"}, "A=B"),
])
def test_bad_create_connects(box, protocols, query, text):
    with create_connect(box, protocols, **query) as v:
        assert v.ws.subprotocol in protocols or not protocols
        assert v.one() and v.control[0][1]["status"] == "error" and text in v.control[0][1]["error"]
        assert v.ends()[0] == 1011
    assert box.get("/process/pty").json == {"sessions": []}


def test_subprotocols(box):
    """Exactly one of those offered, or none; the SDK's version is one like any other."""
    create(box, "sub")
    for offered, echoed in (((), None), (("X-Daytona-SDK-Version~0.113.1",), "X-Daytona-SDK-Version~0.113.1"),
                            (("X-Daytona-SDK-Version~0.113.1", EXIT_CONTROL), EXIT_CONTROL)):
        with connect(box, "sub", offered) as v:
            assert v.connected().ws.subprotocol == echoed
            assert "Sec-WebSocket-Extensions" not in v.ws.response.headers
            assert len(v.ws.response.headers.get_all("Sec-WebSocket-Protocol")) == bool(echoed)


# --- many, and hostile ---

def test_two_hundred(box):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: box.post("/process/pty", {"id": f"p{i}"}), range(201)))
    assert sorted(a.status for a in answers) == [201] * 200 + [429]
    refused = next(a for a in answers if a.status == 429)
    assert "200 PTYs, which is the most" in refused.json["message"]
    assert len(sessions(box)) == 200
    with contextlib.ExitStack() as stack:
        alive = [s for s in sessions(box)][::20]
        for name in alive:
            v = stack.enter_context(connect(box, name))
            v.connected().until(PROMPT)
            v.send(f"echo i-am-''{name}\n")
            v.until(f"i-am-{name}\r\n".encode())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda s: box.request("DELETE", f"/process/pty/{s}").status, sessions(box))) == {200}
    wait_for(lambda: box.processes("-i\x00-l") == 0)
    wait_for(lambda: len(os.listdir(f"/proc/{box.pid}/fd")) < 40)


def test_kill_everything_around(box):
    """The toolbox does not die of what its shells do."""
    create(box, "wild")
    with connect(box, "wild") as v:
        v.connected().until(PROMPT)
        v.send("sleep 300 & kill -9 -1; exit\n")
        v.ends()
    wait_for(lambda: not box.processes("sleep\x00300"))
    create(box, "closed")
    with connect(box, "closed") as v:
        v.connected().until(PROMPT)
        v.send("exec 3>/dev/tty 0</dev/null 1>/dev/null 2>&1; sleep 0.5; echo wit''hout >&3; exec 0<&3 1>&3 2>&3; echo ba''ck\n")
        v.until(b"without")
        v.until(b"back\r\n")
    assert box.sh("echo fine") == "fine\n"


def test_no_shell_in_the_image():
    """A clear error, at once, for create and for create-connect."""
    with Box(hidden=["bash", "sh", "dash"]) as box:
        for body in ({"id": "x"}, {"id": "x", "lazyStart": True}):
            answer = box.post("/process/pty", body)
            assert answer.status == 501 and "has no shell" in answer.json["message"], answer.body
        with create_connect(box, id="x") as v:
            assert v.one() and "has no shell" in v.control[0][1]["error"]
            assert v.ends()[0] == 1011


def test_close_of_the_sandbox():
    """known bug 34: WebSockets were cut without a code. And shells at terminals, which ignore SIGTERM, are hung up."""
    told = pathlib.Path(f"/var/tmp/dt-pty-hup-{os.getpid()}")
    for _ in range(5):
        with Box() as box:
            create(box, "bye")
            v = connect(box, "bye")
            v.connected().until(PROMPT)
            v.send(f"trap ': > {told}' EXIT; echo tra''pped\n")
            v.until(b"trapped\r\n")
            began = time.monotonic()
            os.kill(box.pid, signal.SIGTERM)
            assert v.ends() == (1001, "the sandbox stops")
            box.process.wait(60)
        if told.exists():
            break
        assert time.monotonic() - began > 2.5, "it was not given its time"  # a machine that stands still is no fault
    told.unlink()


def test_shell_of_the_user_that_is_there():
    """The passwd entry names one that the image has not: the image's own is taken, and said so to programs."""
    with Box(user="odd") as box:
        create(box, "odd")
        with connect(box, "odd") as v:
            v.connected().until(PROMPT)
            v.send("echo =$SHELL=$0=\n")
            v.until(re.compile(rb"=/[a-z/]*bash=/[a-z/]*bash="))


def test_real_program():
    """The static program that goes into sandboxes, as root."""
    with Box(user="root", binary="daytona-toolbox") as box:
        create(box, "r")
        with connect(box, "r", [EXIT_CONTROL]) as v:
            v.connected().until(PROMPT)
            v.send("id -u; tty\n")
            v.until(re.compile(rb"[\r\n]0\r\n/dev/pts/\d"))
            v.send("exit 4\n")
            assert v.ends() == (1011, {"exitCode": 4, "exitReason": "non-zero exit"})

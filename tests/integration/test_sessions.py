"""Sessions of daytona-toolbox: shells that stay, their commands, and the logs of these.

Names with `bug` are entries of the list of known bugs of the original that this must not have.
"""
import concurrent.futures
import json
import os
import re
import socket
import threading
import time
import urllib.parse
import uuid

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect

from toolbox_box import SETTLE, Box, Gate, wait_for

NEW = {"X-Daytona-SDK-Version": "0.190.1", "X-Daytona-Source": "sdk-python"}
MARKED = {"X-Daytona-SDK-Version": "0.111.1"}
OLD = {"X-Daytona-SDK-Version": "0.26.0"}
API = {"X-Daytona-Route": "api"}  # set by daytona-runnerd for what comes by the API's path

NO_BASH = SETTLE.replace('exec "$@"', 'mount --bind /etc/passwd /usr/bin/bash\nexec "$@"')
# A root of busybox alone. The libraries are for the program under test, which has sanitizers.
BUSYBOX = SETTLE.replace('exec "$@"', """
root=/home/root
mkdir -p $root/bin $root/etc $root/proc $root/dev $root/tmp $root/home $root/lib $root/lib64 $root/usr/lib
cp "$(command -v busybox)" $root/bin/busybox
for a in sh cat echo sleep ls env rm id mkdir yes head wc seq tr printf kill ps grep true false dd stat readlink; do ln -s busybox $root/bin/$a; done
cp /etc/passwd /etc/group $root/etc
chmod 1777 $root/tmp
mount -t proc proc $root/proc
mount --rbind /dev $root/dev
for d in lib lib64 usr/lib; do mount --rbind /$d $root/$d; done
exec chroot $root "$@"
""")
SHELLS = {"bash": {}, "dash": {"settle": NO_BASH}, "busybox": {"settle": BUSYBOX}}


@pytest.fixture(scope="module", params=SHELLS)
def any_box(request):
    with Box(**SHELLS[request.param]) as b:
        b.shell = request.param
        yield b


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


class Session:
    def __init__(self, box, headers=NEW, **more):
        self.box, self.id, self.headers = box, f"s-{uuid.uuid4()}", headers
        answer = box.post("/process/session", {"sessionId": self.id}, headers={**headers, **more})
        assert (answer.status, answer.body) == (201, b""), answer.body

    @property
    def path(self):
        return f"/process/session/{self.id}"

    def exec(self, command, headers=None, timeout=120, **members):
        return self.box.post(self.path + "/exec", {"command": command, **members}, headers or self.headers, timeout=timeout)

    def run(self, command, **kw):
        """(exit code, stdout, stderr)"""
        answer = self.exec(command, **kw)
        assert answer.status == 200, answer.body
        return answer.json["exitCode"], answer.json["stdout"], answer.json["stderr"]

    def out(self, command, **kw):
        code, out, err = self.run(command, **kw)
        assert (code, err) == (0, ""), (code, out, err)
        return out

    def start(self, command, **members):
        answer = self.exec(command, runAsync=True, **members)
        assert answer.status == 202, answer.body
        assert {k: v for k, v in answer.json.items() if k != "cmdId"} == dict.fromkeys(("output", "stdout", "stderr", "exitCode"))
        return answer.json["cmdId"]

    def command(self, command):
        return self.box.get(f"{self.path}/command/{command}").json

    def logs(self, command, headers=None, query=""):
        return self.box.get(f"{self.path}/command/{command}/logs{query}", headers=headers or self.headers)

    def input(self, command, data, **more):
        return self.box.post(f"{self.path}/command/{command}/input", {"data": data, **more}, self.headers)

    def end_input(self, command):
        answer = self.box.post(f"{self.path}/command/{command}/input", {"eof": True}, self.headers)
        assert answer.status == 204, answer.body

    def wait(self, command, seconds=120):
        return wait_for(lambda: self.command(command) if "exitCode" in self.command(command) else None, seconds)["exitCode"]

    def delete(self):
        return self.box.request("DELETE", self.path)

    def follow(self, command, headers=None, protocols=None, query="?follow=true", **options):
        return unix_connect(self.box.socket, uri=f"ws://localhost{self.path}/command/{command}/logs{query}", compression=None,
                            subprotocols=protocols, additional_headers=headers or self.headers, **options)


@pytest.fixture
def session(box):
    s = Session(box)
    yield s
    s.delete()


@pytest.fixture
def any_session(any_box):
    s = Session(any_box)
    yield s
    s.delete()


def demux(raw):
    """As clients do it: leftmost marker first, what stands before the first one dropped."""
    streams, pieces = {1: [], 2: []}, re.split(b"(\1\1\1|\2\2\2)", raw)
    for marker, text in zip(pieces[1::2], pieces[2::2]):
        streams[marker[0]].append(text)
    return b"".join(streams[1]), b"".join(streams[2])


def read_all(ws):
    """All frames, and the code it was closed with."""
    frames = []
    try:
        while True:
            frames.append(ws.recv(60))
    except ConnectionClosed as e:
        return frames, e.rcvd.code if e.rcvd else 1006


# --- the shell ---

def test_state_lasts(any_session):
    s = any_session
    assert s.out("X='a  b'; cd /etc; f() { echo \"f $1 $X\"; }; export Y=exported") == ""
    assert s.out("pwd; f 1; sh -c 'echo $Y'") == "/etc\nf 1 a  b\nexported\n"
    assert s.run("echo out; echo err >&2; false") == (1, "out\n", "err\n")
    assert s.run("no-such-program")[0] == 127
    assert s.out("echo \"still $X\"") == "still a  b\n"
    assert s.run("sh -c 'kill -9 $$'")[0] == 137


def test_streams_are_apart_to_the_byte(any_session):
    assert any_session.run("printf 'no newline'; printf 'also none' >&2") == (0, "no newline", "also none")
    assert any_session.out("printf 'a\\000b\\rc\\033[0m'") == "a\0b\rc\033[0m"


@pytest.mark.parametrize("command, want", [
    ("echo 'unbalanced", 2), ('echo "unbalanced', 2), ("echo `date", 2), ("if true", 2), ("echo )", 2), ("done", 2),
    ("echo $((1+", 2), ("case x in", 2), ("{ echo", 2), ("f() {", 2), ("cat <<EOF\nnever ends", 0), ("# a comment", 0), ("true #'", 0),
    ("echo \\", 0), ("-x", 127), ("break", 0), (";;", 2), ("exec 9>&-; exec 7>&-; exec 3>&-", 0), ("unset -f f; set +e", 0)])
def test_bug_4230_broken_text_ends_nothing(any_session, command, want):
    s = any_session
    s.out("KEPT=yes")
    code, _, err = s.run(command, timeout=60)
    assert bool(code) == bool(want), (code, err)
    assert s.out("echo $KEPT") == "yes\n"


def test_a_shell_that_runs_nothing_ends(any_session):
    """`set -n`: it reads on and reports nothing. Its session ends, and says so."""
    s = any_session
    assert s.out("echo before") == "before\n"
    c = s.start("set -n")
    behind = s.start("echo never")
    assert s.wait(c) == 0 and s.wait(behind) == -1
    assert "ended before this command began" in s.logs(behind).json["stderr"]
    assert s.exec("true").json["code"] == "SESSION_ENDED"


def test_a_shell_that_works_is_left_alone(any_session):
    """However it may look: asleep, without output, without a child."""
    s = any_session
    s.out("mkfifo /tmp/wait-" + s.id)
    c = s.start(f"exec >/dev/null 2>&1; read x </tmp/wait-{s.id}; [ \"$x\" = go ]")
    time.sleep(1.5)
    s.start("true")
    time.sleep(1)
    assert "exitCode" not in s.command(c)
    s.box.sh(f"echo go >/tmp/wait-{s.id}")
    assert s.wait(c) == 0 and s.out("echo after") == "after\n"
    if s.box.shell == "bash":  # its trap comes before our own lines, too
        s.run("trap 'sleep 0.7' DEBUG")
        assert s.out("echo slow") == "slow\n"
        s.run("trap - DEBUG")
        assert s.out("echo fast") == "fast\n"


def test_heredocs(any_session):
    s = any_session
    assert s.out("cat <<EOF; echo after\none $((1 + 1))\nEOF") == "one 2\nafter\n"
    assert s.out("cat <<'A' && cat <<B\n$not 'quoted' \"at\" all `\nA\n  second\nB\n") == "$not 'quoted' \"at\" all `\n  second\n"
    assert s.out("cat <<EOF\n" + "x" * 70 + "\n" + "y\n" * 5000 + "EOF\n") == "x" * 70 + "\n" + "y\n" * 5000


@pytest.mark.parametrize("command, code", [
    ("echo bye; exit 7", 7), ("echo bye; exec sh -c 'echo more; exit 9'", 9), ("set -e; echo bye; false; echo not", 1),
    ("echo bye; kill -9 $$", 137), ("echo bye; kill -TERM $$; sleep 300", 143), ("(sleep 0.3; kill -9 $$) & echo bye; wait", 137)])
def test_bug_5_the_shell_ends(any_box, command, code):
    """The running command gets its status, what waits and what comes later is told."""
    s = Session(any_box)
    s.out("true")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(s.exec, "sleep 0.5", timeout=60)
        wait_for(lambda: len(any_box.get(s.path).json["commands"]) == 2)
        ends = pool.submit(s.run, command, timeout=60)
        wait_for(lambda: len(any_box.get(s.path).json["commands"]) == 3)
        late = pool.submit(s.exec, "echo late", timeout=60)
        wait_for(lambda: len(any_box.get(s.path).json["commands"]) == 4 or late.done())
        assert slow.result().status == 200
        assert ends.result()[0] == code
        assert ends.result()[1] in ("bye\n", "bye\nmore\n")
        assert late.result().status == 410 and late.result().json["code"] == "SESSION_ENDED", late.result().body
    answer = s.exec("true")
    assert answer.status == 410 and answer.json["code"] == "SESSION_ENDED"
    assert [c.get("exitCode") for c in any_box.get(s.path).json["commands"]] == [0, 0, code, -1][:len(any_box.get(s.path).json["commands"])]
    assert s.delete().status == 204 and any_box.get(s.path).status == 404


def test_exit_trap_is_heard(any_box):
    s = Session(any_box)
    s.out("trap 'echo good; echo bye >&2' EXIT")
    code, out, err = s.run("echo first; exit 3")
    assert (code, out) == (3, "first\ngood\n") and "bye\n" in err
    s.delete()


def test_bug_6_nothing_of_ours_in_the_shell(any_session):
    s = any_session
    before = set(s.out("set").splitlines())
    s.out("true; trap 'echo trapped' USR1; kill -USR1 $$; wait; true")
    names = {line.split("=")[0] for line in set(s.out("set").splitlines()) - before}
    assert names <= {"_", "BASH_LINENO", "LINENO", "PIPESTATUS", "BASH_ARGC", "BASH_ARGV", "RANDOM", "SECONDS", "EPOCHREALTIME", "'", "BASH_EXECUTION_STRING"}
    assert s.out("sleep 0.2 & wait; echo done") == "done\n"
    fds = s.out("ls /proc/self/fd").split()
    assert fds[:3] == ["0", "1", "2"] and len(fds) <= 4, fds
    def environment(text):  # without what shells add, and the mark that is another one for each
        return {line for line in text.splitlines() if not line.startswith(("_=", "PWD=", "OLDPWD=", "SHLVL=", "DAYTONA_COMMAND_ID="))}
    assert environment(s.out("env")) == environment(s.box.sh("env")), "bug 33 of the code"
    listing = s.out("cat /proc/$$/cmdline | tr '\\0' ' '")
    assert listing.strip() in ("/bin/bash -s", "/bin/sh -s")


def test_users_redirections_stay_inside(any_session):
    s = any_session
    s.out("exec >/tmp/into; echo hidden")
    assert s.out("echo seen; cat /tmp/into; rm /tmp/into") == "seen\nhidden\n"
    s.out("echo content >/tmp/five; exec 5</tmp/five")
    assert s.out("cat <&5; rm /tmp/five") == "content\n"
    s.run("set -x; echo traced")
    assert s.run("echo again; set +x")[1] == "again\n"


def test_bug_3770_standard_input_is_empty(any_session):
    s = any_session
    assert s.out("cat; echo $?") == "0\n"
    assert s.run("read line")[0] == 1
    assert s.out("echo next") == "next\n"


def test_large_commands(any_session):
    """Known bug 3918: nothing of it is an argument of a program."""
    text = "x" * 1000 + "'" + "y" * 1000 + "\\\"$\n"
    s = any_session
    assert s.out("cat <<'EOF'\n" + text * 200 + "EOF\n", timeout=120) == text * 200
    shown = s.box.get(s.path).json["commands"][0]["command"]
    assert shown.startswith("cat <<'EOF'\nxxx") and len(shown) == 64 * 1024


# --- order, waiting, background ---

def test_commands_run_one_after_another(session):
    ids = [session.start(f"sleep 0.05; echo {i} >>/tmp/order-{session.id}") for i in range(10)]
    assert session.out(f"cat /tmp/order-{session.id}").split() == [str(i) for i in range(10)]
    assert [c["id"] for c in session.box.get(session.path).json["commands"]][:10] == ids
    assert all(session.command(i)["exitCode"] == 0 for i in ids)


def test_bug_1992_a_running_command_can_be_asked_for(session):
    gate = Gate(session.box)
    c = session.start(f"{gate.wait}; exit_code=1; (exit 5)")
    asked = session.command(c)
    assert asked == {"id": c, "command": f"{gate.wait}; exit_code=1; (exit 5)"}
    gate.open()
    assert session.wait(c) == 5


def test_bug_4422_the_exit_code_comes_after_the_output(session):
    for i in range(60):
        c = session.start(f"seq 500; echo {i}; echo err >&2")
        session.wait(c)
        logs = session.logs(c).json
        assert logs["stdout"].endswith(f"500\n{i}\n") and logs["stderr"] == "err\n"


def test_bug_22_background_does_not_delay(any_session):
    s = any_session
    gate = Gate(s.box)
    code, out, _ = s.run(f"({gate.wait}; echo late; sleep 6000) & echo now")
    assert (code, out) == (0, "now\n")
    gate.open()
    first = s.box.get(s.path).json["commands"][-1]["id"]
    assert s.out("echo other") == "other\n"
    wait_for(lambda: s.logs(first).json["stdout"] == "now\nlate\n")  # to its own log
    assert s.out("echo $!").strip() != ""


def test_a_line_is_long_and_slow(session):
    """Progress without newlines is heard at once."""
    c = session.start("printf 50%%; sleep 0.3; printf '\\r100%%'; sleep 6000")
    wait_for(lambda: session.logs(c).json["stdout"] == "50%\r100%")


# --- input ---

def test_input(any_session):
    s = any_session
    c = s.start("read name; echo \"hello $name\"; read more; echo \"$more\"")
    assert s.input(c, "world").status == 204
    wait_for(lambda: "hello world" in s.logs(c).json["stdout"])
    assert s.input(c, "line\n").status == 204
    assert s.wait(c) == 0
    assert s.logs(c).json["stdout"] == "world\nhello world\nline\nline\n"
    answer = s.input(c, "too late")
    assert answer.status == 410 and answer.json["code"] == "COMMAND_ALREADY_COMPLETED"
    assert answer.json["message"] == "command has already completed with exit code 0"


def test_input_without_echo(session):
    c = session.start("cat", suppressInputEcho=True)
    session.input(c, "secret")
    wait_for(lambda: session.logs(c).json["stdout"] == "secret\n")


def test_input_before_its_turn(session):
    session.start("sleep 0.5")
    c = session.start("read x; echo \"got $x\"", suppressInputEcho=True)
    assert session.input(c, "early").status == 204
    assert session.wait(c) == 0 and session.logs(c).json["stdout"] == "got early\n"


def test_input_that_nobody_reads(session):
    c = session.start("sleep 6000")
    big, sent = "x" * 200_000, 0
    while (answer := session.input(c, big)).status == 204:
        sent += 1
        assert sent < 50
    assert answer.status == 429 and "does not read" in answer.json["message"]
    assert session.input(c, "").status == 400


def test_end_of_input(any_session):
    s = any_session
    c = s.start("wc -l; cat; echo then", suppressInputEcho=True)
    assert s.input(c, "one").status == 204
    assert s.input(c, "two\nthree", eof=True).status == 204
    assert s.wait(c) == 0 and s.logs(c).json["stdout"] == "3\nthen\n"
    c = s.start("cat; echo $?; sleep 6000")
    s.end_input(c)
    wait_for(lambda: s.logs(c).json["stdout"] == "0\n")
    answer = s.input(c, "more")
    assert answer.status == 400 and "input has ended" in answer.json["message"]
    s.end_input(c)  # as it is


def test_end_of_input_at_any_time(any_session):
    """Before its turn, before the shell has opened it, before it was read, after it was closed."""
    s = any_session
    before, after = Gate(s.box), Gate(s.box)
    s.start(before.wait)
    early = s.start("cat", suppressInputEcho=True)
    assert s.input(early, "early", eof=True).status == 204
    assert s.input(early, "more").status == 400
    none = s.start("cat")
    s.end_input(none)
    before.open()
    assert (s.wait(early), s.logs(early).json["stdout"]) == (0, "early\n")
    assert (s.wait(none), s.logs(none).json["stdout"]) == (0, "")
    for _ in range(30):
        c = s.start("cat")
        s.end_input(c)
        assert s.wait(c) == 0
    slow = s.start("sleep 0.5; wc -c", suppressInputEcho=True)
    assert s.input(slow, "x" * 899_999, eof=True).status == 204
    assert (s.wait(slow), s.logs(slow).json["stdout"]) == (0, "900000\n")
    closed = s.start(f"exec <&-; sleep 0.5; {after.wait}; echo open")
    s.end_input(closed)
    after.open()
    assert s.wait(closed) == 0
    assert s.out("echo next") == "next\n"


def test_input_where_there_is_none(session):
    assert session.input("no-such", "x").status == 404
    gate = Gate(session.box)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = pool.submit(session.run, gate.wait)
        c = wait_for(lambda: session.box.get(session.path).json["commands"])[0]["id"]
        answer = session.input(c, "x")
        assert answer.status == 400 and "runAsync" in answer.json["message"]
        assert session.input(c, "", eof=True).status == 400
        gate.open()
        done.result()


# --- what the operations say ---

def test_errors(box, session):
    again = box.post("/process/session", {"sessionId": session.id})
    assert again.status == 409 and again.json["message"] == "session already exists"
    for body in ({"sessionId": ""}, {}, [], {"sessionId": "entrypoint"}, {"sessionId": "x" * 300}, {"sessionId": "a\0b"}):
        assert box.post("/process/session", body).status == 400, body
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/command/x"), ("GET", "/command/x/logs")):
        answer = box.request(method, "/process/session/none" + path)
        assert answer.status == 404 and answer.json["message"] == "session not found"
    answer = box.post("/process/session/none/exec", {"command": "true"})
    assert answer.status == 404, "bug 2 of the code"
    assert set(answer.json) >= {"statusCode", "message", "code", "source", "path", "method", "timestamp"}, "bug 1 of the code"
    for command in ("", "  \n\t"):
        answer = session.exec(command)
        assert answer.status == 400 and answer.json["message"] == "command cannot be empty"
    answer = box.get(session.path + "/command/x")
    assert answer.status == 404 and answer.json["message"] == "command not found"


def test_entrypoint(box):
    for path in ("", "/logs"):
        answer = box.get("/process/session/entrypoint" + path)
        assert answer.status == 404 and "entrypoint" in answer.json["message"]
    assert box.post("/process/session/entrypoint/exec", {"command": "true"}).status == 400
    assert box.post("/process/session/entrypoint/command/entrypoint_command/input", {"data": "x"}).status == 400
    assert box.request("DELETE", "/process/session/entrypoint").status == 400


@pytest.mark.parametrize("name", ["a/b", "../../x", "%2e", "ü ☃", "a?b#c", "."])
def test_bug_31_names_are_only_names(box, name):
    assert box.post("/process/session", {"sessionId": name}).status == 201
    path = "/process/session/" + urllib.parse.quote(name, safe="")
    assert box.post(path + "/exec", {"command": "echo hi"}, NEW).json["stdout"] == "hi\n"
    assert name in [s["sessionId"] for s in box.get("/process/session").json]
    assert box.request("DELETE", path).status == 204


@pytest.mark.parametrize("member", ["runAsync", "async", "var_async"])
def test_async_by_all_its_names(session, member):
    assert session.exec("true", **{member: True}).status == 202
    assert session.exec("true", **{member: False}).status == 200


def test_lists(box, session):
    assert box.get(session.path).json == {"sessionId": session.id, "commands": []}
    session.out("true")
    listed = [s for s in box.get("/process/session").json if s["sessionId"] == session.id]
    assert listed[0]["commands"][0]["command"] == "true" and listed[0]["commands"][0]["exitCode"] == 0


# --- versions ---

def test_the_go_sdk_writes_its_version_with_a_v(session):
    c = session.start("echo o; echo e >&2")
    session.wait(c)
    log = session.logs(c, {"X-Daytona-SDK-Version": "v0.173.0", "X-Daytona-Source": "sdk-go"}).json
    assert sorted(log.pop("output").splitlines()) == ["e", "o"]
    assert log == {"stdout": "o\n", "stderr": "e\n"}


def test_gates(box):
    s = Session(box)
    answer = s.exec("echo o; echo e >&2", headers=MARKED).json
    assert demux(answer["output"].encode()) == (b"o\n", b"e\n") and answer["output"].startswith(("\1\1\1", "\2\2\2"))
    assert answer["stdout"] is answer["stderr"] is None
    for old in (OLD, {"X-Daytona-Source": "x"}):
        answer = s.exec("echo o; echo e >&2", headers=old).json
        assert sorted(answer["output"].splitlines()) == ["e", "o"] and answer["stdout"] is None
    new = s.exec("echo o; echo e >&2", headers=NEW).json
    assert (new["stdout"], new["stderr"], new["exitCode"]) == ("o\n", "e\n", 0)
    assert new["output"] in ("o\ne\n", "e\no\n")
    c = new["cmdId"]
    plain = s.logs(c, OLD)
    assert plain.headers["Content-Type"].startswith("text/plain") and sorted(plain.body.split()) == [b"e", b"o"]
    marked = s.logs(c, MARKED)
    assert marked.headers["Content-Type"].startswith("text/plain") and demux(marked.body) == (b"o\n", b"e\n")
    split = s.logs(c, {"X-Daytona-Split-Output": "true"})
    assert demux(split.body) == (b"o\n", b"e\n")
    assert s.logs(c, NEW).json == {"output": new["output"], "stdout": "o\n", "stderr": "e\n"}
    s.delete()


def test_old_clients_begin_in_the_home():
    with Box(workdir="/usr") as b:
        assert Session(b, {"X-Daytona-SDK-Version": "0.102.0"}).exec("pwd", headers=NEW).json["stdout"] == "/home/daytona\n"
        assert Session(b, {"X-Daytona-SDK-Version": "0.103.0"}).exec("pwd", headers=NEW).json["stdout"] == "/usr\n"
        assert Session(b, {}).exec("pwd", headers=NEW).json["stdout"] == "/usr\n"


# --- logs ---

def test_followed_over_the_apis_path(session):
    """Plain HTTP, chunked, without markers: what the original's runner made of it."""
    c = session.start("for i in 1 2 3; do echo $i; echo e >&2; sleep 0.2; done")
    answer = session.logs(c, {**MARKED, **API}, "?follow=true")
    assert answer.headers["Content-Type"] == "application/octet-stream" and answer.headers["Transfer-Encoding"] == "chunked"
    assert sorted(answer.body.split()) == [b"1", b"2", b"3", b"e", b"e", b"e"]
    assert session.command(c)["exitCode"] == 0
    assert session.logs(c, MARKED, "?follow=true").headers["Content-Type"].startswith("text/plain")


def test_followed_over_a_websocket(session):
    c = session.start("for i in 1 2 3; do echo $i; echo e$i >&2; sleep 0.1; done; printf end")
    with session.follow(c) as ws:
        frames, code = read_all(ws)
    assert code == 1000 and all(isinstance(f, bytes) and len(f) <= 16384 for f in frames)
    assert demux(b"".join(frames)) == (b"1\n2\n3\nend", b"e1\ne2\ne3\n")


def test_jardinero_43_the_exit_code_is_there_when_the_stream_ends(session):
    for i in range(20):
        c = session.start(f"echo {i}; (exit {i})")
        with session.follow(c) as ws:
            assert read_all(ws)[1] == 1000
        assert session.command(c)["exitCode"] == i


def test_bug_8_streams_end_at_once(session):
    """Also those without a byte, and those of commands that are long over."""
    quiet = session.start("sleep 0.3")
    with session.follow(quiet) as ws:
        assert read_all(ws) == ([], 1000)
    with session.follow(quiet) as ws:
        assert read_all(ws) == ([], 1000)
    c = session.start("printf 'no newline'; sleep 6000")
    wait_for(lambda: session.logs(c).json["stdout"])
    with session.follow(c, query="") as ws:  # not followed: what there is
        assert read_all(ws) == ([b"\1\1\1no newline"], 1000)
    with session.follow(c, OLD) as ws:
        assert ws.recv(60) == b"no newline"
    with session.follow(c) as ws:
        assert ws.recv(60) == b"\1\1\1no newline"
        threading.Timer(0.3, session.delete).start()
        assert read_all(ws) == ([], 1000)


def test_subprotocols(session):
    c = session.start("echo o; echo e >&2")
    session.wait(c)
    for version, want in (("0.26.0", b"o\ne\n"), ("0.111.1", b"\1\1\1o\n\2\2\2e\n")):
        name = "X-Daytona-SDK-Version~" + version
        with session.follow(c, {"X-Other": "y"}, [name]) as ws:
            assert ws.subprotocol == name
            frames, _ = read_all(ws)
            assert sorted(b"".join(frames)) == sorted(want)
    with session.follow(c) as ws:
        assert ws.subprotocol is None
    for path in ("/command/none/logs", ""):
        answer = session.box.get(session.path + path + "x", headers={**NEW, "Upgrade": "websocket", "Connection": "Upgrade"})
        assert answer.status == 404


def test_bug_11_each_gets_its_own_subprotocol(session):
    """One list of all requests, changed by each, had answers mixed up."""
    c = session.start("echo o")
    session.wait(c)
    names = [f"X-Daytona-SDK-Version~0.{100 + i}.0" for i in range(60)]

    def ask(name):
        with session.follow(c, {"X-Other": "y"}, [name]) as ws:
            return ws.subprotocol, read_all(ws)[1]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(ask, names)) == [(name, 1000) for name in names]


def test_bug_9_nothing_comes_twice_in_one_stream(session):
    """For clients that see both streams as one; wherever these change, and however little comes at a time."""
    c = session.start("i=0; while [ $i -lt 300 ]; do printf $i; printf x >&2; i=$((i+1)); done")
    live, _ = read_all(session.follow(c, OLD))
    later, _ = read_all(session.follow(c, OLD))
    whole = session.logs(c, OLD).body
    assert b"".join(live) == b"".join(later) == whole
    assert sorted(whole) == sorted("".join(map(str, range(300))).encode() + b"x" * 300)


def test_pings_are_answered_while_data_flows(session):
    gate = Gate(session.box)
    c = session.start(f"yes | head -c 30000000; {gate.wait}; echo end")
    with session.follow(c, ping_interval=None) as ws:
        ws.recv(60)
        pongs = [ws.ping() for _ in range(5)]
        while not all(p.is_set() for p in pongs):  # the command does not end, and the rest comes in any case
            ws.recv(60)
        gate.open()
        assert read_all(ws)[1] == 1000


def test_bug_10_marker_bytes_arrive(session):
    c = session.start(r"printf '\001\001\001x\002\002\002\002'; printf '\002\002\001\001\001\001' >&2; printf '\001\001\001'")
    session.wait(c)
    logs = session.logs(c).json
    assert logs["stdout"] == "\1\1\1x\2\2\2\2\1\1\1" and logs["stderr"] == "\2\2\1\1\1\1"
    plain = session.logs(c, OLD).body  # bug 9: bytes that look like markers stay where no client looks for any
    assert sorted(plain) == sorted((logs["stdout"] + logs["stderr"]).encode())
    with session.follow(c) as ws:
        raw = b"".join(read_all(ws)[0])
    assert demux(raw) == (logs["stdout"].encode(), logs["stderr"].encode())
    assert demux(session.logs(c, MARKED).body) == (logs["stdout"].encode(), logs["stderr"].encode())


def test_bug_7_binary_output(session):
    c = session.start("head -c 300000 /dev/urandom >/tmp/r; cat /tmp/r; cat /tmp/r >&2")
    session.wait(c)
    want = session.box.get("/files/download?path=/tmp/r").body
    with session.follow(c) as ws:
        out, err = demux(b"".join(read_all(ws)[0]))
    assert out == want and err == want
    assert demux(session.logs(c, MARKED).body) == (want, want)


def test_megabytes_a_second():
    """All of it arrives, and none of it is memory of the toolbox."""
    with Box(binary="daytona-toolbox") as b:
        s = Session(b)
        c = s.start("yes 0123456789abcdef | head -c 50000000; yes e | head -c 1000000 >&2")
        with s.follow(c, MARKED) as ws:
            out, err = demux(b"".join(read_all(ws)[0]))
        assert len(out) == 50_000_000 and len(err) == 1_000_000
        # The end of one stream may be read after the beginning of the other.
        whole = s.logs(c, OLD).body
        assert len(whole) == 51_000_000 and whole[:49_000_000] == out[:49_000_000] and whole.endswith(err[500_000:])
        assert all(whole.count(byte) == out.count(byte) + err.count(byte) for byte in (b"0", b"e", b"f", b"\n"))
        assert b.memory("VmHWM") < 8192


def test_a_reader_that_stalls(session):
    """The command does not wait for it; the reader gets the newest and a word about the rest."""
    c = session.start("seq 1 20000000 | head -c 100000000; echo; echo the end")
    with session.follow(c, OLD, max_queue=1) as ws:
        ws.recv(60)
        assert session.wait(c, 300) == 0
        rest = b"".join(read_all(ws)[0])
    assert rest.endswith(b"\nthe end\n")
    assert re.search(rb"\n\[\d+ bytes of output left out\]\n", rest)
    assert len(rest) < 70_000_000
    assert session.out("echo on") == "on\n"


def test_readers_that_vanish(session):
    c = session.start("for i in $(seq 100); do echo $i; sleep 0.02; done")
    for i in range(10):
        k = socket.socket(socket.AF_UNIX)
        k.connect(session.box.socket)
        k.send(f"GET {session.path}/command/{c}/logs?follow=true HTTP/1.1\r\nHost: x\r\nX-Daytona-Route: api\r\n\r\n".encode())
        ws = session.follow(c)
        ws.recv(60)
        k.close()
        ws.socket.close()
    assert session.wait(c) == 0
    assert session.logs(c).json["stdout"] == "".join(f"{i}\n" for i in range(1, 101))


def test_sync_caller_that_vanishes(session):
    """The command goes on: it belongs to the session."""
    k = socket.socket(socket.AF_UNIX)
    k.connect(session.box.socket)
    body = json.dumps({"command": "sleep 0.5; echo done"})
    k.send(f"POST {session.path}/exec HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    c = wait_for(lambda: session.box.get(session.path).json["commands"])[0]["id"]
    k.close()
    assert session.wait(c) == 0 and session.logs(c).json["stdout"] == "done\n"


def test_logs_on_a_full_disk():
    full = SETTLE.replace('exec "$@"', """mount -t tmpfs -o size=1m,mode=777 tmpfs /home
mount -t tmpfs -o size=1m,mode=1777 tmpfs /tmp
mount -t tmpfs -o size=1m,mode=1777 tmpfs /var/tmp
exec "$@" """)
    with Box(settle=full) as b:
        s = Session(b)
        code, out, err = s.run("seq 1 2000000; echo the end")
        assert (code, err) == (0, "") and out.endswith("2000000\nthe end\n") and "left out" in out
        assert s.out("echo on") == "on\n"


# --- the end ---

def test_deletion_kills_all_of_it(any_box):
    s = Session(any_box)
    s.run("sleep 5001 & (sleep 5002 &) ; sh -c 'sleep 5003 & sleep 5004' & true")
    c = s.start("sleep 5005; sleep 5006")
    wait_for(lambda: any_box.processes("500") >= 5)
    start = time.monotonic()
    assert s.delete().status == 204
    assert time.monotonic() - start < 60  # it did not wait for them
    assert all(any_box.processes(f"500{i}") == 0 for i in range(1, 7))
    assert any_box.get(s.path).status == 404 and c


def test_deletion_asks_before_it_kills(box):
    s = Session(box)
    s.start("python3 -c 'import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: (open(\"/tmp/asked\", \"w\").close(), sys.exit()))\n"
            "print(\"ready\", flush=True)\ntime.sleep(60)' & wait")
    c = box.get(s.path).json["commands"][0]["id"]
    wait_for(lambda: "ready" in s.logs(c).json["stdout"])
    s.delete()
    assert box.sh("rm /tmp/asked && echo asked") == "asked\n"


def test_what_ignores_the_question_is_killed(box):
    s = Session(box)
    s.start("trap '' TERM; sh -c 'trap \"\" TERM; while :; do sleep 5100; done'")
    wait_for(lambda: box.processes("5100"))
    box.run("pkill -STOP -f 5100")
    assert s.delete().status == 204
    assert box.processes("5100") == 0


def test_waiting_callers_hear_of_the_deletion(box):
    s = Session(box)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        callers = [pool.submit(s.exec, "sleep 6000") for _ in range(3)]
        wait_for(lambda: len(box.get(s.path).json["commands"]) == 3)
        with s.follow(box.get(s.path).json["commands"][0]["id"]) as ws:
            assert s.delete().status == 204
            assert read_all(ws)[1] == 1000
        for caller in callers:
            assert caller.result().status == 400 and caller.result().json["message"] == "session cancelled"
    again = box.post("/process/session", {"sessionId": s.id})
    assert again.status == 201 and s.delete().status == 204


def test_deleting_twice_and_creating_meanwhile(box):
    s = Session(box)
    s.start("trap '' TERM; sleep 1 & wait; sleep 1")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(s.delete)
        wait_for(lambda: box.get(s.path).status == 404)
        assert s.delete().status == 404
        assert box.post("/process/session", {"sessionId": s.id}).status == 201
        assert s.out("echo new") == "new\n"
        assert first.result().status == 204
    assert s.out("echo new") == "new\n"
    s.delete()


def test_nothing_is_left(box):
    wait_for(lambda: box.get("/process/session").json == [])
    before = wait_for(box.descriptors)
    for _ in range(20):
        s = Session(box)
        s.out("seq 10000; sleep 300 & true")
        s.start("cat")
        s.delete()
    wait_for(lambda: 0 < box.descriptors() <= before)
    names = box.sh("ls -A ~; [ ! -e /tmp/.daytona ] || ls -A /tmp/.daytona").split()
    assert [n for n in names if "log-" in n] == []
    assert [n for n in box.sh("[ ! -e /tmp/.daytona ] || ls -A /tmp/.daytona").split() if "output" not in n] == []


def test_bug_2814_no_zombies(session):
    session.out("for i in $(seq 50); do (sleep 0.01 &) ; done; sleep 0.3")

    def zombies():
        states = session.box.sh("ps -eo stat=").split()
        assert len(states) >= 3  # pid 1, the session's shell, and ps itself
        return [s for s in states if s.startswith("Z")]
    wait_for(lambda: zombies() == [] and session.box.processes("sleep\x000.01") == 0)
    assert zombies() == []


# --- limits ---

def test_two_hundred_sessions():
    with Box(binary="daytona-toolbox", settle="ulimit -Sn 1024\n" + SETTLE) as b:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            all_of_them = list(pool.map(lambda _: Session(b), range(200)))
            assert list(pool.map(lambda s: s.out("echo $$ in"), all_of_them)) != []
        while (answer := b.post("/process/session", {"sessionId": f"more-{uuid.uuid4()}"})).status == 201:
            pass
        assert answer.status == 429 and "256" in answer.json["message"]
        assert len(b.get("/process/session").json) == 256
        assert b.sh("ulimit -n").strip() == all_of_them[0].out("ulimit -n").strip() == "1024"


def test_waiting_commands_are_limited(session):
    session.start("sleep 6000")
    codes = [session.exec("true", runAsync=True).status for _ in range(130)]
    assert codes == [202] * 128 + [429] * 2


def test_old_commands_are_forgotten(session):
    first = session.start("echo first")
    for _ in range(520):
        session.exec("true")
    assert session.box.get(f"{session.path}/command/{first}").status == 404
    assert len(session.box.get(session.path).json["commands"]) == 512


# --- the machine room ---

def test_the_folder_of_pipes_may_vanish(session):
    session.out("rm -rf /tmp/.daytona")
    assert session.out("echo fine") == "fine\n"
    session.run("rm -rf /tmp/.daytona; touch /tmp/.daytona")
    answer = session.run("echo none")
    assert answer[0] != 0 and "pipes" in answer[2]
    session.box.sh("rm -f /tmp/.daytona")
    assert session.out("echo fine") == "fine\n"


def test_a_shell_that_loses_its_descriptors(session):
    """It can report nothing any more: it ends, and nobody waits for ever."""
    code, out, _ = session.run("echo x; for f in /proc/$$/fd/*; do f=${f##*/}; [ $f -gt 9 ] && eval \"exec $f>&-\"; done; true", timeout=60)
    assert out == "x\n"
    assert session.exec("true", timeout=60).status == 410 or code is not None


def test_a_million_marker_bytes(session):
    c = session.start("yes '' | head -c 1000000 | tr '\\n' '\\001'; yes '' | head -c 1000000 | tr '\\n' '\\002' >&2")
    with session.follow(c, MARKED) as ws:
        assert demux(b"".join(read_all(ws)[0])) == (b"\1" * 1000000, b"\2" * 1000000)


def test_sessions_that_are_open_at_the_end():
    """Of root's, the sanitizers look for leaks."""
    with Box(user="root") as b:
        s = Session(b)
        s.out("seq 10000")
        s.start("sleep 60")
        s.start("cat")
        s.exec("true", runAsync=True)


def test_sigkill_to_everybody(box):
    s = Session(box)
    c = s.start("sleep 6000")
    box.run("kill -9 -1")
    assert s.wait(c) == 137
    assert s.exec("true").status == 410
    assert s.delete().status == 204
    assert Session(box).out("echo on") == "on\n"


# --- what is new since a place in the log ---

def new(session, command, **query):
    return session.box.get(f"{session.path}/command/{command}/output?{urllib.parse.urlencode(query)}", headers=session.headers)


def test_output_since_a_cursor(session):
    command = session.start("printf 'one\\n'; printf 'two\\n'; printf three")
    session.wait(command)
    whole = new(session, command).json
    assert whole == {"output": "one\ntwo\nthree", "tail": "", "omitted": 0, "resume": 13, "cursor": 13, "lost": 0, "exitCode": 0}
    for cursor in range(14):
        assert new(session, command, cursor=cursor).json["output"] == whole["output"][cursor:]
    assert new(session, command, cursor=1 << 50).json["cursor"] == 13


def test_output_above_the_limit_is_its_two_ends(session):
    text = "".join(f"{i}\n" for i in range(20000))
    command = session.start("i=0; seq 0 19999")
    session.wait(command)
    for cursor in (0, 7, 50000, len(text) - 1001, len(text) - 1000):
        got = new(session, command, cursor=cursor, limit=1000).json
        rest = text[cursor:]
        cut = len(rest) > 1000
        assert got["output"] == (rest[:500] if cut else rest) and got["tail"] == (rest[-500:] if cut else "")
        assert got["omitted"] == max(0, len(rest) - 1000) and got["cursor"] == len(text) and got["lost"] == 0
        assert got["resume"] == cursor + len(got["output"])


def test_output_that_is_no_longer_there(session):
    """The log keeps 64 MiB; who asks for what came before is told how much is missing."""
    size = 100 * 1000 * 1000
    command = session.start(f"head -c {size - 4} /dev/zero | tr '\\0' x; echo end")
    assert session.wait(command, 300) == 0
    got = new(session, command, limit=100).json
    assert got["cursor"] == size and 30 * 1000 * 1000 < got["lost"] < 60 * 1000 * 1000
    assert got["output"] == "x" * 50 and got["tail"] == "x" * 46 + "end\n"
    assert got["lost"] + 100 + got["omitted"] == size
    some = new(session, command, cursor=size - 60, limit=100).json
    assert some["output"] == "x" * 56 + "end\n" and some["lost"] == 0


def test_output_is_waited_for(session):
    one, two, three = (Gate(session.box) for _ in range(3))
    command = session.start(f"{one.wait}; printf a; {two.wait}; printf b; {three.wait}")
    assert new(session, command).json["output"] == ""
    assert new(session, command, wait=0.05).json["output"] == ""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(new, session, command, wait=60)
        time.sleep(0.2)  # it waits by now, as a rule
        one.open()
        assert first.result().json["output"] == "a" and "exitCode" not in first.result().json
        ends = [pool.submit(new, session, command, cursor=1, wait=60, untilEnd="true") for _ in range(8)]
        time.sleep(0.2)
        two.open()
        time.sleep(0.2)
        assert not any(e.done() for e in ends)
        three.open()
        assert [e.result().json["output"] for e in ends] == ["b"] * 8
        assert ends[0].result().json["exitCode"] == 0


def test_those_who_wait_learn_of_the_end_of_the_session(box):
    s = Session(box)
    command = s.start("sleep 6000")
    waits = box.connection()
    waits.request("GET", f"{s.path}/command/{command}/output?wait=60", headers=s.headers)  # it comes before the next one
    assert s.delete().status == 204
    assert json.loads(waits.getresponse().read())["exitCode"] in (-1, 143)  # the shell's last word, if it had one


def test_output_goes_to_those_who_stay(session):
    """Callers that vanish while they wait are forgotten."""
    command = session.start("sleep 2; echo done")
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(session.box.socket))
            gone.sendall(f"GET {session.path}/command/{command}/output?wait=60 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            time.sleep(0.005)
    assert new(session, command, wait=60).json["output"] == "done\n"


@pytest.mark.parametrize("query", [{"cursor": -1}, {"cursor": "x"}, {"limit": 0}, {"limit": 1 << 30}, {"wait": -1}, {"wait": 1e9}])
def test_output_asked_for_badly(session, query):
    command = session.start("true")
    assert new(session, command, **query).status == 400


def test_output_of_what_is_not_there(session):
    assert new(session, "none").status == 404
    assert session.box.get("/process/session/none/command/none/output").status == 404

"""The program of a sandbox's image: in daytona-toolbox, and with real images from their import on."""
import http.client
import json
import pathlib
import shutil
import signal
import tempfile

import backend
import busybox
import image
import pytest
from websockets.sync.client import unix_connect

from test_sessions import MARKED, NEW, OLD, Session, demux, read_all
from toolbox_box import Box, wait_for

PATH = "/process/session/entrypoint"
SHELLS = ["bash", "sh", "dash"]


def the_command(box):
    session = box.get(PATH)
    assert session.status == 200 and session.json["sessionId"] == "entrypoint", session.body
    (command,) = session.json["commands"]
    assert command["id"] == "entrypoint_command"
    return command


def ended(box):
    """(exit code, stdout, stderr)"""
    code = wait_for(lambda: the_command(box) if "exitCode" in the_command(box) else None)["exitCode"]
    logs = box.get(PATH + "/logs", headers=NEW).json
    assert sorted(logs["output"]) == sorted(logs["stdout"] + logs["stderr"])  # in the order they were read
    return code, logs["stdout"], logs["stderr"]


def follow(box, headers=NEW, query="?follow=true"):
    return unix_connect(box.socket, uri=f"ws://localhost{PATH}/logs{query}", compression=None, additional_headers=headers)


@pytest.fixture
def place():
    """A folder that host and box share."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-entrypoint-", dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


# --- what is run ---

def test_as_the_sandboxes_user_in_the_images_folder_and_environment():
    script = 'echo "$1|$2|$FOO|$HOME|$(id -un)|$PWD"; echo oops >&2; tty; (exit 3)'
    with Box(entrypoint=["sh", "-c", script, "x", "it's", ""], workdir="/usr") as box:
        code, out, err = ended(box)
        assert (code, err) == (3, "oops\n")
        assert out == "it's||bar baz|/home/daytona|daytona|/usr\nnot a tty\n"
        assert the_command(box)["command"].startswith("sh -c 'echo \"$1|") and the_command(box)["command"].endswith("x 'it'\\''s' ''")


@pytest.mark.parametrize("words", [["bash"], ["/bin/sh"], ["python3"], ["cat"], ["python3", "-i"]])
def test_who_waits_for_input_gets_its_end(words):
    with Box(entrypoint=words) as box:
        assert ended(box)[0] == 0


@pytest.mark.parametrize("words, want, text", [
    (["no-such-program", "x"], 127, "no-such-program"), (["/no/such/program"], 127, "/no/such/program"), (["./here"], 127, "./here"),
    (["/etc/passwd"], 126, "/etc/passwd"), (["/usr"], 126, "/usr"), ([""], 127, "PATH")])
def test_what_cannot_be_started_says_so_and_holds_up_nothing(words, want, text):
    with Box(entrypoint=words) as box:
        code, out, err = ended(box)
        assert (code, out) == (want, "") and "entrypoint cannot be started" in err and text in err
        assert box.sh("echo fine") == "fine\n"


def test_an_image_without_a_shell():
    with Box(entrypoint=["cat", "/etc/hostname"], hidden=SHELLS) as box:
        assert ended(box) == (0, "box\n", "")


def test_a_script_that_names_no_shell(place):
    script = place / "run"
    script.write_text('echo "$0 $1"\n')
    script.chmod(0o755)
    with Box(entrypoint=["./run", "arg"], workdir=str(place)) as box:
        assert ended(box) == (0, "./run arg\n", "")


def test_none():
    for more in ({}, {"entrypoint": []}):
        with Box(**more) as box:
            for path in ("", "/logs", "/command/entrypoint_command", "/command/entrypoint_command/logs"):
                assert box.get(PATH + path).status == 404, path
            assert "entrypoint" in box.get(PATH).json["message"]
            for method, path, body in CHANGES:
                assert box.request(method, path, body).status == 400


# --- what clients see ---

CHANGES = [("POST", PATH + "/exec", {"command": "true"}), ("DELETE", PATH, None), ("DELETE", "/process/session/entr%79point", None),
           ("POST", "/process/session/entr%79point/exec", {"command": "true"}), ("POST", "/process/session", {"sessionId": "entrypoint"}),
           ("POST", PATH + "/command/entrypoint_command/input", {"data": "x"})]


def test_logs_by_version():
    """As text, in no version without marks."""
    with Box(entrypoint=["sh", "-c", "echo out; until [ -e /tmp/go ]; do sleep 0.05; done; echo err >&2"]) as box:
        wait_for(lambda: b"out" in box.get(PATH + "/logs").body)
        box.sh("touch /tmp/go")
        assert ended(box) == (0, "out\n", "err\n")
        raw = b"\1\1\1out\n\2\2\2err\n"
        for headers in (MARKED, OLD, {}):
            logs = box.get(PATH + "/logs", headers=headers)
            assert logs.body == raw and logs.headers["Content-Type"].startswith("text/plain")
        for headers in (MARKED, OLD, NEW):
            for query in ("", "?follow=true"):
                with follow(box, headers, query) as ws:
                    frames, code = read_all(ws)
                    assert (demux(b"".join(frames)), code) == ((b"out\n", b"err\n"), 1000)


def test_followed_live_and_never_changed():
    with Box(entrypoint=["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.3; done; while ! [ -e /tmp/end ]; do sleep 0.05; done; exit 4"]) as box:
        ws = follow(box)
        got = b""
        while b"3\n" not in got:
            got += ws.recv(60)
        assert "exitCode" not in the_command(box)
        for method, path, body in CHANGES:
            answer = box.request(method, path, body)
            assert answer.status == 400 and "entrypoint" in answer.json["message"], (path, answer.body)
        with follow(box, query="") as now:  # without follow: what there is
            frames, code = read_all(now)
            assert (demux(b"".join(frames))[0], code) == (b"1\n2\n3\n", 1000)
        box.sh("touch /tmp/end")
        frames, code = read_all(ws)
        assert (demux(got + b"".join(frames))[0], code) == (b"1\n2\n3\n", 1000)
        assert the_command(box)["exitCode"] == 4, "known bug, jardinero 43: the code is there before the stream's end"
        assert box.get("/process/session").json == []
        one = box.get(PATH + "/command/entrypoint_command").json
        assert one == the_command(box) and box.get(PATH + "/command/entrypoint_command/logs").body == b"1\n2\n3\n"
        assert box.get(PATH + "/command/entrypoint_command/output").json["output"] == "1\n2\n3\n"


def test_it_is_never_forgotten():
    """Commands of sessions are, when there are too many."""
    with Box(entrypoint=["sh", "-c", "echo kept; kill -9 $$"]) as box:
        assert ended(box) == (137, "kept\n", "")
        for i in range(10):
            s = Session(box)
            for j in range(60):
                s.out("true # " + "x" * 8000)
        assert ended(box) == (137, "kept\n", "")


def test_more_than_memory_holds():
    with Box(entrypoint=["sh", "-c", "yes | head -c 100000000; sleep 600 & echo end >&2"]) as box:
        code = wait_for(lambda: the_command(box) if "exitCode" in the_command(box) else None, 300)["exitCode"]
        assert code == 0, "a background process holds up nothing"
        out, err = demux(box.get(PATH + "/logs", headers=MARKED).body)
        assert 60_000_000 < len(out) < 70_000_000 and err.endswith(b"end\n")


def test_the_sandboxes_end_is_told(place):
    script = f"trap 'echo bye > {place}/told; exit' TERM; echo ready; while :; do sleep 0.05; done"
    with Box(entrypoint=["sh", "-c", script]) as box:
        wait_for(lambda: b"ready" in box.get(PATH + "/logs").body)
    assert (place / "told").read_text() == "bye\n"


# --- real images ---

PROGRAM = """trap 'echo told >> /end; exit 0' TERM
echo . >> /runs
echo "$(cat /runs) for $*, $GREETING, in $(pwd)"
echo apart >&2
n=0
while :; do sleep 0.1; n=$((n+1)); echo tick $n; done"""


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


@pytest.fixture(scope="module")
def api(layer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    config = {"Entrypoint": ["/bin/sh", "-c", PROGRAM, "x"], "Cmd": ["a b", "c"], "WorkingDir": "/www", "Env": ["GREETING=hi", "PATH=/bin"]}
    with backend.Backend(settings=("--default-snapshot", "docker")) as b:
        b.import_snapshot("docker", image.docker_save(layer, folder / "docker.tar", **config))
        b.import_snapshot("oci", image.oci_layout(layer, folder / "oci.tar", **config))
        b.import_snapshot("lone", image.oci_layout(layer, folder / "lone.tar", Cmd=["/bin/bash"]))
        b.import_snapshot("cmd", image.docker_save(layer, folder / "cmd.tar", Cmd=["id", "-un"], User="alice", Env=["PATH=/bin"]))
        yield b.start()


class Inside:
    """A sandbox, and its toolbox through runnerd."""

    def __init__(self, api, snapshot="docker", made=None):
        self.api = api
        if made is None:
            status, made = api.request("POST", "/sandbox", {"snapshot": snapshot})
            assert status == 200, made
        self.id = made["id"]

    def ask(self, method, path, body=None):
        return self.api.request(method, f"/toolbox/{self.id}/toolbox{path}", body)

    def command(self):
        status, session = self.ask("GET", PATH)
        assert status == 200, session
        return session["commands"][0]

    def sh(self, command):
        return self.ask("POST", "/process/execute", {"command": command})[1]["result"]

    def change(self, to, state):
        status, answer = self.api.request("POST", f"/sandbox/{self.id}/{to}")
        assert status == 200, answer
        wait_for(lambda: self.api.request("GET", f"/sandbox/{self.id}")[1]["state"] == state)

    def delete(self):
        self.api.request("DELETE", f"/sandbox/{self.id}")


def logs(inside):
    """As an SDK since 0.167 gets them."""
    c = http.client.HTTPConnection("127.0.0.1", inside.api.port, timeout=60)
    c.request("GET", f"/api/toolbox/{inside.id}/toolbox{PATH}/logs",
              headers={"Authorization": f"Bearer {backend.KEY}", "X-Daytona-SDK-Version": "0.190.1"})
    reply = json.loads(c.getresponse().read())
    c.close()
    return reply


def ticks(inside):
    return logs(inside)["stdout"].count("tick")


@pytest.fixture(params=["docker", "oci"])
def inside(api, request):
    box = Inside(api, request.param)
    yield box
    box.delete()


def test_from_the_import_on(api, inside):
    """Kept with the snapshot and shown there; run at the start, and again after a stop."""
    words = ["/bin/sh", "-c", PROGRAM, "x", "a b", "c"]
    snapshot = api.request("GET", f"/sandbox/{inside.id}")[1]["snapshot"]
    assert api.request("GET", f"/snapshots/{snapshot}")[1]["entrypoint"] == words
    wait_for(lambda: ticks(inside) >= 2)
    assert logs(inside)["stdout"].startswith(". for a b c, hi, in /www\ntick 1\n") and logs(inside)["stderr"] == "apart\n"
    command = inside.command()
    assert "exitCode" not in command and command["command"].startswith("/bin/sh -c 'trap") and command["command"].endswith(" x 'a b' c")
    assert inside.sh("cat /runs") == ".\n"
    inside.change("stop", "stopped")
    inside.change("start", "started")
    wait_for(lambda: ticks(inside) >= 1)
    assert inside.sh("cat /runs /end") == ".\n.\ntold\n", "it ran twice, and was told of its end"
    assert logs(inside)["stdout"].startswith(".\n. for a b c")


def test_a_fork_runs_its_own(api, inside):
    wait_for(lambda: ticks(inside) >= 1)
    status, made = api.request("POST", f"/sandbox/{inside.id}/fork", {})
    assert status == 200, made
    other = Inside(api, made=made)
    wait_for(lambda: api.request("GET", f"/sandbox/{other.id}")[1]["state"] == "started")
    wait_for(lambda: ticks(other) >= 1)
    assert other.sh("cat /runs") == ".\n.\n" and inside.sh("cat /runs") == ".\n"
    other.delete()


def test_it_outlives_the_server(api):
    box = Inside(api)
    wait_for(lambda: ticks(box) >= 1)
    api.stop(signal.SIGKILL)
    api.start()
    seen = ticks(box)
    wait_for(lambda: ticks(box) > seen)
    assert logs(box)["stdout"].startswith(". for a b c") and box.sh("cat /runs") == ".\n"
    box.delete()


def test_a_command_without_an_entrypoint(api):
    box = Inside(api, "cmd")
    assert wait_for(lambda: "exitCode" in box.command() and box.command()) == {
        "id": "entrypoint_command", "command": "id -un", "exitCode": 0}
    assert logs(box)["stdout"] == "alice\n"
    box.delete()


def test_a_shell_alone_is_none(api):
    """What base images name, which without a terminal does nothing: a create has nothing to start."""
    assert api.request("GET", "/snapshots/lone")[1]["entrypoint"] is None
    box = Inside(api, "lone")
    status, answer = box.ask("GET", PATH)
    assert status == 404 and "entrypoint" in answer["message"]
    box.delete()

"""Code of three languages, and the interpreter, against daytona-toolbox as pid 1.

A number like 25 is an entry of the list of sharp edges in the published behaviour that ours does not have.
"""
import concurrent.futures
import contextlib
import json
import socket
import time

import pytest
import websockets
from websockets.sync.client import unix_connect

from toolbox_box import Box, wait_for, with_time_enough

FRAME = {"type", "text", "name", "value", "traceback"}


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


@pytest.fixture
def own():
    """For tests that leave something behind, or look at all there is."""
    with Box() as b:
        yield b


def run(box, code, language="python", **members):
    answer = box.post("/process/code-run", {"code": code, "language": language, **members})
    assert answer.status == 200, answer.body
    return answer.json


def output(box, code, language="python", **members):
    done = run(box, code, language, **members)
    assert done["exitCode"] == 0, done
    return done["result"]


# --- code-run ---

ARGUMENTS = ["two words", "$HOME", '"', "'; exit 7; '", "", "-x", "--version", "é\n"]


def test_23_arguments_are_not_split_or_expanded(box):
    assert json.loads(output(box, "import sys, json; print(json.dumps(sys.argv[1:]))", argv=ARGUMENTS)) == ARGUMENTS
    code = "console.log(JSON.stringify(process.argv.slice(1)))"
    assert json.loads(output(box, code, "javascript", argv=ARGUMENTS)) == ARGUMENTS


def test_23_nothing_lies_in_tmp(box):
    look = "import os; print(os.listdir('/tmp')); print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:3])"
    assert output(box, look) == "[]\n[0, 1, 2]\n"
    assert output(box, "console.log(require('fs').readdirSync('/tmp').length)", "javascript") == "0\n"


def test_23_input_is_at_its_end(box):
    code = "try:\n    input('name? ')\nexcept EOFError:\n    print('end')\nimport sys\nprint(repr(sys.stdin.read()))"
    assert output(box, code) == "name? end\n''\n"
    code = "process.stdin.on('data', d => console.log('' + d)).on('end', () => console.log('end'))"
    assert output(box, code, "javascript") == "end\n"


def test_23_the_program_is_main_and_knows_where_it_is(box):
    code = "import os, sys\nprint(__name__, os.path.dirname(os.path.abspath(__file__)), sys.modules['__main__'].x)"
    assert output(box, "x = 5\n" + code) == "__main__ /home/daytona 5\n"
    code = "console.log(require.main === module, __dirname, path.basename(__filename))"
    assert output(box, code, "javascript") == "true /home/daytona [stdin].js\n"


def test_23_tracebacks_name_the_users_frames_only(box):
    done = run(box, "def f():\n    return 1 / 0\n\nf()\n")
    assert done["exitCode"] == 1
    lines = done["result"].splitlines()
    assert lines[:5] == ["Traceback (most recent call last):", '  File "<stdin>", line 4, in <module>', "    f()",
                         '  File "<stdin>", line 2, in f', "    return 1 / 0"]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    done = run(box, "x = (\n")
    assert done["exitCode"] == 1 and 'File "<stdin>", line 1' in done["result"] and "daytona" not in done["result"]
    done = run(box, "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('x') from e")
    assert "direct cause" in done["result"] and "<daytona>" not in done["result"]
    done = run(box, "function f() { throw new Error('x') }\n\nf()", "javascript")
    assert done["exitCode"] == 1
    assert [line.split("/")[-1] for line in done["result"].splitlines()] == [
        "Error: x", "[stdin].js:1:22)", "[stdin].js:3:1)"]


def test_exit_codes(box):
    assert run(box, "raise SystemExit(3)")["exitCode"] == 3
    assert run(box, "import sys; sys.exit('told')") == {"exitCode": 1, "result": "told\n"}
    assert run(box, "import os; os._exit(9)")["exitCode"] == 9
    assert run(box, "import os; os.kill(os.getpid(), 9)")["exitCode"] == -1
    assert run(box, "process.exit(4)", "javascript")["exitCode"] == 4
    assert run(box, "throw 5", "javascript") == {"exitCode": 1, "result": "Uncaught 5\n"}
    assert run(box, "Promise.reject(new TypeError('late'))", "javascript")["exitCode"] == 1
    assert run(box, "const x = ", "javascript")["exitCode"] == 1
    assert run(box, "")["exitCode"] == 0


def test_both_streams_in_their_order(box):
    code = "import sys\nfor i in range(3):\n    print(i)\n    print('e', i, file=sys.stderr)"
    assert output(box, code) == "0\ne 0\n1\ne 1\n2\ne 2\n"
    assert output(box, "console.log(1); console.error(2); console.log(3)", "javascript") == "1\n2\n3\n"


def test_sloppy_and_strict(box):
    assert output(box, "#!/usr/bin/env node\nx = 1; console.log(x)", "javascript") == "1\n"
    done = run(box, "// a comment\n'use strict';\nundeclared = 1", "javascript")
    assert done["exitCode"] == 1 and "ReferenceError" in done["result"]
    assert output(box, "console.log(await Promise.resolve(6))", "javascript") == "6\n"
    assert output(box, "import('os').then(os => console.log(typeof os.cpus))", "javascript") == "function\n"


def test_modules_beside_the_program(box):
    box.sh("echo 'x = 8' > /home/daytona/beside.py; echo 'exports.x = 9' > /home/daytona/beside.js")
    assert output(box, "import beside; print(beside.x)") == "8\n"
    assert output(box, "console.log(require('./beside').x)", "javascript") == "9\n"


def test_environment_is_for_this_run(box):
    code = "import os; print(os.environ.get('A'), os.environ.get('FOO'))"
    assert output(box, code, envs={"A": "1 $HOME '"}) == "1 $HOME ' bar baz\n"
    assert output(box, code) == "None bar baz\n"
    bad = box.post("/process/code-run", {"code": "1", "language": "python", "envs": {"A-B": "1"}})
    assert bad.status == 400 and "invalid environment variable name: 'A-B'" in bad.json["message"]


@pytest.mark.parametrize("body, text", [
    ({"code": "1", "language": "ruby"}, "unsupported language: ruby"),
    ({"code": "1", "language": "Python"}, "unsupported language: Python"),
    ({"code": "1"}, "language"),
    ({"language": "python"}, "code"),
    ({"code": "1", "language": "python", "argv": "x"}, "argv"),
    ({"code": "1", "language": "python", "argv": ["a\0b"]}, "argv[0] holds a NUL"),
    ({"code": "1", "language": "python", "timeout": -1}, "timeout"),
])
def test_bad_requests_are_told(box, body, text):
    answer = box.post("/process/code-run", body)
    assert answer.status == 400 and text in answer.json["message"], answer.body
    assert answer.json["statusCode"] == 400 and answer.json["source"] == "DAYTONA_DAEMON"


def test_what_the_image_lacks_is_told(box):
    done = run(box, "1", envs={"PATH": "/nowhere"})
    assert done["exitCode"] == -1 and "no python3 on its PATH" in done["result"]
    assert "no node on its PATH" in run(box, "1", "javascript", envs={"PATH": "/nowhere"})["result"]


def test_23_time_is_over_for_the_whole_tree(box):
    code = "import subprocess\nprint('before', flush=True)\nsubprocess.Popen(['setsid', 'sleep', '4711'])\nsubprocess.run(['sleep', '4711'])"

    def attempt(seconds):
        answer = box.post("/process/code-run", {"code": code, "language": "python", "timeout": seconds})
        assert answer.status == answer.json["statusCode"] == 408
        assert answer.json["code"] == "PROCESS_EXECUTION_TIMEOUT" and box.processes("sleep\x004711") == 0
        return answer.json["result"]
    assert with_time_enough(attempt, bool) == "before\n"
    answer = box.post("/process/code-run", {"code": "while (1) {}", "language": "javascript", "timeout": 0.5})
    assert answer.status == 408


def test_a_client_that_goes_away_ends_it(box):
    connection = box.connection()
    body = json.dumps({"code": "import time\nprint('4712')\ntime.sleep(4712)", "language": "python"})
    connection.request("POST", "/process/code-run", body)
    count = lambda: box.processes("python3\x00-u")
    wait_for(lambda: count() == 1)
    connection.close()
    wait_for(lambda: count() == 0)


def test_any_size(box):
    assert output(box, f"x = '{'a' * 5_000_000}'\nprint(len(x))") == "5000000\n"
    assert output(box, f"x = '{'a' * 5_000_000}'\nconsole.log(x.length)", "javascript") == "5000000\n"
    done = run(box, "print('x' * 50_000_000)")
    assert "bytes left out; the whole output is in /tmp/.daytona/output/" in done["result"]
    assert len(done["result"]) < 5_000_000
    box.sh("rm -r /tmp/.daytona")


def test_no_output_is_taken_for_a_chart(box):
    line = 'dtn_artifact_k39fd2:{"type":"chart","value":{"type":"line"}}\n{"type": "line"}\n'
    assert run(box, f"print({line!r}, end='')") == {"exitCode": 0, "result": line}


def test_many_at_once(box):
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda i: output(box, f"print({i})"), range(24)))
    assert got == [f"{i}\n" for i in range(24)]


def test_threads_and_processes_of_the_program(box):
    code = "import multiprocessing\nwith multiprocessing.Pool(2) as p:\n    print(p.map(abs, [-1, -2]))"
    assert output(box, code) == "[1, 2]\n"
    code = "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\nprint('on')"
    done = run(box, code)
    assert done["exitCode"] == 0 and "ZeroDivisionError" in done["result"] and done["result"].endswith("on\n")


def test_charts_that_are_none_are_told(box):
    code = "import os\nfor fd in range(90, 120):\n    try: os.write(fd, b'[1]\\n{\\n')\n    except OSError: pass\nprint('x')"
    assert output(box, code) == "x\n\n[2 charts left out: they were more than 64 MiB, or no JSON]\n"
    code = "import os\nfor fd in range(90, 120):\n    try: os.write(fd, b'{\"type\": \"line\"}\\n')\n    except OSError: pass"
    assert run(box, code)["artifacts"] == {"charts": [{"type": "line"}]}


def test_the_program_that_goes_into_sandboxes():
    with Box(binary="daytona-toolbox") as b:
        assert output(b, "print(1)") == "1\n"
        assert output(b, "console.log(2)", "javascript") == "2\n"
        for i in range(3):
            assert prints(b, f"print({i})") == f"{i}\n"
        assert execute(b, "import os; os._exit(0)").code == 1001
        assert execute(b, "while True: pass", timeout=0.3).code == 4008


# --- the interpreter ---

class Outcome:
    def __init__(self, frames, code, reason):
        self.frames, self.code, self.reason = frames, code, reason

    def of(self, kind):
        return "".join(f["text"] for f in self.frames if f["type"] == kind)

    @property
    def error(self):
        return next((f for f in self.frames if f["type"] == "error"), None)


class Client:
    def __init__(self, box, code=None, **members):
        self.ws = unix_connect(box.socket, "ws://box/process/interpreter/execute", max_size=None, close_timeout=10)
        if code is not None:
            self.ws.send(json.dumps({"code": code, **members}))

    def frame(self, seconds=60):
        found = json.loads(self.ws.recv(seconds))
        assert set(found) == FRAME and all(isinstance(v, str) for v in found.values()), found
        return found

    def finish(self, seconds=60):
        frames = []
        try:
            while True:
                frames.append(self.frame(seconds))
        except websockets.ConnectionClosed as e:
            return Outcome(frames, e.rcvd.code, e.rcvd.reason)

    def close(self):
        self.ws.socket.shutdown(socket.SHUT_RDWR)
        self.ws.close()


def execute(box, code, **members):
    return Client(box, code, **members).finish()


def prints(box, code, **members):
    done = execute(box, code, **members)
    assert (done.code, done.error) == (1000, None), (done.frames, done.code, done.reason)
    assert done.frames[-1] == {"type": "control", "text": "completed", "name": "", "value": "", "traceback": ""}
    return done.of("stdout")


@contextlib.contextmanager
def context(box, **members):
    answer = box.post("/process/interpreter/context", members)
    assert answer.status == 200, answer.body
    yield answer.json["id"]
    box.request("DELETE", "/process/interpreter/context/" + answer.json["id"])


def workers(box):
    return box.processes("exec(compile(_[0]")


def test_no_interpreter_before_somebody_uses_it(own):
    assert workers(own) == 0
    assert prints(own, "print(1)") == "1\n"
    assert workers(own) == 1


def test_state_lasts(box):
    assert prints(box, "x = 41\ndef f():\n    return x + 1") == ""
    assert prints(box, "import math\nx += 1\nprint(f())") == "43\n"
    assert prints(box, "print(math.floor(2.5), __name__)\n1 + 1") == "2 __main__\n"


def test_contexts_are_apart(box):
    box.sh("mkdir -p /tmp/there")
    with context(box, cwd="/tmp/there", language="python") as one, context(box) as two:
        assert prints(box, "v = 1; import os; print(os.getcwd())", contextId=one) == "/tmp/there\n"
        assert execute(box, "print(v)", contextId=two).error["name"] == "NameError"
        assert execute(box, "print(v)").error["name"] == "NameError"
        assert prints(box, "print(v)", contextId=one) == "1\n"
        listed = box.get("/process/interpreter/context").json["contexts"]
        assert [c["id"] for c in listed] == [one, two]
        assert listed[0]["cwd"] == "/tmp/there" and listed[0]["active"] and listed[0]["language"] == "python"
        assert listed[1]["cwd"] == "/home/daytona" and listed[0]["createdAt"].endswith("Z")
    assert box.get("/process/interpreter/context").json == {"contexts": []}


def test_context_requests_that_cannot_be(box):
    for body, status, text in [
            ({"language": "ruby"}, 400, "unsupported language: ruby (only 'python' is supported currently)"),
            ({"cwd": "/nowhere"}, 404, "/nowhere"), ({"cwd": 5}, 400, "cwd"), ("[1", 400, "")]:
        answer = box.post("/process/interpreter/context", body)
        assert answer.status == answer.json["statusCode"] == status and text in answer.json["message"], answer.body
    delete = lambda which: box.request("DELETE", "/process/interpreter/context/" + which)
    assert delete("default").status == 400
    assert delete("none-such").status == 404 and "context not found" in delete("none-such").json["message"]
    with context(box) as one:
        assert delete(one).json == {"message": "Context deleted successfully"}
        assert delete(one).status == 404


def test_contexts_are_limited(own):
    made = [own.post("/process/interpreter/context", {}) for _ in range(33)]
    assert [m.status for m in made] == [200] * 32 + [429]
    assert "32 contexts" in made[-1].json["message"]
    assert own.request("DELETE", "/process/interpreter/context/" + made[0].json["id"]).status == 200
    assert own.post("/process/interpreter/context", {}).status == 200


def test_frames_of_both_streams(box):
    done = execute(box, "import sys\nprint('a')\nprint('b', file=sys.stderr)\nsys.stdout.write('no newline')")
    assert (done.of("stdout"), done.of("stderr"), done.code) == ("a\nno newline", "b\n", 1000)


def test_output_comes_while_the_program_runs(box):
    client = Client(box, "print('first')\nimport time\ntime.sleep(600)")
    assert client.frame()["text"] == "first\n"
    client.ws.send(json.dumps({"type": "interrupt"}))
    done = client.finish()
    assert (done.frames, done.code) == ([dict.fromkeys(FRAME, "") | {"type": "control", "text": "interrupted"}], 1000)
    assert prints(box, "print('goes on')") == "goes on\n"


def test_errors(box):
    done = execute(box, "def f():\n    raise ValueError('no é')\n\nprint('before')\nf()")
    assert [f["type"] for f in done.frames] == ["stdout", "error", "control"] and done.code == 1000
    assert (done.error["name"], done.error["value"], done.error["text"]) == ("ValueError", "no é", "")
    assert done.error["traceback"].splitlines() == [
        "Traceback (most recent call last):", '  File "<stdin>", line 5, in <module>', "    f()",
        '  File "<stdin>", line 2, in f', "    raise ValueError('no é')", "ValueError: no é"]
    # A function of an earlier program still shows its own lines.
    assert "    raise ValueError('no é')" in execute(box, "\n\n\nf()").error["traceback"].splitlines()
    syntax = execute(box, "x = (").error
    assert syntax["name"] == "SyntaxError" and '  File "<stdin>", line 1' in syntax["traceback"]
    assert syntax["value"].endswith("(<stdin>, line 1)"), syntax
    chained = execute(box, "try:\n    f()\nexcept ValueError as e:\n    raise KeyError('k') from e").error
    assert chained["name"] == "KeyError" and "daytona" not in chained["traceback"] and "stdin " not in chained["traceback"]
    assert execute(box, "class E(Exception):\n    def __str__(self):\n        1 / 0\nraise E").error["name"] == "E"
    assert execute(box, "def r():\n    r()\nr()").error["name"] == "RecursionError"
    assert execute(box, "raise ValueError('x' * 10_000_000)").error["value"].endswith("[cut]")


def test_exit_is_no_error_and_no_end(box):
    assert prints(box, "kept = 5\nimport sys\nprint('x')\nsys.exit(3)") == "x\n"
    assert prints(box, "print(kept)") == "5\n"


def test_environment_is_for_this_program(box):
    look = "import os; print(os.environ.get('E'), os.environ.get('FOO'), os.popen('echo $E').read().strip())"
    assert prints(box, look, envs={"E": "1", "FOO": "2"}) == "1 2 1\n"
    assert prints(box, look) == "None bar baz \n"
    assert execute(box, "raise ValueError", envs={"E": "1"}).error["name"] == "ValueError"
    assert prints(box, look) == "None bar baz \n"


@pytest.mark.parametrize("message, code, reason", [
    ("nonsense", 1002, "invalid JSON payload"), ("[]", 1002, "invalid JSON payload"),
    ('{"code": 5}', 1002, "code"), ('{"code": ""}', 1008, "code is required"), ("{}", 1008, "code is required"),
    ('{"code": "1", "contextId": "none"}', 1008, "context not found: none"),
    ('{"code": "1", "timeout": -1}', 1008, "timeout"),
    ('{"code": "1", "envs": {"A=": "1"}}', 1008, "invalid environment variable name"),
])
def test_requests_that_cannot_be(box, message, code, reason):
    client = Client(box)
    client.ws.send(message)
    done = client.finish()
    assert (done.frames, done.code) == ([], code) and reason in done.reason


def test_execute_wants_a_websocket(box):
    answer = box.get("/process/interpreter/execute")
    assert answer.status == 400 and answer.json["message"]


def test_a_timeout_of_null_and_of_nothing(box):
    for timeout in (None, 0, 30):
        assert prints(box, "print(1)", timeout=timeout) == "1\n"


def test_4586_no_output_is_missed(box):
    """Programs that end at once, one after another and beside each other."""
    for i in range(50):
        assert prints(box, f"print({i})") == f"{i}\n"
    assert prints(box, "import os; os.system('echo below')") == "below\n"
    with context(box) as one, context(box) as two, concurrent.futures.ThreadPoolExecutor(2) as pool:
        def many(id):
            return [prints(box, f"import sys; sys.stdout.write('{i}')", contextId=id) for i in range(50)]
        assert list(pool.map(many, (one, two))) == [[str(i) for i in range(50)]] * 2


def test_25_input_does_not_swallow_the_next_request(box):
    done = execute(box, "input('name? ')")
    assert done.error["name"] == "EOFError" and done.of("stdout") == "name? "
    assert prints(box, "print('next')") == "next\n"


def test_25_all_output_is_output(box):
    line = '{"type": "done", "interrupted": false}'
    code = f"""import os, subprocess, sys
os.system('echo from a shell')
subprocess.run(['echo', '{line}'])
os.write(1, b'{line}\\n')
print('{line}')
os.write(2, b'below\\n')
sys.__stdout__.write('end')"""
    done = execute(box, code)
    assert done.of("stdout") == f"from a shell\n{line}\n{line}\n{line}\nend" and done.of("stderr") == "below\n"
    assert done.code == 1000 and prints(box, "print(1)") == "1\n"


def test_25_the_programs_children_have_no_way_to_the_protocol(box):
    code = "import subprocess\nprint(subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout.split())"
    assert prints(box, code) == "['0', '1', '2', '3']\n"  # 3 is ls reading the folder


def test_25_a_line_of_many_megabytes(box):
    assert len(prints(box, "print('x' * 9_000_000, end='')")) == 9_000_000
    assert prints(box, "print(2)") == "2\n"


def test_25_a_worker_that_ends_is_noticed(box):
    for how, text in (("os._exit(0)", "exit status 0"), ("os._exit(3)", "exit status 3"),
                      ("os.kill(os.getpid(), 9)", "signal 9")):
        done = execute(box, f"import os\nprint('last', flush=True)\n{how}", timeout=0)
        assert done.of("stdout") == "last\n" and done.code == 1001
        assert done.reason.startswith("worker process ended") and text in done.reason
        assert done.error["name"] == "ContextEnded" and text in done.error["value"]
        assert done.frames[-1]["type"] == "error", "nothing says that it was completed"
        assert prints(box, "print('a new one')") == "a new one\n"


def test_25_a_context_whose_worker_ended_is_not_active(box):
    with context(box) as one:
        worker = prints(box, "import os; print(os.getpid())", contextId=one)
        waiting = Client(box, "import time; time.sleep(600)", contextId=one), Client(box, "print(1)", contextId=one)
        assert waiting[1].ws.ping().wait(60)
        box.sh(f"kill -9 {worker}")
        assert [w.finish().code for w in waiting] == [1001, 1001]
        done = execute(box, "print(1)", contextId=one)
        assert (done.code, done.reason) == (1008, "context is not active")
        assert box.get("/process/interpreter/context").json["contexts"][0]["active"] is False


def test_25_nothing_predictable_lies_in_tmp(own):
    own.sh("mkdir /tmp/x && echo 'print(666)' > /tmp/daytona_repl_worker.py")
    assert prints(own, "import os; print(sorted(os.listdir('/tmp')))") == "['daytona_repl_worker.py', 'x']\n"


def test_25_a_client_that_goes_away_ends_its_program(box):
    box.sh("rm -f /tmp/ended")
    code = "import time\nprint('on')\ntry:\n    time.sleep(600)\nfinally:\n    open('/tmp/ended', 'w').close()"
    client = Client(box, "kept = 1\n" + code)
    assert client.frame()["text"] == "on\n"
    client.close()
    wait_for(lambda: box.run("test -e /tmp/ended").json["exitCode"] == 0)
    assert prints(box, "print(kept)") == "1\n", "it was interrupted, not killed"


def test_25_a_program_that_minds_no_interrupt_is_killed_when_its_client_goes(box):
    with context(box) as one:
        code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('on')\nwhile True: time.sleep(1)"
        client = Client(box, code, contextId=one)
        client.frame()
        client.close()
        wait_for(lambda: not box.get("/process/interpreter/context").json["contexts"][0]["active"])


def test_25_a_client_that_waits_gets_pongs(box):
    first = Client(box, "import time\nprint('on')\ntime.sleep(600)")
    first.frame()
    second = Client(box, "print('second')")
    for _ in range(3):
        assert second.ws.ping().wait(60)
    first.close()
    assert second.finish().of("stdout") == "second\n"


def test_25_programs_of_one_context_wait_for_each_other(box):
    with context(box) as one:
        code = "import os, time\nprint('on')\nwhile not os.path.exists('/tmp/go'): time.sleep(0.01)\nl = []"
        first = Client(box, code, contextId=one)
        assert first.frame()["text"] == "on\n"
        others = [Client(box, f"l.append({i}); print(l)", contextId=one) for i in range(5)]
        gone = Client(box, "l.append('gone')", contextId=one)
        last = Client(box, "print(len(l))", contextId=one)
        gone.close()
        assert prints(box, "print('another context is free')") == "another context is free\n"
        box.sh("touch /tmp/go")
        assert first.finish().code == 1000
        assert [c.finish().of("stdout") for c in others] == [f"{list(range(i + 1))}\n" for i in range(5)]
        assert last.finish().of("stdout") == "5\n"


def test_25_the_time_of_a_program_is_over(box):
    for code in ("import time; time.sleep(600)", "while True: pass", "import os; os.system('sleep 4713')",
                 "import subprocess; subprocess.run(['sleep', '4713'])"):
        def attempt(seconds):
            done = execute(box, "kept = 6\nprint('x')\n" + code, timeout=seconds)
            assert done.code == 4008, (code, done.reason)
            return [f["type"] for f in done.frames], execute(box, "print(kept)").of("stdout")
        # On a machine that stands still it may not have begun, or not mind the interrupt in time.
        frames, kept = with_time_enough(attempt, lambda got: got == (["stdout"], "6\n"), (0.4, 1, 5, 20))
        assert frames == ["stdout"], "no control frame: clients take it for success"
        assert kept == "6\n"
    assert box.processes("sleep\x004713") == 0


def test_25_a_program_that_minds_no_interrupt_is_killed(box):
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nlost = 1\nprint('on')\nwhile True: time.sleep(1)"
    assert prints(box, "lost = 0") == ""
    done = with_time_enough(lambda seconds: execute(box, code, timeout=seconds), lambda done: done.frames, (0.3, 3, 20))
    assert (done.code, [f["type"] for f in done.frames]) == (4008, ["stdout"])
    assert prints(box, "print('lost' in globals())") == "False\n"
    with context(box) as one:
        assert execute(box, code, timeout=0.3, contextId=one).code == 4008
        assert execute(box, "print(1)", contextId=one).reason == "context is not active"


def test_25_a_reader_that_stalls_loses_nothing(box):
    client = Client(box, "for i in range(300): print(str(i) * 30000)\nprint('end')")
    time.sleep(1)
    got = client.finish()
    assert got.of("stdout") == "".join(str(i) * 30000 + "\n" for i in range(300)) + "end\n" and got.code == 1000


def test_waiting_programs_are_limited(own):
    first = Client(own, "import time\nprint('on')\ntime.sleep(600)")
    first.frame()
    waiting = [Client(own, "1") for _ in range(128)]
    done = execute(own, "1")
    assert done.code == 1013 and "128 programs wait" in done.reason
    first.close()
    assert {c.finish().code for c in waiting} == {1000}


def test_a_context_is_deleted_under_its_program(box):
    with context(box) as one:
        client = Client(box, "import time\nprint('on')\ntime.sleep(600)", contextId=one)
        client.frame()
        waits = Client(box, "print(1)", contextId=one)
        before = workers(box)
        assert waits.ws.ping().wait(60)
        assert box.request("DELETE", "/process/interpreter/context/" + one).status == 200
        done = client.finish()
        assert (done.code, done.reason, done.error["name"]) == (1001, "context was deleted", "ContextEnded")
        assert waits.finish().code == 1001
        wait_for(lambda: workers(box) == before - 1)


def test_characters_are_not_torn(box):
    code = "import os, time\nfor b in 'aé€😀'.encode():\n    os.write(1, bytes([b]))\n    time.sleep(0.02)\nos.write(1, b'\\xff\\xe2\\x82')"
    assert prints(box, code) == "aé€😀\ufffd\ufffd\ufffd"
    assert prints(box, "print('\\ud800')") == "\\ud800\n"


def test_forks_and_threads_of_a_program(box):
    assert prints(box, "import os\nif os.fork() == 0:\n    pass\nelse:\n    os.wait()\n    print('parent')") == "parent\n"
    assert prints(box, "print('still one')") == "still one\n"
    code = "import multiprocessing\nwith multiprocessing.Pool(2) as p: print(p.map(abs, [-1, -2]))"
    assert prints(box, code) == "[1, 2]\n"
    # What a thread prints between programs belongs to nobody.
    code = """import os, threading, time
def late():
    while not os.path.exists('/tmp/between'): time.sleep(0.01)
    print('late ' * 100000)
    os.rename('/tmp/between', '/tmp/printed')
t = threading.Thread(target=late); t.start()"""
    assert prints(box, code) == ""
    box.sh("touch /tmp/between")
    wait_for(lambda: box.run("test -e /tmp/printed").json["exitCode"] == 0)
    assert "x\n" in prints(box, "t.join(); print('x')")
    box.sh("rm /tmp/printed")


def test_a_program_that_closes_everything_harms_itself_alone(box):
    done = execute(box, "import os; os.closerange(3, 4096)")
    assert done.code == 1001 and done.error["name"] == "ContextEnded"
    assert prints(box, "print(1)") == "1\n"
    done = execute(box, "import os\nfor fd in range(90, 120):\n    try: os.write(fd, b'nonsense\\n')\n    except OSError: pass\nprint(1)")
    assert done.code == 1001 and "protocol" in done.reason
    assert prints(box, "print(1)") == "1\n"


def test_an_offered_subprotocol_is_echoed(box):
    ws = unix_connect(box.socket, "ws://box/process/interpreter/execute", subprotocols=["X-Daytona-SDK-Version~0.190.1"])
    assert ws.subprotocol == "X-Daytona-SDK-Version~0.190.1"
    ws.close()


def test_an_image_without_python_is_told():
    with Box(env={"PATH": "/nowhere"}) as b:
        done = execute(b, "print(1)")
        assert done.code == 1011 and "no python3" in done.reason
        answer = b.post("/process/interpreter/context", {})
        assert answer.status == 404 and "no python3" in answer.json["message"]


def test_ends_with_the_sandbox(own):
    client = Client(own, "import time\nprint('on')\ntime.sleep(600)")
    assert client.frame()["text"] == "on\n"  # the end of `own` waits for the toolbox's

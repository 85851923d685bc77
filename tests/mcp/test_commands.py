"""run_code, and the commands that run on: start_command, read_command, send_input, stop_command."""
import base64
import json
import re
import struct
import time

import mcp_pipe
import pytest
from mcp_pipe import fails, sh

REVISIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


def start(client, box, command, **more):
    return client.tool("start_command", id=box, command=command, **more)


def whole(client, box, command, **more):
    """All of a command that ends; a busy machine may take longer for it than its start is waited for."""
    done = start(client, box, command, **more)
    return read(client, box, done["commandId"], wait=60, until_end=True) if done["running"] else done


def read(client, box, id, **more):
    return client.tool("read_command", id=box, command_id=id, **more)


def follow(client, box, id, until, cursor=0):
    """All it printed until `until` is in it; and where that ended."""
    text = ""
    for _ in range(60):
        got = read(client, box, id, cursor=cursor, wait=10)
        text, cursor = text + got["output"], got["cursor"]
        if until in text:
            return text, cursor
        assert got["running"], got
    raise AssertionError(text)


def alive(client, box, pattern):
    """How many processes have it in their command line; [x] keeps the one that asks out."""
    return int(sh(client, box, f"pgrep -fc '{pattern}'")["stdout"])


def until(check):
    for _ in range(600):
        if check():
            return True
        time.sleep(0.1)
    return False


def gone(client, box, pattern):
    return until(lambda: alive(client, box, pattern) == 0)


# --- run_code ---

def test_code_in_each_language(client, box):
    assert client.tool("run_code", id=box, code="print(6 * 7)") == {"exitCode": 0, "output": "42\n"}
    assert client.tool("run_code", id=box, language="javascript", code="console.log([1, 2].map(x => x * 2))")["output"] == "[ 2, 4 ]\n"
    typed = client.tool("run_code", id=box, language="typescript", code="const n: number = 7; console.log(n)")
    assert typed == {"exitCode": 0, "output": "7\n"}


def test_code_gets_arguments_and_variables(client, box):
    code = "import sys, os, json; print(json.dumps([sys.argv[1:], os.environ['COLOUR']]))"
    for name in ("env", "envs"):
        done = client.tool("run_code", id=box, code=code, argv=["a b", "$HOME", "é"], **{name: {"COLOUR": "dark red"}})
        assert json.loads(done["output"]) == [["a b", "$HOME", "é"], "dark red"]


def test_code_that_fails_is_a_result(client, box):
    done = client.tool("run_code", id=box, code="print('before'); 1 / 0")
    assert done["exitCode"] == 1 and done["output"].startswith("before\n") and "ZeroDivisionError" in done["output"]
    assert "unsupported language: cobol" in fails(client, "run_code", id=box, code="x", language="cobol")
    assert "code" in fails(client, "run_code", id=box)
    assert "list_sandboxes" in fails(client, "run_code", id="no-such-sandbox", code="1")


def test_long_and_binary_output_of_code(client, box):
    done = client.tool("run_code", id=box, code="print('first'); print('é' * 100000); print('last')")
    out = done["output"]
    assert out.startswith("first\n") and out.endswith("é\nlast\n") and len(out.encode()) < 11000
    left_out = int(re.search(r"\[\.\.\. (\d+) bytes left out \.\.\.\]", out).group(1))
    shown = len(out.encode()) - len(re.search(r"\n\[\.\.\..*?\]\n", out).group(0).encode())
    assert shown + left_out == len("first\n") + 200001 + len("last\n")
    done = client.tool("run_code", id=box, code=r"import sys; sys.stdout.buffer.write(b'a\x00\xff\xfe\xc3z')")
    assert done["output"] == "a\x00\ufffd\ufffd\ufffdz"


def test_code_is_killed_at_its_time(client, box):
    for seconds in (2, 10, 40):  # a busy machine takes a while until it has begun
        text = fails(client, "run_code", id=box, timeout=seconds, code="import os, time; os.system('sleep 4771 &'); print('here', flush=True); time.sleep(999)")
        assert f"within {seconds} s" in text and "start_command" in text
        assert gone(client, box, "sleep 477[1]")
        if "here" in text:
            break
    assert "here" in text


CHARTS = """
import matplotlib.pyplot as plt
plt.plot([1, 2, 3], [4, 5, 6], label='up'); plt.title('Line'); plt.xlabel('time')
plt.show()
plt.bar(['a', 'b'], [3, 7]); plt.title('Bar')
plt.show()
print('between')
"""


def png_size(block):
    assert block["mimeType"] == "image/png"
    data = base64.b64decode(block["data"], validate=True)
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and data.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("revision", REVISIONS)
def test_charts_come_as_images_with_their_data(server, box, revision):
    """And without structured content, of which some clients would show a model nothing else."""
    with mcp_pipe.Client(server, revision=revision) as c:
        result = c.call("run_code", id=box, code=CHARTS)
    assert "structuredContent" not in result and "isError" not in result
    assert [b["type"] for b in result["content"]] == ["text", "image", "image"]
    for image in result["content"][1:]:
        assert min(png_size(image)) > 100
    told = json.loads(result["content"][0]["text"])
    assert told["exitCode"] == 0 and told["output"] == "between\n"
    line, bar = told["charts"]
    assert (line["type"], line["title"], line["x_label"]) == ("line", "Line", "time")
    assert line["elements"][0]["points"] == [[1, 4], [2, 5], [3, 6]] and "png" not in line
    assert bar["type"] == "bar" and [e["label"] for e in bar["elements"]] == ["a", "b"]


def test_a_chart_with_too_much_data_for_a_model(client, box):
    result = client.call("run_code", id=box, code="import matplotlib.pyplot as plt\nplt.plot(range(50000))\nplt.title('Many')\nplt.show()")
    assert [b["type"] for b in result["content"]] == ["text", "image"]
    chart = json.loads(result["content"][0]["text"])["charts"][0]
    assert chart["type"] == "line" and chart["title"] == "Many" and "elements" not in chart
    assert "left out" in chart["note"] and len(result["content"][0]["text"]) < 10000


# --- commands that run on ---

def test_a_short_command_is_told_whole(client, box):
    for _ in range(10):  # one of them will be short enough, however busy the machine is
        done = start(client, box, "echo out; echo err >&2; exit 3")
        if not done["running"]:
            break
    assert done["exitCode"] == 3 and done["running"] is False
    assert sorted(done["output"].split()) == ["err", "out"] and done["cursor"] == 8
    assert re.fullmatch(r"mcp-\w+:[\w-]+", done["commandId"])
    again = read(client, box, done["commandId"], cursor=done["cursor"])
    assert again["output"] == "" and again["exitCode"] == 3 and again["cursor"] == 8


def test_folder_and_variables(client, box):
    sh(client, box, "mkdir -p \"$HOME/it's\"")
    done = whole(client, box, 'pwd; echo "$A|$B"', cwd="~/it's", env={"A": "x 'y' $Z", "B": "1\n2"})
    assert done["output"] == "/home/daytona/it's\nx 'y' $Z|1\n2\n"
    assert whole(client, box, "pwd", cwd="it's")["output"] == "/home/daytona/it's\n"
    assert whole(client, box, "pwd", cwd="/")["output"] == "/\n"
    assert whole(client, box, "pwd")["output"] == "/home/daytona\n"
    text = fails(client, "start_command", id=box, command="touch /tmp/never", cwd="/no/such")
    assert "/no/such" in text and "create_folder" in text
    assert "is no name of a variable" in fails(client, "start_command", id=box, command="true", env={"a;b": "x"})
    assert sh(client, box, "test -e /tmp/never")["exitCode"] == 1


@pytest.mark.parametrize("command, says, code", [
    ("cat <<'E'\nit's a \"heredoc\nE\n", "it's a \"heredoc\n", 0),
    ("echo 'unbalanced", "", 2),
    ("echo x # and a comment", "x\n", 0),
    ("(sleep 0.2; echo late) & wait", "late\n", 0),
    ("kill -9 $$", "", 137),
])
def test_what_shells_stumble_over(client, box, command, says, code):
    done = whole(client, box, command)
    assert done["exitCode"] == code and done["output"].startswith(says), done


def test_what_is_new_since_the_cursor(client, box):
    id = start(client, box, "for i in 1 2 3 4 5 6; do echo line $i; read go; done")["commandId"]
    cursor = 0
    for i in range(1, 7):
        text, cursor = follow(client, box, id, "\n", cursor)
        assert text == f"line {i}\n" and cursor == len(text) * i
        client.tool("send_input", id=box, command_id=id, input="")
    got = read(client, box, id, cursor=cursor, wait=60, until_end=True)
    assert (got["exitCode"], got["output"], got["cursor"]) == (0, "", cursor)
    assert read(client, box, id)["output"] == "".join(f"line {i}\n" for i in range(1, 7))


def test_reading_without_waiting_and_until_the_end(client, box):
    id = start(client, box, "echo a; read go; echo b")["commandId"]
    follow(client, box, id, "a\n")
    assert read(client, box, id)["output"] == "a\n"
    some = read(client, box, id, cursor=2, wait=0.2)
    assert some["output"] == "" and some["running"] is True and "exitCode" not in some
    client.tool("send_input", id=box, command_id=id, input="")
    done = read(client, box, id, wait=60, until_end=True)
    assert done["output"] == "a\nb\n" and done["exitCode"] == 0 and done["running"] is False


def test_long_output_loses_nothing(client, box):
    """What is cut out of the middle is read from omittedCursor."""
    id = start(client, box, "seq 1 30000")["commandId"]
    whole = "".join(f"{i}\n" for i in range(1, 30001))
    got = read(client, box, id, wait=60, until_end=True)
    assert got["cursor"] == len(whole) and len(got["output"]) < 11000
    head, tail = re.split(r"\n\[\.\.\. \d+ bytes left out \.\.\.\]\n", got["output"])
    assert whole.startswith(head) and whole.endswith(tail)
    assert len(head) + len(tail) + got["omitted"] == len(whole) and got["omittedCursor"] == len(head)
    text, at = head, got["omittedCursor"]
    while at < len(whole):
        got = read(client, box, id, cursor=at)
        part = re.split(r"\n\[\.\.\. \d+ bytes left out \.\.\.\]\n", got["output"])[0]
        text, at = text + part, got.get("omittedCursor", got["cursor"])
    assert text == whole


def test_characters_are_never_cut(client, box):
    id = start(client, box, r"printf '\xc3'; read go; printf '\xa9\n'; read go; printf 'a\xff\x00b\xe2\x82'")["commandId"]
    assert read(client, box, id)["output"] == ""
    client.tool("send_input", id=box, command_id=id, input="")
    text, cursor = follow(client, box, id, "\n")
    assert text == "é\n" and cursor == 3
    client.tool("send_input", id=box, command_id=id, input="")
    last = read(client, box, id, cursor=cursor, wait=60, until_end=True)
    assert last["output"] == "a\ufffd\x00b\ufffd\ufffd"
    id = start(client, box, "python3 -c \"print('€' * 100000)\"")["commandId"]
    got = read(client, box, id, wait=60, until_end=True)
    assert "\ufffd" not in got["output"] and got["cursor"] == 300001


def test_input(client, box):
    id = start(client, box, "echo 'name?'; read name; echo \"hello $name\"; cat")["commandId"]
    assert client.tool("send_input", id=box, command_id=id, input="wörld")["sent"] == 7
    text, cursor = follow(client, box, id, "hello")
    assert text == "name?\nhello wörld\n"
    client.tool("send_input", id=box, command_id=id, input="")
    client.tool("send_input", id=box, commandId=id, input="two\nlines\n")
    assert follow(client, box, id, "lines", cursor)[0] == "\ntwo\nlines\n"
    client.tool("stop_command", id=box, command_id=id)


def test_end_of_input(client, box):
    """What reads to the end gets one."""
    id = start(client, box, "sort | uniq -c | wc -l")["commandId"]
    assert client.tool("send_input", id=box, command_id=id, input="b\na\nb") == {"commandId": id, "sent": 6}
    assert client.tool("send_input", id=box, command_id=id, input="a", eof=True)["sent"] == 2
    done = read(client, box, id, wait=60, until_end=True)
    assert done["exitCode"] == 0 and done["output"].split()[-1] == "2"
    for more in ({}, {"input": ""}):
        id = start(client, box, "cat")["commandId"]
        assert client.tool("send_input", id=box, command_id=id, eof=True, **more)["sent"] == 0
        assert read(client, box, id, wait=60, until_end=True)["exitCode"] == 0
    id = start(client, box, "python3 -; sleep 6000")["commandId"]
    client.tool("send_input", id=box, command_id=id, input="print(6 * 7)", eof=True)
    assert follow(client, box, id, "42")[0] == "42\n"
    assert "input has ended" in fails(client, "send_input", id=box, command_id=id, input="print(1)")
    assert "eof" in fails(client, "send_input", id=box, command_id=id)
    client.tool("stop_command", id=box, command_id=id)


def test_stop_ends_the_whole_tree(client, box):
    id = start(client, box, "trap '' TERM; sleep 4881 & (setsid sleep 4881 &) ; nohup sleep 4881 >/dev/null 2>&1 & echo up; while :; do sleep 1; done")["commandId"]
    follow(client, box, id, "up")
    assert until(lambda: alive(client, box, "sleep 488[1]") == 3)
    ended = client.tool("stop_command", id=box, command_id=id)
    assert ended == {"commandId": id, "output": "up\n"}
    assert alive(client, box, "sleep 488[1]") == 0
    text = fails(client, "read_command", id=box, command_id=id)
    assert "start_command" in text
    assert "start_command" in fails(client, "stop_command", id=box, command_id=id)


def test_a_server_left_in_the_background_is_stopped_too(client, box):
    done = whole(client, box, "sleep 4991 & echo started")
    assert done["exitCode"] == 0 and until(lambda: alive(client, box, "sleep 499[1]") == 1)
    assert client.tool("stop_command", id=box, command_id=done["commandId"], cursor=8) == {
        "commandId": done["commandId"], "output": "", "exitCode": 0}
    assert gone(client, box, "sleep 499[1]")


def test_a_command_outlives_the_connection(server, box):
    with mcp_pipe.Client(server) as c:
        id = start(c, box, "echo begun; read go; echo went $go; exit 5")["commandId"]
    with mcp_pipe.Client(server) as c:
        assert follow(c, box, id, "\n")[0] == "begun\n"
        c.tool("send_input", id=box, command_id=id, input="on")
        done = read(c, box, id, wait=60, until_end=True)
        assert done["output"] == "begun\nwent on\n" and done["exitCode"] == 5


def test_a_cancelled_read_leaves_the_command(client, box):
    id = start(client, box, "sleep 4661")["commandId"]
    client.send({"jsonrpc": "2.0", "id": "waits", "method": "tools/call", "params": {
        "name": "read_command", "arguments": {"id": box, "command_id": id, "wait": 300}}})
    time.sleep(0.3)
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "waits"}})
    assert read(client, box, id)["running"] is True
    assert until(lambda: alive(client, box, "sleep 466[1]") == 1)
    client.tool("stop_command", id=box, command_id=id)


@pytest.mark.parametrize("tool, arguments, pattern", [
    ("start_command", {"command": "sleep 4551"}, "sleep 455[1]"),
    ("run_code", {"code": "import os; os.system('sleep 4441')"}, "sleep 444[1]")])
def test_what_is_cancelled_leaves_nothing(client, box, tool, arguments, pattern):
    client.send({"jsonrpc": "2.0", "id": tool, "method": "tools/call", "params": {"name": tool, "arguments": {"id": box, **arguments}}})
    assert until(lambda: alive(client, box, pattern) > 0)
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": tool}})
    assert gone(client, box, pattern)


def test_progress_while_it_waits(client, box):
    id = start(client, box, "read go; echo done")["commandId"]
    client.send({"jsonrpc": "2.0", "id": "p", "method": "tools/call", "params": {
        "name": "read_command", "arguments": {"id": box, "command_id": id, "wait": 300, "until_end": True},
        "_meta": {"progressToken": "t"}}})
    progress = []
    while (message := client.line()).get("id") != "p":
        if message.get("id") == "go":
            continue
        assert message["method"] == "notifications/progress" and message["params"]["progressToken"] == "t"
        progress.append(message["params"]["progress"])
        if len(progress) == 2:
            client.send({"jsonrpc": "2.0", "id": "go", "method": "tools/call", "params": {
                "name": "send_input", "arguments": {"id": box, "command_id": id, "input": ""}}})
    assert message["result"]["structuredContent"]["output"] == "done\n"
    assert progress and progress == sorted(progress)


def test_errors_say_what_to_do(client, box):
    for bad in ("x", "mcp-", "mcp-1:", "s:1", ":", "a" * 5000):
        assert "start_command" in fails(client, "read_command", id=box, command_id=bad)
    assert "start_command" in fails(client, "read_command", id=box, command_id="mcp-0000:11111111-1111-1111-1111-111111111111")
    assert "start_command" in fails(client, "read_command", id=box, command_id="mcp-../..:..")
    over = start(client, box, "true")["commandId"]
    text = fails(client, "send_input", id=box, command_id=over, input="x")
    assert "already completed with exit code 0" in text and "read_command" in text
    assert "start_command" in fails(client, "read_command", id=box, command_id=over + "0")
    assert "list_sandboxes" in fails(client, "start_command", id="no-such-sandbox", command="true")
    assert "empty" in fails(client, "start_command", id=box, command="  ")
    assert "wait" in fails(client, "read_command", id=box, command_id=over, wait=601)
    assert "cursor" in fails(client, "read_command", id=box, command_id=over, cursor=-1)
    assert read(client, box, over, cursor=1 << 40)["output"] == ""


def test_a_stopped_sandbox(client):
    own = client.tool("create_sandbox")["id"]
    try:
        id = start(client, own, "sleep 4331")["commandId"]
        client.tool("stop_sandbox", id=own)
        for tool, more in (("read_command", {"command_id": id}), ("start_command", {"command": "true"}),
                           ("stop_command", {"command_id": id}), ("run_code", {"code": "1"})):
            assert "start_sandbox" in fails(client, tool, id=own, **more)
        client.tool("start_sandbox", id=own)
        assert "start_command" in fails(client, "read_command", id=own, command_id=id)
    finally:
        client.call("destroy_sandbox", id=own)


def test_ended_commands_make_room(client):
    """A sandbox holds 256 sessions; the oldest command that is over goes first."""
    own = client.tool("create_sandbox")["id"]
    try:
        runs = start(client, own, "sleep 4221")["commandId"]
        first = start(client, own, "true")["commandId"]
        second = start(client, own, "true")["commandId"]
        for _ in range(254):
            last = whole(client, own, "echo x")
        assert last["output"] == "x\n" and last["exitCode"] == 0
        assert read(client, own, runs)["running"] is True
        assert "start_command" in fails(client, "read_command", id=own, command_id=first)
        assert read(client, own, second)["exitCode"] == 0
    finally:
        client.call("destroy_sandbox", id=own)

"""Bad input from every side, and amounts that nobody should send: a clear error, bounded memory, and the server goes on."""
import base64
import contextlib
import json
import os
import pathlib
import re
import select
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import backend
import mcp_pipe
import pytest
from mcp_pipe import sh

MB = 1 << 20
# AddressSanitizer keeps freed memory for a while and shadows all of it: then the bounds are wider.
SLACK = 6 if b"libasan" in subprocess.run(["ldd", backend.program("daytona")], capture_output=True).stdout else 1
NEXT = re.compile(r"Call |Correct |Check |Choose |Leave |Use |Read |Make sure|Try |try again|give it more time")


class Client(mcp_pipe.Client):
    """One that does not wait for ever."""

    def line(self):
        if b"\n" not in self.rest:
            assert select.select([self.out], [], [], 120)[0], "no answer in time"
        return super().line()


@pytest.fixture(scope="module")
def client(server):
    with Client(server) as c:
        yield c


def peak(pid):
    """The most memory that the process ever had."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def namespace_of(words, seconds=60):
    """The pid namespace of the only process with this command line, which may not have begun yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if words in (p / "cmdline").read_bytes():
                    return os.readlink(p / "ns/pid")
    raise AssertionError(f"no process {words}")


def toolbox_of(client, box):
    """The host's id of the sandbox's pid 1, found by a process of the sandbox that nobody else has."""
    mark = f"{time.time():.6f}"
    sh(client, box, f"sleep 5{mark} >/dev/null 2>&1 &")
    space = namespace_of(f"sleep\0005{mark}".encode())
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(p / "ns/pid") == space and re.search(r"NSpid:.*\t1\n", (p / "status").read_text()):
                sh(client, box, f"pkill -f '[s]leep 5{mark}'")
                return int(p.name)
    raise AssertionError("no toolbox")


def call(client, tool, arguments):
    """Any arguments, whatever they are called."""
    return client.request("tools/call", {"name": tool, "arguments": arguments})["result"]


def words(result):
    """The text of an error that says what was wrong and what to do next."""
    assert result.get("isError") is True and "structuredContent" not in result, result
    assert [b["type"] for b in result["content"]] == ["text"]
    text = result["content"][0]["text"]
    assert len(text) < 4000
    assert NEXT.search(text), text
    return text


@pytest.fixture(autouse=True)
def goes_on(server, client, box):
    """After every attack: the server answers, the sandbox runs commands, and runnerd stayed small."""
    yield
    assert server.process.poll() is None
    assert server.request("GET", "/health")[0] == 200
    assert sh(client, box, "echo alive")["stdout"] == "alive\n"
    assert peak(server.process.pid) < SLACK * 64 * MB
    assert peak(client.process.pid) < SLACK * 64 * MB


# --- arguments ---

TYPES = {"string": [5, True, [], {}, 1.5], "integer": ["1", 1.5, True, [], {}, 1e300],
         "number": ["1", True, [], {}], "boolean": ["true", 1, 0, [], {}], "object": ["x", 1, True, []], "array": ["x", 1, True, {}]}
GOOD = {"id": "a", "command": "b", "file_path": "c", "content": "d", "folder_path": "e", "source_path": "f", "dest_path": "g",
        "url": "https://example.com/a.git", "port": 3000, "old_text": "h", "new_text": "i", "query": "j",
        "code": "k", "command_id": "mcp-l:m", "input": "n"}


@pytest.fixture(scope="module")
def tools(client):
    return client.request("tools/list")["result"]["tools"]


def test_wrong_types_for_every_argument(client, tools):
    tried = 0
    for tool in tools:
        schema = tool["inputSchema"]
        required = {k: GOOD[k] for k in schema.get("required", [])}
        for name, about in schema["properties"].items():
            for value in TYPES[about["type"]]:
                text = words(call(client, tool["name"], {**required, name: value}))
                # What only the server can tell, it tells with its own spelling of the name.
                assert name.replace("_", "") in text.replace("_", "").lower(), (tool["name"], name, value, text)
                tried += 1
    assert tried > 250


def test_every_required_argument_is_asked_for(client, tools):
    for tool in tools:
        required = tool["inputSchema"].get("required", [])
        for name in required:
            text = words(call(client, tool["name"], {k: GOOD[k] for k in required if k != name}))
            assert f"{name} is required" in text


def test_wrong_members_of_maps_and_lists(client, tools):
    for tool in tools:
        required = {k: GOOD[k] for k in tool["inputSchema"].get("required", [])}
        for name in ("env", "labels"):
            if name in tool["inputSchema"]["properties"]:
                for value in (5, None, [], {}, True):
                    assert f"{name}.A" in words(call(client, tool["name"], {**required, name: {"A": value}}))


def test_unknown_sandboxes(client, tools):
    for id in ("nosuch", "00000000-0000-4000-8000-000000000000", "../../etc/passwd", "a/b", "%2e%2e", "a\nb", "ä", "a?b#c", " ", "x" * 300):
        for tool in tools:
            if "id" not in tool["inputSchema"].get("required", []):
                continue
            required = {k: GOOD[k] for k in tool["inputSchema"]["required"]}
            if tool["name"] == "send_input":  # wants one of two
                required["input"] = GOOD["input"]
            text = words(call(client, tool["name"], {**required, "id": id}))
            assert "list_sandboxes" in text or "id" in text, (tool["name"], id, text)


@pytest.mark.parametrize("name", ["id", "name"])
@pytest.mark.parametrize("value", ["x" * 65536, "a\0b"], ids=["long", "nul"])
def test_long_and_nul_names(client, name, value):
    said = "NUL" if "\0" in value else "long"
    assert ("at most" if said == "long" and name == "name" else said) in words(call(client, "create_sandbox", {name: value}))
    assert said in words(client.call("get_sandbox", id=value))


@pytest.mark.parametrize("value", ["../x", "a/b", "-a", "a b", "ü", "%2e", "a?b#c"])
def test_odd_sandbox_names_work(client, value):
    """A name is free text; whatever it is, it finds its sandbox and no other."""
    made = call(client, "create_sandbox", {"name": value})["structuredContent"]
    try:
        assert made["name"] == value
        assert client.tool("get_sandbox", id=value)["id"] == made["id"]
        assert sh(client, value, "echo here")["stdout"] == "here\n"
        again = words(call(client, "create_sandbox", {"name": value}))
        assert "already exists" in again and "list_sandboxes" in again
    finally:
        client.tool("destroy_sandbox", id=value)
    assert "list_sandboxes" in words(client.call("get_sandbox", id=value))


@pytest.mark.parametrize("value", ["a\nb", "\x1b[31m", "a\tb"])
def test_bad_sandbox_names(client, value):
    assert "name" in words(call(client, "create_sandbox", {"name": value}))


@pytest.mark.parametrize("arguments,said", [
    ({"network_allow_list": "nonsense"}, "nonsense"), ({"network_allow_list": "10.0.0.0"}, "10.0.0.0"),
    ({"network_allow_list": "1.2.3.4/33"}, "1.2.3.4/33"), ({"network_allow_list": "1.2.3/8"}, "1.2.3/8"),
    ({"network_allow_list": "256.1.1.1/8"}, "256.1.1.1/8"), ({"network_allow_list": "example.com"}, "example.com"),
    ({"network_allow_list": "::/0"}, "::/0"),
    ({"network_allow_list": "01.2.3.4/8"}, "01.2.3.4/8"), ({"network_allow_list": "1.2.3.4/-1"}, "1.2.3.4/-1"),
    ({"network_allow_list": ",".join(["1.2.3.4/32"] * 6)}, "5"), ({"network_allow_list": "1.2.3.4/32," * 10000}, "etwork"),
    ({"build_info": {"dockerfile_content": "FROM scratch"}}, "build_info"), ({"buildInfo": {"dockerfileContent": "FROM x"}}, "build_info"),
    ({"gpu": 1}, "gpu"), ({"volumes": [{"volume_id": "no-such", "mount_path": "/v"}]}, "Volume 'no-such' not found"),
    ({"volumes": [{"volume_id": "v", "mount_path": "/proc/v"}]}, "mount path /proc/v"), ({"volumes": [{"volume_id": "v", "mount_path": "v"}]}, "absolute"),
    ({"cpu": 1e9}, "CPU"), ({"cpu": -1}, "CPU"), ({"memory": 1e300}, "emory"), ({"memory": 1e-9}, "emory"), ({"disk": -5}, "isk"),
    ({"snapshot": "nosuch"}, "nosuch"), ({"snapshot": "../x"}, "snapshot"),
    ({"user": "a\nb"}, "user"), ({"auto_stop_interval": 2**62}, "interval"), ({"env": {"A=B": "x"}}, "env"),
    ({"env": {"": "x"}}, "env"), ({"env": {"A": "x\0y"}}, "env"), ({"target": "nowhere-" * 100}, "target")])
def test_sandboxes_that_cannot_be(client, server, arguments, said):
    result = client.call("create_sandbox", **arguments)
    if not result.get("isError"):
        client.call("destroy_sandbox", id=result["structuredContent"]["id"])
    assert said.lower() in words(result).lower()


def test_no_sandbox_stays_of_those(server, box):
    assert [s["id"] for s in server.request("GET", "/sandbox")[1]["items"]] == [box]


PATHS = {"\0": "NUL", "a\0b": "NUL", "": "empty", "x" * 65536: "long", "/".join(["y" * 200] * 100): "long", "/" + "z" * 300: "long"}


@pytest.mark.parametrize("tool,name,more", [
    ("file_upload", "file_path", {"content": "x"}), ("file_download", "file_path", {}), ("get_file_info", "file_path", {}),
    ("list_files", "path", {}), ("create_folder", "folder_path", {}), ("delete_file", "file_path", {}),
    ("move_file", "source_path", {"dest_path": "x"}), ("move_file", "dest_path", {"source_path": "/tmp/source"})])
def test_bad_paths(client, box, tool, name, more):
    sh(client, box, "touch /tmp/source")
    for path, said in PATHS.items():
        if path == "" and tool == "list_files":
            continue
        text = words(client.call(tool, id=box, **{name: path}, **more))
        assert said in text, (path[:40], text)


@pytest.mark.parametrize("path", ["../../../../../../etc/passwd", "/home/../etc/passwd", "/proc/../etc/passwd", "/etc/./passwd//"[:-2]])
def test_dots_stay_in_the_sandbox(client, box, path):
    """The sandbox has a root of its own; a path with .. is just a path in it."""
    content = client.tool("file_download", id=box, file_path=path)["content"]
    assert content == sh(client, box, "cat /etc/passwd")["stdout"] and "daytona" in content


@pytest.mark.parametrize("name", ["a\nb", " ", "-rf", "a;touch x", "$(touch y)", "`touch z`", "ä€😀", "'\"\\", "\x1b[31m", "*", "a%2fb", "a?b#c&d", "~"])
def test_odd_names_are_only_names(client, box, name):
    folder = "/tmp/odd"
    client.tool("create_folder", id=box, folder_path=folder)
    client.tool("file_upload", id=box, file_path=f"{folder}/{name}", content="inside")
    assert client.tool("file_download", id=box, file_path=f"{folder}/{name}")["content"] == "inside"
    assert [f["name"] for f in client.tool("list_files", id=box, path=folder)["files"]] == [name]
    client.tool("move_file", id=box, source_path=f"{folder}/{name}", dest_path=f"{folder}/{name}2")
    client.tool("delete_file", id=box, file_path=f"{folder}/{name}2")
    assert sh(client, box, f"ls -A {folder} | wc -l; ls x y z 2>/dev/null | wc -l")["stdout"].split() == ["0", "0"]


@pytest.mark.parametrize("tool", ["file_download", "get_file_info", "list_files", "delete_file", "move_file"])
def test_what_is_not_there(client, box, tool):
    arguments = {"list_files": {"path": "/none"}, "move_file": {"source_path": "/none", "dest_path": "/tmp/x"}}.get(tool, {"file_path": "/none"})
    assert "/none" in words(client.call(tool, id=box, **arguments))


@pytest.mark.parametrize("content", ["!", "a", "====", "aGk=x", "ä", "a\nGk=" * 3 + "!"])
def test_bad_base64(client, box, content):
    result = client.call("file_upload", id=box, file_path="/tmp/b64", content=content, encoding="base64")
    assert "base64" in words(result)
    assert client.call("get_file_info", id=box, file_path="/tmp/b64").get("isError")


@pytest.mark.parametrize("port", [-1, 0, 65536, 2**31, 2**62])
def test_bad_ports(client, box, port):
    assert "port" in words(client.call("preview_link", id=box, port=port, description="x", check_server=True))


@pytest.mark.parametrize("port", [2**63, 10**40, -10**300])
def test_numbers_beyond_all_bounds(client, box, port):
    """The line is refused, but its sender learns which of its calls that was."""
    error = client.request("tools/call", {"name": "preview_link", "arguments": {"id": box, "port": port}})["error"]
    assert error["code"] == -32700 and "big" in error["message"]


@pytest.mark.parametrize("arguments,said", [
    ({"command": " \n\t"}, "empty"), ({"command": "x", "cwd": "/none"}, "/none"), ({"command": "x", "cwd": "/etc/passwd"}, "/etc/passwd"),
    ({"command": "x", "cwd": "a\0b"}, "NUL"), ({"command": "a\0b"}, "NUL"), ({"command": "x", "env": {"A=B": "c"}}, "A=B"),
    ({"command": "x", "env": {"A": "b\0c"}}, "NUL"), ({"command": "x", "timeout": -1}, "timeout"),
    ({"command": "sleep 30", "timeout": 0.2}, "timeout")])
def test_bad_commands(client, box, arguments, said):
    assert said in words(client.call("execute_command", id=box, **arguments))


def test_long_commands(client, box):
    """Far beyond what an argument of a program may be."""
    out = sh(client, box, "true " + "x" * (4 * MB) + "; echo done")
    assert out["stdout"] == "done\n" and out["exitCode"] == 0
    out = sh(client, box, "# " + "\n# comment" * 100000 + "\necho end")
    assert out["stdout"] == "end\n"
    words(client.call("execute_command", id=box, command="true", env={"A": "x" * (3 * MB)}))


# --- amounts ---

def read_all(client, uri, size):
    """The resource in pages; returns its bytes' count, and checks each page's place."""
    got, digest = 0, __import__("hashlib").sha256()
    while True:
        page = client.request("resources/read", {"uri": f"{uri}?offset={got}&length={MB}"})["result"]["contents"][0]
        about = page["_meta"]
        assert about["daytona.io/offset"] == got and about["daytona.io/size"] == size
        data = base64.b64decode(page["blob"]) if "blob" in page else page["text"].encode()
        digest.update(data)
        got += len(data)
        assert about.get("daytona.io/nextOffset", size) == got
        if got == size:
            return digest.hexdigest()


def check_cut(text, whole, omitted):
    """`text` is the beginning and the end of `whole`, and says what lies between."""
    head, note, tail = re.fullmatch(r"(?s)(.*)\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n(.*)", text).groups()
    assert int(note) == omitted == len(whole) - len(head) - len(tail)
    assert whole.startswith(head) and whole.endswith(tail)


def test_long_output_can_be_read_in_full(client, box):
    whole = "".join(f"{i}\n" for i in range(1_000_000))
    out = sh(client, box, "seq 0 999999")
    assert out["stdoutBytes"] == len(whole) and len(out["stdout"]) < 12000
    check_cut(out["stdout"], whole, out["stdoutOmitted"])
    assert read_all(client, out["stdoutUri"], len(whole)) == __import__("hashlib").sha256(whole.encode()).hexdigest()
    out = sh(client, box, "seq 0 99999 >&2; seq 0 99999")
    half = "".join(f"{i}\n" for i in range(100_000))
    check_cut(out["stdout"], half, out["stdoutOmitted"])
    check_cut(out["stderr"], half, out["stderrOmitted"])
    assert out["stdoutUri"] != out["stderrUri"]


def test_a_gigabyte_of_output(client, server, box):
    toolbox = toolbox_of(client, box)
    for pid in (client.process.pid, server.process.pid, toolbox):
        forget_peak(pid)
    out = sh(client, box, "yes 0123456789abcde | head -c 1073741824", timeout=300)
    assert out["stdoutBytes"] == 1 << 30
    shown = out["stdout"].replace(re.search(r"\n\[.*left out.*\]\n", out["stdout"])[0], "")
    assert len(shown) + out["stdoutOmitted"] == 1 << 30
    assert peak(client.process.pid) < SLACK * 32 * MB and peak(server.process.pid) < SLACK * 64 * MB and peak(toolbox) < SLACK * 32 * MB
    for offset in (0, 123 * MB + 7, (1 << 30) - 100):
        page = client.request("resources/read", {"uri": f"{out['stdoutUri']}?offset={offset}&length=100"})["result"]["contents"][0]
        expected = (b"0123456789abcde\n" * 10)[offset % 16:][:100].decode()
        assert page["text"] == expected and page["_meta"]["daytona.io/size"] == 1 << 30
    sh(client, box, "rm -rf /tmp/.daytona* /tmp/daytona*")


def test_a_crowded_folder(client, server, box):
    """50,000 entries: no answer that fits, so one that says how to look instead; a million lines of ls are cut."""
    sh(client, box, "mkdir /tmp/many && cd /tmp/many && seq 50000 | xargs touch", timeout=120)
    for pid in (server.process.pid, toolbox_of(client, box)):
        forget_peak(pid)
    result = client.call("list_files", id=box, path="/tmp/many")
    assert len(json.dumps(result)) < 9 * MB
    text = words(result)
    assert "too many entries" in text and "execute_command" in text
    out = sh(client, box, "for i in $(seq 20); do ls /tmp/many; done", timeout=120)
    assert out["stdoutBytes"] == 20 * sum(len(f"{i}\n") for i in range(1, 50001)) and len(out["stdout"]) < 12000
    read = client.request("resources/read", {"uri": f"sandbox://{box}/tmp/many"})
    assert "too many entries" in read["error"]["message"] and "execute_command" in read["error"]["message"]
    assert peak(toolbox_of(client, box)) < SLACK * 128 * MB
    client.tool("delete_file", id=box, file_path="/tmp/many")


def test_binary_output(client, box):
    out = sh(client, box, "head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2")
    assert out["stdoutBytes"] == out["stderrBytes"] == 100000
    out = sh(client, box, r"printf '\377\376\000\200abc\355\240\200\300\257\n'")
    assert out["stdout"].endswith("\n") and "abc" in out["stdout"] and "\ufffd" in out["stdout"]
    out = sh(client, box, r"printf '\033[31mred\033[0m\r\n\007'")
    assert "red" in out["stdout"] and "\x1b" not in out["stdout"]


@pytest.mark.parametrize("size", [1, 100, 70000, 3 * MB])
def test_binary_files(client, server, box, size):
    data = os.urandom(size - 1) + b"\xff"
    client.tool("file_upload", id=box, file_path="/tmp/bin", content=base64.b64encode(data).decode(), encoding="base64", overwrite=True)
    result = client.call("file_download", id=box, file_path="/tmp/bin")
    assert not result.get("isError")
    for block in result["content"]:
        if block["type"] == "resource":
            assert base64.b64decode(block["resource"]["blob"]) == data
    assert read_all(client, f"sandbox://{box}/tmp/bin", size) == __import__("hashlib").sha256(data).hexdigest()


def test_half_characters_at_the_page_ends(client, box):
    text = "€" * 50000
    client.tool("file_upload", id=box, file_path="/tmp/euro", content=text, overwrite=True)
    for offset in (0, 1, 2, 3, 4):
        page = client.request("resources/read", {"uri": f"sandbox://{box}/tmp/euro?offset={offset}&length=1000"})["result"]["contents"][0]
        assert "text" in page and set(page["text"]) == {"€"}


# --- the pipe ---

class Pipe:
    """The program without a client: bytes in, lines out, each checked to be UTF-8 JSON."""

    def __init__(self, server):
        self.process = subprocess.Popen([backend.program("daytona"), "mcp", "start"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=server.client_env(), bufsize=0)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def write(self, data):
        while data:
            data = data[self.process.stdin.write(data):]

    def line(self, seconds=60):
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            assert select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], "no answer in time"
            chunk = os.read(self.process.stdout.fileno(), 1 << 20)
            assert chunk, "the server closed its output"
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        assert len(line) < 9 * MB
        return json.loads(line.decode("utf-8"))

    def ask(self, line):
        self.write(line + b"\n")
        return self.line()


@pytest.fixture
def pipe(server):
    with Pipe(server) as p:
        yield p
        assert p.ask(b'{"jsonrpc":"2.0","id":"last","method":"ping"}') == {"jsonrpc": "2.0", "id": "last", "result": {}}
        assert peak(p.process.pid) < SLACK * 64 * MB


def call_line(id, name, arguments):
    return b'{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"%s","arguments":%s}}' % (
        json.dumps(id).encode(), name.encode(), arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode())


@pytest.mark.parametrize("arguments", [
    b"[" * 1000000, b'{"a":' * 100000 + b"1" + b"}" * 100000, b'{"id":"a","id":"b"}', b'{"limit":1' + b"0" * 400 + b"}",
    b'{"limit":1e400}', b'{"limit":-0}', b'{"limit":NaN}', b'{"limit":0x10}', b'{"limit":01}', b'{"id":"\\u0000"}', b'{"id":"\\ud800x"}',
    b'{"id":"\xff\xfe"}', b'{"id":"a",}', b"{'id':'a'}", b'{"id":"a"} {"id":"b"}', b'{"a\\u0000b":1}', b'{"id":"\x01"}'])
def test_bad_json(pipe, arguments):
    answer = pipe.ask(call_line(1, "list_sandboxes", arguments))
    if "result" in answer:
        assert b"limit" in arguments and (b"-0" in arguments or words(answer["result"])) or b'"id"' in arguments or b"u0000b" in arguments
    else:
        assert answer["error"]["code"] in (-32700, -32600, -32602) and len(answer["error"]["message"]) > 5


def test_garbage(pipe):
    noise = os.urandom(4 * MB)
    lines = sum(1 for line in noise.split(b"\n")[:-1] if line.strip(b" \t\r"))
    reader = threading.Thread(target=pipe.write, args=(noise,))
    reader.start()
    for _ in range(lines):
        assert pipe.line()["error"]["code"] in (-32700, -32600)
    reader.join()
    pipe.write(b"\n")
    assert pipe.line()["error"]["code"] in (-32700, -32600)


def test_a_line_of_100_mb(pipe):
    pipe.write(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"file_upload","arguments":{"content":"')
    for _ in range(100):
        pipe.write(b"y" * MB)
    pipe.write(b'"}}}\n')
    assert pipe.line()["error"]["code"] == -32700


def test_a_thousand_at_once(pipe, box):
    for i in range(1000):
        kind = i % 4
        pipe.write((call_line(i, "execute_command", {"id": box, "command": f"echo {i}"}) if kind == 0 else
                    call_line(i, "get_file_info", {"id": box, "file_path": "/etc/passwd"}) if kind == 1 else
                    call_line(i, "get_sandbox", {"id": "nosuch"}) if kind == 2 else call_line(i, "list_sandboxes", {})) + b"\n")
    answers = {}
    while len(answers) < 1000:
        answer = pipe.line()
        assert answer["id"] not in answers
        answers[answer["id"]] = answer["result"]
    for i in range(0, 1000, 4):
        assert answers[i]["structuredContent"]["stdout"] == f"{i}\n", answers[i]
    assert all(answers[i].get("isError") for i in range(2, 1000, 4))
    assert not any(answers[i].get("isError") for i in range(1, 1000, 4))


def test_a_client_that_does_not_read(pipe, box):
    """Long answers wait in the program up to a bound; then it does not read on, and nothing is lost."""
    pipe.write(call_line("make", "execute_command", {"id": box, "command": "head -c 3000000 /dev/zero | tr '\\0' x > /tmp/long"}) + b"\n")
    assert not pipe.line()["result"].get("isError")
    line = call_line(7, "file_download", {"id": box, "file_path": "/tmp/long"}) + b"\n"
    os.set_blocking(pipe.process.stdin.fileno(), False)
    sent = 0
    while sent < 500 * len(line):
        if not select.select([], [pipe.process.stdin], [], 2)[1]:
            break
        sent += pipe.process.stdin.write((line * 2)[sent % len(line):][:len(line)]) or 0
    os.set_blocking(pipe.process.stdin.fileno(), True)
    if sent % len(line):
        threading.Thread(target=pipe.write, args=(line[sent % len(line):],)).start()
    for _ in range(-(-sent // len(line))):
        assert pipe.line()["id"] == 7


# --- HTTP ---

def raw(server, data, seconds=60, proxy=False):
    """What comes back for these bytes, until the server closes or the time is over."""
    with socket.create_connection(("127.0.0.1", server.proxy_port if proxy else server.port), 60) as s:
        s.settimeout(seconds)
        got = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            s.sendall(data)
        with contextlib.suppress(ConnectionResetError):  # it may have answered before all was sent
            while chunk := s.recv(65536):
                got += chunk
        return got


HEAD = b"Host: x\r\nAuthorization: Bearer " + backend.KEY.encode() + b"\r\n"
POST = b"POST /api/sandbox HTTP/1.1\r\n" + HEAD
LAST = b"Connection: close\r\n"


@pytest.mark.parametrize("data,status", [
    (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400), (POST + b"Content-Length: -1\r\n\r\n", 400),
    (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400), (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400), (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    (POST + b"Content-Length : 2\r\n\r\n{}", 400), (POST + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", 400),
    (b"GET /api/health HTTP/1.1\nHost: x\n\n", 400), (b"GET /api/health HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    (b"GET /api/\0health HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431), (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431), (b"nonsense\r\n\r\n", 400),
    (POST + LAST + b"Content-Type: application/json\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5000000, 413)])
@pytest.mark.parametrize("proxy", [False, True])
def test_bad_http(server, data, status, proxy):
    if status == 413 and proxy:
        return
    got = raw(server, data, proxy=proxy)
    codes = re.findall(rb"HTTP/1\.1 (\d+)", got)
    assert codes and int(codes[0]) in ((431, 414) if status == 431 else (status, 421 if proxy else status)), got[:300]
    assert len(codes) == 1


@pytest.mark.parametrize("type,body,status", [
    ("application/json", b"{", 400), ("application/json", b"[]", 400), 
    ("application/json", b'{"name":"a","name":"b"}', 400), ("application/json", b'{"name":"\xff"}', 400), ("application/json", b'{"cpu":1e999}', 400),
    ("application/json", b"[" * 100000, 400), ("application/json", b'{"name":5}', 400), ("text/plain", b'{"cpu":"x"}', 400),
    ("application/xml", b"<a/>", 400), ("multipart/form-data", b"x", 400), ("application/json; charset=latin1", b"\xe4", 400)])
def test_bad_bodies(server, type, body, status):
    request = urllib.request.Request(server.url + "/sandbox", body, {"Content-Type": type, "Authorization": f"Bearer {backend.KEY}"}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as failed:
        made = json.load(urllib.request.urlopen(request, timeout=120))
        server.request("DELETE", f"/sandbox/{made['id']}")
    answer = json.loads(failed.value.read())
    assert failed.value.code in (status, 415) and answer["statusCode"] == failed.value.code and len(answer["message"]) > 5


@pytest.mark.parametrize("path", ["/sandbox/..%2f..%2fetc", "/sandbox/%00", "/sandbox/%zz", "/sandbox/" + "a" * 500, "/sandbox/x/ports/99999/preview-url",
                                  "/sandbox/x/ports/-1/preview-url", "/toolbox/x/toolbox/files?path=/", "/toolbox/../sandbox", "/sandbox?limit=x",
                                  "/sandbox?limit=99999999999999999999", "/sandbox?cursor=%ff", "/%2e%2e/state"])
def test_bad_targets(server, path):
    status, answer = server.request("GET", path)
    assert status in (400, 404) and answer["statusCode"] == status and len(answer["message"]) > 5


@pytest.mark.parametrize("path", ["files?path=%00", "files?path=" + "a" * 30000, "files/download", "files/download?path=%zz", "files/info", "files/nosuch", "nosuch"])
def test_bad_toolbox_targets(server, box, path):
    status, answer = server.request("GET", f"/toolbox/{box}/toolbox/{path}")
    assert status in (400, 404, 405) and answer["statusCode"] == status and len(answer["message"]) > 5


@pytest.fixture(scope="module", autouse=True)
def slow_head(server):
    """Sends one byte now and then, beside all other tests: it takes a while until the server has enough."""
    seen = {"start": time.monotonic(), "got": None}

    def send():
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.settimeout(1)
            with contextlib.suppress(ConnectionError):
                for byte in b"GET /api/health HTTP/1.1\r\nX-" + b"a" * 100:
                    s.send(bytes([byte]))
                    with contextlib.suppress(TimeoutError):
                        seen["got"] = s.recv(1000)
                        break
        seen["end"] = time.monotonic()

    seen["thread"] = threading.Thread(target=send)
    seen["thread"].start()
    yield seen
    seen["thread"].join(200)


def test_slow_heads_are_not_waited_for(slow_head):
    """One byte now and then does not keep a connection: the head has a deadline."""
    slow_head["thread"].join(200)
    assert slow_head["got"] in (None, b"") or b" 408 " in slow_head["got"]
    assert 5 < slow_head["end"] - slow_head["start"] < 95  # its bytes would last for longer


def test_500_idle_connections(server, client):
    before = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    idle = [socket.create_connection(("127.0.0.1", server.proxy_port if i % 2 else server.port)) for i in range(500)]
    for i, s in enumerate(idle):
        if i % 3 == 0:
            s.send(b"GET /api/health HT")
    assert server.request("GET", "/health")[0] == 200
    assert client.tool("list_sandboxes")["sandboxes"]
    for s in idle:
        s.close()
    end = time.monotonic() + 60
    while len(os.listdir(f"/proc/{server.process.pid}/fd")) > before + 5:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_uploads_that_break_off(server, box, client):
    for body in (b"x" * 100, b""):
        target = f"/api/toolbox/{box}/toolbox/files/upload-raw?path=/tmp/broken&overwrite=true".encode()
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(b"POST " + target + b" HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000000\r\n\r\n" + body)
    end = time.monotonic() + 60
    while sh(client, box, "ls -A /tmp | grep -c broken; true")["stdout"].strip() != "0":
        assert time.monotonic() < end
        time.sleep(0.05)

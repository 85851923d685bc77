"""The protocol of `daytona mcp start` over pipes, as far as it needs no server behind it."""
import json
import os
import pathlib
import select
import signal
import subprocess
import time

import backend
import pytest

LEGACY = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
MODERN = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
TOOLS = ["create_sandbox", "list_sandboxes", "get_sandbox", "start_sandbox", "stop_sandbox", "destroy_sandbox",
         "execute_command", "file_upload", "file_download", "list_files", "get_file_info", "create_folder",
         "move_file", "delete_file", "git_clone", "preview_link",
         "edit_file", "search_files", "run_code", "start_command", "read_command", "send_input", "stop_command"]


class Wire:
    """The program with its pipes; nothing is sent by itself."""

    def __init__(self, tmp_path, env=None):
        self.process = subprocess.Popen(
            [backend.program("daytona"), "mcp", "start"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0,
            env={"HOME": str(tmp_path), "DAYTONA_SOCKET": str(tmp_path / "none.sock"), **(env or {})})
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def raw(self, data):
        self.process.stdin.write(data)

    def send(self, message):
        self.raw(json.dumps(message).encode() + b"\n")

    def line(self, seconds=200):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, "no answer in time"
            chunk = os.read(self.process.stdout.fileno(), 1 << 20)
            assert chunk, "the server closed its output"
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def ask(self, method, params=None, id=1):
        self.send({"jsonrpc": "2.0", "id": id, "method": method, **({"params": params} if params is not None else {})})
        answer = self.line()
        assert answer["jsonrpc"] == "2.0" and answer["id"] == id
        return answer

    def initialize(self, version):
        answer = self.ask("initialize", {"protocolVersion": version, "capabilities": {},
                                         "clientInfo": {"name": "t", "version": "1"}}, id="init")["result"]
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def silent(self):
        """Nothing was sent for what came before: the next answer is that of a ping."""
        assert self.ask("ping", id="silent")["result"] == {}


@pytest.fixture
def wire(tmp_path):
    with Wire(tmp_path) as w:
        yield w


@pytest.mark.parametrize("asked,got", [(v, v) for v in LEGACY] + [
    (MODERN, "2025-11-25"), ("2024-10-07", "2025-11-25"), ("2099-01-01", "2025-11-25"), ("", "2025-11-25")])
def test_handshake(wire, asked, got):
    result = wire.initialize(asked)
    assert result["protocolVersion"] == got
    assert result["serverInfo"]["name"] == "daytona" and result["serverInfo"]["version"]
    assert result["capabilities"] == {"tools": {}, "resources": {}, "completions": {}}
    assert 500 < len(result["instructions"]) <= 4000
    assert "resultType" not in result


def test_initialize_without_version(wire):
    assert wire.ask("initialize", {})["error"]["code"] == -32602
    assert wire.ask("initialize")["error"]["code"] == -32602


def test_modern_needs_no_handshake(wire):
    result = wire.ask("server/discover", {"_meta": META})["result"]
    assert result["resultType"] == "complete" and result["supportedVersions"] == [MODERN]
    assert isinstance(result["ttlMs"], int) and result["cacheScope"] in ("public", "private")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "daytona"
    assert len(result["instructions"]) <= 4000
    listed = wire.ask("tools/list", {"_meta": META})["result"]
    assert listed["resultType"] == "complete" and listed["ttlMs"] > 0 and listed["cacheScope"] == "public"
    assert [t["name"] for t in listed["tools"]] == TOOLS
    templates = wire.ask("resources/templates/list", {"_meta": META})["result"]
    assert templates["resourceTemplates"][0]["uriTemplate"] == "sandbox://{id}/{+path}"
    assert templates["cacheScope"] == "public"


def test_the_list_of_tools_is_short(wire):
    """It is part of everything that a model reads."""
    assert len(json.dumps(wire.ask("tools/list", {})["result"], separators=(",", ":"))) <= 20000


def test_discover_is_always_answered(wire):
    assert wire.ask("server/discover")["result"]["supportedVersions"] == [MODERN]
    wire.initialize("2024-11-05")
    assert wire.ask("server/discover")["result"]["supportedVersions"] == [MODERN]


def test_each_request_has_its_own_revision(wire):
    wire.initialize("2024-11-05")
    assert "resultType" not in wire.ask("tools/list")["result"]
    assert wire.ask("tools/list", {"_meta": META})["result"]["resultType"] == "complete"
    assert "resultType" not in wire.ask("tools/list")["result"]


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe",
                                    "resources/unsubscribe", "tasks/list", "prompts/list", "no/such"])
def test_removed_in_modern(wire, method):
    assert wire.ask(method, {"_meta": META, "protocolVersion": MODERN})["error"]["code"] == -32601


@pytest.mark.parametrize("method", ["logging/setLevel", "resources/subscribe", "prompts/list", "prompts/get",
                                    "tasks/list", "tasks/get", "subscriptions/listen", "no/such", ""])
def test_not_offered_before(wire, method):
    wire.initialize("2025-11-25")
    assert wire.ask(method, {})["error"]["code"] == -32601


@pytest.mark.parametrize("version", ["2099-01-01", "2025-11-25", "x"])
@pytest.mark.parametrize("method", ["tools/list", "server/discover", "initialize"])
def test_unsupported_version(wire, version, method):
    meta = {**META, "io.modelcontextprotocol/protocolVersion": version}
    error = wire.ask(method, {"_meta": meta})["error"]
    assert error["code"] == -32022
    assert error["data"] == {"supported": [MODERN], "requested": version}


@pytest.mark.parametrize("meta", [
    {"io.modelcontextprotocol/protocolVersion": MODERN},
    {"io.modelcontextprotocol/clientCapabilities": {}},
    {"io.modelcontextprotocol/clientInfo": {"name": "x"}},
    {**META, "io.modelcontextprotocol/clientCapabilities": "x"},
    {**META, "io.modelcontextprotocol/protocolVersion": 1},
    {**META, "io.modelcontextprotocol/logLevel": "loud"},
    "text"])
def test_meta_is_checked(wire, meta):
    assert wire.ask("tools/list", {"_meta": meta})["error"]["code"] == -32602


def test_listen_acknowledges_and_ends_silently(wire):
    wire.send({"jsonrpc": "2.0", "id": "listen:0", "method": "subscriptions/listen",
               "params": {"_meta": META, "notifications": {"toolsListChanged": True}}})
    ack = wire.line()
    assert ack["method"] == "notifications/subscriptions/acknowledged" and "id" not in ack
    assert ack["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "listen:0"
    assert ack["params"]["notifications"] == {}
    again = wire.ask("subscriptions/listen", {"_meta": META, "notifications": {}}, id="listen:0")
    assert again["error"]["code"] == -32600  # the id is in use
    wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "listen:0"}})
    wire.silent()


def test_before_initialize(wire):
    assert wire.ask("ping")["result"] == {}
    assert len(wire.ask("tools/list")["result"]["tools"]) == len(TOOLS)


@pytest.mark.parametrize("id", [0, 1, -7, 2**53, "", "a\"b", "äöü", "x" * 1000, 1.5])
def test_ids_come_back_as_they_were(wire, id):
    answer = wire.ask("ping", id=id)
    assert answer["id"] == id and type(answer["id"]) is type(id)


@pytest.mark.parametrize("line,code,id", [
    (b"nonsense", -32700, None), (b"{", -32700, None), (b'{"jsonrpc":"2.0","id":1,"method":"ping"', -32700, None),
    (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}', -32700, None),
    (b'{"jsonrpc":"2.0","id":"\xff","method":"ping"}', -32700, None),
    (b'{"a":1,"a":2}', -32700, None), (b"[" * 100000, -32700, None), (b"\x00\x01\x02\xfe\xff", -32700, None),
    (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', -32700, None),
    (b"{}", -32600, None), (b"1", -32600, None), (b'"x"', -32600, None), (b"null", -32600, None),
    (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600, 1), (b'{"id":1,"method":"ping"}', -32600, 1),
    (b'{"jsonrpc":"2.0","id":1}', -32600, 1), (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600, 1),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602, 1),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}', -32602, 1),
    (b"[]", -32600, None), (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None)])
def test_malformed(wire, line, code, id):
    wire.raw(line + b"\n")
    answer = wire.line()
    assert answer["error"]["code"] == code and answer["id"] == id
    wire.silent()


@pytest.mark.parametrize("line", [
    b"", b"   ", b"\r", b'{"jsonrpc":"2.0","method":"no/such"}', b'{"jsonrpc":"2.0","method":"x","params":[1]}',
    b'{"jsonrpc":"2.0","id":9,"result":{}}', b'{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":""}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown"}}',
    b'{"jsonrpc":"2.0","method":"notifications/cancelled"}'])
def test_no_answer(wire, line):
    wire.raw(line + b"\n")
    wire.silent()


def test_crlf_and_pieces(wire):
    wire.raw(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n')
    assert wire.line()["id"] == 1
    for byte in b'{"jsonrpc":"2.0","id":2,"method":"ping"}\n':
        wire.raw(bytes([byte]))
    assert wire.line()["id"] == 2


def messages(*items):
    return json.dumps(list(items)).encode() + b"\n"


PING = {"jsonrpc": "2.0", "method": "ping"}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26"])
def test_batches(wire, version):
    wire.initialize(version)
    wire.raw(messages({**PING, "id": 1}, {"jsonrpc": "2.0", "method": "notifications/x"}, 5, {**PING, "id": "b"},
                      {"jsonrpc": "2.0", "id": 3, "method": "no/such"}, {"jsonrpc": "1", "id": 4, "method": "x"},
                      {"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {"name": "list_sandboxes"}}))
    answers = wire.line()
    assert isinstance(answers, list) and len(answers) == 6
    by_id = {a["id"]: a for a in answers}
    assert by_id[1]["result"] == {} and by_id["b"]["result"] == {} and by_id[6]["result"]["isError"]
    assert by_id[None]["error"]["code"] == -32600 and by_id[3]["error"]["code"] == -32601
    assert by_id[4]["error"]["code"] == -32600
    wire.raw(messages({"jsonrpc": "2.0", "method": "notifications/x"}))  # only notifications: no answer
    wire.silent()
    wire.raw(b"[]\n")
    assert wire.line()["error"]["code"] == -32600
    wire.raw(messages({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": version}}))
    assert wire.line()[0]["error"]["code"] == -32600
    wire.raw(messages({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}))
    assert wire.line()[0]["error"]["code"] == -32600
    wire.raw(messages(*[{**PING, "id": i} for i in range(1001)]))
    assert wire.line()["error"]["code"] == -32600


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_no_batches_any_more(wire, version):
    wire.initialize(version)
    wire.raw(messages({**PING, "id": 1}))
    answer = wire.line()
    assert answer["error"]["code"] == -32600 and answer["id"] is None


def test_large_batch_is_split(wire):
    """An array that would be longer than 9 MiB comes in parts."""
    wire.initialize("2025-03-26")
    wire.raw(messages(*[{"jsonrpc": "2.0", "id": i, "method": "tools/list"} for i in range(900)]))
    seen = []
    while len(seen) < 900:
        seen += [a["id"] for a in wire.line()]
    assert sorted(seen) == list(range(900))


def test_tools_list(wire):
    wire.initialize("2025-11-25")
    wire.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    answer = wire.line()
    tools = answer["result"]["tools"]
    assert len(json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()) <= 20000
    assert [t["name"] for t in tools] == TOOLS
    assert wire.ask("tools/list", {})["result"] == answer["result"]
    for tool in tools:
        assert tool["title"] and len(tool["description"]) > 20
        assert tool["inputSchema"]["type"] == "object"
        assert set(tool["annotations"]) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
        # Its images come without structured content, which official clients refuse after a promise.
        assert ("outputSchema" in tool) == (tool["name"] not in ("file_download", "run_code"))
        assert "x-" not in json.dumps(tool)
    by_name = {t["name"]: t for t in tools}
    assert by_name["list_files"]["annotations"]["readOnlyHint"] is True
    assert by_name["execute_command"]["annotations"]["destructiveHint"] is True
    assert set(by_name["create_sandbox"]["inputSchema"]["properties"]) >= {
        "id", "name", "target", "snapshot", "auto_stop_interval", "auto_archive_interval", "auto_delete_interval",
        "volumes", "network_block_all", "network_allow_list", "public", "cpu", "gpu", "memory", "disk", "user",
        "build_info", "env", "labels"}


def test_cursor(wire):
    assert wire.ask("tools/list", {"cursor": "x"})["error"]["code"] == -32602
    assert wire.ask("resources/list", {"cursor": 5})["error"]["code"] == -32602
    for method in ("tools/list", "resources/templates/list"):  # they have one page
        for more in ({}, {"_meta": META}):
            assert wire.ask(method, {"cursor": "MQ==", **more})["error"]["code"] == -32602


@pytest.mark.parametrize("params", [None, {}, {"name": 5}, {"name": "no_such"}, {"name": "list_sandboxes", "arguments": []},
                                    {"name": "list_sandboxes", "arguments": "x"},
                                    *({"name": "list_sandboxes", "_meta": {"progressToken": token}} for token in ({}, [], True, 1.5))])
def test_bad_calls(wire, params):
    assert wire.ask("tools/call", params)["error"]["code"] == -32602


def test_foreign_request_state(wire):
    params = {"_meta": META, "name": "list_sandboxes", "requestState": "x"}
    assert wire.ask("tools/call", params)["error"]["code"] == -32602


def call(wire, name, **arguments):
    return wire.ask("tools/call", {"name": name, "arguments": arguments})["result"]


@pytest.mark.parametrize("name,arguments,words", [
    ("get_sandbox", {}, ["id is required"]),
    ("get_sandbox", {"id": 5}, ["id must be a string"]),
    ("get_sandbox", {"id": ""}, ["id should not be empty"]),
    ("get_sandbox", {"id": "a\0b"}, ["NUL"]),
    ("get_sandbox", {"id": "x" * 65536}, ["longer than"]),
    ("execute_command", {"id": "a", "command": "x", "timeout": -1}, ["timeout must not be less than 0"]),
    ("execute_command", {"id": "a", "command": "x", "env": {"A": 1}}, ["env.A must be a string"]),
    ("execute_command", {"id": "a"}, ["command is required"]),
    ("file_upload", {"id": "a", "file_path": "x", "content": "!", "encoding": "base64"}, ["base64"]),
    ("file_upload", {"id": "a", "file_path": "x", "content": "x", "encoding": "rot13"}, ["encoding", "base64"]),
    ("upload_file", {"id": "a", "content": "x"}, ["file_path is required"]),
    ("download_file", {"id": "a", "filePath": 1}, ["file_path must be a string"]),
    ("preview_link", {"id": "a", "port": 70000}, ["port must not be greater than 65535"]),
    ("preview_link", {"id": "a", "port": "3000"}, ["port must be an integer"]),
    ("preview_link", {"id": "a", "port": 3000.5}, ["port must be an integer"]),
    ("git_clone", {"id": "a", "url": "ext::sh -c id"}, ["url must be"]),
    ("git_clone", {"id": "a", "url": "--upload-pack=x"}, ["url must be"]),
    ("create_sandbox", {"build_info": {"dockerfile_content": "FROM x"}}, ["build_info", "not supported"]),
    ("create_sandbox", {"buildInfo": {"dockerfileContent": "FROM x"}}, ["build_info", "not supported"]),
    ("create_sandbox", {"gpu": 1}, ["gpu", "not supported"]),
    ("create_sandbox", {"volumes": [{"volume_id": "v"}]}, ["volumes.0.mount_path is required"]),
    ("create_sandbox", {"volumes": [{"mountPath": "/v", "volumeId": 1}]}, ["volumes.0.volume_id must be a string"]),
    ("create_sandbox", {"labels": {"a": 1}, "cpu": "x"}, ["labels.a must be a string", "cpu must be a number"]),
    ("create_sandbox", {"auto_stop_interval": -1}, ["auto_stop_interval must not be less than 0"])])
def test_bad_arguments(wire, name, arguments, words):
    """A result that says what was wrong and what to do, with text only."""
    result = call(wire, name, **arguments)
    assert result["isError"] is True and "structuredContent" not in result
    text = result["content"][0]["text"]
    assert all(w in text for w in words), text
    assert len(result["content"]) == 1 and result["content"][0]["type"] == "text"


def test_no_server(wire, tmp_path):
    for name, arguments in [("list_sandboxes", {}), ("create_sandbox", {}), ("execute_command", {"id": "a", "command": "b"})]:
        result = call(wire, name, **arguments)
        assert result["isError"] and str(tmp_path / "none.sock") in result["content"][0]["text"]
    assert wire.ask("resources/list")["error"]["code"] == -32603
    read = wire.ask("resources/read", {"uri": "sandbox://a/b"})["error"]
    assert read["code"] == -32603


def test_half_configured(tmp_path):
    with Wire(tmp_path, {"DAYTONA_API_URL": "http://localhost:1/api"}) as w:
        assert "DAYTONA_API_KEY" in call(w, "list_sandboxes")["content"][0]["text"]
    with Wire(tmp_path, {"DAYTONA_API_URL": "localhost", "DAYTONA_API_KEY": "k"}) as w:
        assert "http" in call(w, "list_sandboxes")["content"][0]["text"]
    with Wire(tmp_path, {"DAYTONA_API_URL": "http://127.0.0.1:1/api", "DAYTONA_API_KEY": "sekret"}) as w:
        text = call(w, "list_sandboxes")["content"][0]["text"]
        assert "127.0.0.1" in text and "sekret" not in text


@pytest.mark.parametrize("uri", ["", "x", "file:///etc/passwd", "sandbox://", "sandbox://a/b?offset=x",
                                 "sandbox://a/%00", "sandbox://a/b?length=99999999"])
def test_bad_resources(wire, uri):
    wire.initialize("2025-06-18")
    error = wire.ask("resources/read", {"uri": uri})["error"]
    assert error["code"] == -32002 and error["data"] == {"uri": uri}
    error = wire.ask("resources/read", {"uri": uri, "_meta": META})["error"]
    assert error["code"] == -32602 and error["data"] == {"uri": uri}
    assert wire.ask("resources/read", {})["error"]["code"] == -32602


@pytest.mark.parametrize("params", [
    {}, {"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": ""}},
    {"ref": {"type": "ref/resource", "uri": "other://x"}, "argument": {"name": "id", "value": ""}},
    {"ref": {"type": "ref/resource", "uri": "sandbox://{id}/{+path}"}, "argument": {"name": "x", "value": ""}},
    {"ref": {"type": "ref/resource", "uri": "sandbox://{id}/{+path}"}, "argument": {"name": "id"}}])
def test_bad_completions(wire, params):
    assert wire.ask("completion/complete", params)["error"]["code"] == -32602


def test_path_completion_needs_an_id(wire):
    params = {"ref": {"type": "ref/resource", "uri": "sandbox://{id}/{+path}"}, "argument": {"name": "path", "value": "t"}}
    assert wire.ask("completion/complete", params)["result"]["completion"]["values"] == []


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) * 1024


def test_a_100_mb_line_is_skipped(wire):
    block = b"x" * (1 << 20)
    wire.raw(b'{"jsonrpc":"2.0","id":1,"method":"')
    for _ in range(100):
        wire.raw(block)
    error = wire.line()
    assert error["error"]["code"] == -32700 and error["id"] is None
    wire.raw(b'"}\n')
    wire.silent()
    assert rss(wire.process.pid) < 96 << 20  # 100 MB would show, also with sanitizers


def test_binary_garbage(wire):
    lines = 0
    noise = os.urandom(1 << 20).replace(b"\n", b"\0")
    for i in range(0, len(noise), 4096):
        wire.raw(noise[i:i + 4096] + b"\n")
        assert wire.line()["error"]["code"] == -32700
        lines += 1
    assert lines == 256
    wire.silent()


def test_slow_reader_stops_the_reading(wire):
    """A client that does not read is not read from, and memory stays bounded."""
    wire.initialize("2025-11-25")
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode() + b"\n"
    os.set_blocking(wire.process.stdin.fileno(), False)
    sent, block = 0, line * 100
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            sent += wire.process.stdin.write(block[sent % len(block):]) or 0
        except BlockingIOError:
            pass
        if not select.select([], [wire.process.stdin], [], 1)[1]:
            break  # not writable for a second: it has stopped to read
    else:
        pytest.fail("it never stopped to read")
    assert rss(wire.process.pid) < 300 << 20
    os.set_blocking(wire.process.stdin.fileno(), True)
    answers = sent // len(line)
    for _ in range(answers):
        assert "result" in wire.line()
    if sent % len(line):
        wire.raw(line[sent % len(line):])
        wire.line()
    wire.silent()


def test_many_in_flight(wire):
    wire.initialize("2025-11-25")
    for i in range(500):
        wire.send({"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": {"name": "list_sandboxes"}})
    assert sorted(wire.line()["id"] for _ in range(500)) == list(range(500))


def test_too_many_in_flight(wire):
    for i in range(1024):
        wire.send({"jsonrpc": "2.0", "id": i, "method": "subscriptions/listen", "params": {"_meta": META, "notifications": {}}})
        wire.line()
    assert wire.ask("tools/list", id="more")["error"]["code"] == -32603
    wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
    assert "result" in wire.ask("tools/list", id="more")


def wait(process, seconds=60):
    start = time.monotonic()
    code = process.wait(seconds)
    return code, time.monotonic() - start


def test_end_of_input(wire):
    wire.initialize("2025-11-25")
    wire.process.stdin.close()
    code, took = wait(wire.process)
    assert code == 0 and took < 30
    assert wire.process.stderr.read() == b""


def test_end_of_input_at_once(wire):
    wire.process.stdin.close()
    assert wait(wire.process)[0] == 0


def test_answers_before_the_end(tmp_path):
    """What was asked before the end of input is still answered, also without a last LF."""
    done = subprocess.run([backend.program("daytona"), "mcp", "start"], capture_output=True, timeout=60,
                          input=b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n{"jsonrpc":"2.0","id":2,"method":"ping"}')
    assert done.returncode == 0
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]


def test_files_as_input_and_output(tmp_path):
    (tmp_path / "in").write_bytes(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n' * 50)
    with open(tmp_path / "in", "rb") as i, open(tmp_path / "out", "wb") as o:
        done = subprocess.run([backend.program("daytona"), "mcp", "start"], stdin=i, stdout=o, timeout=60)
    assert done.returncode == 0
    assert len((tmp_path / "out").read_bytes().splitlines()) == 50


def test_null_input():
    done = subprocess.run([backend.program("daytona"), "mcp", "start"], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(wire, number):
    wire.initialize("2025-11-25")
    wire.process.send_signal(number)
    assert wait(wire.process)[0] == 0


def test_reader_gone(wire):
    wire.initialize("2025-11-25")
    wire.process.stdout.close()
    wire.send({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert wait(wire.process)[0] == 0


def test_few_files(tmp_path):
    """No descriptor is left behind by calls that fail."""
    with Wire(tmp_path) as w:
        fds = f"/proc/{w.process.pid}/fd"
        w.initialize("2025-11-25")
        call(w, "list_sandboxes")
        before = len(os.listdir(fds))
        for _ in range(100):
            call(w, "list_sandboxes")
        assert len(os.listdir(fds)) < before + 20  # the last ones may close a moment later


def test_start_takes_little(tmp_path):
    """Time of a processor, which is the same on a busy machine. How quick it is, ./dev bench measures."""
    def ticks():
        with Wire(tmp_path) as w:
            w.initialize("2025-11-25")
            stat = pathlib.Path(f"/proc/{w.process.pid}/stat").read_text()
            return sum(map(int, stat.rsplit(")", 1)[1].split()[11:13]))
    assert min(ticks() for _ in range(5)) < 0.5 * os.sysconf("SC_CLK_TCK")


def test_command_line():
    run = lambda *a: subprocess.run([backend.program("daytona"), *a], capture_output=True, text=True, timeout=60)
    assert run("version").stdout.startswith("Daytona CLI version ") and run("--version").returncode == 0
    for args in [(), ("--help",), ("help",), ("mcp",), ("mcp", "--help")]:
        assert run(*args).returncode == 0 and "mcp" in run(*args).stdout
    for args in [("nonsense",), ("mcp", "nonsense"), ("mcp", "start", "x"), ("mcp", "init"), ("mcp", "init", "emacs"),
                 ("mcp", "config", "emacs"), ("mcp", "config", "claude", "x")]:
        done = run(*args)
        assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1

"""What each tool promises, one by one: its names, its arguments, its results and its limits."""
import base64
import contextlib
import datetime
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import tarfile
import time
import urllib.request

import backend
import busybox
import jsonschema
import mcp_pipe
import pytest
import small_image
from mcp_pipe import fails, sh

MB = 1 << 20
# The spellings that agents know from before, and what is documented.
SPELLINGS = {
    "create_sandbox": {"autoStopInterval": "auto_stop_interval", "autoArchiveInterval": "auto_archive_interval",
                       "autoDeleteInterval": "auto_delete_interval", "buildInfo": "build_info",
                       "networkBlockAll": "network_block_all", "networkAllowList": "network_allow_list"},
    "file_upload": {"filePath": "file_path"}, "file_download": {"filePath": "file_path"}, "get_file_info": {"filePath": "file_path"},
    "upload_file": {"filePath": "file_path"}, "download_file": {"filePath": "file_path"}, "delete_file": {"filePath": "file_path"},
    "move_file": {"sourcePath": "source_path", "destPath": "dest_path"}, "create_folder": {"folderPath": "folder_path"},
    "preview_link": {"checkServer": "check_server"}, "git_clone": {"commitId": "commit_id"},
    "edit_file": {"filePath": "file_path", "oldText": "old_text", "newText": "new_text", "replaceAll": "replace_all",
                  "old_string": "old_text", "new_string": "new_text"},
    "run_code": {"envs": "env"}, "start_command": {"envs": "env"}, "send_input": {"commandId": "command_id"},
    "read_command": {"commandId": "command_id", "untilEnd": "until_end"}, "stop_command": {"commandId": "command_id"}}
READ_ONLY = {"list_sandboxes", "get_sandbox", "file_download", "list_files", "get_file_info", "search_files", "read_command"}
DESTRUCTIVE = {"destroy_sandbox", "stop_sandbox", "execute_command", "file_upload", "move_file", "delete_file", "edit_file",
               "run_code", "start_command", "send_input", "stop_command"}
OPEN_WORLD = {"execute_command", "git_clone", "run_code", "start_command", "send_input"}
NOT_REPEATABLE = {"create_sandbox", "execute_command", "move_file", "git_clone", "preview_link", "edit_file",
                  "run_code", "start_command", "send_input", "stop_command"}


@pytest.fixture(scope="module")
def tiny(server, tmp_path_factory):
    server.import_snapshot("small", small_image.tar(tmp_path_factory.mktemp("small")))
    return "small"


@pytest.fixture(scope="module")
def tools(client):
    return {t["name"]: t for t in client.request("tools/list")["result"]["tools"]}


@contextlib.contextmanager
def sandbox(client, **arguments):
    made = client.tool("create_sandbox", **arguments)
    try:
        yield made
    finally:
        client.call("destroy_sandbox", id=made["id"])


# --- names ---

def test_camel_case_is_the_same_argument(client):
    """A value that no argument may have, under its other name, is refused under its documented one."""
    given = {"id": "a", "file_path": "b", "content": "c", "source_path": "d", "dest_path": "e", "folder_path": "f",
             "old_text": "g", "new_text": "h", "port": 3000, "url": "https://example.com/x.git"}
    for tool, names in SPELLINGS.items():
        for camel, snake in names.items():
            wrong = "soon" if "interval" in snake else 7
            text = fails(client, tool, **{**{k: v for k, v in given.items() if k != snake}, camel: wrong})
            assert f"{snake} must be" in text, (tool, camel, text)


def test_annotations_are_honest(tools):
    for name, tool in tools.items():
        assert tool["annotations"] == {
            "readOnlyHint": name in READ_ONLY, "destructiveHint": name in DESTRUCTIVE,
            "idempotentHint": name not in NOT_REPEATABLE, "openWorldHint": name in OPEN_WORLD}, name


def test_results_are_what_the_schemas_say(client, tools, tiny):
    """Every tool succeeds once: what it returns fits its schema, and the text is the same."""
    seen = set()

    def ok(name, **arguments):
        result = client.call(name, **arguments)
        assert not result.get("isError"), result
        got = result["structuredContent"]
        if name not in ("file_download", "run_code"):
            jsonschema.validate(got, tools[name]["outputSchema"])
            assert json.loads(result["content"][0]["text"]) == got
        assert all(b["type"] in ("text", "resource_link") for b in result["content"])
        seen.add(name)
        return got

    box = ok("create_sandbox", snapshot=tiny, user="root")["id"]
    assert [s for s in ok("list_sandboxes")["sandboxes"] if s["id"] == box][0]["state"] == "started"
    assert ok("get_sandbox", id=box)["user"] == "root"
    assert ok("file_upload", id=box, file_path="/tmp/a/b", content="text")["size"] == 4
    assert ok("file_download", id=box, file_path="/tmp/a/b") == {"path": "/tmp/a/b", "size": 4, "content": "text"}
    assert ok("edit_file", id=box, file_path="/tmp/a/b", old_text="x", new_text="s") == {
        "path": "/tmp/a/b", "replacements": 1, "size": 4}
    assert ok("search_files", id=box, path="/tmp", query="es") == {
        "matches": [{"file": "/tmp/a/b", "line": 1, "content": "test"}]}
    assert ok("get_file_info", id=box, file_path="/tmp/a/b")["size"] == 4
    assert ok("create_folder", id=box, folder_path="/tmp/c/d", mode="0700")["path"] == "/tmp/c/d"
    assert ok("get_file_info", id=box, file_path="/tmp/c/d")["permissions"] == "0700"
    assert ok("move_file", id=box, source_path="/tmp/a/b", dest_path="/tmp/c/e") == {"source": "/tmp/a/b", "destination": "/tmp/c/e"}
    assert [(f["name"], f["isDir"]) for f in ok("list_files", id=box, path="/tmp/c")["files"]] == [("d", True), ("e", False)]
    assert ok("execute_command", id=box, command="cat /tmp/c/e; exit 5")["exitCode"] == 5
    assert ok("execute_command", id=box, command="seq 100000")["stdoutUri"]
    assert ok("run_code", id=box, code="1")["exitCode"] == -1  # an image without python
    asks = ok("start_command", id=box, command="read x; echo got $x")["commandId"]
    assert ok("send_input", id=box, command_id=asks, input="it") == {"commandId": asks, "sent": 3}
    assert ok("read_command", id=box, command_id=asks, wait=60, until_end=True)["output"] == "got it\n"
    assert ok("stop_command", id=box, command_id=asks)["exitCode"] == 0
    assert ok("delete_file", id=box, file_path="/tmp/c") == {"path": "/tmp/c", "deleted": True}
    assert ok("preview_link", id=box, port=3000, check_server=True)["listening"] is False
    repository = ok("execute_command", id=box, command="mkdir -p /srv/r && cd /srv/r && mkdir objects refs && echo 'ref: refs/heads/main' > HEAD")
    assert repository["exitCode"] == 0
    assert ok("git_clone", id=box, url="file:///srv/r")["path"] == "r"
    assert ok("stop_sandbox", id=box)["state"] == "stopped"
    assert ok("stop_sandbox", id=box)["state"] == "stopped"
    assert ok("start_sandbox", id=box)["state"] == "started"
    assert ok("start_sandbox", id=box)["state"] == "started"
    assert ok("destroy_sandbox", id=box) == {"id": box, "destroyed": True}
    assert seen == set(tools)


# --- create_sandbox ---

ALL = {"auto_stop_interval": 7, "auto_archive_interval": 60, "auto_delete_interval": 90, "network_block_all": True, "public": True}
REST = {"auto_stop_interval": "autoStopInterval", "auto_archive_interval": "autoArchiveInterval",
        "auto_delete_interval": "autoDeleteInterval", "network_block_all": "networkBlockAll"}


@pytest.mark.parametrize("camel", [False, True])
def test_every_argument_of_create_sandbox_arrives(client, server, tiny, camel):
    arguments = {(REST.get(k, k) if camel else k): v for k, v in ALL.items()}
    with sandbox(client, name="all-of-it", target="eu", snapshot=tiny, user="root", cpu=1, memory=1, disk=2,
                 env={"A": "b c", "D": ""}, labels={"x": "y"}, gpu=0, volumes=[], **arguments) as made:
        rest = server.request("GET", f"/sandbox/{made['id']}")[1]
        for key, value in {**{REST.get(k, k): v for k, v in ALL.items()}, "name": "all-of-it", "target": "eu", "snapshot": tiny,
                           "user": "root", "cpu": 1, "memory": 1, "disk": 2, "env": {"A": "b c", "D": ""},
                           "labels": {"x": "y"}, "state": "started"}.items():
            assert rest[key] == value, key
        assert (made["cpu"], made["memory"], made["disk"], made["snapshot"], made["reused"]) == (1, 1, 2, tiny, False)
        out = sh(client, made["id"], 'echo "$A|$D|"; id -u; cat /sys/fs/cgroup/memory.max 2>/dev/null || true')
        assert out["stdout"].startswith("b c||\n0\n")


def test_the_defaults_of_create_sandbox(client, server, box):
    rest = server.request("GET", f"/sandbox/{box}")[1]
    assert (rest["target"], rest["autoStopInterval"], rest["autoArchiveInterval"], rest["autoDeleteInterval"]) == ("us", 15, 10080, -1)
    assert (rest["public"], rest["networkBlockAll"], rest["snapshot"], rest["env"], rest["labels"]) == (
        False, False, backend.DEFAULT_SNAPSHOT, {}, {})


def test_the_allow_list_arrives(client, server, tiny):
    for name in ("network_allow_list", "networkAllowList"):
        with sandbox(client, snapshot=tiny, **{name: "203.0.113.0/24, 10.9.8.7/32"}) as made:
            allowed = server.request("GET", f"/sandbox/{made['id']}")[1]["networkAllowList"]
            assert [a.strip() for a in allowed.split(",")] == ["203.0.113.0/24", "10.9.8.7/32"]
            assert client.tool("get_sandbox", id=made["id"])["networkAllowList"] == allowed


@pytest.mark.parametrize("snapshot", [False, True])
def test_resources_go_with_and_without_a_snapshot(client, tiny, snapshot):
    with sandbox(client, cpu=0.5, memory=0.5, disk=1, **({"snapshot": tiny} if snapshot else {})) as made:
        assert (made["cpu"], made["memory"], made["disk"]) == (0.5, 0.5, 1)


def requests_until_now(server):
    with urllib.request.urlopen(server.url + "/health") as reply:
        return int(reply.headers["X-Request-Id"].split("-")[1], 16)


def test_a_quota_is_told_and_asked_for_once(tmp_path):
    with backend.Backend(settings=["--default-snapshot", "small", "--total-cpu", "1"]) as b:
        b.import_snapshot("small", small_image.tar(tmp_path))
        b.start()
        with mcp_pipe.Client(b) as c, sandbox(c, cpu=1):
            before = requests_until_now(b)
            text = fails(c, "create_sandbox", cpu=1)
            assert "CPU" in text and "Call list_sandboxes and destroy_sandbox" in text
            assert requests_until_now(b) == before + 2
            assert len(c.tool("list_sandboxes")["sandboxes"]) == 1


def test_id_reuses_a_sandbox(client, tiny):
    with sandbox(client, snapshot=tiny, name="again") as made:
        for id in (made["id"], "again"):
            got = client.tool("create_sandbox", id=id)
            assert (got["id"], got["reused"], got["state"]) == (made["id"], True, "started")
        client.tool("stop_sandbox", id=made["id"])
        assert client.tool("create_sandbox", id=made["id"])["state"] == "started"
        assert sh(client, made["id"], "echo up")["stdout"] == "up\n"
    text = fails(client, "create_sandbox", id=made["id"])
    assert "not found" in text and "list_sandboxes" in text
    with sandbox(client, snapshot=tiny, id="") as fresh:  # models are told to leave it empty
        assert fresh["reused"] is False


def test_an_empty_image(client, server, tmp_path):
    """Nothing but a file: no libc, no shell, no users, no folders. What needs none of them works, the rest says so."""
    file = tarfile.TarInfo("README")
    file.size = 6
    with tarfile.open(tmp_path / "empty.tar", "w") as tar:
        tar.addfile(file, io.BytesIO(b"empty\n"))
    server.import_snapshot("empty", tmp_path / "empty.tar")
    with sandbox(client, snapshot="empty") as made:
        box = made["id"]
        for _ in range(2):
            assert client.tool("file_download", id=box, file_path="/README")["content"] == "empty\n"
            client.tool("file_upload", id=box, file_path="/a/b", content="x", overwrite=True)
            assert client.tool("search_files", id=box, path="/a", query="x")["matches"][0]["file"] == "/a/b"
            for tool in ("execute_command", "start_command"):
                assert re.search("no shell.*create_sandbox", fails(client, tool, id=box, command="echo hi"))
            assert "python3" in client.tool("run_code", id=box, code="1")["output"]
            assert client.tool("preview_link", id=box, port=3000, check_server=True)["listeningPorts"] == []
            client.tool("stop_sandbox", id=box)
            client.tool("start_sandbox", id=box)


MUSL = r"""#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    struct passwd *p = getpwuid(getuid());
    struct addrinfo *a;
    return printf("%s %d\n", p != NULL ? p->pw_name : "?", getaddrinfo("localhost", NULL, NULL, &a)) < 0;
}
"""


def test_a_musl_image(client, server, tmp_path):
    """As Alpine's: busybox, and programs that are linked with musl when they start."""
    (tmp_path / "hello.c").write_text(MUSL)
    subprocess.run(["musl-gcc", "-o", tmp_path / "hello", tmp_path / "hello.c"], check=True)
    loader, = pathlib.Path("/lib").glob("ld-musl-*.so.1")
    with tarfile.open(busybox.make(tmp_path / "musl.tar"), "a") as tar:
        tar.add(tmp_path / "hello", "bin/hello")
        tar.add(loader.resolve(), f"lib/{loader.name}")
    server.import_snapshot("musl", tmp_path / "musl.tar")
    with sandbox(client, snapshot="musl", user="alice") as made:
        got = sh(client, made["id"], "hello; ls /www")
        assert (got["stdout"], got["stderr"], got["exitCode"]) == ("alice 0\nbig\nindex.html\n", "", 0)
        assert client.tool("file_download", id=made["id"], file_path="/www/index.html")["content"] == "hello from the sandbox\n"


# --- execute_command ---

@pytest.mark.parametrize("command,out", [
    ("echo a b | tr a-z A-Z", "A B\n"), ("echo one; echo two", "one\ntwo\n"), ("false || echo or", "or\n"), ("true && echo and", "and\n"),
    ("X=3; echo $((X + 4)) \"$X\"", "7 3\n"), ("cd /tmp && touch g1 g2 && echo g*", "g1 g2\n"), ("echo quoted\\ \"a  b\" 'c;d'", "quoted a  b c;d\n"),
    ("for i in 1 2 3; do printf '%s,' $i; done", "1,2,3,"), ("cat <<E\nhere\nE", "here\n"), ("echo x > /tmp/f; cat < /tmp/f", "x\n"),
    ("(sleep 0.1; echo late) & wait", "late\n"), ("printf '  \\n a \\t\\n\\n'", "  \n a \t\n\n"), ("printf ''", ""), ("cat", "")])
def test_commands_are_run_by_a_shell(client, box, command, out):
    got = sh(client, box, command)
    assert (got["stdout"], got["stderr"], got["exitCode"]) == (out, "", 0)


def test_streams_and_codes_are_apart(client, box):
    got = sh(client, box, "echo ' out '; echo ' err ' >&2; exit 42")
    assert (got["stdout"], got["stderr"], got["exitCode"]) == (" out \n", " err \n", 42)
    assert sh(client, box, "kill -9 $$")["exitCode"] == -1
    assert sh(client, box, "no-such-command")["exitCode"] == 127


def test_long_output_is_linked(client, server, box):
    result = client.call("execute_command", id=box, command="seq 100000; seq 100000 >&2")
    links = {b["name"]: b for b in result["content"] if b["type"] == "resource_link"}
    got = result["structuredContent"]
    assert links["stdout"]["uri"] == got["stdoutUri"] and links["stdout"]["size"] == got["stdoutBytes"]
    assert links["stderr"]["uri"] == got["stderrUri"]
    assert len(got["stdout"]) + len(got["stderr"]) < 12000 and "?offset=N" in got["note"]


# --- files ---

IMAGES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff\xe0", "image/gif": b"GIF89a", "image/webp": b"RIFF\x10\0\0\0WEBP"}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_come_as_images(client, box, kind):
    data = IMAGES[kind] + os.urandom(100000)
    client.tool("file_upload", id=box, file_path="/tmp/image.dat", content=base64.b64encode(data).decode(), encoding="base64", overwrite=True)
    result = client.call("file_download", id=box, file_path="/tmp/image.dat")
    assert "structuredContent" not in result and len(result["content"]) == 1
    block = result["content"][0]
    assert block["type"] == "image" and block["mimeType"] == kind and base64.b64decode(block["data"]) == data


def test_files_come_as_they_are(client, box):
    for text in ("", " \n", '{"data": [1, 2]}', '{"data": 5}', "a\r\nb\x1b[31m\u2028"):
        client.tool("file_upload", id=box, file_path="/tmp/plot.json", content=text, encoding="text", overwrite=True)
        assert client.tool("get_file_info", id=box, file_path="/tmp/plot.json")["size"] == len(text.encode())
        result = client.call("file_download", id=box, file_path="/tmp/plot.json")
        assert result["structuredContent"]["content"] == text and result["content"][0] == {"type": "text", "text": text}
        size = int(sh(client, box, "wc -c < /tmp/plot.json")["stdout"])
        assert size == len(text.encode())


@pytest.mark.parametrize("path", ["/proc/cpuinfo", "/sys/class/net/lo/address"])
def test_files_of_the_kernel_have_content(client, box, path):
    whole = sh(client, box, f"cat {path}")["stdout"]
    assert client.tool("file_download", id=box, file_path=path) == {"path": path, "size": len(whole), "content": whole}
    read = client.request("resources/read", {"uri": f"sandbox://{box}{path}?offset=2"})["result"]["contents"][0]
    assert read["text"] == whole[2:] and read["_meta"]["daytona.io/size"] == len(whole)


def test_a_tilde_is_the_home_folder(client, box):
    """In every tool that takes a path. A file of that name is still reached."""
    made = client.tool("file_upload", id=box, file_path="~/til/de/a", content="needle")
    assert client.request("resources/read", {"uri": made["uri"]})["result"]["contents"][0]["text"] == "needle"
    assert client.tool("file_download", id=box, file_path="~/til/de/a")["content"] == "needle"
    assert client.tool("get_file_info", id=box, file_path="/home/daytona/til/de/a")["size"] == 6
    assert client.tool("get_file_info", id=box, file_path="~//til/de/a")["size"] == 6
    client.tool("create_folder", id=box, folder_path="~/til/folder")
    client.tool("move_file", id=box, source_path="~/til/de/a", dest_path="~/til/folder/b")
    client.tool("edit_file", id=box, file_path="~/til/folder/b", old_text="needle", new_text="needles")
    assert [f["name"] for f in client.tool("list_files", id=box, path="~/til/folder")["files"]] == ["b"]
    assert "til" in [f["name"] for f in client.tool("list_files", id=box, path="~")["files"]]
    assert client.tool("search_files", id=box, path="~/til", query="needles")["matches"][0]["line"] == 1
    assert sh(client, box, "pwd", cwd="~/til")["stdout"] == "/home/daytona/til\n" and sh(client, box, "pwd", cwd="~")["stdout"] == "/home/daytona\n"
    sh(client, box, "git init -q ~/til/from && cd ~/til/from && git -c user.name=a -c user.email=b commit -q --allow-empty -m x")
    client.tool("git_clone", id=box, url="file:///home/daytona/til/from", path="~/til/to")
    assert sh(client, box, "ls ~/til; ls -d ~/'~' ~/til/'~'")["stdout"].split() == ["de", "folder", "from", "to"]
    client.tool("file_upload", id=box, file_path="./~", content="odd")
    assert client.tool("file_download", id=box, file_path="/home/daytona/~")["content"] == "odd"
    for path in ("./~", "~/til"):
        client.tool("delete_file", id=box, file_path=path)
    assert "cannot be deleted" in fails(client, "delete_file", id=box, file_path="~")


def test_overwrite_is_asked_for(client, box):
    for more in ({}, {"overwrite": False}):
        client.call("delete_file", id=box, file_path="/tmp/once")
        client.tool("file_upload", id=box, file_path="/tmp/once", content="1", **more)
        assert "overwrite=true" in fails(client, "file_upload", id=box, file_path="/tmp/once", content="2", **more)
        assert client.tool("file_download", id=box, file_path="/tmp/once")["content"] == "1"
    client.tool("file_upload", id=box, file_path="/tmp/once", content="3", overwrite=True)
    assert client.tool("file_download", id=box, file_path="/tmp/once")["content"] == "3"


def test_long_text_in_parts(client, box):
    text = "".join(f"line {i} äöü\n" for i in range(60000))
    client.tool("file_upload", id=box, file_path="/tmp/long.txt", content=text, overwrite=True)
    got, offset = "", 0
    while offset is not None:
        result = client.call("file_download", id=box, file_path="/tmp/long.txt", offset=offset)
        page = result["structuredContent"]
        assert page["size"] == len(text.encode()) and len(page["content"].encode()) <= 256 * 1024
        got, offset = got + page["content"], page.get("nextOffset")
        assert offset is None or f"offset={offset}" in result["content"][1]["text"]
    assert got == text
    assert "get_file_info" in fails(client, "file_download", id=box, file_path="/tmp/long.txt", offset=len(text.encode()) + 1)


def test_binary_where_there_are_no_links(server, box):
    """Before 2025-06-18 there are no resource links: large files give their first page."""
    with mcp_pipe.Client(server, revision="2025-03-26") as old:
        sh(old, box, "head -c 3000000 /dev/zero | tr '\\0' '\\377' > /tmp/large.bin")
        blocks = old.call("file_download", id=box, file_path="/tmp/large.bin")["content"]
        assert [b["type"] for b in blocks] == ["resource"]
        assert base64.b64decode(blocks[0]["resource"]["blob"]) == b"\xff" * 65536
        out = old.call("execute_command", id=box, command="seq 100000")
        assert [b["type"] for b in out["content"]] == ["text"] and out["structuredContent"]["stdoutUri"]
    with mcp_pipe.Client(server) as new:
        result = new.call("file_download", id=box, file_path="/tmp/large.bin")
        link = result["content"][-1]
        assert link["type"] == "resource_link" and link["size"] == 3000000 == result["structuredContent"]["size"]
        page = new.request("resources/read", {"uri": link["uri"] + "?offset=2999990&length=100"})["result"]["contents"][0]
        assert base64.b64decode(page["blob"]) == b"\xff" * 10


# --- lists and resources ---

def test_lists_come_in_pages(client, tiny):
    with contextlib.ExitStack() as stack:
        made = {stack.enter_context(sandbox(client, snapshot=tiny))["id"] for _ in range(3)}
        seen, cursor = [], {}
        while cursor is not None:
            page = client.tool("list_sandboxes", limit=2, **cursor)
            assert 1 <= len(page["sandboxes"]) <= 2
            seen += [s["id"] for s in page["sandboxes"]]
            cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else None
        assert made <= set(seen) and len(seen) == len(set(seen))
        assert "cursor" in fails(client, "list_sandboxes", cursor="nonsense").lower()
        listed = client.request("resources/list")["result"]["resources"]
        assert made <= {r["uri"].split("/")[2] for r in listed}
        one = sorted(made)[0]
        sh(client, one, "mkdir /tmp/p && cd /tmp/p && for i in 10 11 12 13 14; do echo > f$i; done; mkdir fdir")
        page = client.tool("list_files", id=one, path="/tmp/p", limit=4)
        assert ([f["name"] for f in page["files"]], page["total"], page["nextOffset"]) == (["f10", "f11", "f12", "f13"], 6, 4)
        page = client.tool("list_files", id=one, path="/tmp/p", offset=4)
        assert ([f["name"] for f in page["files"]], "nextOffset" in page) == (["f14", "fdir"], False)


def complete(client, name, value, **known):
    return client.request("completion/complete", {
        "ref": {"type": "ref/resource", "uri": "sandbox://{id}/{+path}"}, "argument": {"name": name, "value": value},
        "context": {"arguments": known}})["result"]["completion"]


def test_ids_and_paths_are_completed(client, box, tiny):
    sh(client, box, "mkdir -p ~/work/deep /tmp/many && touch ~/work/read.me ~/work/rest && cd /tmp/many && seq 150 | xargs touch")
    assert complete(client, "id", box[:9])["values"] == [box]
    assert complete(client, "id", "no such")["values"] == []
    with sandbox(client, snapshot=tiny, name="by-its-name"):
        assert complete(client, "id", "by-its")["values"] == ["by-its-name"]
    assert complete(client, "path", "home/daytona/work/re", id=box)["values"] == ["home/daytona/work/read.me", "home/daytona/work/rest"]
    assert complete(client, "path", "~/work/d", id=box)["values"] == ["~/work/deep/"]
    assert complete(client, "path", "etc/passw", id=box)["values"][0] == "etc/passwd"
    assert complete(client, "path", "none/x", id=box)["values"] == complete(client, "path", "x", id="nobody")["values"] == []
    many = complete(client, "path", "tmp/many/", id=box)
    assert len(many["values"]) == 100 and many["total"] == 150 and many["hasMore"] is True
    read = client.request("resources/read", {"uri": f"sandbox://{box}/~/work"})["result"]["contents"][0]
    assert {f["name"] for f in json.loads(read["text"])} == {"deep", "read.me", "rest"} and read["mimeType"] == "application/json"


MODERN = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}


@pytest.mark.parametrize("uri", ["sandbox://{box}/no/such/file", "sandbox://nosuch/etc/passwd", "sandbox://{box}/no/such/file?offset=5"])
def test_resources_that_are_not_there(client, box, uri):
    uri = uri.format(box=box)
    for more, code in (({}, -32002), (MODERN, -32602)):
        error = client.request("resources/read", {"uri": uri, **more})["error"]
        assert error["code"] == code and error["data"] == {"uri": uri}
    assert client.request("resources/list", {"cursor": "nonsense"})["error"]["code"] == -32602


@pytest.mark.parametrize("path", ["/dev/zero", "/tmp/a-pipe"])
def test_resources_that_are_no_files(client, box, path):
    sh(client, box, "mkfifo /tmp/a-pipe 2>/dev/null; true")
    error = client.request("resources/read", {"uri": f"sandbox://{box}{path}"})["error"]
    assert error["code"] == -32602 and "device, pipe or socket" in error["message"]


def test_modern_results_say_how_long_they_hold(client, box):
    for method, params in (("resources/list", {}), ("resources/read", {"uri": f"sandbox://{box}/etc/passwd"}), ("resources/read", {"uri": f"sandbox://{box}/etc"})):
        result = client.request(method, {**params, **MODERN})["result"]
        assert result["resultType"] == "complete" and result["ttlMs"] == 0 and result["cacheScope"] == "private"
        assert "ttlMs" not in client.request(method, params)["result"]


# --- preview_link ---

def test_preview_links_say_who_may_open_them(client, server, tiny):
    for public in (False, True):
        with sandbox(client, snapshot=tiny, public=public) as made:
            link = client.tool("preview_link", id=made["id"], port=3000, expires_in=600)
            plain = server.request("GET", f"/sandbox/{made['id']}/ports/3000/preview-url")[1]["url"]
            assert link["public"] is public and link["port"] == 3000 and "listening" not in link
            assert (link["url"] == plain) is public and ("expiresAt" in link) is not public
            if not public:
                left = datetime.datetime.fromisoformat(link["expiresAt"]) - datetime.datetime.now(datetime.timezone.utc)
                assert 300 < left.total_seconds() <= 600
        assert "list_sandboxes" in fails(client, "preview_link", id=made["id"], port=3000)


def test_preview_links_say_what_listens(client, box):
    sh(client, box, "nohup python3 -m http.server 3001 >/dev/null 2>&1 & for i in $(seq 1000); do curl -sf localhost:3001 >/dev/null && break; sleep 0.05; done")
    wrong = client.tool("preview_link", id=box, port=3000, check_server=True)
    assert wrong["listening"] is False and 3001 in wrong["listeningPorts"]
    assert "start_command" in wrong["hint"] and "preview_link" in wrong["hint"]
    right = client.tool("preview_link", id=box, port=3001, checkServer=True, description="files")
    assert right["listening"] is True and 3001 in right["listeningPorts"] and "hint" not in right
    client.tool("stop_sandbox", id=box)
    assert "start_sandbox" in fails(client, "preview_link", id=box, port=3001, check_server=True)
    client.tool("start_sandbox", id=box)


# --- how long a line may be ---

def test_no_line_is_too_long(client, box, server):
    """The worst text there is, in each kind of result: every byte of it takes six or more in JSON."""
    sh(client, box, r"""yes $(printf '\001') | tr -d '\n' | head -c 7000000 > /tmp/ones; printf '\211PNG\r\n\032\n' > /tmp/big.png
        head -c 6200000 /dev/zero >> /tmp/big.png; mkdir -p /tmp/long && cd /tmp/long
        name=$(printf '\001%.0s' $(seq 240)); for i in $(seq 1000); do : > "$name$i"; done""")
    results = [client.call("file_download", id=box, file_path="/tmp/ones"), client.call("file_download", id=box, file_path="/tmp/big.png"),
               client.call("list_files", id=box, path="/tmp/long", limit=1000), client.call("execute_command", id=box, command="cat /tmp/ones"),
               client.request("resources/read", {"uri": f"sandbox://{box}/tmp/ones?length=1048576"}),
               client.request("resources/read", {"uri": f"sandbox://{box}/tmp/long"}), complete(client, "path", "tmp/long/", id=box)]
    assert server.request("PUT", f"/sandbox/{box}/labels", {"labels": {"\x01" * 170000: "x"}})[0] == 200
    results += [client.call("get_sandbox", id=box), client.request("resources/list")]
    server.request("PUT", f"/sandbox/{box}/labels", {"labels": {}})
    assert client.longest < 9 * MB
    assert results[0]["structuredContent"]["nextOffset"] == 256 * 1024
    assert list(results[7]["structuredContent"]["labels"]) == ["\x01" * 170000]


# --- progress, cancelling, the end ---

def pid1(box):
    """The host's id of a sandbox's toolbox."""
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, TypeError):
            names = re.search(r"^NSpid:\t(.*)$", (p / "status").read_text(), re.M)[1].split()
            if len(names) > 1 and names[-1] == "1" and (p / "root/etc/hostname").read_text().strip() == box:
                return int(p.name)
    raise AssertionError("no toolbox")


def launcher_of(server):
    """The helper that makes sandboxes."""
    return int(subprocess.run(["pgrep", "-P", str(server.process.pid), "daytona-launch"], capture_output=True, text=True, check=True).stdout.split()[0])


@contextlib.contextmanager
def frozen(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_progress_of_what_takes_long(server, client, tiny):
    """With the sandbox's toolbox and the launcher stopped, everything takes long."""
    with sandbox(client, snapshot=tiny) as made, mcp_pipe.Client(server) as c:
        calls = {"create": ("create_sandbox", {"snapshot": tiny}), "run": ("execute_command", {"command": "true"}),
                 "up": ("file_upload", {"file_path": "/tmp/x", "content": "y"}), "down": ("file_download", {"file_path": "/etc/passwd"}),
                 "clone": ("git_clone", {"url": "file:///none"}), "quiet": ("execute_command", {"command": "true"})}
        seen, done, start = {}, {}, time.monotonic()
        with frozen(pid1(made["id"]), launcher_of(server)):
            for number, (token, (name, arguments)) in enumerate(calls.items()):
                arguments = arguments if name == "create_sandbox" else {"id": made["id"], **arguments}
                meta = {} if token == "quiet" else {"_meta": {"progressToken": number if token == "run" else token}}
                c.send({"jsonrpc": "2.0", "id": token, "method": "tools/call", "params": {"name": name, "arguments": arguments, **meta}})
            while any(len(seen.get(t, [])) < 2 for t in ("create", 1, "up", "down", "clone")):
                message = c.line()
                assert message["method"] == "notifications/progress" and message["params"]["message"]
                seen.setdefault(message["params"]["progressToken"], []).append((time.monotonic(), message["params"]["progress"]))
                assert time.monotonic() - start < 60
        for token, told in seen.items():
            assert told[0][0] - start < 30 and told[1][0] - told[0][0] < 30, token  # clients give up after a minute
            assert [p for _, p in told] == sorted({p for _, p in told}), token
        while len(done) < len(calls):
            message = c.line()
            if "id" in message:
                done[message["id"]] = message["result"]
            else:
                token = message["params"]["progressToken"]
                assert (["create", "run"][token == 1] if token == 1 else token) not in done
        assert set(seen) == {"create", 1, "up", "down", "clone"} and done["clone"]["isError"]
        client.tool("destroy_sandbox", id=done["create"]["structuredContent"]["id"])


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid):
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()


def still_there(client, box, word):
    return word in sh(client, box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")["stdout"]


def wait_gone(client, box, word):
    wait_for(lambda: not still_there(client, box, word))


def test_the_end_of_input_ends_everything(server, client, box):
    """At once, with calls of every kind under way, in order, without a child, and in the sandbox too."""
    with mcp_pipe.Client(server) as c:
        for i in range(20):
            c.send({"jsonrpc": "2.0", "id": i, "method": "tools/call", "params": {
                "name": "execute_command", "arguments": {"id": box, "command": f"sleep 98{i:02}"}, "_meta": {"progressToken": i}}})
        while not all(still_there(client, box, f"sleep 98{i:02}") for i in range(20)):
            time.sleep(0.02)
        assert children(c.process.pid) == []
        c.process.stdin.close()
        assert c.process.wait(60) == 0
    wait_gone(client, box, "sleep 98")


def test_cancelling_ends_all_that_was_started(client, server, box):
    with mcp_pipe.Client(server) as c:
        c.send({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "execute_command", "arguments": {
            "id": box, "command": "(sleep 9701; true) & trap '' TERM HUP; sleep 9702; true"}}})
        while not (still_there(client, box, "sleep 9701") and still_there(client, box, "sleep 9702")):
            time.sleep(0.02)
        c.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "x", "reason": "enough"}})
        wait_gone(client, box, "sleep 970")
        assert c.request("ping")["result"] == {}  # and no answer to the other one before


def test_a_cancelled_create_leaves_no_sandbox(client, server, tiny):
    """Nobody would know its id."""
    with mcp_pipe.Client(server) as c:
        before = {s["id"] for s in client.tool("list_sandboxes")["sandboxes"]}
        with frozen(launcher_of(server)):
            c.send({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {
                "name": "create_sandbox", "arguments": {"snapshot": tiny, "name": "nobodys"}}})
            wait_for(lambda: server.request("GET", "/sandbox/nobodys")[0] == 200)
            c.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "x"}})
            assert c.request("ping")["result"] == {}
        wait_for(lambda: server.request("GET", "/sandbox/nobodys")[0] == 404)
        assert {s["id"] for s in c.tool("list_sandboxes")["sandboxes"]} == before


# --- whose machine it is ---

def test_nothing_stays_on_the_users_machine(server, box, tmp_path):
    """No configuration, no temporary files; a .env of the working directory is nobody's business."""
    home, work, temporary = tmp_path / "home", tmp_path / "work", tmp_path / "tmp"
    for folder in (home, work, temporary):
        folder.mkdir()
    (home / ".bashrc").write_text("# mine\n")
    (work / ".env").write_text("DAYTONA_API_URL=http://127.0.0.1:1/api\nDAYTONA_API_KEY=other\n")
    env = {**server.client_env(), "HOME": str(home), "TMPDIR": str(temporary), "SHELL": "/bin/bash"}
    before = sorted(tmp_path.rglob("*"))
    with mcp_pipe.Client(server, env=env, cwd=work) as c:
        for _ in range(3):
            c.tool("file_upload", id=box, file_path="/tmp/y", content="z" * 100000, overwrite=True)
            c.tool("file_download", id=box, file_path="/tmp/y")
            c.tool("execute_command", id=box, command="seq 100000")
    assert sorted(tmp_path.rglob("*")) == before and (home / ".bashrc").read_text() == "# mine\n"


def test_a_plain_user_without_a_service_is_told_what_to_run(tmp_path):
    """One line, with the command in it."""
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "DAYTONA_DATA_DIR": "/nonexistent"}
    program = pathlib.Path("/var/tmp") / f"daytona-plain-{os.getpid()}"
    program.write_bytes(backend.program("daytona").read_bytes())
    program.chmod(0o755)
    try:
        with mcp_pipe.Client(command=[program, "mcp", "start"], env=env, user=65534) as c:
            for name, arguments in (("list_sandboxes", {}), ("create_sandbox", {})):
                text = fails(c, name, **arguments)
                assert "`sudo ./dev install`" in text and "\n" not in text
    finally:
        program.unlink()


def test_without_any_configuration(tmp_path):
    """As root the server beside the program is started in the background; of two at once one stays, and both use it."""
    with backend.Backend(settings=["--default-snapshot", "small"]) as b:
        b.import_snapshot("small", small_image.tar(tmp_path))
        (tmp_path / "home").mkdir()
        env = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "DAYTONA_DATA_DIR": str(b.data), "DEFAULT_SNAPSHOT": "small"}
        with background(b), mcp_pipe.Client(env=env) as first, mcp_pipe.Client(env=env) as second:
            for c in (first, second):
                c.send({"jsonrpc": "2.0", "id": "go", "method": "tools/call", "params": {"name": "create_sandbox", "arguments": {}}})
            answers = [c.line()["result"] for c in (first, second)]
            made = [a["structuredContent"]["id"] for a in answers if not a.get("isError")]
            assert len(set(made)) == 2, answers
            server = json.loads((b.data / "run/ports.json").read_text())["pid"]
            wait_for(lambda: children(first.process.pid) + children(second.process.pid) == [str(server)])
            first.process.stdin.close()
            assert first.process.wait(60) == 0
            with mcp_pipe.Client(env=env) as third:
                assert {s["id"] for s in third.tool("list_sandboxes")["sandboxes"]} == set(made)
                for id in made:
                    third.tool("destroy_sandbox", id=id)
            assert children(second.process.pid) in ([], [str(server)])


@contextlib.contextmanager
def background(b):
    """Ends the server that nobody waits for, however the test went."""
    ports = b.data / "run/ports.json"
    try:
        yield
    finally:
        wait_for(ports.exists)
        pid = json.loads(ports.read_text())["pid"]
        b.instance = int((b.data / "launcher.instance").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not alive(pid))


def alive(pid):
    with contextlib.suppress(OSError):
        return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    return False


# --- edit_file ---

def content(client, box, path):
    return client.tool("file_download", id=box, file_path=path)["content"]


def put(client, box, path, text):
    client.tool("file_upload", id=box, file_path=path, content=text, overwrite=True)


def test_edit_file(client, box):
    put(client, box, "edit/a.py", "def one():\n    return 1\n\n\ndef two():\n    return 1\n")
    done = client.tool("edit_file", id=box, file_path="edit/a.py", old_text="def two():\n    return 1",
                       new_text="def two():\n    return 2  # \u00e9 <&>\"'")
    assert (done["path"], done["replacements"]) == ("edit/a.py", 1)
    assert content(client, box, "edit/a.py") == (
        "def one():\n    return 1\n\n\ndef two():\n    return 2  # \u00e9 <&>\"'\n")
    assert client.tool("edit_file", id=box, file_path="edit/a.py", old_text="return", new_text="yield",
                       replace_all=True)["replacements"] == 2
    assert client.tool("edit_file", id=box, file_path="edit/a.py", old_string="yield 1\n", new_string="")["replacements"] == 1
    assert content(client, box, "edit/a.py").count("yield") == 1


def test_edit_file_says_what_is_wrong(client, box):
    before = "same\nother\nsame\n"
    put(client, box, "edit/b", before)
    text = fails(client, "edit_file", id=box, file_path="edit/b", old_text="same", new_text="x")
    assert "2 times, in lines 1, 3" in text and "replace_all=true" in text and "Nothing was changed" in text
    text = fails(client, "edit_file", id=box, file_path="edit/b", old_text="nowhere", new_text="x")
    assert "not there" in text and "file_download" in text
    assert "nothing would change" in fails(client, "edit_file", id=box, file_path="edit/b", old_text="other", new_text="other")
    assert "old_text" in fails(client, "edit_file", id=box, file_path="edit/b", old_text="", new_text="x")
    assert "No such file" in fails(client, "edit_file", id=box, file_path="edit/none", old_text="a", new_text="b")
    assert "regular" in fails(client, "edit_file", id=box, file_path="/dev/zero", old_text="a", new_text="b")
    assert content(client, box, "edit/b") == before
    put(client, box, "edit/crlf", "a\r\nb\r\n")
    assert "CR LF" in fails(client, "edit_file", id=box, file_path="edit/crlf", old_text="a\nb", new_text="x")


# --- search_files ---

def test_search_files(client, box):
    put(client, box, "search/sub/a.py", "import os\nneedle = 1\n")
    put(client, box, "search/b.txt", "no\nhere a needle [x] \u00e9 " + "\u00e9" * 500 + "\n")
    found = client.tool("search_files", id=box, path="search", query="needle")
    assert "truncated" not in found
    assert sorted((m["file"], m["line"]) for m in found["matches"]) == [("search/b.txt", 2), ("search/sub/a.py", 2)]
    assert all(len(m["content"].encode()) <= 300 and "needle" in m["content"] for m in found["matches"])
    assert len(client.tool("search_files", id=box, path="search", query="needle [x]")["matches"]) == 1, "no pattern"
    assert client.tool("search_files", id=box, path="search", query="*.py", names=True) == {"matches": [{"file": "search/sub/a.py"}]}
    assert client.tool("search_files", id=box, path="search", query="nowhere") == {"matches": []}


def test_search_files_limit(client, box):
    put(client, box, "many/a", "needle\n" * 500)
    found = client.tool("search_files", id=box, path="many", query="needle")
    assert found["truncated"] is True and [m["line"] for m in found["matches"]] == list(range(1, 101))
    found = client.tool("search_files", id=box, path="many", query="needle", limit=500)
    assert "truncated" not in found and len(found["matches"]) == 500
    assert "query" in fails(client, "search_files", id=box, query="")

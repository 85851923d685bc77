"""Calls side by side against a real server: shared answers, cancelling, and what a lost server means."""
import json
import signal
import urllib.request

import backend
import mcp_pipe
import pytest
import small_image


def start(client, number, name, **arguments):
    client.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}})


def answers(client, count):
    got = {}
    while len(got) < count:
        answer = client.line()
        got[answer["id"]] = answer["result"]
    return got


def test_equal_questions_get_equal_answers(client, box):
    for i in range(300):
        start(client, f"q{i}", "get_sandbox", id=box)
    got = answers(client, 300)
    assert set(got) == {f"q{i}" for i in range(300)}
    assert len({json.dumps(r, sort_keys=True) for r in got.values()}) == 1
    assert got["q7"]["structuredContent"]["id"] == box


def test_no_answer_is_older_than_its_call(client, box):
    """Writes and reads in turn, with other equal reads always under way."""
    flood = 0
    for round in range(30):
        for _ in range(20):
            start(client, f"f{flood}", "get_file_info", id=box, file_path="/tmp/grows")
            flood += 1
        start(client, "write", "file_upload", id=box, file_path="/tmp/grows", content="x" * round, overwrite=True)
        while client.line()["id"] != "write":
            pass
        start(client, "read", "get_file_info", id=box, file_path="/tmp/grows")
        while (answer := client.line())["id"] != "read":
            pass
        assert answer["result"]["structuredContent"]["size"] == round
    assert client.request("ping")["result"] == {}


def asked_until_now(server):
    """How many requests the server has seen; this one among them."""
    with urllib.request.urlopen(server.url + "/health") as reply:
        return int(reply.headers["X-Request-Id"].split("-")[1], 16)


def test_what_is_known_is_not_asked_for(client, server, box):
    for _ in range(50):  # the first ones make the server's changes known
        client.tool("get_sandbox", id=box)
    before = asked_until_now(server)
    first = client.tool("get_sandbox", id=box)
    for _ in range(500):
        assert client.tool("get_sandbox", id=box) == first
    assert asked_until_now(server) - before < 100


def test_a_change_by_somebody_else_shows_at_once(client, server, box):
    """What REST has answered is what the next call says, however often it was called before."""
    def seen():
        for _ in range(30):
            got = client.tool("get_sandbox", id=box)
        return got

    for i in range(60):
        assert server.request("PUT", f"/sandbox/{box}/labels", {"labels": {"round": str(i)}})[0] == 200
        assert seen()["labels"] == {"round": str(i)}
        for public in (True, False):
            assert server.request("POST", f"/sandbox/{box}/public/{str(public).lower()}")[0] in (200, 201)
            assert client.tool("get_sandbox", id=box)["public"] is public


@pytest.mark.parametrize("size", [1000, 4000])
def test_a_sandbox_with_many_labels(client, server, box, size):
    labels = {f"label{i}": '"' * size for i in range(50)}
    assert server.request("PUT", f"/sandbox/{box}/labels", {"labels": labels})[0] == 200
    for _ in range(20):
        assert client.tool("get_sandbox", id=box)["labels"] == labels
    assert server.request("PUT", f"/sandbox/{box}/labels", {"labels": {}})[0] == 200


def test_the_end_of_a_sandbox_shows_at_once(client, server):
    with mcp_pipe.Client(server) as other:
        for _ in range(5):
            made = other.tool("create_sandbox", name="short")["id"]
            for name in [made, "short"] * 20:
                assert client.tool("get_sandbox", id=name)["id"] == made
            other.tool("stop_sandbox", id=made)
            assert client.tool("get_sandbox", id="short")["state"] == client.tool("get_sandbox", id=made)["state"] == "stopped"
            other.tool("destroy_sandbox", id=made)
            assert client.call("get_sandbox", id=made)["isError"] and client.call("get_sandbox", id="short")["isError"]


def test_cancelling_one_of_equal_questions(client, box):
    for i in range(60):
        start(client, f"c{i}", "get_sandbox", id=box)
    for i in range(0, 60, 2):
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": f"c{i}"}})
    start(client, "end", "list_files", id=box)
    got = {}
    while not ({f"c{i}" for i in range(1, 60, 2)} | {"end"}) <= set(got):
        answer = client.line()
        assert answer["id"] not in got
        got[answer["id"]] = answer["result"]
    assert all(not r.get("isError") for r in got.values())


def test_calls_run_side_by_side(client, box):
    for i in range(8):
        start(client, f"s{i}", "execute_command", id=box, command=f"until [ -e /tmp/go ]; do sleep 0.01; done; echo {i}")
    start(client, "go", "file_upload", id=box, file_path="/tmp/go", content="", overwrite=True)
    got = answers(client, 9)
    assert [got[f"s{i}"]["structuredContent"]["stdout"] for i in range(8)] == [f"{i}\n" for i in range(8)]


def test_binary_output_and_large_files_stay_valid(client, box):
    result = client.tool("execute_command", id=box, command="head -c 3000000 /dev/urandom; printf '\\033[31mred\\033[0m' >&2")
    assert result["stdoutBytes"] == 3000000 and result["stderr"] == "red"
    assert result["stdoutOmitted"] < 3000000 and f"{result['stdoutOmitted']} bytes left out" in result["stdout"]
    seen, offset = 0, 0
    while offset is not None:
        page = client.request("resources/read", {"uri": f"{result['stdoutUri']}?offset={offset}&length=1048576"})
        meta = page["result"]["contents"][0]["_meta"]
        assert meta["daytona.io/size"] == 3000000
        seen, offset = seen + 1, meta.get("daytona.io/nextOffset")
    assert seen == 3
    client.tool("execute_command", id=box, command="yes $(printf '\\001\\002') | head -c 5000000 > /tmp/control")
    page = client.call("file_download", id=box, file_path="/tmp/control")
    assert page["structuredContent"]["size"] == 5000000 and page["structuredContent"]["nextOffset"]


def test_bytes_survive(client, box):
    import base64
    data = bytes(range(256)) * 100
    client.tool("file_upload", id=box, file_path="/tmp/b", content=base64.b64encode(data).decode(), encoding="base64")
    block = client.call("file_download", id=box, file_path="/tmp/b")["content"][0]
    assert base64.b64decode(block["resource"]["blob"]) == data
    text = "a\0b\r\nü\u2028\U0001f600"
    client.tool("file_upload", id=box, file_path="/tmp/t", content=text, overwrite=True)
    got = client.request("resources/read", {"uri": f"sandbox://{box}/tmp/t"})["result"]["contents"][0]
    assert base64.b64decode(got["blob"]).decode() == text


def test_a_sandbox_with_volumes(client, server):
    status, made = server.request("POST", "/volumes", {"name": "of agents"})
    assert status == 200
    one = client.tool("create_sandbox", volumes=[{"volume_id": "of agents", "mount_path": "/home/daytona/kept"}])["id"]
    two = client.tool("create_sandbox", volumes=[{"volumeId": made["id"], "mountPath": "/mnt/there"}])["id"]
    client.tool("file_upload", id=one, file_path="kept/notes.txt", content="remember")
    assert client.tool("execute_command", id=two, command="cat /mnt/there/notes.txt")["stdout"] == "remember"
    for box in (one, two):
        client.tool("destroy_sandbox", id=box)
    refused = client.call("create_sandbox", volumes=[{"volume_id": "nobody's", "mount_path": "/v"}])
    text = refused["content"][0]["text"]
    assert refused["isError"] and "Volume 'nobody's' not found" in text and "without volumes" in text
    assert server.request("DELETE", f"/volumes/{made['id']}") == (200, None)


def test_a_restarted_server_is_found_again(tmp_path):
    with backend.Backend(settings=["--default-snapshot", "tiny"]) as b:
        b.import_snapshot("tiny", small_image.tar(tmp_path))
        b.start()
        with mcp_pipe.Client(b) as c:
            made = c.tool("create_sandbox")["id"]
            for _ in range(50):
                assert c.tool("get_sandbox", id=made)["state"] == "started"
            b.stop(signal.SIGKILL)
            for name, arguments in (("get_sandbox", {"id": made}), ("list_sandboxes", {})):
                gone = c.call(name, **arguments)
                assert gone["isError"] and "again" in gone["content"][0]["text"]
            b.start()
            assert c.tool("get_sandbox", id=made)["state"] == "started"
            c.tool("destroy_sandbox", id=made)
            assert c.tool("list_sandboxes")["sandboxes"] == []

"""POST /files/edit, driven over the toolbox's socket."""
import concurrent.futures

import pytest

from toolbox_box import Box


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


def edit(box, path, old, new, **more):
    return box.post("/files/edit", {"path": path, "oldText": old, "newText": new, **more})


def write(box, path, data):
    assert box.post(box.query("/files/upload-raw", path=path), data).status == 200


def read(box, path):
    return box.get(box.query("/files/download", path=path)).body


def refused(answer, status, code, *words):
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    for word in words:
        assert word in answer.json["message"], answer.json["message"]


def test_edits(box):
    write(box, "a", b"one\ntwo\ntwo\n")
    assert edit(box, "a", "one", "1").json == {"replacements": 1, "size": 10}
    refused(edit(box, "a", "two", "2"), 409, "CONFLICT", "/home/daytona/a", "2 times, in lines 2, 3")
    refused(edit(box, "a", "three", "3"), 409, "CONFLICT", "not there")
    assert read(box, "a") == b"1\ntwo\ntwo\n"
    assert edit(box, "a", "two", "2", replaceAll=True).json == {"replacements": 2, "size": 6}
    assert read(box, "a") == b"1\n2\n2\n"


def test_what_it_keeps(box):
    """Mode, owner and links stay; bytes that are not UTF-8 stay; nothing is left beside the file."""
    write(box, "k/real", b"\xff\x00old\r\n")
    box.sh("chmod 0751 k/real; ln -s real k/link")
    assert edit(box, "k/link", "old", "new").status == 200
    assert read(box, "k/real") == b"\xff\x00new\r\n"
    assert box.sh("stat -c %a k/real; readlink k/link; ls -A k").split() == ["751", "real", "link", "real"]


def test_refusals(box):
    box.sh("mkfifo fifo; mkdir dir; truncate -s 17M large; echo x > locked; chmod 0 locked")
    refused(edit(box, "none", "a", "b"), 404, "FILE_NOT_FOUND", "none")
    refused(edit(box, "fifo", "a", "b"), 400, "INVALID_FILE_PATH", "regular")
    refused(edit(box, "dir", "a", "b"), 400, "INVALID_FILE_PATH", "regular")
    refused(edit(box, "locked", "a", "b"), 403, "FILE_ACCESS_DENIED")
    refused(edit(box, "large", "a", "b"), 413, "PAYLOAD_TOO_LARGE", "16777216")
    refused(edit(box, "a", "", "b"), 400, "INVALID_REQUEST_BODY", "oldText")
    refused(edit(box, "a", "x", "x"), 400, "BAD_REQUEST", "nothing would change")
    refused(box.post("/files/edit", {"path": "a"}), 400, "INVALID_REQUEST_BODY", "oldText", "newText")
    box.sh("rm -rf fifo dir large locked")


def test_at_once(box):
    """Of edits at the same time none is lost, and readers see one state or another."""
    write(box, "c", "".join(f"<{i}>\n" for i in range(64)).encode())
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: edit(box, "c", f"<{i}>", f"[{i}]").status, range(64)))
        assert answers == [200] * 64
    assert read(box, "c").decode() == "".join(f"[{i}]\n" for i in range(64))
    names = box.sh("ls -A").split()
    assert "c" in names and [n for n in names if "tmp" in n] == []

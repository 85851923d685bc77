"""The file operations of daytona-toolbox as pid 1: find, search, replace, levels, forms, and what the contract's list
of known bugs says of files (tests name its numbers)."""
import http.client
import json
import os
import re
import socket
import time
import urllib.parse

import fuse_fs
import pytest

from toolbox_box import Box, wait_for


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


@pytest.fixture(scope="module")
def root():
    with Box(user="root", workdir="/tmp") as b:
        yield b


@pytest.fixture
def real():
    """The program that goes into sandboxes."""
    with Box(binary="daytona-toolbox") as b:
        yield b


@pytest.fixture
def here(box):
    """A folder that is empty, and the work dir's only entry."""
    box.sh("rm -rf here && mkdir here")
    yield box
    box.sh("chmod -R u+rwx here; rm -rf here")


def upload(b, path, data):
    answer = b.post(b.query("/files/upload-raw", path=path), data)
    assert answer.status == 200, answer.body


def download(b, path, **headers):
    return b.get(b.query("/files/download", path=path), headers=headers)


def find(b, path, pattern, **more):
    return b.get(b.query("/files/find", path=path, pattern=pattern, **more))


def search(b, path, pattern, **more):
    return b.get(b.query("/files/search", path=path, pattern=pattern, **more))


def replace(b, files, pattern, value, **headers):
    return b.post("/files/replace", {"files": files, "pattern": pattern, "newValue": value}, headers)


def form(parts, boundary="XX"):
    body = b""
    for name, filename, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{filename}"\r\n\r\n'.encode() if filename else b"\r\n\r\n"
        body += data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def parts_of(answer):
    """The parts of a bulk download: [(head, body)]."""
    boundary = re.fullmatch("multipart/form-data; boundary=(.+)", answer.headers["Content-Type"]).group(1).encode()
    assert answer.body.startswith(b"--" + boundary + b"\r\n")
    assert answer.body.endswith(b"\r\n--" + boundary + b"--\r\n")
    text = b"\r\n" + answer.body[:-len(boundary) - 8]
    return [tuple(p[2:].split(b"\r\n\r\n", 1)) for p in text.split(b"\r\n--" + boundary)[1:]]


# --- find ---

def test_find(here):
    upload(here, "here/b/two.txt", b"first\nTODO: second\r\nthird TODO and TODO\n")
    upload(here, "here/a.txt", b"TODO")
    upload(here, "here/c.bin", b"TODO\0TODO\n")
    upload(here, "here/d.txt", b"todo\n")
    here.sh("cd here && ln -s ../here/a.txt link && ln -s . loop && ln -s /nowhere dangling && mkfifo pipe")
    answer = find(here, "here", "TODO")
    assert answer.status == 200 and "X-Daytona-Truncated" not in answer.headers
    assert answer.json == [{"file": "here/a.txt", "line": 1, "content": "TODO"},
                           {"file": "here/b/two.txt", "line": 2, "content": "TODO: second"},
                           {"file": "here/b/two.txt", "line": 3, "content": "third TODO and TODO"}]
    assert find(here, "here/", "TODO").json == answer.json
    assert find(here, "./here", "TODO").json == answer.json
    assert [m["file"] for m in find(here, "/home/daytona/here", "TODO").json] == \
        ["/home/daytona/" + m["file"] for m in answer.json]
    assert [m["file"] for m in find(here, ".", "TODO: ").json] == ["here/b/two.txt"]
    assert find(here, "here/a.txt", "TODO").json == [{"file": "here/a.txt", "line": 1, "content": "TODO"}]
    # The root may be a link: it was named.
    assert [m["file"] for m in find(here, "here/loop", "TODO: ").json] == ["here/loop/b/two.txt"]
    assert find(here, "here", "nothing of this").body == b"[]"
    assert find(here, "here", "TODO\nthird").json == []
    assert find(here, "here/missing", "x").json == []
    for bad in ("/files/find?path=here", "/files/find?pattern=x", "/files/find?path=here&pattern=",
                "/files/find?path=here&pattern=x&limit=0", "/files/find?path=here&pattern=" + "x" * 20000):
        answer = here.get(bad)
        assert answer.status == 400 and answer.json["message"], bad


def test_11_2_17_find_has_limits_and_says_so(here):
    """Long lines end no file, a limit is told, and so is what could not be read."""
    upload(here, "here/long", b"x" * 300_000 + b"needle" + b"y" * 300_000 + b"\nneedle\n")
    answer = find(here, "here", "needle").json
    assert [(m["line"], m.get("truncated", False)) for m in answer] == [(1, True), (2, False)]
    assert "needle" in answer[0]["content"] and len(answer[0]["content"]) <= 65536
    upload(here, "here/many", b"hit\n" * 20000)
    answer = find(here, "here", "hit")
    assert len(answer.json) == 10000 and answer.headers["X-Daytona-Truncated"] == "true"
    answer = find(here, "here", "hit", limit=3)
    assert [m["line"] for m in answer.json] == [1, 2, 3] and answer.headers["X-Daytona-Truncated"] == "true"
    assert "X-Daytona-Skipped" not in answer.headers
    here.sh("cd here; mkdir closed; echo hit > closed/f; chmod 0 closed; echo hit > secret; chmod 0 secret")
    answer = find(here, "here", "hit\n"[:3], limit=100000)
    assert len(answer.json) == 20000 and answer.headers["X-Daytona-Skipped"] == "2"


def test_find_names_and_bytes(here):
    here.sh("cd here; printf 'caf\\351 hit\\n' > \"$(printf 'n\\377')\"; mkdir -p 'new\nline'; echo hit > 'new\nline/é'")
    answer = find(here, "here", "hit").json
    assert [m["file"] for m in answer] == ["here/new\nline/é", "here/n\ufffd"]
    assert answer[1]["content"] == "caf\ufffd hit"
    # The pattern is bytes as well.
    assert len(here.get("/files/find?path=here&pattern=%E9%20hit").json) == 1


def test_find_everything_ends(root):
    """Pipes, devices and the kernel's file systems never block it."""
    began = time.monotonic()
    root.sh("mkfifo /tmp/p1 && mkdir -p /tmp/deep && cd /tmp/deep && for i in $(seq 250); do mkdir d; cd d; done; echo deep-hit > f")
    answer = root.get("/files/find?path=/&pattern=not-anywhere-%C3%A9-at-all&limit=5", timeout=120)
    assert answer.status == 200
    answer = find(root, "/tmp/deep", "deep-hit")
    assert answer.json == [] and answer.headers["X-Daytona-Skipped"] == "1"
    assert find(root, "/dev", "x").json == []
    assert time.monotonic() - began < 120
    root.sh("rm -rf /tmp/p1 /tmp/deep")


def test_11_2_17_find_ends_with_its_client(real):
    """A search whose client is gone stops: its thread is free for others."""
    real.sh("mkdir wide && cd wide && yes | head -c 600 > f && truncate -s 500G f && for i in 1 2 3; do ln f l$i; done")
    threads = f"/proc/{real.pid}/task"
    for _ in range(4):
        s = socket.socket(socket.AF_UNIX)
        s.connect(real.socket)
        query = urllib.parse.urlencode({"path": "wide", "pattern": "not there"})
        s.sendall(f"GET /files/find?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(lambda: len(os.listdir(threads)) > 1)
        s.close()
    wait_for(lambda: len(os.listdir(threads)) == 1)
    assert real.get("/version").status == 200


def test_find_does_not_hold_others_up(real):
    real.sh("mkdir wide; yes | head -c 600 > wide/f; truncate -s 500G wide/f")
    connection = real.connection()
    connection.request("GET", "/files/find?path=wide&pattern=nope")
    for _ in range(20):
        assert real.get("/version").status == 200
    assert real.memory("VmHWM") < 8192
    connection.close()


def test_long_searches_leave_room_for_others(real):
    """Any number of them: short work has a thread of its own, and those that wait come to their turn."""
    real.sh("mkdir wide; yes | head -c 600 > wide/f; truncate -s 500G wide/f; mkdir small; echo hit > small/f")
    waiting = []
    for _ in range(8):
        waiting.append(real.connection())
        waiting[-1].request("GET", "/files/find?path=wide&pattern=nope")
    assert [f["name"] for f in real.get("/files?path=small").json] == ["f"]
    assert real.post("/files/move?source=small/f&destination=small/g").status == 200
    late = real.connection()
    late.request("GET", "/files/find?path=small&pattern=hit")
    for connection in waiting:
        connection.close()
    assert json.loads(late.getresponse().read()) == [{"file": "small/g", "line": 1, "content": "hit"}]
    wait_for(lambda: len(os.listdir(f"/proc/{real.pid}/task")) == 1)


# --- search ---

def test_search(here):
    here.sh("cd here; mkdir -p src/sub.py .git; touch a.py b.js src/c.py .hidden.py 'we[ird].py'; ln -s src link.py")
    answer = search(here, "here", "*.py")
    assert answer.json == {"files": ["here/.hidden.py", "here/a.py", "here/link.py", "here/src/c.py", "here/src/sub.py",
                                     "here/we[ird].py"]}
    assert search(here, "here", "[ab].*").json["files"] == ["here/a.py", "here/b.js"]
    assert search(here, "here", "here").json["files"] == ["here"]
    assert search(here, "here/", "here").json["files"] == ["here"]
    assert search(here, ".", "a.py").json["files"] == ["here/a.py"]
    assert search(here, "/home/daytona/here", "?.js").json["files"] == ["/home/daytona/here/b.js"]
    assert search(here, "here", "we\\[*").json["files"] == ["here/we[ird].py"]
    assert search(here, "here", "*/*.py").json["files"] == []
    answer = search(here, "here", "*", limit=2)
    assert len(answer.json["files"]) == 2 and answer.headers["X-Daytona-Truncated"] == "true"


def test_11_1_4207_search_answers_a_list(here):
    assert search(here, "here", "nothing").body == b'{"files":[]}'
    assert search(here, "here/missing", "*").body == b'{"files":[]}'
    for bad in ("[", "a[", "[]", "\\", "[z-a]"):
        answer = search(here, "here", bad)
        assert answer.status == 400 and "malformed pattern" in answer.json["message"], bad
    assert here.get("/files/search?path=here").status == 400


# --- replace ---

def test_replace(here):
    upload(here, "here/a", b"old old\nold")
    upload(here, "here/b", b"nothing\n")
    here.sh("cd here; chmod 750 a; ln -s a link; ln -s gone dangling; mkfifo pipe; mkdir folder")
    answer = replace(here, ["here/a", "here/b"], "old", "newer")
    assert answer.json == [{"file": "here/a", "success": True}, {"file": "here/b", "success": True}]
    assert here.sh("cd here; cat a; stat -c %a a; ls -A") == \
        "newer newer\nnewer750\na\nb\ndangling\nfolder\nlink\npipe\n"
    assert replace(here, ["here/link"], "newer", "").json == [{"file": "here/link", "success": True}]
    assert here.sh("cd here; cat a; readlink link") == " \na\n"
    bad = ["here/missing", "here/dangling", "here/pipe", "here/folder", "/root/x", "/etc/passwd", "/dev/zero"]
    answer = replace(here, bad + ["here/b"], "nothing", "something")
    assert answer.status == 200
    assert [(r["file"], r["success"]) for r in answer.json] == [(f, False) for f in bad[:5]] + \
        [("/etc/passwd", True), ("/dev/zero", False), ("here/b", True)]
    assert all(r["error"] for r in answer.json if not r["success"]) and "error" not in answer.json[-1]
    assert here.sh("cat here/b") == "something\n"
    # What may be read and not written stays as it is, with nothing beside it.
    answer = replace(here, ["/etc/passwd"], "root", "toor").json
    assert not answer[0]["success"] and "ermission denied" in answer[0]["error"]
    for body in ({"files": [], "pattern": "a", "newValue": "b"}, {"files": ["x"], "pattern": "", "newValue": "b"},
                 {"files": ["x"], "pattern": "a"}, {"pattern": "a", "newValue": "b"}, "nope", [1]):
        assert here.post("/files/replace", body).status == 400, body


def test_11_2_18_replace_streams_and_touches_only_what_it_changes(real):
    size = 64 * 1024 * 1024
    real.sh(f"yes 'some words of a large file, hit' | head -c {size} > big; touch -d '2001-02-03 04:05:06' big; cp -p big same")
    assert replace(real, ["same"], "absent", "x").json == [{"file": "same", "success": True}]
    assert real.sh("stat -c %Y same; cmp big same && echo equal") == "981173106\nequal\n"
    inode = real.sh("stat -c %i same")
    assert replace(real, ["same"], "hit", "HIT").json[0]["success"]
    assert real.sh("sed s/hit/HIT/ big | cmp - same && echo equal") == "equal\n"
    assert real.sh("stat -c %i same") != inode  # another file was put in its place
    assert real.memory("VmHWM") < 8192
    # Holes stay holes.
    real.sh("truncate -s 1G sparse; printf 'needle' | dd of=sparse bs=1 seek=500000000 conv=notrunc 2>/dev/null")
    assert replace(real, ["sparse"], "needle", "thread").json[0]["success"]
    assert real.sh("stat -c %s sparse; grep -c thread sparse") == "1073741824\n1\n"
    assert int(real.sh("du -k sparse | cut -f1")) < 10000


def test_replace_on_a_full_disk(root):
    root.sh("mkdir small; mount -t tmpfs -o size=1m none small; head -c 600000 /dev/zero | tr '\\0' a > small/f")
    answer = replace(root, ["small/f"], "a", "b").json
    assert not answer[0]["success"] and "No space left" in answer[0]["error"]
    assert root.sh("ls -A small; tr -d a < small/f | wc -c; umount small; rmdir small") == "f\n0\n"


def test_replace_keeps_the_owner(root):
    root.sh("echo old > owned; chown 1000:44 owned; chmod 2644 owned")
    assert replace(root, ["owned"], "old", "new").json[0]["success"]
    assert root.sh("cat owned; stat -c %u:%g:%a owned; rm owned") == "new\n1000:44:2644\n"


# --- list and info ---

def test_11_2_1_every_failure_says_why(here):
    """With its status in the body, and in the members where each generation of clients looks."""
    here.sh("cd here; mkdir d; touch f")
    body, headers = form([("nothing", None, b"x")])
    calls = [("GET", "/files?path=here/none", None, 404), ("GET", "/files?path=here/f", None, 400), ("GET", "/files?depth=0", None, 400),
             ("GET", "/files/info", None, 400), ("GET", "/files/info?path=here/none", None, 404),
             ("GET", "/files/info?path=here/f/x", None, 400), ("GET", "/files/info?path=/root/x", None, 403),
             ("POST", "/files/folder?path=here/f&mode=755", None, 400), ("POST", "/files/folder?path=here/x&mode=8", None, 400),
             ("DELETE", "/files?path=here/none", None, 404), ("DELETE", "/files?path=here/d", None, 400),
             ("POST", "/files/move?source=here/f&destination=here/d", None, 409), ("POST", "/files/move", None, 400),
             ("POST", "/files/move?source=here/none&destination=here/x", None, 404),
             ("POST", "/files/permissions?path=here/f&mode=9", None, 400), ("POST", "/files/permissions?path=here/none&mode=644", None, 404),
             ("GET", "/files/find?path=here", None, 400), ("GET", "/files/search?path=here&pattern=%5B", None, 400),
             ("POST", "/files/replace", "{}", 400), ("POST", "/files/upload?path=here/x", body, 400),
             ("POST", "/files/upload-v2?path=here/d", body, 400), ("POST", "/files/bulk-upload", b"x", 400),
             ("POST", "/files/bulk-download", "{}", 400), ("GET", "/files/download?path=here/none", None, 404),
             ("GET", "/files/download?path=here/%zz", None, 400), ("GET", "/port/x/in-use", None, 400), ("POST", "/init", "{}", 400)]
    for method, target, content, status in calls:
        answer = here.request(method, target, content, headers if content is body else {})
        assert answer.status == status, (target, answer.body)
        assert answer.headers["Content-Type"].startswith("application/json")
        told = answer.json
        assert told["statusCode"] == status and told["message"] and told["error"] == told["message"] and told["code"], target
        assert told["source"] == "DAYTONA_DAEMON" and told["method"] == method and target.startswith(told["path"])


def test_list_levels(here):
    here.sh("cd here; mkdir -p a/b/c; touch a/1 a/b/2 a/b/c/3 z; ln -s a l")
    listed = here.get("/files?path=here&depth=1").json
    assert [(f["name"], f["path"]) for f in listed] == [
        (n, "/home/daytona/here/" + n) for n in ("a", "l", "z")]
    listed = here.get("/files/?path=here&depth=2").json
    assert [f["path"].removeprefix("/home/daytona/here/") for f in listed] == ["a", "a/1", "a/b", "l", "z"]
    assert [f["name"] for f in listed] == ["a", "1", "b", "l", "z"]
    assert [f["path"].removeprefix("/home/daytona/here/") for f in here.get("/files?path=here/&depth=9").json] == [
        "a", "a/1", "a/b", "a/b/2", "a/b/c", "a/b/c/3", "l", "z"]
    assert "path" not in here.get("/files?path=here").json[0]
    for bad in ("0", "-1", "x", "1.5", "1000"):
        assert here.get("/files?path=here&depth=" + bad).status == 400, bad
    assert here.get("/files?path=here/z&depth=2").status == 400
    assert here.get("/files?path=here/none&depth=2").json["code"] == "FILE_NOT_FOUND"


def test_list_levels_has_a_limit(real):
    real.sh("mkdir many && cd many && mkdir a b && (cd a && seq -f 'n-%06g' 70000 | xargs touch) && (cd b && seq 70000 | xargs touch)")
    answer = real.get("/files?path=many&depth=2")
    assert len(answer.json) == 100000 and answer.headers["X-Daytona-Truncated"] == "true"


def test_12_old_go_clients_see_what_they_know(here):
    upload(here, "here/f", b"x")
    old = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "0.187.0"}
    known = {"name", "isDir", "size", "modTime", "mode", "permissions", "owner", "group"}
    for headers, more in ((old, set()), ({"X-Daytona-Source": "sdk-go"}, set()), ({}, {"modifiedAt"}),
                          (dict(old, **{"X-Daytona-SDK-Version": "v0.173.0"}), set()),
                          ({"X-Daytona-Source": "go-sdk", "X-Daytona-SDK-Version": "v0.145.0"}, set()),
                          (dict(old, **{"X-Daytona-SDK-Version": "v0.188.0"}), {"modifiedAt"}),
                          (dict(old, **{"X-Daytona-SDK-Version": "0.188.0"}), {"modifiedAt"}),
                          (dict(old, **{"X-Daytona-SDK-Version": "v0.0.0-dev"}), {"modifiedAt"}),
                          (dict(old, **{"X-Daytona-Source": "sdk-python"}), {"modifiedAt"})):
        assert set(here.get("/files/info?path=here/f", headers=headers).json) == known | more, headers
        assert set(here.get("/files?path=here", headers=headers).json[0]) == known | more, headers


def test_11_1_4859_times_are_standard(here):
    here.sh("touch -d '2025-10-31T12:34:56.7891+00:00' here/t")
    info = here.get("/files/info?path=here/t").json
    assert info["modifiedAt"] == "2025-10-31T12:34:56.7891Z"
    assert info["modTime"] == "2025-10-31 12:34:56.7891 +0000 UTC"


def test_11_1_5037_slash_or_not(here):
    for path in ("/files", "/files/"):
        upload(here, "here/f", b"")
        assert here.request("DELETE", path + "?path=here/f").status == 204


def test_11_2_15_dangling_links_are_files_too(here):
    here.sh("cd here; ln -s nowhere l")
    assert here.get("/files/info?path=here/l").json["mode"].startswith("L")
    assert here.post("/files/move?source=here/l&destination=/tmp/moved-link").status == 200
    assert here.sh("readlink /tmp/moved-link") == "nowhere\n"
    assert here.request("DELETE", "/files?path=/tmp/moved-link").status == 204
    # A link to a folder is a link: only it is removed, and without the flag.
    here.sh("cd here; mkdir d; touch d/keep; ln -s d l")
    assert here.request("DELETE", "/files?path=here/l").status == 204
    assert here.sh("ls here here/d") == "here:\nd\n\nhere/d:\nkeep\n"


def test_11_2_15_move_to_another_file_system_keeps_all(root):
    root.sh("mkdir -p other tree && mount -t tmpfs none other && cd tree && truncate -s 1G sparse && "
            "printf end >> sparse && echo x > f && chown 1000:44 f && chmod 4711 f && ln -s f l && touch -d '2001-02-03 04:05:06' f .")
    assert root.post("/files/move?source=tree&destination=other/tree").status == 200
    assert root.sh("cd other/tree; stat -c %u:%g:%a:%Y f; stat -c %Y .; readlink l; stat -c %s sparse; "
                   "tail -c 3 sparse; ls ../..") == "1000:44:4711:981173106\n981173106\nf\n1073741827\nendother\n"
    assert int(root.sh("du -k other/tree/sparse | cut -f1")) < 1000
    root.sh("umount other; rmdir other")


def test_11_2_16_permissions_keep_special_bits_and_are_all_or_nothing(root):
    root.sh("touch p; chmod 644 p; chown 0:0 p")

    def change(**q):
        return root.post(root.query("/files/permissions", path="p", **q))
    assert change(mode="4755", owner="daytona", group="video").status == 200
    assert root.sh("stat -c %a:%u:%g p") == "4755:1000:44\n"
    assert root.get("/files/info?path=p").json["mode"] == "urwxr-xr-x"
    assert change(mode="1777", owner="nobody-here").status == 400
    assert change(mode="7x", owner="root").status == 400
    assert root.sh("stat -c %a:%u:%g p; rm p") == "4755:1000:44\n"
    assert change(mode="644").json["code"] == "FILE_NOT_FOUND"


# --- up and down ---

def test_upload_v2(here):
    body, headers = form([("file", "ignored", b"content")])
    answer = here.post("/files/upload-v2?path=here/new/f.txt", body, headers)
    assert answer.json == {"name": "f.txt", "path": "/home/daytona/here/new/f.txt", "type": "file"}
    assert download(here, "here/new/f.txt").body == b"content"
    assert here.post("/files/upload-v2?path=here/new", body, headers).status == 400
    assert here.post("/files/upload-v2", body, headers).status == 400
    assert here.post("/files/upload-v2?path=here/x", body[:-9], headers).status == 400
    assert here.sh("ls -A here") == "new\n"


@pytest.mark.parametrize("name", ["sdk-go", "go-sdk"])
def test_the_go_client_leaves_an_empty_file_out_of_its_form(here, name):
    body, headers = form([])
    assert here.post("/files/upload?path=here/empty", body, headers).status == 400
    go = dict(headers, **{"X-Daytona-Source": name})
    other, _ = form([("other", "f", b"x")])
    for bad in (other, body[:-4], b""):
        assert here.post("/files/upload?path=here/empty", bad, go).status == 400, bad
    assert here.sh("ls -A here") == ""
    assert here.post("/files/upload?path=here/empty", body, go).status == 200
    assert here.sh("stat -c %n:%s here/*") == "here/empty:0\n"


def test_11_2_12_a_cut_form_ends(here):
    """Also when its client has gone away, and whatever the cut part was."""
    body, headers = form([("files[0].path", None, b"here/f"), ("files[0].file", "f", b"x" * 100_000)])
    for size in (0, 1, 40, 80, 200, 60_000, len(body) - 9):
        answer = here.post("/files/bulk-upload", body[:size], headers)
        assert answer.status == 400 and answer.json["errors"], size
        connection = here.connection()
        connection.putrequest("POST", "/files/bulk-upload")
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body[:size])
        connection.close()
    wait_for(lambda: here.sh("ls -A here") == "")


def test_11_1_4048_errors_of_each_file_are_told(here):
    """In a form that generic error readers find, and good files arrive all the same."""
    body, headers = form([("files[0].path", None, b"/root/no"), ("files[0].file", "f", b"0"),
                          ("files[1].path", None, b"here/yes"), ("files[1].file", "f", b"1")])
    answer = here.post("/files/bulk-upload", body, headers)
    assert answer.status == 400 and answer.json["statusCode"] == 400
    assert len(answer.json["errors"]) == 1 and answer.json["message"] == answer.json["errors"][0]
    assert answer.json["files"] == [{"path": "here/yes", "bytes": 1}] and download(here, "here/yes").body == b"1"


@pytest.fixture(scope="module")
def distant():
    """A box with a file system that sends files away when they are closed, and its folder."""
    with fuse_fs.mounted() as folder, Box(workdir=folder) as b:
        b.folder = folder
        yield b


def test_11_1_4745_an_error_of_close_is_told(distant):
    """By every way to write a file; what was there stays, and nothing else is left."""
    good, bad = b"good " * 50_000, b"good " * 50_000 + b"refuse me"
    upload(distant, "f", good)
    assert download(distant, "f").body == good

    def refused(answer, statuses=(500,), text=None):
        text = answer.json["message"] if text is None else text
        assert answer.status in statuses and "Input/output error" in text, answer.body
        assert download(distant, "f").body == good and distant.sh("ls -A") == "f\n"
    refused(distant.post("/files/upload-raw?path=f", bad))
    refused(distant.post("/files/upload-raw?path=new", bad))
    body, headers = form([("file", "f", bad)])
    refused(distant.post("/files/upload?path=f", body, headers), (400,))
    refused(distant.post("/files/upload-v2?path=f", body, headers), (400,))
    body, headers = form([("files[0].path", None, b"f"), ("files[0].file", "f", bad),
                          ("files[1].path", None, b"other"), ("files[1].file", "f", b"1")])
    answer = distant.post("/files/bulk-upload", body, headers)
    assert answer.json["files"] == [{"path": "other", "bytes": 1}] and distant.sh("rm other") == ""
    refused(answer, (400,), answer.json["errors"][0])
    answer = replace(distant, ["f"], "good", "refuse me")
    refused(answer, (200,), answer.json[0]["error"])
    refused(distant.post("/files/edit", {"path": "f", "oldText": "good", "newText": "refuse me", "replaceAll": True}))


def test_11_1_4745_a_move_there_loses_nothing(distant):
    """It is a copy; the old one goes only when the new one is there."""
    distant.sh("mkdir -p ~/from && echo 1 >~/from/a && echo refuse me >~/from/b")
    answer = distant.post("/files/move?source=/home/daytona/from&destination=to")
    assert answer.status == 500 and "Input/output error" in answer.json["message"], answer.body
    assert distant.sh("cat ~/from/a ~/from/b; ls -A") == "1\nrefuse me\nf\n"
    assert distant.post("/files/move?source=/home/daytona/from/a&destination=to").status == 200
    assert distant.sh("ls -A ~/from; cat to; rm to") == "b\n1\n"


def test_upload_through_links(here):
    upload(here, "here/target", b"old")
    here.sh("cd here; ln -s target link; ln -s made/later dangling; ln -s loop loop; chmod 600 target")
    body, headers = form([("files[0].path", None, b"here/link"), ("files[0].file", "f", b"new"),
                          ("files[1].path", None, b"here/dangling"), ("files[1].file", "f", b"there")])
    assert here.post("/files/bulk-upload", body, headers).status == 200
    assert here.sh("cd here; readlink link dangling; cat target made/later; stat -c %a target") == \
        "target\nmade/later\nnewthere600\n"
    body, headers = form([("file", "f", b"x")])
    assert here.post("/files/upload?path=here/loop", body, headers).status == 400


def test_11_2_13_boundary_and_lengths(here):
    """Another boundary each time, which content cannot guess; the length is that of the content, or is not told."""
    tricky = b"a\r\n--DAYTONA-FILE-BOUNDARY--\r\nb"
    upload(here, "here/tricky", tricky)
    upload(here, "here/empty", b"")
    paths = ["here/tricky", "/proc/version", "here/empty", "here/tricky"]
    answers = [here.post("/files/bulk-download", {"paths": paths}) for _ in range(2)]
    assert answers[0].headers["Content-Type"] != answers[1].headers["Content-Type"]
    (h0, b0), (h1, b1), (h2, b2), (h3, b3) = parts_of(answers[0])
    assert b0 == b3 == tricky and b"Content-Length: %d\r\n" % len(tricky) in h0 + b"\r\n"
    assert b1.startswith(b"Linux") and b"Content-Length: %d\r\n" % len(b1) in h1 + b"\r\n"
    assert b2 == b"" and b"Content-Length: 0" in h2


@pytest.mark.parametrize("source, version, want", [
    ("sdk-typescript", "0.111.1", "é ☃".encode()), ("sdk-python", "0.111.1", "é ☃".encode()), ("python-sdk", "0.149.0", "é ☃".encode()),
    ("sdk-python", "0.150.0", "é ☃".encode().decode("latin-1").encode()), ("sdk-python-async", "0.218.0", b"\xc3\x83\xc2\xa9 \xc3\xa2\xc2\x98\xc2\x83")])
def test_names_of_parts_as_each_client_reads_them(here, source, version, want):
    upload(here, "here/é ☃", b"x")
    headers = {"X-Daytona-Source": source, "X-Daytona-SDK-Version": version}
    head, _ = parts_of(here.post("/files/bulk-download", {"paths": ["here/é ☃"]}, headers))[0]
    assert re.search(rb'filename="([^"]*)"', head).group(1) == b"here/" + want


def test_bulk_download_errors_for_each_generation(here):
    body = {"paths": ["here/missing", "/root/x", "here"]}
    parts = parts_of(here.post("/files/bulk-download", body))
    assert [json.loads(b)["code"] for _, b in parts] == ["FILE_NOT_FOUND", "FILE_ACCESS_DENIED", "INVALID_FILE_PATH"]
    assert all(b"application/json" in h for h, _ in parts)
    assert json.loads(parts[0][1])["path"] == "here/missing"
    parts = parts_of(here.post("/files/bulk-download", body, {"X-Daytona-SDK-Version": "0.111.1"}))
    assert all(b"text/plain" in h for h, _ in parts)
    assert parts[0][1] == b"/home/daytona/here/missing: No such file or directory"


def test_11_2_14_special_files_block_nothing(here):
    here.sh("cd here; mkfifo pipe; ln -s pipe link; echo x > f")
    for path in ("here/pipe", "here/link", "/dev/zero", "/dev/tty"):
        assert download(here, path).status == 400, path
        assert find(here, path, "x").json == [], path
        assert not replace(here, [path], "x", "y").json[0]["success"], path
        body, headers = form([("file", "f", b"x")])
        assert here.post(here.query("/files/upload", path=path), body, headers).status == 400, path
    parts = parts_of(here.post("/files/bulk-download", {"paths": ["here/pipe", "here/f"]}))
    assert parts[1][1] == b"x\n"


@pytest.mark.parametrize("name", ["naïve café", "日本語.txt", "🎉", "a\"b\\c", "tab\tx", "new\nline", "%41", "semi;colon", "plus+"])
def test_11_1_4331_names_in_downloads(here, name):
    upload(here, "here/" + name, name.encode())
    head, body = parts_of(here.post("/files/bulk-download", {"paths": ["here/" + name]}))[0]
    assert body == name.encode()
    assert urllib.parse.unquote(re.search(rb"filename\*=utf-8''(\S+)", head).group(1).decode()) == "here/" + name
    answer = download(here, "here/" + name)
    assert answer.body == name.encode()
    encoded = answer.headers["Content-Disposition"].split("filename*=utf-8''")[1]
    assert urllib.parse.unquote(encoded) == name


@pytest.mark.parametrize("name", ["naïve \"café\\", "日本語 🎉", "back\\slash", "%41"])
def test_names_for_the_python_clients(here, name):
    """They take the first name alone; from 0.150.0 on they decode it twice."""
    upload(here, "here/" + name, b"x")

    def told(version):
        headers = {"X-Daytona-Source": "python-sdk", "X-Daytona-SDK-Version": version}
        answer = here.post("/files/bulk-download", {"paths": ["here/" + name]}, headers)
        return re.search(rb'filename="(.*)"; filename\*=', parts_of(answer)[0][0]).group(1).decode()
    escaped = "here/" + (name.replace("\\", "\\\\").replace('"', '\\"') if '"' in name else name)
    assert told("0.111.1") == told("0.149.0") == escaped
    for version in ("0.150.0", "0.218.0"):
        assert re.sub(r"\\(.)", r"\1", told(version).encode("latin-1").decode()) == "here/" + name


def test_names_that_are_no_text(here):
    """Bytes in the query reach the file of that name, in every operation that takes one."""
    bad = "here/b%FF%FEd"
    body, headers = form([("file", "f", b"bytes")])
    assert here.post(f"/files/upload?path={bad}", body, headers).status == 200
    assert here.sh("ls here | od -An -tx1").split() == ["62", "ff", "fe", "64", "0a"]
    assert here.get(f"/files/download?path={bad}").body == b"bytes"
    assert here.get(f"/files/info?path={bad}").json["name"] == "b\ufffd\ufffdd"
    assert here.get(f"/files/find?path={bad}&pattern=byte").json[0]["content"] == "bytes"
    assert here.post(f"/files/permissions?path={bad}&mode=600").status == 200
    assert here.post(f"/files/folder?path={bad}d/x&mode=755").status == 201
    assert here.post(f"/files/move?source={bad}&destination={bad}2").status == 200
    assert here.request("DELETE", f"/files?path={bad}2").status == 204
    body, headers = form([("files[0].path", None, b"here/\xff"), ("files[0].file", "f", b"x")])
    assert here.post("/files/bulk-upload", body, headers).json["files"] == [{"path": "here/\ufffd", "bytes": 1}]
    assert here.get("/files/download?path=here/%FF").body == b"x"


def test_sparse_download(real):
    real.sh("truncate -s 300M holes; printf end >> holes")
    connection = real.connection()
    connection.request("GET", "/files/download?path=holes")
    response = connection.getresponse()
    count = zeros = 0
    while data := response.read(1 << 20):
        count += len(data)
        zeros += data.count(0)
    assert count == 300 * 1024 * 1024 + 3 and zeros == count - 3
    assert real.memory("VmHWM") < 8192


def test_full_disk_in_forms(root):
    root.sh("mkdir small; mount -t tmpfs -o size=1m none small; echo old > small/f")
    body, headers = form([("files[0].path", None, b"small/f"), ("files[0].file", "f", b"x" * 3_000_000),
                          ("files[1].path", None, b"small/g"), ("files[1].file", "f", b"fits")])
    answer = root.post("/files/bulk-upload", body, headers)
    assert answer.status == 400 and len(answer.json["errors"]) == 1
    assert "No space left" in answer.json["errors"][0]
    assert root.sh("ls -A small; cat small/f small/g; umount small; rmdir small") == "f\ng\nold\nfits"


def test_a_file_that_shrinks_ends_the_answer(real):
    """Without its last boundary, or short of its length: the client sees that something is missing."""
    for method, target, body in (("POST", "/files/bulk-download", json.dumps({"paths": ["f"]})),
                                 ("GET", "/files/download?path=f", None)):
        real.sh("truncate -s 300M f")
        connection = real.connection()
        connection.request(method, target, body)
        response = connection.getresponse()
        response.read(1000)
        real.sh("truncate -s 1000 f")
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()


def test_a_slow_reader_holds_nobody_up(real):
    real.sh("truncate -s 1G big")
    s = socket.socket(socket.AF_UNIX)
    s.connect(real.socket)
    s.sendall(b"GET /files/download?path=big HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(20):
        assert len(s.recv(1)) == 1
        upload(real, "small", b"x" * 100_000)
        assert download(real, "small").body == b"x" * 100_000
    s.close()
    assert real.memory("VmHWM") < 8192

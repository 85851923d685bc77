"""Language servers in the toolbox: the real ones from the default snapshot, and hostile ones."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time

import pytest

from toolbox_box import Box, wait_for

HERE = pathlib.Path(__file__).parent


def unpack(archive, folder):
    """The only layer of the default snapshot's archive."""
    with tarfile.open(archive) as tar:
        layer = max(tar.getmembers(), key=lambda member: member.size)
        unzip = subprocess.Popen(["tar", "-x", "--zstd", "--numeric-owner", "-C", folder], stdin=subprocess.PIPE)
        shutil.copyfileobj(tar.extractfile(layer), unzip.stdin, 1 << 20)
        unzip.stdin.close()
        assert unzip.wait() == 0


@pytest.fixture(scope="module")
def real():
    """A sandbox with the default snapshot's files."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="dt-lsp-", dir="/var/tmp"))
    try:
        root.chmod(0o755)
        unpack(os.environ["DAYTONA_ROOTFS"], root)
        with Box(root=root) as b:
            b.sh("mkdir -p py/sub ts js")
            write(b, "py/a.py", "import os\n\n\nclass Greeter:\n    def hello(self):\n        return os.getcwd()\n\n\n"
                                "greeter = Greeter()\ngreeter.\n")
            write(b, "py/sub/b.py", "from a import Greeter\n\n\ndef greet_all():\n    return Greeter()\n")
            write(b, "ts/a.ts", "class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\ngreeter.\n")
            write(b, "ts/b.ts", "export function greetAll() { return 2 }\n")
            write(b, "js/a.js", "class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\ngreeter.\n")
            yield b
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def box():
    """A sandbox whose pylsp is hostile_lsp.py."""
    with Box(env={"PATH": "/home/daytona/bin:/usr/local/bin:/usr/bin:/bin"}) as b:
        b.sh("mkdir bin")
        write(b, "bin/pylsp", (HERE / "hostile_lsp.py").read_text())
        b.sh("chmod +x bin/pylsp; mkdir -p p; echo 'x = 1' > p/a.py")
        yield b


def write(b, path, text):
    assert b.post(b.query("/files/upload-raw", path=path), text.encode()).status == 200


class Server:
    """One server as the SDKs use it."""

    def __init__(self, b, language, project):
        self.box, self.body = b, {"languageId": language, "pathToProject": project}

    def __enter__(self):
        answer = self.start()
        assert (answer.status, answer.body) == (200, b"")
        return self

    def __exit__(self, *_):
        answer = self.stop()
        assert (answer.status, answer.body) == (200, b"")

    def post(self, what, timeout=200, **members):
        return self.box.post("/lsp/" + what, {**self.body, **members}, timeout=timeout)

    def start(self):
        return self.post("start")

    def stop(self):
        return self.post("stop")

    def open(self, path):
        return self.post("did-open", uri="file://" + path)

    def close(self, path):
        return self.post("did-close", uri="file://" + path)

    def complete(self, path, line, character, **more):
        return self.post("completions", uri="file://" + path, position={"line": line, "character": character}, **more)

    def labels(self, path, line, character):
        answer = self.complete(path, line, character)
        assert answer.status == 200, answer.body
        return [item["label"] for item in answer.json["items"]]

    def symbols(self, path, **kw):
        return self.box.get(self.box.query("/lsp/document-symbols", **self.body, uri="file://" + path), **kw)

    def names(self, path):
        answer = self.symbols(path)
        assert answer.status == 200, answer.body
        return [s["name"] for s in answer.json]

    def search(self, query, spelling="workspacesymbols", **kw):
        return self.box.get(self.box.query("/lsp/" + spelling, **self.body, query=query), **kw)

    def found(self, query, **kw):
        answer = self.search(query, **kw)
        assert answer.status == 200, answer.body
        return sorted((s["name"], s["location"]["uri"].rsplit("/", 1)[1]) for s in answer.json)


def refused(answer, status, code, *words):
    """#11.2.1: every error has a body that says what is wrong."""
    body = answer.json
    assert (answer.status, body["statusCode"], body["code"]) == (status, status, code), body
    assert body["source"] == "DAYTONA_DAEMON" and body["message"] == body["error"]
    for word in words:
        assert word in body["message"], body["message"]


# --- the real ones ---

def test_python(real):
    with Server(real, "python", "py") as s:
        assert real.processes("pylsp") == 1
        assert s.start().status == 200, "again: nothing happens"
        assert real.processes("pylsp") == 1
        assert s.open("py/a.py").status == 200
        assert "hello()" in s.labels("py/a.py", 9, 8)
        answer = s.symbols("py/a.py").json
        assert [(x["name"], x["kind"]) for x in answer] == [("Greeter", 5), ("hello", 6), ("greeter", 13)]
        assert answer[0]["location"] == {"uri": "file:///home/daytona/py/a.py", "range": {
            "start": {"line": 3, "character": 0}, "end": {"line": 6, "character": 0}}}
        assert set(answer[0]) == {"name", "kind", "location"}
        assert s.close("py/a.py").status == 200
        assert s.close("py/a.py").status == 200, "again: nothing happens"
    wait_for(lambda: real.processes("pylsp") == 0)


def test_python_workspace(real):
    """pylsp has no workspace/symbol: the project's files are walked."""
    with Server(real, "python", "/home/daytona/py") as s:
        assert s.found("greet") == [("Greeter", "a.py"), ("greet_all", "b.py"), ("greeter", "a.py")]
        assert s.found("GREET_") == [("greet_all", "b.py")]
        assert s.found("greet", spelling="workspace-symbols") == s.found("greet")
        assert s.found("") == [("Greeter", "a.py"), ("greet_all", "b.py"), ("greeter", "a.py"), ("hello", "a.py")]
        assert s.search("no such symbol").body == b"[]", "#4207: never null"
        real.sh("mkdir -p py/node_modules py/.hidden; echo 'class GreetNot: pass' | tee py/node_modules/n.py > py/.hidden/n.py")
        real.sh("mkfifo py/greet.py; ln -s / py/sub/root")
        assert s.found("greetn") == []
        real.sh("rm -r py/node_modules py/.hidden py/greet.py py/sub/root")


@pytest.mark.parametrize("language,suffix", [("typescript", "ts"), ("javascript", "js")])
def test_typescript(real, language, suffix):
    """#11.2.4: javascript has a server of its own, which is the one of TypeScript."""
    with Server(real, language, suffix) as s:
        assert real.processes("typescript-language-server") >= 1
        path = f"/home/daytona/{suffix}/a.{suffix}"
        assert s.open(path).status == 200
        assert s.labels(path, 2, 8) == ["hello"]
        context = {"triggerKind": 2, "triggerCharacter": "."}
        assert [i["label"] for i in s.complete(path, 2, 8, context=context).json["items"]] == ["hello"]
        assert {"Greeter", "hello", "greeter"} <= set(s.names(path))
        assert ("Greeter", f"a.{suffix}") in s.found("gree")
        assert s.search("no such symbol").json == []
    wait_for(lambda: real.processes("tsserver") == 0)


def test_typescript_workspace(real):
    """Without an open document, with and without a configuration."""
    with Server(real, "typescript", "ts") as s:
        assert s.found("greetall") == [("greetAll", "b.ts")]
    write(real, "ts/tsconfig.json", '{"include": ["*.ts"]}')
    with Server(real, "typescript", "ts") as s:
        assert s.found("greetall") == [("greetAll", "b.ts")]
    real.sh("rm ts/tsconfig.json")


@pytest.mark.parametrize("language,path", [("python", "py/a.py"), ("typescript", "ts/a.ts")])
def test_11_2_4_zero_positions(real, language, path):
    with Server(real, language, os.path.dirname(path)) as s:
        assert s.open(path).status == 200
        assert "class" in s.labels(path, 0, 0)
        assert s.complete(path, 0, 1).status == s.complete(path, 1, 0).status == 200
        refused(s.complete(path, -1, 0), 400, "INVALID_REQUEST_BODY", "line")


def test_11_2_4_python_is_python(real):
    """Python's server is pylsp, whatever was called before."""
    s = Server(real, "python", "py")
    refused(s.open("py/a.py"), 400, "LSP_SERVER_NOT_INITIALIZED", "not initialized")
    with s:
        assert real.processes("pylsp") == 1 and real.processes("tsserver") == 0


@pytest.mark.parametrize("language,path", [("python", "py/a.py"), ("typescript", "ts/a.ts")])
def test_restart(real, language, path):
    """A server that died comes back with the next request, and its documents with it."""
    program = {"python": "pylsp", "typescript": "typescript-language-server"}[language]
    with Server(real, language, os.path.dirname(path)) as s:
        assert s.open(path).status == 200
        before = s.names(path)
        real.sh(f"pkill -9 -f '[{program[0]}]{program[1:]}'")
        wait_for(lambda: real.processes(program) == 0 and real.processes("tsserver") == 0)
        assert s.names(path) == before
        assert real.processes(program) >= 1


@pytest.mark.parametrize("language,path", [("python", "py/new.py"), ("typescript", "ts/new.ts")])
def test_documents_follow_their_files(real, language, path):
    """The API has no didChange: an open document is what its file is."""
    write(real, path, "class Before {}\n" if language == "typescript" else "class Before: pass\n")
    with Server(real, language, os.path.dirname(path)) as s:
        assert s.names(path) == ["Before"], "not open"
        assert s.open(path).status == 200
        write(real, path, "class After {}\n" if language == "typescript" else "class After: pass\n")
        assert s.names(path) == ["After"]
        assert s.close(path).status == 200
        assert s.names(path) == ["After"]
    real.sh(f"rm {path}")


def test_names(real):
    """Paths as the clients send them: relative, not encoded, and encoded."""
    folder = "py/with blank/\u00e9 100%"
    real.sh(f"mkdir -p '{folder}'")
    write(real, folder + "/\u540d#?.py", "class Named: pass\n")
    with Server(real, "python", folder) as s:
        relative = folder + "/\u540d#?.py"
        for path in (relative, "/home/daytona/" + relative, "/home/daytona/./" + relative.replace("/", "//"),
                     "/home/daytona/py/with%20blank/%C3%A9%20100%25/%E5%90%8D%23%3F.py"):
            assert s.open(path).status == 200
            answer = s.symbols(path).json
            assert [x["name"] for x in answer] == ["Named"]
            assert answer[0]["location"]["uri"].endswith("/with%20blank/%C3%A9%20100%25/%E5%90%8D%23%3F.py")
        assert [name for name, _ in s.found("named")] == ["Named"]
    real.sh("rm -r 'py/with blank'")


def test_one_for_each(real):
    """Starts at once share one server; other projects and languages have their own."""
    s = Server(real, "python", "py")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: s.start().status, range(8)))
    assert answers == [200] * 8
    assert Server(real, "python", "/home/daytona/py/").start().status == 200, "the same project"
    assert real.processes("pylsp") == 1
    with Server(real, "python", "py/sub"), Server(real, "javascript", "py"):
        assert real.processes("pylsp") == 2
    wait_for(lambda: real.processes("pylsp") == 1)
    assert s.stop().status == s.stop().status == 200


# --- what is wrong with a request ---

def test_refusals(box):
    body = {"languageId": "python", "pathToProject": "p"}
    refused(box.post("/lsp/start", {**body, "languageId": "cobol"}), 400, "BAD_REQUEST",
            "unsupported language: cobol", "python, typescript or javascript")
    refused(box.post("/lsp/start", {"languageId": "python"}), 400, "INVALID_REQUEST_BODY", "pathToProject")
    refused(box.post("/lsp/start", "{"), 400, "INVALID_REQUEST_BODY")
    refused(box.post("/lsp/start", {**body, "pathToProject": "http://host/x"}), 400, "INVALID_FILE_PATH", "file://")
    refused(box.get("/lsp/document-symbols?languageId=python"), 400, "INVALID_REQUEST_BODY", "uri")
    refused(box.get("/lsp/workspacesymbols?query=x"), 400, "INVALID_REQUEST_BODY", "languageId")
    assert box.post("/lsp/start", "x" * 200000).status == 413
    s = Server(box, "python", "never")
    for answer in (s.open("a.py"), s.close("a.py"), s.complete("a.py", 0, 0), s.symbols("a.py"), s.search("x")):
        refused(answer, 400, "LSP_SERVER_NOT_INITIALIZED", "server not initialized", "/home/daytona/never")
    assert s.stop().status == 200


def test_no_program(box):
    s = Server(box, "typescript", "p")
    box.sh("! command -v typescript-language-server")
    refused(s.start(), 500, "INTERNAL_SERVER_ERROR", "error starting LSP server",
            "typescript-language-server", "npm install")
    refused(s.search("x"), 400, "LSP_SERVER_NOT_INITIALIZED")


def test_documents_that_are_none(box):
    box.sh("mkfifo p/fifo.py; mkdir p/dir.py; truncate -s 5M p/large.py; touch p/secret.py; chmod 0 p/secret.py")
    with Server(box, "python", "p") as s:
        begin = time.monotonic()
        for name, words in {"gone": "No such file", "fifo": "regular", "dir": "irectory", "secret": "denied"}.items():
            refused(s.open(f"p/{name}.py"), 400, "BAD_REQUEST", f"/home/daytona/p/{name}.py", words)
            assert s.symbols(f"p/{name}.py").status == 400
        refused(s.open("p/large.py"), 413, "PAYLOAD_TOO_LARGE", "4194304")
        refused(s.open("/dev/zero"), 400, "BAD_REQUEST", "regular")
        assert time.monotonic() - begin < 200, "#11.2.14: nothing waits for a FIFO"
    box.sh("rm -rf p/fifo.py p/dir.py p/large.py p/secret.py")


def test_limits(box):
    servers = [Server(box, "python", f"limit{i}") for i in range(8)]
    assert [s.start().status for s in servers] == [200] * 8
    refused(Server(box, "python", "limit8").start(), 429, "LIMIT_EXCEEDED", "8 language servers")
    box.sh("mkdir docs; for i in $(seq 257); do echo x > docs/$i.py; done")
    s = servers[0]
    assert {s.open(f"docs/{i}.py").status for i in range(1, 257)} == {200}
    refused(s.open("docs/257.py"), 429, "LIMIT_EXCEEDED", "256 documents")
    assert s.close("docs/1.py").status == s.open("docs/257.py").status == 200
    assert [x.stop().status for x in servers] == [200] * 8
    wait_for(lambda: box.processes("pylsp") == 0)


# --- hostile ones ---

def test_flattened(box):
    with Server(box, "python", "tree") as s:
        answer = s.symbols("p/a.py").json
        assert [x["name"] for x in answer] == ["outer", "inner"]
        assert answer[1]["location"] == {"uri": "file:///home/daytona/p/a.py", "range": {
            "start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}}


def test_its_own_requests(box):
    with Server(box, "python", "questions") as s:
        answers = [json.loads(name) for name in s.names("p/a.py")]
    assert answers[0] == {"result": [None, None]}
    assert answers[1] == {"result": None}
    assert answers[2] == {"result": [{"uri": "file:///home/daytona/questions", "name": "project"}]}
    assert answers[3] == {"result": {"applied": False}}
    assert answers[4]["error"]["code"] == -32601


@pytest.mark.parametrize("mode,words", [
    ("junk", "Segmentation fault"), ("huge", "100000000000 bytes"), ("json", "invalid JSON"), ("deep", "deeper"),
    ("die", "ended with status 3; it printed: out of luck"), ("close", "closed its output")])
def test_broken(box, mode, words):
    """What it answers is of no use: the client learns why, the process goes, and the next one gets its chance."""
    with Server(box, "python", mode) as s:
        for _ in range(2):
            refused(s.symbols("p/a.py"), 502, "BAD_GATEWAY", words)
            wait_for(lambda: box.processes("pylsp") == 0 and box.processes("4321") == 0)


@pytest.mark.parametrize("mode", ["stray", "shout", "wrong", "many"])
def test_odd(box, mode):
    with Server(box, "python", mode) as s:
        want = {"stray": ["right"], "shout": ["quiet"], "wrong": []}
        if mode == "many":
            answer = s.symbols("p/a.py")
            assert len(answer.json) == 10000 and answer.headers["X-Daytona-Truncated"] == "true"
        else:
            assert s.names("p/a.py") == want[mode]
            assert s.complete("p/a.py", 0, 0).json["isIncomplete"] is False


def test_refuses_to_start(box):
    s = Server(box, "python", "refuse")
    refused(s.start(), 500, "INTERNAL_SERVER_ERROR", "error starting LSP server", "no valid installation")
    wait_for(lambda: box.processes("pylsp") == 0)
    refused(s.symbols("p/a.py"), 400, "LSP_SERVER_NOT_INITIALIZED")


def test_11_2_4_deadline(box):
    """A server that hangs does not hang its clients, and one that is silent is ended."""
    def ask(mode):
        with Server(box, "python", mode) as s:
            answer = s.symbols("p/a.py")
            refused(answer, 408, "REQUEST_TIMEOUT", "did not answer within 30 s")
            return True
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        hanging, busy = pool.submit(ask, "hang"), pool.submit(ask, "busy")
        assert hanging.result() and busy.result()


def test_client_goes_away(box):
    """What nobody waits for is cancelled."""
    box.sh("rm -f lsp.log")
    with Server(box, "python", "slow") as s:
        for path in (f"/lsp/document-symbols", "/lsp/workspacesymbols"):
            connection = box.connection()
            connection.request("GET", box.query(path, languageId="python", pathToProject="slow", uri="file://p/a.py"))
            if path.endswith("document-symbols"):
                wait_for(lambda: "textDocument/documentSymbol" in box.sh("cat lsp.log"))
            connection.close()
        wait_for(lambda: "$/cancelRequest" in box.sh("cat lsp.log"))
        wait_for(lambda: "textDocument/didClose" in box.sh("cat lsp.log"))
        connection = box.connection()
        connection.request("POST", "/lsp/start", json.dumps({"languageId": "python", "pathToProject": "mute"}))
        wait_for(lambda: box.processes("pylsp") == 2)
        connection.close()
        assert s.start().status == 200
    assert Server(box, "python", "mute").stop().status == 200


def test_stop_while_it_works(box):
    """Who waits learns of the stop; everything the server started goes with it (#11.2.4: no leak)."""
    s = Server(box, "python", "slow")
    assert s.start().status == 200
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        box.sh("rm -f lsp.log")
        waiting = [pool.submit(s.symbols, "p/a.py") for _ in range(3)]
        wait_for(lambda: box.sh("touch lsp.log; cat lsp.log").count("documentSymbol") == 3)
        assert s.stop().status == 200
        for answer in waiting:
            refused(answer.result(), 410, "GONE", "was stopped")
        wait_for(lambda: box.processes("pylsp") == 0)
        mute = Server(box, "python", "mute")
        starting = pool.submit(mute.start)
        wait_for(lambda: box.processes("pylsp") == 1)
        assert mute.stop().status == 200
        refused(starting.result(), 410, "GONE", "was stopped")
    with Server(box, "python", "helper"):
        wait_for(lambda: box.processes("1234") == 1)
    wait_for(lambda: box.processes("pylsp") == 0 and box.processes("1234") == 0)


def test_floods(box):
    """Servers that print or ask without end, or never read, cost the toolbox neither memory nor its other clients."""
    box.sh("yes 'x = 1' | head -c 4000000 > p/big.py; for i in $(seq 10); do cp p/big.py p/big$i.py; done")
    flood, asking, deaf = (Server(box, "python", mode) for mode in ("flood", "asking", "deaf"))
    for s in (flood, asking, deaf):
        assert s.start().status == 200
    clients = [threading.Thread(target=s.symbols, args=("p/a.py",)) for s in (flood, asking)]
    for client in clients:
        client.start()
    answers = [deaf.open(f"p/big{i}.py") for i in range(1, 11)]
    assert answers[0].status == 200
    refused(answers[-1], 429, "LIMIT_EXCEEDED", "does not read")
    for _ in range(20):
        assert box.sh("echo yes") == "yes\n"
    assert box.memory() < 250 * 1024
    for s in (flood, asking, deaf):
        assert s.stop().status == 200
    for client in clients:
        client.join()
    wait_for(lambda: box.processes("pylsp") == 0)
    box.sh("rm p/big*")


def test_idle_costs_nothing():
    """After the last server's stop the toolbox has its one thread, and the memory and descriptors that it had before."""
    with Box(binary="daytona-toolbox", env={"PATH": "/home/daytona/bin:/usr/bin:/bin"}) as b:
        b.sh("mkdir bin p; echo 'x = 1' > p/a.py")
        write(b, "bin/pylsp", (HERE / "hostile_lsp.py").read_text())
        b.sh("chmod +x bin/pylsp")
        before, descriptors = b.memory(), wait_for(b.descriptors)
        for mode in ("tree", "many", "many"):
            with Server(b, "python", mode) as s:
                assert s.open("p/a.py").status == 200 and s.symbols("p/a.py").status == 200
                wait_for(lambda: b.memory() < before + 2500)
        wait_for(lambda: b.processes("pylsp") == 0)
        wait_for(lambda: len(os.listdir(f"/proc/{b.pid}/task")) == 1)
        wait_for(lambda: b.memory() < before + 300)
        wait_for(lambda: b.descriptors() == descriptors)


def test_ends_with_the_sandbox():
    """Nothing is left in the toolbox's memory when it ends with servers that work."""
    with Box(user="root", workdir="/tmp", env={"PATH": "/tmp/bin:/usr/bin:/bin"}) as b:
        b.sh("mkdir -p bin p; echo 'x = 1' > p/a.py")
        write(b, "bin/pylsp", (HERE / "hostile_lsp.py").read_text())
        b.sh("chmod +x bin/pylsp")
        for mode in ("tree", "slow", "junk"):
            s = Server(b, "python", mode)
            assert s.start().status == 200 and s.open("p/a.py").status == 200
        assert s.symbols("p/a.py").status == 502
        with Server(b, "python", "many") as s:
            assert len(s.names("p/a.py")) == 10000

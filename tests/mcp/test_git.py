"""git_clone from real servers, with and without git in the image, and where its passwords do not go."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import internet
import mcp_pipe
import pytest
import small_image

LIB = pathlib.Path(internet.__file__).parent
GUESTBOOK = pathlib.Path(__file__).parent.parent / "data" / "guestbook"
SECRET = {"username": internet.USER, "password": internet.PASSWORD}
SLOW_PORT, SSH_PORT, SILENT_PORT, TLS_PORT = 8081, 2222, 8082, 8443


@pytest.fixture(scope="module")
def tiny(server, tmp_path_factory):
    """A snapshot without git."""
    server.import_snapshot("tiny", small_image.tar(tmp_path_factory.mktemp("tiny")))
    return "tiny"


@contextlib.contextmanager
def sandbox(client, **arguments):
    box = client.tool("create_sandbox", **arguments)["id"]
    try:
        yield box
    finally:
        client.call("destroy_sandbox", id=box)


@pytest.fixture(scope="module", params=["debian", "tiny"])
def box(client, request):
    """A sandbox of each image."""
    arguments = {"snapshot": request.getfixturevalue("tiny")} if request.param == "tiny" else {}
    with sandbox(client, **arguments) as made:
        yield made


@pytest.fixture(scope="module")
def repository(net):
    """Public and private; `head` and `feature` are its commits."""
    found = {"open": net.git_repository("open", GUESTBOOK), "private": net.git_repository("secret", GUESTBOOK, private=True)}
    for name in ("main", "feature"):
        found[name] = internet.run("git", "rev-parse", name, cwd=net.folder / "work-open").stdout.strip()
    return found


@pytest.fixture(scope="module", autouse=True)
def silent(client, server, net):
    """A clone from a host that packets to it never reach; it takes a while and runs beside the other tests."""
    for command in ("add table t", "add chain t in { type filter hook input priority 0; }",
                    f"add rule t in tcp dport {SILENT_PORT} drop"):
        internet.run("ip", "netns", "exec", net.name, "nft", command)
    with sandbox(client) as box, mcp_pipe.Client(server) as second:
        seen = {"box": box, "start": time.monotonic()}

        def wait_for_it():
            seen["answer"] = second.line()["result"]
            seen["end"] = time.monotonic()
        begin_clone(second, box, f"http://{net.address}:{SILENT_PORT}/git/open.git", "silent")
        seen["waiting"] = threading.Thread(target=wait_for_it)
        seen["waiting"].start()
        yield seen
        seen["waiting"].join()


@pytest.fixture
def target(request):
    """A folder name of the test's own."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


def sh(client, box, command, **more):
    return client.tool("execute_command", id=box, command=command, **more)["stdout"]


def head(client, box, folder):
    text = sh(client, box, f"cat {folder}/.git/HEAD").strip()
    return sh(client, box, f"cat {folder}/.git/{text[5:]} 2>/dev/null || grep {text[5:]} {folder}/.git/packed-refs").split()[0] \
        if text.startswith("ref: ") else text


def fails(client, box, **arguments):
    """The text of a failure, which has no other content."""
    result = client.call("git_clone", id=box, **arguments)
    assert result.get("isError") is True and "structuredContent" not in result, result
    return result["content"][0]["text"]


def has(client, box, path):
    return sh(client, box, f"ls -d {path} 2>/dev/null || echo none").strip() != "none"


def test_http(client, box, repository, target):
    out = client.tool("git_clone", id=box, url=repository["open"], path=target)
    assert out["url"] == repository["open"] and out["path"] == target
    assert head(client, box, target) == repository["main"]
    assert not has(client, box, f"{target}/FEATURE")


def test_the_folder_is_named_after_the_repository(client, repository):
    with sandbox(client) as box:
        assert client.tool("git_clone", id=box, url=repository["open"])["path"] == "open"
        assert has(client, box, "open/.git")


def test_branch(client, box, repository, target):
    out = client.tool("git_clone", id=box, url=repository["open"], path=target, branch="feature")
    assert out["branch"] == "feature"
    assert sh(client, box, f"cat {target}/FEATURE") == "a branch\n"


@pytest.mark.parametrize("name", ["main", "feature"])
def test_commit(client, box, repository, target, name):
    client.tool("git_clone", id=box, url=repository["open"], path=target, commit_id=repository[name])
    assert head(client, box, target) == repository[name]
    assert has(client, box, f"{target}/FEATURE") == (name == "feature")


@pytest.mark.parametrize("way", ["arguments", "url"])
def test_private(client, box, repository, target, way):
    url = repository["private"]
    if way == "url":
        url = url.replace("http://", f"http://{internet.USER}:{internet.PASSWORD}@")
    out = client.tool("git_clone", id=box, url=url, path=target, **(SECRET if way == "arguments" else {}))
    assert out["url"] == repository["private"] and internet.PASSWORD not in str(out)
    assert internet.PASSWORD not in sh(client, box, f"cat {target}/.git/config")
    assert head(client, box, target)


def test_without_password(client, box, repository, target):
    text = fails(client, box, url=repository["private"], path=target)
    assert "username and password" in text
    assert not has(client, box, target)


def test_wrong_password(client, box, repository, target):
    text = fails(client, box, url=repository["private"], path=target, username="octocat", password="not-the-password")
    assert "username and password" in text and "not-the-password" not in text
    assert not has(client, box, target)


def test_missing_repository(client, box, net, target):
    text = fails(client, box, url=f"http://{net.address}/git/none.git", path=target)
    assert "not found" in text and "Check the url" in text
    assert not has(client, box, target)


@pytest.mark.parametrize("arguments", [{"branch": "nowhere"}, {"commit_id": "0123456789" * 4}])
def test_missing_branch_or_commit(client, box, repository, target, arguments):
    text = fails(client, box, url=repository["open"], path=target, **arguments)
    assert "branch and commit_id" in text
    assert not has(client, box, target)


@pytest.mark.parametrize("arguments,words", [
    ({"branch": "--upload-pack=id"}, "branch"), ({"branch": "a b"}, "branch"), ({"commit_id": "main"}, "commit_id"),
    ({"commit_id": "--help"}, "commit_id")])
def test_bad_arguments(client, box, repository, target, arguments, words):
    assert words in fails(client, box, url=repository["open"], path=target, **arguments)
    assert not has(client, box, target)


def test_a_full_target_stays(client, box, repository, target):
    sh(client, box, f"mkdir -p {target}; echo mine > {target}/file; mkdir {target}-empty; echo x > {target}-file")
    text = fails(client, box, url=repository["open"], path=target)
    assert "not empty" in text and "delete_file" in text
    assert sh(client, box, f"ls -A {target}; cat {target}/file") == "file\nmine\n"
    assert "not a folder" in fails(client, box, url=repository["open"], path=f"{target}-file")
    client.tool("git_clone", id=box, url=repository["open"], path=f"{target}-empty")
    assert head(client, box, f"{target}-empty") == repository["main"]


def test_nobody_listens(client, box, net, target):
    start = time.monotonic()
    text = fails(client, box, url=f"http://{net.address}:1/git/open.git", path=target)
    assert "Check the host" in text
    assert time.monotonic() - start < 25  # half a minute would be the time in which to connect
    assert not has(client, box, target)


def test_unknown_host(client, box, target):
    start = time.monotonic()
    text = fails(client, box, url="http://no-such-host.invalid/a.git", path=target)
    assert "Check the host" in text
    assert time.monotonic() - start < 60


def test_file_url(client, box, repository, target):
    """A repository inside the sandbox; bare or not."""
    client.tool("git_clone", id=box, url=repository["open"], path=f"{target}-from")
    at = sh(client, box, f"cd {target}-from && pwd").strip()
    client.tool("git_clone", id=box, url=f"file://{at}", path=target)
    assert head(client, box, target) == repository["main"]
    text = fails(client, box, url=f"file://{at}-none", path=f"{target}-none")
    assert "Check the url" in text


# --- https ---

@pytest.fixture(scope="module")
def https(net, repository, tmp_path_factory):
    """The same server behind TLS, with a certificate of an authority that nobody knows; returns URL and authority."""
    folder = tmp_path_factory.mktemp("tls")
    internet.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", "/CN=test authority", "-keyout", str(folder / "key"), "-out", str(folder / "cert"),
                 "-addext", f"subjectAltName=IP:{net.address}")
    net.start(sys.executable, internet.__file__, "serve", str(net.folder), str(TLS_PORT), str(folder / "cert"), str(folder / "key"))
    net.wait_for(TLS_PORT)
    at = f"https://{net.address}:{TLS_PORT}"
    return {"open": f"{at}/git/open.git", "private": f"{at}/private/secret.git", "authority": (folder / "cert").read_text()}


def test_https(client, box, https, repository, target):
    """Refused until the sandbox trusts the authority, in the place where its image keeps those."""
    text = fails(client, box, url=https["open"], path=target)
    assert "certificate" in text.lower() and not has(client, box, target)
    root = "" if sh(client, box, "id -u").strip() == "0" else "sudo "
    client.tool("file_upload", id=box, file_path="/tmp/authority", content=https["authority"], overwrite=True)
    sh(client, box, f"{root}mkdir -p /etc/ssl/certs && {root}sh -c 'cat /tmp/authority >> /etc/ssl/certs/ca-certificates.crt'")
    client.tool("git_clone", id=box, url=https["open"], path=target)
    assert head(client, box, target) == repository["main"]
    client.tool("git_clone", id=box, url=https["private"], path=f"{target}-p", **SECRET)
    assert internet.PASSWORD not in sh(client, box, f"cat {target}-p/.git/config")
    assert "username and password" in fails(client, box, url=https["private"], path=f"{target}-q")


# --- ssh ---

@pytest.fixture(scope="module")
def ssh(net, repository, tmp_path_factory):
    """A real sshd in front of the bare repositories; returns its URL and the private key."""
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o755)
    for name in ("host", "client"):
        internet.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    shutil.copy(folder / "client.pub", folder / "authorized")
    config = folder / "config"
    config.write_text(f"Port {SSH_PORT}\nListenAddress {net.address}\nHostKey {folder}/host\nUsePAM no\nStrictModes no\n"
                      f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nPidFile none\n"
                      "PermitRootLogin prohibit-password\nPermitUserRC no\nAllowTcpForwarding no\nX11Forwarding no\n")
    pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    net.start("/usr/sbin/sshd", "-D", "-e", "-f", str(config), stderr=open(folder / "log", "wb"))
    net.wait_for(SSH_PORT)
    return {"url": f"ssh://root@{net.address}:{SSH_PORT}{net.folder}/git/open.git", "key": (folder / "client").read_text()}


def test_ssh(client, box, ssh, repository, target):
    text = fails(client, box, url=ssh["url"], path=target)
    assert "key" in text or "credentials" in text or "username" in text
    home = sh(client, box, "mkdir -p ~/.ssh && chmod 700 ~/.ssh && echo ~").strip()
    client.tool("file_upload", id=box, file_path=f"{home}/.ssh/id_ed25519", content=ssh["key"], encoding="text", overwrite=True)
    sh(client, box, "chmod 600 ~/.ssh/id_ed25519")
    out = client.tool("git_clone", id=box, url=ssh["url"], path=target)
    assert out["url"] == ssh["url"]
    assert head(client, box, target) == repository["main"]
    client.tool("git_clone", id=box, url=ssh["url"], path=f"{target}-b", branch="feature")
    assert has(client, box, f"{target}-b/FEATURE")


# --- while it runs ---

@pytest.fixture
def slow(net, tmp_path):
    """A server that waits in the middle of a clone. `waiting()` returns when one does."""
    net_process = net.start(sys.executable, str(LIB / "slow_git.py"), str(net.folder), str(SLOW_PORT), str(tmp_path),
                            env=dict(os.environ, PYTHONPATH=str(LIB)))
    net.wait_for(SLOW_PORT)

    class Slow:
        url = f"http://{net.address}:{SLOW_PORT}/private/secret.git"

        def waiting(self):
            wait(lambda: (tmp_path / "waiting").exists())

        def go(self):
            (tmp_path / "go").touch()

    yield Slow()
    net_process.terminate()
    net_process.wait(60)


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def begin_clone(second, box, url, path):
    """Asks and does not wait; returns the id of the request."""
    number = next(second.ids)
    second.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {
        "name": "git_clone", "arguments": dict(SECRET, id=box, url=url, path=path)}})
    return number


# grep takes the words from its input, so that they are in nobody's arguments.
SEEK = "printf '%s%s\\n' s3cret- t0ken | sudo grep -aFrl -f - {0} 2>/dev/null; true"


def traces(client, box):
    """Where in the sandbox the password can be read."""
    found = "".join(sh(client, box, f"for p in /proc/[0-9]*; do printf '%s%s\\n' s3cret- t0ken | "
                       f"{who} grep -aFl -f - $p/cmdline $p/environ 2>/dev/null; done; true") for who in ("", "sudo"))
    return found + sh(client, box, SEEK.format("/home /tmp /var /root /etc /run /dev/shm /opt /srv"), timeout=300)


def test_the_search_finds_what_is_there(client):
    """Else the next test would prove nothing."""
    with sandbox(client) as box:
        sh(client, box, "printf '%s%s' s3cret- t0ken > /tmp/a; (export X=$(cat /tmp/a); exec sleep 6000 >/dev/null 2>&1 &) ; true")
        found = traces(client, box)
        assert "/tmp/a" in found and "/environ" in found


def test_the_password_is_nowhere(client, server, slow, repository):
    with sandbox(client) as box, mcp_pipe.Client(server) as second:
        number = begin_clone(second, box, slow.url, "slow")
        slow.waiting()
        assert "git" in sh(client, box, "cat /proc/[0-9]*/comm")
        assert traces(client, box) == ""
        slow.go()
        answer = second.line()
        assert answer["id"] == number and not answer["result"].get("isError"), answer
        assert internet.PASSWORD not in str(answer)
        assert traces(client, box) == ""
        assert internet.PASSWORD not in sh(client, box, "cat slow/.git/config slow/.git/FETCH_HEAD 2>/dev/null; git -C slow remote -v")
    assert internet.PASSWORD.encode() not in (server.data / "runnerd.log").read_bytes()
    assert subprocess.run(["grep", "-raFl", internet.PASSWORD, server.data / "state", server.data / "run"],
                          capture_output=True).stdout == b""


def test_cancel_ends_it(client, server, slow, repository):
    with sandbox(client) as box, mcp_pipe.Client(server) as second:
        number = begin_clone(second, box, slow.url, "slow")
        slow.waiting()
        second.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}})
        wait(lambda: "git" not in sh(client, box, "cat /proc/[0-9]*/comm"))
        wait(lambda: not has(client, box, "slow"))
        assert second.tool("get_sandbox", id=box)["state"] == "started"


def test_the_end_of_the_client_ends_it(client, server, slow, repository):
    with sandbox(client) as box:
        with mcp_pipe.Client(server) as second:
            begin_clone(second, box, slow.url, "slow")
            slow.waiting()
        wait(lambda: "git" not in sh(client, box, "cat /proc/[0-9]*/comm"))
        wait(lambda: not has(client, box, "slow"))


def test_a_silent_host(client, silent):
    """The sandbox gives up to connect after half a minute; the call tells so."""
    silent["waiting"].join(200)
    answer = silent["answer"]
    assert answer["isError"] and "Check the host" in answer["content"][0]["text"], answer
    assert silent["end"] - silent["start"] < 150
    assert not has(client, silent["box"], "silent")

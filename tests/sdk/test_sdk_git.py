"""The unmodified SDKs and git, against git's own http-backend; also in an image without git."""
import os
import pathlib
import subprocess
import sys

import backend
import internet
import pytest
import small_image

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
HERE = pathlib.Path(__file__).parent
GUESTBOOK = HERE.parent / "data" / "guestbook"


@pytest.fixture(scope="module")
def urls(net):
    open_url, secret = net.git_repository("sdk", GUESTBOOK), net.git_repository("sdk-secret", GUESTBOOK, private=True)
    bare = net.folder / "private" / "sdk-secret.git"
    internet.run("git", "-C", str(bare), "config", "http.receivepack", "true")
    # A third, with the first as its submodule.
    work = net.folder / "work-sdk-modules"
    modules = net.git_repository("sdk-modules", GUESTBOOK)
    (work / ".gitmodules").write_text(f'[submodule "sub"]\n\tpath = sub\n\turl = {open_url}\n')
    git = ("git", "-C", str(work), "-c", "user.name=t", "-c", "user.email=t@example.com")
    head = internet.run("git", "-C", str(net.folder / "git" / "sdk.git"), "rev-parse", "main").stdout.strip()
    internet.run(*git, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    internet.run(*git, "add", ".gitmodules")
    internet.run(*git, "commit", "-qm", "a submodule")
    internet.run(*git, "push", "-q", str(net.folder / "git" / "sdk-modules.git"), "main")
    return open_url, secret, modules


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "git.mjs").write_text((HERE / "git.mjs").read_text())
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder / "git.mjs"


def run(server, *command):
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us", "GIT_USER": internet.USER, "GIT_PASSWORD": internet.PASSWORD}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr
    assert server.request("GET", "/sandbox")[1]["items"] == []


@pytest.mark.parametrize("version", ["0.111.1", "0.113.1", "0.190.1", "0.218.0"])
def test_typescript(server, script, urls, version):
    run(server, "node", script, f"daytona-sdk-{version}", *urls)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_python(server, urls, kind):
    run(server, sys.executable, HERE / "git.py", kind, *urls)


def test_without_git_in_the_image(server, urls, tmp_path):
    server.import_snapshot("tiny", small_image.tar(tmp_path))
    run(server, sys.executable, HERE / "git.py", "sync", *urls, "tiny")

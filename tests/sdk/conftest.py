"""Fixtures of the tests with the official SDKs."""
import pathlib

import internet
import pytest
import sdk

GUESTBOOK = pathlib.Path(__file__).parents[1] / "data" / "guestbook"


@pytest.fixture(scope="module")
def programs(server, tmp_path_factory):
    return sdk.Programs(server, tmp_path_factory.mktemp("sdk"))


@pytest.fixture(scope="session")
def urls(net):
    """Git repositories: an open one, one that wants a password, and one with the first as its submodule."""
    open_url, secret = net.git_repository("sdk", GUESTBOOK), net.git_repository("sdk-secret", GUESTBOOK, private=True)
    bare = net.folder / "private" / "sdk-secret.git"
    internet.run("git", "-C", str(bare), "config", "http.receivepack", "true")
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

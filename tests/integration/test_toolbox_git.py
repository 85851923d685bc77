"""Git operations of daytona-toolbox: git's own http-backend with passwords, OpenSSH, hostile repositories."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest

from toolbox_box import Box, wait_for

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def box():
    with Box() as b:
        yield b


@pytest.fixture(scope="module")
def git(box, tmp_path_factory):
    """Git's own http-backend in the sandbox's network; /private/ wants a password."""
    base = tmp_path_factory.mktemp("git")
    work = base / "work"
    run = lambda *a: subprocess.run(["git", "-C", work, "-c", "user.name=t", "-c", "user.email=t@example.com", *a],
                                    check=True, capture_output=True, text=True).stdout.strip()
    work.mkdir()
    run("init", "-q", "-b", "main")
    commits = []
    for i in range(3):
        (work / "file").write_text(f"{i}\n")
        run("add", "file")
        run("commit", "-q", "-m", f"commit {i}")
        commits.append(run("rev-parse", "HEAD"))
    run("branch", "other", commits[0])
    for kind in ("public", "private"):
        (base / "srv" / kind).mkdir(parents=True)
        bare = base / "srv" / kind / "r.git"
        subprocess.run(["git", "clone", "-q", "--bare", work, bare], check=True)
        subprocess.run(["git", "-C", bare, "config", "http.receivepack", "true"], check=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=nobody", "-keyout", base / "key", "-out", base / "cert", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    process = box.beside(HERE / "toolbox_git_server.py", base)
    wait_for(lambda: all(box.listens(port) for port in (3100, 3101, 3102)))
    box.commits, box.git_base = commits, base
    box.sh("git config --global init.defaultBranch main")
    yield "http://127.0.0.1:3100"
    process.kill()
    process.wait()


def clone(b, url, path, **members):
    return b.post("/git/clone", {"url": url, "path": path, **members})


def test_clone(box, git):
    answer = clone(box, git + "/public/r.git", "c/one")
    assert answer.status == 200 and answer.body == b"", answer.body
    assert box.sh("cat c/one/file; git -C c/one rev-parse HEAD; git -C c/one branch --show-current") == \
        f"2\n{box.commits[2]}\nmain\n"
    again = clone(box, git + "/public/r.git", "c/one")
    assert again.status == 409 and "not empty" in again.json["message"]
    assert box.sh("cat c/one/file") == "2\n"
    assert clone(box, git + "/public/r.git", "c/b", branch="other").status == 200
    assert box.sh("git -C c/b branch -a --format='%(refname)'; cat c/b/file") == \
        "refs/heads/other\nrefs/remotes/origin/other\n0\n"
    assert clone(box, git + "/public/r.git", "c/c", commit_id=box.commits[1]).status == 200
    assert box.sh("cat c/c/file; git -C c/c rev-parse --abbrev-ref HEAD") == "1\nHEAD\n"
    # The commit is on another branch than the one that was asked for.
    assert clone(box, git + "/public/r.git", "c/d", branch="other", commit_id=box.commits[2]).status == 200
    assert box.sh("cat c/d/file") == "2\n"
    box.sh("mkdir c/empty")
    assert clone(box, git + "/public/r.git", "c/empty").status == 200
    box.sh("rm -rf c")


def test_clone_failures(box, git):
    for url, members, status, code in [
            ("/public/nope.git", {}, 404, "GIT_REPO_NOT_FOUND"),
            ("/public/r.git", {"branch": "nope"}, 404, "GIT_BRANCH_NOT_FOUND"),
            ("/public/r.git", {"commit_id": "0" * 39 + "1"}, 404, "GIT_BRANCH_NOT_FOUND"),
            ("/public/r.git", {"commit_id": "--help"}, 400, "INVALID_REQUEST_BODY"),
            ("/public/r.git", {"branch": "--upload-pack=x"}, 400, "INVALID_REQUEST_BODY"),
            ("/private/r.git", {}, 401, "GIT_AUTH_FAILED"),
            ("/private/r.git", {"username": "u", "password": "wrong-secret"}, 401, "GIT_AUTH_FAILED")]:
        answer = clone(box, git + url, "fail", **members)
        assert (answer.status, answer.json["code"]) == (status, code), answer.body
        assert b"wrong-secret" not in answer.body
        assert box.run("ls -d fail").json["exitCode"] != 0, "nothing half-made stays"
    for url, status, code in [("http://127.0.0.1:3999/r.git", 502, "GIT_TRANSPORT_FAILED"),
                              ("http://no.such.host.invalid/r", 502, "GIT_TRANSPORT_FAILED"),
                              ("/no/such/repository", 404, "GIT_REPO_NOT_FOUND"),
                              ("ext::sh -c id", 400, "INVALID_REQUEST_BODY"),
                              ("--upload-pack=x", 400, "INVALID_REQUEST_BODY")]:
        answer = clone(box, url, "fail")
        assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert clone(box, git + "/public/r.git", "/root/x").status == 403
    assert clone(box, git + "/public/r.git", "/etc/passwd").status == 409


def sandbox_files(b, *folders):
    for folder in folders:
        for where, _, names in os.walk(f"/proc/{b.pid}/root{folder}"):
            for name in names:
                path = pathlib.Path(where) / name
                if path.is_file() and not path.is_symlink():
                    yield path


SECRET = "s3cret-Pass%word"


def in_no_process(spelled):
    """The password is in no argument and no environment, while git runs."""
    seen = 0
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        for part in ("cmdline", "environ"):
            try:
                text = (entry / part).read_bytes()
            except OSError:
                continue
            seen += b"git" in text
            assert not any(s in text for s in spelled), f"{entry}/{part}"
    assert seen > 0


@pytest.mark.parametrize("in_url", [False, True])
def test_clone_keeps_the_password_to_itself(box, git, in_url):
    (box.git_base / "hold").touch()
    (box.git_base / "held").unlink(missing_ok=True)
    # A helper that would write the password down if it were asked.
    box.sh("git config --global credential.helper store")
    if in_url:
        body = {"url": f"http://user:{urllib.parse.quote(SECRET, safe='')}@127.0.0.1:3100/private/r.git", "path": "p"}
    else:
        body = {"url": git + "/private/r.git", "path": "p", "username": "user", "password": SECRET}
    spelled = {SECRET.encode(), urllib.parse.quote(SECRET, safe="").encode()}
    connection = box.connection()
    connection.request("POST", "/git/clone", json.dumps(body))
    wait_for((box.git_base / "held").exists)
    in_no_process(spelled)
    (box.git_base / "hold").unlink()
    response = connection.getresponse()
    assert response.status == 200, response.read()
    assert box.sh("cat p/file") == "2\n"
    assert box.sh("git -C p config remote.origin.url") == git + "/private/r.git\n"
    for path in sandbox_files(box, "/home", "/tmp", "/etc"):
        text = path.read_bytes()
        assert not any(s in text for s in spelled), path
    assert not any(s.decode() in box.log for s in spelled)
    box.sh("rm -rf p; git config --global --unset credential.helper")


def test_password_does_not_follow_a_redirect(box, git):
    answer = clone(box, git + "/redirect/r.git", "fail", username="user", password=SECRET)
    assert answer.status == 401
    assert (box.git_base / "other-server-was-asked").exists()
    assert not (box.git_base / "other-server-got-a-password").exists()


def test_clone_ends_with_its_client(box, git):
    (box.git_base / "hold").touch()
    (box.git_base / "held").unlink(missing_ok=True)
    connection = box.connection()
    connection.request("POST", "/git/clone", json.dumps({"url": git + "/private/r.git", "path": "gone/x",
                                                         "username": "user", "password": SECRET}))
    wait_for((box.git_base / "held").exists)
    assert box.processes("git") > 0
    connection.close()
    wait_for(lambda: box.processes("git") == 0)
    (box.git_base / "hold").unlink()
    wait_for(lambda: box.run("ls gone/x").json["exitCode"] != 0)


# --- the rest of them ---

def api(b, operation, status=200, code=None, method="POST", **members):
    """One call; its answer must have the status, and the code when it is an error."""
    if method == "GET":
        answer = b.get(b.query("/git/" + operation, **members))
    else:
        answer = b.request(method, "/git/" + operation, members)
    assert answer.status == status, (operation, members, answer.body)
    if code:
        assert answer.json["code"] == code and answer.json["message"].strip(), answer.body
    return answer


def status(b, path, **more):
    return api(b, "status", method="GET", path=path, **more).json


def changes(b, path):
    return {f["name"]: (f["staging"], f["worktree"], f["extra"]) for f in status(b, path)["fileStatus"]}


def commit(b, path, message="work", code=None, status=200, **more):
    return api(b, "commit", status, code, path=path, message=message, author="Ada", email="ada@example.com", **more)


@pytest.fixture
def repo(box, git, request):
    """A clone of the public repository, of the test's own."""
    path = "r/" + request.node.name.replace("[", "-").replace("]", "")
    assert clone(box, git + "/public/r.git", path).status == 200
    yield path
    box.sh(f"rm -rf {path}")


@pytest.fixture
def upstream(git, box, tmp_path):
    """A bare repository that only this test has; .public and .private are its URLs."""
    class Upstream:
        def __init__(self):
            self.name = tmp_path.name + ".git"
            self.bare = box.git_base / "srv" / "public" / self.name
            shutil.copytree(box.git_base / "srv" / "public" / "r.git", self.bare)
            (box.git_base / "srv" / "private" / self.name).symlink_to(self.bare)
            self.public, self.private = f"{git}/public/{self.name}", f"{git}/private/{self.name}"

        def git(self, *arguments):
            return subprocess.run(["git", "-C", self.bare, "-c", "user.name=t", "-c", "user.email=t@e", *arguments],
                                  check=True, capture_output=True, text=True).stdout.strip()

        def advance(self, branch="main"):
            """Somebody else's commit on it."""
            new = self.git("commit-tree", "-p", branch, "-m", "by somebody else", f"{branch}^{{tree}}")
            self.git("update-ref", f"refs/heads/{branch}", new)
            return new

    return Upstream()


CREDENTIALS = {"username": "user", "password": SECRET}


def test_old_go_clients_see_what_they_know_of_a_status(box, repo):
    target = box.query("/git/status", path=repo)
    old = box.get(target, headers={"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "v0.173.0"}).json
    new = box.get(target, headers={"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "v0.188.0"}).json
    assert set(new) - set(old) == {"detached", "upstream"} and set(old) < set(new)
    assert old == {"currentBranch": "main", "ahead": 0, "behind": 0, "branchPublished": True, "fileStatus": []}


def test_status(box, repo):
    clean = status(box, repo)
    assert clean == {"currentBranch": "main", "ahead": 0, "behind": 0, "branchPublished": True, "detached": False,
                     "upstream": "origin/main", "fileStatus": []}
    box.sh(f"""cd {repo}; printf x > file; mkdir -p d/e; echo 1 > d/e/new; echo 2 > 'a b'; echo 3 > staged; git add staged
               echo moved > before; git add before; git -c user.name=t -c user.email=t@e commit -qm c before; git mv before after""")
    assert changes(box, repo) == {
        "file": ("Unmodified", "Modified", ""), "d/e/new": ("Untracked", "Untracked", ""),
        "a b": ("Untracked", "Untracked", ""), "staged": ("Added", "Unmodified", ""),
        "after": ("Renamed", "Unmodified", "before")}
    now = status(box, repo)
    assert (now["ahead"], now["behind"], now["branchPublished"]) == (1, 0, True)
    box.sh(f"cd {repo}; git checkout -qf --detach HEAD; git rm -q --cached file")
    now = status(box, repo)
    assert (now["currentBranch"], now["detached"], now["upstream"], now["branchPublished"]) == ("HEAD", True, "", False)
    assert [(f["staging"], f["worktree"]) for f in now["fileStatus"] if f["name"] == "file"] == \
        [("Deleted", "Unmodified"), ("Untracked", "Untracked")]
    assert status(box, repo + "/d")["currentBranch"] == "HEAD"
    # Go SDKs before 0.188 refuse an answer with a member that they do not know.
    old = box.get(box.query("/git/status", path=repo), headers={"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "v0.173.0"}).json
    assert set(old) == {"currentBranch", "ahead", "behind", "branchPublished", "fileStatus"}


def test_status_of_a_conflict(box, repo):
    box.sh(f"""cd {repo}; g() {{ git -c user.name=t -c user.email=t@e "$@"; }}
               g checkout -qb side; echo side > file; g commit -qam side; g checkout -q main; echo main > file
               g commit -qam main; ! g merge side >/dev/null""")
    assert changes(box, repo) == {"file": ("Updated but unmerged", "Updated but unmerged", "")}
    commit(box, repo, status=409, code="GIT_MERGE_CONFLICT")
    api(box, "checkout", 409, "GIT_MERGE_CONFLICT", path=repo, branch="side")


def test_bug_766_no_repository(box, git):
    box.sh("mkdir -p r/none")
    for operation, more in [("status", {}), ("branches", {}), ("history", {}), ("remotes", {})]:
        for path in ("r/none", "r/not-there"):
            api(box, operation, 404, "GIT_REPO_NOT_FOUND", method="GET", path=path, **more)
    api(box, "add", 404, "GIT_REPO_NOT_FOUND", path="r/none", files=["."])
    api(box, "pull", 404, "GIT_REPO_NOT_FOUND", path="r/none")
    api(box, "status", 400, method="GET", path="")


def test_names_that_are_not_utf8(box, repo):
    box.sh(f"cd {repo}; touch \"$(printf 'caf\\351')\" \"$(printf 'new\\nline')\" 'ünï'")
    assert set(changes(box, repo)) == {"caf�", "new\nline", "ünï"}
    box.sh(f"cd {repo}; touch cafe 'caf[' caf")
    api(box, "add", path=repo, files=["caf�", "new\nline", "caf["])
    staged = {name for name, words in changes(box, repo).items() if words[0] == "Added"}
    assert staged == {"caf�", "new\nline", "caf["}, "a name that was shown can be used"
    api(box, "reset", path=repo, files=["caf�"])
    assert changes(box, repo)["caf�"] == ("Untracked", "Untracked", "")
    box.sh(f"cd {repo}; touch 'real�'")
    api(box, "add", path=repo, files=["real�"])
    assert changes(box, repo)["real�"] == ("Added", "Unmodified", "")
    api(box, "add", path=repo, files=["."])
    commit(box, repo, "é ü\n\nbody")
    assert api(box, "history", method="GET", path=repo).json[0]["message"] == "é ü\n\nbody"


def test_history(box, repo):
    found = api(box, "history", method="GET", path=repo).json
    assert [c["hash"] for c in found] == box.commits[::-1]
    assert [c["message"] for c in found] == ["commit 2", "commit 1", "commit 0"]
    assert {(c["author"], c["email"]) for c in found} == {("t", "t@example.com")}
    assert all(time.strptime(c["timestamp"], "%Y-%m-%dT%H:%M:%S%z") for c in found)


def test_bug_19_lists_are_never_null(box):
    api(box, "init", path="r/new", initial_branch="trunk")
    assert api(box, "branches", method="GET", path="r/new").json == {"branches": [], "current": ""}
    assert api(box, "history", method="GET", path="r/new").json == []
    assert api(box, "remotes", method="GET", path="r/new").json == {"remotes": []}
    fresh = status(box, "r/new")
    assert (fresh["currentBranch"], fresh["fileStatus"], fresh["branchPublished"]) == ("trunk", [], False)
    api(box, "init", path="r/new")
    api(box, "branches", 201, path="r/new", name="other")
    assert status(box, "r/new")["currentBranch"] == "other"
    api(box, "init", 409, "FILE_EXISTS", path="/etc/passwd")
    api(box, "init", 403, "FILE_ACCESS_DENIED", path="/root/x")
    api(box, "init", path="r/bare.git", bare=True)
    assert box.sh("git -C r/bare.git rev-parse --is-bare-repository") == "true\n"
    api(box, "status", 400, "BAD_REQUEST", method="GET", path="r/bare.git")
    api(box, "init", 400, "INVALID_REQUEST_BODY", path="r/x", initial_branch="a..b")
    api(box, "init", 400, "INVALID_REQUEST_BODY", path="r/x", initial_branch="--template=x")
    box.sh("rm -rf r/new r/bare.git")


def test_bug_19_branches(box, repo):
    box.sh(f"echo dirty > {repo}/file")
    api(box, "branches", 201, path=repo, name="feature/one")
    assert status(box, repo)["currentBranch"] == "feature/one", "a dirty tree does not matter"
    assert box.sh(f"cat {repo}/file") == "dirty\n"
    api(box, "branches", 409, "GIT_BRANCH_EXISTS", path=repo, name="main")
    assert status(box, repo)["currentBranch"] == "feature/one", "a refusal changes nothing"
    for bad in ("-x", "a b", "a..b", "x.lock"):
        api(box, "branches", 400, "INVALID_REQUEST_BODY", path=repo, name=bad)
    assert api(box, "branches", method="GET", path=repo).json == {"branches": ["feature/one", "main"], "current": "feature/one"}
    api(box, "branches", 409, "CONFLICT", method="DELETE", path=repo, name="feature/one")
    assert status(box, repo)["currentBranch"] == "feature/one", "the current one stays"
    api(box, "branches", 404, "GIT_BRANCH_NOT_FOUND", method="DELETE", path=repo, name="nope")
    api(box, "checkout", path=repo, branch="main")
    api(box, "branches", 204, method="DELETE", path=repo, name="feature/one")
    assert api(box, "branches", method="GET", path=repo).json == {"branches": ["main"], "current": "main"}
    box.sh(f"cd {repo}; git checkout -qf --detach HEAD")
    assert api(box, "branches", method="GET", path=repo).json == {"branches": ["main"], "current": ""}
    # Go SDKs before 0.188 refuse an answer with a member that they do not know.
    old = {"X-Daytona-Source": "sdk-go", "X-Daytona-SDK-Version": "v0.173.0"}
    assert box.get(box.query("/git/branches", path=repo), headers=old).json == {"branches": ["main"]}


def test_bug_19_checkout(box, repo):
    api(box, "checkout", path=repo, branch="other")
    assert status(box, repo)["upstream"] == "origin/other", "a branch of the remote is followed"
    api(box, "checkout", path=repo, branch=box.commits[1][:8])
    assert status(box, repo)["detached"] and box.sh(f"cat {repo}/file") == "1\n"
    api(box, "checkout", path=repo, branch=box.commits[0])
    for missing in ("nope", "file", "0" * 40, "deadbeef"):
        api(box, "checkout", 404, "GIT_BRANCH_NOT_FOUND", path=repo, branch=missing)
    api(box, "checkout", 400, "INVALID_REQUEST_BODY", path=repo, branch="--orphan")
    api(box, "checkout", path=repo, branch="main")
    box.sh(f"echo mine > {repo}/file")
    api(box, "checkout", 409, "GIT_DIRTY_WORKTREE", path=repo, branch="other")
    assert box.sh(f"cat {repo}/file") == "mine\n"


def test_add_and_commit(box, repo):
    box.sh(f"cd {repo}; echo 1 > one; echo 2 > '*'; echo 3 > -x; rm file; echo ignored > .gitignore; echo 4 > ignored")
    api(box, "add", path=repo, files=["*", "-x"])
    assert changes(box, repo)["one"] == ("Untracked", "Untracked", ""), "paths are no patterns"
    answer = commit(box, repo, "only what was added").json
    assert answer == {"hash": box.sh(f"git -C {repo} rev-parse HEAD").strip()}
    assert box.sh(f"git -C {repo} log -1 --format='%an <%ae> %cn <%ce> %s' --name-only") == \
        "Ada <ada@example.com> Ada <ada@example.com> only what was added\n\n*\n-x\n"
    api(box, "add", 404, "FILE_NOT_FOUND", path=repo, files=["nope"])
    api(box, "add", 400, "BAD_REQUEST", path=repo, files=["ignored"])
    api(box, "add", 400, "INVALID_REQUEST_BODY", path=repo, files=[])
    api(box, "add", 400, path=repo, files=["../../../etc/passwd"])
    api(box, "add", path=repo, files=["."])
    commit(box, repo, "# not a comment\n\nall of it")
    assert status(box, repo)["fileStatus"] == []
    assert api(box, "history", method="GET", path=repo).json[0]["message"] == "# not a comment\n\nall of it"
    refused = commit(box, repo, status=400, code="BAD_REQUEST")
    assert "cannot create empty commit: clean working tree" in refused.json["message"]
    commit(box, repo, allow_empty=True)
    for wrong in ({"message": ""}, {"message": " \n"}, {"author": "<>"}, {"author": ""}):
        api(box, "commit", 400, "INVALID_REQUEST_BODY", allow_empty=True,
            **{"path": repo, "message": "m", "author": "a", "email": "b", **wrong})
    box.sh(f"touch {repo}/.git/index.lock")
    assert "index.lock" in api(box, "add", 409, "CONFLICT", path=repo, files=["."]).json["message"]
    box.sh(f"rm {repo}/.git/index.lock")
    commit(box, repo, "x" * 300_000, allow_empty=True)
    many = [f"m/{i}" for i in range(3000)]
    box.sh(f"cd {repo}; mkdir m; cd m; touch $(seq 0 2999)")
    api(box, "add", path=repo, files=many)
    assert sum(s[0] == "Added" for s in changes(box, repo).values()) == 3000


def test_bug_19_hooks_and_signing(box, repo):
    box.sh(f"cd {repo}/.git/hooks; printf '#!/bin/sh\\necho no good >&2\\nexit 1\\n' > pre-commit; chmod +x pre-commit")
    refused = commit(box, repo, status=409, code="CONFLICT", allow_empty=True)
    assert "no good" in refused.json["message"]
    box.sh(f"cd {repo}; rm .git/hooks/pre-commit; git config gpg.program /bin/false; git config commit.gpgSign true")
    assert "gpg failed to sign" in commit(box, repo, status=500, allow_empty=True).json["message"]


def test_reset(box, repo):
    box.sh(f"cd {repo}; echo x > file; echo y > new; git add .")
    api(box, "reset", path=repo, files=["new"])
    assert changes(box, repo) == {"file": ("Modified", "Unmodified", ""), "new": ("Untracked", "Untracked", "")}
    api(box, "reset", path=repo)
    assert changes(box, repo)["file"] == ("Unmodified", "Modified", "")
    api(box, "reset", path=repo, mode="soft", target="HEAD~1")
    assert box.sh(f"git -C {repo} rev-parse HEAD; cat {repo}/file") == f"{box.commits[1]}\nx\n"
    api(box, "reset", path=repo, mode="hard", target=box.commits[2])
    assert box.sh(f"cat {repo}/file") == "2\n"
    api(box, "reset", 400, "INVALID_REQUEST_BODY", path=repo, mode="softly")
    api(box, "reset", 400, "INVALID_REQUEST_BODY", path=repo, mode="hard", files=["file"])
    api(box, "reset", 404, "GIT_BRANCH_NOT_FOUND", path=repo, target="nope")
    api(box, "reset", 400, "INVALID_REQUEST_BODY", path=repo, target="--pathspec-from-file=x")


def test_restore(box, repo):
    box.sh(f"cd {repo}; echo x > file; git add file; echo y > file")
    api(box, "restore", path=repo, files=["file"])
    assert box.sh(f"cat {repo}/file") == "x\n"
    api(box, "restore", path=repo, files=["file"], staged=True)
    assert changes(box, repo)["file"] == ("Unmodified", "Modified", "")
    api(box, "restore", path=repo, files=["file"], staged=True, worktree=True, source=box.commits[0][:10])
    assert box.sh(f"cat {repo}/file") == "0\n"
    api(box, "restore", 404, path=repo, files=["nope"])
    api(box, "restore", 404, "GIT_BRANCH_NOT_FOUND", path=repo, files=["file"], source="nope")
    api(box, "restore", 400, "INVALID_REQUEST_BODY", path=repo, files=["file"], staged=False, worktree=False)


def test_remotes(box, git, repo):
    one = {"name": "origin", "url": git + "/public/r.git"}
    assert api(box, "remotes", method="GET", path=repo).json == {"remotes": [one]}
    api(box, "remotes", path=repo, name="up.stream", url=git + "/public/r.git", fetch=True)
    assert "refs/remotes/up.stream/other" in box.sh(f"git -C {repo} for-each-ref")
    api(box, "remotes", 409, "CONFLICT", path=repo, name="origin", url="https://example.com/x")
    api(box, "remotes", path=repo, name="origin", url="example.com/x", overwrite=True)
    assert api(box, "remotes", method="GET", path=repo).json == {"remotes": [
        {"name": "origin", "url": "https://example.com/x"}, {"name": "up.stream", "url": git + "/public/r.git"}]}
    api(box, "remotes", 400, "INVALID_REQUEST_BODY", path=repo, name="x", url="ext::sh -c id")
    api(box, "remotes", 400, "INVALID_REQUEST_BODY", path=repo, name="--mirror", url="https://example.com/x")


def test_config(box, repo):
    get = lambda **members: api(box, "config", method="GET", **members).json
    assert get(key="user.name") == {} == get(key="user.name", scope="global")
    api(box, "config/user", name="Ada L", email="ada@example.com")
    assert get(key="user.name") == {"value": "Ada L"} and get(key="user.email") == {"value": "ada@example.com"}
    api(box, "config/user", name="Here", email="here@example.com", scope="local", path=repo)
    assert get(key="user.name", scope="local", path=repo) == {"value": "Here"}
    api(box, "config", key="core.x", value="-v", scope="local", path=repo)
    api(box, "config", key="core.x", value="", scope="local", path=repo)
    assert get(key="core.x", scope="local", path=repo) == {"value": ""}
    api(box, "config", 400, "INVALID_REQUEST_BODY", key="nodot", value="x")
    api(box, "config", 400, "INVALID_REQUEST_BODY", method="GET", key="nodot")
    api(box, "config", 400, "INVALID_REQUEST_BODY", key="--unset", value="user.name")
    api(box, "config", 400, "INVALID_REQUEST_BODY", key="a.b", value="x", scope="local")
    api(box, "config", 400, "INVALID_REQUEST_BODY", key="a.b", value="x", scope="nowhere")
    api(box, "config", 403, "FILE_ACCESS_DENIED", key="a.b", value="x", scope="system")
    api(box, "config", 404, "GIT_REPO_NOT_FOUND", key="a.b", value="x", scope="local", path="/tmp")
    box.sh("git config --global --unset user.name; git config --global --unset user.email")


def test_stored_credentials(box, git, upstream):
    api(box, "credentials", username="user", password=SECRET, host="127.0.0.1:3100", protocol="http")
    api(box, "credentials", username="user", password=SECRET, host="127.0.0.1:3100", protocol="http")
    assert box.sh("git config --global --get-all credential.helper; stat -c %a ~/.git-credentials") == "store\n600\n"
    assert clone(box, upstream.private, "r/stored").status == 200
    upstream.advance()
    api(box, "pull", path="r/stored")
    for bad in ({"host": "a/b"}, {"protocol": "file"}, {"username": "a\nhost=evil"}):
        api(box, "credentials", 400, "INVALID_REQUEST_BODY", **{**CREDENTIALS, **bad})
    box.sh("rm -rf r/stored ~/.git-credentials; git config --global --unset credential.helper")


def test_push_and_pull(box, git, upstream):
    for path in ("r/a", "r/b"):
        assert clone(box, upstream.public, path).status == 200
    api(box, "pull", path="r/a")  # up to date
    api(box, "push", path="r/a")
    first = commit(box, "r/a", allow_empty=True).json["hash"]
    api(box, "push", path="r/a")
    assert upstream.git("rev-parse", "main") == first
    other = upstream.advance()
    commit(box, "r/a", "mine", allow_empty=True)
    api(box, "push", 409, "GIT_PUSH_REJECTED", path="r/a")
    api(box, "pull", 409, "GIT_MERGE_CONFLICT", path="r/a")
    api(box, "pull", path="r/b")
    assert box.sh("git -C r/b rev-parse HEAD").strip() == other
    # A branch that only exists here, then one that only exists there.
    api(box, "branches", 201, path="r/b", name="topic")
    assert not status(box, "r/b")["branchPublished"]
    api(box, "pull", 404, "GIT_BRANCH_NOT_FOUND", path="r/b")
    api(box, "push", path="r/b", set_upstream=True)
    assert status(box, "r/b")["upstream"] == "origin/topic"
    upstream.advance("topic")
    api(box, "pull", path="r/b")
    api(box, "pull", path="r/b", branch="topic", remote="origin")
    api(box, "push", 404, "GIT_BRANCH_NOT_FOUND", path="r/b", branch="nope")
    api(box, "push", 404, "GIT_REPO_NOT_FOUND", path="r/b", remote="nowhere")
    api(box, "pull", 404, "GIT_REPO_NOT_FOUND", path="r/b", remote="nowhere")
    api(box, "push", 400, "INVALID_REQUEST_BODY", path="r/b", remote="--receive-pack=id")
    box.sh("git -C r/b checkout -q --detach")
    api(box, "push", 404, "GIT_BRANCH_NOT_FOUND", path="r/b")
    box.sh("rm -rf r/a r/b")


def test_pull_over_local_changes(box, git, upstream):
    assert clone(box, upstream.public, "r/a").status == 200
    box.sh("cd r/a; git reset -q --hard HEAD~1; echo local > file")
    api(box, "pull", 409, "GIT_DIRTY_WORKTREE", path="r/a")
    assert box.sh("cat r/a/file") == "local\n"
    box.sh("rm -rf r/a")


def test_the_remote_declines(box, upstream):
    hook = upstream.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    assert clone(box, upstream.public, "r/a").status == 200
    commit(box, "r/a", allow_empty=True)
    answer = api(box, "push", 422, "GIT_REMOTE_REJECTED", path="r/a")
    assert "protected" in answer.json["message"]
    box.sh("rm -rf r/a")


def test_push_and_pull_with_a_password(box, git, upstream):
    assert clone(box, upstream.private, "r/p", **CREDENTIALS).status == 200
    commit(box, "r/p", allow_empty=True)
    for operation in ("push", "pull"):
        api(box, operation, 401, "GIT_AUTH_FAILED", path="r/p")
        refused = api(box, operation, 401, "GIT_AUTH_FAILED", path="r/p", username="user", password="wrong-secret")
        assert b"wrong-secret" not in refused.body
    api(box, "push", path="r/p", **CREDENTIALS)
    other = upstream.advance()
    api(box, "pull", path="r/p", **CREDENTIALS)
    assert box.sh("git -C r/p rev-parse HEAD").strip() == other
    for path in sandbox_files(box, "/home", "/tmp", "/etc"):
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in box.log
    box.sh("rm -rf r/p")


@pytest.mark.parametrize("operation", ["push", "pull"])
def test_no_process_list_has_the_password(box, git, upstream, operation):
    assert clone(box, upstream.private, "r/p", **CREDENTIALS).status == 200
    commit(box, "r/p", allow_empty=True)
    (box.git_base / "held").unlink(missing_ok=True)
    (box.git_base / "hold").touch()
    connection = box.connection()
    connection.request("POST", "/git/" + operation, json.dumps({"path": "r/p", **CREDENTIALS}))
    wait_for((box.git_base / "held").exists)
    in_no_process([SECRET.encode()])
    (box.git_base / "hold").unlink()
    assert connection.getresponse().status == 200
    box.sh("rm -rf r/p")


def test_bug_766_servers_that_fail(box, repo):
    api(box, "remotes", path=repo, name="dead", url="http://127.0.0.1:3999/r.git")
    api(box, "remotes", path=repo, name="unknown", url="https://no.such.host.invalid/r.git")
    api(box, "remotes", path=repo, name="gone", url="http://127.0.0.1:3100/public/gone.git")
    for remote, number, code in (("dead", 502, "GIT_TRANSPORT_FAILED"), ("unknown", 502, "GIT_TRANSPORT_FAILED"),
                                 ("gone", 404, "GIT_REPO_NOT_FOUND")):
        api(box, "push", number, code, path=repo, remote=remote)
        api(box, "pull", number, code, path=repo, remote=remote, branch="main")


SPY = "#!/bin/sh\n{ env; cat /proc/self/fd/4 /proc/$PPID/fd/4; } > /tmp/spy 2>/dev/null\ncat >/dev/null 2>&1\nexit 0\n"


@pytest.mark.parametrize("name,settings,works", [
    ("helper", {"credential.helper": "!/tmp/spy.sh", "credential.http://127.0.0.1:3100.helper": "!/tmp/spy.sh"}, True),
    ("fsmonitor", {"core.fsmonitor": "/tmp/spy.sh"}, True),
    ("hooks", {"core.hooksPath": "/tmp/spies"}, True),
    ("askpass", {"core.askPass": "/tmp/spy.sh"}, True),
    ("ssh", {"core.sshCommand": "/tmp/spy.sh"}, True),
    ("gc", {"gc.auto": "1", "core.alternateRefsCommand": "/tmp/spy.sh"}, False),
    ("proxy", {"http.proxy": "http://127.0.0.1:3101"}, False),
    ("proxy of a site", {"http.http://127.0.0.1:3100.proxy": "http://127.0.0.1:3101"}, False),
    ("proxy of a remote", {"remote.origin.proxy": "http://127.0.0.1:3101"}, False),
    ("tls", {"http.sslVerify": "false"}, False),
    ("rewritten", {"url.http://127.0.0.1:3101/.insteadOf": "http://127.0.0.1:3100/"}, False),
    ("rewritten push", {"url.http://127.0.0.1:3101/.pushInsteadOf": "http://127.0.0.1:3100/"}, False),
    ("included", {"include.path": "/tmp/included"}, False),
    ("of a worktree", {"extensions.worktreeConfig": "true", "http.proxy": "--worktree"}, False),
    ("program", {"remote.origin.vcs": "ext", "protocol.ext.allow": "always"}, False)])
def test_a_hostile_repository_gets_no_password(box, git, upstream, name, settings, works):
    """Its settings either do nothing while git has the password, or are refused."""
    assert clone(box, upstream.private, "r/h", **CREDENTIALS).status == 200
    for old in box.git_base.glob("other-server-*"):
        old.unlink()
    commit(box, "r/h", allow_empty=True)
    write_spy(box)
    box.sh("git config -f /tmp/included http.proxy http://127.0.0.1:3101")
    for key, value in settings.items():
        box.sh(f"git -C r/h config --worktree '{key}' http://127.0.0.1:3101" if value == "--worktree" else
               f"git -C r/h config '{key}' '{value}'")
    for operation in ("push", "pull"):
        answer = box.post("/git/" + operation, {"path": "r/h", **CREDENTIALS})
        if works:
            assert answer.status == 200, answer.body
        else:
            assert answer.status == 409 and "configuration sets" in answer.json["message"], answer.body
    assert SECRET not in box.sh("[ ! -e /tmp/spy ] || cat /tmp/spy")
    assert not (box.git_base / "other-server-got-a-password").exists()
    box.sh("rm -rf r/h /tmp/spy /tmp/spies /tmp/spy.sh")


def write_spy(box):
    """/tmp/spy.sh, and the same as each hook; in the repository as well."""
    box.sh(f"cat > /tmp/spy.sh <<'END'\n{SPY}END\nchmod 755 /tmp/spy.sh; mkdir /tmp/spies; "
           "for h in pre-push post-merge reference-transaction post-checkout; do "
           "cp /tmp/spy.sh /tmp/spies/$h; cp /tmp/spy.sh r/h/.git/hooks/$h; done")


def test_the_spy_sees_what_can_be_seen(box, git, upstream):
    """Else the test above would prove nothing: hooks do run, without the password."""
    assert clone(box, upstream.private, "r/h", **CREDENTIALS).status == 200
    write_spy(box)
    commit(box, "r/h", allow_empty=True)
    box.sh("rm -f /tmp/spy")
    api(box, "push", path="r/h", **CREDENTIALS)
    seen = box.sh("cat /tmp/spy")
    assert "GIT_TERMINAL_PROMPT" in seen and SECRET not in seen, "pre-push ran"
    upstream.advance()
    box.sh("rm -f /tmp/spy; rm r/h/.git/hooks/reference-transaction")
    api(box, "pull", path="r/h", **CREDENTIALS)
    assert "GIT_" in box.sh("cat /tmp/spy"), "post-merge ran"
    # The same spy as a process with the password's descriptor does find it.
    assert box.sh(f"printf %s '{SECRET}' > /tmp/w; sh /tmp/spy.sh 4</tmp/w; grep -c '{SECRET}' /tmp/spy") == "1\n"
    box.sh("printf '#!/bin/sh\\nexit 3\\n' > r/h/.git/hooks/pre-push; rm -f /tmp/w")
    commit(box, "r/h", allow_empty=True)
    api(box, "push", 409, "GIT_PUSH_REJECTED", path="r/h", **CREDENTIALS)
    box.sh("rm -rf r/h /tmp/spy /tmp/spies /tmp/spy.sh")


def test_tls_is_verified_before_the_password_is_sent(box, git):
    url, mark = "https://127.0.0.1:3102/private/r.git", box.git_base / "tls-server-got-a-password"
    answer = clone(box, url, "r/t", **CREDENTIALS)
    assert (answer.status, answer.json["code"]) == (502, "GIT_TRANSPORT_FAILED") and "certificate" in answer.json["message"]
    assert not mark.exists()
    assert clone(box, url, "r/t", insecure_skip_tls=True, **CREDENTIALS).status == 200
    assert mark.exists()
    mark.unlink()
    # traceroot #1175: an authority that is added later counts at once.
    place = box.dir / "etc" / "ssl" / "certs" / "ca-certificates.crt"
    place.parent.mkdir(parents=True)
    shutil.copy(box.git_base / "cert", place)
    api(box, "pull", path="r/t", **CREDENTIALS)
    place.unlink()
    mark.unlink()
    api(box, "pull", 502, "GIT_TRANSPORT_FAILED", path="r/t", **CREDENTIALS)
    assert not mark.exists(), "it was for that clone alone"
    box.sh("rm -rf r/t")


def test_depth(box, git):
    assert clone(box, git + "/public/r.git", "r/d", depth=1).status == 200
    assert box.sh("git -C r/d rev-list --count HEAD; cat r/d/file") == "1\n2\n"
    box.sh("rm -rf r/d")
    assert clone(box, git + "/public/r.git", "r/d", depth=2, branch="main", commit_id=box.commits[1]).status == 200
    assert box.sh("cat r/d/file") == "1\n"
    box.sh("rm -rf r/d")


# --- ssh ---

@pytest.fixture(scope="module")
def sshd(box, git, tmp_path_factory):
    """A real sshd beside the sandbox; its user there has the key."""
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o755)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "config").write_text(
        f"Port 3122\nListenAddress 127.0.0.1\nHostKey {folder}/host\nUsePAM no\nStrictModes no\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/client.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n")
    pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(["nsenter", "-t", str(box.pid), "--net", "/usr/sbin/sshd", "-D", "-e", "-f", folder / "config"],
                               stdin=subprocess.DEVNULL, stderr=open(folder / "log", "wb"))
    wait_for(lambda: box.listens(3122))
    yield (folder / "client").read_text()
    process.terminate()
    process.wait()


def test_bug_19_ssh(box, git, upstream, sshd):
    url = f"ssh://root@127.0.0.1:3122{upstream.bare}"
    answer = clone(box, url, "r/s")
    assert (answer.status, answer.json["code"]) == (401, "GIT_AUTH_FAILED")
    box.sh(f"mkdir -m 700 ~/.ssh; printf %s '{sshd}' > ~/.ssh/id_ed25519; chmod 600 ~/.ssh/id_ed25519")
    assert clone(box, url, "r/s").status == 200
    hash = commit(box, "r/s", allow_empty=True).json["hash"]
    api(box, "push", path="r/s", **CREDENTIALS)  # a password is nothing to ssh
    assert upstream.git("rev-parse", "main") == hash
    other = upstream.advance()
    # A key of the user's own choice is used.
    box.sh("mv ~/.ssh/id_ed25519 ~/.ssh/other; git config --global core.sshCommand 'ssh -i ~/.ssh/other -o BatchMode=yes'")
    api(box, "pull", path="r/s")
    assert box.sh("git -C r/s rev-parse HEAD").strip() == other
    box.sh("git config --global --unset core.sshCommand; rm -rf r/s ~/.ssh")


# --- what repositories hold ---

def test_bug_19_submodules(box, git, upstream):
    upstream_url = git + "/public/r.git"
    box.sh(f"""mkdir -p r; cd r; git init -q with; cd with; git -c protocol.file.allow=always submodule --quiet add {upstream_url} sub
               git -c user.name=t -c user.email=t@e commit -qm s; git push -q {upstream.public} HEAD:refs/heads/subs""")
    answer = clone(box, upstream.public, "r/m", branch="subs")
    assert answer.status == 200 and box.sh("cat r/m/sub/file") == "2\n", answer.body
    assert not answer.headers.get("X-Daytona-Git-Warning")
    box.sh(f"""cd r/with; git config -f .gitmodules submodule.sub.url "$PWD"; git -c user.name=t -c user.email=t@e commit -qam s
               git push -q {upstream.public} HEAD:refs/heads/subs; rm -rf ../m""")
    answer = clone(box, upstream.public, "r/m", branch="subs")
    assert answer.status == 200 and "not allowed" in answer.headers["X-Daytona-Git-Warning"]
    assert box.sh("ls -A r/m/sub") == ""
    box.sh("rm -rf r/m r/with")


def test_bug_19_attributes_and_lfs_pointers(box, git, upstream):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n"
    box.sh(f"""mkdir -p r; git clone -q {upstream.public} r/l; cd r/l; echo '*.bin filter=lfs diff=lfs merge=lfs -text' > .gitattributes
               echo '*.up filter=up' >> .gitattributes; printf %s '{pointer}' > big.bin; echo ABC > x.up; git add .
               git -c user.name=t -c user.email=t@e commit -qm l; git push -q origin HEAD:refs/heads/lfs; cd ..; rm -rf l""")
    box.sh("git config --global filter.up.smudge 'tr A-Z a-z'; git config --global filter.up.clean 'tr a-z A-Z'")
    assert clone(box, upstream.public, "r/l", branch="lfs").status == 200
    assert box.sh("cat r/l/big.bin") == pointer and box.sh("cat r/l/x.up") == "abc\n"
    assert status(box, "r/l")["fileStatus"] == []
    box.sh("rm -rf r/l; git config --global --remove-section filter.up")


def test_bug_4544_large(git):
    """Tens of thousands of files and commits pass through without staying in memory."""
    with Box(binary="daytona-toolbox") as real:
        real.sh("""git init -q r; cd r; mkdir -p $(seq -f d%g 0 99); for d in d*; do touch $d/$(printf 'n%.0s' $(seq 1 100))-; done
                   for d in d*; do (cd $d; touch $(seq -f a-rather-long-name-of-a-file-%g 0 299)); done
                   { for i in $(seq 1 30000); do printf 'commit refs/heads/master\\ncommitter A <a@e> %d +0000\\ndata 200\\n%0200d\\n' $i $i; done; } |
                   git fast-import --quiet""")
        real.get("/version")
        before = real.memory()
        assert len(status(real, "r")["fileStatus"]) == 30_100
        assert len(api(real, "history", method="GET", path="r").json) == 30_000
        assert real.memory("VmHWM") - before < 6 * 1024, "KiB"
        assert clone(real, "file:///home/daytona/r", "clone").status == 200
        assert real.memory("VmHWM") - before < 6 * 1024, "KiB"
        # A slow client gets all of it, and one that goes away ends the git.
        connection = real.connection()
        connection.request("GET", "/git/history?path=r")
        response = connection.getresponse()
        body = bytearray()
        for _ in range(30):
            body += response.read(10_000)
            time.sleep(0.02)
        assert real.processes("tformat") > 0, "it waits for us"
        assert len(json.loads(body + response.read())) == 30_000
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(real.socket)
            s.sendall(b"GET /git/history?path=r HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 200")
            assert real.processes("tformat") > 0, "it waits for us"
        wait_for(lambda: real.processes("tformat") == 0)


def test_dubious_ownership(box, repo):
    """root's repository is used, another user's is not."""
    home = f"/proc/{box.pid}/root/home/daytona/"
    subprocess.run(["chown", "-R", "0:0", home + repo], check=True)
    subprocess.run(["chmod", "-R", "a+rX", home + repo], check=True)
    assert status(box, repo)["currentBranch"] == "main"
    subprocess.run(["chown", "-R", "44:44", home + repo], check=True)
    answer = api(box, "status", 403, "FORBIDDEN", method="GET", path=repo)
    assert "safe.directory" in answer.json["message"]
    path = box.sh(f"readlink -f {repo}").strip()
    api(box, "config", key="safe.directory", value=path)
    assert status(box, repo)["currentBranch"] == "main"
    box.sh("git config --global --unset safe.directory")
    subprocess.run(["chown", "-R", "1000:1000", home + repo], check=True)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_client_that_leaves_leaves_no_lock(box, repo, stubborn):
    """A commit whose client goes away ends cleanly: the repository can be used. What ignores the signal is killed."""
    ignore = 'trap "" TERM;' if stubborn else ""
    box.sh(f"cd {repo}/.git/hooks; printf '#!/bin/sh\\n%s touch /tmp/in-hook; sleep 60\\n' '{ignore}' > pre-commit; chmod +x pre-commit")
    box.sh(f"rm -f /tmp/in-hook; cd {repo}; echo x > x; git add x")
    connection = box.connection()
    connection.request("POST", "/git/commit", json.dumps({"path": repo, "message": "m", "author": "a", "email": "e"}))
    wait_for(lambda: box.run("ls /tmp/in-hook").json["exitCode"] == 0)
    connection.close()
    wait_for(lambda: box.processes("git") == 0 and box.processes("pre-commit") == 0)
    box.sh(f"rm {repo}/.git/hooks/pre-commit")
    assert stubborn or box.sh(f"find {repo}/.git -name '*.lock'") == ""
    if not stubborn:
        commit(box, repo)

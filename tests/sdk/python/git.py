"""Git as the documentation of the Python SDK shows it: git.py VERSION KIND OPEN-URL SECRET-URL
URL-WITH-A-SUBMODULE [SNAPSHOT-WITHOUT-GIT]"""
import os
import time

from client import ARGUMENTS, DaytonaNotFoundError, main, refused, settle, since
from daytona import CreateSandboxFromSnapshotParams

OPEN, SECRET, MODULES, *SNAPSHOT = ARGUMENTS
CREDENTIALS = {"username": os.environ["GIT_USER"], "password": os.environ["GIT_PASSWORD"]}


async def upload(sandbox, name, text):
    await settle(sandbox.fs.upload_file(text, name))


async def use(daytona):
    params = CreateSandboxFromSnapshotParams(snapshot=SNAPSHOT[0]) if SNAPSHOT else None
    sandbox = await settle(daytona.create(params) if params else daytona.create())
    git = sandbox.git
    root = (await settle(sandbox.get_work_dir())).rstrip("/") + "/workspace"
    await settle(git.clone(url=OPEN, path=root + "/open", branch="feature"))
    status = await settle(git.status(root + "/open"))
    assert (status.current_branch, status.file_status, status.ahead, status.behind) == ("feature", [], 0, 0), status
    await refused(lambda: git.clone(url=SECRET, path=root + "/repo"))
    await settle(git.clone(url=SECRET, path=root + "/repo", **CREDENTIALS))
    repo = root + "/repo"
    name = f"branch/{os.getpid()}-{time.time_ns()}"
    await settle(git.create_branch(repo, name))
    await settle(git.checkout_branch(repo, "main"))
    await settle(git.checkout_branch(repo, name))
    listed = await settle(git.branches(repo))
    assert listed.branches == [name, "main"] and (not since(218) or listed.current == name)
    await upload(sandbox, repo + "/file1.txt", b"one\n")
    await upload(sandbox, repo + "/d/file2.txt", b"two\n")
    await settle(git.add(repo, ["file1.txt"]))
    status = await settle(git.status(repo))
    word = lambda s: getattr(s, "value", s)
    assert {f.name: (word(f.staging), word(f.worktree)) for f in status.file_status} == {
        "file1.txt": ("Added", "Unmodified"), "d/file2.txt": ("Untracked", "Untracked")}
    await settle(git.add(repo, ["."]))
    made = await settle(git.commit(path=repo, message="feat: add new feature", author="John Doe", email="john@example.com"))
    assert len(made.sha) == 40
    await settle(git.push(repo, **CREDENTIALS))
    await settle(git.pull(repo, **CREDENTIALS))
    wanted = {"commit_id": made.sha} if since(190) else {"branch": name}  # the older ones do not send the commit
    await settle(git.clone(url=SECRET, path=root + "/again", **wanted, **CREDENTIALS))
    assert await settle(sandbox.fs.download_file(root + "/again/d/file2.txt")) == b"two\n"
    await settle(git.commit(path=repo, message="empty", author="a", email="a@example.com", allow_empty=True))
    await settle(git.checkout_branch(repo, "main"))
    await settle(git.delete_branch(repo, name))
    await refused(lambda: git.delete_branch(repo, name), kind=DaytonaNotFoundError)
    assert (await settle(git.branches(repo))).branches == ["main"]
    await settle(git.clone(url=MODULES, path=root + "/modules"))
    assert await settle(sandbox.fs.list_files(root + "/modules/sub"))
    assert (await settle(git.status(root + "/modules"))).file_status == []
    await settle(daytona.delete(sandbox))


main(use)

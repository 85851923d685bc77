"""The files of a sandbox as the documentation of the Python SDK shows them (client.py says how to run it)."""
import io
import os
import pathlib
import tempfile

from client import DaytonaError, DaytonaNotFoundError, main, refused, settle, since
from daytona import CreateSandboxFromSnapshotParams, FileDownloadRequest, FileUpload

BIG = os.urandom(3_000_000)
ODD = ["work/naïve \"café\".txt", "work/日本語 🎉", "work/a;b%41+c"]


async def gather(value):
    """The bytes of a stream."""
    value = await settle(value)
    if hasattr(value, "__aiter__"):
        return b"".join([part async for part in value])
    return b"".join(value)


async def use(fs, local):
    await settle(fs.create_folder("work/deep/er", "755"))
    await settle(fs.upload_file(b"Hello, World!", "work/hello.txt"))
    assert await settle(fs.download_file("work/hello.txt")) == b"Hello, World!"
    (local / "big").write_bytes(BIG)
    await settle(fs.upload_file(str(local / "big"), "work/big.bin"))
    await settle(fs.download_file("work/big.bin", str(local / "back")))
    assert (local / "back").read_bytes() == BIG
    await settle(fs.upload_files([
        FileUpload(b"one TODO\ntwo\nTODO three", "work/deep/er/a.txt"), FileUpload(str(local / "big"), "work/deep/b.bin"),
        FileUpload(b"", "work/empty"), *(FileUpload(name.encode(), name) for name in ODD)]))
    got = await settle(fs.download_files([
        FileDownloadRequest("work/deep/er/a.txt"), FileDownloadRequest("work/deep/b.bin", str(local / "b")),
        FileDownloadRequest("work/missing"), FileDownloadRequest("work/empty"), FileDownloadRequest("work/deep"),
        *(FileDownloadRequest(name) for name in ODD)]))
    assert got[0].result == b"one TODO\ntwo\nTODO three" and (local / "b").read_bytes() == BIG
    assert "No such file" in got[2].error and "directory" in got[4].error
    if since(190):
        assert [got[i].error_details.error_code for i in (2, 4)] == ["FILE_NOT_FOUND", "INVALID_FILE_PATH"]
    assert got[3].result == b"" and got[3].error is None
    assert [g.result.decode() for g in got[5:]] == ODD
    await refused(lambda: fs.download_file("work/missing"), "No such file", DaytonaNotFoundError if since(190) else DaytonaError)
    await refused(lambda: fs.upload_files([FileUpload(b"x", "/proc/nothing/x")]), "/proc/nothing/x" if since(190) else "400 Bad Request")
    if since(190):
        assert await gather(fs.download_file_stream("work/big.bin")) == BIG
        await settle(fs.upload_file_stream(io.BytesIO(BIG), "work/streamed"))
    else:
        await settle(fs.upload_file(BIG, "work/streamed"))
    assert await settle(fs.download_file("work/streamed")) == BIG

    listed = await settle(fs.list_files("work"))
    assert [f.name for f in listed] == ["a;b%41+c", "big.bin", "deep", "empty", "hello.txt", "naïve \"café\".txt", "streamed", "日本語 🎉"]
    info = await settle(fs.get_file_info("work/hello.txt"))
    assert (info.name, info.is_dir, info.size, info.permissions, info.mode) == ("hello.txt", False, 13, "0644", "-rw-r--r--")
    await refused(lambda: fs.get_file_info("work/missing"), "No such file", DaytonaNotFoundError)
    found = await settle(fs.find_files("work", "TODO"))
    assert [(m.file, m.line, m.content) for m in found] == [
        ("work/deep/er/a.txt", 1, "one TODO"), ("work/deep/er/a.txt", 3, "TODO three")]
    assert (await settle(fs.search_files("work", "*.txt"))).files == ["work/deep/er/a.txt", "work/hello.txt", ODD[0]]
    assert (await settle(fs.search_files("work", "*.none"))).files == []
    replaced = await settle(fs.replace_in_files(["work/deep/er/a.txt", "work/missing"], "TODO", "DONE"))
    assert [(r.file, r.success) for r in replaced] == [("work/deep/er/a.txt", True), ("work/missing", False)]
    assert "No such file" in replaced[1].error
    assert await settle(fs.download_file("work/deep/er/a.txt")) == b"one DONE\ntwo\nDONE three"
    await settle(fs.set_file_permissions("work/hello.txt", mode="600"))
    assert (await settle(fs.get_file_info("work/hello.txt"))).permissions == "0600"
    await settle(fs.move_files("work/hello.txt", "work/moved.txt"))
    await refused(lambda: fs.move_files("work/moved.txt", "work/empty"), "already exists")
    await refused(lambda: fs.delete_file("work"), "recursive")
    await settle(fs.delete_file("work/moved.txt"))
    await settle(fs.delete_file("work", recursive=True))
    await refused(lambda: fs.list_files("work"), "No such file", DaytonaNotFoundError)


async def files(daytona):
    sandbox = await settle(daytona.create(CreateSandboxFromSnapshotParams(language="python")))
    with tempfile.TemporaryDirectory() as local:
        await use(sandbox.fs, pathlib.Path(local))
    await settle(sandbox.delete())


main(files)

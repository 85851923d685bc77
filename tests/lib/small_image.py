"""A root file system of busybox alone: no git, no libc, no ssh, no certificates."""
import shutil
import tarfile

APPLETS = ("sh", "ls", "cat", "find", "grep", "mkdir", "id", "echo", "chmod", "rm", "ps", "cp", "sleep")


def tar(folder):
    """Writes it below `folder` and returns the archive, for `snapshot import`."""
    root = folder / "root"
    for name in ("bin", "etc", "root", "tmp", "proc", "dev", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    file = folder / "small.tar"
    with tarfile.open(file, "w") as out:
        for path in sorted(root.iterdir()):
            out.add(path, path.name, filter=lambda m: m.replace(uid=0, gid=0, uname="", gname="", deep=False))
    return file

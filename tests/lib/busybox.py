"""A root file system of busybox alone: the smallest snapshot there is."""
import pathlib
import shutil
import tarfile
import tempfile

APPLETS = ("sh", "ls", "cat", "sleep", "echo", "httpd", "nc", "id", "dd", "printf", "read", "rm", "mkdir", "kill", "ip")


def make(tar_file):
    """Writes the tar; /www/index.html and the 4 MiB of /www/big are there to be served."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("bin", "etc", "root", "tmp", "proc", "dev", "sys", "www"):
            (root / name).mkdir()
        shutil.copy(shutil.which("busybox"), root / "bin" / "busybox")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\n")
        (root / "etc" / "group").write_text("root:x:0:\nusers:x:100:\n")
        (root / "www" / "index.html").write_text("hello from the sandbox\n")
        (root / "www" / "big").write_bytes(bytes(range(256)) * 4096 * 4)
        with tarfile.open(tar_file, "w") as tar:
            for path in sorted(root.iterdir()):
                tar.add(path, path.name, filter=lambda m: m.replace(uid=0, gid=0, uname="", gname="", deep=False))
    return tar_file

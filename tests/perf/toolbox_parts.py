"""Parts of bench.py about the toolbox: commands, many and large files, lists and searches, its memory."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid

import backend
from reader import download

median = statistics.median
MANY = 10000


class Box:
    """A sandbox with a kept connection to its toolbox."""

    def __init__(self, server):
        self.server = server
        status, made = server.request("POST", "/sandbox", {"disk": 6, "memory": 2})
        assert status == 200, made
        self.id = made["id"]
        self.c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.c.close()
        self.server.request("DELETE", f"/sandbox/{self.id}")

    def __call__(self, method, path, body=None, kind="application/json"):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.c.request(method, f"/api/toolbox/{self.id}/toolbox{path}", body,
                       {"Authorization": f"Bearer {backend.KEY}", "Content-Type": kind})
        reply = self.c.getresponse()
        text = reply.read()
        assert reply.status < 300, text[:2000]
        return text

    def timed(self, *args):
        start = time.perf_counter()
        self(*args)
        return (time.perf_counter() - start) * 1000

    def sh(self, command):
        out = json.loads(self("POST", "/process/execute", {"command": command}))
        assert out["exitCode"] == 0, out
        return out["result"]

    def inside(self, command):
        """Milliseconds that a command takes in the sandbox, as its shell counts them."""
        return float(self.sh(f"TIMEFORMAT=%3R; time {command} > /dev/null").strip().splitlines()[-1]) * 1000

    def pid(self):
        """Of the toolbox, as the host sees it: pid 1 of the namespace that the sandbox's commands see."""
        space = self.sh("readlink /proc/self/ns/pid").strip()
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(p / "ns" / "pid") == space and re.search(r"NSpid:.*\t1\n", (p / "status").read_text()):
                    return int(p.name)
        raise AssertionError("no toolbox")


def resident_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def part_execute(server, report, spawn, rounds=20, each=20):
    ours, peer = [], []
    with Box(server) as box:
        for _ in range(rounds):
            ours += [box.timed("POST", "/process/execute", {"command": "true"}) for _ in range(each)]
            peer += spawn(each, 0, "/bin/bash", "-c", "true")
    report("execute true", median(ours), median(peer), "vfork+exec+wait", 1.5)


def multipart(names, content):
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="files[{i}].path"\r\n\r\n{name}\r\n--{boundary}\r\nContent-Disposition: '
             f'form-data; name="files[{i}].file"; filename="f"\r\n\r\n'.encode() + content + b"\r\n" for i, name in enumerate(names)]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def part_bulk(server, report, spawn, n=3):
    """10,000 files of 4 KB in one request, and all of them back, beside tar | tar of the same."""
    up, down, tar = [], [], []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-bulk-", dir="/var/tmp"))
    content = bytes(range(256)) * 16
    (folder / "a").mkdir()
    for i in range(MANY):
        (folder / "a" / str(i)).write_bytes(content)
    with Box(server) as box:
        for r in range(n):
            names = [f"/tmp/bulk{r}/{i}" for i in range(MANY)]
            body, kind = multipart(names, content)
            up.append(MANY / box.timed("POST", "/files/bulk-upload", body, kind))
            down.append(MANY / box.timed("POST", "/files/bulk-download", {"paths": names}))
            start = time.perf_counter()
            subprocess.run(f"mkdir {folder}/b{r} && tar -C {folder}/a -c . | tar -C {folder}/b{r} -x", shell=True, check=True)
            tar.append(MANY / (time.perf_counter() - start) / 1000)
    shutil.rmtree(folder)
    report(f"upload of {MANY} files of 4 KB", median(up), median(tar), "tar | tar", 0.5, "f/ms", True)
    report(f"download of {MANY} files of 4 KB", median(down), median(tar), "tar | tar", 0.5, "f/ms", True)


def part_list(server, report, spawn, n=9):
    with Box(server) as box:
        box.sh(f"mkdir /tmp/many; cd /tmp/many; seq {MANY} | xargs touch")
        ours, peer = [], []
        for _ in range(n):
            ours.append(box.timed("GET", "/files?path=/tmp/many"))
            peer.append(box.inside("ls -l /tmp/many"))
    report(f"list of a folder with {MANY} entries", median(ours), median(peer), "ls -l", 2.0)


TREE = """
import os
for d in range(1000):
    os.makedirs(f"/tmp/tree/{d % 40}/{d}")
    for f in range(60):
        with open(f"/tmp/tree/{d % 40}/{d}/{f}.c", "w") as out:
            out.write(f"int of_{d}_{f}(const struct device *dev, unsigned long flags);\\n" * 70)
            out.write("needle\\n" if f == 7 and d % 10 == 0 else "")
"""


def part_find(server, report, spawn, n=5):
    """In 60,000 files, 260 MB: about as many as the Linux sources have of C."""
    with Box(server) as box:
        box("POST", "/files/upload-raw?path=/tmp/tree.py&overwrite=true", TREE.encode(), "application/octet-stream")
        box.sh("python3 /tmp/tree.py")
        ours, peer = [], []
        for _ in range(n):
            ours.append(box.timed("GET", "/files/find?path=/tmp/tree&pattern=needle"))
            peer.append(box.inside("grep -rn needle /tmp/tree"))
        assert len(json.loads(box("GET", "/files/find?path=/tmp/tree&pattern=needle"))) == 100
    report("find in a tree of 60,000 files", median(ours), median(peer), "grep -rn", 1.5)


def part_toolbox(server, report, spawn, rounds=7):
    """1 GB in, 1 GB out, beside cp, in turn, since how much waits for the disk decides more than who copies; and what
    the toolbox's memory is before and after."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dt-toolbox-", dir="/var/tmp"))
    with open(folder / "a", "wb") as f:
        for _ in range(1024):
            f.write(bytes(range(256)) * 4096)
    curl = ["curl", "-sSf", "-H", f"Authorization: Bearer {backend.KEY}"]
    with Box(server) as box:
        base = f"{server.url}/toolbox/{box.id}/toolbox/files"
        pid = box.pid()
        time.sleep(3)
        idle = resident_mb(pid)
        took = {"up": [], "down": [], "cp": []}
        for _ in range(rounds):
            for what, command in (("up", [*curl, "-T", folder / "a", "-X", "POST", "-o", "/dev/null", f"{base}/upload-raw?path=/tmp/big"]),
                                  ("cp", ["cp", folder / "a", folder / "c"])):
                start = time.perf_counter()
                subprocess.run(command, check=True)
                took[what].append(1024 / (time.perf_counter() - start))
            took["down"].append(1024 / download(server, f"/api/toolbox/{box.id}/toolbox/files/download?path=/tmp/big", folder / "b"))
        after = resident_mb(pid)
        assert subprocess.run(["cmp", folder / "a", folder / "b"]).returncode == 0
    shutil.rmtree(folder)
    for name, what in (("upload of 1 GB", "up"), ("download of 1 GB", "down")):
        report(name, median(took[what]), median(took["cp"]), "cp", 0.6, "MB/s", True)
    report("toolbox resident, idle", idle, 0, "", 1.0, "MB")
    report("toolbox resident, after transfers", after, 0, "", 3.0, "MB")


PARTS = {"execute": part_execute, "bulk": part_bulk, "folder": part_list, "find": part_find, "toolbox": part_toolbox}

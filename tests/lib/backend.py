"""Starts the real daytona-runnerd for a test, with a data directory and ports of its own."""
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import host

KEY = "dtn_" + "0123456789abcdef" * 4
DEFAULT_SNAPSHOT = "daytona-debian-12"
SOURCES = pathlib.Path(__file__).parents[2]


def program(name):
    return pathlib.Path(os.environ["DAYTONA_BIN"]) / name


@contextlib.contextmanager
def unpacked_layers(layers):
    """Gives a new data directory the layers that an earlier one unpacked, as hard links, and keeps new ones.

    A layer never changes once it is complete, and an import finds the ones that are there. They are kept by
    the archives and by the code that unpacks them; what nobody has used for a day goes.
    """
    key = hashlib.sha256((os.environ["DAYTONA_TOOLS"] + os.environ["DAYTONA_ROOTFS"]).encode())
    for source in sorted((SOURCES / "core/oci").glob("*.[ch]")):
        key.update(source.read_bytes())
    kept = pathlib.Path("/var/tmp") / f"daytona-test-layers-{key.hexdigest()[:16]}"
    with open("/var/tmp/daytona-test-layers.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if kept.exists():
            os.utime(kept)
            if not layers.exists():
                subprocess.run(["cp", "-al", kept, layers], check=True)
                (layers / ".lock").unlink()  # each has its own
        new = not kept.exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        yield
        if new and layers.stat().st_dev == kept.parent.stat().st_dev:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for old in kept.parent.glob("daytona-test-layers-*"):
                if time.time() - old.stat().st_mtime > 86400:
                    shutil.rmtree(old)
            if not kept.exists():
                part = kept.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                subprocess.run(["cp", "-al", layers, part], check=True)
                os.utime(part)
                part.rename(kept)


class Backend:
    """A runnerd and its launcher. Used with `with`: the end stops it and removes its data."""

    def __init__(self, data=None, keep_data=False, settings=()):
        self.data = pathlib.Path(data) if data else pathlib.Path(tempfile.mkdtemp(prefix="dt-", dir="/var/tmp"))
        self.keep_data, self.settings = keep_data, list(settings)
        self.process = self.instance = None

    def __enter__(self):
        self.data.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_):
        self.stop()
        subprocess.run([program("daytona-launcher"), "--data-dir", self.data, "--purge"], check=True)
        if self.instance is not None:
            self.expect_nothing_left()
        if not self.keep_data:
            shutil.rmtree(self.data)

    def expect_nothing_left(self, seconds=60):
        """Nothing of ours is on the host any more; what ends in the kernel's own time gets a moment."""
        end = time.monotonic() + seconds
        while left := host.leftovers(self.instance, self.data):
            if time.monotonic() > end:
                raise AssertionError(f"left behind: {left}\n{self.tail()}")
            time.sleep(0.1)

    def import_snapshot(self, name, file):
        subprocess.run([program("daytona-runnerd"), "snapshot", "import", name, file, "--data-dir", self.data],
                       check=True, stdout=subprocess.DEVNULL)

    def import_default(self):
        """The default snapshot and the tools layer; done once per data directory."""
        marks = {os.environ["DAYTONA_TOOLS"]: ".tools", os.environ["DAYTONA_ROOTFS"]: DEFAULT_SNAPSHOT}
        marks = {file: (self.data / f"imported-{pathlib.Path(file).name}", name) for file, name in marks.items()}
        wanted = {file: about for file, about in marks.items() if not about[0].exists()}
        if wanted:
            with unpacked_layers(self.data / "layers"):
                for file, (mark, name) in wanted.items():
                    self.import_snapshot(name, file)
                    mark.touch()

    def start(self):
        self.log = open(self.data / "runnerd.log", "ab")
        self.process = subprocess.Popen(
            [program("daytona-runnerd"), "--data-dir", self.data, "--port", "0", "--proxy-port", "0",
             *self.settings], stdout=self.log, stderr=self.log, env=dict(os.environ, ADMIN_API_KEY=KEY))
        ports = self.data / "run" / "ports.json"
        end = time.monotonic() + 120
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"runnerd ended with {self.process.returncode}:\n{self.tail()}")
            try:
                found = json.loads(ports.read_text())
                if found.get("pid") == self.process.pid:
                    break
            except (OSError, ValueError):
                pass
            if time.monotonic() > end:
                raise TimeoutError(f"runnerd does not come up:\n{self.tail()}")
            time.sleep(0.01)
        self.instance = int((self.data / "launcher.instance").read_text())
        self.port, self.proxy_port = found["port"], found["proxyPort"]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.socket = self.data / "run" / "runnerd.sock"
        return self

    def complaints(self):
        """What its daemons warned of, the last of it."""
        lines = (self.data / "runnerd.log").read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if '"level":"info"' not in line][-40:])

    def execute(self, box, command):
        """What a command in a sandbox prints."""
        status, out = self.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": command, "timeout": 30})
        assert status == 200, out
        return out["result"]

    def tail(self):
        log = self.data / "runnerd.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return None
        self.process.send_signal(how)
        code = self.process.wait(120)
        self.process = None
        self.log.close()
        return code

    def client_env(self):
        """What a local client needs: the socket. Everything else as an agent would leave it."""
        return {"HOME": os.environ.get("HOME", "/root"), "PATH": os.environ["PATH"], "DAYTONA_SOCKET": str(self.socket)}

    def request(self, method, path, body=None, key=KEY, org=None):
        """One REST call with a key or token; returns (status, parsed body)."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if org:
            headers["X-Daytona-Organization-ID"] = org
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                text, status = reply.read(), reply.status
        except urllib.error.HTTPError as e:
            text, status = e.read(), e.code
        return status, json.loads(text) if text else None

    def gauge(self, name):
        """A figure of /metrics."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            lines = dict(line.rsplit(" ", 1) for line in reply.read().decode().splitlines() if not line.startswith("#"))
        return float(lines[name])

    def as_local_user(self, method, path, body=None, org=None):
        """The same over the unix socket, without credentials."""
        c = http.client.HTTPConnection("localhost", timeout=120)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(str(self.socket))
        headers = {"X-Daytona-Organization-ID": org} if org else {}
        c.request(method, "/api" + path, None if body is None else json.dumps(body), headers)
        reply = c.getresponse()
        text = reply.read()
        c.close()
        return reply.status, json.loads(text) if text else None

"""Runs daytona-toolbox as it runs in a sandbox: pid 1 of its own namespaces, with its two descriptors."""
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
import urllib.parse
import uuid

PASSWD = """root:x:0:0:root:/root:/bin/bash
daytona:x:1000:1000:Daytona:/home/daytona:/bin/bash
odd:x:1001:1000:Odd:/home/odd:/usr/bin/no-such-shell
"""
GROUP = "root:x:0:\ndaytona:x:1000:\nvideo:x:44:daytona\n"
SETTLE = """set -e
mount --make-rprivate /
mount --bind "$ETC" /etc
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /home
mount -t tmpfs -o mode=700 tmpfs /root
cp /bin/sleep /home/rootsleep
chmod 4755 /home/rootsleep
ip link set lo up
for name in $HIDDEN; do
  for folder in /bin /usr/bin /usr/local/bin; do
    if [ -e $folder/$name ]; then mount --bind /dev/null $(readlink -f $folder/$name); fi
  done
done
exec "$@"
"""
# The same with the files of an image. The program is a dynamic one of the host, and brings its libraries.
SETTLE_IN = """set -e
mount --make-rprivate /
mount --rbind "$ROOT" "$ROOT"
mkdir -p "$ROOT/host"
mount --rbind / "$ROOT/host"
mount --rbind /proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/home"
ip link set lo up
exec chroot "$ROOT" /host$LOADER --library-path "$LIBRARIES" "$@"
"""


def program(name):
    return pathlib.Path(os.environ["DAYTONA_BIN"]) / name


def wait_for(what, seconds=60, every=0.01):
    """Polls until what() is true; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(every)


def with_time_enough(attempt, enough, times=(1, 5, 20)):
    """What attempt(seconds) gives, tried with more of them while it is not enough: how long a machine takes until a
    program has begun is not what a test of its end is about."""
    for seconds in times:
        result = attempt(seconds)
        if enough(result):
            break
    return result


class Gate:
    """Holds a command of the sandbox where `wait` stands in its text, until the test opens it."""

    def __init__(self, box):
        self.box, self.path = box, f"/tmp/gate-{uuid.uuid4()}"
        self.wait = f"until [ -e {self.path} ]; do sleep 0.05; done"

    def open(self):
        self.box.sh(f"touch {self.path}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=300):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response, body):
        self.status, self.body = response.status, body
        self.headers = response.headers

    @property
    def json(self):
        return json.loads(self.body)


class Box:
    def __init__(self, user="daytona", binary="daytona-toolbox-test", hidden=(), settle=SETTLE, root=None, **config):
        """`hidden` programs cannot be started in it; `settle` is how its root is made, unless that is the image in `root`."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dt-toolbox-"))
        self.config = {"id": "11111111-2222-4333-8444-555555555555", "user": user,
                       "env": {"FOO": "bar baz"}, "hostname": "box", "hosts": "127.0.0.1 localhost box\n",
                       "resolvConf": "nameserver 192.0.2.1\n", **config}
        self.binary, self.user, self.hidden, self.root = binary, user, hidden, root
        self.settle = SETTLE_IN if root else settle

    def __enter__(self):
        etc = self.dir / "etc"
        etc.mkdir()
        self.dir.chmod(0o755)
        (etc / "passwd").write_text(PASSWD)
        (etc / "group").write_text(GROUP)
        (etc / "resolv.conf").symlink_to("/run/nowhere/resolv.conf")
        self.socket = str(self.dir / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.socket)
        listener.listen(128)
        memfd = os.memfd_create("config")
        os.write(memfd, json.dumps(self.config).encode())
        self.holder = subprocess.Popen(["unshare", "--user", "sleep", "infinity"])
        self._map_ids()
        self.errors = open(self.dir / "stderr", "wb")
        exe = os.open(program(self.binary), os.O_RDONLY)

        def descriptors():
            high = [os.dup2(fd, 100 + i) for i, fd in enumerate((listener.fileno(), memfd, exe))]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
                os.close(fd)

        # pid 1 is not dumpable, so only root's can look for leaks at its end.
        leaks = "1" if self.user == "root" and "test" in self.binary else "0"
        self.process = subprocess.Popen(
            ["nsenter", "-t", str(self.holder.pid), "--user", "-S", "0", "-G", "0",
             "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", self.settle, "sh", "/proc/self/fd/5"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors, preexec_fn=descriptors,
            close_fds=False,
            env={"PATH": os.environ["PATH"], "ETC": str(etc), "HIDDEN": " ".join(self.hidden), **self._loader(),
                 "ASAN_OPTIONS": f"detect_leaks={leaks}:quarantine_size_mb=4", "UBSAN_OPTIONS": "print_stacktrace=1"})
        os.close(exe)
        os.close(memfd)
        listener.close()
        try:
            assert self.get("/version").status == 200
            self.pid = wait_for(self._find_pid)
        except BaseException:
            self.__exit__(Exception, None, None)
            raise
        return self

    def _loader(self):
        """What SETTLE_IN needs to know."""
        if self.root is None:
            return {}
        loader = str(next(path for path in sorted(pathlib.Path("/").glob("lib*/ld-linux-*.so.*"))))
        machine = f"{os.uname().machine}-linux-gnu"
        return {"ROOT": str(self.root), "LOADER": loader, "LIBRARIES": f"/host/lib/{machine}:/host/usr/lib/{machine}"}

    def _map_ids(self):
        base = pathlib.Path(f"/proc/{self.holder.pid}")
        own = os.readlink("/proc/self/ns/user")
        wait_for(lambda: os.readlink(base / "ns/user") != own)
        (base / "uid_map").write_text("0 0 65536")
        (base / "gid_map").write_text("0 0 65536")

    def _find_pid(self):
        """The host's number of the sandbox's pid 1."""
        todo = [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                todo += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except FileNotFoundError:
                continue
            inner = [line for line in status.splitlines() if line.startswith("NSpid:")][0].split()
            if len(inner) > 2 and inner[-1] == "1":
                return pid
        return None

    def __exit__(self, kind, *_):
        if self.process.poll() is None and getattr(self, "pid", None):
            os.kill(self.pid, signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.holder.kill()
        self.holder.wait()
        self.errors.close()
        text = (self.dir / "stderr").read_text(errors="replace")
        shutil.rmtree(self.dir)
        if kind is not None:
            print(text)
        else:
            assert "Sanitizer" not in text and "runtime error" not in text, text
            assert code == 0, f"the toolbox ended with {code}:\n{text}"

    @property
    def log(self):
        return (self.dir / "stderr").read_text()

    def connection(self, timeout=300):
        return UnixConnection(self.socket, timeout)

    def request(self, method, target, body=None, headers=None, timeout=300):
        connection = self.connection(timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        answer = Answer(response, response.read())
        connection.close()
        return answer

    def get(self, target, **kw):
        return self.request("GET", target, **kw)

    def post(self, target, body=None, headers=None, **kw):
        return self.request("POST", target, body, headers, **kw)

    def query(self, path, /, **parameters):
        return path + "?" + urllib.parse.urlencode(parameters)

    def run(self, command, split=False, headers=None, **members):
        headers = dict(headers or {})
        if split:
            headers["X-Daytona-Split-Output"] = "true"
        return self.post("/process/execute", {"command": command, **members}, headers)

    def sh(self, command, **members):
        """Runs a command that must succeed; returns its output."""
        answer = self.run(command, **members)
        assert answer.status == 200 and answer.json["exitCode"] == 0, answer.body
        return answer.json["result"]

    def processes(self, text):
        """How many processes of the sandbox have `text` in their command line."""
        count = 0
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/pid") == namespace:
                    count += text.encode() in (entry / "cmdline").read_bytes()
            except OSError:
                continue
        return count

    def memory(self, key="VmRSS"):
        """In KiB; VmRSS or VmHWM."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise KeyError(key)

    def descriptors(self):
        """How many the toolbox has open; 0 while a connection is among them, which closes later than the client's end of it."""
        folder = f"/proc/{self.pid}/fd"
        try:
            names = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
        except FileNotFoundError:  # closed since it was listed
            return 0
        return len(names) if sum(name.startswith("socket:") for name in names) == 1 else 0

    def beside(self, script, *arguments):
        """Starts a Python program of the test in the sandbox's network."""
        return subprocess.Popen(["nsenter", "-t", str(self.pid), "--net", "python3", script, *map(str, arguments)],
                                stdin=subprocess.DEVNULL)

    def listens(self, port):
        return self.get(f"/port/{port}/in-use").json["isInUse"]

"""Speaks runnerd/launcher/wire.h with a daytona-launcher of its own, for tests."""

import array
import hashlib
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid

HELLO, CREATE, START, STOP, DESTROY, LIST, STATS, VOLUME_CREATE, VOLUME_DELETE, SOCKETS = range(1, 11)
RESIZE, NETWORK, PAUSE, RESUME, ARCHIVE, RESTORE, BACKUP, FORK, CANCEL = range(16, 25)
VERSION = 3
OK, EXISTS, NOT_FOUND, BUSY, NO_LAYER, NO_SPACE, FAILED, BAD_PATH, NO_NETWORK = range(9)
CANCELLED = 16
FULL, NONE, ALLOW = range(3)
EXITED, NETWORK_UP = range(1, 3)
MIB = 1 << 20

HEAD = struct.Struct("=IIQ16sIIQII16s")
VOLUME = struct.Struct("=16s256s256s")
SPEC = struct.Struct("=QQIIII40sI2048s64sI4224s")
ANSWER = struct.Struct("=IIQ16sIiII256s")
REQUEST_SIZE = HEAD.size + SPEC.size
ITEM = struct.Struct("=16sQIIII")
ANSWER_SIZE = ANSWER.size + 8 + 128 * ITEM.size
DEADLINE = int(os.environ.get("DT_DEADLINE", "60"))


class Answer:
    def __init__(self, data, fds=()):
        assert len(data) == ANSWER_SIZE, len(data)
        self.fds = fds
        (self.version, self.op, self.seq, self.id, self.result, self.status, self.oom, self.addr,
         text) = ANSWER.unpack_from(data)
        self.text = text.split(b"\0")[0].decode()
        self.rest = data[ANSWER.size:]

    def hello(self):
        return dict(zip(("version", "instance", "base", "network"),
                        struct.unpack_from("=IIII", self.rest)))

    def list(self):
        """{id: (running, has_disk)} and the next cursor."""
        items, cursor = self.items()
        return {one: (i["running"], i["disk"]) for one, i in items.items()}, cursor

    def items(self):
        count, cursor = struct.unpack_from("=II", self.rest)
        found = {}
        for i in range(count):
            one, *values = ITEM.unpack_from(self.rest, 8 + ITEM.size * i)
            assert one not in found
            found[one] = dict(zip(("cpu_usec", "running", "disk", "paused", "archived"), values))
        return found, cursor

    def stats(self):
        names = ("memory", "memory_limit", "cpu_usec", "pids", "disk_used", "disk_total",
                 "oom_kills", "cache")
        return dict(zip(names, struct.unpack_from("=8Q", self.rest)))

    def __repr__(self):
        return f"<op {self.op} result {self.result} '{self.text}'>"


def spec(memory=256 * MIB, disk=256 * MIB, cpu=1000, pids=128, net=NONE, cidrs=(), layers=(),
         hostname=b"box", volumes=()):
    ranges = b"".join(struct.pack("=II", *c) for c in cidrs)
    return SPEC.pack(memory, disk, cpu, pids, net, len(cidrs), ranges, len(layers),
                     b"".join(layers), hostname, len(volumes), b"".join(volumes))


def volume(one, path, subpath=""):
    return VOLUME.pack(one, path.encode(), subpath.encode())


def request(op, seq, one=bytes(16), grace=0, cursor=0, size=0, count=0, family=0, body=None, version=VERSION,
            other=bytes(16)):
    return HEAD.pack(version, op, seq, one, grace, cursor, size, count, family, other) + (body or bytes(SPEC.size))


def config(text=b'{"id":"x"}', sealed=True):
    fd = os.memfd_create("config", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, text)
    os.lseek(fd, 0, os.SEEK_SET)
    if sealed:
        import fcntl
        fcntl.fcntl(fd, 1033, 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: shrink, grow, write
    return fd


class Launcher:
    """One launcher on one data directory; `kill()` and `start()` again as often as wanted."""

    def __init__(self, data, program, toolbox, *options):
        self.data = pathlib.Path(data)
        self.command = [str(program), "--data-dir", str(self.data), "--uid", "65534", "--gid", "65534",
                        "--toolbox", str(toolbox), *options]
        self.sock = self.process = None
        self.seq = 0
        self.early = []
        (self.data / "layers").mkdir(parents=True, exist_ok=True)

    def start(self, hello=True):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen([*self.command, "--fd", str(theirs.fileno())],
                                            pass_fds=[theirs.fileno()])
        self.sock = ours
        self.seq = 0
        self.early = []
        if hello:
            self.hello = self.call(HELLO)
            assert self.hello.result == OK, self.hello
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.sock.close()

    def stop(self):
        self.sock.close()
        assert self.process.wait(DEADLINE) == 0

    def send(self, op, one=bytes(16), fds=None, **fields):
        self.seq += 1
        self.send_raw(request(op, self.seq, one, **fields), fds)
        return self.seq

    def send_raw(self, frame, fds=None):
        control = []
        if fds:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        self.sock.sendmsg([frame], control)
        for fd in fds or ():
            os.close(fd)

    def receive(self, timeout=DEADLINE):
        ready, _, _ = select.select([self.sock], [], [], timeout)
        assert ready, "no answer in time"
        data, fds, _, _ = socket.recv_fds(self.sock, 65536, 16)
        if not data:
            raise EOFError
        return Answer(data, fds)

    def answer(self, seq, timeout=DEADLINE):
        end = time.monotonic() + timeout
        for i, a in enumerate(self.early):
            if a.seq == seq:
                return self.early.pop(i)
        while True:
            a = self.receive(end - time.monotonic())
            if a.seq == seq:
                return a
            self.early.append(a)

    def has_come(self, seq):
        """Whether its answer is there, without waiting for it."""
        while select.select([self.sock], [], [], 0)[0]:
            self.early.append(self.receive())
        return any(a.seq == seq for a in self.early)

    def event(self, timeout=DEADLINE):
        return self.answer(0, timeout)

    def call(self, op, one=bytes(16), fds=None, **fields):
        return self.answer(self.send(op, one, fds, **fields))

    def create(self, one=None, op=CREATE, text=b'{"id":"x"}', expect=OK, **fields):
        one = one or uuid.uuid4().bytes
        a = self.call(op, one, [config(text)], body=spec(**fields))
        assert a.result == expect, a
        return one

    def volume(self, size=64 * MIB):
        one = uuid.uuid4().bytes
        a = self.call(VOLUME_CREATE, one, size=size)
        assert a.result == OK, a
        return one

    def destroy(self, one):
        a = self.call(DESTROY, one)
        assert a.result == OK, a

    def sockets(self, one, count, family=4):
        """Unconnected sockets in a sandbox's network."""
        a = self.call(SOCKETS, one, count=count, family=family)
        assert a.result == OK and len(a.fds) == count, a
        assert not any(os.get_blocking(fd) for fd in a.fds)
        return [socket.socket(fileno=fd) for fd in a.fds]

    def folder(self, one):
        return self.data / "sandboxes" / str(uuid.UUID(bytes=one))

    def run(self, one, command):
        """What the guest answers to one command, see guest.c."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE)
            s.connect(f"{self.folder(one)}/toolbox.sock")
            s.sendall(command.encode())
            s.shutdown(socket.SHUT_WR)
            out = b""
            while more := s.recv(65536):
                out += more
        return out.decode(errors="replace")

    def shell(self, one, text, user="C"):
        out, _, status = self.run(one, user + text).rpartition("\n=")
        return int(status), out

    def layer(self, tree=None, base=None):
        """Makes a layer; `tree` is a function that fills the folder. Returns its id."""
        ident = hashlib.sha256(os.urandom(16)).digest()
        path = self.data / "layers" / ident.hex()
        path.mkdir()
        if base is not None:
            shutil.copytree(base, path, symlinks=True, dirs_exist_ok=True)
        if tree is not None:
            tree(path)
        return ident

    def list(self):
        return {one: (i["running"], i["disk"]) for one, i in self.items().items()}

    def items(self):
        found, cursor = {}, 0
        while True:
            items, cursor = self.call(LIST, cursor=cursor).items()
            found.update(items)
            if cursor == 0:
                return found

    def expect(self, op, one, result=OK, **fields):
        a = self.call(op, one, **fields)
        assert a.result == result, a
        return a


def wait_for(what, timeout=DEADLINE):
    """Polls a condition of the kernel that nothing announces."""
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "condition did not come true in time"
        time.sleep(0.01)


def busybox_layer(path):
    (path / "bin").mkdir()
    shutil.copy("/bin/busybox", path / "bin" / "busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True).stdout.split()
    for name in applets:
        if name != "busybox":
            (path / "bin" / name).symlink_to("busybox")
    (path / "etc").mkdir()
    (path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    (path / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\n")

"""A file system in memory, over FUSE, that behaves as those do that send a file away when it is closed.

close() of a file whose content holds `refuse me` fails with EIO, and nothing before it did. A file or folder whose
name begins with `hang` answers nothing until the mount ends. Run with the folder to mount it on; prints `mounted`;
ends with its standard input. The protocol is the kernel's own (linux/fuse.h, version 7.31).
"""
import contextlib
import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
ATTR = struct.Struct("<6Q10I")
MAX_WRITE = 128 * 1024
BIG_WRITES = 1 << 5
MS_NOSUID, MS_NODEV = 2, 4
SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_MTIME = 1, 2, 4, 8, 32
REFUSED = b"refuse me"


class Node:
    def __init__(self, mode, uid, gid):
        self.mode, self.uid, self.gid, self.mtime = mode, uid, gid, time.time_ns()
        self.data, self.children, self.links = bytearray(), {}, 1
        self.is_dir = stat.S_ISDIR(mode)


class Error(Exception):
    pass


class Fs:
    def __init__(self, fd):
        self.fd = fd
        self.nodes = {1: Node(stat.S_IFDIR | 0o777, 0, 0)}
        self.last = 1
        self.calls = {3: self.getattr, 4: self.setattr, 9: self.mkdir, 10: self.unlink, 11: self.rmdir, 12: self.rename, 14: self.open,
                      15: self.read, 16: self.write, 17: self.statfs, 18: self.done, 20: self.done, 25: self.flush, 26: self.init,
                      27: self.open, 28: self.readdir, 29: self.done, 30: self.done, 34: self.done, 35: self.create, 45: self.rename2,
                      1: self.lookup}

    def attr(self, number):
        n = self.nodes[number]
        seconds, rest = divmod(n.mtime, 10**9)
        size = 0 if n.is_dir else len(n.data)
        return ATTR.pack(number, size, (size + 511) // 512, seconds, seconds, seconds, rest, rest, rest, n.mode, n.links, n.uid, n.gid,
                         0, 4096, 0)

    def entry(self, number):
        return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + self.attr(number)

    def child(self, parent, name):
        number = self.nodes[parent].children.get(name)
        if number is None:
            raise Error(errno.ENOENT)
        return number

    def add(self, parent, name, mode, uid, gid):
        if name in self.nodes[parent].children:
            raise Error(errno.EEXIST)
        self.last += 1
        self.nodes[self.last] = Node(mode, uid, gid)
        self.nodes[parent].children[name] = self.last
        return self.last

    # What the kernel asks for: (its header, its arguments) -> the answer.

    def init(self, _, body):
        return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, BIG_WRITES, 12, 9, MAX_WRITE, 1, 0, 0, 0, *[0] * 7)

    def lookup(self, head, body):
        name = body.rstrip(b"\0")
        if name.startswith(b"hang"):
            raise TimeoutError
        return self.entry(self.child(head[3], name))

    def getattr(self, head, _):
        return struct.pack("<QII", 0, 0, 0) + self.attr(head[3])

    def setattr(self, head, body):
        valid, _, _, size, _, _, mtime, _, _, nanoseconds, _, mode, _, uid, gid, _ = struct.unpack("<IIQQQQQQIIIIIIII", body[:88])
        n = self.nodes[head[3]]
        if valid & SET_SIZE:
            del n.data[size:]
            n.data.extend(bytes(size - len(n.data)))
        if valid & SET_MODE:
            n.mode = stat.S_IFMT(n.mode) | stat.S_IMODE(mode)
        if valid & SET_UID:
            n.uid = uid
        if valid & SET_GID:
            n.gid = gid
        n.mtime = mtime * 10**9 + nanoseconds if valid & SET_MTIME else time.time_ns()
        return self.getattr(head, body)

    def mkdir(self, head, body):
        mode, = struct.unpack_from("<I", body)
        return self.entry(self.add(head[3], body[8:].rstrip(b"\0"), stat.S_IFDIR | mode, head[4], head[5]))

    def create(self, head, body):
        _, mode = struct.unpack_from("<II", body)
        number = self.add(head[3], body[16:].rstrip(b"\0"), stat.S_IFREG | mode, head[4], head[5])
        return self.entry(number) + struct.pack("<QII", 0, 0, 0)

    def unlink(self, head, body):
        name = body.rstrip(b"\0")
        self.child(head[3], name)
        del self.nodes[head[3]].children[name]
        return b""

    def rmdir(self, head, body):
        if self.nodes[self.child(head[3], body.rstrip(b"\0"))].children:
            raise Error(errno.ENOTEMPTY)
        return self.unlink(head, body)

    def rename(self, head, body, names=8, flags=0):
        to, = struct.unpack_from("<Q", body)
        old, new = body[names:].rstrip(b"\0").split(b"\0")
        if flags & 1 and new in self.nodes[to].children:
            raise Error(errno.EEXIST)
        number = self.child(head[3], old)
        del self.nodes[head[3]].children[old]
        self.nodes[to].children[new] = number
        return b""

    def rename2(self, head, body):
        flags, = struct.unpack_from("<I", body, 8)
        return self.rename(head, body, 16, flags)

    def open(self, *_):
        return struct.pack("<QII", 0, 0, 0)

    def read(self, head, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self.nodes[head[3]].data[offset:offset + size])

    def write(self, head, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        n = self.nodes[head[3]]
        n.data.extend(bytes(max(0, offset - len(n.data))))
        n.data[offset:offset + size] = body[40:40 + size]
        n.mtime = time.time_ns()
        return struct.pack("<II", size, 0)

    def flush(self, head, _):
        if REFUSED in self.nodes[head[3]].data:
            raise Error(errno.EIO)
        return b""

    def readdir(self, head, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        out = b""
        for i, (name, number) in enumerate(sorted(self.nodes[head[3]].children.items())):
            if i < offset:
                continue
            kind = stat.S_IFMT(self.nodes[number].mode) >> 12
            one = struct.pack("<QQII", number, i + 1, len(name), kind) + name
            one += bytes(-len(one) % 8)
            if len(out) + len(one) > size:
                break
            out += one
        return out

    def statfs(self, *_):
        return struct.pack("<5Q10I", 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096, 0, *[0] * 6)

    def done(self, *_):
        return b""

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 20)
            except OSError as e:
                if e.errno == errno.ENODEV:
                    return  # the mount has ended
                if e.errno in (errno.ENOENT, errno.EINTR):
                    continue
                raise
            head, body = IN_HEADER.unpack_from(request), request[IN_HEADER.size:]
            if head[1] in (2, 36, 38, 42):
                continue  # these want no answer
            call, error, answer = self.calls.get(head[1]), 0, b""
            try:
                if call is None:
                    raise Error(errno.ENOSYS)
                answer = call(head, body)
            except Error as e:
                error = -e.args[0]
            except TimeoutError:
                continue
            try:
                os.write(self.fd, OUT_HEADER.pack(OUT_HEADER.size + len(answer), error, head[2]) + answer)
            except OSError as e:
                if e.errno != errno.ENOENT:  # nobody waits any more
                    raise


@contextlib.contextmanager
def mounted():
    """The folder that it is mounted on, for whoever starts meanwhile."""
    folder = tempfile.mkdtemp(prefix="dt-fuse-", dir="/var/tmp")
    server = subprocess.Popen([sys.executable, __file__, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"mounted\n"
        yield folder
    finally:
        server.communicate(timeout=30)
        os.rmdir(folder)


def main(folder):
    if not os.path.exists("/dev/fuse"):
        subprocess.run(["modprobe", "fuse"], check=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"test", folder.encode(), b"fuse.test", MS_NOSUID | MS_NODEV, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    threading.Thread(target=Fs(fd).serve, daemon=True).start()
    print("mounted", flush=True)
    sys.stdin.read()
    subprocess.run(["umount", "-l", folder], check=True)
    os._exit(0)  # by which it ends in every name space


if __name__ == "__main__":
    main(sys.argv[1])

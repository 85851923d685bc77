"""Keeps the state of one interpreter context and runs what comes over descriptor 4, a line of JSON each.

In:   {"code": text, "envs": {name: value}}
Out:  {"type": "begin"}, then any of {"type": "error", "name", "value", "traceback"} and
      {"type": "chart", "text"}, and at last {"type": "done", "interrupted": bool}.
What programs print goes through descriptors 1 and 2 as always. `sources` holds hook.py and charts.py.
"""
import builtins
import json
import linecache
import os
import signal
import sys
import threading
import types

TEXT_MAX = 256 * 1024  # of an error's parts
KEPT_PROGRAMS = 500  # whose lines tracebacks can show


class Channel:
    """The socket to the toolbox, moved out of the way of programs that count on the low ones; children do not get it."""

    def __init__(self, fd):
        import fcntl
        self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
        os.close(fd)
        self.owner, self.lock, self.pending = os.getpid(), threading.Lock(), b""

    def receive(self):
        """The next line, None at the end."""
        parts = [self.pending]
        while b"\n" not in parts[-1]:
            part = os.read(self.fd, 1 << 20)
            if not part:
                return None
            parts.append(part)
        line, _, self.pending = b"".join(parts).partition(b"\n")
        return json.loads(line.decode())

    def send(self, kind, **members):
        if os.getpid() != self.owner:
            return
        line = memoryview((json.dumps(dict(members, type=kind)) + "\n").encode())
        with self.lock:
            flush()
            while line:
                line = line[os.write(self.fd, line):]


def flush():
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        try:
            stream.flush()
        except Exception:
            pass


class Interrupt:
    """SIGINT ends the program that runs, and nothing of ours."""

    def __init__(self):
        self.running = self.came = False

    def handle(self, signum, frame):
        if self.running:
            self.came = True
            raise KeyboardInterrupt

    def begin(self):
        signal.signal(signal.SIGINT, self.handle)  # whatever the program before has put there
        self.running, self.came = True, False


def valid(text):
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "\n[cut]"


def rename(told, seen):
    """Programs have numbers, so that each frame finds its own lines; people know them as <stdin>."""
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    for frame in told.stack:
        if frame.filename.startswith("<stdin "):
            frame.filename = "<stdin>"
    if str(getattr(told, "filename", "")).startswith("<stdin "):
        told.filename = "<stdin>"
    for other in [told.__cause__, told.__context__] + list(getattr(told, "exceptions", None) or ()):
        rename(other, seen)


def describe(error):
    import traceback
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next
    told = traceback.TracebackException(type(error), error, frames)
    rename(told, set())
    if isinstance(error, SyntaxError) and str(error.filename).startswith("<stdin "):
        error.filename = "<stdin>"  # which its text holds
    try:
        value = str(error)
    except Exception:
        value = "<the text of the error cannot be had>"
    return {"name": valid(type(error).__name__), "value": valid(value), "traceback": valid("".join(told.format()))}


class Environment:
    """Variables for one execution."""

    def __init__(self, wanted):
        self.before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)

    def restore(self):
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Worker:
    def __init__(self):
        self.channel, self.interrupt, self.count = Channel(4), Interrupt(), 0
        self.main = types.ModuleType("__main__")
        self.main.__builtins__ = builtins
        sys.modules["__main__"] = self.main
        sys.argv[:] = [""]
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        hook = {"__name__": "daytona_hook"}
        exec(compile(sources[0], "<daytona>", "exec"), hook)
        hook["on_charts"](sources[1], lambda text: self.channel.send("chart", text=text))

    def compile(self, code):
        self.count += 1
        name = "<stdin %d>" % self.count
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        linecache.cache.pop("<stdin %d>" % (self.count - KEPT_PROGRAMS), None)
        return compile(code, name, "exec")

    def execute(self, code, envs):
        environment = Environment(envs)
        failure = None
        try:
            try:
                self.interrupt.begin()
                self.channel.send("begin")
                exec(self.compile(code), self.main.__dict__)
            finally:
                self.interrupt.running = False
        except BaseException as e:
            self.interrupt.running = False
            failure = None if isinstance(e, SystemExit) else e
        interrupted = self.interrupt.came
        if os.getpid() != self.channel.owner:  # a fork of the program that came out of it
            flush()
            os._exit(0 if failure is None else 1)
        environment.restore()
        if failure is not None and not (interrupted and isinstance(failure, KeyboardInterrupt)):
            interrupted = False
            self.channel.send("error", **describe(failure))
        self.channel.send("done", interrupted=interrupted)

    def serve(self):
        signal.signal(signal.SIGINT, self.interrupt.handle)
        while True:
            request = self.channel.receive()
            if request is None:
                return
            self.execute(request["code"], request.get("envs") or {})


Worker().serve()

"""A client of the toolbox's PTYs that sees every frame."""
import base64
import json
import re
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import unix_connect

EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"
CONNECTED = {"type": "control", "status": "connected"}


def envs_item(envs):
    return "X-Daytona-Pty-Envs~" + base64.urlsafe_b64encode(json.dumps(envs).encode()).decode().rstrip("=")


class Viewer:
    """One WebSocket; output is kept, control messages apart."""

    def __init__(self, box, path, protocols=(), **options):
        self.watch(unix_connect(box.socket, uri=f"ws://localhost{path}", compression=None, max_size=None,
                                subprotocols=list(protocols) or None, ping_interval=None, **options))

    def watch(self, ws):
        self.ws = ws
        self.output, self.control, self.code, self.reason = b"", [], None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.close()

    def one(self, timeout=60):
        """Takes a frame; False when the connection is closed."""
        try:
            frame = self.ws.recv(timeout)
        except ConnectionClosed as e:
            self.code, self.reason = (e.rcvd.code, e.rcvd.reason) if e.rcvd else (1006, "")
            return False
        if isinstance(frame, bytes):
            self.output += frame
        else:
            self.control.append((len(self.output), json.loads(frame)))
        return True

    def until(self, text, seconds=60):
        """Reads until the output has `text` (bytes, or a pattern); forgets what stood up to there and returns it."""
        pattern = re.compile(re.escape(text)) if isinstance(text, bytes) else text
        end = time.monotonic() + seconds
        while not (found := pattern.search(self.output)):
            assert time.monotonic() < end, f"no {text!r} in {self.output[-2000:]!r}"
            assert self.one(max(0.01, end - time.monotonic())), f"closed {self.code} before {text!r}: {self.output!r}"
        before, self.output = self.output[:found.end()], self.output[found.end():]
        return before

    def connected(self):
        """The first frame of all."""
        assert self.one() and self.output == b"" and self.control == [(0, CONNECTED)]
        return self

    def send(self, text):
        self.ws.send(text)

    def ends(self):
        """Reads to the end; returns (close code, its reason)."""
        while self.one():
            pass
        return self.code, json.loads(self.reason) if self.reason.startswith("{") else self.reason


def create(box, name, **members):
    answer = box.post("/process/pty", {"id": name, **members})
    assert answer.status == 201 and answer.json == {"sessionId": name}, answer.body
    return name


def connect(box, name, protocols=(), **options):
    return Viewer(box, f"/process/pty/{name}/connect", protocols, **options)


def create_connect(box, protocols=(EXIT_CONTROL,), **query):
    return Viewer(box, box.query("/process/pty/create-connect", **query), protocols)

"""A client of the notification socket that shows every message as it comes."""
import json

import websockets.sync.client


class Listener:
    """Engine.IO 4 and Socket.IO 5, by hand: `with Listener(url, token) as l: l.events(2)`."""

    def __init__(self, url, token=None, org=None, auth=None, **options):
        base = url.replace("http://", "ws://")
        self.ws = websockets.sync.client.connect(
            f"{base}/socket.io/?EIO=4&transport=websocket" + (f"&organizationId={org}" if org else ""),
            open_timeout=60, close_timeout=30, compression=None, max_size=None, **options)
        hello = self.ws.recv(timeout=60)
        assert hello[0] == "0", hello
        self.hello = json.loads(hello[1:])
        if token is not None or auth is not None:
            self.ws.send("40" + json.dumps(auth if auth is not None else {"token": token}))
            answer = self.ws.recv(timeout=60)
            self.refused = json.loads(answer[2:])["message"] if answer.startswith("44") else None
            assert self.refused is not None or (answer.startswith("40") and json.loads(answer[2:])["sid"]), answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.close()

    def message(self, timeout=60):
        """The next one, pings apart (which are answered)."""
        while (text := self.ws.recv(timeout=timeout)) == "2":
            self.ws.send("3")
        return text

    def event(self, timeout=60):
        text = self.message(timeout)
        assert text.startswith("42"), text
        return tuple(json.loads(text[2:]))

    def until(self, name, wanted=lambda data: True, timeout=60):
        """All events up to the one that is meant."""
        seen = []
        while not seen or seen[-1][0] != name or not wanted(seen[-1][1]):
            seen.append(self.event(timeout))
        return seen

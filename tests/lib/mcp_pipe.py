"""A bare MCP client over pipes: for measuring, and for saying things that no official client would."""
import itertools
import json
import os
import subprocess

import backend


class Client:
    """`daytona mcp start` (or another command) after initialize. Used with `with`."""

    def __init__(self, server=None, command=None, env=None, revision="2025-11-25", **how):
        self.command = [str(c) for c in command or [backend.program("daytona"), "mcp", "start"]]
        self.env = env or server.client_env()
        self.revision, self.how = revision, how
        self.ids = itertools.count(1)
        self.longest = 0  # line that came

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env, bufsize=0,
                                        **self.how)
        self.out = self.process.stdout
        self.rest = b""
        self.request("initialize", {"protocolVersion": self.revision, "capabilities": {},
                                    "clientInfo": {"name": "tests", "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.code = self.process.wait(60)
        finally:
            self.process.kill()
            self.out.close()

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def line(self):
        while b"\n" not in self.rest:
            chunk = os.read(self.out.fileno(), 1 << 16)
            if not chunk:
                raise EOFError("the server closed its output")
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        self.longest = max(self.longest, len(line))
        return json.loads(line)

    def request(self, method, params=None):
        """Sends one request and waits for its answer; drops what comes before it."""
        number = next(self.ids)
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}})
        while True:
            answer = self.line()
            if answer.get("id") == number:
                return answer

    def call(self, name, /, **arguments):
        return self.request("tools/call", {"name": name, "arguments": arguments})["result"]

    def tool(self, name, /, **arguments):
        """The structured result of a call that must succeed."""
        result = self.call(name, **arguments)
        if result.get("isError"):
            raise RuntimeError(f"{name}: {result['content'][0]['text']}")
        return result.get("structuredContent", result)


def sh(client, box, command, **more):
    """What execute_command answers; the command may fail."""
    return client.tool("execute_command", **{"id": box, "command": command, "timeout": 60, **more})


def fails(client, tool, **arguments):
    """The text of a failure, which has no other content."""
    result = client.call(tool, **arguments)
    assert result.get("isError") is True and "structuredContent" not in result, result
    assert [b["type"] for b in result["content"]] == ["text"]
    return result["content"][0]["text"]

#!/usr/bin/env python3
"""A language server that does what the last part of its project's path says."""
import json
import os
import subprocess
import sys
import time

LOG = os.path.expanduser("~/lsp.log")


def log(text):
    with open(LOG, "a") as f:
        f.write(text + "\n")


def read():
    size = None
    while (line := sys.stdin.buffer.readline()) not in (b"\r\n", b""):
        name, value = line.split(b":")
        if name == b"Content-Length":
            size = int(value)
    return json.loads(sys.stdin.buffer.read(size)) if size is not None else sys.exit(0)


def raw(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def send(**members):
    body = json.dumps({"jsonrpc": "2.0", **members}).encode()
    raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)


def symbol(name):
    return {"name": name, "kind": 5, "range": {}, "selectionRange": {}}


def ask(method, **params):
    """Returns what the client answers; other messages are left out."""
    send(id="mine", method=method, params=params)
    while (m := read()).get("id") != "mine":
        pass
    return {key: m[key] for key in ("result", "error") if key in m}


def answer(mode, m):
    method, number = m["method"], m.get("id")
    if number is None:
        log(f"{method} {json.dumps(m['params'])[:300]}")
        return
    if method == "initialize":
        if mode == "refuse":
            send(id=number, error={"code": -32603, "message": "no valid installation"})
        elif mode != "mute":
            send(id=number, result={"capabilities": {}})
        if mode == "deaf":
            time.sleep(1000)
        return
    log(method)
    if mode == "hang":
        time.sleep(1000)
    elif mode == "slow":
        return
    elif mode == "busy":
        while True:
            send(method="$/progress", params={})
            time.sleep(0.2)
    elif mode == "junk":
        raw(b"Segmentation fault\n")
        time.sleep(1000)
    elif mode == "huge":
        raw(b"Content-Length: 100000000000\r\n\r\n")
        while True:
            raw(b"x" * 65536)
    elif mode == "json":
        raw(b"Content-Length: 5\r\n\r\n{\"a\":")
    elif mode == "deep":
        raw(b"Content-Length: 100000\r\n\r\n" + b"[" * 100000)
    elif mode == "die":
        print("first\nout of luck", file=sys.stderr, flush=True)
        sys.exit(3)
    elif mode == "close":
        subprocess.Popen(["sleep", "4321"], stdout=subprocess.DEVNULL)
        os.close(1)
        time.sleep(1000)
    elif mode == "flood":
        while True:
            send(method="window/logMessage", params={"type": 1, "message": "y" * 1000})
    elif mode == "asking":
        while True:
            raw(b"Content-Length: 43\r\n\r\n" + b'{"id":1,"method":"workspace/configuration"}')
    elif mode == "shout":
        for _ in range(2000):
            print("z" * 10000, file=sys.stderr)
        send(id=number, result=[symbol("quiet")])
    elif mode == "questions":
        answers = [ask("workspace/configuration", items=[{}, {}]), ask("client/registerCapability"),
                   ask("workspace/workspaceFolders"), ask("workspace/applyEdit"), ask("no/such")]
        send(id=number, result=[symbol(json.dumps(a)) for a in answers])
    elif mode == "wrong":
        send(id=number, result={"items": 7})
    elif mode == "stray":
        for other in (0, -1, 10**18, "x", None, [], 1.5):
            send(id=other, result=[symbol("stray")])
        send(result=1)
        raw(b"Content-Length: 2\r\n\r\n17")
        send(id=number, result=[symbol("right")])
    elif mode == "many":
        send(id=number, result=[symbol(f"s{i}") for i in range(20000)])
    else:
        send(id=number, result=[{**symbol("outer"), "children": [symbol("inner")]}])


def main():
    log("start")
    first = read()
    mode = first["params"]["rootUri"].rsplit("/", 1)[1]
    if mode == "helper":
        subprocess.Popen(["sleep", "1234"], start_new_session=True)
    answer(mode, first)
    while True:
        answer(mode, read())


main()

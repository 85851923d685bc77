"""The unmodified SDKs run code in three languages, get its charts, and use the interpreter."""
import json

import backend
import pytest
import sdk
import websockets
from websockets.sync.client import connect


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("code", version)


@sdk.python_in_turn
def test_python(programs, version, kind):
    programs.python("code", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("code", version)


def test_what_the_default_snapshot_has(server):
    status, made = server.request("POST", "/sandbox", {})
    assert status == 200, made

    def sh(command):
        status, done = server.request("POST", f"/toolbox/{made['id']}/toolbox/process/execute", {"command": command})
        assert status == 200 and done["exitCode"] == 0, done
        return done["result"]
    for program in ("python", "python3", "pip", "node", "npm", "git", "curl", "pylsp", "tsc", "ts-node",
                    "typescript-language-server", "vim", "tmux", "htop", "less", "sudo"):
        assert sh(f"command -v {program}").startswith("/")
    assert sh("python3 -c 'import matplotlib, numpy, PIL; print(matplotlib.__version__, numpy.__version__, PIL.__version__)'") == \
        "3.10.1 2.2.3 11.1.0\n"
    assert sh("tsc --version; typescript-language-server --version; pylsp --version").startswith("Version 5.1.6\n4.3.4\npylsp v")
    # Without a network, and as fast as if it were a program of its own.
    assert sh("cd /tmp; npx ts-node -T -e 'const x: number = 2; console.log(x)'") == "2\n"
    # What of it is compiled fits its sources: none is compiled again.
    loaded = sh("python3 -v -c 'import numpy' 2>&1 | grep 'code object from ./usr/local/'")
    assert "numpy/__pycache__/__init__.cpython" in loaded and ".py'" not in loaded
    assert server.request("DELETE", f"/sandbox/{made['id']}")[0] == 200


def test_4681_the_interpreter_shows_charts(server):
    """In messages of their own, which no SDK knows yet."""
    status, made = server.request("POST", "/sandbox", {})
    assert status == 200, made
    ws = connect(f"ws://127.0.0.1:{server.proxy_port}/toolbox/{made['id']}/process/interpreter/execute",
                 additional_headers={"Authorization": f"Bearer {backend.KEY}"}, max_size=None)
    ws.send(json.dumps({"code": "import matplotlib.pyplot as plt\nprint('before')\nplt.plot([1, 2])\nplt.show()\nprint('behind')"}))
    frames = []
    with pytest.raises(websockets.ConnectionClosedOK):
        while True:
            frames.append(json.loads(ws.recv(60)))
    assert server.request("DELETE", f"/sandbox/{made['id']}")[0] == 200
    # What is printed comes another way than charts: their order is not told.
    assert frames[-1]["type"] == "control" and {f["type"] for f in frames[:-1]} == {"stdout", "chart"}
    assert "".join(f["text"] for f in frames if f["type"] == "stdout") == "before\nbehind\n"
    chart, = [json.loads(f["text"]) for f in frames if f["type"] == "chart"]
    assert chart["type"] == "line" and chart["elements"][0]["points"] == [[0, 1], [1, 2]]
    assert chart["png"].startswith("iVBOR")

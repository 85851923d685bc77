"""PTYs through runnerd: every generation of URLs and credentials, programs of the default snapshot, and runnerd's death."""
import contextlib
import pathlib
import re
import signal
import socket
import time
import urllib.parse

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as ws_connect

import backend
import small_image
from toolbox_pty import EXIT_CONTROL, Viewer

PROMPT = re.compile(rb"[$#] ")
BEARER = {"Authorization": f"Bearer {backend.KEY}"}


@pytest.fixture
def box(server):
    status, made = server.request("POST", "/sandbox", {})
    assert status == 200, made
    yield made["id"]
    server.request("DELETE", f"/sandbox/{made['id']}")


def token(server, box):
    return server.request("GET", f"/sandbox/{box}/ports/2280/preview-url")[1]["token"]


def bases(server, box):
    """The three places where SDKs look for the toolbox's WebSockets: (the address to dial, the URL)."""
    return {
        "api": (server.port, f"ws://127.0.0.1:{server.port}/api/toolbox/{box}/toolbox"),
        "proxy": (server.proxy_port, f"ws://127.0.0.1:{server.proxy_port}/toolbox/{box}"),
        "host": (server.proxy_port, f"ws://2280-{box}.proxy.localhost:{server.proxy_port}"),
    }


class Remote(Viewer):
    def __init__(self, server, box, base, path, headers=None, protocols=()):
        port, url = bases(server, box)[base]
        super().watch(ws_connect(url + path, sock=socket.create_connection(("127.0.0.1", port)), compression=None,
                                 max_size=None, additional_headers=headers or {}, ping_interval=None,
                                 subprotocols=list(protocols) or None))


def toolbox(server, box, method, path, body=None):
    return server.request(method, f"/toolbox/{box}/toolbox{path}", body)


def ways(server, box):
    """Every base with every credential that it takes."""
    t = token(server, box)
    yield "api", "", BEARER, ()
    for base in ("proxy", "host"):
        yield base, "", BEARER, ()
        yield base, "", {"X-Daytona-Preview-Token": t}, ()
        yield base, f"?DAYTONA_SANDBOX_AUTH_KEY={t}", {}, ("X-Daytona-SDK-Version~0.218.0",)
        yield base, f"&DAYTONA_SANDBOX_AUTH_KEY={t}", {}, ("X-Daytona-SDK-Version~0.113.1",)
        yield base, f"?a=1&DAYTONA_SANDBOX_AUTH_KEY={t}&b=2", {}, (EXIT_CONTROL,)


def test_ways(server, box):
    assert toolbox(server, box, "POST", "/process/pty", {"id": "ways"})[0] == 201
    for i, (base, query, headers, protocols) in enumerate(ways(server, box)):
        with Remote(server, box, base, f"/process/pty/ways/connect{query}", headers, protocols) as v:
            assert v.ws.subprotocol == (protocols[0] if protocols else None), (base, query)
            v.connected()
            v.send(f"echo way-''{i}\n")
            v.until(f"way-{i}\r\n".encode())
            assert v.ws.ping().wait(10)


def test_no_way_without_credentials(server, box):
    toolbox(server, box, "POST", "/process/pty", {"id": "shut"})
    for base in ("api", "proxy", "host"):
        for query, headers in (("", {}), ("?DAYTONA_SANDBOX_AUTH_KEY=" + "x" * 43, {}),
                               ("", {"X-Daytona-Preview-Token": "wrong"}), ("", {"Authorization": "Bearer dtn_wrong"})):
            with pytest.raises(InvalidStatus) as e:
                Remote(server, box, base, f"/process/pty/shut/connect{query}", headers)
            assert e.value.response.status_code == 401, (base, query)


def test_create_connect_through_the_proxy(server, box):
    query = urllib.parse.urlencode({"id": "cc", "cols": 91, "rows": 17, "cwd": "/tmp"})
    with Remote(server, box, "proxy", f"/process/pty/create-connect?{query}", BEARER,
                ("X-Daytona-Pty-Envs~eyJBIjoiYiJ9", EXIT_CONTROL)) as v:
        v.connected()
        v.send("echo =$A=$(stty size)=$(pwd)=$(id -un)=$(tty); exit 6\n")
        assert v.ends() == (1011, {"exitCode": 6, "exitReason": "non-zero exit"})
        assert re.search(rb"=b=17 91=/tmp=daytona=/dev/pts/\d", v.output)


def test_activity(server, box):
    """An open WebSocket, even a silent one, keeps the sandbox's last activity fresh."""
    def last():
        return server.request("GET", f"/sandbox/{box}")[1]["lastActivityAt"]

    toolbox(server, box, "POST", "/process/pty", {"id": "idle"})
    with Remote(server, box, "proxy", "/process/pty/idle/connect", BEARER) as v:
        v.connected().until(PROMPT)
        began, end = last(), time.monotonic() + 60
        while last() == began:
            assert time.monotonic() < end
            time.sleep(0.5)


def test_runnerd_dies(tmp_path):
    """SIGKILL to runnerd: the shell lives on, and who comes back finds it with its screen."""
    with backend.Backend() as b:
        b.import_default()
        b.start()
        box = b.request("POST", "/sandbox", {})[1]["id"]
        toolbox(b, box, "POST", "/process/pty", {"id": "keeps"})
        with contextlib.suppress(Exception), Remote(b, box, "proxy", "/process/pty/keeps/connect", BEARER) as v:
            v.connected().until(PROMPT)
            v.send("secret=un''forgotten; echo shown-''before; (sleep 1; echo printed-''meanwhile) &\n")
            v.until(b"shown-before")
            b.stop(signal.SIGKILL)
            assert v.ends()[0] == 1006
        b.stop(signal.SIGKILL)
        time.sleep(1)
        b.start()
        assert [s["id"] for s in toolbox(b, box, "GET", "/process/pty")[1]["sessions"]] == ["keeps"]
        with Remote(b, box, "proxy", "/process/pty/keeps/connect", BEARER) as v:
            v.connected().until(b"shown-before")
            v.until(b"printed-meanwhile")
            v.send("echo =$secret=\n")
            v.until(b"=unforgotten=")
        assert b.request("DELETE", f"/sandbox/{box}")[0] == 200


def test_two_hundred_in_a_sandbox(server, box):
    """The sandbox's own devpts has room for all of them, and for what runs in them."""
    for i in range(200):
        assert toolbox(server, box, "POST", "/process/pty", {"id": f"p{i}"})[0] == 201
    assert toolbox(server, box, "POST", "/process/pty", {"id": "p200"})[0] == 429
    with Remote(server, box, "proxy", "/process/pty/p199/connect", BEARER) as v:
        v.connected().until(PROMPT)
        v.send("python3 -c 'import pty; print(pty.openpty()[0] > 2)'\n")
        v.until(b"True")
    # what one sandbox takes is not missed by the others
    assert int(pathlib.Path("/proc/sys/kernel/pty/max").read_text()) >= 262144


# --- programs that draw on the whole screen ---

def has(server, box, name):
    return toolbox(server, box, "POST", "/process/execute", {"command": f"command -v {name}"})[1]["exitCode"] == 0


def vim(v):
    v.send("vim /tmp/file\n")
    v.until(b"\x1b[?1049h")  # the other screen
    v.send("ihello from vim\x1b:wq\n")
    v.until(b"\x1b[?1049l")
    v.send("cat /tmp/file | tr a-z A-Z\n")
    v.until(b"HELLO FROM VIM")


def tmux(v):
    v.send("tmux -f /dev/null\n")
    v.until(b"[0]")  # its status line
    v.send("echo in-''tmux-$TERM\n")
    v.until(re.compile(rb"in-tmux-(screen|tmux)"))
    v.send("\x02%")
    v.send("echo side-''pane; tmux kill-server\n")
    v.until(b"[server exited]")


def htop(v):
    v.send("htop\n")
    v.until(b"\x1b[?1049h")
    v.until(b"Mem")
    v.send("q")
    v.until(b"\x1b[?1049l")


def top(v):
    v.send("top\n")
    v.until(b"PID")
    v.send("q")
    v.until(PROMPT)


def less(v):
    v.send("seq 1 500 | less\n")
    v.until(b"\r\n23\r\n")
    v.send("G")
    v.until(b"500")
    v.send("q")


def python3(v):
    v.send("python3 -q\n")
    v.until(b">>> ")
    v.send("print('py' * 2, input('name? '))\n")
    v.until(b"name? ")
    v.send("bob\n")
    v.until(b"pypy bob")
    v.send("while True: pass\n\n")
    time.sleep(0.3)
    v.send("\x03")
    v.until(b"KeyboardInterrupt")
    v.until(b">>> ")
    v.send("exit()\n")


def test_programs(server, box):
    needed, drawn = {python3, less, top}, set()
    toolbox(server, box, "POST", "/process/pty", {"id": "screen"})
    with Remote(server, box, "proxy", "/process/pty/screen/connect", BEARER) as v:
        v.connected().until(PROMPT)
        for program in (python3, less, top, vim, tmux, htop):
            if program in needed or has(server, box, program.__name__):
                program(v)
                v.send(f"echo after-''{program.__name__}\n")
                v.until(f"after-{program.__name__}\r\n".encode())
                drawn.add(program)
        v.send("exit\n")
        assert v.ends()[0] == 1000
    assert needed <= drawn


# --- images that have little ---

def test_busybox(server, tmp_path):
    """A shell of another kind, root, no libc."""
    server.import_snapshot("pty-small", small_image.tar(tmp_path))
    status, made = server.request("POST", "/sandbox", {"snapshot": "pty-small", "user": "root"})
    assert status == 200, made
    box = made["id"]
    assert toolbox(server, box, "POST", "/process/pty", {"id": "ash"})[0] == 201
    with Remote(server, box, "proxy", "/process/pty/ash/connect", BEARER) as v:
        v.connected().until(PROMPT)
        v.send("echo =$TERM=$0=$SHELL=; id -u; exit 2\n")
        assert v.ends() == (1011, {"exitCode": 2, "exitReason": "non-zero exit"})
        assert b"=xterm-256color=/bin/sh=/bin/sh=" in v.output
    # and without any: a clear error
    toolbox(server, box, "POST", "/process/execute", {"command": "rm /bin/sh"})
    status, answer = toolbox(server, box, "POST", "/process/pty", {"id": "none"})
    assert status == 501 and "has no shell" in answer["message"]
    server.request("DELETE", f"/sandbox/{box}")

"""The notification socket with Socket.IO's own client and with the SDK that waits on it."""
import os
import pathlib
import subprocess

import backend

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
SCRIPT = pathlib.Path(__file__).parent / "notify.mjs"


def test_typescript(server, tmp_path):
    (tmp_path / SCRIPT.name).write_text(SCRIPT.read_text())
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
    done = subprocess.run(["node", tmp_path / SCRIPT.name], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr
    assert server.request("GET", "/sandbox")[1]["items"] == []

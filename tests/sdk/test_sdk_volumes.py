"""The unmodified SDKs and volumes."""
import os
import pathlib
import subprocess

import backend
import pytest

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
SCRIPT = pathlib.Path(__file__).parent / "volumes.mjs"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / SCRIPT.name).write_text(SCRIPT.read_text())
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder / SCRIPT.name


@pytest.mark.parametrize("version", ["0.111.1", "0.218.0"])
def test_typescript(server, script, version):
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
    done = subprocess.run(["node", script, f"daytona-sdk-{version}"], env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr
    assert server.request("GET", "/volumes") == (200, []) and server.request("GET", "/sandbox")[1]["items"] == []

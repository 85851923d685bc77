"""The unmodified SDKs run code in three languages, get its charts, and use the interpreter."""
import os
import pathlib
import subprocess
import sys

import backend
import pytest

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "code.mjs").write_text((HERE / "code.mjs").read_text())
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder / "code.mjs"


def run(server, *command):
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize("version", ["0.111.1", "0.113.1", "0.190.1", "0.218.0"])
def test_typescript(server, script, version):
    run(server, "node", script, f"daytona-sdk-{version}")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_python(server, kind):
    run(server, sys.executable, HERE / "code.py", kind)

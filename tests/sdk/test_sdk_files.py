"""The unmodified SDKs: everything that they do with files, and what the newest adds to it."""
import os
import pathlib
import subprocess
import sys

import backend
import pytest

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
HERE = pathlib.Path(__file__).parent
# Names below localhost are this host's (RFC 6761), whatever its resolver knows of that.
LOCALHOST = """import dns from 'node:dns';
const real = dns.lookup;
dns.lookup = (name, ...more) => real(name.endsWith('.localhost') ? 'localhost' : name, ...more);
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("sdk")
    for name in ("files.mjs", "serverless.mjs"):
        (folder / name).write_text((HERE / name).read_text())
    (folder / "localhost.mjs").write_text(LOCALHOST)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder / "files.mjs"


def run(server, *command, **more):
    env = {**more, "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr + server.tail()
    assert server.request("GET", "/sandbox")[1]["items"] == []


@pytest.mark.parametrize("version", ["0.111.1", "0.113.1", "0.190.1", "0.218.0"])
def test_typescript(server, script, version):
    run(server, "node", script, f"daytona-sdk-{version}")


@pytest.mark.parametrize("version", ["0.111.1", "0.190.1", "0.218.0"])
def test_2918_typescript_in_a_serverless_runtime(server, script, version):
    """Uploads failed there; in 0.113.1 inside the client, before it sends anything."""
    run(server, "node", "--import", script.parent / "localhost.mjs", script.parent / "serverless.mjs", f"daytona-sdk-{version}",
        LAMBDA_TASK_ROOT="/var/task")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_python(server, kind):
    run(server, sys.executable, HERE / "files.py", kind)

"""The unmodified SDKs and the program of an image, through all generations of paths."""
import os
import pathlib
import subprocess
import sys

import backend
import busybox
import image
import pytest

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
HERE = pathlib.Path(__file__).parent
PROGRAM = 'echo "hello $1"; echo to stderr >&2; while ! [ -e /go ]; do sleep 0.05; done; echo went; exit 7'
# Names below localhost are this host's (RFC 6761), whatever its resolver knows of that.
LOCALHOST = """import dns from 'node:dns';
const real = dns.lookup;
dns.lookup = (name, ...more) => real(name.endsWith('.localhost') ? 'localhost' : name, ...more);
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "entrypoint.mjs").write_text((HERE / "entrypoint.mjs").read_text())
    (folder / "localhost.mjs").write_text(LOCALHOST)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    layer = busybox.make(folder / "layer.tar")
    with backend.Backend() as b:
        b.import_snapshot("program", image.docker_save(layer, folder / "image.tar", Entrypoint=["sh", "-c", PROGRAM], Cmd=["x", "wörld"],
                                                       Env=["PATH=/bin"]))
        yield b.start()


def run(server, *command):
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": server.url,
           "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr
    assert server.request("GET", "/sandbox")[1]["items"] == []


@pytest.mark.parametrize("version", ["0.111.1", "0.113.1", "0.190.1", "0.218.0"])
def test_typescript(server, folder, version):
    run(server, "node", "--import", folder / "localhost.mjs", folder / "entrypoint.mjs", f"daytona-sdk-{version}")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_python(server, kind):
    run(server, sys.executable, HERE / "entrypoint.py", kind)

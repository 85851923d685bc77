"""Runs programs that use the official SDKs, of the versions that tests/package.json, tests/requirements.txt,
tests/sdk/python/ and tests/sdk/go/ pin."""
import os
import pathlib
import subprocess
import sys

import backend
import pytest

CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
HERE = pathlib.Path(__file__).parents[1] / "sdk"

TYPESCRIPT = ["0.111.1", "0.113.1", "0.190.1", "0.218.0"]
PYTHON = ["0.111.1", "0.113.1", "0.190.1", "0.218.0"]
GO = ["0.145.0", "0.173.0"]  # the module's first that can be had, and its last

typescript = pytest.mark.parametrize("version", TYPESCRIPT)
go = pytest.mark.parametrize("version", GO)


def python(function):
    """Marks a test that takes a version and whether it is `sync` or `async`."""
    return pytest.mark.parametrize("kind", ["sync", "async"])(pytest.mark.parametrize("version", PYTHON)(function))


# For what takes long and is mostly the sandbox's work: the oldest two in one kind each.
python_in_turn = pytest.mark.parametrize("version, kind", [
    ("0.111.1", "sync"), ("0.113.1", "async"), ("0.190.1", "sync"), ("0.190.1", "async"),
    ("0.218.0", "sync"), ("0.218.0", "async")])


class Programs:
    """Those of one server; `folder` is where the modules are that node looks for beside its programs."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        (folder / "node_modules").symlink_to(CLIENTS / "node_modules")

    def run(self, command, more=None, seconds=400):
        """Each says `ok` at its end, and leaves no sandbox."""
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "DAYTONA_API_URL": self.server.url,
               "DAYTONA_API_KEY": backend.KEY, "DAYTONA_TARGET": "us", **(more or {})}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds)
        left = self.server.request("GET", "/sandbox")[1]["items"]
        for box in left:  # they are not the next one's
            self.server.request("DELETE", f"/sandbox/{box['id']}")
        assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr + self.server.tail()
        assert left == []

    def node(self, name, *args, env=None):
        script = self.folder / f"{name}.mjs"
        script.write_text((HERE / script.name).read_text())
        self.run(["node", "--import", HERE / "localhost.mjs", script, *args], env)

    def typescript(self, name, version, *args, env=None):
        self.node(name, f"daytona-sdk-{version}", *args, env=env)

    def python(self, name, version, kind, *args, env=None):
        packages = CLIENTS / "python" / version
        env = dict(env or {}, PYTHONPATH=str(packages)) if packages.exists() else env
        self.run([sys.executable, HERE / "python" / f"{name}.py", version, kind, *args], env)

    def go(self, name, version, *args, env=None):
        self.run([pathlib.Path(os.environ["DAYTONA_TEST_GO"]) / version, name, *args], env)

#!/usr/bin/env python3
"""Real agents find the server through the entry that `daytona mcp init` wrote. Run it with ./dev agents.

claude, gemini and opencode connect (their `mcp list` starts the server and speaks to it); Codex parses its
own configuration. Nothing needs a login.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("DAYTONA_CACHE", pathlib.Path.home() / ".cache/daytona-dev")) / "agents"
DAYTONA = HERE.parent.parent / "build" / "bin" / "daytona"
# agent, the words of its listing, what must be in the answer
CHECKS = [
    ("claude-code", ["claude", "mcp", "list"], "Connected"),
    ("gemini", ["gemini", "mcp", "list"], "Connected"),
    ("opencode", ["opencode", "mcp", "list"], "connected"),
    ("codex", ["codex", "mcp", "list"], "daytona-mcp"),
]


def install():
    CACHE.mkdir(parents=True, exist_ok=True)
    pins = (HERE / "package.json").read_text()
    if not (CACHE / "complete").exists() or (CACHE / "package.json").read_text() != pins:
        print("downloading the agents", flush=True)
        (CACHE / "package.json").write_text(pins)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=CACHE, check=True)
        (CACHE / "complete").touch()


def check(agent, words, wanted):
    home = tempfile.mkdtemp(prefix="daytona-agent-")
    env = {"HOME": home, "PATH": f"{CACHE}/node_modules/.bin:{CACHE}/node_modules/node/bin:{os.environ['PATH']}",
           "TERM": "dumb", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    try:
        subprocess.run([DAYTONA, "mcp", "init", agent], env=env, check=True)
        done = subprocess.run(words, env=env, cwd=home, capture_output=True, text=True, timeout=120)
        output = done.stdout + done.stderr
        good = done.returncode == 0 and "daytona" in output and wanted in output
        print(f"{agent:12} {'ok' if good else 'FAILED'}", flush=True)
        if not good:
            print(output)
        return good
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    install()
    results = [check(*row) for row in CHECKS]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))

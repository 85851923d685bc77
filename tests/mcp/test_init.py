"""`daytona mcp init` and `config`: what they write, and what they leave alone."""
import json
import os
import pathlib
import pwd
import re
import stat
import subprocess
import tomllib

import backend
import pytest

PROGRAM = os.path.realpath(backend.program("daytona"))
FILES = {
    "linux": {
        "claude": ".config/Claude/claude_desktop_config.json", "claude-code": ".claude.json", "cursor": ".cursor/mcp.json",
        "windsurf": ".codeium/windsurf/mcp_config.json", "codex": ".codex/config.toml",
        "vscode": ".config/Code/User/mcp.json", "gemini": ".gemini/settings.json",
        "opencode": ".config/opencode/opencode.json"},
    "darwin": {
        "claude": "Library/Application Support/Claude/claude_desktop_config.json", "claude-code": ".claude.json",
        "cursor": ".cursor/mcp.json", "windsurf": ".codeium/windsurf/mcp_config.json", "codex": ".codex/config.toml",
        "vscode": "Library/Application Support/Code/User/mcp.json", "gemini": ".gemini/settings.json",
        "opencode": ".config/opencode/opencode.json"}}
AGENTS = sorted(FILES["linux"])
JSON_AGENTS = [a for a in AGENTS if a != "codex"]


def run(home, *args, env=None, user=None):
    return subprocess.run([PROGRAM, "mcp", *args], capture_output=True, text=True, timeout=60, user=user,
                          env={"HOME": str(home), "PATH": "/usr/bin:/bin", **(env or {})})


def init(home, agent, env=None):
    done = run(home, "init", agent, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def path(home, agent, os_name="linux"):
    return home / FILES[os_name][agent]


def entry(agent, text):
    if agent == "codex":
        return tomllib.loads(text)["mcp_servers"]["daytona-mcp"]
    key = {"vscode": "servers", "opencode": "mcp"}.get(agent, "mcpServers")
    return json.loads(text)[key]["daytona-mcp"]


def check_entry(agent, got, home):
    env = got["environment" if agent == "opencode" else "env"]
    command = got["command"] if agent == "opencode" else [got["command"], *got["args"]]
    assert command == [PROGRAM, "mcp", "start"]
    assert env["HOME"] == str(home) and "/usr/bin" in env["PATH"]
    if agent == "opencode":
        assert got["type"] == "local" and got["enabled"] is True


def snapshot(folder):
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("os_name", ["linux", "darwin"])
@pytest.mark.parametrize("agent", AGENTS)
def test_new_file(tmp_path, agent, os_name):
    out = init(tmp_path, agent, {"DAYTONA_OS": os_name})
    file = path(tmp_path, agent, os_name)
    assert str(file) in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().endswith("\n")
    check_entry(agent, entry(agent, file.read_text()), tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [file]  # no backup of nothing, nothing temporary
    before = snapshot(tmp_path)
    assert "nothing changed" in init(tmp_path, agent, {"DAYTONA_OS": os_name})
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("agent", JSON_AGENTS)
def test_the_rest_survives(tmp_path, agent):
    key = {"vscode": "servers", "opencode": "mcp"}.get(agent, "mcpServers")
    text = ('// my settings\n{\n\t"theme": "dark", // I like it\n\t"%s": {\n\t\t/* the other one */\n'
            '\t\t"other": {"command": "x", "args": ["<&>"]},\n\t},\n\t"z": 1e3\n}\n' % key)
    file = path(tmp_path, agent)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o640)
    init(tmp_path, agent)
    after = file.read_text()
    kept = [line for line in text.splitlines() if line in after.splitlines()]
    assert len(kept) >= len(text.splitlines()) - 2, after
    for piece in ["// my settings", "// I like it", "/* the other one */", '"args": ["<&>"]', "1e3"]:
        assert piece in after
    plain = re.sub(r",(\s*[}\]])", r"\1", re.sub(r"//.*|/\*.*?\*/", "", after))
    check_entry(agent, entry(agent, plain), tmp_path)
    assert json.loads(plain)[key]["other"] == {"command": "x", "args": ["<&>"]}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    backups = list(file.parent.glob(file.name + ".bak-*"))
    assert len(backups) == 1 and backups[0].read_text() == text
    assert stat.S_IMODE(backups[0].stat().st_mode) == 0o640
    before = snapshot(tmp_path)
    init(tmp_path, agent)
    assert snapshot(tmp_path) == before


def test_codex_rest_survives(tmp_path):
    text = ('# mine\nmodel = "o"\n\n[mcp_servers.other] # keep\ncommand = "x"\n\n[mcp_servers.daytona-mcp]\n'
            'command = "/old" # old\ntool_timeout_sec = 600\n\n[tui]\ntheme = "a"\n')
    file = path(tmp_path, "codex")
    file.parent.mkdir()
    file.write_text(text)
    init(tmp_path, "codex")
    after = file.read_text()
    assert all(line in after.splitlines() for line in text.splitlines() if "/old" not in line)
    got = tomllib.loads(after)
    check_entry("codex", got["mcp_servers"]["daytona-mcp"], tmp_path)
    assert got["mcp_servers"]["daytona-mcp"]["tool_timeout_sec"] == 600
    assert got["mcp_servers"]["other"] == {"command": "x"} and got["tui"] == {"theme": "a"}
    before = snapshot(tmp_path)
    init(tmp_path, "codex")
    assert snapshot(tmp_path) == before


def test_own_additions_to_the_entry_stay(tmp_path):
    init(tmp_path, "cursor")
    file = path(tmp_path, "cursor")
    tree = json.loads(file.read_text())
    tree["mcpServers"]["daytona-mcp"].update(disabled=True, command="/old/daytona")
    tree["mcpServers"]["daytona-mcp"]["env"]["MINE"] = "1"
    file.write_text(json.dumps(tree))
    init(tmp_path, "cursor")
    got = entry("cursor", file.read_text())
    check_entry("cursor", got, tmp_path)
    assert got["disabled"] is True and got["env"]["MINE"] == "1"


@pytest.mark.parametrize("agent", AGENTS)
def test_daytona_variables_go_along(tmp_path, agent):
    key = 'k"e\\y\tä'
    init(tmp_path, agent, {"DAYTONA_API_URL": "http://h:3000/api", "DAYTONA_API_KEY": key, "OTHER": "no", "DAYTONA_EMPTY": ""})
    got = entry(agent, path(tmp_path, agent).read_text())
    env = got["environment" if agent == "opencode" else "env"]
    assert env["DAYTONA_API_URL"] == "http://h:3000/api" and env["DAYTONA_API_KEY"] == key
    assert set(env) == {"HOME", "PATH", "DAYTONA_API_URL", "DAYTONA_API_KEY"}


BROKEN = ["{", "[]", '{"mcpServers": []}', '{"servers": "x"}', '{"mcp": 5}', '{"a": 1} trailing', '{"a": tru}', "\0", "null"]


@pytest.mark.parametrize("agent", JSON_AGENTS)
@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_left_alone(tmp_path, agent, text):
    key = {"vscode": "servers", "opencode": "mcp"}.get(agent, "mcpServers")
    if text.startswith('{"') and "trailing" not in text and "tru}" not in text and key not in json.loads(text):
        text = text.replace(text.split('"')[1], key, 1)
    file = path(tmp_path, agent)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    before = snapshot(tmp_path)
    done = run(tmp_path, "init", agent)
    assert done.returncode == 1 and str(file) in done.stderr and len(done.stderr.splitlines()) == 1
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("text", ["[x", "a = ", "mcp_servers = {}\n", "mcp_servers.daytona-mcp.command = 'x'\n",
                                  "[mcp_servers]\ndaytona-mcp = {command = 'x'}\n", "a = '\n"])
def test_a_broken_codex_file_is_left_alone(tmp_path, text):
    file = path(tmp_path, "codex")
    file.parent.mkdir()
    file.write_text(text)
    before = snapshot(tmp_path)
    done = run(tmp_path, "init", "codex")
    assert done.returncode == 1 and str(file) in done.stderr
    assert snapshot(tmp_path) == before


def test_unreadable(tmp_path):
    """As a user who may not read the file; and a directory in its place."""
    file = path(tmp_path, "cursor")
    file.parent.mkdir()
    file.write_text("{}")
    file.chmod(0)
    user = pwd.getpwnam("nobody")
    for p in [tmp_path, *tmp_path.parents]:
        if str(p).startswith("/tmp/pytest"):
            p.chmod(0o755)
    os.chown(file.parent, user.pw_uid, user.pw_gid)
    program = tmp_path / "daytona"
    program.write_bytes(pathlib.Path(PROGRAM).read_bytes())
    program.chmod(0o755)
    done = subprocess.run([program, "mcp", "init", "cursor"], capture_output=True, text=True, timeout=60,
                          env={"HOME": str(tmp_path)}, user="nobody", group=user.pw_gid)
    assert done.returncode == 1 and "ermission denied" in done.stderr
    assert file.read_text() == "{}" and len(list(file.parent.iterdir())) == 1
    file.unlink()
    file.mkdir()
    assert run(tmp_path, "init", "cursor").returncode == 1


def test_link_stays_a_link(tmp_path):
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text("{}")
    (tmp_path / ".claude.json").symlink_to(real)
    init(tmp_path, "claude-code")
    assert (tmp_path / ".claude.json").is_symlink()
    check_entry("claude-code", entry("claude-code", real.read_text()), tmp_path)


def test_owner_stays(tmp_path):
    file = tmp_path / ".claude.json"
    file.write_text("{}")
    os.chown(file, 12345, 12346)
    init(tmp_path, "claude-code")
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 12346)


def test_other_folders(tmp_path):
    init(tmp_path, "codex", {"CODEX_HOME": str(tmp_path / "c")})
    assert (tmp_path / "c/config.toml").exists()
    init(tmp_path, "claude-code", {"CLAUDE_CONFIG_DIR": str(tmp_path / "d")})
    assert (tmp_path / "d/.claude.json").exists()
    init(tmp_path, "vscode", {"XDG_CONFIG_HOME": str(tmp_path / "x")})
    assert (tmp_path / "x/Code/User/mcp.json").exists()
    jsonc = tmp_path / ".config/opencode/opencode.jsonc"
    jsonc.parent.mkdir(parents=True)
    jsonc.write_text("{\n  // mine\n}\n")
    init(tmp_path, "opencode")
    assert "// mine" in jsonc.read_text() and "daytona-mcp" in jsonc.read_text()
    assert not jsonc.with_suffix(".json").exists()


@pytest.mark.parametrize("home", ["", "relative"])
def test_no_home(home):
    done = subprocess.run([PROGRAM, "mcp", "init", "cursor"], capture_output=True, text=True, env={"HOME": home}, cwd="/")
    assert done.returncode == 1 and "HOME" in done.stderr


@pytest.mark.parametrize("agent", AGENTS)
def test_config(tmp_path, agent):
    """Prints exactly what init would put into an empty file, and writes nothing."""
    text = run(tmp_path, "config", agent).stdout
    assert not list(tmp_path.iterdir())
    init(tmp_path, agent)
    assert path(tmp_path, agent).read_text() == text


def test_config_without_agent(tmp_path):
    tree = json.loads(run(tmp_path, "config").stdout)
    assert list(tree) == ["mcpServers"] and list(tree["mcpServers"]) == ["daytona-mcp"]
    check_entry("cursor", tree["mcpServers"]["daytona-mcp"], tmp_path)


def test_the_entry_starts(tmp_path):
    """The command of the entry, with nothing but its environment, speaks MCP."""
    init(tmp_path, "claude-code")
    got = entry("claude-code", (tmp_path / ".claude.json").read_text())
    done = subprocess.run([got["command"], *got["args"]], env=got["env"], capture_output=True, timeout=60, cwd="/",
                          input=b'{"jsonrpc":"2.0","id":1,"method":"server/discover"}\n')
    assert json.loads(done.stdout)["result"]["supportedVersions"] == ["2026-07-28"]

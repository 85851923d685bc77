"""The official MCP clients do a day's work in a real sandbox."""
import asyncio
import json
import os
import pathlib
import subprocess

import backend
import pytest

HERE = pathlib.Path(__file__).parent
CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
GUESTBOOK = HERE.parent / "data" / "guestbook"


@pytest.fixture(scope="module")
def setup(server, net):
    url = net.git_repository("guestbook", GUESTBOOK)
    return {"command": str(backend.program("daytona")), "env": server.client_env(), "repository": url, "head": net.head}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The scenario beside the installed SDKs, where node finds them."""
    folder = tmp_path_factory.mktemp("clients")
    for script in (HERE / "clients").glob("*.mjs"):
        (folder / script.name).write_text(script.read_text())
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    return folder


def node(scripts, name, setup):
    done = subprocess.run(["node", scripts / name], env=dict(os.environ, SETUP=json.dumps(setup)),
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stdout + done.stderr


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_typescript_1(scripts, setup, revision):
    node(scripts, "v1.mjs", dict(setup, revision=revision))


@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
def test_typescript_2(scripts, setup, era):
    node(scripts, "v2.mjs", dict(setup, era=era))


def test_python(setup):
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    async def work():
        parameters = StdioServerParameters(command=setup["command"], args=["mcp", "start"], env=setup["env"])
        async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
            await session.initialize()

            async def call(name, **arguments):
                result = await session.call_tool(name, arguments)
                assert not result.is_error, result.content
                return result.structured_content

            box = (await call("create_sandbox"))["id"]
            await call("git_clone", id=box, url=setup["repository"], path="r", branch="feature")
            out = await call("execute_command", id=box, cwd="r", command="cat FEATURE")
            assert out["stdout"] == "a branch\n"
            many = await asyncio.gather(*(call("execute_command", id=box, command=f"echo {i}") for i in range(32)))
            assert [m["stdout"] for m in many] == [f"{i}\n" for i in range(32)]
            assert (await call("run_code", id=box, code="print(6 * 7)"))["output"] == "42\n"
            begun = await call("start_command", id=box, command="sleep 2; echo over; exit 3")
            over = await call("read_command", id=box, command_id=begun["commandId"], wait=60, until_end=True)
            assert over["output"] == "over\n" and over["exitCode"] == 3
            await call("destroy_sandbox", id=box)

    asyncio.run(asyncio.wait_for(work(), 400))


@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
def test_inspector_strict(setup, era, tmp_path):
    inspector = [CLIENTS / "node_modules/.bin/mcp-inspector", "--cli", "--format", "json", "--protocol-era", era]
    env = dict(os.environ, HOME=str(tmp_path), **{k: v for k, v in setup["env"].items() if k.startswith("DAYTONA")})

    def ask(*args):
        settings = [f"-e{k}={v}" for k, v in setup["env"].items() if k.startswith("DAYTONA")]
        done = subprocess.run([*inspector, *settings, setup["command"], "mcp", "start", *args], env=env, capture_output=True,
                              text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    tools = ask("--strict", "--method", "tools/list")
    assert len(json.dumps(tools)) > 1000
    made = ask("--method", "tools/call", "--tool-name", "create_sandbox", "--tool-args-json", "{}")
    text = json.dumps(made)
    box = text.split('"id": "', 1)[1].split('"', 1)[0]
    ask("--method", "tools/call", "--tool-name", "execute_command", "--tool-args-json", json.dumps({"id": box, "command": "ls /"}))
    ask("--method", "resources/templates/list")
    ask("--method", "tools/call", "--tool-name", "destroy_sandbox", "--tool-args-json", json.dumps({"id": box}))

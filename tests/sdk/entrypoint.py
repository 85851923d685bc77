"""The program of the image, by the Python SDK; run with `sync` or `async`."""
import asyncio
import inspect
import sys

from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, DaytonaError

OUT, ERR = "hello wörld\nwent\n", "to stderr\n"


async def settle(value):
    """One text for both clients: the async one's results are awaited."""
    return await value if inspect.isawaitable(value) else value


async def program(daytona):
    sandbox = await settle(daytona.create(CreateSandboxFromSnapshotParams(snapshot="program")))
    process = sandbox.process
    session = await settle(process.get_entrypoint_session())
    assert session.session_id == "entrypoint"
    (command,) = session.commands
    assert (command.id, command.exit_code) == ("entrypoint_command", None) and command.command.startswith("sh -c ")

    async def followed():
        got = {"out": "", "err": ""}

        def add(key):
            def on_chunk(chunk):
                got[key] += chunk
            return on_chunk
        await process.get_entrypoint_logs_async(add("out"), add("err"))
        return got["out"], got["err"]

    live = asyncio.ensure_future(followed())
    await asyncio.sleep(0)
    await settle(process.exec("echo x > /go"))
    assert await live == (OUT, ERR)
    assert (await settle(process.get_entrypoint_session())).commands[0].exit_code == 7
    logs = await settle(process.get_entrypoint_logs())
    assert (logs.stdout, logs.stderr) == (OUT, ERR)
    try:
        await settle(process.delete_session("entrypoint"))
        raise AssertionError("it was deleted")
    except DaytonaError as e:
        assert "entrypoint" in str(e)
    await settle(sandbox.stop())
    await settle(sandbox.start())
    assert await followed() == (OUT, ERR)
    await settle(sandbox.delete())


async def main():
    if sys.argv[1] == "sync":
        await program(Daytona())
    else:
        async with AsyncDaytona() as daytona:
            await program(daytona)
    print("ok")


asyncio.run(main())

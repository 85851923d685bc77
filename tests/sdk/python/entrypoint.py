"""The program of the image, by the Python SDK (client.py says how to run it)."""
import asyncio

from client import main, refused, settle
from daytona import CreateSandboxFromSnapshotParams

OUT, ERR = "hello wörld\nwent\n", "to stderr\n"


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
    await refused(lambda: process.delete_session("entrypoint"), "entrypoint")
    await settle(sandbox.stop())
    await settle(sandbox.start())
    assert await followed() == (OUT, ERR)
    await settle(sandbox.delete())


main(program)

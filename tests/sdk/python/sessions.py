"""Sessions and log streaming as the documentation of the Python SDK shows them (client.py says how to run it)."""
import asyncio

from client import DaytonaConflictError, DaytonaNotFoundError, main, refused, settle, since
from daytona import SessionExecuteRequest

ID = "streaming-session"


async def sessions(daytona):
    sandbox = await settle(daytona.create())
    process = sandbox.process

    async def run(command, **more):
        return await settle(process.execute_session_command(ID, SessionExecuteRequest(command=command, **more)))

    async def streamed(command, **more):
        got = {"out": "", "err": "", "id": (await run(command, run_async=True, **more)).cmd_id}

        def add(key):
            def on_chunk(chunk):
                got[key] += chunk
            return on_chunk
        got["done"] = asyncio.ensure_future(process.get_session_command_logs_async(ID, got["id"], add("out"), add("err")))
        return got

    await settle(process.create_session(ID))
    await refused(lambda: process.create_session(ID), kind=DaytonaConflictError)
    assert (await run("export GREETING='hi there'; cd /tmp")).exit_code == 0
    second = await run("echo \"$GREETING from $PWD\"; echo oops >&2; false")
    assert (second.exit_code, second.stdout, second.stderr) == (1, "hi there from /tmp\n", "oops\n")
    session = await settle(process.get_session(ID))
    assert [c.exit_code for c in session.commands] == [0, 1]
    assert (await settle(process.get_session_command(ID, second.cmd_id))).exit_code == 1
    assert ID in [s.session_id for s in await settle(process.list_sessions())]
    logs = await settle(process.get_session_command_logs(ID, second.cmd_id))
    assert (logs.stdout, logs.stderr) == ("hi there from /tmp\n", "oops\n")
    if since(190):  # those before take it apart themselves
        assert sorted(logs.output.splitlines()) == sorted(second.output.splitlines()) == ["hi there from /tmp", "oops"]

    counter = await streamed("for i in 1 2 3; do echo \"Count: $i\"; until [ -e /tmp/go-$i ]; do sleep 0.05; done; done; echo 'ümläut ☃' >&2")
    assert (await settle(process.get_session_command(ID, counter["id"]))).exit_code is None
    for i in (1, 2, 3):  # each comes while the command waits
        while f"Count: {i}" not in counter["out"]:
            await asyncio.sleep(0.05)
        await settle(process.exec(f"touch /tmp/go-{i}"))
    await counter["done"]
    assert (counter["out"], counter["err"]) == ("Count: 1\nCount: 2\nCount: 3\n", "ümläut ☃\n")
    assert (await settle(process.get_session_command(ID, counter["id"]))).exit_code == 0
    big = await streamed("seq 1 200000; echo last >&2")
    await big["done"]
    assert (len(big["out"]), big["err"]) == (1288895, "last\n")

    if since(190):
        asking = await streamed("read -r name; echo \"hello $name\"; (exit 3)", suppress_input_echo=True)
        await settle(process.send_session_command_input(ID, asking["id"], "world"))
        await asking["done"]
        assert asking["out"] == "hello world\n"
        await refused(lambda: process.send_session_command_input(ID, asking["id"], "late"), "already completed")
        await refused(process.get_entrypoint_session, "entrypoint")

    assert (await run("echo bye; exit 4")).exit_code == 4
    await refused(lambda: run("true"), "ended")
    await settle(process.delete_session(ID))
    for call in (lambda: process.get_session(ID), lambda: run("true")):
        await refused(call, "session not found", DaytonaNotFoundError)

    plain = await settle(process.exec("echo \"$A\"; pwd; exit 5", cwd="/tmp", env={"A": "a \"b\" $c"}))
    assert (plain.exit_code, plain.result) == (5, "a \"b\" $c\n/tmp\n")
    await refused(lambda: process.exec("sleep 60", timeout=1), "timeout")
    assert (await settle(process.exec("sleep 300 & echo now"))).result == "now\n"
    await settle(sandbox.delete())


main(sessions)

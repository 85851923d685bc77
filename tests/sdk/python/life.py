"""The life of a sandbox as the documentation of the Python SDK shows it (client.py says how to run it)."""
import asyncio
import os
import time

from client import DaytonaNotFoundError, main, refused, settle, since
from daytona import CreateSandboxFromSnapshotParams, Resources

NAME = f"my-sandbox-{os.getpid()}"
LOOK = "stat -c '%n %a %u %g %h %s %y' kept hard"


async def run(sandbox, command):
    done = await settle(sandbox.process.exec(command))
    assert done.exit_code == 0, done.result
    return done.result.strip()


async def reach(sandbox, wanted):
    end = time.monotonic() + 200
    while True:
        await settle(sandbox.refresh_data())
        if str(getattr(sandbox.state, "value", sandbox.state)) == wanted:
            return
        assert time.monotonic() < end, sandbox.state
        await asyncio.sleep(0.1)


async def every(daytona, labels):
    if not since(190):
        return (await settle(daytona.list(labels))).items
    from daytona import ListSandboxesQuery
    listed = daytona.list(ListSandboxesQuery(labels=labels))
    if hasattr(listed, "__aiter__"):
        return [s async for s in listed]
    return list(listed)


async def news(daytona, sandbox, before):
    """What the older ones have not."""
    await settle(sandbox.pause())
    await reach(sandbox, "paused")
    await settle(sandbox.start())
    assert await run(sandbox, LOOK) == before
    await settle(sandbox.resize(Resources(cpu=2, memory=2)))
    await settle(sandbox.refresh_data())
    assert (sandbox.cpu, sandbox.memory) == (2, 2)
    await settle(sandbox.update_network_settings(network_allow_list="192.0.2.0/24"))
    assert (sandbox.network_block_all, sandbox.network_allow_list) == (False, "192.0.2.0/24")
    await settle(sandbox.update_network_settings(network_block_all=False))
    assert (sandbox.network_block_all, sandbox.network_allow_list) == (False, None)
    if since(218):
        await settle(sandbox.set_ttl(60))
        await settle(sandbox.set_auto_pause_interval(60))
        await settle(sandbox.refresh_data())
        assert sandbox.auto_destroy_at and (sandbox.auto_pause_interval, sandbox.auto_stop_interval) == (60, 0)
        await settle(sandbox.set_ttl(0))
        await settle(sandbox.update_env({"MY_VAR": "value"}, unset=["OLD_VAR"]))
        assert await run(sandbox, "echo $MY_VAR") == "value"
    fork = await settle((sandbox.fork if since(218) else sandbox._experimental_fork)(name=f"{NAME}-fork"))
    assert await run(fork, LOOK) == before
    await settle(fork.delete())


async def old_ways(daytona, sandbox):
    """What the newer ones have no more."""
    assert (await settle(daytona.find_one(NAME))).id == sandbox.id
    assert (await settle(daytona.find_one(labels={"x": "y"}))).id == sandbox.id
    listed = await settle(daytona.list({"x": "y"}, page=1, limit=10))
    assert (listed.total, listed.page, listed.total_pages) == (1, 1, 1)


async def life(daytona):
    params = CreateSandboxFromSnapshotParams(name=NAME, language="python", labels={"SOME_LABEL": NAME}, auto_stop_interval=30)
    sandbox = await settle(daytona.create(params))
    assert (await settle(daytona.get(NAME))).id == sandbox.id
    assert [s.id for s in await every(daytona, {"SOME_LABEL": NAME})] == [sandbox.id]
    await settle(sandbox.set_labels({"SOME_LABEL": NAME, "x": "y"}))
    await settle(sandbox.set_autostop_interval(60))
    await settle(sandbox.set_auto_archive_interval(60))
    await settle(sandbox.set_auto_delete_interval(120))
    await settle(sandbox.refresh_data())
    assert (sandbox.auto_stop_interval, sandbox.auto_archive_interval, sandbox.auto_delete_interval) == (60, 60, 120)
    await run(sandbox, "sh -c 'echo kept > kept; ln kept hard; chmod 640 kept'")
    before = await run(sandbox, LOOK)
    await refused(sandbox.archive, "not stopped")
    await settle(sandbox.stop())
    await settle(sandbox.archive())
    await reach(sandbox, "archived")
    assert str(sandbox.backup_state) in ("Completed", "BackupStateEnum.COMPLETED"), sandbox.backup_state
    await settle(sandbox.start())
    assert await run(sandbox, LOOK) == before
    if since(190):
        await news(daytona, sandbox, before)
    else:
        await old_ways(daytona, sandbox)
    await settle(sandbox.delete())
    await refused(lambda: daytona.get(NAME), kind=DaytonaNotFoundError)


main(life)

"""The first pages of the documentation with the Python SDK: what a new sandbox may be given, and previews (client.py
says how to run it)."""
import asyncio
import os
import urllib.error
import urllib.request

import client
from client import DaytonaError, DaytonaNotFoundError, main, refused, settle, since
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, DaytonaConfig, SessionExecuteRequest


def visit(url, **headers):
    """The status and the page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


async def serve(sandbox):
    """A server of pages on port 3000; returns its link."""
    await settle(sandbox.fs.upload_file(b"the page", "www/index.html"))
    await settle(sandbox.process.create_session("server"))
    await settle(sandbox.process.execute_session_command("server", SessionExecuteRequest(
        command="cd www; python -m http.server 3000", run_async=True)))
    link = await settle(sandbox.get_preview_link(3000))
    for _ in range(200):
        if visit(link.url, **{"x-daytona-preview-token": link.token})[0] != 502:
            return link
        await asyncio.sleep(0.1)
    raise AssertionError("nothing listens")


async def previews(sandbox):
    link = await serve(sandbox)
    assert visit(link.url, **{"x-daytona-preview-token": link.token}) == (200, "the page")
    assert visit(link.url)[0] == visit(link.url, **{"x-daytona-preview-token": "none"})[0] == 401
    if since(190):
        signed = await settle(sandbox.create_signed_preview_url(3000, 600))
        assert visit(signed.url) == (200, "the page")
        await settle(sandbox.expire_signed_preview_url(3000, signed.token))
        assert visit(signed.url)[0] == 401
        before = sandbox.last_activity_at
        await settle(sandbox.refresh_activity())
        await settle(sandbox.refresh_data())
        assert sandbox.last_activity_at > before
    await settle(sandbox.stop())
    assert visit(link.url, **{"x-daytona-preview-token": link.token})[0] in (400, 401)


async def given(daytona):
    """Variables, a user, intervals, and that everybody may see it; but not its terminal."""
    sandbox = await settle(daytona.create(CreateSandboxFromSnapshotParams(
        language="python", env_vars={"DEBUG": "a 'b' $c"}, os_user="root", public=True, auto_stop_interval=0,
        auto_archive_interval=60, auto_delete_interval=120), timeout=40))
    assert (sandbox.env, sandbox.user, sandbox.public) == ({"DEBUG": "a 'b' $c"}, "root", True)
    assert (sandbox.auto_stop_interval, sandbox.auto_archive_interval, sandbox.auto_delete_interval) == (0, 60, 120)
    assert await settle((sandbox.get_user_home_dir if since(190) else sandbox.get_user_root_dir)()) == "/root"
    assert await settle(sandbox.get_work_dir()) == "/home/daytona"
    for done in (await settle(sandbox.process.exec('echo "$DEBUG"')),
                 await settle(sandbox.process.code_run("import os; print(os.environ['DEBUG'])"))):
        assert done.result.strip() == "a 'b' $c", done
    link = await serve(sandbox)
    assert visit(link.url) == (200, "the page")
    terminal = await settle(sandbox.get_preview_link(22222))
    assert visit(terminal.url)[0] == 401
    await settle(daytona.stop(sandbox))
    await settle(daytona.start(sandbox))
    assert (await settle(sandbox.process.exec('echo "$DEBUG"'))).result == "a 'b' $c\n"
    await settle(daytona.delete(sandbox))


async def start(daytona):
    sandbox = await settle(daytona.create())
    done = await settle(sandbox.process.code_run('print("Sum of 3 and 4 is " + str(3 + 4))'))
    assert (done.exit_code, done.result.strip()) == (0, "Sum of 3 and 4 is 7")
    assert sandbox.name == sandbox.id and (sandbox.auto_stop_interval, sandbox.auto_archive_interval) == (15, 10080)
    assert (sandbox.cpu, sandbox.memory, sandbox.disk, sandbox.target) == (1, 1, 3, "us")
    await previews(sandbox)
    await settle(sandbox.delete())
    await given(daytona)
    brief = await settle(daytona.create(CreateSandboxFromSnapshotParams(ephemeral=True, auto_stop_interval=5)))
    assert brief.auto_delete_interval == 0
    await settle(brief.stop())
    await refused(lambda: daytona.get(brief.id), kind=DaytonaNotFoundError)
    networks = ",".join(f"192.0.2.{n}/32" for n in range(6))
    for params, text in (({"network_allow_list": networks}, "more than 5"), ({"snapshot": "none"}, "none not found")):
        await refused(lambda: daytona.create(CreateSandboxFromSnapshotParams(**params)), text)
    wrong = DaytonaConfig(api_key="YOUR_API_KEY", api_url=os.environ["DAYTONA_API_URL"])
    if client.KIND == "sync":
        await refused(lambda: Daytona(wrong).create(), "Invalid", DaytonaError)
    else:
        async with AsyncDaytona(wrong) as stranger:
            await refused(stranger.create, "Invalid", DaytonaError)


main(start)

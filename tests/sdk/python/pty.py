"""PTYs as the documentation of the Python SDK shows them (client.py says how to run it)."""
import asyncio
import threading

from client import KIND, DaytonaNotFoundError, main, refused, since
from daytona.common.pty import PtySize

# The echo of what is typed must not look like the question.
QUESTION = ('printf "Are you accepting the terms and conditions? (y/%s): " n && read confirm && '
            'if [ "$confirm" = "y" ]; then echo "You accepted"; else echo "You did not accept"; fi\n')


async def sync(daytona):
    sandbox = daytona.create()
    handle = sandbox.process.create_pty_session(id="interactive-session", pty_size=PtySize(cols=300, rows=100),
                                                cwd="/tmp", envs={"A": "b"})
    info = handle.resize(PtySize(cols=210, rows=110))
    assert (info.cols, info.rows) == (210, 110)
    listed = sandbox.process.list_pty_sessions()
    assert [s.id for s in (listed if since(190) else listed.sessions)] == ["interactive-session"]
    info = sandbox.process.get_pty_session_info("interactive-session")
    assert (info.cwd, info.envs, info.active) == ("/tmp", {"A": "b"}, True)
    handle.send_input(QUESTION)
    text, answers = "", {"(y/n): ": "y\n", "You accepted\r\n": "stty size; exit 4\n"}
    for data in handle:
        text += data.decode("utf-8", errors="replace")
        for question in [q for q in answers if q in text]:
            handle.send_input(answers.pop(question))
    assert "110 210" in text, text
    assert handle.exit_code == 4

    handle = sandbox.process.create_pty_session(id="long-running-session", pty_size=PtySize(cols=120, rows=30))
    handle.send_input('while true; do echo "Running... $(date)"; sleep 0.1; done\n')
    seen, results = threading.Event(), []
    got = []

    def data(chunk):
        got.append(chunk)
        if b"".join(got).count(b"Running...") > 3:
            seen.set()

    thread = threading.Thread(target=lambda: results.append(handle.wait(data, 200)))
    thread.start()
    assert seen.wait(100)
    other = sandbox.process.connect_pty_session("long-running-session")
    handle.kill()
    thread.join()
    assert (results[0].exit_code, results[0].error) == (137, "SIGKILL")
    assert other.wait(timeout=100).exit_code == 137
    await refused(lambda: sandbox.process.get_pty_session_info("long-running-session"), kind=DaytonaNotFoundError)
    sandbox.delete()


async def asynchronous(daytona):
    sandbox = await daytona.create()
    got, asked, ready = [], asyncio.Event(), asyncio.Event()

    async def data(chunk):
        got.append(chunk)
        if b"(y/n): " in b"".join(got):
            asked.set()
        if b"You accepted\r\n" in b"".join(got):
            ready.set()

    handle = await sandbox.process.create_pty_session(id="interactive", on_data=data, pty_size=PtySize(cols=100, rows=30))
    await handle.wait_for_connection()
    await handle.send_input(QUESTION)
    await asyncio.wait_for(asked.wait(), 100)
    await handle.send_input("y\n")
    await asyncio.wait_for(ready.wait(), 100)
    info = await handle.resize(PtySize(cols=99, rows=33))
    assert (info.cols, info.rows) == (99, 33)
    await handle.send_input("exit 130\n")
    result = await asyncio.wait_for(handle.wait(), 100)
    assert (result.exit_code, result.error) == (130, "Ctrl+C"), result
    handle = await sandbox.process.create_pty_session(id="killed", on_data=data)
    await handle.wait_for_connection()
    await handle.kill()
    assert (await asyncio.wait_for(handle.wait(), 100)).exit_code == 137
    await sandbox.delete()


main(sync if KIND == "sync" else asynchronous)

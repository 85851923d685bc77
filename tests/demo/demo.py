#!/usr/bin/env python3
"""The main job, watched: an MCP client works in a sandbox. Run it with ./dev demo.

The client is the official Python SDK of the Model Context Protocol; everything it does goes through
`daytona mcp start` over stdio, as an agent's would. A git server stands in a network namespace of its
own, because a sandbox cannot reach its host.
"""
import asyncio
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import backend  # noqa: E402
from internet import Internet  # noqa: E402
from mcp import ClientSession, StdioServerParameters  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402


class Story:
    """Prints one line a step, with the time it took."""

    def __init__(self, session):
        self.session, self.begun = session, time.monotonic()

    async def step(self, what, tool, **arguments):
        start = time.monotonic()
        result = await self.session.call_tool(tool, arguments)
        took = (time.monotonic() - start) * 1000
        text = "".join(getattr(block, "text", "") for block in result.content)
        failed = getattr(result, "isError", None) or getattr(result, "is_error", None)
        if failed:
            print(f"  {what:<44} FAILED\n{text}")
            raise SystemExit(1)
        print(f"  {what:<44} {took:8.1f} ms", flush=True)
        structured = getattr(result, "structuredContent", None) or getattr(result, "structured_content", None)
        return structured or json.loads(text)


def say(text):
    print(f"      {text}", flush=True)


async def work(story, url):
    box = (await story.step("create a sandbox", "create_sandbox", name="demo"))["id"]
    await story.step("clone the repository", "git_clone", id=box, url=url, path="guestbook")
    tests = {"id": box, "cwd": "guestbook", "command": "python3 -m unittest 2>&1 | tail -n 12"}
    run = await story.step("run its tests", "execute_command", **tests)
    say(run["stdout"].strip().splitlines()[-1])
    if "FAILED (failures=1)" not in run["stdout"]:
        raise SystemExit(f"the repository should have one failing test:\n{run}")

    source = await story.session.call_tool("file_download", {"id": box, "file_path": "guestbook/guestbook.py"})
    text = source.content[0].text
    text = text.replace('"""What the guestbook', 'import html\n\n"""What the guestbook', 1)
    text = text.replace("{name}</b>: {text}", "{html.escape(name)}</b>: {html.escape(text)}")
    await story.step("edit the file with the mistake", "file_upload", id=box, content=text,
                     file_path="guestbook/guestbook.py", encoding="text", overwrite=True)
    run = await story.step("run the tests again", "execute_command", **tests)
    say(run["stdout"].strip().splitlines()[-1])
    if run["stdout"].strip().splitlines()[-1] != "OK":
        raise SystemExit("the tests should pass now")

    await story.step("start its web server", "execute_command", id=box, cwd="guestbook",
                     command="nohup python3 app.py 3000 >/tmp/app.log 2>&1 &\n"
                             "for i in $(seq 100); do curl -sf localhost:3000 >/dev/null && exit; sleep 0.05; done; exit 1")
    link = (await story.step("ask for a preview link", "preview_link", id=box, port=3000,
                             description="the guestbook", check_server=True))["url"]
    say(link)
    page = subprocess.run(["curl", "-sS", "--fail", "--max-time", "10", link],
                          capture_output=True, text=True)
    if "<title>Guestbook</title>" not in page.stdout:
        raise SystemExit(f"the preview link did not open: {page.stderr}{page.stdout[:500]}")
    say("opened: " + page.stdout.split("<h1>")[1].split("</h1>")[0])
    await story.step("destroy the sandbox", "destroy_sandbox", id=box)


async def main():
    data = pathlib.Path(os.environ.get("DAYTONA_DEMO_DATA", "/var/cache/daytona-demo"))
    with Internet() as net, backend.Backend(data=data, keep_data=True) as server:
        server.import_default()
        server.start()
        url = net.git_repository("guestbook", HERE.parent / "data" / "guestbook")
        print("An MCP client works in a sandbox:")
        begun = time.monotonic()
        parameters = StdioServerParameters(command=str(backend.program("daytona")), args=["mcp", "start"],
                                           env=server.client_env())
        async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            print(f"  {'connect to daytona mcp start':<44} {(time.monotonic() - begun) * 1000:8.1f} ms")
            await work(Story(session), url)
        print(f"  {'all of it':<44} {(time.monotonic() - begun) * 1000:8.1f} ms")
        server.stop()
        server.expect_nothing_left()  # by itself: its end would purge
    print("Nothing is left behind: no process, mount, cgroup, interface, loop device or firewall rule.")


asyncio.run(main())

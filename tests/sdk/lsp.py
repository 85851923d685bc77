"""Language servers as the documentation of the Python SDK shows them; run with `sync` or `async`."""
import asyncio
import inspect
import sys

from daytona import AsyncDaytona, Daytona, DaytonaError, LspCompletionPosition, LspLanguageId

FILES = {
    "project/a.py": "class Greeter:\n    def hello(self):\n        return 1\n\n\ngreeter = Greeter()\ngreeter.\n",
    "project/b.py": "def greet_all():\n    return 2\n",
    "project/a.ts": "class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\ngreeter.\n",
}


async def settle(value):
    """One text for both clients: the async one's results are awaited."""
    return await value if inspect.isawaitable(value) else value


async def use(sandbox, language, path, line, found):
    server = await settle(sandbox.create_lsp_server(language, "project"))
    await settle(server.start())
    await settle(server.did_open(path))
    completions = await settle(server.completions(path, LspCompletionPosition(line=line, character=8)))
    assert any(item.label.startswith("hello") for item in completions.items), completions
    at_zero = await settle(server.completions(path, LspCompletionPosition(line=0, character=0)))
    assert len(at_zero.items) > 10
    symbols = {symbol.name: symbol for symbol in await settle(server.document_symbols(path))}
    assert symbols["Greeter"].kind == 5 and symbols["Greeter"].location.uri == "file:///home/daytona/" + path
    assert symbols["Greeter"].location.range.start.line == 0
    for search in (server.sandbox_symbols, server.workspace_symbols):
        assert found in [symbol.name for symbol in await settle(search("greet"))]
    await settle(server.did_close(path))
    await settle(server.stop())
    try:
        await settle(server.document_symbols(path))
    except DaytonaError as e:
        assert "server not initialized" in str(e), e
    else:
        raise AssertionError("a stopped server answers")


async def main(daytona):
    sandbox = await settle(daytona.create())
    await settle(sandbox.fs.create_folder("project", "755"))
    for path, text in FILES.items():
        await settle(sandbox.fs.upload_file(text.encode(), path))
    await use(sandbox, LspLanguageId.PYTHON, "project/a.py", 6, "greet_all")
    await use(sandbox, LspLanguageId.TYPESCRIPT, "project/a.ts", 2, "Greeter")
    await settle(sandbox.delete())


async def run():
    if sys.argv[1] == "sync":
        await main(Daytona())
    else:
        async with AsyncDaytona() as daytona:
            await main(daytona)
    print("ok")


asyncio.run(run())

"""Language servers as the documentation of the Python SDK shows them (client.py says how to run it)."""
from client import KIND, main, refused, settle, since
from daytona import LspLanguageId

if since(113):
    from daytona import LspCompletionPosition
elif KIND == "sync":  # the class that it shows is refused by its own checks
    from daytona_api_client import Position as LspCompletionPosition
else:
    from daytona_api_client_async import Position as LspCompletionPosition

FILES = {
    "project/a.py": "class Greeter:\n    def hello(self):\n        return 1\n\n\ngreeter = Greeter()\ngreeter.\n",
    "project/b.py": "def greet_all():\n    return 2\n",
    "project/a.ts": "class Greeter { hello() { return 1 } }\nconst greeter = new Greeter();\ngreeter.\n",
}


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
    inside = path.removeprefix("project/")  # of the project, as the documentation has it as well
    await settle(server.did_open(inside))
    assert "Greeter" in [symbol.name for symbol in await settle(server.document_symbols(inside))]
    await settle(server.did_close(inside))
    await settle(server.stop())
    await refused(lambda: server.document_symbols(path), "server not initialized")


async def project(daytona):
    sandbox = await settle(daytona.create())
    await settle(sandbox.fs.create_folder("project", "755"))
    for path, text in FILES.items():
        await settle(sandbox.fs.upload_file(text.encode(), path))
    await use(sandbox, LspLanguageId.PYTHON, "project/a.py", 6, "greet_all")
    await use(sandbox, LspLanguageId.TYPESCRIPT, "project/a.ts", 2, "Greeter")
    await settle(sandbox.delete())


main(project)

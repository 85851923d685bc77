"""The unmodified SDKs: language servers of the default snapshot."""
import sdk


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("lsp", version)


@sdk.python_in_turn
def test_python(programs, version, kind):
    programs.python("lsp", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("lsp", version)

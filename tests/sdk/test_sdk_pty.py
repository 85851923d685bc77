"""The unmodified SDKs: PTYs created, watched by several, resized, killed, waited for."""
import sdk


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("pty", version)


@sdk.python
def test_python(programs, version, kind):
    programs.python("pty", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("pty", version)

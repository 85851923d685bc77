"""The unmodified SDKs: create, find, label, stop, start, archive, pause, resize, fork, delete."""
import pytest
import sdk


@pytest.fixture(autouse=True)
def no_archive_left(server):
    yield
    assert list((server.data / "objects").glob("*/*")) == []


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("life", version)


@sdk.python
def test_python(programs, version, kind):
    programs.python("life", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("life", version)

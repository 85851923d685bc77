"""The unmodified SDKs and volumes."""
import pytest
import sdk


@pytest.fixture(scope="module", autouse=True)
def no_volume_left(server):
    yield
    assert server.request("GET", "/volumes") == (200, [])


@pytest.mark.parametrize("version", ["0.111.1", "0.218.0"])
def test_typescript(programs, version):
    programs.typescript("volumes", version)


@pytest.mark.parametrize("version, kind", [("0.111.1", "sync"), ("0.218.0", "async")])
def test_python(programs, version, kind):
    programs.python("volumes", version, kind)


@sdk.go
def test_go(programs, version):
    programs.go("volumes", version)

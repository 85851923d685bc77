"""The unmodified SDKs and the program of an image, through all generations of paths."""
import backend
import busybox
import image
import pytest
import sdk

PROGRAM = 'echo "hello $1"; echo to stderr >&2; while ! [ -e /go ]; do sleep 0.05; done; echo went; exit 7'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    layer = busybox.make(folder / "layer.tar")
    with backend.Backend() as b:
        b.import_snapshot("program", image.docker_save(layer, folder / "image.tar", Entrypoint=["sh", "-c", PROGRAM], Cmd=["x", "wörld"],
                                                       Env=["PATH=/bin"]))
        yield b.start()


@sdk.typescript
def test_typescript(programs, version):
    programs.typescript("entrypoint", version)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("version", ["0.190.1", "0.218.0"])  # those before do not know of it
def test_python(programs, version, kind):
    programs.python("entrypoint", version, kind)

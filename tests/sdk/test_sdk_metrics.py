"""The unmodified SDKs that can ask what a sandbox used over time."""
import pytest


def test_typescript(programs):
    programs.typescript("metrics", "0.218.0")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_python(programs, kind):
    programs.python("metrics", "0.218.0", kind)

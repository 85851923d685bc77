"""Fixtures that several suites share."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import backend  # noqa: E402
import internet  # noqa: E402


@pytest.fixture(scope="session")
def server():
    """A runnerd with the default snapshot, for all tests of a session."""
    with backend.Backend() as b:
        b.import_default()
        yield b.start()


@pytest.fixture(scope="session")
def net():
    with internet.Internet() as n:
        yield n

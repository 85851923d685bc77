"""Sandboxes of the default snapshot, made and used as an agent does."""
import mcp_pipe
import pytest


@pytest.fixture(scope="module")
def client(server):
    with mcp_pipe.Client(server) as c:
        yield c


@pytest.fixture
def make(client):
    made = []

    def create(**arguments):
        made.append(client.tool("create_sandbox", **arguments)["id"])
        return made[-1]

    yield create
    for box in made:
        client.call("destroy_sandbox", id=box)

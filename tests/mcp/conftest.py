"""What the suites of the MCP server share, each with a client and a sandbox of its own."""
import mcp_pipe
import pytest


@pytest.fixture(scope="module")
def client(server):
    with mcp_pipe.Client(server) as c:
        yield c


@pytest.fixture(scope="module")
def box(client):
    made = client.tool("create_sandbox")["id"]
    yield made
    client.call("destroy_sandbox", id=made)

"""Runners on other machines with the generated API clients."""
import json

import backend
import pytest
import sdk

PERMISSIONS = [row["wire"] for row in json.loads((backend.SOURCES / "schemas/permissions.json").read_text())["permissions"]]


@pytest.fixture
def key(server):
    """Of the administrator, with what the first clients' keys know nothing of."""
    status, made = server.as_local_user("POST", "/api-keys", {"name": "of runners", "permissions": PERMISSIONS})
    assert status == 201, made
    yield made["value"]
    assert server.as_local_user("DELETE", "/api-keys/of%20runners")[0] == 204


@sdk.typescript
def test_typescript(programs, key, version):
    programs.typescript("runners", version, env={"DAYTONA_API_KEY": key})

"""Every operation of the published API is there: served, or refused with 501 and the reason."""
import http.client
import json
import pathlib
import subprocess
import sys

import backend
import busybox
import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "schemas" / "gen"))

import gen  # noqa: E402

OPERATIONS = [tuple(line.split()) for line in (ROOT / "tests" / "data" / "operations.txt").read_text().splitlines()
              if not line.startswith("#")]
SERVICES = {"proxy": "--proxy-api-key", "ssh-gateway": "--ssh-gateway-api-key", "runner": "--default-runner-api-key"}
REST = gen.operations_of(gen.read(ROOT / "schemas" / "rest"))
INSIDE = gen.operations_of(gen.read(ROOT / "schemas" / "toolbox"))


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    keys = [word for name, flag in SERVICES.items() for word in (flag, f"{name}-key-of-this-test")]
    with backend.Backend(settings=("--default-snapshot", "busybox", *keys)) as b:
        b.import_snapshot("busybox", busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar"))
        yield b.start()


@pytest.fixture(scope="module")
def box(api):
    status, made = api.request("POST", "/sandbox", {})
    assert status == 200, made
    yield made["id"]
    api.request("DELETE", f"/sandbox/{made['id']}")


def ask(api, method, path, key=None, local=False):
    c = http.client.HTTPConnection("127.0.0.1", api.port, timeout=120)
    if local:
        return api.as_local_user(method, path)
    c.request(method, "/api" + path, headers={"Authorization": f"Bearer {key}"} if key else {})
    reply = c.getresponse()
    text = reply.read()
    c.close()
    return reply.status, json.loads(text) if text.startswith(b"{") else None


def test_none_is_missing(api):
    """Without credentials: what is there asks for some, or is open to all."""
    missing = []
    for method, path in OPERATIONS:
        status, answer = ask(api, method, path.replace("{", "").replace("}", ""))
        if status == 404 and answer["message"].startswith("Cannot "):
            missing.append(f"{method} {path}")
        elif status not in (401, 200):
            missing.append(f"{method} {path}: {status}")
    assert not missing, "\n".join(missing)
    assert len(OPERATIONS) > 250


def test_what_is_not_served_says_why(api):
    later = [o for o in REST if "unserved" in o]
    assert later
    local = next(o["id"] for o in api.as_local_user("GET", "/organizations")[1] if o["personal"])
    for o in later:
        services = o.get("services", [])
        path = o["path"].replace("{organizationId}", local).replace("{", "").replace("}", "")
        if o.get("auth") == "service" and not services:
            continue  # nobody may call it
        status, answer = ask(api, o["method"], path, f"{services[0]}-key-of-this-test" if services else None, local=not services)
        assert status == 501, (o, answer)
        assert answer["message"] == o["unserved"] and answer["error"] == "Not Implemented"
        assert answer["code"] == "NOT_IMPLEMENTED" and answer["statusCode"] == 501


def test_inside_a_sandbox(api, box):
    """The same of the toolbox, through the API and through the proxy."""
    prefix = "/toolbox/{sandboxId}/toolbox"
    for method, path in OPERATIONS:
        if not path.startswith(prefix):
            continue
        inner = path.removeprefix(prefix)
        found = [o for o in INSIDE if gen.shape(o) == gen.shape({"method": method, "path": inner})]
        assert len(found) == 1, (method, path)
        if "unserved" not in found[0]:
            continue
        plain = inner.replace("{", "").replace("}", "")
        status, answer = api.request(method, f"/toolbox/{box}/toolbox{plain}")
        assert (status, answer["message"]) == (501, found[0]["unserved"]), (method, path)
        c = http.client.HTTPConnection("127.0.0.1", api.proxy_port, timeout=120)
        c.request(method, f"/toolbox/{box}{plain}", headers={"Host": "localhost", "Authorization": f"Bearer {backend.KEY}"})
        assert c.getresponse().status == 501
        c.close()


def test_the_page_of_the_manual_is_up_to_date():
    made = subprocess.run([sys.executable, ROOT / "schemas/gen/gen.py", "--docs", ROOT / "schemas"], check=True,
                          capture_output=True, text=True).stdout
    assert (ROOT / "docs/rest-api.md").read_text() == made, (
        "run: python3 schemas/gen/gen.py --docs schemas > docs/rest-api.md")

"""The OpenAPI document that the server publishes: valid, complete, and true as far as a fuzzer can tell."""
import os
import pathlib
import subprocess
import sys
import time

import backend
import busybox
import openapi_spec_validator
import people
import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "schemas" / "gen"))

import gen  # noqa: E402

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "ignored_auth")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    with people.gathered("--default-snapshot", "busybox", "--total-cpu", "3", names=("olga",)) as c:
        c.api.import_snapshot("busybox", busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar"))
        yield c


@pytest.fixture(scope="module")
def document(crowd):
    status, d = crowd.api.request("GET", "/api-json", key=None)
    assert status == 200
    return d


def test_it_is_valid(document):
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document, cls=openapi_spec_validator.OpenAPIV31SpecValidator)


def test_it_is_complete(document):
    """Exactly what is served stands in it."""
    served = {(o["method"], o["path"]) for o in gen.operations_of(gen.read(ROOT / "schemas" / "rest"))
              if "unserved" not in o and o["method"] != "ANY"}
    served |= {(o["method"], "/toolbox/{idOrName}/toolbox" + o["path"]) for o in gen.operations_of(gen.read(ROOT / "schemas" / "toolbox"))
               if "unserved" not in o}
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert told == served
    ids = [o["operationId"] for item in document["paths"].values() for o in item.values()]
    assert len(ids) == len(set(ids))
    for path, item in document["paths"].items():
        for o in item.values():
            in_path = {p["name"] for p in o["parameters"] if p["in"] == "path"}
            assert in_path == {s.strip("{}") for s in path.split("/") if s.startswith("{")}


def destroy_all(crowd, **who):
    end = time.monotonic() + 200
    while boxes := crowd.api.request("GET", "/sandbox?limit=200", **who)[1]["items"]:
        assert time.monotonic() < end
        for box in boxes:
            crowd.api.request("DELETE", f"/sandbox/{box['id']}", **who)
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["the administrator's key", "an access token"])
def test_a_fuzzer_finds_nothing(crowd, name):
    if name == "an access token":
        who = {"key": crowd.token("olga"), "org": crowd.personal("olga")}
        headers = ["-H", f"X-Daytona-Organization-ID: {who['org']}"]
    else:
        who, headers = {"key": backend.KEY}, []
    run = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"]) / "venv" / "bin" / "schemathesis"
    try:
        done = subprocess.run(
            [run, "run", f"{crowd.api.url.removesuffix('/api')}/api-json", "--url", crowd.api.url, "--phases", "fuzzing", "-n", "5",
             "--generation-deterministic", "--checks", ",".join(CHECKS), "--continue-on-failure", "--warnings", "off", "--no-color",
             "--suppress-health-check", "all", "--exclude-path", "/sandbox-changes",  # an answer that does not end
             "-H", f"Authorization: Bearer {who['key']}", *headers], capture_output=True, text=True, timeout=850)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert crowd.api.process.poll() is None
    finally:
        destroy_all(crowd, **who)

"""Runners on other machines: registering them, what they report, what their keys open, and the jobs they ask for."""
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import socket
import sqlite3
import threading
import time
import urllib.request
import uuid

import backend
import busybox
import people
import pytest
from listen import Listener

SERVICES = {"proxy": "--proxy-api-key", "ssh-gateway": "--ssh-gateway-api-key", "runner": "--default-runner-api-key"}
METRICS = {"currentCpuLoadAverage": 0.5, "currentCpuUsagePercentage": 45.5, "currentMemoryUsagePercentage": 60.2,
           "currentDiskUsagePercentage": 35.8, "currentAllocatedCpu": 8, "currentAllocatedMemoryGiB": 16,
           "currentAllocatedDiskGiB": 100, "currentSnapshotCount": 5, "currentStartedSandboxes": 10, "cpu": 8,
           "memoryGiB": 32, "diskGiB": 200}
REPORT = {"appVersion": "v1.2.3", "metrics": METRICS, "domain": "runner-1.example.com", "apiUrl": "https://api.example.com:8080",
          "proxyUrl": "https://proxy.example.com:8080", "serviceHealth": [{"serviceName": "docker", "healthy": True}]}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    keys = [word for name, flag in SERVICES.items() for word in (flag, f"{name}-key-of-this-test")]
    with people.gathered("--default-snapshot", "busybox", *keys, names=("olga", "max", "stranger")) as c:
        c.api.import_snapshot("busybox", busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar"))
        yield c


class Place:
    """An organization of olga's with a region."""

    def __init__(self, crowd, name):
        self.crowd, self.org = crowd, crowd.new_org("olga", name)
        status, made = self.ask("POST", "/regions", {"name": "lab"})
        assert status == 201, made
        self.region = made["id"]

    def ask(self, method, path, body=None):
        return self.crowd.ask("olga", method, path, body, org=self.org)

    def register(self, name="one", **more):
        status, made = self.ask("POST", "/runners", {"regionId": self.region, "name": name, **more})
        assert status == 201, made
        return made

    def get(self, runner):
        status, got = self.ask("GET", f"/runners/{runner['id']}")
        assert status == 200, got
        return got


@pytest.fixture
def place(crowd, request):
    p = Place(crowd, request.node.name[:60])
    yield p
    status, e = crowd.ask("olga", "DELETE", f"/organizations/{p.org}")
    assert status == 200, e


def store(crowd):
    return contextlib.closing(sqlite3.connect(f"file:{crowd.api.data}/state/daytona.db?mode=ro", uri=True))


def service(crowd, name, method, path, body=None):
    return crowd.api.request(method, path, body, key=f"{name}-key-of-this-test")


def report(crowd, runner, body=None):
    return crowd.api.request("POST", "/runners/healthcheck", REPORT if body is None else body, key=runner["apiKey"])


# --- registering ---

def test_a_runner_from_its_first_day_to_its_last(crowd, place):
    api = crowd.api
    made = place.register(tags=["gpu", "eu-west"])
    assert set(made) == {"id", "apiKey"} and uuid.UUID(made["id"]) and made["apiKey"].startswith("dtn_") and len(made["apiKey"]) == 68
    new = place.get(made)
    assert {k: new[k] for k in ("id", "name", "region", "regionType", "state", "tags", "unschedulable", "apiVersion", "version",
                                "runnerClass", "sandboxClass", "cpu", "memory", "disk", "availabilityScore", "domain")} == {
        "id": made["id"], "name": "one", "region": place.region, "regionType": "custom", "state": "initializing",
        "tags": ["gpu", "eu-west"], "unschedulable": False, "apiVersion": "2", "version": "2", "runnerClass": "container",
        "sandboxClass": "container", "cpu": 0, "memory": 0, "disk": 0, "availabilityScore": 0, "domain": ""}
    assert not {"lastChecked", "apiKey", "currentCpuUsagePercentage", "appVersion"} & set(new)
    # The key is shown once; what is kept is its hash.
    with store(crowd) as db:
        (row,) = db.execute("SELECT * FROM remote_runner WHERE id = ?", (made["id"],)).fetchall()
        assert hashlib.sha256(made["apiKey"].encode()).digest() in row and made["apiKey"] not in repr(row)
    # It reports.
    assert report(crowd, made) == (200, None)
    seen = place.get(made)
    assert {k: seen[k] for k in ("state", "appVersion", "domain", "apiUrl", "proxyUrl", "cpu", "memory", "memoryGiB", "disk", "gpu",
                                 "gpuType", "availabilityScore")} == {
        "state": "ready", "appVersion": "v1.2.3", "domain": REPORT["domain"], "apiUrl": REPORT["apiUrl"],
        "proxyUrl": REPORT["proxyUrl"], "cpu": 8, "memory": 32, "memoryGiB": 32, "disk": 200, "gpu": 0, "gpuType": "none",
        "availabilityScore": 39}
    assert {k: seen[k] for k in METRICS if k in seen} == {k: v for k, v in METRICS.items() if k not in (
        "currentCpuLoadAverage", "memoryGiB", "diskGiB")} | {"memoryGiB": 32, "diskGiB": 200}
    # Itself, with what can be told of its key.
    status, me = api.request("GET", "/runners/me", key=made["apiKey"])
    mask = f"dtn{'*' * 20}{made['apiKey'][-3:]}"
    assert status == 200 and me == seen | {"apiKey": mask}
    assert api.request("GET", f"/runners/{made['id']}/full", key=made["apiKey"])[1] == me
    for who in ("proxy", "ssh-gateway", "runner"):
        assert service(crowd, who, "GET", f"/runners/{made['id']}/full")[1]["apiKey"] == mask
    # In lists, beside the machine itself.
    listed = place.ask("GET", "/runners")[1]
    assert [r["name"] for r in listed] == ["local", "one"] and listed[1] == seen
    assert [r["id"] for r in place.ask("GET", f"/runners?regionId={place.region}")[1]] == [made["id"]]
    assert [r["name"] for r in place.ask("GET", "/runners?regionId=us")[1]] == ["local"]
    for path in ("/runners", "/admin/runners"):
        assert [(r["id"], r["apiKey"]) for r in api.request("GET", f"{path}?regionId={place.region}")[1]] == [(made["id"], mask)]
    assert api.request("GET", f"/admin/runners/{made['id']}")[1]["apiKey"] == mask
    # A report without figures keeps those that are known; trouble is a state.
    assert report(crowd, made, {"appVersion": "v1.2.4", "serviceHealth": [
        {"serviceName": "docker", "healthy": True}, {"serviceName": "disk", "healthy": False, "errorReason": "full"}]}) == (200, None)
    ill = place.get(made)
    assert (ill["state"], ill["appVersion"], ill["cpu"], ill["availabilityScore"]) == ("unresponsive", "v1.2.4", 8, 0)
    assert report(crowd, made, {"appVersion": "v1.2.4", "metrics": METRICS | {"gpu": 2, "gpuType": "H100"}})[0] == 200
    well = place.get(made)
    assert (well["state"], well["gpu"], well["gpuType"]) == ("ready", 2, "H100") and well["lastChecked"] > seen["lastChecked"]
    # Out of service and back, by its organization and by administrators.
    for ask, prefix in ((place.ask, "/runners"), (api.request, "/runners"), (api.request, "/admin/runners")):
        status, now = ask("PATCH", f"{prefix}/{made['id']}/scheduling", {"unschedulable": True})
        assert status == (204 if prefix.startswith("/admin") else 200) and (now is None or now["unschedulable"] is True)
        out = place.get(made)
        assert out["unschedulable"] is True and out["availabilityScore"] == 0 and out["state"] == "ready"
        assert ask("PATCH", f"{prefix}/{made['id']}/scheduling", {"unschedulable": False})[0] == status
    for ask in (place.ask, api.request):
        assert ask("PATCH", f"/runners/{made['id']}/draining", {"draining": True})[1]["unschedulable"] is True
        assert ask("PATCH", f"/runners/{made['id']}/scheduling", {"unschedulable": False})[1]["unschedulable"] is True
        assert ask("PATCH", f"/runners/{made['id']}/draining", {"draining": False})[1]["unschedulable"] is False
    assert place.ask("PATCH", f"/runners/{made['id']}/draining", {})[0] == 400
    # The end: the key is worth nothing any more.
    assert place.ask("DELETE", f"/runners/{made['id']}") == (204, None)
    assert place.ask("GET", f"/runners/{made['id']}")[0] == 404 == place.ask("DELETE", f"/runners/{made['id']}")[0]
    assert api.request("GET", "/runners/me", key=made["apiKey"])[0] == 401 == report(crowd, made)[0]
    assert [r["name"] for r in place.ask("GET", "/runners")[1]] == ["local"]
    again = place.register()
    assert again["id"] != made["id"] and again["apiKey"] != made["apiKey"]


def test_administrators_register_for_any_region(crowd, place):
    api, key = crowd.api, "runner_key_of_the_administrators"
    body = {"regionId": place.region, "name": "by-admin", "apiKey": key, "apiVersion": "2", "domain": "r.example.com", "cpu": 4,
            "memoryGiB": 8, "diskGiB": 50, "apiUrl": "http://r:3003", "proxyUrl": "http://r:3003", "tags": []}
    status, made = api.request("POST", "/admin/runners", body)
    assert (status, made) == (201, {"id": made["id"], "apiKey": key})
    got = place.get(made)
    assert (got["name"], got["domain"], got["cpu"], got["memory"], got["disk"], got["state"], got["apiUrl"]) == (
        "by-admin", "r.example.com", 4, 8, 50, "initializing", "http://r:3003")
    assert api.request("GET", "/runners/me", key=key)[1]["apiKey"] == f"run{'*' * 20}ors"
    for change, code, message in (
            ({"apiKey": None}, 400, "apiKey is required"), ({"apiVersion": None}, 400, "apiVersion is required"),
            ({"apiVersion": "1"}, 400, "apiVersion must be one of"), ({"name": None}, 400, "name is required"),
            ({"regionId": str(uuid.uuid4())}, 404, "Region not found"), ({}, 409, "Runner with name by-admin already exists"),
            ({"name": "x"}, 409, "apiKey: this key is in use"), ({"name": "x", "apiKey": backend.KEY}, 409, "apiKey: this key is in use"),
            ({"name": "x", "apiKey": "proxy-key-of-this-test"}, 409, "apiKey: this key is in use"),
            ({"name": "x", "apiKey": "short"}, 400, "apiKey is too short"),
            ({"name": "x", "apiKey": "with a blank in its middle"}, 400, "apiKey: only visible ASCII"),
            ({"name": "x", "apiKey": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"}, 400, "JSON web token"),
            ({"name": "local", "regionId": "us"}, 409, "Runner with name local already exists")):
        status, e = api.request("POST", "/admin/runners", body | change)
        assert status == code and message in e["message"], (change, e)
    # Of the shared region, in the words of the first clients.
    status, shared = api.request("POST", "/runners", {
        "domain": "old.example.com:3003", "apiUrl": "http://old:3003", "proxyUrl": "http://old:3003", "apiKey": "secret_api_token",
        "cpu": 4, "memoryGiB": 8, "diskGiB": 50, "gpu": 1, "gpuType": "A100", "class": "small", "region": "us", "version": "0"})
    assert (status, shared["apiKey"]) == (201, "secret_api_token")
    got = api.request("GET", f"/runners/{shared['id']}")[1]
    assert (got["name"], got["region"], got["regionType"], got["gpu"], got["gpuType"]) == (
        "old.example.com:3003", "us", "shared", 1, "A100")
    # It is the administrators' affair: no organization sees it, and sandboxes are made here as ever.
    assert place.ask("GET", f"/runners/{shared['id']}")[0] == 404 == place.ask("DELETE", f"/runners/{shared['id']}")[0]
    assert shared["id"] not in [r["id"] for r in place.ask("GET", "/runners")[1]]
    status, box = place.ask("POST", "/sandbox", {})
    assert status == 200, box
    assert place.ask("DELETE", f"/sandbox/{box['id']}")[0] == 200
    for one in (shared, made):
        assert api.request("DELETE", f"/admin/runners/{one['id']}") == (204, None)
    assert api.request("DELETE", f"/admin/runners/{made['id']}")[0] == 404


@pytest.mark.parametrize("body, status, message", [
    ({}, 400, "regionId is required"), ({"regionId": 7, "name": "x"}, 400, "regionId must be a string"),
    ({"regionId": "REGION"}, 400, "name is required"), ({"regionId": "REGION", "name": ""}, 400, "name should not be empty"),
    ({"regionId": "REGION", "name": "a b"}, 400, "Runner name can only contain"),
    ({"regionId": "REGION", "name": "a/b"}, 400, "Runner name can only contain"),
    ({"regionId": "REGION", "name": "é"}, 400, "Runner name can only contain"),
    ({"regionId": "REGION", "name": "x" * 65}, 400, "name must be at most 64 bytes"),
    ({"regionId": "REGION", "domain": "x" * 65}, 400, "64 at most"),
    ({"regionId": "REGION", "name": "x", "tags": "gpu"}, 400, "tags must be an array"),
    ({"regionId": "REGION", "name": "x", "tags": ["t"] * 33}, 400, "tags must have at most 32 items"),
    ({"regionId": "REGION", "name": "x", "tags": [""]}, 400, "tags.0 should not be empty"),
    ({"regionId": "REGION", "name": "x", "apiUrl": "javascript:alert(1)"}, 400, "apiUrl must be a URL"),
    ({"regionId": "REGION", "name": "x", "proxyUrl": "http://a b"}, 400, "proxyUrl must be a URL"),
    ({"regionId": "REGION", "name": "x", "cpu": -1}, 400, "cpu must not be less than 0"),
    ({"regionId": "REGION", "name": "x", "cpu": "many"}, 400, "cpu must be a number"),
    ({"regionId": "us", "name": "x"}, 403, "Only administrators may register runners in the shared region"),
    ({"regionId": "no-such-region", "name": "x"}, 404, "Region not found"),
    ({"regionId": "REGION", "name": "taken"}, 409, "Runner with name taken already exists in this region"),
])
def test_bad_registrations(crowd, bad_place, body, status, message):
    got, e = bad_place.ask("POST", "/runners", {k: bad_place.region if v == "REGION" else v for k, v in body.items()})
    assert got == status and message in e["message"], e
    assert [r["name"] for r in bad_place.ask("GET", "/runners")[1]] == ["local", "taken"]


@pytest.fixture(scope="module")
def bad_place(crowd):
    p = Place(crowd, "mistakes")
    p.register("taken")
    return p


def test_members_get_keys_that_are_made_for_them(crowd, place):
    """A key that somebody chose could be another one's, or a guess."""
    assert place.register(apiKey="a key that I would like").get("apiKey").startswith("dtn_")
    # The same name in another region is another runner's, and names of regions are understood.
    other = place.ask("POST", "/regions", {"name": "second"})[1]["id"]
    assert place.ask("POST", "/runners", {"regionId": "second", "name": "one"})[0] == 201
    assert {r["region"] for r in place.ask("GET", "/runners")[1]} == {"us", place.region, other}


def test_a_hundred_at_once(crowd, place):
    """Names are unique and the limit holds, however many ask."""
    def one(name):
        return place.ask("POST", "/runners", {"regionId": place.region, "name": name})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, ["same"] * 100))
        assert sorted(s for s, _ in answers) == [201] + [409] * 99
        answers = list(pool.map(one, [f"r{i}" for i in range(120)]))
    assert sorted(s for s, _ in answers) == [201] * 99 + [403] * 21
    assert {a["message"] for s, a in answers if s == 403} == {"You have reached the maximum number of runners"}
    made = [a for s, a in answers if s == 201]
    assert len({m["id"] for m in made}) == 99 == len({m["apiKey"] for m in made})
    listed = place.ask("GET", "/runners")[1]
    assert len(listed) == 101 and len({r["name"] for r in listed}) == 101
    # All of them report at once, and each is heard.
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert {s for s, _ in pool.map(lambda m: report(crowd, m), made)} == {200}
    assert [r["state"] for r in place.ask("GET", "/runners")[1]].count("ready") == 100
    assert place.ask("DELETE", f"/runners/{made[0]['id']}")[0] == 204
    assert one("again")[0] == 201 and one("once more")[0] == 400 and one("one-more")[0] == 403


# --- reports ---

@pytest.mark.parametrize("change, message", [
    ({"appVersion": None}, "appVersion is required"), ({"appVersion": "v" * 65}, "appVersion must be at most 64"),
    ({"metrics": []}, "metrics must be an object"), ({"metrics": {}}, "metrics.currentCpuLoadAverage is required"),
    ({"metrics": METRICS | {"cpu": -1}}, "metrics.cpu must not be less than 0"),
    ({"metrics": METRICS | {"diskGiB": 1e300}}, "metrics.diskGiB must not be greater than"),
    ({"metrics": METRICS | {"gpuType": 4}}, "metrics.gpuType must be a string"),
    ({"serviceHealth": [{"healthy": True}]}, "serviceHealth.0.serviceName is required"),
    ({"serviceHealth": [{"serviceName": "x", "healthy": "no"}]}, "serviceHealth.0.healthy must be a boolean"),
    ({"serviceHealth": [{"serviceName": "x", "healthy": True}] * 65}, "serviceHealth must have at most 64"),
    ({"apiUrl": "not a url"}, "apiUrl must be a URL"), ({"domain": "d" * 256}, "domain must be at most 255"),
])
def test_bad_reports(crowd, bad_place, reporter, change, message):
    status, e = report(crowd, reporter, REPORT | change)
    assert status == 400 and message in e["message"], e
    assert bad_place.get(reporter)["state"] == "initializing"


@pytest.fixture(scope="module")
def reporter(bad_place):
    made = bad_place.register("reporter")
    yield made
    assert bad_place.ask("DELETE", f"/runners/{made['id']}")[0] == 204


def test_the_machine_itself_needs_no_reports(crowd):
    status, e = service(crowd, "runner", "POST", "/runners/healthcheck", REPORT)
    assert status == 400 and "register the runner with POST /runners" in e["message"]
    assert crowd.api.request("GET", "/runners?regionId=us")[1][0]["domain"] == "localhost"


def test_silence_and_a_restart(crowd, place):
    """All of it outlives the server; who has not reported for a minute is unresponsive, until the next report."""
    made = place.register(tags=["a", "b"])
    silent = place.register("silent")
    fresh = place.register("fresh")
    for one in (made, silent):
        assert report(crowd, one)[0] == 200
    assert place.ask("PATCH", f"/runners/{made['id']}/draining", {"draining": True})[0] == 200
    before = [place.get(r) for r in (made, fresh)]
    crowd.api.stop()
    with contextlib.closing(sqlite3.connect(crowd.api.data / "state" / "daytona.db")) as db, db:
        assert db.execute("UPDATE remote_runner SET checked_ms = checked_ms - 61000 WHERE id = ?", (silent["id"],)).rowcount == 1
    crowd.api.start()
    assert [place.get(r) for r in (made, fresh)] == before and before[0]["unschedulable"] is True
    status, quiet = crowd.api.request("GET", "/runners/me", key=silent["apiKey"])
    assert status == 200 and (quiet["state"], quiet["availabilityScore"], quiet["cpu"]) == ("unresponsive", 0, 8)
    assert report(crowd, silent) == (200, None)
    assert place.get(silent)["state"] == "ready"


# --- what the key opens ---

def test_the_key_opens_nothing_else(crowd, place):
    api = crowd.api
    box = place.ask("POST", "/sandbox", {})[1]
    one, two = place.register("one"), place.register("two")
    key = one["apiKey"]

    def get(path):
        return api.request("GET", path, key=key)
    assert get(f"/runners/by-sandbox/{box['id']}")[0] == 404
    assert get("/runners/by-snapshot-ref?ref=busybox") == (200, []) and get("/runners/by-snapshot-ref")[0] == 400
    assert get("/sandbox/for-runner") == (200, []) and get("/sandbox/for-runner?states=flying")[0] == 400
    assert api.request("PUT", f"/sandbox/{box['id']}/state", {"state": "started"}, key=key)[0] == 404
    own = api.request("GET", "/runners?regionId=us")[1][0]["id"]
    for other in (two["id"], own, str(uuid.uuid4())):
        assert get(f"/runners/{other}/full")[0] == 404
    for method, path, body in (
            ("GET", "/runners", None), ("GET", f"/runners/{one['id']}", None), ("DELETE", f"/runners/{one['id']}", None),
            ("POST", "/runners", {"regionId": place.region, "name": "x"}), ("GET", "/admin/runners", None),
            ("PATCH", f"/runners/{one['id']}/scheduling", {"unschedulable": True}), ("GET", f"/sandbox/{box['id']}", None),
            ("POST", "/sandbox", {}), ("GET", "/sandbox", None), ("GET", "/regions", None), ("GET", "/volumes", None),
            ("GET", "/organizations", None), ("GET", f"/organizations/{place.org}", None), ("GET", "/api-keys", None),
            ("GET", "/users/me", None), ("GET", "/health/ready", None), ("GET", "/metrics", None),
            ("GET", f"/preview/{box['id']}/public", None),
            ("POST", f"/toolbox/{box['id']}/toolbox/process/execute", {"command": "id"})):
        status, e = api.request(method, path, body, key=key)
        assert status == 403 and e["message"].startswith("Forbidden resource"), (method, path, e)
    c = http.client.HTTPConnection("127.0.0.1", api.proxy_port, timeout=120)
    c.request("POST", f"/toolbox/{box['id']}/process/execute", '{"command": "id"}',
              {"Host": "localhost", "Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    assert c.getresponse().status in (401, 403)
    c.close()
    assert place.ask("DELETE", f"/sandbox/{box['id']}")[0] == 200


def test_other_organizations_see_nothing_of_it(crowd, place):
    made, strange = place.register(), crowd.personal("stranger")
    for method, path, body in (
            ("GET", f"/runners/{made['id']}", None), ("DELETE", f"/runners/{made['id']}", None),
            ("PATCH", f"/runners/{made['id']}/scheduling", {"unschedulable": True}),
            ("PATCH", f"/runners/{made['id']}/draining", {"draining": True}),
            ("POST", "/runners", {"regionId": place.region, "name": "mine"})):
        assert crowd.ask("stranger", method, path, body, org=strange)[0] == 404
    assert [r["name"] for r in crowd.ask("stranger", "GET", "/runners", org=strange)[1]] == ["local"]
    assert place.get(made)["unschedulable"] is False
    # A member without the permission does not, either; each permission opens its own.
    crowd.join("olga", place.org, "max")
    assert crowd.ask("max", "GET", "/runners", org=place.org)[0] == 403
    keys = {p: place.ask("POST", "/api-keys", {"name": p, "permissions": [p]})[1]["value"]
            for p in ("read:runners", "write:runners", "delete:runners")}
    asked = {p: [crowd.api.request(method, path, body, key=key)[0] for method, path, body in (
        ("GET", "/runners", None), ("POST", "/runners", {"regionId": place.region, "name": p.replace(":", "-")}),
        ("PATCH", f"/runners/{made['id']}/draining", {"draining": False}), ("DELETE", f"/runners/{made['id']}", None))]
        for p, key in keys.items()}
    assert asked == {"read:runners": [200, 403, 403, 403], "write:runners": [403, 201, 200, 403], "delete:runners": [403, 403, 403, 204]}
    # The machine itself is shown to all of them and changed by administrators alone.
    own = place.ask("GET", "/runners?regionId=us")[1][0]["id"]
    for path, body in (("scheduling", {"unschedulable": True}), ("draining", {"draining": True})):
        status, e = place.ask("PATCH", f"/runners/{own}/{path}", body)
        assert status == 403 and "only administrators" in e["message"]
    assert place.ask("DELETE", f"/runners/{own}")[0] == 409


def test_a_regions_services_do_not_learn_the_servers_key(crowd, place):
    """The key of the server's own runner acts for every organization; a region belongs to one."""
    key = place.ask("POST", "/regions", {"name": "eu", "proxyUrl": "https://eu.example.com"})[1]["proxyApiKey"]
    eu = place.ask("GET", "/regions/eu")[1]["id"]
    box = place.ask("POST", "/sandbox", {"target": "eu"})[1]
    own = crowd.api.request("GET", "/runners?regionId=us")[1][0]["id"]
    for path in (f"/runners/by-sandbox/{box['id']}", f"/runners/{own}/full"):
        status, seen = crowd.api.request("GET", path, key=key)
        assert status == 200 and (seen["id"], seen["apiKey"]) == (own, "")
        assert service(crowd, "proxy", "GET", path)[1]["apiKey"] == "runner-key-of-this-test"
    # Nor of runners in other regions.
    there = place.ask("POST", "/runners", {"regionId": eu, "name": "there"})[1]
    elsewhere = place.register()
    assert crowd.api.request("GET", f"/runners/{there['id']}/full", key=key)[1]["name"] == "there"
    assert crowd.api.request("GET", f"/runners/{elsewhere['id']}/full", key=key)[0] == 404
    assert place.ask("DELETE", f"/sandbox/{box['id']}")[0] == 200


# --- what it changes for sandboxes ---

def test_no_sandboxes_where_other_machines_are(crowd, place):
    """A region's name works here until it has runners of its own: this server makes nothing on other machines."""
    box = place.ask("POST", "/sandbox", {"target": "lab"})[1]
    made = place.register()
    report(crowd, made)
    for target in ("lab", place.region):
        status, e = place.ask("POST", "/sandbox", {"target": target})
        assert (status, e["message"]) == (400, "No available runners: region lab has runners of its own, and this server makes "
                                          "sandboxes on its own machine only. Use target us, or delete the runners of the region")
    # What was made here is here, another organization's region of that name is another one.
    assert place.ask("GET", f"/sandbox/{box['id']}")[1]["state"] == "started"
    assert service(crowd, "proxy", "GET", f"/runners/by-sandbox/{box['id']}")[1]["name"] == "local"
    strange = crowd.personal("stranger")
    theirs = crowd.ask("stranger", "POST", "/sandbox", {"target": "lab"}, org=strange)[1]
    assert crowd.ask("stranger", "DELETE", f"/sandbox/{theirs['id']}", org=strange)[0] == 200
    # The default region of an organization is a target, too.
    status, e = crowd.ask("olga", "PATCH", f"/organizations/{place.org}/default-region", {"defaultRegionId": place.region})
    assert status == 204 or status == 200, e
    assert place.ask("POST", "/sandbox", {})[0] == 400
    status, here = place.ask("POST", "/sandbox", {"target": "us"})
    assert status == 200
    assert place.ask("DELETE", f"/runners/{made['id']}")[0] == 204
    status, again = place.ask("POST", "/sandbox", {})
    assert status == 200 and again["target"] == place.region
    for one in (box, here, again):
        assert place.ask("DELETE", f"/sandbox/{one['id']}")[0] == 200


def test_runners_go_with_their_region_and_organization(crowd):
    place = Place(crowd, "short-lived")
    first = place.register()
    assert place.ask("DELETE", f"/regions/{place.region}") == (204, None)
    assert report(crowd, first)[0] == 401 and place.ask("GET", f"/runners/{first['id']}")[0] == 404
    place.region = place.ask("POST", "/regions", {"name": "lab"})[1]["id"]
    second = place.register()
    assert report(crowd, second)[0] == 200
    assert crowd.ask("olga", "DELETE", f"/organizations/{place.org}")[0] == 200
    assert report(crowd, second)[0] == 401 and crowd.api.request("GET", f"/runners/{second['id']}")[0] == 404
    with store(crowd) as db:
        assert db.execute("SELECT count(*) FROM remote_runner WHERE id IN (?, ?)", (first["id"], second["id"])).fetchone() == (0,)


def test_a_suspended_organization_registers_none(crowd, place):
    made = place.register()
    assert crowd.api.request("POST", f"/organizations/{place.org}/suspend", {"reason": "x"})[0] == 201
    status, e = place.ask("POST", "/runners", {"regionId": place.region, "name": "two"})
    assert status == 403 and e["message"].startswith("Organization is suspended")
    assert report(crowd, made)[0] == 200
    assert place.ask("DELETE", f"/runners/{made['id']}")[0] == 204


def test_a_runner_that_reports_too_often(tmp_path):
    """It is counted for itself: its organization can go on."""
    with people.gathered("--rate-limit-authenticated", "20", "--rate-limit-authenticated-ttl", "600", names=("olga",)) as c:
        org = c.personal("olga")
        region = c.ask("olga", "POST", "/regions", {"name": "lab"}, org=org)[1]["id"]
        made = c.ask("olga", "POST", "/runners", {"regionId": region, "name": "eager"}, org=org)[1]
        answers = [report(c, made)[0] for _ in range(22)]
        assert answers == [200] * 20 + [429] * 2
        assert c.api.request("GET", "/runners/me", key=made["apiKey"])[0] == 429
        assert c.ask("olga", "GET", f"/runners/{made['id']}", org=org)[1]["state"] == "ready"


# --- events ---

def test_what_is_told_of_runners(crowd, place):
    """Members who may read runners hear of those of their organization; nobody else does."""
    keys = {p: place.ask("POST", "/api-keys", {"name": p, "permissions": [p]})[1]["value"] for p in ("read:runners", "read:volumes")}
    strange = crowd.personal("stranger")
    with Listener(crowd.api.url, keys["read:runners"]) as reader, Listener(crowd.api.url, keys["read:volumes"]) as other, \
            Listener(crowd.api.url, crowd.token("stranger"), strange) as stranger:
        made = place.register("told")
        name, first = reader.event()
        assert (name, first["id"], first["state"]) == ("runner.created", made["id"], "initializing") and "apiKey" not in first
        assert report(crowd, made)[0] == 200
        name, moved = reader.event()
        assert (name, moved["oldState"], moved["newState"]) == ("runner.state.updated", "initializing", "ready")
        assert moved["runner"] == place.get(made)
        assert report(crowd, made)[0] == 200  # is no change
        assert place.ask("PATCH", f"/runners/{made['id']}/scheduling", {"unschedulable": True})[0] == 200
        name, changed = reader.event()
        assert (name, changed["unschedulable"]) == ("runner.unschedulable.updated", True)
        assert report(crowd, made, {"appVersion": "v2", "serviceHealth": [{"serviceName": "x", "healthy": False}]})[0] == 200
        assert reader.event()[1]["newState"] == "unresponsive"
        # One of the shared region is told to no organization.
        status, shared = crowd.api.request("POST", "/admin/runners", {
            "regionId": "us", "name": "shared", "apiKey": "a-key-of-a-shared-runner", "apiVersion": "2"})
        assert status == 201 and crowd.api.request("DELETE", f"/admin/runners/{shared['id']}")[0] == 204
        # The next thing that each of them hears is this.
        assert place.ask("POST", "/volumes", {"name": "v"})[0] == 200
        assert other.event()[0] == "volume.created"
        box = crowd.ask("stranger", "POST", "/sandbox", {}, org=strange)[1]["id"]
        assert stranger.event()[0] == "sandbox.created"
        assert crowd.ask("stranger", "DELETE", f"/sandbox/{box}", org=strange)[0] == 200
        assert place.register("next")["id"] == reader.event()[1]["id"]
    volume = place.ask("GET", "/volumes/by-name/v")[1]["id"]
    end = time.monotonic() + 120
    while place.ask("DELETE", f"/volumes/{volume}")[0] != 404:
        assert time.monotonic() < end
        time.sleep(0.05)


# --- the audit log ---

def test_who_did_what(crowd, place):
    made = place.register("audited", tags=["t"])
    place.ask("PATCH", f"/runners/{made['id']}/scheduling", {"unschedulable": True})
    place.ask("PATCH", f"/runners/{made['id']}/draining", {"draining": True})
    report(crowd, made)
    place.ask("POST", "/runners", {"regionId": place.region, "name": "audited"})
    place.ask("DELETE", f"/runners/{made['id']}")
    entries = crowd.ask("olga", "GET", f"/audit/organizations/{place.org}?limit=200")[1]["items"]
    seen = [(e["action"], e.get("targetId"), e["statusCode"]) for e in reversed(entries) if e.get("targetType") == "runner"]
    assert seen == [("create", made["id"], 201), ("update_scheduling", made["id"], 200), ("update_scheduling", made["id"], 200),
                    ("create", None, 409), ("delete", made["id"], 204)]
    body = next(e for e in entries if e.get("targetId") == made["id"] and e["action"] == "create")["metadata"]["body"]
    assert body == {"regionId": place.region, "name": "audited", "tags": ["t"]}
    status, by_admin = crowd.api.request("POST", "/admin/runners", {
        "regionId": place.region, "name": "by-admin", "apiKey": "very-secret-runner-key", "apiVersion": "2"})
    assert status == 201
    with store(crowd) as db:
        assert "very-secret" not in repr(db.execute("SELECT * FROM audit").fetchall())
    entry = next(e for e in crowd.api.request("GET", "/audit?limit=50")[1]["items"] if e.get("targetId") == by_admin["id"])
    assert (entry["action"], entry["metadata"]["body"]["apiKey"]) == ("create", "********")
    assert crowd.api.request("DELETE", f"/admin/runners/{by_admin['id']}")[0] == 204


# --- jobs ---

def metric(crowd, name):
    request = urllib.request.Request(crowd.api.url + "/metrics", headers={"Authorization": f"Bearer {backend.KEY}"})
    with urllib.request.urlopen(request) as reply:
        return float(next(line for line in reply.read().decode().splitlines() if line.startswith(name + " ")).split()[-1])


def raw(api, key, path):
    """A request whose answer nobody has read yet."""
    s = socket.create_connection(("127.0.0.1", api.port), timeout=200)
    s.sendall(f"GET /api{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    return s


def answer(s):
    reply = http.client.HTTPResponse(s)
    reply.begin()
    text = reply.read()
    return reply.status, json.loads(text) if text else None


def test_there_are_no_jobs(crowd, place):
    made = place.register()
    for key in (made["apiKey"], "runner-key-of-this-test"):
        def ask(method, path, body=None):
            return crowd.api.request(method, path, body, key=key)
        assert ask("GET", "/jobs") == (200, {"items": [], "total": 0, "page": 1, "totalPages": 0})
        assert ask("GET", "/jobs?page=3&limit=200&status=PENDING&offset=9")[1]["page"] == 3
        for query in ("page=0", "limit=0", "limit=501", "status=LOST", "offset=-1", "page=x"):
            status, e = ask("GET", f"/jobs?{query}")
            assert status == 400 and query.split("=")[0] in e["message"]
        job = str(uuid.uuid4())
        for method, path, body in (("GET", f"/jobs/{job}", None), ("POST", f"/jobs/{job}/status", {"status": "COMPLETED"})):
            status, e = ask(method, path, body)
            assert (status, e["message"]) == (404, f"Job with ID {job} not found")
        assert ask("POST", f"/jobs/{job}/status", {"status": "DONE"})[0] == 400 == ask("POST", f"/jobs/{job}/status", {})[0]
        for query in ("timeout=-1", "timeout=61", "timeout=soon", "limit=0", "limit=101"):
            status, e = ask("GET", f"/jobs/poll?{query}")
            assert status == 400 and query.split("=")[0] in e["message"]
        assert ask("GET", "/jobs/poll?timeout=0") == (200, {"jobs": []})
    for key in (backend.KEY, crowd.token("olga"), "proxy-key-of-this-test"):
        for path in ("/jobs", "/jobs/poll?timeout=0", "/jobs/x"):
            assert crowd.api.request("GET", path, key=key)[0] == 403


def test_a_poll_waits_for_its_deadline(crowd, place):
    made, start = place.register(), time.monotonic()
    assert crowd.api.request("GET", "/jobs/poll?timeout=1.5&limit=1", key=made["apiKey"]) == (200, {"jobs": []})
    assert time.monotonic() - start >= 1.4


def test_polls_end_with_their_runner(crowd, place):
    one, two = place.register("one"), place.register("two")
    mine, theirs = raw(crowd.api, one["apiKey"], "/jobs/poll?timeout=60"), raw(crowd.api, two["apiKey"], "/jobs/poll?timeout=60")
    theirs.settimeout(0.5)
    with pytest.raises(TimeoutError):
        theirs.recv(1)
    start = time.monotonic()
    assert place.ask("DELETE", f"/runners/{one['id']}")[0] == 204
    assert answer(mine) == (200, {"jobs": []}) and time.monotonic() - start < 55
    with pytest.raises(TimeoutError):
        theirs.recv(1)
    # With the region, too.
    assert place.ask("DELETE", f"/regions/{place.region}")[0] == 204
    theirs.settimeout(120)
    assert answer(theirs) == (200, {"jobs": []})
    mine.close()
    theirs.close()


def test_the_oldest_poll_makes_room(crowd, place):
    made = place.register()
    polls = []
    for _ in range(5):
        polls.append(raw(crowd.api, made["apiKey"], "/jobs/poll?timeout=60"))
        assert report(crowd, made)[0] == 200  # behind it
    polls[0].settimeout(120)
    assert answer(polls[0]) == (200, {"jobs": []})
    for p in polls[1:]:
        p.settimeout(0.2)
        with pytest.raises(TimeoutError):
            p.recv(1)
    for p in polls:
        p.close()


def test_polls_of_clients_that_went_away_leave_nothing(crowd, place):
    made = place.register()

    def waiting(wanted):
        end = time.monotonic() + 120
        while metric(crowd, "daytona_job_polls") != wanted:
            assert time.monotonic() < end
            time.sleep(0.05)
    waiting(0)
    for _ in range(5):
        gone = [raw(crowd.api, made["apiKey"], "/jobs/poll?timeout=60") for _ in range(4)]
        waiting(4)
        for s in gone:
            s.close()
        waiting(0)
    assert report(crowd, made)[0] == 200
    assert metric(crowd, 'daytona_registered_runners{state="ready"}') == 1


def test_a_server_that_stops_ends_polls(crowd, place):
    made = place.register()
    polls = [raw(crowd.api, made["apiKey"], "/jobs/poll?timeout=60") for _ in range(3)]
    assert report(crowd, made)[0] == 200
    answers = []
    readers = [threading.Thread(target=lambda p=p: answers.append(answer(p))) for p in polls]
    for r in readers:
        r.start()
    start = time.monotonic()
    assert crowd.api.stop() == 0 and time.monotonic() - start < 55
    for r in readers:
        r.join(30)
    assert answers == [(200, {"jobs": []})] * 3
    for p in polls:
        p.close()
    crowd.api.start()
    assert report(crowd, made)[0] == 200

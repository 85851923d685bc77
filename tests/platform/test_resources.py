"""Docker registries, regions, this machine as a runner, what administrators may do besides, and /config."""
import sqlite3
import time
import uuid

import backend
import busybox
import people
import pytest

SERVICES = {"proxy": "--proxy-api-key", "ssh-gateway": "--ssh-gateway-api-key", "runner": "--default-runner-api-key"}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


@pytest.fixture(scope="module")
def crowd(image):
    keys = [word for name, flag in SERVICES.items() for word in (flag, f"{name}-key-of-this-test")]
    with people.gathered("--default-snapshot", "busybox", *keys, names=("olga", "max", "stranger")) as c:
        c.api.import_snapshot("busybox", image)
        yield c


@pytest.fixture
def org(crowd):
    return crowd.personal("olga")


def service(crowd, name, method, path, body=None):
    return crowd.api.request(method, path, body, key=f"{name}-key-of-this-test")


def destroy(crowd, box, who, org):
    assert crowd.ask(who, "DELETE", f"/sandbox/{box}", org=org)[0] == 200


# --- registries ---

HUB = {"name": "hub", "url": "https://index.docker.io/v1/", "username": "me", "password": "very secret"}


def test_registries(crowd, org):
    status, made = crowd.ask("olga", "POST", "/docker-registry", HUB, org=org)
    assert status == 201
    assert made == {"id": made["id"], "name": "hub", "url": HUB["url"], "username": "me", "project": "",
                    "registryType": "organization", "createdAt": made["createdAt"], "updatedAt": made["createdAt"]}
    second = crowd.ask("olga", "POST", "/docker-registry", HUB | {"name": "second", "project": "p"}, org=org)[1]
    status, listed = crowd.ask("olga", "GET", "/docker-registry", org=org)
    assert status == 200 and [r["id"] for r in listed] == [second["id"], made["id"]] and listed[1] == made
    assert crowd.ask("olga", "GET", f"/docker-registry/{made['id']}", org=org) == (200, made)
    status, changed = crowd.ask("olga", "PATCH", f"/docker-registry/{made['id']}", {
        "name": "other", "url": "docker.io", "username": "you"}, org=org)
    assert status == 200 and (changed["name"], changed["url"], changed["username"]) == ("other", "docker.io", "you")
    assert changed["updatedAt"] >= made["updatedAt"]
    with sqlite3.connect(f"file:{crowd.api.data}/state/daytona.db?mode=ro", uri=True) as db:
        (kept,), = db.execute("SELECT password FROM registry WHERE id = ?", (made["id"],))
        assert len(kept) == len("very secret") + 29 and b"secret" not in kept
        crowd.ask("olga", "PATCH", f"/docker-registry/{made['id']}", {"name": "o", "url": "docker.io", "username": "you",
                                                                     "password": "another one"}, org=org)
        (now,), = db.execute("SELECT password FROM registry WHERE id = ?", (made["id"],))
        assert now != kept
    # Of another organization there is none.
    other = crowd.personal("stranger")
    for method, path, body in (("GET", made["id"], None), ("PATCH", made["id"], HUB), ("DELETE", made["id"], None),
                               ("GET", str(uuid.uuid4()), None), ("GET", "no-uuid", None)):
        status, e = crowd.ask("stranger", method, f"/docker-registry/{path}", body, org=other)
        assert status == 404 and e["message"].startswith("Docker registry with ID "), e
    assert crowd.ask("stranger", "GET", "/docker-registry", org=other) == (200, [])
    for r in (made, second):
        assert crowd.ask("olga", "DELETE", f"/docker-registry/{r['id']}", org=org) == (204, None)
    assert crowd.ask("olga", "DELETE", f"/docker-registry/{made['id']}", org=org)[0] == 404


@pytest.mark.parametrize("change, status, message", [
    ({"name": None}, 400, "name is required"), ({"name": ""}, 400, "name should not be empty"),
    ({"password": None}, 400, "password is required"), ({"username": 1}, 400, "username must be a string"),
    ({"url": "nonsense here"}, 400, "url must be a URL"), ({"url": "ftp://x"}, 400, "url must be a URL"),
    ({"url": "https://user@host"}, 400, "url must be a URL"), ({"url": "https://"}, 400, "url must be a URL"),
    ({"url": "http://h:70000"}, 400, "url must be a URL"), ({"url": "http://[::1/"}, 400, "url must be a URL"),
    ({"registryType": "big"}, 400, "registryType must be one of"),
    ({"registryType": "internal"}, 403, "Insufficient permissions for creating internal registries"),
    ({"isDefault": True}, 403, "Insufficient permissions for setting a default registry"),
])
def test_bad_registries(crowd, org, change, status, message):
    got, e = crowd.ask("olga", "POST", "/docker-registry", HUB | change, org=org)
    assert got == status and message in e["message"]
    assert crowd.ask("olga", "GET", "/docker-registry", org=org) == (200, [])


def test_good_registry_urls(crowd, org):
    for url in ("docker.io", "http://registry:6000", "https://[2001:db8::1]:443/v2", "localhost:5000", "https://a.b/c/d"):
        status, made = crowd.ask("olga", "POST", "/docker-registry", HUB | {"url": url}, org=org)
        assert status == 201, (url, made)
        assert crowd.ask("olga", "DELETE", f"/docker-registry/{made['id']}", org=org)[0] == 204


def test_a_hundred_registries_are_enough(crowd):
    org = crowd.personal("max")
    for i in range(100):
        assert crowd.ask("max", "POST", "/docker-registry", HUB | {"name": f"r{i}"}, org=org)[0] == 201
    status, e = crowd.ask("max", "POST", "/docker-registry", HUB, org=org)
    assert (status, e["message"]) == (403, "You have reached the maximum number of registries")


def test_default_registries(crowd):
    a, b = (crowd.api.request("POST", "/docker-registry", HUB | {"name": n, "registryType": "internal", "isDefault": n == "a"})[1]
            for n in "ab")

    def defaults():
        with sqlite3.connect(f"file:{crowd.api.data}/state/daytona.db?mode=ro", uri=True) as db:
            return [i for i, in db.execute("SELECT id FROM registry WHERE is_default")]
    assert defaults() == [a["id"]]
    for path, one in ((f"/docker-registry/{b['id']}/set-default", b), (f"/admin/docker-registry/{a['id']}/set-default", a)):
        status, now = crowd.api.request("POST", path)
        assert status == 201 and now["id"] == one["id"] and defaults() == [one["id"]]
    assert crowd.api.request("POST", f"/docker-registry/{uuid.uuid4()}/set-default")[0] == 404
    assert crowd.ask("olga", "POST", f"/docker-registry/{a['id']}/set-default", org=crowd.personal("olga"))[0] == 403
    for r in (a, b):
        assert crowd.api.request("DELETE", f"/docker-registry/{r['id']}")[0] == 204


# --- regions ---

def test_the_shared_region(crowd, org):
    status, shared = crowd.api.request("GET", "/shared-regions", key=None)
    assert status == 200 and [(r["id"], r["name"], r["regionType"], r["organizationId"]) for r in shared] == [("us", "us", "shared", None)]
    assert crowd.ask("olga", "GET", "/regions", org=org) == (200, shared)
    assert crowd.ask("olga", "GET", "/regions/us", org=org) == (200, shared[0])
    for method, path, body in (("PATCH", "/regions/us", {}), ("DELETE", "/regions/us", None),
                               ("POST", "/regions/us/regenerate-proxy-api-key", None)):
        assert crowd.ask("olga", method, path, body, org=org)[0] == 403


def test_regions_of_ones_own(crowd, org):
    status, made = crowd.ask("olga", "POST", "/regions", {"name": "lab-1"}, org=org)
    assert status == 201 and made == {"id": made["id"], "proxyApiKey": None, "sshGatewayApiKey": None,
                                      "snapshotManagerUsername": None, "snapshotManagerPassword": None}
    path = f"/regions/{made['id']}"
    status, got = crowd.ask("olga", "GET", path, org=org)
    assert status == 200 and (got["name"], got["organizationId"], got["regionType"], got["proxyUrl"]) == ("lab-1", org, "custom", None)
    assert [r["name"] for r in crowd.ask("olga", "GET", "/regions", org=org)[1]] == ["us", "lab-1"]
    for body, code, message in (
            ({"name": "lab-1"}, 409, "Region with name lab-1 already exists"), ({"name": "us"}, 409, "already exists"),
            ({"name": "a b"}, 400, "Region name can only contain"), ({"name": "a/b"}, 400, "Region name can only contain"),
            ({}, 400, "name is required"), ({"name": "x", "proxyUrl": "proxy"}, 400, "proxyUrl must be a URL"),
            ({"name": "x", "snapshotManagerUrl": "https://s"}, 400, "snapshotManagerUrl")):
        status, e = crowd.ask("olga", "POST", "/regions", body, org=org)
        assert status == code and message in e["message"], (body, e)
    status, e = crowd.ask("olga", "POST", f"{path}/regenerate-proxy-api-key", org=org)
    assert (status, e["message"]) == (400, "Region does not have a proxy URL configured")
    assert crowd.ask("olga", "PATCH", path, {"proxyUrl": "https://proxy.example.com/"}, org=org) == (200, None)
    assert crowd.ask("olga", "GET", path, org=org)[1]["proxyUrl"] == "https://proxy.example.com"
    status, key = crowd.ask("olga", "POST", f"{path}/regenerate-proxy-api-key", org=org)
    assert status == 200 and key["apiKey"].startswith("dtn_")
    assert crowd.ask("olga", "PATCH", path, {"proxyUrl": None}, org=org)[0] == 200
    assert crowd.ask("olga", "GET", path, org=org)[1]["proxyUrl"] is None
    assert crowd.api.request("GET", "/sandbox/x", key=key["apiKey"])[0] == 401
    for who, place in (("stranger", crowd.personal("stranger")),):
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            assert crowd.ask(who, method, path, body, org=place)[0] == 404
        assert [r["name"] for r in crowd.ask(who, "GET", "/regions", org=place)[1]] == ["us"]
    assert crowd.ask("olga", "DELETE", path, org=org) == (204, None)
    assert crowd.ask("olga", "GET", path, org=org)[0] == 404


def test_a_region_with_its_own_proxy(crowd, org):
    """Sandboxes of the region are shown at its proxy, and its keys open them and no others."""
    status, made = crowd.ask("olga", "POST", "/regions", {
        "name": "eu-lab", "proxyUrl": "https://eu.example.com:8443", "sshGatewayUrl": "https://ssh.example.com"}, org=org)
    assert status == 201
    keys = made["proxyApiKey"], made["sshGatewayApiKey"]
    status, there = crowd.ask("olga", "POST", "/sandbox", {"target": "eu-lab"}, org=org)
    assert status == 200 and there["target"] == "eu-lab" and there["toolboxProxyUrl"] == "https://eu.example.com:8443/toolbox"
    by_id = crowd.ask("olga", "POST", "/sandbox", {"target": made["id"]}, org=org)[1]
    here = crowd.ask("olga", "POST", "/sandbox", {}, org=org)[1]
    strange = crowd.personal("stranger")
    same_name = crowd.ask("stranger", "POST", "/sandbox", {"target": "eu-lab"}, org=strange)[1]
    assert same_name["toolboxProxyUrl"] == here["toolboxProxyUrl"]
    link = crowd.ask("olga", "GET", f"/sandbox/{there['id']}/ports/3000/preview-url", org=org)[1]
    assert link["url"] == f"https://3000-{there['id']}.eu.example.com:8443"
    assert crowd.ask("olga", "GET", f"/sandbox/{there['id']}/toolbox-proxy-url", org=org)[1]["url"] == there["toolboxProxyUrl"]
    signed = crowd.ask("olga", "GET", f"/sandbox/{there['id']}/ports/3000/signed-preview-url", org=org)[1]
    assert signed["url"] == f"https://3000-{signed['token']}.eu.example.com:8443"
    assert crowd.ask("olga", "GET", "/sandbox/regions", org=org) == (200, [{"name": n} for n in sorted({made["id"], "eu-lab", "us"})])

    def get(key, path):
        return crowd.api.request("GET", path, key=key)
    for key in keys:
        for box, status in ((there, 200), (by_id, 200), (here, 404), (same_name, 404)):
            assert get(key, f"/sandbox/{box['id']}")[0] == status
            assert get(key, f"/sandbox/{box['id']}/organization")[0] == status
            assert get(key, f"/runners/by-sandbox/{box['id']}")[0] == status
        assert get(key, "/sandbox")[0] == 403 and get(key, "/regions")[0] == 403 and get(key, "/jobs")[0] == 403
    proxy = keys[0]
    assert get(proxy, f"/preview/{there['id']}/validate/{link['token']}") == (200, True)
    token = crowd.ask("olga", "GET", f"/sandbox/{here['id']}/ports/3000/preview-url", org=org)[1]["token"]
    assert get(proxy, f"/preview/{here['id']}/validate/{token}")[0] == 404
    assert get(keys[1], f"/preview/{there['id']}/validate/{link['token']}")[0] == 403
    elsewhere = crowd.ask("olga", "GET", f"/sandbox/{here['id']}/ports/3000/signed-preview-url", org=org)[1]["token"]
    assert get(proxy, f"/preview/{elsewhere}/3000/sandbox-id")[0] == 403
    assert service(crowd, "proxy", "GET", f"/sandbox/{here['id']}")[0] == 200
    status, e = crowd.ask("olga", "DELETE", f"/regions/{made['id']}", org=org)
    assert status == 409 and "2 sandboxes" in e["message"]
    # It all outlives a restart; a new key ends the old one.
    crowd.api.stop()
    crowd.api.start()
    assert get(proxy, f"/sandbox/{there['id']}")[0] == 200
    fresh = crowd.ask("olga", "POST", f"/regions/{made['id']}/regenerate-proxy-api-key", org=org)[1]["apiKey"]
    assert get(proxy, f"/sandbox/{there['id']}")[0] == 401 and get(fresh, f"/sandbox/{there['id']}")[0] == 200
    for box in (there, by_id, here):
        destroy(crowd, box["id"], "olga", org)
    destroy(crowd, same_name["id"], "stranger", strange)
    assert crowd.ask("olga", "DELETE", f"/regions/{made['id']}", org=org)[0] == 204
    assert get(fresh, f"/sandbox/{there['id']}")[0] == 401


def test_regions_go_with_their_organization(crowd):
    org = crowd.new_org("olga", "short-lived")
    key = crowd.ask("olga", "POST", "/regions", {"name": "r", "proxyUrl": "https://p.example.com"}, org=org)[1]["proxyApiKey"]
    assert crowd.ask("olga", "POST", "/docker-registry", HUB, org=org)[0] == 201
    assert crowd.ask("olga", "DELETE", f"/organizations/{org}")[0] == 200
    assert crowd.api.request("GET", "/sandbox/x", key=key)[0] == 401
    with sqlite3.connect(f"file:{crowd.api.data}/state/daytona.db?mode=ro", uri=True) as db:
        for table in ("region", "registry"):
            assert db.execute(f"SELECT count(*) FROM {table} WHERE organization_id = ?", (org,)).fetchone() == (0,)


# --- the runner ---

def test_this_machine_is_the_runner(crowd, org):
    api = crowd.api
    status, runners = api.request("GET", "/runners")
    assert status == 200 and len(runners) == 1
    one = runners[0]
    assert uuid.UUID(one["id"]) and (one["region"], one["state"], one["runnerClass"], one["gpu"]) == ("us", "ready", "container", 0)
    assert one["cpu"] >= 1 and one["memory"] > 0.5 and one["disk"] > 1 and one["apiKey"] == "runner-key-of-this-test"
    assert one["memoryGiB"] == one["memory"] and 0 < one["currentMemoryUsagePercentage"] < 100
    for path in (f"/runners/{one['id']}", f"/admin/runners/{one['id']}", f"/runners/{one['id']}/full"):
        assert api.request("GET", path)[1]["id"] == one["id"]
    assert api.request("GET", "/admin/runners?regionId=us")[1][0]["id"] == one["id"]
    assert api.request("GET", "/admin/runners?regionId=eu") == (200, [])
    assert api.request("GET", f"/runners/{uuid.uuid4()}")[0] == 404
    assert service(crowd, "runner", "GET", "/runners/me")[1]["id"] == one["id"]
    # Members with the permission see how it does, and no key.
    key = crowd.ask("olga", "POST", "/api-keys", {"name": "reader", "permissions": ["read:runners"]}, org=org)[1]["value"]
    seen = api.request("GET", "/runners", key=key)[1][0]
    assert seen["id"] == one["id"] and "apiKey" not in seen
    assert "apiKey" not in api.request("GET", f"/runners/{one['id']}", key=key)[1]
    box = crowd.ask("olga", "POST", "/sandbox", {}, org=org)[1]
    now = api.request("GET", "/runners")[1][0]
    assert (now["currentStartedSandboxes"], now["currentAllocatedCpu"], now["currentAllocatedMemoryGiB"]) == (1, 1, 1)
    assert service(crowd, "ssh-gateway", "GET", f"/runners/by-sandbox/{box['id']}")[1]["id"] == one["id"]
    assert service(crowd, "proxy", "GET", f"/runners/by-sandbox/{uuid.uuid4()}")[0] == 404
    found = service(crowd, "runner", "GET", "/runners/by-snapshot-ref?ref=busybox")[1]
    assert [(f["runnerId"], f["runnerDomain"]) for f in found] == [(one["id"], "localhost")]
    assert service(crowd, "runner", "GET", "/runners/by-snapshot-ref?ref=none") == (200, [])
    assert service(crowd, "runner", "GET", "/runners/by-snapshot-ref")[0] == 400

    def ids(query=""):
        status, boxes = service(crowd, "runner", "GET", f"/sandbox/for-runner{query}")
        assert status == 200, boxes
        return [b["id"] for b in boxes]
    assert ids() == [box["id"]] == ids("?states=started,stopped") == ids("?skipReconcilingSandboxes=true&states=started")
    assert ids("?states=stopped") == [] == ids("?states=archived")
    assert service(crowd, "runner", "GET", "/sandbox/for-runner?states=started,flying")[0] == 400
    destroy(crowd, box["id"], "olga", org)
    for path in ("/runners", "/admin/runners"):
        status, e = api.request("DELETE", f"{path}/{one['id']}")
        assert status == 409 and "this machine" in e["message"]
        assert api.request("DELETE", f"{path}/{uuid.uuid4()}")[0] == 404
    assert len(api.request("GET", "/runners")[1]) == 1


def test_what_a_runner_reports_of_a_sandbox(crowd, org):
    box = crowd.ask("olga", "POST", "/sandbox", {}, org=org)[1]["id"]

    def report(state, **more):
        return service(crowd, "runner", "PUT", f"/sandbox/{box}/state", {"state": state, **more})
    assert report("started") == (200, None) == report("started", errorReason="x", recoverable=True)
    for other in ("stopped", "error", "archived"):
        status, e = report(other)
        assert status == 400 and e["message"].startswith("Sandbox is not in a valid state to be updated: it is started"), e
    assert crowd.ask("olga", "GET", f"/sandbox/{box}", org=org)[1]["state"] == "started"
    assert report("flying")[0] == 400 == service(crowd, "runner", "PUT", f"/sandbox/{box}/state", {})[0]
    assert crowd.ask("olga", "POST", f"/sandbox/{box}/stop", org=org)[0] == 200
    end = time.monotonic() + 120
    while crowd.ask("olga", "GET", f"/sandbox/{box}", org=org)[1]["state"] != "stopped":
        assert time.monotonic() < end
    assert report("stopped") == (200, None) and report("started")[0] == 400
    destroy(crowd, box, "olga", org)
    assert report("stopped")[0] == 404


def test_scheduling(crowd, org):
    api = crowd.api
    one = api.request("GET", "/runners")[1][0]["id"]
    for path, body in ((f"/runners/{one}/scheduling", "unschedulable"), (f"/admin/runners/{one}/scheduling", "unschedulable"),
                       (f"/runners/{one}/draining", "draining")):
        assert api.request("PATCH", path, {body: True})[0] in (200, 204)
        assert api.request("GET", f"/runners/{one}")[1]["unschedulable"] is True
        status, e = crowd.ask("olga", "POST", "/sandbox", {}, org=org)
        assert (status, e["message"]) == (400, "No available runners")
        assert api.request("PATCH", path, {body: False})[0] in (200, 204)
    assert api.request("PATCH", f"/runners/{one}/scheduling", {"unschedulable": True})[1]["unschedulable"] is True
    api.stop()
    api.start()
    assert api.request("GET", f"/runners/{one}")[1]["unschedulable"] is True
    assert api.request("PATCH", f"/runners/{one}/scheduling", {"unschedulable": False})[1]["availabilityScore"] > 0
    assert api.request("PATCH", f"/runners/{one}/scheduling", {})[0] == 400
    assert api.request("PATCH", f"/runners/{uuid.uuid4()}/scheduling", {"unschedulable": True})[0] == 404
    box = crowd.ask("olga", "POST", "/sandbox", {}, org=org)[1]
    destroy(crowd, box["id"], "olga", org)


# --- what administrators may do besides ---

def test_quotas_of_regions(crowd):
    org = crowd.new_org("olga", "with quotas")
    path = f"/admin/organizations/{org}/quota/us"
    status, made = crowd.api.request("POST", path, {"sandboxClass": "container", "totalCpuQuota": 7, "totalMemoryQuota": 8,
                                                    "totalDiskQuota": 9, "totalGpuQuota": 0})
    assert status == 201 and (made["totalCpuQuota"], made["organizationId"], made["regionId"]) == (7, org, "us")
    assert crowd.api.request("GET", f"{path}/container")[1] == made
    box = crowd.ask("olga", "POST", "/sandbox", {}, org=org)[1]
    for who in ("proxy", "ssh-gateway"):
        assert service(crowd, who, "GET", f"/sandbox/{box['id']}/region-quota")[1] == made
        assert service(crowd, who, "GET", f"/sandbox/{box['id']}/organization")[1]["id"] == org
    assert crowd.ask("olga", "GET", f"/sandbox/{box['id']}/organization", org=org)[1]["id"] == org
    assert crowd.ask("stranger", "GET", f"/sandbox/{box['id']}/organization", org=crowd.personal("stranger"))[0] == 404
    destroy(crowd, box["id"], "olga", org)
    assert crowd.api.request("DELETE", f"{path}/container") == (204, None)
    assert crowd.api.request("GET", f"{path}/container")[1]["totalCpuQuota"] == 10000
    assert crowd.api.request("DELETE", f"/admin/organizations/{uuid.uuid4()}/quota/us/container")[0] == 404


# --- configuration ---

def test_configuration_for_every_client(image):
    settings = ("--ssh-gateway-command", "ssh -p 2222 {{TOKEN}}@gate", "--ssh-gateway-public-key", "cHVi", "--posthog-api-key",
                "phc", "--posthog-host", "https://ph.example.com", "--billing-api-url", "https://b.example.com",
                "--analytics-api-url", "https://a.example.com", "--pylon-app-id", "pylon")
    with backend.Backend(settings=settings) as b:
        b.start()
        status, c = b.request("GET", "/config", key=None)
    assert status == 200
    assert c["posthog"] == {"apiKey": "phc", "host": "https://ph.example.com"} and c["pylonAppId"] == "pylon"
    assert (c["billingApiUrl"], c["analyticsApiUrl"]) == ("https://b.example.com", "https://a.example.com")
    assert (c["sshGatewayCommand"], c["sshGatewayPublicKey"]) == ("ssh -p 2222 {{TOKEN}}@gate", "cHVi")
    # What the clients of each time cannot do without.
    for key in ("version", "oidc", "linkedAccountsEnabled", "announcements", "proxyTemplateUrl", "proxyToolboxUrl", "defaultSnapshot",
                "dashboardUrl", "maxAutoArchiveInterval", "maintananceMode", "environment"):
        assert key in c
    assert {"issuer", "clientId", "audience", "provider"} <= c["oidc"].keys()

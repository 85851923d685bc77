"""Organizations, members, roles, invitations, keys: what they answer, and that changes hold at once."""
import contextlib
import datetime
import email
import email.policy
import hashlib
import os
import pathlib
import re
import socket
import sqlite3
import time
import urllib.request
import uuid

import backend
import busybox
import issuer
import people
import pytest
from aiosmtpd.controller import Controller

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ORGANIZATION = {
    "id", "name", "createdBy", "personal", "createdAt", "updatedAt", "suspended", "suspendedAt", "suspensionReason",
    "suspendedUntil", "suspensionCleanupGracePeriodHours", "totalCpuQuota", "totalMemoryQuota", "totalDiskQuota",
    "maxCpuPerSandbox", "maxMemoryPerSandbox", "maxDiskPerSandbox", "sandboxLimitedNetworkEgress",
    "snapshotDeactivationTimeoutMinutes", "authenticatedRateLimit", "sandboxCreateRateLimit",
    "sandboxLifecycleRateLimit", "authenticatedRateLimitTtlSeconds", "sandboxCreateRateLimitTtlSeconds",
    "sandboxLifecycleRateLimitTtlSeconds", "experimentalConfig", "otelConfig", "maxSecretsPerSandbox",
    "previewWarningEnabled", "scimEnabled", "secretQuota", "ssoEnabled"}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    with people.gathered("--default-snapshot", "busybox", "--otel-collector-api-key", "collector-key-of-this-test") as p:
        p.api.import_snapshot("busybox", busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar"))
        yield p


@pytest.fixture
def org(crowd):
    """A collaborative organization that olga owns."""
    made = crowd.new_org("olga", f"of {time.monotonic()}")
    yield made
    assert crowd.ask("olga", "DELETE", f"/organizations/{made}")[0] == 200


def iso(**ago):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ago)
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- organizations ---

def test_an_organization(crowd, org):
    status, o = crowd.ask("olga", "GET", f"/organizations/{org}")
    assert status == 200 and set(o) == ORGANIZATION
    assert (o["createdBy"], o["personal"], o["suspended"]) == ("olga", False, False)
    assert o["suspendedAt"] is o["suspensionReason"] is o["suspendedUntil"] is o["otelConfig"] is None
    assert ISO.fullmatch(o["createdAt"]) and ISO.fullmatch(o["updatedAt"])
    mine = [x["id"] for x in crowd.ask("olga", "GET", "/organizations")[1]]
    assert mine[0] == crowd.personal("olga") and mine[-1] == org  # in the order of their making
    assert org not in {x["id"] for x in crowd.ask("stranger", "GET", "/organizations")[1]}


@pytest.mark.parametrize("body, message", [
    ({}, "name is required"), ({"name": ""}, "name should not be empty"), ({"name": 7}, "name must be a string"),
    ({"name": "a\nb"}, "control characters"), ({"name": "x" * 300}, "at most 255"),
    ({"name": "a", "defaultRegionId": "a\tb"}, "region"),
])
def test_bad_organizations(crowd, body, message):
    status, e = crowd.ask("olga", "POST", "/organizations", body)
    assert status == 400 and message in e["message"], e


def test_ten_organizations_are_enough(crowd):
    made = [crowd.new_org("victor", f"number {i}") for i in range(10)]
    status, e = crowd.ask("victor", "POST", "/organizations", {"name": "one more"})
    assert (status, e["message"]) == (403, "You have reached the maximum number of created organizations")
    for one in made:
        assert crowd.ask("victor", "DELETE", f"/organizations/{one}")[0] == 200
        assert crowd.ask("victor", "GET", f"/organizations/{one}")[0] == 403


def test_the_personal_one_stays(crowd):
    own = crowd.personal("olga")
    status, e = crowd.ask("olga", "DELETE", f"/organizations/{own}")
    assert (status, e["message"]) == (403, "Cannot delete personal organization")
    status, e = crowd.ask("olga", "POST", f"/organizations/{own}/invitations", {"email": "max@example.com"})
    assert (status, e["message"]) == (403, "Cannot invite users to personal organization")
    status, e = crowd.ask("olga", "POST", f"/organizations/{own}/leave")
    assert (status, e["message"]) == (403, "The organization must have at least one owner")


def test_the_default_region(crowd, org):
    assert crowd.ask("olga", "PATCH", f"/organizations/{org}/default-region", {"defaultRegionId": "eu"})[0] == 204
    assert crowd.ask("olga", "GET", f"/organizations/{org}")[1]["defaultRegionId"] == "eu"
    assert crowd.ask("olga", "GET", f"/organizations/{org}/usage")[1]["regionUsage"][0]["regionId"] == "eu"


def test_usage(crowd, org):
    status, u = crowd.ask("olga", "GET", f"/organizations/{org}/usage")
    assert status == 200
    assert [u[k] for k in ("currentCpuUsage", "currentMemoryUsage", "currentDiskUsage", "currentSnapshotUsage",
                           "currentVolumeUsage")] == [0] * 5
    assert (u["totalCpuQuota"], u["totalSnapshotQuota"], u["totalVolumeQuota"]) == (10000, 1000, 10000)
    region, = u["regionUsage"]
    assert region["regionId"] == "us" and region["sandboxClass"] == "container" and region["totalCpuQuota"] == 10000


def test_telemetry_settings(crowd, org):
    path, config = f"/organizations/{org}/otel-config", {"endpoint": "https://otel.example.com:4318/v1", "headers": {"x-api-key": "hush-otel"}}
    whole = lambda who: crowd.ask(who, "GET", f"/organizations/{org}")[1]["otelConfig"]  # noqa: E731
    assert crowd.ask("olga", "GET", path)[0] == 404 and whole("olga") is None
    assert crowd.ask("olga", "PUT", path, config) == (204, None)
    assert crowd.ask("olga", "GET", path) == (200, config) and whole("olga") == config
    # Its keys are the owners': other members learn their names.
    crowd.join("olga", org, "max")
    assert crowd.ask("max", "GET", path)[0] == crowd.ask("max", "PUT", path, config)[0] == crowd.ask("max", "DELETE", path)[0] == 403
    hidden = {**config, "headers": {"x-api-key": "********"}}
    assert whole("max") == hidden
    assert next(o for o in crowd.ask("max", "GET", "/organizations")[1] if o["id"] == org)["otelConfig"] == hidden
    assert next(o for o in crowd.ask("olga", "GET", "/organizations")[1] if o["id"] == org)["otelConfig"] == config
    # The collector asks with what a sandbox has.
    box = crowd.ask("olga", "POST", "/sandbox", {}, org=org)[1]["id"]
    token = crowd.ask("olga", "GET", f"/sandbox/{box}/ports/3000/preview-url", org=org)[1]["token"]
    by_token, key = f"/organizations/otel-config/by-sandbox-auth-token/{token}", "collector-key-of-this-test"
    assert crowd.api.request("GET", by_token, key=key) == (200, config)
    assert crowd.api.request("GET", by_token[:-1] + "-", key=key)[0] == crowd.api.request("GET", by_token + "x", key=key)[0] == 404
    assert crowd.api.request("GET", by_token)[0] == crowd.ask("olga", "GET", by_token)[0] == 403
    assert crowd.ask("olga", "DELETE", f"/sandbox/{box}", org=org)[0] == 200
    # Without headers, and what is none.
    for given in ({"endpoint": "http://c:4317"}, {"endpoint": "http://c:4317", "headers": None}, {"endpoint": "http://c:4317", "unknown": 1}):
        assert crowd.ask("olga", "PUT", path, given)[0] == 204
        assert crowd.ask("olga", "GET", path)[1] == {"endpoint": "http://c:4317"}
    for bad in ({}, {"endpoint": ""}, {"endpoint": 1}, {"endpoint": "ftp://x"}, {"endpoint": "http://u:p@x"}, {"endpoint": "http://x?y"},
                {"endpoint": "http://x", "headers": ["a"]}, {"endpoint": "http://x", "headers": {"a": 1}},
                {"endpoint": "http://x", "headers": {"a b": "c"}}, {"endpoint": "http://x", "headers": {"a": "b\r\nc: d"}},
                {"endpoint": "http://x", "headers": {"": "c"}}, {"endpoint": "http://x", "headers": {f"h{i}": "" for i in range(51)}},
                {"endpoint": "http://x", "headers": {f"h{i}": "x" * 8000 for i in range(50)}}):
        status, e = crowd.ask("olga", "PUT", path, bad)
        assert status in (400, 413) and e["message"], (bad, status, e)
    assert crowd.ask("olga", "GET", path)[1] == {"endpoint": "http://c:4317"}
    assert crowd.ask("olga", "PUT", path, config)[0] == 204
    # It is there after a restart, and nowhere as it is.
    crowd.api.stop()
    assert all(b"hush-otel" not in f.read_bytes() for f in (crowd.api.data / "state").iterdir())
    crowd.api.start()
    assert crowd.ask("olga", "GET", path) == (200, config)
    assert crowd.ask("olga", "DELETE", path) == (204, None) == crowd.ask("olga", "DELETE", path)
    assert crowd.ask("olga", "GET", path)[0] == 404 and whole("olga") is None


def test_experimental_settings(crowd, org):
    path, config = f"/organizations/{org}/experimental-config", {"otel": {"endpoint": "http://otel-collector:4317", "headers": {"api-key": "hush-exp"}}, "n": [1, None]}
    whole = lambda who: crowd.ask(who, "GET", f"/organizations/{org}")[1]["experimentalConfig"]  # noqa: E731
    crowd.join("olga", org, "max")
    assert whole("olga") == {}
    assert crowd.ask("olga", "PUT", path, config)[0] == 200
    assert whole("olga") == config and whole("max") == {}
    assert crowd.ask("max", "PUT", path, {})[0] == 403
    for bad in ([1], "x", 1, {"a": "x" * 70000}):
        status, e = crowd.ask("olga", "PUT", path, bad)
        assert status in (400, 413) and e["message"], bad
    assert whole("olga") == config
    entry = next(e for e in crowd.api.request("GET", "/audit")[1]["items"] if e["action"] == "update" and e["targetId"] == org)
    assert "metadata" not in entry or "hush" not in str(entry["metadata"])
    request = urllib.request.Request(crowd.api.url + path, b"null", {"Authorization": f"Bearer {crowd.token('olga')}"}, method="PUT")
    with urllib.request.urlopen(request) as reply:
        assert (reply.status, reply.read()) == (200, b"")
    assert whole("olga") == {}


# --- what administrators do ---

def test_quotas(crowd, org):
    admin = crowd.api.request
    status, o = admin("PATCH", f"/organizations/{org}/quota", {"totalCpuQuota": 7, "maxDiskPerSandbox": 3, "volumeQuota": None})
    assert status == 200 and (o["totalCpuQuota"], o["maxDiskPerSandbox"], o["totalMemoryQuota"]) == (7, 3, 10000)
    assert admin("PATCH", f"/organizations/{org}/quota/us", {"totalCpuQuota": None, "totalDiskQuota": 9})[0] == 204
    o = crowd.ask("olga", "GET", f"/organizations/{org}")[1]
    assert (o["totalCpuQuota"], o["totalDiskQuota"]) == (7, 9)
    q = admin("GET", f"/admin/organizations/{org}/quota/us/container")[1]
    assert (q["organizationId"], q["regionId"], q["totalCpuQuota"], q["totalGpuQuota"]) == (org, "us", 7, 0)
    assert o["snapshotDeactivationTimeoutMinutes"] == 20160
    status, o = admin("PATCH", f"/organizations/{org}/quota", {"snapshotDeactivationTimeoutMinutes": 90})
    assert status == 200 and (o["snapshotDeactivationTimeoutMinutes"], o["totalCpuQuota"]) == (90, 7)
    assert admin("PATCH", f"/organizations/{org}/quota", {"snapshotDeactivationTimeoutMinutes": None})[0] == 200
    assert crowd.ask("olga", "GET", f"/organizations/{org}")[1]["snapshotDeactivationTimeoutMinutes"] == 90
    for body in ({"totalCpuQuota": -1}, {"totalCpuQuota": "7"}, {"totalCpuQuota": 1.5}, {"snapshotDeactivationTimeoutMinutes": 0}):
        assert admin("PATCH", f"/organizations/{org}/quota", body)[0] == 400
    status, e = admin("PATCH", f"/organizations/{uuid.uuid4()}/quota", {})
    assert status == 404 and e["message"].endswith("not found")


def test_suspension(crowd, org):
    admin = crowd.api.request
    reason = {"reason": "unpaid", "until": iso(days=1), "suspensionCleanupGracePeriodHours": 3}
    assert admin("POST", f"/organizations/{org}/suspend", reason)[0] == 201
    o = crowd.ask("olga", "GET", f"/organizations/{org}")[1]
    assert (o["suspended"], o["suspensionReason"], o["suspendedUntil"]) == (True, "unpaid", reason["until"])
    assert o["suspensionCleanupGracePeriodHours"] == 3 and ISO.fullmatch(o["suspendedAt"])
    status, e = crowd.ask("olga", "POST", "/sandbox", {}, org=org)
    assert (status, e["message"]) == (403, "Organization is suspended: unpaid")
    assert crowd.ask("olga", "GET", "/sandbox", org=org)[0] == 200
    assert admin("POST", f"/organizations/{org}/unsuspend")[0] == 201
    assert crowd.ask("olga", "GET", f"/organizations/{org}")[1]["suspended"] is False
    # Without a body, and one that is over.
    assert admin("POST", f"/organizations/{org}/suspend")[0] == 201
    status, e = crowd.ask("olga", "POST", "/sandbox", {}, org=org)
    assert (status, e["message"]) == (403, "Organization is suspended")
    assert admin("POST", f"/organizations/{org}/suspend", {"until": iso(days=-1)})[0] == 201
    assert crowd.ask("olga", "POST", "/sandbox", {"cpu": -1}, org=org)[0] == 400
    assert admin("POST", f"/organizations/{org}/suspend", {"until": "soon"})[0] == 400


def test_the_egress_flag(crowd, org):
    path = f"/organizations/{org}/sandbox-default-limited-network-egress"
    assert crowd.api.request("POST", path, {"sandboxDefaultLimitedNetworkEgress": True})[0] == 201
    assert crowd.ask("olga", "GET", f"/organizations/{org}")[1]["sandboxLimitedNetworkEgress"] is True
    assert crowd.api.request("POST", path, {})[0] == 400


def test_users_by_administrators(crowd):
    admin = crowd.api.request
    body = {"id": "github|17", "name": "Made", "email": "made@example.com", "emailVerified": True,
            "personalOrganizationQuota": {"totalCpuQuota": 2}, "personalOrganizationDefaultRegionId": "eu"}
    status, made = admin("POST", "/users", body)
    assert status == 201 and made["id"] == "github|17" and made["emailVerified"] is True
    status, e = admin("POST", "/admin/users", body)
    assert (status, e["message"]) == (409, "User with ID github|17 already exists")
    assert admin("GET", "/users/github%7C17")[1] == made == admin("GET", "/admin/users/github%7C17")[1]
    assert made in admin("GET", "/users")[1]
    assert admin("GET", "/users/nobody")[0] == 404
    assert admin("POST", "/users/github%7C17/regenerate-key-pair")[0] == 501
    for bad in ({"id": "x"}, {"id": "", "name": "x"}, {"id": "x", "name": "y", "email": "z"}, {"id": "a\nb", "name": "x"},
                {"id": "x", "name": "y", "role": "king"}):
        assert admin("POST", "/users", bad)[0] == 400, bad
    # When that user comes, the account is there, and its organization as it was made.
    crowd.provider.users["github|17"] = {"email": "made@example.com", "email_verified": True, "name": "Other"}
    crowd.provider.restart()
    assert crowd.ask("github|17", "GET", "/users/me")[1]["name"] == "Made"
    own, = crowd.ask("github|17", "GET", "/organizations")[1]
    assert (own["totalCpuQuota"], own["defaultRegionId"], own["suspended"]) == (2, "eu", False)


def test_an_administrator_who_logs_in(crowd):
    crowd.provider.users["root"] = {"email": "root@example.com", "email_verified": True}
    crowd.provider.restart()
    assert crowd.ask("root", "GET", "/users")[0] == 403
    assert crowd.api.request("POST", "/users", {"id": "root2", "name": "Root", "role": "admin"})[0] == 201
    crowd.provider.users["root2"] = {"email": "root2@example.com", "email_verified": True}
    crowd.provider.restart()
    assert crowd.ask("root2", "GET", "/users")[0] == 200


def test_accounts_are_linked_elsewhere(crowd):
    for method, path in (("GET", "/users/account-providers"), ("POST", "/users/linked-accounts"),
                         ("DELETE", "/users/linked-accounts/github/17"), ("POST", "/users/mfa/sms/enroll")):
        assert crowd.ask("olga", method, path)[0] == 404


# --- roles ---

def test_built_in_roles(crowd, org):
    status, roles = crowd.ask("olga", "GET", f"/organizations/{org}/roles")
    assert status == 200 and all(r["isGlobal"] for r in roles)
    assert {(r["id"], r["name"]): set(r["permissions"]) for r in roles} == {
        (people.BUILT_IN[name], name): permissions for name, permissions in {
            "Developer": {"write:sandboxes"},
            "Sandboxes Admin": {"write:sandboxes", "delete:sandboxes"},
            "Snapshots Admin": {"write:snapshots", "delete:snapshots"},
            "Registries Admin": {"write:registries", "delete:registries"},
            "Super Admin": {"write:registries", "delete:registries", "write:snapshots", "delete:snapshots",
                            "write:sandboxes", "delete:sandboxes"},
            "Volumes Admin": {"read:volumes", "write:volumes", "delete:volumes"},
            "Auditor": {"read:audit_logs"}}.items()}
    for method, verb in (("PUT", "updated"), ("DELETE", "deleted")):
        body = {"name": "x", "description": "", "permissions": ["write:sandboxes"]} if method == "PUT" else None
        status, e = crowd.ask("olga", method, f"/organizations/{org}/roles/{people.BUILT_IN['Developer']}", body)
        assert (status, e["message"]) == (403, f"Global roles cannot be {verb}")


def test_roles_of_ones_own(crowd, org):
    path = f"/organizations/{org}/roles"
    body = {"name": "Reader", "description": "reads", "permissions": ["read:volumes"]}
    status, role = crowd.ask("olga", "POST", path, body)
    assert status == 201 and {k: role[k] for k in body} == body and role["isGlobal"] is False
    status, changed = crowd.ask("olga", "PUT", f"{path}/{role['id']}", dict(body, permissions=["write:volumes"]))
    assert status == 200 and changed["permissions"] == ["write:volumes"] and changed["id"] == role["id"]
    assert changed in crowd.ask("olga", "GET", path)[1]
    other = crowd.new_org("olga", "other")
    assert role["id"] not in {r["id"] for r in crowd.ask("olga", "GET", f"/organizations/{other}/roles")[1]}
    for target in (f"/organizations/{other}/roles/{role['id']}", f"{path}/{uuid.uuid4()}", f"{path}/{role['id']}0"):
        assert crowd.ask("olga", "DELETE", target)[0] == 404
        assert crowd.ask("olga", "PUT", target, body)[0] == 404
    status, e = crowd.ask("olga", "POST", f"/organizations/{other}/invitations", {
        "email": "max@example.com", "assignedRoleIds": [role["id"]]})
    assert (status, e["message"]) == (400, "One or more role IDs are invalid")
    assert crowd.ask("olga", "DELETE", f"{path}/{role['id']}")[0] == 200
    assert crowd.ask("olga", "DELETE", f"{path}/{role['id']}")[0] == 404
    for bad in ({"name": "x", "description": "", "permissions": []}, {"name": "x", "description": "", "permissions": ["king"]},
                {"name": "", "description": "", "permissions": ["read:volumes"]}, {"name": "x", "permissions": ["read:volumes"]}):
        assert crowd.ask("olga", "POST", path, bad)[0] == 400
    crowd.ask("olga", "DELETE", f"/organizations/{other}")


# --- members ---

def test_members(crowd, org):
    crowd.join("olga", org, "max", roles=[people.BUILT_IN["Auditor"]])
    status, members = crowd.ask("max", "GET", f"/organizations/{org}/users")
    assert status == 200
    assert [(m["userId"], m["role"], m["email"], m["name"], m["organizationId"]) for m in members] == [
        ("olga", "owner", "olga@example.com", "Olga", org), ("max", "member", "max@example.com", "Max", org)]
    assert [r["name"] for r in members[1]["assignedRoles"]] == ["Auditor"] and members[0]["assignedRoles"] == []
    path = f"/organizations/{org}/users/max/access"
    status, m = crowd.ask("olga", "POST", path, {"role": "member", "assignedRoleIds": [
        people.BUILT_IN["Developer"], people.BUILT_IN["Volumes Admin"]]})
    assert status == 201 and [r["name"] for r in m["assignedRoles"]] == ["Developer", "Volumes Admin"]
    status, e = crowd.ask("olga", "POST", path, {"role": "member", "assignedRoleIds": [str(uuid.uuid4())]})
    assert (status, e["message"]) == (400, "One or more role IDs are invalid")
    status, e = crowd.ask("olga", "POST", f"/organizations/{org}/users/olga/access", {"role": "member", "assignedRoleIds": []})
    assert (status, e["message"]) == (403, "You cannot update your own access")
    assert crowd.ask("olga", "POST", f"/organizations/{org}/users/dora/access", {"role": "owner", "assignedRoleIds": []})[0] == 404
    # Two owners: either may go, not both.
    assert crowd.ask("olga", "POST", path, {"role": "owner", "assignedRoleIds": []})[0] == 201
    status, m = crowd.ask("max", "POST", f"/organizations/{org}/users/olga/access", {"role": "member", "assignedRoleIds": []})
    assert status == 201 and m["role"] == "member"
    assert crowd.ask("olga", "POST", path, {"role": "member", "assignedRoleIds": []})[0] == 403
    status, e = crowd.ask("max", "POST", f"/organizations/{org}/leave")
    assert (status, e["message"]) == (403, "The organization must have at least one owner")
    assert crowd.ask("max", "POST", f"/organizations/{org}/users/olga/access", {"role": "owner", "assignedRoleIds": []})[0] == 201
    assert crowd.ask("max", "POST", f"/organizations/{org}/leave")[0] == 201
    assert crowd.ask("max", "GET", f"/organizations/{org}")[0] == 403


def test_a_member_who_is_removed_is_out_at_once(crowd, org):
    crowd.join("olga", org, "max", roles=[people.BUILT_IN["Developer"]])
    status, made = crowd.ask("max", "POST", "/api-keys", {"name": "k", "permissions": ["write:sandboxes"]}, org=org)
    assert status == 201
    assert crowd.api.request("GET", "/sandbox", key=made["value"])[0] == 200
    assert crowd.ask("olga", "DELETE", f"/organizations/{org}/users/max")[0] == 200
    assert crowd.api.request("GET", "/sandbox", key=made["value"])[0] == 401
    assert crowd.ask("max", "GET", "/sandbox", org=org)[0] == 403
    assert crowd.ask("olga", "DELETE", f"/organizations/{org}/users/max")[0] == 404
    # Back again, without the key.
    crowd.join("olga", org, "max")
    assert crowd.ask("max", "GET", "/api-keys", org=org)[1] == []


def test_less_permission_takes_keys_away(crowd, org):
    roles = [people.BUILT_IN["Sandboxes Admin"], people.BUILT_IN["Volumes Admin"]]
    status, own = crowd.ask("olga", "POST", f"/organizations/{org}/roles", {
        "name": "r", "description": "", "permissions": ["write:snapshots", "read:audit_logs"]})
    assert status == 201
    crowd.join("olga", org, "max", roles=[*roles, own["id"]])
    keys = {}
    for name, permissions in (("none", []), ("boxes", ["write:sandboxes", "delete:sandboxes"]), ("volumes", ["read:volumes"]),
                              ("snapshots", ["write:snapshots"]), ("audit", ["read:audit_logs"])):
        status, made = crowd.ask("max", "POST", "/api-keys", {"name": name, "permissions": permissions}, org=org)
        assert status == 201, made
        keys[name] = made["value"]

    def alive():
        return {n for n, k in keys.items() if crowd.api.request("GET", "/sandbox", key=k)[0] == 200}

    assert alive() == set(keys)
    access = f"/organizations/{org}/users/max/access"
    crowd.ask("olga", "POST", access, {"role": "member", "assignedRoleIds": [people.BUILT_IN["Developer"], roles[1], own["id"]]})
    assert alive() == {"none", "volumes", "snapshots", "audit"}
    crowd.ask("olga", "PUT", f"/organizations/{org}/roles/{own['id']}", {
        "name": "r", "description": "", "permissions": ["read:audit_logs"]})
    assert alive() == {"none", "volumes", "audit"}
    crowd.ask("olga", "DELETE", f"/organizations/{org}/roles/{own['id']}")
    assert alive() == {"none", "volumes"}
    assert {k["name"] for k in crowd.ask("max", "GET", "/api-keys", org=org)[1]} == {"none", "volumes"}
    # An owner may everything; who is none any more has what the roles say.
    crowd.ask("olga", "POST", access, {"role": "owner", "assignedRoleIds": []})
    status, made = crowd.ask("max", "POST", "/api-keys", {"name": "all", "permissions": ["delete:registries"]}, org=org)
    assert status == 201
    crowd.ask("olga", "POST", access, {"role": "member", "assignedRoleIds": []})
    assert alive() == {"none"} and crowd.api.request("GET", "/sandbox", key=made["value"])[0] == 401


# --- invitations ---

def test_invitations(crowd, org):
    path = f"/organizations/{org}/invitations"
    status, made = crowd.ask("olga", "POST", path, {"email": "Dora@Example.com"})
    assert status == 201
    assert (made["email"], made["invitedBy"], made["status"], made["role"]) == (
        "Dora@Example.com", "olga@example.com", "pending", "member")
    assert made["organizationId"] == org and [r["name"] for r in made["assignedRoles"]] == ["Developer"]
    week = datetime.datetime.fromisoformat(made["expiresAt"]) - datetime.datetime.fromisoformat(made["createdAt"])
    assert abs(week - datetime.timedelta(days=7)) < datetime.timedelta(minutes=1)
    status, e = crowd.ask("olga", "POST", path, {"email": "dora@example.com"})
    assert status == 409 and "already invited" in e["message"]
    status, e = crowd.ask("olga", "POST", path, {"email": "OLGA@example.com"})
    assert status == 409 and "already a member" in e["message"]
    assert crowd.ask("olga", "GET", path)[1] == [made]
    # Its addressee sees it, others do not.
    assert crowd.ask("dora", "GET", "/organizations/invitations")[1] == [made]
    assert crowd.api.request("GET", "/organizations/invitations/count", key=crowd.token("dora")) == (200, 1)
    assert crowd.ask("rita", "GET", "/organizations/invitations")[1] == []
    for verb in ("accept", "decline"):
        status, e = crowd.ask("rita", "POST", f"/organizations/invitations/{made['id']}/{verb}")
        assert status == 404 and made["id"] in e["message"]
    status, changed = crowd.ask("olga", "PUT", f"{path}/{made['id']}", {
        "role": "owner", "assignedRoleIds": [], "expiresAt": iso(days=30)})
    assert status == 200 and (changed["role"], changed["assignedRoles"]) == ("owner", [])
    status, done = crowd.ask("dora", "POST", f"/organizations/invitations/{made['id']}/accept")
    assert (status, done["status"]) == (201, "accepted")
    assert [(m["userId"], m["role"]) for m in crowd.ask("dora", "GET", f"/organizations/{org}/users")[1]] == [
        ("olga", "owner"), ("dora", "owner")]
    status, e = crowd.ask("dora", "POST", f"/organizations/invitations/{made['id']}/accept")
    assert (status, e["message"]) == (403, f"Invitation with ID {made['id']} is already accepted")
    assert crowd.ask("olga", "GET", path)[1] == []
    assert crowd.ask("olga", "PUT", f"{path}/{made['id']}", {"role": "owner", "assignedRoleIds": []})[0] == 403


def test_invitations_that_come_to_nothing(crowd, org):
    path = f"/organizations/{org}/invitations"

    def invite(**more):
        status, made = crowd.ask("olga", "POST", path, {"email": "rita@example.com", **more})
        assert status == 201, made
        return made["id"]

    one = invite()
    assert crowd.ask("olga", "POST", f"{path}/{one}/cancel")[0] == 201
    assert crowd.ask("rita", "GET", "/organizations/invitations")[1] == []
    status, e = crowd.ask("rita", "POST", f"/organizations/invitations/{one}/accept")
    assert (status, e["message"]) == (403, f"Invitation with ID {one} is already cancelled")
    two = invite()
    assert crowd.ask("rita", "POST", f"/organizations/invitations/{two}/decline") == (201, None)
    assert crowd.ask("rita", "GET", f"/organizations/{org}")[0] == 403
    three = invite(expiresAt=iso(seconds=5))
    wait(lambda: crowd.ask("rita", "GET", "/organizations/invitations")[1] == [])
    status, e = crowd.ask("rita", "POST", f"/organizations/invitations/{three}/accept")
    assert (status, e["message"]) == (403, f"Invitation with ID {three} is expired")
    other = crowd.new_org("stranger", "elsewhere")
    for method, target in (("PUT", three), ("POST", f"{three}/cancel")):
        body = {"role": "owner", "assignedRoleIds": []} if method == "PUT" else None
        assert crowd.ask("stranger", method, f"/organizations/{other}/invitations/{target}", body)[0] == 404
    for body in ({"email": "nobody"}, {"email": "a@b\r\nBcc: c@d"}, {"email": "a@b.c", "role": "king"}, {},
                 {"email": "a@b.c", "expiresAt": iso(days=-1)}, {"email": "a@b.c", "expiresAt": "x"}):
        assert crowd.ask("olga", "POST", path, body)[0] == 400, body
    crowd.ask("stranger", "DELETE", f"/organizations/{other}")


# --- mail ---

class Inbox:
    """A real SMTP server that keeps what it gets; refuses some of it."""

    def __init__(self, times_busy=0):
        self.letters, self.tries, self.times_busy = [], 0, times_busy

    async def handle_DATA(self, server, session, envelope):
        self.tries += 1
        if self.tries <= self.times_busy:
            return "451 busy, come again"
        self.letters.append((envelope, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 OK"


@contextlib.contextmanager
def inbox(**kw):
    handler = Inbox(**kw)
    controller = Controller(handler, hostname="127.0.0.1", port=issuer.free_port())
    controller.start()
    try:
        yield handler, controller.port
    finally:
        controller.stop()


def wait(what, seconds=120):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def smtp(port):
    return "--smtp-host", "127.0.0.1", "--smtp-port", str(port), "--smtp-from", "Daytona Team <team@example.com>"


def test_an_invitation_by_mail():
    with inbox(times_busy=1) as (box, port), people.gathered(*smtp(port), names=("olga", "max")) as crowd:
        org = crowd.new_org("olga", "Ünïcode & Söhne " + "ä" * 60)
        path = f"/organizations/{org}/invitations"
        status, made = crowd.ask("olga", "POST", path, {"email": "max@example.com"})
        assert status == 201
        wait(lambda: box.letters)
        assert box.tries == 2
        envelope, letter = box.letters[0]
        assert envelope.mail_from == "team@example.com" and envelope.rcpt_tos == ["max@example.com"]
        assert letter["From"] == "Daytona Team <team@example.com>" and letter["To"] == "max@example.com"
        assert letter["Subject"] == "Invitation to Ünïcode & Söhne " + "ä" * 60 + " on Daytona"
        text = letter.get_content()
        for part in ("olga@example.com invites you", "Ünïcode & Söhne", "/dashboard", made["expiresAt"][:10]):
            assert part in text
        assert all(len(line) <= 78 for line in envelope.content.decode().splitlines())


def test_mail_that_does_not_go_out_stops_nobody():
    """The invitation is made, its addressee sees it, and the server ends when it is told to."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with people.gathered(*smtp(silent.getsockname()[1]), names=("olga", "max")) as crowd:
            org = crowd.new_org("olga", "quiet")
            for i in range(5):
                assert crowd.ask("olga", "POST", f"/organizations/{org}/invitations", {"email": f"a{i}@example.com"})[0] == 201
            crowd.join("olga", org, "max")
            connection, _ = silent.accept()
            assert crowd.api.stop() == 0
            connection.close()
            crowd.api.start()


def test_a_wrong_sender_is_told_at_the_start():
    for sender in ("nobody", "a@b\r\nBcc: c@d", "<>"):
        with pytest.raises(RuntimeError, match="SMTP_EMAIL_FROM"), backend.Backend(
                settings=("--smtp-host", "127.0.0.1", "--smtp-from", sender)) as b:
            try:
                b.start()
            finally:
                assert "LeakSanitizer" not in b.tail()


# --- keys ---

def test_keys(crowd, org):
    status, made = crowd.ask("olga", "POST", "/api-keys", {
        "name": "mine", "permissions": ["write:sandboxes", "read:volumes", "read:runners"], "expiresAt": iso(days=1)}, org=org)
    assert status == 201 and set(made) == {"name", "value", "createdAt", "permissions", "expiresAt"}
    assert re.fullmatch(r"dtn_[0-9a-f]{64}", made["value"]) and made["name"] == "mine"
    assert set(made["permissions"]) == {"write:sandboxes", "read:volumes", "read:runners"}
    status, e = crowd.ask("olga", "POST", "/api-keys", {"name": "mine", "permissions": []}, org=org)
    assert (status, e["message"]) == (409, "API key with this name already exists")
    shown = crowd.ask("olga", "GET", "/api-keys/mine", org=org)[1]
    assert set(shown) == {"name", "value", "createdAt", "permissions", "lastUsedAt", "expiresAt", "userId"}
    assert shown["value"] == "dtn" + "*" * 20 + made["value"][-3:] and shown["lastUsedAt"] is None
    assert (shown["userId"], shown["expiresAt"]) == ("olga", made["expiresAt"])
    status, e = crowd.ask("olga", "GET", "/api-keys/current", org=org)
    assert (status, e["message"]) == (403, "Authenticate with an API key to use this endpoint")
    current = crowd.api.request("GET", "/api-keys/current", key=made["value"])[1]
    assert current["name"] == "mine" and ISO.fullmatch(current["lastUsedAt"])
    assert crowd.ask("olga", "GET", "/api-keys", org=org)[1] == [current]
    assert crowd.ask("olga", "GET", "/api-keys/none", org=org)[0] == 404
    # The organization is the key's own, whatever the header says.
    own = crowd.personal("olga")
    assert crowd.api.request("GET", "/api-keys", key=made["value"], org=own)[1] == [current]
    assert crowd.ask("olga", "DELETE", "/api-keys/mine", org=own)[0] == 404
    assert crowd.ask("olga", "DELETE", "/api-keys/mine", org=org) == (204, None)
    assert crowd.api.request("GET", "/api-keys/current", key=made["value"])[0] == 401
    text = b"".join(p.read_bytes() for p in (crowd.api.data / "state").iterdir() if p.name.startswith("daytona.db"))
    assert made["value"].encode() not in text


def test_keys_of_members(crowd, org):
    crowd.join("olga", org, "max", roles=[people.BUILT_IN["Sandboxes Admin"]])
    status, e = crowd.ask("max", "POST", "/api-keys", {"name": "k", "permissions": [
        "write:sandboxes", "read:volumes", "write:snapshots"]}, org=org)
    assert (status, e["message"]) == (403, "Insufficient permissions for assigning: write:snapshots, read:volumes")
    assert crowd.ask("max", "POST", "/api-keys", {"name": "k", "permissions": ["write:sandboxes"]}, org=org)[0] == 201
    assert crowd.ask("olga", "POST", "/api-keys", {"name": "k", "permissions": ["write:volumes"]}, org=org)[0] == 201
    assert {(k["userId"], k["name"]) for k in crowd.ask("olga", "GET", "/api-keys", org=org)[1]} == {("max", "k"), ("olga", "k")}
    assert [k["userId"] for k in crowd.ask("max", "GET", "/api-keys", org=org)[1]] == ["max"]
    status, e = crowd.ask("max", "DELETE", "/api-keys/olga/k", org=org)
    assert (status, e["message"]) == (403, "Incorrect user ID provided")
    assert crowd.ask("olga", "DELETE", "/api-keys/max/k", org=org)[0] == 204
    assert crowd.ask("olga", "DELETE", "/api-keys/max/k", org=org)[0] == 404
    assert crowd.ask("olga", "DELETE", "/api-keys/olga/k", org=org)[0] == 204


def test_a_key_makes_no_stronger_key(crowd, org):
    weak = crowd.ask("olga", "POST", "/api-keys", {"name": "weak", "permissions": ["write:sandboxes"]}, org=org)[1]["value"]
    status, e = crowd.api.request("POST", "/api-keys", {"name": "x", "permissions": ["delete:sandboxes"]}, key=weak)
    assert (status, e["message"]) == (403, "Insufficient permissions for assigning: delete:sandboxes")
    assert crowd.api.request("POST", "/api-keys", {"name": "x", "permissions": ["write:sandboxes"]}, key=weak)[0] == 201
    # Nor does an administrator's key that was cut down rule the system.
    status, made = crowd.api.request("POST", "/api-keys", {"name": "cut", "permissions": ["read:volumes"]})
    assert status == 201
    assert crowd.api.request("GET", "/users", key=made["value"])[0] == 403
    assert crowd.api.request("DELETE", "/api-keys/cut")[0] == 204


@pytest.mark.parametrize("body, message", [
    ({"permissions": []}, "name is required"), ({"name": "", "permissions": []}, "name should not be empty"),
    ({"name": "x"}, "permissions is required"), ({"name": "x", "permissions": "all"}, "permissions must be an array"),
    ({"name": "x", "permissions": ["all"]}, "permissions.0 must be one of"),
    ({"name": "x", "permissions": [], "expiresAt": "never"}, "expiresAt must be a date"),
    ({"name": "x", "permissions": [], "expiresAt": "2020-01-01T00:00:00Z"}, "in the future"),
])
def test_bad_keys(crowd, body, message):
    status, e = crowd.ask("olga", "POST", "/api-keys", body, org=crowd.personal("olga"))
    assert status == 400 and message in e["message"], e


def test_keys_end(crowd, org):
    for seconds in (3, 20, 60):  # a busy machine may need more until it is used
        key = {"name": f"for {seconds} s", "permissions": [], "expiresAt": iso(seconds=seconds)}
        made = crowd.ask("olga", "POST", "/api-keys", key, org=org)[1]
        if (used := crowd.api.request("GET", "/sandbox", key=made["value"])[0]) == 200:
            break
    assert used == 200
    end = time.monotonic() + 120
    while (answer := crowd.api.request("GET", "/sandbox", key=made["value"]))[0] == 200 and time.monotonic() < end:
        time.sleep(0.2)
    assert answer[0] == 401 and answer[1]["message"] == "Invalid API key"


def test_the_last_use_is_kept():
    with backend.Backend() as b:
        b.start()
        b.request("GET", "/sandbox")
        first = b.request("GET", "/api-keys/admin")[1]["lastUsedAt"]
        assert ISO.fullmatch(first)
        b.stop()
        b.start()
        assert sqlite3.connect(f"file:{b.data}/state/daytona.db?mode=ro", uri=True).execute(
            "SELECT last_used_ms > 0 FROM api_key").fetchone() == (1,)


# --- the machine's own user ---

def test_the_local_user_needs_no_login(crowd):
    local = crowd.api.as_local_user
    status, me = local("GET", "/users/me")
    assert status == 200 and me["name"] == "local" and me == crowd.api.request("GET", "/users/me")[1]
    own, = local("GET", "/organizations")[1]
    assert own["personal"] and own["createdBy"] == me["id"]
    status, made = local("POST", "/organizations", {"name": "of this machine"})
    assert status == 201
    assert local("GET", "/api-keys", org=made["id"])[1] == []
    assert [k["name"] for k in local("GET", "/api-keys")[1]] == ["admin"]
    assert local("GET", "/sandbox", org=crowd.personal("olga"))[0] == 403
    assert local("DELETE", f"/organizations/{made['id']}")[0] == 200


# --- an older store ---

def test_a_store_of_the_previous_version_goes_on():
    folder = pathlib.Path(__file__).parents[2] / "core" / "db" / "migrations"
    previous = [folder / "0001_init.sql", folder / "0002_volumes.sql"]
    key = "dtn_" + "f" * 64
    with backend.Backend() as b:
        b.start()
        b.stop()
        for file in (b.data / "state").glob("daytona.db*"):
            file.unlink()
        db = sqlite3.connect(b.data / "state" / "daytona.db")
        db.executescript("CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;" + "".join(f.read_text() for f in previous))
        org, user = str(uuid.uuid4()), str(uuid.uuid4())
        db.executemany("INSERT INTO migration VALUES (?, ?)", [(n, f.stem) for n, f in enumerate(previous, 1)])
        db.execute("INSERT INTO organization VALUES (?, 'Personal', 1700000000000)", (org,))
        db.execute("INSERT INTO user VALUES (?, ?, 'local', 1700000000000)", (user, org))
        db.execute("INSERT INTO api_key VALUES (?, ?, ?, 'old', 'dtn***fff', 'write:sandboxes read:volumes', 1700000000000, NULL)",
                   (hashlib.sha256(key.encode()).digest(), org, user))
        db.execute("INSERT INTO sandbox VALUES (?, ?, 'kept', 'x', 'stopped', 'stopped', NULL, 'root', '{}', '{}', 0, 0, NULL, "
                   "'us', 'small', 1000, 1024, 3072, 15, 10080, -1, 1, '', '{}', 1700000000000, 1700000000000, 1700000000000, '[]')",
                   (str(uuid.uuid4()), org))
        db.commit()
        db.close()
        owner = (b.data / "state").stat()
        os.chown(b.data / "state" / "daytona.db", owner.st_uid, owner.st_gid)
        b.start()
        assert b.request("GET", "/users/me", key=key)[1]["id"] == user
        assert b.request("GET", "/sandbox/kept", key=key)[1]["organizationId"] == org
        current = b.request("GET", "/api-keys/current", key=key)[1]
        assert current["value"] == "dtn" + "*" * 20 + "fff" and set(current["permissions"]) == {"write:sandboxes", "read:volumes"}
        assert {k["name"] for k in b.as_local_user("GET", "/api-keys")[1]} == {"old", "admin"}
        assert b.as_local_user("GET", "/organizations")[1][0]["personal"] is True

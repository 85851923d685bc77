"""The audit log of a real server: what it says of each action, who sees it, and what can be done to it unseen."""
import concurrent.futures
import contextlib
import json
import signal
import sqlite3
import subprocess
import time
import urllib.request
import uuid

import backend
import busybox
import people
import pytest


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


@contextlib.contextmanager
def server(image, *settings, names=("olga", "max", "stranger")):
    with people.gathered("--default-snapshot", "busybox", *settings, names=names) as crowd:
        crowd.api.import_snapshot("busybox", image)
        yield crowd


@pytest.fixture(scope="module")
def crowd(image):
    with server(image) as c:
        yield c


def log(api, org=None, query="", **who):
    path = f"/audit/organizations/{org}" if org else "/audit"
    status, page = api.request("GET", f"{path}?limit=200{query}", **who)
    assert status == 200, page
    return page["items"]


def newest(api, org=None):
    return log(api, org)[0]


def clear(api):
    """Destroys every sandbox, whatever it is doing just now."""
    end = time.monotonic() + 120
    while boxes := api.request("GET", "/sandbox?limit=200")[1]["items"]:
        assert time.monotonic() < end
        for box in boxes:
            api.request("DELETE", f"/sandbox/{box['id']}")
        time.sleep(0.05)


def local_org(api):
    return api.as_local_user("GET", "/organizations")[1][0]["id"]


def verify(api, *mark):
    run = subprocess.run([backend.program("daytona-runnerd"), "audit", "verify", *mark, "--data-dir", api.data],
                         capture_output=True, text=True)
    assert run.stderr == "" or run.returncode != 0, run.stderr
    return run.returncode, run.stdout + run.stderr


def send(api, method, path, body=None, **headers):
    request = urllib.request.Request(api.url + path, None if body is None else json.dumps(body).encode(),
                                     {"Authorization": f"Bearer {backend.KEY}", "Content-Type": "application/json",
                                      **{k.replace("_", "-"): v for k, v in headers.items()}}, method=method)
    with urllib.request.urlopen(request) as reply:
        return json.loads(reply.read() or "null")


def test_who_did_what_from_where(crowd):
    api = crowd.api
    made = send(api, "POST", "/sandbox", {"name": "audited", "env": {"TOKEN": "hush-hush"}, "labels": {"a": "b"}, "unknown": 1},
                X_Daytona_Source="python-sdk", User_Agent="a test/1.0", X_Forwarded_For="203.0.113.9, 192.0.2.7")
    entry = newest(api)
    assert uuid.UUID(entry["id"]) and entry["createdAt"].endswith("Z")
    assert {k: entry[k] for k in ("action", "targetType", "targetId", "statusCode", "source", "userAgent", "ipAddress",
                                  "actorApiKeyPrefix", "actorApiKeySuffix", "organizationId")} == {
        "action": "create", "targetType": "sandbox", "targetId": made["id"], "statusCode": 200, "source": "python-sdk",
        "userAgent": "a test/1.0", "ipAddress": "192.0.2.7", "actorApiKeyPrefix": "dtn", "actorApiKeySuffix": backend.KEY[-3:],
        "organizationId": local_org(api)}
    assert entry["metadata"] == {"body": {"name": "audited", "env": {"TOKEN": "********"}, "labels": {"a": "b"}}}
    assert "errorMessage" not in entry
    # By name: the entry has the id.
    assert api.request("PUT", "/sandbox/audited/labels", {"labels": {"c": "d"}})[0] == 200
    entry = newest(api)
    assert (entry["action"], entry["targetId"], entry["ipAddress"]) == ("replace_labels", made["id"], "127.0.0.1")
    assert api.request("POST", "/sandbox/audited/autostop/7")[0] == 201
    assert newest(api)["metadata"] == {"params": {"interval": "7"}}
    # What fails says why.
    status, e = api.request("POST", "/sandbox", {"name": "audited"})
    assert status == 409
    entry = newest(api)
    assert (entry["action"], entry["statusCode"], entry["errorMessage"]) == ("create", 409, e["message"])
    assert "targetId" not in entry
    assert api.request("POST", "/sandbox", {"cpu": "many"})[0] == 400
    assert newest(api)["metadata"] == {"body": {"cpu": "many"}}
    # It may be refused before its record is in the store, which is completed all the same.
    end = time.monotonic() + 60
    while newest(api).get("statusCode") != 400:
        assert time.monotonic() < end, newest(api)
    assert api.request("DELETE", f"/sandbox/{made['id']}")[0] == 200
    assert (newest(api)["action"], newest(api)["targetId"]) == ("delete", made["id"])
    # The local user, over the socket.
    api.as_local_user("DELETE", "/sandbox/no-such")
    entry = newest(api)
    assert (entry["ipAddress"], entry["targetId"], entry["statusCode"]) == ("local", "no-such", 404)
    assert "actorApiKeyPrefix" not in entry
    assert verify(api)[0] == 0
    with sqlite3.connect(f"file:{api.data}/state/daytona.db?mode=ro", uri=True) as db:
        assert "hush" not in repr(db.execute("SELECT * FROM audit").fetchall())


def test_reading_is_not_audited(crowd):
    before = newest(crowd.api)
    for path in ("/sandbox", "/config", "/api-keys", "/audit", "/snapshots"):
        assert crowd.api.request("GET", path)[0] == 200
    assert crowd.api.request("POST", "/sandbox", {}, key="dtn_wrong-wrong-wrong-wrong")[0] == 401
    assert newest(crowd.api) == before


def test_every_kind_of_action(crowd):
    """Organizations and those in them, from the first to the last."""
    api, org = crowd.api, crowd.new_org("olga", "audited")
    role = crowd.ask("olga", "POST", f"/organizations/{org}/roles", {"name": "r", "description": "", "permissions": ["read:volumes"]})[1]["id"]
    crowd.ask("olga", "PUT", f"/organizations/{org}/roles/{role}", {"name": "s", "description": "", "permissions": ["read:volumes"]})
    first = crowd.ask("olga", "POST", f"/organizations/{org}/invitations", {"email": "max@example.com"})[1]["id"]
    crowd.ask("olga", "PUT", f"/organizations/{org}/invitations/{first}", {"role": "member", "assignedRoleIds": [role]})
    crowd.ask("olga", "POST", f"/organizations/{org}/invitations/{first}/cancel")
    second = crowd.ask("olga", "POST", f"/organizations/{org}/invitations", {"email": "max@example.com"})[1]["id"]
    crowd.ask("max", "POST", f"/organizations/invitations/{second}/decline")
    crowd.join("olga", org, "max")
    crowd.ask("olga", "POST", f"/organizations/{org}/users/max/access", {"role": "owner", "assignedRoleIds": []})
    crowd.ask("max", "POST", f"/organizations/{org}/leave")
    crowd.join("olga", org, "max")
    crowd.ask("olga", "DELETE", f"/organizations/{org}/users/max")
    crowd.ask("olga", "POST", "/api-keys", {"name": "k", "permissions": ["write:sandboxes"]}, org=org)
    crowd.ask("olga", "DELETE", "/api-keys/k", org=org)
    crowd.ask("olga", "DELETE", f"/organizations/{org}/roles/{role}")
    crowd.ask("olga", "PATCH", f"/organizations/{org}/default-region", {"defaultRegionId": "eu"})
    api.request("PATCH", f"/organizations/{org}/quota", {"totalCpuQuota": 3})
    api.request("POST", f"/organizations/{org}/suspend", {"reason": "why"})
    api.request("POST", f"/organizations/{org}/unsuspend")
    api.request("POST", f"/organizations/{org}/sandbox-default-limited-network-egress", {"sandboxDefaultLimitedNetworkEgress": True})
    entries = log(api, org, key=crowd.token("olga"))
    assert all(e["organizationId"] == org and e["statusCode"] < 300 for e in entries), entries
    olga, user = "olga", {"olga": "olga@example.com", "max": "max@example.com"}
    seen = [(e["action"], e.get("targetType"), e.get("targetId"), e["actorId"]) for e in reversed(entries)]
    invited = [s[2] for s in seen if s[:2] == ("create", "organization_invitation")]
    local = api.as_local_user("GET", "/users/me")[1]["id"]
    assert seen == [
        ("create", "organization_role", role, olga), ("update", "organization_role", role, olga),
        ("create", "organization_invitation", first, olga), ("update", "organization_invitation", first, olga),
        ("delete", "organization_invitation", first, olga), ("create", "organization_invitation", second, olga),
        ("create", "organization_invitation", invited[2], olga), ("update_access", "organization_user", "max", olga),
        ("leave_organization", None, None, "max"), ("create", "organization_invitation", invited[3], olga),
        ("delete", "organization_user", "max", olga), ("create", "api_key", "k", olga), ("delete", "api_key", "k", olga),
        ("delete", "organization_role", role, olga), ("update", "organization", org, olga),
        ("update_quota", "organization", org, local), ("suspend", "organization", org, local),
        ("unsuspend", "organization", org, local),
        ("update_sandbox_default_limited_network_egress", "organization", org, local)]
    assert all(e["actorEmail"] == user.get(e["actorId"], "") for e in entries)
    # What is about no organization yet, or about one's own answer, is in the whole log.
    whole = [(e["action"], e.get("targetType"), e.get("targetId")) for e in log(api)]
    assert ("create", "organization", org) in whole and ("decline", "organization_invitation", second) in whole
    assert ("accept", "organization_invitation", invited[3]) in whole
    status, made = api.request("POST", "/admin/users", {"id": "audited-user", "name": "A"})
    assert (status, newest(api)["targetType"], newest(api)["targetId"]) == (201, "user", "audited-user")
    assert verify(api)[0] == 0


def test_pages(crowd):
    api, org = crowd.api, crowd.new_org("olga", "pages")
    key = crowd.ask("olga", "POST", "/api-keys", {"name": "k", "permissions": ["write:sandboxes", "read:audit_logs"]}, org=org)[1]["value"]
    for i in range(7):
        api.request("POST", f"/sandbox/none-{i}/stop", key=key)
    status, page = api.request("GET", f"/audit/organizations/{org}?limit=3", key=key)
    assert status == 200 and (page["total"], page["page"], page["totalPages"]) == (8, 1, 3)
    assert [e["targetId"] for e in page["items"]] == ["none-6", "none-5", "none-4"]
    second = api.request("GET", f"/audit/organizations/{org}?limit=3&page=2", key=key)[1]
    assert [e["targetId"] for e in second["items"]] == ["none-3", "none-2", "none-1"]
    # A token goes on behind where it was given, whatever came since.
    api.request("POST", "/sandbox/none-8/stop", key=key)
    by_token = api.request("GET", f"/audit/organizations/{org}?limit=3&page=9&nextToken={page['nextToken']}", key=key)[1]
    assert by_token["items"] == second["items"] and by_token["total"] == 9
    last = api.request("GET", f"/audit/organizations/{org}?limit=3&nextToken={by_token['nextToken']}", key=key)[1]
    assert [e["targetId"] for e in last["items"]] == ["none-0", "k"] and "nextToken" not in last
    middle = page["items"][1]["createdAt"]
    assert all(e["createdAt"] >= middle for e in log(api, org, f"&from={middle}", key=key))
    assert all(e["createdAt"] <= middle for e in log(api, org, f"&to={middle}", key=key))
    assert log(api, org, "&to=2020-01-01T00:00:00Z", key=key) == []
    for query in ("limit=201", "limit=0", "page=0", "nextToken=x", "nextToken=a1", "from=yesterday", "to=1"):
        assert api.request("GET", f"/audit/organizations/{org}?{query}", key=key)[0] == 400, query
    assert api.request("GET", f"/audit/organizations/{org}", key=crowd.token("stranger"))[0] == 403
    assert api.request("GET", "/audit", key=key)[0] == 403


def test_what_cannot_be_written_down_is_not_done(image):
    with server(image) as crowd:
        api = crowd.api
        with sqlite3.connect(api.data / "state" / "daytona.db") as db:
            db.execute("CREATE TRIGGER stop BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END")
        status, e = api.request("POST", "/sandbox", {"name": "x"})
        assert status == 500 and "audit log cannot be written, so nothing was done" in e["message"]
        assert "no room" in api.tail() and "INSERT" not in e["message"]
        assert api.request("GET", "/sandbox/x")[0] == 404
        assert api.request("GET", "/sandbox")[0] == 200
        with sqlite3.connect(api.data / "state" / "daytona.db") as db:
            db.execute("DROP TRIGGER stop")
        assert api.request("POST", "/sandbox", {"name": "x"})[0] == 200
        assert verify(api)[0] == 0
        api.request("DELETE", "/sandbox/x")


def test_changes_show(image):
    with server(image) as crowd:
        api = crowd.api
        for i in range(5):
            api.request("POST", f"/sandbox/none-{i}/stop")
        code, text = verify(api)
        mark = text.splitlines()[-1]
        assert code == 0 and text.startswith("the audit log is whole: ") and mark.split(":")[0].isdigit()
        api.request("POST", "/sandbox/none-5/stop")
        assert verify(api, mark)[0] == 0
        assert verify(api, "1:" + "0" * 64) == (1, "record 1 has another hash than the one given\n"
                                                "the audit log is broken: 1 problems in 12 records\n")
        code, text = verify(api, "nonsense")
        assert code == 1 and "NUMBER:HASH" in text
        api.stop()
        with sqlite3.connect(api.data / "state" / "daytona.db") as db:
            db.execute("UPDATE audit SET actor_email = 'somebody@else' WHERE seq = 3")
            db.execute("DELETE FROM audit WHERE seq = 6")
        code, text = verify(api)
        assert code == 1 and "record 3 was altered\n" in text and "record 6 is missing\n" in text
        api.start()
        api.request("POST", "/sandbox/none-6/stop")
        assert newest(api)["targetId"] == "none-6"
        assert verify(api)[1].count("\n") == 3
        # The files beside the store stay the server's.
        assert {p.stat().st_uid for p in (api.data / "state").iterdir()} == {(api.data / "state").stat().st_uid}
        assert (api.data / "state" / "audit.key").stat().st_mode & 0o777 == 0o600


def test_killed_in_the_middle(image):
    with server(image) as crowd:
        api = crowd.api

        def work(i):
            with contextlib.suppress(OSError, ValueError):
                for n in range(100):
                    status, box = api.request("POST", "/sandbox", {"name": f"k-{i}-{n}"})
                    api.request("DELETE", f"/sandbox/k-{i}-{n}")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            tasks = [pool.submit(work, i) for i in range(6)]
            time.sleep(1.0)
            api.stop(signal.SIGKILL)
            for t in tasks:
                t.exception()
        assert verify(api)[0] == 0
        api.start()
        entries = log(api)
        assert all("statusCode" in e for e in entries)
        lost = [e for e in entries if e["statusCode"] == 0]
        assert all("does not know" in e["errorMessage"] for e in lost)
        assert verify(api)[0] == 0
        clear(api)


def test_addresses_are_believed_of_proxies_alone(image):
    with server(image, "--trusted-proxies", "203.0.113.0/24") as crowd:
        assert send(crowd.api, "POST", "/sandbox", {"name": "x"}, X_Forwarded_For="192.0.2.7")["name"] == "x"
        assert newest(crowd.api)["ipAddress"] == "127.0.0.1"
        crowd.api.request("DELETE", "/sandbox/x")
    with pytest.raises(RuntimeError, match="TRUSTED_PROXIES"), backend.Backend(settings=("--trusted-proxies", "here")) as b:
        b.start()

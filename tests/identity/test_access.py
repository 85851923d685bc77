"""The whole route table with every kind of caller, against the contract's tables (access.py)."""
import dataclasses
import datetime
import http.client
import json
import pathlib
import select
import socket
import sqlite3
import time
import uuid

import access
import backend
import busybox
import people
import pytest

SERVICES = {"proxy": "--proxy-api-key", "ssh-gateway": "--ssh-gateway-api-key",
            "health-check": "--health-check-api-key", "runner": "--default-runner-api-key",
            "otel-collector": "--otel-collector-api-key"}
SCHEMAS = pathlib.Path(__file__).parents[2] / "schemas" / "rest"


@dataclasses.dataclass
class Caller:
    name: str
    kind: str                     # nobody, key, token, service, peer (of the unix socket)
    secret: str | None = None
    header: str | None = None     # the organization that the call names
    member_of: frozenset = frozenset()
    owner: bool = False
    admin: bool = False
    permissions: frozenset = frozenset()
    suspended: str | None = None


def expected(need, path, org, who):
    """What the contract says becomes of a call: 'in', 401, 403 or 'suspended'."""
    level, words = need[0], set(need[1:])
    if level == "open":
        return "in"
    if who.kind == "nobody":
        return 401
    if who.kind == "service":
        return "in" if f"+{who.name}" in words else 403
    if "+admin" in words and who.admin:
        return "in"
    if "login" in words and who.kind == "key":
        return 401
    if level in ("user", "admin", "none"):
        return "in" if level == "user" or (level == "admin" and who.admin) else 403
    home = None if who.kind == "token" else next(iter(who.member_of), None)
    named = None if who.kind == "key" else who.header
    where = org if "{organizationId}" in path else named or home
    if where not in who.member_of or (level == "owner" and not who.owner):
        return 403
    if not {w for w in words if ":" in w} <= who.permissions:
        return 403
    return "suspended" if "active" in words and who.suspended else "in"


def outcome(status, body):
    message = body.get("message", "") if isinstance(body, dict) else ""
    if status == 403 and message.startswith("Organization is suspended"):
        return "suspended"
    if status == 401 or (status == 403 and message.startswith("Forbidden resource")):
        return status
    assert status != 500, body
    return "in"


class Asker:
    """Kept connections: the table is long. The server closes those without a request for a while."""

    def __init__(self, api):
        self.api, self.kept = api, {}

    def connection(self, kind):
        if kind not in self.kept:
            c = self.kept[kind] = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=120)
            if kind == "peer":
                c.sock = socket.socket(socket.AF_UNIX)
                c.sock.connect(str(self.api.socket))
        return self.kept[kind]

    def ask(self, who, method, path, body):
        headers = {"Content-Type": "application/json"}
        if who.secret:
            headers["Authorization"] = f"Bearer {who.secret}"
        if who.header:
            headers["X-Daytona-Organization-ID"] = who.header
        kind = "peer" if who.kind == "peer" else "tcp"
        request = method, "/api" + path, None if body is None else json.dumps(body), headers
        try:
            self.connection(kind).request(*request)
            reply = self.connection(kind).getresponse()
        except ConnectionError:  # closed before it was asked
            del self.kept[kind]
            self.connection(kind).request(*request)
            reply = self.connection(kind).getresponse()
        text = reply.read()
        try:
            return reply.status, json.loads(text) if text else None
        except ValueError:
            return reply.status, text


class World:
    """Two organizations, a suspended one, and everybody who could want something from the first."""

    def __init__(self, crowd):
        self.crowd, self.api = crowd, crowd.api
        self.org = crowd.new_org("olga", "the one")
        self.other = crowd.new_org("stranger", "another one")
        self.callers = [*self.nobodies(), *self.services(), *self.owners(), *self.members(), *self.keys(),
                        *self.strangers(), *self.administrators(), *self.suspended()]

    def key(self, name, org, permissions, owner="olga", **more):
        status, made = self.crowd.ask(owner, "POST", "/api-keys", {
            "name": name, "permissions": list(permissions), **more}, org=org)
        assert status == 201, made
        return made["value"]

    def nobodies(self):
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=6)
        ended = self.key("ended", self.org, access.PERMISSIONS, expiresAt=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
        gone = self.key("gone", self.org, access.PERMISSIONS)
        assert self.crowd.ask("olga", "DELETE", "/api-keys/gone", org=self.org)[0] == 204
        end = time.monotonic() + 60
        while self.api.request("GET", "/api-keys/current", key=ended)[0] != 401:
            assert time.monotonic() < end
            time.sleep(0.1)
        token = self.crowd.token("olga")
        return [Caller(name, "nobody", secret, self.org) for name, secret in (
            ("no credentials", None), ("an unknown key", "dtn_" + "0" * 64), ("an expired key", ended), ("a deleted key", gone),
            ("a damaged token", token[:-6] + "AAAAAA"), ("no key at all", "x"))]

    def services(self):
        return [Caller(name, "service", f"{name}-key-of-this-test", self.org) for name in SERVICES]

    def owners(self):
        all_of_them = dict(member_of=frozenset({self.org, self.crowd.personal("olga")}), owner=True,
                           permissions=frozenset(access.PERMISSIONS))
        return [Caller("an owner", "token", self.crowd.token("olga"), self.org, **all_of_them),
                Caller("an owner without the header", "token", self.crowd.token("olga"), None, **all_of_them)]

    def members(self):
        status, own = self.crowd.ask("olga", "POST", f"/organizations/{self.org}/roles", {
            "name": "of our own", "description": "", "permissions": ["delete:sandboxes", "write:registries"]})
        assert status == 201
        roles = {**{name: ([people.BUILT_IN[name]], held) for name, held in access.ROLES.items()},
                 "no role": ([], set()), "a role of our own": ([own["id"]], {"delete:sandboxes", "write:registries"}),
                 "two roles": ([people.BUILT_IN["Developer"], people.BUILT_IN["Auditor"]], {"write:sandboxes", "read:audit_logs"})}
        for number, (name, (ids, held)) in enumerate(roles.items()):
            who = f"member{number}"
            self.crowd.join("olga", self.org, who, roles=ids)
            yield Caller(f"a member: {name}", "token", self.crowd.token(who), self.org, frozenset({self.org}),
                         permissions=frozenset(held))

    def keys(self):
        for scopes in ((), *((p,) for p in access.PERMISSIONS), access.PERMISSIONS):
            name = " ".join(scopes) or "no scope"
            yield Caller(f"a key: {name}", "key", self.key(name[:200], self.org, scopes), None, frozenset({self.org}), owner=True,
                         permissions=frozenset(scopes))

    def strangers(self):
        everything = dict(member_of=frozenset({self.other}), owner=True, permissions=frozenset(access.PERMISSIONS))
        yield Caller("another organization's owner", "token", self.crowd.token("stranger"), self.org, **everything)
        yield Caller("another organization's owner at home", "token", self.crowd.token("stranger"), self.other, **everything)
        yield Caller("another organization's key", "key", self.key("all", self.other, access.PERMISSIONS, "stranger"), self.org,
                     **everything)

    def administrators(self):
        local = self.api.request("GET", "/api-keys/current")[1]
        own = frozenset({"the local user's"})
        yield Caller("the administrator's key", "key", backend.KEY, None, own, owner=True, admin=True,
                     permissions=frozenset(local["permissions"]))
        yield Caller("the local user", "peer", None, None, own, owner=True, admin=True, permissions=frozenset(access.PERMISSIONS))
        yield Caller("the local user elsewhere", "peer", None, self.org, own, owner=True, admin=True,
                     permissions=frozenset(access.PERMISSIONS))
        status, cut = self.api.request("POST", "/api-keys", {"name": "cut", "permissions": ["write:sandboxes"]})
        assert status == 201
        yield Caller("a cut key of the administrator", "key", cut["value"], None, own, owner=True,
                     permissions=frozenset({"write:sandboxes"}))

    def suspended(self):
        org = self.crowd.new_org("olga", "suspended")
        key = self.key("all", org, access.PERMISSIONS)
        assert self.api.request("POST", f"/organizations/{org}/suspend", {"reason": "x"})[0] == 201
        everything = dict(member_of=frozenset({org, self.org}), owner=True, permissions=frozenset(access.PERMISSIONS), suspended="x")
        yield Caller("an owner of a suspended organization", "token", self.crowd.token("olga"), org, **everything)
        yield Caller("a key of a suspended organization", "key", key, None,
                     frozenset({org}), owner=True, permissions=frozenset(access.PERMISSIONS), suspended="x")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    names = ("olga", "stranger", *(f"member{i}" for i in range(10)))
    keys = [word for name, flag in SERVICES.items() for word in (flag, f"{name}-key-of-this-test")]
    with people.gathered("--default-snapshot", "busybox", *keys, names=names) as crowd:
        crowd.api.import_snapshot("busybox", busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar"))
        yield World(crowd)


def test_the_table_is_complete():
    """Every operation that is served stands in the contract's table, and the other way round."""
    served = {(o["method"], o["path"]) for f in SCHEMAS.glob("*.json") for o in json.loads(f.read_text()).get("operations", [])}
    assert {(method, path) for method, path, _ in access.ROUTES} == served


def filled(path, org):
    return (path.replace("{organizationId}", org).replace("{port}", "3000").replace("{interval}", "1")
            .replace("{userId}", "nobody").replace("{path}", "files").replace("{id}", "nobody")
            .replace("{idOrName}", "no-such").replace("/jobs/poll", "/jobs/poll?timeout=0").replace("{", "").replace("}", ""))


def test_everybody_and_everything(world):
    asker, wrong, count = Asker(world.api), [], 0
    for who in world.callers:
        for method, path, need in access.ROUTES:
            want = expected(need, path, world.org, who)
            if want == "in" and (method, path) in access.ONCE:
                continue
            # A body that no operation accepts: whoever gets in changes nothing.
            body = {"name": 7, "cpu": "x", "totalCpuQuota": "x", "labels": 7} if method in ("POST", "PUT", "PATCH") else None
            verb = "GET" if method == "ANY" else method
            status, answer = asker.ask(who, verb, filled(path, world.org), body)
            got = outcome(status, answer)
            count += 1
            if got != want:
                wrong.append(f"{who.name}: {method} {path}: {got} instead of {want} ({status}: {answer})")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:40])
    assert count > 2500


def test_head_is_no_way_around(world):
    """HEAD is answered as GET is, without a body."""
    asker = Asker(world.api)
    for who in world.callers[:3]:
        for method, path, need in access.ROUTES:
            if method == "GET" and need[0] != "open":
                assert asker.ask(who, "HEAD", filled(path, world.org), None)[0] == 401


def test_another_organization_is_a_closed_book(world):
    """With the ids of everything there is, an owner from elsewhere sees, guesses and changes nothing."""
    crowd, org = world.crowd, world.org
    status, box = crowd.ask("olga", "POST", "/sandbox", {"name": "secret-box", "public": False}, org=org)
    assert status == 200, box
    role = crowd.ask("olga", "POST", f"/organizations/{org}/roles", {
        "name": "secret-role", "description": "", "permissions": ["read:volumes"]})[1]["id"]
    invitation = crowd.ask("olga", "POST", f"/organizations/{org}/invitations", {"email": "secret@example.com"})[1]["id"]
    world.key("secret-key", org, ["read:volumes"])
    volume = crowd.ask("olga", "POST", "/volumes", {"name": "secret-volume"}, org=org)[1]["id"]
    token = crowd.ask("olga", "GET", f"/sandbox/{box['id']}/ports/3000/preview-url", org=org)[1]["token"]

    def state():
        db = sqlite3.connect(f"file:{world.api.data}/state/daytona.db?mode=ro", uri=True)
        tables = [name for name, in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        rows = {t: sorted(map(repr, db.execute(f"SELECT * FROM {t} WHERE organization_id = ?", (org,))))
                for t in ("sandbox", "volume", "member", "role", "invitation", "member_role")}
        rows["keys"] = sorted(db.execute("SELECT hash, permissions FROM api_key WHERE organization_id = ?", (org,)))
        rows["organization"] = db.execute("SELECT * FROM organization WHERE id = ?", (org,)).fetchall()
        assert "sandbox" in tables
        return rows

    # Who listens for changes elsewhere hears none of these.
    ear = http.client.HTTPConnection("127.0.0.1", world.api.port, timeout=60)
    ear.request("GET", "/api/sandbox-changes", headers={
        "Authorization": f"Bearer {crowd.token('stranger')}", "X-Daytona-Organization-ID": world.other})
    listening = ear.sock
    assert ear.getresponse().status == 200
    assert crowd.ask("olga", "PUT", f"/sandbox/{box['id']}/labels", {"labels": {"x": "y"}}, org=org)[0] == 200
    assert select.select([listening], [], [], 0.3)[0] == []
    ear.close()
    listening.close()
    before = state()
    secrets = [box["id"], "secret-box", volume, "secret-volume", role, "secret-role", invitation, "secret@example.com", "secret-key", org, token]
    asker, seen = Asker(world.api), []
    bodies = {
        "/api-keys": {"name": "x", "permissions": ["write:sandboxes"]},
        "/sandbox": {"name": "secret-box", "snapshot": "no-such"},
        "/sandbox/{idOrName}/labels": {"labels": {"a": "b"}},
        "/organizations/{organizationId}/roles": {"name": "x", "description": "", "permissions": ["read:volumes"]},
        "/organizations/{organizationId}/roles/{roleId}": {"name": "x", "description": "", "permissions": ["read:volumes"]},
        "/organizations/{organizationId}/users/{userId}/access": {"role": "member", "assignedRoleIds": [role]},
        "/organizations/{organizationId}/invitations": {"email": "x@example.com", "assignedRoleIds": [role]},
        "/organizations/{organizationId}/invitations/{invitationId}": {"role": "owner", "assignedRoleIds": [role]},
        "/organizations/{organizationId}/default-region": {"defaultRegionId": "eu"},
        "/organizations/{organizationId}/otel-config": {"endpoint": "http://x"},
        "/organizations/{organizationId}/experimental-config": {"x": "y"},
        "/organizations/{organizationId}/quota": {"totalCpuQuota": 1},
        "/organizations/{organizationId}/quota/{regionId}": {"totalCpuQuota": 1},
        "/organizations/{organizationId}/suspend": {"reason": "x"},
        "/organizations/{organizationId}/sandbox-default-limited-network-egress": {"sandboxDefaultLimitedNetworkEgress": True},
    }
    # From outside with what is inside, and from their own organization with ids of this one.
    for who in [c for c in world.callers if c.name.startswith("another organization")]:
        for method, path, need in access.ROUTES:
            if need[0] == "open" or path in ("/organizations", "/users", "/admin/users", "/organizations/{organizationId}/leave",
                                                access.ENDLESS[1]):
                continue
            for target in {org, world.other} if who.kind == "token" else {org}:
                if target == world.other and (method, path) == ("DELETE", "/organizations/{organizationId}"):
                    continue
                if target == world.other and path.startswith("/audit"):
                    continue  # their own log, with what they asked for here
                for name in ("id", "secret-box") if "{idOrName}" in path else ("id",):
                    url = (path.replace("{organizationId}", target).replace("{roleId}", role).replace("{invitationId}", invitation)
                           .replace("{idOrName}", box["id"] if name == "id" else name).replace("{sandboxId}", box["id"])
                           .replace("{authToken}", token).replace("{volumeId}", volume)
                           .replace("{name}", "secret-volume" if "volumes" in path else "secret-key").replace("{userId}", "olga")
                           .replace("{port}", "3000").replace("{interval}", "1").replace("{isPublic}", "true")
                           .replace("{path}", "process/execute").replace("{id}", "olga").replace("{", "").replace("}", ""))
                    verb = "POST" if method == "ANY" else method
                    body = bodies.get(path, {}) if verb in ("POST", "PUT", "PATCH") else None
                    status, answer = asker.ask(who, verb, url, body)
                    # What was asked may be said back in an error, nothing else.
                    text = json.dumps({k: v for k, v in answer.items() if k not in ("path", "message")}
                                      if isinstance(answer, dict) else str(answer))
                    message = answer.get("message", "") if isinstance(answer, dict) else ""
                    told = [s for s in secrets if s in text or (s in message and s not in url and s not in json.dumps(body))]
                    if told:
                        seen.append(f"{who.name}: {verb} {url}: {status} {answer}")
    assert not seen, "\n".join(seen[:20])
    assert state() == before
    assert crowd.ask("olga", "GET", f"/sandbox/{box['id']}", org=org)[0] == 200
    # The service keys are for all organizations, and for what they need.
    proxy = "proxy-key-of-this-test"
    assert world.api.request("GET", f"/sandbox/{box['id']}", key=proxy)[1]["name"] == "secret-box"
    assert world.api.request("GET", f"/organizations/by-sandbox-id/{box['id']}", key=proxy)[1]["id"] == org
    assert world.api.request("GET", f"/preview/{box['id']}/validate/{token}", key=proxy) == (200, True)
    assert world.api.request("GET", f"/preview/{box['id']}/validate/{token[:-1]}x", key=proxy)[0] == 404
    assert world.api.request("GET", f"/preview/{box['id']}/public", key=proxy)[0] == 404
    assert world.api.request("POST", f"/sandbox/{box['id']}/last-activity", key=proxy)[0] == 201
    assert world.api.request("GET", "/health/ready", key="health-check-key-of-this-test")[1]["status"] == "ok"
    assert world.api.request("GET", f"/preview/{box['id']}/access", key=crowd.token("olga")) == (200, True)
    assert world.api.request("GET", f"/preview/{box['id']}/access", key=crowd.token("stranger"))[0] == 404
    # An organization with sandboxes is not deleted; without them it is, and nothing of it works any more.
    status, e = crowd.ask("olga", "DELETE", f"/organizations/{org}")
    assert status == 409 and "1 sandboxes and 1 volumes" in e["message"]
    assert crowd.ask("olga", "GET", f"/organizations/{org}/usage")[1]["currentVolumeUsage"] == 1
    assert crowd.ask("olga", "DELETE", f"/sandbox/{box['id']}", org=org)[0] == 200
    assert crowd.ask("olga", "DELETE", f"/volumes/{volume}", org=org)[0] == 200
    end = time.monotonic() + 120
    while crowd.ask("olga", "GET", "/volumes", org=org)[1]:
        assert time.monotonic() < end
        time.sleep(0.05)
    last = world.key("last", org, access.PERMISSIONS)
    assert crowd.ask("olga", "DELETE", f"/organizations/{org}")[0] == 200
    assert world.api.request("GET", "/sandbox", key=last)[0] == 401
    assert crowd.ask("olga", "GET", "/sandbox", org=org)[0] == 403
    assert sqlite3.connect(f"file:{world.api.data}/state/daytona.db?mode=ro", uri=True).execute(
        "SELECT count(*) FROM api_key WHERE organization_id = ?", (org,)).fetchone() == (0,)


def test_a_suspended_organization_comes_to_rest(world):
    crowd = world.crowd
    org = crowd.new_org("stranger", "to rest")
    status, box = crowd.ask("stranger", "POST", "/sandbox", {}, org=org)
    assert status == 200
    assert world.api.request("POST", f"/organizations/{org}/suspend", {"suspensionCleanupGracePeriodHours": 1})[0] == 201
    assert crowd.ask("stranger", "GET", f"/sandbox/{box['id']}", org=org)[1]["state"] == "started"
    assert world.api.request("POST", f"/organizations/{org}/suspend", {"suspensionCleanupGracePeriodHours": 0})[0] == 201
    end = time.monotonic() + 120
    while crowd.ask("stranger", "GET", f"/sandbox/{box['id']}", org=org)[1]["state"] != "stopped":
        assert time.monotonic() < end
        time.sleep(0.2)
    status, e = crowd.ask("stranger", "POST", f"/sandbox/{box['id']}/start", org=org)
    assert (status, e["message"]) == (403, "Organization is suspended")
    assert crowd.ask("stranger", "DELETE", f"/sandbox/{box['id']}", org=org)[0] == 200


def test_service_keys_must_be_secrets():
    for settings, why in ((("--proxy-api-key", "short"), "at least 16"),
                          (("--proxy-api-key", "x" * 20, "--ssh-gateway-api-key", "x" * 20), "the same key")):
        with pytest.raises(RuntimeError, match=why), backend.Backend(settings=settings) as b:
            b.start()


def test_unknown_organizations_look_like_those_of_others(world):
    for org in (world.other, str(uuid.uuid4())):
        assert world.crowd.ask("olga", "GET", f"/organizations/{org}")[1]["message"] == (
            "Forbidden resource: you are no member of this organization")

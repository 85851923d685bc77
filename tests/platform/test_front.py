"""What stands before every operation: CORS, limits, maintenance, ids; and the figures behind them."""
import concurrent.futures
import http.client
import json
import re
import time

import backend
import busybox
import people
import prometheus_client.parser
import pytest


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


@pytest.fixture(scope="module")
def crowd(image):
    with people.gathered("--default-snapshot", "busybox", "--health-check-api-key", "health-key-of-this-test",
                         names=("olga", "max")) as c:
        c.api.import_snapshot("busybox", image)
        yield c


@pytest.fixture(scope="module")
def api(crowd):
    return crowd.api


def server(*settings):
    return backend.Backend(settings=settings)


def ask(api, method, path, key=backend.KEY, body=None, **headers):
    c = http.client.HTTPConnection("127.0.0.1", api.port, timeout=120)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    r = c.getresponse()
    text = r.read()
    c.close()
    return r.status, r.headers, text.decode()


# --- CORS ---

def test_preflights(api):
    for path in ("/api/sandbox", "/api/config", "/api/nowhere", "/api/toolbox/x/toolbox/process/execute"):
        status, h, text = ask(api, "OPTIONS", path, None, Origin="https://page.example.com", Access_Control_Request_Method="POST",
                              Access_Control_Request_Headers="authorization,x-daytona-source")
        assert (status, text) == (204, "")
        assert h["Access-Control-Allow-Origin"] == "https://page.example.com"
        assert h["Access-Control-Allow-Headers"] == "authorization,x-daytona-source"
        assert set(h["Access-Control-Allow-Methods"].split(",")) == {"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"}
        assert "Access-Control-Allow-Credentials" not in h and "Origin" in h["Vary"]


def test_pages_of_other_origins_may_read(api):
    for path, key, want in (("/api/sandbox", backend.KEY, 200), ("/api/sandbox", None, 401), ("/api/nowhere", None, 404)):
        status, h, _ = ask(api, "GET", path, key, Origin="null")
        assert status == want and h["Access-Control-Allow-Origin"] == "null" and "Access-Control-Allow-Credentials" not in h
    assert "Access-Control-Allow-Origin" not in ask(api, "GET", "/api/config", None)[1]
    assert ask(api, "OPTIONS", "/api/sandbox")[0] == 404


# --- ids and the version ---

def test_ids_and_the_version(api):
    seen = set()
    for path in ("/api/config", "/api/sandbox", "/api/nowhere", "/api/sandbox/none"):
        _, h, _ = ask(api, "GET", path)
        assert h["X-Daytona-Api-Version"].startswith("v")
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", h["X-Request-Id"])
        seen.add(h["X-Request-Id"])
    assert len(seen) == 4
    _, h, _ = ask(api, "DELETE", "/api/sandbox/none")
    found, end = [], time.monotonic() + 60
    while not found:  # it is written when the answer is out
        assert time.monotonic() < end
        lines = [json.loads(line) for line in api.tail().splitlines() if line.startswith("{") and line.endswith("}")]
        found = [line for line in lines if line.get("req") == h["X-Request-Id"]]
    assert [(line["op"], line["sandbox"], line["status"]) for line in found] == [("sandbox_delete", "none", "404")]


# --- what is said back ---

@pytest.mark.parametrize("name, said", [("%E2%82%AC" * 200, "\u20ac" * 69), ("a%FFb%C3", "a?b? not found"), ("%ED%A0%80", "??? not found")],
                         ids=("long", "bytes", "surrogate"))
def test_what_is_no_text_or_too_long_to_repeat(api, name, said):
    """A message comes with every error, whatever was asked for, and stands in the audit log."""
    status, _, text = ask(api, "DELETE", f"/api/sandbox/{name}")
    message = json.loads(text)["message"]
    assert status == 404 and message.startswith(f"Sandbox with ID or name {said}")
    end = time.monotonic() + 60
    while "statusCode" not in (entry := api.request("GET", "/audit?limit=1")[1]["items"][0]):
        assert time.monotonic() < end
    assert (entry["statusCode"], entry["errorMessage"]) == (404, message)


# --- maintenance ---

def test_maintenance():
    with server("--maintenance", "--health-check-api-key", "health-key-of-this-test") as b:
        b.start()
        for path in ("/api/config", "/api/health", "/health", "/api/sandbox", "/api/nowhere"):
            status, _, text = ask(b, "GET", path)
            assert status == 503
            assert json.loads(text)["message"] == "Service is currently under maintenance. Please try again later."
        status, e = b.request("POST", "/sandbox", {})
        assert status == 503 and e["error"] == "Service Unavailable"
        assert b.as_local_user("GET", "/sandbox")[0] == 503
        assert ask(b, "GET", "/metrics", "health-key-of-this-test")[0] == 200


# --- limits ---

def counted(h, name, limit, left, whole):
    """Whether so many are left of a limit, whose time goes on meanwhile."""
    now = limit_headers(h, name)
    return (now["Limit"], now["Remaining"]) == (limit, left) and 0 < now["Reset"] <= whole


def limit_headers(h, name):
    return {k: int(h[f"X-RateLimit-{k}-{name}"]) for k in ("Limit", "Remaining", "Reset") if f"X-RateLimit-{k}-{name}" in h}


def test_no_limits_no_headers(api):
    _, h, _ = ask(api, "GET", "/api/config")
    _, more, _ = ask(api, "GET", "/api/sandbox")
    assert not [k for k in (*h, *more) if "ratelimit" in k.lower() or "retry" in k.lower()]
    assert "rateLimit" not in api.request("GET", "/config")[1]


def test_anonymous_requests():
    with server("--rate-limit-anonymous", "3", "--rate-limit-anonymous-ttl", "600") as b:
        b.start()
        for left in (2, 1, 0):
            status, h, _ = ask(b, "GET", "/api/config", None)
            assert status == 200 and counted(h, "anonymous", 3, left, 600), dict(h)
        status, h, text = ask(b, "GET", "/api/health", None)
        assert status == 429 and json.loads(text)["message"] == "ThrottlerException: Too Many Requests"
        assert 300 <= int(h["Retry-After-anonymous"]) <= 600 and limit_headers(h, "anonymous")["Remaining"] == 0
        # Another address, which a trusted proxy vouches for; IPv6 by the network.
        assert ask(b, "GET", "/api/config", None, X_Forwarded_For="192.0.2.1")[0] == 200
        for i in range(3):
            assert ask(b, "GET", "/api/config", None, X_Forwarded_For=f"2001:db8::{i + 1}")[0] == 200
        assert ask(b, "GET", "/api/config", None, X_Forwarded_For="2001:db8::99")[0] == 429
        assert ask(b, "GET", "/api/config", None, X_Forwarded_For="2001:db8:0:1::1")[0] == 200
        # Those who say who they are and those of this machine are not counted.
        assert all(ask(b, "GET", "/api/sandbox")[0] == 200 for _ in range(5))
        assert all(b.as_local_user("GET", "/config")[0] == 200 for _ in range(5))


def test_refused_credentials():
    with server("--rate-limit-failed-auth", "3", "--rate-limit-failed-auth-ttl", "600") as b:
        b.start()
        assert ask(b, "GET", "/api/sandbox")[0] == 200
        for left in (2, 1, 0):
            status, h, _ = ask(b, "GET", "/api/sandbox", "dtn_" + "0" * 64)
            assert status == 401 and counted(h, "failed-auth", 3, left, 600), dict(h)
        # Now even the right key is not tried.
        status, h, _ = ask(b, "GET", "/api/sandbox")
        assert status == 429 and 300 <= int(h["Retry-After"]) <= 600
        assert ask(b, "GET", "/api/sandbox", X_Forwarded_For="192.0.2.1")[0] == 200
        assert ask(b, "GET", "/api/config", None)[0] == 200
        assert b.as_local_user("GET", "/sandbox")[0] == 200


def test_limits_of_organizations(image):
    with people.gathered("--default-snapshot", "busybox", "--rate-limit-authenticated", "12", "--rate-limit-authenticated-ttl", "600",
                         "--rate-limit-sandbox-create", "2", "--rate-limit-sandbox-create-ttl", "600",
                         "--rate-limit-sandbox-lifecycle", "3", "--rate-limit-sandbox-lifecycle-ttl", "600", names=("olga",)) as c:
        c.api.import_snapshot("busybox", image)
        assert c.api.request("GET", "/config", key=None)[1]["rateLimit"] == {
            "authenticated": {"ttl": 600, "limit": 12}, "sandboxCreate": {"ttl": 600, "limit": 2},
            "sandboxLifecycle": {"ttl": 600, "limit": 3}}
        org = c.new_org("olga", "limited")
        key = c.ask("olga", "POST", "/api-keys", {"name": "k", "permissions": ["write:sandboxes", "delete:sandboxes"]}, org=org)[1]["value"]

        def go(method, path):
            return ask(c.api, method, "/api" + path, key, "{}" if method == "POST" else None)
        boxes = []
        for left in (1, 0):
            status, h, text = go("POST", "/sandbox")
            assert status == 200 and limit_headers(h, "sandbox-create")["Remaining"] == left
            boxes.append(json.loads(text)["id"])
        status, h, text = go("POST", "/sandbox")
        assert status == 429 and 300 <= int(h["Retry-After-sandbox-create"]) <= 600 and "Retry-After" not in h
        for i in range(3):
            status, h, _ = go("POST", f"/sandbox/{boxes[0]}/{('stop', 'start', 'stop')[i]}")
            assert status in (200, 409) and limit_headers(h, "sandbox-lifecycle")["Remaining"] == 2 - i
        assert go("DELETE", f"/sandbox/{boxes[0]}")[0] == 429
        # One key was made, three creates, four changes: four are left of all.
        for left in (3, 2, 1, 0):
            status, h, _ = go("GET", "/sandbox")
            assert status == 200 and limit_headers(h, "authenticated")["Remaining"] == left
        status, h, _ = go("GET", "/sandbox")
        assert status == 429 and "Retry-After-authenticated" in h
        # Whoever asks for the organization: it is the organization that is counted.
        assert c.ask("olga", "GET", "/sandbox", org=org)[0] == 429
        assert c.ask("olga", "GET", "/sandbox", org=c.personal("olga"))[0] == 200
        # An organization may have limits of its own.
        local = c.api.as_local_user
        status, o = local("PATCH", f"/organizations/{org}/quota", {
            "authenticatedRateLimit": 1000, "authenticatedRateLimitTtlSeconds": 500, "sandboxLifecycleRateLimit": 0})
        assert status == 200 and (o["authenticatedRateLimit"], o["authenticatedRateLimitTtlSeconds"]) == (1000, 500)
        assert (o["sandboxLifecycleRateLimit"], o["sandboxCreateRateLimit"]) == (0, None)
        status, h, _ = go("GET", "/sandbox")
        assert status == 200 and limit_headers(h, "authenticated")["Limit"] == 1000
        assert go("POST", "/sandbox")[0] == 429
        for box in boxes:
            end = time.monotonic() + 120
            while (reply := go("DELETE", f"/sandbox/{box}"))[0] == 409 and time.monotonic() < end:
                time.sleep(0.05)
            assert reply[0] == 200 and not limit_headers(reply[1], "sandbox-lifecycle")


def test_a_limit_holds_in_a_rush():
    with server("--rate-limit-authenticated", "50", "--rate-limit-authenticated-ttl", "600") as b:
        b.start()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            got = list(pool.map(lambda _: ask(b, "GET", "/api/sandbox")[0], range(120)))
        assert got.count(200) == 50 and got.count(429) == 70


# --- figures ---

def figures(api, key="health-key-of-this-test"):
    status, h, text = ask(api, "GET", "/metrics", key)
    assert status == 200 and h["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {f.name: f for f in prometheus_client.parser.text_string_to_metric_families(text)}


def sample(families, name, **labels):
    found = [s.value for f in families.values() for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
    return sum(found)


def test_metrics_are_not_for_tenants(crowd, api):
    assert ask(api, "GET", "/metrics", None)[0] == 401
    assert ask(api, "GET", "/metrics", crowd.token("olga"))[0] == 403
    key = crowd.ask("olga", "POST", "/api-keys", {"name": "m", "permissions": []}, org=crowd.personal("olga"))[1]["value"]
    assert ask(api, "GET", "/metrics", key)[0] == 403
    assert ask(api, "GET", "/metrics", backend.KEY)[0] == 200 == ask(api, "GET", "/api/metrics", backend.KEY)[0]


def test_metrics(api):
    before = figures(api)
    status, box = api.request("POST", "/sandbox", {})
    assert status == 200
    for _ in range(3):
        assert api.request("GET", f"/sandbox/{box['id']}")[0] == 200
    assert api.request("GET", "/sandbox/none")[0] == 404 and api.request("GET", "/nowhere")[0] == 404
    now = figures(api)

    def more(name, **labels):
        return sample(now, name, **labels) - sample(before, name, **labels)
    assert more("daytona_http_requests_total", op="sandbox_create", status="200") == 1
    assert more("daytona_http_requests_total", op="sandbox_get", status="200") == 3
    assert more("daytona_http_requests_total", op="sandbox_get", status="404") == 1
    assert more("daytona_http_requests_total", op="none", status="404") == 1
    assert more("daytona_http_request_duration_seconds_count", op="sandbox_get") == 4
    assert more("daytona_http_request_duration_seconds_bucket", op="sandbox_get", le="+Inf") == 4
    assert more("daytona_sandbox_create_seconds_count") == 1 and more("daytona_sandbox_create_seconds_sum") > 0
    assert sample(now, "daytona_sandboxes", state="started") == 1 and sample(now, "daytona_sandboxes", state="stopped") == 0
    assert sample(now, "daytona_launcher_up") == 1 and 0 <= sample(now, "daytona_store_queue") < 100
    assert sample(now, "process_resident_memory_bytes") > 1 << 20 and sample(now, "process_open_fds") > 5
    assert sample(now, "process_cpu_seconds_total") > 0 and sample(now, "process_start_time_seconds") > 1.7e9
    assert 0 < sample(now, "daytona_host_memory_ratio") < 1 and sample(now, "daytona_build_info") == 1
    buckets = [s.value for s in now["daytona_http_request_duration_seconds"].samples
               if s.name.endswith("_bucket") and s.labels["op"] == "sandbox_get"]
    assert buckets == sorted(buckets)
    assert api.request("DELETE", f"/sandbox/{box['id']}")[0] == 200
    assert sample(figures(api), "daytona_sandboxes", state="started") == 0

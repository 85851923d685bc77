"""Telemetry of sandboxes: what they used over time, the requests that went into them, and what happened to them."""
import datetime
import http.client
import json
import re
import signal
import sqlite3
import time
import urllib.parse

import backend
import busybox
import host
import people
import pytest

NAMES = ["daytona.sandbox.cpu.utilization", "daytona.sandbox.cpu.limit", "daytona.sandbox.memory.usage",
         "daytona.sandbox.memory.limit", "daytona.sandbox.memory.cache", "daytona.sandbox.filesystem.usage",
         "daytona.sandbox.filesystem.total"]
ALWAYS = {"from": "2020-01-01", "to": "2100-01-01"}
GIB = 1 << 30
KEPT_SPANS, KEPT_ENTRIES, KEPT_OF_ALL = 128, 200, 200000


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar")


@pytest.fixture(scope="module")
def crowd(image):
    with people.gathered("--default-snapshot", "busybox", names=("olga", "stranger")) as c:
        c.api.import_snapshot("busybox", image)
        yield c


@pytest.fixture(scope="module")
def api(crowd):
    return crowd.api


@pytest.fixture(scope="module")
def old(api):
    """A sandbox that nobody asks about until the end: the server reads it by its own clock."""
    box = make(api)["id"]
    yield box, time.monotonic()
    api.request("DELETE", f"/sandbox/{box}")


@pytest.fixture(scope="module")
def crowded(api, old):
    """A sandbox that brings the store above what all logs together may have."""
    box = make(api)["id"]
    with sqlite3.connect(f"{api.data}/state/daytona.db", timeout=60) as db:
        db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO sandbox_log "
                   "SELECT ?, 1000 + i, i, 9, 'test', NULL, 0, 'entry ' || i FROM n", (KEPT_OF_ALL + 5000, box))
    yield box
    api.request("DELETE", f"/sandbox/{box}")


def make(api, **more):
    status, box = api.request("POST", "/sandbox", more)
    assert status == 200, box
    return box


@pytest.fixture
def box(api, old):
    made = make(api)
    yield made["id"]
    api.request("DELETE", f"/sandbox/{made['id']}")


def look(api, box, what, key=backend.KEY, **query):
    text = urllib.parse.urlencode({k: v for k, v in (ALWAYS | query).items() if v is not None}, doseq=True)
    return api.request("GET", f"/sandbox/{box}/telemetry/{what}?{text}", key=key)


def good(api, box, what, **query):
    status, answer = look(api, box, what, **query)
    assert status == 200, answer
    return answer


def series(api, box, **query):
    return {s["metricName"]: s["dataPoints"] for s in good(api, box, "metrics", **query)["series"]}


def execute(api, box, command, **headers):
    status, done = call(api, box, "POST", "/process/execute", {"command": command}, **headers)
    assert status == 200 and done["exitCode"] == 0, done
    return done["result"]


def call(api, box, method, path, body=None, way="api", **headers):
    """(status, parsed answer) of a request to the toolbox by either way."""
    port, base = (api.port, f"/api/toolbox/{box}/toolbox") if way == "api" else (api.proxy_port, f"/toolbox/{box}")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request(method, base + path, None if body is None else json.dumps(body), {
        "Host": "localhost", "Authorization": f"Bearer {backend.KEY}", "Content-Type": "application/json",
        **{k.replace("_", "-"): v for k, v in headers.items()}})
    reply = c.getresponse()
    text = reply.read()
    c.close()
    return reply.status, json.loads(text) if text.startswith((b"{", b"[")) else text


def iso(seconds_from_now):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)).isoformat()


# --- metrics ---
# The server reads by its clock, too, so there may be more samples than were asked for.

def test_metrics_of_a_sandbox(api, box):
    first = series(api, box)
    assert list(first) == NAMES
    at = [p["timestamp"] for p in first[NAMES[0]]]
    assert len(at) >= 1 and all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", t) for t in at)
    one = {}
    for name, points in first.items():
        assert [p["timestamp"] for p in points] == at
        one[name] = points[-1]["value"]
    assert 0 <= one["daytona.sandbox.cpu.utilization"] <= 100 and one["daytona.sandbox.cpu.limit"] == 1
    assert one["daytona.sandbox.memory.limit"] == GIB and 0 < one["daytona.sandbox.memory.usage"] < GIB
    assert 0 <= one["daytona.sandbox.memory.cache"] < GIB
    assert 2 * GIB < one["daytona.sandbox.filesystem.total"] <= 3 * GIB
    assert 0 <= one["daytona.sandbox.filesystem.usage"] < GIB

    execute(api, box, "dd if=/dev/zero of=/big bs=1M count=30 2>/dev/null; sync")
    execute(api, box, "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'")
    time.sleep(1.1)  # between two readings that are asked for
    second = series(api, box)
    news = {name: [p["value"] for p in points[len(at):]] for name, points in second.items()}
    assert second[NAMES[0]][:len(at)] == first[NAMES[0]] and len(news[NAMES[0]]) >= 1
    assert news["daytona.sandbox.filesystem.usage"][-1] - one["daytona.sandbox.filesystem.usage"] >= 30 << 20
    assert 1 < max(news["daytona.sandbox.cpu.utilization"]) <= 100


def test_many_who_ask_at_once_get_one_reading_a_second(api, box):
    began = time.monotonic()
    for _ in range(20):
        found = series(api, box)[NAMES[0]]
    assert 1 <= len(found) <= 2 + int(time.monotonic() - began)


def test_names_of_metrics(api, box):
    assert list(series(api, box, metricNames=NAMES[2])) == [NAMES[2]]
    assert list(series(api, box, metricNames=[NAMES[5], NAMES[0], "of.another.kind"])) == [NAMES[0], NAMES[5]]
    assert series(api, box, metricNames="of.another.kind") == {}


def test_ranges_of_metrics(api, box):
    assert len(series(api, box)[NAMES[0]]) >= 1
    empty = {name: [] for name in NAMES}
    assert series(api, box, to=iso(-60)) == empty
    assert series(api, box, **{"from": iso(60)}) == empty
    # The clock of who asks may be a little behind.
    assert len(series(api, box, **{"from": iso(-60), "to": iso(-5)})[NAMES[0]]) >= 1
    # As the Python SDK writes them.
    text = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f%z")
    assert len(series(api, box, to=text)[NAMES[0]]) >= 1


def test_metrics_stay_while_it_is_stopped_and_go_on_afterwards(api, box):
    assert series(api, box)[NAMES[0]] != []
    assert api.request("POST", f"/sandbox/{box}/stop")[0] == 200
    reach(api, box, "stopped")
    before = series(api, box)[NAMES[0]]
    assert before != []
    assert api.request("POST", f"/sandbox/{box}/start")[0] == 200
    again = series(api, box)[NAMES[0]]
    assert again[:len(before)] == before and len(again) > len(before)
    assert api.request("POST", f"/sandbox/{box}/pause")[0] == 200
    time.sleep(1.1)
    assert len(series(api, box)[NAMES[0]]) > len(again)


def reach(api, box, state, seconds=120):
    end = time.monotonic() + seconds
    while (now := api.request("GET", f"/sandbox/{box}")[1]["state"]) != state:
        assert time.monotonic() < end, now
        time.sleep(0.05)


# --- traces ---

def traces(api, box, **query):
    return good(api, box, "traces", **query)


def test_each_request_is_a_span(api, box):
    assert traces(api, box) == {"items": [], "total": 0, "page": 1, "totalPages": 0}
    began = iso(-1)
    execute(api, box, "sleep 0.2")
    assert call(api, box, "GET", "/files/info?path=/nowhere", way="proxy")[0] == 404
    page = traces(api, box)
    assert (page["total"], page["page"], page["totalPages"]) == (2, 1, 1)
    missing, executed = page["items"]  # newest first
    assert executed["rootSpanName"] == "POST /process/execute" and executed["statusCode"] == "Ok"
    assert executed["spanCount"] == 1 and executed["durationMs"] >= 200
    assert began < executed["startTime"] < executed["endTime"]
    assert (missing["rootSpanName"], missing["statusCode"]) == ("GET /files/info", "Unset")
    status, spans = look(api, box, f"traces/{executed['traceId']}")
    assert status == 200
    (span,) = spans
    assert span == {
        "traceId": executed["traceId"], "spanId": span["spanId"], "spanName": "POST /process/execute",
        "timestamp": executed["startTime"], "durationNs": span["durationNs"], "statusCode": "Ok",
        "spanAttributes": {"daytona.operation": "process_execute", "http.request.method": "POST",
                           "http.route": "/process/execute", "http.response.status_code": "200"}}
    assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and re.fullmatch("[0-9a-f]{16}", span["spanId"])
    assert abs(span["durationNs"] / 1e6 - executed["durationMs"]) < 0.01
    assert traces(api, box, to=iso(-60))["items"] == [] and traces(api, box, **{"from": iso(60)})["total"] == 0


def test_a_trace_of_the_client_holds_its_requests_together(api, box):
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    for path in ("/files?path=/", "/user-home-dir", "/nothing/here"):
        call(api, box, "GET", path, traceparent=f"00-{trace}-{parent}-01")
    call(api, box, "GET", "/files?path=/", traceparent=f"00-{trace}-{'0' * 16}-01")  # not valid: a trace of its own
    page = traces(api, box)
    assert page["total"] == 2
    mine = next(t for t in page["items"] if t["traceId"] == trace)
    assert (mine["rootSpanName"], mine["spanCount"], mine["statusCode"]) == ("GET /files", 3, "Ok")
    spans = look(api, box, f"traces/{trace}")[1]
    assert [s["spanName"] for s in spans] == ["GET /files", "GET /user-home-dir", "unknown operation"]
    assert {s["parentSpanId"] for s in spans} == {parent} and len({s["spanId"] for s in spans}) == 3
    assert spans[2]["spanAttributes"] == {"http.response.status_code": "404"} and spans[2]["statusCode"] == "Unset"


def test_pages_of_traces_and_how_many_are_kept(api, box):
    for i in range(KEPT_SPANS + 10):
        call(api, box, "GET", "/files/info?path=/" if i % 2 else "/user-home-dir")
    first = traces(api, box, limit=50)
    assert (first["total"], first["totalPages"], len(first["items"])) == (KEPT_SPANS, 3, 50)
    rest = traces(api, box, limit=50, page=2)["items"] + traces(api, box, limit=50, page=3)["items"]
    everything = first["items"] + rest
    assert len({t["traceId"] for t in everything}) == KEPT_SPANS
    starts = [t["startTime"] for t in everything]
    assert starts == sorted(starts, reverse=True)
    assert traces(api, box, page=9)["items"] == []


def test_requests_that_fail(api, box):
    c = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    c.request("POST", f"/api/toolbox/{box}/toolbox/process/execute", json.dumps({"command": "sleep 30"}),
              {"Authorization": f"Bearer {backend.KEY}"})
    time.sleep(0.3)
    c.close()
    end = time.monotonic() + 120
    while not traces(api, box)["items"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    (gone,) = traces(api, box)["items"]
    assert gone["statusCode"] == "Error"
    (span,) = look(api, box, f"traces/{gone['traceId']}")[1]
    assert span["statusMessage"] == "the client went away before the answer"
    assert "http.response.status_code" not in span["spanAttributes"]
    assert api.request("POST", f"/sandbox/{box}/stop")[0] == 200
    reach(api, box, "stopped")
    assert call(api, box, "GET", "/user-home-dir")[0] == 400
    assert [(t["rootSpanName"], t["statusCode"]) for t in traces(api, box)["items"]] == [
        ("GET /user-home-dir", "Unset"), ("POST /process/execute", "Error")]


def test_no_secrets(api, box):
    secret = "hush-hush"
    call(api, box, "POST", f"/process/execute?token={secret}", {"command": f"echo {secret}", "envs": {"KEY": secret}},
         X_Secret=secret, traceparent=secret)
    call(api, box, "GET", f"/files/download?path=/{secret}")
    call(api, box, "GET", f"/{secret}/x")
    call(api, box, "DELETE", f"/process/session/{secret}")
    page = traces(api, box)
    assert page["total"] == 4
    everything = [page, good(api, box, "logs"), *(look(api, box, f"traces/{t['traceId']}")[1] for t in page["items"])]
    assert secret not in json.dumps(everything)


def test_traces_that_are_not_there(api, box):
    status, e = look(api, box, "traces/" + "a" * 32)
    assert status == 404 and "last 128 requests" in e["message"]
    for bad in ("1", "A" * 32, "a" * 31 + "g", "a" * 33):
        status, e = look(api, box, "traces/" + bad)
        assert status == 400 and "32 hexadecimal digits" in e["message"]


# --- logs ---

def bodies(api, box, **query):
    return [(e["severityText"], e["body"]) for e in good(api, box, "logs", **query)["items"]]


def test_the_log_of_a_life(api, crowd):
    made = make(api, target="us")
    box = made["id"]
    assert api.request("POST", f"/sandbox/{box}/pause")[0] == 200
    assert api.request("POST", f"/sandbox/{box}/start")[0] == 200
    assert api.request("POST", f"/sandbox/{box}/resize", {"cpu": 2})[0] == 200
    assert api.request("POST", f"/sandbox/{box}/stop")[0] == 200
    reach(api, box, "stopped")
    assert api.request("POST", f"/sandbox/{box}/archive")[0] == 200
    reach(api, box, "archived")
    assert api.request("POST", f"/sandbox/{box}/start")[0] == 200
    reach(api, box, "started")
    page = good(api, box, "logs")
    entries = page["items"]
    assert (page["total"], page["page"], page["totalPages"]) == (len(entries), 1, 1)
    assert [e["body"] for e in entries] == [
        "brought back from the archive and started", "archived", "stopped",
        "resized to 2 cpu, 1024 MiB of memory and 3072 MiB of disk", "resumed", "paused", "created and started"]
    times = [e["timestamp"] for e in entries]
    assert times == sorted(times, reverse=True) and times[-1] >= made["createdAt"]
    assert entries[-1] == {
        "timestamp": times[-1], "body": "created and started", "severityText": "INFO", "severityNumber": 9,
        "serviceName": f"sandbox-{box}",
        "resourceAttributes": {"service.name": f"sandbox-{box}", "daytona.sandbox.id": box, "daytona.region": "us",
                               "daytona.organization.id": made["organizationId"]},
        "logAttributes": {"operation": "create", "initiator": "request", "state": "started"}}
    # By id or name, in parts, by text and time.
    assert good(api, made["name"], "logs") == page
    assert [e["body"] for e in good(api, box, "logs", limit=3, page=2)["items"]] == [e["body"] for e in entries[3:6]]
    assert good(api, box, "logs", limit=3)["totalPages"] == 3
    assert bodies(api, box, search="ARCHIVE") == [("INFO", e["body"]) for e in entries[:2]]
    assert bodies(api, box, search="100%_") == [] and bodies(api, box, severities=["WARN", "ERROR", "DEBUG"]) == []
    assert len(bodies(api, box, severities="INFO")) == 7
    assert bodies(api, box, to=iso(-60)) == [] and bodies(api, box, **{"from": iso(60)}) == []
    # It goes with the sandbox.
    assert api.request("DELETE", f"/sandbox/{box}")[0] == 200
    assert look(api, box, "logs")[0] == 404
    with sqlite3.connect(f"file:{api.data}/state/daytona.db?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM sandbox_log WHERE sandbox_id = ?", (box,)).fetchone() == (0,)


def test_forks_and_backups(api, box):
    child = api.request("POST", f"/sandbox/{box}/fork", {})[1]["id"]
    assert bodies(api, child) == [("INFO", f"created as a fork of {box} and started")]
    assert api.request("POST", f"/sandbox/{child}/backup")[0] == 201
    end = time.monotonic() + 60
    while ("INFO", "backed up") not in bodies(api, child):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert api.request("DELETE", f"/sandbox/{child}")[0] == 200


def test_the_end_of_the_first_process(api, box):
    assert host.kill_first_process(box) == 1
    reach(api, box, "stopped")
    entry = good(api, box, "logs")["items"][0]
    assert entry["severityText"] == "WARN" and "the sandbox ended by itself (status " in entry["body"]
    assert entry["logAttributes"] == {"operation": "exit", "initiator": "server", "state": "stopped"}


def test_processes_that_run_out_of_memory(api, box):
    assert len(series(api, box)[NAMES[0]]) >= 1
    api.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": "dd if=/dev/zero of=/dev/null bs=1500M count=1"})
    time.sleep(1.1)
    end = time.monotonic() + 60
    while not (found := bodies(api, box, severities="ERROR")):
        series(api, box)
        assert time.monotonic() < end
        time.sleep(0.2)
    assert re.match(r"(\d of its processes|the sandbox) ran out of memory \(1024 MiB", found[0][1])


def test_processes_that_run_out_of_memory_at_once(api, box):
    """Before anybody has read what the sandbox uses, unless the clock was quicker."""
    api.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": "dd if=/dev/zero of=/dev/null bs=1500M count=1"})
    time.sleep(0.3)
    end = time.monotonic() + 60
    while not (found := bodies(api, box, severities="ERROR")):
        assert len(series(api, box)[NAMES[0]]) >= 1
        assert time.monotonic() < end
        time.sleep(0.2)
    assert re.match(r"(\d of its processes|the sandbox) ran out of memory \(1024 MiB", found[0][1])
    # It is told once, also by the next server.
    api.stop()
    api.start()
    reach(api, box, "started")
    assert len(series(api, box)[NAMES[0]]) >= 1
    assert len(bodies(api, box, severities="ERROR")) == 1


def test_memory_goes_with_the_sandbox(api, old):
    full = KEPT_SPANS * 40
    before = api.gauge("daytona_telemetry_bytes")
    box = make(api)["id"]
    series(api, box)
    for _ in range(KEPT_SPANS):
        call(api, box, "GET", "/user-home-dir")
    most = api.gauge("daytona_telemetry_bytes")
    assert before + full < most < before + (16 << 10)
    assert api.request("DELETE", f"/sandbox/{box}")[0] == 200
    assert api.gauge("daytona_telemetry_bytes") < most - full


def test_how_many_entries_are_kept(api, box):
    for _ in range(KEPT_ENTRIES // 2 + 3):
        assert api.request("POST", f"/sandbox/{box}/pause")[0] == 200
        assert api.request("POST", f"/sandbox/{box}/start")[0] == 200
    page = good(api, box, "logs", limit=200)
    assert page["total"] == KEPT_ENTRIES == len(page["items"])
    assert {e["body"] for e in page["items"]} == {"paused", "resumed"}


# --- who may, and bad input ---

def test_only_its_organization(api, crowd, box):
    other = crowd.personal("stranger")
    trace = "traces/" + "a" * 32
    for what in ("metrics", "traces", "logs", trace):
        assert look(api, box, what, key=None)[0] == 401
        assert look(api, box, what, key="dtn_" + "0" * 64)[0] == 401
        text = urllib.parse.urlencode(ALWAYS)
        status, e = crowd.ask("stranger", "GET", f"/sandbox/{box}/telemetry/{what}?{text}", org=other)
        assert status == 404 and "not found" in e["message"]
        assert look(api, "no-such-box", what)[0] == 404
    # A key without any permission may read what its organization has.
    mine = crowd.personal("olga")
    status, key = crowd.ask("olga", "POST", "/api-keys", {"name": "plain", "permissions": []}, org=mine)
    assert status == 201, key
    status, own = crowd.ask("olga", "POST", "/sandbox", {}, org=mine)
    assert status == 200, own
    assert look(api, own["id"], "logs", key=key["value"])[1]["items"][0]["body"] == "created and started"
    assert look(api, own["id"], "metrics", key=key["value"])[0] == 200
    assert look(api, own["id"], "traces", key=key["value"])[0] == 200
    assert crowd.ask("olga", "DELETE", f"/sandbox/{own['id']}", org=mine)[0] == 200


@pytest.mark.parametrize("what, query, message", [
    ("metrics", {"from": None}, "from is required"), ("logs", {"to": None}, "to is required"),
    ("traces", {"from": "yesterday"}, "from must be a date such as"), ("metrics", {"to": "1"}, "to must be a date such as"),
    ("metrics", {"from": "2026-01-02", "to": "2026-01-01"}, "from must not be after to"),
    ("traces", {"from": "2026-01-02", "to": "2026-01-01"}, "from must not be after to"),
    ("logs", {"from": "2026-01-02", "to": "2026-01-01"}, "from must not be after to"),
    ("metrics", {"metricNames": ["x" * 129]}, "metricNames"), ("metrics", {"metricNames": ["x"] * 65}, "metricNames"),
    ("logs", {"severities": "FATAL"}, "severities"), ("logs", {"severities": ["INFO"] * 9}, "severities"),
    ("logs", {"search": "x" * 257}, "search"), ("logs", {"limit": 201}, "limit"), ("logs", {"page": 0}, "page"),
    ("traces", {"limit": 0}, "limit"), ("traces", {"page": "two"}, "page"),
])
def test_bad_input(api, box, what, query, message):
    status, e = look(api, box, what, **query)
    assert status == 400 and message in str(e["message"]), e


def test_a_kind_that_is_none(api, box):
    assert look(api, box, "moods")[0] == 404


# --- restarts, and the server's own clock ---

def test_all_logs_together_have_a_limit(api, crowded, box):
    mine = bodies(api, box)
    end = time.monotonic() + 120
    with sqlite3.connect(f"file:{api.data}/state/daytona.db?mode=ro", uri=True) as db:
        while db.execute("SELECT count(*) FROM sandbox_log").fetchone()[0] > KEPT_OF_ALL:
            assert time.monotonic() < end
            time.sleep(0.5)
        left, oldest = db.execute("SELECT count(*), min(at_ms) FROM sandbox_log WHERE sandbox_id = ? AND operation = 'test'",
                                  (crowded,)).fetchone()
    assert left >= KEPT_OF_ALL - 5000 and oldest == KEPT_OF_ALL + 5000 - left + 1, "the oldest go"
    assert bodies(api, box) == mine == [("INFO", "created and started")]


def test_read_by_the_clock(api, old):
    """Whoever asks for what is over causes no reading."""
    box, began = old
    wait = 100 - (time.monotonic() - began)
    time.sleep(max(0, wait))
    end = time.monotonic() + 60
    while not (points := series(api, box, to=iso(-11))[NAMES[0]]):
        assert time.monotonic() < end
        time.sleep(1)
    assert len(points) >= 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_restart(api, how):
    """The log is in the store; what was measured and traced begins anew."""
    box = make(api)["id"]
    execute(api, box, "true")
    assert len(series(api, box)[NAMES[0]]) >= 1 and traces(api, box)["total"] == 1
    log = good(api, box, "logs")
    api.stop(how)
    api.start()
    reach(api, box, "started")
    assert good(api, box, "logs") == log
    assert traces(api, box)["total"] == 0
    assert len(series(api, box)[NAMES[0]]) >= 1
    execute(api, box, "true")
    assert traces(api, box)["total"] == 1
    assert api.request("DELETE", f"/sandbox/{box}")[0] == 200

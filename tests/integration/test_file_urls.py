"""What runnerd does for files: signed URLs. And what it answers instead of the toolbox: metrics, /proxy."""
import base64
import hashlib
import hmac
import http.client
import json
import time
import urllib.parse

import backend
import pytest

AUTH = {"Authorization": f"Bearer {backend.KEY}"}
BODY = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nnew\r\n--b--\r\n'
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def box(server):
    status, made = server.request("POST", "/sandbox", {})
    assert status == 200, made
    yield made["id"]
    server.request("DELETE", f"/sandbox/{made['id']}")


def ask(server, method, target, body=None, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", server.proxy_port, timeout=60)
    c.request(method, target, body, headers or {})
    reply = c.getresponse()
    text = reply.read()
    c.close()
    return reply.status, text, reply.headers


def api(server, method, path, key=backend.KEY):
    """The answer as text."""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    c.request(method, "/api" + path, headers={"Authorization": f"Bearer {key}"} if key else {})
    reply = c.getresponse()
    text = reply.read().decode()
    c.close()
    return reply.status, text


def reach(server, box, call, state):
    assert server.request("POST", f"/sandbox/{box}/{call}")[0] in (200, 201)
    end = time.monotonic() + 120
    while server.request("GET", f"/sandbox/{box}")[1]["state"] != state:
        assert time.monotonic() < end
        time.sleep(0.02)


def signature(key, method, path, expires):
    mac = hmac.digest(key.encode(), f"v1:files:{method}:{path}:{expires}".encode(), hashlib.sha256)
    return "v1_" + base64.urlsafe_b64encode(mac).decode().rstrip("=")


def url(box, key, method, path, expires=0, **other):
    operation = "/files/download" if method == "GET" else "/files/upload-v2"
    query = {"path": path, "expires": expires, "signature": signature(key, method, path, expires), **other}
    return f"/toolbox/{box}{operation}?" + urllib.parse.urlencode(query)


@pytest.fixture
def key(server, box):
    status, text = api(server, "GET", f"/sandbox/{box}/signing-key")
    assert status == 200 and len(text) > 40
    return text


def test_signed_urls(server, box, key):
    later = int(time.time()) + 600
    for path in ("signed/a b+c%.txt", "/tmp/日本語"):
        status, text, _ = ask(server, "POST", url(box, key, "POST", path, later), BODY, FORM)
        assert status == 200 and json.loads(text)["name"] == path.split("/")[-1], text
        status, text, headers = ask(server, "GET", url(box, key, "GET", path))
        assert (status, text) == (200, b"new") and headers["X-Content-Type-Options"] == "nosniff"
        assert ask(server, "HEAD", url(box, key, "GET", path))[0] == 200
        assert ask(server, "GET", url(box, key, "GET", path), headers={"Range": "bytes=1-1"})[:2] == (206, b"e")
    # What else stands in the query does not count, nor goes on.
    assert ask(server, "GET", url(box, key, "GET", "signed/a b+c%.txt", x=1) + "&path=/etc/passwd")[1] == b"new"
    status, text, _ = ask(server, "GET", url(box, key, "GET", "not/there"))
    assert status == 404 and json.loads(text)["code"] == "FILE_NOT_FOUND"


def test_urls_that_do_not_fit(server, box, key):
    later = int(time.time()) + 600
    good = url(box, key, "GET", "/etc/hostname", later)
    assert ask(server, "GET", good)[0] == 200
    other = server.request("POST", "/sandbox", {})[1]["id"]
    bad = [
        good.replace("hostname", "passwd"),
        good.replace(str(later), str(later + 1)),
        good.replace(str(later), "0"),
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.replace("v1_", "v2_"),
        good + "A" * 100,
        good.replace("/files/download", "/files/info"),
        good.replace("/files/download", "/files//download"),
        good.replace("path=", "path=/etc/passwd&path="),
        good.replace(f"expires={later}&", ""),
        good.replace(box, other),
        url(box, key, "GET", "/etc/hostname", int(time.time()) - 1),
        url(box, key, "GET", "/etc/hostname", "+0"),
        url(box, key, "GET", "/etc/hostname", ""),
        url(box, "", "GET", "/etc/hostname", later),
        f"/toolbox/{box}/files/download?path=/etc/hostname&expires=0&signature=",
    ]
    for target in bad:
        status, text, _ = ask(server, "GET", target)
        assert status == 401 and json.loads(text)["message"].startswith("unauthorized"), target
    # A URL for reading writes nothing, and the other way round.
    assert ask(server, "POST", good, BODY, FORM)[0] == 401
    assert ask(server, "POST", good.replace("/files/download", "/files/upload-v2"), BODY, FORM)[0] == 401
    assert ask(server, "GET", url(box, key, "POST", "/etc/hostname"))[0] == 401
    assert ask(server, "DELETE", f"/toolbox/{box}/files?" + good.split("?")[1])[0] == 401
    # The REST API's way in takes none.
    assert api(server, "GET", f"/toolbox/{box}/toolbox/files/download?" + good.split("?")[1], key=None)[0] == 401
    # With a credential the signature does not matter.
    assert ask(server, "GET", bad[3], headers=AUTH)[0] == 200
    server.request("DELETE", f"/sandbox/{other}")


def test_keys(server, box, key):
    """One for each sandbox; the same after a restart of either; gone when it is rotated."""
    status, made = server.request("POST", "/sandbox", {})
    other = made["id"]
    assert api(server, "GET", f"/sandbox/{other}/signing-key")[1] != key
    old = url(other, api(server, "GET", f"/sandbox/{other}/signing-key")[1], "GET", "/etc/hostname")
    assert ask(server, "GET", old)[0] == 200
    reach(server, other, "stop", "stopped")
    status, text, _ = ask(server, "GET", old)
    assert status == 400 and "start" in json.loads(text)["message"]
    reach(server, other, "start", "started")
    assert ask(server, "GET", old)[0] == 200
    status, new = api(server, "POST", f"/sandbox/{other}/signing-key/rotate")
    assert status == 201 and api(server, "GET", f"/sandbox/{other}/signing-key")[1] == new
    assert ask(server, "GET", old)[0] == 401 and ask(server, "GET", url(other, new, "GET", "/etc/hostname"))[0] == 200
    server.stop()
    server.start()
    assert api(server, "GET", f"/sandbox/{other}/signing-key")[1] == new
    assert ask(server, "GET", old)[0] == 401 and ask(server, "GET", url(other, new, "GET", "/etc/hostname"))[0] == 200
    assert api(server, "GET", f"/sandbox/{box}/signing-key")[1] == key
    server.request("DELETE", f"/sandbox/{other}")
    assert ask(server, "GET", url(other, new, "GET", "/etc/hostname"))[0] == 401
    for method, path in (("GET", ""), ("POST", "/rotate")):
        assert api(server, method, f"/sandbox/nothing/signing-key{path}")[0] == 404
        assert api(server, method, f"/sandbox/{box}/signing-key{path}", key=None)[0] == 401
    assert api(server, "GET", f"/preview/{box}/signing-key")[0] == 403


def test_names_keep_their_spelling(server, box):
    """#4448: what a client percent-encoded arrives as it was."""
    for name in ("(local)", "a%40b", "a@b", "+", "é"):
        for way in (f"/toolbox/{box}/files", None):
            target = f"/files/upload?path=/tmp/{urllib.parse.quote(name)}"
            c = http.client.HTTPConnection("127.0.0.1", server.proxy_port if way else server.port, timeout=60)
            c.request("POST", f"/toolbox/{box}{target}" if way else f"/api/toolbox/{box}/toolbox{target}", BODY, {**FORM, **AUTH})
            assert c.getresponse().status == 200
            c.close()
            assert ask(server, "GET", f"/toolbox/{box}/files/info?path=/tmp/{urllib.parse.quote(name)}", headers=AUTH)[0] == 200


def metrics(server, box):
    status, m = server.request("GET", f"/toolbox/{box}/toolbox/system/metrics")
    assert status == 200, m
    return m


def run(server, box, command):
    status, out = server.request("POST", f"/toolbox/{box}/toolbox/process/execute", {"command": command, "timeout": 60})
    assert status == 200, out
    return out["result"]


def test_metrics_are_of_the_sandbox(server):
    status, made = server.request("POST", "/sandbox", {"cpu": 1, "memory": 1, "disk": 3})
    box = made["id"]
    m = metrics(server, box)
    assert set(m) == {"cpuCount", "cpuUsedPct", "memTotal", "memUsed", "memCache", "diskTotal", "diskUsed", "diskFree",
                      "timestamp", "timestampUnix"}
    assert m["cpuCount"] == 1 and m["memTotal"] == 2**30 and 0 < m["memUsed"] < 2**29
    assert 2 * 2**30 < m["diskTotal"] <= 3 * 2**30 and m["diskFree"] == m["diskTotal"] - m["diskUsed"]
    assert abs(m["timestampUnix"] - time.time()) < 60 and m["timestamp"].endswith("Z") and m["cpuUsedPct"] < 60
    # Each figure follows what is done in it.
    time.sleep(1)
    end = time.monotonic() + 120
    while metrics(server, box)["cpuUsedPct"] > 5:  # it comes to rest
        assert time.monotonic() < end
        time.sleep(1)
    run(server, box, "(while :; do :; done) >/dev/null 2>&1 &")
    while metrics(server, box)["cpuUsedPct"] < 10:  # that much any host has
        assert time.monotonic() < end
    run(server, box, "pkill -f '[w]hile :' ; head -c 100000000 /dev/urandom > /tmp/../home/daytona/data; "
                     "(python3 -c 'import time; x = bytearray(200_000_000); time.sleep(6000)' >/dev/null 2>&1 &); sync")
    while (n := metrics(server, box))["memUsed"] - m["memUsed"] < 150_000_000:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert n["diskUsed"] - m["diskUsed"] >= 90_000_000
    assert n["memCache"] - m["memCache"] > 50_000_000
    reach(server, box, "stop", "stopped")
    assert server.request("GET", f"/toolbox/{box}/toolbox/system/metrics")[0] == 400
    server.request("DELETE", f"/sandbox/{box}")


def test_metrics_whose_client_leaves(server, box):
    for _ in range(20):
        c = http.client.HTTPConnection("127.0.0.1", server.proxy_port, timeout=60)
        c.request("GET", f"/toolbox/{box}/system/metrics", headers=AUTH)
        c.close()
    assert metrics(server, box)["cpuCount"] > 0


def test_11_2_27_proxy_reaches_ports_and_never_the_toolbox(server, box):
    status, text, _ = ask(server, "GET", f"/toolbox/{box}/proxy/2280/version", headers=AUTH)
    assert status == 502 and b"nothing listens on port 2280" in text
    for port in ("0", "02280", "65536", "x"):
        assert ask(server, "GET", f"/toolbox/{box}/proxy/{port}/version", headers=AUTH)[0] == 400
    run(server, box, "mkdir -p /tmp/web && echo served > /tmp/web/f && (cd /tmp/web && python3 -m http.server 8123 >/dev/null 2>&1 &)")
    end = time.monotonic() + 60
    while (got := ask(server, "GET", f"/toolbox/{box}/proxy/8123/f?x=1", headers=AUTH))[0] != 200:
        assert time.monotonic() < end and got[0] == 502
        time.sleep(0.05)
    assert got[1] == b"served\n"
    run(server, box, "pkill -f '[h]ttp.server'; :")

"""What web pages and odd HTTP clients must not achieve: other names for the API, other origins' requests to a private
preview, requests inside of requests, our credentials in an application's hands, a second spelling of a port."""
import pathlib
import re
import socket
import urllib.parse

import backend
import pytest

from inside import sh

DATA = pathlib.Path(__file__).parents[1] / "data"
SEEN = "sleep 0.5; cat /tmp/seen 2>/dev/null; rm -f /tmp/seen"


@pytest.fixture(scope="module")
def box(client):
    """A private sandbox: port 3000 writes down what it gets, 3001 has a WebSocket."""
    made = client.tool("create_sandbox")["id"]
    for name, port, check in (("echo_raw.py", 3000, "/"), ("wsapp.py", 3001, "/headers")):
        client.tool("file_upload", id=made, file_path=name, content=(DATA / name).read_text(), encoding="text", overwrite=True)
        started = sh(client, made, f"nohup python3 {name} {port} >/tmp/log-{port} 2>&1 & for i in $(seq 1000); do "
                                   f"curl -sf localhost:{port}{check} >/dev/null && exit; sleep 0.05; done; cat /tmp/log-{port}; exit 1",
                     timeout=200)
        assert started["exitCode"] == 0, started
    sh(client, made, SEEN)
    yield made
    client.tool("destroy_sandbox", id=made)


@pytest.fixture(scope="module")
def token(server, box):
    return server.request("GET", f"/sandbox/{box}/ports/3000/preview-url")[1]["token"]


def host(server, box, port=3000):
    return f"{port}-{box}.proxy.localhost:{server.proxy_port}"


def raw(port, data, answers=1):
    """What comes back for these bytes until the connection ends, or nothing comes any more after so many answers."""
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        s.sendall(data)
        got = b""
        try:
            while True:
                s.settimeout(60 if len(statuses(got)) < answers else 0.5)
                if not (piece := s.recv(65536)):
                    break
                got += piece
        except OSError:
            pass
        return got


def statuses(answer):
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# --- names for the API (DNS rebinding) ---

def get(port, name, path="/api/sandbox", more=""):
    return statuses(raw(port, f"GET {path} HTTP/1.1\r\nHost: {name}\r\n{more}Connection: close\r\n\r\n".encode()))


FOREIGN = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "proxy.localhost.evil.example", "xlocalhost",
           f"{socket.gethostname()}.evil.example", "evil.example:3000", "localhost@evil.example"]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("path", ["/api/sandbox", "/api/config", "/config", "/nope"])
def test_the_api_has_no_other_names(server, name, path):
    status = get(server.port, name, path)
    assert status in ([421], [400]), status
    assert get(server.port, f"127.0.0.1:{server.port}", path, f"Origin: http://{name}\r\n") != [421]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "10.1.2.3", "a.localhost", socket.gethostname(), "proxy.localhost"])
def test_the_api_has_these_names(server, name):
    assert get(server.port, f"{name}:{server.port}", "/api/config") == [200]
    assert get(server.port, f"{name}:{server.port}") == [401]


def test_who_has_a_key_may_call_it_as_he_likes(server):
    key = f"Authorization: Bearer {backend.KEY}\r\n"
    assert get(server.port, "whatever.internal", more=key) == [200]
    assert get(server.port, "whatever.internal", more="Authorization: Bearer wrong\r\n") == [401]
    assert get(server.port, "balancer.internal", "/api/health") == [200]


def test_pages_need_a_key_of_their_own(server):
    """Programs in a browser may use the API with a key that they were given; nothing that the browser holds goes along."""
    head = "Host: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n"
    answer = raw(server.port, f"GET /api/config HTTP/1.1\r\n{head}\r\n".encode())
    assert b"Access-Control-Allow-Origin: http://evil.example" in answer
    asked = raw(server.port, f"OPTIONS /api/sandbox HTTP/1.1\r\n{head}Access-Control-Request-Method: POST\r\n\r\n".encode())
    for one in (answer, asked, raw(server.port, f"GET /api/sandbox HTTP/1.1\r\n{head}\r\n".encode())):
        assert b"Access-Control-Allow-Credentials" not in one and b"Set-Cookie" not in one
    assert raw(server.port, f"GET /api/sandbox HTTP/1.1\r\n{head}\r\n".encode()).split()[1] == b"401"


# --- other pages and a private preview ---

@pytest.fixture(scope="module")
def cookie(server, box, token):
    answer = raw(server.proxy_port, f"GET /headers?DAYTONA_SANDBOX_AUTH_KEY={token} HTTP/1.1\r\nHost: {host(server, box, 3001)}\r\n"
                                    f"Connection: close\r\n\r\n".encode())
    return re.search(rb"Set-Cookie: (daytona-sandbox-auth-[^;]+);", answer)[1].decode()


@pytest.mark.parametrize("origin", ["http://evil.example", "http://3001-00000000-0000-4000-8000-000000000000.proxy.localhost", "null",
                                    "http://localhost", "file://"])
def test_websockets_of_other_pages(server, box, cookie, origin):
    headers = {"Host": host(server, box, 3001), "Cookie": cookie}

    def dial(origin):
        with socket.create_connection(("127.0.0.1", server.proxy_port), 60) as s:
            s.sendall("".join([f"GET /ws HTTP/1.1\r\n", *[f"{k}: {v}\r\n" for k, v in headers.items()], f"Origin: {origin}\r\n",
                               "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"]).encode())
            s.settimeout(60)
            return statuses(s.recv(4096))

    assert dial(origin) == [401]
    assert dial(f"http://{host(server, box, 3001)}") == [101]


FETCH = [("same-origin", "cors", "empty", "GET", 200), ("none", "navigate", "document", "GET", 200), ("same-site", "navigate", "document", "GET", 200),
         ("cross-site", "navigate", "document", "GET", 200), ("same-site", "no-cors", "image", "GET", 401),
         ("same-site", "no-cors", "script", "GET", 401), ("same-site", "navigate", "iframe", "GET", 401),
         ("same-site", "navigate", "document", "POST", 401), ("cross-site", "no-cors", "image", "GET", 401), ("cross-site", "cors", "empty", "GET", 401)]


@pytest.mark.parametrize("site,mode,dest,method,status", FETCH)
def test_what_other_pages_may_load(server, box, cookie, site, mode, dest, method, status):
    """Another sandbox's preview is a page of the same site: the browser sends the cookie along, and says whose idea it was."""
    answer = raw(server.proxy_port, f"{method} /headers HTTP/1.1\r\nHost: {host(server, box, 3001)}\r\nCookie: {cookie}\r\nSec-Fetch-Site: {site}\r\n"
                                    f"Sec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {dest}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    assert statuses(answer) == [status], answer[:300]


def test_a_cookie_opens_one_port_of_one_sandbox(server, box, cookie):
    for other in (host(server, box, 3000), host(server, box, 2280), host(server, "00000000-0000-4000-8000-000000000000", 3001)):
        assert statuses(raw(server.proxy_port, f"GET / HTTP/1.1\r\nHost: {other}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n".encode())) == [401]


# --- requests inside of requests ---

INNER = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Inner: yes\r\n\r\n"
SMUGGLE = {
    "length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + INNER,
    "two lengths": b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n" + INNER,
    "lengths in a list": b"Content-Length: 0, 50\r\n\r\n" + INNER,
    "a signed length": b"Content-Length: +0\r\n\r\n" + INNER,
    "a hexadecimal length": b"Content-Length: 0x0\r\n\r\n" + INNER,
    "a negative length": b"Content-Length: -1\r\n\r\n" + INNER,
    "space before the colon": b"Content-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "another coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "two codings": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
    "two headers of codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + INNER,
    "a coding behind a tab": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a quoted coding": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + INNER,
    "a bare line feed": b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a bare return": b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a huge chunk": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n" + INNER,
    "a chunk with a sign": b"Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + INNER,
    "a chunk with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + INNER,
    "a chunk ended by a line feed": b"Transfer-Encoding: chunked\r\n\r\n0\n\n" + INNER,
    "a NUL in a header": b"X: a\0b\r\nContent-Length: 0\r\n\r\n" + INNER,
    "two hosts": b"Host: other\r\nContent-Length: 0\r\n\r\n" + INNER,
}


@pytest.mark.parametrize("name", SMUGGLE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_smuggling(server, client, box, token, name, method):
    head = f"{method} /outer HTTP/1.1\r\nHost: {host(server, box)}\r\nX-Daytona-Preview-Token: {token}\r\n".encode()
    answer = raw(server.proxy_port, head + SMUGGLE[name])
    assert statuses(answer) == [400], answer[:300]
    assert b"/smuggled" not in raw(server.port, head + SMUGGLE[name])
    seen = sh(client, box, SEEN)["stdout"]
    assert "smuggled" not in seen and "X-Inner" not in seen


def test_each_request_of_a_connection_is_asked_for_its_own_token(server, client, box, token):
    first = f"GET /first HTTP/1.1\r\nHost: {host(server, box)}\r\nX-Daytona-Preview-Token: {token}\r\n\r\n".encode()
    second = f"GET /second HTTP/1.1\r\nHost: {host(server, box)}\r\n\r\n".encode()
    absolute = f"GET http://{host(server, box)}/third HTTP/1.1\r\nHost: proxy.localhost\r\n\r\n".encode()
    body = f"POST /fourth HTTP/1.1\r\nHost: {host(server, box)}\r\nX-Daytona-Preview-Token: {token}\r\nContent-Length: {len(second)}\r\n\r\n".encode() + second
    assert statuses(raw(server.proxy_port, first + second + absolute + body, 4)) == [200, 401, 401, 200]
    seen = sh(client, box, SEEN)["stdout"]
    assert "GET /first" in seen and "POST /fourth" in seen and "/third" not in seen
    # What was a body stayed one: behind an empty line, with the length that its request gave.
    assert seen.count("GET /second") <= 1 and f"Content-Length: {len(second)}" in seen.replace("content-length", "Content-Length")


# --- what an application must not get ---

def test_our_credentials_stay_here(server, client, box, token):
    secrets = [token, backend.KEY, "auth-cookie-value"]
    for head in (f"X-Daytona-Preview-Token: {token}", f"x-daytona-preview-token: {token}\r\nX-DAYTONA-PREVIEW-TOKEN: {token}",
                 f"Authorization: Bearer {backend.KEY}", f"AUTHORIZATION:Bearer {token}",
                 f"X-Daytona-Preview-Token: {token}\r\nConnection: close, X-Forwarded-Host, Cookie",
                 f"X-Daytona-Preview-Token: {token}\r\nCookie: a=1; daytona-sandbox-auth-{box}=auth-cookie-value; b=2\r\nCookie: "
                 f"daytona-sandbox-auth-{box}=auth-cookie-value",
                 f"X-Daytona-Preview-Token: {token}\r\nProxy-Authorization: Basic {backend.KEY}\r\nTE: trailers\r\nKeep-Alive: {backend.KEY}"):
        answer = raw(server.proxy_port, f"GET /plain HTTP/1.1\r\nHost: {host(server, box)}\r\n{head}\r\nX-Own: kept\r\n\r\n".encode())
        assert statuses(answer) == [200], answer
        seen = sh(client, box, SEEN)["stdout"]
        assert "GET /plain" in seen and "kept" in seen, seen
        for secret in secrets:
            assert secret not in seen, (head, seen)
        assert "daytona" not in seen.lower().replace(host(server, box), "").replace("x-forwarded-host: ", "")


@pytest.mark.parametrize("query,status", [
    ("DAYTONA_SANDBOX_AUTH_KEY={0}", 200), ("a=1&DAYTONA_SANDBOX_AUTH_KEY={0}&b=2", 200), ("DAYTONA_SANDBOX_AUTH_KEY=no&DAYTONA_SANDBOX_AUTH_KEY={0}", 200),
    ("%44AYTONA_SANDBOX_AUTH_KEY={0}", 401), ("daytona_sandbox_auth_key={0}", 401), ("DAYTONA_SANDBOX_AUTH_KEY={0}x", 401),
    ("DAYTONA_SANDBOX_AUTH_KEY", 401), ("DAYTONA_SANDBOX_AUTH_KEY=", 401), ("x=DAYTONA_SANDBOX_AUTH_KEY={0}", 401)])
def test_the_token_of_a_query_stays_here(server, client, box, token, query, status):
    answer = raw(server.proxy_port, f"GET /q?{query.format(token)} HTTP/1.1\r\nHost: {host(server, box)}\r\n\r\n".encode())
    assert statuses(answer) == [status], answer
    seen = sh(client, box, SEEN)["stdout"]
    assert token not in seen and (status == 200) == ("GET /q" in seen)


# --- ports ---

@pytest.mark.parametrize("text", ["02280", "+2280", "2280 ", " 2280", "2280\t", "2280.0", "0x8e8", "2280%20", "%32280", "2,280", "２２８０", "2280\x00",
                                  "4294969576", "67816", "-63256", "2280-2280", ""])
def test_a_port_has_one_spelling(server, make, text):
    """On a public sandbox everything but the internal ports is open: none of these may mean the toolbox."""
    public = make(public=True)
    for name in (f"{text}-{public}.proxy.localhost:{server.proxy_port}", f"{text}-{public.upper()}.PROXY.LOCALHOST:{server.proxy_port}"):
        answer = raw(server.proxy_port, f"GET /version HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        assert statuses(answer)[0] in (400, 401, 421), answer
        assert b'"version"' not in answer
    quoted = urllib.parse.quote(text) or "%20"
    for path in (f"/api/sandbox/{public}/ports/{quoted}/preview-url", f"/api/toolbox/{public}/toolbox/proxy/{quoted}/version"):
        answer = raw(server.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {backend.KEY}\r\nConnection: close\r\n\r\n".encode())
        assert statuses(answer)[0] in (400, 404), answer

"""Preview links in a real browser, curl and an official WebSocket client."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).parent
CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])


@pytest.fixture(scope="module")
def box(client):
    """A private sandbox that serves a page with a WebSocket on port 3000."""
    made = client.tool("create_sandbox")["id"]
    client.tool("file_upload", id=made, file_path="app.py", content=(HERE.parent / "data/wsapp.py").read_text(),
                encoding="text", overwrite=True)
    started = client.tool("execute_command", id=made, command=(
        "nohup python3 app.py 3000 >/tmp/log 2>&1 & for i in $(seq 1000); do "
        "curl -sf localhost:3000/headers >/dev/null && exit; sleep 0.05; done; cat /tmp/log; exit 1"))
    assert started["exitCode"] == 0, started
    yield made
    client.tool("destroy_sandbox", id=made)


def curl(*args):
    done = subprocess.run(["curl", "-s", "--max-time", "120", "-w", "\n%{http_code}", *args], capture_output=True, text=True)
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


def test_a_browser_opens_the_link(client, box, tmp_path):
    link = client.tool("preview_link", id=box, port=3000, description="app", check_server=True)
    assert link["listening"] is True
    script = tmp_path / "browser.mjs"
    shutil.copy(HERE / "clients" / "browser.mjs", script)
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    done = subprocess.run(["node", script, link["url"]], env=dict(os.environ, CHROMIUM=chromium), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["status"] == 200 and seen["title"] == "70006 hello"
    for cookie in seen["cookies"]:
        assert cookie["httpOnly"] and not cookie["domain"].startswith(".")
    assert seen["readable"] == ""


def test_a_private_sandbox_wants_a_token(server, box):
    status, link = server.request("GET", f"/sandbox/{box}/ports/3000/preview-url")
    assert status == 200
    assert curl(link["url"])[0] in (307, 401)
    assert curl("-H", f"X-Daytona-Preview-Token: {link['token']}", link["url"])[0] == 200
    assert curl("-H", "X-Daytona-Preview-Token: wrong", link["url"])[0] == 401
    assert curl(f"{link['url']}/headers?DAYTONA_SANDBOX_AUTH_KEY={link['token']}&a=b")[0] == 200


def test_credentials_do_not_reach_the_application(server, box):
    _, link = server.request("GET", f"/sandbox/{box}/ports/3000/preview-url")
    status, seen = curl("-H", f"X-Daytona-Preview-Token: {link['token']}", "-H", "X-Own: kept",
                        "-b", f"mine=1; daytona-sandbox-auth-{box}=secret", f"{link['url']}/headers")
    assert status == 200 and "x-own=kept" in seen and "mine=1" in seen
    assert link["token"] not in seen and "daytona-sandbox-auth" not in seen


@pytest.mark.parametrize("label", ["02280", "+2280", "2280%20", "2280.0", "0x8e8", "65536", "-1", ""])
def test_port_texts_are_not_guessed(server, box, label):
    _, link = server.request("GET", f"/sandbox/{box}/ports/3000/preview-url")
    host = link["url"].split("//")[1].rstrip("/").replace("3000-", f"{label}-", 1)
    status, body = curl("-H", f"Host: {host}", "-H", f"X-Daytona-Preview-Token: {link['token']}",
                        f"http://127.0.0.1:{server.proxy_port}/version")
    assert 400 <= status < 500 and "version" not in body.split("path")[0]


def test_public_sandboxes_keep_their_internal_ports(server, client):
    box = client.tool("create_sandbox", public=True)["id"]
    client.tool("execute_command", id=box, command="mkdir w; cd w; echo public > index.html; "
                "nohup python3 -m http.server 3000 >/dev/null 2>&1 & for i in $(seq 1000); do "
                "curl -sf localhost:3000 >/dev/null && exit; sleep 0.05; done; exit 1")
    status, link = server.request("GET", f"/sandbox/{box}/ports/3000/preview-url")
    assert curl(link["url"]) == (200, "public\n")
    inner = link["url"].replace("3000-", "2280-", 1)
    assert curl(f"{inner}/version")[0] in (307, 401)
    client.tool("destroy_sandbox", id=box)


def test_nothing_listens(server, client, box):
    link = client.tool("preview_link", id=box, port=3999, description="none", check_server=True)
    assert link["listening"] is False and link["hint"]
    status, body = curl(link["url"])
    assert status == 502 and "3999" in body


def test_an_unknown_host_is_refused(server):
    assert curl("-H", "Host: evil.example", f"http://127.0.0.1:{server.proxy_port}/")[0] in (404, 421)
    assert curl("-H", "Host: 3000-nosuch.proxy.localhost", f"http://127.0.0.1:{server.proxy_port}/")[0] in (307, 400, 401, 404)


def test_an_expired_link_does_not_open(server, box):
    for seconds in (1, 5, 25):  # on a machine that stands still the first may be over before it is used
        status, link = server.request("GET", f"/sandbox/{box}/ports/3000/signed-preview-url?expiresInSeconds={seconds}")
        if (opened := curl(link["url"])[0]) == 200:
            break
    assert opened == 200
    time.sleep(seconds + 0.2)
    assert curl(link["url"])[0] in (307, 401)
    status, link = server.request("GET", f"/sandbox/{box}/ports/3000/signed-preview-url?expiresInSeconds=60")
    assert server.request("POST", f"/sandbox/{box}/ports/3000/signed-preview-url/{link['token']}/expire")[0] in (200, 201)
    assert curl(link["url"])[0] in (307, 401)
    assert server.request("GET", f"/sandbox/{box}/ports/3000/signed-preview-url?expiresInSeconds=86401")[0] == 400

"""Access tokens of a real OpenID provider, and of those who would like to be one."""
import base64
import concurrent.futures
import hashlib
import hmac
import json
import socket
import threading
import time
import uuid

import backend
import busybox
import issuer
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

USERS = {
    "alice": {"email": "alice@example.com", "email_verified": True, "name": "Alice"},
    "bob": {"email": "bob@example.com", "email_verified": True, "preferred_username": "bob"},
    "eve": {"email": "eve@example.com"},
    "auth0|5f7c8ec7c33c6c004bbafe82": {"name": "x" * 300},
}


@pytest.fixture(scope="module")
def provider():
    with issuer.Issuer(USERS) as i:
        yield i


@pytest.fixture(scope="module")
def api(provider, tmp_path_factory):
    settings = ("--default-snapshot", "busybox", *provider.settings())
    with backend.Backend(settings=settings) as b:
        b.import_snapshot("busybox", busybox.make(tmp_path_factory.mktemp("tar") / "busybox.tar"))
        yield b.start()


def personal(api, token):
    status, orgs = api.request("GET", "/organizations", key=token)
    assert status == 200, orgs
    return next(o for o in orgs if o["personal"])


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(p + "==")) for p in token.split(".")[:2]]


def encode(header, claims):
    return ".".join(issuer.url64(json.dumps(x).encode()) for x in (header, claims))


def sign(private, text):
    return text + "." + issuer.url64(private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))


# --- who logs in ---

def test_users_are_made_at_first_sight(api, provider):
    token = provider.token("alice")
    status, me = api.request("GET", "/users/me", key=token)
    assert status == 200
    assert (me["id"], me["name"], me["email"], me["emailVerified"]) == ("alice", "Alice", "alice@example.com", True)
    assert me["publicKeys"] == [] and me["createdAt"].endswith("Z")
    orgs = api.request("GET", "/organizations", key=token)[1]
    assert [(o["name"], o["personal"], o["createdBy"], o["suspended"]) for o in orgs] == [("Personal", True, "alice", False)]
    # A second token is of the same user.
    assert api.request("GET", "/organizations", key=provider.token("alice"))[1] == orgs


def test_names_of_users(api, provider):
    assert api.request("GET", "/users/me", key=provider.token("bob"))[1]["name"] == "bob"
    odd = api.request("GET", "/users/me", key=provider.token("auth0|5f7c8ec7c33c6c004bbafe82"))[1]
    assert odd["id"] == "auth0|5f7c8ec7c33c6c004bbafe82" and odd["name"] == "Unknown" and odd["email"] == ""


def test_the_header_names_the_organization(api, provider):
    alice, bob = provider.token("alice"), provider.token("bob")
    own, other = personal(api, alice)["id"], personal(api, bob)["id"]
    status, e = api.request("GET", "/sandbox", key=alice)
    assert status == 403 and "X-Daytona-Organization-ID" in e["message"]
    assert api.request("GET", "/sandbox", key=alice, org=own)[0] == 200
    for org in (other, str(uuid.uuid4()), own + "0", own[:-1], "x"):
        status, e = api.request("GET", "/sandbox", key=alice, org=org)
        assert status == 403 and e["message"] == "Forbidden resource: you are no member of this organization"


def test_who_is_not_verified_is_suspended_until_then(api, provider):
    token = provider.token("eve")
    org = personal(api, token)
    assert org["suspended"] and org["suspensionReason"] == "Please verify your email address"
    status, e = api.request("POST", "/sandbox", {}, key=token, org=org["id"])
    assert (status, e["message"]) == (403, "Organization is suspended: Please verify your email address")
    assert api.request("GET", "/sandbox", key=token, org=org["id"])[0] == 200
    status, e = api.request("POST", "/organizations", {"name": "Mine"}, key=token)
    assert (status, e["message"]) == (403, "Please verify your email address")
    provider.users["eve"]["email_verified"] = True
    provider.restart()
    token = provider.token("eve")
    assert not personal(api, token)["suspended"]
    assert api.request("GET", "/users/me", key=token)[1]["emailVerified"] is True
    assert api.request("POST", "/organizations", {"name": "Mine"}, key=token)[0] == 201


def test_an_address_that_moves_is_verified_anew(api, provider):
    provider.users["dave"] = {"email": "dave@example.com", "email_verified": True, "name": "Dave"}
    provider.restart()
    assert api.request("GET", "/users/me", key=provider.token("dave"))[1]["emailVerified"] is True
    provider.users["dave"] = {"email": "dave@example.org", "name": "Dave"}
    provider.restart()
    me = api.request("GET", "/users/me", key=provider.token("dave"))[1]
    assert (me["email"], me["emailVerified"]) == ("dave@example.org", False)


def test_a_crowd_of_first_requests_is_one_user(api, provider):
    provider.users["carol"] = {"email": "carol@example.com", "email_verified": True, "name": "Carol"}
    provider.restart()
    token = provider.token("carol")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: api.request("GET", "/organizations", key=token), range(60)))
    assert all(status == 200 for status, _ in answers)
    assert len({orgs[0]["id"] for _, orgs in answers}) == 1 and all(len(orgs) == 1 for _, orgs in answers)


def test_a_token_does_what_a_key_does(api, provider):
    token = provider.token("alice")
    org = personal(api, token)["id"]
    status, box = api.request("POST", "/sandbox", {"name": "of-alice"}, key=token, org=org)
    assert status == 200 and box["organizationId"] == org, box
    try:
        command = {"command": "echo hello"}
        path = f"/toolbox/{box['id']}/toolbox/process/execute"
        assert api.request("POST", path, command, key=token, org=org)[1]["result"] == "hello\n"
        assert api.request("POST", path, command, key=token)[0] == 403
        # The toolbox behind the proxy knows the organization from the sandbox.
        url, api.url = api.url, f"http://127.0.0.1:{api.proxy_port}"
        try:
            path = f"/toolbox/{box['id']}/process/execute"
            assert api.request("POST", path, command, key=token)[1]["result"] == "hello\n"
            assert api.request("POST", path, command, key=provider.token("bob"))[0] == 401
            assert api.request("POST", path, command, key=token[:-4] + "AAAA")[0] == 401
        finally:
            api.url = url
        # Others do not find it.
        bob = provider.token("bob")
        other = personal(api, bob)["id"]
        for name in (box["id"], "of-alice"):
            assert api.request("GET", f"/sandbox/{name}", key=bob, org=other)[0] == 404
        assert api.request("GET", f"/sandbox/{box['id']}")[0] == 404
    finally:
        assert api.request("DELETE", f"/sandbox/{box['id']}", key=token, org=org)[0] == 200


def test_config_tells_where_to_log_in(api, provider):
    assert api.request("GET", "/config", key=None)[1]["oidc"] == {
        "issuer": provider.url, "clientId": "daytona", "audience": "daytona", "provider": ""}


# --- who does not ---

def refused(api, token, why):
    status, e = api.request("GET", "/users/me", key=token)
    assert status == 401 and why in e["message"], e


def test_forged_tokens(api, provider):
    good = provider.token("alice")
    assert api.request("GET", "/users/me", key=good)[0] == 200
    header, claims = parts(good)
    private = provider.keys[0][0]
    stranger, _ = issuer.rsa_key("stranger")
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for alg in ("none", "None", "NONE", ""):
        refused(api, encode({"alg": alg}, claims) + ".", "RS256 or ES256")
        refused(api, encode(dict(header, alg=alg), claims) + "." + good.split(".")[2], "RS256 or ES256")
    for secret in (public, public.strip()):
        text = encode(dict(header, alg="HS256"), claims)
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        refused(api, f"{text}.{issuer.url64(mac)}", "RS256 or ES256")
    refused(api, sign(stranger, encode(header, claims)), "signature is wrong")
    refused(api, encode(header, dict(claims, sub="bob")) + "." + good.split(".")[2], "signature is wrong")
    refused(api, sign(private, encode(dict(header, alg="ES256"), claims)), "not that of its key")
    refused(api, sign(private, encode(dict(header, crit=["x"], x=1), claims)), "crit")
    refused(api, sign(private, encode(dict(header, typ="logout+jwt"), claims)), "another type")
    refused(api, sign(private, encode(header, dict(claims, exp=int(time.time()) - 60))), "expired")
    refused(api, sign(private, encode(header, dict(claims, nbf=int(time.time()) + 600))), "not valid yet")
    refused(api, sign(private, encode(header, {k: v for k, v in claims.items() if k != "exp"})), "when it ends")
    refused(api, sign(private, encode(header, dict(claims, aud="other"))), "another audience")
    refused(api, sign(private, encode(header, dict(claims, iss=provider.url + "/"))), "another issuer")
    refused(api, sign(private, encode(header, dict(claims, sub="x" * 256))), "whose it is")
    local = api.request("GET", "/users/me")[1]["id"]
    refused(api, sign(private, encode(header, dict(claims, sub=local))), "local user")
    refused(api, good + "A" * 20000, "")
    # The same claims with the right signature are good.
    assert api.request("GET", "/users/me", key=sign(private, encode(header, claims)))[0] == 200


def test_tokens_for_others(api, provider):
    refused(api, provider.token("alice", "urn:other"), "another audience")
    with issuer.Issuer(USERS) as other:
        refused(api, other.token("alice"), "")
        # Even with a key id that we know.
        assert parts(other.token("alice"))[0]["kid"] == parts(provider.token("alice"))[0]["kid"]


def test_a_token_that_ends(provider):
    provider.lifetime = 1
    provider.restart()
    try:
        with backend.Backend(settings=provider.settings()) as b:
            b.start()
            header, claims = parts(provider.token("alice"))
            assert claims["exp"] == claims["iat"] + 1
            ended = sign(provider.keys[0][0], encode(header, dict(claims, exp=claims["iat"] - 31)))
            refused(b, ended, "expired")
    finally:
        provider.lifetime = 600
        provider.restart()


# --- the issuer itself ---

def test_keys_rotate():
    old, new = issuer.rsa_key("old"), issuer.rsa_key("new")
    with issuer.Issuer(USERS) as i:
        i.restart([old])
        with backend.Backend(settings=i.settings()) as b:
            b.start()
            first = i.token("alice")
            assert b.request("GET", "/users/me", key=first)[0] == 200
            i.restart([new])
            second = i.token("alice")
            assert parts(second)[0]["kid"] == "new"
            # An unknown key makes the server ask again, but not all the time.
            end = time.monotonic() + 60
            while b.request("GET", "/users/me", key=second)[0] != 200:
                assert time.monotonic() < end
                time.sleep(0.2)
            refused(b, first, "unknown key")


def test_es256():
    with issuer.Issuer(USERS, algorithm="ES256") as i, backend.Backend(settings=i.settings()) as b:
        b.start()
        token = i.token("alice")
        assert parts(token)[0]["alg"] == "ES256"
        assert b.request("GET", "/users/me", key=token)[1]["id"] == "alice"
        refused(b, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"), "signature is wrong")


def test_an_issuer_with_tls(monkeypatch):
    with issuer.Issuer(USERS, tls=True) as i:
        token = i.token("alice")
        with backend.Backend(settings=i.settings()) as b:
            b.start()
            assert b.request("GET", "/users/me", key=token)[0] == 503
            assert "not trusted" in (b.data / "runnerd.log").read_text()
            b.stop()
            ca = b.data / "ca.pem"
            ca.write_bytes(i.ca.read_bytes())
            ca.chmod(0o644)
            monkeypatch.setenv("SSL_CERT_FILE", str(ca))
            b.start()
            assert b.request("GET", "/users/me", key=token)[1]["id"] == "alice"


def test_an_issuer_under_two_names(provider):
    """Clients know it by its public name, this server reaches it by another."""
    inside = f"http://localhost:{provider.port}"
    settings = ("--oidc-issuer", inside, "--public-oidc-domain", provider.url)
    with backend.Backend(settings=settings) as b:
        b.start()
        assert b.request("GET", "/config", key=None)[1]["oidc"]["issuer"] == provider.url
        assert b.request("GET", "/users/me", key=provider.token("alice"))[0] == 200
    with backend.Backend(settings=("--oidc-issuer", inside)) as b:
        b.start()
        assert b.request("GET", "/users/me", key=provider.token("alice"))[0] == 503
        assert f"it calls itself '{provider.url}'" in (b.data / "runnerd.log").read_text()


def test_an_issuer_that_is_down():
    i = issuer.Issuer(USERS)
    with i:
        token = i.token("alice")
        i.stop()
        with backend.Backend(settings=i.settings()) as b:
            b.start()
            status, e = b.request("GET", "/users/me", key=token)
            assert status == 503 and e["message"].startswith("Temporary authentication service error")
            assert b.request("GET", "/sandbox")[0] == 200
            i.start()
            end = time.monotonic() + 60
            while (status := b.request("GET", "/users/me", key=token)[0]) == 503 and time.monotonic() < end:
                time.sleep(0.2)
            assert status == 200
            # Its keys are known now: it may be away for a while.
            i.stop()
            assert b.request("GET", "/users/me", key=token)[0] == 200


def test_an_issuer_that_says_nothing_holds_up_nobody_else():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(16)
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
        with backend.Backend(settings=("--oidc-issuer", url)) as b:
            b.start()
            token = encode({"alg": "RS256"}, {"sub": "alice"}) + ".AAAA"
            answers = []
            waiting = [threading.Thread(target=lambda: answers.append(b.request("GET", "/users/me", key=token)))
                       for _ in range(20)]
            for t in waiting:
                t.start()
            connection, _ = s.accept()
            assert b.request("GET", "/sandbox")[0] == 200 and answers == []
            for _ in range(20):
                assert b.request("GET", "/sandbox")[0] == 200
            for t in waiting:
                t.join(120)
            assert [status for status, _ in answers] == [503] * 20
            connection.close()


@pytest.mark.parametrize("answer, note", [
    (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "status 302"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "calls itself"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{{{", "configuration"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b" " * 300000, "bytes"),
], ids=["redirect", "list", "no JSON", "long"])
def test_an_issuer_that_answers_nonsense(answer, note):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(16)

        def serve():
            try:
                c, _ = s.accept()
                c.recv(65536)
                c.sendall(answer)
                time.sleep(0.2)
                c.close()
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        with backend.Backend(settings=("--oidc-issuer", f"http://127.0.0.1:{s.getsockname()[1]}")) as b:
            b.start()
            token = encode({"alg": "RS256"}, {"sub": "alice"}) + ".AAAA"
            assert b.request("GET", "/users/me", key=token)[0] == 503
            assert note in (b.data / "runnerd.log").read_text()


def test_without_an_issuer_there_are_no_tokens():
    with backend.Backend() as b:
        b.start()
        refused(b, encode({"alg": "RS256"}, {"sub": "alice"}) + ".AAAA", "no OpenID issuer")


def test_a_wrong_issuer_setting_is_told_at_the_start():
    for url in ("ftp://x", "http://", "https://a b", "http://user@host/"):
        with pytest.raises(RuntimeError, match="OIDC_ISSUER_BASE_URL"), backend.Backend(settings=("--oidc-issuer", url)) as b:
            b.start()

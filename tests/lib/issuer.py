"""A real OpenID provider, and a browser's way through it to an access token (authorization code with PKCE)."""
import base64
import datetime
import hashlib
import http.cookiejar
import json
import os
import pathlib
import random
import re
import secrets
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

AUDIENCE = "daytona"
REDIRECT = "http://127.0.0.1/callback"
CLIENTS = pathlib.Path(os.environ["DAYTONA_TEST_CLIENTS"])
SCRIPT = pathlib.Path(__file__).parent.parent / "identity" / "provider.mjs"


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return url64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa_key(kid):
    """(private key, JWK with the private members)"""
    key = rsa.generate_private_key(65537, 2048)
    p = key.private_numbers()
    return key, {"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": number(p.public_numbers.n),
                 "e": number(p.public_numbers.e), "d": number(p.d), "p": number(p.p), "q": number(p.q),
                 "dp": number(p.dmp1), "dq": number(p.dmq1), "qi": number(p.iqmp)}


def ec_key(kid):
    key = ec.generate_private_key(ec.SECP256R1())
    p = key.private_numbers()
    return key, {"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig",
                 "x": url64(p.public_numbers.x.to_bytes(32, "big")), "y": url64(p.public_numbers.y.to_bytes(32, "big")),
                 "d": url64(p.private_value.to_bytes(32, "big"))}


def certificate():
    """Of `localhost`, signed by itself; {key, cert} in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    return {"cert": made.public_bytes(pem).decode(), "key": key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()}


def free_port():
    """One that the kernel gives to nobody who asks for any, so that it stays free until it is used."""
    first_given = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as s:
            port = random.randrange(10000, first_given)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Issuer:
    """Used with `with`. `users` maps the id of each user to claims. With TLS `ca` is the file that makes clients
    trust it."""

    def __init__(self, users, key=None, algorithm="RS256", tls=False):
        self.users, self.algorithm = users, algorithm
        self.keys = [key or (rsa_key if algorithm == "RS256" else ec_key)("first")]
        self.port, self.lifetime, self.process = free_port(), 600, None
        self.tls = certificate() if tls else None
        self.url = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="dt-issuer-")
        script = pathlib.Path(self.folder.name) / SCRIPT.name
        script.write_text(SCRIPT.read_text())
        (script.parent / "node_modules").symlink_to(CLIENTS / "node_modules")
        self.script = script
        self.ca = script.parent / "ca.pem"
        self.ca.write_text(self.tls["cert"] if self.tls else "")
        return self.start()

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def start(self):
        setup = {"issuer": self.url, "tls": self.tls, "port": self.port, "keys": [jwk for _, jwk in self.keys], "algorithm": self.algorithm,
                 "audience": AUDIENCE, "lifetime": self.lifetime, "users": self.users}
        self.log = open(self.script.parent / "log", "ab")
        self.process = subprocess.Popen(["node", self.script], env=dict(os.environ, PROVIDER=json.dumps(setup)),
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            if "listening" in line:
                return self
        raise RuntimeError((self.script.parent / "log").read_text())

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.stdout.close()
            self.process.wait(60)
            self.log.close()
        self.process = None

    def restart(self, keys=None):
        """Perhaps with other keys: the provider signs with the first one that fits."""
        self.stop()
        self.keys = keys or self.keys
        return self.start()

    def settings(self):
        return ("--oidc-issuer", self.url, "--oidc-audience", AUDIENCE)

    def token(self, user, resource="urn:daytona"):
        return self.login(user, resource)["access_token"]

    def signed(self, token, **claims):
        """That token with other claims, signed again (RS256)."""
        header, body = (json.loads(base64.urlsafe_b64decode(p + "==")) for p in token.split(".")[:2])
        text = ".".join(url64(json.dumps(x).encode()) for x in (header, {**body, **claims}))
        return text + "." + url64(self.keys[0][0].sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))

    def login(self, user, resource="urn:daytona"):
        """What the token endpoint answers after a person has logged in and agreed."""
        browser = urllib.request.build_opener(
            NoRedirects, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            *([urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca))] if self.tls else []))
        verifier = secrets.token_urlsafe(48)
        ask = {"client_id": "daytona", "response_type": "code", "redirect_uri": REDIRECT, "scope": "openid",
               "resource": resource, "code_challenge_method": "S256",
               "code_challenge": url64(hashlib.sha256(verifier.encode()).digest())}
        at = f"{self.url}/auth?{urllib.parse.urlencode(ask)}"
        form = None
        for _ in range(12):
            if at.startswith(REDIRECT):
                break
            status, headers, body = self.visit(browser, at, form)
            form = None
            if status in (302, 303):
                at = urllib.parse.urljoin(at, headers["Location"])
            else:
                assert status == 200, body
                prompt = re.search(r'name="prompt" value="(\w+)"', body).group(1)
                at = urllib.parse.urljoin(at, re.search(r'action="([^"]+)"', body).group(1))
                form = {"prompt": prompt, "login": user, "password": "any"}
        code = urllib.parse.parse_qs(urllib.parse.urlparse(at).query)["code"][0]
        status, _, body = self.visit(browser, f"{self.url}/token", {
            "grant_type": "authorization_code", "client_id": "daytona", "code": code, "redirect_uri": REDIRECT,
            "code_verifier": verifier, "resource": resource})
        assert status == 200, body
        return json.loads(body)

    @staticmethod
    def visit(browser, url, form=None):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with browser.open(urllib.request.Request(url, data), timeout=60) as r:
                return r.status, r.headers, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

"""A small internet for the tests: a network namespace with a public address, and real servers in it.

Sandboxes may not reach their host, so servers that they shall reach stand in a namespace of their own
behind a routed veth pair: git's own http-backend (with and without a password), plain files, sshd.

    with Internet() as net:
        url = net.git_repository("guestbook", folder)
"""
import base64
import fcntl
import http.server
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

USER, PASSWORD = "octocat", "s3cret-t0ken"


def run(*args, **kwargs):
    return subprocess.run(args, check=True, capture_output=True, text=True, **kwargs)


class Internet:
    """One namespace with the address `address`; several can stand beside each other."""

    def __init__(self):
        self.processes = []

    def __enter__(self):
        pathlib.Path("/run/lock").mkdir(exist_ok=True)
        for n in range(1, 60):
            self.lock = open(f"/run/lock/daytona-test-net-{n}", "w")
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                self.lock.close()
        else:
            raise RuntimeError("too many test networks")
        self.name = f"dtinet{n}"
        self.gateway, self.address = f"203.0.113.{4 * n + 1}", f"203.0.113.{4 * n + 2}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="daytona-inet-"))
        self._down()
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "addr", "add", f"{self.gateway}/30", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        for args in (("link", "set", "lo", "up"), ("link", "set", "eth0", "up"),
                     ("addr", "add", f"{self.address}/30", "dev", "eth0"),
                     ("route", "add", "default", "via", self.gateway)):
            run("ip", "-n", self.name, *args)
        self._serve()
        return self

    def _serve(self):
        self.port = 80
        self.start(sys.executable, __file__, "serve", str(self.folder), str(self.port))
        self.wait_for(self.port)

    def start(self, *command, **kwargs):
        """Runs a server inside the namespace until the end of the test."""
        p = subprocess.Popen(["ip", "netns", "exec", self.name, *command], **kwargs)
        self.processes.append(p)
        return p

    def wait_for(self, port, seconds=60):
        end = time.monotonic() + seconds
        probe = ("import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2])),1)")
        while subprocess.run([sys.executable, "-c", probe, self.address, str(port)],
                             capture_output=True).returncode != 0:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens on {self.address}:{port}")
            time.sleep(0.05)

    def git_repository(self, name, source, private=False):
        """Makes a bare repository of the files below `source`; returns its URL."""
        top = "private" if private else "git"
        bare = self.folder / top / f"{name}.git"
        work = self.folder / f"work-{name}"
        shutil.copytree(source, work)
        env = dict(os.environ, GIT_AUTHOR_NAME="Ada", GIT_AUTHOR_EMAIL="ada@example.com",
                   GIT_COMMITTER_NAME="Ada", GIT_COMMITTER_EMAIL="ada@example.com",
                   GIT_CONFIG_GLOBAL="/dev/null")
        for args in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "A guestbook")):
            run("git", *args, cwd=work, env=env)
        run("git", "checkout", "-qb", "feature", cwd=work, env=env)
        (work / "FEATURE").write_text("a branch\n")
        run("git", "add", "-A", cwd=work, env=env)
        run("git", "commit", "-qm", "A feature", cwd=work, env=env)
        run("git", "checkout", "-q", "main", cwd=work, env=env)
        bare.parent.mkdir(exist_ok=True)
        run("git", "clone", "-q", "--bare", str(work), str(bare), env=env)
        self.head = run("git", "rev-parse", "main", cwd=work).stdout.strip()
        return f"http://{self.address}/{top}/{name}.git"

    def _down(self):
        subprocess.run(["ip", "link", "del", self.name], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def __exit__(self, *_):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self._down()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.close()


class Handler(http.server.BaseHTTPRequestHandler):
    """/git/ and /private/ through git http-backend, anything else as files."""

    protocol_version = "HTTP/1.1"
    folder = ""

    def backend(self):
        path, _, query = self.path.partition("?")
        allowed = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if path.startswith("/private/") and self.headers.get("Authorization") != allowed:
            self.reply(401, b"authentication required\n", ("WWW-Authenticate", 'Basic realm="git"'))
            return
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {"GIT_PROJECT_ROOT": self.folder, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
               "QUERY_STRING": query, "REQUEST_METHOD": self.command, "PATH": os.environ["PATH"],
               "CONTENT_TYPE": self.headers.get("Content-Type", ""),
               "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "203.0.113.1",
               "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
               "GIT_CONFIG_VALUE_0": "*", "CONTENT_LENGTH": str(len(body))}
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if line]
        status = next((int(v.split()[0]) for k, v in headers if k == "Status"), 200)
        self.reply(status, rest, *[h for h in headers if h[0] != "Status"])

    def reply(self, status, body, *headers):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith(("/git/", "/private/")):
            self.backend()
        else:
            self.reply(200, b"hello from outside\n")

    do_POST = do_GET

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Handler.folder = sys.argv[2]
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[3])), Handler)
    if len(sys.argv) > 4:  # a certificate and its key
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[4], sys.argv[5])
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.serve_forever()

"""git http-backend on 127.0.0.1:3100. /private/ wants `user` and the password; while BASE/hold exists, a request
that has it waits and BASE/held appears. /redirect/ leads to :3101, which wants a password and notes if it gets one.
:3102 is the same with a certificate (BASE/cert, BASE/key) that nobody knows, and notes each password.
Usage: toolbox_git_server.py BASE"""
import base64
import http.server
import pathlib
import ssl
import subprocess
import sys
import threading
import time

base = pathlib.Path(sys.argv[1])
WANTED = "Basic " + base64.b64encode(b"user:s3cret-Pass%word").decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/redirect/"):
            self.answer(302, [("Location", "http://127.0.0.1:3101" + self.path)])
            return
        if path.startswith("/private/"):
            if self.headers.get("Authorization") != WANTED:
                self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')])
                return
            if (base / "hold").exists():
                (base / "held").touch()
                end = time.monotonic() + 300
                while (base / "hold").exists() and time.monotonic() < end:
                    time.sleep(0.01)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        env = {"PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": str(base / "srv"), "GIT_HTTP_EXPORT_ALL": "1",
               "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
               "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "HOME": "/nonexistent"}
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True)
        head, _, reply = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = [int(v.split()[0]) for k, v in headers if k == "Status"] or [200]
        self.answer(status[0], [(k, v) for k, v in headers if k not in ("Status", "Content-Length")], reply)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class Other(Handler):
    def do_GET(self):
        (base / "other-server-was-asked").touch()
        if self.headers.get("Authorization"):
            (base / "other-server-got-a-password").touch()
        self.answer(401, [("WWW-Authenticate", 'Basic realm="other"')])


class Secure(Handler):
    def do_GET(self):
        if self.headers.get("Authorization"):
            (base / "tls-server-got-a-password").touch()
        super().do_GET()

    do_POST = do_GET


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(base / "cert", base / "key")
secure = http.server.ThreadingHTTPServer(("127.0.0.1", 3102), Secure)
secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=secure.serve_forever).start()
threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", 3101), Other).serve_forever).start()
http.server.ThreadingHTTPServer(("127.0.0.1", 3100), Handler).serve_forever()

"""A server for a sandbox's port that shows what went through the proxy. Usage: portapp.py ADDRESS PORT

/what         tells what it was asked, and how many connections there were so far (keep-alive)
/echo         sends each piece of the body back as soon as it has it
/until-close  says no length: the end of the connection ends the answer
/hints        an interim answer before the final one
/slow         the first half of the answer, the second when /go was asked
/break        closes in the middle of the answer
Upgrade       echoes what comes; after the end of it says how much that was
"""
import http.server
import json
import socket
import sys
import threading

connections = 0
go = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        global connections
        connections += 1
        super().setup()

    def pieces(self):
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            data = self.rfile.read1(min(left, 65536))
            left -= len(data)
            yield data
        if self.headers.get("Transfer-Encoding") == "chunked":
            while (n := int(self.rfile.readline(), 16)) > 0:
                yield self.rfile.read(n)
                self.rfile.readline()
            self.rfile.readline()

    def reply(self, body, **headers):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def what(self):
        n = sum(len(p) for p in self.pieces())
        self.reply(json.dumps({"method": self.command, "path": self.path, "length": n, "connections": connections,
                               "headers": {k.lower(): v for k, v in self.headers.items()}}).encode())

    def echo(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in self.pieces():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def until_close(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * 1000000)
        self.close_connection = True

    def hints(self):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        self.reply(b"final")

    def slow(self):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"half")
        go.wait()
        self.wfile.write(b"more")

    def go(self):
        go.set()
        self.reply(b"")

    def break_off(self):
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def upgrade(self):
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
                         % self.headers["Upgrade"].encode())
        n = 0
        while data := self.rfile.read1(65536):
            n += len(data)
            self.wfile.write(data)
        self.wfile.write(b"end after %d" % n)
        self.close_connection = True

    def do_GET(self):
        if self.headers.get("Upgrade"):
            self.upgrade()
            return
        {"/echo": self.echo, "/until-close": self.until_close, "/hints": self.hints, "/slow": self.slow, "/go": self.go,
         "/break": self.break_off}.get(self.path, self.what)()

    do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 128


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()

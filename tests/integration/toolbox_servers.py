"""Servers for a sandbox's ports: 127.0.0.1:3001 and [::1]:3002. They tell what they were asked; /ws echoes."""
import http.server
import json
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade"):
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            while data := self.connection.recv(65536):
                self.connection.sendall(data)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = json.dumps({"path": self.path, "length": len(body),
                            "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_POST = do_GET

    def log_message(self, *_):
        pass


class V6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


threading.Thread(target=V6(("::1", 3002), Handler).serve_forever).start()
http.server.ThreadingHTTPServer(("127.0.0.1", 3001), Handler).serve_forever()

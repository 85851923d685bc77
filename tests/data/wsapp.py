"""A page and a WebSocket echo on one port, with nothing but the standard library."""
import base64
import hashlib
import socketserver
import sys

PAGE = b"""<!doctype html><title>waiting</title><p id="secure"></p><script>
const ws = new WebSocket(`ws://${location.host}/echo?x=1`);
ws.onopen = () => ws.send("hello " + "x".repeat(70000));
ws.onmessage = (m) => { document.title = m.data.length + " " + m.data.slice(0, 5); ws.close(1000, "done"); };
</script>"""


def read_frame(f):
    first, second = f.read(2)
    n = second & 127
    if n == 126:
        n = int.from_bytes(f.read(2), "big")
    elif n == 127:
        n = int.from_bytes(f.read(8), "big")
    mask = f.read(4)
    data = bytearray(f.read(n))
    for i in range(len(data)):
        data[i] ^= mask[i & 3]
    return first & 15, bytes(data)


def write_frame(f, opcode, data):
    n = len(data)
    head = bytes([n]) if n < 126 else b"\x7e" + n.to_bytes(2, "big") if n < 65536 else b"\x7f" + n.to_bytes(8, "big")
    f.write(bytes([0x80 | opcode]) + head + data)


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        headers = {}
        request = self.rfile.readline().decode()
        while (line := self.rfile.readline().decode().strip()):
            key, _, value = line.partition(":")
            headers[key.lower()] = value.strip()
        if headers.get("upgrade", "").lower() != "websocket":
            seen = "|".join(f"{k}={v}" for k, v in sorted(headers.items())).encode()
            body = seen if request.startswith("GET /headers") else PAGE
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n"
                             b"Connection: close\r\n\r\n" % len(body) + body)
            return
        key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while True:
            opcode, data = read_frame(self.rfile)
            write_frame(self.wfile, opcode, data)
            if opcode == 8:
                return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

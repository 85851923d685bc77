"""How the benchmark reads what it downloads: one reader for us and for what we stand beside, so that it is not measured."""
import socket
import time

import backend

PIECE = 65536  # what is read at once


def receive(s, target):
    with open(target, "wb") as f:
        while chunk := s.recv(PIECE):
            f.write(chunk)


def download(server, path, target):
    """Seconds until a file that the API answers with is there."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {backend.KEY}\r\nConnection: close\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += s.recv(1)
        assert b" 200 " in head.split(b"\r\n")[0], head
        receive(s, target)
    return time.perf_counter() - start

"""A server that writes down every byte it gets to /tmp/seen and answers each connection's first request with `ok`; the
request stands there before its answer goes out."""
import socket
import sys
import threading

lock = threading.Lock()


def note(piece):
    with lock, open("/tmp/seen", "ab") as f:
        f.write(piece)


def serve(s):
    got = b""
    s.settimeout(60)
    try:
        while b"\r\n\r\n" not in got:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
        note(got)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
        s.settimeout(0.3)
        while piece := s.recv(65536):  # what else comes on this connection
            note(piece)
    except OSError:
        pass
    note(b"\n=====\n")
    s.close()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()

"""A git server that keeps its clients waiting: the pack comes when the file `go` exists.

    slow_git.py FOLDER PORT STATE      (STATE/waiting exists while somebody waits)
"""
import http.server
import pathlib
import sys
import time

import internet


class Slow(internet.Handler):
    state = pathlib.Path()

    def do_POST(self):
        (self.state / "waiting").touch()
        end = time.monotonic() + 300
        while not (self.state / "go").exists() and time.monotonic() < end:
            time.sleep(0.01)
        self.backend()


if __name__ == "__main__":
    Slow.folder, Slow.state = sys.argv[1], pathlib.Path(sys.argv[3])
    http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Slow).serve_forever()

"""The two daemons as an installed service starts them."""
import signal
import subprocess
import time

import backend


class Service:
    """A launcher apart from its server, which reaches it over a socket."""

    def __init__(self, server):
        self.server, self.door = server, server.data / "launcher.sock"
        self.launcher = None
        server.settings += ["--launcher-socket", str(self.door)]

    def launch(self, wait=True):
        with open(self.server.data / "launcher.log", "ab") as log:
            self.launcher = subprocess.Popen(
                [backend.program("daytona-launcher"), "--data-dir", self.server.data, "--uid", "65530", "--gid", "65530",
                 "--socket", self.door], stderr=log, stdout=log)
        end = time.monotonic() + 60
        while wait and not self.door.exists():
            assert self.launcher.poll() is None and time.monotonic() < end
            time.sleep(0.01)

    def kill(self):
        self.launcher.send_signal(signal.SIGKILL)
        self.launcher.wait(60)
        self.door.unlink(missing_ok=True)

    def stop(self):
        self.server.stop()
        if self.launcher is not None and self.launcher.poll() is None:
            self.launcher.send_signal(signal.SIGTERM)
            self.launcher.wait(60)

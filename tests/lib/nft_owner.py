"""Takes the name of an instance's nftables table, as a program does that is just ending, or that nobody expected."""
import json
import subprocess
import time


def tables():
    # As text: as JSON, nft prints flags, and older ones do not know all of them.
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines()}


def elements(instance, name):
    """Of one of the table's sets, as text."""
    done = subprocess.run(["nft", "-j", "list", "set", "inet", f"daytona{instance}", name], capture_output=True, text=True,
                          check=True)
    return json.dumps([o["set"].get("elem", []) for o in json.loads(done.stdout)["nftables"] if "set" in o])


class Owner:
    """Nobody but its owner may change a table; it goes with the owner's socket."""

    def __init__(self, instance):
        self.table = f"daytona{instance}"
        end = time.monotonic() + 60
        while self.table in tables():  # what a launcher left in force; it may own it a moment longer than it lives
            subprocess.run(["nft", "delete", "table", "inet", self.table], stderr=subprocess.DEVNULL)
            assert time.monotonic() < end
        self.nft = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.nft.stdin.write(f"add table inet {self.table} {{ flags owner; }}\n")
        self.nft.stdin.flush()
        self.wait(True)

    def wait(self, there):
        end = time.monotonic() + 60
        while (self.table in tables()) != there:
            assert time.monotonic() < end and (self.nft.poll() is None or not there)
            time.sleep(0.01)

    def let_go(self):
        if self.nft.poll() is None:
            self.nft.stdin.close()
            self.nft.wait(60)
            self.wait(False)

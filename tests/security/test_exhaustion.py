"""Whatever a sandbox takes more of than its share, it hurts itself alone: each thing that can be taken, by its user and
by its root. tests/probe/hog.c takes; what it says and what the host and a neighbour notice is compared with the limits."""
import pathlib
import re
import time

import pytest

from inside import put_program, sh

MIB = 1 << 20
WHO = pytest.mark.parametrize("who", ["", "sudo "], ids=["user", "root"])

# 1 GiB is the sandbox's share; other tests may take something at the same time.
MEMORY = ["anon", "tables", "memfd", "pipes", "sockets", "messages", "semaphores"]
STAYS = ["shm", "sysv"]  # what is left when the process has gone


def available():
    """MiB of the host's memory."""
    return int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) // 1024


@pytest.fixture(scope="module")
def neighbour(client):
    box = client.tool("create_sandbox")["id"]
    yield box
    client.call("destroy_sandbox", id=box)


@pytest.fixture
def hog(server, client, make, neighbour):
    """A function that lets a hog take in a sandbox of its own. Returns (what it said, MiB the host has less meanwhile);
    what it said is empty when the kernel killed it for its memory. The sandbox is `hog.box`."""

    def heard(path):
        return client.call("file_download", id=take.box, file_path=path).get("structuredContent", {}).get("content", "")

    def take(kind, amount, who="", seconds=240, **limits):
        take.box = make(**limits)
        put_program(server, client, take.box, "hog")
        said_to = "/dev/shm/took" if kind in ("inodes", "sparse", "cache") else "/tmp/took"
        before = least = available()
        sh(client, take.box, f"nohup {who}/tmp/hog {kind} {amount} > {said_to} 2>/dev/null & true")
        end, stuck = time.monotonic() + seconds, 0
        while stuck < (5 if kind in STAYS else 20):
            assert sh(client, neighbour, "echo still here")["stdout"] == "still here\n"
            least = min(least, available())
            said = heard(said_to)
            if said:
                break
            # No word: it still takes, or was killed. In what it filled, and left full, nothing can be run.
            look = client.call("execute_command", id=take.box, command="pgrep -x 'hog|sudo|nohup' > /dev/null && echo lives || echo gone")
            state = look.get("structuredContent", {}).get("stdout", "")
            if state == "gone\n":
                said = heard(said_to)  # it may have spoken since we listened
                break
            stuck = stuck + 1 if state == "" else 0
            assert time.monotonic() < end
            # What looks is what the kernel kills first, since it is larger: it must not come too often.
            time.sleep(0.1 if state else 2)
        least = min(least, available())
        return said, before - least

    return take


def took(text, reasons):
    count, why = re.match(r"took (\d+): (\w+)\n", text).groups()
    assert why in reasons, text
    return int(count)


def is_alive_after(client, hog):
    """The sandbox is of use again once the hog is gone, and the kernel has what it had; at the latest after a restart:
    where memory is full of what counts for nobody (a file in memory), the kernel kills whoever is larger than its holder."""
    for restart in (False, True):
        if restart:
            client.tool("stop_sandbox", id=hog.box)
            client.tool("start_sandbox", id=hog.box)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            client.call("execute_command", id=hog.box, command="sudo pkill -9 -x hog; true")
            out = client.call("execute_command", id=hog.box, command="echo alive")
            if out.get("structuredContent", {}).get("stdout") == "alive\n":
                return
            time.sleep(1)
    raise AssertionError(out)


@WHO
@pytest.mark.parametrize("kind", MEMORY + STAYS)
def test_memory(client, hog, kind, who):
    said, less = hog(kind, 4096, who, memory=1)
    assert less < 2560, said
    if said:
        assert took(said, ("ENOMEM", "ENOSPC", "EMFILE", "ENFILE", "EAGAIN", "EPERM", "enough")) <= 4096
    if kind in MEMORY:
        is_alive_after(client, hog)
    assert client.call("destroy_sandbox", id=hog.box).get("isError") is not True


def test_names_of_files_that_are_not_there(client, hog):
    """What the kernel remembers of them is memory of the sandbox."""
    said, less = hog("names", 500, memory=0.125)
    assert (not said or took(said, ("enough",)) == 500) and less < 2560
    is_alive_after(client, hog)


@WHO
def test_locked_memory_has_a_limit_of_its_own(hog, who):
    said, _ = hog("locked", 4096, who, memory=1)
    assert took(said, ("EPERM", "ENOMEM", "EAGAIN")) <= 8


@WHO
def test_the_page_cache_is_no_way_to_more_memory(client, hog, who):
    said, less = hog("cache", 1800, who, memory=1, disk=2)
    assert took(said, ("enough", "ENOSPC")) > 1200 and less < 2560
    assert sh(client, hog.box, "sudo cat /tmp/hogged | wc -c", timeout=120)["exitCode"] == 0


@pytest.mark.parametrize("kind", ["inodes", "sparse", "cache"])
@WHO
def test_disk(client, hog, kind, who):
    said, _ = hog(kind, 100_000_000 if kind == "inodes" else 100_000, who, disk=1)
    count = took(said, ("ENOSPC", "EDQUOT"))
    assert count < (2_000_000 if kind == "inodes" else 1100)
    # What it had is free again, and the sandbox is as before.
    sh(client, hog.box, "sudo pkill -9 -x hog; cd /tmp && sudo find . -maxdepth 1 -name 'hog?*' -delete; true", timeout=120)
    end = time.monotonic() + 120  # the file system frees blocks with its next commit
    while sh(client, hog.box, "echo ok > /tmp/after && cat /tmp/after")["stdout"] != "ok\n":
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.parametrize("kind,asked,most,reasons", [
    ("files", 1_000_000, 65536, ("EMFILE",)), ("instances", 100_000, 256, ("EMFILE",)), ("watches", 1_000_000, 262144, ("ENOSPC", "EDQUOT")),
    ("epolls", 200_000, 65536, ("EMFILE", "ENOSPC")), ("timers", 100_000, 4096, ("EAGAIN",)), ("ptys", 10_000, 256, ("ENOSPC",)),
    ("queues", 100_000, 256, ("EMFILE", "ENOSPC", "ENOMEM")), ("threads", 100_000, 1024, ("EAGAIN",)),
    ("processes", 100_000, 1024, ("EAGAIN",)), ("zombies", 100_000, 1024, ("EAGAIN",))])
@WHO
def test_counts(client, hog, kind, asked, most, reasons, who):
    said, less = hog(kind, asked, who, memory=1)
    if said:  # else the memory limit was nearer
        assert took(said, reasons) <= most
    assert less < 2560
    assert client.call("destroy_sandbox", id=hog.box).get("isError") is not True


def test_100_000_zombies_are_reaped(client, hog):
    said, _ = hog("orphans", 100_000)
    assert took(said, ("enough",)) == 100_000
    end = time.monotonic() + 200
    while sh(client, hog.box, "grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")["stdout"] != "0\n":
        assert time.monotonic() < end
        time.sleep(0.2)


@WHO
def test_a_fork_bomb(client, make, neighbour, who):
    bad = make()
    sh(client, bad, f"nohup {who}sh -c 'b() {{ b | b & }}; b' >/dev/null 2>&1 & sleep 1")
    for _ in range(10):
        assert sh(client, neighbour, "echo still here")["stdout"] == "still here\n"
    assert client.tool("destroy_sandbox", id=bad)


def test_shared_memory_is_the_sandboxes_own(client, make):
    """/dev/shm is half of the memory limit and counts as memory; /tmp lies on the disk and counts as disk."""
    box = make(memory=1, disk=1)
    out = sh(client, box, "df -m --output=fstype,size,target /dev/shm /tmp | tail -n 2")["stdout"].split()
    assert out[:3] == ["tmpfs", "512", "/dev/shm"]
    assert out[3] != "tmpfs" and int(out[4]) <= 1024
    out = sh(client, box, "dd if=/dev/zero of=/dev/shm/x bs=1M count=2000 2>&1; stat -c %s /dev/shm/x")
    assert "No space left" in out["stdout"] and int(out["stdout"].split()[-1]) == 512 * MIB
    # Next to it, a process does not get the whole limit any more.
    put = "python3 -c 'x = bytearray({} << 20); print(len(x))'"
    assert sh(client, box, put.format(700), timeout=60)["exitCode"] != 0
    sh(client, box, "rm /dev/shm/x")
    assert sh(client, box, put.format(700), timeout=60)["exitCode"] == 0

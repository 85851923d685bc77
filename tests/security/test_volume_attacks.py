"""What must not be achieved with a volume, tried from inside, as the sandbox's user and as its root."""
import json
import uuid

import backend
import host
import pytest

from inside import sh, upload


@pytest.fixture
def vol(server):
    status, made = server.request("POST", "/volumes", {"name": f"v {uuid.uuid4()}"})
    assert status == 200
    yield made["id"]
    assert server.request("DELETE", f"/volumes/{made['id']}") == (200, None)


@pytest.fixture
def make(client, vol):
    """Sandboxes with the volume at /v."""
    made = []

    def create(**arguments):
        made.append(client.tool("create_sandbox", volumes=[{"volume_id": vol, "mount_path": "/v"}], **arguments)["id"])
        return made[-1]

    yield create
    for box in made:
        client.call("destroy_sandbox", id=box)


@pytest.mark.parametrize("who", ["", "sudo "])
def test_every_probe_is_refused_there(client, server, make, who):
    box = make()
    upload(server, box, "/v/probe", backend.program("probe").read_bytes())
    out = sh(client, box, f"cd /v; chmod +x probe; {who}./probe > report; grep -v '\"refused\":true' report; wc -l < report", timeout=120)
    assert out["exitCode"] == 0
    *wrong, count = out["stdout"].split("\n")[:-1]
    assert {json.loads(line)["probe"] for line in wrong} <= host.open_to_all() and int(count) > 300


@pytest.mark.parametrize("who", ["", "sudo "])
def test_mounts_stay_as_they_are(client, make, who):
    box = make()
    before = sh(client, box, "cat /proc/self/mountinfo")["stdout"]
    for attempt in ("mount -o remount,suid /v", "mount -o remount,dev,bind /v", "mount -o remount,bind,ro /v", "mount --make-shared /v",
                    "umount /v", "umount -l /v", "mount --bind / /v", "mount --move /v /mnt", "mount -t tmpfs none /v",
                    "mount -t ext4 /dev/loop0 /mnt", "losetup /dev/loop0", "mknod /v/loop0 b 7 0", "mknod /v/null c 1 3",
                    "unshare -m true", "nsenter -m -t 1 true", "fsfreeze -f /v", "e2label /dev/loop0", "quotaon /v"):
        out = sh(client, box, f"{who}{attempt}")
        assert out["exitCode"] != 0, (attempt, out)
    assert sh(client, box, "cat /proc/self/mountinfo")["stdout"] == before


def test_the_file_system_itself_is_out_of_reach(client, make):
    """Calls that change the file system below: resize, trim, flags that only the host may set."""
    box = make()
    attempts = ("fcntl.ioctl(fd, 0x40086610, struct.pack('Q', 1 << 20))",  # EXT4_IOC_RESIZE_FS
                "fcntl.ioctl(fd, 0xc0045877)", "fcntl.ioctl(fd, 0xc0045878)",  # FIFREEZE, FITHAW
                "fcntl.ioctl(fd, 0xc0185879, struct.pack('QQQ', 0, 1 << 40, 0))",  # FITRIM
                "fcntl.ioctl(fd, 0x40086602, struct.pack('l', 0x10))",  # FS_IOC_SETFLAGS: immutable
                "fcntl.ioctl(fd, 0x8004587d, struct.pack('I', 1))",  # EXT4_IOC_SHUTDOWN
                "os.setxattr('/v', 'trusted.x', b'x')")
    for attempt in attempts:
        code = f"import fcntl, os, struct; fd = os.open('/v', os.O_RDONLY); {attempt}"
        for who in ("", "sudo "):
            out = sh(client, box, f'{who}python3 -c "{code}"')
            assert out["exitCode"] != 0 and ("Error" in out["stderr"]), (attempt, out)
    assert sh(client, box, "echo x > /v/f; cat /v/f")["stdout"] == "x\n"


def test_files_lend_no_power(client, make):
    """Neither set-user-id files nor file capabilities, whoever put them there, in whichever sandbox."""
    one, two = make(), make()
    sh(client, one, "sudo cp /usr/bin/id /v/id; sudo chmod 4755 /v/id; sudo cp $(readlink -f $(command -v python3)) /v/py; "
                    "sudo python3 -c \"import os, struct; os.setxattr('/v/py', 'security.capability', "
                    "struct.pack('<IIIII', 0x02000001, 1 << 7, 0, 0, 0))\"")  # cap_setuid+ep
    for box in (one, two):
        assert sh(client, box, "/v/id -u")["stdout"] == "1000\n"
        out = sh(client, box, "/v/py -c 'import os; os.setuid(0)'")
        assert out["exitCode"] != 0 and "PermissionError" in out["stderr"], out


@pytest.mark.parametrize("who", ["", "sudo "])
def test_above_it_is_only_the_sandbox(client, server, make, vol, who):
    box = make()
    sh(client, box, "ln -s / /v/root; ln -s ../../../../.. /v/up; ln -s /proc/1/root /v/init")
    secret = server.data / "state" / "secret-beside-volumes"
    secret.write_text("never-to-be-seen")
    for attempt in (f"cat /v/root{secret}", f"cat /v/up{secret}", f"cat /v/init{secret}", f"cat /v/../..{secret}",
                    "cat /v/../disk.img", "cat /v/../device", "ls /v/../../volumes"):
        out = sh(client, box, f"{who}{attempt}")
        assert out["exitCode"] != 0 and "never-to-be-seen" not in out["stdout"], (attempt, out)
    mounts = sh(client, box, f"{who}cat /proc/self/mountinfo")["stdout"]
    assert str(server.data) not in mounts and vol not in mounts


def test_a_neighbour_s_root_is_nobody_here(client, make):
    """Each root has its own host ids: what one sandbox may do to the files of the volume it may do as the other's user 0
    alone, and what it leaves open to nobody stays closed to the other's users."""
    one, two = make(), make()
    sh(client, one, "sudo sh -c 'echo private > /v/private; chmod 600 /v/private; mkdir -m 700 /v/closed'")
    assert sh(client, two, "cat /v/private")["exitCode"] != 0
    assert sh(client, two, "ls /v/closed")["exitCode"] != 0
    assert sh(client, two, "sudo cat /v/private; sudo stat -c '%u %a' /v/private")["stdout"] == "private\n0 600\n"

"""What one instance (a data directory with its runnerd and launcher) holds of the host."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

IDS, PER_INSTANCE, FIRST_SLOT = 65536, 4000, 16


def _lines(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def processes(instance, data):
    """(pid, command line) of its daemons and of everything in its sandboxes, by their range of user ids."""
    first = (FIRST_SLOT + instance * PER_INSTANCE) * IDS
    found = set()
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (p / "cmdline").read_bytes().split(b"\0")
            uid = p.stat().st_uid
            inside = first <= uid < first + PER_INSTANCE * IDS
            if inside or (str(data).encode() in words and b"daytona-" in words[0]):
                found.add((int(p.name), b" ".join(words).decode(errors="replace")))
        except OSError:
            pass
    return found


def _lock_of(instance):
    """Who has the number of the instance; None when nobody has it."""
    try:
        return pathlib.Path(f"/run/daytona/instance-{instance}.lock").read_text()
    except OSError:
        return None


def leftovers(instance, data):
    """Everything that a sandbox or a daemon of this instance could leave on the host; empty when all is well."""
    found = {
        "processes": processes(instance, data),
        "mounts": [line for line in open("/proc/self/mountinfo") if str(data) in line],
        "cgroups": [os.path.join(at, name) for at, names, _ in os.walk("/sys/fs/cgroup") for name in names
                    if name == f"daytona-{instance}"],
        "interfaces": [line for line in _lines("ip", "-o", "link") if line.split(":")[1].strip().startswith(f"dt{instance}-")],
        "loop devices": [line for line in _lines("losetup", "-l", "-n", "-O", "NAME,BACK-FILE") if str(data) in line],
        "firewall": [line for line in _lines("nft", "list", "tables") if line.endswith(f"daytona{instance}")],
        "sandboxes": [p.name for p in data.glob("sandboxes/*") if len(p.name) == 36],
    }
    lock = _lock_of(instance) or ""
    found["locks"] = [lock] if str(data) in lock else []
    if lock and not found["locks"]:  # another has the number by now: what goes by it alone is not ours
        ours = {"mounts", "loop devices", "locks", "sandboxes"}
        found = {kind: things for kind, things in found.items() if kind in ours}
    return {kind: sorted(things) for kind, things in found.items() if things}


def _nft_elements(table):
    """How many elements each set of the table has, and how many rules it has."""
    listed = subprocess.run(["nft", "-j", "list", "table", "inet", table], capture_output=True, text=True, check=True).stdout
    objects = json.loads(listed)["nftables"]
    counts = {f"set {o['set']['name']}": len(o["set"].get("elem", [])) for o in objects if "set" in o}
    counts.pop("set flows", None)  # connections, which end in the kernel's own time
    return {**counts, "rules": sum("rule" in o for o in objects)}


def holdings(instance, data):
    """Counts of all that a living instance holds of the host. With no sandbox, the same pools and the same work behind
    it, they are always the same."""
    names = [line.partition(" ")[0].rsplit("/", 1)[-1] + (" worker" if "--worker" in line else "") for _, line in processes(instance, data)]
    found = {f"process {name}": names.count(name) for name in names}
    for at, folders, _ in os.walk("/sys/fs/cgroup"):
        if os.path.basename(at) == f"daytona-{instance}":
            found[f"groups in {at}"] = len(folders)
    found["interfaces"] = sum(name.startswith(f"dt{instance}-") for name in os.listdir("/sys/class/net"))
    loops = _lines("losetup", "-l", "-n", "-O", "BACK-FILE")
    found["loop devices"] = sum(str(data) in line for line in loops)
    found["loop devices of nothing"] = sum(str(data) in line and "(deleted)" in line for line in loops)
    found.update(_nft_elements(f"daytona{instance}"))
    for folder in ("sandboxes", "pool", "trash", "run", "objects/archives", "objects/backups"):
        found[f"entries of {folder}"] = len(list((data / folder).iterdir()))
    with open("/proc/self/mountinfo") as f:
        found["mounts"] = sum(str(data) in line for line in f)
    return found


def open_to_all():
    """Names of probes that this kernel lets any user of the host do with his own files, so that no sandbox can
    refuse them: with the BPF LSM, Linux before 6.10 asks for no capability to set unknown security.* attributes."""
    attempt = "import os, sys; os.setuid(65534); os.setxattr(sys.argv[1], 'security.probe', b'y')"
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        os.chown(file.name, 65534, 65534)
        done = subprocess.run([sys.executable, "-c", attempt, file.name], capture_output=True)
    return {"setxattr security"} if done.returncode == 0 else set()


def kill_first_process(box):
    """Kills what is process 1 of the sandbox; returns how many there were."""
    found = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if _is_first_of(p, box)]
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)


def _is_first_of(process, box):
    try:
        names = re.search(r"^NSpid:\t(.*)$", (process / "status").read_text(), re.M)[1].split()
        if len(names) < 2 or names[-1] != "1":
            return False
        return (process / "root" / "etc" / "hostname").read_text().strip() == box
    except (OSError, TypeError):
        return False

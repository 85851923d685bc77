"""What one instance (a data directory with its runnerd and launcher) holds of the host."""
import os
import pathlib
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


def _taken_over(instance, data):
    """Whether another data directory has the number of the instance by now."""
    lock = pathlib.Path(f"/run/daytona/instance-{instance}.lock")
    try:
        return str(data) not in lock.read_text()
    except OSError:
        return False


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
        "locks": [str(p) for p in pathlib.Path("/run/daytona").glob(f"instance-{instance}.lock")
                  if str(data) in p.read_text()],
        "sandboxes": [p.name for p in data.glob("sandboxes/*") if len(p.name) == 36],
    }
    if _taken_over(instance, data):  # what goes by the number alone is not ours then
        ours = {"mounts", "loop devices", "locks", "sandboxes"}
        found = {kind: things for kind, things in found.items() if kind in ours}
    return {kind: sorted(things) for kind, things in found.items() if things}


def open_to_all():
    """Names of probes that this kernel lets any user of the host do with his own files, so that no sandbox can
    refuse them: with the BPF LSM, Linux before 6.10 asks for no capability to set unknown security.* attributes."""
    attempt = "import os, sys; os.setuid(65534); os.setxattr(sys.argv[1], 'security.probe', b'y')"
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        os.chown(file.name, 65534, 65534)
        done = subprocess.run([sys.executable, "-c", attempt, file.name], capture_output=True)
    return {"setxattr security"} if done.returncode == 0 else set()

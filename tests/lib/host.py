"""What the host holds, so that a test can compare before and after."""
import os
import pathlib
import subprocess


def _lines(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def _cgroups():
    found = set()
    for top in (pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").glob("*")):
        found |= {str(p) for p in top.glob("**/daytona*")} if top.is_dir() else set()
    return found


def _processes(needle):
    found = set()
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            text = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if needle in text and int(p.name) != os.getpid():
                found.add(f"{p.name} {text}")
        except OSError:
            pass
    return found


def leftovers():
    """Everything of ours that a sandbox or a daemon could leave on the host, as a dict of sets."""
    return {
        "processes": _processes("daytona-"),
        "mounts": {line.split()[4] for line in open("/proc/self/mountinfo") if "daytona" in line},
        "cgroups": _cgroups(),
        "interfaces": {line.split(":")[1].strip() for line in _lines("ip", "-o", "link")
                       if line.split(":")[1].strip().startswith("dt")},
        "loop devices": {line for line in _lines("losetup", "-l", "-n", "-O", "NAME,BACK-FILE")
                         if "disk" in line or "daytona" in line},
        "nft tables": {line for line in _lines("nft", "list", "tables") if "daytona" in line},
        "instances": {p.name for p in pathlib.Path("/run/daytona").glob("*.sock")}
        if pathlib.Path("/run/daytona").is_dir() else set(),
    }


def difference(before, after):
    """What is there now and was not before; empty when all is well."""
    return {kind: sorted(after[kind] - before[kind]) for kind in after if after[kind] - before[kind]}

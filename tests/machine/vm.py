"""A virtual machine under emulation: started, spoken to over ssh, restarted, ended. No /dev/kvm is needed."""
import pathlib
import socket
import subprocess
import time

BOOT_SECONDS = 600


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Machine:
    """Boots the image in `folder`; what happens in it is forgotten at the end. Used with `with`.

    `shares` are host folders that the guest sees read-only, at the same path. A second disk is /dev/vdb: ext4 with
    project quotas, not mounted. `kernel` replaces the image's own (a folder with vmlinuz and initrd.img).
    """

    def __init__(self, folder, shares=(), kernel=None):
        self.folder, self.shares = pathlib.Path(folder), list(shares)
        self.kernel = pathlib.Path(kernel or folder)
        self.console = self.folder / "console.log"
        self.port = free_port()

    def __enter__(self):
        quota = self.folder / "quota.img"
        quota.unlink(missing_ok=True)
        with open(quota, "wb") as f:
            f.truncate(8 << 30)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "quota,project", "-E", "quotatype=prjquota", quota], check=True)
        command = ["nice", "-n", "10", "qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max",
                   "-smp", "2", "-m", "3072", "-display", "none", "-serial", f"file:{self.console}",
                   "-kernel", self.kernel / "vmlinuz", "-initrd", self.kernel / "initrd.img",
                   "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 panic=5",
                   "-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{self.port}-:22", "-device", "virtio-rng-pci"]
        for disk in ("root.img", "quota.img"):
            command += ["-drive", f"file={self.folder / disk},format=raw,if=virtio,cache=unsafe,snapshot=on"]
        for n, path in enumerate(self.shares):
            command += ["-virtfs", f"local,path={path},mount_tag=share{n},security_model=none,readonly=on"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            self.wait_for_ssh()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ssh(self, *words):
        # The key must be ours alone for ssh to take it, whoever made the image.
        return ["ssh", "-q", "-i", str(self.folder / "key"), "-p", str(self.port), "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "root@127.0.0.1", *words]

    def wait_for_ssh(self):
        end = time.monotonic() + BOOT_SECONDS
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"qemu ended with {self.process.returncode}")
            try:
                if subprocess.run(self.ssh("true"), timeout=40, stdin=subprocess.DEVNULL).returncode == 0:
                    break
            except subprocess.TimeoutExpired:
                pass
            if time.monotonic() > end:
                raise TimeoutError("the machine does not come up:\n" + self.console.read_text(errors="replace")[-3000:])
            time.sleep(1)
        mounts = "".join(f"mkdir -p {p}; mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose share{n} {p}; "
                         for n, p in enumerate(self.shares))
        self.run(mounts + "systemctl is-system-running --wait >/dev/null || true")

    def reboot(self):
        """Returns when the system is up again."""
        before = self.run("cat /proc/sys/kernel/random/boot_id")
        subprocess.run(self.ssh("systemctl reboot"), timeout=60, stdin=subprocess.DEVNULL)
        end = time.monotonic() + BOOT_SECONDS
        while True:
            time.sleep(2)
            self.wait_for_ssh()
            if self.run("cat /proc/sys/kernel/random/boot_id") != before:
                return
            if time.monotonic() > end:
                raise TimeoutError("the machine does not go down")

    def attempt(self, script, seconds=300):
        """Runs a bash script as root; (exit code, both outputs)."""
        try:
            done = subprocess.run(self.ssh("bash", "-s"), input="set -o pipefail\n" + script, capture_output=True, text=True,
                                  errors="replace", timeout=seconds)
        except subprocess.TimeoutExpired as e:
            return -1, f"not done after {seconds} s\n{(e.stdout or b'').decode(errors='replace')}"
        return done.returncode, (done.stdout + done.stderr).strip()

    def run(self, script, seconds=300):
        """The same for a script that must succeed: its output."""
        code, out = self.attempt(script, seconds)
        assert code == 0, f"`{script.strip()[:200]}` ended with {code}:\n{out[-3000:]}"
        return out

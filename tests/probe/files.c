/* Files, device nodes and sockets of the host that must be out of reach. */
#include "probe.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool is_null_device(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* A masked file is the null device, or cannot be opened. Nothing is written: opening is enough. */
static void attempt_write(const struct probe *p, struct outcome *out)
{
    int fd = open(p->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && is_null_device(fd))
        say(out, true, "masked");
    else
        judge_any(out, fd);
}

/* The same for files that open for writing, because the check comes with the write. */
static void attempt_put(const struct probe *p, struct outcome *out)
{
    const char *text = (const char *)p->args[0];
    int fd = open(p->path, O_WRONLY | O_CLOEXEC);
    judge_any(out, fd < 0 ? fd : write(fd, text, strlen(text)));
}

static void judge_folder(struct outcome *out, int fd)
{
    DIR *d = fdopendir(fd);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            say(out, false, "lists %s", e->d_name);
            return;
        }
    say(out, true, "an empty folder");
}

void attempt_read(const struct probe *p, struct outcome *out)
{
    char c;
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        judge_any(out, -1);
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        judge_folder(out, fd);
        return;
    }
    ssize_t n = read(fd, &c, 1);
    if (n == 0)
        say(out, true, "empty");
    else
        judge_any(out, n);
}

void attempt_exists(const struct probe *p, struct outcome *out)
{
    struct stat st;
    judge_any(out, lstat(p->path, &st));
}

static void attempt_open(const struct probe *p, struct outcome *out)
{
    judge_any(out, open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

static void attempt_link(const struct probe *p, struct outcome *out)
{
    char to[64];
    judge_any(out, readlink(p->path, to, sizeof(to)));
}

/* In each place that may be writable: a node that cannot be opened is refused as well. */
static void attempt_mknod(const struct probe *p, struct outcome *out)
{
    static const char *const places[] = {"/tmp", "/dev", "/dev/shm", "/", "/run", "/var/tmp", "."};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/probe-node-%d", places[i], (int)getpid());
        if (mknod(path, (mode_t)p->args[0] | 0666, (dev_t)p->args[1]) < 0)
            continue;
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        (void)unlink(path);
        if (fd >= 0) {
            say(out, false, "made and opened one in %s", places[i]);
            return;
        }
    }
    say(out, true, "not made, or not to be opened");
}

/* Every block device that the host has. */
static void attempt_disks(const struct probe *p, struct outcome *out)
{
    char line[200];
    unsigned major, minor, n = 0;
    FILE *f = fopen(p->path, "re");
    say(out, true, "none could be opened");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%u %u", &major, &minor) != 2)
            continue;
        const struct probe one = {.args = {S_IFBLK, (long)makedev(major, minor)}};
        struct outcome opened;
        attempt_mknod(&one, &opened);
        if (!opened.refused)
            say(out, false, "%u:%u", major, minor);
        n++;
    }
    if (n == 0)
        say(out, true, "none are shown");
}

/* A file handle names a file of the whole file system, whatever part of it one may see. */
static void attempt_handle(const struct probe *p, struct outcome *out)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } u = {.h = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount, folder = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long ret = name_to_handle_at(folder, "", &u.h, &mount, AT_EMPTY_PATH);
    static const int eperm[] = {EPERM};
    if (ret < 0 && errno != EOPNOTSUPP) {
        say(out, false, "no handle to try: %s", strerror(errno));
        return;
    }
    judge(out, open_by_handle_at(folder, &u.h, O_RDONLY), eperm, 1);
}

static void attempt_dev(const struct probe *p, struct outcome *out)
{
    static const char ok[] = " null zero full random urandom tty ptmx console ";
    DIR *d = opendir(p->path);
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        struct stat st;
        char name[300];
        (void)snprintf(name, sizeof(name), " %s ", e->d_name);
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)) && strstr(ok, name) == NULL) {
            say(out, false, "%s is a device", e->d_name);
            return;
        }
    }
    say(out, true, "nothing but the usual ones");
}

static void attempt_xattr(const struct probe *p, struct outcome *out)
{
    char path[] = "/tmp/probe-XXXXXX";
    int fd = mkstemp(path);
    long ret = fd < 0 ? fd : fsetxattr(fd, p->path, "y", 1, 0);
    int e = errno;
    (void)unlink(path);
    errno = e;
    judge_any(out, ret);
}

/* What a file system's owner may do to it is not for who has a folder on it. */
static void attempt_fs(const struct probe *p, struct outcome *out)
{
    union {
        int flags;
        uint32_t how;
        struct fsxattr attr;
        struct fstrim_range range;
        char room[256];
    } u = {.room = {0}};
    int fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned long what = (unsigned long)p->args[0];
    if (what == FS_IOC_SETFLAGS)
        u.flags = FS_IMMUTABLE_FL;
    if (what == FS_IOC_FSSETXATTR)
        u.attr.fsx_projid = 4242;
    if (what == FITRIM)
        u.range.len = UINT64_MAX;
    judge_any(out, fd < 0 ? fd : ioctl(fd, what, &u));
}

static void attempt_mkdir(const struct probe *p, struct outcome *out)
{
    judge_any(out, mkdir(p->path, 0700));
}

/* Out of a chroot of our own, by a folder that stayed open: it ends at the sandbox's root. */
static void attempt_chroot(const struct probe *p, struct outcome *out)
{
    (void)p;
    char folder[] = "/tmp/probe-XXXXXX";
    struct stat before, after;
    int root = open("/", O_RDONLY | O_DIRECTORY);
    if (root < 0 || fstat(root, &before) < 0 || mkdtemp(folder) == NULL || chroot(folder) < 0 ||
        fchdir(root) < 0) {
        judge_any(out, -1);
        return;
    }
    for (int i = 0; i < 64; i++)
        if (chdir("..") < 0)
            break;
    bool same =
        stat(".", &after) == 0 && before.st_ino == after.st_ino && before.st_dev == after.st_dev;
    (void)rmdir(folder + sizeof("/tmp"));
    (void)unlinkat(root, folder + 1, AT_REMOVEDIR);
    say(out, same, same ? "ends at the sandbox's root" : "another folder than the root");
}

static void attempt_mountinfo(const struct probe *p, struct outcome *out)
{
    char line[8192];
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strstr(line, p->path) != NULL) {
            say(out, false, "%.150s", line);
            return;
        }
    say(out, f != NULL, f != NULL ? "no mount names it" : "no mountinfo");
}

static void attempt_cgroup_path(const struct probe *p, struct outcome *out)
{
    char line[4096];
    FILE *f = fopen(p->path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strstr(line, ":/..") != NULL) {
            say(out, false, "%.150s", line);
            return;
        }
    say(out, true, "its own group is the root");
}

/* The fourth field is what of the file system is mounted, seen from the reader's own group. */
static void attempt_cgroup_mounts(const struct probe *p, struct outcome *out)
{
    (void)p;
    char line[8192], root[4096];
    FILE *f = fopen("/proc/self/mountinfo", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strstr(line, " - cgroup") != NULL &&
            (sscanf(line, "%*s %*s %*s %4095s", root) != 1 || strcmp(root, "/") != 0)) {
            say(out, false, "%.150s", line);
            return;
        }
    say(out, f != NULL, f != NULL ? "all begin at its own" : "no mountinfo");
}

static int connect_in_time(int fd, const struct sockaddr *addr, socklen_t n)
{
    int e = 0;
    socklen_t size = sizeof(e);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (fd < 0)
        return -1;
    if (connect(fd, addr, n) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -1;
    errno = ETIMEDOUT;
    if (poll(&p, 1, 2000) <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0)
        return -1;
    errno = e;
    return e == 0 ? 0 : -1;
}

void attempt_connect_tcp(const struct probe *p, struct outcome *out)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(p->path, ':');
    if (colon == NULL || (size_t)(colon - p->path) >= sizeof(host)) {
        say(out, false, "not ADDRESS:PORT");
        return;
    }
    (void)snprintf(host, sizeof(host), "%.*s", (int)(colon - p->path), p->path);
    to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) {
        say(out, false, "not an IPv4 address");
        return;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    judge_any(out, connect_in_time(fd, (const struct sockaddr *)&to, sizeof(to)));
}

/* `@name` is an abstract socket, everything else a path. */
void attempt_connect_unix(const struct probe *p, struct outcome *out)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(p->path);
    if (n >= sizeof(to.sun_path)) {
        say(out, false, "longer than a socket's name");
        return;
    }
    memcpy(to.sun_path, p->path, n);
    if (p->path[0] == '@')
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    judge_any(out, connect_in_time(fd, (const struct sockaddr *)&to,
                                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)));
}

#define WRITE(file)                                                                                \
    {                                                                                              \
        "write " file, attempt_write, .path = file                                                 \
    }
#define READ(file)                                                                                 \
    {                                                                                              \
        "read " file, attempt_read, .path = file                                                   \
    }
#define OPEN(file)                                                                                 \
    {                                                                                              \
        "open " file, attempt_open, .path = file                                                   \
    }
#define LINK(file)                                                                                 \
    {                                                                                              \
        "readlink " file, attempt_link, .path = file                                               \
    }
#define PUT(file, text)                                                                            \
    {                                                                                              \
        "put " file, attempt_put, .path = file, .args = {(long)(text) }                            \
    }
/* makedev() is no constant expression; both numbers are below 256 here. */
#define NODE(name, type, major, minor)                                                             \
    {                                                                                              \
        "mknod " name, attempt_mknod, .args = { type, (major) << 8 | (minor) }                     \
    }

#define FS(name, number)                                                                           \
    {                                                                                              \
        "ioctl " name, attempt_fs, .path = "/tmp", .args = {(long)(number) }                       \
    }

static const struct probe rows[] = {
    WRITE("/proc/sys/kernel/core_pattern"),
    WRITE("/proc/sys/kernel/modprobe"),
    WRITE("/proc/sys/kernel/hotplug"),
    WRITE("/proc/sys/kernel/poweroff_cmd"),
    WRITE("/proc/sys/kernel/hostname"),
    WRITE("/proc/sys/kernel/sysrq"),
    WRITE("/proc/sys/kernel/randomize_va_space"),
    WRITE("/proc/sys/kernel/unprivileged_bpf_disabled"),
    WRITE("/proc/sys/kernel/usermodehelper/bset"),
    WRITE("/proc/sys/kernel/pid_max"),
    WRITE("/proc/sys/kernel/shmmax"),
    WRITE("/proc/sys/kernel/pty/max"),
    WRITE("/proc/sys/vm/drop_caches"),
    WRITE("/proc/sys/vm/overcommit_memory"),
    WRITE("/proc/sys/fs/file-max"),
    WRITE("/proc/sys/fs/suid_dumpable"),
    WRITE("/proc/sys/fs/protected_symlinks"),
    WRITE("/proc/sys/fs/binfmt_misc/register"),
    WRITE("/proc/sys/net/ipv4/ip_forward"),
    WRITE("/proc/sys/net/ipv4/conf/all/rp_filter"),
    WRITE("/proc/sys/net/ipv6/conf/all/disable_ipv6"),
    WRITE("/proc/sys/user/max_user_namespaces"),
    WRITE("/proc/sys/user/max_net_namespaces"),
    WRITE("/proc/sys/user/max_inotify_instances"),
    WRITE("/proc/sysrq-trigger"),
    WRITE("/proc/irq/default_smp_affinity"),
    WRITE("/proc/mtrr"),
    WRITE("/proc/timer_list"),
    PUT("/proc/1/oom_score_adj", "-1000"), /* higher is its own harm */
    WRITE("/proc/1/mem"),
    WRITE("/proc/1/exe"),
    WRITE("/proc/1/fd/3"),
    WRITE("/proc/sys/kernel/core_pipe_limit"),
    WRITE("/proc/sys/kernel/core_uses_pid"),
    WRITE("/proc/sys/kernel/panic"),
    WRITE("/proc/sys/kernel/kexec_load_disabled"),
    WRITE("/proc/sys/kernel/perf_event_paranoid"),
    WRITE("/proc/sys/kernel/kptr_restrict"),
    WRITE("/proc/sys/kernel/yama/ptrace_scope"),
    WRITE("/proc/sys/kernel/io_uring_disabled"),
    WRITE("/proc/sys/kernel/domainname"),
    WRITE("/proc/sys/kernel/ns_last_pid"),
    WRITE("/proc/sys/kernel/msgmax"),
    WRITE("/proc/sys/fs/mqueue/queues_max"),
    WRITE("/proc/sys/fs/pipe-max-size"),
    WRITE("/proc/sys/fs/inotify/max_user_instances"),
    WRITE("/proc/sys/vm/panic_on_oom"),
    WRITE("/proc/sys/vm/swappiness"),
    WRITE("/proc/sys/net/core/bpf_jit_enable"),
    WRITE("/proc/sys/net/ipv4/conf/eth0/rp_filter"),
    WRITE("/proc/sys/net/ipv4/conf/eth0/forwarding"),
    WRITE("/proc/sys/net/ipv6/conf/eth0/disable_ipv6"),
    WRITE("/proc/fs/binfmt_misc/register"),
    WRITE("/proc/acpi/wakeup"),
    WRITE("/proc/scsi/scsi"),
    WRITE("/proc/bus/pci/00/00.0"),
    WRITE("/proc/kcore"),
    WRITE("/sys/kernel/uevent_helper"),
    WRITE("/sys/kernel/mm/transparent_hugepage/enabled"),
    WRITE("/sys/kernel/mm/ksm/run"),
    WRITE("/sys/kernel/profiling"),
    WRITE("/sys/power/state"),
    WRITE("/sys/class/net/eth0/mtu"),
    WRITE("/sys/class/net/lo/mtu"),
    WRITE("/sys/module/loop/parameters/max_loop"),
    WRITE("/sys/devices/system/cpu/cpu1/online"),
    WRITE("/sys/fs/cgroup/cgroup.procs"),
    WRITE("/sys/fs/cgroup/memory.max"),
    WRITE("/sys/fs/cgroup/pids.max"),
    WRITE("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    WRITE("/sys/fs/cgroup/memory/release_agent"),
    WRITE("/sys/fs/cgroup/memory/tasks"),
    WRITE("/sys/fs/cgroup/memory/notify_on_release"),
    WRITE("/sys/fs/cgroup/memory/cgroup.event_control"),
    WRITE("/sys/fs/cgroup/unified/cgroup.procs"),
    WRITE("/sys/fs/cgroup/unified/cgroup.kill"),
    WRITE("/sys/fs/cgroup/cgroup.kill"),
    WRITE("/sys/fs/cgroup/cgroup.freeze"),
    WRITE("/sys/fs/cgroup/cpu.max"),
    WRITE("/sys/fs/cgroup/memory.high"),
    WRITE("/sys/fs/cgroup/memory.pressure"),
    WRITE("/sys/fs/cgroup/release_agent"),
    WRITE("/sys/fs/cgroup/pids/pids.max"),
    WRITE("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    WRITE("/sys/kernel/debug/sched_features"),
    WRITE("/sys/kernel/security/lockdown"),
    WRITE("/sys/kernel/vmcoreinfo"),
    WRITE("/sys/bus/pci/rescan"),
    WRITE("/sys/block/loop0/queue/nr_requests"),
    WRITE("/sys/devices/virtual/bdi/max_ratio"),
    WRITE("/sys/fs/cgroup/devices/devices.allow"),
    PUT("/proc/self/oom_score_adj", "-1000"),
    PUT("/proc/self/uid_map", "0 0 1"),
    PUT("/proc/self/gid_map", "0 0 1"),
    PUT("/proc/1/attr/current", "x"),
    PUT("/proc/1/oom_score_adj", "-1000"),
    PUT("/proc/1/loginuid", "0"),
    {"mkdir /sys/fs/cgroup/probe", attempt_mkdir, .path = "/sys/fs/cgroup/probe"},
    {"mkdir /proc/probe", attempt_mkdir, .path = "/proc/probe"},
    READ("/proc/kcore"),
    READ("/proc/keys"),
    READ("/proc/timer_list"),
    READ("/proc/sched_debug"),
    READ("/proc/scsi"),
    READ("/proc/acpi"),
    READ("/proc/kallsyms"),
    READ("/proc/kmsg"),
    READ("/proc/kpagecount"),
    READ("/proc/kpageflags"),
    READ("/proc/kpagecgroup"),
    READ("/proc/pagetypeinfo"),
    READ("/proc/slabinfo"),
    READ("/proc/vmallocinfo"),
    READ("/proc/interrupts"),
    READ("/proc/latency_stats"),
    READ("/proc/asound"),
    READ("/sys/firmware"),
    READ("/sys/devices/virtual/powercap"),
    READ("/sys/fs/selinux"),
    READ("/sys/kernel/debug"),
    READ("/sys/kernel/tracing"),
    READ("/sys/kernel/security"),
    READ("/proc/1/environ"),
    READ("/proc/1/mem"),
    READ("/proc/1/maps"),
    READ("/proc/1/stack"),
    READ("/proc/1/fd/3"), /* root may see the numbers, never what they lead to */
    READ("/proc/1/map_files"),
    LINK("/proc/1/fd/0"),
    LINK("/proc/1/fd/3"),
    LINK("/proc/1/root"),
    OPEN("/proc/1/fd/0"),
    OPEN("/proc/1/fd/4"),
    OPEN("/proc/1/root/"),
    OPEN("/proc/1/cwd/"),
    OPEN("/proc/1/exe"),
    OPEN("/proc/1/ns/user"),
    OPEN("/proc/1/ns/mnt"),
    OPEN("/dev/mem"),
    OPEN("/dev/kmem"),
    OPEN("/dev/port"),
    OPEN("/dev/kmsg"),
    OPEN("/dev/kvm"),
    OPEN("/dev/fuse"),
    OPEN("/dev/net/tun"),
    OPEN("/dev/loop-control"),
    OPEN("/dev/loop0"),
    OPEN("/dev/vda"),
    OPEN("/dev/sda"),
    OPEN("/dev/nvme0n1"),
    OPEN("/dev/userfaultfd"),
    OPEN("/dev/vsock"),
    OPEN("/dev/vhost-net"),
    OPEN("/dev/uinput"),
    OPEN("/dev/console"),
    OPEN("/dev/tty1"),
    OPEN("/dev/btrfs-control"),
    OPEN("/dev/mapper/control"),
    NODE("mem", S_IFCHR, 1, 1),
    NODE("kmsg", S_IFCHR, 1, 11),
    NODE("loop0", S_IFBLK, 7, 0),
    NODE("loop-control", S_IFCHR, 10, 237),
    NODE("sda", S_IFBLK, 8, 0),
    NODE("vda", S_IFBLK, 254, 0),
    NODE("fuse", S_IFCHR, 10, 229),
    NODE("tun", S_IFCHR, 10, 200),
    NODE("console", S_IFCHR, 5, 1),
    {"the host's disks", attempt_disks, .path = "/proc/partitions"},
    {"a file handle of /", attempt_handle, .path = "/"},
    {"a file handle of /tmp", attempt_handle, .path = "/tmp"},
    {"a file handle of /dev/shm", attempt_handle, .path = "/dev/shm"},
    {"a file handle of /proc", attempt_handle, .path = "/proc"},
    {"devices in /dev", attempt_dev, .path = "/dev"},
    {"setxattr trusted", attempt_xattr, .path = "trusted.probe"},
    {"setxattr trusted.overlay", attempt_xattr, .path = "trusted.overlay.opaque"},
    {"setxattr security", attempt_xattr, .path = "security.probe"},
    FS("freeze", FIFREEZE),
    FS("thaw", FITHAW),
    FS("trim", FITRIM),
    FS("immutable", FS_IOC_SETFLAGS),
    FS("project", FS_IOC_FSSETXATTR),
    FS("ext4 shutdown", 0x8004587d),
    FS("ext4 resize", 0x40086610),
    FS("ext4 journal flush", 0x4004662b),
    FS("encryption key", 0xc0506617),
    FS("btrfs subvolume", 0x5000940e),
    {.name = "chroot and back", .attempt = attempt_chroot},
    {"mountinfo: sandboxes", attempt_mountinfo, .path = "sandboxes/"},
    {"mountinfo: layers", attempt_mountinfo, .path = "layers/"},
    {.name = "mountinfo: groups but its own", .attempt = attempt_cgroup_mounts},
    {"cgroup of itself", attempt_cgroup_path, .path = "/proc/self/cgroup"},
    {"cloud metadata", attempt_connect_tcp, .path = "169.254.169.254:80"},
    {"docker's socket", attempt_connect_unix, .path = "/var/run/docker.sock"},
    {"containerd's socket", attempt_connect_unix, .path = "/run/containerd/containerd.sock"},
    {"runnerd's socket", attempt_connect_unix, .path = "/var/lib/daytona/run/runnerd.sock"},
    {"the data directory", attempt_exists, .path = "/var/lib/daytona"},
};

const struct probe_list probe_files = {rows, sizeof(rows) / sizeof(rows[0])};

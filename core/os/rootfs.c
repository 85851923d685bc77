#include "os/rootfs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/mount_api.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

enum {
    RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
    TIGHT = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
};

struct option {
    const char *key;
    const char *value; /* NULL: a flag */
};

struct kind {
    const char *type;
    const struct option *options;
    size_t noptions;
    unsigned attr; /* MOUNT_ATTR_* */
};

static const struct device {
    const char *name;
    unsigned major, minor;
} devices[] = {
    {"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
    {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
};

struct work {
    struct dt_rootfs *r;
    int devices[COUNT(devices)]; /* O_PATH, the host's */
    int empty;                   /* an empty read-only file system, in the scratch */
};

static int folder_open(int root, const char *name)
{
    return dt_fd_openat2(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
                         RESOLVE | RESOLVE_NO_XDEV);
}

/* The folder `name` in `root`, which is made, or made of whatever else stands there. */
static int folder(int root, const char *name, mode_t mode, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int fd = folder_open(root, name);
    if (fd < 0) {
        if (errno != ENOENT && unlinkat(root, name, 0) < 0)
            return dt_err_errno(err, "replace /%s of the image", name);
        if (mkdirat(root, name, 0700) < 0 || fchmodat(root, name, mode, 0) < 0)
            return dt_err_errno(err, "make /%s", name);
        if ((fd = folder_open(root, name)) < 0)
            return dt_err_errno(err, "open /%s", name);
    }
    *ret = dt_take_fd(&fd);
    return 0;
}

/* Folders that programs expect even in an empty image. */
static int make_usual_folders(int root, struct dt_err *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } usual[] = {{"etc", 0755}, {"run", 0755}, {"root", 0700}};
    for (size_t i = 0; i < COUNT(usual); i++) {
        if (mkdirat(root, usual[i].name, usual[i].mode) < 0 && errno != EEXIST)
            return dt_err_errno(err, "make /%s", usual[i].name);
    }
    DT_AUTO_FD int tmp = -1;
    return folder(root, "tmp", 01777, &tmp, err);
}

static int new_mount(const struct kind *k, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int fs = fsopen(k->type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return dt_err_errno(err, "file system %s", k->type);
    for (size_t i = 0; i < k->noptions; i++) {
        unsigned cmd = k->options[i].value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
        if (fsconfig(fs, cmd, k->options[i].key, k->options[i].value, 0) < 0)
            return dt_err_errno(err, "file system %s, option %s", k->type, k->options[i].key);
    }
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return dt_err_errno(err, "file system %s", k->type);
    DT_AUTO_FD int mnt = fsmount(fs, FSMOUNT_CLOEXEC, k->attr);
    if (mnt < 0)
        return dt_err_errno(err, "mount %s", k->type);
    *ret = dt_take_fd(&mnt);
    return 0;
}

static int attach(int mnt, int target, const char *name, struct dt_err *err)
{
    if (move_mount(mnt, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return dt_err_errno(err, "mount %s", name);
    return 0;
}

/* Mounts a new file system on the folder `name` of `dir`. */
static int mount_on(int dir, const char *name, const struct kind *k, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int target = -1;
    DT_AUTO_FD int mnt = -1;
    if (folder(dir, name, 0755, &target, err) < 0 || new_mount(k, &mnt, err) < 0 ||
        attach(mnt, target, name, err) < 0)
        return -1;
    if (ret != NULL)
        *ret = dt_take_fd(&mnt);
    return 0;
}

static int clone_onto(int source, const char *path, unsigned flags, int target, unsigned attr,
                      struct dt_err *err)
{
    DT_AUTO_FD int tree =
        open_tree(source, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
    if (tree < 0)
        return dt_err_errno(err, "clone a mount");
    struct mount_attr set = {.attr_set = attr};
    if (mount_setattr(tree, "", AT_EMPTY_PATH | (flags & AT_RECURSIVE), &set, sizeof(set)) < 0)
        return dt_err_errno(err, "set the flags of a mount");
    return attach(tree, target, path, err);
}

/* The host's nodes, and nothing that only has their names. */
static int devices_open(struct work *w, struct dt_err *err)
{
    for (size_t i = 0; i < COUNT(devices); i++) {
        char path[32];
        struct stat st;
        (void)snprintf(path, sizeof(path), "/dev/%s", devices[i].name);
        w->devices[i] = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (w->devices[i] < 0 || fstat(w->devices[i], &st) < 0)
            return dt_err_errno(err, "the host's %s", path);
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(devices[i].major, devices[i].minor))
            return dt_err_set(err, DT_E_SYSTEM, "the host's %s is not the device it should be",
                              path);
    }
    return 0;
}

static int make_devices(const struct work *w, struct dt_err *err)
{
    for (size_t i = 0; i < COUNT(devices); i++) {
        const char *name = devices[i].name;
        DT_AUTO_FD int file =
            openat(w->r->dev, name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0600);
        if (file < 0)
            return dt_err_errno(err, "make /dev/%s", name);
        if (clone_onto(w->devices[i], "", 0, file, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err) < 0)
            return dt_err_wrap(err, "/dev/%s", name);
    }
    static const char *const links[][2] = {
        {"pts/ptmx", "ptmx"},          {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
        {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
    };
    for (size_t i = 0; i < COUNT(links); i++) {
        if (symlinkat(links[i][0], w->r->dev, links[i][1]) < 0)
            return dt_err_errno(err, "make /dev/%s", links[i][1]);
    }
    return 0;
}

static int make_dev(struct work *w, struct dt_err *err)
{
    enum { LOOSE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
    static const struct option dev_options[] = {
        {"size", "64k"}, {"nr_inodes", "256"}, {"mode", "0755"}};
    static const struct option pts_options[] = {{"newinstance", NULL},
                                                {"ptmxmode", "0666"},
                                                {"mode", "0620"},
                                                {"gid", "5"},
                                                {"max", "256"}};
    static const struct option shm_options[] = {{"mode", "1777"}};
    static const struct kind dev = {"tmpfs", dev_options, COUNT(dev_options), LOOSE};
    static const struct kind pts = {"devpts", pts_options, COUNT(pts_options), LOOSE};
    static const struct kind shm = {"tmpfs", shm_options, COUNT(shm_options), TIGHT};
    static const struct kind mqueue = {"mqueue", NULL, 0, TIGHT};
    struct dt_rootfs *r = w->r;
    if (mount_on(r->scratch, "dev", &dev, &r->dev, err) < 0 || make_devices(w, err) < 0)
        return -1;
    if (mount_on(r->dev, "pts", &pts, NULL, err) < 0 ||
        mount_on(r->dev, "shm", &shm, &r->shm, err) < 0)
        return -1;
    return mount_on(r->dev, "mqueue", &mqueue, NULL, err);
}

/* What a process may have of things that are counted per user namespace. After the mounts, since a
 * detached one counts as a namespace; so `counts` is /proc/sys/user from before it became
 * read-only. */
static int set_counts(int counts, struct dt_err *err)
{
    static const char *const none[] = {"user", "net", "mnt", "pid", "ipc", "uts", "time"};
    char name[64];
    for (size_t i = 0; i < COUNT(none); i++) {
        (void)snprintf(name, sizeof(name), "max_%s_namespaces", none[i]);
        if (dt_fd_put(counts, name, "0", err) < 0)
            return -1;
    }
    if (dt_fd_put(counts, "max_inotify_instances", "256", err) < 0)
        return -1;
    return dt_fd_put(counts, "max_inotify_watches", "262144", err);
}

static int mount_proc(struct work *w, struct dt_err *err)
{
    static const struct kind proc = {"proc", NULL, 0, TIGHT};
    if (mount_on(w->r->scratch, "proc", &proc, &w->r->proc, err) < 0)
        return -1;
    w->r->counts = dt_fd_openat2(w->r->proc, "sys/user", O_PATH | O_DIRECTORY, 0, RESOLVE);
    return w->r->counts < 0 ? dt_err_errno(err, "open /proc/sys/user") : 0;
}

/* Covers `name` of the mount `dir` with emptiness. What the kernel does not have needs no cover. */
static int mask(const struct work *w, int dir, const char *name, struct dt_err *err)
{
    DT_AUTO_FD int target = dt_fd_openat2(dir, name, O_PATH | O_NOFOLLOW, 0, RESOLVE);
    if (target < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    struct stat st;
    if (target < 0 || fstat(target, &st) < 0)
        return dt_err_errno(err, "mask %s", name);
    int rc =
        S_ISDIR(st.st_mode)
            ? clone_onto(w->empty, "", 0, target, TIGHT | MOUNT_ATTR_RDONLY, err)
            : clone_onto(w->devices[0], "", 0, target, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
    return rc < 0 ? dt_err_wrap(err, "mask %s", name) : 0;
}

static int make_read_only(int proc, const char *name, struct dt_err *err)
{
    DT_AUTO_FD int target = dt_fd_openat2(proc, name, O_PATH | O_NOFOLLOW, 0, RESOLVE);
    if (target < 0 && errno == ENOENT)
        return 0;
    if (target < 0 ||
        clone_onto(target, "", AT_RECURSIVE, target, TIGHT | MOUNT_ATTR_RDONLY, err) < 0)
        return dt_err_wrap(err, "make %s read-only", name);
    return 0;
}

static int mask_all(const struct work *w, struct dt_err *err)
{
    static const char *const read_only[] = {"sys", "bus", "fs", "irq", "sysrq-trigger"};
    static const char *const in_proc[] = {
        "acpi",       "asound",        "interrupts",   "kallsyms",    "kcore",
        "key-users",  "keys",          "kmsg",         "kpagecgroup", "kpagecount",
        "kpageflags", "latency_stats", "pagetypeinfo", "sched_debug", "scsi",
        "slabinfo",   "timer_list",    "timer_stats",  "vmallocinfo", "sysrq-trigger"};
    static const char *const in_sys[] = {
        "firmware",     "devices/virtual/powercap", "class/powercap", "fs/selinux",
        "kernel/debug", "kernel/tracing",           "kernel/security"};
    for (size_t i = 0; i < COUNT(read_only); i++) {
        if (make_read_only(w->r->proc, read_only[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < COUNT(in_proc); i++) {
        if (mask(w, w->r->proc, in_proc[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; w->r->sys >= 0 && i < COUNT(in_sys); i++) {
        if (mask(w, w->r->sys, in_sys[i], err) < 0)
            return -1;
    }
    return 0;
}

static int attach_sysfs(struct work *w, struct dt_err *err)
{
    DT_AUTO_FD int target = -1;
    w->r->sys = w->r->sysfs;
    if (w->r->sys < 0)
        return 0;
    if (folder(w->r->scratch, "sys", 0755, &target, err) < 0)
        return -1;
    return attach(w->r->sys, target, "sysfs", err);
}

static int cgroup_view(int dir, const struct dt_cgroup_view *view, struct dt_err *err)
{
    DT_AUTO_FD int target = -1;
    if (folder(dir, view->folder, 0755, &target, err) < 0)
        return -1;
    return attach(view->mount, target, view->folder, err);
}

/* Hybrid hosts have several hierarchies, and folders for them. */
static int cgroup_views(const struct dt_rootfs *r, int target, struct dt_err *err)
{
    static const struct option options[] = {{"size", "4k"}, {"nr_inodes", "16"}, {"mode", "0755"}};
    static const struct kind folders = {"tmpfs", options, COUNT(options), TIGHT};
    DT_AUTO_FD int dir = -1;
    if (new_mount(&folders, &dir, err) < 0 || attach(dir, target, "cgroup", err) < 0)
        return -1;
    for (unsigned i = 0; i < r->ncgroups; i++) {
        if (cgroup_view(dir, &r->cgroups[i], err) < 0)
            return -1;
    }
    struct mount_attr set = {.attr_set = MOUNT_ATTR_RDONLY};
    if (mount_setattr(dir, "", AT_EMPTY_PATH, &set, sizeof(set)) < 0)
        return dt_err_errno(err, "make /sys/fs/cgroup read-only");
    return 0;
}

/* Programs size themselves by the limits that they find there. */
static int attach_cgroups(const struct dt_rootfs *r, struct dt_err *err)
{
    if (r->sys < 0 || r->ncgroups == 0)
        return 0;
    DT_AUTO_FD int target = dt_fd_openat2(r->sys, "fs/cgroup", O_PATH | O_DIRECTORY, 0, RESOLVE);
    if (target < 0)
        return dt_err_errno(err, "open /sys/fs/cgroup");
    return r->cgroups[0].folder[0] == '\0' ? attach(r->cgroups[0].mount, target, "cgroup", err)
                                           : cgroup_views(r, target, err);
}

/* Covers the host's tree, so that mounts have a place until the real root is there. */
static int mount_scratch(struct work *w, struct dt_err *err)
{
    static const struct option options[] = {{"size", "64k"}, {"mode", "0755"}};
    static const struct kind scratch = {"tmpfs", options, COUNT(options), TIGHT};
    if (new_mount(&scratch, &w->r->scratch, err) < 0)
        return -1;
    if (move_mount(w->r->scratch, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return dt_err_errno(err, "mount a scratch file system");
    return mkdirat(w->r->scratch, "root", 0700) < 0 ? dt_err_errno(err, "make a folder") : 0;
}

int dt_rootfs_prepare(struct dt_rootfs *r, struct dt_err *err)
{
    static const struct option options[] = {{"size", "4k"}, {"nr_inodes", "1"}, {"mode", "0555"}};
    static const struct kind empty = {"tmpfs", options, COUNT(options), TIGHT | MOUNT_ATTR_RDONLY};
    /* Before Linux 6.15 only a mount that is attached can be cloned, so this one has a place. */
    struct work w = {.r = r, .empty = -1};
    r->scratch = r->proc = r->sys = r->dev = r->shm = r->counts = -1;
    (void)umask(0);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return dt_err_errno(err, "make mounts private");
    if (devices_open(&w, err) < 0 || mount_scratch(&w, err) < 0 || mount_proc(&w, err) < 0 ||
        attach_sysfs(&w, err) < 0 || attach_cgroups(r, err) < 0 || make_dev(&w, err) < 0 ||
        mount_on(r->scratch, "empty", &empty, &w.empty, err) < 0 || mask_all(&w, err) < 0)
        return -1;
    return set_counts(r->counts, err);
}

/* Moves a mount, with all that is mounted in it, to the folder `name` of the real root. */
static int move_to(int mnt, int root, const char *name, struct dt_err *err)
{
    DT_AUTO_FD int target = -1;
    if (folder(root, name, 0755, &target, err) < 0)
        return -1;
    return mnt < 0 ? 0 : attach(mnt, target, name, err);
}

static int resize(int tmpfs, uint64_t bytes, struct dt_err *err)
{
    char size[32];
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)bytes);
    DT_AUTO_FD int fs = fspick(tmpfs, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        return dt_err_errno(err, "set the size of /dev/shm");
    return 0;
}

/* Nothing may be left on top of the root: `..` would lead there. */
static int check_root(struct dt_err *err)
{
    struct statx root, above;
    if (statx(AT_FDCWD, "/", 0, STATX_INO | STATX_MNT_ID, &root) < 0 ||
        statx(AT_FDCWD, "/..", 0, STATX_INO | STATX_MNT_ID, &above) < 0)
        return dt_err_errno(err, "look at the new root");
    if (root.stx_mnt_id != above.stx_mnt_id || root.stx_ino != above.stx_ino)
        return dt_err_set(err, DT_E_SYSTEM, "the host's root is still mounted");
    return 0;
}

static int pivot(int root, struct dt_err *err)
{
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return dt_err_errno(err, "pivot_root");
    /* Two mounts are on top of the new root now: the old root and, on that, the scratch. */
    for (int i = 0; i < 2; i++) {
        if (umount2(".", MNT_DETACH) < 0)
            return dt_err_errno(err, "detach the old root");
    }
    if (chdir("/") < 0)
        return dt_err_errno(err, "enter the new root");
    return check_root(err);
}

static int mount_volume(int root, const struct dt_rootfs_volume *v, struct dt_err *err)
{
    DT_AUTO_FD int target = -1;
    if (dt_fd_make_folders(root, v->path + 1, 0755, &target, err) < 0)
        return dt_err_wrap(err, "mount path %s", v->path);
    return attach(v->mount, target, v->path, err);
}

int dt_rootfs_enter(const struct dt_rootfs *r, int root, uint64_t shm_bytes,
                    const struct dt_rootfs_volume *volumes, unsigned nvolumes, struct dt_err *err)
{
    (void)umask(0);
    if (move_mount(root, "", r->scratch, "root", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return dt_err_errno(err, "mount the root file system");
    if (make_usual_folders(root, err) < 0)
        return -1;
    for (unsigned i = 0; i < nvolumes; i++) {
        if (mount_volume(root, &volumes[i], err) < 0)
            return -1;
    }
    if (move_to(r->proc, root, "proc", err) < 0 || move_to(r->sys, root, "sys", err) < 0 ||
        move_to(r->dev, root, "dev", err) < 0 || resize(r->shm, shm_bytes, err) < 0 ||
        dt_fd_put(r->counts, "max_cgroup_namespaces", "0", err) < 0 || pivot(root, err) < 0)
        return -1;
    (void)umask(022);
    return 0;
}

#include "os/disk_driver.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/clock.h"
#include "base/fd.h"

#define MIB (1ULL << 20)

int dt_disk_store_open(int data_dirfd, struct dt_disk_store **ret, struct dt_err *err)
{
    DT_AUTO(dt_disk_store_free) struct dt_disk_store *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "no memory for the disk store");
    s->data = s->templates = s->loop_control = -1;
    s->data = openat(data_dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->data < 0)
        return dt_err_errno(err, "open the data directory");
    if (mkdirat(s->data, "templates", 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make templates/");
    s->templates = openat(s->data, "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->templates < 0)
        return dt_err_errno(err, "open templates/");
    s->project = dt_disk_project_enforced(s->data);
    /* Disks of an earlier time may be images even where new ones are projects. */
    struct dt_err loop_err;
    if (dt_disk_loop_probe(s, &loop_err) < 0 && !s->project) {
        if (err != NULL)
            *err = loop_err;
        return dt_err_wrap(err, "no way to limit disks: the data directory's file system has no "
                                "project quota (ext4 or xfs mounted with prjquota)");
    }
    *ret = dt_take(s);
    return 0;
}

struct dt_disk_store *dt_disk_store_free(struct dt_disk_store *s)
{
    if (s == NULL)
        return NULL;
    dt_closep(&s->data);
    dt_closep(&s->templates);
    dt_closep(&s->loop_control);
    free(s);
    return NULL;
}

const char *dt_disk_driver(const struct dt_disk_store *s)
{
    return s->project ? "project" : "loop";
}

static int check_size(uint64_t bytes, uint64_t inodes, struct dt_disk_size *ret, struct dt_err *err)
{
    if (bytes < DT_DISK_MIN_BYTES || bytes > DT_DISK_MAX_BYTES)
        return dt_err_set(err, DT_E_INVALID, "a disk has %llu MiB to %llu GiB, not %llu bytes",
                          DT_DISK_MIN_BYTES >> 20, DT_DISK_MAX_BYTES >> 30,
                          (unsigned long long)bytes);
    struct dt_disk_size size = {.bytes = (bytes + MIB - 1) / MIB * MIB, .inodes = inodes};
    if (inodes == 0)
        size.inodes = size.bytes / DT_DISK_BYTES_PER_INODE;
    if (size.inodes > UINT32_MAX)
        size.inodes = UINT32_MAX;
    if (size.inodes < 1024 || size.inodes > size.bytes / DT_DISK_BLOCK)
        return dt_err_set(
            err, DT_E_INVALID, "a disk of %llu bytes has 1024 to %llu inodes, not %llu",
            (unsigned long long)size.bytes, (unsigned long long)size.bytes / DT_DISK_BLOCK,
            (unsigned long long)inodes);
    *ret = size;
    return 0;
}

int dt_disk_prepare(struct dt_disk_store *s, uint64_t bytes, uint64_t inodes, struct dt_err *err)
{
    struct dt_disk_size size = {0};
    if (check_size(bytes, inodes, &size, err) < 0)
        return -1;
    return s->project ? 0 : dt_disk_image_prepare(s, size, err);
}

int dt_disk_make(struct dt_disk_store *s, int sandbox_dirfd, uint64_t bytes, uint64_t inodes,
                 struct dt_err *err)
{
    struct dt_disk_size size = {0};
    if (check_size(bytes, inodes, &size, err) < 0)
        return -1;
    if (dt_disk_exists(sandbox_dirfd))
        return dt_err_set(err, DT_E_CONFLICT, "the sandbox has a disk already");
    return s->project ? dt_disk_project_make(sandbox_dirfd, size, err)
                      : dt_disk_image_make(s, sandbox_dirfd, size, err);
}

void dt_disk_pulse(const struct dt_disk_pulse *pulse)
{
    if (pulse != NULL && pulse->fn != NULL)
        pulse->fn(pulse->ctx);
}

bool dt_disk_has(int sandbox, const char *name, mode_t type)
{
    struct stat st;
    return fstatat(sandbox, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (st.st_mode & S_IFMT) == type;
}

bool dt_disk_exists(int sandbox_dirfd)
{
    return dt_disk_has(sandbox_dirfd, dt_disk_image, S_IFREG) ||
           dt_disk_has(sandbox_dirfd, dt_disk_folder, S_IFDIR);
}

static int no_disk(struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOT_FOUND, "the sandbox has no disk");
}

/* With what the mount before gives back, this is enough on Linux 6.1 to 6.18. */
static const char *const reserve[] = {"reserve0", "reserve1", "reserve2", "reserve3"};

/* A first attempt to mount has left its mark, which would refuse the second one. */
static void remove_mark(int root)
{
    (void)unlinkat(root, "work/work/incompat/volatile/dirty", 0);
    (void)unlinkat(root, "work/work/incompat/volatile", AT_REMOVEDIR);
    (void)unlinkat(root, "work/work/incompat", AT_REMOVEDIR);
}

bool dt_disk_reserve_give(int root)
{
    bool gave = false;
    for (size_t i = 0; i < sizeof(reserve) / sizeof(reserve[0]); i++)
        gave |= unlinkat(root, reserve[i], AT_REMOVEDIR) == 0;
    if (gave)
        remove_mark(root);
    return gave;
}

/* Folders: each is a file and a block. */
void dt_disk_reserve_make(int root)
{
    for (size_t i = 0; i < sizeof(reserve) / sizeof(reserve[0]); i++)
        (void)mkdirat(root, reserve[i], 0700);
}

/* Work files of an earlier overlay are of no use, and `work/incompat/volatile` would refuse a
 * mount. */
static int make_folders(int root, struct dt_err *err)
{
    static const char *const folders[] = {"upper", "work"};
    if (dt_fd_remove_tree(root, "work", err) < 0)
        return -1;
    for (size_t i = 0; i < 2; i++) {
        if (mkdirat(root, folders[i], 0755) < 0) {
            if (errno == EEXIST)
                continue;
            return dt_err_errno(err, "make %s/ on a disk", folders[i]);
        }
        if (fchmodat(root, folders[i], 0755, 0) < 0)
            return dt_err_errno(err, "chmod %s/ on a disk", folders[i]);
        if (i == 0) /* upper/: the disk is new */
            dt_disk_reserve_make(root);
    }
    return 0;
}

int dt_disk_mount(struct dt_disk_store *s, int sandbox_dirfd, int *mount_fd, struct dt_err *err)
{
    DT_AUTO_FD int fd = -1;
    int done = dt_disk_has(sandbox_dirfd, dt_disk_folder, S_IFDIR)
                   ? dt_disk_project_mount(sandbox_dirfd, &fd, err)
               : dt_disk_has(sandbox_dirfd, dt_disk_image, S_IFREG)
                   ? dt_disk_loop_mount(s, sandbox_dirfd, &fd, err)
                   : no_disk(err);
    if (done < 0 || make_folders(fd, err) < 0)
        return -1;
    *mount_fd = dt_take_fd(&fd);
    return 0;
}

int dt_disk_share(struct dt_disk_store *s, int dirfd, int *mount_fd, struct dt_err *err)
{
    if (dt_disk_has(dirfd, dt_disk_folder, S_IFDIR))
        return dt_disk_project_mount(dirfd, mount_fd, err);
    if (dt_disk_has(dirfd, dt_disk_image, S_IFREG))
        return dt_disk_loop_share(s, dirfd, mount_fd, err);
    return no_disk(err);
}

/* -1 in *fd for a project's directory, which needs no such proof. */
static int open_image(int sandbox, int *fd, struct dt_err *err)
{
    *fd = openat(sandbox, dt_disk_image, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd >= 0 || dt_disk_has(sandbox, dt_disk_folder, S_IFDIR))
        return 0;
    return errno == ENOENT ? no_disk(err) : dt_err_errno(err, "open %s", dt_disk_image);
}

int dt_disk_in_use(struct dt_disk_store *s, int sandbox_dirfd, bool *in_use, struct dt_err *err)
{
    (void)s;
    DT_AUTO_FD int fd = -1;
    if (open_image(sandbox_dirfd, &fd, err) < 0)
        return -1;
    if (fd >= 0)
        return dt_disk_loop_lease(fd, in_use, err);
    *in_use = false;
    return 0;
}

static int watch_closing(int fd, struct dt_err *err)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    DT_AUTO_FD int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0 || inotify_add_watch(watch, path, IN_CLOSE) < 0)
        return dt_err_errno(err, "watch %s", dt_disk_image);
    return dt_take_fd(&watch);
}

/* The kernel tells of the closing a moment before the file counts as closed: then, and only then,
 * is there nothing to wait for but time. */
int dt_disk_wait_free(struct dt_disk_store *s, int sandbox_dirfd, uint64_t deadline_ms,
                      struct dt_err *err)
{
    (void)s;
    DT_AUTO_FD int fd = -1;
    if (open_image(sandbox_dirfd, &fd, err) < 0)
        return -1;
    if (fd < 0)
        return 0;
    DT_AUTO_FD int watch = watch_closing(fd, err);
    if (watch < 0)
        return -1;
    for (int closing = 0;;) {
        bool in_use = true;
        if (dt_disk_loop_lease(fd, &in_use, err) < 0)
            return -1;
        uint64_t now = dt_clock_ms();
        if (!in_use)
            return 0;
        if (now >= deadline_ms)
            return dt_err_set(err, DT_E_TIMEOUT, "the disk is still in use");
        uint64_t left = deadline_ms - now, most = closing > 0 ? 1 : INT_MAX;
        struct pollfd p = {.fd = watch, .events = POLLIN};
        if (poll(&p, 1, (int)(left < most ? left : most)) < 0 && errno != EINTR)
            return dt_err_errno(err, "wait for %s", dt_disk_image);
        char events[4096];
        if (read(watch, events, sizeof(events)) > 0)
            closing = 1;
    }
}

static int usage_inside(int fd, struct dt_disk_usage *u, struct dt_err *err)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return dt_err_errno(err, "statfs of a disk");
    uint64_t block = (uint64_t)fs.f_frsize;
    u->total_bytes = (uint64_t)fs.f_blocks * block;
    u->used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * block;
    u->total_inodes = (uint64_t)fs.f_files;
    u->used_inodes = (uint64_t)(fs.f_files - fs.f_ffree);
    return 0;
}

int dt_disk_usage(struct dt_disk_store *s, int sandbox_dirfd, int fd, struct dt_disk_usage *usage,
                  struct dt_err *err)
{
    (void)s;
    struct dt_disk_usage u = {0};
    struct stat st;
    if (dt_disk_has(sandbox_dirfd, dt_disk_folder, S_IFDIR)) {
        if (dt_disk_project_usage(sandbox_dirfd, &u, err) < 0)
            return -1;
    } else if (fstatat(sandbox_dirfd, dt_disk_image, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        u.host_bytes = u.used_bytes = (uint64_t)st.st_blocks * 512;
        u.total_bytes = (uint64_t)st.st_size;
    } else {
        return no_disk(err);
    }
    if (fd >= 0 && usage_inside(fd, &u, err) < 0)
        return -1;
    *usage = u;
    return 0;
}

#include "os/disk_driver.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/quota.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/rand.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

/* Project ids of our own: random in the upper half, so that others' counters do not meet them. */
enum { ID_TRIES = 64, SLACK_BYTES = 16 << 20, SLACK_INODES = 1024 };
#define ID_BASE 0x80000000U

const char dt_disk_folder[] = "disk";

static int quota(int fd, int cmd, uint32_t id, void *arg)
{
    return (int)syscall(SYS_quotactl_fd, fd, QCMD(cmd, PRJQUOTA), id, arg);
}

bool dt_disk_project_enforced(int dirfd)
{
    struct fs_quota_statv stat = {.qs_version = FS_QSTATV_VERSION1};
    return quota(dirfd, Q_XGETQSTATV, 0, &stat) == 0 && (stat.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
}

/* An id that no file of this file system has: deleted sandboxes may still be on their way out. */
static int find_id(int fd, uint32_t *ret, struct dt_err *err)
{
    for (int i = 0; i < ID_TRIES; i++) {
        uint32_t id = 0;
        struct if_dqblk now = {0};
        dt_rand_bytes(&id, sizeof(id));
        id |= ID_BASE;
        if (quota(fd, Q_GETQUOTA, id, &now) < 0 && errno != ENOENT)
            return dt_err_errno(err, "read a project's quota");
        if (id != UINT32_MAX && now.dqb_curinodes == 0 && now.dqb_curspace == 0) {
            *ret = id;
            return 0;
        }
    }
    return dt_err_set(err, DT_E_UNAVAILABLE, "no free project id");
}

static int limit(int fd, uint32_t id, struct dt_disk_size size, struct dt_err *err)
{
    struct if_dqblk limits = {.dqb_bhardlimit = size.bytes / QIF_DQBLKSIZE,
                              .dqb_bsoftlimit = size.bytes / QIF_DQBLKSIZE,
                              .dqb_ihardlimit = size.inodes,
                              .dqb_isoftlimit = size.inodes,
                              .dqb_valid = QIF_LIMITS};
    return quota(fd, Q_SETQUOTA, id, &limits) < 0 ? dt_err_errno(err, "set a project's quota") : 0;
}

static int get_project(int fd, struct fsxattr *attr, struct dt_err *err)
{
    if (ioctl(fd, FS_IOC_FSGETXATTR, attr) < 0)
        return dt_err_errno(err, "read a directory's project");
    return 0;
}

static int set_project(int fd, uint32_t id, struct dt_err *err)
{
    struct fsxattr attr;
    if (get_project(fd, &attr, err) < 0)
        return -1;
    attr.fsx_projid = id;
    attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    if (ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0)
        return dt_err_errno(err, "set a directory's project");
    return 0;
}

static int open_folder(int sandbox, const char *name, struct dt_err *err)
{
    int fd = openat(sandbox, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? dt_err_errno(err, "open a disk") : fd;
}

static int limit_named(int sandbox, const char *name, struct dt_disk_size size, struct dt_err *err)
{
    struct fsxattr attr;
    DT_AUTO_FD int fd = open_folder(sandbox, name, err);
    if (fd < 0 || get_project(fd, &attr, err) < 0)
        return -1;
    return limit(fd, attr.fsx_projid, size, err);
}

static const char fresh[] = "disk.new";

/* What an interrupted load left is in the way of this one. */
static int make_fresh(int sandbox, struct dt_err *err)
{
    struct dt_err old;
    if (mkdirat(sandbox, fresh, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return dt_err_errno(err, "make a disk");
    if (dt_fd_remove_tree(sandbox, fresh, &old) < 0 || mkdirat(sandbox, fresh, 0755) < 0)
        return dt_err_errno(err, "make a disk where an unfinished one is");
    return 0;
}

int dt_disk_project_begin(int sandbox, struct dt_disk_size size, struct dt_err *err)
{
    uint32_t id = 0;
    if (make_fresh(sandbox, err) < 0)
        return -1;
    DT_AUTO_FD int fd = open_folder(sandbox, fresh, err);
    /* A disk that was full needs more while it is filled than it has in the end. */
    size.bytes += size.bytes / 8 + SLACK_BYTES;
    size.inodes += size.inodes / 8 + SLACK_INODES;
    if (fd < 0 || find_id(fd, &id, err) < 0 || limit(fd, id, size, err) < 0 ||
        set_project(fd, id, err) < 0) {
        (void)unlinkat(sandbox, fresh, AT_REMOVEDIR);
        return -1;
    }
    return dt_take_fd(&fd);
}

int dt_disk_project_finish(int sandbox, struct dt_disk_size size, bool ok, struct dt_err *err)
{
    struct dt_err ignored;
    if (ok && limit_named(sandbox, fresh, size, err) == 0) {
        if (renameat(sandbox, fresh, sandbox, dt_disk_folder) == 0)
            return 0;
        (void)dt_err_errno(err, "rename a disk");
    }
    (void)(dt_fd_remove_tree(sandbox, fresh, &ignored) < 0);
    return -1;
}

int dt_disk_project_make(int sandbox, struct dt_disk_size size, struct dt_err *err)
{
    DT_AUTO_FD int fd = dt_disk_project_begin(sandbox, size, err);
    return fd < 0 ? -1 : dt_disk_project_finish(sandbox, size, true, err);
}

int dt_disk_project_grow(int sandbox, struct dt_disk_size size, struct dt_err *err)
{
    return limit_named(sandbox, dt_disk_folder, size, err);
}

int dt_disk_project_mount(int sandbox, int *mount_fd, struct dt_err *err)
{
    DT_AUTO_FD int fd =
        (int)syscall(SYS_open_tree, sandbox, dt_disk_folder,
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (unsigned)AT_SYMLINK_NOFOLLOW);
    if (fd < 0)
        return dt_err_errno(err, "clone the mount of a disk");
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME,
                              .attr_clr = MOUNT_ATTR__ATIME | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                              .propagation = MS_PRIVATE};
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return dt_err_errno(err, "set the mount attributes of a disk");
    *mount_fd = dt_take_fd(&fd);
    return 0;
}

int dt_disk_project_usage(int sandbox, struct dt_disk_usage *usage, struct dt_err *err)
{
    struct fsxattr attr;
    struct if_dqblk now = {0};
    DT_AUTO_FD int fd = open_folder(sandbox, dt_disk_folder, err);
    if (fd < 0 || get_project(fd, &attr, err) < 0)
        return -1;
    if (quota(fd, Q_GETQUOTA, attr.fsx_projid, &now) < 0)
        return dt_err_errno(err, "read a project's quota");
    usage->used_bytes = usage->host_bytes = now.dqb_curspace;
    usage->total_bytes = now.dqb_bhardlimit * QIF_DQBLKSIZE;
    usage->used_inodes = now.dqb_curinodes;
    usage->total_inodes = now.dqb_ihardlimit;
    return 0;
}

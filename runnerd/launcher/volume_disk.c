#include "runnerd/launcher/volume_disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mount_api.h"
#include "runnerd/launcher/worker.h"

#define CONTENT "data"
/* In the worker's own mount namespace. */
#define POINT "/run/daytona/mounts/volume"

enum { PATH_SIZE = 64 };

static void path_of(const uint8_t id[16], char out[PATH_SIZE])
{
    char text[DT_ID_TEXT_SIZE];
    dt_id_text(id, text);
    (void)snprintf(out, PATH_SIZE, "volumes/%s", text);
}

/* Anyone in a sandbox may write to its volumes, as to those of other kinds. */
static int make_content(int disk, struct dt_err *err)
{
    mode_t old = umask(0);
    int rc = mkdirat(disk, CONTENT, 0777);
    (void)umask(old);
    if (rc < 0)
        return dt_err_errno(err, "make " CONTENT "/ of a volume");
    DT_AUTO_FD int root = openat(disk, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || syncfs(root) < 0)
        return dt_err_errno(err, "sync a volume");
    return 0;
}

static int fill(struct dt_disk_store *disks, int dir, uint64_t bytes, struct dt_err *err)
{
    DT_AUTO_FD int disk = -1;
    if (dt_disk_make(disks, dir, bytes, 0, err) < 0 || dt_disk_share(disks, dir, &disk, err) < 0)
        return -1;
    return make_content(disk, err);
}

static int put_in_place(int data, const char *from, const char *to, struct dt_err *err)
{
    DT_AUTO_FD int parent = openat(data, "volumes", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return dt_err_errno(err, "open volumes");
    if (renameat2(data, from, data, to, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? dt_err_set(err, DT_E_CONFLICT, "the volume exists")
                               : dt_err_errno(err, "make %s", to);
    return fsync(parent) < 0 ? dt_err_errno(err, "sync volumes") : 0;
}

int dt_volume_disk_make(struct dt_disk_store *disks, int data, uint64_t serial,
                        const uint8_t id[16], uint64_t bytes, struct dt_err *err)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    struct dt_err why;
    (void)snprintf(from, sizeof(from), "pool/%016llx", (unsigned long long)serial);
    path_of(id, to);
    if (faccessat(data, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return dt_err_set(err, DT_E_CONFLICT, "the volume exists");
    if (mkdirat(data, from, 0700) < 0)
        return dt_err_errno(err, "make %s", from);
    DT_AUTO_FD int dir = openat(data, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && fill(disks, dir, bytes, err) == 0 && put_in_place(data, from, to, err) == 0)
        return 0;
    if (dir < 0)
        (void)dt_err_errno(err, "open %s", from);
    if (dt_fd_remove_tree(data, from, &why) < 0)
        dt_log(DT_LOG_WARN, "a half-made volume stays", "err", why.msg, NULL);
    return -1;
}

static int open_folder(int disk, const char *subpath, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int content = openat(disk, CONTENT, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (content < 0)
        return dt_err_errno(err, "open " CONTENT "/ of a volume");
    mode_t old = umask(0);
    int rc = dt_fd_make_folders(content, subpath, 0777, ret, err);
    (void)umask(old);
    if (rc < 0 && (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT))
        err->code = DT_E_BAD_REQUEST;
    return rc < 0 ? dt_err_wrap(err, "subpath") : 0;
}

/* A mount of one folder can be cloned only from one that is attached (before Linux 6.15): it is,
 * for a moment. */
static int clone_folder(int disk, int folder, int *ret, struct dt_err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                              .propagation = MS_PRIVATE};
    (void)umount2(POINT, MNT_DETACH | UMOUNT_NOFOLLOW); /* of a worker that was killed */
    if (move_mount(disk, "", AT_FDCWD, POINT, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return dt_err_errno(err, "attach a volume");
    DT_AUTO_FD int tree =
        open_tree(folder, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    int failed = tree < 0 ? errno : 0;
    (void)umount2(POINT, MNT_DETACH | UMOUNT_NOFOLLOW);
    errno = failed;
    if (tree < 0)
        return dt_err_errno(err, "clone a volume's mount");
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return dt_err_errno(err, "set the flags of a volume's mount");
    *ret = dt_take_fd(&tree);
    return 0;
}

int dt_volume_disk_open(struct dt_disk_store *disks, int data, const uint8_t id[16],
                        const char *subpath, int *ret, struct dt_err *err)
{
    char path[PATH_SIZE];
    DT_AUTO_FD int disk = -1;
    DT_AUTO_FD int folder = -1;
    path_of(id, path);
    DT_AUTO_FD int dir = openat(data, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return dt_err_errno(err, "open %s", path);
    if (mkdir(POINT, 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make " POINT);
    if (dt_disk_share(disks, dir, &disk, err) < 0 || open_folder(disk, subpath, &folder, err) < 0)
        return -1;
    return clone_folder(disk, folder, ret, err);
}

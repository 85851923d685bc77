#include "os/overlay.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mount_api.h"
#include "base/rand.h"
#include "os/disk.h"

#define UPPER "upper"
#define WORK  "work"
#define EMPTY "empty" /* the only layer of a sandbox that has none */

static struct {
    int dir;
    bool always;
    bool set;
} by_path;

void dt_overlay_by_path(int dir, bool always)
{
    by_path.dir = dir;
    by_path.always = always;
    by_path.set = true;
}

int dt_overlay_idmap(int mount, int userns, struct dt_err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    if (mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return dt_err_errno(err, "idmapped mount");
    return 0;
}

static int layer_open(const struct dt_overlay *o, unsigned i, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int tree = -1;
    if (o->nlayers == 0) {
        if (mkdirat(o->disk, EMPTY, 0755) < 0 && errno != EEXIST)
            return dt_err_errno(err, "make the empty layer");
        tree = openat(o->disk, EMPTY, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (tree < 0)
            return dt_err_errno(err, "open the empty layer");
        *ret = dt_take_fd(&tree);
        return 0;
    }
    char name[DT_LAYER_ID_SIZE * 2 + 1];
    dt_hex(o->layers[i], DT_LAYER_ID_SIZE, name);
    tree =
        open_tree(o->layers_dir, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (tree < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND, "layer %s is not in the store", name);
    if (tree < 0)
        return dt_err_errno(err, "open layer %s", name);
    if (dt_overlay_idmap(tree, o->userns, err) < 0)
        return dt_err_wrap(err, "layer %s", name);
    *ret = dt_take_fd(&tree);
    return 0;
}

/* What the kernel said about the mount, which is clearer than the error number. */
static int mount_error(int fs, const char *what, struct dt_err *err)
{
    int saved = errno;
    char log[256];
    ssize_t n = read(fs, log, sizeof(log) - 1);
    errno = saved;
    (void)dt_err_errno(err, "overlay: %s", what);
    if (n > 0) {
        log[n] = '\0';
        (void)dt_err_wrap(err, "%s", log);
    }
    errno = saved;
    return -1;
}

static int set_folder(int fs, const char *key, int disk, const char *name, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(disk, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "open %s on the disk", name);
    if (fsconfig(fs, FSCONFIG_SET_FD, key, NULL, fd) < 0)
        return mount_error(fs, key, err);
    return 0;
}

struct layers {
    int fds[DT_OVERLAY_LAYERS_MAX];
    unsigned n;
};

static void layers_done(struct layers *l)
{
    for (unsigned i = 0; i < l->n; i++)
        (void)close(l->fds[i]);
    l->n = 0;
}

static int layers_open(const struct dt_overlay *o, struct layers *l, struct dt_err *err)
{
    unsigned n = o->nlayers > 0 ? o->nlayers : 1;
    for (; l->n < n; l->n++) {
        if (layer_open(o, l->n, &l->fds[l->n], err) < 0)
            return -1;
    }
    return 0;
}

/* Returns 1 when the kernel does not know layers by descriptor: before 6.13 EINVAL, before 6.5,
 * where overlayfs did not know this interface at all, EOPNOTSUPP. */
static int mount_by_fd(const struct dt_overlay *o, const struct layers *l, int *ret,
                       struct dt_err *err)
{
    DT_AUTO_FD int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    if (fs < 0)
        return dt_err_errno(err, "overlay file system");
    for (unsigned i = l->n; i-- > 0;) {
        if (fsconfig(fs, FSCONFIG_SET_FD, "lowerdir+", NULL, l->fds[i]) == 0)
            continue;
        if ((errno == EINVAL || errno == EOPNOTSUPP) && i == l->n - 1)
            return 1;
        return mount_error(fs, "layer", err);
    }
    if (set_folder(fs, "upperdir", o->disk, UPPER, err) < 0 ||
        set_folder(fs, "workdir", o->disk, WORK, err) < 0)
        return -1;
    if (fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return mount_error(fs, "mount", err);
    DT_AUTO_FD int mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
    if (mnt < 0)
        return mount_error(fs, "mount", err);
    *ret = dt_take_fd(&mnt);
    return 0;
}

/* The names are short and relative: all of them must fit the one page that mount(2) takes. */
static int attach(int tree, const char *name, struct dt_err *err)
{
    if (mkdirat(by_path.dir, name, 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make a mount point");
    if (move_mount(tree, "", by_path.dir, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return dt_err_errno(err, "attach a layer");
    return 0;
}

static int attach_all(const struct dt_overlay *o, const struct layers *l, char *options,
                      size_t size, struct dt_err *err)
{
    int n = snprintf(options, size,
                     "userxattr,volatile,upperdir=d/" UPPER ",workdir=d/" WORK ",lowerdir=%s",
                     o->nlayers == 0 ? "d/" EMPTY : "");
    for (unsigned i = o->nlayers; i-- > 0;) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        if (attach(l->fds[i], name, err) < 0)
            return -1;
        n += snprintf(options + n, size - (size_t)n, "%s%s", name, i > 0 ? ":" : "");
    }
    assert((size_t)n < size);
    if (mkdirat(by_path.dir, "m", 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make a mount point");
    return attach(o->disk, "d", err);
}

static void detach_all(unsigned nlayers)
{
    (void)umount2("m", MNT_DETACH);
    (void)umount2("d", MNT_DETACH);
    for (unsigned i = 0; i < nlayers; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        (void)umount2(name, MNT_DETACH);
    }
}

static int mount_options(const char *options, struct dt_err *err)
{
    if (mount("overlay", "m", "overlay", MS_NODEV, options) < 0)
        return dt_err_errno(err, "overlay");
    return 0;
}

static int mount_by_path(const struct dt_overlay *o, const struct layers *l, int *ret,
                         struct dt_err *err)
{
    if (!by_path.set)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "this kernel cannot mount overlay layers by descriptor");
    DT_AUTO_FD int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cwd < 0 || fchdir(by_path.dir) < 0)
        return dt_err_errno(err, "enter the folder of mount points");
    char options[2048];
    int rc = attach_all(o, l, options, sizeof(options), err);
    if (rc == 0 && (rc = mount_options(options, err)) < 0 && dt_disk_reserve_give(o->disk)) {
        rc = mount_options(options, err);
        dt_disk_reserve_make(o->disk);
    }
    if (rc == 0 && (*ret = open_tree(AT_FDCWD, "m", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)) < 0)
        rc = dt_err_errno(err, "detach the overlay");
    detach_all(l->n);
    if (fchdir(cwd) < 0 && rc == 0)
        rc = dt_err_errno(err, "leave the folder of mount points");
    return rc;
}

int dt_overlay_new(const struct dt_overlay *o, int *ret, struct dt_err *err)
{
    assert(o->nlayers <= DT_OVERLAY_LAYERS_MAX);
    struct layers l = {.n = 0};
    int rc = layers_open(o, &l, err);
    if (rc == 0 && (rc = dt_overlay_idmap(o->disk, o->userns, err)) < 0)
        (void)dt_err_wrap(err, "disk");
    if (rc == 0) {
        (void)setfsgid(o->base);
        (void)setfsuid(o->base);
        rc = by_path.always ? 1 : mount_by_fd(o, &l, ret, err);
        /* Was the disk full? The error does not tell: without room for its work folder an overlay
         * fails like one with wrong options. */
        if (rc < 0 && dt_disk_reserve_give(o->disk)) {
            rc = mount_by_fd(o, &l, ret, err);
            dt_disk_reserve_make(o->disk);
        }
        if (rc == 1)
            rc = mount_by_path(o, &l, ret, err);
        (void)setfsuid(0);
        (void)setfsgid(0);
    }
    layers_done(&l);
    return rc;
}

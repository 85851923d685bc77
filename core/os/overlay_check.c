#include "os/overlay_check.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mount_api.h"
#include "base/rand.h"
#include "os/overlay.h"
#include "os/userns.h"

#define FOLDER "check"

static const uint8_t layer[1][DT_LAYER_ID_SIZE]; /* all zero: no real layer has this id */

static int make_folders(int at, struct dt_err *err)
{
    char name[DT_LAYER_ID_SIZE * 2 + 1];
    dt_hex(layer[0], DT_LAYER_ID_SIZE, name);
    const char *const folders[] = {name, "disk", "disk/upper", "disk/work"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (mkdirat(at, folders[i], 0755) < 0)
            return dt_err_errno(err, "make %s", folders[i]);
    return 0;
}

/* The namespace lives on without its first process. */
static int make_userns(uint32_t base, int *ret, struct dt_err *err)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = dt_userns_clone(&args, base);
    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    if (pid < 0)
        return dt_err_errno(err, "make a user namespace");
    int rc = dt_userns_map(pid, base, err) < 0 ? -1 : dt_userns_open(pid, ret, err);
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return rc;
}

static int try_overlay(int at, uint32_t base, struct dt_err *err)
{
    DT_AUTO_FD int userns = -1;
    DT_AUTO_FD int root = -1;
    struct statvfs fs;
    if (make_folders(at, err) < 0 || make_userns(base, &userns, err) < 0)
        return -1;
    DT_AUTO_FD int disk = open_tree(at, "disk", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    const struct mount_attr private = {.propagation = MS_PRIVATE};
    if (disk < 0 ||
        mount_setattr(disk, "", AT_EMPTY_PATH, (struct mount_attr *)&private, sizeof(private)) < 0)
        return dt_err_errno(err, "clone a mount");
    const struct dt_overlay o = {.userns = userns,
                                 .base = base,
                                 .disk = disk,
                                 .layers_dir = at,
                                 .nlayers = 1,
                                 .layers = layer};
    if (dt_overlay_new(&o, &root, err) < 0)
        return -1;
    if (fstatvfs(root, &fs) < 0 || (fs.f_flag & ST_RDONLY) != 0)
        return dt_err_set(err, DT_E_UNSUPPORTED, "an overlay comes up read-only");
    return 0;
}

static int explain(struct dt_err *err)
{
    struct utsname host = {.release = "?"};
    (void)uname(&host);
    err->code = DT_E_UNSUPPORTED;
    return dt_err_wrap(
        err,
        "overlayfs cannot use idmapped mounts here: that needs Linux 5.19 or newer "
        "(this is %.64s; on Ubuntu 22.04 install linux-generic-hwe-22.04) and a data "
        "directory on ext4, xfs or btrfs",
        host.release);
}

int dt_overlay_check(int folder, uint32_t base, struct dt_err *err)
{
    struct dt_err own;
    if (err == NULL)
        err = &own;
    if (dt_fd_remove_tree(folder, FOLDER, err) < 0)
        return -1;
    if (mkdirat(folder, FOLDER, 0700) < 0)
        return dt_err_errno(err, "make " FOLDER "/ in the data directory");
    DT_AUTO_FD int at = openat(folder, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int rc = at < 0 ? dt_err_errno(err, "open " FOLDER "/") : try_overlay(at, base, err);
    struct dt_err ignored;
    if (dt_fd_remove_tree(folder, FOLDER, &ignored) < 0 && rc == 0)
        return dt_err_set(err, DT_E_SYSTEM, "%s", ignored.msg);
    return rc < 0 ? explain(err) : 0;
}

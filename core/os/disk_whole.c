/* What is done to a disk as a whole: sync, trim, copy, grow. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "os/disk_driver.h"

enum { FREE_WAIT_MS = 30000 };

static const char fresh[] = "disk.img.new";

static bool is_project(int sandbox)
{
    return dt_disk_has(sandbox, dt_disk_folder, S_IFDIR);
}

static int open_image(int sandbox, struct dt_err *err)
{
    int fd = openat(sandbox, dt_disk_image, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND, "the sandbox has no disk");
    return fd < 0 ? dt_err_errno(err, "open %s", dt_disk_image) : fd;
}

/* Mounts are only paths: what acts on a file system needs an open folder. */
static int open_folder(int mount, struct dt_err *err)
{
    int fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? dt_err_errno(err, "open the root of a disk") : fd;
}

static int sync_all(int mount, struct dt_err *err)
{
    DT_AUTO_FD int fd = open_folder(mount, err);
    return fd < 0 || syncfs(fd) < 0 ? dt_err_errno(err, "sync a disk") : 0;
}

int dt_disk_sync(struct dt_disk_store *s, int sandbox_dirfd, struct dt_err *err)
{
    char device[DT_DISK_DEVICE_SIZE];
    struct dt_err why = {.code = DT_OK};
    (void)s;
    if (is_project(sandbox_dirfd))
        return sync_all(sandbox_dirfd, err);
    DT_AUTO_FD int image = open_image(sandbox_dirfd, err);
    if (image < 0)
        return -1;
    if (dt_disk_loop_find(image, device, &why) < 0) {
        if (why.code == DT_E_NOT_FOUND)
            return 0; /* nobody has it mounted */
        *err = why;
        return -1;
    }
    DT_AUTO_FD int mount = -1;
    return dt_disk_loop_join(device, &mount, err) < 0 ? -1 : sync_all(mount, err);
}

/* A host that cannot give blocks back keeps them. */
static int trim(int mount, struct dt_err *err)
{
    struct fstrim_range all = {.len = UINT64_MAX};
    DT_AUTO_FD int fd = open_folder(mount, err);
    if (fd < 0)
        return -1;
    if (ioctl(fd, FITRIM, &all) < 0 && errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL)
        return dt_err_errno(err, "trim a disk");
    return 0;
}

int dt_disk_trim(struct dt_disk_store *s, int sandbox_dirfd, struct dt_err *err)
{
    int mount = -1;
    if (is_project(sandbox_dirfd))
        return 0;
    if (dt_disk_loop_mount(s, sandbox_dirfd, &mount, err) < 0)
        return -1;
    int rc = trim(mount, err);
    (void)close(mount);
    struct dt_err late;
    if (dt_disk_wait_free(s, sandbox_dirfd, dt_clock_ms() + FREE_WAIT_MS, rc < 0 ? &late : err) < 0)
        rc = -1;
    return rc;
}

static int put_in_place(int sandbox, struct dt_err *err)
{
    if (renameat(sandbox, fresh, sandbox, dt_disk_image) == 0)
        return 0;
    (void)dt_err_errno(err, "put a disk in its place");
    (void)unlinkat(sandbox, fresh, 0);
    return -1;
}

int dt_disk_copy(struct dt_disk_store *s, int from_dirfd, int to_dirfd,
                 const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    struct stat st;
    (void)s;
    if (dt_disk_exists(to_dirfd))
        return dt_err_set(err, DT_E_CONFLICT, "the sandbox has a disk already");
    if (is_project(from_dirfd))
        return dt_disk_folder_copy(from_dirfd, to_dirfd, pulse, err);
    DT_AUTO_FD int from = open_image(from_dirfd, err);
    if (from < 0 || (fstat(from, &st) < 0 && dt_err_errno(err, "read the size of a disk")) ||
        dt_disk_image_copy(to_dirfd, fresh, from, (uint64_t)st.st_size, pulse, err) < 0)
        return -1;
    return put_in_place(to_dirfd, err);
}

/* An interrupted resize2fs may leave anything: it works on a copy. */
static int grow_image(struct dt_disk_store *s, int sandbox, uint64_t bytes,
                      const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    if (dt_disk_trim(s, sandbox, err) < 0)
        return -1;
    DT_AUTO_FD int image = open_image(sandbox, err);
    if (image < 0 || dt_disk_image_copy(sandbox, fresh, image, bytes, pulse, err) < 0)
        return -1;
    DT_AUTO_FD int to = openat(sandbox, fresh, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if ((to < 0 && dt_err_errno(err, "open %s", fresh)) || dt_disk_image_extend(to, err) < 0 ||
        (fsync(to) < 0 && dt_err_errno(err, "fsync a disk"))) {
        (void)unlinkat(sandbox, fresh, 0);
        return -1;
    }
    return put_in_place(sandbox, err);
}

static int grow_folder(int sandbox, struct dt_disk_size size, struct dt_err *err)
{
    struct dt_disk_size now = {0};
    if (dt_disk_folder_size(sandbox, &now, err) < 0)
        return -1;
    if (now.bytes > size.bytes)
        return dt_err_set(err, DT_E_INVALID, "a disk cannot shrink");
    return dt_disk_project_grow(sandbox, size, err);
}

int dt_disk_grow(struct dt_disk_store *s, int sandbox_dirfd, uint64_t bytes,
                 const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    struct stat st;
    if (bytes > DT_DISK_MAX_BYTES || bytes % (1U << 20) != 0)
        return dt_err_set(err, DT_E_INVALID, "a disk cannot have %llu bytes",
                          (unsigned long long)bytes);
    struct dt_disk_size size = {bytes, bytes / DT_DISK_BYTES_PER_INODE};
    if (size.inodes > UINT32_MAX)
        size.inodes = UINT32_MAX;
    if (is_project(sandbox_dirfd))
        return grow_folder(sandbox_dirfd, size, err);
    if (fstatat(sandbox_dirfd, dt_disk_image, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? dt_err_set(err, DT_E_NOT_FOUND, "the sandbox has no disk")
                               : dt_err_errno(err, "read the size of a disk");
    if ((uint64_t)st.st_size > bytes)
        return dt_err_set(err, DT_E_INVALID, "a disk cannot shrink");
    return (uint64_t)st.st_size == bytes ? 0 : grow_image(s, sandbox_dirfd, bytes, pulse, err);
}

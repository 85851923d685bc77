#include "os/disk_driver.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/fd.h"

#define LOOP      "/dev/loop"
#define NAME_FILE "device"

enum {
    ATTACH_TRIES = 64,
    SHARE_WAIT_MS = 2000,
    SHARE_PAUSE_US = 1000,
};

const char dt_disk_image[] = "disk.img";

static int check_ext4(struct dt_err *err)
{
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, 65536);
    if (dt_fd_read_file(AT_FDCWD, "/proc/filesystems", &text, err) < 0)
        return -1;
    if (strstr(text.p, "\text4\n") == NULL)
        return dt_err_set(err, DT_E_UNSUPPORTED, "the kernel has no ext4: run `modprobe ext4`");
    return 0;
}

int dt_disk_loop_probe(struct dt_disk_store *s, struct dt_err *err)
{
    DT_AUTO_FD int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "no loop devices: /dev/loop-control: %s; run `modprobe loop` as root of "
                          "the host",
                          strerror(errno));
    if (check_ext4(err) < 0 || dt_disk_image_probe(err) < 0)
        return -1;
    s->loop_control = dt_take_fd(&control);
    return 0;
}

int dt_disk_loop_lease(int fd, bool *in_use, struct dt_err *err)
{
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) {
        if (errno != EAGAIN && errno != EBUSY)
            return dt_err_errno(err, "the data directory's file system cannot tell whether a disk "
                                     "is in use (F_SETLEASE)");
        *in_use = true;
        return 0;
    }
    if (fcntl(fd, F_SETLEASE, F_UNLCK) < 0)
        return dt_err_errno(err, "give back the lease of %s", dt_disk_image);
    *in_use = false;
    return 0;
}

/* The node appears by itself only where /dev is a devtmpfs. */
static int make_node(int nr, const char *device)
{
    char path[64];
    struct dt_err ignored;
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, 64);
    (void)snprintf(path, sizeof(path), "/sys/block/loop%d/dev", nr);
    unsigned long long major, minor;
    struct dt_str word, rest;
    if (dt_fd_read_file(AT_FDCWD, path, &text, &ignored) < 0)
        return -1;
    rest = dt_str(text.p, text.n - (text.n > 0));
    if (!dt_str_cut(&rest, ':', &word) || dt_str_u64(word, 4095, &major) < 0 ||
        dt_str_u64(rest, 1 << 20, &minor) < 0)
        return -1;
    return mknod(device, S_IFBLK | 0600, makedev((unsigned)major, (unsigned)minor));
}

static int open_device(int nr, const char *device)
{
    int fd = open(device, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT && make_node(nr, device) == 0)
        fd = open(device, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd;
}

static int configure(int device, int image)
{
    struct loop_config config = {.fd = (uint32_t)image, .block_size = DT_DISK_BLOCK};
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    (void)snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", dt_disk_image);
    if (ioctl(device, LOOP_CONFIGURE, &config) == 0)
        return 0;
    if (errno != EINVAL && errno != EOPNOTSUPP)
        return -1;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    return ioctl(device, LOOP_CONFIGURE, &config);
}

/* Others on the host take loop devices, or remove them: the number we are given may be theirs, or
 * nobody's, a moment later. */
static int attach(struct dt_disk_store *s, int image, char device[DT_DISK_DEVICE_SIZE],
                  struct dt_err *err)
{
    for (int i = 0; i < ATTACH_TRIES; i++) {
        int nr = ioctl(s->loop_control, LOOP_CTL_GET_FREE);
        if (nr < 0)
            return dt_err_errno(err, "find a free loop device");
        (void)snprintf(device, DT_DISK_DEVICE_SIZE, LOOP "%d", nr);
        DT_AUTO_FD int fd = open_device(nr, device);
        if (fd >= 0 && configure(fd, image) == 0)
            return dt_take_fd(&fd);
        if (errno != EBUSY && errno != ENXIO && errno != ENOENT)
            return dt_err_errno(err, "attach a disk to %s", device);
    }
    return dt_err_set(err, DT_E_UNAVAILABLE, "no loop device stays free long enough");
}

/* The kernel says why a mount fails as lines of text on the context. */
static int mount_error(int fs, const char *what, struct dt_err *err)
{
    char text[200];
    int saved = errno;
    ssize_t n = read(fs, text, sizeof(text) - 1);
    errno = saved;
    if (n <= 0)
        return dt_err_errno(err, "mount a disk: %s", what);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return dt_err_errno(err, "mount a disk: %s (%s)", what, text);
}

static int mount_device(const char *device, struct dt_err *err)
{
    DT_AUTO_FD int fs = (int)syscall(SYS_fsopen, "ext4", FSOPEN_CLOEXEC);
    if (fs < 0)
        return dt_err_errno(err, "fsopen ext4");
    /* The template's inode tables are holes, that is zeroed: no thread needs to do it. */
    if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
        syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "noinit_itable", NULL, 0) < 0)
        return mount_error(fs, "options", err);
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return mount_error(fs, device, err);
    int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
    return fd < 0 ? mount_error(fs, device, err) : fd;
}

static int open_image(struct dt_disk_store *s, int dir, struct dt_err *err)
{
    if (s->loop_control < 0)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "the disk is an image and the host has no loop "
                          "devices");
    int image = openat(dir, dt_disk_image, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return image < 0 ? dt_err_errno(err, "open %s", dt_disk_image) : image;
}

int dt_disk_loop_mount(struct dt_disk_store *s, int sandbox, int *mount_fd, struct dt_err *err)
{
    char device[DT_DISK_DEVICE_SIZE];
    bool in_use = true;
    DT_AUTO_FD int image = open_image(s, sandbox, err);
    if (image < 0 || dt_disk_loop_lease(image, &in_use, err) < 0)
        return -1;
    if (in_use)
        return dt_err_set(err, DT_E_CONFLICT, "the disk is in use: wait until it is free");
    if (dt_disk_image_check(image, err) < 0)
        return -1;
    DT_AUTO_FD int loop = attach(s, image, device, err);
    if (loop < 0)
        return -1;
    int fd = mount_device(device, err);
    if (fd < 0)
        return -1;
    *mount_fd = fd;
    return 0;
}

/* --- one image, several mounts: all of them of one loop device, whose name is kept beside it ---
 */

static int keep_name(int dir, const char *device, struct dt_err *err)
{
    DT_AUTO_FD int fd =
        openat(dir, NAME_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dt_err_errno(err, "create " NAME_FILE);
    return dt_fd_write_all(fd, device, strlen(device), err);
}

/* As long as it is open here, it stays one. */
static bool is_on(int device, const struct stat *image)
{
    struct loop_info64 info;
    return ioctl(device, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == image->st_ino &&
           info.lo_device == image->st_dev;
}

/* What the name leads to counts only if it is a loop device on this very image. */
static int open_kept(int dir, int image, char device[DT_DISK_DEVICE_SIZE])
{
    struct dt_err ignored;
    struct dt_buf DT_AUTO_BUF text;
    struct stat st;
    unsigned long long nr;
    dt_buf_init(&text, DT_DISK_DEVICE_SIZE - 1);
    if (dt_fd_read_file(dir, NAME_FILE, &text, &ignored) < 0 ||
        !dt_str_starts(dt_buf_str(&text), DT_STR(LOOP)) ||
        dt_str_u64(dt_str(text.p + strlen(LOOP), text.n - strlen(LOOP)), 1 << 20, &nr) < 0)
        return -1;
    (void)snprintf(device, DT_DISK_DEVICE_SIZE, LOOP "%llu", nr);
    DT_AUTO_FD int fd = open(device, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(image, &st) < 0 || !is_on(fd, &st))
        return -1;
    return dt_take_fd(&fd);
}

/* 1 = mounted, 0 = just ending: try again. */
static int join_or_mount(struct dt_disk_store *s, int dir, int image, int *mount_fd,
                         struct dt_err *err)
{
    char device[DT_DISK_DEVICE_SIZE];
    bool in_use = true;
    if (dt_disk_loop_lease(image, &in_use, err) < 0 ||
        (!in_use && dt_disk_image_check(image, err) < 0))
        return -1;
    DT_AUTO_FD int loop = in_use ? open_kept(dir, image, device) : attach(s, image, device, err);
    if (loop < 0)
        return in_use ? 0 : -1;
    if (!in_use && keep_name(dir, device, err) < 0)
        return -1;
    *mount_fd = mount_device(device, err);
    if (*mount_fd < 0 && err->sys_errno == EBUSY)
        return 0;
    return *mount_fd < 0 ? -1 : 1;
}

int dt_disk_loop_share(struct dt_disk_store *s, int dir, int *mount_fd, struct dt_err *err)
{
    const uint64_t deadline = dt_clock_ms() + SHARE_WAIT_MS;
    DT_AUTO_FD int image = open_image(s, dir, err);
    if (image < 0)
        return -1;
    for (;;) {
        int fd = -1;
        int rc = join_or_mount(s, dir, image, &fd, err);
        if (rc == 1)
            *mount_fd = fd;
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        if (dt_clock_ms() >= deadline)
            return dt_err_set(err, DT_E_CONFLICT,
                              "%s is open in another program, or read-only after an error: end "
                              "what uses it",
                              dt_disk_image);
        (void)usleep(SHARE_PAUSE_US);
    }
}

int dt_disk_loop_find(int image, char device[DT_DISK_DEVICE_SIZE], struct dt_err *err)
{
    struct stat st;
    DIR *blocks = opendir("/sys/block");
    if (blocks == NULL || fstat(image, &st) < 0) {
        (void)dt_err_errno(err, "look for the loop device of a disk");
        if (blocks != NULL)
            (void)closedir(blocks);
        return -1;
    }
    const struct dirent *e;
    bool found = false;
    while (!found && (e = readdir(blocks)) != NULL) {
        char bound[64];
        (void)snprintf(bound, sizeof(bound), "%.20s/loop", e->d_name);
        if (strncmp(e->d_name, "loop", 4) != 0 || faccessat(dirfd(blocks), bound, F_OK, 0) < 0)
            continue;
        (void)snprintf(device, DT_DISK_DEVICE_SIZE, "/dev/%.20s", e->d_name);
        DT_AUTO_FD int fd = open(device, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        found = fd >= 0 && is_on(fd, &st);
    }
    (void)closedir(blocks);
    return found ? 0 : dt_err_set(err, DT_E_NOT_FOUND, "no loop device has the disk");
}

int dt_disk_loop_join(const char *device, int *mount_fd, struct dt_err *err)
{
    int fd = mount_device(device, err);
    if (fd < 0)
        return -1;
    *mount_fd = fd;
    return 0;
}

struct range {
    unsigned first, last;
};

/* Its folder `loop` is there as long as it has a file. */
static bool is_spare(int block, const char *name, struct range r, int *nr)
{
    char path[64];
    unsigned long long number;
    if (strncmp(name, "loop", 4) != 0 || dt_str_u64(dt_str_z(name + 4), r.last, &number) < 0 ||
        number < r.first)
        return false;
    *nr = (int)number;
    (void)snprintf(path, sizeof(path), "loop%d/loop", *nr);
    return faccessat(block, path, F_OK, 0) < 0 && errno == ENOENT;
}

static int remove_spares(int control, DIR *block, struct range r, unsigned most, struct dt_err *err)
{
    int nr;
    unsigned removed = 0, busy = 0;
    const struct dirent *e;
    while ((e = readdir(block)) != NULL) {
        if (!is_spare(dirfd(block), e->d_name, r, &nr))
            continue;
        if (removed == most)
            return dt_err_set(err, DT_E_LIMIT, "there are more unused loop devices");
        if (ioctl(control, LOOP_CTL_REMOVE, nr) >= 0)
            removed++;
        else
            busy += errno != ENODEV;
    }
    return busy == 0 ? 0 : dt_err_set(err, DT_E_CONFLICT, "%u loop devices are open", busy);
}

int dt_disk_spare(struct dt_disk_store *s, unsigned first, unsigned last, unsigned most,
                  struct dt_err *err)
{
    if (s->loop_control < 0 || s->project)
        return 0;
    DIR *block = opendir("/sys/block");
    if (block == NULL)
        return dt_err_errno(err, "read /sys/block");
    int rc = remove_spares(s->loop_control, block, (struct range){first, last}, most, err);
    (void)closedir(block);
    return rc;
}

#include "os/disk_driver.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/caps.h"

enum { HELPER_DEADLINE_MS = 60000, IMAGE_FD = 3, PATH_SIZE = 64, NAME_SIZE = 80 };

static const char *const folders[] = {"/usr/sbin/", "/sbin/", "/usr/local/sbin/", "/usr/bin/"};

static int find_program(const char *name, char out[PATH_SIZE], struct dt_err *err)
{
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(out, PATH_SIZE, "%s%s", folders[i], name);
        if (access(out, X_OK) == 0)
            return 0;
    }
    return dt_err_set(err, DT_E_UNSUPPORTED, "%s is not installed: install the package e2fsprogs",
                      name);
}

int dt_disk_image_probe(struct dt_err *err)
{
    char path[PATH_SIZE];
    if (find_program("mke2fs", path, err) < 0)
        return -1;
    return find_program("e2fsck", path, err);
}

/* Between fork and exec: the image becomes descriptor 3, all others but the standard ones go. */
static _Noreturn void become(const char *path, char *const *argv, int image, int output)
{
    char *const env[] = {(char[]){"MKE2FS_CONFIG=/dev/null"}, (char[]){"LC_ALL=C"},
                         (char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0 && dup2(nothing, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0 &&
        (image == IMAGE_FD ? fcntl(image, F_SETFD, 0) : dup2(image, IMAGE_FD)) >= 0 &&
        syscall(SYS_close_range, IMAGE_FD + 1, ~0U, 0) == 0 && dt_caps_none() == 0)
        (void)execve(path, argv, env);
    _exit(127);
}

static int wait_helper(pid_t pid, const char *path, int *status, struct dt_err *err)
{
    DT_AUTO_FD int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    uint64_t now = dt_clock_ms(), deadline = now + HELPER_DEADLINE_MS;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready = -1;
    for (; fd >= 0 && now < deadline; now = dt_clock_ms()) {
        ready = poll(&p, 1, (int)(deadline - now));
        if (ready >= 0 || errno != EINTR)
            break;
    }
    if (ready <= 0)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return dt_err_errno(err, "wait for %s", path);
    if (ready <= 0)
        return dt_err_set(err, DT_E_TIMEOUT, "%s did not end within %d s", path,
                          HELPER_DEADLINE_MS / 1000);
    return 0;
}

/* Runs a program of e2fsprogs on an image, without any privilege but owning the image. `ok` is the
 * highest exit code that is success. */
static int run(const char *name, char *const *argv, int image, int ok, struct dt_err *err)
{
    char path[PATH_SIZE], text[256];
    if (find_program(name, path, err) < 0)
        return -1;
    DT_AUTO_FD int output = memfd_create("output", MFD_CLOEXEC);
    if (output < 0)
        return dt_err_errno(err, "memfd_create");
    pid_t pid = fork();
    if (pid < 0)
        return dt_err_errno(err, "fork for %s", path);
    if (pid == 0)
        become(path, argv, image, output);
    int status;
    if (wait_helper(pid, path, &status, err) < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) <= ok)
        return 0;
    ssize_t n = pread(output, text, sizeof(text) - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return dt_err_set(err, DT_E_SYSTEM, "%s failed (%s %d): %s", path,
                      WIFEXITED(status) ? "exit" : "signal",
                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), text);
}

/* For images that are mounted by the hundred: all metadata in one place, so that the copy is a few
 * extents; no reserved blocks and no space to grow; a journal of 4 MiB, which bounds what it pins.
 * Without a journal an idle image takes 0.1 MiB less memory, but a power loss would cost files. */
static int format(int image, struct dt_disk_size size, struct dt_err *err)
{
    char inodes[24], features[] = "none,has_journal,ext_attr,dir_index,filetype,extent,flex_bg,"
                                  "sparse_super2,large_file,huge_file,dir_nlink,extra_isize,"
                                  "uninit_bg,64bit";
    if (size.bytes < DT_DISK_MAX_BYTES / 2)
        features[sizeof(features) - sizeof(",64bit")] = '\0';
    (void)snprintf(inodes, sizeof(inodes), "%llu", (unsigned long long)size.inodes);
    char *const argv[] = {
        (char[]){"mke2fs"},
        (char[]){"-q"},
        (char[]){"-F"},
        (char[]){"-O"},
        features,
        (char[]){"-b"},
        (char[]){"4096"},
        (char[]){"-m"},
        (char[]){"0"},
        (char[]){"-I"},
        (char[]){"256"},
        (char[]){"-N"},
        inodes,
        (char[]){"-J"},
        (char[]){"size=4"},
        (char[]){"-e"},
        (char[]){"remount-ro"},
        (char[]){"-E"},
        (char[]){"lazy_itable_init=1,lazy_journal_init=1,nodiscard,packed_meta_blocks=1,"
                 "num_backup_sb=0,root_owner=0:0"},
        (char[]){"/proc/self/fd/3"},
        NULL};
    return run("mke2fs", argv, image, 0, err);
}

static void template_name(struct dt_disk_size size, char name[NAME_SIZE])
{
    (void)snprintf(name, NAME_SIZE, "ext4-%llu-%llu.img", (unsigned long long)(size.bytes >> 20),
                   (unsigned long long)size.inodes);
}

static int out_of_space(struct dt_err *err)
{
    if (err != NULL && (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT))
        err->code = DT_E_LIMIT;
    return -1;
}

/* A new file that nobody else knows, of `size` bytes; the name goes when it is not complete. */
static int create(int dir, const char *name, uint64_t size, struct dt_err *err)
{
    DT_AUTO_FD int fd =
        openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
        (void)dt_err_errno(err, "create %s", name);
        return out_of_space(err);
    }
    return dt_take_fd(&fd);
}

int dt_disk_image_prepare(struct dt_disk_store *s, struct dt_disk_size size, struct dt_err *err)
{
    char name[NAME_SIZE], fresh[NAME_SIZE + 8];
    template_name(size, name);
    if (faccessat(s->templates, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    (void)snprintf(fresh, sizeof(fresh), "%s.new", name);
    DT_AUTO_FD int fd = create(s->templates, fresh, size.bytes, err);
    if (fd < 0 || format(fd, size, err) < 0 || (fsync(fd) < 0 && dt_err_errno(err, "fsync")) ||
        (renameat(s->templates, fresh, s->templates, name) < 0 && dt_err_errno(err, "rename"))) {
        (void)unlinkat(s->templates, fresh, 0);
        return dt_err_wrap(err, "template %s", name);
    }
    return 0;
}

enum { COPY_STEP = 16 << 20 };

static int copy_range(int from, int to, off_t at, off_t end, const struct dt_disk_pulse *pulse,
                      struct dt_err *err)
{
    while (at < end) {
        off_t in = at, out = at;
        size_t step = end - at < COPY_STEP ? (size_t)(end - at) : COPY_STEP;
        ssize_t n = copy_file_range(from, &in, to, &out, step, 0);
        char room[65536];
        if (n < 0 &&
            (errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS)) {
            size_t want = step < sizeof(room) ? step : sizeof(room);
            n = pread(from, room, want, at);
            n = n > 0 ? pwrite(to, room, (size_t)n, at) : n;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            (void)dt_err_errno(err, "copy a disk");
            return out_of_space(err);
        }
        at += n;
        dt_disk_pulse(pulse);
    }
    return 0;
}

static int copy_sparse(int from, int to, const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    for (off_t at = 0;;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : dt_err_errno(err, "look for data in a disk");
        off_t end = lseek(from, data, SEEK_HOLE);
        if (end < 0)
            return dt_err_errno(err, "look for a hole in a disk");
        if (copy_range(from, to, data, end, pulse, err) < 0)
            return -1;
        at = end;
    }
}

static int copy_template(struct dt_disk_store *s, int to, struct dt_disk_size size,
                         struct dt_err *err)
{
    char name[NAME_SIZE];
    template_name(size, name);
    DT_AUTO_FD int from = openat(s->templates, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0)
        return dt_err_errno(err, "open template %s", name);
    return copy_sparse(from, to, NULL, err);
}

int dt_disk_image_make(struct dt_disk_store *s, int sandbox, struct dt_disk_size size,
                       struct dt_err *err)
{
    static const char fresh[] = "disk.img.new";
    if (s->loop_control < 0)
        return dt_err_set(err, DT_E_UNSUPPORTED, "the host has no loop devices");
    if (dt_disk_image_prepare(s, size, err) < 0)
        return -1;
    DT_AUTO_FD int fd = create(sandbox, fresh, size.bytes, err);
    if (fd < 0 || copy_template(s, fd, size, err) < 0 ||
        (renameat(sandbox, fresh, sandbox, dt_disk_image) < 0 && dt_err_errno(err, "rename"))) {
        (void)unlinkat(sandbox, fresh, 0);
        return dt_err_wrap(err, "make a disk");
    }
    return 0;
}

int dt_disk_image_copy(int sandbox, const char *name, int from, uint64_t size,
                       const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    DT_AUTO_FD int to = create(sandbox, name, size, err);
    if (to < 0 || copy_sparse(from, to, pulse, err) < 0 ||
        (ftruncate(to, (off_t)size) < 0 && dt_err_errno(err, "set the size of %s", name))) {
        (void)unlinkat(sandbox, name, 0);
        return -1;
    }
    return 0;
}

/* -f: without it the program asks for a check first, which every mount by the kernel has done. */
int dt_disk_image_extend(int fd, struct dt_err *err)
{
    char *const argv[] = {(char[]){"resize2fs"}, (char[]){"-f"}, (char[]){"/proc/self/fd/3"}, NULL};
    return run("resize2fs", argv, fd, 0, err);
}

int dt_disk_image_check(int fd, struct dt_err *err)
{
    enum { SUPERBLOCK = 1024, MAGIC_AT = 0x38, STATE_AT = 0x3a, ERRORS = 2 };
    unsigned char sb[64];
    if (pread(fd, sb, sizeof(sb), SUPERBLOCK) != (ssize_t)sizeof(sb))
        return dt_err_errno(err, "read the superblock of a disk");
    if (sb[MAGIC_AT] != 0x53 || sb[MAGIC_AT + 1] != 0xef)
        return dt_err_set(err, DT_E_SYSTEM, "%s is no ext4 image (lost by a power failure?)",
                          dt_disk_image);
    if ((sb[STATE_AT] & ERRORS) == 0)
        return 0;
    char *const argv[] = {(char[]){"e2fsck"}, (char[]){"-p"}, (char[]){"/proc/self/fd/3"}, NULL};
    return run("e2fsck", argv, fd, 1, err);
}

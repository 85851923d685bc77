#include "os/memfd.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/fd.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#define MFD_EXEC        0x0010U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

enum { FILE_MAX = 256 << 20 };

/* Kernels before 6.3 do not know the flags about execution and answer EINVAL. */
static int make(const char *name, unsigned exec_flag, struct dt_err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | exec_flag);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 && errno == EACCES)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "memfd '%s': the host forbids executable memory files; set "
                          "vm.memfd_noexec to 0 or 1 (sysctl)",
                          name);
    if (fd < 0)
        return dt_err_errno(err, "memfd_create '%s'", name);
    return fd;
}

static int seal(int fd, mode_t mode, struct dt_err *err)
{
    enum { SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL };
    if (fchmod(fd, mode) < 0)
        return dt_err_errno(err, "chmod a memfd");
    if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_EXEC) < 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return dt_err_errno(err, "seal a memfd");
    return 0;
}

static int copy(int from, int to, off_t size, const char *path, struct dt_err *err)
{
    while (size > 0) {
        ssize_t n = sendfile(to, from, NULL, (size_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dt_err_errno(err, "copy %s", path);
        if (n == 0)
            return dt_err_set(err, DT_E_CONFLICT, "%s became shorter while it was read", path);
        size -= n;
    }
    return 0;
}

int dt_memfd_from_file(const char *name, int dirfd, const char *path, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int from = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (from < 0)
        return dt_err_errno(err, "open %s", path);
    struct stat st;
    if (fstat(from, &st) < 0)
        return dt_err_errno(err, "stat %s", path);
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return dt_err_set(err, DT_E_INVALID, "%s is not a file with content", path);
    if (st.st_size > FILE_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "%s is larger than %d MiB", path, FILE_MAX >> 20);

    DT_AUTO_FD int fd = make(name, MFD_EXEC, err);
    if (fd < 0 || copy(from, fd, st.st_size, path, err) < 0 || seal(fd, 0555, err) < 0)
        return -1;
    *ret = dt_take_fd(&fd);
    return 0;
}

int dt_memfd_from_bytes(const char *name, const void *p, size_t n, int *ret, struct dt_err *err)
{
    DT_AUTO_FD int fd = make(name, MFD_NOEXEC_SEAL, err);
    if (fd < 0 || dt_fd_write_all(fd, p, n, err) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return dt_err_errno(err, "rewind a memfd");
    if (seal(fd, 0444, err) < 0)
        return -1;
    *ret = dt_take_fd(&fd);
    return 0;
}

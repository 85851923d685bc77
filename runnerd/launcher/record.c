#include "runnerd/launcher/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/pidfd.h"

#define NAME "run"

static int boot_id(char out[40], struct dt_err *err)
{
    static char known[40]; /* a boot has one */
    if (known[0] == '\0') {
        struct dt_buf b;
        dt_buf_init(&b, sizeof(known) - 1);
        int rc = dt_fd_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &b, err);
        if (rc == 0)
            (void)snprintf(known, sizeof(known), "%.36s", b.p);
        dt_buf_done(&b);
        if (rc < 0)
            return -1;
    }
    memcpy(out, known, sizeof(known));
    return 0;
}

/* Field 22 of /proc/<pid>/stat; the second field is a name in brackets that may hold anything. */
static int start_time(pid_t pid, uint64_t *ret, struct dt_err *err)
{
    char path[32];
    char text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return dt_err_errno(err, "read %s", path);
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    unsigned long long ticks = 0;
    if (at == NULL || sscanf(at, " %llu", &ticks) != 1) // NOLINT(cert-err34-c)
        return dt_err_set(err, DT_E_SYSTEM, "%s has no start time", path);
    *ret = ticks;
    return 0;
}

int dt_record_init(struct dt_record *r, pid_t pid, struct dt_err *err)
{
    r->magic = DT_RECORD_MAGIC;
    r->size = sizeof(*r);
    r->pid = pid;
    return boot_id(r->boot, err) < 0 ? -1 : start_time(pid, &r->started, err);
}

int dt_record_write(int dir, const struct dt_record *r, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(dir, NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dt_err_errno(err, "create " NAME);
    if (pwrite(fd, r, sizeof(*r), 0) != (ssize_t)sizeof(*r))
        return dt_err_errno(err, "write " NAME);
    return 0;
}

int dt_record_read(int dir, struct dt_record *r, struct dt_err *err)
{
    struct dt_record got;
    char boot[40];
    DT_AUTO_FD int fd = openat(dir, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND, "no record");
    if (fd < 0 || boot_id(boot, err) < 0)
        return dt_err_errno(err, "open " NAME);
    if (read(fd, &got, sizeof(got)) != (ssize_t)sizeof(got) || got.magic != DT_RECORD_MAGIC ||
        got.size != sizeof(got) || memcmp(got.boot, boot, sizeof(boot)) != 0 ||
        got.ncidrs > DT_LW_CIDRS_MAX || got.nvolumes > DT_LW_VOLUMES_MAX ||
        got.net > DT_LW_NET_ALLOW || got.pid <= 1)
        return dt_err_set(err, DT_E_NOT_FOUND, "the record is of another time");
    got.cgroup[sizeof(got.cgroup) - 1] = '\0';
    *r = got;
    return 0;
}

void dt_record_remove(int dir)
{
    (void)unlinkat(dir, NAME, 0);
}

int dt_record_pidfd(const struct dt_record *r, struct dt_err *err)
{
    uint64_t started = 0;
    DT_AUTO_FD int fd = pidfd_open(r->pid, 0);
    /* The start time is read after the pidfd exists: the number cannot change its owner any more.
     */
    if (fd < 0 || start_time(r->pid, &started, err) < 0 || started != r->started)
        return dt_err_set(err, DT_E_GONE, "process %d has ended", (int)r->pid);
    return dt_take_fd(&fd);
}

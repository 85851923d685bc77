#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "os/disk_driver.h"
#include "os/tree.h"

/* The overlay's own, made anew at each mount. */
static const char work[] = "work";

/* A stream on its way to or from something, with a pulse now and then. */
struct flow {
    struct dt_zfile_writer *w;
    struct dt_zfile_reader *r;
    int fd;
    const struct dt_disk_pulse *pulse;
    unsigned char *room;
};

static int open_folder(int sandbox, struct dt_err *err)
{
    int fd = openat(sandbox, dt_disk_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? dt_err_errno(err, "open a disk") : fd;
}

int dt_disk_folder_size(int sandbox, struct dt_disk_size *size, struct dt_err *err)
{
    struct dt_disk_usage u;
    if (dt_disk_project_usage(sandbox, &u, err) < 0)
        return -1;
    *size = (struct dt_disk_size){u.total_bytes, u.total_inodes};
    return 0;
}

static int write_z(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    const struct flow *f = ctx;
    dt_disk_pulse(f->pulse);
    return dt_zfile_write(f->w, p, n, err);
}

int dt_disk_folder_save(int sandbox, struct dt_zfile_writer *w, const struct dt_disk_pulse *pulse,
                        struct dt_err *err)
{
    struct flow f = {.w = w, .pulse = pulse};
    const struct dt_tree_sink out = {write_z, &f};
    DT_AUTO_FD int dir = open_folder(sandbox, err);
    return dir < 0 ? -1 : dt_tree_save(dir, work, &out, err);
}

/* --- comparing: the tree is saved once more, into what was saved --- */

enum { COMPARE_STEP = 65536 };

static int compare_z(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    const struct flow *f = ctx;
    const unsigned char *at = p;
    dt_disk_pulse(f->pulse);
    while (n > 0) {
        size_t step = n < COMPARE_STEP ? n : COMPARE_STEP;
        if (dt_zfile_read(f->r, f->room, step, err) < 0)
            return -1;
        if (memcmp(f->room, at, step) != 0)
            return dt_err_set(err, DT_E_INVALID, "the archive differs from the disk");
        at += step;
        n -= step;
    }
    return 0;
}

int dt_disk_folder_compare(int sandbox, struct dt_zfile_reader *r,
                           const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    DT_AUTO_FREE unsigned char *room = malloc(COMPARE_STEP);
    if (room == NULL)
        return dt_err_set(err, DT_E_NOMEM, "compare a disk");
    struct flow f = {.r = r, .pulse = pulse, .room = room};
    const struct dt_tree_sink out = {compare_z, &f};
    DT_AUTO_FD int dir = open_folder(sandbox, err);
    if (dir < 0 || dt_tree_save(dir, work, &out, err) < 0)
        return -1;
    return dt_zfile_read_end(r, err);
}

/* --- loading --- */

static int read_z(void *ctx, void *p, size_t n, struct dt_err *err)
{
    const struct flow *f = ctx;
    dt_disk_pulse(f->pulse);
    return dt_zfile_read(f->r, p, n, err);
}

static int load_into(int dir, struct dt_zfile_reader *r, const struct dt_disk_pulse *pulse,
                     struct dt_err *err)
{
    struct flow f = {.r = r, .pulse = pulse};
    const struct dt_tree_source in = {read_z, &f};
    if (dt_tree_load(dir, &in, err) < 0 || dt_zfile_read_end(r, err) < 0)
        return -1;
    return syncfs(dir) < 0 ? dt_err_errno(err, "sync a disk") : 0;
}

int dt_disk_folder_load(int sandbox, struct dt_disk_size size, struct dt_zfile_reader *r,
                        const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    if (!dt_disk_project_enforced(sandbox))
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "the archive is of a disk under a project quota, which the data "
                          "directory's file system does not enforce (mount it with prjquota)");
    DT_AUTO_FD int dir = dt_disk_project_begin(sandbox, size, err);
    if (dir < 0)
        return -1;
    bool ok = load_into(dir, r, pulse, err) == 0;
    if (dt_disk_project_finish(sandbox, size, ok, err) < 0)
        return -1;
    return fsync(sandbox) < 0 ? dt_err_errno(err, "sync a disk's folder") : 0;
}

/* --- copying: a child saves into a pipe --- */

static int write_pipe(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    const struct flow *f = ctx;
    return dt_fd_write_all(f->fd, p, n, err);
}

static int read_pipe(void *ctx, void *p, size_t n, struct dt_err *err)
{
    const struct flow *f = ctx;
    unsigned char *at = p;
    dt_disk_pulse(f->pulse);
    while (n > 0) {
        ssize_t got = read(f->fd, at, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dt_err_set(err, DT_E_SYSTEM, "the disk to be copied cannot be read");
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

static _Noreturn void save_and_exit(int dir, int fd)
{
    struct flow f = {.fd = fd};
    const struct dt_tree_sink out = {write_pipe, &f};
    struct dt_err err;
    _exit(dt_tree_save(dir, work, &out, &err) < 0 ? 1 : 0);
}

static int copy_tree(int from, int to, const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        save_and_exit(from, ends[1]);
    (void)close(ends[1]);
    struct flow f = {.fd = ends[0], .pulse = pulse};
    const struct dt_tree_source in = {read_pipe, &f};
    int status = -1;
    int rc = pid < 0 ? dt_err_errno(err, "fork") : dt_tree_load(to, &in, err);
    (void)close(ends[0]); /* ends the child, should it not be over */
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0 && status != 0)
        rc = dt_err_set(err, DT_E_SYSTEM, "the disk to be copied cannot be read");
    return rc;
}

int dt_disk_folder_copy(int from, int to, const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    struct dt_disk_size size = {0};
    DT_AUTO_FD int source = open_folder(from, err);
    if (source < 0 || dt_disk_folder_size(from, &size, err) < 0)
        return -1;
    DT_AUTO_FD int dir = dt_disk_project_begin(to, size, err);
    if (dir < 0)
        return -1;
    bool ok = copy_tree(source, dir, pulse, err) == 0;
    return dt_disk_project_finish(to, size, ok, err);
}

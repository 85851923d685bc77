/* The worker's side: the jobs. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "os/disk.h"
#include "runnerd/launcher/volume_disk.h"
#include "runnerd/launcher/worker.h"

enum {
    BACKLOG = 128,
    FREE_WAIT_MS = 30000,
    OPEN_WAIT_MS = 5000,
    ALIVE_MS = 1000,
    SPARE_FIRST = 64, /* those below are kept for the next disks */
    SPARE_LAST =
        0xffff, /* the kernel gives low numbers; who wants higher ones has asked for them */
    SPARE_BATCH = 8,
};

const char *const dt_place_folders[2] = {
    [DT_PLACE_ARCHIVES] = "objects/archives",
    [DT_PLACE_BACKUPS] = "objects/backups",
};

struct jobs {
    int data;
    int sock;
    uint64_t alive_ms; /* when the launcher last heard of it */
    int kept;          /* from KEEP to CLOSE */
    struct dt_disk_store *disks;
};

static int listen_in(int dir, const struct dt_job *job, int *ret, struct dt_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" DT_TOOLBOX_SOCKET,
                   dir);
    (void)unlinkat(dir, DT_TOOLBOX_SOCKET, 0);
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        fchmodat(dir, DT_TOOLBOX_SOCKET, 0600, 0) < 0 ||
        fchownat(dir, DT_TOOLBOX_SOCKET, job->uid, job->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        listen(fd, BACKLOG) < 0)
        return dt_err_errno(err, "make " DT_TOOLBOX_SOCKET);
    *ret = dt_take_fd(&fd);
    return 0;
}

static int folder_open(int data, const char *path, int *ret, struct dt_err *err)
{
    *ret = openat(data, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret < 0 ? dt_err_errno(err, "open %s", path) : 0;
}

static void pool_path(const struct dt_job *job, char out[64])
{
    (void)snprintf(out, 64, "pool/%016llx", (unsigned long long)job->serial);
}

static void drop(struct jobs *j, const char *path)
{
    struct dt_err why;
    if (dt_fd_remove_tree(j->data, path, &why) < 0)
        dt_log(DT_LOG_WARN, "half-made disk stays", "err", why.msg, NULL);
}

static int disk_new(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS],
                    struct dt_err *err)
{
    char path[64];
    DT_AUTO_FD int dir = -1;
    pool_path(job, path);
    if (mkdirat(j->data, path, 0711) < 0)
        return dt_err_errno(err, "make %s", path);
    if (folder_open(j->data, path, &dir, err) < 0 ||
        dt_disk_make(j->disks, dir, job->bytes, 0, err) < 0 ||
        dt_disk_mount(j->disks, dir, &fds[0], err) < 0 || listen_in(dir, job, &fds[1], err) < 0) {
        drop(j, path);
        return -1;
    }
    return 0;
}

static void sandbox_path(const uint8_t uuid[16], char out[64])
{
    char id[DT_ID_TEXT_SIZE];
    dt_id_text(uuid, id);
    (void)snprintf(out, 64, "sandboxes/%s", id);
}

/* A helper that was killed over the disk may still have it for a moment. */
static int mount_soon(struct jobs *j, int dir, int *ret, struct dt_err *err)
{
    struct dt_err why;
    if (dt_disk_mount(j->disks, dir, ret, err) == 0)
        return 0;
    if (err->code != DT_E_CONFLICT ||
        dt_disk_wait_free(j->disks, dir, dt_clock_ms() + OPEN_WAIT_MS, &why) < 0)
        return -1;
    return dt_disk_mount(j->disks, dir, ret, err);
}

static int disk_open(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS],
                     struct dt_err *err)
{
    char path[64];
    DT_AUTO_FD int dir = -1;
    sandbox_path(job->id, path);
    if (folder_open(j->data, path, &dir, err) < 0 || mount_soon(j, dir, &fds[0], err) < 0)
        return -1;
    return listen_in(dir, job, &fds[1], err);
}

static int disk_free(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS],
                     struct dt_err *err)
{
    (void)fds;
    char path[64];
    DT_AUTO_FD int dir = -1;
    sandbox_path(job->id, path);
    if (folder_open(j->data, path, &dir, err) < 0)
        return -1;
    return dt_disk_wait_free(j->disks, dir, dt_clock_ms() + FREE_WAIT_MS, err);
}

static int volume_new(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS],
                      struct dt_err *err)
{
    (void)fds;
    return dt_volume_disk_make(j->disks, j->data, job->serial, job->volume, job->bytes, err);
}

static int volume_open(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS],
                       struct dt_err *err)
{
    return dt_volume_disk_open(j->disks, j->data, job->volume, job->subpath, &fds[0], err);
}

static int sweep(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS], struct dt_err *err)
{
    (void)job;
    (void)fds;
    int fd;
    if (folder_open(j->data, "trash", &fd, err) < 0)
        return -1;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return dt_err_errno(err, "read trash");
    }
    int rc = 0;
    const struct dirent *e;
    while ((e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            dt_fd_remove_tree(dirfd(dir), e->d_name, err) < 0)
            rc = -1;
    }
    (void)closedir(dir);
    return rc;
}

static int spare(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS], struct dt_err *err)
{
    (void)job;
    (void)fds;
    return dt_disk_spare(j->disks, SPARE_FIRST, SPARE_LAST, SPARE_BATCH, err);
}

/* --- the jobs of errands --- */

static void tell_alive(void *ctx)
{
    struct jobs *j = ctx;
    const struct dt_job_done alive = {.alive = 1};
    uint64_t now = dt_clock_ms();
    if (now - j->alive_ms < ALIVE_MS)
        return;
    j->alive_ms = now;
    (void)send(j->sock, &alive, sizeof(alive), MSG_NOSIGNAL);
}

static int copy_to(struct jobs *j, const struct dt_job *job, int dir, struct dt_err *err)
{
    char path[64];
    const struct dt_disk_pulse pulse = {tell_alive, j};
    DT_AUTO_FD int from = -1;
    sandbox_path(job->other, path);
    if (folder_open(j->data, path, &from, err) < 0 || dt_disk_sync(j->disks, from, err) < 0)
        return -1;
    return dt_disk_copy(j->disks, from, dir, &pulse, err);
}

static int copy(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS], struct dt_err *err)
{
    char path[64];
    DT_AUTO_FD int dir = -1;
    pool_path(job, path);
    if (mkdirat(j->data, path, 0711) < 0)
        return dt_err_errno(err, "make %s", path);
    bool whole = job->op == DT_JOB_FORK;
    if (folder_open(j->data, path, &dir, err) == 0 && copy_to(j, job, dir, err) == 0 &&
        (!whole ||
         (mount_soon(j, dir, &fds[0], err) == 0 && listen_in(dir, job, &fds[1], err) == 0)))
        return 0;
    drop(j, path);
    return -1;
}

static int open_object(struct jobs *j, const char *path, int flags, struct dt_err *err)
{
    int fd = openat(j->data, path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND, "%s is gone", path);
    return fd < 0 ? dt_err_errno(err, "open %s", path) : fd;
}

static void object_path(const struct dt_job *job, const char *end, char out[96])
{
    char id[DT_ID_TEXT_SIZE];
    dt_id_text(job->id, id);
    (void)snprintf(out, 96, "%s/%s%s", dt_place_folders[job->place != 0], id, end);
}

/* What was written is read back from the host's storage before anybody relies on it. */
static int save(struct jobs *j, int dir, const char *part, struct dt_err *err)
{
    const struct dt_disk_pulse pulse = {tell_alive, j};
    DT_AUTO_FD int fd = open_object(j, part, O_RDWR | O_CREAT | O_TRUNC, err);
    if (fd < 0 || dt_disk_save(dir, fd, &pulse, err) < 0)
        return -1;
    tell_alive(j);
    if (fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0 ||
        lseek(fd, 0, SEEK_SET) < 0)
        return dt_err_errno(err, "sync %s", part);
    return dt_disk_compare(dir, fd, &pulse, err);
}

static int put_in_place(struct jobs *j, const struct dt_job *job, const char *part,
                        struct dt_err *err)
{
    char path[96];
    DT_AUTO_FD int dir = -1;
    object_path(job, "", path);
    if (folder_open(j->data, dt_place_folders[job->place != 0], &dir, err) < 0)
        return -1;
    if (renameat(j->data, part, j->data, path) < 0 || fsync(dir) < 0)
        return dt_err_errno(err, "put %s in its place", path);
    return 0;
}

static int store(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS], struct dt_err *err)
{
    char from[64], part[96];
    DT_AUTO_FD int dir = -1;
    (void)fds;
    if (job->serial != 0)
        pool_path(job, from);
    else
        sandbox_path(job->id, from);
    object_path(job, DT_PART, part);
    if (folder_open(j->data, from, &dir, err) < 0 ||
        dt_disk_wait_free(j->disks, dir, dt_clock_ms() + FREE_WAIT_MS, err) < 0 ||
        dt_disk_trim(j->disks, dir, err) < 0)
        return -1;
    if (save(j, dir, part, err) == 0 && put_in_place(j, job, part, err) == 0)
        return 0;
    (void)unlinkat(j->data, part, 0);
    return -1;
}

static int load(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS], struct dt_err *err)
{
    char path[64], object[96];
    const struct dt_disk_pulse pulse = {tell_alive, j};
    DT_AUTO_FD int dir = -1;
    (void)fds;
    object_path(job, "", object);
    DT_AUTO_FD int fd = open_object(j, object, O_RDONLY, err);
    pool_path(job, path);
    if (fd < 0)
        return -1;
    if (mkdirat(j->data, path, 0711) < 0)
        return dt_err_errno(err, "make %s", path);
    if (folder_open(j->data, path, &dir, err) == 0 &&
        dt_disk_load(j->disks, dir, fd, &pulse, err) == 0)
        return 0;
    drop(j, path);
    return -1;
}

static int grow(struct jobs *j, const struct dt_job *job, int fds[DT_JOB_FDS], struct dt_err *err)
{
    char path[64];
    const struct dt_disk_pulse pulse = {tell_alive, j};
    DT_AUTO_FD int dir = -1;
    (void)fds;
    sandbox_path(job->id, path);
    if (folder_open(j->data, path, &dir, err) < 0 ||
        dt_disk_wait_free(j->disks, dir, dt_clock_ms() + FREE_WAIT_MS, err) < 0)
        return -1;
    return dt_disk_grow(j->disks, dir, job->bytes, &pulse, err);
}

static int (*const handlers[])(struct jobs *, const struct dt_job *, int *, struct dt_err *) = {
    [DT_JOB_DISK_NEW] = disk_new,
    [DT_JOB_DISK_OPEN] = disk_open,
    [DT_JOB_DISK_FREE] = disk_free,
    [DT_JOB_SWEEP] = sweep,
    [DT_JOB_VOLUME_NEW] = volume_new,
    [DT_JOB_VOLUME_OPEN] = volume_open,
    [DT_JOB_SPARE] = spare,
    [DT_JOB_COPY] = copy,
    [DT_JOB_FORK] = copy,
    [DT_JOB_STORE] = store,
    [DT_JOB_LOAD] = load,
    [DT_JOB_GROW] = grow,
};

/* Closes the descriptors, sent or not. */
static int answer(int sock, const struct dt_job_done *done, int fds[DT_JOB_FDS])
{
    unsigned n = 0;
    while (done->code == DT_OK && n < DT_JOB_FDS && fds[n] >= 0)
        n++;
    ssize_t sent = dt_fdpass_send(sock, done, sizeof(*done), fds, n, 0);
    for (int i = 0; i < DT_JOB_FDS; i++) {
        if (fds[i] >= 0)
            (void)close(fds[i]);
    }
    return sent < 0 ? -1 : 0;
}

static void keep(struct jobs *j, int fd)
{
    if (j->kept >= 0)
        (void)close(j->kept);
    j->kept = fd;
}

/* 1 = a job to answer, 0 = the launcher is gone. */
static int await_job(struct jobs *j, int sock, struct dt_job *job)
{
    for (;;) {
        int fd = -1;
        unsigned nfds = 1;
        ssize_t n = dt_fdpass_recv(sock, job, sizeof(*job), &fd, &nfds, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof(*job))
            return 0;
        if (fd >= 0 || job->op == DT_JOB_CLOSE)
            keep(j, fd);
        if (job->op != DT_JOB_KEEP && job->op != DT_JOB_CLOSE)
            return 1;
    }
}

int dt_worker_run(int sock, const char *data_dir, struct dt_err *err)
{
    /* What a job attaches for a moment must not be copied into the sandbox that the launcher clones
     * just then, which would keep it. */
    if (unshare(CLONE_NEWNS) < 0)
        return dt_err_errno(err, "new mount namespace");
    DT_AUTO_FD int data = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0)
        return dt_err_errno(err, "open %s", data_dir);
    DT_AUTO(dt_disk_store_free) struct dt_disk_store *disks = NULL;
    if (dt_disk_store_open(data, &disks, err) < 0)
        return -1;
    struct jobs j = {.data = data, .sock = sock, .kept = -1, .disks = disks};
    for (;;) {
        struct dt_job_done done = {.code = DT_OK};
        if (await_job(&j, sock, &done.job) == 0)
            return 0; /* the launcher is gone */
        if (done.job.op == 0 || done.job.op >= sizeof(handlers) / sizeof(*handlers) ||
            handlers[done.job.op] == NULL)
            return dt_err_set(err, DT_E_INVALID, "unknown job %u", done.job.op);
        struct dt_err why = {.code = DT_OK};
        int fds[DT_JOB_FDS] = {-1, -1};
        if (handlers[done.job.op](&j, &done.job, fds, &why) < 0) {
            done.code = why.code;
            (void)snprintf(done.text, sizeof(done.text), "%.255s", why.msg);
        }
        if (answer(sock, &done, fds) < 0)
            return 0;
    }
}

#include "runnerd/launcher/instance.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/cgroup.h"

#define RUN_DIR  "/run/daytona"
#define REMEMBER "launcher.instance"

enum { OWNER_SIZE = 2 * PATH_MAX };

static void on_alarm(int sig)
{
    (void)sig;
}

/* flock(2) with a deadline. */
static int lock_wait(int fd)
{
    struct sigaction sa = {.sa_handler = on_alarm};
    struct sigaction old;
    (void)sigaction(SIGALRM, &sa, &old);
    (void)alarm(DT_INSTANCE_WAIT_S);
    int rc = flock(fd, LOCK_EX);
    int saved = errno;
    (void)alarm(0);
    (void)sigaction(SIGALRM, &old, NULL);
    errno = saved;
    return rc;
}

/* What the file says: the number that was used last, or -1. */
static int remembered(int fd)
{
    char text[8] = {0};
    unsigned long long n = 0;
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    if (got <= 0 || dt_str_u64(dt_str_z(text), DT_INSTANCES - 1, &n) < 0)
        return -1;
    return (int)n;
}

static int write_bytes(int fd, const char *p, size_t n, struct dt_err *err)
{
    if (ftruncate(fd, 0) < 0 || pwrite(fd, p, n, 0) != (ssize_t)n)
        return dt_err_errno(err, "write a lock file");
    return 0;
}

/* A number's lock file says whose it is: the data directory, NUL, the base of its groups. */
static int write_owner(int fd, const struct dt_instance_opts *o, struct dt_err *err)
{
    char text[OWNER_SIZE];
    int n = snprintf(text, sizeof(text), "%s%c%s", o->data_dir, '\0', o->cgroup);
    if (n < 0 || (size_t)n >= sizeof(text))
        return dt_err_set(err, DT_E_INVALID, "the path of the data directory is too long");
    return write_bytes(fd, text, (size_t)n, err);
}

/* A directory that is not running a launcher may still have sandboxes. */
static bool is_of_another(int fd, const char *data_dir, char owner[OWNER_SIZE + 1])
{
    memset(owner, 0, OWNER_SIZE + 1);
    return pread(fd, owner, OWNER_SIZE, 0) > 0 && strcmp(owner, data_dir) != 0;
}

/* The owner is still there and remembers this number. Otherwise nobody can reach what is left. */
static bool is_claimed(const char *owner, unsigned n)
{
    char path[OWNER_SIZE + sizeof(REMEMBER) + 1];
    (void)snprintf(path, sizeof(path), "%s/" REMEMBER, owner);
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && remembered(fd) == (int)n;
}

static int lock_open(unsigned n, struct dt_err *err)
{
    char path[64];
    (void)snprintf(path, sizeof(path), RUN_DIR "/instance-%u.lock", n);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? dt_err_errno(err, "open %s", path) : fd;
}

struct search {
    struct dt_cgroup_root *root;
    bool found;
};

static int look_for_process(void *arg, const char *name)
{
    struct search *s = arg;
    bool empty = false;
    struct dt_err err;
    s->found = dt_cgroup_is_empty(s->root, name, &empty, &err) < 0 || !empty;
    return s->found;
}

/* Sandboxes run with this number, or may. Empty groups are what a killed launcher left. */
static bool has_sandboxes(unsigned n, const char *cgroup)
{
    char name[16];
    struct dt_err err;
    (void)snprintf(name, sizeof(name), "%u", n);
    DT_AUTO(dt_cgroup_root_free) struct dt_cgroup_root *root = NULL;
    if (dt_cgroup_root_open(name, cgroup, &root, &err) < 0)
        return err.code != DT_E_NOT_FOUND;
    struct search s = {root, false};
    return dt_cgroup_list(root, look_for_process, &s, &err) < 0 || s.found;
}

/* 1 = taken, 0 = not free. */
static int try_number(unsigned n, const struct dt_instance_opts *o, bool also_of_another, int *ret,
                      struct dt_err *err)
{
    DT_AUTO_FD int fd = lock_open(n, err);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return 0;
    char owner[OWNER_SIZE + 1];
    if (is_of_another(fd, o->data_dir, owner) &&
        (!also_of_another ||
         (is_claimed(owner, n) && has_sandboxes(n, owner + strnlen(owner, OWNER_SIZE - 1) + 1))))
        return 0;
    if (write_owner(fd, o, err) < 0)
        return -1;
    *ret = dt_take_fd(&fd);
    return 1;
}

static bool is_ours(unsigned n, const char *data_dir)
{
    char owner[OWNER_SIZE + 1];
    struct dt_err err;
    DT_AUTO_FD int fd = lock_open(n, &err);
    return fd >= 0 && !is_of_another(fd, data_dir, owner) && owner[0] != '\0';
}

/* What runs under a number is found by nobody who has another one. So ours is waited for: whoever
 * looks for a free number holds the lock of each for a moment. */
static int try_own(unsigned n, const struct dt_instance_opts *o, int *ret, struct dt_err *err)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t end = dt_clock_ms() + DT_INSTANCE_WAIT_S * 1000;
    int rc;
    while ((rc = try_number(n, o, false, ret, err)) == 0 && is_ours(n, o->data_dir) &&
           dt_clock_ms() < end)
        (void)nanosleep(&pause, NULL);
    return rc;
}

static int choose(const struct dt_instance_opts *o, struct dt_instance *in, struct dt_err *err)
{
    for (int also_of_another = 0; also_of_another < 2; also_of_another++) {
        for (unsigned n = 0; n < DT_INSTANCES; n++) {
            int rc = try_number(n, o, also_of_another == 1, &in->host_lock, err);
            if (rc < 0)
                return -1;
            if (rc == 1) {
                in->number = n;
                return 0;
            }
        }
    }
    return dt_err_set(err, DT_E_LIMIT, "all %d instances of this host are in use; stop one",
                      DT_INSTANCES);
}

int dt_instance_take(int data, const struct dt_instance_opts *opts, struct dt_instance *ret,
                     struct dt_err *err)
{
    struct dt_instance in = {.data_lock = -1, .host_lock = -1};
    if (mkdir(RUN_DIR, 0755) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make " RUN_DIR);
    DT_AUTO_FD int own = openat(data, REMEMBER, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (own < 0)
        return dt_err_errno(err, "open " REMEMBER);
    if (lock_wait(own) < 0)
        return dt_err_set(err, DT_E_CONFLICT, "another daytona-launcher uses this data directory");
    int last = remembered(own);
    int rc = last < 0 ? 0 : try_own((unsigned)last, opts, &in.host_lock, err);
    if (rc < 0)
        return -1;
    in.number = (unsigned)last;
    if (rc == 0 && choose(opts, &in, err) < 0)
        return -1;
    DT_AUTO_FD int host = in.host_lock;
    char text[8];
    (void)snprintf(text, sizeof(text), "%u", in.number);
    if (write_bytes(own, text, strlen(text), err) < 0)
        return -1;
    in.data_lock = dt_take_fd(&own);
    in.host_lock = dt_take_fd(&host);
    *ret = in;
    return 0;
}

void dt_instance_release(const struct dt_instance *in)
{
    struct dt_err err;
    (void)write_bytes(in->host_lock, "", 0, &err);
}

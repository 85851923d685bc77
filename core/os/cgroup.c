#include "os/cgroup_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mount_api.h"

enum { CPU_PERIOD_USEC = 100000, CPU_USEC_PER_MILLI = CPU_PERIOD_USEC / 1000, FILE_MAX = 64 };
enum { KNOB_PATH_MAX = DT_CGROUP_NAME_MAX + FILE_MAX };

/* The file of a figure, in the v1 hierarchy and in v2. */
struct knob {
    enum dt_cgroup_controller controller;
    const char *v1, *v2;
};
static const struct knob memory_limit = {DT_CG_MEMORY, "memory.limit_in_bytes", "memory.max"};
static const struct knob memory_stat = {DT_CG_MEMORY, "memory.stat", "memory.stat"};
static const struct knob memory_usage = {DT_CG_MEMORY, "memory.usage_in_bytes", "memory.current"};
static const struct knob memory_kills = {DT_CG_MEMORY, "memory.oom_control", "memory.events"};
static const struct knob pids_limit = {DT_CG_PIDS, "pids.max", "pids.max"};
static const struct knob pids_usage = {DT_CG_PIDS, "pids.current", "pids.current"};

static int check_name(const char *name, struct dt_err *err)
{
    if (!dt_cgroup_name_ok(name))
        return dt_err_set(err, DT_E_INVALID, "a group's name is 1 to %d of [A-Za-z0-9_-]",
                          DT_CGROUP_NAME_MAX);
    return 0;
}

/* A group that goes while its file is open answers ENODEV. */
static int fail(const char *name, const char *what, struct dt_err *err)
{
    if (errno == ENOENT || errno == ENODEV)
        return dt_err_set(err, DT_E_NOT_FOUND, "there is no group '%s' with %s", name, what);
    return dt_err_errno(err, "group '%s': %s", name, what);
}

static int open_file(int dir, const char *name, const char *file, int flags, struct dt_err *err)
{
    char path[KNOB_PATH_MAX + 2];
    (void)snprintf(path, sizeof(path), "%s/%s", name, file);
    int fd = openat(dir, path, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? fail(name, file, err) : fd;
}

static int put(int dir, const char *name, const char *file, const char *text, struct dt_err *err)
{
    DT_AUTO_FD int fd = open_file(dir, name, file, O_WRONLY, err);
    if (fd < 0)
        return -1;
    if (write(fd, text, strlen(text)) < 0)
        return fail(name, file, err);
    return 0;
}

static int put_number(int dir, const char *name, const char *file, uint64_t v, struct dt_err *err)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    return put(dir, name, file, text, err);
}

static bool has_file(int dir, const char *name, const char *file)
{
    char path[KNOB_PATH_MAX + 2];
    (void)snprintf(path, sizeof(path), "%s/%s", name, file);
    return faccessat(dir, path, F_OK, 0) == 0;
}

static int knob_dir(const struct dt_cgroup_root *r, const struct knob *k, const char **file)
{
    bool v1 = r->v1[k->controller] >= 0;
    *file = v1 ? k->v1 : k->v2;
    return v1 ? r->v1[k->controller] : r->tree;
}

int dt_cgroup_make(struct dt_cgroup_root *r, const char *name, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    if (mkdirat(r->tree, name, 0755) < 0)
        return errno == EEXIST ? dt_err_set(err, DT_E_CONFLICT, "group '%s' exists already", name)
                               : dt_err_errno(err, "make group '%s'", name);
    /* Two controllers may share one v1 hierarchy. */
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (r->v1[i] >= 0 && mkdirat(r->v1[i], name, 0755) < 0 && errno != EEXIST) {
            (void)dt_err_errno(err, "make v1 group '%s'", name);
            struct dt_err ignored;
            (void)(dt_cgroup_remove(r, name, &ignored) < 0);
            return -1;
        }
    return 0;
}

int dt_cgroup_dir(struct dt_cgroup_root *r, const char *name, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    int fd = openat(r->tree, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? fail(name, "a directory", err) : fd;
}

/* `memsw` may never be below the limit, so which one goes first depends on the direction. */
static int limit_memory_v1(int dir, const char *name, uint64_t bytes, struct dt_err *err)
{
    static const char memsw[] = "memory.memsw.limit_in_bytes";
    bool swap = has_file(dir, name, memsw);
    if (put_number(dir, name, memory_limit.v1, bytes, err) == 0)
        return swap ? put_number(dir, name, memsw, bytes, err) : 0;
    if (!swap || err->sys_errno != EINVAL)
        return -1;
    if (put_number(dir, name, memsw, bytes, err) < 0)
        return -1;
    return put_number(dir, name, memory_limit.v1, bytes, err);
}

static int limit_memory(const struct dt_cgroup_root *r, const char *name,
                        const struct dt_cgroup_limits *l, struct dt_err *err)
{
    if (r->v1[DT_CG_MEMORY] >= 0) {
        int done = limit_memory_v1(r->v1[DT_CG_MEMORY], name, l->memory_bytes, err);
        if (done < 0 && err->sys_errno == EBUSY)
            err->code = DT_E_CONFLICT;
        return done;
    }
    if (has_file(r->tree, name, "memory.swap.max") &&
        put(r->tree, name, "memory.swap.max", "0", err) < 0)
        return -1;
    if (put(r->tree, name, "memory.oom.group", l->oom_group ? "1" : "0", err) < 0)
        return -1;
    return put_number(r->tree, name, memory_limit.v2, l->memory_bytes, err);
}

static int limit_cpu(const struct dt_cgroup_root *r, const char *name, uint32_t millis,
                     struct dt_err *err)
{
    uint64_t quota = (uint64_t)millis * CPU_USEC_PER_MILLI;
    int v1 = r->v1[DT_CG_CPU];
    if (v1 >= 0) {
        if (put_number(v1, name, "cpu.cfs_period_us", CPU_PERIOD_USEC, err) < 0)
            return -1;
        return put_number(v1, name, "cpu.cfs_quota_us", quota, err);
    }
    char text[64];
    (void)snprintf(text, sizeof(text), "%llu %d", (unsigned long long)quota, CPU_PERIOD_USEC);
    return put(r->tree, name, "cpu.max", text, err);
}

int dt_cgroup_limit(struct dt_cgroup_root *r, const char *name,
                    const struct dt_cgroup_limits *limits, struct dt_err *err)
{
    struct dt_err own;
    if (err == NULL)
        err = &own;
    if (check_name(name, err) < 0)
        return -1;
    if (limits->memory_bytes == 0 || limits->memory_bytes > INT64_MAX || limits->cpu_millis < 10 ||
        limits->pids == 0)
        return dt_err_set(err, DT_E_INVALID,
                          "group '%s': memory, cpu (at least 10) and pids must "
                          "all be limited",
                          name);
    if (limit_memory(r, name, limits, err) < 0 || limit_cpu(r, name, limits->cpu_millis, err) < 0)
        return -1;
    const char *file;
    int dir = knob_dir(r, &pids_limit, &file);
    return put_number(dir, name, file, limits->pids, err);
}

int dt_cgroup_attach_v1(struct dt_cgroup_root *r, const char *name, pid_t pid, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    if (pid <= 0)
        return dt_err_set(err, DT_E_INVALID, "group '%s': %d is no process id", name, (int)pid);
    char text[32];
    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (r->v1[i] >= 0 && put(r->v1[i], name, "cgroup.procs", text, err) < 0)
            return -1;
    if (r->v1_devices >= 0 && dt_fd_put(r->v1_devices, "cgroup.procs", text, err) < 0)
        return -1;
    return 0;
}

/* The value behind `key ` at the start of a line. */
static int find_key(struct dt_str text, const char *key, uint64_t *ret)
{
    struct dt_str line, word;
    while (dt_str_cut(&text, '\n', &line)) {
        unsigned long long v;
        if (dt_str_cut(&line, ' ', &word) && dt_str_eq(word, dt_str_z(key)) &&
            dt_str_u64(dt_str_trim(line), UINT64_MAX, &v) == 0) {
            *ret = v;
            return 0;
        }
    }
    return -1;
}

static int read_text(int fd, char *out, size_t size, struct dt_str *text)
{
    ssize_t n = pread(fd, out, size, 0);
    if (n < 0)
        return -1;
    *text = dt_str(out, (size_t)n);
    return 0;
}

static int read_key(int dir, const char *name, const char *file, const char *key, uint64_t *ret,
                    struct dt_err *err)
{
    char room[4096];
    struct dt_str text;
    DT_AUTO_FD int fd = open_file(dir, name, file, O_RDONLY, err);
    if (fd < 0)
        return -1;
    if (read_text(fd, room, sizeof(room), &text) < 0)
        return fail(name, file, err);
    if (find_key(text, key, ret) < 0)
        return dt_err_set(err, DT_E_SYSTEM, "group '%s': %s has no %s", name, file, key);
    return 0;
}

/* A number, or `max`. */
static int read_number(const struct dt_cgroup_root *r, const struct knob *k, const char *name,
                       uint64_t *ret, struct dt_err *err)
{
    char room[64];
    struct dt_str text;
    const char *file;
    int dir = knob_dir(r, k, &file);
    DT_AUTO_FD int fd = open_file(dir, name, file, O_RDONLY, err);
    if (fd < 0)
        return -1;
    if (read_text(fd, room, sizeof(room), &text) < 0)
        return fail(name, file, err);
    text.n -= text.n > 0;
    unsigned long long v = UINT64_MAX;
    if (!dt_str_eq(text, DT_STR("max")) && dt_str_u64(text, UINT64_MAX, &v) < 0)
        return dt_err_set(err, DT_E_SYSTEM, "group '%s': %s is no number", name, file);
    *ret = v;
    return 0;
}

static int wait_for(struct dt_cgroup_root *r, const char *name, const char *key, uint64_t value,
                    uint64_t deadline_ms, struct dt_err *err)
{
    DT_AUTO_FD int fd = dt_cgroup_events(r, name, err);
    if (fd < 0)
        return -1;
    for (;;) {
        char room[256];
        struct dt_str text;
        uint64_t now_value = 0, now = dt_clock_ms();
        if (read_text(fd, room, sizeof(room), &text) < 0)
            return fail(name, "cgroup.events", err);
        if (find_key(text, key, &now_value) < 0)
            return dt_err_set(err, DT_E_UNSUPPORTED, "the kernel's cgroup.events has no %s", key);
        if (now_value == value)
            return 0;
        if (now >= deadline_ms)
            return dt_err_set(err, DT_E_TIMEOUT, "group '%s' is still %s %llu", name, key,
                              (unsigned long long)now_value);
        uint64_t left = deadline_ms - now;
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        if (poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left) < 0 && errno != EINTR)
            return dt_err_errno(err, "wait for group '%s'", name);
    }
}

int dt_cgroup_set_frozen(struct dt_cgroup_root *r, const char *name, bool frozen,
                         struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    return put(r->tree, name, "cgroup.freeze", frozen ? "1" : "0", err);
}

int dt_cgroup_is_frozen(struct dt_cgroup_root *r, const char *name, bool *frozen,
                        struct dt_err *err)
{
    uint64_t v = 0;
    if (check_name(name, err) < 0 ||
        read_key(r->tree, name, "cgroup.events", "frozen", &v, err) < 0)
        return -1;
    *frozen = v != 0;
    return 0;
}

int dt_cgroup_freeze(struct dt_cgroup_root *r, const char *name, bool frozen, uint64_t deadline_ms,
                     struct dt_err *err)
{
    if (dt_cgroup_set_frozen(r, name, frozen, err) < 0)
        return -1;
    return frozen ? wait_for(r, name, "frozen", 1, deadline_ms, err) : 0;
}

int dt_cgroup_kill(struct dt_cgroup_root *r, const char *name, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    return put(r->tree, name, "cgroup.kill", "1", err);
}

int dt_cgroup_is_empty(struct dt_cgroup_root *r, const char *name, bool *empty, struct dt_err *err)
{
    uint64_t populated = 0;
    if (check_name(name, err) < 0 ||
        read_key(r->tree, name, "cgroup.events", "populated", &populated, err) < 0)
        return -1;
    *empty = populated == 0;
    return 0;
}

int dt_cgroup_wait_empty(struct dt_cgroup_root *r, const char *name, uint64_t deadline_ms,
                         struct dt_err *err)
{
    return wait_for(r, name, "populated", 0, deadline_ms, err);
}

int dt_cgroup_events(struct dt_cgroup_root *r, const char *name, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    return open_file(r->tree, name, "cgroup.events", O_RDONLY, err);
}

static int remove_group(int dir, const char *name, struct dt_err *err)
{
    if (dir < 0 || unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno == EBUSY)
        return dt_err_set(err, DT_E_CONFLICT, "group '%s' still has processes: kill it and wait",
                          name);
    return dt_err_errno(err, "remove group '%s'", name);
}

/* v2 last: as long as it is there, dt_cgroup_list names the group and the removal can be repeated.
 */
int dt_cgroup_remove(struct dt_cgroup_root *r, const char *name, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (remove_group(r->v1[i], name, err) < 0)
            return -1;
    return remove_group(r->tree, name, err);
}

static int add_view(int dir, const char *name, const char *folder, struct dt_cgroup_view *view,
                    struct dt_err *err)
{
    struct mount_attr set = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                         MOUNT_ATTR_NOEXEC};
    DT_AUTO_FD int tree = open_tree(dir, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &set, sizeof(set)) < 0)
        return fail(name, "a view", err);
    *view = (struct dt_cgroup_view){dt_take_fd(&tree), folder};
    return 0;
}

int dt_cgroup_views(struct dt_cgroup_root *r, const char *name,
                    struct dt_cgroup_view views[DT_CGROUP_VIEWS_MAX], unsigned *n,
                    struct dt_err *err)
{
    static const char *const folders[DT_CG_LIMITING] = {
        [DT_CG_MEMORY] = "memory", [DT_CG_CPU] = "cpu", [DT_CG_PIDS] = "pids"};
    *n = 0;
    if (check_name(name, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < DT_CG_LIMITING; i++) {
        if (r->v1[i] >= 0 && (rc = add_view(r->v1[i], name, folders[i], &views[*n], err)) == 0)
            ++*n;
    }
    if (rc == 0 && (rc = add_view(r->tree, name, *n > 0 ? "unified" : "", &views[*n], err)) == 0)
        ++*n;
    if (rc == 0)
        return 0;
    dt_cgroup_views_close(views, *n);
    *n = 0;
    return -1;
}

void dt_cgroup_views_close(struct dt_cgroup_view *views, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        dt_closep(&views[i].mount);
}

static int each_dir(int dir, int (*each)(void *arg, const char *name), void *arg,
                    struct dt_err *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        dt_closep(&fd);
        return dt_err_errno(err, "list groups");
    }
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        if (e->d_type == DT_DIR && dt_cgroup_name_ok(e->d_name) && each(arg, e->d_name) != 0)
            break;
    (void)closedir(d);
    return 0;
}

static int remove_orphan(void *arg, const char *name)
{
    struct dt_cgroup_root *r = arg;
    struct dt_err ignored;
    if (faccessat(r->tree, name, F_OK, 0) < 0 && errno == ENOENT)
        (void)(dt_cgroup_remove(r, name, &ignored) < 0);
    return 0;
}

int dt_cgroup_list(struct dt_cgroup_root *r, int (*each)(void *arg, const char *name), void *arg,
                   struct dt_err *err)
{
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (r->v1[i] >= 0 && each_dir(r->v1[i], remove_orphan, r, err) < 0)
            return -1;
    return each_dir(r->tree, each, arg, err);
}

int dt_cgroup_oom_kills(struct dt_cgroup_root *r, const char *name, uint64_t *kills,
                        struct dt_err *err)
{
    const char *file;
    int dir = knob_dir(r, &memory_kills, &file);
    if (check_name(name, err) < 0)
        return -1;
    return read_key(dir, name, file, "oom_kill", kills, err);
}

int dt_cgroup_cpu(struct dt_cgroup_root *r, const char *name, uint64_t *usec, struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    return read_key(r->tree, name, "cpu.stat", "usage_usec", usec, err);
}

static int read_cache(struct dt_cgroup_root *r, const char *name, uint64_t *bytes,
                      struct dt_err *err)
{
    const char *file;
    uint64_t active, inactive;
    int dir = knob_dir(r, &memory_stat, &file);
    if (read_key(dir, name, file, "active_file", &active, err) < 0 ||
        read_key(dir, name, file, "inactive_file", &inactive, err) < 0)
        return -1;
    *bytes = active + inactive;
    return 0;
}

int dt_cgroup_stats(struct dt_cgroup_root *r, const char *name, struct dt_cgroup_stats *stats,
                    struct dt_err *err)
{
    struct dt_cgroup_stats s;
    if (check_name(name, err) < 0 ||
        read_number(r, &memory_usage, name, &s.memory_bytes, err) < 0 ||
        read_number(r, &memory_limit, name, &s.memory_limit, err) < 0 ||
        read_number(r, &pids_usage, name, &s.pids, err) < 0 ||
        read_key(r->tree, name, "cpu.stat", "usage_usec", &s.cpu_usec, err) < 0 ||
        read_cache(r, name, &s.cache_bytes, err) < 0 ||
        dt_cgroup_oom_kills(r, name, &s.oom_kills, err) < 0)
        return -1;
    *stats = s;
    return 0;
}

int dt_cgroup_pids(struct dt_cgroup_root *r, const char *name, pid_t *out, size_t max, size_t *n,
                   struct dt_err *err)
{
    if (check_name(name, err) < 0)
        return -1;
    DT_AUTO_FD int fd = open_file(r->tree, name, "cgroup.procs", O_RDONLY, err);
    if (fd < 0)
        return -1;
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, 16 << 20);
    if (dt_fd_read_all(fd, &text, err) < 0)
        return dt_err_wrap(err, "group '%s'", name);
    struct dt_str rest = dt_buf_str(&text), line;
    size_t count = 0;
    while (dt_str_cut(&rest, '\n', &line)) {
        unsigned long long pid = 0;
        if (dt_str_u64(line, INT_MAX, &pid) < 0 || pid == 0)
            continue;
        if (count == max)
            return dt_err_set(err, DT_E_TOO_LARGE, "group '%s' has more than %zu processes", name,
                              max);
        out[count++] = (pid_t)pid;
    }
    *n = count;
    return 0;
}

/* `NSpid:` lists the number in our pid namespace, then in each one below. */
static bool is_init(pid_t pid)
{
    char path[32], room[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct dt_str text, line, word;
    if (fd < 0 || read_text(fd, room, sizeof(room), &text) < 0)
        return false;
    while (dt_str_cut(&text, '\n', &line)) {
        if (!dt_str_cut(&line, '\t', &word) || !dt_str_eq(word, DT_STR("NSpid:")))
            continue;
        return dt_str_cut(&line, '\t', &word) && dt_str_eq(line, DT_STR("1"));
    }
    return false;
}

int dt_cgroup_init_pid(struct dt_cgroup_root *r, const char *name, pid_t *ret, struct dt_err *err)
{
    enum { PIDS_MAX = 65536 };
    DT_AUTO_FREE pid_t *pids = calloc(PIDS_MAX, sizeof(*pids));
    size_t n = 0;
    if (pids == NULL)
        return dt_err_set(err, DT_E_NOMEM, "no memory for the processes of group '%s'", name);
    if (dt_cgroup_pids(r, name, pids, PIDS_MAX, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (is_init(pids[i])) {
            *ret = pids[i];
            return 0;
        }
    return dt_err_set(err, DT_E_NOT_FOUND, "group '%s' has no pid 1", name);
}

#include "os/cgroup_root.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "os/devfilter.h"

enum { TEXT_MAX = 4 << 20, MOVE_ROUNDS = 16, DEVICES = DT_CG_LIMITING, HIERARCHIES };

static const char leaf[] = "daytona-launcher";
static const char *const names[HIERARCHIES] = {
    [DT_CG_MEMORY] = "memory", [DT_CG_CPU] = "cpu", [DT_CG_PIDS] = "pids", [DEVICES] = "devices"};

/* Mount points as the caller sees them; empty = not mounted. */
struct mounts {
    char v2[PATH_MAX];
    char v1[HIERARCHIES][PATH_MAX];
};

bool dt_cgroup_name_ok(const char *name)
{
    static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t n = name == NULL ? 0 : strspn(name, ok);
    return n > 0 && n <= DT_CGROUP_NAME_MAX && name[n] == '\0';
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(struct dt_str s, char out[PATH_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 1 < PATH_MAX; i++) {
        if (s.p[i] == '\\' && i + 3 < s.n) {
            out[n++] = (char)((s.p[i + 1] - '0') * 64 + (s.p[i + 2] - '0') * 8 + s.p[i + 3] - '0');
            i += 3;
        } else {
            out[n++] = s.p[i];
        }
    }
    out[n] = '\0';
}

static bool has_word(struct dt_str list, char sep, const char *word)
{
    struct dt_str piece;
    while (dt_str_cut(&list, sep, &piece))
        if (dt_str_eq(piece, dt_str_z(word)))
            return true;
    return false;
}

/* <id> <parent> <dev> <root> <point> <options> [<tag>...] - <type> <source> <super options> */
static void see_mount(struct mounts *m, struct dt_str line)
{
    struct dt_str f[6], piece, type, source, options;
    for (size_t i = 0; i < 6; i++)
        if (!dt_str_cut(&line, ' ', &f[i]))
            return;
    while (dt_str_cut(&line, ' ', &piece) && !dt_str_eq(piece, DT_STR("-")))
        ;
    if (!dt_str_cut(&line, ' ', &type) || !dt_str_cut(&line, ' ', &source) ||
        !dt_str_cut(&line, ' ', &options))
        return;
    if (dt_str_eq(type, DT_STR("cgroup2")) && m->v2[0] == '\0')
        unescape(f[4], m->v2);
    if (!dt_str_eq(type, DT_STR("cgroup")))
        return;
    for (size_t i = 0; i < HIERARCHIES; i++)
        if (m->v1[i][0] == '\0' && has_word(options, ',', names[i]))
            unescape(f[4], m->v1[i]);
}

static int find_mounts(const char *mountinfo, struct mounts *m, struct dt_err *err)
{
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, TEXT_MAX);
    if (dt_fd_read_file(AT_FDCWD, mountinfo, &text, err) < 0)
        return -1;
    struct dt_str rest = dt_buf_str(&text), line;
    while (dt_str_cut(&rest, '\n', &line))
        see_mount(m, line);
    if (m->v2[0] == '\0')
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "no cgroup2 file system is mounted: mount it with `mount -t cgroup2 "
                          "none /sys/fs/cgroup` or boot with systemd.unified_cgroup_hierarchy=1");
    return 0;
}

static int open_base(const struct mounts *m, const char *base, struct dt_err *err)
{
    DT_AUTO_FD int top = open(m->v2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return dt_err_errno(err, "open %s", m->v2);
    if (base[0] == '\0')
        return dt_take_fd(&top);
    int fd = openat(top, base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND,
                          "there is no group %s in %s: start the service that owns it", base,
                          m->v2);
    return fd < 0 ? dt_err_errno(err, "open the group %s", base) : fd;
}

static int move_pid(int to, struct dt_str pid)
{
    DT_AUTO_FD int procs = openat(to, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (procs < 0)
        return -1;
    return write(procs, pid.p, pid.n) < 0 && errno != ESRCH ? -1 : 0;
}

/* A group that gives controllers to its children may not have processes itself. New ones may be
 * forked while we move, so it takes rounds. */
static int empty_into_leaf(int base, struct dt_err *err)
{
    if (mkdirat(base, leaf, 0755) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make the group %s", leaf);
    DT_AUTO_FD int to = openat(base, leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0)
        return dt_err_errno(err, "open the group %s", leaf);
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, TEXT_MAX);
    for (int round = 0; round < MOVE_ROUNDS; round++) {
        dt_buf_clear(&text);
        if (dt_fd_read_file(base, "cgroup.procs", &text, err) < 0)
            return -1;
        if (text.n == 0)
            return 0;
        struct dt_str rest = dt_buf_str(&text), pid;
        while (dt_str_cut(&rest, '\n', &pid))
            if (pid.n > 0 && move_pid(to, pid) < 0)
                return dt_err_errno(err, "move process %.*s to %s", (int)pid.n, pid.p, leaf);
    }
    return dt_err_set(err, DT_E_SYSTEM, "processes keep appearing in the launcher's own group");
}

/* Our own group, relative to the v2 mount. */
static int own_group(char out[PATH_MAX], struct dt_err *err)
{
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, TEXT_MAX);
    if (dt_fd_read_file(AT_FDCWD, "/proc/self/cgroup", &text, err) < 0)
        return -1;
    struct dt_str rest = dt_buf_str(&text), line;
    while (dt_str_cut(&rest, '\n', &line)) {
        if (!dt_str_starts(line, DT_STR("0::/")) || line.n >= PATH_MAX)
            continue;
        (void)snprintf(out, PATH_MAX, "%.*s", (int)line.n - 4, line.p + 4);
        return 0;
    }
    return dt_err_set(err, DT_E_UNSUPPORTED, "this process is in no cgroup2 group");
}

int dt_cgroup_hold(struct dt_err *err)
{
    char own[PATH_MAX];
    DT_AUTO_FREE struct mounts *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return dt_err_set(err, DT_E_NOMEM, "no memory for the cgroup mounts");
    if (find_mounts("/proc/self/mountinfo", m, err) < 0 || own_group(own, err) < 0)
        return -1;
    if (own[0] == '\0')
        return dt_err_set(err, DT_E_FORBIDDEN, "only a service may hold its group");
    DT_AUTO_FD int group = open_base(m, own, err);
    return group < 0 ? -1 : empty_into_leaf(group, err);
}

static int enable(int group, const char *what, bool may_empty, struct dt_err *err)
{
    if (dt_fd_put(group, "cgroup.subtree_control", what, err) == 0)
        return 0;
    if (!may_empty || errno != EBUSY)
        return -1;
    if (empty_into_leaf(group, err) < 0)
        return -1;
    return dt_fd_put(group, "cgroup.subtree_control", what, err);
}

/* Writes the controllers that the v2 base can give as `+memory +cpu`; has[] says which. */
static int available(int base, bool has[DT_CG_LIMITING], char *list, size_t size,
                     struct dt_err *err)
{
    struct dt_buf DT_AUTO_BUF text;
    dt_buf_init(&text, 4096);
    if (dt_fd_read_file(base, "cgroup.controllers", &text, err) < 0)
        return -1;
    struct dt_str words = dt_str(text.p, text.n - (text.n > 0));
    size_t n = 0;
    list[0] = '\0';
    for (size_t i = 0; i < DT_CG_LIMITING; i++) {
        has[i] = has_word(words, ' ', names[i]);
        if (has[i])
            n += (size_t)snprintf(list + n, size - n, "%s+%s", n > 0 ? " " : "", names[i]);
    }
    return 0;
}

static int open_group(int base, const char *name, struct dt_err *err)
{
    if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
        return dt_err_errno(err, "make the group %s", name);
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? dt_err_errno(err, "open the group %s", name) : fd;
}

static int open_mount(const char *mount, struct dt_err *err)
{
    int fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? dt_err_errno(err, "open %s", mount) : fd;
}

static int open_v1(const char *mount, const char *parent, int *base, int *group, struct dt_err *err)
{
    *base = open_mount(mount, err);
    if (*base < 0)
        return -1;
    *group = open_group(*base, parent, err);
    return *group < 0 ? dt_err_wrap(err, "%s", mount) : 0;
}

/* Once for all sandboxes: groups below inherit it. */
static int limit_devices_v1(int group, struct dt_err *err)
{
    if (dt_fd_put(group, "devices.deny", "a", err) < 0)
        return -1;
    for (unsigned i = 0; i < dt_devfilter_nrules; i++) {
        const struct dt_devfilter_rule *rule = &dt_devfilter_rules[i];
        char minor[16] = "*", text[64];
        if (rule->minor >= 0)
            (void)snprintf(minor, sizeof(minor), "%d", rule->minor);
        (void)snprintf(text, sizeof(text), "c %d:%s rw", rule->major, minor);
        if (dt_fd_put(group, "devices.allow", text, err) < 0)
            return -1;
    }
    return 0;
}

static int limit_devices(struct dt_cgroup_root *r, const struct mounts *m, struct dt_err *err)
{
    bool has_v1 = m->v1[DEVICES][0] != '\0';
    /* Also when it is not needed: one that was killed may have used it. */
    if (has_v1 && (r->v1_devices_base = open_mount(m->v1[DEVICES], err)) < 0)
        return -1;
    if (dt_devfilter_attach(r->tree, err) == 0)
        return 0;
    if (!has_v1)
        return dt_err_wrap(err, "the host can limit devices neither by eBPF nor by cgroup v1");
    r->v1_devices = open_group(r->v1_devices_base, r->parent, err);
    if (r->v1_devices < 0)
        return dt_err_wrap(err, "%s", m->v1[DEVICES]);
    return limit_devices_v1(r->v1_devices, err);
}

static int check_complete(const struct dt_cgroup_root *r, const struct mounts *m,
                          const bool has[DT_CG_LIMITING], struct dt_err *err)
{
    char missing[64] = "";
    size_t n = 0;
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (!has[i] && m->v1[i][0] == '\0')
            n += (size_t)snprintf(missing + n, sizeof(missing) - n, " %s", names[i]);
    if (n > 0)
        return dt_err_set(
            err, DT_E_UNSUPPORTED,
            "the host lacks the cgroup controller(s)%s: %s offers none of them and no "
            "v1 hierarchy is mounted; boot with systemd.unified_cgroup_hierarchy=1, "
            "or delegate them to the service that owns the group (Delegate=yes)",
            missing, m->v2);
    if (faccessat(r->tree, "cgroup.kill", W_OK, 0) < 0)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "the kernel has no cgroup.kill: Linux 5.19 or newer is needed");
    return 0;
}

static int setup(struct dt_cgroup_root *r, const struct mounts *m, const char *base,
                 struct dt_err *err)
{
    bool has[DT_CG_LIMITING];
    char list[64];
    r->base = open_base(m, base, err);
    if (r->base < 0 || available(r->base, has, list, sizeof(list), err) < 0)
        return -1;
    r->tree = open_group(r->base, r->parent, err);
    if (r->tree < 0 || check_complete(r, m, has, err) < 0)
        return -1;
    if (list[0] != '\0' &&
        (enable(r->base, list, base[0] == '\0', err) < 0 || enable(r->tree, list, false, err) < 0))
        return dt_err_wrap(err, "enable cgroup controllers");
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (!has[i] && open_v1(m->v1[i], r->parent, &r->v1_base[i], &r->v1[i], err) < 0)
            return -1;
    return limit_devices(r, m, err);
}

int dt_cgroup_root_open_at(const char *mountinfo, const char *instance, const char *base,
                           struct dt_cgroup_root **ret, struct dt_err *err)
{
    if (!dt_cgroup_name_ok(instance))
        return dt_err_set(err, DT_E_INVALID, "an instance's name is 1 to %d of [A-Za-z0-9_-]",
                          DT_CGROUP_NAME_MAX);
    DT_AUTO_FREE struct mounts *m = calloc(1, sizeof(*m));
    DT_AUTO(dt_cgroup_root_free) struct dt_cgroup_root *r = calloc(1, sizeof(*r));
    if (m == NULL || r == NULL)
        return dt_err_set(err, DT_E_NOMEM, "no memory for the cgroup root");
    (void)snprintf(r->parent, sizeof(r->parent), "daytona-%s", instance);
    r->base = r->tree = r->v1_devices = r->v1_devices_base = -1;
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        r->v1[i] = r->v1_base[i] = -1;
    if (find_mounts(mountinfo, m, err) < 0)
        return -1;
    if (setup(r, m, base, err) < 0) {
        struct dt_err ignored;
        (void)(dt_cgroup_root_remove(r, &ignored) < 0);
        return -1;
    }
    *ret = dt_take(r);
    return 0;
}

int dt_cgroup_root_open(const char *instance, const char *base, struct dt_cgroup_root **ret,
                        struct dt_err *err)
{
    return dt_cgroup_root_open_at("/proc/self/mountinfo", instance, base, ret, err);
}

struct dt_cgroup_root *dt_cgroup_root_free(struct dt_cgroup_root *r)
{
    if (r == NULL)
        return NULL;
    dt_closep(&r->base);
    dt_closep(&r->tree);
    for (size_t i = 0; i < DT_CG_LIMITING; i++) {
        dt_closep(&r->v1_base[i]);
        dt_closep(&r->v1[i]);
    }
    dt_closep(&r->v1_devices_base);
    dt_closep(&r->v1_devices);
    free(r);
    return NULL;
}

static int remove_parent(int base, const char *parent, struct dt_err *err)
{
    if (base < 0 || unlinkat(base, parent, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == EROFS)
        return 0;
    (void)dt_err_errno(err, "remove the group %s", parent);
    if (err != NULL && err->sys_errno == EBUSY)
        err->code = DT_E_CONFLICT;
    return -1;
}

int dt_cgroup_root_remove(struct dt_cgroup_root *r, struct dt_err *err)
{
    if (remove_parent(r->base, r->parent, err) < 0)
        return -1;
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        if (remove_parent(r->v1_base[i], r->parent, err) < 0)
            return -1;
    return remove_parent(r->v1_devices_base, r->parent, err);
}

const char *dt_cgroup_driver(const struct dt_cgroup_root *r)
{
    return dt_cgroup_needs_attach(r) ? "hybrid" : "v2";
}

bool dt_cgroup_needs_attach(const struct dt_cgroup_root *r)
{
    bool needs = r->v1_devices >= 0;
    for (size_t i = 0; i < DT_CG_LIMITING; i++)
        needs = needs || r->v1[i] >= 0;
    return needs;
}

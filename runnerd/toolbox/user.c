#include "toolbox/user.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "base/log.h"

enum { FIELDS_MAX = 7, ID_MAX = 4294967294u };

/* Splits a line of /etc/passwd or /etc/group; returns the number of fields. */
static size_t split(struct dt_str line, struct dt_str fields[FIELDS_MAX])
{
    size_t n = 0;
    while (n < FIELDS_MAX && dt_str_cut(&line, ':', &fields[n]))
        n++;
    return n;
}

static int number(struct dt_str s, unsigned *ret)
{
    unsigned long long v;
    if (dt_str_u64(s, ID_MAX, &v) < 0)
        return -1;
    *ret = (unsigned)v;
    return 0;
}

static bool copy(char *out, size_t size, struct dt_str s)
{
    if (s.n == 0 || s.n >= size || memchr(s.p, '\0', s.n) != NULL)
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return true;
}

/* Fills *out from the entry whose name, or else uid, is `who`. */
static bool find_passwd(struct dt_str text, struct dt_str who, struct dt_user *out)
{
    struct dt_str line, f[FIELDS_MAX];
    unsigned wanted = 0;
    bool numeric = number(who, &wanted) == 0;
    while (dt_str_cut(&text, '\n', &line)) {
        unsigned uid, gid;
        if (split(line, f) < 6 || number(f[2], &uid) < 0 || number(f[3], &gid) < 0)
            continue;
        if (!dt_str_eq(f[0], who) && !(numeric && uid == wanted))
            continue;
        struct dt_user u = {.uid = uid, .gid = gid, .home = "/", .shell = "/bin/sh"};
        if (!copy(u.name, sizeof(u.name), f[0]))
            continue;
        if (f[5].n > 0 && f[5].p[0] == '/')
            (void)copy(u.home, sizeof(u.home), f[5]);
        if (split(line, f) == 7)
            (void)copy(u.shell, sizeof(u.shell), f[6]);
        *out = u;
        return true;
    }
    return false;
}

int dt_user_group(struct dt_str text, struct dt_str who, gid_t *ret, struct dt_err *err)
{
    struct dt_str line, f[FIELDS_MAX];
    while (dt_str_cut(&text, '\n', &line)) {
        if (split(line, f) >= 3 && dt_str_eq(f[0], who) && number(f[2], ret) == 0)
            return 0;
    }
    if (number(who, ret) == 0)
        return 0;
    return dt_err_set(err, DT_E_NOT_FOUND, "no group '%.*s' in /etc/group", (int)who.n, who.p);
}

static bool lists(struct dt_str members, const char *name)
{
    struct dt_str one;
    while (dt_str_cut(&members, ',', &one)) {
        if (dt_str_eq(one, dt_str_z(name)))
            return true;
    }
    return false;
}

static void add_groups(struct dt_str text, struct dt_user *u)
{
    struct dt_str line, f[FIELDS_MAX];
    u->groups[u->ngroups++] = u->gid;
    while (dt_str_cut(&text, '\n', &line) && u->ngroups < DT_USER_GROUPS_MAX) {
        gid_t gid;
        if (split(line, f) >= 4 && number(f[2], &gid) == 0 && gid != u->gid && lists(f[3], u->name))
            u->groups[u->ngroups++] = gid;
    }
}

int dt_user_find(struct dt_str passwd, struct dt_str group, struct dt_str spec, struct dt_user *out,
                 struct dt_err *err)
{
    struct dt_str rest = spec, who = DT_STR("root"), its_group = {NULL, 0};
    if (spec.n > 0 && dt_str_cut(&rest, ':', &who))
        its_group = rest;
    if (who.n == 0 || memchr(spec.n > 0 ? spec.p : "", '\0', spec.n) != NULL)
        return dt_err_set(err, DT_E_INVALID, "the user must be a name or a number");

    struct dt_user u = {.home = "/", .shell = "/bin/sh"};
    if (!find_passwd(passwd, who, &u)) {
        if (dt_str_eq(who, DT_STR("root")))
            (void)copy(u.home, sizeof(u.home), DT_STR("/root"));
        else if (number(who, &u.uid) < 0)
            return dt_err_set(err, DT_E_NOT_FOUND, "no user '%.*s' in /etc/passwd",
                              (int)(who.n < 100 ? who.n : 100), who.p);
        (void)copy(u.name, sizeof(u.name), who);
    }
    if (its_group.p != NULL && dt_user_group(group, its_group, &u.gid, err) < 0)
        return -1;
    add_groups(group, &u);
    *out = u;
    return 0;
}

int dt_user_load(const char *spec, bool required, struct dt_user *out, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf passwd, group;
    struct dt_err none;
    dt_buf_init(&passwd, DT_USER_FILE_MAX);
    dt_buf_init(&group, DT_USER_FILE_MAX);
    if (dt_fd_read_file(AT_FDCWD, "/etc/passwd", &passwd, &none) < 0)
        dt_buf_clear(&passwd);
    if (dt_fd_read_file(AT_FDCWD, "/etc/group", &group, &none) < 0)
        dt_buf_clear(&group);
    if (dt_user_find(dt_buf_str(&passwd), dt_buf_str(&group), dt_str_z(spec), out, err) == 0)
        return 0;
    if (required)
        return -1;
    dt_log(DT_LOG_WARN, "the sandbox's user is not in the image, root is used", "user", spec, "err",
           err->msg, NULL);
    if (dt_user_find(dt_buf_str(&passwd), dt_buf_str(&group), DT_STR("root"), out, &none) < 0)
        *out = (struct dt_user){.name = "root", .home = "/root", .shell = "/bin/sh"};
    return 0;
}

void dt_user_make_home(const struct dt_user *u)
{
    struct stat st;
    if (stat(u->home, &st) == 0 || strcmp(u->home, "/nonexistent") == 0)
        return;
    char path[sizeof(u->home)];
    for (size_t i = 1; u->home[i - 1] != '\0'; i++) {
        if (u->home[i] != '/' && u->home[i] != '\0')
            continue;
        memcpy(path, u->home, i);
        path[i] = '\0';
        (void)mkdir(path, u->home[i] == '\0' ? 0750 : 0755);
    }
    if (chown(u->home, u->uid, u->gid) < 0)
        dt_log(DT_LOG_WARN, "cannot make the home folder", "path", u->home, "err", strerror(errno),
               NULL);
}

static int keep_only_kill(struct dt_err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    data[0].permitted = data[0].effective = 1u << CAP_KILL;
    if (syscall(SYS_capset, &head, data) == 0)
        return 0;
    data[0].permitted = data[0].effective = 0; /* the launcher left no CAP_KILL */
    return syscall(SYS_capset, &head, data) == 0 ? 0 : dt_err_errno(err, "capset");
}

int dt_user_become(const struct dt_user *u, struct dt_err *err)
{
    if (setgroups(u->ngroups, u->groups) < 0)
        return dt_err_errno(err, "setgroups");
    if (setresgid(u->gid, u->gid, u->gid) < 0)
        return dt_err_errno(err, "setgid %u", u->gid);
    if (u->uid != 0) {
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
            return dt_err_errno(err, "setuid %u", u->uid);
        if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || keep_only_kill(err) < 0)
            return -1;
    }
    /* Nothing in the sandbox may trace pid 1, read its memory or take its descriptors. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return dt_err_errno(err, "PR_SET_DUMPABLE");
    return 0;
}

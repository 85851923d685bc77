#include "toolbox/git_guard.h"

#include <stdio.h>

/* Of http.* and http.<url>.*: all but these can lead a password elsewhere, or may in a later
 * version of git. */
static const char *const http_allowed[] = {
    "extraheader",      "followredirects", "lowspeedlimit", "lowspeedtime",
    "maxrequestbuffer", "maxrequests",     "minsessions",   "noepsv",
    "postbuffer",       "useragent",       "version",       NULL,
};
/* Of remote.<name>.*: what names programs and proxies. */
static const char *const remote_refused[] = {
    "proxy", "proxyauthmethod", "receivepack", "uploadpack", "vcs", NULL};
static const char *const core_refused[] = {"alternaterefscommand", "gitproxy", NULL};

static bool is_one_of(struct dt_str word, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (dt_str_eq(word, dt_str_z(list[i])))
            return true;
    }
    return false;
}

bool dt_git_guard_allows(struct dt_str key)
{
    const char *dot = key.n > 0 ? memrchr(key.p, '.', key.n) : NULL;
    if (dot == NULL)
        return true;
    struct dt_str last = dt_str(dot + 1, key.n - (size_t)(dot + 1 - key.p));
    if (dt_str_starts(key, DT_STR("http.")))
        return is_one_of(last, http_allowed);
    if (dt_str_starts(key, DT_STR("remote.")))
        return !is_one_of(last, remote_refused);
    if (dt_str_starts(key, DT_STR("core.")))
        return !is_one_of(last, core_refused);
    return !dt_str_starts(key, DT_STR("url."));
}

static void copy(char out[DT_GIT_GUARD_TEXT_MAX], struct dt_str s)
{
    size_t n = s.n < DT_GIT_GUARD_TEXT_MAX ? s.n : DT_GIT_GUARD_TEXT_MAX - 1;
    memcpy(out, s.p, n);
    out[n] = '\0';
}

/* The last one counts, as for git. */
static void take(struct dt_git_guard *g, struct dt_str scope, struct dt_str key,
                 struct dt_str value, struct dt_str branch)
{
    bool own = dt_str_eq(scope, DT_STR("local")) || dt_str_eq(scope, DT_STR("worktree"));
    if (own && g->refused[0] == '\0' && !dt_git_guard_allows(key))
        copy(g->refused, key);
    if (dt_str_eq(key, DT_STR("core.sshcommand")))
        g->ssh_command = value.n > 0;
    if (branch.n == 0 || !dt_str_starts(key, DT_STR("branch.")))
        return;
    struct dt_str rest = dt_str(key.p + 7, key.n - 7);
    if (!dt_str_starts(rest, branch))
        return;
    rest = dt_str(rest.p + branch.n, rest.n - branch.n);
    if (dt_str_eq(rest, DT_STR(".remote")))
        copy(g->remote, value);
    else if (dt_str_eq(rest, DT_STR(".merge")))
        copy(g->merge, value);
}

int dt_git_guard_read(struct dt_str list, const char *branch, struct dt_git_guard *out,
                      struct dt_err *err)
{
    struct dt_str scope, value, key;
    *out = (struct dt_git_guard){.ssh_command = false};
    while (list.n > 0 && dt_str_cut(&list, '\0', &scope)) {
        if (scope.n == 0 || !dt_str_cut(&list, '\0', &value) || list.p == NULL)
            return dt_err_set(err, DT_E_SYSTEM, "git config answered in a form that is not known");
        (void)dt_str_cut(&value, '\n', &key);
        take(out, scope, key, value, dt_str_z(branch));
    }
    return 0;
}

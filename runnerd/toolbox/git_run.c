#include "toolbox/git_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "toolbox/askpass.h"
#include "toolbox/git_error.h"
#include "toolbox/git_program.h"

enum { ERRORS_MAX = 16 * 1024, GRACE_MS = 5000, ENV_MAX = 14 };

struct dt_git_run {
    struct dt_command *command;
    struct dt_buf out;
    bool too_long;
    void (*on_out)(void *ctx, const char *p, size_t n);
    void (*on_end)(void *ctx, const struct dt_git_end *end);
    void *ctx;
};

/* --- arguments --- */

static void add(struct dt_git_args *a, const char *text)
{
    if (a->n + 1 >= a->cap) {
        size_t cap = a->cap == 0 ? 64 : 2 * a->cap;
        const char **v = reallocarray((void *)a->v, cap, sizeof(*v));
        if (v == NULL) {
            a->failed = true;
            return;
        }
        a->v = v;
        a->cap = cap;
    }
    a->v[a->n++] = text;
    a->v[a->n] = NULL;
}

void dt_git_args_add(struct dt_git_args *a, ...)
{
    va_list list;
    const char *text;
    va_start(list, a);
    while ((text = va_arg(list, const char *)) != NULL)
        add(a, text);
    va_end(list);
}

void dt_git_args_own(struct dt_git_args *a, char *text)
{
    char **owned = reallocarray((void *)a->owned, a->nowned + 1, sizeof(*owned));
    if (owned == NULL || text == NULL) {
        a->failed = true;
        a->owned = owned != NULL ? owned : a->owned;
        free(text);
        return;
    }
    a->owned = owned;
    a->owned[a->nowned++] = text;
    add(a, text);
}

void dt_git_args_done(struct dt_git_args *a)
{
    for (size_t i = 0; i < a->nowned; i++)
        free(a->owned[i]);
    free((void *)a->owned);
    free((void *)a->v);
    *a = (struct dt_git_args){.v = NULL};
}

/* --- credentials --- */

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void dt_git_secret_init(struct dt_git_secret *s)
{
    *s = (struct dt_git_secret){.store = -1};
}

void dt_git_secret_done(struct dt_git_secret *s)
{
    free(s->site);
    free(s->username);
    wipe(s->password);
    if (s->store >= 0)
        (void)close(s->store);
    dt_git_secret_init(s);
}

int dt_git_secret_set(struct dt_git_secret *s, const char *site, const char *username,
                      const char *password, struct dt_err *err)
{
    dt_git_secret_done(s);
    s->site = strdup(site);
    s->username = strdup(username != NULL && username[0] != '\0' ? username : "git");
    s->password = strdup(password);
    if (s->site == NULL || s->username == NULL || s->password == NULL)
        return dt_err_set(err, DT_E_NOMEM, "git credentials");
    s->store = dt_askpass_store(s->site, s->username, s->password, err);
    return s->store < 0 ? -1 : 0;
}

/* --- the command line and the environment --- */

/* On the command line they come after every configuration file, and win. */
static void add_settings(struct dt_git_args *a, const struct dt_git_run_opts *o, bool ask)
{
    dt_git_args_add(a, "-c", "core.askPass=", "-c", "advice.detachedHead=false", "-c",
                    /* A server that makes a pack says so every few seconds; one this silent is
                     * gone. */
                    "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=120", NULL);
    if (ask)
        dt_git_args_add(a,
                        /* or a helper would write the password down */
                        "-c", "credential.helper=", "-c", "http.followRedirects=initial",
                        /* what git may start beside its work would inherit the credentials */
                        "-c", "core.fsmonitor=false", "-c", "gc.auto=0", "-c",
                        "maintenance.auto=false", "-c", "push.gpgSign=false", NULL);
    if (ask || o->no_hooks)
        dt_git_args_add(a, "-c", "core.hooksPath=/dev/null", NULL);
}

/* A repository that root gave to this user's sandbox is as good as an own one: root could do all
 * that its settings can. What belongs to anybody else stays git's to refuse. */
static bool from_root(const char *dir)
{
    struct stat tree, meta;
    char path[4200];
    if (dir == NULL || stat(dir, &tree) < 0)
        return false;
    (void)snprintf(path, sizeof(path), "%s/.git", dir);
    if (stat(path, &meta) < 0)
        meta = tree;
    uid_t me = geteuid();
    return (tree.st_uid == 0 || tree.st_uid == me) && (meta.st_uid == 0 || meta.st_uid == me) &&
           (tree.st_uid != me || meta.st_uid != me);
}

static void make_args(struct dt_git_args *a, const struct dt_git_program *g,
                      const struct dt_git_run_opts *o, bool ask)
{
    add(a, g->argv0);
    if (g->argv1 != NULL)
        add(a, g->argv1);
    add_settings(a, o, ask);
    if (from_root(o->dir))
        dt_git_args_add(a, "-c", "safe.directory=*", NULL);
    if (o->dir != NULL)
        dt_git_args_add(a, "-C", o->dir, NULL);
    for (size_t i = 0; i < o->args->n; i++)
        add(a, o->args->v[i]);
    a->failed = a->failed || o->args->failed;
}

static void make_env(const char *env[ENV_MAX + 1], const struct dt_git_program *g,
                     const struct dt_git_run_opts *o, bool ask)
{
    const char *const all[ENV_MAX] = {
        "GIT_TERMINAL_PROMPT=0",
        "GIT_EDITOR=:",
        "LC_ALL=C.UTF-8",
        "LANGUAGE=C",
        o->own_ssh ? NULL : dt_git_program_ssh(),
        ask ? DT_ASKPASS_PROGRAM : "GIT_ASKPASS=",
        ask ? DT_ASKPASS_ENV : "SSH_ASKPASS=",
        /* no setting of a repository can add a helper to these */
        o->servers_only ? "GIT_ALLOW_PROTOCOL=http:https:ssh:git"
        : ask           ? "GIT_ALLOW_PROTOCOL=http:https:ssh:git:file"
                        : NULL,
        o->no_tls_check ? "GIT_SSL_NO_VERIFY=1" : NULL,
        g->env[0],
        g->env[1],
        g->env[2],
    };
    size_t n = 0;
    for (size_t i = 0; i < ENV_MAX; i++) {
        if (all[i] != NULL)
            env[n++] = all[i];
    }
    env[n] = NULL;
}

/* --- running --- */

static void run_free(struct dt_git_run *r)
{
    dt_buf_done(&r->out);
    free(r);
}

static void on_out(void *ctx, const char *p, size_t n)
{
    struct dt_git_run *r = ctx;
    if (r->on_out != NULL)
        r->on_out(r->ctx, p, n);
    else if (!r->too_long && dt_buf_add(&r->out, p, n, NULL) < 0)
        r->too_long = true;
}

static void on_end(void *ctx, const struct dt_command_end *end)
{
    struct dt_git_run *r = ctx;
    const struct dt_git_end mine = {
        .exit_code = end->exit_code,
        .timed_out = end->timed_out,
        .too_long = r->too_long,
        .out = &r->out,
        .errors = end->errors,
    };
    r->command = NULL;
    r->on_end(r->ctx, &mine);
    run_free(r);
}

int dt_git_run_start(struct dt_toolbox *tb, const struct dt_git_run_opts *o,
                     struct dt_git_run **ret, struct dt_err *err)
{
    struct dt_git_program g;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    const char *env[ENV_MAX + 1];
    bool ask = o->secret != NULL && o->secret->store >= 0 && tb->guest.exe_fd >= 0;
    if (dt_git_program_find(&g, err) < 0)
        return -1;
    make_args(&a, &g, o, ask);
    make_env(env, &g, o, ask);
    struct dt_git_run *r = calloc(1, sizeof(*r));
    if (r == NULL || a.failed) {
        free(r);
        return dt_err_set(err, DT_E_NOMEM, "git");
    }
    dt_buf_init(&r->out, DT_GIT_OUT_MAX);
    r->on_out = o->on_out;
    r->on_end = o->on_end;
    r->ctx = o->ctx;
    const struct dt_command_opts opts = {
        .argv = a.v,
        .cwd = "/",
        .env = o->env,
        .more_env = env,
        .extra = {ask ? tb->guest.exe_fd : -1, ask ? o->secret->store : -1},
        .in = o->in,
        .split = true,
        .limit = ERRORS_MAX,
        .no_file = true,
        .timeout_ms = DT_GIT_TIMEOUT_MS,
        .grace_ms = o->kill_at_once ? 0 : GRACE_MS,
        .on_out = on_out,
        .on_end = on_end,
        .ctx = r,
    };
    if (dt_command_start(tb, &opts, &r->command, err) < 0) {
        run_free(r);
        return -1;
    }
    *ret = r;
    return 0;
}

void dt_git_run_cancel(struct dt_git_run *r)
{
    dt_command_cancel(r->command);
    run_free(r);
}

void dt_git_run_pause(struct dt_git_run *r)
{
    dt_command_pause(r->command);
}

void dt_git_run_resume(struct dt_git_run *r)
{
    dt_command_resume(r->command);
}

int dt_git_run_check(const struct dt_git_end *end, const struct dt_git_secret *secret,
                     struct dt_err *err)
{
    if (end->timed_out)
        return dt_err_set(err, DT_E_TIMEOUT, "git took longer than %d minutes and was stopped",
                          DT_GIT_TIMEOUT_MS / 60000);
    if (end->exit_code == 0 && end->too_long)
        return dt_err_set(err, DT_E_TOO_LARGE, "git printed more than %d MiB",
                          DT_GIT_OUT_MAX / 1024 / 1024);
    if (end->exit_code == 0)
        return 0;
    struct dt_capture_view v;
    int r = dt_capture_show(end->errors, &v, err);
    v.head.max += (size_t)3 * ERRORS_MAX;
    if (r == 0 && v.tail.n > 0)
        r = dt_buf_adds(&v.head, dt_buf_str(&v.tail), err);
    if (r == 0)
        (void)dt_git_error_set(err, &v.head, secret != NULL ? secret->password : NULL);
    dt_capture_view_done(&v);
    return -1;
}

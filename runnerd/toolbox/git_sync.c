/* POST /git/pull and /git/push.
 *
 * Credentials of the request are with git while it talks to the remote, and with nothing else: no
 * hook, filter or helper runs meanwhile, and settings of the repository that could lead them
 * elsewhere are refused (git_guard.h). Hooks have their turn in runs of their own.
 */
#include <stdio.h>

#include "toolbox/git_guard.h"
#include "toolbox/git_op.h"

enum { REF_MAX = 1100 };

/*
 * head -> settings [-> address, with a password] -> fetch -> merge             for a pull
 *                                                -> [hook, with a password ->] push
 */
struct sync {
    bool push;
    bool set_upstream;
    const char *remote, *branch, *username, *password; /* in op->body */
    char head[REF_MAX];                                /* refs/heads/…; empty: detached */
    char refspec[2 * REF_MAX];                         /* empty: what the settings say */
    char address[8300];
    struct dt_git_guard guard;
};

static int run(struct dt_git_op *op, const struct dt_git_args *a, dt_git_next *next,
               struct dt_err *err)
{
    const struct sync *s = op->state;
    struct dt_git_run_opts opts = {
        .args = a,
        .secret = &op->secret,
        .own_ssh = s->guard.ssh_command && op->secret.store < 0,
    };
    return dt_git_op_run_with(op, &opts, next, err);
}

/* --- pull --- */

static int on_fetched(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, &op->secret, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "merge", "--ff-only", "--quiet", "FETCH_HEAD", NULL);
    return dt_git_op_run(op, &a, dt_git_op_finish, err);
}

/* Without a refspec git fetches what the remote's settings say, and marks the upstream branch. */
static int fetch(struct dt_git_op *op, struct dt_err *err)
{
    const struct sync *s = op->state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "fetch", "--quiet", NULL);
    if (op->secret.store >= 0)
        dt_git_args_add(&a, "--no-recurse-submodules", NULL);
    dt_git_args_add(&a, "--", s->remote, NULL);
    if (s->refspec[0] != '\0')
        dt_git_args_add(&a, s->refspec, NULL);
    return run(op, &a, on_fetched, err);
}

/* --- push --- */

static int push(struct dt_git_op *op, struct dt_err *err)
{
    const struct sync *s = op->state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "push", "--quiet", NULL);
    if (op->secret.store >= 0)
        dt_git_args_add(&a, "--no-verify", "--no-recurse-submodules", NULL);
    if (s->set_upstream)
        dt_git_args_add(&a, "--set-upstream", NULL);
    dt_git_args_add(&a, "--", s->remote, s->refspec, NULL);
    return run(op, &a, dt_git_op_finish, err);
}

static int on_hook(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, &op->secret, err) < 0 &&
        strstr(err->msg, "is not a git command") == NULL) {
        err->code = end->timed_out ? DT_E_TIMEOUT : DT_E_GIT_PUSH_REJECTED;
        return dt_err_wrap(err, "the pre-push hook of the repository declined");
    }
    return push(op, err);
}

/* git would run it within the push, and all that it starts could read the credentials. */
static int hook_then_push(struct dt_git_op *op, struct dt_err *err)
{
    const struct sync *s = op->state;
    if (op->secret.store < 0)
        return push(op, err);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "hook", "run", "--ignore-missing", "pre-push", "--", s->remote, s->address,
                    NULL);
    return dt_git_op_run(op, &a, on_hook, err);
}

/* --- what both look up --- */

static int talk(struct dt_git_op *op, struct dt_err *err)
{
    const struct sync *s = op->state;
    return s->push ? hook_then_push(op, err) : fetch(op, err);
}

/* The password is for the site that the remote's address leads to, whatever the user's own
 * settings make of it. Other transports than http have no use for one. */
static int on_address(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    struct sync *s = op->state;
    struct dt_clone_url url;
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    const char *line = end->out->n > 0 ? end->out->p : "";
    (void)snprintf(s->address, sizeof(s->address), "%.*s", (int)strcspn(line, "\n"), line);
    if (dt_clone_url_parse(s->address, &url, err) < 0)
        return talk(op, err); /* a path, or a helper's: nobody asks for a password */
    (void)snprintf(s->address, sizeof(s->address), "%s", url.clean);
    int r = 0;
    if (url.site != NULL && s->guard.refused[0] != '\0')
        r = dt_err_set(err, DT_E_CONFLICT,
                       "the repository's own configuration sets %.200s, which could lead the "
                       "credentials elsewhere: remove that setting, or call without credentials",
                       s->guard.refused);
    else if (url.site != NULL)
        r = dt_git_secret_set(&op->secret, url.site, s->username, s->password, err);
    dt_clone_url_done(&url);
    return r < 0 ? -1 : talk(op, err);
}

static int ask_address(struct dt_git_op *op, struct dt_err *err)
{
    const struct sync *s = op->state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    if (!dt_git_given(s->password))
        return talk(op, err);
    dt_git_args_add(&a, "remote", "get-url", NULL);
    if (s->push)
        dt_git_args_add(&a, "--push", NULL);
    dt_git_args_add(&a, "--", s->remote, NULL);
    return dt_git_op_run(op, &a, on_address, err);
}

static int detached(const char *what, struct dt_err *err)
{
    return dt_err_set(err, DT_E_GIT_BRANCH_NOT_FOUND,
                      "HEAD is detached: name the branch to %s, or check one out", what);
}

static int choose_refspec(struct sync *s, struct dt_err *err)
{
    const char *prefix =
        s->branch != NULL && strncmp(s->branch, "refs/", 5) != 0 ? "refs/heads/" : "";
    const char *name = s->branch != NULL ? s->branch : s->head;
    if (name[0] == '\0')
        return detached(s->push ? "push" : "pull", err);
    if (s->push) {
        (void)snprintf(s->refspec, sizeof(s->refspec), "%s%s:%s%s", prefix, name, prefix, name);
        return 0;
    }
    /* A tag may be pulled as well, so a name that was given is the remote's to find. */
    bool upstream = s->guard.merge[0] != '\0' && strcmp(s->guard.remote, s->remote) == 0;
    if (s->branch != NULL || !upstream)
        (void)snprintf(s->refspec, sizeof(s->refspec), "%s", name);
    return 0;
}

static int on_settings(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    struct sync *s = op->state;
    const char *branch = strncmp(s->head, "refs/heads/", 11) == 0 ? s->head + 11 : NULL;
    if (dt_git_run_check(end, NULL, err) < 0 ||
        dt_git_guard_read(dt_buf_str(end->out), branch, &s->guard, err) < 0 ||
        choose_refspec(s, err) < 0)
        return -1;
    return ask_address(op, err);
}

static int on_head(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    struct sync *s = op->state;
    if (end->exit_code != 1 && dt_git_run_check(end, NULL, err) < 0)
        return -1;
    const char *line = end->exit_code == 0 && end->out->n > 0 ? end->out->p : "";
    size_t n = strcspn(line, "\n");
    if (n >= sizeof(s->head))
        return dt_err_set(err, DT_E_SYSTEM, "the current branch has a name too long");
    (void)snprintf(s->head, sizeof(s->head), "%.*s", (int)n, line);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "config", "--list", "-z", "--show-scope", NULL);
    return dt_git_op_run(op, &a, on_settings, err);
}

static int start(struct dt_git_op *op, const char *path, const char *remote, const char *branch,
                 struct dt_err *err)
{
    struct sync *s = op->state;
    s->remote = dt_git_given(remote) ? remote : "origin";
    s->branch = dt_git_given(branch) ? branch : NULL;
    if (dt_git_name_check(s->remote, "remote", err) < 0 ||
        (s->branch != NULL && dt_git_name_check(s->branch, "branch", err) < 0) ||
        dt_git_op_at(op, dt_str_z(path), err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "symbolic-ref", "--quiet", "HEAD", NULL);
    return dt_git_op_run(op, &a, on_head, err);
}

/* The texts of the typed input live as long as op->body. */
static int pull_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_pull in;
    struct sync *s = dt_git_op_state(op, sizeof(*s), err);
    if (s == NULL || dt_tb_git_pull_parse(body, &in, err) < 0)
        return -1;
    s->username = in.username;
    s->password = in.password;
    int r = start(op, in.path, in.remote, in.branch, err);
    dt_tb_git_pull_done(&in);
    return r;
}

static int push_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_push in;
    struct sync *s = dt_git_op_state(op, sizeof(*s), err);
    if (s == NULL || dt_tb_git_push_parse(body, &in, err) < 0)
        return -1;
    s->push = true;
    s->set_upstream = in.set_upstream;
    s->username = in.username;
    s->password = in.password;
    int r = start(op, in.path, in.remote, in.branch, err);
    dt_tb_git_push_done(&in);
    return r;
}

void dt_op_git_pull(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, pull_begin);
}

void dt_op_git_push(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, push_begin);
}

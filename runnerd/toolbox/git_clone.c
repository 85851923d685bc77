/* POST /git/clone */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "toolbox/files.h"
#include "toolbox/git_op.h"
#include "toolbox/work.h"

/*
 * clone -> checkout             with a commit
 * checkout -> fetch -> checkout the commit is on no branch that was cloned
 * -> submodules                 when there are some
 * each -> answered, or on failure tidy (a thread removes what is there) -> answered
 */
struct clone {
    struct dt_git_op *op;
    const char *branch, *commit; /* NULL: none */
    char depth[32];              /* empty: all */
    bool no_tls_check;
    bool existed; /* the target was there, and empty */
    bool fetched;
    struct dt_clone_url url;
    struct dt_err err;
};

static void clone_done(void *state)
{
    struct clone *c = state;
    dt_clone_url_done(&c->url);
}

/* --- after a failure: nothing half-made stays --- */

static void empty_folder(const char *path)
{
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DT_AUTO_FD int own = fd >= 0 ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (d == NULL)
        return;
    (void)dt_take_fd(&own);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            dt_fd_remove_tree(fd, e->d_name, NULL) < 0)
            break;
    }
    (void)closedir(d);
}

static void tidy_work(void *ctx)
{
    const struct clone *c = ctx;
    struct dt_err err;
    if (c->existed)
        empty_folder(c->op->path);
    else if (dt_files_remove_tree(c->op->path, &err) < 0)
        return; /* the error that led here is the one to tell */
}

static void tidy_done(void *ctx)
{
    struct clone *c = ctx;
    struct dt_err err = c->err;
    dt_git_op_tidied(c->op, &err);
}

static void tidy(struct dt_git_op *op, const struct dt_err *err)
{
    struct clone *c = op->state;
    struct dt_err ignored;
    if (err != NULL)
        c->err = *err;
    if (dt_work_start(tidy_work, tidy_done, c, &ignored) < 0)
        tidy_done(c);
}

/* --- running git --- */

static dt_git_next on_submodules, on_fetch, on_checkout;

static int run(struct dt_git_op *op, const struct dt_git_args *args, const char *dir,
               dt_git_next *next, struct dt_err *err)
{
    const struct clone *c = op->state;
    struct dt_git_run_opts opts = {
        .args = args,
        .dir = dir,
        .secret = &op->secret,
        .no_hooks = true,
        .no_tls_check = c->no_tls_check,
        .servers_only = next == on_submodules,
        .kill_at_once = true,
    };
    return dt_git_op_run_with(op, &opts, next, err);
}

/* A clone whose submodules cannot be had is one all the same; a header tells. */
static int on_submodules(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, &op->secret, err) < 0) {
        for (char *p = err->msg; *p != '\0'; p++) {
            if ((unsigned char)*p < ' ')
                *p = ' ';
        }
        dt_http_req_add_header(op->req, "X-Daytona-Git-Warning", dt_str_z(err->msg));
    }
    dt_reply_empty(op->req, 200);
    return 0;
}

static int finish(struct dt_git_op *op, struct dt_err *err)
{
    char modules[4200];
    (void)snprintf(modules, sizeof(modules), "%s/.gitmodules", op->path);
    if (access(modules, F_OK) < 0) {
        dt_reply_empty(op->req, 200);
        return 0;
    }
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    /* What `git submodule update` runs, which itself is a script that needs a shell and more. */
    dt_git_args_add(&a, "submodule--helper", "update", "--init", "--recursive", "--quiet", NULL);
    return run(op, &a, op->path, on_submodules, err);
}

static int checkout(struct dt_git_op *op, struct dt_err *err)
{
    const struct clone *c = op->state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "checkout", "--quiet", "--detach", "--force", c->commit, NULL);
    return run(op, &a, op->path, on_checkout, err);
}

static int on_checkout(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    struct clone *c = op->state;
    if (end->exit_code == 0)
        return finish(op, err);
    if (c->fetched || end->timed_out)
        return dt_git_run_check(end, &op->secret, err);
    c->fetched = true;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "fetch", "--quiet", NULL);
    if (c->depth[0] != '\0')
        dt_git_args_add(&a, c->depth, NULL);
    dt_git_args_add(&a, "origin", c->commit, NULL);
    return run(op, &a, op->path, on_fetch, err);
}

static int on_fetch(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    return dt_git_run_check(end, &op->secret, err) < 0 ? -1 : checkout(op, err);
}

static int on_clone(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    const struct clone *c = op->state;
    if (dt_git_run_check(end, &op->secret, err) < 0)
        return -1;
    return c->commit != NULL ? checkout(op, err) : finish(op, err);
}

static int start(struct dt_git_op *op, struct dt_err *err)
{
    const struct clone *c = op->state;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "clone", "--quiet", NULL);
    if (c->branch != NULL)
        dt_git_args_add(&a, "--single-branch", "--branch", c->branch, NULL);
    if (c->commit != NULL)
        dt_git_args_add(&a, "--no-checkout", NULL);
    if (c->depth[0] != '\0')
        dt_git_args_add(&a, c->depth, NULL);
    dt_git_args_add(&a, "--", c->url.clean, op->path, NULL);
    return run(op, &a, "/", on_clone, err);
}

/* --- the request --- */

static int check_target(struct dt_git_op *op, struct clone *c, struct dt_err *err)
{
    struct stat st;
    if (lstat(op->path, &st) < 0)
        return errno == ENOENT ? dt_files_make_parents(op->path, 0755, err)
                               : dt_reply_file_errno(err, errno, op->path);
    DIR *d = opendir(op->path);
    if (d == NULL)
        return errno == ENOTDIR ? dt_err_set(err, DT_E_FILE_EXISTS,
                                             "%.400s exists and is not a folder", op->path)
                                : dt_reply_file_errno(err, errno, op->path);
    size_t n = 0;
    while (n < 3 && readdir(d) != NULL)
        n++;
    (void)closedir(d);
    c->existed = true;
    return n < 3 ? 0
                 : dt_err_set(err, DT_E_FILE_EXISTS,
                              "%.400s exists and is not empty: clone into another folder, or "
                              "delete it first",
                              op->path);
}

/* Credentials of the fields count before those in the URL. */
static int take_credentials(struct dt_git_op *op, const struct dt_tb_git_clone *in,
                            struct dt_err *err)
{
    const struct clone *c = op->state;
    bool fields = dt_git_given(in->password);
    const char *password = fields ? in->password : c->url.password;
    if (c->url.site == NULL || !dt_git_given(password))
        return 0;
    return dt_git_secret_set(&op->secret, c->url.site, fields ? in->username : c->url.username,
                             password, err);
}

static int check_commit(const char *commit, struct dt_err *err)
{
    size_t n = strlen(commit);
    return strspn(commit, "0123456789abcdefABCDEF") == n && n >= 4 && n <= 64
               ? 0
               : dt_err_set(err, DT_E_INVALID,
                            "commit_id must be 4 to 64 hexadecimal digits: a commit's hash");
}

/* The texts of `in` live as long as op->body. */
static int prepare(struct dt_git_op *op, const struct dt_tb_git_clone *in, struct dt_err *err)
{
    struct clone *c = dt_git_op_state(op, sizeof(*c), err);
    if (c == NULL)
        return -1;
    op->state_done = clone_done;
    c->op = op;
    c->branch = dt_git_given(in->branch) ? in->branch : NULL;
    c->commit = dt_git_given(in->commit_id) ? in->commit_id : NULL;
    c->no_tls_check = in->insecure_skip_tls;
    if (in->depth > 0)
        (void)snprintf(c->depth, sizeof(c->depth), "--depth=%lld", (long long)in->depth);
    if ((c->branch != NULL && dt_git_name_check(c->branch, "branch", err) < 0) ||
        (c->commit != NULL && check_commit(c->commit, err) < 0) ||
        dt_git_op_at(op, dt_str_z(in->path), err) < 0 ||
        dt_clone_url_parse(in->url, &c->url, err) < 0 || take_credentials(op, in, err) < 0)
        return -1;
    return check_target(op, c, err);
}

static int begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_clone in;
    if (dt_tb_git_clone_parse(body, &in, err) < 0)
        return -1;
    int r = prepare(op, &in, err);
    dt_tb_git_clone_done(&in);
    if (r < 0)
        return -1;
    op->tidy = tidy; /* nothing was there before */
    return start(op, err);
}

void dt_op_git_clone(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, begin);
}

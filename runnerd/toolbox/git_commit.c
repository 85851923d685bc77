/* POST /git/add and POST /git/commit. */
#include <sys/mman.h>

#include "base/fd.h"
#include "toolbox/git_op.h"
#include "toolbox/git_pathspec.h"

/* --- add --- */

static int add_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_add in;
    if (dt_tb_git_add_parse(body, &in, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "add", NULL);
    int r = dt_git_op_at(op, dt_str_z(in.path), err);
    if (r == 0)
        r = dt_git_pathspec_add(&a, op->path, in.files, err);
    if (r == 0)
        r = dt_git_op_run(op, &a, dt_git_op_finish, err);
    dt_tb_git_add_done(&in);
    return r;
}

void dt_op_git_add(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, add_begin);
}

/* --- commit --- */

static int on_hash(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    char hash[80];
    size_t n = strcspn(end->out->n > 0 ? end->out->p : "", "\n");
    if (n == 0 || n >= sizeof(hash))
        return dt_err_set(err, DT_E_SYSTEM, "git does not name the commit");
    memcpy(hash, end->out->p, n);
    hash[n] = '\0';
    const struct dt_tb_git_commit_result r = {.hash = hash};
    dt_reply_json(op->req, 200, dt_tb_git_commit_result_print(&r));
    return 0;
}

/* git tells about an empty commit on its standard output. */
static int on_commit(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    const char *out = end->out->n > 0 ? end->out->p : "";
    if (end->exit_code == 1 && (strstr(out, "nothing to commit") != NULL ||
                                strstr(out, "nothing added to commit") != NULL ||
                                strstr(out, "no changes added to commit") != NULL))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "cannot create empty commit: clean working tree, or nothing that was "
                          "added to the index; add files first, or set allow_empty");
    if (dt_git_run_check(end, NULL, err) < 0) {
        if (err->code == DT_E_SYSTEM && end->exit_code == 1)
            err->code = DT_E_CONFLICT; /* a hook declined */
        return -1;
    }
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "rev-parse", "HEAD", NULL);
    return dt_git_op_run(op, &a, on_hash, err);
}

static int commit_run(struct dt_git_op *op, const struct dt_tb_git_commit *in, struct dt_err *err)
{
    DT_AUTO_FD int message = memfd_create("message", MFD_CLOEXEC);
    if (message < 0)
        return dt_err_errno(err, "memfd");
    if (dt_fd_write_all(message, in->message, strlen(in->message), err) < 0)
        return -1;
    if (lseek(message, 0, SEEK_SET) < 0)
        return dt_err_errno(err, "memfd");
    DT_AUTO_JSON json_t *env =
        json_pack("{s:s,s:s,s:s,s:s}", "GIT_AUTHOR_NAME", in->author, "GIT_AUTHOR_EMAIL", in->email,
                  "GIT_COMMITTER_NAME", in->author, "GIT_COMMITTER_EMAIL", in->email);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "commit", "--cleanup=whitespace", "-F", "-", NULL);
    if (in->allow_empty)
        dt_git_args_add(&a, "--allow-empty", NULL);
    if (env == NULL)
        return dt_err_set(err, DT_E_NOMEM, "git commit");
    struct dt_git_run_opts run = {.args = &a, .env = env, .in = message};
    return dt_git_op_run_with(op, &run, on_commit, err);
}

static int commit_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_commit in;
    if (dt_tb_git_commit_parse(body, &in, err) < 0)
        return -1;
    int r = dt_git_op_at(op, dt_str_z(in.path), err);
    if (r == 0)
        r = commit_run(op, &in, err);
    dt_tb_git_commit_done(&in);
    return r;
}

void dt_op_git_commit(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, commit_begin);
}

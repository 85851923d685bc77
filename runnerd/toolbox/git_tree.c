/* POST /git/init, /git/reset and /git/restore. */
#include "toolbox/git_op.h"
#include "toolbox/git_pathspec.h"

/* --- init --- */

static int init_run(struct dt_git_op *op, const struct dt_tb_git_init *in, struct dt_err *err)
{
    if (dt_git_given(in->initial_branch) &&
        dt_git_name_check(in->initial_branch, "initial_branch", err) < 0)
        return -1;
    if (dt_git_op_at(op, dt_str_z(in->path), err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "init", "--quiet", NULL);
    if (in->bare)
        dt_git_args_add(&a, "--bare", NULL);
    if (dt_git_given(in->initial_branch))
        dt_git_args_add(&a, "-b", in->initial_branch, NULL);
    dt_git_args_add(&a, "--", op->path, NULL);
    struct dt_git_run_opts run = {.args = &a, .dir = "/"};
    return dt_git_op_run_with(op, &run, dt_git_op_finish, err);
}

static int init_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_init in;
    if (dt_tb_git_init_parse(body, &in, err) < 0)
        return -1;
    int r = init_run(op, &in, err);
    dt_tb_git_init_done(&in);
    return r;
}

void dt_op_git_init(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, init_begin);
}

/* --- reset --- */

/* The option of a mode; NULL for one that is none. */
static const char *reset_option(const char *mode)
{
    static const char *const options[] = {"--soft", "--mixed", "--hard", "--merge", "--keep"};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(mode, options[i] + 2) == 0)
            return options[i];
    }
    return NULL;
}

static int reset_run(struct dt_git_op *op, const struct dt_tb_git_reset *in, struct dt_err *err)
{
    const char *option = dt_git_given(in->mode) ? reset_option(in->mode) : "--mixed";
    bool files = json_array_size(in->files) > 0;
    if (option == NULL)
        return dt_err_set(err, DT_E_INVALID, "mode must be soft, mixed, hard, merge or keep");
    if (files && strcmp(option, "--mixed") != 0)
        return dt_err_set(err, DT_E_INVALID,
                          "files can be reset with mode mixed only; restore brings back their "
                          "contents");
    if (dt_git_given(in->target) && dt_git_name_check(in->target, "target", err) < 0)
        return -1;
    if (dt_git_op_at(op, dt_str_z(in->path), err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "reset", "--quiet", NULL);
    if (!files)
        dt_git_args_add(&a, option, NULL);
    if (dt_git_given(in->target))
        dt_git_args_add(&a, in->target, NULL);
    if (dt_git_pathspec_add(&a, op->path, in->files, err) < 0)
        return -1;
    return dt_git_op_run(op, &a, dt_git_op_finish, err);
}

static int reset_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_reset in;
    if (dt_tb_git_reset_parse(body, &in, err) < 0)
        return -1;
    int r = reset_run(op, &in, err);
    dt_tb_git_reset_done(&in);
    return r;
}

void dt_op_git_reset(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, reset_begin);
}

/* --- restore --- */

static int restore_run(struct dt_git_op *op, const struct dt_tb_git_restore *in, struct dt_err *err)
{
    bool neither = !in->staged && !in->worktree;
    if (neither && in->has_worktree && in->has_staged)
        return dt_err_set(err, DT_E_INVALID, "staged or worktree must be true");
    if (dt_git_given(in->source) && dt_git_name_check(in->source, "source", err) < 0)
        return -1;
    if (dt_git_op_at(op, dt_str_z(in->path), err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "restore", "--quiet", NULL);
    if (in->staged)
        dt_git_args_add(&a, "--staged", NULL);
    if (in->worktree || neither)
        dt_git_args_add(&a, "--worktree", NULL);
    if (dt_git_given(in->source))
        dt_git_args_add(&a, "--source", in->source, NULL);
    if (dt_git_pathspec_add(&a, op->path, in->files, err) < 0)
        return -1;
    return dt_git_op_run(op, &a, dt_git_op_finish, err);
}

static int restore_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_restore in;
    if (dt_tb_git_restore_parse(body, &in, err) < 0)
        return -1;
    int r = restore_run(op, &in, err);
    dt_tb_git_restore_done(&in);
    return r;
}

void dt_op_git_restore(struct dt_toolbox *tb, struct dt_http_req *req,
                       const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, restore_begin);
}

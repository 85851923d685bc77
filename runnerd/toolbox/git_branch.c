/* /git/branches and /git/checkout. */
#include "base/utf8.h"
#include "toolbox/git_op.h"
#include "toolbox/sdk.h"

/* --- GET --- */

/* Each line is a name behind `*`, if that is checked out, or a space. */
static json_t *branches_json(const struct dt_buf *out, bool strict)
{
    DT_AUTO_JSON json_t *list = json_array();
    const char *current = "";
    struct dt_str rest = dt_buf_str(out), line;
    while (list != NULL && dt_str_cut(&rest, '\n', &line)) {
        if (line.n < 2)
            continue;
        json_t *name = json_stringn(line.p + 1, line.n - 1);
        if (json_array_append_new(list, name) < 0)
            return NULL; /* a name that is not UTF-8 was repaired before */
        if (line.p[0] == '*')
            current = json_string_value(name);
    }
    const struct dt_tb_git_branches r = {.branches = list, .current = strict ? NULL : current};
    return list != NULL ? dt_tb_git_branches_print(&r) : NULL;
}

static int list_end(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, (size_t)3 * DT_GIT_OUT_MAX);
    if (dt_utf8_repair(&clean, dt_buf_str(end->out), err) < 0)
        return -1;
    dt_reply_json(op->req, 200, branches_json(&clean, dt_sdk_is_strict(op->req)));
    return 0;
}

static int list_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    (void)body;
    if (dt_git_op_at_query(op, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "for-each-ref", "--format=%(HEAD)%(refname:lstrip=2)", "refs/heads", NULL);
    return dt_git_op_run(op, &a, list_end, err);
}

void dt_op_git_branch_list(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_query(tb, req, list_begin);
}

/* --- POST and DELETE --- */

static int branch_input(struct dt_git_op *op, json_t *body, const char **name, struct dt_err *err)
{
    struct dt_tb_git_branch in;
    if (dt_tb_git_branch_parse(body, &in, err) < 0)
        return -1;
    *name = in.name; /* lives as long as op->body */
    int r = dt_git_name_check(in.name, "name", err);
    if (r == 0)
        r = dt_git_op_at(op, dt_str_z(in.path), err);
    dt_tb_git_branch_done(&in);
    return r;
}

static int create_end(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    dt_reply_empty(op->req, 201);
    return 0;
}

static int create_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    const char *name;
    if (branch_input(op, body, &name, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "checkout", "--quiet", "-b", name, NULL);
    return dt_git_op_run(op, &a, create_end, err);
}

void dt_op_git_branch_create(struct dt_toolbox *tb, struct dt_http_req *req,
                             const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, create_begin);
}

static int delete_end(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, NULL, err) < 0)
        return -1;
    dt_reply_empty(op->req, 204);
    return 0;
}

static int delete_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    const char *name;
    if (branch_input(op, body, &name, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "branch", "--quiet", "-D", "--", name, NULL);
    return dt_git_op_run(op, &a, delete_end, err);
}

void dt_op_git_branch_delete(struct dt_toolbox *tb, struct dt_http_req *req,
                             const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, delete_begin);
}

/* --- checkout --- */

static int checkout_begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    struct dt_tb_git_checkout in;
    if (dt_tb_git_checkout_parse(body, &in, err) < 0)
        return -1;
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    /* git itself looks for a branch, then a commit, then a branch of one remote to follow. */
    dt_git_args_add(&a, "checkout", "--quiet", "--guess", in.branch, "--", NULL);
    int r = dt_git_name_check(in.branch, "branch", err);
    if (r == 0)
        r = dt_git_op_at(op, dt_str_z(in.path), err);
    if (r == 0)
        r = dt_git_op_run(op, &a, dt_git_op_finish, err);
    dt_tb_git_checkout_done(&in);
    return r;
}

void dt_op_git_checkout(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_body(tb, req, checkout_begin);
}

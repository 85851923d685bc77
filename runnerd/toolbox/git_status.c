/* GET /git/status: streamed, so that a tree with a million changes fills no memory. */
#include "base/utf8.h"
#include "toolbox/git_op.h"
#include "toolbox/git_porcelain.h"
#include "toolbox/sdk.h"

enum { ENTRY_MAX = 8 * DT_GIT_RECORD_MAX };

struct status {
    struct dt_git_porcelain porcelain;
    struct dt_buf text; /* what comes out of one piece of output */
    bool headed;
    bool any; /* a comma comes first */
    bool failed;
    bool strict; /* without the members that old clients do not know */
};

static void status_done(void *state)
{
    struct status *s = state;
    dt_git_porcelain_done(&s->porcelain);
    dt_buf_done(&s->text);
}

/* `{…,"fileStatus":[` */
static int add_head(struct status *s)
{
    const struct dt_git_branch *b = &s->porcelain.branch;
    DT_AUTO_BUF struct dt_buf head, upstream;
    dt_buf_init(&head, (size_t)3 * DT_GIT_BRANCH_MAX);
    dt_buf_init(&upstream, (size_t)3 * DT_GIT_BRANCH_MAX);
    if (dt_utf8_repair(&head, dt_str_z(b->detached ? "HEAD" : b->head), NULL) < 0 ||
        dt_utf8_repair(&upstream, dt_str_z(b->upstream), NULL) < 0)
        return -1;
    DT_AUTO_JSON json_t *none = json_array();
    const struct dt_tb_git_status r = {
        .current_branch = head.p != NULL ? head.p : "",
        .ahead = (int64_t)b->ahead,
        .behind = (int64_t)b->behind,
        .branch_published = b->has_counts,
        .detached = b->detached,
        .has_detached = !s->strict,
        .upstream = s->strict            ? NULL
                    : upstream.p != NULL ? upstream.p
                                         : "",
        .file_status = none,
    };
    DT_AUTO_JSON json_t *j = dt_tb_git_status_print(&r);
    if (j == NULL || dt_json_write(j, &s->text, NULL) < 0)
        return -1;
    s->headed = true;
    s->text.n -= 2; /* the list's end and its own are to come */
    return 0;
}

static int add_change(struct status *s, const struct dt_git_change *c)
{
    DT_AUTO_BUF struct dt_buf name, from;
    dt_buf_init(&name, (size_t)3 * DT_GIT_RECORD_MAX);
    dt_buf_init(&from, (size_t)3 * DT_GIT_RECORD_MAX);
    if (dt_utf8_repair(&name, c->name, NULL) < 0 || dt_utf8_repair(&from, c->from, NULL) < 0)
        return -1;
    const struct dt_tb_git_file_status r = {
        .name = name.p != NULL ? name.p : "",
        .extra = from.p != NULL ? from.p : "",
        .staging = dt_git_change_word(c->staging),
        .worktree = dt_git_change_word(c->worktree),
    };
    DT_AUTO_JSON json_t *j = dt_tb_git_file_status_print(&r);
    if (j == NULL || (s->any && dt_buf_addz(&s->text, ",", NULL) < 0))
        return -1;
    s->any = true;
    return dt_json_write(j, &s->text, NULL);
}

static void on_change(void *ctx, const struct dt_git_change *c)
{
    struct status *s = ctx;
    if ((!s->headed && add_head(s) < 0) || add_change(s, c) < 0)
        s->failed = true;
}

static void on_out(void *ctx, const char *p, size_t n)
{
    struct dt_git_op *op = ctx;
    struct status *s = op->state;
    struct dt_err err;
    int r = dt_git_porcelain_feed(&s->porcelain, dt_str(p, n), &err);
    if (r == 0 && s->failed)
        r = dt_err_set(&err, DT_E_NOMEM, "git status");
    if (r < 0) {
        dt_git_op_break(op, &err);
    } else if (s->text.n > 0) {
        dt_git_op_write(op, dt_buf_str(&s->text));
        dt_buf_clear(&s->text);
    }
}

static int finish(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    struct status *s = op->state;
    if (dt_git_run_check(end, NULL, err) < 0 || dt_git_porcelain_end(&s->porcelain, err) < 0)
        return -1;
    if ((!s->headed && add_head(s) < 0) || dt_buf_addz(&s->text, "]}", NULL) < 0)
        return dt_err_set(err, DT_E_NOMEM, "git status");
    dt_git_op_write_last(op, dt_buf_str(&s->text));
    return 0;
}

static int begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    (void)body;
    struct status *s = NULL;
    if (dt_git_op_at_query(op, err) < 0 || (s = dt_git_op_state(op, sizeof(*s), err)) == NULL)
        return -1;
    op->state_done = status_done;
    s->strict = dt_sdk_is_strict(op->req);
    dt_git_porcelain_init(&s->porcelain, on_change, s);
    dt_buf_init(&s->text, (size_t)64 * ENTRY_MAX);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    /* Looking must not get in the way of a git that somebody else runs. */
    dt_git_args_add(&a, "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z",
                    "--untracked-files=all", "--renames", "--ahead-behind", NULL);
    struct dt_git_run_opts run = {.args = &a, .on_out = on_out};
    return dt_git_op_run_with(op, &run, finish, err);
}

void dt_op_git_status(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_query(tb, req, begin);
}

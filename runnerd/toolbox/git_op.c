#include "toolbox/git_op.h"

enum {
    BODY_MAX = 1536 * 1024 /* its texts fit into arguments */,
    DEPTH_MAX = 8,
    NAME_MAX_LENGTH = 1024
};

static void wipe_password(json_t *body)
{
    json_t *password = json_object_get(body, "password");
    if (json_is_string(password) && json_string_length(password) > 0)
        explicit_bzero((char *)json_string_value(password), json_string_length(password));
}

static void op_free(struct dt_git_op *op)
{
    if (op->state_done != NULL)
        op->state_done(op->state);
    free(op->state);
    free(op->path);
    dt_git_secret_done(&op->secret);
    wipe_password(op->body);
    json_decref(op->body);
    free(op);
}

void dt_git_op_tidied(struct dt_git_op *op, const struct dt_err *err)
{
    op->tidying = false;
    if (op->req != NULL)
        dt_reply_error(op->req, err); /* on_done frees */
    else
        op_free(op);
}

static void fail(struct dt_git_op *op, const struct dt_err *err)
{
    if (op->begun) {
        dt_http_req_abort(op->req);
    } else if (op->tidy == NULL) {
        dt_reply_error(op->req, err);
    } else {
        op->tidying = true;
        op->tidy(op, err);
    }
}

static void on_done(void *ctx, bool complete)
{
    struct dt_git_op *op = ctx;
    (void)complete;
    op->req = NULL;
    if (op->tidying)
        return;
    if (op->run == NULL) {
        op_free(op);
        return;
    }
    dt_git_run_cancel(op->run);
    op->run = NULL;
    if (op->tidy == NULL) {
        op_free(op);
        return;
    }
    op->tidying = true;
    op->tidy(op, NULL);
}

static void begin(struct dt_git_op *op, json_t *body)
{
    struct dt_err err;
    if (op->begin(op, body, &err) < 0)
        fail(op, &err);
}

static void on_body(void *ctx, struct dt_str text, const struct dt_err *failed)
{
    struct dt_git_op *op = ctx;
    struct dt_err err;
    if (failed != NULL)
        return; /* answered */
    op->body = dt_json_parse(text, DEPTH_MAX, &err);
    if (op->body == NULL) {
        err.code = DT_E_INVALID;
        dt_reply_error(op->req, &err);
        return;
    }
    begin(op, op->body);
}

static struct dt_git_op *make(struct dt_toolbox *tb, struct dt_http_req *req,
                              dt_git_begin *begin_op)
{
    struct dt_err err;
    struct dt_git_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "git");
        dt_reply_error(req, &err);
        return NULL;
    }
    op->tb = tb;
    op->req = req;
    op->begin = begin_op;
    dt_git_secret_init(&op->secret);
    dt_http_req_on_done(req, on_done, op);
    return op;
}

void dt_git_op_body(struct dt_toolbox *tb, struct dt_http_req *req, dt_git_begin *begin_op)
{
    struct dt_git_op *op = make(tb, req, begin_op);
    if (op != NULL)
        dt_http_req_collect(req, BODY_MAX, on_body, op);
}

void dt_git_op_query(struct dt_toolbox *tb, struct dt_http_req *req, dt_git_begin *begin_op)
{
    struct dt_git_op *op = make(tb, req, begin_op);
    if (op != NULL)
        begin(op, NULL);
}

int dt_git_op_at(struct dt_git_op *op, struct dt_str path, struct dt_err *err)
{
    free(op->path);
    op->path = dt_guest_path(&op->tb->guest, path, err);
    return op->path == NULL ? -1 : 0;
}

int dt_git_op_at_query(struct dt_git_op *op, struct dt_err *err)
{
    struct dt_tb_path_query in;
    if (dt_tb_path_query_parse_query(dt_http_req_query(op->req), &in, err) < 0)
        return -1;
    int r = dt_git_op_at(op, in.path, err);
    dt_tb_path_query_done(&in);
    return r;
}

void *dt_git_op_state(struct dt_git_op *op, size_t size, struct dt_err *err)
{
    op->state = calloc(1, size);
    if (op->state == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "git");
    return op->state;
}

static void on_end(void *ctx, const struct dt_git_end *end)
{
    struct dt_git_op *op = ctx;
    struct dt_err err;
    op->run = NULL;
    if (op->next(op, end, &err) < 0)
        fail(op, &err);
}

int dt_git_op_run_with(struct dt_git_op *op, struct dt_git_run_opts *opts, dt_git_next *next,
                       struct dt_err *err)
{
    if (opts->dir == NULL)
        opts->dir = op->path;
    opts->on_end = on_end;
    opts->ctx = op;
    op->next = next;
    return dt_git_run_start(op->tb, opts, &op->run, err);
}

int dt_git_op_run(struct dt_git_op *op, const struct dt_git_args *args, dt_git_next *next,
                  struct dt_err *err)
{
    struct dt_git_run_opts opts = {.args = args};
    return dt_git_op_run_with(op, &opts, next, err);
}

static void on_drain(void *ctx)
{
    struct dt_git_op *op = ctx;
    if (op->run != NULL)
        dt_git_run_resume(op->run);
}

static bool write_part(struct dt_git_op *op, struct dt_str text)
{
    if (!op->begun) {
        op->begun = true;
        dt_http_req_add_header(op->req, "Content-Type", DT_STR("application/json; charset=utf-8"));
        dt_http_req_on_drain(op->req, on_drain, op);
        dt_http_req_begin(op->req, 200, UINT64_MAX);
    }
    return dt_http_req_write(op->req, text.p, text.n);
}

void dt_git_op_write(struct dt_git_op *op, struct dt_str text)
{
    if (!write_part(op, text) && op->run != NULL)
        dt_git_run_pause(op->run);
}

void dt_git_op_write_last(struct dt_git_op *op, struct dt_str text)
{
    (void)write_part(op, text);
    dt_http_req_end(op->req);
}

void dt_git_op_break(struct dt_git_op *op, const struct dt_err *err)
{
    dt_git_run_cancel(op->run);
    op->run = NULL;
    fail(op, err);
}

int dt_git_op_finish(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    if (dt_git_run_check(end, &op->secret, err) < 0)
        return -1;
    dt_reply_empty(op->req, 200);
    return 0;
}

int dt_git_name_check(const char *name, const char *field, struct dt_err *err)
{
    bool ok = name[0] != '-' && name[0] != '\0' && strlen(name) <= NAME_MAX_LENGTH;
    for (const char *p = name; *p != '\0'; p++)
        ok = ok && (unsigned char)*p > ' ' && *p != 0x7f;
    return ok ? 0
              : dt_err_set(err, DT_E_INVALID,
                           "%s must be 1 to %d characters without blanks, and not begin with -",
                           field, NAME_MAX_LENGTH);
}

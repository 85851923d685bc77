/* The operations under /process/pty. */
#include "toolbox/pty.h"
#include "toolbox/pty_text.h"
#include "toolbox/reply.h"
#include "toolbox/sdk.h"

enum { BODY_MAX = 1024 * 1024 };

/* The id in the path, decoded; not yet checked to be one. */
static int path_id(struct dt_str segment, struct dt_buf *id, struct dt_err *err)
{
    dt_buf_init(id, (size_t)4 * DT_PTY_ID_MAX);
    if (dt_http_decode(segment, id, err) < 0 || dt_pty_check_id(dt_buf_str(id), err) < 0) {
        err->code = DT_E_BAD_REQUEST;
        return -1;
    }
    return 0;
}

static struct dt_pty *find(struct dt_str segment, struct dt_err *err)
{
    struct dt_pty *p = NULL;
    DT_AUTO_BUF struct dt_buf id;
    if (path_id(segment, &id, err) < 0 || dt_pty_find(dt_buf_str(&id), &p, err) < 0)
        return NULL;
    return p;
}

/* One that has ended is as little there as one that never was. */
static void not_there(struct dt_http_req *req, struct dt_err *err)
{
    if (err->code == DT_E_GONE)
        (void)dt_err_set(err, DT_E_NOT_FOUND, "PTY session not found");
    dt_reply_error(req, err);
}

void dt_op_pty_list(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)tb;
    (void)segments;
    json_t *all = dt_pty_infos();
    dt_reply_json(req, 200, all != NULL ? json_pack("{s:o}", "sessions", all) : NULL);
}

void dt_op_pty_get(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)tb;
    struct dt_err err;
    const struct dt_pty *p = find(segments[0], &err);
    if (p == NULL)
        not_there(req, &err);
    else
        dt_reply_json(req, 200, dt_pty_info(p));
}

void dt_op_pty_delete(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)tb;
    struct dt_err err;
    struct dt_pty *p = find(segments[0], &err);
    if (p == NULL) {
        not_there(req, &err);
        return;
    }
    dt_pty_delete(p);
    if (dt_sdk_is_go(req)) {
        dt_reply_empty(req, 200);
        return;
    }
    const struct dt_tb_pty_deleted out = {.message = "PTY session deleted"};
    dt_reply_json(req, 200, dt_tb_pty_deleted_print(&out));
}

/* --- with a body --- */

struct ask {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
    struct dt_buf id; /* of the path */
    void (*on_json)(struct ask *a, json_t *body);
};

static void on_done(void *ctx, bool complete)
{
    struct ask *a = ctx;
    (void)complete;
    dt_buf_done(&a->id);
    free(a);
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct ask *a = ctx;
    struct dt_err err;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, &err);
    if (j != NULL) {
        a->on_json(a, j);
        return;
    }
    err.code = DT_E_INVALID;
    dt_reply_error(a->req, &err);
}

static void with_body(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *id,
                      void (*on_json)(struct ask *a, json_t *body))
{
    struct dt_err err;
    struct ask *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "PTY");
        dt_reply_error(req, &err);
        return;
    }
    *a = (struct ask){.tb = tb, .req = req, .on_json = on_json};
    dt_http_req_on_done(req, on_done, a);
    if (id != NULL && path_id(*id, &a->id, &err) < 0)
        dt_reply_error(req, &err);
    else
        dt_http_req_collect(req, BODY_MAX, on_body, a);
}

static void create(struct ask *a, json_t *body)
{
    struct dt_err err;
    struct dt_tb_pty_create in;
    if (dt_tb_pty_create_parse(body, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(a->req, &err);
        return;
    }
    const struct dt_pty_opts o = {
        .id = in.id,
        .cwd = in.cwd,
        .envs = in.envs,
        .cols = in.cols,
        .rows = in.rows,
        .lazy = in.lazy_start,
    };
    const struct dt_tb_pty_created out = {.session_id = in.id};
    if (dt_pty_new(a->tb, &o, NULL, &err) < 0)
        dt_reply_error(a->req, &err);
    else
        dt_reply_json(a->req, 201, dt_tb_pty_created_print(&out));
    dt_tb_pty_create_done(&in);
}

void dt_op_pty_create(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    with_body(tb, req, NULL, create);
}

static void resize(struct ask *a, json_t *body)
{
    struct dt_err err;
    struct dt_tb_pty_resize in;
    struct dt_pty *p;
    if (dt_tb_pty_resize_parse(body, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(a->req, &err);
        return;
    }
    if (dt_pty_check_size(in.cols, in.rows, &err) < 0 ||
        dt_pty_find(dt_buf_str(&a->id), &p, &err) < 0) {
        dt_reply_error(a->req, &err);
    } else {
        dt_pty_resize(p, in.cols, in.rows);
        dt_reply_json(a->req, 200, dt_pty_info(p));
    }
    dt_tb_pty_resize_done(&in);
}

void dt_op_pty_resize(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    with_body(tb, req, segments, resize);
}

/* --- WebSockets: once upgraded, errors are told as control messages --- */

void dt_op_pty_connect(struct dt_toolbox *tb, struct dt_http_req *req,
                       const struct dt_str *segments)
{
    struct dt_err err, why;
    struct dt_pty_viewer *v;
    struct dt_pty *p = find(segments[0], &why);
    if (dt_pty_viewer_new(tb, req, &v, &err) < 0)
        dt_reply_error(req, &err);
    else if (p == NULL || dt_pty_viewer_join(v, p, &why) < 0)
        dt_pty_viewer_refuse(v, &why);
}

static int create_for(struct dt_pty_viewer *v, struct dt_toolbox *tb,
                      const struct dt_tb_pty_create_query *in, json_t *envs, struct dt_err *err)
{
    struct dt_pty *p;
    const struct dt_pty_opts o = {
        .id = in->id, .cwd = in->cwd, .envs = envs, .cols = in->cols, .rows = in->rows};
    if (dt_pty_new(tb, &o, &p, err) < 0)
        return -1;
    if (dt_pty_viewer_join(v, p, err) == 0)
        return 0;
    dt_pty_delete(p); /* nobody would know of it */
    return -1;
}

void dt_op_pty_create_connect(struct dt_toolbox *tb, struct dt_http_req *req,
                              const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err, why;
    struct dt_tb_pty_create_query in = {.id = NULL};
    struct dt_pty_viewer *v;
    DT_AUTO_JSON json_t *envs = NULL;
    struct dt_str item = dt_ws_offered(req, DT_STR(DT_PTY_ENVS));
    int r = item.p != NULL ? dt_pty_envs(item, &envs, &why) : 0;
    if (r == 0)
        r = dt_tb_pty_create_query_parse_query(dt_http_req_query(req), &in, &why);
    if (dt_pty_viewer_new(tb, req, &v, &err) < 0)
        dt_reply_error(req, &err);
    else if (r < 0 || create_for(v, tb, &in, envs, &why) < 0)
        dt_pty_viewer_refuse(v, &why);
    dt_tb_pty_create_query_done(&in);
}

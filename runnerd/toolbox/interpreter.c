/* /process/interpreter: contexts over HTTP, programs over WebSocket. */
#include <math.h>

#include "base/clock.h"
#include "toolbox/context.h"
#include "toolbox/outcome.h"
#include "toolbox/reply.h"

enum {
    CREATE_MAX = 64 * 1024,
    REQUEST_MAX = 16 * 1024 * 1024, /* bytes of a program's message */
    QUEUE_MAX = 4 * DT_WORKER_EVENT_MAX,
    FIRST_MS = 30000, /* from the handshake to the request */
    TIMEOUT_DEFAULT_MS = 600 * 1000,
    CLOSE_TIMED_OUT = 4008,
    CLOSE_TRY_LATER = 1013,
};

/* --- contexts --- */

static json_t *print_context(const struct dt_context *c)
{
    char when[DT_CLOCK_ISO_SIZE];
    const struct dt_tb_context r = {
        .id = dt_context_id(c),
        .cwd = dt_context_cwd(c),
        .created_at = dt_clock_iso(dt_context_created_ms(c), when),
        .active = dt_context_is_active(c),
        .language = "python",
    };
    return dt_tb_context_print(&r);
}

struct creation {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
};

static void on_creation_done(void *ctx, bool complete)
{
    (void)complete;
    free(ctx);
}

static int create(struct dt_toolbox *tb, struct dt_str body, struct dt_context **ret,
                  struct dt_err *err)
{
    struct dt_tb_context_create in;
    DT_AUTO_JSON json_t *j = body.n == 0 ? json_object() : dt_json_parse(body, 4, err);
    if (j == NULL || dt_tb_context_create_parse(j, &in, err) < 0) {
        if (err != NULL)
            err->code = DT_E_INVALID;
        return -1;
    }
    int r = 0;
    if (in.language != NULL && in.language[0] != '\0' && strcmp(in.language, "python") != 0)
        r = dt_err_set(err, DT_E_BAD_REQUEST,
                       "unsupported language: %s (only 'python' is supported currently)",
                       in.language);
    DT_AUTO_FREE char *cwd = r < 0 ? NULL : dt_guest_cwd(&tb->guest, in.cwd, err);
    if (cwd == NULL || dt_context_new(tb, cwd, ret, err) < 0)
        r = -1;
    dt_tb_context_create_done(&in);
    return r;
}

static void on_creation_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    const struct creation *x = ctx;
    struct dt_context *c;
    struct dt_err err;
    if (failed != NULL)
        return; /* answered */
    if (create(x->tb, body, &c, &err) < 0)
        dt_reply_error(x->req, &err);
    else
        dt_reply_json(x->req, 200, print_context(c));
}

void dt_op_context_create(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    (void)segments;
    struct creation *x = malloc(sizeof(*x));
    if (x == NULL) {
        dt_reply_json(req, 0, NULL);
        return;
    }
    *x = (struct creation){tb, req};
    dt_http_req_on_done(req, on_creation_done, x);
    dt_http_req_collect(req, CREATE_MAX, on_creation_body, x);
}

void dt_op_context_list(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)tb;
    (void)segments;
    DT_AUTO_JSON json_t *list = json_array();
    for (const struct dt_context *c = dt_context_next(NULL); c != NULL; c = dt_context_next(c))
        (void)json_array_append_new(list, print_context(c));
    const struct dt_tb_contexts r = {.contexts = list};
    dt_reply_json(req, 200, dt_tb_contexts_print(&r));
}

void dt_op_context_delete(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    DT_AUTO_BUF struct dt_buf id;
    struct dt_context *c;
    struct dt_err err;
    dt_buf_init(&id, 256);
    if (dt_http_decode(segments[0], &id, &err) < 0 ||
        dt_context_find(tb, dt_buf_str(&id), &c, &err) < 0 || dt_context_delete(c, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    const struct dt_tb_message r = {.message = "Context deleted successfully"};
    dt_reply_json(req, 200, dt_tb_message_print(&r));
}

/* --- programs --- */

struct client {
    struct dt_toolbox *tb;
    struct dt_ws_conn *ws;      /* NULL once it is gone */
    struct dt_context_job *job; /* NULL before and after it runs */
    bool asked;
    uv_timer_t first;
};

static void send_frame(struct client *x, const char *type, struct dt_str text, const char *name,
                       const char *value, const char *traceback)
{
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, (size_t)6 * DT_WORKER_EVENT_MAX);
    DT_AUTO_JSON json_t *j =
        json_pack("{s:s,s:s%,s:s,s:s,s:s}", "type", type, "text", text.p != NULL ? text.p : "",
                  text.n, "name", name, "value", value, "traceback", traceback);
    if (j == NULL || dt_json_write(j, &out, NULL) < 0) {
        dt_ws_conn_close(x->ws, DT_WS_FAILURE, DT_STR("out of memory"));
        return;
    }
    if (!dt_ws_conn_send(x->ws, DT_WS_TEXT, dt_buf_str(&out)) && x->job != NULL)
        dt_context_job_pause(x->job, true);
}

static void on_output(void *ctx, bool errors, struct dt_str text)
{
    send_frame(ctx, errors ? "stderr" : "stdout", text, "", "", "");
}

static void on_error(void *ctx, const char *name, const char *value, const char *traceback)
{
    send_frame(ctx, "error", DT_STR(""), name, value, traceback);
}

static void on_chart(void *ctx, struct dt_str json)
{
    send_frame(ctx, "chart", json, "", "", "");
}

static void on_end(void *ctx, enum dt_context_end end, const char *text)
{
    struct client *x = ctx;
    x->job = NULL;
    switch (end) {
    case DT_CONTEXT_COMPLETED:
    case DT_CONTEXT_INTERRUPTED:
        send_frame(x, "control",
                   end == DT_CONTEXT_COMPLETED ? DT_STR("completed") : DT_STR("interrupted"), "",
                   "", "");
        dt_ws_conn_close(x->ws, DT_WS_NORMAL, DT_STR(""));
        break;
    case DT_CONTEXT_TIMED_OUT:
        /* Without a control frame: clients would take it for the program's end. */
        dt_ws_conn_close(x->ws, CLOSE_TIMED_OUT, DT_STR("execution timed out"));
        break;
    case DT_CONTEXT_FAILED:
        dt_ws_conn_close(x->ws, DT_WS_FAILURE, dt_str_z(text));
        break;
    case DT_CONTEXT_DIED:
    case DT_CONTEXT_DELETED:
        /* Some clients take the code for success: the error tells them. */
        send_frame(x, "error", DT_STR(""), "ContextEnded", text, "");
        dt_ws_conn_close(x->ws, DT_WS_GOING_AWAY, dt_str_z(text));
        break;
    }
}

static const struct dt_context_events job_events = {
    .on_output = on_output,
    .on_error = on_error,
    .on_chart = on_chart,
    .on_end = on_end,
};

static int run(struct client *x, const struct dt_tb_interpreter_execute *in, int *code,
               struct dt_err *err)
{
    struct dt_context *c;
    *code = DT_WS_POLICY;
    if (in->code.n == 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "code is required");
    if (in->has_timeout && in->timeout < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "timeout must not be negative");
    if (dt_env_check(in->envs, err) < 0 ||
        dt_context_find(x->tb, dt_str_z(in->context_id), &c, err) < 0)
        return -1;
    uint64_t timeout_ms = TIMEOUT_DEFAULT_MS;
    if (in->has_timeout)
        timeout_ms = (uint64_t)ceil(in->timeout * 1000);
    int r = dt_context_run(c, in->code, in->envs, timeout_ms, &job_events, x, &x->job, err);
    if (r < 0 && err->code == DT_E_LIMIT)
        *code = CLOSE_TRY_LATER;
    return r;
}

static void first_message(struct client *x, struct dt_str message)
{
    struct dt_tb_interpreter_execute in;
    struct dt_err err;
    int code = DT_WS_PROTOCOL;
    x->asked = true;
    (void)uv_timer_stop(&x->first);
    DT_AUTO_JSON json_t *j = dt_json_parse(message, 8, &err);
    if (!json_is_object(j)) {
        dt_ws_conn_close(x->ws, DT_WS_PROTOCOL, DT_STR("invalid JSON payload"));
        return;
    }
    int r = dt_tb_interpreter_execute_parse(j, &in, &err);
    if (r == 0) {
        r = run(x, &in, &code, &err);
        dt_tb_interpreter_execute_done(&in);
    }
    if (r < 0)
        dt_ws_conn_close(x->ws, code, dt_str_z(err.msg));
}

static void on_message(void *ctx, enum dt_ws_opcode kind, struct dt_str message)
{
    struct client *x = ctx;
    (void)kind;
    if (!x->asked) {
        first_message(x, message);
        return;
    }
    DT_AUTO_JSON json_t *j = message.n < 1024 ? dt_json_parse(message, 2, NULL) : NULL;
    if (x->job != NULL && strcmp(dt_json_text(j, "type", ""), "interrupt") == 0)
        dt_context_job_interrupt(x->job);
}

static void on_drain(void *ctx)
{
    struct client *x = ctx;
    if (x->job != NULL)
        dt_context_job_pause(x->job, false);
}

static void on_first_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_close(void *ctx, int code, struct dt_str reason)
{
    struct client *x = ctx;
    (void)code;
    (void)reason;
    if (x->job != NULL)
        dt_context_job_cancel(x->job);
    uv_close((uv_handle_t *)&x->first, on_first_closed);
}

static const struct dt_ws_events client_events = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_close = on_close,
};

static void on_first(uv_timer_t *t)
{
    struct client *x = t->data;
    dt_ws_conn_close(x->ws, DT_WS_PROTOCOL, DT_STR("failed to read first message"));
}

void dt_op_interpreter_execute(struct dt_toolbox *tb, struct dt_http_req *req,
                               const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct client *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "interpreter");
        dt_reply_error(req, &err);
        return;
    }
    x->tb = tb;
    const struct dt_ws_opts opts = {
        .events = &client_events,
        .ctx = x,
        .group = &tb->sockets,
        .message_max = REQUEST_MAX,
        .queue_max = QUEUE_MAX,
    };
    if (dt_ws_conn_upgrade(req, &opts, &x->ws, &err) < 0) {
        free(x);
        dt_reply_error(req, &err);
        return;
    }
    (void)uv_timer_init(tb->loop, &x->first);
    x->first.data = x;
    (void)uv_timer_start(&x->first, on_first, FIRST_MS, 0);
}

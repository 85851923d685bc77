#include "mcp/session.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "mcp/identity.h"

enum {
    PROGRESS_MS = 2000,
    SCRATCH_KEEP = 256 * 1024,
    MEMBERS_MAX = 64 * 1024 * 1024,
};

struct dt_batch {
    struct dt_session *session;
    size_t open; /* calls under way, and one for the reader */
    struct dt_buf out;
};

static void on_progress(uv_timer_t *t);

void dt_session_init(struct dt_session *s, uv_loop_t *loop)
{
    *s = (struct dt_session){.loop = loop};
    dt_buf_init(&s->scratch, MEMBERS_MAX);
    (void)uv_timer_init(loop, &s->progress);
    s->progress.data = s;
}

void dt_session_done(struct dt_session *s)
{
    uv_close((uv_handle_t *)&s->progress, NULL);
    dt_buf_done(&s->scratch);
}

static void flush_batch(struct dt_batch *b)
{
    if (b->out.n == 0)
        return;
    struct dt_err err;
    if (dt_buf_addz(&b->out, "]", &err) == 0)
        (void)dt_stdio_send(b->session->io, dt_buf_str(&b->out), &err);
    dt_buf_clear(&b->out);
}

static int add_to_batch(struct dt_batch *b, struct dt_str line, struct dt_err *err)
{
    /* An array that would become too long goes out in parts. */
    if (b->out.n + line.n + 2 >= DT_STDIO_LINE_OUT_MAX)
        flush_batch(b);
    if (line.n + 2 >= DT_STDIO_LINE_OUT_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "a message of %zu bytes", line.n);
    if (dt_buf_addz(&b->out, b->out.n == 0 ? "[" : ",", err) < 0)
        return -1;
    return dt_buf_adds(&b->out, line, err);
}

struct dt_batch *dt_batch_new(struct dt_session *s)
{
    struct dt_batch *b = calloc(1, sizeof(*b));
    if (b == NULL)
        abort();
    b->session = s;
    b->open = 1;
    dt_buf_init(&b->out, DT_STDIO_LINE_OUT_MAX);
    return b;
}

void dt_batch_close(struct dt_batch *b)
{
    if (--b->open > 0)
        return;
    flush_batch(b);
    dt_buf_done(&b->out);
    free(b);
}

int dt_session_send(struct dt_session *s, struct dt_batch *batch, struct dt_str line,
                    struct dt_err *err)
{
    return batch != NULL ? add_to_batch(batch, line, err) : dt_stdio_send(s->io, line, err);
}

void dt_session_send_error(struct dt_session *s, struct dt_batch *batch, const json_t *id,
                           const struct dt_rpc_err *why)
{
    struct dt_err err;
    dt_buf_clear(&s->scratch);
    if (dt_rpc_add_error(&s->scratch, id, why, &err) == 0)
        (void)dt_session_send(s, batch, dt_buf_str(&s->scratch), &err);
}

static struct dt_call *find_call(const struct dt_session *s, const json_t *id)
{
    for (struct dt_call *c = s->calls; c != NULL; c = c->next) {
        if (json_equal(c->msg.id, id))
            return c;
    }
    return NULL;
}

/* NULL: none was given. */
static const json_t *progress_token(const json_t *params)
{
    const json_t *token = json_object_get(json_object_get(params, "_meta"), "progressToken");
    return json_is_null(token) ? NULL : token;
}

struct dt_call *dt_call_new(struct dt_session *s, json_t *root, const struct dt_rpc_msg *msg,
                            enum dt_era era, struct dt_batch *batch)
{
    struct dt_rpc_err why = {0};
    const json_t *token = progress_token(msg->params);
    if (token != NULL && !json_is_string(token) && !json_is_integer(token))
        (void)dt_rpc_err_set(&why, DT_RPC_INVALID_PARAMS,
                             "params._meta.progressToken must be a string or an integer");
    else if (find_call(s, msg->id) != NULL)
        (void)dt_rpc_err_set(&why, DT_RPC_INVALID_REQUEST,
                             "this id belongs to a request under way");
    else if (s->ncalls >= DT_SESSION_CALLS_MAX)
        (void)dt_rpc_err_set(&why, DT_RPC_INTERNAL, "%d requests are under way; wait for answers",
                             DT_SESSION_CALLS_MAX);
    if (why.code != 0) {
        dt_session_send_error(s, batch, msg->id, &why);
        return NULL;
    }
    struct dt_call *c = calloc(1, sizeof(*c));
    if (c == NULL)
        abort();
    c->session = s;
    c->root = json_incref(root);
    c->msg = *msg;
    c->era = era;
    c->batch = batch;
    c->progress_token = token;
    c->started_ms = uv_now(s->loop);
    c->next = s->calls;
    if (s->calls != NULL)
        s->calls->prev = c;
    s->calls = c;
    s->ncalls++;
    if (batch != NULL)
        batch->open++;
    if (c->progress_token != NULL && !s->progress_on) {
        s->progress_on = true;
        (void)uv_timer_start(&s->progress, on_progress, PROGRESS_MS, PROGRESS_MS);
    }
    return c;
}

/* From here on its id is free again and no progress is sent for it. */
static void unlink_call(struct dt_call *c)
{
    struct dt_session *s = c->session;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->calls = c->next;
    s->ncalls--;
    if (c->batch != NULL)
        dt_batch_close(c->batch);
}

static void free_call(struct dt_call *c)
{
    if (c->state_done != NULL)
        c->state_done(c->state);
    free(c->state);
    json_decref(c->root);
    free(c);
}

static void send_members(struct dt_call *c, struct dt_str members)
{
    struct dt_session *s = c->session;
    struct dt_rpc_err why;
    struct dt_err err = {0};
    struct dt_str first = c->era >= DT_ERA_MODERN ? DT_STR(DT_IDENTITY_RESULT) : dt_str(NULL, 0);
    dt_buf_clear(&s->scratch);
    if (dt_rpc_add_result(&s->scratch, c->msg.id, first, members, &err) == 0 &&
        dt_session_send(s, c->batch, dt_buf_str(&s->scratch), &err) == 0)
        return;
    (void)dt_rpc_err_set(&why, DT_RPC_INTERNAL, "the answer cannot be sent: %s", err.msg);
    dt_session_send_error(s, c->batch, c->msg.id, &why);
}

void dt_call_reply(struct dt_call *c, struct dt_str members)
{
    send_members(c, members);
    unlink_call(c);
    free_call(c);
}

void dt_call_reject(struct dt_call *c, const struct dt_rpc_err *why)
{
    dt_session_send_error(c->session, c->batch, c->msg.id, why);
    unlink_call(c);
    free_call(c);
}

void dt_call_rejectf(struct dt_call *c, int code, const char *fmt, ...)
{
    struct dt_rpc_err why = {.code = code};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why.msg, sizeof(why.msg), fmt, ap);
    va_end(ap);
    dt_call_reject(c, &why);
}

void *dt_call_alloc(struct dt_call *c, size_t size, void (*done)(void *state))
{
    c->state = calloc(1, size);
    if (c->state == NULL)
        abort();
    c->state_done = done;
    return c->state;
}

/* The end of a cancelled call. */
static void give_up(struct dt_call *c, const struct dt_api_reply *reply, bool failed)
{
    if (c->undo != NULL)
        c->session->ncalls--;
    if (c->undo != NULL && !failed)
        c->undo(c, reply);
    free_call(c);
}

static void on_op(void *ctx, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct dt_call *c = ctx;
    c->op = NULL;
    if (c->cancelled)
        give_up(c, reply, err != NULL);
    else
        c->on_reply(c, reply, err);
}

void dt_call_fetch(struct dt_call *c, struct dt_api_req *r,
                   void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                const struct dt_err *err))
{
    struct dt_err err;
    struct dt_api_reply known;
    if (dt_api_recall(c->session->api, r, &known)) {
        dt_api_req_done(r);
        then(c, &known, NULL);
        return;
    }
    c->on_reply = then;
    if (dt_api_start(c->session->api, r, on_op, c, &c->op, &err) < 0)
        then(c, NULL, &err);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct dt_call *c = h->data;
    c->timer.data = NULL;
    if (c->cancelled)
        give_up(c, NULL, false);
    else
        c->on_time(c);
}

static void on_timer(uv_timer_t *t)
{
    uv_close((uv_handle_t *)t, on_timer_closed);
}

void dt_call_later(struct dt_call *c, uint64_t ms, void (*then)(struct dt_call *c))
{
    c->on_time = then;
    (void)uv_timer_init(c->session->loop, &c->timer);
    c->timer.data = c;
    (void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void cancel_call(struct dt_call *c)
{
    bool waits_timer = c->timer.data != NULL;
    c->cancelled = true;
    unlink_call(c);
    if (c->undo != NULL)
        c->session->ncalls++; /* it still takes a place */
    if (c->op != NULL && c->undo == NULL)
        dt_api_cancel(c->op);
    else if (c->op == NULL && !waits_timer)
        free_call(c);
    else if (c->op == NULL && !uv_is_closing((uv_handle_t *)&c->timer))
        uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

void dt_session_cancel(struct dt_session *s, const json_t *id)
{
    struct dt_call *c = id != NULL ? find_call(s, id) : NULL;
    if (c != NULL)
        cancel_call(c);
}

static void send_progress(struct dt_call *c, uint64_t now)
{
    struct dt_session *s = c->session;
    struct dt_err err;
    double seconds = (double)(now - c->started_ms) / 1000;
    struct dt_buf *out = &s->scratch;
    dt_buf_clear(out);
    if (dt_buf_addz(out,
                    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                    "\"progressToken\":",
                    &err) < 0 ||
        dt_json_write(c->progress_token, out, &err) < 0 ||
        dt_buf_addf(out, &err, ",\"progress\":%.3f", seconds) < 0)
        return;
    if (dt_era_has_progress_message(c->era) &&
        dt_buf_addf(out, &err, ",\"message\":\"%s for %.0f s\"", c->doing, seconds) < 0)
        return;
    if (dt_buf_addz(out, "}}", &err) == 0)
        (void)dt_session_send(s, NULL, dt_buf_str(out), &err);
}

/* One timer for all calls, off while nobody wants progress. */
static void on_progress(uv_timer_t *t)
{
    struct dt_session *s = t->data;
    bool wanted = false;
    for (struct dt_call *c = s->calls; c != NULL; c = c->next) {
        if (c->progress_token == NULL)
            continue;
        wanted = true;
        uint64_t now = uv_now(s->loop);
        if (c->doing != NULL && now > c->started_ms && !dt_stdio_is_congested(s->io))
            send_progress(c, now);
    }
    if (!wanted)
        (void)uv_timer_stop(t);
    s->progress_on = wanted;
    if (s->scratch.cap > SCRATCH_KEEP)
        dt_buf_done(&s->scratch);
}

#include "net/ws_conn.h"

#include "base/utf8.h"
#include "net/conn_impl.h"
#include "net/http1.h"

enum {
    CLOSE_TICK_MS = 5000, /* without progress in the end's handshake */
    CLOSE_MAX_MS = 60000,
    FRAME_HEAD_MAX = 14,
    IN_SPARE = 4 * DT_CONN_READ_SIZE, /* what was read behind a frame that is not complete */
};

/*
 * OPEN    -> CLOSING | LEAVING | GONE
 * CLOSING -> LEAVING | GONE   our close frame is queued, the client's is awaited
 * LEAVING -> GONE             both are there: half-closed, the client closes next
 * GONE                        the socket is closed; on_close is due or was called
 */
enum state { OPEN, CLOSING, LEAVING, GONE };

struct dt_ws_conn {
    struct dt_ws_conn *next;
    struct dt_ws_conn **prev; /* what points here; NULL = in no group */
    struct dt_ws_group *group;
    struct dt_conn *conn; /* NULL once it is closed */
    uv_timer_t timer;
    const struct dt_ws_events *events;
    void *ctx;
    enum state state;
    enum dt_ws_opcode kind; /* of the message whose parts come; CONTINUE = none */
    struct dt_buf in;       /* read, not taken yet */
    struct dt_buf message;  /* the parts so far */
    size_t message_max, queue_max;
    uint64_t ping_ms;
    uint64_t heard_ms;   /* when bytes came last */
    unsigned unheard;    /* looks since then: a time could pass without a question */
    uint64_t closing_ms; /* when the end began */
    size_t closing_queued;
    int code; /* 0 = none yet */
    size_t nreason, npong;
    char reason[DT_WS_REASON_MAX + 1];
    char pong[DT_WS_CONTROL_MAX];
    bool pong_due; /* `pong` waits for room */
    bool paused;
    bool pumping;
    bool again; /* pump in the next turn */
};

static void on_timer(uv_timer_t *t);

static uint64_t now_ms(const struct dt_ws_conn *w)
{
    return uv_now(w->timer.loop);
}

static void look_in(struct dt_ws_conn *w, uint64_t ms)
{
    (void)uv_timer_start(&w->timer, on_timer, ms, 0);
}

/* Only the timer's pump may run next: reading goes on once it caught up. */
static void pump_soon(struct dt_ws_conn *w)
{
    w->again = true;
    look_in(w, 0);
}

/* --- groups --- */

static void group_enter(struct dt_ws_conn *w, struct dt_ws_group *g)
{
    w->group = g;
    w->prev = &g->first;
    w->next = g->first;
    if (w->next != NULL)
        w->next->prev = &w->next;
    g->first = w;
    g->count++;
}

static void group_leave(struct dt_ws_conn *w)
{
    if (w->prev == NULL)
        return;
    *w->prev = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    w->prev = NULL;
    w->group->count--;
}

void dt_ws_group_close(struct dt_ws_group *group, int code, struct dt_str reason)
{
    for (struct dt_ws_conn *w = group->first; w != NULL; w = w->next)
        dt_ws_conn_close(w, code, reason);
}

/* --- sending --- */

static bool send_frame(struct dt_ws_conn *w, enum dt_ws_opcode opcode, struct dt_str payload)
{
    char head[DT_WS_HEAD_MAX];
    struct iovec v[2] = {{head, dt_ws_head(opcode, payload.n, head)},
                         {(void *)(uintptr_t)payload.p, payload.n}};
    return dt_conn_writev(w->conn, v, payload.n > 0 ? 2 : 1, false);
}

bool dt_ws_conn_send(struct dt_ws_conn *w, enum dt_ws_opcode kind, struct dt_str message)
{
    if (w->state != OPEN)
        return true;
    size_t queued = dt_conn_queued(w->conn);
    if (queued > 0 && queued + message.n > w->queue_max) {
        dt_ws_conn_close(w, DT_WS_POLICY, DT_STR("slow consumer"));
        return true;
    }
    return send_frame(w, kind, message);
}

bool dt_ws_conn_is_open(const struct dt_ws_conn *w)
{
    return w->state == OPEN;
}

size_t dt_ws_conn_queued(const struct dt_ws_conn *w)
{
    return w->conn != NULL ? dt_conn_queued(w->conn) : 0;
}

static void send_pong(struct dt_ws_conn *w, struct dt_str payload)
{
    if (dt_conn_queued(w->conn) <= DT_CONN_HIGH_MARK) {
        (void)send_frame(w, DT_WS_PONG, payload);
        return;
    }
    if (payload.n > 0)
        memcpy(w->pong, payload.p, payload.n);
    w->npong = payload.n;
    w->pong_due = true;
}

static void on_drain(void *ctx)
{
    struct dt_ws_conn *w = ctx;
    if (w->state != OPEN)
        return;
    if (w->pong_due) {
        w->pong_due = false;
        (void)send_frame(w, DT_WS_PONG, dt_str(w->pong, w->npong));
    }
    if (w->events->on_drain != NULL)
        w->events->on_drain(w->ctx);
}

/* --- the end --- */

/* RFC 6455 section 7.4. */
static bool code_is_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void begin_end(struct dt_ws_conn *w, enum state next, int code, struct dt_str reason)
{
    char payload[2 + DT_WS_REASON_MAX] = {(char)(code >> 8), (char)code};
    w->state = next;
    w->code = code;
    w->nreason = dt_utf8_cut(reason, DT_WS_REASON_MAX);
    if (w->nreason > 0) {
        memcpy(w->reason, reason.p, w->nreason);
        memcpy(payload + 2, reason.p, w->nreason);
    }
    w->closing_ms = now_ms(w);
    (void)send_frame(w, DT_WS_CLOSE, dt_str(payload, code == DT_WS_NO_CODE ? 0 : 2 + w->nreason));
    w->closing_queued = dt_conn_queued(w->conn);
    dt_buf_done(&w->message);
    dt_conn_resume(w->conn); /* the client's close frame may stand behind what was paused */
    if (next == LEAVING)
        dt_conn_shutdown(w->conn);
    if (!w->again)
        look_in(w, CLOSE_TICK_MS);
}

void dt_ws_conn_close(struct dt_ws_conn *w, int code, struct dt_str reason)
{
    if (w->state != OPEN)
        return;
    if (w->paused)
        pump_soon(w);
    w->paused = false;
    begin_end(w, CLOSING, code, reason);
}

/* A client that breaks the rules is told so, and nothing more is expected of it. */
static void refuse(struct dt_ws_conn *w, int code, const char *why)
{
    if (w->state == OPEN)
        begin_end(w, LEAVING, code, dt_str_z(why));
    else
        dt_conn_close(w->conn);
}

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void gone(struct dt_ws_conn *w)
{
    w->conn = NULL;
    w->state = GONE;
    group_leave(w);
    dt_buf_done(&w->in);
    dt_buf_done(&w->message);
    if (w->events->on_close != NULL)
        w->events->on_close(w->ctx, w->code != 0 ? w->code : DT_WS_VANISHED,
                            dt_str(w->reason, w->nreason));
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

static void on_conn_close(void *ctx, const struct dt_err *err)
{
    (void)err;
    gone(ctx);
}

static void on_eof(void *ctx)
{
    const struct dt_ws_conn *w = ctx;
    if (w->state != LEAVING) /* else it closes by itself, once all is sent */
        dt_conn_close(w->conn);
}

static void on_close_frame(struct dt_ws_conn *w, struct dt_str payload)
{
    int code = payload.n < 2 ? DT_WS_NO_CODE
                             : (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1];
    struct dt_str reason = payload.n < 2 ? DT_STR("") : dt_str(payload.p + 2, payload.n - 2);
    if (payload.n == 1 || (payload.n >= 2 && !code_is_valid(code))) {
        refuse(w, DT_WS_PROTOCOL, "a close frame with a code that may not be sent");
    } else if (!dt_utf8_valid(reason)) {
        refuse(w, DT_WS_BAD_TEXT, "the reason of a close frame is not UTF-8");
    } else if (w->state == OPEN) {
        begin_end(w, LEAVING, code, reason);
    } else {
        w->state = LEAVING;
        dt_conn_shutdown(w->conn);
    }
}

/* --- receiving --- */

static void deliver(struct dt_ws_conn *w, enum dt_ws_opcode kind, struct dt_str message)
{
    if (kind == DT_WS_TEXT && !dt_utf8_valid(message))
        refuse(w, DT_WS_BAD_TEXT, "a text message that is not UTF-8");
    else if (w->events->on_message != NULL)
        w->events->on_message(w->ctx, kind, message);
}

static void on_part(struct dt_ws_conn *w, const struct dt_ws_frame *f)
{
    struct dt_err err;
    bool first = f->opcode != DT_WS_CONTINUE;
    if (first == (w->kind != DT_WS_CONTINUE)) {
        refuse(w, DT_WS_PROTOCOL, "the parts of a message must follow each other");
        return;
    }
    if (first && f->final) {
        deliver(w, f->opcode, f->payload);
        return;
    }
    if (first)
        w->kind = f->opcode;
    if (dt_buf_adds(&w->message, f->payload, &err) < 0) {
        refuse(w, err.code == DT_E_TOO_LARGE ? DT_WS_TOO_LARGE : DT_WS_FAILURE, err.msg);
        return;
    }
    if (!f->final)
        return;
    enum dt_ws_opcode kind = w->kind;
    struct dt_buf whole = w->message; /* a callback may end the connection */
    dt_buf_init(&w->message, w->message_max);
    w->kind = DT_WS_CONTINUE;
    deliver(w, kind, dt_buf_str(&whole));
    dt_buf_done(&whole);
}

static void on_frame(struct dt_ws_conn *w, const struct dt_ws_frame *f)
{
    if (f->opcode == DT_WS_CLOSE)
        on_close_frame(w, f->payload);
    else if (w->state != OPEN)
        return; /* what was under way when we closed */
    else if (f->opcode == DT_WS_PING)
        send_pong(w, f->payload);
    else if (f->opcode != DT_WS_PONG)
        on_part(w, f);
}

static bool wants_frames(const struct dt_ws_conn *w)
{
    return (w->state == OPEN && !w->paused) || w->state == CLOSING;
}

static void pump(struct dt_ws_conn *w)
{
    struct dt_ws_frame f;
    struct dt_err err;
    size_t at = 0;
    ssize_t used = 0;
    w->pumping = true;
    while (wants_frames(w) && at < w->in.n &&
           (used = dt_ws_take(w->in.p + at, w->in.n - at, w->message_max, &f, &err)) > 0) {
        at += (size_t)used;
        on_frame(w, &f);
    }
    w->pumping = false;
    if (used < 0)
        refuse(w, err.code == DT_E_TOO_LARGE ? DT_WS_TOO_LARGE : DT_WS_PROTOCOL, err.msg);
    dt_buf_consume(&w->in, w->state == LEAVING ? w->in.n : at);
    if (w->in.n == 0)
        dt_buf_done(&w->in);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct dt_ws_conn *w = ctx;
    struct dt_err err;
    w->heard_ms = now_ms(w);
    w->unheard = 0;
    if (w->state == LEAVING)
        return;
    if (dt_buf_add(&w->in, p, n, &err) < 0)
        refuse(w, DT_WS_FAILURE, err.msg);
    else if (!w->again)
        pump(w);
}

static const struct dt_conn_events conn_events = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_close = on_conn_close,
};

void dt_ws_conn_pause(struct dt_ws_conn *w)
{
    if (w->state != OPEN || w->paused)
        return;
    w->paused = true;
    dt_conn_pause(w->conn);
}

void dt_ws_conn_resume(struct dt_ws_conn *w)
{
    if (w->state != OPEN || !w->paused)
        return;
    w->paused = false;
    w->heard_ms = now_ms(w); /* it could not be heard */
    w->unheard = 0;
    if (w->pumping)
        dt_conn_resume(w->conn);
    else
        pump_soon(w);
}

/* --- the clock --- */

static void check_end(struct dt_ws_conn *w)
{
    size_t queued = dt_conn_queued(w->conn);
    bool moves = queued < w->closing_queued;
    w->closing_queued = queued;
    if (moves && now_ms(w) - w->closing_ms < CLOSE_MAX_MS)
        look_in(w, CLOSE_TICK_MS);
    else
        dt_conn_close(w->conn);
}

static void check_alive(struct dt_ws_conn *w)
{
    bool silent = now_ms(w) - w->heard_ms >= w->ping_ms;
    w->unheard += silent && !w->paused;
    if (w->unheard > DT_WS_SILENT_PINGS) {
        dt_conn_close(w->conn);
        return;
    }
    if (silent && dt_conn_queued(w->conn) <= DT_CONN_HIGH_MARK)
        (void)send_frame(w, DT_WS_PING, DT_STR(""));
    look_in(w, w->ping_ms);
}

static void on_timer(uv_timer_t *t)
{
    struct dt_ws_conn *w = t->data;
    if (w->conn == NULL) {
        gone(w); /* the client had left before the connection was ours */
        return;
    }
    if (w->again) {
        w->again = false;
        pump(w);
        if (!w->paused)
            dt_conn_resume(w->conn);
        if (!w->again)
            look_in(w, w->state == OPEN ? w->ping_ms : CLOSE_TICK_MS);
        return;
    }
    if (w->state == OPEN)
        check_alive(w);
    else
        check_end(w);
}

/* --- the handshake --- */

/* The next item of the request's Sec-WebSocket-Protocol headers that is one; *at starts at 0. */
static bool next_offer(const struct dt_http_req *req, size_t *at, struct dt_str *item)
{
    const struct dt_http_header *h;
    size_t n = dt_http_req_headers(req, &h), seen = 0;
    for (size_t i = 0; i < n; i++) {
        struct dt_str rest = h[i].value, one;
        if (!dt_str_eq_nocase(h[i].name, DT_STR("Sec-WebSocket-Protocol")))
            continue;
        while (dt_str_cut(&rest, ',', &one)) {
            one = dt_str_trim(one);
            if (!dt_http1_is_token(one) || seen++ < *at)
                continue;
            ++*at;
            *item = one;
            return true;
        }
    }
    return false;
}

struct dt_str dt_ws_offered(const struct dt_http_req *req, struct dt_str prefix)
{
    struct dt_str item;
    for (size_t at = 0; next_offer(req, &at, &item);) {
        if (dt_str_starts(item, prefix))
            return item;
    }
    return (struct dt_str){NULL, 0};
}

static int check_handshake(struct dt_http_req *req, char accept[DT_WS_ACCEPT_SIZE],
                           struct dt_err *err)
{
    if (!dt_http_req_is_upgrade(req) || !dt_str_eq(dt_http_req_method(req), DT_STR("GET")) ||
        !dt_http1_has_token(dt_http_req_header(req, "Upgrade"), "websocket"))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "this is a WebSocket: connect with a WebSocket client (ws:// or wss://)");
    if (!dt_str_eq(dt_str_trim(dt_http_req_header(req, "Sec-WebSocket-Version")), DT_STR("13"))) {
        dt_http_req_add_header(req, "Sec-WebSocket-Version", DT_STR("13"));
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "only version 13 of the WebSocket protocol (RFC 6455) is spoken here");
    }
    if (dt_ws_accept(dt_http_req_header(req, "Sec-WebSocket-Key"), accept, err) == 0)
        return 0;
    err->code = DT_E_BAD_REQUEST;
    return -1;
}

static struct dt_ws_conn *make(uv_loop_t *loop, const struct dt_ws_opts *o)
{
    struct dt_ws_conn *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->events = o->events;
    w->ctx = o->ctx;
    w->message_max = o->message_max != 0 ? o->message_max : DT_WS_MESSAGE_MAX;
    w->queue_max = o->queue_max != 0 ? o->queue_max : DT_WS_QUEUE_MAX;
    w->ping_ms = o->ping_ms != 0 ? o->ping_ms : DT_WS_PING_MS;
    dt_buf_init(&w->in, w->message_max + FRAME_HEAD_MAX + IN_SPARE);
    dt_buf_init(&w->message, w->message_max);
    (void)uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    w->heard_ms = uv_now(loop);
    if (o->group != NULL)
        group_enter(w, o->group);
    return w;
}

int dt_ws_conn_upgrade(struct dt_http_req *req, const struct dt_ws_opts *opts,
                       struct dt_ws_conn **ret, struct dt_err *err)
{
    char accept[DT_WS_ACCEPT_SIZE];
    struct dt_str protocol = opts->protocol, early;
    if (check_handshake(req, accept, err) < 0)
        return -1;
    struct dt_ws_conn *w = make(dt_http_req_loop(req), opts);
    if (w == NULL)
        return dt_err_set(err, DT_E_NOMEM, "WebSocket");
    if (protocol.p == NULL)
        protocol = dt_ws_offered(req, DT_STR(""));
    dt_http_req_add_header(req, "Upgrade", DT_STR("websocket"));
    dt_http_req_add_header(req, "Sec-WebSocket-Accept", dt_str_z(accept));
    if (protocol.p != NULL)
        dt_http_req_add_header(req, "Sec-WebSocket-Protocol", protocol);
    dt_http_req_begin(req, 101, 0);
    w->conn = dt_http_req_take_conn(req, &conn_events, w, &early);
    if (w->conn == NULL) {
        look_in(w, 0);
    } else {
        if (early.n > 0 && dt_buf_adds(&w->in, early, err) < 0)
            dt_conn_close(w->conn);
        (void)dt_conn_writev(w->conn, NULL, 0, false); /* the head, which waits for more */
        pump_soon(w);
    }
    *ret = w;
    return 0;
}

#include "net/http_server_impl.h"

#include <stdio.h>

enum {
    EXTRA_MAX = 256 * 1024,
    HEAD_TEXT = 512,    /* status line and the server's own headers */
    TYPE_MAX = 128,     /* longer ones go the way of added headers */
    SMALL_CHUNK = 8192, /* pieces of a chunked answer up to this size leave together */
};

/* --- life --- */

struct dt_http_req *dt_http_req_alloc(struct dt_http_conn *hc, size_t lines, size_t n)
{
    struct dt_http_req *r = malloc(sizeof(*r) + lines * sizeof(r->headers[0]) + n);
    if (r == NULL)
        return NULL;
    *r = (struct dt_http_req){.hc = hc, .loop = hc->server->loop};
    dt_buf_init(&r->extra, EXTRA_MAX);
    return r;
}

void dt_http_req_free(struct dt_http_req *r)
{
    dt_buf_done(&r->extra);
    dt_buf_done(&r->body);
    free(r);
}

void dt_http_req_over(struct dt_http_req *r, bool complete)
{
    if (r->hc != NULL)
        r->hc->req = NULL;
    r->hc = NULL;
    if (r->on_done != NULL) {
        r->on_done(r->done_ctx, complete);
        dt_http_req_free(r);
    } else if (r->answer == DT_HTTP_ANSWER_ENDED ||
               (r->mode == DT_HTTP_BODY_COLLECT && !r->body_told)) {
        dt_http_req_free(
            r); /* nobody will call again: an unfinished body never reaches its handler */
    }
}

/* Whether nobody listens any more; the last answer call of the handler frees what was kept for it.
 */
static bool is_gone(const struct dt_http_req *r)
{
    return r->hc == NULL || r->hc->conn->closing;
}

static void answer_dropped(struct dt_http_req *r)
{
    r->answer = DT_HTTP_ANSWER_ENDED;
    if (r->hc == NULL)
        dt_http_req_free(r);
}

void dt_http_req_on_done(struct dt_http_req *r, void (*on_done)(void *ctx, bool complete),
                         void *ctx)
{
    r->on_done = on_done;
    r->done_ctx = ctx;
}

/* --- the request --- */

struct dt_str dt_http_req_method(const struct dt_http_req *r)
{
    return r->head.method;
}

struct dt_str dt_http_req_target(const struct dt_http_req *r)
{
    return r->head.target;
}

struct dt_str dt_http_req_path(const struct dt_http_req *r)
{
    struct dt_str rest = r->head.target;
    struct dt_str path = {NULL, 0};
    (void)dt_str_cut(&rest, '?', &path);
    return path;
}

struct dt_str dt_http_req_query(const struct dt_http_req *r)
{
    struct dt_str rest = r->head.target;
    struct dt_str path = {NULL, 0};
    (void)dt_str_cut(&rest, '?', &path);
    return rest;
}

struct dt_str dt_http_req_host(const struct dt_http_req *r)
{
    return r->head.host;
}

struct dt_str dt_http_req_header(const struct dt_http_req *r, const char *name)
{
    struct dt_str wanted = dt_str_z(name);
    for (size_t i = 0; i < r->head.nheaders; i++) {
        if (dt_str_eq_nocase(r->headers[i].name, wanted))
            return r->headers[i].value;
    }
    return (struct dt_str){NULL, 0};
}

size_t dt_http_req_headers(const struct dt_http_req *r, const struct dt_http_header **ret)
{
    *ret = r->headers;
    return r->head.nheaders;
}

bool dt_http_req_is_upgrade(const struct dt_http_req *r)
{
    return r->head.upgrade;
}

struct dt_conn *dt_http_req_conn(struct dt_http_req *r)
{
    return r->hc != NULL ? r->hc->conn : NULL;
}

uv_loop_t *dt_http_req_loop(struct dt_http_req *r)
{
    return r->loop;
}

uint64_t dt_http_req_content_length(const struct dt_http_req *r)
{
    return r->head.length;
}

/* --- the body --- */

static void ask_body(struct dt_http_req *r, enum dt_http_body_mode mode, void *ctx)
{
    r->mode = mode;
    r->body_ctx = ctx;
    if (is_gone(r))
        return;
    if (r->wait_100 && !r->hc->http1.complete && r->answer == DT_HTTP_ANSWER_NONE) {
        r->wait_100 = false;
        static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
        (void)dt_conn_write(r->hc->conn, go, sizeof(go) - 1);
    }
    dt_http_conn_go_on(r->hc);
}

void dt_http_req_collect(struct dt_http_req *r, size_t limit,
                         void (*cb)(void *ctx, struct dt_str body, const struct dt_err *err),
                         void *ctx)
{
    if (r->mode != DT_HTTP_BODY_NONE)
        return;
    dt_buf_init(&r->body, limit);
    r->on_collect = cb;
    if (r->hc == NULL) {
        dt_http_req_free(r); /* the client is gone, so cb never runs */
        return;
    }
    /* A body that says it is too large is refused before the client is asked to send it. */
    if (r->wait_100 && r->head.length != UINT64_MAX && r->head.length > limit)
        r->wait_100 = false;
    ask_body(r, DT_HTTP_BODY_COLLECT, ctx);
}

void dt_http_req_stream(struct dt_http_req *r, void (*on_data)(void *ctx, const char *p, size_t n),
                        void (*on_end)(void *ctx), void *ctx)
{
    if (r->mode != DT_HTTP_BODY_NONE)
        return;
    r->on_data = on_data;
    r->on_end = on_end;
    ask_body(r, DT_HTTP_BODY_STREAM, ctx);
}

void dt_http_req_pause(struct dt_http_req *r)
{
    if (r->paused)
        return;
    r->paused = true;
    if (!is_gone(r) && !r->hc->pumping && r->mode != DT_HTTP_BODY_NONE && !r->hc->http1.complete)
        dt_conn_pause(r->hc->conn);
}

void dt_http_req_resume(struct dt_http_req *r)
{
    if (!r->paused)
        return;
    r->paused = false;
    if (!is_gone(r) && r->mode != DT_HTTP_BODY_NONE && !r->body_told)
        dt_http_conn_go_on(r->hc);
}

/* --- the answer's head --- */

void dt_http_req_add(struct dt_http_req *r, struct dt_str name, struct dt_str value)
{
    if (!dt_http1_is_token(name) || !dt_http1_is_value(value) || r->answer != DT_HTTP_ANSWER_NONE)
        return;
    size_t n = name.n + value.n + 4;
    if (dt_buf_reserve(&r->extra, r->extra.n == 0 && n < 512 ? 512 : n, NULL) < 0)
        return;
    if (dt_buf_adds(&r->extra, name, NULL) < 0 || dt_buf_add(&r->extra, ": ", 2, NULL) < 0 ||
        dt_buf_adds(&r->extra, value, NULL) < 0 || dt_buf_add(&r->extra, "\r\n", 2, NULL) < 0)
        return; /* cannot happen: the room is there */
    if (dt_str_eq_nocase(name, DT_STR("date")))
        r->date = true;
}

void dt_http_req_add_header(struct dt_http_req *r, const char *name, struct dt_str value)
{
    static const char *const ours[] = {"date", "connection", "content-length", "transfer-encoding"};
    struct dt_str s = dt_str_z(name);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (dt_str_eq_nocase(s, dt_str_z(ours[i])))
            return;
    }
    dt_http_req_add(r, s, value);
}

/* A growing text of known bounds: every piece that goes in is short. */
struct head_text {
    char p[HEAD_TEXT];
    size_t n;
};

static void put(struct head_text *t, const char *p, size_t n)
{
    if (n > sizeof(t->p) - t->n)
        return;
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

#define PUT(t, lit) put(t, lit, sizeof(lit) - 1)

static void put_u64(struct head_text *t, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    put(t, digits + at, sizeof(digits) - at);
}

static void put_z(struct head_text *t, const char *z)
{
    put(t, z, strlen(z));
}

/* Whether the connection can go on after this answer, as far as is known before it. */
static void decide_close(struct dt_http_req *r)
{
    const struct dt_http_conn *hc = r->hc;
    if (hc->server->stopping || hc->eof)
        r->close = true;
    if (hc->http1.complete)
        return;
    if (r->wait_100 || (r->head.length != UINT64_MAX && r->head.length > DT_HTTP_DRAIN_MAX &&
                        r->mode == DT_HTTP_BODY_NONE))
        r->close = true;
}

/* Everything but the added headers and the blank line. `length` UINT64_MAX: unknown. */
static void put_head(struct dt_http_req *r, struct head_text *t, int status, uint64_t length,
                     const char *type)
{
    bool to_head = dt_str_eq(r->head.method, DT_STR("HEAD"));
    bool no_length = status < 200 || status == 204 || status == 304;
    r->bodyless = to_head || no_length;
    r->left = r->bodyless ? 0 : length;
    r->chunked = length == UINT64_MAX && !r->bodyless && r->head.minor > 0;
    if (length == UINT64_MAX && !r->bodyless && !r->chunked)
        r->close = true; /* HTTP/1.0: the end of the stream ends the body */
    decide_close(r);

    PUT(t, "HTTP/1.1 ");
    put_u64(t, (unsigned)status);
    PUT(t, " ");
    put_z(t, dt_http_reason(status));
    if (!r->date) {
        PUT(t, "\r\nDate: ");
        put_z(t, dt_http_server_date(r->hc->server));
    }
    if (type != NULL) {
        PUT(t, "\r\nContent-Type: ");
        put_z(t, type);
    }
    if (r->chunked) {
        PUT(t, "\r\nTransfer-Encoding: chunked");
    } else if (length != UINT64_MAX && !no_length) {
        PUT(t, "\r\nContent-Length: ");
        put_u64(t, length);
    }
    if (status == 101)
        PUT(t, "\r\nConnection: Upgrade");
    else if (r->close)
        PUT(t, "\r\nConnection: close");
    else if (r->head.minor == 0)
        PUT(t, "\r\nConnection: keep-alive");
    PUT(t, "\r\n");
}

static void ended(struct dt_http_req *r)
{
    r->answer = DT_HTTP_ANSWER_ENDED;
    dt_buf_done(&r->extra);
    dt_http_conn_answered(r->hc);
}

void dt_http_req_reply(struct dt_http_req *r, int status, const char *type, const void *p, size_t n)
{
    if (r->answer != DT_HTTP_ANSWER_NONE)
        return;
    if (is_gone(r)) {
        answer_dropped(r);
        return;
    }
    if (type != NULL && (strlen(type) > TYPE_MAX || !dt_http1_is_value(dt_str_z(type)))) {
        dt_http_req_add_header(r, "Content-Type", dt_str_z(type));
        type = NULL;
    }
    struct head_text t;
    t.n = 0;
    put_head(r, &t, status, n, type);
    struct iovec v[4] = {{t.p, t.n}, {r->extra.p, r->extra.n}, {(void *)(uintptr_t) "\r\n", 2}};
    v[3] = (struct iovec){(void *)(uintptr_t)p, r->bodyless ? 0 : n};
    (void)dt_conn_writev(r->hc->conn, v, 4, false);
    ended(r);
}

void dt_http_req_begin(struct dt_http_req *r, int status, uint64_t length)
{
    if (r->answer != DT_HTTP_ANSWER_NONE || is_gone(r))
        return;
    struct head_text t;
    t.n = 0;
    put_head(r, &t, status, length, NULL);
    r->answer = DT_HTTP_ANSWER_BEGUN;
    struct iovec v[3] = {{t.p, t.n}, {r->extra.p, r->extra.n}, {(void *)(uintptr_t) "\r\n", 2}};
    (void)dt_conn_writev(r->hc->conn, v, 3, true);
    dt_buf_done(&r->extra);
}

/* --- the answer's body --- */

bool dt_http_req_write(struct dt_http_req *r, const void *p, size_t n)
{
    if (r->answer != DT_HTTP_ANSWER_BEGUN || is_gone(r))
        return true;
    if (!r->chunked && r->left != UINT64_MAX) {
        n = n < r->left ? n : r->left;
        r->left -= n;
    }
    if (n == 0 || r->bodyless)
        return !r->full;
    struct iovec v[3] = {{NULL, 0}, {(void *)(uintptr_t)p, n}, {NULL, 0}};
    char size[24];
    if (r->chunked) {
        v[0] = (struct iovec){size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n)};
        v[2] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    }
    bool later = r->chunked && n <= SMALL_CHUNK && r->hc->conn->q_n <= SMALL_CHUNK;
    bool ok = dt_conn_writev(r->hc->conn, v, 3, later);
    if (!ok) {
        r->full = true;
        dt_http_server_due(r->hc->server, dt_http_conn_due(r->hc));
    }
    return ok;
}

bool dt_http_req_flush(struct dt_http_req *r)
{
    if (is_gone(r))
        return false;
    (void)dt_conn_writev(r->hc->conn, NULL, 0, false);
    return !is_gone(r) && dt_conn_queued(r->hc->conn) == 0;
}

ssize_t dt_http_req_sendfile(struct dt_http_req *r, int fd, size_t n)
{
    if (r->answer != DT_HTTP_ANSWER_BEGUN || is_gone(r) || r->bodyless || r->left == UINT64_MAX)
        return -1;
    ssize_t sent = dt_conn_sendfile(r->hc->conn, fd, n < r->left ? n : r->left);
    if (sent > 0)
        r->left -= (size_t)sent;
    if (sent == 0) {
        r->full = true;
        dt_http_server_due(r->hc->server, dt_http_conn_due(r->hc));
    }
    return sent;
}

void dt_http_req_on_drain(struct dt_http_req *r, void (*on_drain)(void *ctx), void *ctx)
{
    r->on_drain = on_drain;
    r->drain_ctx = ctx;
}

void dt_http_req_end(struct dt_http_req *r)
{
    if (r->answer == DT_HTTP_ANSWER_ENDED)
        return;
    if (is_gone(r)) {
        answer_dropped(r);
        return;
    }
    if (r->answer == DT_HTTP_ANSWER_NONE)
        dt_http_req_begin(r, 200, 0);
    if (!r->chunked && r->left != UINT64_MAX && r->left > 0) {
        dt_http_req_abort(r); /* shorter than its head says */
        return;
    }
    struct iovec v = {(void *)(uintptr_t) "0\r\n\r\n", 5};
    if (r->chunked || r->hc->conn->q_n > 0) /* with what waits: the head, or small chunks */
        (void)dt_conn_writev(r->hc->conn, &v, r->chunked ? 1 : 0, false);
    ended(r);
}

void dt_http_req_abort(struct dt_http_req *r)
{
    if (r->answer == DT_HTTP_ANSWER_ENDED)
        return;
    if (!is_gone(r))
        dt_conn_close(r->hc->conn);
    answer_dropped(r);
}

struct dt_conn *dt_http_req_take_conn(struct dt_http_req *r, const struct dt_conn_events *events,
                                      void *ctx, struct dt_str *early)
{
    struct dt_http_conn *hc = r->hc;
    *early = dt_str(NULL, 0);
    if (is_gone(r)) {
        answer_dropped(r);
        return NULL;
    }
    struct dt_conn *c = hc->conn;
    *early = hc->pumping ? dt_str(hc->now, hc->now_n) : dt_conn_take_unread(c);
    hc->now_n = 0;
    dt_conn_set_events(c, events, ctx);
    dt_conn_resume(c);
    r->answer = DT_HTTP_ANSWER_ENDED;
    r->hc = NULL;
    dt_http_conn_detach(hc);
    dt_http_req_over(r, true);
    return c;
}

#include "net/http_client_impl.h"

#include <stdio.h>

enum { REQUEST_HEAD_MAX = 128 * 1024 };

/* --- making one --- */

static int check_opts(const struct dt_http_call_opts *o, struct dt_err *err)
{
    if (!dt_http1_is_token(dt_str_z(o->method)))
        return dt_err_set(err, DT_E_INVALID, "'%s' is not an HTTP method", o->method);
    if (o->target.n == 0)
        return dt_err_set(err, DT_E_INVALID, "the target of a request is missing");
    for (size_t i = 0; i < o->target.n; i++) {
        if ((unsigned char)o->target.p[i] <= ' ' || o->target.p[i] == 127)
            return dt_err_set(err, DT_E_INVALID, "the target of a request holds white space");
    }
    if (o->host != NULL && !dt_http1_is_value(dt_str_z(o->host)))
        return dt_err_set(err, DT_E_INVALID, "the host of a request holds a line break");
    for (size_t i = 0; i < o->nheaders; i++) {
        if (!dt_http1_is_token(o->headers[i].name) || !dt_http1_is_value(o->headers[i].value))
            return dt_err_set(err, DT_E_INVALID, "header '%.*s' is not valid",
                              (int)o->headers[i].name.n, o->headers[i].name.p);
    }
    return 0;
}

static int add_line(struct dt_buf *b, struct dt_str name, struct dt_str value, struct dt_err *err)
{
    if (dt_buf_adds(b, name, err) < 0 || dt_buf_add(b, ": ", 2, err) < 0 ||
        dt_buf_adds(b, value, err) < 0)
        return -1;
    return dt_buf_add(b, "\r\n", 2, err);
}

static bool takes_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

static int add_framing(struct dt_buf *b, const struct dt_http_call_opts *o, bool upgrade,
                       struct dt_err *err)
{
    if (upgrade && dt_buf_addz(b, "Connection: Upgrade\r\n", err) < 0)
        return -1;
    if (o->stream_body && o->body_length == UINT64_MAX)
        return dt_buf_addz(b, "Transfer-Encoding: chunked\r\n\r\n", err);
    uint64_t n = o->stream_body ? o->body_length : o->body.n;
    if (n == 0 && !takes_body(o->method))
        return dt_buf_add(b, "\r\n", 2, err);
    return dt_buf_addf(b, err, "Content-Length: %llu\r\n\r\n", (unsigned long long)n);
}

static int build_head(struct dt_buf *b, const struct dt_http_client *c,
                      const struct dt_http_call_opts *o, struct dt_err *err)
{
    bool upgrade = false;
    const char *host = o->host != NULL ? o->host : c->host_header;
    if (dt_buf_reserve(b, 1000, err) < 0 || dt_buf_addz(b, o->method, err) < 0 ||
        dt_buf_add(b, " ", 1, err) < 0 || dt_buf_adds(b, o->target, err) < 0 ||
        dt_buf_addz(b, " HTTP/1.1\r\n", err) < 0 ||
        add_line(b, DT_STR("Host"), dt_str_z(host), err) < 0)
        return -1;
    for (size_t i = 0; i < o->nheaders; i++) {
        if (add_line(b, o->headers[i].name, o->headers[i].value, err) < 0)
            return -1;
        upgrade |= o->on_upgrade != NULL && dt_str_eq_nocase(o->headers[i].name, DT_STR("upgrade"));
    }
    return add_framing(b, o, upgrade, err);
}

static struct dt_http_call *call_new(const struct dt_http_client *c,
                                     const struct dt_http_call_opts *o, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf head;
    dt_buf_init(&head, REQUEST_HEAD_MAX);
    if (build_head(&head, c, o, err) < 0)
        return NULL;
    struct dt_http_call *call = calloc(1, sizeof(*call) + head.n);
    if (call == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "HTTP request");
        return NULL;
    }
    memcpy(call->head, head.p, head.n);
    call->head_n = head.n;
    call->opts = *o;
    call->opts.headers = NULL;
    call->opts.nheaders = 0;
    call->opts.body = call->opts.target = dt_str(NULL, 0);
    call->opts.method = call->opts.host = NULL;
    call->left = o->stream_body ? o->body_length : 0;
    call->chunked = o->stream_body && o->body_length == UINT64_MAX;
    call->sent = !o->stream_body || o->body_length == 0;
    call->has_body = o->body.n > 0 || !call->sent;
    call->to_head = strcmp(o->method, "HEAD") == 0;
    return call;
}

int dt_http_call_start(struct dt_http_client *c, const struct dt_http_call_opts *opts,
                       struct dt_http_call **ret, struct dt_err *err)
{
    if (check_opts(opts, err) < 0)
        return -1;
    struct dt_http_call *call = call_new(c, opts, err);
    if (call == NULL)
        return -1;
    uv_update_time(c->loop);
    if (opts->total_ms != 0)
        call->total_due = uv_now(c->loop) + opts->total_ms;
    if (dt_http_link_start(c, call, false, opts->stream_body ? dt_str(NULL, 0) : opts->body, err) <
        0) {
        free(call);
        return -1;
    }
    *ret = call;
    return 0;
}

/* --- its end --- */

void dt_http_call_over(struct dt_http_call *call, const struct dt_err *err)
{
    call->opts.on_done(call->opts.ctx, err);
    free(call->err);
    free(call);
}

void dt_http_call_fail(struct dt_http_call *call, const struct dt_err *err)
{
    if (call->err == NULL && (call->err = malloc(sizeof(*err))) != NULL)
        *call->err = *err;
    dt_conn_close(call->link->conn);
}

void dt_http_call_cancel(struct dt_http_call *call)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_CANCELLED, "the request was cancelled");
    dt_http_call_fail(call, &err);
}

/* --- streaming --- */

bool dt_http_call_write(struct dt_http_call *call, const void *p, size_t n)
{
    if (call->sent || call->err != NULL || n == 0)
        return true;
    struct iovec v[3] = {{NULL, 0}, {(void *)(uintptr_t)p, n}, {NULL, 0}};
    char size[24];
    if (call->chunked) {
        v[0] = (struct iovec){size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n)};
        v[2] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    } else {
        v[1].iov_len = n < call->left ? n : call->left;
        call->left -= v[1].iov_len;
        call->sent = call->left == 0;
    }
    return dt_conn_writev(call->link->conn, v, 3, false);
}

void dt_http_call_end(struct dt_http_call *call)
{
    if (call->sent || call->err != NULL)
        return;
    if (!call->chunked) {
        struct dt_err err;
        (void)dt_err_set(&err, DT_E_CANCELLED, "the request's body is %llu bytes too short",
                         (unsigned long long)call->left);
        dt_http_call_fail(call, &err);
        return;
    }
    call->sent = true;
    (void)dt_conn_write(call->link->conn, "0\r\n\r\n", 5);
}

void dt_http_call_pause(struct dt_http_call *call)
{
    if (call->paused)
        return;
    call->paused = true;
    if (!call->link->pumping)
        dt_conn_pause(call->link->conn);
}

void dt_http_call_resume(struct dt_http_call *call)
{
    struct dt_http_link *l = call->link;
    if (!call->paused)
        return;
    call->paused = false;
    l->conn->active_ms = uv_now(l->client->loop); /* the pause was ours, not the peer's */
    if (l->pumping || l->conn->closing)
        return;
    if (!l->conn->stashed && l->heard)
        dt_conn_unread(l->conn, NULL, 0); /* what was parsed may be all there is */
    dt_conn_resume(l->conn);
    dt_http_client_due(l->client, dt_http_link_due(l));
}

bool dt_http_call_is_quiet(const struct dt_http_call *call)
{
    return call->err == NULL && !call->paused && dt_conn_is_quiet(call->link->conn);
}

/* --- whole exchanges in memory --- */

struct fetch {
    struct dt_http_call *call;
    void (*cb)(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err);
    void *ctx;
    struct dt_buf body;
    struct dt_buf text;                                 /* the headers' bytes */
    struct dt_http_header headers[DT_HTTP_HEADERS_MAX]; /* offsets in p until the end */
    size_t lengths[DT_HTTP_HEADERS_MAX][2];
    size_t nheaders;
    int status;
};

static void fetch_head(void *ctx, int status, const struct dt_http_header *h, size_t n)
{
    struct fetch *f = ctx;
    struct dt_err err;
    f->status = status;
    for (size_t i = 0; i < n && i < DT_HTTP_HEADERS_MAX; i++) {
        if (dt_buf_adds(&f->text, h[i].name, &err) < 0 ||
            dt_buf_adds(&f->text, h[i].value, &err) < 0) {
            dt_http_call_fail(f->call, &err);
            return;
        }
        f->lengths[i][0] = h[i].name.n;
        f->lengths[i][1] = h[i].value.n;
        f->nheaders = i + 1;
    }
}

static void fetch_data(void *ctx, const char *p, size_t n)
{
    struct fetch *f = ctx;
    struct dt_err err;
    if (dt_buf_add(&f->body, p, n, &err) == 0)
        return;
    if (err.code == DT_E_TOO_LARGE)
        (void)dt_err_set(&err, DT_E_TOO_LARGE, "the answer is larger than %zu bytes", f->body.max);
    dt_http_call_fail(f->call, &err);
}

static void fetch_done(void *ctx, const struct dt_err *err)
{
    struct fetch *f = ctx;
    struct dt_http_reply reply = {f->status, dt_buf_str(&f->body), f->headers, f->nheaders};
    const char *p = f->text.p;
    for (size_t i = 0; i < f->nheaders; i++) {
        f->headers[i].name = dt_str(p, f->lengths[i][0]);
        p += f->lengths[i][0];
        f->headers[i].value = dt_str(p, f->lengths[i][1]);
        p += f->lengths[i][1];
    }
    f->cb(f->ctx, err == NULL ? &reply : NULL, err);
    dt_buf_done(&f->body);
    dt_buf_done(&f->text);
    free(f);
}

int dt_http_fetch(struct dt_http_client *c, const struct dt_http_call_opts *opts, size_t limit,
                  void (*cb)(void *ctx, const struct dt_http_reply *reply,
                             const struct dt_err *err),
                  void *ctx, struct dt_http_call **ret, struct dt_err *err)
{
    struct fetch *f = malloc(sizeof(*f));
    if (f == NULL)
        return dt_err_set(err, DT_E_NOMEM, "HTTP request");
    f->cb = cb;
    f->ctx = ctx;
    f->nheaders = 0;
    f->status = 0;
    dt_buf_init(&f->body, limit);
    dt_buf_init(&f->text, DT_HTTP_HEAD_MAX);
    struct dt_http_call_opts o = *opts;
    o.on_head = fetch_head;
    o.on_data = fetch_data;
    o.on_upgrade = NULL;
    o.on_done = fetch_done;
    o.ctx = f;
    if (dt_http_call_start(c, &o, &f->call, err) < 0) {
        free(f);
        return -1;
    }
    *ret = f->call;
    return 0;
}

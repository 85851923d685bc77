#include "net/proxy.h"

#include "net/http_server_impl.h"
#include "net/tunnel.h"

enum { ADD_MAX = 32 };

/* Lives until the exchange, the call and the tunnel are all over. */
struct dt_proxy {
    struct dt_proxy *next;     /* in its group */
    struct dt_proxy **prev;    /* what points here; NULL = in no group */
    struct dt_http_req *req;   /* NULL once its exchange is over */
    struct dt_http_call *call; /* NULL once over */
    struct dt_tunnel *tunnel;  /* NULL unless there is one */
    struct dt_proxy_opts opts; /* the callbacks; what was borrowed is gone */
    uv_loop_t *loop;
    uint64_t sent;
    uint64_t received;
    bool begun;    /* the answer's head is out */
    bool answered; /* the upstream's answer came to its end */
    bool got;      /* the client has the whole answer */
    bool upgrade;
    bool upgraded; /* the tunnel outlives request and call */
    bool starting;
    char drop_reply[]; /* names, each with its NUL, ended by an empty one */
};

static void group_enter(struct dt_proxy *p, struct dt_proxy_group *g)
{
    p->prev = &g->first;
    p->next = g->first;
    if (p->next != NULL)
        p->next->prev = &p->next;
    g->first = p;
}

static void group_leave(struct dt_proxy *p)
{
    if (p->prev == NULL)
        return;
    *p->prev = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    p->prev = NULL;
}

void dt_proxy_group_cancel(struct dt_proxy_group *group)
{
    while (group->first != NULL) {
        struct dt_proxy *p = group->first;
        group_leave(p);
        if (p->tunnel != NULL)
            dt_tunnel_close(p->tunnel);
        else if (p->call != NULL)
            dt_http_call_cancel(p->call);
    }
}

static void end_if_over(struct dt_proxy *p)
{
    if (p->req != NULL || p->call != NULL || p->tunnel != NULL || p->starting)
        return;
    group_leave(p);
    if (p->opts.on_done != NULL)
        p->opts.on_done(p->opts.ctx, p->sent, p->received, p->answered && p->got);
    free(p);
}

/* --- headers --- */

static bool is_hop_by_hop(struct dt_str name)
{
    static const struct dt_str names[] = {
        {"connection", 10},
        {"keep-alive", 10},
        {"proxy-connection", 16},
        {"te", 2},
        {"trailer", 7},
        {"transfer-encoding", 17},
        {"upgrade", 7},
        {"proxy-authenticate", 18},
        {"proxy-authorization", 19},
        {"content-length", 14},
        {"expect", 6},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (dt_str_eq_nocase(name, names[i]))
            return true;
    }
    return false;
}

/* Whether a Connection header names this one. */
static bool is_named(const struct dt_http_header *h, size_t n, struct dt_str name)
{
    for (size_t i = 0; i < n; i++) {
        if (!dt_str_eq_nocase(h[i].name, DT_STR("connection")))
            continue;
        struct dt_str rest = h[i].value;
        struct dt_str token;
        while (dt_str_cut(&rest, ',', &token)) {
            if (dt_str_eq_nocase(dt_str_trim(token), name))
                return true;
        }
    }
    return false;
}

static bool in_list(const char *const *list, struct dt_str name)
{
    for (; list != NULL && *list != NULL; list++) {
        if (dt_str_eq_nocase(dt_str_z(*list), name))
            return true;
    }
    return false;
}

static bool is_dropped_reply(const struct dt_proxy *p, struct dt_str name)
{
    for (const char *z = p->drop_reply; *z != '\0'; z += strlen(z) + 1) {
        if (dt_str_eq_nocase(dt_str_z(z), name))
            return true;
    }
    return false;
}

static struct dt_str find(const struct dt_http_header *h, size_t n, struct dt_str name)
{
    for (size_t i = 0; i < n; i++) {
        if (dt_str_eq_nocase(h[i].name, name))
            return h[i].value;
    }
    return (struct dt_str){NULL, 0};
}

/* Websockets and the like; HTTP/2 inside a tunnel would get around every check. */
static bool may_upgrade(const struct dt_http_req *req)
{
    return dt_http_req_is_upgrade(req) && dt_http_req_content_length(req) == 0 &&
           !dt_http1_has_token(dt_http_req_header(req, "upgrade"), "h2c");
}

/* The request's headers as the upstream gets them; `out` has room for all. */
static size_t request_headers(const struct dt_proxy *p, const struct dt_proxy_opts *opts,
                              struct dt_http_header *out)
{
    const struct dt_http_header *h;
    size_t n = dt_http_req_headers(p->req, &h);
    size_t count = 0;
    bool has_connection = find(h, n, DT_STR("connection")).p != NULL;
    for (size_t i = 0; i < n; i++) {
        if (is_hop_by_hop(h[i].name) || dt_str_eq_nocase(h[i].name, DT_STR("host")) ||
            in_list(opts->drop, h[i].name) || (has_connection && is_named(h, n, h[i].name)))
            continue;
        out[count++] = h[i];
    }
    for (size_t i = 0; i < opts->nadd && i < ADD_MAX; i++)
        out[count++] = opts->add[i];
    if (p->upgrade)
        out[count++] =
            (struct dt_http_header){DT_STR("Upgrade"), dt_http_req_header(p->req, "upgrade")};
    return count;
}

/* --- the answer --- */

static void fail(struct dt_proxy *p, const struct dt_err *err)
{
    if (p->req == NULL)
        return;
    if (p->begun)
        dt_http_req_abort(p->req);
    else if (p->opts.on_fail != NULL)
        p->opts.on_fail(p->opts.ctx, p->req, err);
    else
        dt_http_req_reply(p->req, 502, "text/plain", "bad gateway\n", 12);
}

static void on_head(void *ctx, int status, const struct dt_http_header *h, size_t n)
{
    struct dt_proxy *p = ctx;
    if (p->req == NULL)
        return;
    bool has_connection = find(h, n, DT_STR("connection")).p != NULL;
    for (size_t i = 0; i < n; i++) {
        bool upgrade = status == 101 && dt_str_eq_nocase(h[i].name, DT_STR("upgrade"));
        if (upgrade || !(is_hop_by_hop(h[i].name) || is_dropped_reply(p, h[i].name) ||
                         (has_connection && is_named(h, n, h[i].name)) ||
                         (p->opts.keep_reply != NULL &&
                          !p->opts.keep_reply(p->opts.ctx, h[i].name, h[i].value))))
            dt_http_req_add(p->req, h[i].name, h[i].value);
    }
    if (p->opts.on_head != NULL)
        p->opts.on_head(p->opts.ctx, p->req, status);
    unsigned long long length;
    if (dt_str_u64(find(h, n, DT_STR("content-length")), INT64_MAX, &length) < 0)
        length = UINT64_MAX;
    p->begun = true;
    dt_http_req_begin(p->req, status, status == 101 ? 0 : length);
}

static void on_answer_data(void *ctx, const char *bytes, size_t n)
{
    struct dt_proxy *p = ctx;
    p->received += n;
    if (p->opts.on_data != NULL)
        p->opts.on_data(p->opts.ctx, bytes, n);
    if (p->req != NULL && !dt_http_req_write(p->req, bytes, n))
        dt_http_call_pause(p->call);
}

static void on_client_drain(void *ctx)
{
    const struct dt_proxy *p = ctx;
    if (p->call != NULL)
        dt_http_call_resume(p->call);
}

static void on_tunnel_done(void *ctx, uint64_t from_client, uint64_t from_upstream)
{
    struct dt_proxy *p = ctx;
    p->sent += from_client;
    p->received += from_upstream;
    p->tunnel = NULL;
    end_if_over(p);
}

static const struct dt_conn_events no_events = {0};

static void on_upgrade(void *ctx, struct dt_conn *upstream, struct dt_str early)
{
    struct dt_proxy *p = ctx;
    struct dt_tunnel_end client = {0};
    p->upgraded = true; /* before the exchange ends inside dt_http_req_take_conn() */
    if (p->req != NULL)
        client.conn = dt_http_req_take_conn(p->req, &no_events, NULL, &client.early);
    if (client.conn == NULL) {
        dt_conn_close(upstream);
        return;
    }
    p->tunnel = dt_tunnel_start(p->loop, &client, &(struct dt_tunnel_end){upstream, early},
                                on_tunnel_done, p);
}

static void on_call_done(void *ctx, const struct dt_err *err)
{
    struct dt_proxy *p = ctx;
    p->call = NULL;
    p->answered = err == NULL;
    if (err != NULL)
        fail(p, err);
    else if (p->req != NULL)
        dt_http_req_end(p->req);
    end_if_over(p);
}

/* --- the request --- */

static void on_request_data(void *ctx, const char *bytes, size_t n)
{
    struct dt_proxy *p = ctx;
    p->sent += n;
    if (p->call != NULL && !dt_http_call_write(p->call, bytes, n))
        dt_http_req_pause(p->req);
}

static void on_request_end(void *ctx)
{
    const struct dt_proxy *p = ctx;
    if (p->call != NULL)
        dt_http_call_end(p->call);
}

static void on_upstream_drain(void *ctx)
{
    const struct dt_proxy *p = ctx;
    if (p->req != NULL)
        dt_http_req_resume(p->req);
}

static void on_req_done(void *ctx, bool complete)
{
    struct dt_proxy *p = ctx;
    p->req = NULL;
    p->got = complete;
    if (p->call != NULL && !p->upgraded)
        dt_http_call_cancel(p->call); /* the client is gone */
    end_if_over(p);
}

static int start_call(struct dt_proxy *p, const struct dt_proxy_opts *opts, struct dt_err *err)
{
    struct dt_http_header headers[DT_HTTP_HEADERS_MAX + ADD_MAX + 1];
    char method[32];
    struct dt_str m = dt_http_req_method(p->req);
    uint64_t length = dt_http_req_content_length(p->req);
    struct dt_str host = dt_http_req_host(p->req);
    DT_AUTO_FREE char *host_z = opts->host == NULL && host.n > 0 ? strndup(host.p, host.n) : NULL;
    if (m.n >= sizeof(method) || dt_str_eq(m, DT_STR("CONNECT")))
        return dt_err_set(err, DT_E_UNSUPPORTED, "this method is not forwarded");
    memcpy(method, m.p, m.n);
    method[m.n] = '\0';
    struct dt_http_call_opts o = {
        .method = method,
        .target = opts->target.p != NULL ? opts->target : dt_http_req_target(p->req),
        .host = opts->host != NULL ? opts->host : host_z,
        .headers = headers,
        .nheaders = request_headers(p, opts, headers),
        .body = opts->body,
        .stream_body = length > 0 && opts->body.p == NULL,
        .body_length = length,
        .connect_ms = opts->connect_ms,
        .total_ms = opts->total_ms,
        .on_head = on_head,
        .on_data = on_answer_data,
        .on_drain = on_upstream_drain,
        .on_upgrade = p->upgrade ? on_upgrade : NULL,
        .on_done = on_call_done,
        .ctx = p,
    };
    return dt_http_call_start(opts->upstream, &o, &p->call, err);
}

static size_t list_size(const char *const *list)
{
    size_t n = 1;
    for (; list != NULL && *list != NULL; list++)
        n += strlen(*list) + 1;
    return n;
}

static void copy_list(char *out, const char *const *list)
{
    for (; list != NULL && *list != NULL; list++) {
        size_t n = strlen(*list) + 1;
        memcpy(out, *list, n);
        out += n;
    }
    *out = '\0';
}

void dt_proxy_start(struct dt_http_req *req, const struct dt_proxy_opts *opts)
{
    struct dt_err err;
    struct dt_proxy *p = malloc(sizeof(*p) + list_size(opts->drop_reply));
    if (p == NULL) {
        dt_http_req_reply(req, 503, "text/plain", "out of memory\n", 14);
        if (opts->on_done != NULL)
            opts->on_done(opts->ctx, 0, 0, false);
        return;
    }
    *p = (struct dt_proxy){
        .req = req,
        .opts = {.on_fail = opts->on_fail,
                 .keep_reply = opts->keep_reply,
                 .on_head = opts->on_head,
                 .on_data = opts->on_data,
                 .on_done = opts->on_done},
        .loop = dt_http_req_loop(req),
        .upgrade = may_upgrade(req),
        .starting = true,
    };
    p->opts.ctx = opts->ctx;
    if (opts->group != NULL)
        group_enter(p, opts->group);
    copy_list(p->drop_reply, opts->drop_reply);
    dt_http_req_on_done(req, on_req_done, p);
    dt_http_req_on_drain(req, on_client_drain, p);
    if (start_call(p, opts, &err) < 0)
        fail(p, &err);
    else if (opts->body.p == NULL && dt_http_req_content_length(req) > 0)
        dt_http_req_stream(req, on_request_data, on_request_end, p);
    p->starting = false;
    end_if_over(p);
}

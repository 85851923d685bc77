#include "mcp/api.h"

#include <stdarg.h>
#include <stdio.h>

#include "mcp/discover.h"
#include "net/dns.h"
#include "net/http_client.h"
#include "net/tls.h"

enum {
    IDLE_MAX = 32,
    TARGET_MAX = 32 * 1024,
    BODY_MAX = 32 * 1024 * 1024,
    REPLY_MAX = 8 * 1024 * 1024,
    TOTAL_MS = 120000,
    HEADERS_MAX = 8,
    REPLY_DEPTH_MAX = 64,
};

/*
 * WAITING -> SENT | OVER       the server is being looked for
 * SENT    -> WAITING | OVER    asked; WAITING when a local server turned out to be gone
 * OVER                         `done` ran or is about to
 */
enum state { WAITING, SENT, OVER };

struct client {
    struct client *next;
    struct dt_server server;
    struct dt_http_client *http;
};

struct dt_api {
    uv_loop_t *loop;
    struct client *client; /* the first is in use; others are kept for their calls */
    bool known;            /* `client` can be used */
    bool searching;
    bool freed;
    struct dt_api_op *waiting; /* in the order they came */
};

struct dt_api_op {
    struct dt_api *api;
    struct dt_api_op *next; /* while waiting */
    enum state state;
    bool retried;
    bool cancelled;
    struct dt_api_req req;
    struct dt_buf target;
    struct dt_buf bearer;
    char range[64];
    char limit[32];
    struct dt_http_header headers[HEADERS_MAX];
    size_t nheaders;
    struct dt_http_call *call;
    dt_api_done *done;
    void *ctx;
    uv_idle_t later; /* gives a failure found inside dt_api_start() or _cancel() from the loop */
    struct dt_err err;
};

static void send_op(struct dt_api_op *op);

struct dt_api *dt_api_new(uv_loop_t *loop)
{
    struct dt_api *api = calloc(1, sizeof(*api));
    if (api == NULL)
        abort();
    api->loop = loop;
    return api;
}

static void free_clients(struct dt_api *api)
{
    while (api->client != NULL) {
        struct client *c = api->client;
        api->client = c->next;
        (void)dt_http_client_free(c->http);
        dt_server_done(&c->server);
        free(c);
    }
}

struct dt_api *dt_api_free(struct dt_api *api)
{
    if (api == NULL)
        return NULL;
    while (api->waiting != NULL)
        dt_api_cancel(api->waiting);
    free_clients(api);
    api->freed = true;
    if (!api->searching)
        free(api);
    return NULL;
}

void dt_api_req_init(struct dt_api_req *r, const char *method)
{
    *r = (struct dt_api_req){.method = method};
    dt_buf_init(&r->target, TARGET_MAX);
    dt_buf_init(&r->body, BODY_MAX);
}

void dt_api_req_done(struct dt_api_req *r)
{
    dt_buf_done(&r->target);
    dt_buf_done(&r->body);
}

/* A name made of dots alone would change which resource the path means. */
static int add_encoded(struct dt_buf *out, const char *z, struct dt_err *err)
{
    if (strspn(z, ".") == strlen(z)) {
        for (; *z != '\0'; z++) {
            if (dt_buf_addz(out, "%2E", err) < 0)
                return -1;
        }
        return 0;
    }
    return dt_http_encode(dt_str_z(z), out, err);
}

int dt_api_target(struct dt_api_req *r, struct dt_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int ret = 0;
    for (const char *p = fmt; *p != '\0' && ret == 0; p++) {
        if (*p != '%')
            ret = dt_buf_add(&r->target, p, 1, err);
        else if (*++p == 's')
            ret = add_encoded(&r->target, va_arg(ap, const char *), err);
        else
            ret = dt_buf_addf(&r->target, err, "%lld", va_arg(ap, long long));
    }
    va_end(ap);
    if (ret < 0 && err != NULL && err->code == DT_E_TOO_LARGE)
        (void)dt_err_set(err, DT_E_INVALID, "a name or path is longer than %d bytes",
                         TARGET_MAX / 3);
    return ret;
}

int dt_api_json_body(struct dt_api_req *r, json_t *body, struct dt_err *err)
{
    DT_AUTO_JSON json_t *owned = body;
    if (owned == NULL)
        return dt_err_set(err, DT_E_NOMEM, "request body");
    r->type = "application/json";
    return dt_json_write(owned, &r->body, err);
}

static void free_op(struct dt_api_op *op)
{
    dt_api_req_done(&op->req);
    dt_buf_done(&op->target);
    dt_buf_done(&op->bearer);
    free(op);
}

/* The text of an error answer: its message, which may be a list, else the status. */
static void read_failure(const struct dt_api_reply *reply, struct dt_err *err)
{
    static const struct {
        const char *wire;
        int http;
        enum dt_err_code code;
    } table[] = {
#define X(name, wire, http, rpc) {wire, http, DT_E_##name},
        DT_ERR_TABLE(X)
#undef X
    };
    const char *wire = dt_json_text(reply->json, "code", "");
    const json_t *message = json_object_get(reply->json, "message");
    if (json_is_array(message))
        message = json_array_get(message, 0);
    const char *text = json_string_value(message);
    enum dt_err_code code = DT_OK;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && code == DT_OK; i++) {
        if (strcmp(table[i].wire, wire) == 0 && table[i].http == reply->status)
            code = table[i].code;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && code == DT_OK; i++) {
        if (table[i].http == reply->status && table[i].code != DT_E_INVALID)
            code = table[i].code;
    }
    if (code == DT_OK)
        code = reply->status < 500 ? DT_E_BAD_REQUEST : DT_E_SYSTEM;
    if (text == NULL || text[0] == '\0')
        text = dt_json_text(reply->json, "error", dt_http_reason(reply->status));
    (void)dt_err_set(err, code, "%.400s", text);
}

static uint64_t total_of(const struct dt_http_reply *http)
{
    for (size_t i = 0; i < http->nheaders; i++) {
        struct dt_str v = http->headers[i].value;
        if (!dt_str_eq_nocase(http->headers[i].name, DT_STR("Content-Range")))
            continue;
        const char *slash = v.n > 0 ? memchr(v.p, '/', v.n) : NULL;
        unsigned long long total;
        if (slash != NULL &&
            dt_str_u64(dt_str(slash + 1, (size_t)(v.p + v.n - slash - 1)), UINT64_MAX, &total) == 0)
            return total;
    }
    return UINT64_MAX;
}

static void give(struct dt_api_op *op, const struct dt_api_reply *reply, const struct dt_err *err)
{
    op->state = OVER;
    op->done(op->ctx, reply, err);
    free_op(op);
}

static void give_reply(struct dt_api_op *op, const struct dt_http_reply *http)
{
    struct dt_err err;
    struct dt_api_reply reply = {
        .status = http->status, .body = http->body, .total = total_of(http)};
    bool failed = http->status >= 400;
    DT_AUTO_JSON json_t *json = NULL;
    if (http->body.n > 0 && (failed || !op->req.raw))
        json = dt_json_parse(http->body, REPLY_DEPTH_MAX, &err);
    reply.json = json;
    if (failed) {
        read_failure(&reply, &err);
    } else if (json == NULL && !op->req.raw && http->body.n > 0) {
        (void)dt_err_wrap(&err, "the server's answer");
        err.code = DT_E_SYSTEM;
        failed = true;
    }
    give(op, &reply, failed ? &err : NULL);
}

static void start_search(struct dt_api *api);

static void wait_for_server(struct dt_api_op *op)
{
    struct dt_api_op **last = &op->api->waiting;
    while (*last != NULL)
        last = &(*last)->next;
    op->next = NULL;
    *last = op;
    op->state = WAITING;
    start_search(op->api);
}

static void on_fetched(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err)
{
    struct dt_api_op *op = ctx;
    struct dt_api *api = op->api;
    op->call = NULL;
    if (err == NULL) {
        give_reply(op, reply);
        return;
    }
    bool gone = err->code == DT_E_UNREACHABLE &&
                (err->sys_errno == ECONNREFUSED || err->sys_errno == ENOENT);
    if (gone && !op->cancelled && !op->retried && !api->freed &&
        api->client->server.socket != NULL) {
        op->retried = true; /* nothing was sent, so asking again is safe */
        api->known = false;
        wait_for_server(op);
        return;
    }
    give(op, NULL, err);
}

static void add_header(struct dt_api_op *op, const char *name, struct dt_str value)
{
    op->headers[op->nheaders++] = (struct dt_http_header){dt_str_z(name), value};
}

static int make_headers(struct dt_api_op *op, const struct dt_server *server, struct dt_err *err)
{
    op->nheaders = 0;
    add_header(op, "X-Daytona-Source", DT_STR("daytona-mcp"));
    if (server->key != NULL) {
        dt_buf_clear(&op->bearer);
        if (dt_buf_addf(&op->bearer, err, "Bearer %s", server->key) < 0)
            return -1;
        add_header(op, "Authorization", dt_buf_str(&op->bearer));
    }
    if (server->organization != NULL)
        add_header(op, "X-Daytona-Organization-ID", dt_str_z(server->organization));
    if (op->req.type != NULL)
        add_header(op, "Content-Type", dt_str_z(op->req.type));
    if (op->req.range_length > 0) {
        (void)snprintf(op->range, sizeof(op->range), "bytes=%llu-%llu",
                       (unsigned long long)op->req.range_first,
                       (unsigned long long)(op->req.range_first + op->req.range_length - 1));
        add_header(op, "Range", dt_str_z(op->range));
    }
    if (op->req.output_limit > 0) {
        (void)snprintf(op->limit, sizeof(op->limit), "%zu", op->req.output_limit);
        add_header(op, "X-Daytona-Split-Output", DT_STR("true"));
        add_header(op, "X-Daytona-Output-Limit", dt_str_z(op->limit));
    }
    return 0;
}

static int send_now(struct dt_api_op *op, struct dt_err *err)
{
    const struct client *client = op->api->client;
    dt_buf_clear(&op->target);
    if (dt_buf_addz(&op->target, client->server.base, err) < 0 ||
        dt_buf_adds(&op->target, dt_buf_str(&op->req.target), err) < 0 ||
        make_headers(op, &client->server, err) < 0)
        return -1;
    struct dt_http_call_opts opts = {
        .method = op->req.method,
        .target = dt_buf_str(&op->target),
        .host = client->server.socket != NULL ? "localhost" : NULL,
        .headers = op->headers,
        .nheaders = op->nheaders,
        .body = dt_buf_str(&op->req.body),
        .total_ms = op->req.total_ms > 0 ? op->req.total_ms : TOTAL_MS,
    };
    size_t limit = op->req.reply_max > 0 ? op->req.reply_max : REPLY_MAX;
    op->state = SENT;
    return dt_http_fetch(client->http, &opts, limit, on_fetched, op, &op->call, err);
}

static void on_later_closed(uv_handle_t *h)
{
    struct dt_api_op *op = h->data;
    give(op, NULL, &op->err);
}

/* Ends an operation from the loop: `done` never runs inside a call into this module. */
static void fail_later(struct dt_api_op *op)
{
    op->state = OVER;
    (void)uv_idle_init(op->api->loop, &op->later);
    op->later.data = op;
    uv_close((uv_handle_t *)&op->later, on_later_closed);
}

static void send_op(struct dt_api_op *op)
{
    if (send_now(op, &op->err) < 0)
        fail_later(op);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Only a server elsewhere needs them, and the start of the program should not pay for them. */
static void enable_network(const struct dt_server *server)
{
    if (server->host != NULL)
        dt_dns_enable();
    if (server->tls)
        dt_tls_enable();
}

/* Takes the server over unless it is the one in use already. */
static int use_server(struct dt_api *api, struct dt_server *server, struct dt_err *err)
{
    struct client *old = api->client;
    if (old != NULL && same(old->server.socket, server->socket) &&
        same(old->server.host, server->host) && old->server.port == server->port &&
        same(old->server.key, server->key)) {
        api->known = true;
        return 0;
    }
    struct client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "client");
    struct dt_addr addr = dt_server_addr(server);
    enable_network(server);
    if (dt_http_client_new(api->loop, &addr, IDLE_MAX, &c->http, err) < 0) {
        free(c);
        return -1;
    }
    c->server = *server;
    *server = (struct dt_server){0};
    c->next = old;
    api->client = c;
    api->known = true;
    return 0;
}

static void on_discovered(void *ctx, struct dt_server *server, const struct dt_err *err)
{
    struct dt_api *api = ctx;
    struct dt_err why = {0};
    api->searching = false;
    if (api->freed) {
        free(api);
        return;
    }
    if (err == NULL && use_server(api, server, &why) < 0)
        err = &why;
    struct dt_api_op *op = api->waiting;
    api->waiting = NULL;
    while (op != NULL) {
        struct dt_api_op *next = op->next;
        if (err == NULL)
            send_op(op);
        else
            give(op, NULL, err);
        op = next;
    }
}

static void start_search(struct dt_api *api)
{
    if (api->searching)
        return;
    api->searching = true;
    dt_discover_start(api->loop, on_discovered, api);
}

int dt_api_start(struct dt_api *api, struct dt_api_req *r, dt_api_done *done, void *ctx,
                 struct dt_api_op **ret, struct dt_err *err)
{
    struct dt_api_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        dt_api_req_done(r);
        return dt_err_set(err, DT_E_NOMEM, "request");
    }
    op->api = api;
    op->req = *r;
    op->done = done;
    op->ctx = ctx;
    dt_buf_init(&op->target, TARGET_MAX + 1024);
    dt_buf_init(&op->bearer, 16 * 1024);
    dt_api_req_init(r, r->method);
    *ret = op;
    if (api->known)
        send_op(op);
    else
        wait_for_server(op);
    return 0;
}

void dt_api_cancel(struct dt_api_op *op)
{
    op->cancelled = true;
    if (op->state == SENT) {
        dt_http_call_cancel(op->call);
    } else if (op->state == WAITING) {
        struct dt_api_op **at = &op->api->waiting;
        while (*at != op)
            at = &(*at)->next;
        *at = op->next;
        (void)dt_err_set(&op->err, DT_E_CANCELLED, "cancelled");
        fail_later(op);
    }
}

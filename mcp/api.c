#include "mcp/api.h"

#include <stdio.h>

#include "mcp/api_in.h"
#include "mcp/discover.h"
#include "net/dns.h"
#include "net/tls.h"

enum {
    IDLE_MAX = 32,
    TARGET_MAX = 33 * 1024, /* the base before what a request may have */
    BEARER_MAX = 16 * 1024,
    REPLY_MAX = 8 * 1024 * 1024,
    TOTAL_MS = 120000,
    HEADERS_MAX = 8,
    REPLY_DEPTH_MAX = 64,
    MEMO_MAX = 64 * 1024 * 1024,
};

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
    struct fetch *fetches;
    struct dt_recall *recall;
};

/*
 * One exchange with the server. Operations that ask the same question (GET) share one: what comes
 * before the question is sent gets its answer, what comes later waits for the next one, so that no
 * answer is older than the call it goes to.
 */
struct fetch {
    struct dt_api *api;
    struct fetch *prev, *next;
    bool sent; /* else the server is still looked for */
    bool retried;
    uint64_t mark; /* for dt_recall_keep() */
    struct dt_api_req req;
    struct dt_buf target;
    struct dt_buf bearer;
    char range[64];
    char limit[32];
    struct dt_http_header headers[HEADERS_MAX];
    size_t nheaders;
    struct dt_http_call *call;
    struct dt_api_op *ops;   /* get this answer */
    struct dt_api_op *later; /* get the next one */
};

struct dt_api_op {
    struct dt_api *api;
    struct fetch *fetch; /* NULL once it is over */
    struct dt_api_op *next;
    dt_api_done *done;
    void *ctx;
    uv_idle_t idle; /* gives what ended inside dt_api_cancel() from the loop */
};

static void start_search(struct dt_api *api);
static void send_fetch(struct fetch *f);

struct dt_api *dt_api_new(uv_loop_t *loop)
{
    struct dt_api *api = calloc(1, sizeof(*api));
    if (api == NULL)
        abort();
    api->loop = loop;
    api->recall = dt_recall_new(loop);
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

/* The memory goes with the last exchange. */
static void free_if_over(struct dt_api *api)
{
    if (api->freed && !api->searching && api->fetches == NULL)
        free(api);
}

struct dt_api *dt_api_free(struct dt_api *api)
{
    if (api == NULL)
        return NULL;
    for (struct fetch *f = api->fetches, *next; f != NULL; f = next) {
        next = f->next;
        while (f->later != NULL)
            dt_api_cancel(f->later);
        for (struct dt_api_op *op = f->ops, *after; op != NULL; op = after) {
            after = op->next;
            dt_api_cancel(op);
        }
    }
    api->recall = dt_recall_free(api->recall);
    free_clients(api);
    api->freed = true;
    free_if_over(api);
    return NULL;
}

static struct fetch *new_fetch(struct dt_api *api, struct dt_api_req *r)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (f == NULL)
        abort();
    f->api = api;
    f->req = *r;
    dt_api_req_init(r, r->method);
    dt_buf_init(&f->target, TARGET_MAX);
    dt_buf_init(&f->bearer, BEARER_MAX);
    f->next = api->fetches;
    if (f->next != NULL)
        f->next->prev = f;
    api->fetches = f;
    return f;
}

static void unlink_fetch(struct fetch *f)
{
    if (f->next != NULL)
        f->next->prev = f->prev;
    if (f->prev != NULL)
        f->prev->next = f->next;
    else
        f->api->fetches = f->next;
}

static void free_fetch(struct fetch *f)
{
    dt_api_req_done(&f->req);
    dt_buf_done(&f->target);
    dt_buf_done(&f->bearer);
    free(f);
}

static void append(struct dt_api_op **list, struct dt_api_op *op)
{
    while (*list != NULL)
        list = &(*list)->next;
    op->next = NULL;
    *list = op;
}

/* Hands the answer to all who asked. What they start meanwhile joins the next exchange. */
static void give(struct fetch *f, const struct dt_api_reply *reply, const struct dt_err *err)
{
    unlink_fetch(f);
    if (f->later != NULL) {
        struct fetch *next = new_fetch(f->api, &f->req);
        next->ops = dt_take(f->later);
        for (struct dt_api_op *op = next->ops; op != NULL; op = op->next)
            op->fetch = next;
        send_fetch(next);
    }
    while (f->ops != NULL) {
        struct dt_api_op *op = f->ops;
        f->ops = op->next;
        op->fetch = NULL;
        op->done(op->ctx, reply, err);
        free(op);
    }
    struct dt_api *api = f->api;
    free_fetch(f);
    free_if_over(api);
}

static void give_reply(struct fetch *f, const struct dt_http_reply *http)
{
    struct dt_err err;
    struct dt_memo memo = {.key = NULL};
    struct dt_api_reply reply = {
        .status = http->status, .body = http->body, .total = dt_api_total(http), .memo = &memo};
    bool raw = f->req.raw;
    bool failed = http->status >= 400;
    DT_AUTO_JSON json_t *json = NULL;
    dt_buf_init(&memo.text, MEMO_MAX);
    if (http->body.n > 0 && (failed || !raw))
        json = dt_json_parse(http->body, REPLY_DEPTH_MAX, &err);
    reply.json = json;
    if (failed) {
        dt_api_failure(&reply, &err);
    } else if (json == NULL && !raw && http->body.n > 0) {
        (void)dt_err_wrap(&err, "the server's answer");
        err.code = DT_E_SYSTEM;
        failed = true;
    }
    if (http->status == 200 && json != NULL && f->req.keep && !f->api->freed)
        dt_recall_keep(f->api->recall, dt_buf_str(&f->req.target), f->mark, json, http->body.n);
    give(f, &reply, failed ? &err : NULL);
    dt_buf_done(&memo.text);
}

static void on_fetched(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err)
{
    struct fetch *f = ctx;
    struct dt_api *api = f->api;
    f->call = NULL;
    if (!api->freed)
        dt_recall_stir(api->recall);
    if (err == NULL) {
        give_reply(f, reply);
        return;
    }
    bool gone = err->code == DT_E_UNREACHABLE &&
                (err->sys_errno == ECONNREFUSED || err->sys_errno == ENOENT);
    if (gone && f->ops != NULL && !f->retried && !api->freed &&
        api->client->server.socket != NULL) {
        f->retried = true; /* nothing was sent, so asking again is safe */
        f->sent = false;
        api->known = false;
        start_search(api);
        return;
    }
    give(f, NULL, err);
}

static void add_header(struct fetch *f, const char *name, struct dt_str value)
{
    f->headers[f->nheaders++] = (struct dt_http_header){dt_str_z(name), value};
}

static int make_headers(struct fetch *f, const struct dt_server *server, struct dt_err *err)
{
    f->nheaders = 0;
    add_header(f, "X-Daytona-Source", DT_STR("daytona-mcp"));
    if (server->key != NULL) {
        dt_buf_clear(&f->bearer);
        if (dt_buf_addf(&f->bearer, err, "Bearer %s", server->key) < 0)
            return -1;
        add_header(f, "Authorization", dt_buf_str(&f->bearer));
    }
    if (server->organization != NULL)
        add_header(f, "X-Daytona-Organization-ID", dt_str_z(server->organization));
    if (f->req.type != NULL)
        add_header(f, "Content-Type", dt_str_z(f->req.type));
    if (f->req.range_length > 0) {
        (void)snprintf(f->range, sizeof(f->range), "bytes=%llu-%llu",
                       (unsigned long long)f->req.range_first,
                       (unsigned long long)(f->req.range_first + f->req.range_length - 1));
        add_header(f, "Range", dt_str_z(f->range));
    }
    if (f->req.output_limit > 0) {
        (void)snprintf(f->limit, sizeof(f->limit), "%zu", f->req.output_limit);
        add_header(f, "X-Daytona-Split-Output", DT_STR("true"));
        add_header(f, "X-Daytona-Output-Limit", dt_str_z(f->limit));
    }
    return 0;
}

static int send_now(struct fetch *f, struct dt_err *err)
{
    const struct client *client = f->api->client;
    dt_buf_clear(&f->target);
    if (dt_buf_addz(&f->target, client->server.base, err) < 0 ||
        dt_buf_adds(&f->target, dt_buf_str(&f->req.target), err) < 0 ||
        make_headers(f, &client->server, err) < 0)
        return -1;
    struct dt_http_call_opts opts = {
        .method = f->req.method,
        .target = dt_buf_str(&f->target),
        .host = client->server.socket != NULL ? "localhost" : NULL,
        .headers = f->headers,
        .nheaders = f->nheaders,
        .body = dt_buf_str(&f->req.body),
        .total_ms = f->req.total_ms > 0 ? f->req.total_ms : TOTAL_MS,
    };
    size_t limit = f->req.reply_max > 0 ? f->req.reply_max : REPLY_MAX;
    f->sent = true;
    if (f->req.keep && client->server.socket != NULL && client->server.key == NULL)
        f->mark = dt_recall_ask(f->api->recall, client->http, client->server.base,
                                dt_buf_str(&f->req.target));
    return dt_http_fetch(client->http, &opts, limit, on_fetched, f, &f->call, err);
}

static void send_fetch(struct fetch *f)
{
    struct dt_err err;
    if (!f->api->known)
        start_search(f->api);
    else if (send_now(f, &err) < 0)
        give(f, NULL, &err);
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
    dt_recall_forget(api->recall);
    return 0;
}

static void on_discovered(void *ctx, struct dt_server *server, const struct dt_err *err)
{
    struct dt_api *api = ctx;
    struct dt_err why = {0};
    api->searching = false;
    if (api->freed) {
        free_if_over(api);
        return;
    }
    if (err == NULL && use_server(api, server, &why) < 0)
        err = &why;
    for (bool again = true; again;) { /* each one changes the list */
        struct fetch *f = api->fetches;
        while (f != NULL && f->sent)
            f = f->next;
        again = f != NULL;
        if (again && err == NULL)
            send_fetch(f);
        else if (again)
            give(f, NULL, err);
    }
}

static void start_search(struct dt_api *api)
{
    if (api->searching)
        return;
    api->searching = true;
    dt_discover_start(api->loop, on_discovered, api);
}

/* A question asked already is not asked twice at the same time. */
static bool join(struct dt_api *api, const struct dt_api_req *r, struct dt_api_op *op)
{
    struct fetch *f = api->fetches;
    while (f != NULL && !dt_api_req_same(&f->req, r))
        f = f->next;
    if (f == NULL)
        return false;
    op->fetch = f;
    append(f->sent ? &f->later : &f->ops, op);
    return true;
}

bool dt_api_recall(struct dt_api *api, const struct dt_api_req *r, struct dt_api_reply *ret)
{
    struct dt_memo *memo;
    json_t *json =
        r->keep && api->known ? dt_recall_get(api->recall, dt_buf_str(&r->target), &memo) : NULL;
    if (json == NULL)
        return false;
    *ret = (struct dt_api_reply){.status = 200, .json = json, .total = UINT64_MAX, .memo = memo};
    return true;
}

int dt_api_start(struct dt_api *api, struct dt_api_req *r, dt_api_done *done, void *ctx,
                 struct dt_api_op **ret, struct dt_err *err)
{
    struct dt_api_op *op = calloc(1, sizeof(*op));
    if (op == NULL) {
        dt_api_req_done(r);
        return dt_err_set(err, DT_E_NOMEM, "request");
    }
    *op = (struct dt_api_op){.api = api, .done = done, .ctx = ctx};
    if (join(api, r, op)) {
        dt_api_req_done(r);
        *ret = op;
        return 0;
    }
    struct fetch *f = new_fetch(api, r);
    if (api->known && send_now(f, err) < 0) {
        unlink_fetch(f);
        free_fetch(f);
        free(op);
        return -1;
    }
    op->fetch = f;
    f->ops = op;
    if (!api->known)
        start_search(api);
    *ret = op;
    return 0;
}

static void on_cancelled(uv_handle_t *h)
{
    struct dt_api_op *op = h->data;
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_CANCELLED, "cancelled");
    op->done(op->ctx, NULL, &err);
    free(op);
}

static void take_out(struct dt_api_op **list, const struct dt_api_op *op)
{
    while (*list != NULL && *list != op)
        list = &(*list)->next;
    if (*list != NULL)
        *list = op->next;
}

void dt_api_cancel(struct dt_api_op *op)
{
    struct fetch *f = op->fetch;
    if (f == NULL)
        return;
    take_out(&f->ops, op);
    take_out(&f->later, op);
    op->fetch = NULL;
    if (f->ops == NULL && f->later == NULL && f->sent) {
        dt_http_call_cancel(f->call); /* nobody waits any more */
    } else if (f->ops == NULL && !f->sent) {
        unlink_fetch(f);
        free_fetch(f);
    }
    (void)uv_idle_init(op->api->loop, &op->idle);
    op->idle.data = op;
    uv_close((uv_handle_t *)&op->idle, on_cancelled);
}

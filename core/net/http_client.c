#include "net/http_client_impl.h"

#include <stdio.h>

static void on_data(void *ctx, const char *p, size_t n);
static void on_eof(void *ctx);
static void on_drain(void *ctx);
static void on_close(void *ctx, const struct dt_err *err);

static const struct dt_conn_events events = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_close = on_close,
};
static const struct dt_conn_events no_events = {0};

/* --- the client --- */

static void client_unref(struct dt_http_client *c)
{
    if (--c->refs > 0)
        return;
    free((void *)(uintptr_t)c->addr.path);
    free((void *)(uintptr_t)c->addr.host);
    free(c->host_header);
    free(c);
}

static void on_timer_closed(uv_handle_t *h)
{
    client_unref(h->data);
}

static int copy_addr(struct dt_http_client *c, const struct dt_addr *addr, struct dt_err *err)
{
    char text[300];
    const char *host = addr->path != NULL ? "localhost" : addr->host;
    if (host == NULL || strlen(host) > 255)
        return dt_err_set(err, DT_E_INVALID,
                          "an address needs a host of at most 255 bytes or a path");
    bool v6 = strchr(host, ':') != NULL;
    bool usual = addr->path != NULL || addr->port == (addr->tls ? 443 : 80);
    (void)snprintf(text, sizeof(text), v6 ? "[%s]" : "%s", host);
    if (!usual)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), ":%u", addr->port);
    c->addr.port = addr->port;
    c->addr.tls = addr->tls;
    c->addr.sockets = addr->sockets;
    c->host_header = strdup(text);
    if (addr->path != NULL)
        c->addr.path = strdup(addr->path);
    else
        c->addr.host = strdup(addr->host);
    if (c->host_header == NULL || (c->addr.path == NULL && c->addr.host == NULL))
        return dt_err_set(err, DT_E_NOMEM, "HTTP client");
    return 0;
}

int dt_http_client_new(uv_loop_t *loop, const struct dt_addr *addr, unsigned idle_max,
                       struct dt_http_client **ret, struct dt_err *err)
{
    struct dt_http_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "HTTP client");
    c->refs = 1;
    if (copy_addr(c, addr, err) < 0) {
        client_unref(c);
        return -1;
    }
    c->loop = loop;
    c->idle_max = idle_max;
    c->keep_ms = DT_HTTP_KEEP_MS;
    (void)uv_timer_init(loop, &c->timer);
    uv_unref((uv_handle_t *)&c->timer);
    c->timer.data = c;
    *ret = c;
    return 0;
}

void dt_http_client_bound(struct dt_http_client *c, uint64_t keep_ms, struct dt_http_idle *idle)
{
    c->keep_ms = keep_ms;
    c->bound = idle;
}

/* Whether one more connection may be kept idle. */
static bool has_room(const struct dt_http_client *c)
{
    bool room = !c->freed && c->idle < c->idle_max;
    for (const struct dt_http_idle *i = c->bound; room && i != NULL; i = i->in)
        room = i->n < i->max;
    return room;
}

static void link_insert(struct dt_http_link *l, bool idle)
{
    struct dt_http_link **first = &l->client->links[idle];
    l->idle = idle;
    l->prev = NULL;
    l->next = *first;
    if (*first != NULL)
        (*first)->prev = l;
    *first = l;
}

static void link_remove(const struct dt_http_link *l)
{
    if (l->next != NULL)
        l->next->prev = l->prev;
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        l->client->links[l->idle] = l->next;
}

static void set_idle(struct dt_http_link *l, bool idle)
{
    struct dt_http_client *c = l->client;
    if (l->idle == idle)
        return;
    link_remove(l);
    link_insert(l, idle);
    c->idle += idle ? 1u : -1u;
    for (struct dt_http_idle *i = c->bound; i != NULL; i = i->in)
        i->n += idle ? 1u : -1u;
}

static void drop_idle(struct dt_http_link *l)
{
    set_idle(l, false);
    dt_conn_close(l->conn);
}

struct dt_http_client *dt_http_client_free(struct dt_http_client *c)
{
    struct dt_err err;
    if (c == NULL || c->freed)
        return NULL;
    c->freed = true;
    (void)dt_err_set(&err, DT_E_CANCELLED, "the HTTP client was closed");
    while (c->links[1] != NULL)
        drop_idle(c->links[1]);
    c->bound = NULL;
    for (struct dt_http_link *l = c->links[0]; l != NULL; l = l->next) {
        if (l->call != NULL)
            dt_http_call_fail(l->call, &err);
        else if (l->conn != NULL)
            dt_conn_close(l->conn);
    }
    uv_ref((uv_handle_t *)&c->timer);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    return NULL;
}

/* --- deadlines --- */

uint64_t dt_http_link_due(const struct dt_http_link *l)
{
    const struct dt_http_call *call = l->call;
    if (call == NULL)
        return l->conn->active_ms + l->client->keep_ms;
    uint64_t due = call->total_due != 0 ? call->total_due : UINT64_MAX;
    if (call->opts.idle_ms != 0 && !call->paused) { /* while it connects, connect_ms counts */
        uint64_t since = l->conn->open ? l->conn->active_ms : uv_now(l->client->loop);
        if (since + call->opts.idle_ms < due)
            due = since + call->opts.idle_ms;
    }
    return due;
}

static void expire(struct dt_http_link *l)
{
    struct dt_err err;
    if (l->call == NULL) {
        drop_idle(l);
        return;
    }
    (void)dt_err_set(&err, DT_E_TIMEOUT, "%s did not answer in time", l->client->host_header);
    dt_http_call_fail(l->call, &err);
}

static void on_timer(uv_timer_t *t)
{
    struct dt_http_client *c = t->data;
    uint64_t now = uv_now(c->loop);
    uint64_t nearest = UINT64_MAX;
    for (int idle = 0; idle < 2; idle++) {
        struct dt_http_link *next;
        for (struct dt_http_link *l = c->links[idle]; l != NULL; l = next) {
            uint64_t due = dt_http_link_due(l);
            next = l->next;
            if (l->conn->closing)
                continue;
            if (due <= now)
                expire(l);
            else if (due < nearest)
                nearest = due;
        }
    }
    dt_http_client_due(c, nearest);
}

void dt_http_client_due(struct dt_http_client *c, uint64_t at_ms)
{
    uint64_t now = uv_now(c->loop);
    uint64_t in = at_ms > now ? at_ms - now : 0;
    if (at_ms == UINT64_MAX || c->freed)
        return;
    if (uv_is_active((uv_handle_t *)&c->timer) && uv_timer_get_due_in(&c->timer) <= in)
        return;
    (void)uv_timer_start(&c->timer, on_timer, in, 0);
}

/* --- links --- */

static bool on_body(void *ctx, const char *p, size_t n)
{
    struct dt_http_link *l = ctx;
    const struct dt_http_call *call = l->call;
    if (call->opts.on_data != NULL && call->err == NULL)
        call->opts.on_data(call->opts.ctx, p, n);
    return !call->paused && call->err == NULL;
}

static void link_free(struct dt_http_link *l)
{
    struct dt_http_client *c = l->client;
    link_remove(l);
    dt_buf_done(&l->part);
    free(l);
    if (c->links[0] == NULL && c->links[1] == NULL && !c->freed)
        uv_unref((uv_handle_t *)&c->timer);
    client_unref(c);
}

static struct dt_http_link *link_new(struct dt_http_client *c, uint64_t connect_ms,
                                     struct dt_err *err)
{
    struct dt_http_link *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "HTTP connection");
        return NULL;
    }
    if (dt_conn_connect(c->loop, &c->addr, connect_ms, &events, l, &l->conn, err) < 0) {
        free(l);
        return NULL;
    }
    l->client = c;
    l->conn->read_on = true;
    dt_buf_init(&l->part, DT_HTTP_HEAD_MAX);
    l->http1.on_body = on_body;
    l->http1.ctx = l;
    link_insert(l, false);
    if (c->refs++ == 1)
        uv_ref((uv_handle_t *)&c->timer);
    return l;
}

/* The one used last is the likeliest to be open still. */
static struct dt_http_link *idle_link(const struct dt_http_client *c)
{
    struct dt_http_link *l = c->links[1];
    while (l != NULL && l->conn->closing)
        l = l->next;
    return l;
}

int dt_http_link_start(struct dt_http_client *c, struct dt_http_call *call, bool fresh,
                       struct dt_str body, struct dt_err *err)
{
    struct dt_http_link *l = fresh ? NULL : idle_link(c);
    if (l != NULL) {
        set_idle(l, false);
        l->reused = true;
    } else {
        l = link_new(c, call->opts.connect_ms != 0 ? call->opts.connect_ms : 10000, err);
        if (l == NULL)
            return -1;
    }
    l->call = call;
    call->link = l;
    l->heard = false;
    l->interim = 0;
    l->scan = (struct dt_http1_scan){0};
    l->conn->active_ms = uv_now(c->loop);
    struct iovec v[2] = {{call->head, call->head_n}, {(void *)(uintptr_t)body.p, body.n}};
    (void)dt_conn_writev(l->conn, v, 2, !call->sent);
    dt_http_client_due(c, dt_http_link_due(l));
    return 0;
}

/* A kept connection that the server closed meanwhile: once more, on a new one. */
static bool try_again(struct dt_http_link *l)
{
    struct dt_http_call *call = l->call;
    if (!l->reused || l->heard || call->has_body || call->err != NULL || l->client->freed)
        return false;
    struct dt_err err;
    l->call = NULL;
    if (dt_http_link_start(l->client, call, true, dt_str(NULL, 0), &err) < 0)
        dt_http_call_over(call, &err);
    else if (call->paused)
        dt_conn_pause(call->link->conn);
    return true;
}

static void on_close(void *ctx, const struct dt_err *err)
{
    struct dt_http_link *l = ctx;
    struct dt_http_call *call = l->call;
    struct dt_err lost;
    set_idle(l, false);
    if (call == NULL) {
        link_free(l);
        return;
    }
    if (try_again(l)) {
        link_free(l);
        return;
    }
    if (call->err == NULL && err == NULL) {
        (void)dt_err_set(&lost, DT_E_UNREACHABLE,
                         "%s closed the connection before its answer was complete",
                         l->client->host_header);
        err = &lost;
    }
    struct dt_err copy = call->err != NULL ? *call->err : *err;
    l->call = NULL;
    link_free(l);
    dt_http_call_over(call, &copy);
}

/* --- answers --- */

static void broken(struct dt_http_link *l, const struct dt_err *why)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_UNREACHABLE, "the answer of %s is not valid HTTP: %s",
                     l->client->host_header, why->msg);
    dt_http_call_fail(l->call, &err);
}

/* The answer is complete: the connection is kept or closed, then the call ends. */
static void answered(struct dt_http_link *l)
{
    struct dt_http_client *c = l->client;
    struct dt_http_call *call = dt_take(l->call);
    bool keep = call->keep_alive && call->sent && l->now_n == 0 && !l->conn->write_dead &&
                !l->conn->eof && !l->conn->closing && has_room(c);
    if (keep) {
        set_idle(l, true);
        dt_http_client_due(c, dt_http_link_due(l));
    } else {
        dt_conn_close(l->conn);
    }
    dt_http_call_over(call, NULL);
}

static void upgraded(struct dt_http_link *l)
{
    struct dt_http_call *call = dt_take(l->call);
    struct dt_conn *conn = dt_take(l->conn);
    struct dt_str early = dt_str(l->now, l->now_n);
    dt_conn_set_events(conn, &no_events, NULL);
    call->opts.on_upgrade(call->opts.ctx, conn, early);
    dt_http_call_over(call, NULL);
}

/* Returns false when the pump must stop. */
static bool take_head(struct dt_http_link *l, const char *p, size_t n)
{
    struct dt_http_call *call = l->call;
    struct dt_http_header headers[DT_HTTP_HEADERS_MAX];
    struct dt_http1_head head;
    struct dt_err err;
    if (dt_http1_answer(&l->http1, (char *)(uintptr_t)p, n, call->to_head, headers, &head, &err) <
        0) {
        broken(l, &err);
        return false;
    }
    l->scan = (struct dt_http1_scan){0};
    bool upgrade = head.status == 101;
    if (head.status < 200 && !upgrade) {
        if (++l->interim <= DT_HTTP_INTERIM_MAX)
            return true;
        (void)dt_err_set(&err, DT_E_UNREACHABLE, "too many interim answers");
        broken(l, &err);
        return false;
    }
    if (upgrade && (call->opts.on_upgrade == NULL || !call->sent)) {
        (void)dt_err_set(&err, DT_E_UNREACHABLE, "an upgrade that nobody asked for");
        broken(l, &err);
        return false;
    }
    call->head_done = true;
    call->keep_alive = head.keep_alive;
    if (call->opts.on_head != NULL)
        call->opts.on_head(call->opts.ctx, head.status, head.headers, head.nheaders);
    if (upgrade && call->err == NULL)
        upgraded(l);
    return l->call != NULL && call->err == NULL;
}

static bool pump_head(struct dt_http_link *l)
{
    struct dt_err err;
    bool whole = l->part.n == 0;
    size_t before = l->part.n;
    size_t room = DT_HTTP_HEAD_MAX - before;
    size_t give = l->now_n < room ? l->now_n : room;
    if (give == 0)
        return false;
    if (!whole && dt_buf_add(&l->part, l->now, give, &err) < 0) {
        dt_http_call_fail(l->call, &err);
        return false;
    }
    const char *p = whole ? l->now : l->part.p;
    ssize_t n = dt_http1_scan(&l->scan, p, whole ? give : l->part.n, &err);
    if (n < 0) {
        broken(l, &err);
        return false;
    }
    if (n == 0) {
        if (whole && dt_buf_add(&l->part, l->now, give, &err) < 0)
            dt_http_call_fail(l->call, &err);
        l->now_n = 0;
        return false;
    }
    size_t used = (size_t)n - before;
    l->now += used;
    l->now_n -= used;
    bool go_on = take_head(l, p, (size_t)n);
    dt_buf_done(&l->part);
    return go_on;
}

static bool pump_body(struct dt_http_link *l)
{
    struct dt_err err;
    ssize_t used = dt_http1_body(&l->http1, l->now, l->now_n, &err);
    if (used < 0) {
        broken(l, &err);
        return false;
    }
    l->now += used;
    l->now_n -= (size_t)used;
    if (l->http1.complete && l->call->err == NULL && !l->call->paused)
        answered(l);
    return false;
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct dt_http_link *l = ctx;
    if (l->call == NULL) { /* nobody asked */
        if (n > 0)
            dt_conn_close(l->conn);
        return;
    }
    struct dt_http_call *call = l->call;
    l->heard = l->heard || n > 0;
    l->now = p;
    l->now_n = n;
    l->pumping = true;
    bool again = true;
    while (again && l->call == call && !call->paused)
        again = call->head_done ? pump_body(l) : pump_head(l);
    l->pumping = false;
    if (l->conn == NULL) {
        link_free(l);
        return;
    }
    if (l->call == call && call->err == NULL && call->paused) {
        dt_conn_unread(l->conn, l->now, l->now_n);
        dt_conn_pause(l->conn);
    }
    l->now_n = 0;
}

static void on_eof(void *ctx)
{
    struct dt_http_link *l = ctx;
    if (l->call == NULL) {
        dt_conn_close(l->conn);
        return;
    }
    if (l->call->head_done && dt_http1_ended(&l->http1)) {
        l->now_n = 0;
        answered(l);
        return;
    }
    dt_conn_close(l->conn); /* on_close tells the call, or tries again */
}

static void on_drain(void *ctx)
{
    const struct dt_http_link *l = ctx;
    const struct dt_http_call *call = l->call;
    if (call != NULL && call->opts.on_drain != NULL && !call->sent && call->err == NULL)
        call->opts.on_drain(call->opts.ctx);
}

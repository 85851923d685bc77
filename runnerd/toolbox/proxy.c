/* ANY /proxy/{port}/{path}: what listens in the sandbox, reached from inside, so that servers bound
 * to the loopback work too. */
#include "net/proxy.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "toolbox/ports.h"
#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

enum { IDLE_CONNECTIONS = 8, IDLE_PORTS = 16, CONNECT_MS = 5000, IF_INET6_MAX = 65536 };

/* A port that was used; kept for its idle connections while few ports are. */
struct upstream {
    struct upstream *next; /* most recently used first */
    uint16_t port;
    bool stale; /* could not be reached: look again where it listens */
    unsigned active;
    struct dt_http_client *client;
};

static struct upstream *upstreams;

static void trim(void)
{
    unsigned idle = 0;
    for (struct upstream **at = &upstreams; *at != NULL;) {
        struct upstream *u = *at;
        if (u->active == 0 && (u->stale || ++idle > IDLE_PORTS)) {
            *at = u->next;
            (void)dt_http_client_free(u->client);
            free(u);
        } else {
            at = &u->next;
        }
    }
}

/* 127.0.0.1 unless only ::1 answers. */
/* Sandboxes have no IPv6 addresses as a rule; a server on `::` then takes IPv4 connections. */
static bool has_loopback6(void)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, IF_INET6_MAX);
    return dt_fd_read_file(AT_FDCWD, "/proc/net/if_inet6", &text, &err) == 0 && text.n > 0 &&
           strstr(text.p, "00000000000000000000000000000001 ") != NULL;
}

static const char *host_for(uint16_t port)
{
    DT_AUTO_FREE struct dt_ports *p = dt_ports_read();
    if (p != NULL && !(p->reach[port] & DT_PORT_V4) && (p->reach[port] & DT_PORT_V6) &&
        has_loopback6())
        return "::1";
    return "127.0.0.1";
}

static struct upstream *upstream_get(uv_loop_t *loop, uint16_t port, struct dt_err *err)
{
    trim();
    for (struct upstream **at = &upstreams; *at != NULL; at = &(*at)->next) {
        struct upstream *u = *at;
        if (u->port != port || u->stale)
            continue;
        *at = u->next;
        u->next = upstreams;
        upstreams = u;
        return u;
    }
    struct upstream *u = calloc(1, sizeof(*u));
    const struct dt_addr addr = {.host = host_for(port), .port = port};
    if (u == NULL || dt_http_client_new(loop, &addr, IDLE_CONNECTIONS, &u->client, err) < 0) {
        if (u == NULL)
            (void)dt_err_set(err, DT_E_NOMEM, "proxy");
        free(u);
        return NULL;
    }
    u->port = port;
    u->next = upstreams;
    upstreams = u;
    return u;
}

static void on_fail(void *ctx, struct dt_http_req *req, const struct dt_err *why)
{
    struct upstream *u = ctx;
    struct dt_err err;
    u->stale = true;
    DT_AUTO_FREE struct dt_ports *p = dt_ports_read();
    unsigned reach = p != NULL ? p->reach[u->port] : 0;
    if (reach == 0)
        (void)dt_err_set(&err, DT_E_UNREACHABLE,
                         "nothing listens on port %u in the sandbox: start a server there, on "
                         "127.0.0.1 or 0.0.0.0",
                         u->port);
    else if (reach == DT_PORT_LISTENS)
        (void)dt_err_set(&err, DT_E_UNREACHABLE,
                         "the server on port %u listens on one address only: let it listen on "
                         "127.0.0.1 or 0.0.0.0",
                         u->port);
    else
        (void)dt_err_set(&err, DT_E_UNREACHABLE, "the server on port %u did not answer: %.300s",
                         u->port, why->msg);
    dt_reply_error(req, &err);
}

static void on_done(void *ctx, uint64_t sent, uint64_t received)
{
    struct upstream *u = ctx;
    (void)sent;
    (void)received;
    u->active--;
}

void dt_op_proxy(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_str rest)
{
    const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
    struct dt_str number = dt_str(rest.p, slash != NULL ? (size_t)(slash - rest.p) : rest.n);
    unsigned long long port;
    struct dt_err err;
    if (dt_str_u64(number, 65535, &port) < 0 || port == 0) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "invalid port '%.*s': must be a number between 1 and 65535",
                         (int)(number.n < 40 ? number.n : 40), number.p);
        dt_reply_error(req, &err);
        return;
    }
    struct upstream *u = upstream_get(tb->loop, (uint16_t)port, &err);
    if (u == NULL) {
        dt_reply_error(req, &err);
        return;
    }
    struct dt_str whole = dt_http_req_target(req);
    size_t skip = (size_t)(number.p - whole.p) + number.n;
    DT_AUTO_BUF struct dt_buf target;
    dt_buf_init(&target, DT_HTTP_HEAD_MAX + 16);
    char host[32];
    (void)snprintf(host, sizeof(host), "localhost:%u", (unsigned)port);
    if ((slash == NULL && dt_buf_addz(&target, "/", &err) < 0) ||
        dt_buf_adds(&target, dt_str(whole.p + skip, whole.n - skip), &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    u->active++;
    const struct dt_proxy_opts opts = {
        .upstream = u->client,
        .target = dt_buf_str(&target),
        .host = host,
        .connect_ms = CONNECT_MS,
        .on_fail = on_fail,
        .on_done = on_done,
        .ctx = u,
    };
    dt_proxy_start(req, &opts);
}

#include "runnerd/upstream.h"

#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>

#include "base/clock.h"
#include "runnerd/boot.h"
#include "runnerd/runnerd.h"

enum { ASK_MS = 5000 };

struct dt_upstream {
    struct dt_upstream *next; /* most recently used first */
    struct dt_http_client *client;
    unsigned refs; /* the list and each exchange */
    uint16_t port;
};

struct dt_upstreams {
    struct dt_socket_source source;
    struct dt_runnerd *rd;
    char id[DT_UUID_SIZE];
    uint64_t serial; /* an answer may come when the sandbox has ended and started again */
    uint64_t used_ms;
    struct dt_upstream *ports;
    struct dt_http_idle idle;
    struct dt_proxy_group exchanges;
    struct dt_socket_wait *first, **last;
    int spare[DT_UPSTREAM_SPARE]; /* IPv4 */
    unsigned nspare;
    bool asking;
};

/* A question to the launcher. */
struct ask {
    struct dt_runnerd *rd;
    char id[DT_UUID_SIZE];
    uint64_t serial;
    int family;
};

void dt_upstream_totals_init(struct dt_upstream_totals *t)
{
    *t = (struct dt_upstream_totals){.idle = {.max = DT_UPSTREAM_IDLE_ALL}};
}

/* --- sockets --- */

/* Out of the queue: the first one for that family. */
static struct dt_socket_wait *pop_waiting(struct dt_upstreams *u, int family)
{
    for (struct dt_socket_wait **at = &u->first; *at != NULL; at = &(*at)->next) {
        struct dt_socket_wait *w = *at;
        if (w->family != family)
            continue;
        *at = w->next;
        if (w->next == NULL)
            u->last = at;
        return w;
    }
    return NULL;
}

static void fail_waiting(struct dt_upstreams *u, int family, const struct dt_err *err)
{
    struct dt_socket_wait *w;
    while ((w = pop_waiting(u, family)) != NULL)
        w->done(w, -1, err);
}

/* Owns fd. */
static void use_socket(struct dt_upstreams *u, int family, int fd)
{
    struct dt_socket_wait *w = pop_waiting(u, family);
    if (w != NULL) {
        w->done(w, fd, NULL);
    } else if (family == AF_INET && u->nspare < DT_UPSTREAM_SPARE) {
        u->spare[u->nspare++] = fd;
        u->rd->upstreams.spare++;
    } else {
        (void)close(fd);
    }
}

static int take_spare(struct dt_upstreams *u)
{
    u->rd->upstreams.spare--;
    return u->spare[--u->nspare];
}

static void ask(struct dt_upstreams *u);

/* 1 with at least one socket, 0 when the question must be asked again, -1 when it is of no use. */
static int take_answer(struct dt_upstreams *u, int family, const struct dt_lw_answer *a,
                       struct dt_err *err)
{
    int fds[DT_LW_SOCKETS_MAX];
    if (a == NULL && err->code == DT_E_UNAVAILABLE)
        return 0; /* with another launcher */
    if (a == NULL)
        return dt_err_set(err, DT_E_UNAVAILABLE, "the launcher did not answer in time");
    if (dt_launcher_result(a, err) < 0)
        return -1;
    unsigned n = dt_launcher_client_take_fds(u->rd->launcher, fds);
    for (unsigned i = 0; i < n; i++)
        use_socket(u, family, fds[i]);
    return n > 0 ? 1 : dt_err_set(err, DT_E_LIMIT, "too many open connections");
}

static void on_sockets(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    DT_AUTO_FREE struct ask *q = ctx;
    struct dt_err why = {.code = DT_OK};
    const struct dt_live *l = dt_live_by_id(&q->rd->live, q->id);
    struct dt_upstreams *u = l != NULL ? l->upstreams : NULL;
    if (u == NULL || u->serial != q->serial)
        return; /* the descriptors are closed */
    if (err != NULL)
        why = *err;
    u->asking = false;
    if (take_answer(u, q->family, a, &why) < 0)
        fail_waiting(u, q->family, &why);
    if (u->first != NULL)
        ask(u);
}

/* How many to ask for: those that are waited for, and some for the next. */
static unsigned wanted(const struct dt_upstreams *u, int family)
{
    unsigned n = 0;
    for (const struct dt_socket_wait *w = u->first; w != NULL; w = w->next)
        n += w->family == family;
    if (family == AF_INET && u->rd->upstreams.spare < DT_UPSTREAM_SPARE_ALL)
        n += DT_UPSTREAM_SPARE - u->nspare;
    return n < DT_LW_SOCKETS_MAX ? n : DT_LW_SOCKETS_MAX;
}

/* One question at a time; without a launcher none: they wait until there is one, or give up. */
static void ask(struct dt_upstreams *u)
{
    struct dt_err err;
    if (u->asking || !dt_launcher_client_is_up(u->rd->launcher))
        return;
    int family = u->first != NULL ? u->first->family : AF_INET;
    struct dt_lw_request r = {.op = DT_LW_SOCKETS,
                              .count = wanted(u, family),
                              .family = family == AF_INET6 ? DT_LW_IPV6 : DT_LW_IPV4};
    struct ask *q = r.count > 0 ? malloc(sizeof(*q)) : NULL;
    if (q == NULL)
        return;
    *q = (struct ask){.rd = u->rd, .serial = u->serial, .family = family};
    memcpy(q->id, u->id, sizeof(q->id));
    (void)dt_uuid_bytes(u->id, r.id);
    u->asking = dt_launcher_client_call(u->rd->launcher, &r, -1, ASK_MS, on_sockets, q, &err) == 0;
    if (!u->asking)
        free(q);
}

static int source_take(struct dt_socket_source *s, struct dt_socket_wait *w)
{
    struct dt_upstreams *u =
        (struct dt_upstreams *)((char *)s - offsetof(struct dt_upstreams, source));
    int fd = w->family == AF_INET && u->nspare > 0 ? take_spare(u) : -1;
    if (fd < 0) {
        w->next = NULL;
        *u->last = w;
        u->last = &w->next;
    }
    if (fd < 0 || u->nspare < DT_UPSTREAM_SPARE / 2)
        ask(u);
    return fd;
}

static void source_cancel(struct dt_socket_source *s, struct dt_socket_wait *w)
{
    struct dt_upstreams *u =
        (struct dt_upstreams *)((char *)s - offsetof(struct dt_upstreams, source));
    struct dt_socket_wait **at = &u->first;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    if (w->next == NULL)
        u->last = at;
}

/* --- ports --- */

void dt_upstream_unref(struct dt_upstream *u)
{
    if (u == NULL || --u->refs > 0)
        return;
    (void)dt_http_client_free(u->client);
    free(u);
}

/* Takes `*at` out of the list. */
static void drop_port(struct dt_upstream **at)
{
    struct dt_upstream *p = *at;
    *at = p->next;
    dt_upstream_unref(p);
}

static void trim_ports(struct dt_upstreams *u)
{
    unsigned idle = 0;
    struct dt_upstream **at = &u->ports;
    while (*at != NULL) {
        if ((*at)->refs == 1 && ++idle > DT_UPSTREAM_PORTS)
            drop_port(at);
        else
            at = &(*at)->next;
    }
}

static struct dt_upstream *port_new(struct dt_upstreams *u, uint16_t port, struct dt_err *err)
{
    struct dt_upstream *p = calloc(1, sizeof(*p));
    const struct dt_addr addr = {.host = "localhost", .port = port, .sockets = &u->source};
    if (p == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "out of memory");
    if (p == NULL ||
        dt_http_client_new(u->rd->loop, &addr, DT_UPSTREAM_IDLE, &p->client, err) < 0) {
        free(p);
        return NULL;
    }
    dt_http_client_bound(p->client, DT_UPSTREAM_KEEP_MS, &u->idle);
    p->port = port;
    p->refs = 1;
    return p;
}

static struct dt_upstreams *upstreams_new(struct dt_runnerd *rd, const struct dt_live *l)
{
    struct dt_upstreams *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return NULL;
    u->source = (struct dt_socket_source){source_take, source_cancel};
    u->rd = rd;
    memcpy(u->id, l->id, sizeof(u->id));
    u->serial = ++rd->upstreams.serial;
    u->idle = (struct dt_http_idle){.in = &rd->upstreams.idle, .max = DT_UPSTREAM_IDLE};
    u->last = &u->first;
    return u;
}

int dt_upstream_get(struct dt_runnerd *rd, struct dt_live *l, uint16_t port,
                    struct dt_upstream **ret, struct dt_err *err)
{
    if (l->upstreams == NULL && (l->upstreams = upstreams_new(rd, l)) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    struct dt_upstreams *u = l->upstreams;
    struct dt_upstream **at = &u->ports;
    u->used_ms = dt_clock_ms();
    while (*at != NULL && (*at)->port != port)
        at = &(*at)->next;
    struct dt_upstream *p = *at;
    if (p != NULL)
        *at = p->next;
    else if ((p = port_new(u, port, err)) == NULL)
        return -1;
    p->next = u->ports;
    u->ports = p;
    p->refs++;
    trim_ports(u);
    *ret = p;
    return 0;
}

struct dt_http_client *dt_upstream_client(const struct dt_upstream *u)
{
    return u->client;
}

struct dt_proxy_group *dt_upstream_group(const struct dt_live *l)
{
    return &l->upstreams->exchanges;
}

uint16_t dt_upstream_port(const struct dt_upstream *u)
{
    return u->port;
}

/* --- the end --- */

void dt_upstreams_close(struct dt_live *l)
{
    struct dt_upstreams *u = dt_take(l->upstreams);
    if (u == NULL)
        return;
    dt_proxy_group_cancel(&u->exchanges);
    while (u->ports != NULL) {
        struct dt_upstream *p = u->ports;
        p->client = dt_http_client_free(p->client);
        drop_port(&u->ports);
    }
    assert(u->first == NULL); /* closing a client ends what it waits for */
    while (u->nspare > 0)
        (void)close(take_spare(u));
    free(u);
}

void dt_upstreams_rest(struct dt_live *l)
{
    struct dt_upstreams *u = l->upstreams;
    if (u == NULL || dt_clock_ms() - u->used_ms < DT_UPSTREAM_REST_MS)
        return;
    for (const struct dt_upstream *p = u->ports; p != NULL; p = p->next) {
        if (p->refs > 1)
            return;
    }
    dt_upstreams_close(l);
}

void dt_upstreams_retry(struct dt_live *l)
{
    if (l->upstreams != NULL && l->upstreams->first != NULL)
        ask(l->upstreams);
}

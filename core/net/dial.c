#include "net/conn_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#define FULL_RETRY_MS 5 /* a unix socket's backlog is full: ask again */

const struct dt_dns_ops *dt_conn_dns_ops;

struct dt_dial {
    uv_loop_t *loop;
    uv_timer_t deadline;
    uv_timer_t retry; /* the next attempt, also the first one: never from inside dt_dial_start() */
    uv_poll_t *poll;  /* of the attempt in flight; frees itself */
    struct dt_dns_query *query;
    struct dt_socket_source *sockets; /* NULL = socket(2) */
    struct dt_socket_wait wait;
    bool waiting; /* for a socket */
    const struct dt_dial_events *events;
    void *ctx;
    uint64_t due_ms;
    struct sockaddr_storage addrs[DT_DNS_MAX];
    size_t n;
    size_t at;
    int fd;
    int error; /* of the first address that could not be reached */
    unsigned handles;
    char where[160];
};

static void next_attempt(struct dt_dial *d);

static void on_closed(uv_handle_t *h)
{
    struct dt_dial *d = h->data;
    if (--d->handles == 0)
        free(d);
}

static void on_poll_closed(uv_handle_t *h)
{
    free(h);
}

static void drop_attempt(struct dt_dial *d)
{
    if (d->poll != NULL)
        uv_close((uv_handle_t *)d->poll, on_poll_closed);
    d->poll = NULL;
    if (d->fd >= 0)
        (void)close(d->fd);
    d->fd = -1;
}

struct dt_dial *dt_dial_free(struct dt_dial *d)
{
    if (d == NULL)
        return NULL;
    drop_attempt(d);
    if (d->query != NULL)
        dt_conn_dns_ops->cancel(d->query);
    if (d->waiting)
        d->sockets->cancel(d->sockets, &d->wait);
    uv_close((uv_handle_t *)&d->deadline, on_closed);
    uv_close((uv_handle_t *)&d->retry, on_closed);
    return NULL;
}

static void finish(struct dt_dial *d, const struct dt_err *err)
{
    int fd = -1;
    if (err == NULL) {
        fd = dt_take_fd(&d->fd);
        drop_attempt(d);
    }
    d->events->done(d->ctx, fd, err);
}

static void on_deadline(uv_timer_t *t)
{
    struct dt_dial *d = t->data;
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_TIMEOUT, "connect to %s: no answer in time", d->where);
    d->events->late(d->ctx, &err);
}

/* What the first address answered says most about the others, too. */
static void next_address(struct dt_dial *d, int error)
{
    if (d->error == 0)
        d->error = error;
    d->at++;
}

static void on_retry(uv_timer_t *t)
{
    struct dt_dial *d = t->data;
    if (d->poll != NULL) /* this attempt used up its share of the time */
        next_address(d, ETIMEDOUT);
    drop_attempt(d);
    next_attempt(d);
}

/* `error` 0 = connected. */
static void attempt_over(struct dt_dial *d, int error)
{
    (void)uv_timer_stop(&d->retry);
    if (error == 0) {
        finish(d, NULL);
        return;
    }
    drop_attempt(d);
    if (error == EAGAIN) {
        (void)uv_timer_start(&d->retry, on_retry, FULL_RETRY_MS, 0);
        return;
    }
    next_address(d, error);
    next_attempt(d);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    struct dt_dial *d = h->data;
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    attempt_over(d, error);
}

static int watch(struct dt_dial *d)
{
    d->poll = calloc(1, sizeof(*d->poll));
    if (d->poll == NULL)
        return ENOMEM;
    int r = uv_poll_init(d->loop, d->poll, d->fd);
    if (r < 0) {
        free(d->poll);
        d->poll = NULL;
        return -r;
    }
    d->poll->data = d;
    (void)uv_poll_start(d->poll, UV_WRITABLE, on_poll);
    if (d->at + 1 < d->n) { /* leave time for the other addresses */
        uint64_t now = uv_now(d->loop);
        uint64_t left = d->due_ms > now ? d->due_ms - now : 0;
        (void)uv_timer_start(&d->retry, on_retry, left / 2, 0);
    }
    return 0;
}

static void connect_now(struct dt_dial *d)
{
    const struct sockaddr_storage *ss = &d->addrs[d->at];
    socklen_t len = ss->ss_family == AF_UNIX    ? sizeof(struct sockaddr_un)
                    : ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                : sizeof(struct sockaddr_in);
    int r;
    do {
        r = connect(d->fd, (const struct sockaddr *)ss, len);
    } while (r < 0 && errno == EINTR);
    int error = r < 0 ? errno : 0;
    if (error == EINPROGRESS && (error = watch(d)) == 0)
        return;
    attempt_over(d, error);
}

static void on_socket(struct dt_socket_wait *w, int fd, const struct dt_err *err)
{
    struct dt_dial *d = (struct dt_dial *)((char *)w - offsetof(struct dt_dial, wait));
    d->waiting = false;
    if (fd >= 0) {
        d->fd = fd;
        connect_now(d);
    } else if (d->error == 0) {
        finish(d, err);
    } else { /* what an address answered says more */
        d->at = d->n;
        next_attempt(d);
    }
}

static void next_attempt(struct dt_dial *d)
{
    if (d->at >= d->n) {
        struct dt_err err;
        errno = d->error;
        (void)dt_err_errno(&err, "connect to %s", d->where);
        err.code = DT_E_UNREACHABLE;
        finish(d, &err);
        return;
    }
    int family = d->addrs[d->at].ss_family;
    if (d->sockets == NULL) {
        d->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    } else {
        d->wait = (struct dt_socket_wait){.family = family, .done = on_socket};
        d->fd = d->sockets->take(d->sockets, &d->wait);
        d->waiting = d->fd < 0;
    }
    if (d->fd >= 0)
        connect_now(d);
    else if (!d->waiting)
        attempt_over(d, errno);
}

static void on_resolved(void *ctx, const struct sockaddr_storage *addrs, size_t n,
                        const struct dt_err *err)
{
    struct dt_dial *d = ctx;
    d->query = NULL;
    if (err != NULL) {
        finish(d, err);
        return;
    }
    d->n = n < DT_DNS_MAX ? n : DT_DNS_MAX;
    memcpy(d->addrs, addrs, d->n * sizeof(addrs[0]));
    next_attempt(d);
}

static void add_in(struct dt_dial *d, struct in_addr a, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = a};
    memcpy(&d->addrs[d->n++], &in, sizeof(in));
}

static void add_in6(struct dt_dial *d, struct in6_addr a, uint16_t port)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = a};
    memcpy(&d->addrs[d->n++], &in, sizeof(in));
}

static int set_unix(struct dt_dial *d, const char *path, struct dt_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(un.sun_path))
        return dt_err_set(err, DT_E_INVALID,
                          "the path of a unix socket must have 1 to %zu bytes: '%s'",
                          sizeof(un.sun_path) - 1, path);
    memcpy(un.sun_path, path, n + 1);
    memcpy(&d->addrs[d->n++], &un, sizeof(un));
    (void)snprintf(d->where, sizeof(d->where), "%s", path);
    return 0;
}

/* Addresses and `localhost` are known at once; other names need the resolver. */
static int set_addrs(struct dt_dial *d, const struct dt_addr *addr, struct dt_err *err)
{
    if (addr->path != NULL)
        return set_unix(d, addr->path, err);
    if (addr->host == NULL || addr->host[0] == '\0')
        return dt_err_set(err, DT_E_INVALID, "an address needs a host or a path");
    (void)snprintf(d->where, sizeof(d->where), "%s port %u", addr->host, addr->port);
    struct in_addr a4;
    struct in6_addr a6;
    if (inet_pton(AF_INET, addr->host, &a4) == 1) {
        add_in(d, a4, addr->port);
    } else if (inet_pton(AF_INET6, addr->host, &a6) == 1) {
        add_in6(d, a6, addr->port);
    } else if (dt_str_eq_nocase(dt_str_z(addr->host), DT_STR("localhost"))) {
        add_in(d, (struct in_addr){htonl(INADDR_LOOPBACK)}, addr->port);
        add_in6(d, in6addr_loopback, addr->port);
    } else if (dt_conn_dns_ops == NULL) {
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "'%s': this program cannot look up names, give an address", addr->host);
    } else {
        d->query = dt_conn_dns_ops->start(d->loop, addr->host, addr->port, on_resolved, d, err);
        return d->query != NULL ? 0 : -1;
    }
    return 0;
}

int dt_dial_start(uv_loop_t *loop, const struct dt_addr *addr, uint64_t timeout_ms,
                  const struct dt_dial_events *events, void *ctx, struct dt_dial **ret,
                  struct dt_err *err)
{
    struct dt_dial *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return dt_err_set(err, DT_E_NOMEM, "connection");
    uv_update_time(loop);
    d->loop = loop;
    d->fd = -1;
    d->sockets = addr->sockets;
    d->events = events;
    d->ctx = ctx;
    d->due_ms = uv_now(loop) + timeout_ms;
    if (set_addrs(d, addr, err) < 0) {
        free(d);
        return -1;
    }
    (void)uv_timer_init(loop, &d->deadline);
    (void)uv_timer_init(loop, &d->retry);
    d->deadline.data = d->retry.data = d;
    d->handles = 2;
    (void)uv_timer_start(&d->deadline, on_deadline, timeout_ms, 0);
    if (d->query == NULL)
        (void)uv_timer_start(&d->retry, on_retry, 0, 0);
    *ret = d;
    return 0;
}

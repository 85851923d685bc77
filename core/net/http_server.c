#include "net/http_server_impl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

enum {
    BACKLOG = 1024,
    ACCEPTS_PER_EVENT = 64,
    ACCEPT_RETRY_MS = 100, /* after running out of descriptors or memory */
};

/* --- the nearest deadline --- */

static void on_timer(uv_timer_t *t);
static void accept_again(struct dt_http_server *s);

void dt_http_server_due(struct dt_http_server *s, uint64_t at_ms)
{
    uint64_t now = uv_now(s->loop);
    uint64_t in = at_ms > now ? at_ms - now : 0;
    if (at_ms == UINT64_MAX || s->handles == 0)
        return;
    if (uv_is_active((uv_handle_t *)&s->timer) && uv_timer_get_due_in(&s->timer) <= in)
        return;
    (void)uv_timer_start(&s->timer, on_timer, in, 0);
}

static void force_stop(struct dt_http_server *s)
{
    for (struct dt_http_conn *hc = s->conns; hc != NULL; hc = hc->next)
        dt_conn_close(hc->conn);
}

/* Deadlines move often and pass seldom: each connection keeps its own and all are looked at when
 * the nearest known one passes. */
static void on_timer(uv_timer_t *t)
{
    struct dt_http_server *s = t->data;
    uint64_t now = uv_now(s->loop);
    uint64_t nearest = UINT64_MAX;
    if (s->stopping && now >= s->stop_ms) {
        force_stop(s);
        return;
    }
    if (s->stopping)
        nearest = s->stop_ms;
    if (s->retry_ms != 0 && now >= s->retry_ms)
        accept_again(s);
    else if (s->retry_ms != 0 && s->retry_ms < nearest)
        nearest = s->retry_ms;
    for (struct dt_http_conn *hc = s->conns, *next; hc != NULL; hc = next) {
        next = hc->next;
        if (dt_http_conn_due(hc) <= now)
            dt_http_conn_expire(hc);
        uint64_t due = dt_http_conn_due(hc);
        if (due < nearest)
            nearest = due;
    }
    if (nearest <= now)
        nearest = now + 1;
    dt_http_server_due(s, nearest);
}

const char *dt_http_server_date(struct dt_http_server *s)
{
    time_t now = time(NULL);
    if (now != s->date_s) {
        struct tm tm;
        s->date_s = now;
        if (gmtime_r(&now, &tm) == NULL ||
            strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
            s->date[0] = '\0';
    }
    return s->date;
}

/* --- accepting --- */

static void on_connection(uv_poll_t *h, int status, int events);

static void accept_stop(struct dt_http_server *s, uint64_t retry_ms)
{
    s->waiting = true;
    s->retry_ms = retry_ms;
    for (struct dt_http_listener *l = s->listeners; l != NULL; l = l->next)
        (void)uv_poll_stop(&l->poll);
    if (retry_ms != 0)
        dt_http_server_due(s, retry_ms);
}

static void accept_again(struct dt_http_server *s)
{
    if (!s->waiting || s->stopping)
        return;
    s->waiting = false;
    s->retry_ms = 0;
    for (struct dt_http_listener *l = s->listeners; l != NULL; l = l->next)
        (void)uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *h, int status, int events)
{
    (void)status;
    (void)events;
    const struct dt_http_listener *l = h->data;
    struct dt_http_server *s = l->server;
    for (int i = 0; i < ACCEPTS_PER_EVENT && !s->waiting; i++) {
        if (s->nconns >= s->limits.connections) {
            accept_stop(s, 0);
            return;
        }
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            dt_http_conn_new(s, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            accept_stop(s, uv_now(s->loop) + ACCEPT_RETRY_MS);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

/* --- listening --- */

static int add_listener(struct dt_http_server *s, int fd, const char *path, struct dt_err *err)
{
    DT_AUTO_FD int owned = fd;
    struct dt_http_listener *l = calloc(1, sizeof(*l));
    if (l == NULL || (path != NULL && (l->path = strdup(path)) == NULL)) {
        free(l);
        return dt_err_set(err, DT_E_NOMEM, "listener");
    }
    int r = uv_poll_init(s->loop, &l->poll, fd);
    if (r < 0) {
        free(l->path);
        free(l);
        errno = -r;
        return dt_err_errno(err, "watch a listening socket");
    }
    l->fd = dt_take_fd(&owned);
    l->server = s;
    l->poll.data = l;
    l->next = s->listeners;
    s->listeners = l;
    s->handles++;
    if (!s->waiting)
        (void)uv_poll_start(&l->poll, UV_READABLE, on_connection);
    return 0;
}

int dt_http_server_listen_fd(struct dt_http_server *s, int fd, struct dt_err *err)
{
    return add_listener(s, fd, NULL, err);
}

static int parse_address(const char *host, uint16_t port, struct sockaddr_storage *ss,
                         socklen_t *len, struct dt_err *err)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        *len = sizeof(in);
        memcpy(ss, &in, sizeof(in));
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        *len = sizeof(in6);
        memcpy(ss, &in6, sizeof(in6));
        return 0;
    }
    return dt_err_set(err, DT_E_INVALID, "'%s' is not an IP address to listen on", host);
}

int dt_http_server_listen_tcp(struct dt_http_server *s, const char *host, uint16_t port,
                              uint16_t *actual, struct dt_err *err)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = 0;
    int one = 1;
    if (parse_address(host, port, &ss, &len, err) < 0)
        return -1;
    DT_AUTO_FD int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return dt_err_errno(err, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* What is accepted inherits it. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return dt_err_errno(err, "listen on %s port %u", host, port);
    struct sockaddr_in bound; /* IPv6 keeps its port in the same place */
    memcpy(&bound, &ss, sizeof(bound));
    if (add_listener(s, dt_take_fd(&fd), NULL, err) < 0)
        return -1;
    if (actual != NULL)
        *actual = ntohs(bound.sin_port);
    return 0;
}

/* A socket file that nobody listens on is left over from a crash. */
static int remove_dead(const struct sockaddr_un *un, struct dt_err *err)
{
    struct stat st;
    if (lstat(un->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : dt_err_errno(err, "%s", un->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return dt_err_set(err, DT_E_CONFLICT, "%s exists and is not a socket", un->sun_path);
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return dt_err_errno(err, "socket");
    if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 || errno == EAGAIN)
        return dt_err_set(err, DT_E_CONFLICT, "another process listens on %s", un->sun_path);
    if (errno != ECONNREFUSED)
        return dt_err_errno(err, "probe %s", un->sun_path);
    return unlink(un->sun_path) < 0 ? dt_err_errno(err, "remove %s", un->sun_path) : 0;
}

int dt_http_server_listen_unix(struct dt_http_server *s, const char *path, mode_t mode,
                               struct dt_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(un.sun_path))
        return dt_err_set(err, DT_E_INVALID,
                          "the path of a unix socket must have 1 to %zu bytes: '%s'",
                          sizeof(un.sun_path) - 1, path);
    memcpy(un.sun_path, path, n + 1);
    if (remove_dead(&un, err) < 0)
        return -1;
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return dt_err_errno(err, "socket");
    /* Between bind and chmod nobody gets in: the socket does not listen yet. */
    if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) < 0)
        return dt_err_errno(err, "bind %s", path);
    if (chmod(path, mode) < 0 || listen(fd, BACKLOG) < 0) {
        (void)dt_err_errno(err, "listen on %s", path);
        (void)unlink(path);
        return -1;
    }
    if (add_listener(s, dt_take_fd(&fd), path, err) == 0)
        return 0;
    (void)unlink(path);
    return -1;
}

/* --- life --- */

int dt_http_server_new(uv_loop_t *loop, const struct dt_http_server_limits *limits,
                       dt_http_handler *handler, void *ctx, struct dt_http_server **ret,
                       struct dt_err *err)
{
    struct dt_http_server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "HTTP server");
    if (limits != NULL)
        s->limits = *limits;
    if (s->limits.head_ms == 0)
        s->limits.head_ms = 10000;
    if (s->limits.idle_ms == 0)
        s->limits.idle_ms = 75000;
    if (s->limits.connections == 0)
        s->limits.connections = 10000;
    s->loop = loop;
    s->handler = handler;
    s->ctx = ctx;
    (void)uv_timer_init(loop, &s->timer);
    uv_unref((uv_handle_t *)&s->timer);
    s->timer.data = s;
    s->handles = 1;
    *ret = s;
    return 0;
}

static void on_server_closed(struct dt_http_server *s)
{
    if (--s->handles > 0)
        return;
    for (struct dt_http_listener *l = s->listeners, *next; l != NULL; l = next) {
        next = l->next;
        free(l->path);
        free(l);
    }
    if (s->stopped != NULL)
        s->stopped(s->stopped_ctx);
    free(s);
}

static void on_timer_closed(uv_handle_t *h)
{
    on_server_closed(h->data);
}

static void on_listener_closed(uv_handle_t *h)
{
    on_server_closed(((struct dt_http_listener *)h->data)->server);
}

static void end_if_empty(struct dt_http_server *s)
{
    if (!s->stopping || s->nconns > 0 || uv_is_closing((uv_handle_t *)&s->timer))
        return;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

void dt_http_server_conn_gone(struct dt_http_server *s)
{
    if (--s->nconns == 0 && !s->stopping)
        uv_unref((uv_handle_t *)&s->timer);
    end_if_empty(s);
    if (s->waiting && s->retry_ms == 0)
        accept_again(s);
}

void dt_http_server_stop(struct dt_http_server *s, uint64_t grace_ms, void (*done)(void *ctx),
                         void *ctx)
{
    if (s->stopping)
        return;
    uv_update_time(s->loop);
    uv_ref((uv_handle_t *)&s->timer);
    s->stopping = true;
    s->stop_ms = uv_now(s->loop) + grace_ms;
    s->stopped = done;
    s->stopped_ctx = ctx;
    for (struct dt_http_listener *l = s->listeners; l != NULL; l = l->next) {
        if (l->path != NULL)
            (void)unlink(l->path);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
        (void)close(l->fd);
    }
    for (struct dt_http_conn *hc = s->conns; hc != NULL; hc = hc->next) {
        if (dt_http_conn_is_idle(hc))
            dt_conn_close(hc->conn);
    }
    dt_http_server_due(s, s->stop_ms);
    end_if_empty(s);
}

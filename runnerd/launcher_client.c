#include "runnerd/launcher_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/fdpass.h"

enum {
    CALLS_MAX = 4096,
    TICK_MS = 250,
    HELLO_MS = 30000,
    PAUSE_MIN_MS = 50,
    PAUSE_MAX_MS = 500,
};

struct call {
    struct call *next;
    uint64_t deadline_ms;
    dt_launcher_done *done;
    void *ctx;
    bool sent;
    int fd; /* a copy, until it is sent */
    struct dt_lw_request r;
};

struct dt_launcher_client {
    uv_loop_t *loop;
    const char *path; /* NULL: a connection of our own, never made again */
    const struct dt_launcher_events *events;
    void *ctx;
    int fd;
    uv_poll_t *poll; /* on the heap: closing it takes a turn of the loop */
    uv_timer_t tick;
    struct call *first, **last; /* in the order they were made */
    size_t ncalls;
    uint64_t seq;
    uint64_t again_ms, pause_ms; /* the next attempt to connect */
    int fds[DT_LW_SOCKETS_MAX];  /* of the answer that is being delivered */
    unsigned nfds;
    bool up;
    bool dead; /* no connection will ever be made again */
};

static void free_handle(uv_handle_t *h)
{
    free(h);
}

static void free_call(struct call *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    free(c);
}

static void finish(struct dt_launcher_client *l, struct call **at, const struct dt_lw_answer *a,
                   const struct dt_err *err)
{
    struct call *c = *at;
    *at = c->next;
    if (c->next == NULL)
        l->last = at;
    l->ncalls--;
    c->done(c->ctx, a, err);
    free_call(c);
}

static void close_fds(struct dt_launcher_client *l)
{
    while (l->nfds > 0)
        (void)close(l->fds[--l->nfds]);
}

static void hang_up(struct dt_launcher_client *l)
{
    close_fds(l);
    if (l->poll != NULL) {
        uv_close((uv_handle_t *)l->poll, free_handle);
        l->poll = NULL;
    }
    if (l->fd >= 0)
        (void)close(l->fd);
    l->fd = -1;
    l->up = false;
}

static void lost(struct dt_launcher_client *l, const char *why)
{
    struct dt_err err;
    bool was_up = l->up;
    (void)dt_err_set(&err, DT_E_UNAVAILABLE, "the launcher is gone (%s)", why);
    hang_up(l);
    l->again_ms = dt_clock_ms() + l->pause_ms;
    l->pause_ms = l->pause_ms * 2 < PAUSE_MAX_MS ? l->pause_ms * 2 : PAUSE_MAX_MS;
    l->dead = l->dead || l->path == NULL;
    while (l->first != NULL)
        finish(l, &l->first, NULL, &err);
    if (was_up || l->dead)
        l->events->on_down(l->ctx, l->dead, &err);
}

static int send_one(struct dt_launcher_client *l, struct call *c)
{
    if (dt_fdpass_send(l->fd, &c->r, sizeof(c->r), &c->fd, c->fd >= 0, MSG_DONTWAIT) < 0)
        return -1;
    c->sent = true;
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    return 0;
}

static void on_poll(uv_poll_t *p, int status, int events);

/* Frames leave in the order of the calls; what does not fit waits for the socket. */
static void send_waiting(struct dt_launcher_client *l)
{
    bool full = false;
    for (struct call *c = l->first; c != NULL && l->fd >= 0 && !full; c = c->next) {
        if (c->sent || send_one(l, c) == 0)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
            lost(l, strerror(errno));
            return;
        }
        full = true;
    }
    if (l->poll != NULL)
        (void)uv_poll_start(l->poll, UV_READABLE | (full ? UV_WRITABLE : 0), on_poll);
}

static void on_answer(struct dt_launcher_client *l, const struct dt_lw_answer *a)
{
    if (a->version != DT_LW_VERSION) {
        l->dead = true;
        lost(l, "it speaks another version: install both programs from one build");
        return;
    }
    if (a->seq == 0) {
        if (a->op == DT_LW_EXITED)
            l->events->on_exited(l->ctx, a);
        else if (a->op == DT_LW_NETWORK_UP)
            l->events->on_network(l->ctx, a);
        return;
    }
    for (struct call **at = &l->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->r.seq == a->seq) {
            finish(l, at, a, NULL);
            return;
        }
    }
}

unsigned dt_launcher_client_take_fds(struct dt_launcher_client *l, int fds[DT_LW_SOCKETS_MAX])
{
    unsigned n = l->nfds;
    memcpy(fds, l->fds, n * sizeof(fds[0]));
    l->nfds = 0;
    return n;
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct dt_launcher_client *l = p->data;
    if (status < 0) {
        lost(l, "it closed the connection; its log says why"); /* all that poll can tell */
        return;
    }
    if ((events & UV_WRITABLE) != 0)
        send_waiting(l);
    while (l->poll == p) {
        struct dt_lw_answer a;
        l->nfds = DT_LW_SOCKETS_MAX;
        ssize_t n = dt_fdpass_recv(l->fd, &a, sizeof(a), l->fds, &l->nfds, MSG_DONTWAIT);
        if (n == (ssize_t)sizeof(a)) {
            a.text[sizeof(a.text) - 1] = '\0';
            on_answer(l, &a);
            close_fds(l);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else {
            lost(l, n == 0  ? "it closed the connection; its log says why"
                    : n < 0 ? strerror(errno)
                            : "bad frame");
        }
    }
}

static void on_hello(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct dt_launcher_client *l = ctx;
    struct dt_err why;
    if (err != NULL)
        return; /* lost() is telling everybody */
    if (dt_launcher_result(a, &why) < 0) {
        l->dead = true;
        lost(l, why.msg);
        return;
    }
    l->up = true;
    l->pause_ms = PAUSE_MIN_MS;
    l->events->on_up(l->ctx, a);
}

static int queue(struct dt_launcher_client *l, const struct dt_lw_request *r, int fd,
                 uint64_t timeout_ms, dt_launcher_done *done, void *ctx, struct dt_err *err)
{
    if (l->ncalls >= CALLS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "too many sandbox operations at once: try again");
    struct call *c = malloc(sizeof(*c));
    if (c == NULL)
        return dt_err_set(err, DT_E_NOMEM, "launcher");
    *c = (struct call){
        .deadline_ms = dt_clock_ms() + timeout_ms, .done = done, .ctx = ctx, .fd = -1, .r = *r};
    c->r.version = DT_LW_VERSION;
    c->r.seq = ++l->seq;
    if (fd >= 0 && (c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        free(c);
        return dt_err_errno(err, "launcher");
    }
    *l->last = c;
    l->last = &c->next;
    l->ncalls++;
    /* At once in the usual case; a failure shows when the loop polls, so no callback comes here. */
    if (c == l->first || l->ncalls < 8) {
        bool earlier = false;
        for (const struct call *o = l->first; o != c; o = o->next)
            earlier = earlier || !o->sent;
        if (!earlier)
            (void)send_one(l, c);
    }
    if (!c->sent)
        (void)uv_poll_start(l->poll, UV_READABLE | UV_WRITABLE, on_poll);
    return 0;
}

static int greet(struct dt_launcher_client *l, int fd, struct dt_err *err)
{
    uv_poll_t *p = malloc(sizeof(*p));
    if (p == NULL) {
        (void)close(fd);
        return dt_err_set(err, DT_E_NOMEM, "launcher");
    }
    if (uv_poll_init(l->loop, p, fd) < 0) {
        free(p);
        (void)close(fd);
        return dt_err_set(err, DT_E_SYSTEM, "launcher: cannot poll");
    }
    p->data = l;
    l->fd = fd;
    l->poll = p;
    (void)uv_poll_start(p, UV_READABLE, on_poll);
    struct dt_lw_request hello = {.op = DT_LW_HELLO};
    return queue(l, &hello, -1, HELLO_MS, on_hello, l, err);
}

static void try_connect(struct dt_launcher_client *l)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct dt_err err;
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    l->again_ms = dt_clock_ms() + l->pause_ms;
    l->pause_ms = l->pause_ms * 2 < PAUSE_MAX_MS ? l->pause_ms * 2 : PAUSE_MAX_MS;
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", l->path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        (void)!greet(l, dt_take_fd(&fd), &err);
}

static void on_tick(uv_timer_t *t)
{
    struct dt_launcher_client *l = t->data;
    uint64_t now = dt_clock_ms();
    if (l->fd < 0 && !l->dead && now >= l->again_ms)
        try_connect(l);
    struct call **at = &l->first;
    while (*at != NULL) {
        struct dt_err err;
        if ((*at)->deadline_ms > now) {
            at = &(*at)->next;
            continue;
        }
        if ((*at)->r.op == DT_LW_HELLO) {
            lost(l, "it does not answer");
            return;
        }
        (void)dt_err_set(&err, DT_E_TIMEOUT, "the launcher did not answer in time");
        finish(l, at, NULL, &err);
    }
}

int dt_launcher_client_new(uv_loop_t *loop, int fd, const char *path,
                           const struct dt_launcher_events *events, void *ctx,
                           struct dt_launcher_client **ret, struct dt_err *err)
{
    struct sockaddr_un room;
    if (fd < 0 && strlen(path) >= sizeof(room.sun_path))
        return dt_err_set(err, DT_E_INVALID,
                          "launcher socket: '%s' is too long (at most %zu bytes)", path,
                          sizeof(room.sun_path) - 1);
    struct dt_launcher_client *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return dt_err_set(err, DT_E_NOMEM, "launcher");
    }
    l->loop = loop;
    l->path = fd < 0 ? path : NULL;
    l->events = events;
    l->ctx = ctx;
    l->fd = -1;
    l->last = &l->first;
    l->pause_ms = PAUSE_MIN_MS;
    if (fd >= 0 && greet(l, fd, err) < 0) {
        free(l);
        return -1;
    }
    (void)uv_timer_init(loop, &l->tick);
    l->tick.data = l;
    (void)uv_timer_start(&l->tick, on_tick, 0, TICK_MS);
    *ret = l;
    return 0;
}

static void free_client(uv_handle_t *h)
{
    free(h->data);
}

struct dt_launcher_client *dt_launcher_client_free(struct dt_launcher_client *l)
{
    struct dt_err err;
    if (l == NULL)
        return NULL;
    hang_up(l);
    l->dead = true;
    (void)dt_err_set(&err, DT_E_UNAVAILABLE, "the server is going down");
    while (l->first != NULL)
        finish(l, &l->first, NULL, &err);
    uv_close((uv_handle_t *)&l->tick, free_client);
    return NULL;
}

bool dt_launcher_client_is_up(const struct dt_launcher_client *l)
{
    return l != NULL && l->up;
}

int dt_launcher_client_call(struct dt_launcher_client *l, const struct dt_lw_request *r, int fd,
                            uint64_t timeout_ms, dt_launcher_done *done, void *ctx,
                            struct dt_err *err)
{
    if (!dt_launcher_client_is_up(l))
        return dt_err_set(err, DT_E_UNAVAILABLE,
                          "the launcher (daytona-launcher) cannot be reached: try again soon; "
                          "when it stays so, see its log");
    return queue(l, r, fd, timeout_ms, done, ctx, err);
}

int dt_launcher_result(const struct dt_lw_answer *a, struct dt_err *err)
{
    static const struct {
        enum dt_err_code code;
        const char *text;
    } rows[] = {
        [DT_LW_OK] = {DT_OK, ""},
        [DT_LW_EXISTS] = {DT_E_CONFLICT, "the sandbox exists already"},
        [DT_LW_NOT_FOUND] = {DT_E_NOT_FOUND, "there is no such sandbox"},
        [DT_LW_BUSY] = {DT_E_CONFLICT, "the sandbox is in use"},
        [DT_LW_NO_LAYER] = {DT_E_BAD_REQUEST, "a layer of its snapshot is missing: import the "
                                              "snapshot again"},
        [DT_LW_NO_SPACE] = {DT_E_UNAVAILABLE, "the host has no room for it: destroy a sandbox or "
                                              "ask for less"},
        [DT_LW_FAILED] = {DT_E_SYSTEM, "it could not be done"},
        [DT_LW_BAD_PATH] = {DT_E_BAD_REQUEST, "a volume cannot be mounted there"},
        [DT_LW_NO_NETWORK] =
            {DT_E_UNAVAILABLE,
             "the host has no network for sandboxes: until that is repaired (it is "
             "tried again by itself) only those with networkBlockAll start"},
        [DT_LW_CANCELLED] = {DT_E_CANCELLED, "something else came first"},
    };
    if (a->result == DT_LW_OK)
        return 0;
    size_t i = a->result < sizeof(rows) / sizeof(rows[0]) && rows[a->result].text != NULL
                   ? a->result
                   : DT_LW_FAILED;
    return dt_err_set(err, rows[i].code, "%s%s%s", rows[i].text, a->text[0] != '\0' ? ": " : "",
                      a->text);
}

#include "runnerd/launcher/peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fdpass.h"
#include "base/log.h"
#include "runnerd/launcher/launcher.h"
#include "runnerd/launcher/request.h"

enum {
    OUT_MAX = 8192, /* a peer that asks and never reads is ended */
    OUT_FULL = 64,  /* above, nothing more is read from it */
};

struct dt_peer_out {
    struct dt_peer_out *next;
    struct dt_lw_answer a;
};

static void watch_conn(struct dt_peer *p);

static void out_clear(struct dt_peer *p)
{
    while (p->first != NULL) {
        struct dt_peer_out *o = p->first;
        p->first = o->next;
        free(o);
    }
    p->last = &p->first;
    p->nout = 0;
}

static void peer_end(struct dt_peer *p)
{
    if (p->conn.fd < 0)
        return;
    dt_loop_unwatch(&p->l->loop, &p->conn);
    (void)close(dt_take_fd(&p->conn.fd));
    out_clear(p);
    free(dt_take(p->ids));
    p->nids = 0;
    p->greeted = false;
    p->number++;
    if (p->ends_all)
        p->l->stop = true;
}

static enum dt_lw_result result_of(enum dt_err_code code)
{
    static const struct {
        enum dt_err_code code;
        enum dt_lw_result result;
    } rows[] = {
        {DT_E_NOT_FOUND, DT_LW_NO_LAYER},   {DT_E_CONFLICT, DT_LW_BUSY},
        {DT_E_LIMIT, DT_LW_NO_SPACE},       {DT_E_NOMEM, DT_LW_NO_SPACE},
        {DT_E_UNAVAILABLE, DT_LW_BUSY},     {DT_E_GONE, DT_LW_NOT_FOUND},
        {DT_E_BAD_REQUEST, DT_LW_BAD_PATH}, {DT_E_CANCELLED, DT_LW_CANCELLED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (rows[i].code == code)
            return rows[i].result;
    }
    return DT_LW_FAILED;
}

void dt_answer_init(struct dt_lw_answer *a, const struct dt_asked *asked, const uint8_t id[16],
                    const struct dt_err *err)
{
    memset(a, 0, sizeof(*a));
    a->version = DT_LW_VERSION;
    a->op = asked->op;
    a->seq = asked->seq;
    memcpy(a->id, id, sizeof(a->id));
    if (err == NULL)
        return;
    a->result = result_of(err->code);
    (void)snprintf(a->text, sizeof(a->text), "%.255s", err->msg);
}

static void out_add(struct dt_peer *p, const struct dt_lw_answer *a)
{
    struct dt_peer_out *o = p->nout < OUT_MAX ? malloc(sizeof(*o)) : NULL;
    if (o == NULL) {
        dt_log(DT_LOG_ERROR, "the peer does not read its answers", NULL);
        peer_end(p);
        return;
    }
    o->next = NULL;
    o->a = *a;
    *p->last = o;
    p->last = &o->next;
    p->nout++;
    watch_conn(p);
}

/* 1 = sent, 0 = the socket is full, -1 = the peer was ended. */
static int send_fds(struct dt_peer *p, const struct dt_lw_answer *a, const int *fds, unsigned nfds)
{
    ssize_t n = dt_fdpass_send(p->conn.fd, a, sizeof(*a), fds, nfds, MSG_DONTWAIT);
    if (n == (ssize_t)sizeof(*a))
        return 1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
        return 0;
    peer_end(p);
    return -1;
}

static int send_now(struct dt_peer *p, const struct dt_lw_answer *a)
{
    return send_fds(p, a, NULL, 0);
}

static void out_send(struct dt_peer *p, const struct dt_lw_answer *a)
{
    if (p->conn.fd >= 0 && (p->first != NULL || send_now(p, a) == 0))
        out_add(p, a);
}

void dt_peer_answer(struct dt_launcher *l, struct dt_asked *asked, const struct dt_lw_answer *a)
{
    if (asked->seq != 0 && asked->peer == l->peer.number)
        out_send(&l->peer, a);
    asked->seq = 0;
}

void dt_peer_answer_fds(struct dt_launcher *l, struct dt_asked *asked, struct dt_lw_answer *a,
                        const int *fds, unsigned n)
{
    struct dt_peer *p = &l->peer;
    bool waits = asked->seq != 0 && asked->peer == p->number && p->conn.fd >= 0;
    if (waits && p->first == NULL && send_fds(p, a, fds, n) != 0) {
        asked->seq = 0;
        return;
    }
    a->result = DT_LW_BUSY;
    (void)snprintf(a->text, sizeof(a->text), "too many answers wait to be read");
    dt_peer_answer(l, asked, a);
}

void dt_peer_reply(struct dt_launcher *l, struct dt_asked *asked, const uint8_t id[16],
                   const struct dt_err *err)
{
    if (asked->seq == 0)
        return;
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, id, err);
    dt_peer_answer(l, asked, &a);
}

void dt_peer_event(struct dt_launcher *l, const struct dt_lw_answer *a)
{
    if (l->peer.greeted)
        out_send(&l->peer, a);
}

static void do_hello(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_lw_answer a;
    l->peer.greeted = true;
    dt_answer_init(&a, asked, r->id, NULL);
    dt_network_tell(l, &a);
    dt_peer_answer(l, asked, &a);
}

static int id_add(struct dt_peer *p, uint32_t *cap, const char *name, struct dt_err *err)
{
    uint8_t id[16];
    if (!dt_id_parse(name, id))
        return 0;
    if (p->nids == *cap) {
        uint32_t more = *cap == 0 ? DT_LW_LIST_MAX : *cap * 2;
        void *ids = realloc(p->ids, more * sizeof(*p->ids));
        if (ids == NULL)
            return dt_err_set(err, DT_E_NOMEM, "list");
        p->ids = ids;
        *cap = more;
    }
    memcpy(p->ids[p->nids++], id, sizeof(id));
    return 0;
}

static int ids_of(struct dt_peer *p, uint32_t *cap, int folder, struct dt_err *err)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        (void)dt_err_errno(err, "read the data directory");
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    const struct dirent *e;
    int rc = 0;
    while (rc == 0 && (e = readdir(dir)) != NULL)
        rc = id_add(p, cap, e->d_name, err);
    (void)closedir(dir);
    return rc;
}

/* The pages of one listing show one moment. */
static int ids_read(struct dt_launcher *l, struct dt_err *err)
{
    struct dt_peer *p = &l->peer;
    uint32_t cap = 0;
    p->nids = 0;
    free(dt_take(p->ids));
    if (ids_of(p, &cap, l->sandboxes, err) < 0)
        return -1;
    p->nfolders = p->nids;
    return ids_of(p, &cap, l->objects[DT_PLACE_ARCHIVES], err);
}

/* False when it was destroyed since the first page, or has been listed already. */
static bool list_one(struct dt_launcher *l, uint32_t at, struct dt_lw_item *item)
{
    const uint8_t *id = l->peer.ids[at];
    char path[DT_ID_TEXT_SIZE];
    struct dt_err err;
    dt_id_text(id, path);
    DT_AUTO_FD int dir =
        openat(l->sandboxes, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool archived = dt_object_exists(l, DT_PLACE_ARCHIVES, id);
    bool of_archives = at >= l->peer.nfolders;
    if (of_archives ? dir >= 0 || !archived : dir < 0 && !archived)
        return false;
    memset(item, 0, sizeof(*item));
    memcpy(item->id, id, sizeof(item->id));
    item->archived = archived;
    item->has_disk = dir >= 0 && dt_disk_exists(dir);
    const struct dt_sandbox *s = dt_sandbox_find(l, id);
    if (s == NULL || s->state == DT_ENDED)
        return true;
    item->running = 1;
    item->paused = s->freeze.paused;
    (void)!dt_cgroup_cpu(l->cgroups, s->kit.cgroup, &item->cpu_usec, &err);
    return true;
}

static void do_list(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_peer *p = &l->peer;
    struct dt_err err = {.code = DT_OK};
    if (r->cursor == 0 && ids_read(l, &err) < 0) {
        dt_peer_reply(l, asked, r->id, &err);
        return;
    }
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, r->id, NULL);
    struct dt_lw_list *list = &a.u.list;
    uint32_t at = r->cursor;
    for (; at < p->nids && list->count < DT_LW_LIST_MAX; at++)
        list->count += list_one(l, at, &list->items[list->count]);
    list->next = at < p->nids ? at : 0;
    dt_peer_answer(l, asked, &a);
}

static void do_request(struct dt_launcher *l, const struct dt_lw_request *r, int fd)
{
    struct dt_asked asked = {.peer = l->peer.number, .seq = r->seq, .op = r->op};
    switch ((enum dt_lw_op)r->op) {
    case DT_LW_HELLO:
        do_hello(l, r, &asked);
        break;
    case DT_LW_CREATE:
        dt_sandbox_create(l, r, &asked, fd);
        break;
    case DT_LW_START:
        dt_sandbox_start(l, r, &asked, fd);
        break;
    case DT_LW_STOP:
        dt_sandbox_stop(l, r, &asked);
        break;
    case DT_LW_DESTROY:
        dt_sandbox_destroy(l, r, &asked);
        break;
    case DT_LW_LIST:
        do_list(l, r, &asked);
        break;
    case DT_LW_STATS:
        dt_sandbox_stats(l, r, &asked);
        break;
    case DT_LW_VOLUME_CREATE:
        dt_volume_create(l, r, &asked);
        break;
    case DT_LW_VOLUME_DELETE:
        dt_volume_delete(l, r, &asked);
        break;
    case DT_LW_SOCKETS:
        dt_sandbox_sockets(l, r, &asked);
        break;
    case DT_LW_RESIZE:
        dt_sandbox_resize(l, r, &asked);
        break;
    case DT_LW_NETWORK:
        dt_sandbox_network(l, r, &asked);
        break;
    case DT_LW_PAUSE:
    case DT_LW_RESUME:
        dt_sandbox_pause(l, r, &asked);
        break;
    case DT_LW_ARCHIVE:
        dt_errand_archive(l, r, &asked);
        break;
    case DT_LW_RESTORE:
        dt_errand_restore(l, r, &asked);
        break;
    case DT_LW_BACKUP:
        dt_errand_backup(l, r, &asked);
        break;
    case DT_LW_FORK:
        dt_sandbox_fork(l, r, &asked, fd);
        break;
    case DT_LW_CANCEL:
        dt_errand_cancel(l, r, &asked);
        break;
    }
}

/* What becomes descriptor 4 of a toolbox: a sealed memfd of a bounded size, nothing else. */
static int check_config(int fd, struct dt_err *err)
{
    enum { MAX = 256 << 10, SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || seals < 0 || (seals & SEALS) != SEALS)
        return dt_err_set(err, DT_E_INVALID, "the configuration is no sealed memfd");
    if (st.st_size > MAX)
        return dt_err_set(err, DT_E_INVALID, "the configuration is larger than %d bytes", MAX);
    return 0;
}

/* 0 = a request was handled, 1 = none is there, -1 = the peer must go. */
static int receive(struct dt_peer *p, struct dt_err *err)
{
    struct dt_lw_request r;
    DT_AUTO_FD int fd = -1;
    unsigned nfds = 1;
    ssize_t n = dt_fdpass_recv(p->conn.fd, &r, sizeof(r), &fd, &nfds, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (n < 0 && errno == EMSGSIZE)
        return dt_err_set(err, DT_E_INVALID,
                          "a frame that is too long, or has several descriptors");
    if (n <= 0)
        return dt_err_set(err, DT_OK, "the peer has gone");
    if (n != (ssize_t)sizeof(r))
        return dt_err_set(err, DT_E_INVALID, "a frame of %zd bytes", n);
    if (dt_request_check(&r, p->greeted, fd >= 0, err) < 0 ||
        (fd >= 0 && check_config(fd, err) < 0))
        return -1;
    dt_pool_busy(p->l);
    do_request(p->l, &r, dt_take_fd(&fd));
    return 0;
}

static void on_conn(void *ctx, uint32_t events)
{
    struct dt_peer *p = ctx;
    struct dt_err err = {.code = DT_OK};
    while (p->first != NULL) {
        int rc = send_now(p, &p->first->a);
        if (rc < 0)
            return;
        if (rc == 0)
            break;
        struct dt_peer_out *o = p->first;
        p->first = o->next;
        if (p->first == NULL)
            p->last = &p->first;
        p->nout--;
        free(o);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && receive(p, &err) < 0) {
        if (err.code != DT_OK)
            dt_log(DT_LOG_ERROR, "bad request, the connection ends", "err", err.msg, NULL);
        peer_end(p);
        return;
    }
    if (p->conn.fd >= 0)
        watch_conn(p);
}

static void watch_conn(struct dt_peer *p)
{
    struct dt_err err;
    uint32_t events = (p->nout < OUT_FULL ? EPOLLIN : 0U) | (p->nout > 0 ? EPOLLOUT : 0U);
    if (p->events == events && p->conn.set)
        return;
    p->events = events;
    if (dt_loop_watch(&p->l->loop, &p->conn, events, &err) < 0)
        peer_end(p);
}

int dt_peer_connected(struct dt_launcher *l, int fd, struct dt_err *err)
{
    struct dt_peer *p = &l->peer;
    p->l = l;
    p->number++;
    p->conn = (struct dt_watch){.fn = on_conn, .ctx = p, .fd = fd};
    out_clear(p);
    watch_conn(p);
    return p->conn.fd < 0 ? dt_err_set(err, DT_E_SYSTEM, "cannot watch the peer's descriptor") : 0;
}

static void on_listener(void *ctx, uint32_t events)
{
    (void)events;
    struct dt_peer *p = ctx;
    DT_AUTO_FD int fd = accept4(p->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t size = sizeof(cred);
    struct dt_err err;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0 || cred.uid != p->l->uid) {
        dt_log(DT_LOG_WARN, "a peer of another user was turned away", NULL);
        return;
    }
    if (p->conn.fd >= 0) {
        dt_log(DT_LOG_WARN, "a second peer was turned away", NULL);
        return;
    }
    if (dt_peer_connected(p->l, dt_take_fd(&fd), &err) < 0)
        dt_log(DT_LOG_ERROR, err.msg, NULL);
}

int dt_peer_listen(struct dt_launcher *l, const char *path, struct dt_err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return dt_err_set(err, DT_E_INVALID, "the path of the socket is longer than %zu bytes",
                          sizeof(addr.sun_path) - 1);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    (void)unlink(path);
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177);
    int rc = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&addr, sizeof(addr));
    (void)umask(old);
    if (rc < 0 || lchown(path, l->uid, l->gid) < 0 || listen(fd, 4) < 0)
        return dt_err_errno(err, "listen at %s", path);
    struct dt_peer *p = &l->peer;
    p->l = l;
    p->listener = (struct dt_watch){.fn = on_listener, .ctx = p, .fd = dt_take_fd(&fd)};
    return dt_loop_watch(&l->loop, &p->listener, EPOLLIN, err);
}

void dt_peer_done(struct dt_launcher *l)
{
    struct dt_peer *p = &l->peer;
    p->l = l;
    peer_end(p);
    dt_loop_unwatch(&l->loop, &p->listener);
    if (p->listener.fd >= 0)
        (void)close(dt_take_fd(&p->listener.fd));
}

/*
 * A byte stream on the loop: TCP or unix socket, with or without TLS, with bounded queues.
 *
 * Callbacks run from the loop, never from inside a call into this module. on_close comes exactly
 * once and is the last; the connection's memory is gone after it returns. Until then every call is
 * allowed.
 */
#ifndef DT_CONN_H
#define DT_CONN_H

#include <uv.h>

#include "base/err.h"
#include "base/buf.h"

struct dt_conn;

/* Who waits for a socket; memory of the one who asks. */
struct dt_socket_wait {
    struct dt_socket_wait *next; /* the source's */
    int family;
    /* From the loop: a socket, owned from here on, or -1 with `err`. */
    void (*done)(struct dt_socket_wait *w, int fd, const struct dt_err *err);
};

/* Where sockets come from when those of socket(2) are the wrong ones: another network namespace's.
 * Outlives the connections that use it. */
struct dt_socket_source {
    /* An unconnected, non-blocking TCP socket of w->family, owned by the caller; -1 when there is
     * none at hand: then w->done comes once, later, unless it is cancelled. */
    int (*take)(struct dt_socket_source *s, struct dt_socket_wait *w);
    void (*cancel)(struct dt_socket_source *s, struct dt_socket_wait *w);
};

/* Where to connect. `path` (a unix socket) wins over `host` (a name or an address) and `port`. */
struct dt_addr {
    const char *path;
    const char *host; /* `localhost` is 127.0.0.1, then ::1 */
    uint16_t port;
    bool tls; /* verify the peer's certificate against `host` with the system's authorities */
    struct dt_socket_source *sockets; /* NULL = socket(2) */
};

struct dt_conn_events {
    void (*on_open)(void *ctx); /* connected (client side only); may be NULL */
    void (*on_data)(void *ctx, const char *p, size_t n); /* bytes are borrowed for the call */
    void (*on_eof)(void *ctx);   /* the peer will send no more; writing may go on */
    void (*on_drain)(void *ctx); /* after dt_conn_write() said false: below the low mark again */
    void (*on_close)(void *ctx, const struct dt_err *err); /* NULL when it ended in order */
};

enum {
    DT_CONN_HIGH_MARK = 256 * 1024, /* queued bytes above which dt_conn_write() says false */
    DT_CONN_LOW_MARK = 64 * 1024,
};

/* Starts to connect. On 0 *ret is owned by the module until on_close; on -1 no callback comes.
 * `timeout_ms` bounds name look-up, connect and TLS handshake together. `events` is kept by
 * pointer. */
int dt_conn_connect(uv_loop_t *loop, const struct dt_addr *addr, uint64_t timeout_ms,
                    const struct dt_conn_events *events, void *ctx, struct dt_conn **ret,
                    struct dt_err *err) DT_MUST_CHECK;
/* Adopts a connected socket (TCP or unix); owns `fd` in every case. Reading starts paused. */
int dt_conn_adopt(uv_loop_t *loop, int fd, const struct dt_conn_events *events, void *ctx,
                  struct dt_conn **ret, struct dt_err *err) DT_MUST_CHECK;
/* Gives the callbacks to another owner, as an upgrade does. */
void dt_conn_set_events(struct dt_conn *c, const struct dt_conn_events *events, void *ctx);

/* Stops and resumes on_data and on_eof. Nothing is lost; the kernel's window closes. */
void dt_conn_pause(struct dt_conn *c);
void dt_conn_resume(struct dt_conn *c);
/* Queues a copy. False: the queue is above the high mark, wait for on_drain. After an error or
 * shutdown it drops the bytes and says true. Small writes are sent at once (TCP_NODELAY). */
bool dt_conn_write(struct dt_conn *c, const void *p, size_t n);
size_t dt_conn_queued(const struct dt_conn *c);
/* Half-closes once the queue is sent. */
void dt_conn_shutdown(struct dt_conn *c);
/* Drops the queue and closes; on_close follows. Twice is fine. */
void dt_conn_close(struct dt_conn *c);
/* The peer's user and group when it connected to a unix socket (SO_PEERCRED); false for TCP. */
bool dt_conn_peer(const struct dt_conn *c, uid_t *uid, gid_t *gid);
/* The peer's address in text, `unix` for unix sockets; borrowed. */
const char *dt_conn_peer_text(const struct dt_conn *c);

#endif

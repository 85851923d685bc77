/* What the modules of this folder share about a connection. Nobody else includes this. */
#ifndef DT_CONN_IMPL_H
#define DT_CONN_IMPL_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "net/conn.h"

enum { DT_CONN_READ_SIZE = 64 * 1024 };

/* --- hooks: optional libraries fill these in (tls.h, dns.h) --- */
struct dt_tls;
struct dt_tls_ops {
    struct dt_tls *(*start)(const char *host, struct dt_err *err);
    void (*free)(struct dt_tls *t);
    /* Bytes from the network. */
    int (*feed)(struct dt_tls *t, const char *p, size_t n, struct dt_err *err);
    /* 1 when the handshake is done, 0 when it needs more bytes. */
    int (*handshake)(struct dt_tls *t, struct dt_err *err);
    /* Plain bytes into p; 0 = none now; *eof = the peer closed in order. */
    ssize_t (*read)(struct dt_tls *t, char *p, size_t n, bool *eof, struct dt_err *err);
    int (*write)(struct dt_tls *t, const char *p, size_t n, struct dt_err *err);
    void (*shutdown)(struct dt_tls *t);
    /* Takes bytes for the network out of the session. */
    size_t (*output)(struct dt_tls *t, char *p, size_t n);
};
extern const struct dt_tls_ops *dt_conn_tls_ops;

enum { DT_DNS_MAX = 8 };
struct dt_dns_query;
typedef void dt_dns_done(void *ctx, const struct sockaddr_storage *addrs, size_t n,
                         const struct dt_err *err);
struct dt_dns_ops {
    struct dt_dns_query *(*start)(uv_loop_t *loop, const char *host, uint16_t port,
                                  dt_dns_done *done, void *ctx, struct dt_err *err);
    void (*cancel)(struct dt_dns_query *q); /* `done` never runs afterwards */
};
extern const struct dt_dns_ops *dt_conn_dns_ops;

/* --- an attempt to connect (dial.c) --- */
struct dt_dial;
struct dt_dial_events {
    void (*done)(void *ctx, int fd, const struct dt_err *err); /* owns fd; err when fd < 0 */
    /* The deadline stays armed behind `done`, so that it covers the TLS handshake too. */
    void (*late)(void *ctx, const struct dt_err *err);
};
/* Each event comes at most once, from the loop. dt_dial_free() ends both. */
int dt_dial_start(uv_loop_t *loop, const struct dt_addr *addr, uint64_t timeout_ms,
                  const struct dt_dial_events *events, void *ctx, struct dt_dial **ret,
                  struct dt_err *err) DT_MUST_CHECK;
struct dt_dial *dt_dial_free(struct dt_dial *d);

/* --- the connection --- */
struct dt_conn {
    uv_poll_t poll;
    uv_idle_t turn; /* runs once in the next turn of the loop, when asked to */
    const struct dt_conn_events *events;
    void *ctx;
    void (*on_turn)(void *ctx); /* asked for with dt_conn_turn(); dropped with a new owner */
    struct dt_dial *dial;
    struct dt_tls *tls;
    struct dt_err *err;
    char *host; /* for TLS */
    char *peer;
    char *q; /* unsent bytes: q[q_off..q_off + q_n) */
    size_t q_off;
    size_t q_n;
    size_t q_cap;
    char *stash; /* bytes put back by the owner */
    size_t stash_n;
    uint64_t active_ms; /* uv_now() of the last byte in either direction */
    uid_t peer_uid;     /* of a unix socket, once asked for; it never changes */
    gid_t peer_gid;
    int fd;
    int armed; /* what the poll handle waits for now */
    unsigned handles;
    bool peer_known : 1;
    bool open : 1;
    bool paused : 1;
    bool blocked : 1; /* the kernel took less than it was given */
    bool full : 1;    /* the owner waits for on_drain */
    bool want_empty : 1;
    bool turn_asked : 1;
    bool stashed : 1; /* deliver the stash, even when it is empty */
    bool eof : 1;
    bool rdhup : 1;
    bool shut_asked : 1;
    bool shut : 1;
    bool read_on : 1;    /* after a failed write, read what the peer still sent */
    bool write_dead : 1; /* a write failed under read_on */
    bool tls_more : 1;   /* plain bytes may wait inside the TLS session */
    bool tls_eof : 1;
    bool closing : 1;
};

/* Like dt_conn_write() for several pieces. `later`: may wait for the next write or turn, so that
 * small pieces leave together. */
bool dt_conn_writev(struct dt_conn *c, const struct iovec *iov, int cnt, bool later);
/* Sends up to n bytes of a file, from its position on, without a copy of them here. Returns how
 * many; 0 when the socket takes none now: on_drain will come. -1 when it does not go this way
 * (small pieces wait to leave together, TLS, the end of the file, an error): read and write. Raises
 * SIGPIPE. */
ssize_t dt_conn_sendfile(struct dt_conn *c, int fd, size_t n);
/* on_drain will also come when the queue is empty. False: it is empty already, none will come. */
bool dt_conn_want_empty(struct dt_conn *c);
/* Puts bytes back in front of the stream: on_data brings them again once reading is resumed, even
 * if n is 0. */
void dt_conn_unread(struct dt_conn *c, const char *p, size_t n);
/* Takes the stash; valid until the connection delivers again or closes. */
struct dt_str dt_conn_take_unread(struct dt_conn *c);
/* on_turn runs in the next turn of the loop, even when reading is paused. */
void dt_conn_turn(struct dt_conn *c);
/* Everything that the peer sent until now was delivered, and it has not closed. Asks the kernel. */
bool dt_conn_is_quiet(const struct dt_conn *c);
/* After on_eof: whether the peer is gone altogether (unix sockets and reset TCP can tell). */
bool dt_conn_is_gone(const struct dt_conn *c);

#endif

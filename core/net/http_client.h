/*
 * HTTP/1.1 client on the loop: unix sockets, TCP, TLS; keep-alive per address; streams both ways.
 * Never follows redirects; never retries, except a request without a body on a kept connection that
 * turns out to be closed before a byte of the answer came.
 */
#ifndef DT_HTTP_CLIENT_H
#define DT_HTTP_CLIENT_H

#include "net/http_server.h" /* dt_http_header and the text helpers */

struct dt_http_client; /* keeps idle connections of one address */
struct dt_http_call;   /* one exchange */

/* Copies what it needs of `addr` (but for addr->sockets). Keeps at most `idle_max` idle
 * connections, each for up to a minute. */
int dt_http_client_new(uv_loop_t *loop, const struct dt_addr *addr, unsigned idle_max,
                       struct dt_http_client **ret, struct dt_err *err) DT_MUST_CHECK;

/* A bound on the idle connections of several clients together; bounds nest. */
struct dt_http_idle {
    struct dt_http_idle *in; /* NULL = none */
    unsigned n, max;
};
/* Before the first call: keeps idle connections for `keep_ms` only, and none above `idle`, which
 * outlives the client. */
void dt_http_client_bound(struct dt_http_client *c, uint64_t keep_ms, struct dt_http_idle *idle);
/* Calls in flight end with CANCELLED. Returns NULL. */
struct dt_http_client *dt_http_client_free(struct dt_http_client *c);

struct dt_http_call_opts {
    const char *method;
    struct dt_str target;                 /* `/path?query` */
    const char *host;                     /* Host header; NULL = the address's */
    const struct dt_http_header *headers; /* without Host, Content-Length, Connection */
    size_t nheaders;
    struct dt_str body;   /* sent at once; or: */
    bool stream_body;     /* dt_http_call_write() and _end() follow */
    uint64_t body_length; /* with stream_body: UINT64_MAX = chunked */
    uint64_t connect_ms;  /* 0 = 10,000 */
    uint64_t total_ms;    /* whole exchange; 0 = no limit */
    uint64_t idle_ms;     /* no byte in either direction; 0 = no limit */
    /* All may be NULL but on_done. Views are borrowed for the call. */
    void (*on_head)(void *ctx, int status, const struct dt_http_header *h, size_t n);
    void (*on_data)(void *ctx, const char *p, size_t n);
    void (*on_drain)(void *ctx); /* after dt_http_call_write() said false */
    /* 101 only, after on_head: the connection is the caller's from here (call dt_conn_set_events()
     * at once; it is reading) and on_done follows with NULL. Without this callback a 101 is an
     * error; with it and an Upgrade header, `Connection: Upgrade` is sent. */
    void (*on_upgrade)(void *ctx, struct dt_conn *conn, struct dt_str early);
    void (*on_done)(void *ctx,
                    const struct dt_err *err); /* exactly once, last, never from _start */
    void *ctx;
};

int dt_http_call_start(struct dt_http_client *c, const struct dt_http_call_opts *opts,
                       struct dt_http_call **ret, struct dt_err *err) DT_MUST_CHECK;
bool dt_http_call_write(struct dt_http_call *call, const void *p, size_t n);
void dt_http_call_end(struct dt_http_call *call);
void dt_http_call_pause(struct dt_http_call *call);
void dt_http_call_resume(struct dt_http_call *call);
/* Everything that the server sent until now was delivered, and it has not closed the connection: on
 * a unix socket, that is all it has written. Never true over TLS. */
bool dt_http_call_is_quiet(const struct dt_http_call *call);
/* Closes the connection; on_done follows with CANCELLED. */
void dt_http_call_cancel(struct dt_http_call *call);

/* Whole exchanges in memory: the answer's body up to `limit` (TOO_LARGE above). cb runs once. */
struct dt_http_reply {
    int status;
    struct dt_str body;
    const struct dt_http_header *headers;
    size_t nheaders;
};
int dt_http_fetch(struct dt_http_client *c, const struct dt_http_call_opts *opts, size_t limit,
                  void (*cb)(void *ctx, const struct dt_http_reply *reply,
                             const struct dt_err *err),
                  void *ctx, struct dt_http_call **ret, struct dt_err *err) DT_MUST_CHECK;

#endif

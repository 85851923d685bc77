/*
 * HTTP/1.1 server (RFC 9110, RFC 9112) on llhttp.
 *
 * What it refuses by itself, with a closed connection: CL+TE, two Content-Lengths, obs-fold, bare
 * LF, NUL, space before the colon, transfer codings other than exactly `chunked`, heads over the
 * limits. Answers `Expect: 100-continue` when the handler first asks for the body. HEAD answers
 * carry no body. Keep-alive and pipelining work; one exchange at a time runs per connection.
 */
#ifndef DT_HTTP_SERVER_H
#define DT_HTTP_SERVER_H

#include "net/conn.h"

struct dt_http_server;
/* One exchange: a request and its answer. Valid from the handler's call until on_done returns. */
struct dt_http_req;

struct dt_http_header {
    struct dt_str name;
    struct dt_str value;
};

enum {
    DT_HTTP_HEAD_MAX = 64 * 1024,
    DT_HTTP_HEADERS_MAX = 100,
};

/* Called when a head is complete. It must lead to exactly one answer, now or later. */
typedef void dt_http_handler(void *ctx, struct dt_http_req *req);

struct dt_http_server_limits {
    uint64_t head_ms;     /* from a request's first byte to the end of its head; 0 = 10,000 */
    uint64_t idle_ms;     /* a kept connection without a request; 0 = 75,000 */
    unsigned connections; /* open at once; above it accepting waits; 0 = 10,000 */
};

int dt_http_server_new(uv_loop_t *loop, const struct dt_http_server_limits *limits,
                       dt_http_handler *handler, void *ctx, struct dt_http_server **ret,
                       struct dt_err *err) DT_MUST_CHECK;
/* Each may be called several times. TCP: `host` is an address; port 0 takes a free one; *actual may
 * be NULL. Unix: removes a dead socket at `path`, sets `mode`. fd: an already listening socket,
 * owned. */
int dt_http_server_listen_tcp(struct dt_http_server *s, const char *host, uint16_t port,
                              uint16_t *actual, struct dt_err *err) DT_MUST_CHECK;
int dt_http_server_listen_unix(struct dt_http_server *s, const char *path, mode_t mode,
                               struct dt_err *err) DT_MUST_CHECK;
int dt_http_server_listen_fd(struct dt_http_server *s, int fd, struct dt_err *err) DT_MUST_CHECK;
/* Stops accepting, lets exchanges finish for `grace_ms`, then closes all, calls `done` (may be
 * NULL) and frees the server. */
void dt_http_server_stop(struct dt_http_server *s, uint64_t grace_ms, void (*done)(void *ctx),
                         void *ctx);

/* --- the request --- */
struct dt_str dt_http_req_method(const struct dt_http_req *r);
/* The target as sent, `/path?query`. An absolute-form target is reduced to that, its authority wins
 * over Host. */
struct dt_str dt_http_req_target(const struct dt_http_req *r);
struct dt_str dt_http_req_path(const struct dt_http_req *r);  /* still percent-encoded */
struct dt_str dt_http_req_query(const struct dt_http_req *r); /* behind the '?', may be empty */
struct dt_str
dt_http_req_host(const struct dt_http_req *r); /* with port, as sent; lower case not forced */
/* First header of that name, ignoring case; .p == NULL when absent. */
struct dt_str dt_http_req_header(const struct dt_http_req *r, const char *name);
size_t dt_http_req_headers(const struct dt_http_req *r, const struct dt_http_header **ret);
bool dt_http_req_is_upgrade(const struct dt_http_req *r);
/* NULL once the client is gone. */
struct dt_conn *dt_http_req_conn(struct dt_http_req *r);
uv_loop_t *dt_http_req_loop(struct dt_http_req *r);
/* 0 when there is certainly no body; UINT64_MAX when chunked. */
uint64_t dt_http_req_content_length(const struct dt_http_req *r);

/* Set at most once, in the handler: runs exactly once when the exchange is over; `complete` says
 * whether the whole answer was handed to the kernel. After a client went away the answer functions
 * do nothing, so a handler may simply go on; on_done tells it to stop early. With on_done set the
 * request is gone after it, whether or not the handler has answered; without, it stays until the
 * handler answers. A client that half-closes still gets its answer, as long as something of it is
 * sent every second: whether such a client still reads cannot be known otherwise. */
void dt_http_req_on_done(struct dt_http_req *r, void (*on_done)(void *ctx, bool complete),
                         void *ctx);

/* --- the body: one of the two, once --- */
/* Collects up to `limit` bytes. Above it the request is answered 413 and cb gets TOO_LARGE. cb runs
 * once unless the client goes away first. The body is borrowed for the call. */
void dt_http_req_collect(struct dt_http_req *r, size_t limit,
                         void (*cb)(void *ctx, struct dt_str body, const struct dt_err *err),
                         void *ctx);
/* Streams: on_data as bytes come, then on_end once. pause/resume for backpressure. */
void dt_http_req_stream(struct dt_http_req *r, void (*on_data)(void *ctx, const char *p, size_t n),
                        void (*on_end)(void *ctx), void *ctx);
void dt_http_req_pause(struct dt_http_req *r);
void dt_http_req_resume(struct dt_http_req *r);
/* A body nobody asked for is read and dropped up to 1 MiB, else the connection closes after the
 * answer. */

/* --- the answer --- */
/* Adds a header to the answer to come; name and value are copied; CR, LF and NUL are refused by
 * dropping the header. Date, Connection, Content-Length and Transfer-Encoding are the server's. */
void dt_http_req_add_header(struct dt_http_req *r, const char *name, struct dt_str value);
/* A whole answer. `type` may be NULL for none. */
void dt_http_req_reply(struct dt_http_req *r, int status, const char *type, const void *p,
                       size_t n);
/* A streamed one: length UINT64_MAX means chunked (or until close for HTTP/1.0). */
void dt_http_req_begin(struct dt_http_req *r, int status, uint64_t length);
/* False above the high mark: then on_drain (given here, kept) runs once it is below the low mark.
 */
bool dt_http_req_write(struct dt_http_req *r, const void *p, size_t n);
/* Hands to the kernel now what would leave with the next write or turn of the loop. False when it
 * does not take all of it. */
bool dt_http_req_flush(struct dt_http_req *r);
/* The same for up to n bytes of a file, from its position on, in an answer of known length, without
 * reading them. Returns how many; 0 when there is no room: then on_drain runs. -1 when it does not
 * go this way now: read them and write them. The program must ignore SIGPIPE. */
ssize_t dt_http_req_sendfile(struct dt_http_req *r, int fd, size_t n);
void dt_http_req_on_drain(struct dt_http_req *r, void (*on_drain)(void *ctx), void *ctx);
void dt_http_req_end(struct dt_http_req *r);
/* Breaks off an answer that cannot be completed: the client sees a cut connection. */
void dt_http_req_abort(struct dt_http_req *r);
/* Takes the connection out of the server, with the bytes that were read behind the head (borrowed
 * until the caller is back in the loop). The exchange ends (on_done, complete = true) before this
 * returns; the caller owns the connection's events from then on, and it is reading. For upgrades
 * (after begin with status 101, which adds `Connection: Upgrade`) and CONNECT-like tunnels. NULL
 * when the client is gone: the exchange then ends as usual. */
struct dt_conn *dt_http_req_take_conn(struct dt_http_req *r, const struct dt_conn_events *events,
                                      void *ctx, struct dt_str *early);

/* --- text helpers --- */
/* Reason phrase, never NULL. */
const char *dt_http_reason(int status);
/* Finds `name` in a query or form text and decodes it (percent, `+` is a space) into out. Returns 1
 * when found, 0 when absent, -1 when malformed or longer than out->max. */
int dt_http_query_get(struct dt_str query, const char *name, struct dt_buf *out,
                      struct dt_err *err);
/* Percent-decodes one path segment. A bad escape or a decoded NUL is INVALID. */
int dt_http_decode(struct dt_str s, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;
/* Percent-encodes everything but unreserved characters (RFC 3986). */
int dt_http_encode(struct dt_str s, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;

#endif

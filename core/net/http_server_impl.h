/* What http_server.c, http_conn.c and http_req.c share. Nobody else includes this but proxy.c. */
#ifndef DT_HTTP_SERVER_IMPL_H
#define DT_HTTP_SERVER_IMPL_H

#include "net/conn_impl.h"
#include "net/http1.h"

enum {
    DT_HTTP_DRAIN_MAX = 1024 * 1024, /* of a body that nobody asked for */
    DT_HTTP_DRAIN_MS = 5000,
    DT_HTTP_LINGER_MS = 2000, /* for the client to read the last answer before the close */
    DT_HTTP_EOF_TICK_MS = 1000,
    DT_HTTP_DATE_SIZE = 32,
};

/*
 * HEAD     -> EXCHANGE | LINGER      between requests, or inside a head
 * EXCHANGE -> HEAD | DRAIN | LINGER  `req` is set
 * DRAIN    -> HEAD | LINGER          the answer is out, the request's body is not
 * LINGER                             half-closed: what comes is dropped until the client closes
 * Every state may end with the connection, and EXCHANGE with dt_http_req_take_conn().
 */
enum dt_http_conn_state { DT_HTTP_HEAD, DT_HTTP_EXCHANGE, DT_HTTP_DRAIN, DT_HTTP_LINGER };

struct dt_http_conn {
    struct dt_http_conn *next;
    struct dt_http_conn *prev;
    struct dt_http_server *server;
    struct dt_conn *conn; /* NULL once taken */
    struct dt_http_req *req;
    enum dt_http_conn_state state;
    struct dt_buf part; /* of a head that is not complete */
    struct dt_http1_scan scan;
    struct dt_http1 http1;
    uint64_t due_ms; /* of the states' fixed deadlines; 0 = none */
    uint64_t drained;
    uint64_t eof_active_ms; /* conn->active_ms at the last tick after the client's end */
    const char *now;        /* what on_data was given and nobody took yet */
    size_t now_n;
    bool pumping;
    bool eof;
};

enum dt_http_body_mode { DT_HTTP_BODY_NONE, DT_HTTP_BODY_COLLECT, DT_HTTP_BODY_STREAM };
enum dt_http_answer { DT_HTTP_ANSWER_NONE, DT_HTTP_ANSWER_BEGUN, DT_HTTP_ANSWER_ENDED };

struct dt_http_req {
    struct dt_http_conn *hc; /* NULL: the client is gone, the handler has yet to answer */
    uv_loop_t *loop;
    struct dt_http1_head head;
    void (*on_done)(void *ctx, bool complete);
    void *done_ctx;

    enum dt_http_body_mode mode;
    bool paused;
    bool body_told; /* on_end or collect's cb ran, or must not run any more */
    struct dt_buf body;
    void (*on_collect)(void *ctx, struct dt_str body, const struct dt_err *err);
    void (*on_data)(void *ctx, const char *p, size_t n);
    void (*on_end)(void *ctx);
    void *body_ctx;

    enum dt_http_answer answer;
    struct dt_buf extra; /* the added headers, as they go out */
    uint64_t left;       /* of a declared length */
    bool chunked;
    bool bodyless; /* HEAD, 1xx, 204, 304 */
    bool close;    /* the connection ends with this answer */
    bool wait_100;
    bool date; /* the added headers have a Date */
    void (*on_drain)(void *ctx);
    void *drain_ctx;
    bool full; /* a write said false */

    struct dt_http_header headers[]; /* then the head's bytes */
};

struct dt_http_listener {
    struct dt_http_listener *next;
    struct dt_http_server *server;
    uv_poll_t poll;
    int fd;
    char *path; /* to remove at the end */
};

struct dt_http_server {
    uv_loop_t *loop;
    uv_timer_t timer; /* the nearest deadline of all connections */
    struct dt_http_server_limits limits;
    dt_http_handler *handler;
    void *ctx;
    struct dt_http_listener *listeners;
    struct dt_http_conn *conns;
    unsigned nconns;
    unsigned handles;
    bool waiting; /* accepting is off: too many connections or no descriptors */
    bool stopping;
    uint64_t stop_ms;
    uint64_t retry_ms; /* of accepting, after it failed */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    time_t date_s;
    char date[DT_HTTP_DATE_SIZE];
};

/* http_server.c */
void dt_http_server_due(struct dt_http_server *s, uint64_t at_ms);
void dt_http_server_conn_gone(struct dt_http_server *s);
const char *dt_http_server_date(struct dt_http_server *s);

/* http_conn.c */
void dt_http_conn_new(struct dt_http_server *s, int fd);
/* The next moment at which the connection must be looked at; UINT64_MAX = none. */
uint64_t dt_http_conn_due(const struct dt_http_conn *hc);
void dt_http_conn_expire(struct dt_http_conn *hc);
bool dt_http_conn_is_idle(const struct dt_http_conn *hc);
/* The answer is complete: ends the exchange now or in the next turn. */
void dt_http_conn_answered(struct dt_http_conn *hc);
/* Goes on with the bytes that wait (a body was asked for, or resumed). */
void dt_http_conn_go_on(struct dt_http_conn *hc);
void dt_http_conn_detach(struct dt_http_conn *hc);

/* http_req.c */
struct dt_http_req *dt_http_req_alloc(struct dt_http_conn *hc, size_t lines, size_t n);
void dt_http_req_free(struct dt_http_req *r);
/* The exchange is over: runs on_done and frees, or leaves a zombie until the handler answers. */
void dt_http_req_over(struct dt_http_req *r, bool complete);
/* For the proxy: as dt_http_req_add_header(); a Date replaces the server's. */
void dt_http_req_add(struct dt_http_req *r, struct dt_str name, struct dt_str value);

#endif

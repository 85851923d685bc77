/* What http_client.c and http_call.c share. Nobody else includes this. */
#ifndef DT_HTTP_CLIENT_IMPL_H
#define DT_HTTP_CLIENT_IMPL_H

#include "net/conn_impl.h"
#include "net/http1.h"
#include "net/http_client.h"

enum {
    DT_HTTP_KEEP_MS = 60000,  /* an idle connection; below what servers grant */
    DT_HTTP_INTERIM_MAX = 16, /* 1xx answers before the final one */
};

/* One connection, with at most one call on it. */
struct dt_http_link {
    struct dt_http_link *next;
    struct dt_http_link *prev;
    struct dt_http_client *client;
    struct dt_conn *conn;      /* NULL once handed over */
    struct dt_http_call *call; /* NULL: idle or closing */
    struct dt_buf part;
    struct dt_http1_scan scan;
    struct dt_http1 http1;
    const char *now;
    size_t now_n;
    unsigned interim;
    bool idle; /* kept for the next call */
    bool reused;
    bool heard; /* a byte of the answer came */
    bool pumping;
};

struct dt_http_call {
    struct dt_http_link *link;
    struct dt_http_call_opts opts; /* the callbacks; what was borrowed is gone */
    struct dt_err *err;            /* why it fails; set before the connection is closed */
    uint64_t total_due;            /* 0 = no limit */
    uint64_t left;                 /* of a streamed body of known length */
    bool chunked;
    bool sent; /* the request is complete */
    bool has_body;
    bool to_head;
    bool paused;
    bool head_done;
    bool keep_alive;
    size_t head_n;
    char head[]; /* as it goes out, for the second try */
};

struct dt_http_client {
    uv_loop_t *loop;
    uv_timer_t timer; /* the nearest deadline of all links */
    struct dt_addr addr;
    char *host_header;
    unsigned idle_max;
    unsigned idle;
    uint64_t keep_ms;
    struct dt_http_idle *bound; /* may be NULL */
    unsigned refs;              /* the timer and the links */
    bool freed;
    struct dt_http_link *links[2]; /* busy ones; idle ones, used last first */
};

/* http_client.c */
void dt_http_client_due(struct dt_http_client *c, uint64_t at_ms);
uint64_t dt_http_link_due(const struct dt_http_link *l);
/* Puts the call on an idle connection (unless `fresh`) or a new one, and sends its head. */
int dt_http_link_start(struct dt_http_client *c, struct dt_http_call *call, bool fresh,
                       struct dt_str body, struct dt_err *err) DT_MUST_CHECK;

/* http_call.c */
/* The call is over: on_done, then its memory goes. */
void dt_http_call_over(struct dt_http_call *call, const struct dt_err *err);
/* Remembers why and closes the connection. */
void dt_http_call_fail(struct dt_http_call *call, const struct dt_err *err);

#endif

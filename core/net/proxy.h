/*
 * Forwards one exchange to another server: the head is parsed, checked and written anew (never the
 * client's raw bytes), then bodies stream both ways with backpressure; upgrades become tunnels with
 * half-close. Hop-by-hop headers (RFC 9110 section 7.6.1) are dropped on both sides.
 */
#ifndef DT_PROXY_H
#define DT_PROXY_H

#include "net/http_client.h"

/* Exchanges that end together when their upstream goes; zeroed, and empty when its memory goes. */
struct dt_proxy_group {
    struct dt_proxy *first;
};

struct dt_proxy_opts {
    struct dt_http_client *upstream;
    struct dt_proxy_group *group;     /* NULL = none */
    struct dt_str target;             /* the new target; NULL p = unchanged */
    const char *host;                 /* the new Host; NULL = as the client sent it */
    const char *const *drop;          /* request headers to leave out, ended by NULL; may be NULL */
    const char *const *drop_reply;    /* the same for the answer */
    const struct dt_http_header *add; /* request headers to add */
    size_t nadd;
    struct dt_str body;  /* of a request whose body was read before; NULL p = it streams */
    uint64_t connect_ms; /* 0 = 10,000 */
    uint64_t total_ms;   /* 0 = no limit */
    /* When the upstream cannot be reached or breaks before its head: write the answer here. NULL
     * gives a plain 502. */
    void (*on_fail)(void *ctx, struct dt_http_req *req, const struct dt_err *err);
    /* Whether an answer's header goes to the client; asked for those that no list drops. May be
     * NULL. */
    bool (*keep_reply)(void *ctx, struct dt_str name, struct dt_str value);
    /* May add answer headers through dt_http_req_add_header(). May be NULL. */
    void (*on_head)(void *ctx, struct dt_http_req *req, int status);
    /* Sees the bytes of the answer's body as they come. May be NULL. */
    void (*on_data)(void *ctx, const char *bytes, size_t n);
    /* The exchange or tunnel is over; both directions' bytes, and whether the client got a whole
     * answer of the upstream. Exactly once. May be NULL. */
    void (*on_done)(void *ctx, uint64_t sent, uint64_t received, bool whole);
    void *ctx;
};

/* Takes over `req`: it will be answered. Everything in opts but `upstream`, `group` and ctx is
 * copied. */
void dt_proxy_start(struct dt_http_req *req, const struct dt_proxy_opts *opts);
/* Ends all of them: on_fail with CANCELLED where no answer has begun, a cut answer or tunnel where
 * one has. The group is empty at once; callbacks come from the loop. */
void dt_proxy_group_cancel(struct dt_proxy_group *group);

#endif

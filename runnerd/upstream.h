/*
 * The ports of a running sandbox, as the proxy reaches them: TCP on the sandbox's own loopback,
 * over sockets that the launcher made in its network namespace. What is connected to is 127.0.0.1
 * or
 * ::1, never an address that a sandbox names.
 *
 * Kept for the next request: idle connections (for DT_UPSTREAM_KEEP_MS) and a few unconnected
 * sockets, bounded per port, per sandbox and in all. Each keeps the namespace alive, so all go when
 * the sandbox ends. Loop only.
 */
#ifndef DT_UPSTREAM_H
#define DT_UPSTREAM_H

#include "net/proxy.h"

enum {
    DT_UPSTREAM_KEEP_MS = 5000, /* a server with one thread can do nothing else meanwhile */
    DT_UPSTREAM_IDLE = 64,      /* idle connections of a sandbox */
    DT_UPSTREAM_IDLE_ALL = 1024,
    DT_UPSTREAM_SPARE = 8, /* unconnected sockets of a sandbox */
    DT_UPSTREAM_SPARE_ALL = 1024,
    DT_UPSTREAM_PORTS = 16,      /* without a request, of a sandbox */
    DT_UPSTREAM_REST_MS = 30000, /* without a request: nothing is kept any more */
};

struct dt_runnerd;
struct dt_live;
struct dt_upstreams; /* of one sandbox, from its first request to its end */
struct dt_upstream;  /* one of its ports */

/* What is kept in all; one for the program. */
struct dt_upstream_totals {
    struct dt_http_idle idle;
    unsigned spare;
    uint64_t serial;
};
void dt_upstream_totals_init(struct dt_upstream_totals *t);

/* For one exchange, which belongs to the group: the port's client stays until dt_upstream_unref(),
 * and is closed before that only when the sandbox ends, after the group was cancelled. */
int dt_upstream_get(struct dt_runnerd *rd, struct dt_live *l, uint16_t port,
                    struct dt_upstream **ret, struct dt_err *err) DT_MUST_CHECK;
struct dt_http_client *dt_upstream_client(const struct dt_upstream *u);
struct dt_proxy_group *dt_upstream_group(const struct dt_live *l);
uint16_t dt_upstream_port(const struct dt_upstream *u);
/* NULL is fine. */
void dt_upstream_unref(struct dt_upstream *u);

/* The sandbox ends, or has ended: closes every connection and socket. */
void dt_upstreams_close(struct dt_live *l);
/* By the clock: closes what was not used for DT_UPSTREAM_REST_MS. */
void dt_upstreams_rest(struct dt_live *l);
/* The launcher is there again: asks for the sockets that are waited for. */
void dt_upstreams_retry(struct dt_live *l);

#endif

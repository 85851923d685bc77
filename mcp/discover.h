/*
 * Which server to talk to, in this order: DAYTONA_API_URL with DAYTONA_API_KEY; the active profile
 * of the configuration file; the unix socket of a local daytona-runnerd; else, as root, a
 * daytona-runnerd started in the background.
 */
#ifndef DT_DISCOVER_H
#define DT_DISCOVER_H

#include <uv.h>

#include "net/conn.h"

/* Owns its texts. */
struct dt_server {
    char *socket; /* a unix socket; NULL: host and port */
    char *host;
    uint16_t port;
    bool tls;
    char *base;         /* what stands before the paths of the API: "/api" */
    char *key;          /* the bearer token; NULL over a unix socket */
    char *organization; /* goes with a login token; may be NULL */
};
void dt_server_done(struct dt_server *s);
struct dt_addr dt_server_addr(const struct dt_server *s);

/* `http(s)://host[:port][/base]`; a trailing slash is dropped. */
int dt_server_parse_url(const char *url, struct dt_server *ret, struct dt_err *err) DT_MUST_CHECK;

/* Looks without waiting. On failure *may_start says that a local server could be started. */
int dt_discover_now(struct dt_server *ret, bool *may_start, struct dt_err *err) DT_MUST_CHECK;

/* The same, and starts the local server where that is possible, waiting up to 30 s for its socket.
 * `done` comes exactly once, never from inside; the server is the receiver's. */
typedef void dt_discover_done(void *ctx, struct dt_server *server, const struct dt_err *err);
void dt_discover_start(uv_loop_t *loop, dt_discover_done *done, void *ctx);

#endif

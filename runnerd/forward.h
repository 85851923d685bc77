/* Sends a request on to a sandbox's toolbox or one of its ports, without our credentials, and its
 * answer back, without what an answer from a sandbox must not do to a browser. */
#ifndef DT_FORWARD_H
#define DT_FORWARD_H

#include "runnerd/runnerd.h"

enum { DT_FORWARD_OPEN_MAX = 2000 }; /* requests and tunnels of one sandbox at once */

/* What a command may take that came by the API's path and names no time, in seconds. */
#define DT_FORWARD_COMMAND_TIMEOUT "360"

struct dt_forward {
    uint16_t port;        /* 0 = the toolbox, where /proxy/{port}/... means a port again */
    struct dt_str target; /* `/path?query` there */
    const char *prefix;   /* put before the path of redirects; NULL = none */
    const char *cors;     /* the Origin to allow; NULL = none */
    bool cors_credentials;
    bool is_page;           /* a preview with its own origin: cookies without Domain pass */
    const char *cookie;     /* a Set-Cookie of our own; NULL = none */
    const char *source;     /* DAYTONA_API or DAYTONA_PROXY, in errors */
    const char *request_id; /* X-Request-Id of the answer; NULL = none */
    bool quiet;             /* does not count as activity */
    /* Who asks, for the audit log. NULL: nobody with a name, but `actor` (a literal) let them in.
     */
    const struct dt_principal *who;
    const char *actor;
    const char *sandbox; /* when there is none: what it was called; needs `who` then */
    /* Answers the request, and says why, when the sandbox is not started, or there is none. */
    void (*refuse)(struct dt_http_req *req, const struct dt_live *l, struct dt_err *why);
    bool is_api; /* the API's path: the toolbox does what that path does for old clients */
};

/* Takes over `req`. Texts are copied. `l` NULL: there is no such sandbox, and the request is
 * refused. Above DT_FORWARD_OPEN_MAX the answer is LIMIT_EXCEEDED. What the audit log is to have
 * is written down before it goes on. */
void dt_forward(struct dt_runnerd *rd, struct dt_http_req *req, const struct dt_live *l,
                const struct dt_forward *in);

/* Makes l->toolbox, the client of a sandbox's toolbox, if there is none yet. */
int dt_forward_toolbox(struct dt_runnerd *rd, struct dt_live *l, struct dt_err *err) DT_MUST_CHECK;

/* The error body of every answer: {statusCode, timestamp, path, error, message, code, source}. A
 * text that browsers show when the request asks for HTML and `source` is the proxy. */
void dt_reply_error(struct dt_http_req *req, const struct dt_err *err, const char *source);

/* The name of the cookie that remembers an accepted token: this and the sandbox's id. */
#define DT_COOKIE_PREFIX "daytona-sandbox-auth-"
#define DT_QUERY_TOKEN   "DAYTONA_SANDBOX_AUTH_KEY"

#endif

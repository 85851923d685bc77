/* Whether a request may see a preview: the order of the contract, first that fits wins. */
#ifndef DT_PREVIEW_AUTH_H
#define DT_PREVIEW_AUTH_H

#include "runnerd/runnerd.h"

enum { DT_COOKIE_TEXT_MAX = 256, DT_COOKIE_SECONDS = 3600 };

struct dt_preview_ask {
    struct dt_runnerd *rd;
    struct dt_http_req *req;
    const struct dt_live *sandbox;
    uint16_t port;
    bool toolbox;     /* the toolbox route: no signed hosts, no cookies */
    bool signed_host; /* the host holds a token that fits */
    bool waited;      /* for the access token's issuer or user: once is enough */
    struct dt_str query;
};

/* How those are called in the audit log whose credentials name no user. */
#define DT_ACTOR_TOKEN  "preview-token" /* the sandbox's, or a cookie that was got for it */
#define DT_ACTOR_SIGNED "signed-url"

struct dt_preview_pass {
    struct dt_principal who; /* BY_NOTHING: see `actor` */
    const char *actor;
    bool by_cookie;
    char set_cookie[DT_COOKIE_TEXT_MAX]; /* to remember it by; empty = none */
};

/* UNAUTHORIZED says what to send. 1: an access token that cannot be checked yet; again after
 * dt_login_wait(). */
int dt_preview_auth(const struct dt_preview_ask *ask, struct dt_preview_pass *pass,
                    struct dt_err *err) DT_MUST_CHECK;
/* The query without our parameter, appended with its '?' when something is left. */
int dt_preview_query(struct dt_str query, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;

#endif

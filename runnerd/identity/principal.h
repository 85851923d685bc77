/*
 * Whom a request comes from and what it may do: the one place that decides. Credentials are an API
 * key, an access token of the OpenID issuer, the key of a service, or the peer of the unix socket,
 * who is the user of this machine. What an operation needs stands in its route (json/route.h, made
 * from schemas/rest/); nothing is decided in handlers that the route can say. Loop only.
 */
#ifndef DT_PRINCIPAL_H
#define DT_PRINCIPAL_H

#include "json/route.h"
#include "net/http_server.h"
#include "runnerd/identity/directory.h"

struct dt_runnerd;

enum dt_principal_kind {
    DT_BY_NOTHING, /* an open operation */
    DT_BY_PEER,    /* the unix socket */
    DT_BY_KEY,
    DT_BY_TOKEN,
    DT_BY_SERVICE,
};

/* Holds copies: it stays valid while a request waits for something. */
struct dt_principal {
    enum dt_principal_kind kind;
    uint32_t service;           /* one of enum dt_service; BY_SERVICE alone */
    char region[DT_UUID_SIZE];  /* of `org`, which the service is for; empty: for all */
    char runner[DT_UUID_SIZE];  /* the registered one that it is; empty: none */
    char user[DT_USER_ID_SIZE]; /* empty: nobody, or a service */
    char org[DT_UUID_SIZE];     /* what the call is about; empty: none, or all for a service */
    bool owner;                 /* of `org` */
    bool admin;                 /* of the whole system */
    uint32_t permissions;       /* in `org` */
    uint8_t key[DT_HASH_SIZE];  /* BY_KEY */
    int64_t expires_ms;         /* when its credentials do, real time; 0 = never */
    uid_t uid;                  /* BY_PEER */
};

/* Who it is, from the request's credentials. UNAUTHORIZED; FORBIDDEN for a peer. 1: a token that
 * cannot be checked yet; call again after dt_login_wait() (identity/login.h). */
int dt_principal_read(struct dt_runnerd *rd, struct dt_http_req *req, struct dt_principal *ret,
                      struct dt_err *err) DT_MUST_CHECK;
/* The same from the text of a bearer token alone. */
int dt_principal_read_bearer(struct dt_runnerd *rd, struct dt_str token, struct dt_principal *ret,
                             struct dt_err *err) DT_MUST_CHECK;
/* The bearer token of a request; .p == NULL when it has none. */
struct dt_str dt_principal_bearer(const struct dt_http_req *req);

/* Makes `org` the one that the call is about. FORBIDDEN: not a member of it, or the key of another
 * one; it does not say whether there is such an organization. */
int dt_principal_enter(const struct dt_runnerd *rd, struct dt_principal *p, const char *org,
                       struct dt_err *err) DT_MUST_CHECK;
/* Whether the principal may call that operation; `path_org` is the organization in its path and
 * `header_org` that of X-Daytona-Organization-ID (NULL: none). Sets org, owner, permissions. */
int dt_principal_admit(const struct dt_runnerd *rd, struct dt_principal *p,
                       const struct dt_route *route, const char *path_org, const char *header_org,
                       struct dt_err *err) DT_MUST_CHECK;

#endif

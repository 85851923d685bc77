#include "runnerd/identity/principal.h"

#include <stdio.h>

#include "base/clock.h"
#include "jose/jwt.h"
#include "runnerd/identity/login.h"

enum { LAST_USED_MS = 10000 };

/* --- credentials --- */

struct used {
    uint8_t hash[DT_HASH_SIZE];
    int64_t at_ms;
};

static int used_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    const struct used *u = arg;
    return dt_db_run(c, "UPDATE api_key SET last_used_ms = ?2 WHERE hash = ?1",
                     DT_DB_ARGS(dt_db_b(u->hash, sizeof(u->hash)), dt_db_i(u->at_ms)), NULL, err);
}

static void used_done(void *arg, const struct dt_err *err)
{
    (void)err;
    free(arg);
}

/* The store hears of it now and then only. */
static void note_use(struct dt_runnerd *rd, struct dt_key *k, int64_t now_ms)
{
    if (now_ms - k->last_used_ms < LAST_USED_MS && now_ms >= k->last_used_ms)
        return;
    struct used *u = malloc(sizeof(*u));
    if (u == NULL)
        return;
    k->last_used_ms = now_ms;
    memcpy(u->hash, k->hash, sizeof(u->hash));
    u->at_ms = now_ms;
    if (dt_db_submit(rd->db, used_job, u, used_done, NULL) < 0)
        free(u);
}

static void set_user(struct dt_principal *p, const struct dt_user *u)
{
    (void)snprintf(p->user, sizeof(p->user), "%s", u->id);
    p->admin = u->admin;
}

static int read_key(struct dt_runnerd *rd, const uint8_t hash[DT_HASH_SIZE],
                    struct dt_principal *ret, struct dt_err *err)
{
    int64_t now = dt_clock_real_ms();
    struct dt_key *k = dt_directory_key(&rd->directory, hash);
    const struct dt_user *u = k != NULL ? dt_directory_user(&rd->directory, k->user) : NULL;
    if (u == NULL || (k->expires_ms > 0 && k->expires_ms <= now))
        return dt_err_set(err, DT_E_UNAUTHORIZED, "Invalid API key");
    *ret = (struct dt_principal){.kind = DT_BY_KEY};
    set_user(ret, u);
    /* A key that was cut down must not rule the system because of whose it is. */
    ret->admin = u->admin && dt_permissions_allow(k->permissions, DT_PERM_FIRST);
    memcpy(ret->key, hash, sizeof(ret->key));
    ret->expires_ms = k->expires_ms;
    memcpy(ret->org, k->org->id, sizeof(ret->org));
    note_use(rd, k, now);
    return 0;
}

static int read_token(struct dt_runnerd *rd, struct dt_str token, struct dt_principal *ret,
                      struct dt_err *err)
{
    const struct dt_user *u = NULL;
    int64_t expires_ms = 0;
    int got = dt_login_check(rd, token, &u, &expires_ms, err);
    if (got != 0)
        return got;
    *ret = (struct dt_principal){.kind = DT_BY_TOKEN, .expires_ms = expires_ms};
    set_user(ret, u);
    return 0;
}

/* The key of a region's service, or of a registered runner. False: it is neither. */
static bool read_private_key(const struct dt_runnerd *rd, const uint8_t hash[DT_HASH_SIZE],
                             struct dt_principal *ret)
{
    const struct dt_region *region = dt_regions_by_key(&rd->regions, hash, &ret->service);
    const struct dt_remote *runner = region == NULL ? dt_remotes_by_key(&rd->remotes, hash) : NULL;
    if (region != NULL) {
        memcpy(ret->region, region->id, sizeof(ret->region));
        memcpy(ret->org, region->org, sizeof(ret->org));
    } else if (runner != NULL) {
        ret->service = DT_SERVICE_RUNNER;
        memcpy(ret->runner, runner->id, sizeof(ret->runner));
        memcpy(ret->org, runner->org, sizeof(ret->org));
    }
    return region != NULL || runner != NULL;
}

int dt_principal_read_bearer(struct dt_runnerd *rd, struct dt_str token, struct dt_principal *ret,
                             struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    if (dt_jwt_shaped(token))
        return read_token(rd, token, ret, err);
    dt_hash(token, hash);
    uint32_t service = dt_services_find(&rd->services, hash);
    *ret = (struct dt_principal){.kind = DT_BY_SERVICE, .service = service};
    if (service != 0 ||
        (dt_directory_key(&rd->directory, hash) == NULL && read_private_key(rd, hash, ret)))
        return 0;
    return read_key(rd, hash, ret, err);
}

struct dt_str dt_principal_bearer(const struct dt_http_req *req)
{
    struct dt_str value = dt_http_req_header(req, "Authorization");
    if (value.n < 7 || !dt_str_eq_nocase(dt_str(value.p, 7), DT_STR("Bearer ")))
        return dt_str(NULL, 0);
    return dt_str_trim(dt_str(value.p + 7, value.n - 7));
}

static int read_peer(struct dt_runnerd *rd, uid_t uid, gid_t gid, struct dt_principal *ret,
                     struct dt_err *err)
{
    const struct dt_user *u = dt_directory_user(&rd->directory, rd->directory.local_user);
    if (dt_peers_check(&rd->peers, uid, gid, err) < 0)
        return -1;
    if (u == NULL)
        return dt_err_set(err, DT_E_UNAUTHORIZED, "Unauthorized: there is no local user");
    *ret = (struct dt_principal){.kind = DT_BY_PEER, .uid = uid};
    set_user(ret, u);
    return 0;
}

int dt_principal_read(struct dt_runnerd *rd, struct dt_http_req *req, struct dt_principal *ret,
                      struct dt_err *err)
{
    uid_t uid;
    gid_t gid;
    struct dt_str token = dt_principal_bearer(req);
    if (token.p != NULL)
        return dt_principal_read_bearer(rd, token, ret, err);
    if (dt_http_req_header(req, "Authorization").p == NULL &&
        dt_conn_peer(dt_http_req_conn(req), &uid, &gid))
        return read_peer(rd, uid, gid, ret, err);
    return dt_err_set(err, DT_E_UNAUTHORIZED,
                      "Unauthorized: send `Authorization: Bearer <API key>`");
}

/* --- what it may do --- */

static int refuse(struct dt_err *err, const char *why)
{
    return dt_err_set(err, DT_E_FORBIDDEN, "Forbidden resource: %s", why);
}

int dt_principal_enter(const struct dt_runnerd *rd, struct dt_principal *p, const char *org,
                       struct dt_err *err)
{
    const struct dt_org *o = dt_directory_org(&rd->directory, org);
    const struct dt_member *m = o != NULL ? dt_org_member(o, p->user) : NULL;
    const struct dt_key *k = p->kind == DT_BY_KEY ? dt_directory_key(&rd->directory, p->key) : NULL;
    if (m == NULL || (p->kind == DT_BY_KEY && (k == NULL || k->org != o)))
        return refuse(err, "you are no member of this organization");
    (void)snprintf(p->org, sizeof(p->org), "%s", o->id);
    p->owner = m->owner;
    p->permissions = k != NULL ? k->permissions : m->permissions;
    return 0;
}

static const char *wanted_org(const struct dt_runnerd *rd, const struct dt_principal *p,
                              const char *path_org, const char *header_org)
{
    if (path_org != NULL)
        return path_org;
    if (p->kind == DT_BY_KEY)
        return p->org;
    if (header_org != NULL)
        return header_org;
    return p->kind == DT_BY_PEER ? rd->directory.local_org : NULL;
}

static int check_permissions(const struct dt_principal *p, const struct dt_route *route,
                             struct dt_err *err)
{
    uint32_t missing = route->permissions & ~p->permissions;
    if (missing == 0)
        return 0;
    return dt_err_set(err, DT_E_FORBIDDEN, "Forbidden resource: this needs the permission %s",
                      dt_permission_text(missing & -missing));
}

static int check_active(const struct dt_runnerd *rd, const struct dt_principal *p,
                        struct dt_err *err)
{
    const struct dt_org *o = dt_directory_org(&rd->directory, p->org);
    if (o == NULL || !dt_org_suspended(o, dt_clock_real_ms()))
        return 0;
    if (o->suspension_reason == NULL || o->suspension_reason[0] == '\0')
        return dt_err_set(err, DT_E_FORBIDDEN, "Organization is suspended");
    return dt_err_set(err, DT_E_FORBIDDEN, "Organization is suspended: %s", o->suspension_reason);
}

/* Members and owners: of which organization, with which permissions. */
static int admit_member(const struct dt_runnerd *rd, struct dt_principal *p,
                        const struct dt_route *route, const char *org, struct dt_err *err)
{
    if (org == NULL)
        return refuse(err, "name the organization in X-Daytona-Organization-ID");
    if (dt_principal_enter(rd, p, org, err) < 0)
        return -1;
    if (route->access == DT_ACCESS_OWNER && !p->owner)
        return refuse(err, "only owners of the organization may do this");
    if (check_permissions(p, route, err) < 0)
        return -1;
    return route->active ? check_active(rd, p, err) : 0;
}

int dt_principal_admit(const struct dt_runnerd *rd, struct dt_principal *p,
                       const struct dt_route *route, const char *path_org, const char *header_org,
                       struct dt_err *err)
{
    if (p->kind == DT_BY_SERVICE)
        return (route->services & p->service) != 0
                   ? 0
                   : refuse(err, "this service has no business here");
    if (route->or_admin && p->admin)
        return 0;
    if (route->login && p->kind == DT_BY_KEY)
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "Unauthorized: this needs a login (an access token of the OpenID issuer, "
                          "or the unix socket); an API key is not enough");
    switch (route->access) {
    case DT_ACCESS_OPEN:
    case DT_ACCESS_USER:
        return 0;
    case DT_ACCESS_ADMIN:
        return p->admin ? 0 : refuse(err, "only administrators of the system may do this");
    case DT_ACCESS_SERVICE:
        return refuse(err, "only services of this server may do this");
    case DT_ACCESS_MEMBER:
    case DT_ACCESS_OWNER:
        break;
    }
    return admit_member(rd, p, route, wanted_org(rd, p, path_org, header_org), err);
}

#include "runnerd/identity/login.h"

#include <stdio.h>

#include "base/log.h"
#include "model/name.h"
#include "runnerd/identity/directory_store.h"
#include "runnerd/identity/identity_store.h"

/* --- what a token says of its user --- */

static const char unnamed[] = "Unknown";

static const char *name_of(const json_t *claims)
{
    static const char *const members[] = {"name", "preferred_username", "nickname", "username"};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *name = dt_json_text(claims, members[i], NULL);
        if (name != NULL && dt_name_check(dt_str_z(name), NULL) == 0)
            return name;
    }
    return unnamed;
}

static const char *email_of(const json_t *claims)
{
    const char *email = dt_json_text(claims, "email", "");
    return dt_email_check(dt_str_z(email), NULL) == 0 ? email : "";
}

/* The user as the token would have it; false when that is what is there. */
static bool differs(const json_t *claims, const struct dt_user *u, struct dt_new_user *ret)
{
    const char *name = name_of(claims), *email = email_of(claims);
    bool verified = dt_json_bool(claims, "email_verified", false);
    bool moved = email[0] != '\0' && !dt_str_eq_nocase(dt_str_z(email), dt_str_z(u->email));
    *ret = (struct dt_new_user){
        .id = u->id,
        .name = strcmp(u->name, unnamed) == 0 ? name : u->name,
        .email = moved ? email : u->email,
        .email_verified = moved ? verified : u->email_verified || (verified && email[0] != '\0'),
    };
    return moved || ret->email_verified != u->email_verified || strcmp(ret->name, u->name) != 0;
}

/* Of a token that was checked: it has one. Far away is never. */
static int64_t end_of(const json_t *claims)
{
    double s = json_number_value(json_object_get(claims, "exp"));
    return s < 1e12 ? (int64_t)((s + DT_OIDC_LEEWAY_S) * 1000) : 0;
}

int dt_login_check(struct dt_runnerd *rd, struct dt_str token, const struct dt_user **user,
                   int64_t *expires_ms, struct dt_err *err)
{
    DT_AUTO_JSON json_t *claims = NULL;
    struct dt_new_user ignored;
    int got = dt_oidc_check(rd->oidc, token, &claims, err);
    if (got != 0)
        return got;
    const struct dt_user *u = dt_directory_user(&rd->directory, dt_json_text(claims, "sub", ""));
    if (u != NULL && u->local)
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "Invalid access token: the local user does not come from an issuer");
    if (u == NULL || differs(claims, u, &ignored))
        return 1;
    *user = u;
    *expires_ms = end_of(claims);
    return 0;
}

/* --- waiting --- */

struct login {
    struct dt_runnerd *rd;
    char *token;
    void (*done)(void *ctx);
    void *ctx;
    json_t *claims;
    struct dt_user *user; /* as the store has it now */
    struct dt_org *org;   /* its personal one */
};

static void finish(struct login *l)
{
    void (*done)(void *ctx) = l->done;
    void *ctx = l->ctx;
    (void)dt_user_free(l->user);
    (void)dt_org_free(l->org);
    json_decref(l->claims);
    free(l->token);
    free(l);
    done(ctx);
}

static int personal_org(struct dt_db_conn *c, const char *user, char org[DT_UUID_SIZE], bool *waits,
                        struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT id, suspension_reason IS ?2 FROM organization WHERE created_by = ?1 "
                    "AND is_personal = 1",
                    DT_DB_ARGS(dt_db_t(user), dt_db_t(DT_SUSPENDED_UNVERIFIED)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    (void)snprintf(org, DT_UUID_SIZE, "%s", got > 0 ? dt_db_text(q, 0) : "");
    *waits = got > 0 && dt_db_int(q, 1) != 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

/* What changed with the token; a new address must be verified anew, one that is now frees the
 * organization that waited for it. */
static int update(struct dt_db_conn *c, struct login *l, struct dt_err *err)
{
    struct dt_new_user next;
    char org[DT_UUID_SIZE];
    bool waits;
    if (l->user->local || !differs(l->claims, l->user, &next))
        return 0;
    if (dt_store_user_edit(c, &next, err) < 0 || personal_org(c, next.id, org, &waits, err) < 0)
        return -1;
    if (waits && next.email_verified && dt_store_org_unsuspend(c, org, err) < 0)
        return -1;
    return 0;
}

static int insert(struct dt_db_conn *c, const struct login *l, const char *id, struct dt_err *err)
{
    char org[DT_UUID_SIZE];
    const char *email = email_of(l->claims);
    const struct dt_new_user user = {
        .id = id,
        .name = name_of(l->claims),
        .email = email,
        .email_verified = email[0] != '\0' && dt_json_bool(l->claims, "email_verified", false),
    };
    if (dt_user_id_check(dt_str_z(id), err) < 0)
        return -1;
    return dt_store_user_add_with_org(c, &user, NULL, NULL, org, err);
}

static int work(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct login *l = arg;
    struct dt_err why;
    char org[DT_UUID_SIZE];
    bool waits;
    const char *id = dt_json_text(l->claims, "sub", "");
    int got = dt_user_load(c, id, &l->user, &why);
    if (got < 0 && why.code != DT_E_NOT_FOUND) {
        *err = why;
        return -1;
    }
    if ((got < 0 ? insert(c, l, id, err) : update(c, l, err)) < 0)
        return -1;
    l->user = dt_user_free(l->user);
    if (dt_user_load(c, id, &l->user, err) < 0 || personal_org(c, id, org, &waits, err) < 0)
        return -1;
    return org[0] != '\0' ? dt_org_load(c, org, &l->org, err) : 0;
}

static void on_worked(void *arg, const struct dt_err *err)
{
    struct login *l = arg;
    struct dt_directory *d = &l->rd->directory;
    if (err != NULL)
        dt_log(DT_LOG_ERROR, "login", "err", err->msg, NULL);
    if (err == NULL) {
        dt_directory_put_user(d, dt_take(l->user));
        if (l->org != NULL)
            dt_directory_put_org(d, dt_take(l->org));
    }
    finish(l);
}

/* The keys are there or will not come: 0 when there is more to wait for. */
static int go_on(struct login *l, struct dt_err *err)
{
    int got = dt_oidc_check(l->rd->oidc, dt_str_z(l->token), &l->claims, err);
    if (got != 0)
        return -1;
    return dt_db_submit(l->rd->db, work, l, on_worked, err);
}

static void on_keys(void *ctx)
{
    struct login *l = ctx;
    struct dt_err ignored;
    if (go_on(l, &ignored) < 0)
        finish(l);
}

int dt_login_wait(struct dt_runnerd *rd, struct dt_str token, void (*done)(void *ctx), void *ctx,
                  struct dt_err *err)
{
    DT_AUTO_JSON json_t *claims = NULL;
    struct login *l = calloc(1, sizeof(*l));
    if (l == NULL || (l->token = strndup(token.p, token.n)) == NULL) {
        free(l);
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    }
    l->rd = rd;
    l->done = done;
    l->ctx = ctx;
    int got = dt_oidc_check(rd->oidc, token, &claims, err);
    if (got == 1)
        got = dt_oidc_wait(rd->oidc, on_keys, l, err);
    else if (got == 0)
        got = go_on(l, err);
    if (got == 0)
        return 0;
    json_decref(l->claims);
    free(l->token);
    free(l);
    return -1;
}

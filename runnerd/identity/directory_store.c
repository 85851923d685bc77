#include "runnerd/identity/directory_store.h"

#include <stdio.h>

#define USER_COLUMNS                                                                               \
    "id, name, email, email_verified, is_admin, coalesce(local_user, 0), created_ms, updated_ms"
#define ORG_COLUMNS                                                                                \
    "id, name, created_by, is_personal, suspended_ms, suspended_until_ms, suspension_reason, "     \
    "suspension_grace_hours, default_region, limited_egress, created_ms, updated_ms, total_cpu, "  \
    "total_memory, total_disk, max_cpu, max_memory, max_disk, snapshot_quota, max_snapshot_size, " \
    "volume_quota, rate_authenticated, rate_authenticated_s, rate_create, rate_create_s, "         \
    "rate_lifecycle, rate_lifecycle_s, snapshot_rest_min, otel_config, experimental_config"

enum { FIRST_QUOTA_COLUMN = 12, FIRST_SEALED_COLUMN = FIRST_QUOTA_COLUMN + DT_QUOTAS };

static int no_memory(struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOMEM, "directory");
}

/* Room for one more in an array of n; NULL without memory. Grows by doubling. */
static void *grown(void *array, size_t n, size_t size)
{
    if ((n & (n - 1)) != 0)
        return array;
    return realloc(array, (n > 0 ? 2 * n : 1) * size);
}

/* SQL's NULL stays NULL. */
static int copy(struct dt_db_rows *q, int column, char **at)
{
    const char *z = dt_db_text(q, column);
    *at = z != NULL ? strdup(z) : NULL;
    return z != NULL && *at == NULL ? -1 : 0;
}

static int copy_sealed(struct dt_db_rows *q, int column, struct dt_sealed *out)
{
    struct dt_str b = dt_db_blob(q, column);
    if (b.n == 0)
        return 0;
    out->p = malloc(b.n);
    if (out->p == NULL)
        return -1;
    memcpy(out->p, b.p, b.n);
    out->n = b.n;
    return 0;
}

static void copy_id(struct dt_db_rows *q, int column, char out[DT_UUID_SIZE])
{
    const char *z = dt_db_text(q, column);
    (void)snprintf(out, DT_UUID_SIZE, "%s", z != NULL ? z : "");
}

/* Calls `each` for every row of a running query and ends it. */
static int for_rows(struct dt_db_rows *q, int (*each)(struct dt_db_rows *q, void *ctx), void *ctx,
                    struct dt_err *err)
{
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        if (each(q, ctx) < 0) {
            got = no_memory(err);
            break;
        }
    }
    dt_db_end(q);
    return got;
}

/* --- roles --- */

struct roles {
    struct dt_role *all;
    size_t n;
};

static int add_role(struct dt_db_rows *q, void *ctx)
{
    struct roles *r = ctx;
    struct dt_role *more = grown(r->all, r->n, sizeof(*more));
    if (more == NULL)
        return -1;
    r->all = more;
    struct dt_role *x = &r->all[r->n++];
    memset(x, 0, sizeof(*x));
    copy_id(q, 0, x->id);
    x->permissions = dt_permissions_parse(dt_db_text(q, 3));
    x->created_ms = dt_db_int(q, 4);
    x->updated_ms = dt_db_int(q, 5);
    return copy(q, 1, &x->name) < 0 || copy(q, 2, &x->description) < 0 ? -1 : 0;
}

/* What was read is in *r also after a failure. */
static int load_roles(struct dt_db_conn *c, const char *org, struct roles *r, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT id, name, description, permissions, created_ms, updated_ms FROM role "
                    "WHERE organization_id IS ?1 ORDER BY created_ms, id",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    return for_rows(q, add_role, r, err);
}

/* --- one organization --- */

static int fill_org(struct dt_db_rows *q, struct dt_org *o)
{
    copy_id(q, 0, o->id);
    o->personal = dt_db_int(q, 3) != 0;
    o->suspended_ms = dt_db_int(q, 4);
    o->suspended_until_ms = dt_db_int(q, 5);
    o->suspension_grace_hours = dt_db_int(q, 7);
    o->limited_egress = dt_db_int(q, 9) != 0;
    o->created_ms = dt_db_int(q, 10);
    o->updated_ms = dt_db_int(q, 11);
    for (int i = 0; i < DT_QUOTAS; i++)
        o->quotas[i] =
            dt_db_is_null(q, FIRST_QUOTA_COLUMN + i) ? -1 : dt_db_int(q, FIRST_QUOTA_COLUMN + i);
    return copy(q, 1, &o->name) < 0 || copy(q, 2, &o->created_by) < 0 ||
                   copy(q, 6, &o->suspension_reason) < 0 || copy(q, 8, &o->default_region) < 0 ||
                   copy_sealed(q, FIRST_SEALED_COLUMN, &o->otel) < 0 ||
                   copy_sealed(q, FIRST_SEALED_COLUMN + 1, &o->experimental) < 0
               ? -1
               : 0;
}

static int add_member(struct dt_db_rows *q, void *ctx)
{
    struct dt_org *o = ctx;
    struct dt_member *more = grown(o->members, o->nmembers, sizeof(*more));
    if (more == NULL)
        return -1;
    o->members = more;
    struct dt_member *m = &o->members[o->nmembers++];
    memset(m, 0, sizeof(*m));
    m->owner = dt_db_int(q, 1) != 0;
    m->permissions = m->owner ? DT_PERM_ALL : 0;
    m->created_ms = dt_db_int(q, 2);
    m->updated_ms = dt_db_int(q, 3);
    return copy(q, 0, &m->user);
}

/* One role of one member, with the role's permissions. */
static int add_member_role(struct dt_db_rows *q, void *ctx)
{
    struct dt_org *o = ctx;
    struct dt_member *m = dt_org_member(o, dt_db_text(q, 0));
    if (m == NULL)
        return 0;
    void *more = grown(m->roles, m->nroles, sizeof(m->roles[0]));
    if (more == NULL)
        return -1;
    m->roles = more;
    copy_id(q, 1, m->roles[m->nroles++]);
    m->permissions |= dt_permissions_parse(dt_db_text(q, 2));
    return 0;
}

static int add_key(struct dt_db_rows *q, void *ctx)
{
    struct dt_org *o = ctx;
    struct dt_key *more = grown(o->keys, o->nkeys, sizeof(*more));
    struct dt_str hash = dt_db_blob(q, 0);
    if (more == NULL || hash.n != DT_HASH_SIZE)
        return -1;
    o->keys = more;
    struct dt_key *k = &o->keys[o->nkeys++];
    memset(k, 0, sizeof(*k));
    memcpy(k->hash, hash.p, sizeof(k->hash));
    (void)snprintf(k->prefix, sizeof(k->prefix), "%s", dt_db_text(q, 3));
    (void)snprintf(k->suffix, sizeof(k->suffix), "%s", dt_db_text(q, 4));
    k->permissions = dt_permissions_parse(dt_db_text(q, 5));
    k->created_ms = dt_db_int(q, 6);
    k->expires_ms = dt_db_int(q, 7);
    k->last_used_ms = dt_db_int(q, 8);
    return copy(q, 1, &k->user) < 0 || copy(q, 2, &k->name) < 0 ? -1 : 0;
}

static int load_members(struct dt_db_conn *c, struct dt_org *o, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT user_id, is_owner, created_ms, updated_ms FROM member WHERE "
                    "organization_id = ?1 ORDER BY created_ms, user_id",
                    DT_DB_ARGS(dt_db_t(o->id)), &q, err) < 0 ||
        for_rows(q, add_member, o, err) < 0)
        return -1;
    if (dt_db_query(c,
                    "SELECT m.user_id, r.id, r.permissions FROM member_role m JOIN role r ON "
                    "r.id = m.role_id WHERE m.organization_id = ?1 ORDER BY r.id",
                    DT_DB_ARGS(dt_db_t(o->id)), &q, err) < 0)
        return -1;
    return for_rows(q, add_member_role, o, err);
}

static int load_keys(struct dt_db_conn *c, struct dt_org *o, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT hash, user_id, name, prefix, suffix, permissions, created_ms, "
                    "expires_ms, last_used_ms FROM api_key WHERE organization_id = ?1",
                    DT_DB_ARGS(dt_db_t(o->id)), &q, err) < 0)
        return -1;
    return for_rows(q, add_key, o, err);
}

int dt_org_load(struct dt_db_conn *c, const char *id, struct dt_org **ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    DT_AUTO(dt_org_free) struct dt_org *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return no_memory(err);
    if (dt_db_query(c, "SELECT " ORG_COLUMNS " FROM organization WHERE id = ?1",
                    DT_DB_ARGS(dt_db_t(id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int filled = got > 0 ? fill_org(q, o) : 0;
    dt_db_end(q);
    if (got < 0)
        return -1;
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Organization with ID %s not found", id);
    struct roles roles = {NULL, 0};
    int loaded = filled < 0 ? no_memory(err) : load_roles(c, o->id, &roles, err);
    o->roles = roles.all;
    o->nroles = roles.n;
    if (loaded < 0 || load_members(c, o, err) < 0 || load_keys(c, o, err) < 0)
        return -1;
    *ret = dt_take(o);
    return 0;
}

/* --- users --- */

static struct dt_user *read_user(struct dt_db_rows *q)
{
    struct dt_user *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return NULL;
    u->email_verified = dt_db_int(q, 3) != 0;
    u->admin = dt_db_int(q, 4) != 0;
    u->local = dt_db_int(q, 5) != 0;
    u->created_ms = dt_db_int(q, 6);
    u->updated_ms = dt_db_int(q, 7);
    if (copy(q, 0, &u->id) < 0 || copy(q, 1, &u->name) < 0 || copy(q, 2, &u->email) < 0)
        return dt_user_free(u);
    return u;
}

int dt_user_load(struct dt_db_conn *c, const char *id, struct dt_user **ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT " USER_COLUMNS " FROM user WHERE id = ?1", DT_DB_ARGS(dt_db_t(id)),
                    &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    struct dt_user *u = got > 0 ? read_user(q) : NULL;
    dt_db_end(q);
    if (got < 0)
        return -1;
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "User with ID %s not found", id);
    if (u == NULL)
        return no_memory(err);
    *ret = u;
    return 0;
}

/* --- all of it --- */

static int add_user(struct dt_db_rows *q, void *ctx)
{
    struct dt_directory *d = ctx;
    struct dt_user *u = read_user(q);
    if (u == NULL)
        return -1;
    if (u->local)
        (void)snprintf(d->local_user, sizeof(d->local_user), "%s", u->id);
    dt_directory_put_user(d, u);
    return 0;
}

struct ids {
    char (*all)[DT_UUID_SIZE];
    size_t n;
};

static int add_id(struct dt_db_rows *q, void *ctx)
{
    struct ids *ids = ctx;
    void *more = grown(ids->all, ids->n, sizeof(ids->all[0]));
    if (more == NULL)
        return -1;
    ids->all = more;
    copy_id(q, 0, ids->all[ids->n++]);
    return 0;
}

int dt_directory_load(struct dt_directory *d, struct dt_db_conn *c, struct dt_err *err)
{
    struct dt_db_rows *q;
    struct ids ids = {NULL, 0};
    struct roles roles = {NULL, 0};
    int loaded = load_roles(c, NULL, &roles, err);
    d->builtin = roles.all;
    d->nbuiltin = roles.n;
    if (loaded < 0 || dt_db_query(c, "SELECT " USER_COLUMNS " FROM user", NULL, &q, err) < 0 ||
        for_rows(q, add_user, d, err) < 0 ||
        dt_db_query(c, "SELECT id FROM organization", NULL, &q, err) < 0)
        return -1;
    loaded = for_rows(q, add_id, &ids, err);
    for (size_t i = 0; loaded == 0 && i < ids.n; i++) {
        struct dt_org *o = NULL;
        loaded = dt_org_load(c, ids.all[i], &o, err);
        if (loaded == 0)
            dt_directory_put_org(d, o);
    }
    free(ids.all);
    const struct dt_org *local = dt_directory_personal(d, d->local_user);
    (void)snprintf(d->local_org, sizeof(d->local_org), "%s", local != NULL ? local->id : "");
    return loaded;
}

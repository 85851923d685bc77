#include "runnerd/region.h"

#include <stdio.h>

#include "base/clock.h"

#define COLUMNS                                                                                    \
    "id, organization_id, name, proxy_url, ssh_gateway_url, proxy_key, ssh_gateway_key, "          \
    "created_ms, updated_ms"

/* --- the table --- */

struct dt_region *dt_region_free(struct dt_region *r)
{
    if (r == NULL)
        return NULL;
    free(r->name);
    free(r->proxy_url);
    free(r->ssh_gateway_url);
    free(r);
    return NULL;
}

void dt_regions_clear(struct dt_regions *t)
{
    while (t->first != NULL) {
        struct dt_region *r = t->first;
        t->first = r->next;
        (void)dt_region_free(r);
    }
}

void dt_regions_remove(struct dt_regions *t, const char *id)
{
    for (struct dt_region **at = &t->first; *at != NULL; at = &(*at)->next) {
        struct dt_region *r = *at;
        if (strcmp(r->id, id) != 0)
            continue;
        *at = r->next;
        (void)dt_region_free(r);
        return;
    }
}

void dt_regions_remove_of(struct dt_regions *t, const char *org)
{
    for (struct dt_region **at = &t->first; *at != NULL;) {
        struct dt_region *r = *at;
        if (strcmp(r->org, org) != 0) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        (void)dt_region_free(r);
    }
}

void dt_regions_put(struct dt_regions *t, struct dt_region *r)
{
    struct dt_region **at = &t->first;
    dt_regions_remove(t, r->id);
    while (*at != NULL)
        at = &(*at)->next;
    r->next = NULL;
    *at = r;
}

const struct dt_region *dt_regions_find(const struct dt_regions *t, const char *org,
                                        const char *id_or_name)
{
    for (const struct dt_region *r = t->first; r != NULL; r = r->next) {
        if (strcmp(r->org, org) == 0 &&
            (strcmp(r->id, id_or_name) == 0 || strcmp(r->name, id_or_name) == 0))
            return r;
    }
    return NULL;
}

const struct dt_region *dt_regions_by_id(const struct dt_regions *t, const char *id)
{
    const struct dt_region *r = t->first;
    while (r != NULL && strcmp(r->id, id) != 0)
        r = r->next;
    return r;
}

const struct dt_region *dt_regions_by_key(const struct dt_regions *t,
                                          const uint8_t hash[DT_HASH_SIZE], uint32_t *service)
{
    for (const struct dt_region *r = t->first; r != NULL; r = r->next) {
        bool proxy = r->has_proxy_key && dt_equal_secret(r->proxy_key, hash, DT_HASH_SIZE);
        bool ssh =
            r->has_ssh_gateway_key && dt_equal_secret(r->ssh_gateway_key, hash, DT_HASH_SIZE);
        if (proxy || ssh) {
            *service = proxy ? DT_SERVICE_PROXY : DT_SERVICE_SSH_GATEWAY;
            return r;
        }
    }
    return NULL;
}

/* --- the store --- */

static char *text(struct dt_db_rows *q, int column, bool *failed)
{
    const char *z = dt_db_text(q, column);
    char *copy = z != NULL ? strdup(z) : NULL;
    *failed = *failed || (z != NULL && copy == NULL);
    return copy;
}

static bool hash(struct dt_db_rows *q, int column, uint8_t out[DT_HASH_SIZE])
{
    struct dt_str b = dt_db_blob(q, column);
    if (b.n != DT_HASH_SIZE)
        return false;
    memcpy(out, b.p, DT_HASH_SIZE);
    return true;
}

static int read_row(struct dt_db_rows *q, struct dt_region **ret, struct dt_err *err)
{
    bool failed = false;
    DT_AUTO(dt_region_free) struct dt_region *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return dt_err_set(err, DT_E_NOMEM, "region");
    (void)snprintf(r->id, sizeof(r->id), "%s", dt_db_text(q, 0));
    (void)snprintf(r->org, sizeof(r->org), "%s", dt_db_text(q, 1));
    r->name = text(q, 2, &failed);
    r->proxy_url = text(q, 3, &failed);
    r->ssh_gateway_url = text(q, 4, &failed);
    r->has_proxy_key = hash(q, 5, r->proxy_key);
    r->has_ssh_gateway_key = hash(q, 6, r->ssh_gateway_key);
    r->created_ms = dt_db_int(q, 7);
    r->updated_ms = dt_db_int(q, 8);
    if (failed)
        return dt_err_set(err, DT_E_NOMEM, "region");
    *ret = dt_take(r);
    return 0;
}

int dt_regions_load(struct dt_regions *t, struct dt_db_conn *c, struct dt_err *err)
{
    struct dt_db_rows *q;
    struct dt_region **at = &t->first;
    if (dt_db_query(c, "SELECT " COLUMNS " FROM region ORDER BY created_ms, id", NULL, &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        if (read_row(q, at, err) < 0) {
            got = -1;
            break;
        }
        at = &(*at)->next;
    }
    dt_db_end(q);
    return got;
}

int dt_store_region_get(struct dt_db_conn *c, const char *org, const char *id,
                        struct dt_region **ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT " COLUMNS " FROM region WHERE id = ?1 AND organization_id = ?2",
                    DT_DB_ARGS(dt_db_t(id), dt_db_t(org)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int result = got > 0 ? read_row(q, ret, err) : got;
    dt_db_end(q);
    return got == 0 ? dt_err_set(err, DT_E_NOT_FOUND, "Region not found") : result;
}

static int check_room(struct dt_db_conn *c, const char *org, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT count(*) FROM region WHERE organization_id = ?1",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    bool full = got > 0 && dt_db_int(q, 0) >= DT_REGIONS_MAX;
    dt_db_end(q);
    if (got < 0)
        return -1;
    return full ? dt_err_set(err, DT_E_FORBIDDEN, "You have reached the maximum number of regions")
                : 0;
}

static struct dt_db_arg key_arg(bool has, const uint8_t key[DT_HASH_SIZE])
{
    return has ? dt_db_b(key, DT_HASH_SIZE) : dt_db_null();
}

int dt_store_region_add(struct dt_db_conn *c, const struct dt_region *r, struct dt_err *err)
{
    struct dt_err why;
    if (check_room(c, r->org, err) < 0)
        return -1;
    if (dt_db_run(c, "INSERT INTO region (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
                  DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->org), dt_db_t(r->name),
                             dt_db_t(r->proxy_url), dt_db_t(r->ssh_gateway_url),
                             key_arg(r->has_proxy_key, r->proxy_key),
                             key_arg(r->has_ssh_gateway_key, r->ssh_gateway_key),
                             dt_db_i(dt_clock_real_ms())),
                  NULL, &why) == 0)
        return 0;
    if (why.code == DT_E_CONFLICT)
        return dt_err_set(err, DT_E_CONFLICT, "Region with name %s already exists", r->name);
    *err = why;
    return -1;
}

int dt_store_region_edit(struct dt_db_conn *c, const struct dt_region *r, struct dt_err *err)
{
    int64_t changed = 0;
    if (dt_db_run(c,
                  "UPDATE region SET proxy_url = ?3, ssh_gateway_url = ?4, proxy_key = ?5, "
                  "ssh_gateway_key = ?6, updated_ms = ?7 WHERE id = ?1 AND organization_id = ?2",
                  DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->org), dt_db_t(r->proxy_url),
                             dt_db_t(r->ssh_gateway_url), key_arg(r->has_proxy_key, r->proxy_key),
                             key_arg(r->has_ssh_gateway_key, r->ssh_gateway_key),
                             dt_db_i(dt_clock_real_ms())),
                  &changed, err) < 0)
        return -1;
    return changed == 1 ? 0 : dt_err_set(err, DT_E_NOT_FOUND, "Region not found");
}

int dt_store_region_delete(struct dt_db_conn *c, const struct dt_region *r, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT count(*) FROM sandbox WHERE organization_id = ?1 AND target IN "
                    "(?2, ?3) AND state <> 'destroyed'",
                    DT_DB_ARGS(dt_db_t(r->org), dt_db_t(r->id), dt_db_t(r->name)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    long long sandboxes = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    if (got < 0)
        return -1;
    if (sandboxes > 0)
        return dt_err_set(err, DT_E_CONFLICT,
                          "The region still has %lld sandboxes: delete them first", sandboxes);
    return dt_db_run(c, "DELETE FROM region WHERE id = ?1", DT_DB_ARGS(dt_db_t(r->id)), NULL, err);
}

#include "base/clock.h"
#include "runnerd/identity/identity_store.h"

static struct dt_db_arg quota(const int64_t *quotas, enum dt_quota which)
{
    return quotas != NULL && quotas[which] >= 0 ? dt_db_i(quotas[which]) : dt_db_null();
}

#define QUOTA_ARGS(q)                                                                              \
    quota(q, DT_QUOTA_TOTAL_CPU), quota(q, DT_QUOTA_TOTAL_MEMORY), quota(q, DT_QUOTA_TOTAL_DISK),  \
        quota(q, DT_QUOTA_MAX_CPU), quota(q, DT_QUOTA_MAX_MEMORY), quota(q, DT_QUOTA_MAX_DISK),    \
        quota(q, DT_QUOTA_SNAPSHOTS), quota(q, DT_QUOTA_SNAPSHOT_SIZE), quota(q, DT_QUOTA_VOLUMES)

#define OTHER_ARGS(q)                                                                              \
    quota(q, DT_QUOTA_AUTHENTICATED_RATE), quota(q, DT_QUOTA_AUTHENTICATED_RATE_S),                \
        quota(q, DT_QUOTA_CREATE_RATE), quota(q, DT_QUOTA_CREATE_RATE_S),                          \
        quota(q, DT_QUOTA_LIFECYCLE_RATE), quota(q, DT_QUOTA_LIFECYCLE_RATE_S),                    \
        quota(q, DT_QUOTA_SNAPSHOT_REST)

int dt_store_org_add(struct dt_db_conn *c, const struct dt_new_org *in, char id[DT_UUID_SIZE],
                     struct dt_err *err)
{
    int64_t now = dt_clock_real_ms();
    char fresh[DT_UUID_SIZE];
    dt_rand_uuid(fresh);
    if (dt_db_run(c,
                  "INSERT INTO organization (id, name, created_by, is_personal, suspended_ms, "
                  "suspension_reason, default_region, created_ms, updated_ms, total_cpu, "
                  "total_memory, total_disk, max_cpu, max_memory, max_disk, snapshot_quota, "
                  "max_snapshot_size, volume_quota) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, "
                  "?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
                  DT_DB_ARGS(dt_db_t(fresh), dt_db_t(in->name), dt_db_t(in->created_by),
                             dt_db_i(in->personal),
                             in->suspension_reason != NULL ? dt_db_i(now) : dt_db_null(),
                             dt_db_t(in->suspension_reason), dt_db_t(in->default_region),
                             dt_db_i(now), QUOTA_ARGS(in->quotas)),
                  NULL, err) < 0 ||
        dt_store_member_add(c, fresh, in->created_by, &(struct dt_access){.owner = true}, err) < 0)
        return -1;
    memcpy(id, fresh, sizeof(fresh));
    return 0;
}

int dt_store_org_count(struct dt_db_conn *c, const char *created_by, int64_t *ret,
                       struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT count(*) FROM organization WHERE created_by = ?1 AND is_personal = 0",
                    DT_DB_ARGS(dt_db_t(created_by)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static int not_found(const char *id, struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOT_FOUND, "Organization with ID %s not found", id);
}

static int must_be_one(int run, int64_t changed, const char *id, struct dt_err *err)
{
    if (run < 0)
        return -1;
    return changed == 1 ? 0 : not_found(id, err);
}

int dt_store_org_delete(struct dt_db_conn *c, const char *id, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT is_personal, (SELECT count(*) FROM sandbox WHERE organization_id = ?1 "
                    "AND state <> 'destroyed'), (SELECT count(*) FROM volume WHERE "
                    "organization_id = ?1 AND state <> 'deleted') FROM organization WHERE id = ?1",
                    DT_DB_ARGS(dt_db_t(id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    bool personal = got > 0 && dt_db_int(q, 0) != 0;
    long long sandboxes = got > 0 ? dt_db_int(q, 1) : 0;
    long long volumes = got > 0 ? dt_db_int(q, 2) : 0;
    dt_db_end(q);
    if (got <= 0)
        return got < 0 ? -1 : not_found(id, err);
    if (personal)
        return dt_err_set(err, DT_E_FORBIDDEN, "Cannot delete personal organization");
    if (sandboxes > 0 || volumes > 0)
        return dt_err_set(err, DT_E_CONFLICT,
                          "The organization still has %lld sandboxes and %lld volumes: delete them "
                          "first",
                          sandboxes, volumes);
    /* What is left of deleted ones points to it. */
    if (dt_db_run(c, "DELETE FROM sandbox WHERE organization_id = ?1", DT_DB_ARGS(dt_db_t(id)),
                  NULL, err) < 0 ||
        dt_db_run(c, "DELETE FROM volume WHERE organization_id = ?1", DT_DB_ARGS(dt_db_t(id)), NULL,
                  err) < 0)
        return -1;
    return dt_db_run(c, "DELETE FROM organization WHERE id = ?1", DT_DB_ARGS(dt_db_t(id)), NULL,
                     err);
}

int dt_store_org_suspend(struct dt_db_conn *c, const char *id, const char *reason, int64_t until_ms,
                         int64_t grace_hours, struct dt_err *err)
{
    int64_t changed = 0, now = dt_clock_real_ms();
    int run =
        dt_db_run(c,
                  "UPDATE organization SET suspended_ms = ?2, suspension_reason = ?3, "
                  "suspended_until_ms = ?4, suspension_grace_hours = ?5, updated_ms = ?2 "
                  "WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(id), dt_db_i(now), dt_db_t(reason),
                             until_ms > 0 ? dt_db_i(until_ms) : dt_db_null(), dt_db_i(grace_hours)),
                  &changed, err);
    return must_be_one(run, changed, id, err);
}

int dt_store_org_unsuspend(struct dt_db_conn *c, const char *id, struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(c,
                        "UPDATE organization SET suspended_ms = NULL, suspension_reason = NULL, "
                        "suspended_until_ms = NULL, updated_ms = ?2 WHERE id = ?1",
                        DT_DB_ARGS(dt_db_t(id), dt_db_i(dt_clock_real_ms())), &changed, err);
    return must_be_one(run, changed, id, err);
}

int dt_store_org_quotas(struct dt_db_conn *c, const char *id, const int64_t quotas[DT_QUOTAS],
                        struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(
        c,
        "UPDATE organization SET total_cpu = coalesce(?3, total_cpu), total_memory = coalesce(?4, "
        "total_memory), total_disk = coalesce(?5, total_disk), max_cpu = coalesce(?6, max_cpu), "
        "max_memory = coalesce(?7, max_memory), max_disk = coalesce(?8, max_disk), "
        "snapshot_quota = coalesce(?9, snapshot_quota), max_snapshot_size = coalesce(?10, "
        "max_snapshot_size), volume_quota = coalesce(?11, volume_quota), rate_authenticated = "
        "coalesce(?12, rate_authenticated), rate_authenticated_s = coalesce(?13, "
        "rate_authenticated_s), rate_create = coalesce(?14, rate_create), rate_create_s = "
        "coalesce(?15, rate_create_s), rate_lifecycle = coalesce(?16, rate_lifecycle), "
        "rate_lifecycle_s = coalesce(?17, rate_lifecycle_s), snapshot_rest_min = coalesce(?18, "
        "snapshot_rest_min), updated_ms = ?2 WHERE id = ?1",
        DT_DB_ARGS(dt_db_t(id), dt_db_i(dt_clock_real_ms()), QUOTA_ARGS(quotas),
                   OTHER_ARGS(quotas)),
        &changed, err);
    return must_be_one(run, changed, id, err);
}

int dt_store_org_quotas_reset(struct dt_db_conn *c, const char *id, struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(c,
                        "UPDATE organization SET total_cpu = NULL, total_memory = NULL, "
                        "total_disk = NULL, max_cpu = NULL, max_memory = NULL, max_disk = NULL, "
                        "updated_ms = ?2 WHERE id = ?1",
                        DT_DB_ARGS(dt_db_t(id), dt_db_i(dt_clock_real_ms())), &changed, err);
    return must_be_one(run, changed, id, err);
}

int dt_store_org_region(struct dt_db_conn *c, const char *id, const char *region,
                        struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(
        c, "UPDATE organization SET default_region = ?2, updated_ms = ?3 WHERE id = ?1",
        DT_DB_ARGS(dt_db_t(id), dt_db_t(region), dt_db_i(dt_clock_real_ms())), &changed, err);
    return must_be_one(run, changed, id, err);
}

int dt_store_org_egress(struct dt_db_conn *c, const char *id, bool limited, struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(
        c, "UPDATE organization SET limited_egress = ?2, updated_ms = ?3 WHERE id = ?1",
        DT_DB_ARGS(dt_db_t(id), dt_db_i(limited), dt_db_i(dt_clock_real_ms())), &changed, err);
    return must_be_one(run, changed, id, err);
}

static struct dt_db_arg blob_or_null(struct dt_str s)
{
    return s.n > 0 ? dt_db_b(s.p, s.n) : dt_db_null();
}

int dt_store_org_otel(struct dt_db_conn *c, const char *id, struct dt_str sealed,
                      struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(
        c, "UPDATE organization SET otel_config = ?2, updated_ms = ?3 WHERE id = ?1",
        DT_DB_ARGS(dt_db_t(id), blob_or_null(sealed), dt_db_i(dt_clock_real_ms())), &changed, err);
    return must_be_one(run, changed, id, err);
}

int dt_store_org_experimental(struct dt_db_conn *c, const char *id, struct dt_str sealed,
                              struct dt_err *err)
{
    int64_t changed = 0;
    int run = dt_db_run(
        c, "UPDATE organization SET experimental_config = ?2, updated_ms = ?3 WHERE id = ?1",
        DT_DB_ARGS(dt_db_t(id), blob_or_null(sealed), dt_db_i(dt_clock_real_ms())), &changed, err);
    return must_be_one(run, changed, id, err);
}

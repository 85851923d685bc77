#include "base/clock.h"
#include "runnerd/identity/identity_store.h"

static int insert(struct dt_db_conn *c, const struct dt_new_key *in, struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    char prefix[4], suffix[4], text[DT_PERMISSIONS_TEXT_MAX];
    dt_hash(dt_str_z(in->text), hash);
    dt_api_key_ends(dt_str_z(in->text), prefix, suffix);
    return dt_db_run(c, "INSERT INTO api_key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL)",
                     DT_DB_ARGS(dt_db_b(hash, sizeof(hash)), dt_db_t(in->org), dt_db_t(in->user),
                                dt_db_t(in->name), dt_db_t(prefix), dt_db_t(suffix),
                                dt_db_t(dt_permissions_print(in->permissions, text)),
                                dt_db_i(dt_clock_real_ms()),
                                in->expires_ms > 0 ? dt_db_i(in->expires_ms) : dt_db_null()),
                     NULL, err);
}

static int count_keys(struct dt_db_conn *c, const struct dt_new_key *in, int64_t *all,
                      int64_t *same_name, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT count(*), coalesce(sum(name = ?3), 0) FROM api_key WHERE "
                    "organization_id = ?1 AND user_id = ?2",
                    DT_DB_ARGS(dt_db_t(in->org), dt_db_t(in->user), dt_db_t(in->name)), &q,
                    err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *all = got > 0 ? dt_db_int(q, 0) : 0;
    *same_name = got > 0 ? dt_db_int(q, 1) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_key_add(struct dt_db_conn *c, const struct dt_new_key *in, struct dt_err *err)
{
    int64_t all, same_name;
    uint32_t held;
    if (dt_store_member_permissions(c, in->org, in->user, &held, err) < 0 ||
        count_keys(c, in, &all, &same_name, err) < 0)
        return -1;
    if (!dt_permissions_allow(held, in->permissions))
        return dt_err_set(err, DT_E_FORBIDDEN, "Insufficient permissions for this key");
    if (same_name > 0)
        return dt_err_set(err, DT_E_CONFLICT, "API key with this name already exists");
    if (all >= DT_KEYS_PER_MEMBER_MAX)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "A member has at most %d API keys in an organization: delete some first",
                          DT_KEYS_PER_MEMBER_MAX);
    return insert(c, in, err);
}

int dt_store_key_set(struct dt_db_conn *c, const struct dt_new_key *in, struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    int64_t all, same_name;
    dt_hash(dt_str_z(in->text), hash);
    if (dt_db_run(c,
                  "DELETE FROM api_key WHERE (hash = ?4) <> (organization_id = ?1 AND user_id = ?2 "
                  "AND name = ?3)",
                  DT_DB_ARGS(dt_db_t(in->org), dt_db_t(in->user), dt_db_t(in->name),
                             dt_db_b(hash, sizeof(hash))),
                  NULL, err) < 0 ||
        count_keys(c, in, &all, &same_name, err) < 0)
        return -1;
    return same_name > 0 ? 0 : insert(c, in, err);
}

int dt_store_key_delete(struct dt_db_conn *c, const char *org, const char *user, const char *name,
                        struct dt_err *err)
{
    int64_t changed = 0;
    if (dt_db_run(c,
                  "DELETE FROM api_key WHERE organization_id = ?1 AND user_id = ?2 AND name = ?3",
                  DT_DB_ARGS(dt_db_t(org), dt_db_t(user), dt_db_t(name)), &changed, err) < 0)
        return -1;
    return changed > 0 ? 0 : dt_err_set(err, DT_E_NOT_FOUND, "API key not found");
}

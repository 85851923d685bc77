#include "base/clock.h"
#include "runnerd/identity/identity_store.h"

int dt_store_user_add(struct dt_db_conn *c, const struct dt_new_user *in, struct dt_err *err)
{
    struct dt_err why;
    int64_t now = dt_clock_real_ms();
    if (dt_db_run(c, "INSERT INTO user VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                  DT_DB_ARGS(dt_db_t(in->id), dt_db_t(in->name), dt_db_t(in->email),
                             dt_db_i(in->email_verified), dt_db_i(in->admin),
                             in->local ? dt_db_i(1) : dt_db_null(), dt_db_i(now)),
                  NULL, &why) == 0)
        return 0;
    if (why.code == DT_E_CONFLICT)
        return dt_err_set(err, DT_E_CONFLICT, "User with ID %s already exists", in->id);
    *err = why;
    return -1;
}

int dt_store_user_edit(struct dt_db_conn *c, const struct dt_new_user *in, struct dt_err *err)
{
    return dt_db_run(c,
                     "UPDATE user SET name = ?2, email = ?3, email_verified = ?4, updated_ms = ?5 "
                     "WHERE id = ?1",
                     DT_DB_ARGS(dt_db_t(in->id), dt_db_t(in->name), dt_db_t(in->email),
                                dt_db_i(in->email_verified), dt_db_i(dt_clock_real_ms())),
                     NULL, err);
}

int dt_store_user_add_with_org(struct dt_db_conn *c, const struct dt_new_user *in,
                               const int64_t *quotas, const char *region, char org[DT_UUID_SIZE],
                               struct dt_err *err)
{
    const struct dt_new_org personal = {
        .name = "Personal",
        .created_by = in->id,
        .personal = true,
        .default_region = region,
        .suspension_reason = in->email_verified ? NULL : DT_SUSPENDED_UNVERIFIED,
        .quotas = quotas,
    };
    if (dt_store_user_add(c, in, err) < 0)
        return -1;
    return dt_store_org_add(c, &personal, org, err);
}

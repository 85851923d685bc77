#include "runnerd/identity/bootstrap.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"
#include "runnerd/identity/identity_store.h"

/* The first column of one row; *ret is empty when there is none. */
static int one_text(struct dt_db_conn *c, struct dt_db_rows *q, char *ret, size_t size,
                    struct dt_err *err)
{
    (void)c;
    int got = dt_db_next(q, err);
    (void)snprintf(ret, size, "%s", got > 0 ? dt_db_text(q, 0) : "");
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static int local_user(struct dt_db_conn *c, char user[DT_USER_ID_SIZE], struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT id FROM user WHERE local_user = 1", NULL, &q, err) < 0 ||
        one_text(c, q, user, DT_USER_ID_SIZE, err) < 0)
        return -1;
    if (user[0] != '\0')
        return 0;
    dt_rand_uuid(user);
    return dt_store_user_add(
        c,
        &(struct dt_new_user){
            .id = user, .name = "local", .email = "", .admin = true, .local = true},
        err);
}

static int personal_org(struct dt_db_conn *c, const char *user, char org[DT_UUID_SIZE],
                        struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT id FROM organization WHERE created_by = ?1 AND is_personal = 1",
                    DT_DB_ARGS(dt_db_t(user)), &q, err) < 0 ||
        one_text(c, q, org, DT_UUID_SIZE, err) < 0)
        return -1;
    if (org[0] != '\0')
        return 0;
    return dt_store_org_add(
        c, &(struct dt_new_org){.name = "Personal", .created_by = user, .personal = true}, org,
        err);
}

static int any_key(struct dt_db_conn *c, bool *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT 1 FROM api_key LIMIT 1", NULL, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    dt_db_end(q);
    *ret = got > 0;
    return got < 0 ? -1 : 0;
}

static int bootstrap(struct dt_db_conn *c, const char *admin_key, char made[DT_API_KEY_SIZE],
                     struct dt_err *err)
{
    char user[DT_USER_ID_SIZE], org[DT_UUID_SIZE];
    bool there;
    struct dt_new_key key = {.org = org, .user = user, .permissions = DT_PERM_FIRST};
    if (local_user(c, user, err) < 0 || personal_org(c, user, org, err) < 0)
        return -1;
    if (admin_key != NULL) {
        key.name = "admin";
        key.text = admin_key;
        if (dt_store_key_set(c, &key, err) < 0)
            return -1;
    }
    if (any_key(c, &there, err) < 0)
        return -1;
    if (there)
        return 0;
    dt_api_key_make(made);
    key.name = "first";
    key.text = made;
    return dt_store_key_add(c, &key, err);
}

int dt_bootstrap(struct dt_db_conn *c, const char *admin_key, char made[DT_API_KEY_SIZE],
                 struct dt_err *err)
{
    made[0] = '\0';
    if (admin_key != NULL && !dt_api_key_shaped(dt_str_z(admin_key)))
        return dt_err_set(err, DT_E_INVALID,
                          "ADMIN_API_KEY must be dtn_ and at least 16 letters or digits, for "
                          "example from: echo dtn_$(openssl rand -hex 32)");
    if (dt_db_begin(c, true, err) < 0)
        return -1;
    if (bootstrap(c, admin_key, made, err) == 0 && dt_db_commit(c, err) == 0)
        return 0;
    dt_db_rollback(c);
    return -1;
}

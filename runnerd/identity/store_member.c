#include <stdio.h>

#include "base/clock.h"
#include "runnerd/identity/identity_store.h"

/* One number of one row. */
static int one_int(struct dt_db_rows *q, int64_t *ret, struct dt_err *err)
{
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static int count_members(struct dt_db_conn *c, const char *org, int64_t *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT count(*) FROM member WHERE organization_id = ?1",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    return one_int(q, ret, err);
}

/* Owners besides this one. */
static int count_other_owners(struct dt_db_conn *c, const char *org, const char *user, int64_t *ret,
                              struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT count(*) FROM member WHERE organization_id = ?1 AND user_id <> ?2 AND "
                    "is_owner = 1",
                    DT_DB_ARGS(dt_db_t(org), dt_db_t(user)), &q, err) < 0)
        return -1;
    return one_int(q, ret, err);
}

int dt_store_role_check(struct dt_db_conn *c, const char *org, const char *role, struct dt_err *err)
{
    struct dt_db_rows *q;
    int64_t there;
    if (dt_db_query(
            c, "SELECT count(*) FROM role WHERE id = ?1 AND coalesce(organization_id, ?2) = ?2",
            DT_DB_ARGS(dt_db_t(role), dt_db_t(org)), &q, err) < 0 ||
        one_int(q, &there, err) < 0)
        return -1;
    return there > 0 ? 0 : dt_err_set(err, DT_E_BAD_REQUEST, "One or more role IDs are invalid");
}

static int set_roles(struct dt_db_conn *c, const char *org, const char *user,
                     const struct dt_access *in, struct dt_err *err)
{
    if (dt_db_run(c, "DELETE FROM member_role WHERE organization_id = ?1 AND user_id = ?2",
                  DT_DB_ARGS(dt_db_t(org), dt_db_t(user)), NULL, err) < 0)
        return -1;
    for (size_t i = 0; i < in->nroles; i++) {
        if (dt_store_role_check(c, org, in->roles[i], err) < 0 ||
            dt_db_run(c, "INSERT OR IGNORE INTO member_role VALUES (?1, ?2, ?3)",
                      DT_DB_ARGS(dt_db_t(org), dt_db_t(user), dt_db_t(in->roles[i])), NULL,
                      err) < 0)
            return -1;
    }
    return 0;
}

int dt_store_member_add(struct dt_db_conn *c, const char *org, const char *user,
                        const struct dt_access *in, struct dt_err *err)
{
    struct dt_err why;
    int64_t count, now = dt_clock_real_ms();
    if (count_members(c, org, &count, err) < 0)
        return -1;
    if (count >= DT_MEMBERS_MAX)
        return dt_err_set(err, DT_E_FORBIDDEN, "An organization has at most %d members",
                          DT_MEMBERS_MAX);
    if (dt_db_run(c, "INSERT INTO member VALUES (?1, ?2, ?3, ?4, ?4)",
                  DT_DB_ARGS(dt_db_t(org), dt_db_t(user), dt_db_i(in->owner), dt_db_i(now)), NULL,
                  &why) < 0) {
        if (why.code == DT_E_CONFLICT)
            return dt_err_set(err, DT_E_CONFLICT, "User is already a member of this organization");
        *err = why;
        return -1;
    }
    return set_roles(c, org, user, in, err);
}

/* --- keys never hold more than their member --- */

int dt_store_member_permissions(struct dt_db_conn *c, const char *org, const char *user,
                                uint32_t *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    uint32_t held = 0;
    int got;
    if (dt_db_query(c,
                    "SELECT m.is_owner, r.permissions FROM member m LEFT JOIN member_role a ON "
                    "a.organization_id = m.organization_id AND a.user_id = m.user_id LEFT JOIN "
                    "role r ON r.id = a.role_id WHERE m.organization_id = ?1 AND m.user_id = ?2",
                    DT_DB_ARGS(dt_db_t(org), dt_db_t(user)), &q, err) < 0)
        return -1;
    while ((got = dt_db_next(q, err)) > 0)
        held |= dt_db_int(q, 0) != 0 ? DT_PERM_ALL : dt_permissions_parse(dt_db_text(q, 1));
    dt_db_end(q);
    *ret = held;
    return got;
}

/* The hash of one of the member's keys that holds more than `held`: 1, or 0 for none. */
static int find_excess(struct dt_db_conn *c, const char *org, const char *user, uint32_t held,
                       uint8_t hash[DT_HASH_SIZE], struct dt_err *err)
{
    struct dt_db_rows *q;
    int got;
    if (dt_db_query(c,
                    "SELECT hash, permissions FROM api_key WHERE organization_id = ?1 AND "
                    "user_id = ?2",
                    DT_DB_ARGS(dt_db_t(org), dt_db_t(user)), &q, err) < 0)
        return -1;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_str h = dt_db_blob(q, 0);
        if ((dt_permissions_parse(dt_db_text(q, 1)) & ~held) != 0 && h.n == DT_HASH_SIZE) {
            memcpy(hash, h.p, DT_HASH_SIZE);
            break;
        }
    }
    dt_db_end(q);
    return got;
}

static int drop_excess(struct dt_db_conn *c, const char *org, const char *user, struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    uint32_t held;
    int found;
    if (dt_store_member_permissions(c, org, user, &held, err) < 0)
        return -1;
    while ((found = find_excess(c, org, user, held, hash, err)) > 0) {
        if (dt_db_run(c, "DELETE FROM api_key WHERE hash = ?1",
                      DT_DB_ARGS(dt_db_b(hash, sizeof(hash))), NULL, err) < 0)
            return -1;
    }
    return found;
}

/* A member who is no owner and comes behind `after`: 1 and their id, or 0. */
static int next_plain_member(struct dt_db_conn *c, const char *org, const char *after,
                             char user[DT_USER_ID_SIZE], struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT user_id FROM member WHERE organization_id = ?1 AND user_id > ?2 AND "
                    "is_owner = 0 ORDER BY user_id LIMIT 1",
                    DT_DB_ARGS(dt_db_t(org), dt_db_t(after)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0)
        (void)snprintf(user, DT_USER_ID_SIZE, "%s", dt_db_text(q, 0));
    dt_db_end(q);
    return got;
}

static int drop_excess_of_all(struct dt_db_conn *c, const char *org, struct dt_err *err)
{
    char after[DT_USER_ID_SIZE] = "", user[DT_USER_ID_SIZE];
    int got;
    while ((got = next_plain_member(c, org, after, user, err)) > 0) {
        if (drop_excess(c, org, user, err) < 0)
            return -1;
        memcpy(after, user, sizeof(after));
    }
    return got;
}

/* --- changes of members --- */

int dt_store_member_access(struct dt_db_conn *c, const char *org, const char *user,
                           const struct dt_access *in, struct dt_err *err)
{
    int64_t changed = 0, owners = 1;
    if (!in->owner && count_other_owners(c, org, user, &owners, err) < 0)
        return -1;
    if (owners == 0)
        return dt_err_set(err, DT_E_FORBIDDEN, "The organization must have at least one owner");
    if (dt_db_run(c,
                  "UPDATE member SET is_owner = ?3, updated_ms = ?4 WHERE organization_id = ?1 AND "
                  "user_id = ?2",
                  DT_DB_ARGS(dt_db_t(org), dt_db_t(user), dt_db_i(in->owner),
                             dt_db_i(dt_clock_real_ms())),
                  &changed, err) < 0)
        return -1;
    if (changed == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "User with ID %s not found in the organization",
                          user);
    if (set_roles(c, org, user, in, err) < 0)
        return -1;
    return in->owner ? 0 : drop_excess(c, org, user, err);
}

int dt_store_member_remove(struct dt_db_conn *c, const char *org, const char *user,
                           struct dt_err *err)
{
    int64_t changed = 0, owners;
    if (count_other_owners(c, org, user, &owners, err) < 0)
        return -1;
    if (owners == 0)
        return dt_err_set(err, DT_E_FORBIDDEN, "The organization must have at least one owner");
    if (dt_db_run(c, "DELETE FROM member WHERE organization_id = ?1 AND user_id = ?2",
                  DT_DB_ARGS(dt_db_t(org), dt_db_t(user)), &changed, err) < 0)
        return -1;
    return changed > 0 ? 0
                       : dt_err_set(err, DT_E_NOT_FOUND,
                                    "User with ID %s not found in the organization", user);
}

/* --- roles --- */

int dt_store_role_add(struct dt_db_conn *c, const struct dt_new_role *in, char id[DT_UUID_SIZE],
                      struct dt_err *err)
{
    struct dt_db_rows *q;
    char text[DT_PERMISSIONS_TEXT_MAX];
    int64_t count, now = dt_clock_real_ms();
    if (dt_db_query(c, "SELECT count(*) FROM role WHERE organization_id = ?1",
                    DT_DB_ARGS(dt_db_t(in->org)), &q, err) < 0 ||
        one_int(q, &count, err) < 0)
        return -1;
    if (count >= DT_ROLES_MAX)
        return dt_err_set(err, DT_E_FORBIDDEN, "An organization has at most %d roles of its own",
                          DT_ROLES_MAX);
    dt_rand_uuid(id);
    return dt_db_run(c, "INSERT INTO role VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
                     DT_DB_ARGS(dt_db_t(id), dt_db_t(in->org), dt_db_t(in->name),
                                dt_db_t(in->description),
                                dt_db_t(dt_permissions_print(in->permissions, text)), dt_db_i(now)),
                     NULL, err);
}

/* Whether the organization may change it. */
static int check_own_role(struct dt_db_conn *c, const char *org, const char *id, const char *verb,
                          struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT coalesce(organization_id, '') FROM role WHERE id = ?1",
                    DT_DB_ARGS(dt_db_t(id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    bool global = got > 0 && dt_db_text(q, 0)[0] == '\0';
    bool own = got > 0 && strcmp(dt_db_text(q, 0), org) == 0;
    dt_db_end(q);
    if (got < 0)
        return -1;
    if (global)
        return dt_err_set(err, DT_E_FORBIDDEN, "Global roles cannot be %s", verb);
    return own ? 0 : dt_err_set(err, DT_E_NOT_FOUND, "Organization role with ID %s not found", id);
}

int dt_store_role_edit(struct dt_db_conn *c, const char *id, const struct dt_new_role *in,
                       struct dt_err *err)
{
    char text[DT_PERMISSIONS_TEXT_MAX];
    if (check_own_role(c, in->org, id, "updated", err) < 0 ||
        dt_db_run(c,
                  "UPDATE role SET name = ?2, description = ?3, permissions = ?4, updated_ms = ?5 "
                  "WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(id), dt_db_t(in->name), dt_db_t(in->description),
                             dt_db_t(dt_permissions_print(in->permissions, text)),
                             dt_db_i(dt_clock_real_ms())),
                  NULL, err) < 0)
        return -1;
    return drop_excess_of_all(c, in->org, err);
}

int dt_store_role_delete(struct dt_db_conn *c, const char *org, const char *id, struct dt_err *err)
{
    if (check_own_role(c, org, id, "deleted", err) < 0 ||
        dt_db_run(c, "DELETE FROM role WHERE id = ?1", DT_DB_ARGS(dt_db_t(id)), NULL, err) < 0)
        return -1;
    return drop_excess_of_all(c, org, err);
}

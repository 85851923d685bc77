#include <stdio.h>

#include "base/clock.h"
#include "runnerd/identity/identity_store.h"

#define COLUMNS                                                                                    \
    "i.id, i.organization_id, o.name, i.email, i.invited_by, i.status, i.is_owner, i.expires_ms, " \
    "i.created_ms, i.updated_ms"
#define FROM "FROM invitation i JOIN organization o ON o.id = i.organization_id "

/* --- reading --- */

void dt_invitations_done(struct dt_invitations *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->all[i].org_name);
        free(list->all[i].email);
        free(list->all[i].invited_by);
        free(list->all[i].roles);
    }
    free(list->all);
    *list = (struct dt_invitations){NULL, 0};
}

static char *copy(struct dt_db_rows *q, int column)
{
    const char *z = dt_db_text(q, column);
    return strdup(z != NULL ? z : "");
}

static int add_row(struct dt_invitations *list, struct dt_db_rows *q, struct dt_err *err)
{
    struct dt_invitation *more = realloc(list->all, (list->n + 1) * sizeof(*more));
    if (more == NULL)
        return dt_err_set(err, DT_E_NOMEM, "invitations");
    list->all = more;
    struct dt_invitation *i = &list->all[list->n++];
    *i = (struct dt_invitation){
        .org_name = copy(q, 2),
        .email = copy(q, 3),
        .invited_by = copy(q, 4),
        .owner = dt_db_int(q, 6) != 0,
        .expires_ms = dt_db_int(q, 7),
        .created_ms = dt_db_int(q, 8),
        .updated_ms = dt_db_int(q, 9),
    };
    (void)snprintf(i->id, sizeof(i->id), "%s", dt_db_text(q, 0));
    (void)snprintf(i->org, sizeof(i->org), "%s", dt_db_text(q, 1));
    (void)snprintf(i->status, sizeof(i->status), "%s", dt_db_text(q, 5));
    if (i->org_name == NULL || i->email == NULL || i->invited_by == NULL)
        return dt_err_set(err, DT_E_NOMEM, "invitations");
    return 0;
}

static int add_roles(struct dt_db_conn *c, struct dt_invitation *i, struct dt_err *err)
{
    struct dt_db_rows *q;
    int got;
    if (dt_db_query(c,
                    "SELECT role_id FROM invitation_role WHERE invitation_id = ?1 ORDER BY role_id",
                    DT_DB_ARGS(dt_db_t(i->id)), &q, err) < 0)
        return -1;
    while ((got = dt_db_next(q, err)) > 0) {
        void *more = realloc(i->roles, (i->nroles + 1) * sizeof(i->roles[0]));
        if (more == NULL) {
            got = dt_err_set(err, DT_E_NOMEM, "invitations");
            break;
        }
        i->roles = more;
        (void)snprintf(i->roles[i->nroles++], sizeof(i->roles[0]), "%s", dt_db_text(q, 0));
    }
    dt_db_end(q);
    return got;
}

/* All rows of a query that selects COLUMNS, which it ends; then their roles. */
static int read_all(struct dt_db_conn *c, struct dt_db_rows *q, struct dt_invitations *ret,
                    struct dt_err *err)
{
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        if (add_row(ret, q, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    for (size_t i = 0; got == 0 && i < ret->n; i++)
        got = add_roles(c, &ret->all[i], err);
    return got;
}

static int not_found(const char *id, struct dt_err *err)
{
    return dt_err_set(err, DT_E_NOT_FOUND, "Organization invitation with ID %.64s not found", id);
}

int dt_store_invitation_get(struct dt_db_conn *c, const char *id, struct dt_invitations *ret,
                            struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT " COLUMNS " " FROM "WHERE i.id = ?1", DT_DB_ARGS(dt_db_t(id)), &q,
                    err) < 0 ||
        read_all(c, q, ret, err) < 0)
        return -1;
    return ret->n == 1 ? 0 : not_found(id, err);
}

int dt_store_invitation_of_org(struct dt_db_conn *c, const char *org, struct dt_invitations *ret,
                               struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS " " FROM "WHERE i.organization_id = ?1 AND "
                    "i.status = 'pending' ORDER BY i.created_ms DESC, i.id",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    return read_all(c, q, ret, err);
}

int dt_store_invitation_to(struct dt_db_conn *c, const char *email, struct dt_invitations *ret,
                           struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(
            c,
            "SELECT " COLUMNS " " FROM "WHERE lower(i.email) = lower(?1) AND "
            "i.status = 'pending' AND i.expires_ms > ?2 ORDER BY i.created_ms DESC, i.id "
            "LIMIT ?3",
            DT_DB_ARGS(dt_db_t(email), dt_db_i(dt_clock_real_ms()), dt_db_i(DT_INVITATIONS_MAX)),
            &q, err) < 0)
        return -1;
    return read_all(c, q, ret, err);
}

/* --- making --- */

static int count(struct dt_db_rows *q, int64_t *ret, struct dt_err *err)
{
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static int check_new(struct dt_db_conn *c, const struct dt_new_invitation *in, struct dt_err *err)
{
    struct dt_db_rows *q;
    int64_t members, same, all;
    if (dt_db_query(c,
                    "SELECT count(*) FROM member m JOIN user u ON u.id = m.user_id WHERE "
                    "m.organization_id = ?1 AND lower(u.email) = lower(?2)",
                    DT_DB_ARGS(dt_db_t(in->org), dt_db_t(in->email)), &q, err) < 0 ||
        count(q, &members, err) < 0 ||
        dt_db_query(c,
                    "SELECT count(*) FROM invitation WHERE organization_id = ?1 AND "
                    "lower(email) = lower(?2) AND status = 'pending' AND expires_ms > ?3",
                    DT_DB_ARGS(dt_db_t(in->org), dt_db_t(in->email), dt_db_i(dt_clock_real_ms())),
                    &q, err) < 0 ||
        count(q, &same, err) < 0 ||
        dt_db_query(c,
                    "SELECT count(*) FROM invitation WHERE organization_id = ?1 AND "
                    "status = 'pending'",
                    DT_DB_ARGS(dt_db_t(in->org)), &q, err) < 0 ||
        count(q, &all, err) < 0)
        return -1;
    if (members > 0)
        return dt_err_set(err, DT_E_CONFLICT,
                          "User with this email is already a member of this organization");
    if (same > 0)
        return dt_err_set(err, DT_E_CONFLICT,
                          "User with this email is already invited to this organization");
    if (all >= DT_INVITATIONS_MAX)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "An organization has at most %d pending invitations: cancel some first",
                          DT_INVITATIONS_MAX);
    return 0;
}

static int set_roles(struct dt_db_conn *c, const char *id, const struct dt_new_invitation *in,
                     struct dt_err *err)
{
    if (dt_db_run(c, "DELETE FROM invitation_role WHERE invitation_id = ?1",
                  DT_DB_ARGS(dt_db_t(id)), NULL, err) < 0)
        return -1;
    for (size_t i = 0; i < in->access.nroles; i++) {
        if (dt_store_role_check(c, in->org, in->access.roles[i], err) < 0 ||
            dt_db_run(c, "INSERT OR IGNORE INTO invitation_role VALUES (?1, ?2)",
                      DT_DB_ARGS(dt_db_t(id), dt_db_t(in->access.roles[i])), NULL, err) < 0)
            return -1;
    }
    return 0;
}

int dt_store_invitation_add(struct dt_db_conn *c, const struct dt_new_invitation *in,
                            char id[DT_UUID_SIZE], struct dt_err *err)
{
    char fresh[DT_UUID_SIZE];
    dt_rand_uuid(fresh);
    if (check_new(c, in, err) < 0 ||
        dt_db_run(c, "INSERT INTO invitation VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6, ?7, ?7)",
                  DT_DB_ARGS(dt_db_t(fresh), dt_db_t(in->org), dt_db_t(in->email),
                             dt_db_t(in->invited_by), dt_db_i(in->access.owner),
                             dt_db_i(in->expires_ms), dt_db_i(dt_clock_real_ms())),
                  NULL, err) < 0 ||
        set_roles(c, fresh, in, err) < 0)
        return -1;
    memcpy(id, fresh, sizeof(fresh));
    return 0;
}

/* --- changing --- */

/* Fills *ret, which the caller releases. */
static int get_pending(struct dt_db_conn *c, const char *id, struct dt_invitations *ret,
                       struct dt_err *err)
{
    if (dt_store_invitation_get(c, id, ret, err) < 0)
        return -1;
    if (strcmp(ret->all[0].status, "pending") != 0)
        return dt_err_set(err, DT_E_FORBIDDEN, "Invitation with ID %s is already %s", id,
                          ret->all[0].status);
    return 0;
}

static int check_of_org(struct dt_db_conn *c, const char *org, const char *id, struct dt_err *err)
{
    struct dt_invitations one = {NULL, 0};
    int got = dt_store_invitation_get(c, id, &one, err);
    if (got == 0 && strcmp(one.all[0].org, org) != 0)
        got = not_found(id, err);
    if (got == 0 && strcmp(one.all[0].status, "pending") != 0)
        got = dt_err_set(err, DT_E_FORBIDDEN, "Invitation with ID %s is already %s", id,
                         one.all[0].status);
    dt_invitations_done(&one);
    return got;
}

int dt_store_invitation_edit(struct dt_db_conn *c, const char *id,
                             const struct dt_new_invitation *in, struct dt_err *err)
{
    if (check_of_org(c, in->org, id, err) < 0 ||
        dt_db_run(c,
                  "UPDATE invitation SET is_owner = ?2, expires_ms = coalesce(?3, expires_ms), "
                  "updated_ms = ?4 WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(id), dt_db_i(in->access.owner),
                             in->expires_ms > 0 ? dt_db_i(in->expires_ms) : dt_db_null(),
                             dt_db_i(dt_clock_real_ms())),
                  NULL, err) < 0)
        return -1;
    return set_roles(c, id, in, err);
}

static int set_status(struct dt_db_conn *c, const char *id, const char *status, struct dt_err *err)
{
    return dt_db_run(c, "UPDATE invitation SET status = ?2, updated_ms = ?3 WHERE id = ?1",
                     DT_DB_ARGS(dt_db_t(id), dt_db_t(status), dt_db_i(dt_clock_real_ms())), NULL,
                     err);
}

int dt_store_invitation_cancel(struct dt_db_conn *c, const char *org, const char *id,
                               struct dt_err *err)
{
    return check_of_org(c, org, id, err) < 0 ? -1 : set_status(c, id, "cancelled", err);
}

static int join(struct dt_db_conn *c, const struct dt_invitation *i, const char *user,
                struct dt_err *err)
{
    const char *roles[DT_ASSIGNED_ROLES_MAX];
    struct dt_access access = {.owner = i->owner, .roles = roles};
    for (; access.nroles < i->nroles && access.nroles < DT_ASSIGNED_ROLES_MAX; access.nroles++)
        roles[access.nroles] = i->roles[access.nroles];
    return dt_store_member_add(c, i->org, user, &access, err);
}

static int answer(struct dt_db_conn *c, const struct dt_invitation *i, const struct dt_user *user,
                  bool accept, struct dt_err *err)
{
    if (i->expires_ms <= dt_clock_real_ms())
        return dt_err_set(err, DT_E_FORBIDDEN, "Invitation with ID %s is expired", i->id);
    if (accept && join(c, i, user->id, err) < 0)
        return -1;
    return set_status(c, i->id, accept ? "accepted" : "declined", err);
}

int dt_store_invitation_answer(struct dt_db_conn *c, const char *id, const struct dt_user *user,
                               bool accept, char org[DT_UUID_SIZE], struct dt_err *err)
{
    struct dt_invitations one = {NULL, 0};
    struct dt_err why;
    int got = get_pending(c, id, &one, &why);
    /* Whose it is not does not learn that it is there. */
    if (one.n == 1 && !dt_str_eq_nocase(dt_str_z(one.all[0].email), dt_str_z(user->email)))
        got = not_found(id, &why);
    if (got == 0) {
        memcpy(org, one.all[0].org, DT_UUID_SIZE);
        got = answer(c, &one.all[0], user, accept, &why);
    }
    if (got < 0)
        *err = why;
    dt_invitations_done(&one);
    return got;
}

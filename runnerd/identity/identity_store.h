/*
 * Changes of users, organizations, members, roles, keys and invitations in the store. All of these
 * run inside a job (db/db.h). Texts are borrowed; times are milliseconds since 1970. Whoever calls
 * one reads the organization or user anew with dt_org_load() or dt_user_load() and gives that to
 * the directory after the commit.
 */
#ifndef DT_IDENTITY_STORE_H
#define DT_IDENTITY_STORE_H

#include "db/conn.h"
#include "runnerd/identity/directory.h"

enum {
    DT_ORGS_PER_USER_MAX = 10, /* that one user made, without the personal one */
    DT_MEMBERS_MAX = 1000,     /* of one organization; of these too: */
    DT_ROLES_MAX = 100,
    DT_INVITATIONS_MAX = 500, /* pending */
    DT_KEYS_PER_MEMBER_MAX = 500,
    DT_ASSIGNED_ROLES_MAX = 100,
};

/* --- users --- */

struct dt_new_user {
    const char *id;
    const char *name;
    const char *email; /* may be empty */
    bool email_verified, admin, local;
};
/* CONFLICT: there is one with this id. */
int dt_store_user_add(struct dt_db_conn *c, const struct dt_new_user *in,
                      struct dt_err *err) DT_MUST_CHECK;
/* Name, e-mail address and whether it is verified. */
int dt_store_user_edit(struct dt_db_conn *c, const struct dt_new_user *in,
                       struct dt_err *err) DT_MUST_CHECK;

/* With their personal organization, which stays suspended until the e-mail address is verified. */
int dt_store_user_add_with_org(struct dt_db_conn *c, const struct dt_new_user *in,
                               const int64_t *quotas, const char *region, char org[DT_UUID_SIZE],
                               struct dt_err *err) DT_MUST_CHECK;
#define DT_SUSPENDED_UNVERIFIED "Please verify your email address"

/* --- organizations --- */

struct dt_new_org {
    const char *name;
    const char *created_by; /* becomes its owner */
    bool personal;
    const char *default_region;    /* NULL: none */
    const char *suspension_reason; /* NULL: it is not suspended */
    const int64_t *quotas;         /* DT_QUOTAS of them, -1 = none; NULL: none at all */
};
int dt_store_org_add(struct dt_db_conn *c, const struct dt_new_org *in, char id[DT_UUID_SIZE],
                     struct dt_err *err) DT_MUST_CHECK;
/* FORBIDDEN for a personal one, CONFLICT while it has sandboxes or volumes. */
int dt_store_org_delete(struct dt_db_conn *c, const char *id, struct dt_err *err) DT_MUST_CHECK;
/* How many that are not personal this user made. */
int dt_store_org_count(struct dt_db_conn *c, const char *created_by, int64_t *ret,
                       struct dt_err *err) DT_MUST_CHECK;
/* The rest: NOT_FOUND when there is no such organization. `reason` may be NULL, `until_ms` 0. */
int dt_store_org_suspend(struct dt_db_conn *c, const char *id, const char *reason, int64_t until_ms,
                         int64_t grace_hours, struct dt_err *err) DT_MUST_CHECK;
int dt_store_org_unsuspend(struct dt_db_conn *c, const char *id, struct dt_err *err) DT_MUST_CHECK;
/* -1 keeps what is there. */
int dt_store_org_quotas(struct dt_db_conn *c, const char *id, const int64_t quotas[DT_QUOTAS],
                        struct dt_err *err) DT_MUST_CHECK;
/* Back to what the settings say, but for snapshots and volumes. */
int dt_store_org_quotas_reset(struct dt_db_conn *c, const char *id,
                              struct dt_err *err) DT_MUST_CHECK;
int dt_store_org_region(struct dt_db_conn *c, const char *id, const char *region,
                        struct dt_err *err) DT_MUST_CHECK;
/* Sealed, with .n == 0 for none. */
int dt_store_org_otel(struct dt_db_conn *c, const char *id, struct dt_str sealed,
                      struct dt_err *err) DT_MUST_CHECK;
int dt_store_org_experimental(struct dt_db_conn *c, const char *id, struct dt_str sealed,
                              struct dt_err *err) DT_MUST_CHECK;
int dt_store_org_egress(struct dt_db_conn *c, const char *id, bool limited,
                        struct dt_err *err) DT_MUST_CHECK;

/* --- members and roles --- */

/* What a member is to be, or an invited one. */
struct dt_access {
    bool owner;
    const char *const *roles; /* ids */
    size_t nroles;
};
/* CONFLICT: a member already. BAD_REQUEST: an unknown role. FORBIDDEN: too many members. */
int dt_store_member_add(struct dt_db_conn *c, const char *org, const char *user,
                        const struct dt_access *in, struct dt_err *err) DT_MUST_CHECK;
/* Replaces all. Keys that hold more than the member may now are deleted. NOT_FOUND; FORBIDDEN: it
 * is the last owner; BAD_REQUEST: an unknown role. */
int dt_store_member_access(struct dt_db_conn *c, const char *org, const char *user,
                           const struct dt_access *in, struct dt_err *err) DT_MUST_CHECK;
/* With all keys. NOT_FOUND; FORBIDDEN: it is the last owner. */
int dt_store_member_remove(struct dt_db_conn *c, const char *org, const char *user,
                           struct dt_err *err) DT_MUST_CHECK;

/* What the member's roles allow now, all there is for an owner; 0 for who is no member. */
int dt_store_member_permissions(struct dt_db_conn *c, const char *org, const char *user,
                                uint32_t *ret, struct dt_err *err) DT_MUST_CHECK;

/* Whether a role may be assigned in the organization: built in, or its own. BAD_REQUEST. */
int dt_store_role_check(struct dt_db_conn *c, const char *org, const char *role,
                        struct dt_err *err) DT_MUST_CHECK;

struct dt_new_role {
    const char *org;
    const char *name, *description;
    uint32_t permissions;
};
int dt_store_role_add(struct dt_db_conn *c, const struct dt_new_role *in, char id[DT_UUID_SIZE],
                      struct dt_err *err) DT_MUST_CHECK;
/* Both delete the keys that hold more than their members may now. NOT_FOUND; FORBIDDEN: built in.
 */
int dt_store_role_edit(struct dt_db_conn *c, const char *id, const struct dt_new_role *in,
                       struct dt_err *err) DT_MUST_CHECK;
int dt_store_role_delete(struct dt_db_conn *c, const char *org, const char *id,
                         struct dt_err *err) DT_MUST_CHECK;

/* --- keys --- */

struct dt_new_key {
    const char *org, *user, *name;
    const char *text; /* the key itself */
    uint32_t permissions;
    int64_t expires_ms; /* 0 = never */
};
/* CONFLICT: the member has one of that name. FORBIDDEN: too many, or more than the member may. */
int dt_store_key_add(struct dt_db_conn *c, const struct dt_new_key *in,
                     struct dt_err *err) DT_MUST_CHECK;
/* The member's key of that name becomes this one, unless it is already. */
int dt_store_key_set(struct dt_db_conn *c, const struct dt_new_key *in,
                     struct dt_err *err) DT_MUST_CHECK;
/* NOT_FOUND. */
int dt_store_key_delete(struct dt_db_conn *c, const char *org, const char *user, const char *name,
                        struct dt_err *err) DT_MUST_CHECK;

/* --- invitations --- */

struct dt_invitation {
    char id[DT_UUID_SIZE];
    char org[DT_UUID_SIZE];
    char *org_name, *email, *invited_by;
    char status[16]; /* pending, accepted, declined, cancelled */
    bool owner;
    char (*roles)[DT_UUID_SIZE];
    size_t nroles;
    int64_t expires_ms, created_ms, updated_ms;
};
struct dt_invitations {
    struct dt_invitation *all;
    size_t n;
};
void dt_invitations_done(struct dt_invitations *list);

/* One; NOT_FOUND. The caller releases *ret also after a failure, here and below. */
int dt_store_invitation_get(struct dt_db_conn *c, const char *id, struct dt_invitations *ret,
                            struct dt_err *err) DT_MUST_CHECK;
/* The pending ones of an organization. */
int dt_store_invitation_of_org(struct dt_db_conn *c, const char *org, struct dt_invitations *ret,
                               struct dt_err *err) DT_MUST_CHECK;
/* The pending ones to an address that are not over, newest first; at most DT_INVITATIONS_MAX. */
int dt_store_invitation_to(struct dt_db_conn *c, const char *email, struct dt_invitations *ret,
                           struct dt_err *err) DT_MUST_CHECK;

struct dt_new_invitation {
    const char *org, *email, *invited_by;
    struct dt_access access;
    int64_t expires_ms;
};
/* CONFLICT: a member has that address, or it is invited already. BAD_REQUEST: an unknown role.
 * FORBIDDEN: too many. */
int dt_store_invitation_add(struct dt_db_conn *c, const struct dt_new_invitation *in,
                            char id[DT_UUID_SIZE], struct dt_err *err) DT_MUST_CHECK;
/* Access and end (0 = as it was) of a pending one. NOT_FOUND in the organization; FORBIDDEN: not
 * pending. */
int dt_store_invitation_edit(struct dt_db_conn *c, const char *id,
                             const struct dt_new_invitation *in, struct dt_err *err) DT_MUST_CHECK;
int dt_store_invitation_cancel(struct dt_db_conn *c, const char *org, const char *id,
                               struct dt_err *err) DT_MUST_CHECK;
/* By the addressee, who becomes a member when they accept. `org` receives whose it is. NOT_FOUND:
 * not to this address; FORBIDDEN: it is over or not pending. */
int dt_store_invitation_answer(struct dt_db_conn *c, const char *id, const struct dt_user *user,
                               bool accept, char org[DT_UUID_SIZE],
                               struct dt_err *err) DT_MUST_CHECK;

#endif

/*
 * A change of users or organizations: a job on the store, then the directory, then the answer. What
 * the job changed it reads anew in its transaction, and nobody is answered before the directory has
 * it.
 */
#ifndef DT_API_CHANGE_H
#define DT_API_CHANGE_H

#include "runnerd/api/api.h"
#include "runnerd/identity/identity_store.h"

struct dt_api_change {
    struct dt_api_req *a;
    /* On the store's thread; `a` may be read there, never changed. */
    int (*work)(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err);
    /* On the loop; NULL: an empty body. */
    void (*reply)(struct dt_api_change *ch);
    /* What to read anew after `work`, which may fill them in; empty: nothing. */
    char org[DT_UUID_SIZE];
    char user[DT_USER_ID_SIZE];
    bool org_gone; /* `org` was deleted */
    /* For work and reply. */
    char id[DT_UUID_SIZE];
    char key[DT_API_KEY_SIZE];
    char inviter[DT_USER_ID_SIZE];
    struct dt_user *addressee; /* of invitations; a copy, owned */
    uint32_t permissions;
    int64_t time_ms;
    int64_t quotas[DT_QUOTAS];
    void *extra;
    void (*free_extra)(void *extra);
    union { /* the parsed body, whose texts live as long as this */
        json_t *owner;
        struct dt_rest_create_api_key api_key;
        struct dt_rest_create_organization org;
        struct dt_rest_organization_suspension suspension;
        struct dt_rest_sandbox_default_limited_network_egress egress;
        struct dt_rest_update_organization_default_region region;
        struct dt_rest_write_organization_role role;
        struct dt_rest_update_organization_member_access access;
        struct dt_rest_create_organization_invitation invite;
        struct dt_rest_update_organization_invitation edit_invite;
        struct dt_rest_create_user user;
    } in;
    /* Of the module. */
    struct dt_org *fresh_org;
    struct dt_user *fresh_user;
};

/* Copies *ch and takes over what it owns (the body, `addressee`, `extra`). It answers in every
 * case. */
void dt_api_change_start(const struct dt_api_change *ch);
/* For a change that is not started: answers and releases what it owns. */
void dt_api_change_fail(struct dt_api_change *ch, const struct dt_err *err);

/* -1 for what was not said. */
void dt_api_quotas_read(const struct dt_rest_update_organization_quota *in,
                        int64_t quotas[DT_QUOTAS]);
/* Texts of a JSON array, borrowed; at most `max`. */
size_t dt_api_texts(const json_t *array, const char **out, size_t max);

#endif

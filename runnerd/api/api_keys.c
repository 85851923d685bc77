/* /api-keys: each member's own, and for owners those of the whole organization. */
#include <stdio.h>

#include "base/clock.h"
#include "model/name.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"

/* --- reading --- */

static int by_use(const void *x, const void *y)
{
    const struct dt_key *a = *(const struct dt_key *const *)x;
    const struct dt_key *b = *(const struct dt_key *const *)y;
    if (a->last_used_ms != b->last_used_ms)
        return a->last_used_ms > b->last_used_ms ? -1 : 1;
    return a->created_ms > b->created_ms ? -1 : a->created_ms < b->created_ms;
}

void dt_api_api_key_list(struct dt_api_req *a)
{
    const struct dt_org *o = dt_api_org(a);
    if (o == NULL)
        return;
    DT_AUTO_FREE const struct dt_key **shown = calloc(o->nkeys + 1, sizeof(const struct dt_key *));
    json_t *list = shown != NULL ? json_array() : NULL;
    size_t n = 0;
    for (size_t i = 0; list != NULL && i < o->nkeys; i++) {
        if (a->who.owner || a->who.admin || strcmp(o->keys[i].user, a->who.user) == 0)
            shown[n++] = &o->keys[i];
    }
    if (n > 1)
        qsort(shown, n, sizeof(*shown), by_use);
    for (size_t i = 0; list != NULL && i < n; i++)
        (void)json_array_append_new(list, dt_api_key_json(shown[i]));
    dt_api_reply_object(a, list);
}

void dt_api_api_key_current(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_key *k =
        a->who.kind == DT_BY_KEY ? dt_directory_key(&a->rd->directory, a->who.key) : NULL;
    if (k != NULL) {
        dt_api_reply_object(a, dt_api_key_json(k));
        return;
    }
    (void)dt_err_set(&err, DT_E_FORBIDDEN, "Authenticate with an API key to use this endpoint");
    dt_api_fail(a, &err);
}

void dt_api_api_key_get(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_org *o = dt_api_org(a);
    if (o == NULL)
        return;
    const struct dt_key *k = dt_org_key(o, a->who.user, a->params[0]);
    if (k != NULL) {
        dt_api_reply_object(a, dt_api_key_json(k));
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "API key not found");
    dt_api_fail(a, &err);
}

/* --- making --- */

static int create_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_new_key key = {
        .org = ch->org,
        .user = ch->a->who.user,
        .name = ch->in.api_key.name,
        .text = ch->key,
        .permissions = ch->permissions,
        .expires_ms = ch->time_ms,
    };
    return dt_store_key_add(c, &key, err);
}

static void create_reply(struct dt_api_change *ch)
{
    char created[DT_CLOCK_ISO_SIZE], expires[DT_CLOCK_ISO_SIZE];
    uint8_t hash[DT_HASH_SIZE];
    struct dt_err err;
    dt_hash(dt_str_z(ch->key), hash);
    const struct dt_key *k = dt_directory_key(&ch->a->rd->directory, hash);
    if (k == NULL) {
        (void)dt_err_set(&err, DT_E_SYSTEM, "An unexpected error occurred.");
        dt_api_fail(ch->a, &err);
        return;
    }
    DT_AUTO_JSON json_t *permissions = dt_api_permissions_json(k->permissions);
    const struct dt_rest_api_key_response out = {
        .name = k->name,
        .value = ch->key,
        .created_at = dt_clock_iso(k->created_ms, created),
        .permissions = permissions,
        .expires_at = k->expires_ms > 0 ? dt_clock_iso(k->expires_ms, expires) : NULL,
    };
    dt_api_reply_object(ch->a, dt_rest_api_key_response_print(&out));
}

/* Nobody makes a key that may more than they: the key they use, or they as a member. */
static int check_permissions(const struct dt_api_change *ch, struct dt_err *err)
{
    char missing[DT_PERMISSIONS_TEXT_MAX];
    size_t n = 0;
    uint32_t excess = ch->permissions & ~ch->a->who.permissions;
    if (excess == 0)
        return 0;
    for (uint32_t bit = 1; bit <= DT_PERM_ALL; bit <<= 1) {
        if ((excess & bit) != 0)
            n += (size_t)snprintf(missing + n, sizeof(missing) - n, "%s%s", n > 0 ? ", " : "",
                                  dt_permission_text(bit));
    }
    return dt_err_set(err, DT_E_FORBIDDEN, "Insufficient permissions for assigning: %s", missing);
}

static int check_create(struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_rest_create_api_key *in = &ch->in.api_key;
    if (dt_name_check(dt_str_z(in->name), err) < 0)
        return -1;
    if (in->expires_at != NULL && dt_clock_parse_iso(dt_str_z(in->expires_at), &ch->time_ms) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "expiresAt must be a date such as 2027-01-31T12:00:00Z");
    if (in->expires_at != NULL && ch->time_ms <= dt_clock_real_ms())
        return dt_err_set(err, DT_E_BAD_REQUEST, "expiresAt must be in the future");
    ch->permissions = dt_api_permissions(in->permissions);
    return check_permissions(ch, err);
}

void dt_api_api_key_create(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = create_work, .reply = create_reply};
    struct dt_err err;
    if (dt_rest_create_api_key_parse(body, &ch.in.api_key, &err) < 0 ||
        check_create(&ch, &err) < 0) {
        dt_api_change_fail(&ch, &err);
        return;
    }
    memcpy(ch.org, a->who.org, sizeof(ch.org));
    dt_api_key_make(ch.key);
    dt_api_change_start(&ch);
    explicit_bzero(ch.key, sizeof(ch.key));
}

/* --- deleting --- */

static int delete_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_api_req *a = ch->a;
    bool own = a->op == DT_REST_API_KEY_DELETE;
    return dt_store_key_delete(c, ch->org, own ? a->who.user : a->params[0], a->params[own ? 0 : 1],
                               err);
}

void dt_api_api_key_delete(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = delete_work};
    memcpy(ch.org, a->who.org, sizeof(ch.org));
    dt_api_change_start(&ch);
}

void dt_api_api_key_delete_of(struct dt_api_req *a)
{
    struct dt_err err;
    if (a->who.owner || a->who.admin || strcmp(a->params[0], a->who.user) == 0) {
        dt_api_api_key_delete(a);
        return;
    }
    (void)dt_err_set(&err, DT_E_FORBIDDEN, "Incorrect user ID provided");
    dt_api_fail(a, &err);
}

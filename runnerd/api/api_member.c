/* Members of an organization and the roles they have. */
#include <stdio.h>

#include "base/clock.h"
#include "model/name.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"

static void start_in_org(struct dt_api_change *ch)
{
    memcpy(ch->org, ch->a->who.org, sizeof(ch->org));
    dt_api_change_start(ch);
}

/* --- roles --- */

void dt_api_role_list(struct dt_api_req *a)
{
    const struct dt_directory *d = &a->rd->directory;
    const struct dt_org *o = dt_api_org(a);
    if (o == NULL)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < d->nbuiltin; i++)
        (void)json_array_append_new(list, dt_api_role_json(&d->builtin[i], true));
    for (size_t i = 0; i < o->nroles; i++)
        (void)json_array_append_new(list, dt_api_role_json(&o->roles[i], false));
    dt_api_reply_object(a, list);
}

static struct dt_new_role role_of(const struct dt_api_change *ch)
{
    return (struct dt_new_role){
        .org = ch->org,
        .name = ch->in.role.name,
        .description = ch->in.role.description,
        .permissions = ch->permissions,
    };
}

static int role_create_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    struct dt_new_role role = role_of(ch);
    return dt_store_role_add(c, &role, ch->id, err);
}

static int role_update_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    struct dt_new_role role = role_of(ch);
    return dt_store_role_edit(c, ch->id, &role, err);
}

static int role_delete_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_role_delete(c, ch->org, ch->a->params[1], err);
}

static void role_reply(struct dt_api_change *ch)
{
    const struct dt_directory *d = &ch->a->rd->directory;
    const struct dt_role *r = dt_directory_role(d, dt_directory_org(d, ch->org), ch->id);
    dt_api_reply_object(ch->a, r != NULL ? dt_api_role_json(r, false) : NULL);
}

static void write_role(struct dt_api_change *ch, json_t *body)
{
    struct dt_err err;
    ch->reply = role_reply;
    if (dt_rest_write_organization_role_parse(body, &ch->in.role, &err) < 0 ||
        dt_name_check(dt_str_z(ch->in.role.name), &err) < 0) {
        dt_api_change_fail(ch, &err);
        return;
    }
    ch->permissions = dt_api_permissions(ch->in.role.permissions);
    start_in_org(ch);
}

void dt_api_role_create(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = role_create_work};
    write_role(&ch, body);
}

void dt_api_role_update(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = role_update_work};
    /* What is too long is nobody's id, and so is what is left of it. */
    (void)snprintf(ch.id, sizeof(ch.id), "%s", dt_is_uuid(a->params[1]) ? a->params[1] : "");
    write_role(&ch, body);
}

void dt_api_role_delete(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = role_delete_work};
    start_in_org(&ch);
}

/* --- members --- */

void dt_api_member_list(struct dt_api_req *a)
{
    const struct dt_org *o = dt_api_org(a);
    if (o == NULL)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < o->nmembers; i++)
        (void)json_array_append_new(list, dt_api_member_json(a->rd, o, &o->members[i]));
    dt_api_reply_object(a, list);
}

static int access_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const char *roles[DT_ASSIGNED_ROLES_MAX];
    const struct dt_access access = {
        .owner = strcmp(ch->in.access.role, "owner") == 0,
        .roles = roles,
        .nroles = dt_api_texts(ch->in.access.assigned_role_ids, roles, DT_ASSIGNED_ROLES_MAX),
    };
    return dt_store_member_access(c, ch->org, ch->a->params[1], &access, err);
}

static void access_reply(struct dt_api_change *ch)
{
    const struct dt_org *o = dt_directory_org(&ch->a->rd->directory, ch->org);
    const struct dt_member *m = o != NULL ? dt_org_member(o, ch->a->params[1]) : NULL;
    dt_api_reply_object(ch->a, m != NULL ? dt_api_member_json(ch->a->rd, o, m) : NULL);
}

void dt_api_member_access(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = access_work, .reply = access_reply};
    struct dt_err err;
    if (dt_rest_update_organization_member_access_parse(body, &ch.in.access, &err) < 0) {
        dt_api_change_fail(&ch, &err);
        return;
    }
    if (strcmp(a->params[1], a->who.user) == 0) {
        (void)dt_err_set(&err, DT_E_FORBIDDEN, "You cannot update your own access");
        dt_api_change_fail(&ch, &err);
        return;
    }
    start_in_org(&ch);
}

static int remove_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_api_req *a = ch->a;
    const char *user = a->op == DT_REST_ORGANIZATION_LEAVE ? a->who.user : a->params[1];
    return dt_store_member_remove(c, ch->org, user, err);
}

void dt_api_member_remove(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = remove_work};
    start_in_org(&ch);
}

/* /users: oneself, and for administrators everybody. */
#include <stdio.h>

#include "model/name.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"

static void reply_user(struct dt_api_req *a, const char *id)
{
    struct dt_err err;
    const struct dt_user *u = dt_directory_user(&a->rd->directory, id);
    if (u != NULL) {
        dt_api_reply_object(a, dt_api_user_json(u));
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "User with ID %.255s not found", id);
    dt_api_fail(a, &err);
}

void dt_api_user_me(struct dt_api_req *a)
{
    reply_user(a, a->who.user);
}

void dt_api_user_get(struct dt_api_req *a)
{
    reply_user(a, a->params[0]);
}

void dt_api_user_list(struct dt_api_req *a)
{
    DT_AUTO_FREE const struct dt_user **all = NULL;
    size_t n = 0;
    int got = dt_directory_users(&a->rd->directory, &all, &n);
    json_t *list = got == 0 ? json_array() : NULL;
    for (size_t i = 0; list != NULL && i < n; i++)
        (void)json_array_append_new(list, dt_api_user_json(all[i]));
    dt_api_reply_object(a, list);
}

static int create_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_rest_create_user *in = &ch->in.user;
    const struct dt_new_user user = {
        .id = in->id,
        .name = in->name,
        .email = in->email != NULL ? in->email : "",
        .email_verified = in->email_verified,
        .admin = strcmp(in->role, "admin") == 0,
    };
    return dt_store_user_add_with_org(c, &user, ch->quotas,
                                      in->personal_organization_default_region_id, ch->org, err);
}

static void create_reply(struct dt_api_change *ch)
{
    reply_user(ch->a, ch->user);
}

static int check(struct dt_api_change *ch, struct dt_err *err)
{
    struct dt_rest_update_organization_quota quota;
    const struct dt_rest_create_user *in = &ch->in.user;
    if (dt_name_check(dt_str_z(in->name), err) < 0 || dt_user_id_check(dt_str_z(in->id), err) < 0 ||
        (in->email != NULL && in->email[0] != '\0' &&
         dt_email_check(dt_str_z(in->email), err) < 0) ||
        dt_rest_update_organization_quota_parse(in->personal_organization_quota, &quota, err) < 0)
        return -1;
    dt_api_quotas_read(&quota, ch->quotas);
    dt_rest_update_organization_quota_done(&quota);
    (void)snprintf(ch->user, sizeof(ch->user), "%s", in->id);
    return 0;
}

void dt_api_user_create(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = create_work, .reply = create_reply};
    struct dt_err err;
    if (dt_rest_create_user_parse(body, &ch.in.user, &err) < 0 || check(&ch, &err) < 0)
        dt_api_change_fail(&ch, &err);
    else
        dt_api_change_start(&ch);
}

/* Needs the management interface of an identity provider, which this server does not use. */
void dt_api_account(struct dt_api_req *a)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_NOT_FOUND,
                     "Account linking is not enabled: link accounts at the OpenID provider");
    dt_api_fail(a, &err);
}

/* Invitations, as the organization sees them and as their addressees do. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/name.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"

enum { DAYS = 7 };
static const int64_t day_ms = 86400000;
static const char developer[] = "00000000-0000-0000-0000-000000000001";

/* --- the object of the wire --- */

static json_t *invitation_json(const struct dt_runnerd *rd, const struct dt_invitation *i)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], expires[DT_CLOCK_ISO_SIZE];
    const struct dt_org *o = dt_directory_org(&rd->directory, i->org);
    DT_AUTO_JSON json_t *roles = dt_api_roles_json(rd, o, i->roles, i->nroles);
    const struct dt_rest_organization_invitation out = {
        .id = i->id,
        .email = i->email,
        .invited_by = i->invited_by,
        .organization_id = i->org,
        .organization_name = i->org_name,
        .expires_at = dt_clock_iso(i->expires_ms, expires),
        .status = i->status,
        .role = i->owner ? "owner" : "member",
        .assigned_roles = roles,
        .created_at = dt_clock_iso(i->created_ms, created),
        .updated_at = dt_clock_iso(i->updated_ms, updated),
    };
    return dt_rest_organization_invitation_print(&out);
}

/* Every change here reads what it answers with into ch->extra. */
static void free_list(void *extra)
{
    if (extra != NULL)
        dt_invitations_done(extra);
    free(extra);
}

static void reply_one(struct dt_api_change *ch)
{
    const struct dt_invitations *list = ch->extra;
    dt_api_reply_object(ch->a, invitation_json(ch->a->rd, &list->all[0]));
}

static void reply_list(struct dt_api_change *ch)
{
    const struct dt_invitations *list = ch->extra;
    json_t *all = json_array();
    for (size_t i = 0; all != NULL && i < list->n; i++)
        (void)json_array_append_new(all, invitation_json(ch->a->rd, &list->all[i]));
    dt_api_reply_object(ch->a, all);
}

static void reply_count(struct dt_api_change *ch)
{
    const struct dt_invitations *list = ch->extra;
    char text[24];
    int n = snprintf(text, sizeof(text), "%zu", list->n);
    dt_api_reply_plain(ch->a, dt_str(text, (size_t)n));
}

static void start(struct dt_api_change *ch)
{
    struct dt_err err;
    ch->free_extra = free_list;
    ch->extra = calloc(1, sizeof(struct dt_invitations));
    if (ch->extra != NULL) {
        dt_api_change_start(ch);
        return;
    }
    (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
    dt_api_change_fail(ch, &err);
}

/* --- by the organization --- */

static int of_org_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_invitation_of_org(c, ch->a->who.org, ch->extra, err);
}

void dt_api_invitation_list(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = of_org_work, .reply = reply_list};
    start(&ch);
}

static int create_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_rest_create_organization_invitation *in = &ch->in.invite;
    const char *roles[DT_ASSIGNED_ROLES_MAX] = {developer};
    size_t n = dt_api_texts(in->assigned_role_ids, roles, DT_ASSIGNED_ROLES_MAX);
    const struct dt_new_invitation invitation = {
        .org = ch->a->who.org,
        .email = in->email,
        .invited_by = ch->inviter,
        .access = {.owner = strcmp(in->role, "owner") == 0,
                   .roles = roles,
                   .nroles = in->assigned_role_ids == NULL ? 1 : n},
        .expires_ms = ch->time_ms,
    };
    if (dt_store_invitation_add(c, &invitation, ch->id, err) < 0)
        return -1;
    return dt_store_invitation_get(c, ch->id, ch->extra, err);
}

/* `text` NULL: *ms stays. */
static int read_end(const char *text, int64_t *ms, struct dt_err *err)
{
    if (text == NULL)
        return 0;
    if (dt_clock_parse_iso(dt_str_z(text), ms) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "expiresAt must be a date such as 2027-01-31T12:00:00Z");
    if (*ms <= dt_clock_real_ms())
        return dt_err_set(err, DT_E_BAD_REQUEST, "expiresAt must be in the future");
    return 0;
}

static int check_create(struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_api_req *a = ch->a;
    const struct dt_org *o = dt_directory_org(&a->rd->directory, a->who.org);
    const struct dt_user *u = dt_directory_user(&a->rd->directory, a->who.user);
    if (o != NULL && o->personal)
        return dt_err_set(err, DT_E_FORBIDDEN, "Cannot invite users to personal organization");
    (void)snprintf(ch->inviter, sizeof(ch->inviter), "%s",
                   u != NULL && u->email[0] != '\0' ? u->email : a->who.user);
    ch->time_ms = dt_clock_real_ms() + DAYS * day_ms;
    if (dt_email_check(dt_str_z(ch->in.invite.email), err) < 0)
        return -1;
    return read_end(ch->in.invite.expires_at, &ch->time_ms, err);
}

/* The addressee sees the invitation in any case; the letter only tells them to look. */
static void send_letter(const struct dt_api_change *ch)
{
    const struct dt_runnerd *rd = ch->a->rd;
    const struct dt_invitation *i = &((const struct dt_invitations *)ch->extra)->all[0];
    char until[DT_CLOCK_ISO_SIZE], subject[400], text[2048];
    struct dt_err err;
    if (rd->mail == NULL)
        return;
    (void)snprintf(subject, sizeof(subject), "Invitation to %s on Daytona", i->org_name);
    (void)snprintf(text, sizeof(text),
                   "%s invites you to the organization \"%s\" on Daytona.\n\n"
                   "Log in at %s with the address %s to accept or decline. The invitation ends at "
                   "%.10s.\n\nIf you do not know who this is from, you need not do anything.\n",
                   i->invited_by, i->org_name, rd->dashboard_url, i->email,
                   dt_clock_iso(i->expires_ms, until));
    const struct dt_letter letter = {.to = i->email, .subject = subject, .text = text};
    if (dt_mail_send(rd->mail, &letter, &err) < 0)
        dt_log(DT_LOG_WARN, "mail", "to", i->email, "err", err.msg, NULL);
}

static void reply_created(struct dt_api_change *ch)
{
    send_letter(ch);
    reply_one(ch);
}

void dt_api_invitation_create(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = create_work, .reply = reply_created};
    struct dt_err err;
    if (dt_rest_create_organization_invitation_parse(body, &ch.in.invite, &err) < 0 ||
        check_create(&ch, &err) < 0)
        dt_api_change_fail(&ch, &err);
    else
        start(&ch);
}

static int edit_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_rest_update_organization_invitation *in = &ch->in.edit_invite;
    const char *roles[DT_ASSIGNED_ROLES_MAX];
    const struct dt_new_invitation invitation = {
        .org = ch->a->who.org,
        .access = {.owner = strcmp(in->role, "owner") == 0,
                   .roles = roles,
                   .nroles = dt_api_texts(in->assigned_role_ids, roles, DT_ASSIGNED_ROLES_MAX)},
        .expires_ms = ch->time_ms,
    };
    if (dt_store_invitation_edit(c, ch->a->params[1], &invitation, err) < 0)
        return -1;
    return dt_store_invitation_get(c, ch->a->params[1], ch->extra, err);
}

void dt_api_invitation_update(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = edit_work, .reply = reply_one};
    struct dt_err err;
    if (dt_rest_update_organization_invitation_parse(body, &ch.in.edit_invite, &err) < 0 ||
        read_end(ch.in.edit_invite.expires_at, &ch.time_ms, &err) < 0)
        dt_api_change_fail(&ch, &err);
    else
        start(&ch);
}

static int cancel_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_invitation_cancel(c, ch->a->who.org, ch->a->params[1], err);
}

void dt_api_invitation_cancel(struct dt_api_req *a)
{
    const struct dt_api_change ch = {.a = a, .work = cancel_work};
    dt_api_change_start(&ch);
}

/* --- by the addressee --- */

static int mine_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_user *u = ch->addressee;
    return u == NULL ? 0 : dt_store_invitation_to(c, u->email, ch->extra, err);
}

static int answer_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    bool accept = ch->a->op == DT_REST_INVITATION_ACCEPT;
    const char *id = ch->a->params[0];
    if (ch->addressee == NULL)
        return dt_err_set(err, DT_E_FORBIDDEN, DT_SUSPENDED_UNVERIFIED);
    if (dt_store_invitation_answer(c, id, ch->addressee, accept, ch->org, err) < 0)
        return -1;
    return dt_store_invitation_get(c, id, ch->extra, err);
}

/* Only who proved to own the address is the addressee. */
static void start_as_addressee(struct dt_api_change *ch)
{
    const struct dt_user *u = dt_directory_user(&ch->a->rd->directory, ch->a->who.user);
    if (u != NULL && u->email_verified && u->email[0] != '\0')
        ch->addressee = dt_user_copy(u);
    start(ch);
}

void dt_api_invitation_mine(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = mine_work, .reply = reply_list};
    start_as_addressee(&ch);
}

void dt_api_invitation_count(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = mine_work, .reply = reply_count};
    start_as_addressee(&ch);
}

void dt_api_invitation_accept(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = answer_work, .reply = reply_one};
    start_as_addressee(&ch);
}

void dt_api_invitation_decline(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = answer_work};
    start_as_addressee(&ch);
}

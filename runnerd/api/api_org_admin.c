/* What administrators of the system do to organizations: suspensions, quotas, the network. The
 * organization is the one in the path, whoever's it is. */
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"
#include "runnerd/network.h"

/* Fills in the organization; -1 when it was answered 404. */
static int begin(struct dt_api_change *ch)
{
    struct dt_err err;
    const char *id = ch->a->params[0];
    const struct dt_org *o = dt_directory_org(&ch->a->rd->directory, id);
    if (o != NULL) {
        memcpy(ch->org, o->id, sizeof(ch->org));
        return 0;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Organization with ID %.64s not found", id);
    dt_api_change_fail(ch, &err);
    return -1;
}

static void start_or_fail(struct dt_api_change *ch, int parsed, const struct dt_err *err)
{
    if (parsed < 0)
        dt_api_change_fail(ch, err);
    else if (begin(ch) == 0)
        dt_api_change_start(ch);
}

/* --- suspension --- */

static int suspend_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    const struct dt_rest_organization_suspension *in = &ch->in.suspension;
    return dt_store_org_suspend(c, ch->org, in->reason, ch->time_ms,
                                in->suspension_cleanup_grace_period_hours, err);
}

void dt_api_organization_suspend(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = suspend_work};
    struct dt_err err;
    int parsed = dt_rest_organization_suspension_parse(body, &ch.in.suspension, &err);
    const char *until = parsed == 0 ? ch.in.suspension.until : NULL;
    if (until != NULL && dt_clock_parse_iso(dt_str_z(until), &ch.time_ms) < 0)
        parsed =
            dt_err_set(&err, DT_E_BAD_REQUEST, "until must be a date such as 2027-01-31T12:00:00Z");
    start_or_fail(&ch, parsed, &err);
}

static int unsuspend_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_unsuspend(c, ch->org, err);
}

void dt_api_organization_unsuspend(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = unsuspend_work};
    start_or_fail(&ch, 0, NULL);
}

/* --- the network --- */

static int egress_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_egress(c, ch->org, ch->in.egress.sandbox_default_limited_network_egress,
                               err);
}

static void reply_egress(struct dt_api_change *ch)
{
    dt_network_limit_changed(ch->a->rd, ch->org);
    dt_api_reply(ch->a, NULL);
}

void dt_api_organization_egress(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = egress_work, .reply = reply_egress};
    struct dt_err err;
    int parsed = dt_rest_sandbox_default_limited_network_egress_parse(body, &ch.in.egress, &err);
    start_or_fail(&ch, parsed, &err);
}

/* --- quotas --- */

static int quota_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_quotas(c, ch->org, ch->quotas, err);
}

static void reply_org(struct dt_api_change *ch)
{
    const struct dt_org *o = dt_directory_org(&ch->a->rd->directory, ch->org);
    dt_api_reply_object(ch->a, o != NULL ? dt_api_org_json(ch->a->rd, o, false) : NULL);
}

#define ASKED(in, name) ((in)->has_##name ? (in)->name : -1)

void dt_api_quotas_read(const struct dt_rest_update_organization_quota *in,
                        int64_t quotas[DT_QUOTAS])
{
    quotas[DT_QUOTA_TOTAL_CPU] = ASKED(in, total_cpu_quota);
    quotas[DT_QUOTA_TOTAL_MEMORY] = ASKED(in, total_memory_quota);
    quotas[DT_QUOTA_TOTAL_DISK] = ASKED(in, total_disk_quota);
    quotas[DT_QUOTA_MAX_CPU] = ASKED(in, max_cpu_per_sandbox);
    quotas[DT_QUOTA_MAX_MEMORY] = ASKED(in, max_memory_per_sandbox);
    quotas[DT_QUOTA_MAX_DISK] = ASKED(in, max_disk_per_sandbox);
    quotas[DT_QUOTA_SNAPSHOTS] = ASKED(in, snapshot_quota);
    quotas[DT_QUOTA_SNAPSHOT_SIZE] = ASKED(in, max_snapshot_size);
    quotas[DT_QUOTA_VOLUMES] = ASKED(in, volume_quota);
    quotas[DT_QUOTA_AUTHENTICATED_RATE] = ASKED(in, authenticated_rate_limit);
    quotas[DT_QUOTA_AUTHENTICATED_RATE_S] = ASKED(in, authenticated_rate_limit_ttl_seconds);
    quotas[DT_QUOTA_CREATE_RATE] = ASKED(in, sandbox_create_rate_limit);
    quotas[DT_QUOTA_CREATE_RATE_S] = ASKED(in, sandbox_create_rate_limit_ttl_seconds);
    quotas[DT_QUOTA_LIFECYCLE_RATE] = ASKED(in, sandbox_lifecycle_rate_limit);
    quotas[DT_QUOTA_LIFECYCLE_RATE_S] = ASKED(in, sandbox_lifecycle_rate_limit_ttl_seconds);
    quotas[DT_QUOTA_SNAPSHOT_REST] = ASKED(in, snapshot_deactivation_timeout_minutes);
}

void dt_api_organization_quota(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = quota_work, .reply = reply_org};
    struct dt_rest_update_organization_quota in;
    struct dt_err err;
    int parsed = dt_rest_update_organization_quota_parse(body, &in, &err);
    if (parsed == 0) {
        dt_api_quotas_read(&in, ch.quotas);
        dt_rest_update_organization_quota_done(&in);
    }
    start_or_fail(&ch, parsed, &err);
}

/* There is one region, and its quotas are the organization's. */
static void set_region_quota(struct dt_api_req *a, json_t *body,
                             void (*reply)(struct dt_api_change *ch))
{
    struct dt_api_change ch = {.a = a, .work = quota_work, .reply = reply};
    struct dt_rest_update_organization_region_quota in;
    struct dt_err err;
    int parsed = dt_rest_update_organization_region_quota_parse(body, &in, &err);
    if (parsed == 0) {
        for (int i = 0; i < DT_QUOTAS; i++)
            ch.quotas[i] = -1;
        ch.quotas[DT_QUOTA_TOTAL_CPU] = ASKED(&in, total_cpu_quota);
        ch.quotas[DT_QUOTA_TOTAL_MEMORY] = ASKED(&in, total_memory_quota);
        ch.quotas[DT_QUOTA_TOTAL_DISK] = ASKED(&in, total_disk_quota);
        ch.quotas[DT_QUOTA_MAX_CPU] = ASKED(&in, max_cpu_per_sandbox);
        ch.quotas[DT_QUOTA_MAX_MEMORY] = ASKED(&in, max_memory_per_sandbox);
        ch.quotas[DT_QUOTA_MAX_DISK] = ASKED(&in, max_disk_per_sandbox);
        dt_rest_update_organization_region_quota_done(&in);
    }
    start_or_fail(&ch, parsed, &err);
}

void dt_api_organization_region_quota(struct dt_api_req *a, json_t *body)
{
    set_region_quota(a, body, NULL);
}

#define SET(name, value) .name = (value), .has_##name = true

static void show_region_quota(struct dt_api_req *a, const char *org, const char *region,
                              const char *sandbox_class)
{
    int64_t quotas[DT_QUOTAS];
    dt_quotas_of(a->rd->config, dt_directory_org(&a->rd->directory, org), quotas);
    const struct dt_rest_region_quota out = {
        .organization_id = org,
        .region_id = region,
        .sandbox_class = sandbox_class,
        SET(total_cpu_quota, quotas[DT_QUOTA_TOTAL_CPU]),
        SET(total_memory_quota, quotas[DT_QUOTA_TOTAL_MEMORY]),
        SET(total_disk_quota, quotas[DT_QUOTA_TOTAL_DISK]),
        SET(max_cpu_per_sandbox, quotas[DT_QUOTA_MAX_CPU]),
        SET(max_memory_per_sandbox, quotas[DT_QUOTA_MAX_MEMORY]),
        SET(max_disk_per_sandbox, quotas[DT_QUOTA_MAX_DISK]),
    };
    dt_api_reply_object(a, dt_rest_region_quota_print(&out));
}

void dt_api_admin_region_quota_get(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a};
    if (begin(&ch) == 0)
        show_region_quota(a, ch.org, a->params[1], a->params[2]);
}

static void created_region_quota(struct dt_api_change *ch)
{
    show_region_quota(ch->a, ch->org, ch->a->params[1], "container");
}

void dt_api_admin_region_quota_create(struct dt_api_req *a, json_t *body)
{
    set_region_quota(a, body, created_region_quota);
}

static int reset_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_quotas_reset(c, ch->org, err);
}

void dt_api_admin_region_quota_delete(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = reset_work};
    start_or_fail(&ch, 0, NULL);
}

/* --- of a sandbox --- */

void dt_api_sandbox_organization(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_sandbox(a);
    const struct dt_org *o = l != NULL ? dt_directory_org(&a->rd->directory, l->org) : NULL;
    if (l != NULL)
        dt_api_reply_object(a, o != NULL ? dt_api_org_json(a->rd, o, false) : NULL);
}

void dt_api_sandbox_region_quota(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_sandbox(a);
    if (l != NULL)
        show_region_quota(a, l->org, l->target, "container");
}

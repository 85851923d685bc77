/* /organizations: organizations themselves; their members are in api_member.c. */
#include <stdio.h>

#include "base/clock.h"
#include "model/name.h"
#include "runnerd/api/api_change.h"
#include "runnerd/api/api_object.h"
#include "runnerd/store_volume.h"

#define SET(name, value) .name = (value), .has_##name = true

/* --- reading --- */

void dt_api_organization_list(struct dt_api_req *a)
{
    DT_AUTO_FREE const struct dt_org **all = NULL;
    size_t n = 0;
    int got = dt_directory_orgs_of(&a->rd->directory, a->who.user, &all, &n);
    json_t *list = got == 0 ? json_array() : NULL;
    for (size_t i = 0; list != NULL && i < n; i++)
        (void)json_array_append_new(list, dt_api_org_json(a->rd, all[i], dt_api_owns(a, all[i])));
    dt_api_reply_object(a, list);
}

void dt_api_organization_get(struct dt_api_req *a)
{
    const struct dt_org *o = dt_api_org(a);
    if (o != NULL)
        dt_api_reply_object(a, dt_api_org_json(a->rd, o, dt_api_owns(a, o)));
}

void dt_api_organization_by_sandbox(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_live *l = dt_api_live(a, a->params[0]);
    const struct dt_org *o = l != NULL ? dt_directory_org(&a->rd->directory, l->org) : NULL;
    if (o != NULL) {
        dt_api_reply_object(a, dt_api_org_json(a->rd, o, false));
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Organization with sandbox ID %.64s not found",
                     a->params[0]);
    dt_api_fail(a, &err);
}

/* --- usage --- */

static json_t *region_usage(const struct dt_runnerd *rd, const struct dt_org *o,
                            const int64_t *quotas, const struct dt_resources *u)
{
    const struct dt_rest_region_usage_overview region = {
        .region_id =
            o->default_region != NULL ? o->default_region : rd->config->default_runner_region,
        .sandbox_class = "container",
        SET(total_cpu_quota, quotas[DT_QUOTA_TOTAL_CPU]),
        SET(current_cpu_usage, (double)u->cpu_millis / 1000),
        SET(total_memory_quota, quotas[DT_QUOTA_TOTAL_MEMORY]),
        SET(current_memory_usage, (double)u->memory_mib / 1024),
        SET(total_disk_quota, quotas[DT_QUOTA_TOTAL_DISK]),
        SET(current_disk_usage, (double)u->disk_mib / 1024),
        SET(max_cpu_per_sandbox, quotas[DT_QUOTA_MAX_CPU]),
        SET(max_memory_per_sandbox, quotas[DT_QUOTA_MAX_MEMORY]),
        SET(max_disk_per_sandbox, quotas[DT_QUOTA_MAX_DISK]),
    };
    json_t *list = json_array();
    (void)json_array_append_new(list, dt_rest_region_usage_overview_print(&region));
    return list;
}

static void reply_usage(struct dt_api_req *a, const struct dt_org *o, int64_t volumes)
{
    int64_t quotas[DT_QUOTAS];
    dt_quotas_of(a->rd->config, o, quotas);
    struct dt_resources u = dt_holdings_of(a->rd->holdings, o->id);
    DT_AUTO_JSON json_t *regions = region_usage(a->rd, o, quotas, &u);
    const struct dt_rest_organization_usage_overview out = {
        SET(total_cpu_quota, quotas[DT_QUOTA_TOTAL_CPU]),
        SET(total_memory_quota, quotas[DT_QUOTA_TOTAL_MEMORY]),
        SET(total_disk_quota, quotas[DT_QUOTA_TOTAL_DISK]),
        SET(current_cpu_usage, (double)u.cpu_millis / 1000),
        SET(current_memory_usage, (double)u.memory_mib / 1024),
        SET(current_disk_usage, (double)u.disk_mib / 1024),
        SET(total_snapshot_quota, quotas[DT_QUOTA_SNAPSHOTS]),
        SET(total_volume_quota, quotas[DT_QUOTA_VOLUMES]),
        SET(current_volume_usage, (double)volumes),
        .region_usage = regions,
    };
    dt_api_reply_object(a, dt_rest_organization_usage_overview_print(&out));
}

struct usage_job {
    struct dt_api_req *a;
    int64_t volumes;
};

static int usage_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct usage_job *j = arg;
    return dt_store_volume_count(c, j->a->who.org, &j->volumes, err);
}

static void usage_done(void *arg, const struct dt_err *err)
{
    struct usage_job *j = arg;
    const struct dt_org *o = err == NULL ? dt_api_org(j->a) : NULL;
    if (err != NULL)
        dt_api_fail(j->a, err);
    else if (o != NULL)
        reply_usage(j->a, o, j->volumes);
    dt_api_unref(j->a);
    free(j);
}

void dt_api_organization_usage(struct dt_api_req *a)
{
    struct dt_err err;
    struct usage_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    j->a = dt_api_ref(a);
    if (dt_db_submit_read(a->rd->db, usage_job, j, usage_done, &err) < 0)
        usage_done(j, &err);
}

/* --- making and deleting --- */

static int create_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    int64_t count;
    const struct dt_new_org org = {
        .name = ch->in.org.name,
        .created_by = ch->a->who.user,
        .default_region = ch->in.org.default_region_id,
    };
    if (dt_store_org_count(c, ch->a->who.user, &count, err) < 0)
        return -1;
    if (count >= DT_ORGS_PER_USER_MAX)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "You have reached the maximum number of created organizations");
    return dt_store_org_add(c, &org, ch->org, err);
}

static void reply_org(struct dt_api_change *ch)
{
    memcpy(ch->a->who.org, ch->org, sizeof(ch->org));
    dt_api_organization_get(ch->a);
}

static int check_region(const char *region, struct dt_err *err)
{
    if (region == NULL || dt_name_check(dt_str_z(region), NULL) == 0)
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST, "the region must be a plain name such as \"us\"");
}

/* The user of this machine proved who they are by the machine. */
static int check_verified(const struct dt_api_req *a, struct dt_err *err)
{
    const struct dt_user *u = dt_directory_user(&a->rd->directory, a->who.user);
    if (u != NULL && (u->email_verified || u->local))
        return 0;
    return dt_err_set(err, DT_E_FORBIDDEN, "Please verify your email address");
}

void dt_api_organization_create(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = create_work, .reply = reply_org};
    struct dt_err err;
    if (check_verified(a, &err) < 0 ||
        dt_rest_create_organization_parse(body, &ch.in.org, &err) < 0 ||
        dt_name_check(dt_str_z(ch.in.org.name), &err) < 0 ||
        check_region(ch.in.org.default_region_id, &err) < 0)
        dt_api_change_fail(&ch, &err);
    else
        dt_api_change_start(&ch);
}

static int delete_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    ch->org_gone = true;
    return dt_store_org_delete(c, ch->org, err);
}

void dt_api_organization_delete(struct dt_api_req *a)
{
    struct dt_api_change ch = {.a = a, .work = delete_work};
    memcpy(ch.org, a->who.org, sizeof(ch.org));
    dt_api_change_start(&ch);
}

static int region_work(struct dt_db_conn *c, struct dt_api_change *ch, struct dt_err *err)
{
    return dt_store_org_region(c, ch->org, ch->in.region.default_region_id, err);
}

void dt_api_organization_region(struct dt_api_req *a, json_t *body)
{
    struct dt_api_change ch = {.a = a, .work = region_work};
    struct dt_err err;
    memcpy(ch.org, a->who.org, sizeof(ch.org));
    if (dt_rest_update_organization_default_region_parse(body, &ch.in.region, &err) < 0 ||
        check_region(ch.in.region.default_region_id, &err) < 0)
        dt_api_change_fail(&ch, &err);
    else
        dt_api_change_start(&ch);
}

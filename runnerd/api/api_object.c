#include "runnerd/api/api_object.h"

#include "base/clock.h"

#define SET(name, value) .name = (value), .has_##name = true
/* What the organization has of its own; null while the settings hold. */
#define OWN(name, quota) .name = o->quotas[quota], .has_##name = o->quotas[quota] >= 0

json_t *dt_api_permissions_json(uint32_t permissions)
{
    json_t *list = json_array();
    for (uint32_t bit = 1; bit <= DT_PERM_ALL; bit <<= 1) {
        if ((permissions & bit) != 0)
            (void)json_array_append_new(list, json_string(dt_permission_text(bit)));
    }
    return list;
}

uint32_t dt_api_permissions(const json_t *list)
{
    uint32_t set = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        set |= dt_permission_bit(dt_str_z(json_string_value(json_array_get(list, i))));
    return set;
}

/* NULL for a time that is not set. */
static const char *time_text(int64_t ms, char out[DT_CLOCK_ISO_SIZE])
{
    return ms > 0 ? dt_clock_iso(ms, out) : NULL;
}

json_t *dt_api_key_json(const struct dt_key *k)
{
    char created[DT_CLOCK_ISO_SIZE], used[DT_CLOCK_ISO_SIZE], expires[DT_CLOCK_ISO_SIZE];
    char mask[DT_API_KEY_MASK_SIZE];
    DT_AUTO_JSON json_t *permissions = dt_api_permissions_json(k->permissions);
    const struct dt_rest_api_key_list out = {
        .name = k->name,
        .value = dt_api_key_mask(k->prefix, k->suffix, mask),
        .created_at = dt_clock_iso(k->created_ms, created),
        .permissions = permissions,
        .last_used_at = time_text(k->last_used_ms, used),
        .expires_at = time_text(k->expires_ms, expires),
        .user_id = k->user,
    };
    return dt_rest_api_key_list_print(&out);
}

json_t *dt_api_user_json(const struct dt_user *u)
{
    char created[DT_CLOCK_ISO_SIZE];
    const struct dt_rest_user out = {
        .id = u->id,
        .name = u->name,
        .email = u->email,
        SET(email_verified, u->email_verified),
        .created_at = dt_clock_iso(u->created_ms, created),
    };
    return dt_rest_user_print(&out);
}

bool dt_api_owns(const struct dt_api_req *a, const struct dt_org *o)
{
    const struct dt_member *m = a->who.user[0] != '\0' ? dt_org_member(o, a->who.user) : NULL;
    return m != NULL && m->owner;
}

/* The names of headers may be known, their values are keys. */
static json_t *shown_otel(const struct dt_runnerd *rd, const struct dt_org *o, bool owner)
{
    json_t *all = dt_api_org_otel(rd, o);
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(all, "headers"), name, value)
    {
        if (!owner)
            (void)json_string_set(value, "********");
    }
    return all;
}

json_t *dt_api_org_json(const struct dt_runnerd *rd, const struct dt_org *o, bool owner)
{
    DT_AUTO_JSON json_t *otel = shown_otel(rd, o, owner);
    DT_AUTO_JSON json_t *experimental = owner ? dt_api_org_experimental(rd, o) : NULL;
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE];
    char since[DT_CLOCK_ISO_SIZE], until[DT_CLOCK_ISO_SIZE];
    int64_t quotas[DT_QUOTAS];
    bool suspended = dt_org_suspended(o, dt_clock_real_ms());
    dt_quotas_of(rd->config, o, quotas);
    const struct dt_rest_organization out = {
        .id = o->id,
        .name = o->name,
        .created_by = o->created_by,
        SET(personal, o->personal),
        .created_at = dt_clock_iso(o->created_ms, created),
        .updated_at = dt_clock_iso(o->updated_ms, updated),
        SET(suspended, suspended),
        .suspended_at = suspended ? time_text(o->suspended_ms, since) : NULL,
        .suspension_reason = suspended ? o->suspension_reason : NULL,
        .suspended_until = suspended ? time_text(o->suspended_until_ms, until) : NULL,
        SET(suspension_cleanup_grace_period_hours, o->suspension_grace_hours),
        SET(total_cpu_quota, quotas[DT_QUOTA_TOTAL_CPU]),
        SET(total_memory_quota, quotas[DT_QUOTA_TOTAL_MEMORY]),
        SET(total_disk_quota, quotas[DT_QUOTA_TOTAL_DISK]),
        SET(max_cpu_per_sandbox, quotas[DT_QUOTA_MAX_CPU]),
        SET(max_memory_per_sandbox, quotas[DT_QUOTA_MAX_MEMORY]),
        SET(max_disk_per_sandbox, quotas[DT_QUOTA_MAX_DISK]),
        SET(sandbox_limited_network_egress, o->limited_egress),
        .experimental_config = experimental,
        .otel_config = otel,
        .default_region_id = o->default_region,
        SET(snapshot_deactivation_timeout_minutes, quotas[DT_QUOTA_SNAPSHOT_REST]),
        OWN(authenticated_rate_limit, DT_QUOTA_AUTHENTICATED_RATE),
        OWN(authenticated_rate_limit_ttl_seconds, DT_QUOTA_AUTHENTICATED_RATE_S),
        OWN(sandbox_create_rate_limit, DT_QUOTA_CREATE_RATE),
        OWN(sandbox_create_rate_limit_ttl_seconds, DT_QUOTA_CREATE_RATE_S),
        OWN(sandbox_lifecycle_rate_limit, DT_QUOTA_LIFECYCLE_RATE),
        OWN(sandbox_lifecycle_rate_limit_ttl_seconds, DT_QUOTA_LIFECYCLE_RATE_S),
        SET(preview_warning_enabled, rd->config->preview_warning_enabled),
    };
    return dt_rest_organization_print(&out);
}

json_t *dt_api_role_json(const struct dt_role *r, bool global)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE];
    DT_AUTO_JSON json_t *permissions = dt_api_permissions_json(r->permissions);
    const struct dt_rest_organization_role out = {
        .id = r->id,
        .name = r->name,
        .description = r->description,
        .permissions = permissions,
        SET(is_global, global),
        .created_at = dt_clock_iso(r->created_ms, created),
        .updated_at = dt_clock_iso(r->updated_ms, updated),
    };
    return dt_rest_organization_role_print(&out);
}

json_t *dt_api_roles_json(const struct dt_runnerd *rd, const struct dt_org *o,
                          char (*ids)[DT_UUID_SIZE], size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        const struct dt_role *r = dt_directory_role(&rd->directory, o, ids[i]);
        bool global = r != NULL && dt_directory_role(&rd->directory, NULL, ids[i]) == r;
        if (r != NULL)
            (void)json_array_append_new(list, dt_api_role_json(r, global));
    }
    return list;
}

json_t *dt_api_member_json(const struct dt_runnerd *rd, const struct dt_org *o,
                           const struct dt_member *m)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE];
    const struct dt_user *u = dt_directory_user(&rd->directory, m->user);
    DT_AUTO_JSON json_t *roles = dt_api_roles_json(rd, o, m->roles, m->nroles);
    const struct dt_rest_organization_user out = {
        .user_id = m->user,
        .organization_id = o->id,
        .name = u != NULL ? u->name : "",
        .email = u != NULL ? u->email : "",
        .role = m->owner ? "owner" : "member",
        .assigned_roles = roles,
        .created_at = dt_clock_iso(m->created_ms, created),
        .updated_at = dt_clock_iso(m->updated_ms, updated),
    };
    return dt_rest_organization_user_print(&out);
}

void dt_api_reply_object(struct dt_api_req *a, json_t *object)
{
    struct dt_err err;
    if (object != NULL) {
        dt_api_reply(a, object);
        return;
    }
    (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
    dt_api_fail(a, &err);
}

struct dt_org *dt_api_org(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_org *o = dt_directory_org(&a->rd->directory, a->who.org);
    if (o != NULL)
        return o;
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Organization with ID %s not found", a->who.org);
    dt_api_fail(a, &err);
    return NULL;
}

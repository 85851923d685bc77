#include "runnerd/identity/quota.h"

void dt_quotas_of(const struct dt_config_runnerd *config, const struct dt_org *o,
                  int64_t out[DT_QUOTAS])
{
    enum { SNAPSHOT_REST_MIN = 14 * 24 * 60 };
    const int64_t settings[DT_QUOTAS] = {
        [DT_QUOTA_TOTAL_CPU] = config->default_org_quota_total_cpu_quota,
        [DT_QUOTA_TOTAL_MEMORY] = config->default_org_quota_total_memory_quota,
        [DT_QUOTA_TOTAL_DISK] = config->default_org_quota_total_disk_quota,
        [DT_QUOTA_MAX_CPU] = config->default_org_quota_max_cpu_per_sandbox,
        [DT_QUOTA_MAX_MEMORY] = config->default_org_quota_max_memory_per_sandbox,
        [DT_QUOTA_MAX_DISK] = config->default_org_quota_max_disk_per_sandbox,
        [DT_QUOTA_SNAPSHOTS] = config->default_org_quota_snapshot_quota,
        [DT_QUOTA_SNAPSHOT_SIZE] = config->default_org_quota_max_snapshot_size,
        [DT_QUOTA_VOLUMES] = config->default_org_quota_volume_quota,
        [DT_QUOTA_AUTHENTICATED_RATE] = config->rate_limit_authenticated_limit,
        [DT_QUOTA_AUTHENTICATED_RATE_S] = config->rate_limit_authenticated_ttl,
        [DT_QUOTA_CREATE_RATE] = config->rate_limit_sandbox_create_limit,
        [DT_QUOTA_CREATE_RATE_S] = config->rate_limit_sandbox_create_ttl,
        [DT_QUOTA_LIFECYCLE_RATE] = config->rate_limit_sandbox_lifecycle_limit,
        [DT_QUOTA_LIFECYCLE_RATE_S] = config->rate_limit_sandbox_lifecycle_ttl,
        [DT_QUOTA_SNAPSHOT_REST] = SNAPSHOT_REST_MIN,
    };
    for (int i = 0; i < DT_QUOTAS; i++)
        out[i] = o != NULL && o->quotas[i] >= 0 ? o->quotas[i] : settings[i];
}

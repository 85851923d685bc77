#include "runnerd/api/api_runner.h"

#include <math.h>

#include "base/clock.h"

#define SET(name, value)    .name = (value), .has_##name = true
#define FIGURE(name, which) .name = r->figures[which], .has_##name = !isnan(r->figures[which])

/* --- this machine --- */

struct load {
    double cpu, memory_gib, disk_gib;
    double started;
};

static struct load load_of(const struct dt_runnerd *rd)
{
    struct load u = {0};
    for (const struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l)) {
        if (l->state == DT_SANDBOX_STARTED) {
            u.cpu += (double)l->cpu_millis / 1000;
            u.memory_gib += (double)l->memory_mib / 1024;
            u.started++;
        }
        u.disk_gib += (double)l->disk_mib / 1024;
    }
    return u;
}

static double score(const struct dt_runnerd *rd, const struct dt_host_figures *h)
{
    if (rd->runner.unschedulable || rd->runner.draining)
        return 0;
    return dt_runner_score(h->cpu_percent, h->memory_percent, h->disk_percent);
}

static json_t *own_json(const struct dt_runnerd *rd, const char *key)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], now[DT_CLOCK_ISO_SIZE];
    struct dt_host_figures h;
    struct load u = load_of(rd);
    DT_AUTO_JSON json_t *tags = json_array();
    dt_host_read(&rd->host, &h);
    const struct dt_rest_runner out = {
        .id = rd->runner.id,
        .domain = "localhost",
        .api_url = rd->api_url,
        .proxy_url = rd->api_url,
        .api_key = key,
        SET(cpu, h.cpus),
        SET(memory, h.memory_gib),
        SET(disk, h.disk_gib),
        SET(memory_gi_b, h.memory_gib),
        SET(disk_gi_b, h.disk_gib),
        SET(gpu, 0),
        .gpu_type = "none",
        .class_name = "small",
        .sandbox_class = "container",
        SET(current_cpu_usage_percentage, h.cpu_percent),
        SET(current_memory_usage_percentage, h.memory_percent),
        SET(current_disk_usage_percentage, h.disk_percent),
        SET(current_allocated_cpu, u.cpu),
        SET(current_allocated_memory_gi_b, u.memory_gib),
        SET(current_allocated_disk_gi_b, u.disk_gib),
        SET(current_started_sandboxes, u.started),
        SET(availability_score, score(rd, &h)),
        .region = rd->config->default_runner_region,
        .region_type = "shared",
        .name = "local",
        .state = dt_launcher_client_is_up(rd->launcher) ? "ready" : "unresponsive",
        .last_checked = dt_clock_iso(dt_clock_real_ms(), now),
        SET(unschedulable, rd->runner.unschedulable || rd->runner.draining),
        .tags = tags,
        .created_at = dt_clock_iso(rd->runner.created_ms, created),
        .updated_at = dt_clock_iso(rd->runner.updated_ms, updated),
        .version = "2",
        .api_version = "2",
        .runner_class = "container",
        .app_version = DT_VERSION,
    };
    return dt_rest_runner_print(&out);
}

/* --- other machines --- */

static double known(const struct dt_remote *r, enum dt_remote_figure which)
{
    return isnan(r->figures[which]) ? 0 : r->figures[which];
}

/* Clients of the first versions want every text. */
static const char *text(const struct dt_remote *r, enum dt_remote_text which)
{
    return r->texts[which] != NULL ? r->texts[which] : "";
}

static double remote_score(const struct dt_remote *r, enum dt_runner_state state)
{
    if (state != DT_RUNNER_READY || r->unschedulable || r->draining)
        return 0;
    return dt_runner_score(r->figures[DT_REMOTE_CPU_USED], r->figures[DT_REMOTE_MEMORY_USED],
                           r->figures[DT_REMOTE_DISK_USED]);
}

json_t *dt_api_remote_json(const struct dt_runnerd *rd, const struct dt_remote *r, bool with_key)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], checked[DT_CLOCK_ISO_SIZE],
        mask[DT_API_KEY_MASK_SIZE];
    bool shared = r->region[0] == '\0';
    enum dt_runner_state state = dt_runner_state(r->checked_ms, r->troubled, dt_clock_real_ms());
    DT_AUTO_JSON json_t *tags = dt_json_parse(dt_str_z(r->texts[DT_REMOTE_TAGS]), 2, NULL);
    const struct dt_rest_runner out = {
        .id = r->id,
        .domain = text(r, DT_REMOTE_DOMAIN),
        .api_url = text(r, DT_REMOTE_API_URL),
        .proxy_url = text(r, DT_REMOTE_PROXY_URL),
        .api_key = with_key ? dt_api_key_mask(r->prefix, r->suffix, mask) : NULL,
        SET(cpu, known(r, DT_REMOTE_CPU)),
        SET(memory, known(r, DT_REMOTE_MEMORY)),
        SET(disk, known(r, DT_REMOTE_DISK)),
        SET(memory_gi_b, known(r, DT_REMOTE_MEMORY)),
        SET(disk_gi_b, known(r, DT_REMOTE_DISK)),
        SET(gpu, known(r, DT_REMOTE_GPU)),
        .gpu_type = r->texts[DT_REMOTE_GPU_TYPE] != NULL ? r->texts[DT_REMOTE_GPU_TYPE] : "none",
        .class_name = "small",
        .sandbox_class = "container",
        FIGURE(current_cpu_usage_percentage, DT_REMOTE_CPU_USED),
        FIGURE(current_memory_usage_percentage, DT_REMOTE_MEMORY_USED),
        FIGURE(current_disk_usage_percentage, DT_REMOTE_DISK_USED),
        FIGURE(current_allocated_cpu, DT_REMOTE_CPU_ALLOCATED),
        FIGURE(current_allocated_memory_gi_b, DT_REMOTE_MEMORY_ALLOCATED),
        FIGURE(current_allocated_disk_gi_b, DT_REMOTE_DISK_ALLOCATED),
        FIGURE(current_snapshot_count, DT_REMOTE_SNAPSHOTS),
        FIGURE(current_started_sandboxes, DT_REMOTE_STARTED),
        SET(availability_score, remote_score(r, state)),
        .region = shared ? rd->config->default_runner_region : r->region,
        .region_type = shared ? "shared" : "custom",
        .name = r->texts[DT_REMOTE_NAME],
        .state = dt_runner_state_text(state),
        .last_checked = r->checked_ms > 0 ? dt_clock_iso(r->checked_ms, checked) : NULL,
        SET(unschedulable, r->unschedulable || r->draining),
        .tags = tags,
        .created_at = dt_clock_iso(r->created_ms, created),
        .updated_at = dt_clock_iso(r->updated_ms, updated),
        .version = r->texts[DT_REMOTE_API_VERSION],
        .api_version = r->texts[DT_REMOTE_API_VERSION],
        .runner_class = "container",
        .app_version = r->texts[DT_REMOTE_APP_VERSION],
    };
    return dt_rest_runner_print(&out);
}

/* --- to whom --- */

/* Whoever is let in by the key of a region or of a runner belongs to an organization, and has no
 * business with what is everybody's. */
static bool is_private(const struct dt_principal *who)
{
    return who->region[0] != '\0' || who->runner[0] != '\0';
}

/* The key of this machine acts for all organizations. NULL: not even its name is shown. */
static const char *own_key(const struct dt_api_req *a)
{
    const char *key = a->rd->config->default_runner_api_key;
    bool service = a->who.kind == DT_BY_SERVICE;
    if (!a->who.admin && !service)
        return NULL;
    return key == NULL || is_private(&a->who) ? "" : key;
}

json_t *dt_api_runner_json(const struct dt_api_req *a, const struct dt_remote *r)
{
    bool with_key = a->who.admin || a->who.kind == DT_BY_SERVICE;
    return r != NULL ? dt_api_remote_json(a->rd, r, with_key) : own_json(a->rd, own_key(a));
}

bool dt_api_runner_shown(const struct dt_api_req *a, const struct dt_remote *r)
{
    const struct dt_principal *who = &a->who;
    if (who->runner[0] != '\0')
        return r != NULL && strcmp(who->runner, r->id) == 0;
    if (r == NULL || who->admin)
        return true;
    if (who->kind == DT_BY_SERVICE)
        return who->region[0] == '\0' || strcmp(who->region, r->region) == 0;
    return r->org[0] != '\0' && strcmp(who->org, r->org) == 0;
}

bool dt_api_runner_named(struct dt_api_req *a, struct dt_remote **ret)
{
    struct dt_err err;
    const char *own = a->rd->runner.id;
    const char *id = a->nparams > 0 ? a->params[0] : a->who.runner[0] != '\0' ? a->who.runner : own;
    struct dt_remote *r = dt_remotes_find(&a->rd->remotes, id);
    if ((r != NULL || strcmp(id, own) == 0) && dt_api_runner_shown(a, r)) {
        *ret = r;
        return true;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Runner with ID %.64s not found", id);
    dt_api_fail(a, &err);
    return false;
}

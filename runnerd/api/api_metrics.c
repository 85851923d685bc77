/* What a sandbox used over time. */
#include <math.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_range.h"
#include "runnerd/sampler.h"

static const struct {
    const char *name;
    double parts; /* of one: how exact it is */
} metrics[DT_GAUGE_COUNT] = {
    [DT_GAUGE_CPU_PERCENT] = {"daytona.sandbox.cpu.utilization", 100},
    [DT_GAUGE_CPU_COUNT] = {"daytona.sandbox.cpu.limit", 1000},
    [DT_GAUGE_MEMORY_USED] = {"daytona.sandbox.memory.usage", 1},
    [DT_GAUGE_MEMORY_LIMIT] = {"daytona.sandbox.memory.limit", 1},
    [DT_GAUGE_MEMORY_CACHE] = {"daytona.sandbox.memory.cache", 1},
    [DT_GAUGE_DISK_USED] = {"daytona.sandbox.filesystem.usage", 1},
    [DT_GAUGE_DISK_TOTAL] = {"daytona.sandbox.filesystem.total", 1},
};

/* Lives until it is answered. */
struct look {
    struct dt_api_req *a;
    struct dt_rest_metrics_query in;
    struct dt_range range;
    char id[DT_UUID_SIZE];
};

static void look_free(struct look *k)
{
    dt_rest_metrics_query_done(&k->in);
    dt_api_unref(k->a);
    free(k);
}

static json_t *points(const struct look *k, const struct dt_live *l, int gauge)
{
    char at[DT_CLOCK_ISO_SIZE];
    size_t n;
    const struct dt_sample *s = dt_history_samples(l->telemetry.history, &n);
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        if (s[i].at_ms < k->range.from_ms || s[i].at_ms > k->range.to_ms)
            continue;
        const struct dt_rest_metric_data_point p = {
            .timestamp = dt_clock_iso(s[i].at_ms, at),
            .value =
                round((double)s[i].values[gauge] * metrics[gauge].parts) / metrics[gauge].parts,
            .has_value = true,
        };
        (void)json_array_append_new(all, dt_rest_metric_data_point_print(&p));
    }
    return all;
}

static bool is_wanted(const struct look *k, const char *name)
{
    for (size_t i = 0; i < json_array_size(k->in.metric_names); i++) {
        if (strcmp(json_string_value(json_array_get(k->in.metric_names, i)), name) == 0)
            return true;
    }
    return json_array_size(k->in.metric_names) == 0;
}

static json_t *describe(const struct look *k, const struct dt_live *l)
{
    DT_AUTO_JSON json_t *all = json_array();
    for (int i = 0; i < DT_GAUGE_COUNT; i++) {
        if (!is_wanted(k, metrics[i].name))
            continue;
        DT_AUTO_JSON json_t *data = points(k, l, i);
        const struct dt_rest_metric_series series = {
            .metric_name = metrics[i].name,
            .data_points = data,
        };
        (void)json_array_append_new(all, dt_rest_metric_series_print(&series));
    }
    const struct dt_rest_metrics_response out = {.series = all};
    return dt_rest_metrics_response_print(&out);
}

static void answer(void *ctx)
{
    struct look *k = ctx;
    struct dt_err err;
    const struct dt_live *l = dt_live_by_id(&k->a->rd->live, k->id);
    json_t *out = l != NULL ? describe(k, l) : NULL;
    if (out != NULL) {
        dt_api_reply(k->a, out);
    } else {
        (void)(l == NULL
                   ? dt_err_set(&err, DT_E_NOT_FOUND, "Sandbox with ID or name %s not found", k->id)
                   : dt_err_set(&err, DT_E_NOMEM, "out of memory"));
        dt_api_fail(k->a, &err);
    }
    look_free(k);
}

static struct look *look_new(struct dt_api_req *a, const struct dt_live *l, struct dt_err *err)
{
    struct look *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "out of memory");
        return NULL;
    }
    k->a = dt_api_ref(a);
    memcpy(k->id, l->id, sizeof(k->id));
    if (dt_rest_metrics_query_parse_query(dt_http_req_query(a->http), &k->in, err) == 0 &&
        dt_api_read_range(k->in.from, k->in.to, &k->range, err) == 0)
        return k;
    look_free(k);
    return NULL;
}

void dt_api_sandbox_metrics(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_live *l = dt_api_sandbox(a);
    struct look *k = l != NULL ? look_new(a, l, &err) : NULL;
    if (l == NULL)
        return;
    if (k == NULL) {
        dt_api_fail(a, &err);
        return;
    }
    /* What cannot be read now leaves what was read before. */
    if (k->range.to_ms != DT_RANGE_OPEN || dt_sampler_read(a->rd, l, answer, k, &err) != 0)
        answer(k);
}

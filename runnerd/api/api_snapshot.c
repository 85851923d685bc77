#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/boot.h"

enum { PAGE_MAX = 200 };

struct snapshot_job {
    struct dt_api_req *a;
    struct dt_rest_snapshot_query in;
    json_t *items; /* made on the store's thread, given over with the result */
    json_t *one;
    int64_t total;
};

static void job_free(struct snapshot_job *j)
{
    json_decref(j->items);
    json_decref(j->one);
    dt_rest_snapshot_query_done(&j->in);
    dt_api_unref(j->a);
    free(j);
}

json_t *dt_api_snapshot_json(const struct dt_snapshot_row *r)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], used[DT_CLOCK_ISO_SIZE];
    DT_AUTO_JSON json_t *config = dt_json_parse(dt_str_z(r->config), 8, NULL);
    DT_AUTO_JSON json_t *entrypoint = dt_boot_entrypoint(config);
    const struct dt_resources *d = &dt_resources_default;
    const struct dt_resources *res = &r->res;
    const struct dt_rest_snapshot s = {
        .id = r->id,
        .general = true,
        .has_general = true,
        .name = r->name,
        .image_name = r->image_name,
        .state = r->state,
        .size = (double)r->size_bytes / (1024.0 * 1024 * 1024),
        .has_size = true,
        .entrypoint = json_array_size(entrypoint) > 0 ? entrypoint : NULL,
        .cpu = (double)(res->cpu_millis > 0 ? res->cpu_millis : d->cpu_millis) / 1000,
        .has_cpu = true,
        .gpu = 0,
        .has_gpu = true,
        .mem = (double)(res->memory_mib > 0 ? res->memory_mib : d->memory_mib) / 1024,
        .has_mem = true,
        .disk = (double)(res->disk_mib > 0 ? res->disk_mib : d->disk_mib) / 1024,
        .has_disk = true,
        .error_reason = r->error_reason,
        .sandbox_class = "container",
        .created_at = dt_clock_iso(r->created_ms, created),
        .updated_at = dt_clock_iso(r->updated_ms, updated),
        .last_used_at = r->last_used_ms > 0 ? dt_clock_iso(r->last_used_ms, used) : NULL,
    };
    return dt_rest_snapshot_print(&s);
}

static int add(void *ctx, struct dt_snapshot_row *r, struct dt_err *err)
{
    struct snapshot_job *j = ctx;
    if (json_array_append_new(j->items, dt_api_snapshot_json(r)) < 0)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return 0;
}

static int list_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct snapshot_job *j = arg;
    j->items = json_array();
    const struct dt_snapshot_filter f = {
        .part = j->in.name,
        .sort = j->in.sort,
        .order = j->in.order,
        .offset = (j->in.page - 1) * j->in.limit,
        .limit = j->in.limit,
    };
    return dt_store_snapshot_list(c, &f, add, j, &j->total, err);
}

static int get_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct snapshot_job *j = arg;
    struct dt_snapshot_row row;
    if (dt_store_snapshot_get(c, j->a->params[0], &row, err) < 0)
        return -1;
    j->one = dt_api_snapshot_json(&row);
    dt_snapshot_row_done(&row);
    return j->one != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct snapshot_job *j = arg;
    int64_t limit = j->in.limit;
    if (err != NULL) {
        dt_api_fail(j->a, err);
    } else if (j->one != NULL) {
        dt_api_reply(j->a, json_incref(j->one));
    } else {
        const struct dt_rest_paginated_snapshots out = {
            .items = j->items,
            .total = j->total,
            .has_total = true,
            .page = j->in.page,
            .has_page = true,
            .total_pages = (j->total + limit - 1) / limit,
            .has_total_pages = true,
        };
        dt_api_reply(j->a, dt_rest_paginated_snapshots_print(&out));
    }
    job_free(j);
}

static void submit(struct dt_api_req *a, dt_db_fn *fn)
{
    struct dt_err err;
    struct snapshot_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    if (dt_rest_snapshot_query_parse_query(dt_http_req_query(a->http), &j->in, &err) < 0) {
        dt_api_fail(a, &err);
        free(j);
        return;
    }
    j->a = dt_api_ref(a);
    if (dt_db_submit_read(a->rd->db, fn, j, on_done, &err) < 0) {
        dt_api_fail(a, &err);
        job_free(j);
    }
}

void dt_api_snapshot_list(struct dt_api_req *a)
{
    submit(a, list_job);
}

void dt_api_snapshot_get(struct dt_api_req *a)
{
    submit(a, get_job);
}

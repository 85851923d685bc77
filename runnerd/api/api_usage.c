/* What sandboxes had of cpu, memory and disk, for how long: the base of bills. */
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_range.h"
#include "runnerd/store_usage.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

enum { DEFAULT_DAYS = 30 };

struct usage_job {
    struct dt_api_req *a;
    struct dt_rest_usage_query in;
    struct dt_usage_query query;
    char sandbox[DT_UUID_SIZE]; /* empty: all of the organization's */
    struct dt_usage total, *each;
    size_t n;
    int64_t sandboxes;
};

static void job_free(struct usage_job *j)
{
    dt_rest_usage_query_done(&j->in);
    dt_api_unref(j->a);
    free(j->each);
    free(j);
}

static int keep(void *ctx, const struct dt_usage *u, struct dt_err *err)
{
    struct usage_job *j = ctx;
    (void)err;
    j->each[j->n++] = *u;
    return 0;
}

static int usage_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct usage_job *j = arg;
    if (dt_store_usage_total(c, &j->query, &j->total, &j->sandboxes, err) < 0)
        return -1;
    return j->sandbox[0] != '\0' ? 0 : dt_store_usage_each(c, &j->query, keep, j, err);
}

#define CPU_SECONDS(u) ((double)(u)->cpu / 1e6)
#define GIB_SECONDS(v) ((double)(v) / 1024 / 1000)

static json_t *one(const struct dt_usage *u, const char *sandbox)
{
    const struct dt_rest_sandbox_usage out = {
        .sandbox_id = sandbox,
        .cpu_seconds = CPU_SECONDS(u),
        .has_cpu_seconds = true,
        .memory_gi_b_seconds = GIB_SECONDS(u->memory),
        .has_memory_gi_b_seconds = true,
        .disk_gi_b_seconds = GIB_SECONDS(u->disk),
        .has_disk_gi_b_seconds = true,
    };
    return dt_rest_sandbox_usage_print(&out);
}

static void reply_report(struct usage_job *j)
{
    char from[DT_CLOCK_ISO_SIZE], to[DT_CLOCK_ISO_SIZE];
    DT_AUTO_JSON json_t *items = json_array();
    bool more = (int64_t)j->n > j->in.limit;
    size_t n = more ? (size_t)j->in.limit : j->n;
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(items, one(&j->each[i], j->each[i].sandbox));
    const struct dt_rest_usage_report out = {
        .from = dt_clock_iso(j->query.from_ms, from),
        .to = dt_clock_iso(j->query.to_ms, to),
        .sandboxes = j->sandboxes,
        .has_sandboxes = true,
        .cpu_seconds = CPU_SECONDS(&j->total),
        .has_cpu_seconds = true,
        .memory_gi_b_seconds = GIB_SECONDS(j->total.memory),
        .has_memory_gi_b_seconds = true,
        .disk_gi_b_seconds = GIB_SECONDS(j->total.disk),
        .has_disk_gi_b_seconds = true,
        .items = items,
        .next_cursor = more ? j->each[n - 1].sandbox : NULL,
    };
    dt_api_reply(j->a, dt_rest_usage_report_print(&out));
}

static void usage_done(void *arg, const struct dt_err *err)
{
    struct usage_job *j = arg;
    if (err != NULL)
        dt_api_fail(j->a, err);
    else if (j->sandbox[0] != '\0')
        dt_api_reply(j->a, one(&j->total, j->sandbox));
    else
        reply_report(j);
    job_free(j);
}

static int fill(struct usage_job *j, struct dt_err *err)
{
    struct dt_usage_query *q = &j->query;
    int64_t now = dt_clock_real_ms();
    q->to_ms = now;
    if (dt_api_read_time("to", j->in.to, &q->to_ms, err) < 0)
        return -1;
    q->from_ms = q->to_ms - DEFAULT_DAYS * DAY_MS;
    if (dt_api_read_time("from", j->in.from, &q->from_ms, err) < 0)
        return -1;
    if (q->from_ms >= q->to_ms)
        return dt_err_set(err, DT_E_BAD_REQUEST, "from must be before to");
    if (j->in.cursor != NULL && !dt_is_uuid(j->in.cursor))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid cursor provided: use nextCursor of the previous answer");
    q->org = j->a->who.org;
    q->sandbox = j->sandbox[0] != '\0' ? j->sandbox : NULL;
    q->after = j->in.cursor;
    q->now_ms = now;
    q->limit = j->in.limit + 1;
    j->each = calloc((size_t)q->limit, sizeof(*j->each));
    return j->each != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

static void report(struct dt_api_req *a, const char *sandbox)
{
    struct dt_err err;
    struct usage_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    if (dt_rest_usage_query_parse_query(dt_http_req_query(a->http), &j->in, &err) < 0) {
        dt_api_fail(a, &err);
        free(j);
        return;
    }
    j->a = dt_api_ref(a);
    (void)snprintf(j->sandbox, sizeof(j->sandbox), "%s", sandbox);
    if (fill(j, &err) < 0 || dt_db_submit_read(a->rd->db, usage_job, j, usage_done, &err) < 0) {
        dt_api_fail(a, &err);
        job_free(j);
    }
}

void dt_api_sandbox_usage(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_sandbox(a);
    if (l != NULL)
        report(a, l->id);
}

void dt_api_usage_report(struct dt_api_req *a)
{
    report(a, "");
}

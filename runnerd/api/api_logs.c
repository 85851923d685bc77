/* A sandbox's own log: what was done with it, and what happened to it. */
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_range.h"
#include "runnerd/store_log.h"

enum { NAME_SIZE = 64 };

/* Lives until it is answered. */
struct log_job {
    struct dt_api_req *a;
    struct dt_rest_logs_query in;
    struct dt_log_filter filter;
    char id[DT_UUID_SIZE], region[65];
    json_t *items;
    int64_t total;
};

static void job_free(struct log_job *j)
{
    json_decref(j->items);
    dt_rest_logs_query_done(&j->in);
    dt_api_unref(j->a);
    free(j);
}

static json_t *resource(const struct log_job *j, const char *service)
{
    json_t *all = json_object();
    (void)json_object_set_new(all, "service.name", json_string(service));
    (void)json_object_set_new(all, "daytona.sandbox.id", json_string(j->id));
    (void)json_object_set_new(all, "daytona.organization.id", json_string(j->a->who.org));
    (void)json_object_set_new(all, "daytona.region", json_string(j->region));
    return all;
}

static json_t *attributes(const struct dt_log_entry *e)
{
    json_t *all = json_object();
    (void)json_object_set_new(all, "operation", json_string(e->operation));
    (void)json_object_set_new(all, "initiator", json_string(e->by_server ? "server" : "request"));
    if (e->state != NULL)
        (void)json_object_set_new(all, "state", json_string(e->state));
    return all;
}

static int add(void *ctx, const struct dt_log_entry *e, struct dt_err *err)
{
    struct log_job *j = ctx;
    char at[DT_CLOCK_ISO_SIZE], service[NAME_SIZE];
    (void)snprintf(service, sizeof(service), "sandbox-%s", j->id);
    DT_AUTO_JSON json_t *of_resource = resource(j, service), *of_entry = attributes(e);
    const struct dt_rest_log_entry out = {
        .timestamp = dt_clock_iso(e->at_ms, at),
        .body = e->body,
        .severity_text = dt_severity_text(e->severity),
        .severity_number = e->severity,
        .has_severity_number = true,
        .service_name = service,
        .resource_attributes = of_resource,
        .log_attributes = of_entry,
    };
    if (json_array_append_new(j->items, dt_rest_log_entry_print(&out)) < 0)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return 0;
}

static int list_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct log_job *j = arg;
    j->items = json_array();
    return dt_store_log_list(c, &j->filter, add, j, &j->total, err);
}

static void list_done(void *arg, const struct dt_err *err)
{
    struct log_job *j = arg;
    const struct dt_rest_paginated_logs out = {
        .items = j->items,
        .total = j->total,
        .has_total = true,
        .page = j->in.page,
        .has_page = true,
        .total_pages = (j->total + j->in.limit - 1) / j->in.limit,
        .has_total_pages = true,
    };
    if (err != NULL)
        dt_api_fail(j->a, err);
    else
        dt_api_reply(j->a, dt_rest_paginated_logs_print(&out));
    job_free(j);
}

static uint32_t severities(const json_t *names)
{
    uint32_t all = 0;
    for (size_t i = 0; i < json_array_size(names); i++)
        all |= (uint32_t)1 << dt_severity_from_text(json_string_value(json_array_get(names, i)));
    return all;
}

static int fill(struct log_job *j, struct dt_err *err)
{
    const struct dt_rest_logs_query *in = &j->in;
    struct dt_range range;
    if (dt_api_read_range(in->from, in->to, &range, err) < 0)
        return -1;
    j->filter = (struct dt_log_filter){
        .sandbox = j->id,
        .from_ms = range.from_ms,
        .to_ms = range.to_ms,
        .any_severity = json_array_size(in->severities) == 0,
        .severities = severities(in->severities),
        .search = in->search,
        .offset = (in->page - 1) * in->limit,
        .limit = in->limit,
    };
    return 0;
}

void dt_api_sandbox_logs(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_live *l = dt_api_sandbox(a);
    struct log_job *j = l != NULL ? calloc(1, sizeof(*j)) : NULL;
    if (l == NULL)
        return;
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    j->a = dt_api_ref(a);
    memcpy(j->id, l->id, sizeof(j->id));
    memcpy(j->region, l->target, sizeof(j->region));
    if (dt_rest_logs_query_parse_query(dt_http_req_query(a->http), &j->in, &err) < 0 ||
        fill(j, &err) < 0 || dt_db_submit_read(a->rd->db, list_job, j, list_done, &err) < 0) {
        dt_api_fail(a, &err);
        job_free(j);
    }
}

/* The requests that went into a sandbox, as traces: each request is a span, and those of one trace
 * of the client belong together. */
#include <stdio.h>

#include "base/clock.h"
#include "gen/toolbox_api.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_object.h"
#include "runnerd/api/api_range.h"
#include "runnerd/trace.h"

enum { HEX_TRACE = 2 * DT_TRACE_ID_SIZE + 1, HEX_SPAN = 2 * DT_SPAN_ID_SIZE + 1 };

static bool failed(const struct dt_span *s)
{
    return s->status >= 500 || (s->cut && s->status != 101); /* a tunnel ends somehow */
}

static const char *status_text(const struct dt_span *s)
{
    return failed(s) ? "Error" : s->status >= 400 ? "Unset" : "Ok";
}

static const char *span_name(const struct dt_span *s, char out[160])
{
    const struct dt_route *route = s->op < DT_TB_OP_COUNT ? &dt_tb_routes[s->op] : NULL;
    (void)snprintf(out, 160, "%s%s%s", route != NULL ? route->method : "unknown operation",
                   route != NULL ? " " : "", route != NULL ? route->path : "");
    return out;
}

static double end_of(const struct dt_span *s)
{
    return (double)s->start_ms + (double)s->ns / 1e6;
}

/* --- summaries --- */

struct summary {
    const struct dt_span *root; /* the one that began first */
    double end_ms;
    int64_t spans;
    bool in_range, failed;
};

static struct summary *find(struct summary *all, size_t n, const struct dt_span *s)
{
    size_t i = 0;
    while (i < n && memcmp(all[i].root->trace, s->trace, sizeof(s->trace)) != 0)
        i++;
    return &all[i];
}

static void count(struct summary *t, const struct dt_span *s, const struct dt_range *range)
{
    if (t->root == NULL || s->start_ms < t->root->start_ms)
        t->root = s;
    if (end_of(s) > t->end_ms)
        t->end_ms = end_of(s);
    t->spans++;
    t->in_range = t->in_range || (s->start_ms >= range->from_ms && s->start_ms <= range->to_ms);
    t->failed = t->failed || failed(s);
}

static int newest_first(const void *a, const void *b)
{
    const struct summary *x = a, *y = b;
    if (x->root->start_ms != y->root->start_ms)
        return x->root->start_ms < y->root->start_ms ? 1 : -1;
    return memcmp(x->root->trace, y->root->trace, sizeof(x->root->trace));
}

/* Returns how many there are in the range, in order. */
static size_t summarize(const struct dt_spans *spans, const struct dt_range *range,
                        struct summary all[DT_SPANS_MAX])
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < dt_spans_count(spans); i++) {
        const struct dt_span *s = dt_spans_at(spans, i);
        struct summary *t = find(all, n, s);
        if (t == &all[n])
            all[n++] = (struct summary){.root = NULL};
        count(t, s, range);
    }
    for (size_t i = 0; i < n; i++) {
        if (all[i].in_range)
            all[kept++] = all[i];
    }
    qsort(all, kept, sizeof(all[0]), newest_first);
    return kept;
}

static json_t *summary_json(const struct summary *t)
{
    char id[HEX_TRACE], name[160], start[DT_CLOCK_ISO_SIZE], end[DT_CLOCK_ISO_SIZE];
    dt_hex(t->root->trace, sizeof(t->root->trace), id);
    const struct dt_rest_trace_summary out = {
        .trace_id = id,
        .root_span_name = span_name(t->root, name),
        .start_time = dt_clock_iso(t->root->start_ms, start),
        .end_time = dt_clock_iso((int64_t)t->end_ms, end),
        .duration_ms = t->end_ms - (double)t->root->start_ms,
        .has_duration_ms = true,
        .span_count = t->spans,
        .has_span_count = true,
        .status_code = t->failed ? "Error" : status_text(t->root),
    };
    return dt_rest_trace_summary_print(&out);
}

static void reply_page(struct dt_api_req *a, const struct dt_live *l,
                       const struct dt_rest_traces_query *in, const struct dt_range *range)
{
    struct summary all[DT_SPANS_MAX];
    DT_AUTO_JSON json_t *items = json_array();
    size_t n = summarize(l->telemetry.spans, range, all);
    int64_t first = (in->page - 1) * in->limit;
    for (int64_t i = first; i < first + in->limit && i < (int64_t)n; i++)
        (void)json_array_append_new(items, summary_json(&all[i]));
    const struct dt_rest_paginated_traces out = {
        .items = items,
        .total = (int64_t)n,
        .has_total = true,
        .page = in->page,
        .has_page = true,
        .total_pages = ((int64_t)n + in->limit - 1) / in->limit,
        .has_total_pages = true,
    };
    dt_api_reply_object(a, dt_rest_paginated_traces_print(&out));
}

void dt_api_sandbox_traces(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_range range;
    struct dt_rest_traces_query in = {.json_owner = NULL};
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (dt_rest_traces_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0 ||
        dt_api_read_range(in.from, in.to, &range, &err) < 0)
        dt_api_fail(a, &err);
    else
        reply_page(a, l, &in, &range);
    dt_rest_traces_query_done(&in);
}

/* --- one trace --- */

static json_t *attributes(const struct dt_span *s)
{
    char status[8];
    json_t *all = json_object();
    if (s->op < DT_TB_OP_COUNT) {
        const struct dt_route *route = &dt_tb_routes[s->op];
        (void)json_object_set_new(all, "daytona.operation", json_string(route->id));
        (void)json_object_set_new(all, "http.request.method", json_string(route->method));
        (void)json_object_set_new(all, "http.route", json_string(route->path));
    }
    (void)snprintf(status, sizeof(status), "%u", s->status);
    if (s->status != 0)
        (void)json_object_set_new(all, "http.response.status_code", json_string(status));
    return all;
}

static const char *status_message(const struct dt_span *s, char out[64])
{
    if (!failed(s))
        return NULL;
    if (s->status == 0)
        return "the client went away before the answer";
    if (s->status < 500)
        return "the answer was cut off";
    (void)snprintf(out, 64, "%d %s", s->status, dt_http_reason(s->status));
    return out;
}

static json_t *span_json(const struct dt_span *s)
{
    static const uint8_t none[DT_SPAN_ID_SIZE];
    char trace[HEX_TRACE], id[HEX_SPAN], parent[HEX_SPAN], name[160], message[64];
    char at[DT_CLOCK_ISO_SIZE];
    DT_AUTO_JSON json_t *about = attributes(s);
    dt_hex(s->trace, sizeof(s->trace), trace);
    dt_hex(s->id, sizeof(s->id), id);
    dt_hex(s->parent, sizeof(s->parent), parent);
    const struct dt_rest_trace_span out = {
        .trace_id = trace,
        .span_id = id,
        .parent_span_id = memcmp(s->parent, none, sizeof(none)) != 0 ? parent : NULL,
        .span_name = span_name(s, name),
        .timestamp = dt_clock_iso(s->start_ms, at),
        .duration_ns = (int64_t)s->ns,
        .has_duration_ns = true,
        .span_attributes = about,
        .status_code = status_text(s),
        .status_message = status_message(s, message),
    };
    return dt_rest_trace_span_print(&out);
}

static int oldest_first(const void *a, const void *b)
{
    const struct dt_span *x = *(const struct dt_span *const *)a;
    const struct dt_span *y = *(const struct dt_span *const *)b;
    return x->start_ms < y->start_ms ? -1 : x->start_ms > y->start_ms;
}

static json_t *spans_json(const struct dt_spans *spans, const uint8_t trace[DT_TRACE_ID_SIZE])
{
    const struct dt_span *found[DT_SPANS_MAX] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < dt_spans_count(spans); i++) {
        const struct dt_span *s = dt_spans_at(spans, i);
        if (memcmp(s->trace, trace, DT_TRACE_ID_SIZE) == 0)
            found[n++] = s;
    }
    qsort(found, n, sizeof(found[0]), oldest_first);
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(all, span_json(found[i]));
    return all;
}

void dt_api_sandbox_trace_spans(struct dt_api_req *a)
{
    struct dt_err err;
    uint8_t trace[DT_TRACE_ID_SIZE];
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (!dt_span_read_hex(dt_str_z(a->params[1]), trace, sizeof(trace))) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "traceId must be 32 hexadecimal digits in lower case, as in the list of "
                         "traces");
        dt_api_fail(a, &err);
        return;
    }
    json_t *all = spans_json(l->telemetry.spans, trace);
    if (json_array_size(all) > 0) {
        dt_api_reply(a, all);
        return;
    }
    json_decref(all);
    (void)dt_err_set(&err, DT_E_NOT_FOUND,
                     "Trace with ID %s not found: the last %d requests of a sandbox are kept, "
                     "until the server is started again",
                     a->params[1], DT_SPANS_MAX);
    dt_api_fail(a, &err);
}

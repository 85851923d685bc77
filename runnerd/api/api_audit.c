/* The audit log: what of a request is written down, and the pages that show it. */
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_range.h"
#include "runnerd/audit/about.h"
#include "runnerd/audit/audit.h"
#include "runnerd/audit/store_audit.h"

/* --- what is written down --- */

static const char *org_of(const struct dt_api_req *a)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    if (route->org_param >= 0)
        return a->params[route->org_param];
    if (route->access == DT_ACCESS_ADMIN && route->target_param >= 0 &&
        strcmp(route->target, "sandbox") == 0) {
        const struct dt_live *l = dt_live_by_id(&a->rd->live, a->params[route->target_param]);
        return l != NULL ? l->org : NULL;
    }
    bool within = route->access == DT_ACCESS_MEMBER || route->access == DT_ACCESS_OWNER;
    return within && a->who.org[0] != '\0' ? a->who.org : NULL;
}

static const char *target_of(const struct dt_api_req *a)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    if (route->target_param < 0)
        return NULL;
    const char *name = a->params[route->target_param];
    const struct dt_live *l =
        strcmp(route->target, "sandbox") == 0 ? dt_live_find(&a->rd->live, a->who.org, name) : NULL;
    return l != NULL ? l->id : name;
}

static int print_metadata(const struct dt_api_req *a, struct dt_buf *out)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    DT_AUTO_JSON json_t *all = json_object();
    if (route->body != NULL)
        dt_about_add(all, "body", dt_schema_shown(route->body, a->body));
    if (route->query != NULL)
        dt_about_add(all, "query", dt_schema_shown_query(route->query, dt_http_req_query(a->http)));
    dt_about_add(all, "params", dt_about_params(route, a->params, a->nparams));
    return json_object_size(all) > 0 ? dt_json_write(all, out, NULL) : -1;
}

struct begun {
    struct dt_api_req *a;
    void (*done)(struct dt_api_req *a, const struct dt_err *err);
};

static void on_begun(void *ctx, struct dt_audit_entry *entry, const struct dt_err *err)
{
    struct begun b = *(struct begun *)ctx;
    free(ctx);
    b.a->audit = entry;
    b.done(b.a, err);
}

int dt_api_audit_begin(struct dt_api_req *a,
                       void (*done)(struct dt_api_req *a, const struct dt_err *err),
                       struct dt_db_base **base, struct dt_err *err)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    struct dt_about about;
    DT_AUTO_BUF struct dt_buf metadata;
    struct dt_audit_record r = {.status = -1};
    dt_buf_init(&metadata, DT_AUDIT_METADATA_MAX);
    struct begun *b = malloc(sizeof(*b));
    if (b == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    *b = (struct begun){a, done};
    dt_about_init(&about, a->rd, a->http, &a->who, &r);
    r.texts[DT_AUDIT_ORG] = org_of(a);
    r.texts[DT_AUDIT_ACTION] = route->audit;
    r.texts[DT_AUDIT_TARGET_TYPE] = route->target;
    r.texts[DT_AUDIT_TARGET] = target_of(a);
    r.texts[DT_AUDIT_METADATA] = print_metadata(a, &metadata) == 0 ? metadata.p : NULL;
    int begun = dt_audit_begin(a->rd->audit, &r, on_begun, b, base, err);
    dt_about_done(&about);
    if (begun < 0)
        free(b);
    return begun;
}

void dt_api_audit_end(struct dt_api_req *a, int status, const char *error, const json_t *reply)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    if (a->audit == NULL)
        return;
    const char *made = route->target_param < 0 && route->target_key != NULL
                           ? dt_json_text(reply, route->target_key, NULL)
                           : NULL;
    dt_audit_end(a->rd->audit, dt_take(a->audit), status, error, made);
}

/* --- pages --- */

struct page_job {
    struct dt_api_req *a;
    struct dt_rest_audit_query in;
    struct dt_audit_filter filter;
    json_t *items;
    int64_t total;
    int64_t last_ms, last; /* the last one shown */
};

static void job_free(struct page_job *j)
{
    json_decref(j->items);
    dt_rest_audit_query_done(&j->in);
    dt_api_unref(j->a);
    free(j);
}

static json_t *entry_json(const struct dt_audit_record *r)
{
    char created[DT_CLOCK_ISO_SIZE];
    const char *const *t = r->texts;
    DT_AUTO_JSON json_t *metadata =
        t[DT_AUDIT_METADATA] != NULL
            ? dt_json_parse(dt_str_z(t[DT_AUDIT_METADATA]), DT_API_DEPTH_MAX + 2, NULL)
            : NULL;
    const struct dt_rest_audit_log out = {
        .id = t[DT_AUDIT_ID],
        .actor_id = t[DT_AUDIT_ACTOR],
        .actor_email = t[DT_AUDIT_EMAIL],
        .actor_api_key_prefix = t[DT_AUDIT_KEY_PREFIX],
        .actor_api_key_suffix = t[DT_AUDIT_KEY_SUFFIX],
        .organization_id = t[DT_AUDIT_ORG],
        .action = t[DT_AUDIT_ACTION],
        .target_type = t[DT_AUDIT_TARGET_TYPE],
        .target_id = t[DT_AUDIT_TARGET],
        .status_code = r->status,
        .has_status_code = r->status >= 0,
        .error_message = t[DT_AUDIT_ERROR],
        .ip_address = t[DT_AUDIT_ADDRESS],
        .user_agent = t[DT_AUDIT_AGENT],
        .source = t[DT_AUDIT_SOURCE],
        .metadata = metadata,
        .created_at = dt_clock_iso(r->at_ms, created),
    };
    return dt_rest_audit_log_print(&out);
}

static int add(void *ctx, const struct dt_audit_record *r, struct dt_err *err)
{
    struct page_job *j = ctx;
    j->last = r->seq;
    j->last_ms = r->at_ms;
    if (json_array_append_new(j->items, entry_json(r)) < 0)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return 0;
}

static int page_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct page_job *j = arg;
    j->items = json_array();
    return dt_store_audit_list(c, &j->filter, add, j, &j->total, err);
}

static void page_done(void *arg, const struct dt_err *err)
{
    struct page_job *j = arg;
    char token[64];
    (void)snprintf(token, sizeof(token), "a%lld.%lld", (long long)j->last_ms, (long long)j->last);
    if (err != NULL) {
        dt_api_fail(j->a, err);
    } else {
        bool full = (int64_t)json_array_size(j->items) == j->filter.limit;
        const struct dt_rest_paginated_audit_logs out = {
            .items = j->items,
            .total = j->total,
            .has_total = true,
            .page = j->in.page,
            .has_page = true,
            .total_pages = (j->total + j->in.limit - 1) / j->in.limit,
            .has_total_pages = true,
            .next_token = full ? token : NULL,
        };
        dt_api_reply(j->a, dt_rest_paginated_audit_logs_print(&out));
    }
    job_free(j);
}

static int read_token(const char *token, struct dt_audit_filter *f, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(token), at;
    unsigned long long ms, seq;
    if (rest.n > 1 && rest.p[0] == 'a') {
        rest = dt_str(rest.p + 1, rest.n - 1);
        if (dt_str_cut(&rest, '.', &at) && dt_str_u64(at, INT64_MAX, &ms) == 0 &&
            dt_str_u64(rest, INT64_MAX, &seq) == 0 && seq > 0) {
            f->after_ms = (int64_t)ms;
            f->after = (int64_t)seq;
            f->offset = 0;
            return 0;
        }
    }
    return dt_err_set(err, DT_E_BAD_REQUEST, "nextToken is none that this server gave");
}

static int fill(struct page_job *j, struct dt_err *err)
{
    const struct dt_rest_audit_query *in = &j->in;
    j->filter = (struct dt_audit_filter){
        .org = j->filter.org,
        .to_ms = INT64_MAX,
        .offset = (in->page - 1) * in->limit,
        .limit = in->limit,
    };
    if (dt_api_read_time("from", in->from, &j->filter.from_ms, err) < 0 ||
        dt_api_read_time("to", in->to, &j->filter.to_ms, err) < 0)
        return -1;
    return in->next_token != NULL ? read_token(in->next_token, &j->filter, err) : 0;
}

static void show(struct dt_api_req *a, const char *org)
{
    struct dt_err err;
    struct page_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    j->a = dt_api_ref(a);
    j->filter.org = org;
    if (dt_rest_audit_query_parse_query(dt_http_req_query(a->http), &j->in, &err) < 0 ||
        fill(j, &err) < 0 || dt_db_submit_read(a->rd->db, page_job, j, page_done, &err) < 0) {
        dt_api_fail(a, &err);
        job_free(j);
    }
}

void dt_api_audit_organization(struct dt_api_req *a)
{
    show(a, a->who.org);
}

void dt_api_audit_all(struct dt_api_req *a)
{
    show(a, NULL);
}

/* Lists of sandboxes: by cursor (GET /sandbox) and by page (GET /sandbox/paginated). */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_range.h"

enum { BARE_MAX = 10000 };

struct list_job {
    struct dt_api_req *a;
    struct dt_rest_sandbox_query in;
    struct dt_sandbox_filter filter;
    char *states, *snapshots, *regions;
    bool bare; /* the items alone, as before cursors */
    char after_id[DT_UUID_SIZE];
    bool by_cursor;
    struct dt_sandbox_row *rows;
    size_t n;
    int64_t total;
};

static void job_free(struct list_job *j)
{
    for (size_t i = 0; i < j->n; i++)
        dt_sandbox_row_done(&j->rows[i]);
    free(j->rows);
    free(j->states);
    free(j->snapshots);
    free(j->regions);
    dt_rest_sandbox_query_done(&j->in);
    dt_api_unref(j->a);
    free(j);
}

static int keep(void *ctx, struct dt_sandbox_row *r, struct dt_err *err)
{
    struct list_job *j = ctx;
    (void)err;
    j->rows[j->n++] = *r;
    memset(r, 0, sizeof(*r));
    return 0;
}

static int list_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct list_job *j = arg;
    return dt_store_sandbox_list(c, &j->filter, keep, j, j->by_cursor ? NULL : &j->total, err);
}

/* One more row than asked for says that there is another page. */
static void reply_cursor(struct list_job *j, json_t *items)
{
    char cursor[96];
    int64_t limit = j->in.limit;
    if (j->bare) {
        dt_api_reply(j->a, json_incref(items));
        return;
    }
    struct dt_rest_sandbox_list out = {.items = items};
    if ((int64_t)j->n > limit) {
        const struct dt_sandbox_row *last = &j->rows[limit - 1];
        if (strcmp(j->in.sort, "createdAt") == 0 && strcmp(j->in.order, "desc") == 0)
            (void)snprintf(cursor, sizeof(cursor), "k%" PRId64 ".%s", last->created_ms, last->id);
        else
            (void)snprintf(cursor, sizeof(cursor), "o%" PRId64, j->filter.offset + limit);
        out.next_cursor = cursor;
    }
    dt_api_reply(j->a, dt_rest_sandbox_list_print(&out));
}

static void reply_page(struct list_job *j, json_t *items)
{
    int64_t limit = j->in.limit;
    struct dt_rest_paginated_sandboxes out = {
        .items = items,
        .total = j->total,
        .has_total = true,
        .page = j->in.page,
        .has_page = true,
        .total_pages = (j->total + limit - 1) / limit,
        .has_total_pages = true,
    };
    dt_api_reply(j->a, dt_rest_paginated_sandboxes_print(&out));
}

static void list_done(void *arg, const struct dt_err *err)
{
    struct list_job *j = arg;
    DT_AUTO_JSON json_t *items = json_array();
    struct dt_err why;
    for (size_t i = 0; err == NULL && i < j->n && (int64_t)i < j->in.limit; i++) {
        if (json_array_append_new(items, dt_api_sandbox_json(j->a->rd, &j->rows[i])) < 0) {
            (void)dt_err_set(&why, DT_E_NOMEM, "out of memory");
            err = &why;
        }
    }
    if (err != NULL)
        dt_api_fail(j->a, err);
    else if (j->by_cursor)
        reply_cursor(j, items);
    else
        reply_page(j, items);
    job_free(j);
}

static int array_text(const json_t *array, char **ret, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, (size_t)64 << 10);
    if (array == NULL || json_array_size(array) == 0)
        return 0;
    if (dt_json_write(array, &b, err) < 0)
        return -1;
    *ret = dt_buf_take(&b);
    return *ret != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

/* 1: there is none. */
static int check_labels(const char *labels, struct dt_err *err)
{
    const char *key;
    json_t *value;
    DT_AUTO_JSON json_t *j = dt_json_parse(dt_str_z(labels), 4, NULL);
    bool good = json_is_object(j);
    json_object_foreach(j, key, value) good = good && json_is_string(value);
    return good ? json_object_size(j) == 0
                : dt_err_set(err, DT_E_BAD_REQUEST,
                             "Invalid labels JSON format: it must be an object of strings");
}

static int read_cursor(struct list_job *j, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(j->in.cursor), first;
    unsigned long long v;
    if (rest.n == 0)
        return 0;
    bool keyed = rest.p[0] == 'k';
    rest = dt_str(rest.p + 1, rest.n - 1);
    if ((!keyed && j->in.cursor[0] != 'o') || !dt_str_cut(&rest, '.', &first) ||
        dt_str_u64(first, INT64_MAX, &v) < 0 || (keyed && (rest.p == NULL || !dt_is_uuid(rest.p))))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid cursor provided: use nextCursor of the previous answer");
    if (!keyed) {
        j->filter.offset = (int64_t)v;
        return 0;
    }
    (void)snprintf(j->after_id, sizeof(j->after_id), "%s", rest.p);
    j->filter.after_id = j->after_id;
    j->filter.after_ms = (int64_t)v;
    return 0;
}

static int fill_amounts(struct list_job *j, struct dt_err *err)
{
    const struct dt_rest_sandbox_query *in = &j->in;
    struct dt_sandbox_filter *f = &j->filter;
    const json_t *regions = json_array_size(in->region_ids) > 0 ? in->region_ids : in->regions;
    f->least =
        (struct dt_resources){(int64_t)(in->min_cpu * 1000), (int64_t)(in->min_memory_gi_b * 1024),
                              (int64_t)(in->min_disk_gi_b * 1024)};
    f->most =
        (struct dt_resources){(int64_t)(in->max_cpu * 1000), (int64_t)(in->max_memory_gi_b * 1024),
                              (int64_t)(in->max_disk_gi_b * 1024)};
    f->is_public = in->has_is_public ? in->is_public : -1;
    f->is_recoverable = in->has_is_recoverable ? in->is_recoverable : -1;
    if (dt_api_read_time("createdAtAfter", in->created_at_after, &f->created_after_ms, err) < 0 ||
        dt_api_read_time("createdAtBefore", in->created_at_before, &f->created_before_ms, err) <
            0 ||
        dt_api_read_time("lastEventAfter", in->last_event_after, &f->active_after_ms, err) < 0 ||
        dt_api_read_time("lastEventBefore", in->last_event_before, &f->active_before_ms, err) < 0 ||
        dt_api_read_time("autoDestroyAtAfter", in->auto_destroy_at_after, &f->destroy_after_ms,
                         err) < 0 ||
        dt_api_read_time("autoDestroyAtBefore", in->auto_destroy_at_before, &f->destroy_before_ms,
                         err) < 0 ||
        array_text(regions, &j->regions, err) < 0)
        return -1;
    f->regions = j->regions;
    return 0;
}

/* All sandboxes of this server are of one class. */
static bool other_classes(const json_t *classes)
{
    for (size_t i = 0; i < json_array_size(classes); i++) {
        if (strcmp(json_string_value(json_array_get(classes, i)), "container") == 0)
            return false;
    }
    return json_array_size(classes) > 0;
}

static int fill(struct list_job *j, struct dt_err *err)
{
    const struct dt_rest_sandbox_query *in = &j->in;
    const char *labels = in->labels;
    if (labels != NULL && (labels[0] == '\0' || strcmp(labels, "null") == 0))
        labels = NULL; /* the Python SDK's way to say none */
    for (size_t i = 0; i < json_array_size(in->states); i++) {
        const char *state = json_string_value(json_array_get(in->states, i));
        if (!dt_sandbox_state_known(state))
            return dt_err_set(err, DT_E_BAD_REQUEST, "states: there is no state '%.64s'", state);
    }
    j->filter = (struct dt_sandbox_filter){
        .org = j->a->who.org,
        .id_prefix = in->id,
        .name_prefix = in->name,
        .labels = labels,
        .errored_deleted =
            in->include_errored_deleted != NULL && strcmp(in->include_errored_deleted, "true") == 0,
        .sort = in->sort,
        .order = in->order,
        .offset = j->by_cursor ? 0 : (in->page - 1) * in->limit,
        .limit = in->limit + (j->by_cursor ? 1 : 0),
    };
    int none = labels != NULL ? check_labels(labels, err) : 0;
    if (none > 0)
        j->filter.labels = NULL;
    if (none < 0 || (j->by_cursor && in->cursor != NULL && read_cursor(j, err) < 0) ||
        array_text(in->states, &j->states, err) < 0 ||
        array_text(in->snapshots, &j->snapshots, err) < 0 || fill_amounts(j, err) < 0)
        return -1;
    if (other_classes(in->sandbox_classes))
        j->filter.org = ""; /* which has none */
    j->filter.states = j->states;
    j->filter.snapshots = j->snapshots;
    j->rows = calloc((size_t)j->filter.limit + 1, sizeof(*j->rows));
    return j->rows != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

/* Clients of before 0.180 knew no cursors, and say which they are. */
static bool wants_bare(struct dt_api_req *a)
{
    struct dt_str version = dt_http_req_header(a->http, "X-Daytona-SDK-Version"), major, minor;
    struct dt_str query = dt_http_req_query(a->http);
    unsigned long long n;
    bool paged = query.n > 0 && (memmem(query.p, query.n, "cursor=", 7) != NULL ||
                                 memmem(query.p, query.n, "limit=", 6) != NULL);
    if (version.n == 0 || paged)
        return false;
    return dt_str_cut(&version, '.', &major) && dt_str_eq(major, DT_STR("0")) &&
           dt_str_cut(&version, '.', &minor) && dt_str_u64(minor, 100000, &n) == 0 && n < 180;
}

static void list(struct dt_api_req *a, bool by_cursor)
{
    struct dt_err err;
    struct list_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    if (dt_rest_sandbox_query_parse_query(dt_http_req_query(a->http), &j->in, &err) < 0) {
        dt_api_fail(a, &err);
        free(j);
        return;
    }
    j->a = dt_api_ref(a);
    j->by_cursor = by_cursor;
    j->bare = by_cursor && wants_bare(a);
    if (j->bare)
        j->in.limit = BARE_MAX;
    if (fill(j, &err) < 0 || dt_db_submit_read(a->rd->db, list_job, j, list_done, &err) < 0) {
        dt_api_fail(a, &err);
        job_free(j);
    }
}

void dt_api_sandbox_list(struct dt_api_req *a)
{
    list(a, true);
}

void dt_api_sandbox_paginated(struct dt_api_req *a)
{
    list(a, false);
}

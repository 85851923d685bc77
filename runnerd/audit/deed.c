#include "runnerd/audit/deed.h"

#include "gen/toolbox_api.h"
#include "runnerd/audit/about.h"
#include "runnerd/audit/mask.h"

enum { ANSWER_MAX = 8192, DEPTH_MAX = 32 };

/* READING -> WRITING -> open (the caller's) -> over */
struct dt_deed {
    struct dt_deed_opts opts; /* .req NULL: the client is gone */
    struct dt_principal who;
    char *org, *sandbox;
    struct dt_audit_entry *entry;
    struct dt_buf body;
    bool writing;
    int status;           /* of the answer; 0 = none yet */
    struct dt_buf answer; /* the beginning of one that tells why it failed */
    char *error;
};

const struct dt_route *dt_deed_route(struct dt_http_req *req, struct dt_str target)
{
    struct dt_str segments[DT_ROUTE_SEGMENTS_MAX], path;
    if (!dt_str_cut(&target, '?', &path))
        return NULL;
    return dt_route_find(dt_tb_routes, DT_TB_OP_COUNT, dt_http_req_method(req), path, segments);
}

bool dt_deed_wanted(const struct dt_runnerd *rd, const struct dt_route *route)
{
    return route != NULL && route->audit != NULL && rd->config->audit_toolbox_requests_enabled &&
           !rd->config->audit_log_disabled;
}

static void deed_free(struct dt_deed *d)
{
    dt_buf_done(&d->body);
    dt_buf_done(&d->answer);
    free(d->org);
    free(d->sandbox);
    free(d->error);
    free(d);
}

/* --- what is written down --- */

/* The decoded texts of the path's parameters; returns how many. */
static size_t read_params(const struct dt_deed *d, char *values[DT_ROUTE_SEGMENTS_MAX])
{
    struct dt_str segments[DT_ROUTE_SEGMENTS_MAX], rest = d->opts.target, path;
    size_t n = 0;
    (void)dt_str_cut(&rest, '?', &path);
    (void)dt_route_find(d->opts.route, 1, dt_http_req_method(d->opts.req), path, segments);
    for (; n < DT_ROUTE_SEGMENTS_MAX && segments[n].p != NULL; n++) {
        struct dt_buf text;
        dt_buf_init(&text, DT_AUDIT_TEXT_MAX);
        if (dt_http_decode(segments[n], &text, NULL) < 0) {
            dt_buf_done(&text);
            break;
        }
        values[n] = dt_buf_take(&text);
    }
    return n;
}

static json_t *params(const struct dt_deed *d)
{
    char *values[DT_ROUTE_SEGMENTS_MAX] = {NULL};
    size_t n = read_params(d, values);
    json_t *all = dt_about_params(d->opts.route, values, n);
    for (size_t i = 0; i < n; i++)
        free(values[i]);
    return all;
}

static int print_metadata(const struct dt_deed *d, struct dt_buf *out)
{
    const struct dt_route *route = d->opts.route;
    struct dt_str query = d->opts.target, path;
    DT_AUTO_JSON json_t *all = json_object();
    DT_AUTO_JSON json_t *body =
        d->body.n > 0 ? dt_json_parse(dt_buf_str(&d->body), DEPTH_MAX, NULL) : NULL;
    (void)dt_str_cut(&query, '?', &path);
    if (route->body != NULL && json_is_object(body))
        dt_about_add(all, "body", dt_schema_shown(route->body, body));
    if (route->query != NULL)
        dt_about_add(all, "query", dt_schema_shown_query(route->query, query));
    dt_about_add(all, "params", params(d));
    if (json_object_size(all) == 0 || dt_mask_tree(all, NULL) < 0)
        return -1;
    return dt_json_write(all, out, NULL);
}

/* --- before --- */

/* From here on the request is the caller's, who is told once. */
static void tell(struct dt_deed *d, struct dt_deed *open, const struct dt_err *err)
{
    if (d->opts.req != NULL)
        dt_http_req_on_done(d->opts.req, NULL, NULL);
    d->opts.ready(d->opts.ctx, open, open != NULL ? dt_buf_str(&d->body) : dt_str(NULL, 0), err);
    if (open == NULL)
        deed_free(d);
}

static void on_written(void *ctx, struct dt_audit_entry *entry, const struct dt_err *err)
{
    struct dt_deed *d = ctx;
    d->entry = entry;
    if (d->opts.req != NULL) {
        tell(d, err == NULL ? d : NULL, err);
        return;
    }
    if (entry != NULL)
        dt_audit_end(d->opts.rd->audit, entry, 499, "the client went away before it was done",
                     NULL);
    tell(d, NULL, NULL);
}

static int write_down(struct dt_deed *d, struct dt_err *err)
{
    struct dt_about about;
    struct dt_audit_record r = {.status = -1};
    DT_AUTO_BUF struct dt_buf metadata;
    dt_buf_init(&metadata, DT_AUDIT_METADATA_MAX);
    dt_about_init(&about, d->opts.rd, d->opts.req, &d->who, &r);
    if (d->who.kind == DT_BY_NOTHING)
        r.texts[DT_AUDIT_ACTOR] = d->opts.actor;
    r.texts[DT_AUDIT_ORG] = d->org;
    r.texts[DT_AUDIT_ACTION] = d->opts.route->audit;
    r.texts[DT_AUDIT_TARGET_TYPE] = d->opts.route->target;
    r.texts[DT_AUDIT_TARGET] = d->sandbox;
    r.texts[DT_AUDIT_METADATA] = print_metadata(d, &metadata) == 0 ? metadata.p : NULL;
    d->writing = true;
    int begun = dt_audit_begin(d->opts.rd->audit, &r, on_written, d, NULL, err);
    dt_about_done(&about);
    return begun;
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *err)
{
    struct dt_deed *d = ctx;
    struct dt_err why;
    if (err != NULL)
        return; /* answered 413 */
    if (dt_buf_adds(&d->body, body, &why) < 0 || write_down(d, &why) < 0)
        tell(d, NULL, &why);
}

static void on_gone(void *ctx, bool complete)
{
    struct dt_deed *d = ctx;
    (void)complete;
    d->opts.req = NULL;
    if (!d->writing)
        tell(d, NULL, NULL);
}

static struct dt_deed *deed_new(const struct dt_deed_opts *opts)
{
    struct dt_deed *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->opts = *opts;
    if (opts->who != NULL)
        d->who = *opts->who;
    dt_buf_init(&d->body, DT_DEED_BODY_MAX);
    dt_buf_init(&d->answer, ANSWER_MAX);
    d->org = strdup(opts->org);
    d->sandbox = strdup(opts->sandbox);
    if (d->org != NULL && d->sandbox != NULL)
        return d;
    deed_free(d);
    return NULL;
}

int dt_deed_begin(const struct dt_deed_opts *opts, struct dt_err *err)
{
    struct dt_deed *d = deed_new(opts);
    uint64_t length = dt_http_req_content_length(opts->req);
    if (d == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    dt_http_req_on_done(opts->req, on_gone, d);
    if (opts->route->body != NULL && length > 0 && length <= DT_DEED_BODY_MAX) {
        dt_http_req_collect(opts->req, DT_DEED_BODY_MAX, on_body, d);
        return 0;
    }
    if (write_down(d, err) == 0)
        return 0;
    dt_http_req_on_done(opts->req, NULL, NULL);
    deed_free(d);
    return -1;
}

/* --- afterwards --- */

void dt_deed_answer(struct dt_deed *d, int status)
{
    d->status = status;
}

void dt_deed_data(struct dt_deed *d, const char *bytes, size_t n)
{
    size_t room = d->answer.max - d->answer.n;
    /* Without memory there is half of it, which says nothing. */
    if (d->status >= 400 && dt_buf_add(&d->answer, bytes, n < room ? n : room, NULL) < 0)
        dt_buf_clear(&d->answer);
}

void dt_deed_fail(struct dt_deed *d, const struct dt_err *err)
{
    d->status = dt_err_http(err->code);
    free(d->error);
    d->error = strdup(err->msg);
}

/* What the body of an error says. */
static char *read_error(const struct dt_deed *d)
{
    DT_AUTO_JSON json_t *j =
        d->answer.n > 0 ? dt_json_parse(dt_buf_str(&d->answer), DEPTH_MAX, NULL) : NULL;
    const char *message = dt_json_text(j, "message", NULL);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 4 * (DT_MASK_TEXT_MAX + 64));
    if (message == NULL || dt_mask_text(dt_str_z(message), &b, NULL) < 0)
        return NULL;
    return dt_buf_take(&b);
}

void dt_deed_end(struct dt_deed *d, bool whole)
{
    if (d == NULL)
        return;
    const char *cut = NULL;
    if (d->status == 0)
        cut = "the client went away before the answer";
    else if (!whole && d->error == NULL)
        cut = "the answer was cut off";
    if (d->error == NULL && cut == NULL)
        d->error = read_error(d);
    dt_audit_end(d->opts.rd->audit, d->entry, d->status != 0 ? d->status : 499,
                 cut != NULL ? cut : d->error, NULL);
    deed_free(d);
}

#include "runnerd/api/api.h"

#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api_host.h"
#include "runnerd/api/api_cors.h"
#include "runnerd/api/api_limit.h"
#include "runnerd/api/api_route.h"
#include "runnerd/api/api_socket.h"
#include "runnerd/forward.h"
#include "runnerd/identity/login.h"

struct handler {
    dt_api_op *plain;
    dt_api_body_op *with_body;
};

static const struct handler handlers[DT_REST_OP_COUNT] = {DT_REST_HANDLERS};

/* --- the life of a request --- */

struct dt_api_req *dt_api_ref(struct dt_api_req *a)
{
    a->refs++;
    return a;
}

void dt_api_unref(struct dt_api_req *a)
{
    if (--a->refs > 0)
        return;
    dt_api_audit_end(a, 499, "the client went away before the answer", NULL);
    for (size_t i = 0; i < a->nparams; i++)
        free(a->params[i]);
    json_decref(a->body);
    free(a->refusal);
    free(a);
}

static void on_done(void *ctx, bool complete)
{
    (void)complete;
    struct dt_api_req *a = ctx;
    a->http = NULL;
    if (a->on_gone != NULL)
        a->on_gone(a);
    dt_api_unref(a);
}

/* --- credentials --- */

/* NULL: none was named. What cannot be the id of one becomes the empty text, which is none. */
static const char *header_org(struct dt_api_req *a, char out[DT_UUID_SIZE])
{
    struct dt_str v = dt_http_req_header(a->http, "X-Daytona-Organization-ID");
    if (v.n == 0)
        return NULL;
    (void)snprintf(out, DT_UUID_SIZE, "%.*s", v.n == DT_UUID_SIZE - 1 ? (int)v.n : 0, v.p);
    return out;
}

/* 1: the token cannot be checked yet. */
static int authorize(struct dt_api_req *a, struct dt_err *err)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    char room[DT_UUID_SIZE];
    if (dt_api_limit_early(a, err) < 0)
        return -1;
    if (route->access == DT_ACCESS_OPEN)
        return 0;
    const char *path_org = route->org_param >= 0 ? a->params[route->org_param] : NULL;
    int got = dt_principal_read(a->rd, a->http, &a->who, err);
    if (got == 0)
        got = dt_principal_admit(a->rd, &a->who, route, path_org, header_org(a, room), err);
    if (got < 0 && err->code == DT_E_UNAUTHORIZED)
        dt_api_limit_failed(a);
    return got == 0 ? dt_api_limit(a, err) : got;
}

/* --- dispatch --- */

static void run(struct dt_api_req *a)
{
    if (handlers[a->op].with_body != NULL)
        handlers[a->op].with_body(a, a->body);
    else
        handlers[a->op].plain(a);
}

static void on_audited(struct dt_api_req *a, const struct dt_err *err)
{
    if (err != NULL)
        dt_api_fail(a, err);
    else if (a->http != NULL)
        run(a);
    dt_api_unref(a);
}

/* The same for an action that did not wait: what rests on the record has failed with it. */
static void on_written(struct dt_api_req *a, const struct dt_err *err)
{
    a->writing = false;
    if (err == NULL && a->refused != 0)
        dt_api_audit_end(a, a->refused, a->refusal, NULL);
    dt_api_unref(a);
}

static void run_upon(struct dt_api_req *a, struct dt_db_base *record)
{
    a->writing = true;
    dt_db_rest_on(a->rd->db, record);
    run(a);
    dt_db_rest_on(a->rd->db, NULL);
    (void)dt_db_base_free(record);
}

/* What is audited is written down before it is done. */
static void act(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_db_base *record = NULL;
    /* Nothing of a sandbox is made before a job of the store, submitted from within. */
    bool waits = a->op != DT_REST_SANDBOX_CREATE;
    if (dt_rest_routes[a->op].audit == NULL || a->rd->config->audit_log_disabled) {
        run(a);
        return;
    }
    (void)dt_api_ref(a);
    if (dt_api_audit_begin(a, waits ? on_audited : on_written, waits ? NULL : &record, &err) < 0)
        on_audited(a, &err);
    else if (!waits)
        run_upon(a, record);
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *err)
{
    struct dt_api_req *a = ctx;
    struct dt_err why;
    if (err != NULL)
        return; /* answered 413 */
    if (body.n == 0)
        a->body = json_object();
    else
        a->body = dt_json_parse(body, DT_API_DEPTH_MAX, &why);
    if (a->body != NULL) {
        act(a);
        return;
    }
    (void)dt_err_wrap(&why, "Invalid JSON in request body");
    dt_api_fail(a, &why);
}

static void unserved(struct dt_api_req *a)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_UNSUPPORTED, "%s", dt_rest_routes[a->op].unserved);
    dt_api_fail(a, &err);
}

/* The toolbox's exchanges belong to the proxy, which sets its own on_done; all others are ours. */
static bool is_proxied(const struct dt_api_req *a)
{
    return a->op == DT_REST_TOOLBOX_ANY;
}

static void keep(struct dt_api_req *a)
{
    dt_http_req_on_done(a->http, on_done, a);
    dt_http_req_add_header(a->http, "X-Request-Id", dt_str_z(a->id));
}

static void refuse(struct dt_api_req *a, const struct dt_err *err)
{
    if (is_proxied(a))
        keep(a);
    dt_api_fail(a, err);
}

static void dispatch(struct dt_api_req *a)
{
    if (dt_rest_routes[a->op].unserved != NULL)
        unserved(a);
    else if (handlers[a->op].with_body != NULL)
        dt_http_req_collect(a->http, DT_API_BODY_MAX, on_body, a);
    else
        act(a);
    if (is_proxied(a))
        dt_api_unref(a);
}

static void on_login(void *ctx);

static void admit(struct dt_api_req *a)
{
    struct dt_err err;
    int got = authorize(a, &err);
    if (got == 1 && !a->waited) {
        a->waited = true;
        got = dt_login_wait(a->rd, dt_principal_bearer(a->http), on_login, dt_api_ref(a), &err);
        if (got == 0)
            return;
        dt_api_unref(a);
    } else if (got == 1) {
        got = dt_err_set(&err, DT_E_UNAVAILABLE, "Temporary authentication service error");
    }
    if (got < 0)
        refuse(a, &err);
    else
        dispatch(a);
}

static void on_login(void *ctx)
{
    struct dt_api_req *a = ctx;
    if (a->http != NULL && is_proxied(a) && dt_http_req_conn(a->http) == NULL) {
        dt_http_req_reply(a->http, 503, NULL, NULL,
                          0); /* the client is gone: nobody else ends it */
        a->http = NULL;
        dt_api_unref(a);
    } else if (a->http != NULL) {
        admit(a);
    }
    dt_api_unref(a);
}

static void start(struct dt_api_req *a)
{
    struct dt_err err;
    bool found = dt_api_route(a, &err) == 0;
    if (!found || !is_proxied(a))
        keep(a);
    bool closed = a->rd->config->maintenance_mode && !(found && a->op == DT_REST_METRICS);
    if (closed)
        (void)dt_err_set(&err, DT_E_UNAVAILABLE,
                         "Service is currently under maintenance. Please try again later.");
    if (found && !closed) {
        admit(a);
    } else if (found) {
        refuse(a, &err);
    } else {
        dt_metrics_request(&a->rd->metrics, DT_REST_OP_COUNT, dt_err_http(err.code),
                           dt_clock_ns() - a->start_ns);
        dt_reply_error(a->http, &err, "DAYTONA_API");
    }
}

void dt_api_handle(void *ctx, struct dt_http_req *req)
{
    static uint64_t count;
    struct dt_runnerd *rd = ctx;
    if (dt_api_cors(req) || dt_api_socket(rd, req) || !dt_api_host_ok(rd, req))
        return;
    struct dt_api_req *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        dt_http_req_reply(req, 503, NULL, NULL, 0);
        return;
    }
    a->rd = rd;
    a->http = req;
    a->refs = 1;
    a->start_ns = dt_clock_ns();
    rd->last_request_ms = a->start_ns / 1000000;
    (void)snprintf(a->id, sizeof(a->id), "%s-%llx", rd->boot, (unsigned long long)++count);
    start(a);
}

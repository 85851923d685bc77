#include "runnerd/api/api.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/forward.h"

static bool is_about_sandbox(const struct dt_route *route)
{
    return strncmp(route->path, "/sandbox/", 9) == 0 || strncmp(route->path, "/toolbox/", 9) == 0;
}

static void log_request(const struct dt_api_req *a, int status, const struct dt_err *err)
{
    char ms[32], code[16];
    const struct dt_route *route = &dt_rest_routes[a->op];
    (void)snprintf(ms, sizeof(ms), "%.2f", (double)(dt_clock_ns() - a->start_ns) / 1e6);
    (void)snprintf(code, sizeof(code), "%d", status);
    dt_log(status >= 500          ? DT_LOG_ERROR
           : route->audit != NULL ? DT_LOG_INFO
                                  : DT_LOG_DEBUG,
           "request", "req", a->id, "op", route->id, "sandbox",
           is_about_sandbox(route) && a->nparams > 0 ? a->params[0] : NULL, "status", code, "ms",
           ms, "err", err == NULL ? NULL : err->msg, NULL);
}

/* Whether or not anybody still waits for the answer. */
static void answered(struct dt_api_req *a, int status, const struct dt_err *err,
                     const json_t *reply)
{
    log_request(a, status, err);
    dt_metrics_request(&a->rd->metrics, a->op, status, dt_clock_ns() - a->start_ns);
    if (!a->writing) {
        dt_api_audit_end(a, status, err != NULL ? err->msg : NULL, reply);
        return;
    }
    a->refused = status;
    a->refusal = err != NULL ? strdup(err->msg) : NULL;
}

void dt_api_fail(struct dt_api_req *a, const struct dt_err *err)
{
    answered(a, dt_err_http(err->code), err, NULL);
    if (a->http != NULL)
        dt_reply_error(a->http, err, "DAYTONA_API");
}

static void send_json(struct dt_api_req *a, struct dt_str json)
{
    if (a->http != NULL)
        dt_http_req_reply(a->http, dt_rest_routes[a->op].status,
                          json.n > 0 ? "application/json; charset=utf-8" : NULL, json.p, json.n);
}

void dt_api_reply(struct dt_api_req *a, json_t *body)
{
    DT_AUTO_JSON json_t *owned = body;
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err;
    dt_buf_init(&b, (size_t)256 << 20);
    if (owned != NULL && dt_json_write(owned, &b, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    answered(a, dt_rest_routes[a->op].status, NULL, owned);
    send_json(a, dt_buf_str(&b));
}

void dt_api_reply_text(struct dt_api_req *a, struct dt_str json)
{
    answered(a, dt_rest_routes[a->op].status, NULL, NULL);
    send_json(a, json);
}

void dt_api_reply_as(struct dt_api_req *a, const char *type, struct dt_str text)
{
    int status = dt_rest_routes[a->op].status;
    answered(a, status, NULL, NULL);
    if (a->http != NULL)
        dt_http_req_reply(a->http, status, type, text.p, text.n);
}

void dt_api_reply_plain(struct dt_api_req *a, struct dt_str text)
{
    dt_api_reply_as(a, "text/html; charset=utf-8", text);
}

void dt_api_reply_row(struct dt_api_req *a, const struct dt_sandbox_row *row)
{
    json_t *j = dt_api_sandbox_json(a->rd, row);
    struct dt_err err;
    if (j != NULL) {
        dt_api_reply(a, j);
        return;
    }
    (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
    dt_api_fail(a, &err);
}

/* --- what a request is about --- */

struct dt_live *dt_api_live(const struct dt_api_req *a, const char *id)
{
    struct dt_live *l = dt_live_by_id(&a->rd->live, id);
    if (a->who.runner[0] != '\0')
        return NULL; /* sandboxes are on this machine alone */
    if (l == NULL || a->who.region[0] == '\0')
        return l;
    const struct dt_region *r = dt_regions_find(&a->rd->regions, l->org, l->target);
    return r != NULL && strcmp(r->id, a->who.region) == 0 ? l : NULL;
}

struct dt_live *dt_api_sandbox(struct dt_api_req *a)
{
    struct dt_err err;
    bool any = a->who.kind == DT_BY_SERVICE || dt_rest_routes[a->op].access == DT_ACCESS_ADMIN;
    struct dt_live *l =
        any ? dt_api_live(a, a->params[0]) : dt_live_find(&a->rd->live, a->who.org, a->params[0]);
    if (l == NULL || l->state == DT_SANDBOX_DESTROYED) {
        (void)dt_err_set(&err, DT_E_NOT_FOUND, "Sandbox with ID or name %.256s not found",
                         a->params[0]);
        dt_api_fail(a, &err);
        return NULL;
    }
    return l;
}

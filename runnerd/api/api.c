#include "runnerd/api/api.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/api/api_host.h"
#include "runnerd/api/api_cors.h"
#include "runnerd/api/api_limit.h"
#include "runnerd/api/api_socket.h"
#include "runnerd/forward.h"
#include "runnerd/identity/login.h"

struct handler {
    void (*plain)(struct dt_api_req *a);
    void (*with_body)(struct dt_api_req *a, json_t *body);
    bool stores_first; /* nothing happens before a job of the store, submitted from within */
};

static const struct handler handlers[DT_REST_OP_COUNT] = {
    [DT_REST_HEALTH] = {.plain = dt_api_health},
    [DT_REST_HEALTH_READY] = {.plain = dt_api_health_ready},
    [DT_REST_PREVIEW_PUBLIC] = {.plain = dt_api_preview_public},
    [DT_REST_PREVIEW_VALIDATE] = {.plain = dt_api_preview_validate},
    [DT_REST_PREVIEW_ACCESS] = {.plain = dt_api_preview_access},
    [DT_REST_PREVIEW_SIGNED] = {.plain = dt_api_preview_signed},
    [DT_REST_OPENAPI] = {.plain = dt_api_openapi},
    [DT_REST_METRICS] = {.plain = dt_api_metrics},
    [DT_REST_CONFIG_GET] = {.plain = dt_api_config},
    [DT_REST_SNAPSHOT_LIST] = {.plain = dt_api_snapshot_list},
    [DT_REST_SNAPSHOT_GET] = {.plain = dt_api_snapshot_get},
    [DT_REST_VOLUME_LIST] = {.plain = dt_api_volume_list},
    [DT_REST_VOLUME_CREATE] = {.with_body = dt_api_volume_create},
    [DT_REST_VOLUME_GET] = {.plain = dt_api_volume_get},
    [DT_REST_VOLUME_GET_BY_NAME] = {.plain = dt_api_volume_get_by_name},
    [DT_REST_VOLUME_DELETE] = {.plain = dt_api_volume_delete},
    [DT_REST_SANDBOX_LIST] = {.plain = dt_api_sandbox_list},
    [DT_REST_SANDBOX_PAGINATED] = {.plain = dt_api_sandbox_paginated},
    [DT_REST_SANDBOX_CREATE] = {.with_body = dt_api_sandbox_create, .stores_first = true},
    [DT_REST_SANDBOX_CHANGES] = {.plain = dt_api_sandbox_changes},
    [DT_REST_SANDBOX_GET] = {.plain = dt_api_sandbox_get},
    [DT_REST_SANDBOX_DELETE] = {.plain = dt_api_sandbox_delete},
    [DT_REST_SANDBOX_START] = {.plain = dt_api_sandbox_start},
    [DT_REST_SANDBOX_STOP] = {.plain = dt_api_sandbox_stop},
    [DT_REST_SANDBOX_LABELS] = {.with_body = dt_api_sandbox_labels},
    [DT_REST_SANDBOX_PUBLIC] = {.plain = dt_api_sandbox_public},
    [DT_REST_SANDBOX_AUTOSTOP] = {.plain = dt_api_sandbox_autostop},
    [DT_REST_SANDBOX_AUTOARCHIVE] = {.plain = dt_api_sandbox_autoarchive},
    [DT_REST_SANDBOX_AUTODELETE] = {.plain = dt_api_sandbox_autodelete},
    [DT_REST_SANDBOX_ARCHIVE] = {.plain = dt_api_sandbox_archive},
    [DT_REST_SANDBOX_BACKUP] = {.plain = dt_api_sandbox_backup},
    [DT_REST_ADMIN_SANDBOX_RECOVER] = {.plain = dt_api_sandbox_recover},
    [DT_REST_SANDBOX_RECOVER] = {.plain = dt_api_sandbox_recover},
    [DT_REST_SANDBOX_PAUSE] = {.plain = dt_api_sandbox_pause},
    [DT_REST_SANDBOX_RESIZE] = {.with_body = dt_api_sandbox_resize},
    [DT_REST_SANDBOX_FORK] = {.with_body = dt_api_sandbox_fork},
    [DT_REST_SANDBOX_FORKS] = {.plain = dt_api_sandbox_forks},
    [DT_REST_SANDBOX_PARENT] = {.plain = dt_api_sandbox_parent},
    [DT_REST_SANDBOX_ANCESTORS] = {.plain = dt_api_sandbox_ancestors},
    [DT_REST_SANDBOX_NETWORK] = {.with_body = dt_api_sandbox_network},
    [DT_REST_SANDBOX_REGIONS] = {.plain = dt_api_sandbox_regions},
    [DT_REST_SANDBOX_FOR_RUNNER] = {.plain = dt_api_sandbox_for_runner},
    [DT_REST_SANDBOX_USAGE] = {.plain = dt_api_sandbox_usage},
    [DT_REST_SANDBOX_LOGS] = {.plain = dt_api_sandbox_logs},
    [DT_REST_SANDBOX_TRACES] = {.plain = dt_api_sandbox_traces},
    [DT_REST_SANDBOX_TRACE_SPANS] = {.plain = dt_api_sandbox_trace_spans},
    [DT_REST_SANDBOX_METRICS] = {.plain = dt_api_sandbox_metrics},
    [DT_REST_USAGE_REPORT] = {.plain = dt_api_usage_report},
    [DT_REST_SANDBOX_ACTIVITY] = {.plain = dt_api_sandbox_activity},
    [DT_REST_SANDBOX_PREVIEW_URL] = {.plain = dt_api_preview_url},
    [DT_REST_SANDBOX_SIGNED_URL] = {.plain = dt_api_signed_url},
    [DT_REST_SANDBOX_SIGNED_URL_EXPIRE] = {.plain = dt_api_signed_url_expire},
    [DT_REST_SANDBOX_SIGNING_KEY] = {.plain = dt_api_signing_key},
    [DT_REST_SANDBOX_SIGNING_KEY_ROTATE] = {.plain = dt_api_signing_key_rotate},
    [DT_REST_PREVIEW_SIGNING_KEY] = {.plain = dt_api_preview_signing_key},
    [DT_REST_SANDBOX_TOOLBOX_URL] = {.plain = dt_api_toolbox_url},
    [DT_REST_TOOLBOX_ANY] = {.plain = dt_api_toolbox},
    [DT_REST_API_KEY_CREATE] = {.with_body = dt_api_key_create},
    [DT_REST_API_KEY_LIST] = {.plain = dt_api_key_list},
    [DT_REST_API_KEY_CURRENT] = {.plain = dt_api_key_current},
    [DT_REST_API_KEY_GET] = {.plain = dt_api_key_get},
    [DT_REST_API_KEY_DELETE] = {.plain = dt_api_key_delete},
    [DT_REST_API_KEY_DELETE_OF] = {.plain = dt_api_key_delete_of},
    [DT_REST_INVITATION_MINE] = {.plain = dt_api_invitation_mine},
    [DT_REST_INVITATION_COUNT] = {.plain = dt_api_invitation_count},
    [DT_REST_INVITATION_ACCEPT] = {.plain = dt_api_invitation_accept},
    [DT_REST_INVITATION_DECLINE] = {.plain = dt_api_invitation_decline},
    [DT_REST_ORGANIZATION_CREATE] = {.with_body = dt_api_org_create},
    [DT_REST_ORGANIZATION_LIST] = {.plain = dt_api_org_list},
    [DT_REST_ORGANIZATION_BY_SANDBOX] = {.plain = dt_api_org_by_sandbox},
    [DT_REST_ORGANIZATION_GET] = {.plain = dt_api_org_get},
    [DT_REST_ORGANIZATION_DELETE] = {.plain = dt_api_org_delete},
    [DT_REST_ORGANIZATION_USAGE] = {.plain = dt_api_org_usage},
    [DT_REST_ORGANIZATION_QUOTA] = {.with_body = dt_api_org_quota},
    [DT_REST_ORGANIZATION_REGION_QUOTA] = {.with_body = dt_api_org_region_quota},
    [DT_REST_ORGANIZATION_LEAVE] = {.plain = dt_api_member_remove},
    [DT_REST_ORGANIZATION_SUSPEND] = {.with_body = dt_api_org_suspend},
    [DT_REST_ORGANIZATION_UNSUSPEND] = {.plain = dt_api_org_unsuspend},
    [DT_REST_ORGANIZATION_EGRESS] = {.with_body = dt_api_org_egress},
    [DT_REST_ORGANIZATION_REGION] = {.with_body = dt_api_org_region},
    [DT_REST_ORGANIZATION_OTEL_GET] = {.plain = dt_api_org_otel_get},
    [DT_REST_ORGANIZATION_OTEL_SET] = {.with_body = dt_api_org_otel_set},
    [DT_REST_ORGANIZATION_OTEL_DELETE] = {.plain = dt_api_org_otel_delete},
    [DT_REST_ORGANIZATION_OTEL_BY_TOKEN] = {.plain = dt_api_org_otel_by_token},
    [DT_REST_ORGANIZATION_EXPERIMENTAL] = {.with_body = dt_api_org_experimental_set},
    [DT_REST_ROLE_LIST] = {.plain = dt_api_role_list},
    [DT_REST_ROLE_CREATE] = {.with_body = dt_api_role_create},
    [DT_REST_ROLE_UPDATE] = {.with_body = dt_api_role_update},
    [DT_REST_ROLE_DELETE] = {.plain = dt_api_role_delete},
    [DT_REST_MEMBER_LIST] = {.plain = dt_api_member_list},
    [DT_REST_MEMBER_ACCESS] = {.with_body = dt_api_member_access},
    [DT_REST_MEMBER_REMOVE] = {.plain = dt_api_member_remove},
    [DT_REST_INVITATION_LIST] = {.plain = dt_api_invitation_list},
    [DT_REST_INVITATION_CREATE] = {.with_body = dt_api_invitation_create},
    [DT_REST_INVITATION_UPDATE] = {.with_body = dt_api_invitation_update},
    [DT_REST_INVITATION_CANCEL] = {.plain = dt_api_invitation_cancel},
    [DT_REST_ADMIN_REGION_QUOTA_GET] = {.plain = dt_api_org_region_quota_get},
    [DT_REST_ADMIN_REGION_QUOTA_SET] = {.with_body = dt_api_org_region_quota},
    [DT_REST_REGISTRY_CREATE] = {.with_body = dt_api_registry_create},
    [DT_REST_REGISTRY_LIST] = {.plain = dt_api_registry_list},
    [DT_REST_REGISTRY_GET] = {.plain = dt_api_registry_get},
    [DT_REST_REGISTRY_UPDATE] = {.with_body = dt_api_registry_update},
    [DT_REST_REGISTRY_DELETE] = {.plain = dt_api_registry_delete},
    [DT_REST_REGISTRY_DEFAULT] = {.plain = dt_api_registry_default},
    [DT_REST_ADMIN_REGISTRY_DEFAULT] = {.plain = dt_api_registry_default},
    [DT_REST_REGION_LIST] = {.plain = dt_api_region_list},
    [DT_REST_REGION_CREATE] = {.with_body = dt_api_region_create},
    [DT_REST_REGION_GET] = {.plain = dt_api_region_get},
    [DT_REST_REGION_UPDATE] = {.with_body = dt_api_region_update},
    [DT_REST_REGION_DELETE] = {.plain = dt_api_region_delete},
    [DT_REST_REGION_PROXY_KEY] = {.plain = dt_api_region_key},
    [DT_REST_REGION_SSH_KEY] = {.plain = dt_api_region_key},
    [DT_REST_SHARED_REGION_LIST] = {.plain = dt_api_shared_region_list},
    [DT_REST_RUNNER_LIST] = {.plain = dt_api_runner_list},
    [DT_REST_RUNNER_CREATE] = {.with_body = dt_api_runner_create},
    [DT_REST_RUNNER_HEALTHCHECK] = {.with_body = dt_api_runner_healthcheck},
    [DT_REST_RUNNER_ME] = {.plain = dt_api_runner_get},
    [DT_REST_RUNNER_BY_SANDBOX] = {.plain = dt_api_runner_by_sandbox},
    [DT_REST_RUNNER_BY_SNAPSHOT] = {.plain = dt_api_runner_by_snapshot},
    [DT_REST_RUNNER_GET] = {.plain = dt_api_runner_get},
    [DT_REST_RUNNER_DELETE] = {.plain = dt_api_runner_delete},
    [DT_REST_ADMIN_RUNNER_DELETE] = {.plain = dt_api_runner_delete},
    [DT_REST_SANDBOX_STATE] = {.with_body = dt_api_sandbox_state},
    [DT_REST_RUNNER_FULL] = {.plain = dt_api_runner_get},
    [DT_REST_RUNNER_SCHEDULING] = {.with_body = dt_api_runner_scheduling},
    [DT_REST_RUNNER_DRAINING] = {.with_body = dt_api_runner_draining},
    [DT_REST_ADMIN_RUNNER_CREATE] = {.with_body = dt_api_runner_create},
    [DT_REST_ADMIN_RUNNER_LIST] = {.plain = dt_api_runner_list},
    [DT_REST_ADMIN_RUNNER_GET] = {.plain = dt_api_runner_get},
    [DT_REST_ADMIN_RUNNER_SCHEDULING] = {.with_body = dt_api_runner_scheduling},
    [DT_REST_JOB_LIST] = {.plain = dt_api_job_list},
    [DT_REST_JOB_POLL] = {.plain = dt_api_job_poll},
    [DT_REST_JOB_GET] = {.plain = dt_api_job_get},
    [DT_REST_JOB_STATUS] = {.with_body = dt_api_job_status},
    [DT_REST_SANDBOX_ORGANIZATION] = {.plain = dt_api_org_of_sandbox},
    [DT_REST_SANDBOX_REGION_QUOTA] = {.plain = dt_api_region_quota_of_sandbox},
    [DT_REST_ADMIN_REGION_QUOTA_CREATE] = {.with_body = dt_api_org_region_quota_create},
    [DT_REST_ADMIN_REGION_QUOTA_DELETE] = {.plain = dt_api_org_region_quota_delete},
    [DT_REST_AUDIT_ALL] = {.plain = dt_api_audit_of_all},
    [DT_REST_AUDIT_ORGANIZATION] = {.plain = dt_api_audit_of_org},
    [DT_REST_ADMIN_AUDIT] = {.plain = dt_api_audit_of_all},
    [DT_REST_USER_ME] = {.plain = dt_api_user_me},
    [DT_REST_ACCOUNT_PROVIDERS] = {.plain = dt_api_account},
    [DT_REST_ACCOUNT_LINK] = {.plain = dt_api_account},
    [DT_REST_ACCOUNT_UNLINK] = {.plain = dt_api_account},
    [DT_REST_ACCOUNT_MFA] = {.plain = dt_api_account},
    [DT_REST_USER_CREATE] = {.with_body = dt_api_user_create},
    [DT_REST_USER_LIST] = {.plain = dt_api_user_list},
    [DT_REST_USER_GET] = {.plain = dt_api_user_get},
    [DT_REST_ADMIN_USER_CREATE] = {.with_body = dt_api_user_create},
    [DT_REST_ADMIN_USER_LIST] = {.plain = dt_api_user_list},
    [DT_REST_ADMIN_USER_GET] = {.plain = dt_api_user_get},
};

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

/* --- routes --- */

static struct dt_str without_api(struct dt_str path)
{
    if (dt_str_starts(path, DT_STR("/api/")))
        return dt_str(path.p + 4, path.n - 4);
    return path;
}

/* Empty segments do not count: base URLs that end in a slash make them. */
static bool next_segment(struct dt_str *rest, struct dt_str *segment)
{
    while (dt_str_cut(rest, '/', segment)) {
        if (segment->n > 0)
            return true;
    }
    return false;
}

/* Fills values[] with the texts of {names}; returns how many, or -1. */
static int match(const struct dt_route *route, struct dt_str path,
                 struct dt_str values[DT_API_PARAMS_MAX], struct dt_str *behind)
{
    bool any = strcmp(route->method, "ANY") == 0;
    struct dt_str pattern = dt_str_z(route->path), want, have;
    int n = 0;
    while (next_segment(&pattern, &want)) {
        bool last = pattern.p == NULL;
        if (any && last) {
            *behind = path;
            return n;
        }
        if (!next_segment(&path, &have))
            return -1;
        if (want.p[0] == '{' && n < DT_API_PARAMS_MAX)
            values[n++] = have;
        else if (!dt_str_eq(want, have))
            return -1;
    }
    return next_segment(&path, &have) ? -1 : n;
}

static int find_route(struct dt_api_req *a, struct dt_err *err)
{
    struct dt_str values[DT_API_PARAMS_MAX];
    struct dt_str method = dt_http_req_method(a->http);
    struct dt_str path = without_api(dt_http_req_path(a->http));
    bool head = dt_str_eq(method, DT_STR("HEAD"));
    for (unsigned i = 0; i < DT_REST_OP_COUNT; i++) {
        const struct dt_route *route = &dt_rest_routes[i];
        if (strcmp(route->method, "ANY") != 0 && !dt_str_eq(method, dt_str_z(route->method)) &&
            !(head && strcmp(route->method, "GET") == 0))
            continue;
        int n = match(route, path, values, &a->rest);
        if (n < 0)
            continue;
        a->op = (enum dt_rest_op)i;
        for (int k = 0; k < n; k++) {
            struct dt_buf text;
            dt_buf_init(&text, 4096);
            if (dt_http_decode(values[k], &text, err) < 0 || dt_buf_add(&text, "", 0, err) < 0) {
                dt_buf_done(&text);
                return -1;
            }
            a->params[a->nparams] = dt_buf_take(&text);
            if (a->params[a->nparams] == NULL)
                return dt_err_set(err, DT_E_NOMEM, "out of memory");
            a->nparams++;
        }
        return 0;
    }
    struct dt_str whole = dt_http_req_path(a->http);
    return dt_err_set(err, DT_E_NOT_FOUND, "Cannot %.*s %.*s", (int)method.n, method.p,
                      (int)(whole.n < 300 ? whole.n : 300), whole.p);
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
    bool waits = !handlers[a->op].stores_first;
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
    bool found = find_route(a, &err) == 0;
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

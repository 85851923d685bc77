/* URLs of previews and of the toolbox, and the toolbox behind the API. */
#include <stdio.h>

#include "base/clock.h"
#include "model/preview.h"
#include "runnerd/api/api.h"
#include "runnerd/forward.h"

enum { URL_MAX = DT_API_URL_MAX };

/* `l` may be NULL: it is gone. */
static void make_url(const struct dt_runnerd *rd, const struct dt_live *l, uint16_t port,
                     const char *label, char out[URL_MAX])
{
    const struct dt_region *r = l != NULL ? dt_regions_find(&rd->regions, l->org, l->target) : NULL;
    if (r != NULL && r->proxy_url != NULL) {
        const char *host = strstr(r->proxy_url, "://") + 3;
        (void)snprintf(out, URL_MAX, "%.*s%u-%s.%s", (int)(host - r->proxy_url), r->proxy_url, port,
                       label, host);
    } else {
        (void)snprintf(out, URL_MAX, "%s://%u-%s.%s", rd->config->proxy_protocol, port, label,
                       rd->proxy_domain);
    }
}

static int port_param(struct dt_api_req *a, uint16_t *port)
{
    struct dt_err err;
    if (dt_port_parse(dt_str_z(a->params[1]), port, &err) == 0)
        return 0;
    dt_api_fail(a, &err);
    return -1;
}

void dt_api_sandbox_preview_url(struct dt_api_req *a)
{
    uint16_t port;
    char url[URL_MAX];
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL || port_param(a, &port) < 0)
        return;
    make_url(a->rd, l, port, l->id, url);
    const struct dt_rest_port_preview_url out = {
        .sandbox_id = l->id, .url = url, .token = l->token};
    dt_api_reply(a, dt_rest_port_preview_url_print(&out));
}

void dt_api_sandbox_toolbox_url(struct dt_api_req *a)
{
    char url[DT_API_URL_MAX];
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    const struct dt_rest_toolbox_proxy_url out = {
        .url = dt_api_toolbox_base(a->rd, l->org, l->target, url)};
    dt_api_reply(a, dt_rest_toolbox_proxy_url_print(&out));
}

/* --- signed URLs --- */

struct signed_job {
    struct dt_api_req *a;
    struct dt_signed_row row;
    char token[DT_SIGNED_TOKEN_LEN + 1]; /* empty: it is taken back */
};

static int signed_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct signed_job *j = arg;
    return j->token[0] != '\0' ? dt_store_signed_put(c, &j->row, err)
                               : dt_store_signed_drop(c, j->row.hash, err);
}

static void signed_done(void *arg, const struct dt_err *err)
{
    struct signed_job *j = arg;
    struct dt_err why;
    bool failed = err != NULL;
    if (!failed && j->token[0] != '\0')
        failed = dt_signed_add(&j->a->rd->signed_urls, &j->row, &why) < 0;
    if (failed) {
        dt_api_fail(j->a, err != NULL ? err : &why);
    } else if (j->token[0] == '\0') {
        dt_api_reply(j->a, NULL);
    } else {
        char url[URL_MAX];
        make_url(j->a->rd, dt_live_by_id(&j->a->rd->live, j->row.sandbox), j->row.port, j->token,
                 url);
        const struct dt_rest_signed_port_preview_url out = {
            .sandbox_id = j->row.sandbox,
            .port = j->row.port,
            .has_port = true,
            .url = url,
            .token = j->token,
        };
        dt_api_reply(j->a, dt_rest_signed_port_preview_url_print(&out));
    }
    dt_api_unref(j->a);
    free(j);
}

static void submit(struct dt_api_req *a, const struct signed_job *like)
{
    struct dt_err err;
    struct signed_job *j = malloc(sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    *j = *like;
    j->a = dt_api_ref(a);
    if (dt_db_submit(a->rd->db, signed_job, j, signed_done, &err) < 0)
        signed_done(j, &err);
}

void dt_api_sandbox_signed_url(struct dt_api_req *a)
{
    struct dt_rest_signed_preview_query in;
    struct dt_err err;
    struct signed_job j = {0};
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL || port_param(a, &j.row.port) < 0)
        return;
    if (dt_rest_signed_preview_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    dt_rand_alnum(j.token, DT_SIGNED_TOKEN_LEN);
    dt_hash(dt_str_z(j.token), j.row.hash);
    memcpy(j.row.sandbox, l->id, sizeof(j.row.sandbox));
    j.row.expires_ms = dt_clock_real_ms() + in.expires_in_seconds * 1000;
    dt_rest_signed_preview_query_done(&in);
    submit(a, &j);
}

void dt_api_sandbox_signed_url_expire(struct dt_api_req *a)
{
    struct signed_job j = {0};
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL || port_param(a, &j.row.port) < 0)
        return;
    const struct dt_signed_row *r = dt_signed_find(&a->rd->signed_urls, a->params[2], 0);
    if (r == NULL || r->port != j.row.port || strcmp(r->sandbox, l->id) != 0) {
        /* Over or never there: either way it opens nothing now. */
        dt_api_reply(a, NULL);
        return;
    }
    memcpy(j.row.hash, r->hash, sizeof(j.row.hash));
    dt_signed_remove(&a->rd->signed_urls, j.row.hash);
    submit(a, &j);
}

/* --- the toolbox --- */

/* Clients read .message; the rest is how the original prints its exception. */
static void refuse(struct dt_http_req *req, const struct dt_live *l, struct dt_err *why)
{
    const char *message = l == NULL ? "Sandbox not found" : "Sandbox is not running";
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 4096);
    DT_AUTO_JSON json_t *j =
        json_pack("{s:{s:s, s:s, s:i}, s:i, s:{}, s:s, s:s, s:i, s:s, s:s}", "response", "message",
                  message, "error", "Bad Request", "statusCode", 400, "status", 400, "options",
                  "message", message, "name", "BadRequestException", "statusCode", 400, "code",
                  "BAD_REQUEST", "source", "DAYTONA_API");
    (void)dt_err_set(why, DT_E_BAD_REQUEST, "%s", message);
    if (j == NULL || dt_json_write(j, &b, NULL) < 0)
        dt_http_req_reply(req, 503, NULL, NULL, 0);
    else
        dt_http_req_reply(req, 400, "application/json; charset=utf-8", b.p, b.n);
}

void dt_api_toolbox_any(struct dt_api_req *a)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf target;
    dt_buf_init(&target, DT_HTTP_HEAD_MAX);
    struct dt_str query = dt_http_req_query(a->http);
    if (dt_buf_addz(&target, "/", &err) < 0 || dt_buf_adds(&target, a->rest, &err) < 0 ||
        (query.n > 0 &&
         (dt_buf_addz(&target, "?", &err) < 0 || dt_buf_adds(&target, query, &err) < 0))) {
        dt_reply_error(a->http, &err, "DAYTONA_API");
        return;
    }
    dt_forward(a->rd, a->http, dt_live_find(&a->rd->live, a->who.org, a->params[0]),
               &(struct dt_forward){.target = dt_buf_str(&target),
                                    .source = "DAYTONA_API",
                                    .request_id = a->id,
                                    .who = &a->who,
                                    .sandbox = a->params[0],
                                    .refuse = refuse,
                                    .is_api = true});
}

#include "runnerd/preview/preview.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "gen/rest_api.h"
#include "model/preview.h"
#include "runnerd/forward.h"
#include "runnerd/identity/login.h"
#include "runnerd/preview/file_url.h"
#include "runnerd/preview/preview_auth.h"
#include "runnerd/preview/preview_page.h"

static const char source[] = "DAYTONA_PROXY";

static bool is_true(struct dt_http_req *req, const char *name)
{
    return dt_str_eq_nocase(dt_http_req_header(req, name), DT_STR("true"));
}

/* --- CORS: other origins may ask with a token, never with our cookie --- */

static bool is_preflight(struct dt_http_req *req)
{
    return dt_str_eq(dt_http_req_method(req), DT_STR("OPTIONS")) &&
           dt_http_req_header(req, "Origin").p != NULL &&
           dt_http_req_header(req, "Access-Control-Request-Method").p != NULL;
}

static void answer_preflight(struct dt_http_req *req)
{
    struct dt_str wanted = dt_http_req_header(req, "Access-Control-Request-Headers");
    dt_http_req_add_header(req, "Access-Control-Allow-Origin", dt_http_req_header(req, "Origin"));
    dt_http_req_add_header(req, "Access-Control-Allow-Methods",
                           DT_STR("GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"));
    if (wanted.p != NULL)
        dt_http_req_add_header(req, "Access-Control-Allow-Headers", wanted);
    dt_http_req_add_header(req, "Vary", DT_STR("Origin"));
    dt_http_req_reply(req, 204, NULL, NULL, 0);
}

/* --- forwarding --- */

static void not_running(struct dt_http_req *req, const struct dt_live *l, struct dt_err *why)
{
    if (l == NULL)
        (void)dt_err_set(why, DT_E_BAD_REQUEST, "the sandbox is gone");
    else
        (void)dt_err_set(
            why, DT_E_BAD_REQUEST,
            "the sandbox is %s: start it with POST /api/sandbox/%s/start and open this again",
            dt_sandbox_state_text(dt_sandbox_shown(l->state, l->desired)), l->id);
    dt_reply_error(req, why, source);
}

static void forward(const struct dt_preview_ask *ask, struct dt_live *l,
                    const struct dt_preview_pass *pass, struct dt_str target, const char *prefix)
{
    char origin[512] = "";
    struct dt_str from = dt_http_req_header(ask->req, "Origin");
    if (from.n > 0 && from.n < sizeof(origin) && !is_true(ask->req, "X-Daytona-Disable-CORS"))
        (void)snprintf(origin, sizeof(origin), "%.*s", (int)from.n, from.p);
    /* Port 2280 is the toolbox itself. */
    uint16_t port = ask->toolbox || ask->port == 2280 ? 0 : ask->port;
    dt_forward(ask->rd, ask->req, l,
               &(struct dt_forward){
                   .port = port,
                   .target = target,
                   .prefix = prefix,
                   .cors = origin[0] != '\0' ? origin : NULL,
                   .is_page = port != 0,
                   .cookie = pass->set_cookie[0] != '\0' ? pass->set_cookie : NULL,
                   .source = source,
                   .who = pass->who.kind != DT_BY_NOTHING ? &pass->who : NULL,
                   .actor = pass->actor,
                   .refuse = not_running,
                   .quiet = is_true(ask->req, "X-Daytona-Skip-Last-Activity-Update"),
               });
}

/* --- access tokens --- */

static void handle(struct dt_runnerd *rd, struct dt_http_req *req, bool waited);

struct waiting {
    struct dt_runnerd *rd;
    struct dt_http_req *req; /* stays until it is answered */
};

static void on_login(void *ctx)
{
    struct waiting *w = ctx;
    if (dt_http_req_conn(w->req) == NULL)
        dt_http_req_reply(w->req, 503, NULL, NULL, 0); /* the client is gone: nobody else ends it */
    else
        handle(w->rd, w->req, true);
    free(w);
}

/* 0: the request begins anew when it can be said whose token it has. */
static int wait_for_login(const struct dt_preview_ask *ask, struct dt_err *err)
{
    struct waiting *w = malloc(sizeof(*w));
    if (w == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    *w = (struct waiting){ask->rd, ask->req};
    if (dt_login_wait(ask->rd, dt_principal_bearer(ask->req), on_login, w, err) == 0)
        return 0;
    free(w);
    return -1;
}

/* --- the two ways in --- */

/* What goes on: the path, and the query without our parameter. Most often that is the rest of the
 * request's own target; else it is put together in `room`. */
static int find_target(const struct dt_preview_ask *ask, struct dt_str path, struct dt_buf *room,
                       struct dt_str *target, struct dt_err *err)
{
    struct dt_str whole = dt_http_req_target(ask->req);
    if (path.n == 0)
        path = DT_STR("/");
    else if (memmem(whole.p, whole.n, DT_QUERY_TOKEN, sizeof(DT_QUERY_TOKEN) - 1) == NULL) {
        *target = dt_str(path.p, (size_t)(whole.p + whole.n - path.p));
        return 0;
    }
    if (dt_buf_adds(room, path, err) < 0 || dt_preview_query(ask->query, room, err) < 0)
        return -1;
    *target = dt_buf_str(room);
    return 0;
}

/* Checks the caller, then sends the request on; `path` is a part of the request's target. */
static void serve(const struct dt_preview_ask *ask, struct dt_live *l, struct dt_str path,
                  const char *prefix)
{
    struct dt_err err;
    struct dt_preview_pass pass;
    struct dt_str target;
    DT_AUTO_BUF struct dt_buf room;
    dt_buf_init(&room, DT_HTTP_HEAD_MAX + 64);
    int got = dt_preview_auth(ask, &pass, &err);
    if (got == 1 && (got = wait_for_login(ask, &err)) == 0)
        return;
    int found = -1;
    if (got == 0) {
        found = find_target(ask, path, &room, &target, &err);
    } else if (dt_file_url_is_signed(ask, path)) {
        found = dt_file_url_open(ask, path, &room, &target, &err);
        pass.actor = DT_ACTOR_SIGNED;
    }
    if (found < 0) {
        dt_reply_error(ask->req, &err, source);
        return;
    }
    forward(ask, l, &pass, target, prefix);
}

/* An old SDK appends its token with a '&' even where there is no '?'. */
static void split_target(struct dt_http_req *req, struct dt_str *path, struct dt_str *query)
{
    static const char mark[] = "&" DT_QUERY_TOKEN "=";
    *path = dt_http_req_path(req);
    *query = dt_http_req_query(req);
    const char *at = path->n > 0 ? memmem(path->p, path->n, mark, sizeof(mark) - 1) : NULL;
    if (at != NULL && query->n == 0) {
        *query = dt_str(at + 1, path->n - (size_t)(at + 1 - path->p));
        path->n = (size_t)(at - path->p);
    }
}

static void serve_host(struct dt_runnerd *rd, struct dt_http_req *req,
                       const struct dt_preview_host *host, bool is_signed, bool waited)
{
    struct dt_err err;
    struct dt_preview_ask ask = {.rd = rd, .req = req, .port = host->port, .waited = waited};
    const char *id = host->label;
    const struct dt_signed_row *row = NULL;
    if (is_signed) {
        row = dt_signed_find(&rd->signed_urls, host->label, dt_clock_real_ms());
        ask.signed_host = row != NULL && row->port == host->port;
        id = ask.signed_host ? row->sandbox : "";
    }
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l == NULL) {
        /* A missing sandbox looks like a private one. */
        (void)dt_err_set(&err, DT_E_UNAUTHORIZED,
                         is_signed ? "unauthorized: this link is over or was taken back: ask for a "
                                     "new one"
                                   : "unauthorized: no such sandbox, or no valid token for it");
        dt_reply_error(req, &err, source);
        return;
    }
    ask.sandbox = l;
    struct dt_str path;
    split_target(req, &path, &ask.query);
    if (rd->config->preview_warning_enabled && dt_preview_warn(req, host->port))
        return;
    serve(&ask, l, path, NULL);
}

/* --- the domain itself --- */

static void serve_toolbox(struct dt_runnerd *rd, struct dt_http_req *req, bool waited)
{
    struct dt_err err;
    char id[DT_UUID_SIZE], prefix[DT_UUID_SIZE + 16];
    struct dt_preview_ask ask = {
        .rd = rd, .req = req, .port = 2280, .toolbox = true, .waited = waited};
    struct dt_str path, rest, segment;
    split_target(req, &path, &ask.query);
    rest = dt_str(path.p + sizeof("/toolbox/") - 1, path.n - (sizeof("/toolbox/") - 1));
    (void)dt_str_cut(&rest, '/', &segment);
    (void)snprintf(id, sizeof(id), "%.*s", (int)(segment.n < sizeof(id) ? segment.n : 0),
                   segment.p != NULL ? segment.p : "");
    struct dt_live *l = dt_live_by_id(&rd->live, id);
    if (l == NULL) {
        (void)dt_err_set(&err, DT_E_UNAUTHORIZED,
                         "unauthorized: no such sandbox, or no valid key for it");
        dt_reply_error(req, &err, source);
        return;
    }
    ask.sandbox = l;
    (void)snprintf(prefix, sizeof(prefix), "/toolbox/%s", l->id);
    serve(&ask, l, rest.p != NULL ? dt_str(rest.p - 1, rest.n + 1) : rest, prefix);
}

static void serve_domain(struct dt_runnerd *rd, struct dt_http_req *req, bool waited)
{
    struct dt_err err;
    struct dt_str path = dt_http_req_path(req);
    static const char ok[] = "{\"status\":\"ok\",\"version\":\"" DT_VERSION "\"}";
    if (dt_str_starts(path, DT_STR("/toolbox/"))) {
        serve_toolbox(rd, req, waited);
    } else if (dt_str_eq(path, DT_STR("/health"))) {
        dt_http_req_reply(req, 200, "application/json; charset=utf-8", ok, sizeof(ok) - 1);
    } else {
        (void)dt_err_set(&err, DT_E_NOT_FOUND,
                         "nothing is here: previews have a host of their own, {port}-{sandbox "
                         "id}.%.200s",
                         rd->proxy_domain);
        dt_reply_error(req, &err, source);
    }
}

static bool is_local(struct dt_str host)
{
    struct dt_str name = dt_host_name(host);
    return dt_str_eq_nocase(name, DT_STR("localhost")) || dt_str_eq(name, DT_STR("127.0.0.1")) ||
           dt_str_eq(name, DT_STR("[::1]"));
}

static bool is_base(const struct dt_runnerd *rd, struct dt_str host)
{
    const char *after = strstr(rd->toolbox_base, "://");
    struct dt_str rest = dt_str_z(after != NULL ? after + 3 : rd->toolbox_base), name;
    return dt_str_cut(&rest, '/', &name) &&
           dt_str_eq_nocase(dt_host_name(name), dt_host_name(host));
}

static void handle(struct dt_runnerd *rd, struct dt_http_req *req, bool waited)
{
    struct dt_preview_host host;
    struct dt_err err;
    static const char misdirected[] =
        "{\"statusCode\":421,\"message\":\"this server does not serve that host\","
        "\"code\":\"MISDIRECTED_REQUEST\",\"source\":\"DAYTONA_PROXY\"}";
    struct dt_str name = dt_http_req_host(req);
    enum dt_preview_kind kind = dt_preview_parse(name, dt_str_z(rd->proxy_domain), &host);
    if (kind == DT_PREVIEW_NONE && (is_local(name) || is_base(rd, name)))
        kind = DT_PREVIEW_DOMAIN;
    if (kind != DT_PREVIEW_NONE && is_preflight(req) && !is_true(req, "X-Daytona-Disable-CORS")) {
        answer_preflight(req);
        return;
    }
    switch (kind) {
    case DT_PREVIEW_NONE:
        dt_http_req_reply(req, 421, "application/json; charset=utf-8", misdirected,
                          sizeof(misdirected) - 1);
        break;
    case DT_PREVIEW_BAD:
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "this is no preview host: it must be {port}-{sandbox id}.%.200s with a "
                         "port from 1 to 65535 in plain digits",
                         rd->proxy_domain);
        dt_reply_error(req, &err, source);
        break;
    case DT_PREVIEW_DOMAIN:
        serve_domain(rd, req, waited);
        break;
    case DT_PREVIEW_SANDBOX:
    case DT_PREVIEW_SIGNED:
        serve_host(rd, req, &host, kind == DT_PREVIEW_SIGNED, waited);
        break;
    }
}

void dt_preview_handle(void *ctx, struct dt_http_req *req)
{
    struct dt_runnerd *rd = ctx;
    rd->last_request_ms = dt_clock_ms();
    handle(rd, req, false);
}

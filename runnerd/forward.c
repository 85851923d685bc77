#include "runnerd/forward.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "gen/rest_api.h"
#include "model/preview.h"
#include "net/proxy.h"
#include "runnerd/audit/deed.h"
#include "runnerd/trace.h"
#include "runnerd/vitals.h"

enum { IDLE_CONNECTIONS = 8, CONNECT_MS = 10000, COOKIES_MAX = 16 * 1024, ADDED_MAX = 5 };

/* Lives until the exchange or tunnel is over. */
struct forward {
    struct dt_runnerd *rd;
    struct dt_http_req *req;  /* until the exchange begins */
    struct dt_upstream *port; /* NULL = the toolbox */
    struct dt_deed *deed;     /* NULL: it is not written down */
    struct dt_trace trace;    /* of what goes to the toolbox */
    char id[DT_UUID_SIZE];    /* empty: there is no such sandbox */
    uint16_t number;          /* of the port; 0 = the toolbox */
    struct dt_buf target;
    const char *source;
    void (*refuse)(struct dt_http_req *req, const struct dt_live *l, struct dt_err *why);
    char *prefix, *cors, *cookie, *request_id;
    struct dt_buf location;
    bool cors_credentials, is_page, quiet;
    bool is_api;
    bool own_cors; /* the sandbox's server answers CORS itself */
};

static const char *const drop_request[] = {
    "Authorization",
    "Cookie", /* written anew without ours */
    "X-Daytona-Preview-Token",
    "X-Daytona-Organization-ID",
    "X-Daytona-Authorization",
    "X-Daytona-Skip-Preview-Warning",
    "X-Daytona-Skip-Last-Activity-Update",
    "X-Daytona-Disable-CORS",
    "X-Daytona-Route",
    "X-Daytona-Default-Timeout",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    NULL,
};

static const char *const drop_reply[] = {
    "Clear-Site-Data", "Alt-Svc", "Public-Key-Pins", "Strict-Transport-Security", NULL,
};

/* --- errors --- */

static void reply_page(struct dt_http_req *req, int status, const char *message)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, (size_t)16 << 10);
    int made = dt_buf_addf(&b, NULL,
                           "<!doctype html><meta charset=\"utf-8\"><title>%d %s</title>"
                           "<body style=\"font:16px sans-serif;max-width:40em;margin:4em auto\">"
                           "<h1>%d %s</h1><p>",
                           status, dt_http_reason(status), status, dt_http_reason(status));
    for (const char *p = message; made == 0 && *p != '\0'; p++)
        made = *p == '<'   ? dt_buf_addz(&b, "&lt;", NULL)
               : *p == '&' ? dt_buf_addz(&b, "&amp;", NULL)
                           : dt_buf_add(&b, p, 1, NULL);
    dt_http_req_add_header(req, "Cache-Control", DT_STR("no-store"));
    dt_http_req_reply(req, status, "text/html; charset=utf-8", b.p, b.n);
}

static char *printed(const struct dt_rest_error *e)
{
    DT_AUTO_JSON json_t *j = dt_rest_error_print(e);
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, (size_t)256 << 10);
    if (j == NULL || dt_json_write(j, &b, NULL) < 0)
        return NULL;
    return dt_buf_take(&b);
}

/* Targets may hold bytes that are no UTF-8. */
static char *text_of(struct dt_str s)
{
    char *z = malloc(s.n + 1);
    for (size_t i = 0; z != NULL && i < s.n; i++) {
        z[i] = '?';
        if ((unsigned char)s.p[i] >= 0x20 && (unsigned char)s.p[i] < 0x7f)
            z[i] = s.p[i];
    }
    if (z != NULL)
        z[s.n] = '\0';
    return z;
}

void dt_reply_error(struct dt_http_req *req, const struct dt_err *err, const char *source)
{
    char now[DT_CLOCK_ISO_SIZE], message[sizeof(err->msg)];
    int status = dt_err_http(err->code);
    struct dt_str accept = dt_http_req_header(req, "Accept");
    bool page = strcmp(source, "DAYTONA_PROXY") == 0 && accept.n >= 9 &&
                memmem(accept.p, accept.n, "text/html", 9) != NULL;
    /* What was asked is said back: it may be no text, or cut within a character. */
    memcpy(message, err->msg, sizeof(message));
    dt_utf8_mask(message);
    if (page) {
        reply_page(req, status, message);
        return;
    }
    DT_AUTO_FREE char *path = text_of(dt_http_req_target(req));
    DT_AUTO_FREE char *method = text_of(dt_http_req_method(req));
    struct dt_rest_error e = {
        .status_code = status,
        .has_status_code = true,
        .timestamp = dt_clock_iso(dt_clock_real_ms(), now),
        .path = path,
        .method = method,
        .error = dt_http_reason(status),
        .message = message,
        .code = dt_err_wire(err->code),
        .source = source,
    };
    DT_AUTO_FREE char *text = printed(&e);
    if (text == NULL) {
        dt_http_req_reply(req, 503, NULL, NULL, 0);
        return;
    }
    dt_http_req_reply(req, status, "application/json; charset=utf-8", text, strlen(text));
}

/* --- the answer --- */

static bool has_domain(struct dt_str cookie)
{
    struct dt_str part;
    while (dt_str_cut(&cookie, ';', &part)) {
        struct dt_str rest = dt_str_trim(part), name;
        if (dt_str_cut(&rest, '=', &name) && dt_str_eq_nocase(dt_str_trim(name), DT_STR("domain")))
            return true;
    }
    return false;
}

static bool keep_reply(void *ctx, struct dt_str name, struct dt_str value)
{
    struct forward *f = ctx;
    if (dt_str_eq_nocase(name, DT_STR("Set-Cookie")))
        return f->is_page && !has_domain(value) && !dt_str_starts(value, DT_STR(DT_COOKIE_PREFIX));
    if (dt_str_eq_nocase(name, DT_STR("Access-Control-Allow-Origin")))
        f->own_cors = true;
    bool moves = f->prefix != NULL && dt_str_eq_nocase(name, DT_STR("Location")) && value.n > 0 &&
                 value.p[0] == '/' && (value.n == 1 || value.p[1] != '/');
    if (moves && f->location.n == 0)
        return dt_buf_addz(&f->location, f->prefix, NULL) < 0 ||
               dt_buf_adds(&f->location, value, NULL) < 0;
    return true;
}

static void on_head(void *ctx, struct dt_http_req *req, int status)
{
    struct forward *f = ctx;
    dt_trace_answer(&f->trace, status);
    if (f->deed != NULL)
        dt_deed_answer(f->deed, status);
    if (f->location.n > 0)
        dt_http_req_add_header(req, "Location", dt_buf_str(&f->location));
    if (f->cors != NULL && !f->own_cors) {
        dt_http_req_add_header(req, "Access-Control-Allow-Origin", dt_str_z(f->cors));
        dt_http_req_add_header(req, "Vary", DT_STR("Origin"));
        if (f->cors_credentials)
            dt_http_req_add_header(req, "Access-Control-Allow-Credentials", DT_STR("true"));
    }
    if (f->cookie != NULL)
        dt_http_req_add_header(req, "Set-Cookie", dt_str_z(f->cookie));
    if (!f->is_page) {
        /* Bytes of a sandbox on an origin of ours are data, never a page. */
        dt_http_req_add_header(req, "X-Content-Type-Options", DT_STR("nosniff"));
        dt_http_req_add_header(req, "Content-Security-Policy", DT_STR("sandbox"));
    }
}

static void say_why_port(const struct forward *f, const struct dt_err *err, struct dt_err *why)
{
    unsigned port = dt_upstream_port(f->port);
    bool no_launcher = err->code == DT_E_UNAVAILABLE ||
                       (err->code == DT_E_TIMEOUT && !dt_launcher_client_is_up(f->rd->launcher));
    if (no_launcher)
        (void)dt_err_set(why, DT_E_UNAVAILABLE,
                         "a new connection into the sandbox needs the launcher (daytona-launcher), "
                         "which cannot be reached: try again soon; when it stays so, see its log");
    else if (err->code == DT_E_CANCELLED || err->code == DT_E_NOT_FOUND)
        (void)dt_err_set(why, DT_E_UNREACHABLE, "the sandbox was stopped");
    else if (err->sys_errno == ECONNREFUSED)
        (void)dt_err_set(why, DT_E_UNREACHABLE,
                         "nothing listens on port %u of the sandbox's loopback: start a server "
                         "there, on 127.0.0.1 or 0.0.0.0",
                         port);
    else
        (void)dt_err_set(why, DT_E_UNREACHABLE, "the server on port %u did not answer: %.300s",
                         port, err->msg);
}

static void say_why(const struct forward *f, const struct dt_err *err, struct dt_err *why)
{
    if (err->code == DT_E_UNSUPPORTED)
        (void)dt_err_set(why, DT_E_BAD_REQUEST, "%.200s", err->msg);
    else if (f->port != NULL)
        say_why_port(f, err, why);
    else
        (void)dt_err_set(why, err->code == DT_E_TIMEOUT ? DT_E_TIMEOUT : DT_E_UNREACHABLE,
                         "the sandbox's toolbox does not answer (%.200s): wait a moment and try "
                         "again; if it stays so, stop and start the sandbox",
                         err->msg);
}

static void on_fail(void *ctx, struct dt_http_req *req, const struct dt_err *err)
{
    struct forward *f = ctx;
    struct dt_err why;
    say_why(f, err, &why);
    dt_trace_answer(&f->trace, dt_err_http(why.code));
    if (f->deed != NULL)
        dt_deed_fail(f->deed, &why);
    dt_reply_error(req, &why, f->source);
}

static void on_data(void *ctx, const char *bytes, size_t n)
{
    const struct forward *f = ctx;
    dt_deed_data(f->deed, bytes, n);
}

static void forward_free(struct forward *f)
{
    if (f == NULL)
        return;
    dt_upstream_unref(f->port);
    dt_buf_done(&f->location);
    dt_buf_done(&f->target);
    free(f->request_id);
    free(f->prefix);
    free(f->cors);
    free(f->cookie);
    free(f);
}

static void on_done(void *ctx, uint64_t sent, uint64_t received, bool whole)
{
    struct forward *f = ctx;
    (void)sent;
    (void)received;
    struct dt_live *l = dt_live_by_id(&f->rd->live, f->id);
    if (l != NULL)
        l->open--;
    if (l != NULL && !f->quiet) {
        l->exchanges--;
        dt_live_touch(l);
    }
    f->rd->last_request_ms = dt_clock_ms();
    dt_trace_end(f->rd, &f->trace, l, whole);
    dt_deed_end(f->deed, whole);
    forward_free(f);
}

/* --- the request --- */

int dt_forward_toolbox(struct dt_runnerd *rd, struct dt_live *l, struct dt_err *err)
{
    char path[108];
    if (l->toolbox != NULL)
        return 0;
    /* Through a descriptor: the data directory's own path may be too long for a socket address. */
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s/toolbox.sock", rd->sandboxes, l->id);
    return dt_http_client_new(rd->loop, &(struct dt_addr){.path = path}, IDLE_CONNECTIONS,
                              &l->toolbox, err);
}

/* The client's cookies without ours. */
static int other_cookies(struct dt_http_req *req, struct dt_buf *out)
{
    const struct dt_http_header *h;
    size_t n = dt_http_req_headers(req, &h);
    for (size_t i = 0; i < n; i++) {
        struct dt_str rest = h[i].value, one;
        if (!dt_str_eq_nocase(h[i].name, DT_STR("Cookie")))
            continue;
        while (dt_str_cut(&rest, ';', &one)) {
            one = dt_str_trim(one);
            if (one.n == 0 || dt_str_starts(one, DT_STR(DT_COOKIE_PREFIX)) ||
                dt_str_starts(one, DT_STR("daytona-preview-page-accepted")))
                continue;
            if ((out->n > 0 && dt_buf_addz(out, "; ", NULL) < 0) || dt_buf_adds(out, one, NULL) < 0)
                return -1;
        }
    }
    return 0;
}

static char *copy_or_null(const char *z)
{
    return z != NULL ? strdup(z) : NULL;
}

/* `/proxy/{port}/path` of the toolbox's API is the same as the path at that port. */
static int split_port(struct dt_str target, struct forward *f, struct dt_err *err)
{
    const struct dt_str proxy = DT_STR("/proxy/");
    if (f->number == 0 && dt_str_starts(target, proxy)) {
        size_t n = proxy.n;
        while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
            n++;
        if (dt_port_parse(dt_str(target.p + proxy.n, n - proxy.n), &f->number, err) < 0)
            return -1;
        target = dt_str(target.p + n, target.n - n);
        if ((target.n == 0 || target.p[0] != '/') && dt_buf_addz(&f->target, "/", err) < 0)
            return -1;
    }
    return dt_buf_adds(&f->target, target, err);
}

/* One that never answers must not take all the connections that a server has. */
static int check_open(const struct dt_live *l, struct dt_err *err)
{
    if (l->open < DT_FORWARD_OPEN_MAX)
        return 0;
    return dt_err_set(err, DT_E_LIMIT,
                      "this sandbox has %d requests at once, which is the most: wait for some of "
                      "them to end",
                      DT_FORWARD_OPEN_MAX);
}

static struct forward *forward_new(struct dt_runnerd *rd, struct dt_http_req *req,
                                   const struct dt_live *l, const struct dt_forward *in)
{
    struct forward *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->rd = rd;
    f->req = req;
    f->source = in->source;
    f->refuse = in->refuse;
    f->number = in->port;
    if (l != NULL)
        memcpy(f->id, l->id, sizeof(f->id));
    f->prefix = copy_or_null(in->prefix);
    f->cors = copy_or_null(in->cors);
    f->cookie = copy_or_null(in->cookie);
    f->request_id = copy_or_null(in->request_id);
    f->cors_credentials = in->cors_credentials;
    f->is_page = in->is_page;
    f->quiet = in->quiet;
    f->is_api = in->is_api;
    dt_buf_init(&f->location, (size_t)8 << 10);
    dt_buf_init(&f->target, DT_HTTP_HEAD_MAX + 64);
    return f;
}

/* The port or the toolbox; `host` is what a port gets as its Host. */
static int find_upstream(struct forward *f, struct dt_live *l, char host[32],
                         struct dt_proxy_opts *opts, struct dt_err *err)
{
    if (f->number == 0) {
        if (dt_forward_toolbox(f->rd, l, err) < 0)
            return -1;
        opts->upstream = l->toolbox;
        return 0;
    }
    if (dt_upstream_get(f->rd, l, f->number, &f->port, err) < 0)
        return -1;
    (void)snprintf(host, 32, "localhost:%u", f->number);
    opts->upstream = dt_upstream_client(f->port);
    opts->group = dt_upstream_group(l);
    opts->host = host;
    return 0;
}

static size_t added_headers(const struct forward *f, struct dt_http_req *req,
                            struct dt_buf *cookies, struct dt_http_header add[ADDED_MAX])
{
    size_t n = 0;
    if (f->is_api && f->port == NULL) {
        add[n++] = (struct dt_http_header){DT_STR("X-Daytona-Route"), DT_STR("api")};
        add[n++] = (struct dt_http_header){DT_STR("X-Daytona-Default-Timeout"),
                                           DT_STR(DT_FORWARD_COMMAND_TIMEOUT)};
    }
    if (!f->is_page)
        return n;
    add[n++] = (struct dt_http_header){DT_STR("X-Forwarded-Host"), dt_http_req_host(req)};
    add[n++] = (struct dt_http_header){DT_STR("X-Forwarded-Proto"),
                                       dt_str_z(f->rd->config->proxy_protocol)};
    if (other_cookies(req, cookies) == 0 && cookies->n > 0)
        add[n++] = (struct dt_http_header){DT_STR("Cookie"), dt_buf_str(cookies)};
    return n;
}

static void start(struct forward *f, struct dt_live *l, struct dt_proxy_opts *opts)
{
    struct dt_http_req *req = dt_take(f->req);
    struct dt_http_header add[ADDED_MAX];
    DT_AUTO_BUF struct dt_buf cookies;
    dt_buf_init(&cookies, COOKIES_MAX);
    l->open++;
    if (!f->quiet) {
        l->exchanges++;
        dt_live_touch(l);
    }
    opts->add = add;
    opts->nadd = added_headers(f, req, &cookies, add);
    dt_proxy_start(req, opts);
}

static void fail(struct forward *f, const struct dt_err *err)
{
    if (f->deed != NULL)
        dt_deed_fail(f->deed, err);
    dt_reply_error(f->req, err, f->source);
    dt_trace_answer(&f->trace, dt_err_http(err->code));
    dt_trace_end(f->rd, &f->trace, dt_live_by_id(&f->rd->live, f->id), true);
    dt_deed_end(f->deed, true);
    forward_free(f);
}

static void refuse(struct forward *f, struct dt_live *l)
{
    struct dt_err why;
    f->refuse(f->req, l, &why);
    dt_trace_answer(&f->trace, dt_err_http(why.code));
    dt_trace_end(f->rd, &f->trace, l, true);
    if (f->deed != NULL)
        dt_deed_fail(f->deed, &why);
    dt_deed_end(f->deed, true);
    forward_free(f);
}

static void serve_vitals(struct forward *f, struct dt_live *l)
{
    if (!f->quiet)
        dt_live_touch(l);
    dt_vitals_serve(f->rd, f->req, l, f->source);
    forward_free(f);
}

/* Nothing was done yet. `body`: that of the request, if it was read. */
static void go(struct forward *f, struct dt_str body)
{
    struct dt_err err;
    char host[32];
    struct dt_live *l = dt_live_by_id(&f->rd->live, f->id);
    struct dt_proxy_opts opts = {
        .target = dt_buf_str(&f->target),
        .body = body,
        .drop = drop_request,
        .drop_reply = drop_reply,
        .connect_ms = CONNECT_MS,
        .on_fail = on_fail,
        .keep_reply = keep_reply,
        .on_head = on_head,
        .on_data = f->deed != NULL ? on_data : NULL,
        .on_done = on_done,
        .ctx = f,
    };
    if (l == NULL || l->state != DT_SANDBOX_STARTED) {
        refuse(f, l);
        return;
    }
    if (check_open(l, &err) < 0) {
        fail(f, &err);
        return;
    }
    if (f->request_id != NULL)
        dt_http_req_add_header(f->req, "X-Request-Id", dt_str_z(f->request_id));
    if (f->number == 0 && dt_vitals_asked(f->req, opts.target))
        serve_vitals(f, l);
    else if (find_upstream(f, l, host, &opts, &err) < 0)
        fail(f, &err);
    else
        start(f, l, &opts);
}

static void on_ready(void *ctx, struct dt_deed *deed, struct dt_str body, const struct dt_err *err)
{
    struct forward *f = ctx;
    f->deed = deed;
    if (deed != NULL)
        go(f, body);
    else if (err != NULL)
        fail(f, err);
    else
        forward_free(f); /* the client is gone */
}

void dt_forward(struct dt_runnerd *rd, struct dt_http_req *req, const struct dt_live *l,
                const struct dt_forward *in)
{
    struct dt_err err;
    struct forward *f = forward_new(rd, req, l, in);
    if (f == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_reply_error(req, &err, in->source);
        return;
    }
    if (split_port(in->target, f, &err) < 0) {
        fail(f, &err);
        return;
    }
    const struct dt_route *route =
        f->number == 0 ? dt_deed_route(req, dt_buf_str(&f->target)) : NULL;
    if (f->number == 0)
        dt_trace_begin(&f->trace, req, route);
    const struct dt_deed_opts deed = {
        .rd = rd,
        .req = req,
        .route = dt_deed_wanted(rd, route) ? route : NULL,
        .target = dt_buf_str(&f->target),
        .who = in->who,
        .actor = in->actor,
        .org = l != NULL ? l->org : in->who->org,
        .sandbox = l != NULL ? l->id : in->sandbox,
        .ready = on_ready,
        .ctx = f,
    };
    if (deed.route == NULL)
        go(f, dt_str(NULL, 0));
    else if (dt_deed_begin(&deed, &err) < 0)
        fail(f, &err);
}

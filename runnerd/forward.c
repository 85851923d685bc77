#include "runnerd/forward.h"

#include <stdio.h>

#include "base/clock.h"
#include "gen/rest_api.h"
#include "net/proxy.h"

enum { IDLE_CONNECTIONS = 8, CONNECT_MS = 10000, COOKIES_MAX = 16 * 1024 };

/* Lives until the exchange or tunnel is over. */
struct forward {
    struct dt_runnerd *rd;
    char id[DT_UUID_SIZE];
    const char *source;
    char *prefix, *cors, *cookie;
    struct dt_buf location;
    bool cors_credentials, is_page, quiet;
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
    char now[DT_CLOCK_ISO_SIZE];
    int status = dt_err_http(err->code);
    struct dt_str accept = dt_http_req_header(req, "Accept");
    bool page = strcmp(source, "DAYTONA_PROXY") == 0 && accept.n >= 9 &&
                memmem(accept.p, accept.n, "text/html", 9) != NULL;
    if (page) {
        reply_page(req, status, err->msg);
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
        .message = err->msg,
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
    (void)status;
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

static void on_fail(void *ctx, struct dt_http_req *req, const struct dt_err *err)
{
    const struct forward *f = ctx;
    struct dt_err why = {.code = err->code == DT_E_TIMEOUT ? DT_E_TIMEOUT : DT_E_UNREACHABLE};
    (void)dt_err_set(&why, why.code,
                     "the sandbox's toolbox does not answer (%.200s): wait a moment and try again; "
                     "if it stays so, stop and start the sandbox",
                     err->msg);
    dt_reply_error(req, &why, f->source);
}

static void on_done(void *ctx, uint64_t sent, uint64_t received)
{
    struct forward *f = ctx;
    (void)sent;
    (void)received;
    struct dt_live *l = dt_live_by_id(&f->rd->live, f->id);
    if (l != NULL && !f->quiet) {
        l->exchanges--;
        dt_live_touch(l);
    }
    f->rd->last_request_ms = dt_clock_ms();
    dt_buf_done(&f->location);
    free(f->prefix);
    free(f->cors);
    free(f->cookie);
    free(f);
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

void dt_forward(struct dt_runnerd *rd, struct dt_http_req *req, struct dt_live *l,
                const struct dt_forward *in)
{
    struct dt_err err;
    struct forward *f = calloc(1, sizeof(*f));
    if (f == NULL || dt_forward_toolbox(rd, l, &err) < 0) {
        free(f);
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_reply_error(req, &err, in->source);
        return;
    }
    f->rd = rd;
    f->source = in->source;
    memcpy(f->id, l->id, sizeof(f->id));
    f->prefix = copy_or_null(in->prefix);
    f->cors = copy_or_null(in->cors);
    f->cookie = copy_or_null(in->cookie);
    f->cors_credentials = in->cors_credentials;
    f->is_page = in->is_page;
    f->quiet = in->quiet;
    if (in->request_id != NULL)
        dt_http_req_add_header(req, "X-Request-Id", dt_str_z(in->request_id));
    dt_buf_init(&f->location, (size_t)8 << 10);
    if (!f->quiet) {
        l->exchanges++;
        dt_live_touch(l);
    }

    DT_AUTO_BUF struct dt_buf cookies;
    dt_buf_init(&cookies, COOKIES_MAX);
    struct dt_http_header add[3];
    size_t nadd = 0;
    struct dt_str host = dt_http_req_host(req);
    if (in->is_page) {
        add[nadd++] = (struct dt_http_header){DT_STR("X-Forwarded-Host"), host};
        add[nadd++] = (struct dt_http_header){DT_STR("X-Forwarded-Proto"),
                                              dt_str_z(rd->config->proxy_protocol)};
        if (other_cookies(req, &cookies) == 0 && cookies.n > 0)
            add[nadd++] = (struct dt_http_header){DT_STR("Cookie"), dt_buf_str(&cookies)};
    }
    struct dt_proxy_opts opts = {
        .upstream = l->toolbox,
        .target = in->target,
        .drop = drop_request,
        .drop_reply = drop_reply,
        .add = add,
        .nadd = nadd,
        .connect_ms = CONNECT_MS,
        .on_fail = on_fail,
        .keep_reply = keep_reply,
        .on_head = on_head,
        .on_done = on_done,
        .ctx = f,
    };
    dt_proxy_start(req, &opts);
}

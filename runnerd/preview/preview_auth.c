#include "runnerd/preview/preview_auth.h"

#include <stdio.h>

#include "base/clock.h"
#include "model/preview.h"
#include "runnerd/forward.h"

static bool is_token(const struct dt_preview_ask *ask, struct dt_str given)
{
    const char *want = ask->sandbox->token;
    return given.n == sizeof(ask->sandbox->token) - 1 && dt_equal_secret(given.p, want, given.n);
}

/* 1: yes, 0: no, -1: an access token that cannot be checked yet. */
static int by_bearer(const struct dt_preview_ask *ask, struct dt_preview_pass *pass)
{
    struct dt_principal who;
    struct dt_str token = dt_principal_bearer(ask->req);
    if (token.p == NULL)
        return 0;
    uint32_t needed = ask->toolbox ? DT_PERM_WRITE_SANDBOXES : 0;
    int got = dt_principal_read_bearer(ask->rd, token, &who, NULL);
    if (got == 1 && !ask->waited)
        return -1;
    if (got == 0 && dt_principal_enter(ask->rd, &who, ask->sandbox->org, NULL) == 0 &&
        dt_permissions_allow(who.permissions, needed)) {
        pass->who = who;
        return 1;
    }
    return is_token(ask, token);
}

/* One spelling, the one that is taken out before the application sees the query. */
static bool is_token_pair(struct dt_str pair, struct dt_str *value)
{
    struct dt_str name;
    *value = pair;
    return dt_str_cut(value, '=', &name) && dt_str_eq(name, DT_STR(DT_QUERY_TOKEN));
}

static bool by_query(const struct dt_preview_ask *ask)
{
    struct dt_str query = ask->query, pair, value;
    while (query.n > 0 && dt_str_cut(&query, '&', &pair)) {
        if (is_token_pair(pair, &value) && is_token(ask, value))
            return true;
    }
    return false;
}

/* What browsers say of who asks. Other previews are pages of the same site, so the cookie's
 * SameSite does not keep them out: they may link here, and neither load nor frame anything. */
static bool is_own_page(struct dt_http_req *req)
{
    struct dt_str site = dt_http_req_header(req, "Sec-Fetch-Site");
    struct dt_str method = dt_http_req_method(req);
    if (site.p == NULL || dt_str_eq(site, DT_STR("same-origin")) || dt_str_eq(site, DT_STR("none")))
        return true;
    return dt_str_eq(dt_http_req_header(req, "Sec-Fetch-Mode"), DT_STR("navigate")) &&
           dt_str_eq(dt_http_req_header(req, "Sec-Fetch-Dest"), DT_STR("document")) &&
           (dt_str_eq(method, DT_STR("GET")) || dt_str_eq(method, DT_STR("HEAD")));
}

/* A cookie goes along with requests that other sites start: only our own pages may use it. */
static bool same_origin(const struct dt_preview_ask *ask)
{
    struct dt_str origin = dt_http_req_header(ask->req, "Origin");
    struct dt_str host = dt_http_req_host(ask->req);
    if (origin.p == NULL)
        return true;
    const char *colon = memmem(origin.p, origin.n, "://", 3);
    if (colon == NULL)
        return false;
    size_t skip = (size_t)(colon - origin.p) + 3;
    return dt_str_eq_nocase(dt_str(origin.p + skip, origin.n - skip), host);
}

static bool by_cookie(const struct dt_preview_ask *ask)
{
    char name[64];
    const struct dt_http_header *h;
    size_t n = dt_http_req_headers(ask->req, &h);
    (void)snprintf(name, sizeof(name), DT_COOKIE_PREFIX "%s", ask->sandbox->id);
    for (size_t i = 0; i < n; i++) {
        struct dt_str rest = h[i].value, one, key;
        if (!dt_str_eq_nocase(h[i].name, DT_STR("Cookie")))
            continue;
        while (dt_str_cut(&rest, ';', &one)) {
            one = dt_str_trim(one);
            if (dt_str_cut(&one, '=', &key) && dt_str_eq(key, dt_str_z(name)) &&
                dt_preview_cookie_check(ask->rd->secret, ask->sandbox->id, ask->sandbox->starts,
                                        ask->port, dt_clock_real_ms() / 1000, one))
                return same_origin(ask) && is_own_page(ask->req);
        }
    }
    return false;
}

/* Host-only: no Domain, so that no other preview gets it. */
static void remember(const struct dt_preview_ask *ask, struct dt_preview_pass *pass)
{
    char value[DT_COOKIE_SIZE];
    bool secure = strcmp(ask->rd->config->proxy_protocol, "https") == 0;
    int64_t until = dt_clock_real_ms() / 1000 + DT_COOKIE_SECONDS;
    dt_preview_cookie(ask->rd->secret, ask->sandbox->id, ask->sandbox->starts, ask->port, until,
                      value);
    (void)snprintf(pass->set_cookie, sizeof(pass->set_cookie),
                   DT_COOKIE_PREFIX "%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s",
                   ask->sandbox->id, value, DT_COOKIE_SECONDS, secure ? "; Secure" : "");
}

int dt_preview_auth(const struct dt_preview_ask *ask, struct dt_preview_pass *pass,
                    struct dt_err *err)
{
    *pass = (struct dt_preview_pass){.actor = DT_ACTOR_TOKEN};
    bool open = !ask->toolbox && ask->sandbox->is_public && !dt_preview_port_internal(ask->port);
    int bearer = open ? 1 : by_bearer(ask, pass);
    if (bearer != 0)
        return bearer > 0 ? 0 : 1;
    if (is_token(ask, dt_http_req_header(ask->req, "X-Daytona-Preview-Token")))
        return 0;
    if (by_query(ask)) {
        if (!ask->toolbox)
            remember(ask, pass);
        return 0;
    }
    if (!ask->toolbox && by_cookie(ask)) {
        pass->by_cookie = true;
        return 0;
    }
    /* The host itself is the secret: no cookie, which could outlive it. */
    if (ask->signed_host) {
        pass->actor = DT_ACTOR_SIGNED;
        return 0;
    }
    return dt_err_set(err, DT_E_UNAUTHORIZED,
                      "unauthorized: this %s is private. Open a signed link (GET "
                      "/api/sandbox/<id>/ports/%u/signed-preview-url), or send the token of GET "
                      "/api/sandbox/<id>/ports/%u/preview-url as header X-Daytona-Preview-Token or "
                      "query parameter " DT_QUERY_TOKEN,
                      dt_preview_port_internal(ask->port) ? "port" : "sandbox", ask->port,
                      ask->port);
}

int dt_preview_query(struct dt_str query, struct dt_buf *out, struct dt_err *err)
{
    struct dt_str one;
    bool first = true;
    while (query.n > 0 && dt_str_cut(&query, '&', &one)) {
        struct dt_str value;
        if (is_token_pair(one, &value))
            continue;
        if (dt_buf_addz(out, first ? "?" : "&", err) < 0 || dt_buf_adds(out, one, err) < 0)
            return -1;
        first = false;
    }
    return 0;
}

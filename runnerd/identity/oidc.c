#include "runnerd/identity/oidc.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "jose/jwt.h"
#include "net/http_client.h"

enum {
    FRESH_MS = 10 * 60 * 1000,
    KEEP_MS = 60 * 60 * 1000,
    UNKNOWN_KEY_MS = 10 * 1000,
    RETRY_MS = 2 * 1000,
    BACKGROUND_RETRY_MS = 30 * 1000,
    CONNECT_MS = 5000,
    FETCH_MS = 7000, /* each of the two */
    WAITERS_MAX = 1024,
    URL_MAX = 1024,
};

struct url {
    bool tls;
    char host[256];
    uint16_t port;
    char path[URL_MAX];
};

struct waiter {
    void (*done)(void *ctx);
    void *ctx;
};

/*
 * IDLE -> DISCOVERING -> FETCHING -> IDLE; any failure goes to IDLE as well.
 */
enum state { IDLE, DISCOVERING, FETCHING };

struct dt_oidc {
    uv_loop_t *loop;
    char base[URL_MAX]; /* of the issuer, without a slash at the end */
    const char *public_base;
    const char *audience;
    enum state state;
    struct dt_http_client *clients[2]; /* of the last discovery and the last key set */
    struct dt_http_call *call;         /* in flight */
    char issuer[URL_MAX];              /* as its tokens name it */
    struct dt_jwks *keys;
    uint64_t fetched_ms, attempted_ms; /* monotonic; 0 = never */
    bool failed;                       /* the last attempt */
    bool closing;
    struct waiter *waiters;
    size_t nwaiters;
};

/* --- URLs --- */

static bool is_plain(struct dt_str s, const char *others)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

/* http or https, no user, no fragment. */
static int parse_url(const char *text, struct url *u, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(text), host;
    unsigned long long port;
    u->tls = dt_str_starts(rest, DT_STR("https://"));
    size_t skip = u->tls ? 8 : 7;
    if (!u->tls && !dt_str_starts(rest, DT_STR("http://")))
        return dt_err_set(err, DT_E_INVALID, "'%.200s' is no http or https URL", text);
    rest = dt_str(rest.p + skip, rest.n - skip);
    const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
    struct dt_str where = slash != NULL ? dt_str(rest.p, (size_t)(slash - rest.p)) : rest;
    struct dt_str path = slash != NULL ? dt_str(slash, rest.n - where.n) : DT_STR("/");
    (void)dt_str_cut(&where, ':', &host);
    port = u->tls ? 443 : 80;
    bool good = host.n > 0 && host.n < sizeof(u->host) && is_plain(host, "-._") &&
                path.n < sizeof(u->path) && is_plain(path, "-._~!$&'()*+,;=:@/%?") &&
                (where.p == NULL || (dt_str_u64(where, 65535, &port) == 0 && port > 0));
    if (!good)
        return dt_err_set(err, DT_E_INVALID, "'%.200s' is no URL with a host name", text);
    (void)snprintf(u->host, sizeof(u->host), "%.*s", (int)host.n, host.p);
    (void)snprintf(u->path, sizeof(u->path), "%.*s", (int)path.n, path.p);
    u->port = (uint16_t)port;
    return 0;
}

/* Without a slash at the end. */
static size_t trimmed(const char *z)
{
    size_t n = strlen(z);
    return n > 0 && z[n - 1] == '/' ? n - 1 : n;
}

static bool same_issuer(const char *a, const char *b)
{
    return dt_str_eq(dt_str(a, trimmed(a)), dt_str(b, trimmed(b)));
}

/* --- the end of a fetch --- */

static void tell_waiters(struct dt_oidc *o)
{
    struct waiter *all = dt_take(o->waiters);
    size_t n = o->nwaiters;
    o->nwaiters = 0;
    for (size_t i = 0; i < n; i++)
        all[i].done(all[i].ctx);
    free(all);
}

static void release(struct dt_oidc *o)
{
    o->keys = dt_jwks_free(o->keys);
    free(o);
}

static void finish(struct dt_oidc *o, const struct dt_err *err)
{
    o->state = IDLE;
    o->attempted_ms = dt_clock_ms();
    o->failed = err != NULL;
    if (err == NULL)
        o->fetched_ms = o->attempted_ms;
    else if (!o->closing)
        dt_log(DT_LOG_WARN, "the OpenID issuer cannot be asked", "issuer", o->base, "err", err->msg,
               NULL);
    if (o->closing)
        release(o);
    else
        tell_waiters(o);
}

/* --- the two steps --- */

static int start_get(struct dt_oidc *o, int which, const char *text,
                     void (*cb)(void *ctx, const struct dt_http_reply *reply,
                                const struct dt_err *err),
                     struct dt_err *err)
{
    struct url u;
    if (parse_url(text, &u, err) < 0)
        return -1;
    (void)dt_http_client_free(o->clients[which]);
    o->clients[which] = NULL;
    const struct dt_addr addr = {.host = u.host, .port = u.port, .tls = u.tls};
    if (dt_http_client_new(o->loop, &addr, 0, &o->clients[which], err) < 0)
        return -1;
    static const struct dt_http_header accept = {{"Accept", 6}, {"application/json", 16}};
    const struct dt_http_call_opts opts = {
        .method = "GET",
        .target = dt_str_z(u.path),
        .headers = &accept,
        .nheaders = 1,
        .connect_ms = CONNECT_MS,
        .total_ms = FETCH_MS,
    };
    return dt_http_fetch(o->clients[which], &opts, DT_JWKS_TEXT_MAX, cb, o, &o->call, err);
}

/* The body of a good answer, else why there is none. */
static int good_body(const struct dt_http_reply *reply, const struct dt_err *failed,
                     struct dt_str *body, struct dt_err *err)
{
    if (failed != NULL) {
        *err = *failed;
        return -1;
    }
    if (reply->status != 200)
        return dt_err_set(err, DT_E_UNREACHABLE, "it answers with status %d", reply->status);
    *body = reply->body;
    return 0;
}

static void on_keys(void *ctx, const struct dt_http_reply *reply, const struct dt_err *failed)
{
    struct dt_oidc *o = ctx;
    struct dt_str body;
    struct dt_err err;
    struct dt_jwks *keys = NULL;
    o->call = NULL;
    if (good_body(reply, failed, &body, &err) < 0 || dt_jwks_parse(body, &keys, &err) < 0) {
        finish(o, &err);
        return;
    }
    (void)dt_jwks_free(o->keys);
    o->keys = keys;
    finish(o, NULL);
}

/* Behind a public name of the issuer its own is reached by another. */
static int keys_url(const struct dt_oidc *o, const char *uri, char out[2 * URL_MAX],
                    struct dt_err *err)
{
    size_t n = o->public_base != NULL ? trimmed(o->public_base) : 0;
    if (strlen(uri) >= URL_MAX)
        return dt_err_set(err, DT_E_INVALID, "jwks_uri is too long");
    if (n > 0 && strncmp(uri, o->public_base, n) == 0 && uri[n] == '/')
        (void)snprintf(out, (size_t)2 * URL_MAX, "%s%s", o->base, uri + n);
    else
        (void)snprintf(out, (size_t)2 * URL_MAX, "%s", uri);
    if (strncmp(o->base, "https://", 8) == 0 && strncmp(out, "https://", 8) != 0)
        return dt_err_set(err, DT_E_INVALID, "jwks_uri must be https as the issuer is");
    return 0;
}

static int fetch_keys(struct dt_oidc *o, struct dt_str body, struct dt_err *err)
{
    char url[2 * URL_MAX];
    DT_AUTO_JSON json_t *doc = dt_json_parse(body, 16, err);
    if (doc == NULL)
        return dt_err_wrap(err, "its configuration");
    const char *issuer = dt_json_text(doc, "issuer", ""), *uri = dt_json_text(doc, "jwks_uri", "");
    bool named = same_issuer(issuer, o->base) ||
                 (o->public_base != NULL && same_issuer(issuer, o->public_base));
    if (!named || strlen(issuer) >= sizeof(o->issuer))
        return dt_err_set(err, DT_E_INVALID, "it calls itself '%.200s'", issuer);
    if (keys_url(o, uri, url, err) < 0 || start_get(o, 1, url, on_keys, err) < 0)
        return -1;
    (void)snprintf(o->issuer, sizeof(o->issuer), "%s", issuer);
    o->state = FETCHING;
    return 0;
}

static void on_discovered(void *ctx, const struct dt_http_reply *reply, const struct dt_err *failed)
{
    struct dt_oidc *o = ctx;
    struct dt_str body;
    struct dt_err err;
    o->call = NULL;
    if (o->closing || good_body(reply, failed, &body, &err) < 0) {
        if (o->closing)
            (void)dt_err_set(&err, DT_E_CANCELLED, "the program ends");
        finish(o, &err);
    } else if (fetch_keys(o, body, &err) < 0) {
        finish(o, &err);
    }
}

static int begin(struct dt_oidc *o, struct dt_err *err)
{
    char url[URL_MAX + 64];
    if (o->state != IDLE)
        return 0;
    (void)snprintf(url, sizeof(url), "%s/.well-known/openid-configuration", o->base);
    if (start_get(o, 0, url, on_discovered, err) < 0)
        return -1;
    o->state = DISCOVERING;
    return 0;
}

/* --- the noun --- */

int dt_oidc_new(uv_loop_t *loop, const struct dt_config_runnerd *config, struct dt_oidc **ret,
                struct dt_err *err)
{
    struct url u;
    const char *base = config->oidc_issuer_base_url, *public = config->public_oidc_domain;
    *ret = NULL;
    if (base == NULL || base[0] == '\0')
        return 0;
    if (parse_url(base, &u, err) < 0)
        return dt_err_wrap(err, "OIDC_ISSUER_BASE_URL");
    if (public != NULL && public[0] != '\0' && parse_url(public, &u, err) < 0)
        return dt_err_wrap(err, "PUBLIC_OIDC_DOMAIN");
    if (strlen(base) >= URL_MAX || config->oidc_audience == NULL ||
        config->oidc_audience[0] == '\0')
        return dt_err_set(err, DT_E_INVALID,
                          "OIDC_AUDIENCE must name what the issuer's access tokens are for");
    struct dt_oidc *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return dt_err_set(err, DT_E_NOMEM, "OpenID issuer");
    o->loop = loop;
    (void)snprintf(o->base, sizeof(o->base), "%.*s", (int)trimmed(base), base);
    o->public_base = public != NULL && public[0] != '\0' ? public : NULL;
    o->audience = config->oidc_audience;
    *ret = o;
    return 0;
}

struct dt_oidc *dt_oidc_free(struct dt_oidc *o)
{
    if (o == NULL)
        return NULL;
    o->closing = true;
    tell_waiters(o);
    bool busy = o->state != IDLE;
    struct dt_http_client *clients[] = {o->clients[0], o->clients[1]};
    if (!busy)
        release(o);
    /* A call in flight ends now, later in the loop, and releases the rest. */
    (void)dt_http_client_free(clients[0]);
    (void)dt_http_client_free(clients[1]);
    return NULL;
}

static bool since(uint64_t then_ms, uint64_t span_ms)
{
    return then_ms == 0 || dt_clock_ms() - then_ms >= span_ms;
}

static int unavailable(struct dt_err *err)
{
    return dt_err_set(err, DT_E_UNAVAILABLE,
                      "Temporary authentication service error: the OpenID issuer does not answer; "
                      "try again soon");
}

/* The keys grew old while they were used. */
static void refresh(struct dt_oidc *o)
{
    struct dt_err ignored;
    if (since(o->fetched_ms, FRESH_MS) && since(o->attempted_ms, BACKGROUND_RETRY_MS))
        (void)!begin(o, &ignored);
}

static int check_with_keys(struct dt_oidc *o, struct dt_str token, json_t **claims,
                           struct dt_err *err)
{
    struct dt_err why;
    const struct dt_jwt_rules rules = {
        .issuer = o->issuer,
        .audience = o->audience,
        .now_s = dt_clock_real_ms() / 1000,
        .leeway_s = DT_OIDC_LEEWAY_S,
    };
    refresh(o);
    if (dt_jwt_check(o->keys, token, &rules, claims, &why) == 0)
        return 0;
    if (why.code != DT_E_NOT_FOUND) {
        if (err != NULL)
            *err = why;
        return -1;
    }
    if (o->state != IDLE || since(o->attempted_ms, UNKNOWN_KEY_MS))
        return 1;
    return o->failed ? unavailable(err) : dt_err_set(err, DT_E_UNAUTHORIZED, "%s", why.msg);
}

int dt_oidc_check(struct dt_oidc *o, struct dt_str token, json_t **claims, struct dt_err *err)
{
    if (o == NULL)
        return dt_err_set(err, DT_E_UNAUTHORIZED,
                          "Unauthorized: this server accepts no access tokens (it has no OpenID "
                          "issuer); use an API key");
    if (o->closing)
        return unavailable(err);
    if (o->keys != NULL && !since(o->fetched_ms, KEEP_MS))
        return check_with_keys(o, token, claims, err);
    return o->state != IDLE || since(o->attempted_ms, RETRY_MS) ? 1 : unavailable(err);
}

int dt_oidc_wait(struct dt_oidc *o, void (*done)(void *ctx), void *ctx, struct dt_err *err)
{
    if (o->nwaiters == WAITERS_MAX)
        return unavailable(err);
    struct waiter *more = realloc(o->waiters, (o->nwaiters + 1) * sizeof(*more));
    if (more == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    o->waiters = more;
    if (begin(o, err) < 0) {
        o->attempted_ms = dt_clock_ms();
        o->failed = true;
        return unavailable(err);
    }
    o->waiters[o->nwaiters++] = (struct waiter){done, ctx};
    return 0;
}

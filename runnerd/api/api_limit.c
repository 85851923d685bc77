#include "runnerd/api/api_limit.h"

#include <stdio.h>

#include "base/clock.h"
#include "runnerd/client.h"
#include "runnerd/identity/quota.h"

enum limit_kind { ANONYMOUS, FAILED_AUTH, AUTHENTICATED, SANDBOX_CREATE, SANDBOX_LIFECYCLE, KINDS };

static const struct {
    const char *name;  /* in headers */
    const char *retry; /* the header that says when to come back */
} kinds[KINDS] = {
    [ANONYMOUS] = {"anonymous", "Retry-After-anonymous"},
    [FAILED_AUTH] = {"failed-auth", "Retry-After"},
    [AUTHENTICATED] = {"authenticated", "Retry-After-authenticated"},
    [SANDBOX_CREATE] = {"sandbox-create", "Retry-After-sandbox-create"},
    [SANDBOX_LIFECYCLE] = {"sandbox-lifecycle", "Retry-After-sandbox-lifecycle"},
};

/* --- headers --- */

static void add_number(struct dt_api_req *a, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    dt_http_req_add_header(a->http, name, dt_str_z(text));
}

static void add_headers(struct dt_api_req *a, enum limit_kind kind, struct dt_limit limit,
                        struct dt_limit_state s)
{
    char name[64];
    int64_t reset = (s.reset_ms + 999) / 1000;
    (void)snprintf(name, sizeof(name), "X-RateLimit-Limit-%s", kinds[kind].name);
    add_number(a, name, limit.count);
    (void)snprintf(name, sizeof(name), "X-RateLimit-Remaining-%s", kinds[kind].name);
    add_number(a, name, s.remaining);
    (void)snprintf(name, sizeof(name), "X-RateLimit-Reset-%s", kinds[kind].name);
    add_number(a, name, reset);
    if (s.over)
        add_number(a, kinds[kind].retry, reset);
}

static int too_many(struct dt_err *err)
{
    return dt_err_set(err, DT_E_LIMIT, "ThrottlerException: Too Many Requests");
}

/* --- by address --- */

/* False: no address, no limit. An IPv6 network of a customer counts as one. */
static bool name_of_address(struct dt_api_req *a, enum limit_kind kind, struct dt_limit_name *who)
{
    struct dt_ip ip;
    char text[DT_IP_TEXT_SIZE];
    if (!dt_client_address(&a->rd->trusted, a->http, &ip, text))
        return false;
    memset(who, 0, sizeof(*who));
    bool v4 = memcmp(ip.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0;
    memcpy(who->bytes, ip.b, v4 ? 16 : 8);
    who->what = kind;
    return true;
}

int dt_api_limit_early(struct dt_api_req *a, struct dt_err *err)
{
    const struct dt_config_runnerd *c = a->rd->config;
    bool open = dt_rest_routes[a->op].access == DT_ACCESS_OPEN;
    enum limit_kind kind = open ? ANONYMOUS : FAILED_AUTH;
    struct dt_limit limit = {open ? c->rate_limit_anonymous_limit : c->rate_limit_failed_auth_limit,
                             (open ? c->rate_limit_anonymous_ttl : c->rate_limit_failed_auth_ttl) *
                                 1000};
    struct dt_limit_name who;
    if (limit.count == 0 || limit.ttl_ms == 0 || !name_of_address(a, kind, &who))
        return 0;
    int64_t now = (int64_t)dt_clock_ms();
    struct dt_limit_state s = open ? dt_limits_hit(a->rd->limits, &who, limit, now)
                                   : dt_limits_peek(a->rd->limits, &who, limit, now);
    if (open || s.over)
        add_headers(a, kind, limit, s);
    return s.over ? too_many(err) : 0;
}

void dt_api_limit_failed(struct dt_api_req *a)
{
    const struct dt_config_runnerd *c = a->rd->config;
    struct dt_limit limit = {c->rate_limit_failed_auth_limit, c->rate_limit_failed_auth_ttl * 1000};
    struct dt_limit_name who;
    if (limit.count == 0 || limit.ttl_ms == 0 || !name_of_address(a, FAILED_AUTH, &who))
        return;
    add_headers(a, FAILED_AUTH, limit,
                dt_limits_hit(a->rd->limits, &who, limit, (int64_t)dt_clock_ms()));
}

/* --- by organization --- */

static int check(struct dt_api_req *a, enum limit_kind kind, const int64_t quotas[DT_QUOTAS],
                 const uint8_t id[16], struct dt_err *err)
{
    static const enum dt_quota counts[KINDS] = {
        [AUTHENTICATED] = DT_QUOTA_AUTHENTICATED_RATE,
        [SANDBOX_CREATE] = DT_QUOTA_CREATE_RATE,
        [SANDBOX_LIFECYCLE] = DT_QUOTA_LIFECYCLE_RATE,
    };
    struct dt_limit limit = {quotas[counts[kind]], quotas[counts[kind] + 1] * 1000};
    struct dt_limit_name who = {.what = kind};
    if (limit.count <= 0 || limit.ttl_ms <= 0)
        return 0;
    memcpy(who.bytes, id, sizeof(who.bytes));
    struct dt_limit_state s = dt_limits_hit(a->rd->limits, &who, limit, (int64_t)dt_clock_ms());
    add_headers(a, kind, limit, s);
    return s.over ? too_many(err) : 0;
}

int dt_api_limit(struct dt_api_req *a, struct dt_err *err)
{
    const struct dt_route *route = &dt_rest_routes[a->op];
    uint8_t id[DT_HASH_SIZE];
    int64_t quotas[DT_QUOTAS];
    bool runner = a->who.runner[0] != '\0';
    if (a->who.kind != DT_BY_KEY && a->who.kind != DT_BY_TOKEN && !runner)
        return 0;
    /* Who asks for no organization counts for themselves, and so does a runner. */
    dt_hash(dt_str_z(runner                  ? a->who.runner
                     : a->who.org[0] != '\0' ? a->who.org
                                             : a->who.user),
            id);
    dt_quotas_of(a->rd->config, dt_directory_org(&a->rd->directory, a->who.org), quotas);
    if (check(a, AUTHENTICATED, quotas, id, err) < 0)
        return -1;
    if (route->limit == DT_LIMIT_SANDBOX_CREATE)
        return check(a, SANDBOX_CREATE, quotas, id, err);
    if (route->limit == DT_LIMIT_SANDBOX_LIFECYCLE)
        return check(a, SANDBOX_LIFECYCLE, quotas, id, err);
    return 0;
}

/* --- for clients --- */

static void put(json_t *all, const char *name, int64_t limit, int64_t ttl)
{
    const struct dt_rest_rate_limit one = {
        .ttl = ttl, .has_ttl = true, .limit = limit, .has_limit = true};
    if (limit > 0 && ttl > 0)
        (void)json_object_set_new(all, name, dt_rest_rate_limit_print(&one));
}

json_t *dt_api_limits_json(const struct dt_config_runnerd *c)
{
    DT_AUTO_JSON json_t *all = json_object();
    put(all, "failedAuth", c->rate_limit_failed_auth_limit, c->rate_limit_failed_auth_ttl);
    put(all, "authenticated", c->rate_limit_authenticated_limit, c->rate_limit_authenticated_ttl);
    put(all, "sandboxCreate", c->rate_limit_sandbox_create_limit, c->rate_limit_sandbox_create_ttl);
    put(all, "sandboxLifecycle", c->rate_limit_sandbox_lifecycle_limit,
        c->rate_limit_sandbox_lifecycle_ttl);
    return json_object_size(all) > 0 ? json_incref(all) : NULL;
}

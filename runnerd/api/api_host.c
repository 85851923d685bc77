#include "runnerd/api/api_host.h"

#include <limits.h>

#include "model/preview.h"
#include "runnerd/forward.h"

static bool is_address(struct dt_str name)
{
    if (name.n > 0 && name.p[0] == '[')
        return true;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] != '.' && (name.p[i] < '0' || name.p[i] > '9'))
            return false;
    }
    return true;
}

static bool is_localhost(struct dt_str name)
{
    const struct dt_str local = DT_STR("localhost"), below = DT_STR(".localhost");
    return dt_str_eq_nocase(name, local) ||
           (name.n > below.n &&
            dt_str_eq_nocase(dt_str(name.p + name.n - below.n, below.n), below));
}

static bool is_machine(struct dt_str name)
{
    char own[HOST_NAME_MAX + 1];
    if (gethostname(own, sizeof(own)) < 0)
        return false;
    own[sizeof(own) - 1] = '\0';
    /* With a domain behind it, it could be anybody's; .local is nobody's. */
    const struct dt_str local = DT_STR(".local");
    if (name.n > local.n && dt_str_eq_nocase(dt_str(name.p + name.n - local.n, local.n), local))
        name.n -= local.n;
    return dt_str_eq_nocase(name, dt_str_z(own));
}

static bool is_host_of(struct dt_str name, const char *url)
{
    const char *after = url != NULL ? strstr(url, "://") : NULL;
    struct dt_str rest = dt_str_z(after != NULL ? after + 3 : url), host;
    return dt_str_cut(&rest, '/', &host) && dt_str_eq_nocase(dt_host_name(host), name);
}

static bool is_ours(const struct dt_runnerd *rd, struct dt_str name)
{
    return is_address(name) || is_localhost(name) || is_host_of(name, rd->api_url) ||
           is_host_of(name, rd->dashboard_url) || is_host_of(name, rd->toolbox_base) ||
           is_host_of(name, rd->proxy_domain) || is_machine(name);
}

bool dt_api_host_ok(const struct dt_runnerd *rd, struct dt_http_req *req)
{
    static const char text[] =
        "{\"statusCode\":421,\"message\":\"this server does not know that host name: set "
        "DASHBOARD_BASE_API_URL (--api-url) to the URL under which clients reach it, or send an "
        "API key\",\"code\":\"MISDIRECTED_REQUEST\",\"source\":\"DAYTONA_API\"}";
    uid_t uid;
    gid_t gid;
    struct dt_str path = dt_http_req_path(req);
    if (is_ours(rd, dt_host_name(dt_http_req_host(req))) ||
        dt_http_req_header(req, "Authorization").p != NULL || dt_str_eq(path, DT_STR("/health")) ||
        dt_str_eq(path, DT_STR("/api/health")) || dt_conn_peer(dt_http_req_conn(req), &uid, &gid))
        return true;
    dt_http_req_reply(req, 421, "application/json; charset=utf-8", text, sizeof(text) - 1);
    return false;
}

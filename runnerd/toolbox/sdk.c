#include "toolbox/sdk.h"

#include <string.h>

#include "net/ws_conn.h"

static const char header[] = "X-Daytona-SDK-Version";

#define SUBPROTOCOL "X-Daytona-SDK-Version~"

enum { PART_MAX = 1000000 };

struct version {
    unsigned long long part[3];
    bool before; /* has a suffix: comes before the version without one */
};

/* 1.2.3, v1.2.3 (the Go SDK's), 1.2.3-suffix */
static bool parse(struct dt_str s, struct version *v)
{
    *v = (struct version){.before = false};
    if (dt_str_starts(s, DT_STR("v"))) /* the Go client's */
        s = dt_str(s.p + 1, s.n - 1);
    for (int i = 0; i < 3; i++) {
        size_t n = 0;
        while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
            n++;
        if (dt_str_u64(dt_str(s.p, n), PART_MAX, &v->part[i]) < 0)
            return false;
        s = dt_str(s.p + n, s.n - n);
        if (i == 2)
            break;
        if (s.n == 0 || s.p[0] != '.')
            return false;
        s = dt_str(s.p + 1, s.n - 1);
    }
    v->before = s.n > 0;
    return true;
}

static bool older(const struct version *v, unsigned minor)
{
    if (v->part[0] != 0)
        return false;
    if (v->part[1] != minor)
        return v->part[1] < minor;
    return v->part[2] == 0 && v->before;
}

static bool is_dev(struct dt_str s)
{
    return memmem(s.p, s.n, "dev", 3) != NULL;
}

struct dt_sdk_gates dt_sdk_gates(struct dt_str s, bool split)
{
    struct version v;
    s = dt_str_trim(s);
    if (s.n == 0)
        return (struct dt_sdk_gates){.combined = !split};
    if (is_dev(s))
        return (struct dt_sdk_gates){.demuxed = true};
    if (!parse(s, &v))
        return (struct dt_sdk_gates){.combined = false};
    bool first = v.part[0] == 0 && v.part[1] == 167 && v.part[2] == 0;
    return (struct dt_sdk_gates){
        .combined = older(&v, 27),
        .home_cwd = older(&v, 103),
        .demuxed = first || !older(&v, 167), /* its own pre-releases have it */
    };
}

struct dt_sdk_gates dt_sdk_gates_of(const struct dt_http_req *req)
{
    struct dt_str split = dt_http_req_header(req, "X-Daytona-Split-Output");
    struct dt_str version = dt_http_req_header(req, header);
    if (version.n == 0) {
        version = dt_ws_offered(req, DT_STR(SUBPROTOCOL));
        if (version.p != NULL)
            version =
                dt_str(version.p + sizeof(SUBPROTOCOL) - 1, version.n - (sizeof(SUBPROTOCOL) - 1));
    }
    return dt_sdk_gates(version, dt_str_eq_nocase(split, DT_STR("true")));
}

bool dt_sdk_is_before(const struct dt_http_req *req, unsigned minor)
{
    struct version v;
    struct dt_str s = dt_str_trim(dt_http_req_header(req, header));
    return s.n > 0 && !is_dev(s) && parse(s, &v) && older(&v, minor);
}

bool dt_sdk_is_python(const struct dt_http_req *req)
{
    struct dt_str source = dt_http_req_header(req, "X-Daytona-Source");
    return dt_str_starts(source, DT_STR("sdk-python")) || dt_str_eq(source, DT_STR("python-sdk"));
}

bool dt_sdk_is_go(const struct dt_http_req *req)
{
    struct dt_str source = dt_http_req_header(req, "X-Daytona-Source");
    return dt_str_eq(source, DT_STR("sdk-go")) || dt_str_eq(source, DT_STR("go-sdk"));
}

bool dt_sdk_is_strict(const struct dt_http_req *req)
{
    return dt_sdk_is_go(req) &&
           (dt_http_req_header(req, header).n == 0 || dt_sdk_is_before(req, 188));
}

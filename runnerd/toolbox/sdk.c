#include "toolbox/sdk.h"

static const char header[] = "X-Daytona-SDK-Version";

static bool number(struct dt_str *rest, unsigned long long *ret)
{
    struct dt_str piece;
    return dt_str_cut(rest, '.', &piece) && dt_str_u64(piece, 1000000, ret) == 0;
}

/* major.minor of the version; false when it cannot be read or is of development. */
static bool version(struct dt_str text, unsigned long long v[2])
{
    if (text.n >= 3 && memmem(text.p, text.n, "dev", 3) != NULL)
        return false;
    return number(&text, &v[0]) && number(&text, &v[1]) && text.n > 0;
}

bool dt_sdk_is_before(const struct dt_http_req *req, unsigned major, unsigned minor)
{
    unsigned long long v[2];
    if (!version(dt_http_req_header(req, header), v))
        return false;
    return v[0] < major || (v[0] == major && v[1] < minor);
}

bool dt_sdk_is_python(const struct dt_http_req *req)
{
    struct dt_str source = dt_http_req_header(req, "X-Daytona-Source");
    return dt_str_starts(source, DT_STR("sdk-python")) || dt_str_eq(source, DT_STR("python-sdk"));
}

bool dt_sdk_is_strict(const struct dt_http_req *req)
{
    return dt_str_eq(dt_http_req_header(req, "X-Daytona-Source"), DT_STR("sdk-go")) &&
           (dt_http_req_header(req, header).n == 0 || dt_sdk_is_before(req, 0, 188));
}

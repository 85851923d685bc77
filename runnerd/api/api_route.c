#include "runnerd/api/api_route.h"

enum { PARAM_MAX = 4096 };

static struct dt_str without_api(struct dt_str path)
{
    if (dt_str_starts(path, DT_STR("/api/")))
        return dt_str(path.p + 4, path.n - 4);
    return path;
}

/* Empty segments do not count: base URLs that end in a slash make them. */
static bool next_segment(struct dt_str *rest, struct dt_str *segment)
{
    while (dt_str_cut(rest, '/', segment)) {
        if (segment->n > 0)
            return true;
    }
    return false;
}

/* Fills values[] with the texts of {names}; returns how many, or -1. */
static int match(const struct dt_route *route, struct dt_str path,
                 struct dt_str values[DT_API_PARAMS_MAX], struct dt_str *behind)
{
    bool any = strcmp(route->method, "ANY") == 0;
    struct dt_str pattern = dt_str_z(route->path), want, have;
    int n = 0;
    while (next_segment(&pattern, &want)) {
        bool last = pattern.p == NULL;
        if (any && last) {
            *behind = path;
            return n;
        }
        if (!next_segment(&path, &have))
            return -1;
        if (want.p[0] == '{' && n < DT_API_PARAMS_MAX)
            values[n++] = have;
        else if (!dt_str_eq(want, have))
            return -1;
    }
    return next_segment(&path, &have) ? -1 : n;
}

static int keep_params(struct dt_api_req *a, const struct dt_str *values, int n, struct dt_err *err)
{
    for (int k = 0; k < n; k++) {
        DT_AUTO_BUF struct dt_buf text;
        dt_buf_init(&text, PARAM_MAX);
        if (dt_http_decode(values[k], &text, err) < 0 || dt_buf_add(&text, "", 0, err) < 0)
            return -1;
        a->params[a->nparams] = dt_buf_take(&text);
        if (a->params[a->nparams] == NULL)
            return dt_err_set(err, DT_E_NOMEM, "out of memory");
        a->nparams++;
    }
    return 0;
}

static bool method_fits(const struct dt_route *route, struct dt_str method)
{
    return strcmp(route->method, "ANY") == 0 || dt_str_eq(method, dt_str_z(route->method)) ||
           (strcmp(route->method, "GET") == 0 && dt_str_eq(method, DT_STR("HEAD")));
}

int dt_api_route(struct dt_api_req *a, struct dt_err *err)
{
    struct dt_str values[DT_API_PARAMS_MAX];
    struct dt_str method = dt_http_req_method(a->http), whole = dt_http_req_path(a->http);
    struct dt_str path = without_api(whole);
    for (unsigned i = 0; i < DT_REST_OP_COUNT; i++) {
        const struct dt_route *route = &dt_rest_routes[i];
        int n = method_fits(route, method) ? match(route, path, values, &a->rest) : -1;
        if (n < 0)
            continue;
        a->op = (enum dt_rest_op)i;
        return keep_params(a, values, n, err);
    }
    return dt_err_set(err, DT_E_NOT_FOUND, "Cannot %.*s %.*s", (int)method.n, method.p,
                      (int)(whole.n < 300 ? whole.n : 300), whole.p);
}

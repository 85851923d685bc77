#include "json/route.h"

#include <string.h>

static bool method_fits(const char *want, struct dt_str method)
{
    return dt_str_eq(method, dt_str_z(want)) ||
           (strcmp(want, "GET") == 0 && dt_str_eq(method, DT_STR("HEAD")));
}

static bool path_fits(const char *route, struct dt_str path,
                      struct dt_str segments[DT_ROUTE_SEGMENTS_MAX])
{
    struct dt_str want = dt_str_z(route), a, b;
    size_t n = 0;
    while (dt_str_cut(&want, '/', &a)) {
        if (!dt_str_cut(&path, '/', &b))
            return false;
        if (a.n > 0 && a.p[0] == '{' && b.n > 0 && n < DT_ROUTE_SEGMENTS_MAX)
            segments[n++] = b;
        else if (!dt_str_eq(a, b))
            return false;
    }
    return path.p == NULL;
}

const struct dt_route *dt_route_find(const struct dt_route *routes, size_t n, struct dt_str method,
                                     struct dt_str path,
                                     struct dt_str segments[DT_ROUTE_SEGMENTS_MAX])
{
    if (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < DT_ROUTE_SEGMENTS_MAX; k++)
            segments[k] = dt_str(NULL, 0);
        if (method_fits(routes[i].method, method) && path_fits(routes[i].path, path, segments))
            return &routes[i];
    }
    return NULL;
}

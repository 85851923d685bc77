/* A row of a route table that schemas/gen/gen.py writes: what an operation is called, and who may
 * call it. */
#ifndef DT_ROUTE_H
#define DT_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Who must ask. Each but OPEN and SERVICE also names what the user must be. */
enum dt_route_access {
    DT_ACCESS_MEMBER,  /* of the organization that the call is about */
    DT_ACCESS_OWNER,   /* of that organization */
    DT_ACCESS_USER,    /* anybody with credentials; there need be no organization */
    DT_ACCESS_ADMIN,   /* of the whole system */
    DT_ACCESS_SERVICE, /* no user: those in `services` alone */
    DT_ACCESS_OPEN,    /* nobody is asked for credentials */
};

/* Programs with a key of their own. */
enum dt_service {
    DT_SERVICE_PROXY = 1 << 0,
    DT_SERVICE_SSH_GATEWAY = 1 << 1,
    DT_SERVICE_HEALTH_CHECK = 1 << 2,
    DT_SERVICE_RUNNER = 1 << 3,
    DT_SERVICE_OTEL_COLLECTOR = 1 << 4,
};

/* What counts besides for the limits of requests. */
enum dt_route_limit { DT_LIMIT_NONE, DT_LIMIT_SANDBOX_CREATE, DT_LIMIT_SANDBOX_LIFECYCLE };

struct dt_schema_object;

struct dt_route {
    const char *id, *method, *path;
    const char *audit;    /* the audit action; NULL: not audited */
    const char *unserved; /* why there is no handler yet; NULL: there is one */
    enum dt_route_access access;
    uint32_t permissions; /* bits of gen/permissions.h; all are needed */
    uint32_t services;    /* who may call it besides */
    int org_param;        /* which parameter of the path is the organization; -1: none is */
    int status;           /* of the answer when it worked */
    enum dt_route_limit limit;
    bool login;    /* an API key is not enough */
    bool or_admin; /* administrators may call it, whatever else it needs */
    bool active;   /* refused while the organization is suspended */
    const struct dt_schema_object *body, *query; /* of JSON bodies and queries; NULL: none */
    const char *target;     /* what an audited action is about, such as `sandbox`; NULL: nothing */
    int target_param;       /* which parameter of the path names that; -1: none does */
    const char *target_key; /* which member of the answer names what it made */
};

enum { DT_ROUTE_SEGMENTS_MAX = 2 };

/* The first route of a toolbox's table that a request fits: HEAD counts as GET, and a slash at the
 * end of the path (without a query) does not count. The texts of the route's {names} go to
 * `segments`, as they were sent. NULL: none. Whoever must know what a toolbox will do with a
 * request asks here, as the toolbox does. */
const struct dt_route *dt_route_find(const struct dt_route *routes, size_t n, struct dt_str method,
                                     struct dt_str path,
                                     struct dt_str segments[DT_ROUTE_SEGMENTS_MAX]);

#endif

#include "runnerd/api/api_cors.h"

static void answer_preflight(struct dt_http_req *req)
{
    struct dt_str wanted = dt_http_req_header(req, "Access-Control-Request-Headers");
    dt_http_req_add_header(req, "Access-Control-Allow-Methods",
                           DT_STR("GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS"));
    if (wanted.p != NULL)
        dt_http_req_add_header(req, "Access-Control-Allow-Headers", wanted);
    dt_http_req_reply(req, 204, NULL, NULL, 0);
}

bool dt_api_cors(struct dt_http_req *req)
{
    struct dt_str origin = dt_http_req_header(req, "Origin");
    dt_http_req_add_header(req, "X-Daytona-Api-Version", DT_STR("v" DT_VERSION));
    if (origin.p == NULL)
        return false;
    dt_http_req_add_header(req, "Access-Control-Allow-Origin", origin);
    dt_http_req_add_header(req, "Vary", DT_STR("Origin, Access-Control-Request-Headers"));
    if (!dt_str_eq(dt_http_req_method(req), DT_STR("OPTIONS")))
        return false;
    answer_preflight(req);
    return true;
}

#include "gen/toolbox_api.h"
#include "toolbox/reply.h"
#include "toolbox/toolbox.h"

static dt_toolbox_op *const handlers[DT_TB_OP_COUNT] = {DT_TOOLBOX_HANDLERS};

void dt_toolbox_handle(void *ctx, struct dt_http_req *req)
{
    struct dt_toolbox *tb = ctx;
    struct dt_err err;
    struct dt_str segments[DT_ROUTE_SEGMENTS_MAX];
    struct dt_str path = dt_http_req_path(req), method = dt_http_req_method(req);
    const struct dt_route *r = dt_route_find(dt_tb_routes, DT_TB_OP_COUNT, method, path, segments);
    if (r != NULL && handlers[r - dt_tb_routes] != NULL) {
        handlers[r - dt_tb_routes](tb, req, segments);
        return;
    }
    if (r != NULL)
        (void)dt_err_set(&err, DT_E_UNSUPPORTED, "%s", r->unserved);
    else
        (void)dt_err_set(&err, DT_E_NOT_FOUND, "the toolbox has no operation %.*s %.*s",
                         (int)(method.n < 32 ? method.n : 32), method.p,
                         (int)(path.n < 300 ? path.n : 300), path.p);
    dt_reply_error(req, &err);
}

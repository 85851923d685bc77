#include "mcp/tool.h"

struct state {
    struct dt_mcp_delete_file_in in;
};

DT_TOOL_INPUT(delete_file)

static void on_deleted(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    const struct state *s = c->state;
    (void)reply;
    if (err != NULL)
        dt_tool_fail(c, err, NULL);
    else
        dt_tool_result(c, json_pack("{s:s,s:b}", "path", s->in.file_path, "deleted", 1));
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "DELETE");
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files?path=%s&recursive=true", s->in.id,
                      dt_tool_path(s->in.file_path)) == 0) {
        dt_call_fetch(c, &r, on_deleted);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_delete_file = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

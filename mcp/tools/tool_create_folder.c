#include "mcp/tool.h"

struct state {
    struct dt_mcp_create_folder_in in;
};

DT_TOOL_INPUT(create_folder)

static void on_made(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    (void)reply;
    if (err != NULL)
        dt_tool_fail(c, err, NULL);
    else
        dt_tool_result(c, json_pack("{s:s}", "path", s->in.folder_path));
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/folder?path=%s&mode=%s", s->in.id,
                      dt_tool_path(s->in.folder_path), s->in.mode) == 0) {
        dt_call_fetch(c, &r, on_made);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_create_folder = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

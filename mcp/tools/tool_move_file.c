#include "mcp/tool.h"

struct state {
    struct dt_mcp_move_file_in in;
};

DT_TOOL_INPUT(move_file)

static void on_moved(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    (void)reply;
    if (err == NULL)
        dt_tool_result(
            c, json_pack("{s:s,s:s}", "source", s->in.source_path, "destination", s->in.dest_path));
    else if (dt_err_http(err->code) == 409)
        dt_tool_fail(c, err, "Choose another dest_path, or call delete_file on it first.");
    else
        dt_tool_fail(c, err, NULL);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/move?source=%s&destination=%s", s->in.id,
                      dt_tool_path(s->in.source_path), dt_tool_path(s->in.dest_path)) == 0) {
        dt_call_fetch(c, &r, on_moved);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_move_file = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

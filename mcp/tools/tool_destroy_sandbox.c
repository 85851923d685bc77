#include "mcp/tool.h"

struct state {
    struct dt_mcp_destroy_sandbox_in in;
};

DT_TOOL_INPUT(destroy_sandbox)

static void on_destroyed(struct dt_call *c, const struct dt_api_reply *reply,
                         const struct dt_err *err)
{
    const struct state *s = c->state;
    if (err != NULL)
        dt_tool_fail(c, err, NULL);
    else
        dt_tool_result(c, json_pack("{s:s,s:b}", "id", dt_json_text(reply->json, "id", s->in.id),
                                    "destroyed", 1));
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "DELETE");
    if (dt_api_target(&r, &err, "/sandbox/%s", s->in.id) == 0) {
        dt_call_fetch(c, &r, on_destroyed);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_destroy_sandbox = {.state_size = sizeof(struct state),
                                                .parse = parse_input,
                                                .done = done_input,
                                                .run = run,
                                                .doing = "destroying the sandbox"};

#include "mcp/tool.h"

struct state {
    struct dt_mcp_get_sandbox_in in;
};

DT_TOOL_INPUT(get_sandbox)

static const char *const shown[] = {"id",
                                    "name",
                                    "state",
                                    "snapshot",
                                    "errorReason",
                                    "cpu",
                                    "memory",
                                    "disk",
                                    "public",
                                    "networkBlockAll",
                                    "networkAllowList",
                                    "labels",
                                    "createdAt",
                                    "target",
                                    "user",
                                    "autoStopInterval",
                                    "autoArchiveInterval",
                                    "autoDeleteInterval",
                                    NULL};

static json_t *make(const json_t *reply)
{
    return dt_tool_pick(reply, shown);
}

static void on_sandbox(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    if (err != NULL)
        dt_tool_fail(c, err, NULL);
    else
        dt_tool_result_of(c, reply, make);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    dt_tool_fetch_sandbox(c, s->in.id, on_sandbox);
}

const struct dt_tool dt_tool_get_sandbox = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

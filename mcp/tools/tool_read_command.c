#include "mcp/background.h"

struct state {
    struct dt_mcp_read_command_in in;
    struct dt_background_id id;
};

DT_TOOL_INPUT(read_command)

static void on_read(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    dt_background_give(c, &s->id, reply, err);
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    const struct dt_background_read read = {
        .sandbox = s->in.id,
        .id = &s->id,
        .cursor = s->in.cursor,
        .wait = s->in.wait,
        .until_end = s->in.until_end,
    };
    if (dt_background_parse(s->in.command_id, &s->id, &err) < 0 ||
        dt_background_fetch(c, &read, on_read, &err) < 0)
        dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_read_command = {.state_size = sizeof(struct state),
                                             .parse = parse_input,
                                             .done = done_input,
                                             .run = run,
                                             .doing = "waiting for the command"};

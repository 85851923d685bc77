#include "mcp/background.h"

struct state {
    struct dt_mcp_read_command_in in;
    struct dt_background_id id;
};

DT_TOOL_INPUT(read_command)

static void on_read(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    if (err != NULL)
        dt_background_fail(c, err);
    else
        dt_tool_result(c, dt_background_show(&s->id, reply->json));
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    const struct dt_background_read read = {
        .sandbox = s->in.id,
        .id = &s->id,
        .cursor = s->in.cursor,
        .wait = s->in.wait,
        .until_end = s->in.until_end,
    };
    dt_api_req_init(&r, "GET");
    if (dt_background_parse(s->in.command_id, &s->id, &err) == 0 &&
        dt_background_ask(&r, &read, &err) == 0) {
        dt_call_fetch(c, &r, on_read);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_read_command = {.state_size = sizeof(struct state),
                                             .parse = parse_input,
                                             .done = done_input,
                                             .run = run,
                                             .doing = "waiting for the command"};

#include "mcp/background.h"

struct state {
    struct dt_mcp_stop_command_in in;
    struct dt_background_id id;
    json_t *shown; /* what it had printed before */
};

static int parse_input(json_t *args, void *state, struct dt_err *err)
{
    return dt_mcp_stop_command_in_parse(args, state, err);
}

static void done_state(void *state)
{
    struct state *s = state;
    json_decref(s->shown);
    dt_mcp_stop_command_in_done(&s->in);
}

static void on_stopped(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    static const char *const told[] = {"commandId", "output", "exitCode", "omitted", "lost", NULL};
    const struct state *s = c->state;
    (void)reply;
    if (err != NULL)
        dt_background_fail(c, err);
    else
        dt_tool_result(c, dt_tool_pick(s->shown, told));
}

/* Its output goes with it, so that is read first. */
static void on_read(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct state *s = c->state;
    struct dt_err why;
    struct dt_api_req r;
    if (err != NULL) {
        dt_background_fail(c, err);
        return;
    }
    s->shown = dt_background_show(&s->id, reply->json);
    dt_api_req_init(&r, "DELETE");
    if (dt_api_target(&r, &why, "/toolbox/%s/toolbox/process/session/%s", s->in.id,
                      s->id.session) == 0) {
        dt_call_fetch(c, &r, on_stopped);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &why, NULL);
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    const struct dt_background_read read = {
        .sandbox = s->in.id, .id = &s->id, .cursor = s->in.cursor};
    if (dt_background_parse(s->in.command_id, &s->id, &err) < 0 ||
        dt_background_fetch(c, &read, on_read, &err) < 0)
        dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_stop_command = {.state_size = sizeof(struct state),
                                             .parse = parse_input,
                                             .done = done_state,
                                             .run = run,
                                             .doing = "stopping the command"};

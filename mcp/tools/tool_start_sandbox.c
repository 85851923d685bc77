#include "mcp/lifecycle.h"

struct state {
    struct dt_mcp_start_sandbox_in in;
    struct dt_lifecycle life;
};

static int parse_input(json_t *args, void *state, struct dt_err *err)
{
    return dt_mcp_start_sandbox_in_parse(args, state, err);
}

static void done_state(void *state)
{
    struct state *s = state;
    dt_lifecycle_done(&s->life);
    dt_mcp_start_sandbox_in_done(&s->in);
}

static void on_settled(struct dt_call *c, const json_t *sandbox)
{
    static const char *const shown[] = {"id", "name", "state", NULL};
    dt_tool_result(c, dt_tool_pick(sandbox, shown));
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    s->life.wanted = "started";
    s->life.then = on_settled;
    dt_lifecycle_move(c, &s->life, s->in.id, "start");
}

const struct dt_tool dt_tool_start_sandbox = {.state_size = sizeof(struct state),
                                              .parse = parse_input,
                                              .done = done_state,
                                              .run = run,
                                              .doing = "starting the sandbox"};

#include "mcp/tool.h"

struct state {
    struct dt_mcp_list_sandboxes_in in;
};

DT_TOOL_INPUT(list_sandboxes)

static const char *const shown[] = {"id", "name", "state", "snapshot", "errorReason", NULL};

static json_t *make(const json_t *reply)
{
    json_t *rows = json_array();
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(reply, "items"), i, item)(void)
        json_array_append_new(rows, dt_tool_pick(item, shown));
    json_t *all = json_pack("{s:o}", "sandboxes", rows);
    const char *next = dt_json_text(reply, "nextCursor", NULL);
    if (next != NULL)
        (void)json_object_set_new(all, "nextCursor", json_string(next));
    return all;
}

static void on_list(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    if (err != NULL)
        dt_tool_fail(c, err, NULL);
    else
        dt_tool_result_of(c, reply, make);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    int ret = dt_api_target(&r, &err, "/sandbox?limit=%d", (long long)s->in.limit);
    if (ret == 0 && s->in.cursor != NULL)
        ret = dt_api_target(&r, &err, "&cursor=%s", s->in.cursor);
    if (ret == 0) {
        dt_call_fetch(c, &r, on_list);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_list_sandboxes = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

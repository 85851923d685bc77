#include "mcp/tool.h"

struct state {
    struct dt_mcp_get_file_info_in in;
};

DT_TOOL_INPUT(get_file_info)

static const char *const shown[] = {"name",        "isDir", "size",  "modTime", "mode",
                                    "permissions", "owner", "group", NULL};

static json_t *make(const json_t *reply)
{
    return dt_tool_pick(reply, shown);
}

static void on_info(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
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
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/info?path=%s", s->in.id,
                      dt_tool_path(s->in.file_path)) == 0) {
        dt_call_fetch(c, &r, on_info);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_get_file_info = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

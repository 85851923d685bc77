#include "mcp/tool.h"

struct state {
    struct dt_mcp_list_files_in in;
};

DT_TOOL_INPUT(list_files)

static void on_list(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    static const char *const shown[] = {"name", "isDir", "size", "modTime", "mode", NULL};
    const struct state *s = c->state;
    if (err != NULL) {
        bool too_many = reply == NULL && err->code == DT_E_TOO_LARGE;
        dt_tool_fail(c, err,
                     too_many ? "The directory has too many entries to list. Call "
                                "execute_command with `ls | head` or `find`."
                              : NULL);
        return;
    }
    size_t total = json_array_size(reply->json);
    size_t from = (uint64_t)s->in.offset < total ? (size_t)s->in.offset : total;
    size_t to = total - from > (size_t)s->in.limit ? from + (size_t)s->in.limit : total;
    json_t *files = json_array();
    for (size_t i = from; i < to; i++)
        (void)json_array_append_new(files, dt_tool_pick(json_array_get(reply->json, i), shown));
    json_t *all =
        json_pack("{s:s,s:o,s:I}", "path", s->in.path, "files", files, "total", (json_int_t)total);
    if (to < total)
        (void)json_object_set_new(all, "nextOffset", json_integer((json_int_t)to));
    dt_tool_result(c, all);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files?path=%s", s->in.id,
                      s->in.path[0] != '\0' ? dt_tool_path(s->in.path) : ".") == 0) {
        dt_call_fetch(c, &r, on_list);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_list_files = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

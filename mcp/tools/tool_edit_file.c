#include "mcp/tool.h"

struct state {
    struct dt_mcp_edit_file_in in;
};

DT_TOOL_INPUT(edit_file)

static void on_edited(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    if (err == NULL)
        dt_tool_result(c, json_pack("{s:s,s:I,s:I}", "path", s->in.file_path, "replacements",
                                    (json_int_t)dt_json_int(reply->json, "replacements", 0), "size",
                                    (json_int_t)dt_json_int(reply->json, "size", 0)));
    else if (dt_err_http(err->code) == 409)
        dt_tool_fail(c, err,
                     "Nothing was changed. Call file_download to see the file, then edit_file with "
                     "the exact text and enough around it to make it unique, or with "
                     "replace_all=true.");
    else
        dt_tool_fail(c, err, NULL);
}

static json_t *text(struct dt_str s)
{
    return json_stringn(s.n > 0 ? s.p : "", s.n);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    json_t *body = json_pack("{s:s,s:o,s:o,s:b}", "path", dt_tool_path(s->in.file_path), "oldText",
                             text(s->in.old_text), "newText", text(s->in.new_text), "replaceAll",
                             s->in.replace_all);
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/edit", s->in.id) < 0) {
        json_decref(body);
    } else if (dt_api_json_body(&r, body, &err) == 0) {
        dt_call_fetch(c, &r, on_edited);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_edit_file = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_input, .run = run};

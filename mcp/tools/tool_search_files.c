#include "base/utf8.h"
#include "mcp/tool.h"

enum { CONTENT_MAX = 300 }; /* bytes of a line that are shown */

struct state {
    struct dt_mcp_search_files_in in;
};

DT_TOOL_INPUT(search_files)

/* A name alone, or a line. NULL for what the toolbox should not have sent. */
static json_t *show(json_t *found)
{
    if (json_is_string(found))
        return json_pack("{s:O}", "file", found);
    json_t *content = json_object_get(found, "content");
    json_t *file = json_object_get(found, "file"), *line = json_object_get(found, "line");
    if (!json_is_string(content) || !json_is_string(file) || !json_is_integer(line))
        return NULL;
    struct dt_str text = dt_str(json_string_value(content), json_string_length(content));
    return json_pack("{s:O,s:O,s:o}", "file", file, "line", line, "content",
                     json_stringn(text.p, dt_utf8_cut(text, CONTENT_MAX)));
}

static void on_found(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    const json_t *all =
        json_is_array(reply->json) ? reply->json : json_object_get(reply->json, "files");
    json_t *matches = json_array(), *found;
    size_t i;
    json_array_foreach(all, i, found)
    {
        if (i < (size_t)s->in.limit)
            (void)json_array_append_new(matches, show(found));
    }
    json_t *result = json_pack("{s:o}", "matches", matches);
    if (json_array_size(all) > (size_t)s->in.limit)
        (void)json_object_set_new(result, "truncated", json_true());
    dt_tool_result(c, result);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    /* One more than is shown tells whether there are more. */
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/%s?path=%s&pattern=%s&limit=%d",
                      s->in.id, s->in.names ? "search" : "find",
                      s->in.path[0] != '\0' ? dt_tool_path(s->in.path) : ".", s->in.query,
                      (long long)s->in.limit + 1) == 0) {
        dt_call_fetch(c, &r, on_found);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_search_files = {.state_size = sizeof(struct state),
                                             .parse = parse_input,
                                             .done = done_input,
                                             .run = run,
                                             .doing = "searching"};

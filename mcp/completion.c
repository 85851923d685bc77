/* completion/complete for the file template: sandbox ids, and paths in the sandbox that was chosen.
 */
#include <stdio.h>

#include "mcp/server.h"
#include "mcp/uri.h"

enum { OUT_MAX = 16 * 1024 * 1024, VALUES_MAX = 100, SANDBOXES = 100, PATH_TEXT_MAX = 8192 };

struct state {
    const char *prefix; /* what was typed; borrowed from the request */
    char *folder;       /* of the path so far, with its last slash; may be empty */
};

static void done_state(void *state)
{
    struct state *s = state;
    free(s->folder);
}

static void give(struct dt_call *c, json_t *values, size_t total)
{
    struct dt_err err;
    DT_AUTO_JSON json_t *owned = values;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, OUT_MAX);
    if (dt_buf_addz(&out, "\"completion\":{\"values\":", &err) == 0 &&
        dt_json_write(owned, &out, &err) == 0 &&
        dt_buf_addf(&out, &err, ",\"total\":%zu,\"hasMore\":%s}", total,
                    total > json_array_size(owned) ? "true" : "false") == 0)
        dt_call_reply(c, dt_buf_str(&out));
    else
        dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err.msg);
}

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void on_sandboxes(struct dt_call *c, const struct dt_api_reply *reply,
                         const struct dt_err *err)
{
    const struct state *s = c->state;
    if (err != NULL) {
        dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err->msg);
        return;
    }
    json_t *values = json_array();
    size_t i, total = 0;
    const json_t *item;
    json_array_foreach(json_object_get(reply->json, "items"), i, item)
    {
        const char *id = dt_json_text(item, "id", "");
        const char *name = dt_json_text(item, "name", "");
        const char *match = begins(id, s->prefix) ? id : begins(name, s->prefix) ? name : NULL;
        if (match == NULL)
            continue;
        total++;
        if (json_array_size(values) < VALUES_MAX)
            (void)json_array_append_new(values, json_string(match));
    }
    give(c, values, total);
}

static void complete_id(struct dt_call *c)
{
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    if (dt_api_target(&r, &err, "/sandbox?limit=%d", (long long)SANDBOXES) == 0) {
        dt_call_fetch(c, &r, on_sandboxes);
        return;
    }
    dt_api_req_done(&r);
    dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err.msg);
}

static void on_files(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    const char *last = s->prefix + strlen(s->folder);
    json_t *values = json_array();
    size_t i, total = 0;
    const json_t *file;
    if (err != NULL) { /* nothing there to be completed */
        give(c, values, 0);
        return;
    }
    json_array_foreach(reply->json, i, file)
    {
        char path[PATH_TEXT_MAX];
        const char *name = dt_json_text(file, "name", "");
        if (!begins(name, last))
            continue;
        total++;
        int n = snprintf(path, sizeof(path), "%s%s%s", s->folder, name,
                         dt_json_bool(file, "isDir", false) ? "/" : "");
        if (n > 0 && (size_t)n < sizeof(path) && json_array_size(values) < VALUES_MAX)
            (void)json_array_append_new(values, json_string(path));
    }
    give(c, values, total);
}

static void complete_path(struct dt_call *c, struct state *s)
{
    struct dt_err err;
    struct dt_api_req r;
    const json_t *context = json_object_get(json_object_get(c->msg.params, "context"), "arguments");
    const char *id = dt_json_text(context, "id", "");
    const char *slash = strrchr(s->prefix, '/');
    s->folder = strndup(s->prefix, slash != NULL ? (size_t)(slash - s->prefix) + 1 : 0);
    if (s->folder == NULL)
        abort();
    if (id[0] == '\0') {
        give(c, json_array(), 0);
        return;
    }
    bool home = begins(s->folder, "~/");
    dt_api_req_init(&r, "GET");
    int made = home ? dt_api_target(&r, &err, "/toolbox/%s/toolbox/files?path=%s", id,
                                    s->folder[2] != '\0' ? s->folder + 2 : "./")
                    : dt_api_target(&r, &err, "/toolbox/%s/toolbox/files?path=/%s", id, s->folder);
    if (made == 0) {
        dt_call_fetch(c, &r, on_files);
        return;
    }
    dt_api_req_done(&r);
    give(c, json_array(), 0);
}

void dt_completion(struct dt_call *c)
{
    const json_t *ref = json_object_get(c->msg.params, "ref");
    const json_t *argument = json_object_get(c->msg.params, "argument");
    const char *name = dt_json_text(argument, "name", "");
    const char *value = dt_json_text(argument, "value", NULL);
    bool ours = strcmp(dt_json_text(ref, "type", ""), "ref/resource") == 0 &&
                strcmp(dt_json_text(ref, "uri", ""), DT_URI_TEMPLATE) == 0;
    if (!ours) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS,
                        "params.ref must be {\"type\":\"ref/resource\",\"uri\":\"" DT_URI_TEMPLATE
                        "\"}: there is nothing else to complete");
        return;
    }
    if (value == NULL || (strcmp(name, "id") != 0 && strcmp(name, "path") != 0)) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS,
                        "params.argument must have the name id or path, and a value");
        return;
    }
    struct state *s = dt_call_alloc(c, sizeof(*s), done_state);
    s->prefix = value;
    if (strcmp(name, "id") == 0)
        complete_id(c);
    else
        complete_path(c, s);
}

#include "mcp/tool.h"

#include <stdarg.h>
#include <stdio.h>

#include "mcp/uri.h"

enum {
    RESULT_MAX = 64 * 1024 * 1024,
    RUN_GRACE_MS = 30000, /* for the answer of what has run its time */
    DAY_MS = 24 * 60 * 60 * 1000,
};

static const struct dt_tool *const tools[DT_MCP_TOOL_COUNT] = {DT_MCP_HANDLERS};

void dt_tools_list(struct dt_call *c)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, RESULT_MAX);
    int ret = c->era >= DT_ERA_MODERN
                  ? dt_buf_addz(&out, "\"ttlMs\":3600000,\"cacheScope\":\"public\",", &err)
                  : 0;
    if (ret == 0)
        ret = dt_buf_addz(&out, "\"tools\":[", &err);
    for (size_t i = 0; i < DT_MCP_TOOL_COUNT && ret == 0; i++) {
        if (i > 0)
            ret = dt_buf_addz(&out, ",", &err);
        if (ret == 0)
            ret = dt_buf_addz(&out, dt_mcp_tool_rows[i].listing, &err);
    }
    if (ret == 0)
        ret = dt_buf_addz(&out, "]", &err);
    if (ret < 0)
        dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err.msg);
    else
        dt_call_reply(c, dt_buf_str(&out));
}

static bool has_name(const struct dt_mcp_tool_row *row, const char *name)
{
    if (strcmp(row->name, name) == 0)
        return true;
    for (const char *const *a = row->aliases; a != NULL && *a != NULL; a++) {
        if (strcmp(*a, name) == 0)
            return true;
    }
    return false;
}

static const struct dt_tool *find_tool(const char *name)
{
    for (size_t i = 0; i < DT_MCP_TOOL_COUNT; i++) {
        if (has_name(&dt_mcp_tool_rows[i], name))
            return tools[i];
    }
    return NULL;
}

void dt_tools_call(struct dt_call *c)
{
    struct dt_err err;
    const char *name = dt_json_text(c->msg.params, "name", NULL);
    json_t *args = json_object_get(c->msg.params, "arguments");
    const struct dt_tool *tool = name != NULL ? find_tool(name) : NULL;
    if (tool == NULL && name != NULL) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "unknown tool: %.128s", name);
    } else if (tool == NULL) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "params.name must be the name of a tool");
    } else if (args != NULL && !json_is_object(args) && !json_is_null(args)) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "params.arguments must be an object");
    } else if (c->era >= DT_ERA_MODERN && json_object_get(c->msg.params, "requestState") != NULL) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "params.requestState is not one of ours");
    } else {
        c->tool = tool;
        c->doing = tool->doing;
        void *state = dt_call_alloc(c, tool->state_size, NULL);
        if (tool->parse(args, state, &err) < 0) {
            dt_tool_fail(c, &err, "Correct the arguments and call the tool again.");
            return;
        }
        c->state_done = tool->done;
        tool->run(c);
    }
}

void dt_tool_members(struct dt_call *c, struct dt_str members)
{
    if (members.n + 4096 > DT_STDIO_LINE_OUT_MAX)
        dt_tool_failf(c,
                      "The result would take %zu bytes, above the %d that clients accept. Read the "
                      "file in parts: resources/read of sandbox://ID/PATH?offset=0&length=65536.",
                      members.n, DT_STDIO_LINE_OUT_MAX);
    else
        dt_call_reply(c, members);
}

static void finish(struct dt_call *c, const struct dt_buf *out, int ret, const struct dt_err *err)
{
    if (ret < 0)
        dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err->msg);
    else
        dt_tool_members(c, dt_buf_str(out));
}

static int add_result(struct dt_buf *out, struct dt_str json, struct dt_str blocks,
                      struct dt_err *err)
{
    if (dt_buf_reserve(out, 2 * json.n + json.n / 4 + blocks.n + 256, err) < 0 ||
        dt_buf_addz(out, "\"content\":[{\"type\":\"text\",\"text\":", err) < 0 ||
        dt_rpc_add_text(out, json, err) < 0 || dt_buf_addz(out, "}", err) < 0 ||
        dt_buf_adds(out, blocks, err) < 0 || dt_buf_addz(out, "]", err) < 0)
        return -1;
    /* In every revision: tools/list shows output schemas to all, and clients that read them insist.
     */
    if (dt_buf_addz(out, ",\"structuredContent\":", err) < 0)
        return -1;
    return dt_buf_adds(out, json, err);
}

void dt_tool_result_with(struct dt_call *c, json_t *structured, struct dt_str blocks)
{
    struct dt_err err = {0};
    DT_AUTO_JSON json_t *owned = structured;
    DT_AUTO_BUF struct dt_buf json, out;
    dt_buf_init(&json, RESULT_MAX);
    dt_buf_init(&out, RESULT_MAX);
    int ret = owned != NULL ? dt_json_write(owned, &json, &err)
                            : dt_err_set(&err, DT_E_NOMEM, "no memory for the result");
    if (ret == 0)
        ret = add_result(&out, dt_buf_str(&json), blocks, &err);
    finish(c, &out, ret, &err);
}

void dt_tool_result(struct dt_call *c, json_t *structured)
{
    dt_tool_result_with(c, structured, dt_str(NULL, 0));
}

void dt_tool_result_of(struct dt_call *c, const struct dt_api_reply *reply,
                       json_t *(*make)(const json_t *reply))
{
    struct dt_err err = {0};
    struct dt_memo *memo = reply->memo;
    if (memo->key != c->tool) {
        DT_AUTO_JSON json_t *owned = make(reply->json);
        DT_AUTO_BUF struct dt_buf json;
        dt_buf_init(&json, RESULT_MAX);
        dt_buf_clear(&memo->text);
        memo->key = NULL;
        int ret = owned != NULL ? dt_json_write(owned, &json, &err)
                                : dt_err_set(&err, DT_E_NOMEM, "no memory for the result");
        if (ret < 0 || add_result(&memo->text, dt_buf_str(&json), dt_str(NULL, 0), &err) < 0) {
            dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err.msg);
            return;
        }
        memo->key = c->tool;
    }
    dt_tool_members(c, dt_buf_str(&memo->text));
}

void dt_tool_blocks(struct dt_call *c, struct dt_str blocks)
{
    struct dt_err err = {0};
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, RESULT_MAX);
    int ret = dt_buf_addz(&out, "\"content\":[", &err);
    if (ret == 0)
        ret = dt_buf_adds(&out, blocks, &err);
    if (ret == 0)
        ret = dt_buf_addz(&out, "]", &err);
    finish(c, &out, ret, &err);
}

static void fail_text(struct dt_call *c, struct dt_str text)
{
    struct dt_err err = {0};
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, RESULT_MAX);
    int ret = dt_buf_addz(&out, "\"content\":[{\"type\":\"text\",\"text\":", &err);
    if (ret == 0)
        ret = dt_rpc_add_text(&out, text, &err);
    if (ret == 0)
        ret = dt_buf_addz(&out, "}],\"isError\":true", &err);
    if (ret < 0)
        dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err.msg);
    else
        dt_call_reply(c, dt_buf_str(&out));
}

void dt_tool_failf(struct dt_call *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    DT_AUTO_FREE char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        text = NULL;
        dt_call_rejectf(c, DT_RPC_INTERNAL, "no memory");
        return;
    }
    fail_text(c, dt_str(text, (size_t)n));
}

static bool says(const struct dt_err *err, const char *words)
{
    return strcasestr(err->msg, words) != NULL;
}

static const char *hint_by_text(const struct dt_err *err)
{
    if (says(err, "not running") || says(err, "not started") || says(err, "is stopped"))
        return "Call start_sandbox with this id, then repeat the call.";
    if (says(err, "must be a file"))
        return "Call list_files for what is in a directory.";
    if (says(err, "state change in progress"))
        return "The sandbox is changing its state. Call get_sandbox until it has settled, then "
               "repeat.";
    if (says(err, "total ") && says(err, "limit exceeded"))
        return "Call list_sandboxes and destroy_sandbox or stop_sandbox for what is no longer "
               "needed, then repeat the call.";
    if (says(err, "sandbox") && err->code == DT_E_NOT_FOUND)
        return "Call list_sandboxes to see the ids that exist, or create_sandbox for a new one.";
    return NULL;
}

const char *dt_tool_hint(const struct dt_err *err)
{
    const char *hint = hint_by_text(err);
    if (hint != NULL)
        return hint;
    int http = dt_err_http(err->code);
    if (err->code == DT_E_FILE_NOT_FOUND)
        return "Call list_files to see what is there.";
    if (http == 404)
        return "Call list_sandboxes to see what exists.";
    if (http == 401)
        return "Check DAYTONA_API_KEY in the configuration of this MCP server.";
    if (err->code == DT_E_FILE_ACCESS_DENIED)
        return "Use a path that the sandbox's user may access, or execute_command with sudo.";
    if (http == 403)
        return "Use credentials that have this permission.";
    if (http == 408)
        return "Try again, or give it more time.";
    if (http == 409)
        return "Call get_sandbox or list_files to see the present state, then decide.";
    if (http == 429)
        return "Call list_sandboxes and destroy_sandbox for what is no longer needed, or try "
               "later.";
    if (err->code == DT_E_UNSUPPORTED)
        return "Use another tool, or call create_sandbox with a snapshot that has what is missing.";
    if (http == 400 || http == 413)
        return "Correct the arguments and call the tool again.";
    if (err->code == DT_E_UNREACHABLE || http == 503)
        return "Make sure that the Daytona server runs, then try again.";
    return "Call get_sandbox to see the sandbox's state, then try again.";
}

void dt_tool_fail(struct dt_call *c, const struct dt_err *err, const char *hint)
{
    size_t n = strlen(err->msg);
    const char *stop = n > 0 && strchr(".!?", err->msg[n - 1]) != NULL ? "" : ".";
    dt_tool_failf(c, "%s%s %s", err->msg, stop, hint != NULL ? hint : dt_tool_hint(err));
}

json_t *dt_tool_pick(const json_t *from, const char *const *names)
{
    json_t *to = json_object();
    for (; *names != NULL; names++) {
        json_t *value = json_object_get(from, *names);
        if (value != NULL && !json_is_null(value))
            (void)json_object_set(to, *names, value);
    }
    return to;
}

const char *dt_tool_path(const char *path)
{
    if (path[0] != '~' || (path[1] != '/' && path[1] != '\0'))
        return path;
    path += 1 + strspn(path + 1, "/");
    return path[0] != '\0' ? path : ".";
}

int dt_tool_uri(struct dt_buf *out, const char *id, const char *path, struct dt_err *err)
{
    return dt_uri_print(out, id, path, err);
}

int dt_tool_add_link(const struct dt_call *c, struct dt_buf *out, const char *uri, const char *name,
                     int64_t size, struct dt_err *err)
{
    if (!dt_era_has_links(c->era))
        return 0;
    if (dt_buf_addz(out, ",{\"type\":\"resource_link\",\"uri\":", err) < 0 ||
        dt_rpc_add_text(out, dt_str_z(uri), err) < 0 || dt_buf_addz(out, ",\"name\":", err) < 0 ||
        dt_rpc_add_text(out, dt_str_z(name), err) < 0)
        return -1;
    if (size >= 0 && dt_buf_addf(out, err, ",\"size\":%lld", (long long)size) < 0)
        return -1;
    return dt_buf_addz(out, "}", err);
}

void dt_tool_fetch_sandbox(struct dt_call *c, const char *id,
                           void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                        const struct dt_err *err))
{
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    r.keep = true;
    if (dt_api_target(&r, &err, "/sandbox/%s", id) < 0) {
        dt_api_req_done(&r);
        then(c, NULL, &err);
        return;
    }
    dt_call_fetch(c, &r, then);
}

void dt_tool_post_run(struct dt_call *c, struct dt_api_req *r, const char *id,
                      const char *operation, json_t *body, double timeout,
                      void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                   const struct dt_err *err))
{
    struct dt_err err;
    DT_AUTO_JSON json_t *own = body;
    if (own != NULL && timeout > 0)
        (void)json_object_set_new(own, "timeout", json_real(timeout));
    bool bounded = timeout > 0 && timeout < 1e9;
    r->total_ms = bounded ? (uint64_t)(timeout * 1000) + RUN_GRACE_MS : DAY_MS;
    if (dt_api_target(r, &err, "/toolbox/%s/toolbox/process/%s", id, operation) == 0 &&
        dt_api_json_body(r, dt_take(own), &err) == 0) {
        dt_call_fetch(c, r, then);
        return;
    }
    dt_api_req_done(r);
    dt_tool_fail(c, &err, NULL);
}

/* Sandboxes and their files as resources. */
#include <stdio.h>

#include "base/base64.h"
#include "mcp/content.h"
#include "mcp/server.h"
#include "mcp/uri.h"

enum {
    OUT_MAX = 64 * 1024 * 1024,
    LISTING_MAX = 2 * 1024 * 1024,
    LIST_PAGE = 100,
    RANGE_NOT_SATISFIABLE = 416
};

static int add_cache(const struct dt_call *c, struct dt_buf *out, const char *fields,
                     struct dt_err *err)
{
    return c->era >= DT_ERA_MODERN ? dt_buf_addz(out, fields, err) : 0;
}

static void finish(struct dt_call *c, const struct dt_buf *out, int ret, const struct dt_err *err)
{
    if (ret == 0)
        dt_call_reply(c, dt_buf_str(out));
    else
        dt_call_rejectf(c, DT_RPC_INTERNAL, "%s", err->msg);
}

void dt_resources_templates(struct dt_call *c)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, OUT_MAX);
    const json_t *cursor = json_object_get(c->msg.params, "cursor");
    if (cursor != NULL && !json_is_null(cursor)) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS,
                        "params.cursor is not one of ours: the list has one page");
        return;
    }
    int ret = add_cache(c, &out, "\"ttlMs\":3600000,\"cacheScope\":\"public\",", &err);
    if (ret == 0)
        ret = dt_buf_addz(
            &out,
            "\"resourceTemplates\":[{\"uriTemplate\":\"" DT_URI_TEMPLATE
            "\",\"name\":\"sandbox_file\",\"title\":\"File in a sandbox\","
            "\"description\":\"A file by its absolute path without the first slash, or "
            "~/ and a path from the home folder; a directory reads as its listing. Add "
            "?offset=N&length=M to read a part: 65536 bytes are given when no length is "
            "named, 1048576 at most.\"}]",
            &err);
    finish(c, &out, ret, &err);
}

static int add_sandbox(struct dt_buf *out, const json_t *sandbox, bool first, struct dt_err *err)
{
    char text[256];
    const char *id = dt_json_text(sandbox, "id", "");
    DT_AUTO_BUF struct dt_buf uri;
    dt_buf_init(&uri, OUT_MAX);
    (void)snprintf(text, sizeof(text), "Sandbox %.64s, %.64s", id,
                   dt_json_text(sandbox, "state", ""));
    if (dt_uri_print(&uri, id, "/", err) < 0 ||
        dt_buf_addz(out, first ? "{\"uri\":" : ",{\"uri\":", err) < 0 ||
        dt_rpc_add_text(out, dt_buf_str(&uri), err) < 0 ||
        dt_buf_addz(out, ",\"name\":", err) < 0 ||
        dt_rpc_add_text(out, dt_str_z(dt_json_text(sandbox, "name", id)), err) < 0 ||
        dt_buf_addz(out, ",\"description\":", err) < 0 ||
        dt_rpc_add_text(out, dt_str_z(text), err) < 0)
        return -1;
    return dt_buf_addz(out, ",\"mimeType\":\"application/json\"}", err);
}

static void on_list(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct dt_err why;
    if (err != NULL) {
        bool cursor = reply != NULL && reply->status == 400;
        dt_call_rejectf(c, cursor ? DT_RPC_INVALID_PARAMS : DT_RPC_INTERNAL, "%s", err->msg);
        return;
    }
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, OUT_MAX);
    int ret = add_cache(c, &out, "\"ttlMs\":0,\"cacheScope\":\"private\",", &why);
    if (ret == 0)
        ret = dt_buf_addz(&out, "\"resources\":[", &why);
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(reply->json, "items"), i, item)
    {
        if (ret == 0)
            ret = add_sandbox(&out, item, i == 0, &why);
    }
    if (ret == 0)
        ret = dt_buf_addz(&out, "]", &why);
    const char *next = dt_json_text(reply->json, "nextCursor", NULL);
    if (ret == 0 && next != NULL)
        ret = dt_buf_addz(&out, ",\"nextCursor\":", &why);
    if (ret == 0 && next != NULL)
        ret = dt_rpc_add_text(&out, dt_str_z(next), &why);
    finish(c, &out, ret, &why);
}

void dt_resources_list(struct dt_call *c)
{
    struct dt_err err;
    struct dt_api_req r;
    const json_t *cursor = json_object_get(c->msg.params, "cursor");
    if (cursor != NULL && !json_is_string(cursor)) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "params.cursor must be a string");
        return;
    }
    dt_api_req_init(&r, "GET");
    int ret = dt_api_target(&r, &err, "/sandbox?limit=%d", (long long)LIST_PAGE);
    if (ret == 0 && cursor != NULL)
        ret = dt_api_target(&r, &err, "&cursor=%s", json_string_value(cursor));
    if (ret == 0) {
        dt_call_fetch(c, &r, on_list);
        return;
    }
    dt_api_req_done(&r);
    dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "%s", err.msg);
}

struct reading {
    struct dt_uri uri;
    const char *text; /* the URI as asked, borrowed from the request */
};

static void done_reading(void *state)
{
    struct reading *r = state;
    dt_uri_done(&r->uri);
}

static void not_found(struct dt_call *c, const char *uri, const char *why)
{
    struct dt_rpc_err err;
    struct dt_err ignored;
    DT_AUTO_BUF struct dt_buf data;
    dt_buf_init(&data, sizeof(err.data) - 1);
    (void)dt_rpc_err_set(
        &err, c->era >= DT_ERA_MODERN ? DT_RPC_INVALID_PARAMS : DT_RPC_RESOURCE_NOT_FOUND,
        "resource not found: %s", why);
    if (dt_buf_addz(&data, "{\"uri\":", &ignored) == 0 &&
        dt_rpc_add_text(&data, dt_str_z(uri), &ignored) == 0 &&
        dt_buf_addz(&data, "}", &ignored) == 0)
        (void)snprintf(err.data, sizeof(err.data), "%s", data.p);
    dt_call_reject(c, &err);
}

static void read_failed(struct dt_call *c, const struct dt_err *err)
{
    const struct reading *r = c->state;
    int http = dt_err_http(err->code);
    if (http == 404)
        not_found(c, r->text, err->msg);
    else
        dt_call_rejectf(c, http == 400 || http == 403 ? DT_RPC_INVALID_PARAMS : DT_RPC_INTERNAL,
                        "%s", err->msg);
}

/* One page: its bytes, and where the next one begins. */
static int add_page(struct dt_buf *out, const struct reading *r, struct dt_str bytes, uint64_t size,
                    struct dt_err *err)
{
    struct dt_str text;
    uint64_t first = r->uri.offset;
    bool is_text = dt_content_text(bytes, first == 0, first + bytes.n >= size, &text);
    const char *image = first == 0 && bytes.n == size ? dt_content_image(bytes) : NULL;
    uint64_t next = first + (is_text ? (uint64_t)(text.p - bytes.p) + text.n : bytes.n);
    if (dt_buf_addz(out, "\"contents\":[{\"uri\":", err) < 0 ||
        dt_rpc_add_text(out, dt_str_z(r->text), err) < 0 ||
        dt_buf_addf(out, err, ",\"mimeType\":\"%s\",\"%s\":",
                    is_text         ? "text/plain"
                    : image != NULL ? image
                                    : "application/octet-stream",
                    is_text ? "text" : "blob") < 0)
        return -1;
    if (is_text) {
        if (dt_rpc_add_text(out, text, err) < 0)
            return -1;
    } else if (dt_buf_addz(out, "\"", err) < 0 ||
               dt_base64_encode(out, bytes.p, bytes.n, err) < 0 ||
               dt_buf_addz(out, "\"", err) < 0) {
        return -1;
    }
    if (dt_buf_addf(out, err, ",\"_meta\":{\"daytona.io/size\":%llu,\"daytona.io/offset\":%llu",
                    (unsigned long long)size, (unsigned long long)first) < 0)
        return -1;
    if (next < size &&
        dt_buf_addf(out, err, ",\"daytona.io/nextOffset\":%llu", (unsigned long long)next) < 0)
        return -1;
    return dt_buf_addz(out, "}}]", err);
}

static void on_listing(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    const struct reading *r = c->state;
    struct dt_err why;
    if (err != NULL && err->code == DT_E_TOO_LARGE) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS,
                        "the directory has too many entries to read; call execute_command with "
                        "`ls | head` or `find`");
        return;
    }
    if (err != NULL) {
        read_failed(c, err);
        return;
    }
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, OUT_MAX);
    int ret = add_cache(c, &out, "\"ttlMs\":0,\"cacheScope\":\"private\",", &why);
    if (ret == 0)
        ret = dt_buf_addz(&out, "\"contents\":[{\"uri\":", &why);
    if (ret == 0)
        ret = dt_rpc_add_text(&out, dt_str_z(r->text), &why);
    if (ret == 0)
        ret = dt_buf_addz(&out, ",\"mimeType\":\"application/json\",\"text\":", &why);
    if (ret == 0)
        ret = dt_rpc_add_text(&out, reply->body, &why);
    if (ret == 0)
        ret = dt_buf_addz(&out, "}]", &why);
    finish(c, &out, ret, &why);
}

static void fetch_listing(struct dt_call *c)
{
    const struct reading *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    r.reply_max = LISTING_MAX;
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files?path=%s", s->uri.id, s->uri.path) == 0) {
        dt_call_fetch(c, &r, on_listing);
        return;
    }
    dt_api_req_done(&r);
    read_failed(c, &err);
}

static void on_bytes(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct reading *r = c->state;
    struct dt_err why;
    why.code = DT_E_SYSTEM;
    bool past = reply != NULL && reply->status == RANGE_NOT_SATISFIABLE;
    if (err != NULL && reply != NULL && reply->status == 400 &&
        strstr(err->msg, "points to a directory")) {
        fetch_listing(c);
        return;
    }
    if (past && !(r->uri.offset == 0 && reply->total == 0)) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "offset lies behind the end of the file");
        return;
    }
    if (reply == NULL || (err != NULL && !past)) {
        read_failed(c, err != NULL ? err : &why);
        return;
    }
    struct dt_str bytes = past ? dt_str("", 0) : reply->body;
    uint64_t size = reply->total != UINT64_MAX ? reply->total : r->uri.offset + bytes.n;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, OUT_MAX);
    int ret = add_cache(c, &out, "\"ttlMs\":0,\"cacheScope\":\"private\",", &why);
    if (ret == 0)
        ret = add_page(&out, r, bytes, size, &why);
    finish(c, &out, ret, &why);
}

void dt_resources_read(struct dt_call *c)
{
    struct dt_err err;
    struct dt_api_req r;
    const char *uri = dt_json_text(c->msg.params, "uri", NULL);
    if (uri == NULL) {
        dt_call_rejectf(c, DT_RPC_INVALID_PARAMS, "params.uri must be a string");
        return;
    }
    struct reading *s = dt_call_alloc(c, sizeof(*s), done_reading);
    s->text = uri;
    if (dt_uri_parse(uri, &s->uri, &err) < 0) {
        not_found(c, uri, err.msg);
        return;
    }
    dt_api_req_init(&r, "GET");
    r.raw = true;
    r.range_first = s->uri.offset;
    r.range_length = s->uri.length;
    r.reply_max = DT_URI_PAGE_MAX;
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/download?path=%s", s->uri.id,
                      s->uri.path) == 0) {
        dt_call_fetch(c, &r, on_bytes);
        return;
    }
    dt_api_req_done(&r);
    read_failed(c, &err);
}

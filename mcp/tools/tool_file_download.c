#include "base/base64.h"
#include "mcp/content.h"
#include "mcp/tool.h"
#include "mcp/uri.h"

enum {
    FETCH_MAX = 6 * 1024 * 1024, /* of which base64 stays below the limit of a line */
    TEXT_PART = 256 * 1024,
    BLOB_MAX = 1024 * 1024,
    BLOCKS_MAX = 64 * 1024 * 1024,
    TOTAL_MS = 30 * 60 * 1000,
    RANGE_NOT_SATISFIABLE = 416,
};

struct state {
    struct dt_mcp_file_download_in in;
};

DT_TOOL_INPUT(file_download)

static int add_base64(struct dt_buf *out, struct dt_str bytes, struct dt_err *err)
{
    if (dt_buf_addz(out, "\"", err) < 0 || dt_base64_encode(out, bytes.p, bytes.n, err) < 0)
        return -1;
    return dt_buf_addz(out, "\"", err);
}

static void end_blocks(struct dt_call *c, const struct dt_buf *out, int ret,
                       const struct dt_err *err)
{
    if (ret == 0)
        dt_tool_blocks(c, dt_buf_str(out));
    else
        dt_tool_fail(c, err, NULL);
}

static void give_image(struct dt_call *c, struct dt_str bytes, const char *type)
{
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, BLOCKS_MAX);
    int ret = dt_buf_addz(&out, "{\"type\":\"image\",\"data\":", &err);
    if (ret == 0)
        ret = add_base64(&out, bytes, &err);
    if (ret == 0)
        ret = dt_buf_addf(&out, &err, ",\"mimeType\":\"%s\"}", type);
    end_blocks(c, &out, ret, &err);
}

/* The text as it is; what is missing and how to get it follows in a block of its own. */
static void give_text(struct dt_call *c, struct dt_str text, uint64_t first, uint64_t size)
{
    const struct state *s = c->state;
    struct dt_err err;
    uint64_t next = first + text.n;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, BLOCKS_MAX);
    int ret = dt_buf_addz(&out, "\"content\":[{\"type\":\"text\",\"text\":", &err);
    if (ret == 0)
        ret = dt_rpc_add_text(&out, text, &err);
    if (ret == 0)
        ret = dt_buf_addz(&out, "}", &err);
    if (ret == 0 && next < size)
        ret = dt_buf_addf(&out, &err,
                          ",{\"type\":\"text\",\"text\":\"[bytes %llu to %llu of %llu; call "
                          "file_download with offset=%llu for the next part]\"}",
                          (unsigned long long)first, (unsigned long long)next,
                          (unsigned long long)size, (unsigned long long)next);
    if (ret == 0)
        ret = dt_buf_addz(&out, "]", &err);
    if (ret == 0) {
        DT_AUTO_JSON json_t *all =
            json_pack("{s:s,s:I,s:s%}", "path", s->in.file_path, "size", (json_int_t)size,
                      "content", text.n > 0 ? text.p : "", text.n);
        if (all != NULL && next < size)
            (void)json_object_set_new(all, "nextOffset", json_integer((json_int_t)next));
        ret = dt_buf_addz(&out, ",\"structuredContent\":", &err);
        if (ret == 0)
            ret =
                all != NULL ? dt_json_write(all, &out, &err) : dt_err_set(&err, DT_E_NOMEM, "text");
    }
    if (ret == 0)
        dt_tool_members(c, dt_buf_str(&out));
    else
        dt_tool_fail(c, &err, NULL);
}

static int add_resource(struct dt_buf *out, const char *uri, struct dt_str bytes,
                        struct dt_err *err)
{
    if (dt_buf_addz(out, "{\"type\":\"resource\",\"resource\":{\"uri\":", err) < 0 ||
        dt_rpc_add_text(out, dt_str_z(uri), err) < 0 ||
        dt_buf_addz(out, ",\"mimeType\":\"application/octet-stream\",\"blob\":", err) < 0 ||
        add_base64(out, bytes, err) < 0)
        return -1;
    return dt_buf_addz(out, "}}", err);
}

/* Small: all of it. Large: a link, or where the revision has none its first page. */
static void give_binary(struct dt_call *c, struct dt_str bytes, uint64_t size)
{
    const struct state *s = c->state;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf uri, out;
    dt_buf_init(&uri, BLOCKS_MAX);
    dt_buf_init(&out, BLOCKS_MAX);
    int ret = dt_tool_uri(&uri, s->in.id, dt_tool_path(s->in.file_path), &err);
    bool whole = size <= BLOB_MAX && bytes.n == size;
    if (ret == 0 && (whole || !dt_era_has_links(c->era))) {
        size_t n = whole ? bytes.n : bytes.n < DT_URI_PAGE ? bytes.n : DT_URI_PAGE;
        ret = add_resource(&out, uri.p, dt_str(bytes.p, n), &err);
        end_blocks(c, &out, ret, &err);
        return;
    }
    if (ret == 0)
        ret = dt_tool_add_link(c, &out, uri.p, s->in.file_path, (int64_t)size, &err);
    if (ret < 0) {
        dt_tool_fail(c, &err, NULL);
        return;
    }
    json_t *all =
        json_pack("{s:s,s:I,s:s,s:s}", "path", s->in.file_path, "size", (json_int_t)size, "uri",
                  uri.p, "note",
                  "Binary file, too large to show. Read it in parts: resources/read of uri "
                  "with ?offset=N&length=M, or look into it with execute_command.");
    dt_tool_result_with(c, all, dt_buf_str(&out));
}

static void on_bytes(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    uint64_t first = (uint64_t)s->in.offset;
    bool empty = reply != NULL && reply->status == RANGE_NOT_SATISFIABLE && reply->total == 0;
    if (err != NULL && reply != NULL && reply->status == RANGE_NOT_SATISFIABLE && !empty) {
        dt_tool_failf(c,
                      "The offset %llu lies behind the end of the file. Call get_file_info for its "
                      "size.",
                      (unsigned long long)first);
        return;
    }
    if (reply == NULL || (err != NULL && !empty)) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    struct dt_str bytes = empty ? dt_str("", 0) : reply->body;
    uint64_t size = reply->total != UINT64_MAX ? reply->total : first + bytes.n;
    const char *image = first == 0 && bytes.n == size ? dt_content_image(bytes) : NULL;
    struct dt_str text, part = dt_str(bytes.p, bytes.n < TEXT_PART ? bytes.n : TEXT_PART);
    if (image != NULL)
        give_image(c, bytes, image);
    else if (dt_content_text(part, first == 0, first + part.n >= size, &text))
        give_text(c, text, first + (uint64_t)(text.p - bytes.p), size);
    else
        give_binary(c, bytes, size);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    r.raw = true;
    r.range_first = (uint64_t)s->in.offset;
    r.range_length = FETCH_MAX;
    r.reply_max = FETCH_MAX;
    r.total_ms = TOTAL_MS;
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/download?path=%s", s->in.id,
                      dt_tool_path(s->in.file_path)) == 0) {
        dt_call_fetch(c, &r, on_bytes);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_file_download = {.state_size = sizeof(struct state),
                                              .parse = parse_input,
                                              .done = done_input,
                                              .run = run,
                                              .doing = "downloading"};

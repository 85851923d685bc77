#include "base/base64.h"
#include "mcp/tool.h"

enum { URI_MAX = 64 * 1024, TOTAL_MS = 30 * 60 * 1000 };

struct state {
    struct dt_mcp_file_upload_in in;
    size_t size;
};

DT_TOOL_INPUT(file_upload)

static void on_uploaded(struct dt_call *c, const struct dt_api_reply *reply,
                        const struct dt_err *err)
{
    const struct state *s = c->state;
    struct dt_err why;
    if (err != NULL && dt_err_http(err->code) == 409) {
        dt_tool_failf(c,
                      "The file '%s' exists already and overwrite is false. Call file_upload with "
                      "overwrite=true to replace it, or choose another file_path.",
                      s->in.file_path);
        return;
    }
    DT_AUTO_BUF struct dt_buf uri;
    dt_buf_init(&uri, URI_MAX);
    if (err == NULL && dt_tool_uri(&uri, s->in.id, dt_tool_path(s->in.file_path), &why) < 0)
        err = &why;
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    (void)reply;
    dt_tool_result(c, json_pack("{s:s,s:I,s:s}", "path", s->in.file_path, "size",
                                (json_int_t)s->size, "uri", uri.p));
}

static int add_content(struct state *s, struct dt_api_req *r, struct dt_err *err)
{
    static const char *const plain[] = {"", "text", "utf-8", "utf8", "UTF-8", NULL};
    if (strcmp(s->in.encoding, "base64") == 0) {
        if (dt_base64_decode(&r->body, s->in.content, err) < 0)
            return dt_err_wrap(err, "content is not valid base64");
        s->size = r->body.n;
        return 0;
    }
    for (const char *const *p = plain; *p != NULL; p++) {
        if (strcmp(s->in.encoding, *p) == 0) {
            s->size = s->in.content.n;
            return dt_buf_adds(&r->body, s->in.content, err);
        }
    }
    return dt_err_set(err, DT_E_INVALID, "encoding must be text or base64");
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    r.type = "application/octet-stream";
    r.total_ms = TOTAL_MS;
    if (add_content(s, &r, &err) == 0 &&
        dt_api_target(&r, &err, "/toolbox/%s/toolbox/files/upload-raw?path=%s&overwrite=%s",
                      s->in.id, dt_tool_path(s->in.file_path),
                      s->in.overwrite ? "true" : "false") == 0) {
        dt_call_fetch(c, &r, on_uploaded);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_file_upload = {.state_size = sizeof(struct state),
                                            .parse = parse_input,
                                            .done = done_input,
                                            .run = run,
                                            .doing = "uploading"};

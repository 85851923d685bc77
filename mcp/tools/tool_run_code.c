#include "base/base64.h"
#include "base/utf8.h"
#include "mcp/content.h"
#include "mcp/output.h"
#include "mcp/tool.h"

enum {
    REPLY_MAX = 80 * 1024 * 1024,
    TEXT_MAX = 64 * 1024,
    BLOCKS_MAX = 64 * 1024 * 1024,
    IMAGES_MAX = 7 * 1024 * 1024, /* base64 of all together, below the limit of a line */
    DATA_MAX = 8000,              /* bytes of a chart's data that a model is shown */
    PNG_LEAST = 32,
};

struct state {
    struct dt_mcp_run_code_in in;
};

DT_TOOL_INPUT(run_code)

/* --- the output --- */

/* The two ends of it, when it is long. */
static int print_output(struct dt_buf *out, const json_t *reply, struct dt_err *err)
{
    const json_t *j = json_object_get(reply, "result");
    struct dt_str all =
        dt_str(json_is_string(j) ? json_string_value(j) : "", json_string_length(j));
    struct dt_output o = {.head = all};
    if (all.n > DT_OUTPUT_BUDGET) {
        size_t from = all.n - DT_OUTPUT_BUDGET / 2;
        while (from < all.n && ((unsigned char)all.p[from] & 0xC0) == 0x80)
            from++;
        o.head.n = dt_utf8_cut(all, DT_OUTPUT_BUDGET / 2);
        o.tail = dt_str(all.p + from, all.n - from);
        o.omitted = from - o.head.n;
    }
    return dt_output_print(out, &o, err);
}

static json_t *show_outcome(const json_t *reply, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, TEXT_MAX);
    if (print_output(&text, reply, err) < 0)
        return NULL;
    json_t *all =
        json_pack("{s:I,s:s%}", "exitCode", (json_int_t)dt_json_int(reply, "exitCode", -1),
                  "output", text.p != NULL ? text.p : "", text.n);
    if (all == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "output");
    return all;
}

/* --- charts --- */

static bool is_png(struct dt_str base64)
{
    DT_AUTO_BUF struct dt_buf head;
    dt_buf_init(&head, PNG_LEAST);
    if (base64.n < PNG_LEAST || dt_base64_decode(&head, dt_str(base64.p, 16), NULL) < 0)
        return false;
    const char *type = dt_content_image(dt_buf_str(&head));
    return type != NULL && strcmp(type, "image/png") == 0;
}

static int add_image(struct dt_buf *blocks, struct dt_str base64, struct dt_err *err)
{
    if (dt_buf_addz(blocks, ",{\"type\":\"image\",\"data\":", err) < 0 ||
        dt_rpc_add_text(blocks, base64, err) < 0)
        return -1;
    return dt_buf_addz(blocks, ",\"mimeType\":\"image/png\"}", err);
}

/* A chart without its picture, and without its elements when these are too many for a model. */
static json_t *show_data(json_t *chart)
{
    json_t *data = json_copy(chart);
    (void)json_object_del(data, "png");
    size_t n = json_dumpb(data, NULL, 0, JSON_COMPACT);
    if (n > DATA_MAX) {
        static const char *const kept[] = {"type",    "title",   "x_label", "y_label",
                                           "x_scale", "y_scale", NULL};
        json_t *less = dt_tool_pick(data, kept);
        (void)json_object_set_new(
            less, "note", json_sprintf("%zu bytes of data left out: print what you need", n));
        json_decref(data);
        data = less;
    }
    return data;
}

static int add_chart(json_t *all, struct dt_buf *blocks, json_t *chart, struct dt_err *err)
{
    const json_t *png = json_object_get(chart, "png");
    struct dt_str base64 = dt_str(json_string_value(png), json_string_length(png));
    json_t *data = show_data(chart);
    int ret = 0;
    if (!json_is_string(png) || !is_png(base64))
        (void)json_object_set_new(data, "image", json_string("there is none"));
    else if (blocks->n + base64.n > IMAGES_MAX)
        (void)json_object_set_new(data, "image",
                                  json_string("too large to show: save it with savefig() and a "
                                              "smaller dpi, then file_download"));
    else
        ret = add_image(blocks, base64, err);
    (void)json_array_append_new(all, data);
    return ret;
}

/* Images come without structured content: there are clients that show a model only that. */
static void give_charts(struct dt_call *c, json_t *outcome, json_t *charts)
{
    struct dt_err err = {0};
    DT_AUTO_JSON json_t *all = json_array();
    DT_AUTO_BUF struct dt_buf json, images, out;
    dt_buf_init(&json, BLOCKS_MAX);
    dt_buf_init(&images, BLOCKS_MAX);
    dt_buf_init(&out, BLOCKS_MAX);
    size_t i;
    json_t *chart;
    int ret = 0;
    json_array_foreach(charts, i, chart)
    {
        if (ret == 0)
            ret = add_chart(all, &images, chart, &err);
    }
    (void)json_object_set(outcome, "charts", all);
    if (ret < 0 || dt_json_write(outcome, &json, &err) < 0 ||
        dt_buf_addz(&out, "{\"type\":\"text\",\"text\":", &err) < 0 ||
        dt_rpc_add_text(&out, dt_buf_str(&json), &err) < 0 || dt_buf_addz(&out, "}", &err) < 0 ||
        dt_buf_adds(&out, dt_buf_str(&images), &err) < 0)
        dt_tool_fail(c, &err, NULL);
    else
        dt_tool_blocks(c, dt_buf_str(&out));
}

/* --- the call --- */

static void give_timeout(struct dt_call *c, const json_t *reply)
{
    const struct state *s = c->state;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, TEXT_MAX);
    if (print_output(&text, reply, &err) < 0)
        dt_tool_fail(c, &err, NULL);
    else
        dt_tool_failf(c,
                      "The program did not end within %g s and was killed with all it had started. "
                      "Call run_code again with a greater timeout, or file_upload it and "
                      "start_command. What it wrote until then:\n%s",
                      s->in.timeout, text.p != NULL ? text.p : "");
}

static void on_run(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct dt_err why;
    if (err != NULL && reply != NULL && reply->status == 408 &&
        json_object_get(reply->json, "result") != NULL) {
        give_timeout(c, reply->json);
        return;
    }
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    json_t *charts = json_object_get(json_object_get(reply->json, "artifacts"), "charts");
    DT_AUTO_JSON json_t *outcome = show_outcome(reply->json, &why);
    if (outcome == NULL)
        dt_tool_fail(c, &why, NULL);
    else if (json_array_size(charts) > 0)
        give_charts(c, outcome, charts);
    else
        dt_tool_result(c, dt_take(outcome));
}

static json_t *make_body(const struct dt_mcp_run_code_in *in)
{
    json_t *b = json_pack("{s:s,s:s}", "code", in->code, "language", in->language);
    if (b != NULL && in->argv != NULL)
        (void)json_object_set(b, "argv", in->argv);
    if (b != NULL && in->env != NULL)
        (void)json_object_set(b, "envs", in->env);
    return b;
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    r.reply_max = REPLY_MAX;
    dt_tool_post_run(c, &r, s->in.id, "code-run", make_body(&s->in), s->in.timeout, on_run);
}

const struct dt_tool dt_tool_run_code = {.state_size = sizeof(struct state),
                                         .parse = parse_input,
                                         .done = done_input,
                                         .run = run,
                                         .doing = "running the program"};

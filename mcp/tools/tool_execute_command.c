#include "mcp/output.h"
#include "mcp/tool.h"

enum { TEXT_MAX = 1024 * 1024 };

struct state {
    struct dt_mcp_execute_command_in in;
};

DT_TOOL_INPUT(execute_command)

static struct dt_str text_of(const json_t *reply, const char *key)
{
    const json_t *j = json_object_get(reply, key);
    return dt_str(json_is_string(j) ? json_string_value(j) : "", json_string_length(j));
}

static struct dt_output stream_of(const json_t *reply, const char *head, const char *tail,
                                  const char *omitted)
{
    int64_t n = dt_json_int(reply, omitted, 0);
    return (struct dt_output){text_of(reply, head), text_of(reply, tail), n > 0 ? (uint64_t)n : 0};
}

/* What the result says about one stream. */
struct names {
    const char *text, *bytes, *omitted, *path, *uri;
};
static const struct names out_names = {"stdout", "stdoutBytes", "stdoutOmitted", "stdoutPath",
                                       "stdoutUri"};
static const struct names err_names = {"stderr", "stderrBytes", "stderrOmitted", "stderrPath",
                                       "stderrUri"};

static int add_stream(struct dt_call *c, json_t *to, struct dt_buf *links, const json_t *reply,
                      const struct dt_output *o, const struct names *names, struct dt_err *err)
{
    const struct state *s = c->state;
    const char *path = dt_json_text(reply, names->path, NULL);
    int64_t bytes = dt_json_int(reply, names->bytes, -1);
    DT_AUTO_BUF struct dt_buf text, uri;
    dt_buf_init(&text, TEXT_MAX);
    dt_buf_init(&uri, TEXT_MAX);
    if (dt_output_print(&text, o, err) < 0)
        return -1;
    (void)json_object_set_new(to, names->text, json_stringn(text.p != NULL ? text.p : "", text.n));
    if (o->omitted == 0)
        return 0;
    (void)json_object_set_new(to, names->bytes, json_integer(bytes));
    (void)json_object_set_new(to, names->omitted, json_integer((json_int_t)o->omitted));
    if (path == NULL)
        return 0;
    if (dt_tool_uri(&uri, s->in.id, path, err) < 0)
        return -1;
    (void)json_object_set_new(to, names->uri, json_string(uri.p));
    return dt_tool_add_link(c, links, uri.p, names->text, bytes, err);
}

static void add_note(json_t *to)
{
    if (json_object_get(to, "stdoutUri") == NULL && json_object_get(to, "stderrUri") == NULL)
        return;
    (void)json_object_set_new(
        to, "note",
        json_string("Output was cut in the middle. All of it: resources/read of the Uri with "
                    "?offset=N&length=M, or file_download of the path behind the id in it."));
}

static void give_result(struct dt_call *c, const json_t *reply)
{
    struct dt_err err;
    struct dt_output out = stream_of(reply, "stdout", "stdoutTail", "stdoutOmitted");
    struct dt_output errors = stream_of(reply, "stderr", "stderrTail", "stderrOmitted");
    DT_AUTO_BUF struct dt_buf links;
    dt_buf_init(&links, TEXT_MAX);
    dt_output_fit(&out, &errors, DT_OUTPUT_BUDGET);
    DT_AUTO_JSON json_t *all = json_object();
    (void)json_object_set_new(all, "exitCode", json_integer(dt_json_int(reply, "exitCode", -1)));
    if (add_stream(c, all, &links, reply, &out, &out_names, &err) < 0 ||
        add_stream(c, all, &links, reply, &errors, &err_names, &err) < 0) {
        dt_tool_fail(c, &err, NULL);
        return;
    }
    (void)json_object_set_new(all, "durationMs", json_integer(dt_json_int(reply, "durationMs", 0)));
    add_note(all);
    dt_tool_result_with(c, dt_take(all), dt_buf_str(&links));
}

static void give_timeout(struct dt_call *c, const json_t *reply)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_output out = stream_of(reply, "stdout", "stdoutTail", "stdoutOmitted");
    struct dt_output errors = stream_of(reply, "stderr", "stderrTail", "stderrOmitted");
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, TEXT_MAX);
    dt_output_fit(&out, &errors, DT_OUTPUT_BUDGET);
    if (dt_output_print(&text, &out, &err) < 0 || dt_buf_addz(&text, "\nstderr:\n", &err) < 0 ||
        dt_output_print(&text, &errors, &err) < 0) {
        dt_tool_fail(c, &err, NULL);
        return;
    }
    dt_tool_failf(
        c,
        "The command did not end within %g s and was killed with all it had started. Call "
        "execute_command again with a greater timeout, or start_command. What it wrote until "
        "then:\nstdout:\n%s",
        s->in.timeout, text.p);
}

static void on_executed(struct dt_call *c, const struct dt_api_reply *reply,
                        const struct dt_err *err)
{
    if (err == NULL)
        give_result(c, reply->json);
    else if (reply != NULL && reply->status == 408 &&
             json_object_get(reply->json, "stdout") != NULL)
        give_timeout(c, reply->json);
    else
        dt_tool_fail(c, err, NULL);
}

static json_t *make_body(const struct dt_mcp_execute_command_in *in)
{
    json_t *b = json_pack("{s:s}", "command", in->command);
    if (b != NULL && in->cwd != NULL && in->cwd[0] != '\0')
        (void)json_object_set_new(b, "cwd", json_string(dt_tool_path(in->cwd)));
    if (b != NULL && in->env != NULL)
        (void)json_object_set(b, "envs", in->env);
    return b;
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    r.output_limit = DT_OUTPUT_BUDGET;
    dt_tool_post_run(c, &r, s->in.id, "execute", make_body(&s->in), s->in.timeout, on_executed);
}

const struct dt_tool dt_tool_execute_command = {.state_size = sizeof(struct state),
                                                .parse = parse_input,
                                                .done = done_input,
                                                .run = run,
                                                .doing = "running the command"};

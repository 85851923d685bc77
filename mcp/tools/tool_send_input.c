#include "mcp/background.h"

struct state {
    struct dt_mcp_send_input_in in;
    struct dt_background_id id;
};

DT_TOOL_INPUT(send_input)

/* The toolbox takes no empty input; what is meant is an empty line, unless its end is. */
static const char *data_of(const struct dt_mcp_send_input_in *in)
{
    return in->input == NULL || (in->input[0] == '\0' && in->eof) ? ""
           : in->input[0] == '\0'                                 ? "\n"
                                                                  : in->input;
}

static size_t length_of(const char *data)
{
    size_t n = strlen(data);
    return n == 0 || data[n - 1] == '\n' ? n : n + 1;
}

static void on_sent(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    (void)reply;
    if (err != NULL)
        dt_background_fail(c, err);
    else
        dt_tool_result(c, json_pack("{s:s,s:I}", "commandId", s->in.command_id, "sent",
                                    (json_int_t)length_of(data_of(&s->in))));
}

static void run(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    if (s->in.input == NULL && !s->in.eof) {
        (void)dt_err_set(&err, DT_E_INVALID, "give input, or eof: true to end the input");
        dt_tool_fail(c, &err, NULL);
        return;
    }
    if (dt_background_parse(s->in.command_id, &s->id, &err) == 0 &&
        dt_api_target(&r, &err, "/toolbox/%s/toolbox/process/session/%s/command/%s/input", s->in.id,
                      s->id.session, s->id.command) == 0 &&
        dt_api_json_body(&r, json_pack("{s:s, s:b}", "data", data_of(&s->in), "eof", s->in.eof),
                         &err) == 0) {
        dt_call_fetch(c, &r, on_sent);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

const struct dt_tool dt_tool_send_input = {.state_size = sizeof(struct state),
                                           .parse = parse_input,
                                           .done = done_input,
                                           .run = run,
                                           .doing = "sending the input"};

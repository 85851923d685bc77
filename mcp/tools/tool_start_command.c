#include "mcp/background.h"
#include "mcp/output.h"

#include <stdio.h>

enum { SCRIPT_MAX = 1024 * 1024, LIST_MAX = 64 * 1024 * 1024 };

/*
 * A session is made; its shell gets the folder and the variables, then the command, and then is
 * told to end. When there are too many sessions, the oldest of ours that is over makes room.
 */
struct state {
    struct dt_mcp_start_command_in in;
    struct dt_background_id id;
    bool made_room;
};

DT_TOOL_INPUT(start_command)

static void undo(struct dt_call *c, const struct dt_api_reply *reply)
{
    const struct state *s = c->state;
    (void)reply;
    dt_background_drop(c, s->in.id, s->id.session);
}

/* Nothing may be left of what could not be started. */
static void give_up(struct dt_call *c, const struct dt_err *err)
{
    undo(c, NULL);
    dt_background_fail(c, err);
}

/* Asks the session; `what` is a member of its address. Takes `body`. */
static void ask(struct dt_call *c, const char *what, json_t *body,
                void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                             const struct dt_err *err))
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    int ret = dt_api_json_body(&r, body, &err);
    if (ret == 0)
        ret = dt_api_target(&r, &err, "/toolbox/%s/toolbox/process/session", s->in.id);
    if (ret == 0 && what != NULL)
        ret = dt_api_target(&r, &err, "/%s/%s", s->id.session, what);
    if (ret == 0) {
        dt_call_fetch(c, &r, then);
        return;
    }
    dt_api_req_done(&r);
    give_up(c, &err);
}

/* --- the command --- */

static void on_read(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    dt_background_give(c, &s->id, reply, err);
}

/* A shell that has ended by then needs not be told. */
static void on_told_to_end(struct dt_call *c, const struct dt_api_reply *reply,
                           const struct dt_err *failed)
{
    const struct state *s = c->state;
    struct dt_err err;
    const struct dt_background_read read = {
        .sandbox = s->in.id, .id = &s->id, .wait = 1, .until_end = true};
    (void)reply;
    (void)failed;
    if (dt_background_fetch(c, &read, on_read, &err) < 0)
        give_up(c, &err);
}

static void on_started(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    struct state *s = c->state;
    if (err != NULL) {
        give_up(c, err);
        return;
    }
    (void)snprintf(s->id.command, sizeof(s->id.command), "%s",
                   dt_json_text(reply->json, "cmdId", ""));
    ask(c, "exec", json_pack("{s:s,s:b}", "command", "exit", "runAsync", 1), on_told_to_end);
}

static void start(struct dt_call *c)
{
    const struct state *s = c->state;
    ask(c, "exec",
        json_pack("{s:s,s:b,s:b}", "command", s->in.command, "runAsync", 1, "suppressInputEcho", 1),
        on_started);
}

/* --- its folder and variables --- */

static int add_quoted(struct dt_buf *out, const char *z, struct dt_err *err)
{
    if (dt_buf_addz(out, "'", err) < 0)
        return -1;
    for (; *z != '\0'; z++) {
        int ret = *z == '\'' ? dt_buf_addz(out, "'\\''", err) : dt_buf_add(out, z, 1, err);
        if (ret < 0)
            return -1;
    }
    return dt_buf_addz(out, "'", err);
}

static int add_folder(struct dt_buf *out, const char *cwd, struct dt_err *err)
{
    bool home = cwd[0] == '~' && (cwd[1] == '/' || cwd[1] == '\0');
    if (dt_buf_addz(out, home ? "cd -- \"$HOME\"" : "cd -- ", err) < 0 ||
        add_quoted(out, home ? cwd + 1 : cwd, err) < 0)
        return -1;
    return dt_buf_addz(out, " >/dev/null\n", err);
}

static int add_variable(struct dt_buf *out, const char *name, const char *value, struct dt_err *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9') ||
        name[strspn(name, letters)] != '\0')
        return dt_err_set(err, DT_E_INVALID,
                          "env: '%.64s' is no name of a variable (letters, digits, _)", name);
    if (dt_buf_addf(out, err, "export %s=", name) < 0 || add_quoted(out, value, err) < 0)
        return -1;
    return dt_buf_addz(out, "\n", err);
}

static int make_script(struct dt_buf *out, const struct dt_mcp_start_command_in *in,
                       struct dt_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(in->env, name, value)
    {
        if (add_variable(out, name, json_string_value(value), err) < 0)
            return -1;
    }
    return in->cwd != NULL && in->cwd[0] != '\0' ? add_folder(out, in->cwd, err) : 0;
}

static void on_prepared(struct dt_call *c, const struct dt_api_reply *reply,
                        const struct dt_err *err)
{
    if (err != NULL) {
        give_up(c, err);
    } else if (dt_json_int(reply->json, "exitCode", -1) != 0) {
        undo(c, NULL);
        dt_tool_failf(
            c,
            "The command was not started, the shell says: %.1000s. Correct cwd or env, or "
            "call create_folder.",
            dt_json_text(reply->json, "output", "nothing"));
    } else {
        start(c);
    }
}

/* --- the session --- */

static void make_session(struct dt_call *c);

static void on_room(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    (void)reply;
    if (err != NULL && dt_err_http(err->code) != 404)
        dt_background_fail(c, err);
    else
        make_session(c);
}

static bool is_over(const json_t *session)
{
    json_t *command;
    size_t i;
    json_array_foreach(json_object_get(session, "commands"), i, command)
    {
        if (json_object_get(command, "exitCode") == NULL)
            return false;
    }
    return true;
}

static void on_listed(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    struct dt_err why;
    struct dt_api_req r;
    const char *oldest = NULL;
    const json_t *session;
    size_t i;
    if (err != NULL) {
        dt_background_fail(c, err);
        return;
    }
    json_array_foreach(reply->json, i, session)
    {
        const char *id = dt_json_text(session, "sessionId", "");
        if (dt_background_is_ours(id) && (oldest == NULL || strcmp(id, oldest) < 0) &&
            is_over(session))
            oldest = id;
    }
    dt_api_req_init(&r, "DELETE");
    if (oldest != NULL &&
        dt_api_target(&r, &why, "/toolbox/%s/toolbox/process/session/%s", s->in.id, oldest) == 0) {
        dt_call_fetch(c, &r, on_room);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_failf(c, "Too many commands run in this sandbox at once. Call stop_command for one "
                     "that is no longer needed.");
}

static void make_room(struct dt_call *c)
{
    struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    s->made_room = true;
    c->undo = NULL;
    dt_api_req_init(&r, "GET");
    r.reply_max = LIST_MAX;
    if (dt_api_target(&r, &err, "/toolbox/%s/toolbox/process/session", s->in.id) == 0) {
        dt_call_fetch(c, &r, on_listed);
        return;
    }
    dt_api_req_done(&r);
    dt_tool_fail(c, &err, NULL);
}

static void on_made(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct state *s = c->state;
    struct dt_err why;
    DT_AUTO_BUF struct dt_buf script;
    dt_buf_init(&script, SCRIPT_MAX);
    (void)reply;
    if (err != NULL && err->code == DT_E_LIMIT && !s->made_room) {
        make_room(c);
        return;
    }
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    if (make_script(&script, &s->in, &why) < 0)
        give_up(c, &why);
    else if (script.n == 0)
        start(c);
    else
        ask(c, "exec", json_pack("{s:s}", "command", script.p), on_prepared);
}

static void make_session(struct dt_call *c)
{
    struct state *s = c->state;
    dt_background_name(s->id.session);
    c->undo = undo;
    ask(c, NULL, json_pack("{s:s}", "sessionId", s->id.session), on_made);
}

const struct dt_tool dt_tool_start_command = {.state_size = sizeof(struct state),
                                              .parse = parse_input,
                                              .done = done_input,
                                              .run = make_session,
                                              .doing = "starting the command"};

#include <stdio.h>

#include "base/clock.h"
#include "mcp/tool.h"

enum { PROBED_FIRST = 3000, PROBED_LAST = 9999 }; /* ports that the toolbox tries to connect to */

/*
 * sandbox -> (check_server: listening ports -> one try to connect) -> URL -> result
 */
struct state {
    struct dt_mcp_preview_link_in in;
    char id[128];
    bool is_public;
    bool listening;
    json_t *ports;
};

static int parse_input(json_t *args, void *state, struct dt_err *err)
{
    return dt_mcp_preview_link_in_parse(args, state, err);
}

static void done_state(void *state)
{
    struct state *s = state;
    json_decref(s->ports);
    dt_mcp_preview_link_in_done(&s->in);
}

static void add_check(const struct state *s, json_t *to)
{
    char hint[512];
    (void)json_object_set_new(to, "listening", json_boolean(s->listening));
    (void)json_object_set(to, "listeningPorts", s->ports);
    if (s->listening)
        return;
    (void)snprintf(
        hint, sizeof(hint),
        "Nothing listens on port %lld in the sandbox, so the link will not open yet. Start "
        "the server with start_command, for example `python3 -m http.server %lld`, then call "
        "preview_link again.",
        (long long)s->in.port, (long long)s->in.port);
    (void)json_object_set_new(to, "hint", json_string(hint));
}

static void on_url(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    const struct state *s = c->state;
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    json_t *all = json_pack("{s:s,s:I,s:b}", "url", dt_json_text(reply->json, "url", ""), "port",
                            (json_int_t)s->in.port, "public", s->is_public);
    if (!s->is_public) {
        char when[DT_CLOCK_ISO_SIZE];
        (void)dt_clock_iso(dt_clock_real_ms() + s->in.expires_in * 1000, when);
        (void)json_object_set_new(all, "expiresAt", json_string(when));
    }
    if (s->in.check_server)
        add_check(s, all);
    dt_tool_result(c, all);
}

static void fetch(struct dt_call *c, struct dt_api_req *r, int made, const struct dt_err *err,
                  void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                               const struct dt_err *err))
{
    if (made == 0) {
        dt_call_fetch(c, r, then);
        return;
    }
    dt_api_req_done(r);
    dt_tool_fail(c, err, NULL);
}

static void ask_url(struct dt_call *c)
{
    const struct state *s = c->state;
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    int made =
        s->is_public
            ? dt_api_target(&r, &err, "/sandbox/%s/ports/%d/preview-url", s->id,
                            (long long)s->in.port)
            : dt_api_target(&r, &err, "/sandbox/%s/ports/%d/signed-preview-url?expiresInSeconds=%d",
                            s->id, (long long)s->in.port, (long long)s->in.expires_in);
    fetch(c, &r, made, &err, on_url);
}

static void on_in_use(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct state *s = c->state;
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    s->listening = dt_json_bool(reply->json, "isInUse", false);
    if (s->listening)
        (void)json_array_append_new(s->ports, json_integer((json_int_t)s->in.port));
    ask_url(c);
}

static void on_ports(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct state *s = c->state;
    struct dt_err why;
    struct dt_api_req r;
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    const json_t *ports = json_object_get(reply->json, "ports");
    const json_t *port;
    size_t i;
    s->ports = json_array();
    json_array_foreach(ports, i, port)
    {
        if (json_is_integer(port))
            (void)json_array_append(s->ports, (json_t *)port);
        s->listening = s->listening || json_integer_value(port) == s->in.port;
    }
    if (s->listening || s->in.port < PROBED_FIRST || s->in.port > PROBED_LAST) {
        ask_url(c);
        return;
    }
    dt_api_req_init(&r, "GET");
    int made =
        dt_api_target(&r, &why, "/toolbox/%s/toolbox/port/%d/in-use", s->id, (long long)s->in.port);
    fetch(c, &r, made, &why, on_in_use);
}

static void on_sandbox(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    struct state *s = c->state;
    struct dt_err why;
    struct dt_api_req r;
    if (err != NULL) {
        dt_tool_fail(c, err, NULL);
        return;
    }
    const char *state = dt_json_text(reply->json, "state", "");
    if (strcmp(state, "started") != 0) {
        dt_tool_failf(c,
                      "The sandbox is in state '%s', so nothing in it can be reached. Call "
                      "start_sandbox with this id, start the server, then call preview_link again.",
                      state);
        return;
    }
    s->is_public = dt_json_bool(reply->json, "public", false);
    (void)snprintf(s->id, sizeof(s->id), "%s", dt_json_text(reply->json, "id", ""));
    if (!s->in.check_server) {
        ask_url(c);
        return;
    }
    dt_api_req_init(&r, "GET");
    int made = dt_api_target(&r, &why, "/toolbox/%s/toolbox/port", s->id);
    fetch(c, &r, made, &why, on_ports);
}

static void run(struct dt_call *c)
{
    const struct state *s = c->state;
    dt_tool_fetch_sandbox(c, s->in.id, on_sandbox);
}

const struct dt_tool dt_tool_preview_link = {
    .state_size = sizeof(struct state), .parse = parse_input, .done = done_state, .run = run};

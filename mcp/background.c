#include "mcp/background.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/rand.h"
#include "mcp/output.h"

enum { TEXT_MAX = 256 * 1024, GRACE_MS = 30000 };

#define PREFIX "mcp-"

void dt_background_name(char session[DT_BACKGROUND_ID_MAX])
{
    char random[9];
    dt_rand_alnum(random, 8);
    (void)snprintf(session, DT_BACKGROUND_ID_MAX, PREFIX "%011llx%s",
                   (unsigned long long)dt_clock_real_ms(), random);
}

bool dt_background_is_ours(const char *session)
{
    return strncmp(session, PREFIX, strlen(PREFIX)) == 0;
}

int dt_background_parse(const char *text, struct dt_background_id *ret, struct dt_err *err)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : 0;
    size_t rest = colon != NULL ? strlen(colon + 1) : 0;
    if (n <= strlen(PREFIX) || n >= DT_BACKGROUND_ID_MAX || rest == 0 ||
        rest >= DT_BACKGROUND_ID_MAX || !dt_background_is_ours(text))
        return dt_err_set(err, DT_E_INVALID,
                          "command_id must be a commandId that start_command returned");
    (void)snprintf(ret->session, sizeof(ret->session), "%.*s", (int)n, text);
    (void)snprintf(ret->command, sizeof(ret->command), "%s", colon + 1);
    return 0;
}

static int ask(struct dt_api_req *r, const struct dt_background_read *read, struct dt_err *err)
{
    long long ms = (long long)(read->wait * 1000);
    r->total_ms = (uint64_t)ms + GRACE_MS;
    if (dt_api_target(r, err,
                      "/toolbox/%s/toolbox/process/session/%s/command/%s/output?cursor=%d&limit=%d",
                      read->sandbox, read->id->session, read->id->command, (long long)read->cursor,
                      (long long)DT_OUTPUT_BUDGET) < 0)
        return -1;
    if (ms == 0)
        return 0;
    if (dt_buf_addf(&r->target, err, "&wait=%lld.%03lld", ms / 1000, ms % 1000) < 0)
        return -1;
    return read->until_end ? dt_buf_addz(&r->target, "&untilEnd=true", err) : 0;
}

int dt_background_fetch(struct dt_call *c, const struct dt_background_read *read,
                        void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                     const struct dt_err *err),
                        struct dt_err *err)
{
    struct dt_api_req r;
    dt_api_req_init(&r, "GET");
    if (ask(&r, read, err) < 0) {
        dt_api_req_done(&r);
        return -1;
    }
    dt_call_fetch(c, &r, then);
    return 0;
}

static struct dt_str text_of(const json_t *reply, const char *key)
{
    const json_t *j = json_object_get(reply, key);
    return dt_str(json_is_string(j) ? json_string_value(j) : "", json_string_length(j));
}

static json_t *output_of(const json_t *reply)
{
    DT_AUTO_BUF struct dt_buf text;
    const struct dt_output o = {.head = text_of(reply, "output"),
                                .tail = text_of(reply, "tail"),
                                .omitted = (uint64_t)dt_json_int(reply, "omitted", 0)};
    dt_buf_init(&text, TEXT_MAX);
    if (dt_output_print(&text, &o, NULL) < 0)
        return NULL;
    return json_stringn(text.p != NULL ? text.p : "", text.n);
}

json_t *dt_background_show(const struct dt_background_id *id, const json_t *reply)
{
    char name[2 * DT_BACKGROUND_ID_MAX];
    (void)snprintf(name, sizeof(name), "%s:%s", id->session, id->command);
    json_t *exit_code = json_object_get(reply, "exitCode");
    json_t *all =
        json_pack("{s:s,s:b,s:o,s:I}", "commandId", name, "running", exit_code == NULL, "output",
                  output_of(reply), "cursor", (json_int_t)dt_json_int(reply, "cursor", 0));
    if (all == NULL)
        return NULL;
    if (exit_code != NULL)
        (void)json_object_set(all, "exitCode", exit_code);
    if (dt_json_int(reply, "omitted", 0) > 0) {
        (void)json_object_set(all, "omitted", json_object_get(reply, "omitted"));
        (void)json_object_set(all, "omittedCursor", json_object_get(reply, "resume"));
    }
    if (dt_json_int(reply, "lost", 0) > 0)
        (void)json_object_set(all, "lost", json_object_get(reply, "lost"));
    return all;
}

static void on_dropped(void *ctx, const struct dt_api_reply *reply, const struct dt_err *err)
{
    (void)ctx;
    (void)reply;
    (void)err;
}

void dt_background_drop(struct dt_call *c, const char *sandbox, const char *session)
{
    struct dt_api_op *op;
    struct dt_api_req r;
    dt_api_req_init(&r, "DELETE");
    if (dt_api_target(&r, NULL, "/toolbox/%s/toolbox/process/session/%s", sandbox, session) == 0)
        (void)!dt_api_start(c->session->api, &r, on_dropped, NULL, &op, NULL);
    else
        dt_api_req_done(&r);
}

void dt_background_fail(struct dt_call *c, const struct dt_err *err)
{
    const char *hint = NULL;
    if (strstr(err->msg, "session not found") != NULL ||
        strstr(err->msg, "command not found") != NULL)
        hint = "This command is not there any more: it was stopped, or its sandbox was. Call "
               "start_command to run it again.";
    else if (err->code == DT_E_COMMAND_ALREADY_COMPLETED || err->code == DT_E_SESSION_ENDED)
        hint = "Call read_command for what it printed.";
    dt_tool_fail(c, err, hint);
}

void dt_background_give(struct dt_call *c, const struct dt_background_id *id,
                        const struct dt_api_reply *reply, const struct dt_err *err)
{
    if (err != NULL)
        dt_background_fail(c, err);
    else
        dt_tool_result(c, dt_background_show(id, reply->json));
}

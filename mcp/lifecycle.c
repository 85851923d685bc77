#include "mcp/lifecycle.h"

#include <stdio.h>

enum { SETTLE_MS = 120000, PAUSE_FIRST_MS = 20, PAUSE_MAX_MS = 500 };

static const char *const passing[] = {
    "creating",  "starting",          "stopping", "restoring", "pulling_snapshot", "pending_build",
    "archiving", "building_snapshot", "unknown",  "resuming",  "pausing",          "resizing",
    NULL};

void dt_lifecycle_done(struct dt_lifecycle *l)
{
    free(l->id);
    l->id = NULL;
}

static bool is_passing(const char *state)
{
    for (const char *const *p = passing; *p != NULL; p++) {
        if (strcmp(*p, state) == 0)
            return true;
    }
    return false;
}

static void on_looked(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    if (err != NULL)
        dt_tool_fail(c, err, NULL);
    else
        dt_lifecycle_settle(c, c->lifecycle, reply->json);
}

static void look(struct dt_call *c)
{
    dt_tool_fetch_sandbox(c, c->lifecycle->id, on_looked);
}

void dt_lifecycle_settle(struct dt_call *c, struct dt_lifecycle *l, const json_t *sandbox)
{
    const char *state = dt_json_text(sandbox, "state", "unknown");
    const char *id = dt_json_text(sandbox, "id", l->id != NULL ? l->id : "");
    const char *reason = dt_json_text(sandbox, "errorReason", NULL);
    c->lifecycle = l;
    if (l->id == NULL && (l->id = strdup(id)) == NULL)
        abort();
    if (l->deadline_ms == 0) {
        l->deadline_ms = uv_now(c->session->loop) + SETTLE_MS;
        l->pause_ms = PAUSE_FIRST_MS;
    }
    if (strcmp(state, l->wanted) == 0) {
        l->then(c, sandbox);
    } else if (!is_passing(state)) {
        dt_tool_failf(
            c,
            "Sandbox %s is in state '%s' instead of '%s'%s%s. Call get_sandbox for more, or "
            "destroy_sandbox and create_sandbox.",
            id, state, l->wanted, reason != NULL ? ": " : "", reason != NULL ? reason : "");
    } else if (uv_now(c->session->loop) >= l->deadline_ms) {
        dt_tool_failf(c,
                      "Sandbox %s is still in state '%s' after %d s. Call get_sandbox to go on "
                      "waiting.",
                      id, state, SETTLE_MS / 1000);
    } else {
        dt_call_later(c, l->pause_ms, look);
        l->pause_ms = l->pause_ms * 2 < PAUSE_MAX_MS ? l->pause_ms * 2 : PAUSE_MAX_MS;
    }
}

/* The server refuses to start what runs; for a tool that is success. */
static void on_refused(struct dt_call *c, const struct dt_api_reply *reply,
                       const struct dt_err *err)
{
    struct dt_lifecycle *l = c->lifecycle;
    const char *state = err == NULL ? dt_json_text(reply->json, "state", "") : "";
    if (strcmp(state, l->wanted) == 0)
        l->then(c, reply->json);
    else if (err == NULL && is_passing(state))
        dt_lifecycle_settle(c, l, reply->json);
    else
        dt_tool_failf(c, "%s Call get_sandbox to see the sandbox's state.", l->why);
}

static void on_moved(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err)
{
    struct dt_lifecycle *l = c->lifecycle;
    int http = err != NULL ? dt_err_http(err->code) : 0;
    if (err == NULL) {
        dt_lifecycle_settle(c, l, reply->json);
    } else if (http == 400 || http == 409) {
        (void)snprintf(l->why, sizeof(l->why), "%s.", err->msg);
        dt_tool_fetch_sandbox(c, l->id, on_refused);
    } else {
        dt_tool_fail(c, err, NULL);
    }
}

void dt_lifecycle_move(struct dt_call *c, struct dt_lifecycle *l, const char *id, const char *verb)
{
    struct dt_err err;
    struct dt_api_req r;
    dt_api_req_init(&r, "POST");
    c->lifecycle = l;
    free(l->id);
    l->id = strdup(id);
    if (l->id == NULL)
        abort();
    if (dt_api_target(&r, &err, "/sandbox/%s/%s", id, verb) < 0) {
        dt_api_req_done(&r);
        dt_tool_fail(c, &err, NULL);
        return;
    }
    dt_call_fetch(c, &r, on_moved);
}

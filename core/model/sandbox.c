#include "model/sandbox.h"

#include <string.h>

#define BIT(s) (1u << DT_SANDBOX_##s)

static const struct {
    const char *text;
    unsigned moves;
} states[DT_SANDBOX_STATE_COUNT] = {
    [DT_SANDBOX_CREATING] = {"creating", BIT(STARTED) | BIT(DESTROYED) | BIT(ERROR)},
    [DT_SANDBOX_STARTED] = {"started", BIT(STOPPING) | BIT(STOPPED) | BIT(DESTROYING) | BIT(ERROR)},
    [DT_SANDBOX_STOPPING] = {"stopping", BIT(STOPPED) | BIT(STARTED) | BIT(ERROR)},
    [DT_SANDBOX_STOPPED] = {"stopped", BIT(STARTING) | BIT(DESTROYING) | BIT(ERROR)},
    [DT_SANDBOX_STARTING] = {"starting", BIT(STARTED) | BIT(STOPPED) | BIT(ERROR)},
    [DT_SANDBOX_DESTROYING] = {"destroying", BIT(DESTROYED) | BIT(ERROR)},
    [DT_SANDBOX_DESTROYED] = {"destroyed", 0},
    [DT_SANDBOX_ERROR] = {"error", BIT(DESTROYING)},
};

static const char *const desired[DT_DESIRED_COUNT] = {
    [DT_DESIRED_STARTED] = "started",
    [DT_DESIRED_STOPPED] = "stopped",
    [DT_DESIRED_DESTROYED] = "destroyed",
};

/* States of other servers, which a filter may name. */
static const char *const foreign[] = {
    "restoring",        "build_failed", "pending_build", "building_snapshot", "unknown",
    "pulling_snapshot", "archived",     "archiving",     "resizing",          "snapshotting",
    "forking",          "pausing",      "paused",        "resuming",
};

const char *dt_sandbox_state_text(enum dt_sandbox_state s)
{
    return states[s].text;
}

const char *dt_desired_text(enum dt_sandbox_desired d)
{
    return desired[d];
}

int dt_sandbox_state_from_text(const char *text, enum dt_sandbox_state *ret)
{
    for (unsigned i = 0; i < DT_SANDBOX_STATE_COUNT; i++) {
        if (text != NULL && strcmp(states[i].text, text) == 0) {
            *ret = (enum dt_sandbox_state)i;
            return 0;
        }
    }
    return -1;
}

int dt_desired_from_text(const char *text, enum dt_sandbox_desired *ret)
{
    for (unsigned i = 0; i < DT_DESIRED_COUNT; i++) {
        if (text != NULL && strcmp(desired[i], text) == 0) {
            *ret = (enum dt_sandbox_desired)i;
            return 0;
        }
    }
    return -1;
}

bool dt_sandbox_state_known(const char *text)
{
    enum dt_sandbox_state ignored;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (strcmp(foreign[i], text) == 0)
            return true;
    }
    return dt_sandbox_state_from_text(text, &ignored) == 0;
}

bool dt_sandbox_may_move(enum dt_sandbox_state from, enum dt_sandbox_state to)
{
    return (states[from].moves & 1u << to) != 0;
}

enum dt_sandbox_state dt_sandbox_shown(enum dt_sandbox_state s, enum dt_sandbox_desired d)
{
    if (s == DT_SANDBOX_STARTED && d == DT_DESIRED_STOPPED)
        return DT_SANDBOX_STOPPING;
    if (s == DT_SANDBOX_STOPPED && d == DT_DESIRED_STARTED)
        return DT_SANDBOX_STARTING;
    if ((s == DT_SANDBOX_STARTED || s == DT_SANDBOX_STOPPED) && d == DT_DESIRED_DESTROYED)
        return DT_SANDBOX_DESTROYING;
    return s;
}

int dt_sandbox_check_call(enum dt_sandbox_call call, enum dt_sandbox_state s,
                          enum dt_sandbox_desired d, bool busy, struct dt_err *err)
{
    bool moving = s == DT_SANDBOX_CREATING || s == DT_SANDBOX_STOPPING ||
                  s == DT_SANDBOX_STARTING || s == DT_SANDBOX_DESTROYING;
    if (call == DT_CALL_START && s == DT_SANDBOX_STARTED && d == DT_DESIRED_STARTED && !busy)
        return 0;
    if (call == DT_CALL_STOP && s == DT_SANDBOX_STOPPED && d == DT_DESIRED_STOPPED && !busy)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Sandbox is not started");
    if (busy || moving)
        return dt_err_set(err, DT_E_CONFLICT,
                          "Sandbox state change in progress (%s): try again in a moment",
                          dt_sandbox_state_text(dt_sandbox_shown(s, d)));
    if (call == DT_CALL_START && s != DT_SANDBOX_STOPPED)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Sandbox is not in valid state: it is '%s' and only a stopped sandbox "
                          "can be started",
                          dt_sandbox_state_text(s));
    if (call == DT_CALL_STOP && s != DT_SANDBOX_STARTED)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Sandbox is not started (it is '%s')",
                          dt_sandbox_state_text(s));
    return 1;
}

enum dt_sandbox_repair dt_sandbox_repair(enum dt_sandbox_state s, enum dt_sandbox_desired d,
                                         bool has_disk, bool running)
{
    if (s == DT_SANDBOX_CREATING || s == DT_SANDBOX_DESTROYING || d == DT_DESIRED_DESTROYED)
        return DT_REPAIR_DESTROY;
    if (s == DT_SANDBOX_ERROR || s == DT_SANDBOX_DESTROYED)
        return DT_REPAIR_KEEP;
    if (!has_disk && !running)
        return DT_REPAIR_LOST;
    if (s == DT_SANDBOX_STARTED || s == DT_SANDBOX_STARTING) {
        if (d == DT_DESIRED_STOPPED)
            return running ? DT_REPAIR_STOP : DT_REPAIR_STOPPED;
        if (!running)
            return DT_REPAIR_STOPPED;
        return s == DT_SANDBOX_STARTED ? DT_REPAIR_KEEP : DT_REPAIR_STARTED;
    }
    if (running)
        return DT_REPAIR_STOP;
    return s == DT_SANDBOX_STOPPED && d == DT_DESIRED_STOPPED ? DT_REPAIR_KEEP : DT_REPAIR_STOPPED;
}

enum dt_sandbox_repair dt_sandbox_due(enum dt_sandbox_state s, const struct dt_sandbox_timers *t,
                                      int64_t now_ms)
{
    int64_t idle_min = (now_ms - t->activity_ms) / 60000;
    if (s == DT_SANDBOX_STARTED && t->auto_stop_min > 0 && idle_min >= t->auto_stop_min)
        return t->auto_delete_min == 0 ? DT_REPAIR_DESTROY : DT_REPAIR_STOP;
    if (s == DT_SANDBOX_STOPPED && t->auto_delete_min >= 0 && idle_min >= t->auto_delete_min)
        return DT_REPAIR_DESTROY;
    return DT_REPAIR_KEEP;
}

#include "model/sandbox.h"

#include <string.h>

#define BIT(s) (1u << DT_SANDBOX_##s)

static const struct {
    const char *text;
    unsigned moves;
} states[DT_SANDBOX_STATE_COUNT] = {
    [DT_SANDBOX_CREATING] = {"creating", BIT(STARTED) | BIT(DESTROYED) | BIT(ERROR)},
    [DT_SANDBOX_STARTED] = {"started", BIT(STOPPING) | BIT(STOPPED) | BIT(PAUSING) | BIT(PAUSED) |
                                           BIT(RESIZING) | BIT(DESTROYING) | BIT(ERROR)},
    [DT_SANDBOX_STOPPING] = {"stopping", BIT(STOPPED) | BIT(STARTED) | BIT(ERROR)},
    [DT_SANDBOX_STOPPED] = {"stopped", BIT(STARTING) | BIT(ARCHIVING) | BIT(ARCHIVED) |
                                           BIT(RESIZING) | BIT(DESTROYING) | BIT(ERROR)},
    [DT_SANDBOX_STARTING] = {"starting", BIT(STARTED) | BIT(STOPPED) | BIT(ERROR)},
    [DT_SANDBOX_DESTROYING] = {"destroying", BIT(DESTROYED) | BIT(ERROR)},
    [DT_SANDBOX_DESTROYED] = {"destroyed", 0},
    [DT_SANDBOX_ERROR] = {"error", BIT(RESTORING) | BIT(DESTROYING)},
    [DT_SANDBOX_ARCHIVING] = {"archiving", BIT(ARCHIVED) | BIT(STOPPED) | BIT(ERROR)},
    [DT_SANDBOX_ARCHIVED] = {"archived",
                             BIT(RESTORING) | BIT(STOPPED) | BIT(DESTROYING) | BIT(ERROR)},
    [DT_SANDBOX_RESTORING] = {"restoring",
                              BIT(STARTED) | BIT(STOPPED) | BIT(ARCHIVED) | BIT(ERROR)},
    [DT_SANDBOX_PAUSING] = {"pausing", BIT(PAUSED) | BIT(STARTED) | BIT(STOPPED) | BIT(ERROR)},
    [DT_SANDBOX_PAUSED] = {"paused", BIT(RESUMING) | BIT(STARTED) | BIT(STOPPING) | BIT(STOPPED) |
                                         BIT(DESTROYING) | BIT(ERROR)},
    [DT_SANDBOX_RESUMING] = {"resuming", BIT(STARTED) | BIT(PAUSED) | BIT(STOPPED) | BIT(ERROR)},
    [DT_SANDBOX_RESIZING] = {"resizing", BIT(STARTED) | BIT(STOPPED) | BIT(ERROR)},
};

static const char *const desired[DT_DESIRED_COUNT] = {
    [DT_DESIRED_STARTED] = "started",     [DT_DESIRED_STOPPED] = "stopped",
    [DT_DESIRED_DESTROYED] = "destroyed", [DT_DESIRED_ARCHIVED] = "archived",
    [DT_DESIRED_PAUSED] = "paused",
};

static const char *const backups[DT_BACKUP_STATE_COUNT] = {
    [DT_BACKUP_NONE] = "None",
    [DT_BACKUP_PENDING] = "Pending",
    [DT_BACKUP_IN_PROGRESS] = "InProgress",
    [DT_BACKUP_COMPLETED] = "Completed",
    [DT_BACKUP_ERROR] = "Error",
};

/* States of other servers, which a filter may name. */
static const char *const foreign[] = {
    "build_failed",     "pending_build", "building_snapshot", "unknown",
    "pulling_snapshot", "snapshotting",  "forking",
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

const char *dt_backup_text(enum dt_backup_state b)
{
    return backups[b];
}

int dt_backup_from_text(const char *text, enum dt_backup_state *ret)
{
    for (unsigned i = 0; i < DT_BACKUP_STATE_COUNT; i++) {
        if (text != NULL && strcmp(backups[i], text) == 0) {
            *ret = (enum dt_backup_state)i;
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

static bool is_moving(enum dt_sandbox_state s)
{
    return s != DT_SANDBOX_STARTED && s != DT_SANDBOX_STOPPED && s != DT_SANDBOX_PAUSED &&
           s != DT_SANDBOX_ARCHIVED && s != DT_SANDBOX_ERROR && s != DT_SANDBOX_DESTROYED;
}

static int refuse(const struct dt_sandbox_now *now, const char *text, const char *hint,
                  struct dt_err *err)
{
    return dt_err_set(err, DT_E_BAD_REQUEST, "%s: it is '%s'%s", text,
                      dt_sandbox_state_text(dt_sandbox_shown(now->state, now->desired)), hint);
}

/* In which states a call is served, and what it says in others. */
static const struct {
    unsigned from;
    const char *text, *hint;
} calls[DT_CALL_COUNT] = {
    [DT_CALL_START] = {BIT(STOPPED) | BIT(ARCHIVED) | BIT(PAUSED), "Sandbox is not in valid state",
                       " and only a stopped, archived or paused sandbox can be started"},
    [DT_CALL_STOP] = {BIT(STARTED) | BIT(PAUSED), "Sandbox is not started", ""},
    [DT_CALL_DELETE] = {UINT32_MAX, "", ""},
    [DT_CALL_ARCHIVE] = {BIT(STOPPED), "Sandbox is not stopped", ""},
    [DT_CALL_PAUSE] = {BIT(STARTED), "Sandbox is not started", ""},
    [DT_CALL_RESIZE] = {BIT(STARTED) | BIT(STOPPED), "Sandbox is not in valid state",
                        " and only a started or stopped sandbox can be resized"},
    [DT_CALL_FORK] = {BIT(STARTED) | BIT(STOPPED) | BIT(PAUSED), "Sandbox is not in valid state",
                      " and only a started, stopped or paused sandbox can be forked"},
    [DT_CALL_BACKUP] = {BIT(STARTED) | BIT(STOPPED) | BIT(PAUSED), "Sandbox is not in valid state",
                        " and only a started, stopped or paused sandbox can be backed up"},
    [DT_CALL_RECOVER] = {BIT(ERROR), "Sandbox must be in error state to recover", ""},
};

static bool is_so_already(enum dt_sandbox_call call, const struct dt_sandbox_now *now)
{
    if (now->busy)
        return false;
    return (call == DT_CALL_START && now->state == DT_SANDBOX_STARTED &&
            now->desired == DT_DESIRED_STARTED) ||
           (call == DT_CALL_PAUSE && now->state == DT_SANDBOX_PAUSED &&
            now->desired == DT_DESIRED_PAUSED);
}

/* What is refused for other reasons than the state. */
static int check_kind(enum dt_sandbox_call call, const struct dt_sandbox_now *now,
                      struct dt_err *err)
{
    if (call == DT_CALL_ARCHIVE && now->ephemeral)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Ephemeral sandboxes cannot be archived");
    if (call == DT_CALL_BACKUP && now->ephemeral)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Ephemeral sandboxes cannot be backed up");
    if (call == DT_CALL_BACKUP && now->backing_up)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Sandbox backup is already in progress");
    if (call == DT_CALL_RECOVER && !now->recoverable)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Sandbox is not in a recoverable state: its files are gone and there is "
                          "no backup of them");
    return 0;
}

int dt_sandbox_check_call(enum dt_sandbox_call call, const struct dt_sandbox_now *now,
                          struct dt_err *err)
{
    if (is_so_already(call, now))
        return 0;
    if (now->busy || is_moving(now->state))
        return dt_err_set(err, DT_E_CONFLICT,
                          "Sandbox state change in progress (%s): try again in a moment",
                          dt_sandbox_state_text(dt_sandbox_shown(now->state, now->desired)));
    if ((calls[call].from & 1u << now->state) == 0)
        return refuse(now, calls[call].text, calls[call].hint, err);
    return check_kind(call, now, err) < 0 ? -1 : 1;
}

static enum dt_sandbox_repair without_process(struct dt_sandbox_found f)
{
    return f.has_disk ? DT_REPAIR_STOPPED : f.archived ? DT_REPAIR_ARCHIVED : DT_REPAIR_LOST;
}

static enum dt_sandbox_repair with_process(enum dt_sandbox_state s, struct dt_sandbox_found f)
{
    if (f.paused)
        return s == DT_SANDBOX_PAUSED ? DT_REPAIR_KEEP : DT_REPAIR_PAUSED;
    return s == DT_SANDBOX_STARTED ? DT_REPAIR_KEEP : DT_REPAIR_STARTED;
}

enum dt_sandbox_repair dt_sandbox_repair(enum dt_sandbox_state s, enum dt_sandbox_desired d,
                                         struct dt_sandbox_found found)
{
    enum dt_sandbox_repair rest = without_process(found);
    if (s == DT_SANDBOX_CREATING || s == DT_SANDBOX_DESTROYING || d == DT_DESIRED_DESTROYED)
        return DT_REPAIR_DESTROY;
    if (s == DT_SANDBOX_ERROR || s == DT_SANDBOX_DESTROYED)
        return DT_REPAIR_KEEP;
    if (s == DT_SANDBOX_RESIZING)
        return found.running || found.has_disk ? DT_REPAIR_RESIZE : rest;
    if (found.running)
        return d == DT_DESIRED_STARTED || d == DT_DESIRED_PAUSED ? with_process(s, found)
                                                                 : DT_REPAIR_STOP;
    if (s == DT_SANDBOX_ARCHIVING && rest == DT_REPAIR_STOPPED)
        return DT_REPAIR_ARCHIVE;
    bool so_already =
        (s == DT_SANDBOX_STOPPED && d == DT_DESIRED_STOPPED && rest == DT_REPAIR_STOPPED) ||
        (s == DT_SANDBOX_ARCHIVED && rest == DT_REPAIR_ARCHIVED);
    return so_already ? DT_REPAIR_KEEP : rest;
}

unsigned dt_sandbox_shares(enum dt_sandbox_state s, enum dt_sandbox_desired d)
{
    enum { ALL = DT_SHARE_CPU | DT_SHARE_MEMORY | DT_SHARE_DISK };
    static const unsigned shares[DT_SANDBOX_STATE_COUNT] = {
        [DT_SANDBOX_CREATING] = ALL,
        [DT_SANDBOX_STARTED] = ALL,
        [DT_SANDBOX_STOPPING] = ALL,
        [DT_SANDBOX_STARTING] = ALL,
        [DT_SANDBOX_RESTORING] = ALL,
        [DT_SANDBOX_PAUSING] = ALL,
        [DT_SANDBOX_RESUMING] = ALL,
        [DT_SANDBOX_RESIZING] = ALL,
        [DT_SANDBOX_PAUSED] = DT_SHARE_MEMORY | DT_SHARE_DISK,
        [DT_SANDBOX_STOPPED] = DT_SHARE_DISK,
        [DT_SANDBOX_ARCHIVING] = DT_SHARE_DISK,
    };
    if (s == DT_SANDBOX_RESIZING && d == DT_DESIRED_STOPPED)
        return DT_SHARE_DISK;
    return shares[s];
}

enum dt_sandbox_repair dt_sandbox_due(enum dt_sandbox_state s, const struct dt_sandbox_timers *t,
                                      int64_t now_ms)
{
    enum { AT_REST = BIT(STARTED) | BIT(STOPPED) | BIT(PAUSED) | BIT(ARCHIVED) | BIT(ERROR) };
    int64_t idle_min = (now_ms - t->activity_ms) / 60000;
    if (t->destroy_ms > 0 && now_ms >= t->destroy_ms && (1U << s & AT_REST) != 0)
        return DT_REPAIR_DESTROY;
    if (s == DT_SANDBOX_STARTED && t->auto_stop_min > 0 && idle_min >= t->auto_stop_min)
        return t->auto_delete_min == 0 ? DT_REPAIR_DESTROY : DT_REPAIR_STOP;
    if (s == DT_SANDBOX_STARTED && t->auto_pause_min > 0 && idle_min >= t->auto_pause_min)
        return DT_REPAIR_PAUSE;
    if (s != DT_SANDBOX_STOPPED)
        return DT_REPAIR_KEEP;
    if (t->auto_delete_min >= 0 && idle_min >= t->auto_delete_min)
        return DT_REPAIR_DESTROY;
    if (t->auto_archive_min > 0 && idle_min >= t->auto_archive_min)
        return DT_REPAIR_ARCHIVE;
    return DT_REPAIR_KEEP;
}

bool dt_sandbox_at_work(uint64_t cpu_usec, uint64_t window_ms)
{
    return window_ms > 0 && cpu_usec / window_ms >= DT_IDLE_CPU_PERMILLE;
}

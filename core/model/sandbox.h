/*
 * A sandbox's life as a table: what is stored, what is wanted, which moves are allowed.
 *
 *   CREATING -> STARTED | DESTROYED | ERROR      being made; half-made ones are destroyed
 *   STARTED  -> STOPPING | STOPPED | DESTROYING  STOPPED when it ended by itself
 *   STOPPING -> STOPPED | STARTED | ERROR        STARTED when it could not be stopped
 *   STOPPED  -> STARTING | DESTROYING
 *   STARTING -> STARTED | STOPPED | ERROR
 *   DESTROYING -> DESTROYED | ERROR
 *   ERROR    -> DESTROYING
 *   DESTROYED                                    final
 */
#ifndef DT_SANDBOX_H
#define DT_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum dt_sandbox_state {
    DT_SANDBOX_CREATING,
    DT_SANDBOX_STARTED,
    DT_SANDBOX_STOPPING,
    DT_SANDBOX_STOPPED,
    DT_SANDBOX_STARTING,
    DT_SANDBOX_DESTROYING,
    DT_SANDBOX_DESTROYED,
    DT_SANDBOX_ERROR,
    DT_SANDBOX_STATE_COUNT
};

enum dt_sandbox_desired {
    DT_DESIRED_STARTED,
    DT_DESIRED_STOPPED,
    DT_DESIRED_DESTROYED,
    DT_DESIRED_COUNT
};

enum dt_sandbox_call { DT_CALL_START, DT_CALL_STOP, DT_CALL_DELETE };

/* What the reconciler must do with a row, given what the launcher has. */
enum dt_sandbox_repair {
    DT_REPAIR_KEEP,    /* the row is right */
    DT_REPAIR_STARTED, /* it runs: say so */
    DT_REPAIR_STOPPED, /* it does not run: say so */
    DT_REPAIR_STOP,    /* end it, then say so */
    DT_REPAIR_DESTROY, /* free it, then say so */
    DT_REPAIR_LOST,    /* its files are gone: ERROR */
};

/* The words of the wire and of the store. from_text returns -1 for unknown ones. */
const char *dt_sandbox_state_text(enum dt_sandbox_state s);
const char *dt_desired_text(enum dt_sandbox_desired d);
int dt_sandbox_state_from_text(const char *text, enum dt_sandbox_state *ret);
int dt_desired_from_text(const char *text, enum dt_sandbox_desired *ret);
/* Whether a text is any state a client may name in a filter, ours or not. */
bool dt_sandbox_state_known(const char *text);

bool dt_sandbox_may_move(enum dt_sandbox_state from, enum dt_sandbox_state to);
/* What a client sees: a stored state whose end is wanted shows as on its way. */
enum dt_sandbox_state dt_sandbox_shown(enum dt_sandbox_state s, enum dt_sandbox_desired d);
/* 1: go ahead; 0: nothing to do, it is so already; -1: refused, err says why (CONFLICT while
 * another change is under way, else BAD_REQUEST). `busy`: an operation runs. */
int dt_sandbox_check_call(enum dt_sandbox_call call, enum dt_sandbox_state s,
                          enum dt_sandbox_desired d, bool busy, struct dt_err *err) DT_MUST_CHECK;
enum dt_sandbox_repair dt_sandbox_repair(enum dt_sandbox_state s, enum dt_sandbox_desired d,
                                         bool has_disk, bool running);

struct dt_sandbox_timers {
    int64_t auto_stop_min;   /* 0 = off */
    int64_t auto_delete_min; /* < 0 = off; 0 = as soon as it stopped */
    int64_t activity_ms;     /* last activity, real time */
};
/* What is due at `now_ms`: DT_REPAIR_STOP, DT_REPAIR_DESTROY or DT_REPAIR_KEEP. */
enum dt_sandbox_repair dt_sandbox_due(enum dt_sandbox_state s, const struct dt_sandbox_timers *t,
                                      int64_t now_ms);

#endif

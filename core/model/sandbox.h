/*
 * A sandbox's life as a table: what is stored, what is wanted, which moves are allowed.
 *
 *   CREATING  -> STARTED | DESTROYED | ERROR        being made; half-made ones are destroyed
 *   STARTED   -> STOPPING | STOPPED | PAUSING | RESIZING | DESTROYING
 *                                                   STOPPED when it ended by itself
 *   STOPPING  -> STOPPED | STARTED | ERROR          STARTED when it could not be stopped
 *   STOPPED   -> STARTING | ARCHIVING | RESIZING | DESTROYING
 *   STARTING  -> STARTED | STOPPED | ERROR
 *   ARCHIVING -> ARCHIVED | STOPPED                 STOPPED when it could not be archived, or was
 *                                                   started meanwhile
 *   ARCHIVED  -> RESTORING | DESTROYING             its disk is in the object store
 *   RESTORING -> STARTED | STOPPED | ARCHIVED       as far as it came; also from ERROR
 *   PAUSING   -> PAUSED | STARTED | STOPPED
 *   PAUSED    -> RESUMING | STOPPING | STOPPED | DESTROYING
 *   RESUMING  -> STARTED | PAUSED | STOPPED
 *   RESIZING  -> STARTED | STOPPED                  whichever it was before
 *   DESTROYING -> DESTROYED | ERROR
 *   ERROR     -> DESTROYING | RESTORING
 *   DESTROYED                                       final
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
    DT_SANDBOX_ARCHIVING,
    DT_SANDBOX_ARCHIVED,
    DT_SANDBOX_RESTORING,
    DT_SANDBOX_PAUSING,
    DT_SANDBOX_PAUSED,
    DT_SANDBOX_RESUMING,
    DT_SANDBOX_RESIZING,
    DT_SANDBOX_STATE_COUNT
};

enum dt_sandbox_desired {
    DT_DESIRED_STARTED,
    DT_DESIRED_STOPPED,
    DT_DESIRED_DESTROYED,
    DT_DESIRED_ARCHIVED,
    DT_DESIRED_PAUSED,
    DT_DESIRED_COUNT
};

enum dt_sandbox_call {
    DT_CALL_START, /* also brings back what is archived or paused */
    DT_CALL_STOP,
    DT_CALL_DELETE,
    DT_CALL_ARCHIVE,
    DT_CALL_PAUSE,
    DT_CALL_RESIZE,
    DT_CALL_FORK,
    DT_CALL_BACKUP,
    DT_CALL_RECOVER,
    DT_CALL_COUNT
};

/* How far the copy of its files in the object store is. */
enum dt_backup_state {
    DT_BACKUP_NONE,
    DT_BACKUP_PENDING,
    DT_BACKUP_IN_PROGRESS,
    DT_BACKUP_COMPLETED,
    DT_BACKUP_ERROR,
    DT_BACKUP_STATE_COUNT
};

/* What the reconciler must do with a row, given what the launcher has. */
enum dt_sandbox_repair {
    DT_REPAIR_KEEP,     /* the row is right */
    DT_REPAIR_STARTED,  /* it runs: say so */
    DT_REPAIR_STOPPED,  /* it does not run: say so */
    DT_REPAIR_PAUSED,   /* it is frozen: say so */
    DT_REPAIR_ARCHIVED, /* its files are in the object store alone: say so */
    DT_REPAIR_STOP,     /* end it, then say so */
    DT_REPAIR_DESTROY,  /* free it, then say so */
    DT_REPAIR_ARCHIVE,  /* move its files to the object store, then say so */
    DT_REPAIR_PAUSE,    /* freeze it, then say so */
    DT_REPAIR_RESIZE,   /* give it what the row says it has, then say so */
    DT_REPAIR_LOST,     /* its files are gone: ERROR */
};

/* The words of the wire and of the store. from_text returns -1 for unknown ones. */
const char *dt_sandbox_state_text(enum dt_sandbox_state s);
const char *dt_desired_text(enum dt_sandbox_desired d);
int dt_sandbox_state_from_text(const char *text, enum dt_sandbox_state *ret);
int dt_desired_from_text(const char *text, enum dt_sandbox_desired *ret);
const char *dt_backup_text(enum dt_backup_state b);
int dt_backup_from_text(const char *text, enum dt_backup_state *ret);
/* Whether a text is any state a client may name in a filter, ours or not. */
bool dt_sandbox_state_known(const char *text);

bool dt_sandbox_may_move(enum dt_sandbox_state from, enum dt_sandbox_state to);
/* What a client sees: a stored state whose end is wanted shows as on its way. */
enum dt_sandbox_state dt_sandbox_shown(enum dt_sandbox_state s, enum dt_sandbox_desired d);

/* A sandbox as a call finds it. */
struct dt_sandbox_now {
    enum dt_sandbox_state state;
    enum dt_sandbox_desired desired;
    bool busy;      /* an operation runs */
    bool ephemeral; /* deleted when it stops */
    bool backing_up;
    bool recoverable; /* ERROR, and its files are somewhere */
};
/* 1: go ahead; 0: nothing to do, it is so already; -1: refused, err says why (CONFLICT while
 * another change is under way, else BAD_REQUEST). */
int dt_sandbox_check_call(enum dt_sandbox_call call, const struct dt_sandbox_now *now,
                          struct dt_err *err) DT_MUST_CHECK;

/* What the launcher has of a sandbox. */
struct dt_sandbox_found {
    bool has_disk;
    bool running;
    bool paused;   /* running, and frozen */
    bool archived; /* its files are in the object store */
};
enum dt_sandbox_repair dt_sandbox_repair(enum dt_sandbox_state s, enum dt_sandbox_desired d,
                                         struct dt_sandbox_found found);

/* Which of its resources a sandbox takes from its organization's, and which are charged. */
enum dt_sandbox_share { DT_SHARE_CPU = 1, DT_SHARE_MEMORY = 2, DT_SHARE_DISK = 4 };
unsigned dt_sandbox_shares(enum dt_sandbox_state s, enum dt_sandbox_desired d);

struct dt_sandbox_timers {
    int64_t auto_stop_min;    /* 0 = off */
    int64_t auto_delete_min;  /* < 0 = off; 0 = as soon as it stopped */
    int64_t activity_ms;      /* last activity, real time */
    int64_t auto_archive_min; /* 0 = off */
    int64_t auto_pause_min;   /* 0 = off */
    int64_t destroy_ms;       /* real time; 0 = never */
};
/* What is due at `now_ms`: DT_REPAIR_STOP, _PAUSE, _DESTROY, _ARCHIVE or _KEEP. */
enum dt_sandbox_repair dt_sandbox_due(enum dt_sandbox_state s, const struct dt_sandbox_timers *t,
                                      int64_t now_ms);

/* What a sandbox that nobody uses takes of one cpu, in thousandths: timers, polls, pings.
 * Above it, it is at work. */
enum { DT_IDLE_CPU_PERMILLE = 20 };
/* Whether it was at work, from the cpu time it took in `window_ms`. */
bool dt_sandbox_at_work(uint64_t cpu_usec, uint64_t window_ms);

#endif

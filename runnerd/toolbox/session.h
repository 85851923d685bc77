/*
 * Sessions: shells that stay. Commands of one session run one after another in the same shell, so
 * that its folder, variables and functions last. Each has pipes of its own, read here: streams stay
 * apart to the byte, and what it leaves in the background goes on writing to its own log. A command
 * is over when the shell says so on a descriptor of ours; what its foreground printed is in the log
 * by then. When the shell itself ends (exit, exec, set -e, a signal), so does the session: its
 * command gets the shell's status, later ones get SESSION_ENDED.
 *
 * Limits: DT_SESSIONS_MAX sessions, of each DT_SESSION_WAITING_MAX commands that wait. The commands
 * that have ended longest ago are forgotten above DT_SESSION_ENDED_MAX of a session, or when all
 * that have ended take more than DT_SESSION_MEMORY_MAX bytes of memory; their logs go with them.
 */
#ifndef DT_TOOLBOX_SESSION_H
#define DT_TOOLBOX_SESSION_H

#include "toolbox/journal.h"
#include "toolbox/toolbox.h"

enum {
    DT_SESSIONS_MAX = 256,
    DT_SESSION_ID_MAX = 256, /* bytes */
    DT_SESSION_WAITING_MAX = 128,
    DT_SESSION_ENDED_MAX = 512,
    DT_SESSION_MEMORY_MAX = 4 * 1024 * 1024,
    DT_SESSION_SHOWN_MAX = 64 * 1024, /* bytes of a command that lists still tell at its end */
    DT_SESSION_INPUT_MAX = 1024 * 1024,
    DT_SESSION_GRACE_MS = 5000,
    DT_JOB_ID_SIZE = 37,
};

struct dt_session;
struct dt_job; /* a command of a session */

/* --- sessions --- */

/* Starts the shell, in the home if `in_home`, else in the work dir. BAD_REQUEST, CONFLICT, LIMIT,
 * UNSUPPORTED (no shell), or why it could not be started. */
int dt_session_new(struct dt_toolbox *tb, const char *id, bool in_home,
                   struct dt_err *err) DT_MUST_CHECK;
/* NULL: there is none; says so. */
struct dt_session *dt_session_find(struct dt_str id, struct dt_err *err);
/* The same for who changes something: BAD_REQUEST for the entrypoint's, whether it is there or not.
 */
struct dt_session *dt_session_find_own(struct dt_str id, struct dt_err *err);
/* The first and the next, without the entrypoint's; NULL at the end. */
struct dt_session *dt_session_first(void);
struct dt_session *dt_session_next(const struct dt_session *s);
const char *dt_session_id(const struct dt_session *s);
/* Nobody finds it any more. SIGTERM to all that came of it, after five seconds SIGKILL; then its
 * commands end as cancelled and on_done comes, once, from the loop. */
void dt_session_delete(struct dt_session *s, void (*on_done)(void *ctx), void *ctx);

/* --- commands --- */

struct dt_job_opts {
    const char *command;
    bool input; /* its standard input stays open for dt_job_input(); else it is empty */
    bool echo;  /* input goes to the log, too */
};

/* Borrowed: take a reference to keep it. SESSION_ENDED, or LIMIT. */
int dt_session_exec(struct dt_session *s, const struct dt_job_opts *opts, struct dt_job **ret,
                    struct dt_err *err) DT_MUST_CHECK;
struct dt_job *dt_session_job(const struct dt_session *s, struct dt_str id, struct dt_err *err);
/* Oldest first. */
struct dt_job *dt_session_first_job(const struct dt_session *s);
struct dt_job *dt_job_next(const struct dt_job *job);

struct dt_job *dt_job_ref(struct dt_job *job);
void dt_job_unref(struct dt_job *job);
const char *dt_job_id(const struct dt_job *job);
const char *dt_job_command(const struct dt_job *job);
/* False while it waits or runs. */
bool dt_job_is_over(const struct dt_job *job);
/* Its session was deleted before it was over. */
bool dt_job_is_cancelled(const struct dt_job *job);
/* The shell ended before it was this command's turn. */
bool dt_job_never_ran(const struct dt_job *job);
/* Once it is over: the shell's word for its status, 128 and the signal if the shell itself was
 * killed; -1 when it never ran. */
int dt_job_exit_code(const struct dt_job *job);
struct dt_journal *dt_job_journal(struct dt_job *job);
/* A line for its standard input; a newline is added if none is there. `end`: that is the last, and
 * then `data` may be empty. COMMAND_ALREADY_COMPLETED, SESSION_ENDED, BAD_REQUEST when it has no
 * input or that has ended, LIMIT when DT_SESSION_INPUT_MAX bytes wait. */
int dt_job_input(struct dt_job *job, struct dt_str data, bool end,
                 struct dt_err *err) DT_MUST_CHECK;

/* Hears of everything new in the log, and that the job is over. In the caller's memory; keep a
 * reference to the job meanwhile. on_news may remove the reader it is called for. */
struct dt_job_reader {
    struct dt_job_reader *next;
    void (*on_news)(void *ctx);
    void *ctx;
};
void dt_job_read(struct dt_job *job, struct dt_job_reader *r);
void dt_job_read_stop(struct dt_job *job, struct dt_job_reader *r);

#endif

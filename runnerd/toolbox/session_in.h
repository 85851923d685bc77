/* What session.c (the shell), session_end.c (its end), session_job.c (its commands) and
 * entrypoint.c share. */
#ifndef DT_TOOLBOX_SESSION_IN_H
#define DT_TOOLBOX_SESSION_IN_H

#include "toolbox/pipes.h"
#include "toolbox/process.h"
#include "toolbox/session.h"
#include "toolbox/session_script.h"

/* WAITING -> RUNNING | OVER    the jobs before it have not ended
 * RUNNING -> OVER              the shell has it
 * OVER                         what it left in the background may still write to its log */
enum dt_job_state { DT_JOB_WAITING, DT_JOB_RUNNING, DT_JOB_OVER };

struct dt_job {
    enum dt_job_state state;
    unsigned refs;
    struct dt_session *session;             /* NULL once it is forgotten */
    struct dt_job *next;                    /* in the session, oldest first */
    struct dt_job *ended_prev, *ended_next; /* of all that are over, oldest first */
    size_t weight;                          /* what it adds to the memory of those */
    char id[DT_JOB_ID_SIZE];
    char *command;
    bool input, echo, cancelled, never_ran;
    bool kept; /* stays as long as its session */
    int exit_code;
    struct dt_journal *journal;
    struct dt_job_reader *readers, *reading; /* `reading`: whose turn is next */
    struct dt_session_fifos fifos;
    bool has_fifos; /* their names are there */
    struct dt_inpipe *streams[2];
    struct dt_outpipe *in;
    struct dt_buf early; /* input before it runs */
    bool early_end;      /* and that is all of it */
};

struct dt_session {
    struct dt_session *next;
    struct dt_toolbox *tb;
    char *id;
    char folder[64];
    char marker[64];
    bool bash, dead, deleting;
    struct dt_process_watch watch;
    pid_t pid; /* 0 once it was reaped */
    struct dt_outpipe *feed;
    struct dt_inpipe *report, *base[2];
    char said[16]; /* a part of a status */
    size_t nsaid;
    struct dt_buf late[2]; /* what the shell printed outside of its commands */
    struct dt_job *jobs, **jobs_end;
    struct dt_job *running;
    unsigned waiting, ended;
    unsigned long numbers;
    uv_timer_t timer; /* of session_look.c, and of session_end.c when it is deleted */
    uint64_t look_ms;
    ino_t feed_inode;
    /* session_end.c */
    uint64_t end_ms; /* when those that are left are killed */
    void (*on_done)(void *ctx);
    void *ctx;
};

/* --- session_job.c --- */
struct dt_job *dt_job_new(struct dt_session *s, const struct dt_job_opts *o, struct dt_err *err);
/* Makes its pipes and their names, for the shell to open. */
int dt_job_open(struct dt_job *job, struct dt_err *err) DT_MUST_CHECK;
/* Makes its output's pipes without names; the caller closes the ends in `theirs`. */
int dt_job_open_plain(struct dt_job *job, int theirs[2], struct dt_err *err) DT_MUST_CHECK;
/* All that was printed until now goes to the log; then it is over and readers hear of it. */
void dt_job_finish(struct dt_job *job, int exit_code);
void dt_job_say(struct dt_job *job, enum dt_journal_stream stream, struct dt_str text);
/* Takes it out of its session; its pipes are closed. */
void dt_job_forget(struct dt_job *job);

/* --- session.c --- */
/* One without a shell that nobody finds yet; NULL without memory. */
struct dt_session *dt_session_make(struct dt_toolbox *tb, const char *id);
void dt_session_list(struct dt_session *s);
void dt_session_unlist(struct dt_session *s);

/* --- session_look.c --- */
/* A command has begun, or another one waits for it. */
void dt_session_look(struct dt_session *s);

/* --- session_end.c --- */
void dt_session_free(struct dt_session *s);

#endif

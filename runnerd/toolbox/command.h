/* One command: a process tree, its output, its deadline. */
#ifndef DT_TOOLBOX_COMMAND_H
#define DT_TOOLBOX_COMMAND_H

#include "json/json.h"
#include "toolbox/capture.h"
#include "toolbox/toolbox.h"

enum { DT_COMMANDS_MAX = 512 };

struct dt_command;

struct dt_command_end {
    int exit_code; /* -1: ended by a signal */
    bool timed_out;
    uint64_t duration_ms;
    struct dt_capture *out;    /* both streams when they were not split */
    struct dt_capture *errors; /* NULL when they were not split */
};

struct dt_command_opts {
    const char *const *argv;
    const char *cwd;
    const json_t *env;           /* object of strings over the guest's environment; may be NULL */
    const char *const *more_env; /* "A=b" over that, ended by NULL; may be NULL */
    int extra[2];                /* descriptors 3 and 4 of the process; -1: none; the caller's */
    int in;                      /* standard input; 0 or -1: /dev/null; the caller's */
    bool split;                  /* standard error apart */
    size_t limit;                /* bytes of each stream kept in memory */
    bool no_file;                /* what is above that is not kept in a file either */
    uint64_t timeout_ms;         /* 0: none */
    uint64_t grace_ms;           /* from SIGTERM to the kill of a late or unwanted one; 0: none */
    /* Gets what comes on standard output, which then is not captured; may be NULL. */
    void (*on_out)(void *ctx, const char *p, size_t n);
    /* Once, from the loop: the program has ended and its output is here, or its time is over and
     * all of it was killed. What it left in the background lives on, and what that prints is
     * dropped. The command is gone afterwards. */
    void (*on_end)(void *ctx, const struct dt_command_end *end);
    void *ctx;
};

/* LIMIT above DT_COMMANDS_MAX; else the errors of dt_process_spawn(). Then on_end does not come. */
int dt_command_start(struct dt_toolbox *tb, const struct dt_command_opts *opts,
                     struct dt_command **ret, struct dt_err *err) DT_MUST_CHECK;
/* Kills all of it, at once or after its grace; no callback comes any more. */
void dt_command_cancel(struct dt_command *c);
/* on_out does not come until the resume; on_end waits for it. */
void dt_command_pause(struct dt_command *c);
void dt_command_resume(struct dt_command *c);

#endif

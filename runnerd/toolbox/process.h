/* Starting processes and learning of their end; and, as pid 1, burying everybody else's. */
#ifndef DT_TOOLBOX_PROCESS_H
#define DT_TOOLBOX_PROCESS_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

struct dt_process_opts {
    const char *program; /* its path; NULL: argv[0] */
    const char *const *argv;
    char *const *env;
    const char *cwd;
    int in, out, errors; /* -1: /dev/null. Kept by the caller */
    bool terminal;       /* `in` is a terminal: it becomes the one that controls the process */
    int extra[2];        /* become descriptors 3 and 4 of the process; -1: none */
    int oom_fd;          /* our own oom_score_adj, -1: unknown */
};

/* Starts the program in a session of its own, with default signals, umask 022, and no other
 * descriptor. FILE_NOT_FOUND and FILE_ACCESS_DENIED name the working directory or the program that
 * was refused; nothing runs then. sys_errno is kept. */
int dt_process_spawn(const struct dt_process_opts *o, pid_t *ret, struct dt_err *err) DT_MUST_CHECK;

/* In the caller's memory; it must stay until the callback came or dt_process_forget(). */
struct dt_process_watch {
    struct dt_process_watch *next;
    pid_t pid;
    void (*on_exit)(void *ctx, int status /* of waitpid */);
    void *ctx;
};

/* Reaps every child from now on. Once per program. */
int dt_process_init(uv_loop_t *loop, struct dt_err *err) DT_MUST_CHECK;
/* Calls on_exit once, from the loop. Call it before returning to the loop after the spawn. */
void dt_process_watch(struct dt_process_watch *w, pid_t pid, void (*on_exit)(void *ctx, int status),
                      void *ctx);
void dt_process_forget(struct dt_process_watch *w);
/* Kills everything that is being watched; for shutting down when we are not pid 1. */
void dt_process_signal_all(int sig);

/* Kills a command and all that came of it: its session and process group, everybody whose ancestors
 * or session lead there, and everybody whose environment holds `marker` ("NAME=value"), until a
 * walk through /proc finds no more. What escapes: a process that changed its session, outlived its
 * parent and also cleared its environment, or whose environment may not be read (sudo). */
void dt_process_kill_tree(pid_t leader, const char *marker);
/* Sends `sig` (0: nothing) once to all of them; returns how many there are. For both, `leader` is 0
 * once it was reaped: its number may be somebody else's. */
size_t dt_process_signal_tree(pid_t leader, const char *marker, int sig);

#endif

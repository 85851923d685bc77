/* A pseudo terminal with a process tree behind it: its output as it comes, its input through a
 * bounded queue, its size, its end. */
#ifndef DT_TOOLBOX_TERMINAL_H
#define DT_TOOLBOX_TERMINAL_H

#include "json/json.h"
#include "toolbox/toolbox.h"

enum {
    DT_TERMINAL_READ_MAX = 16 * 1024, /* bytes of one on_output */
    DT_TERMINAL_INPUT_MARK =
        256 * 1024, /* queued input above which dt_terminal_write() says false */
    DT_TERMINAL_INPUT_MAX = 2 * 1024 * 1024,
};

struct dt_terminal;

struct dt_terminal_events {
    void (*on_output)(void *ctx, const char *p, size_t n); /* borrowed for the call */
    /* After dt_terminal_write() said false: all of it was taken. */
    void (*on_drain)(void *ctx);
    /* Once, the last: the program has ended, and all that it printed was told. `status` is that of
     * waitpid(). */
    void (*on_exit)(void *ctx, int status);
};

struct dt_terminal_opts {
    const char *const *argv;
    const char *cwd;
    const json_t *env; /* object of strings over the guest's environment; may be NULL */
    unsigned short cols, rows;
    const struct dt_terminal_events *events;
    void *ctx;
};

/* Starts the program with the terminal as its input, output and controlling terminal. LIMIT when
 * the sandbox has no terminal left; else the errors of dt_process_spawn(). */
int dt_terminal_start(struct dt_toolbox *tb, const struct dt_terminal_opts *opts,
                      struct dt_terminal **ret, struct dt_err *err) DT_MUST_CHECK;
/* As if it were typed. False: wait for on_drain. What is above DT_TERMINAL_INPUT_MAX is dropped. */
bool dt_terminal_write(struct dt_terminal *t, const char *p, size_t n);
/* Stops on_output: the program waits once the terminal's own buffer is full. */
void dt_terminal_pause(struct dt_terminal *t);
void dt_terminal_resume(struct dt_terminal *t);
/* Tells the programs in front (SIGWINCH). */
void dt_terminal_resize(struct dt_terminal *t, unsigned short cols, unsigned short rows);
/* Kills the program and all that came of it; on_exit follows, at the latest after two seconds. */
void dt_terminal_kill(struct dt_terminal *t);
/* As when a line is cut: SIGHUP to the program. */
void dt_terminal_hang_up(struct dt_terminal *t);

#endif

/* What pty.c and pty_viewer.c share. Nobody else includes this. */
#ifndef DT_TOOLBOX_PTY_IMPL_H
#define DT_TOOLBOX_PTY_IMPL_H

#include "toolbox/pty.h"
#include "toolbox/pty_text.h"
#include "toolbox/scrollback.h"
#include "toolbox/terminal.h"

struct dt_pty_viewer {
    struct dt_pty_viewer *next; /* of its PTY */
    struct dt_pty *pty;         /* NULL: none yet, or it has ended */
    struct dt_ws_conn *ws;
    bool exit_control;
    bool normal_end; /* closed as after exit code 0, whatever it is */
    bool full;       /* its queue is above the mark */
    bool waits;      /* paused: the terminal's input is full */
    size_t queued;   /* at the last look at who stalls */
};

struct dt_pty {
    struct dt_pty *next;
    struct dt_toolbox *tb;
    struct dt_terminal *terminal; /* NULL until it starts */
    struct dt_pty_viewer *viewers;
    unsigned nviewers, stalls;
    uv_timer_t timer; /* runs while output is held back */
    char id[DT_PTY_ID_MAX + 1];
    char *cwd;
    json_t *envs;
    unsigned short cols, rows;
    int64_t created_ms;
    bool lazy, held;
    struct dt_scrollback output;
};

/* pty.c: starts the shell. */
int dt_pty_begin(struct dt_pty *p, struct dt_err *err) DT_MUST_CHECK;

/* pty_viewer.c */
void dt_pty_viewers_init(struct dt_pty *p);
void dt_pty_viewers_show(struct dt_pty *p, struct dt_str bytes);
/* What was typed has been taken. */
void dt_pty_viewers_resume(struct dt_pty *p);
/* Tells all of them how it ended, and leaves them to themselves. */
void dt_pty_viewers_end(struct dt_pty *p, int exit_code);

#endif

/*
 * PTYs: shells at terminals that clients name, watch and type into over WebSockets.
 *
 * A PTY lives from its creation until its shell ends or it is deleted, whoever looks at it. All of
 * its viewers see the same and may type. One that comes late first gets the last
 * DT_SCROLLBACK_MAX bytes of output, from the beginning of a line on.
 *
 * A viewer that does not keep up holds the shell's output back only while all viewers do; it is
 * closed with 1008 when it lags DT_PTY_LAG_MAX bytes behind the others, or when none of them takes
 * anything for DT_PTY_STALL_MS. Loop only.
 */
#ifndef DT_TOOLBOX_PTY_H
#define DT_TOOLBOX_PTY_H

#include "json/json.h"
#include "toolbox/toolbox.h"

enum {
    DT_PTYS_MAX = 200, /* at once, of a sandbox */
    DT_PTY_VIEWERS_MAX = 32,
    DT_PTYS_VIEWERS_MAX = 512,   /* of all PTYs */
    DT_PTY_LAG_MAX = 512 * 1024, /* bytes */
    DT_PTY_STALL_MS = 15000,
    DT_PTY_FRAME_MAX = 1024 * 1024, /* bytes of input at once */
    DT_PTY_ENDED = 64,              /* ids that are remembered after their end */
};

struct dt_pty;

struct dt_pty_opts {
    const char *id;
    const char *cwd;    /* NULL or empty: the work dir */
    json_t *envs;       /* borrowed; NULL = none */
    int64_t cols, rows; /* 0: 80 and 24 */
    bool lazy;          /* the shell starts with the first viewer */
};

/* CONFLICT: the id is in use. LIMIT above DT_PTYS_MAX. BAD_REQUEST says what was wrong.
 * UNSUPPORTED: the image has no shell. The PTY belongs to the module; *ret may be NULL. */
int dt_pty_new(struct dt_toolbox *tb, const struct dt_pty_opts *opts, struct dt_pty **ret,
               struct dt_err *err) DT_MUST_CHECK;
/* NOT_FOUND: there was none of that id; GONE: it has ended. */
int dt_pty_find(struct dt_str id, struct dt_pty **ret, struct dt_err *err) DT_MUST_CHECK;
/* Out of the list at once; all that runs in it is killed. */
void dt_pty_delete(struct dt_pty *p);
void dt_pty_resize(struct dt_pty *p, int64_t cols, int64_t rows);
/* A PtyInfo; NULL without memory. */
json_t *dt_pty_info(const struct dt_pty *p);
/* All of them, oldest first: an array of PtyInfo. */
json_t *dt_pty_infos(void);
/* SIGHUP to every shell: the sandbox stops. */
void dt_pty_hang_up(void);

/* One WebSocket at a PTY. */
struct dt_pty_viewer;

/* Takes the request over as a viewer of nothing yet; a client that offered DT_PTY_EXIT_CONTROL will
 * get the `exited` message. Fails as dt_ws_conn_upgrade() does: nothing was answered. */
int dt_pty_viewer_new(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_pty_viewer **ret,
                      struct dt_err *err) DT_MUST_CHECK;
/* Shows it the PTY: `connected`, then what was printed and what comes. Starts a shell that has not
 * been. */
int dt_pty_viewer_join(struct dt_pty_viewer *v, struct dt_pty *p, struct dt_err *err) DT_MUST_CHECK;
/* Tells it the error and closes it. */
void dt_pty_viewer_refuse(struct dt_pty_viewer *v, const struct dt_err *why);

#endif

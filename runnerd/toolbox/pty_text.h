/* What clients of PTYs write and read: ids, environments, control messages, ends. No I/O. */
#ifndef DT_TOOLBOX_PTY_TEXT_H
#define DT_TOOLBOX_PTY_TEXT_H

#include "json/json.h"

#define DT_PTY_EXIT_CONTROL "X-Daytona-Pty-Exit-Control"
#define DT_PTY_ENVS         "X-Daytona-Pty-Envs~"

enum { DT_PTY_ID_MAX = 128, DT_PTY_SIDE_MAX = 1000 };

/* BAD_REQUEST: an id that cannot stand in a path: empty, longer than DT_PTY_ID_MAX bytes, not
 * UTF-8, with a control character or one of / \ ? # %, or one that means something else there. */
int dt_pty_check_id(struct dt_str id, struct dt_err *err) DT_MUST_CHECK;
/* BAD_REQUEST above DT_PTY_SIDE_MAX. */
int dt_pty_check_size(int64_t cols, int64_t rows, struct dt_err *err) DT_MUST_CHECK;
/* The environment in a subprotocol item "X-Daytona-Pty-Envs~<Base64url of a JSON object>"; what is
 * not an object of strings with good names is BAD_REQUEST. The caller owns *ret. */
int dt_pty_envs(struct dt_str item, json_t **ret, struct dt_err *err) DT_MUST_CHECK;

/* The exit code of a shell: 128 + n when signal n killed it. `status` is that of waitpid(). */
int dt_pty_exit_code(int status);

/* Texts of at most DT_PTY_TEXT_MAX bytes, valid until the next call. */
enum { DT_PTY_TEXT_MAX = 1024 };
struct dt_pty_text {
    char p[DT_PTY_TEXT_MAX];
};
/* {"type":"control","status":"connected"} */
struct dt_str dt_pty_connected(void);
/* {"type":"control","status":"exited","exitCode":N,"exitReason":R}; no reason for 0. */
struct dt_str dt_pty_exited(int exit_code, struct dt_pty_text *room);
/* {"type":"control","status":"error","error":"Failed to connect to PTY session: why"} */
struct dt_str dt_pty_failed(const char *why, struct dt_pty_text *room);
/* The reason of the close frame: {"exitCode":N,"exitReason":R}. */
struct dt_str dt_pty_close_reason(int exit_code, struct dt_pty_text *room);

#endif

/*
 * daytona-runnerd's end of the launcher's door (launcher/wire.h): requests with deadlines, answers
 * in any order, events. Loop only. Each accepted call ends in exactly one callback, never from
 * inside the call: the answer, or UNAVAILABLE when the connection broke, or TIMEOUT.
 */
#ifndef DT_LAUNCHER_CLIENT_H
#define DT_LAUNCHER_CLIENT_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"
#include "runnerd/launcher/wire.h"

struct dt_launcher_client;

struct dt_launcher_events {
    void (*on_up)(void *ctx, const struct dt_lw_answer *hello); /* connected and greeted */
    /* The connection is lost, or was refused for good: `fatal` when there will be no other. */
    void (*on_down)(void *ctx, bool fatal, const struct dt_err *err);
    void (*on_exited)(void *ctx, const struct dt_lw_answer *event);
    /* There is a network for sandboxes, which `hello` denied: as it says now. */
    void (*on_network)(void *ctx, const struct dt_lw_answer *event);
};

typedef void dt_launcher_done(void *ctx, const struct dt_lw_answer *answer,
                              const struct dt_err *err);

/* Either over `fd` (a connected SOCK_SEQPACKET, owned; losing it is fatal) or, with fd -1, by
 * connecting to `path` (kept by pointer), again and again with growing pauses. */
int dt_launcher_client_new(uv_loop_t *loop, int fd, const char *path,
                           const struct dt_launcher_events *events, void *ctx,
                           struct dt_launcher_client **ret, struct dt_err *err) DT_MUST_CHECK;
/* Calls in flight end with UNAVAILABLE from inside this call. Returns NULL; the loop must run once
 * more. */
struct dt_launcher_client *dt_launcher_client_free(struct dt_launcher_client *l);

/* False for NULL, as after the end. */
bool dt_launcher_client_is_up(const struct dt_launcher_client *l);
/* `r` needs op, id and the op's fields only. `fd` (-1 = none) is borrowed and sent along. Fails
 * UNAVAILABLE while there is no connection, or no client any more (NULL). */
int dt_launcher_client_call(struct dt_launcher_client *l, const struct dt_lw_request *r, int fd,
                            uint64_t timeout_ms, dt_launcher_done *done, void *ctx,
                            struct dt_err *err) DT_MUST_CHECK;
/* Inside the callback of an answer: takes the descriptors that came with it (SOCKETS). Those that
 * nobody takes are closed. Returns how many; at most DT_LW_SOCKETS_MAX. */
unsigned dt_launcher_client_take_fds(struct dt_launcher_client *l, int fds[DT_LW_SOCKETS_MAX]);
/* What an answer's result means: 0 for OK, else -1 with err set from its text. */
int dt_launcher_result(const struct dt_lw_answer *a, struct dt_err *err) DT_MUST_CHECK;

#endif

/*
 * One client: what was agreed with it, and its requests under way. Each request is answered exactly
 * once, in any order, unless the client cancels it: then its work is ended and nothing is sent.
 */
#ifndef DT_SESSION_H
#define DT_SESSION_H

#include "mcp/api.h"
#include "mcp/era.h"
#include "mcp/stdio.h"

enum { DT_SESSION_CALLS_MAX = 1024 };

struct dt_session;
struct dt_call;
struct dt_tool;
struct dt_lifecycle;

struct dt_batch; /* the answers to an array line, until all are there */

struct dt_call {
    struct dt_session *session;
    struct dt_call *prev, *next;
    json_t *root; /* keeps msg alive */
    struct dt_rpc_msg msg;
    enum dt_era era;
    struct dt_batch *batch;
    const json_t *progress_token; /* NULL: no progress wanted */
    const char *doing;            /* what progress says; NULL: nothing to report */
    uint64_t started_ms;
    const struct dt_tool *tool; /* of tools/call */
    void *state;                /* the handler's; ended by state_done, then freed */
    void (*state_done)(void *state);
    struct dt_lifecycle *lifecycle; /* in `state`; see lifecycle.h */
    bool cancelled;
    /* Set while what is waited for makes something that only this call knows of. A cancelled call
     * waits on then, silently, and this runs with what came (NULL: a timer was waited for). */
    void (*undo)(struct dt_call *c, const struct dt_api_reply *reply);
    /* What is waited for. */
    struct dt_api_op *op;
    void (*on_reply)(struct dt_call *c, const struct dt_api_reply *reply, const struct dt_err *err);
    uv_timer_t timer;
    void (*on_time)(struct dt_call *c);
};

struct dt_session {
    uv_loop_t *loop;
    struct dt_stdio *io;
    struct dt_api *api;
    enum dt_era agreed;
    struct dt_call *calls;
    size_t ncalls;
    uv_timer_t progress;
    bool progress_on;
    struct dt_buf scratch; /* for composing one line */
};

void dt_session_init(struct dt_session *s, uv_loop_t *loop);
/* No call may be under way; `io` and `api` are the caller's to free. */
void dt_session_done(struct dt_session *s);

/* A message, into `batch` unless that is NULL. Fails with TOO_LARGE and then sends nothing. */
int dt_session_send(struct dt_session *s, struct dt_batch *batch, struct dt_str line,
                    struct dt_err *err);
void dt_session_send_error(struct dt_session *s, struct dt_batch *batch, const json_t *id,
                           const struct dt_rpc_err *why);

/* Copies `msg` and keeps a reference to `root`. NULL after answering with an error: the id is in
 * use, or too much is under way. */
struct dt_call *dt_call_new(struct dt_session *s, json_t *root, const struct dt_rpc_msg *msg,
                            enum dt_era era, struct dt_batch *batch);

/* The three ends of a call; it is gone afterwards. `members` is the inside of the result; the
 * result's own members of the modern revision are added. */
void dt_call_reply(struct dt_call *c, struct dt_str members);
void dt_call_reject(struct dt_call *c, const struct dt_rpc_err *why);
void dt_call_rejectf(struct dt_call *c, int code, const char *fmt, ...) DT_PRINTF(3, 4);

/* Zeroed memory for the handler, freed with the call after `done`. */
void *dt_call_alloc(struct dt_call *c, size_t size, void (*done)(void *state));
/* Asks the server and goes on in `then`, which does not run when the call is cancelled. Empties
 * `r`. */
void dt_call_fetch(struct dt_call *c, struct dt_api_req *r,
                   void (*then)(struct dt_call *c, const struct dt_api_reply *reply,
                                const struct dt_err *err));
/* Goes on in `then` after `ms`. */
void dt_call_later(struct dt_call *c, uint64_t ms, void (*then)(struct dt_call *c));

/* notifications/cancelled. An unknown id is ignored. */
void dt_session_cancel(struct dt_session *s, const json_t *id);

/* A batch counts the requests in it and sends one array when all are answered. */
struct dt_batch *dt_batch_new(struct dt_session *s);
/* Everything in it was handed out; the array goes once the last call is over. */
void dt_batch_close(struct dt_batch *b);

#endif

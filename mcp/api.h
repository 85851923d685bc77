/*
 * Our client of daytona-runnerd's REST API and, behind it, of each sandbox's toolbox. Finds the
 * server when the first request comes, keeps its connections, and looks again when a local one went
 * away.
 */
#ifndef DT_API_H
#define DT_API_H

#include <uv.h>

#include "mcp/recall.h"

struct dt_api;
struct dt_api_op; /* one request under way */

struct dt_api *dt_api_new(uv_loop_t *loop);
/* Requests under way end with CANCELLED. Returns NULL. */
struct dt_api *dt_api_free(struct dt_api *api);

struct dt_api_req {
    const char *method;
    struct dt_buf target; /* below the API's base; made by dt_api_target() */
    struct dt_buf body;
    const char *type;     /* of the body; NULL: no body */
    size_t output_limit;  /* for process/execute: separate streams, each cut to this; 0: not sent */
    uint64_t range_first; /* with range_length > 0: a Range header */
    uint64_t range_length;
    bool raw;          /* the answer is bytes, not JSON */
    bool keep;         /* a sandbox: dt_api_recall() may know the answer */
    size_t reply_max;  /* 0 = 8 MiB */
    uint64_t total_ms; /* 0 = 120,000 */
};
void dt_api_req_init(struct dt_api_req *r, const char *method);
void dt_api_req_done(struct dt_api_req *r);
/* Appends to the target; %s is percent-encoded, %d a long long. Fails TOO_LARGE above 32 KiB. */
int dt_api_target(struct dt_api_req *r, struct dt_err *err, const char *fmt, ...) DT_MUST_CHECK;
/* Takes the reference to `body`. */
int dt_api_json_body(struct dt_api_req *r, json_t *body, struct dt_err *err) DT_MUST_CHECK;

struct dt_api_reply {
    int status;
    json_t *json; /* borrowed; NULL when the answer is raw, empty or no JSON */
    struct dt_str body;
    uint64_t total; /* of a ranged answer: the whole size; UINT64_MAX when unknown */
    struct dt_memo *memo;
};

/* The answer that the server would give now, if that is known without asking. Borrowed until the
 * loop goes on; `body` is empty. */
bool dt_api_recall(struct dt_api *api, const struct dt_api_req *r, struct dt_api_reply *ret);
/* `err` is set when there was no answer or it has a status of 400 and more; its text is what the
 * server said. `reply` is NULL without an answer. */
typedef void dt_api_done(void *ctx, const struct dt_api_reply *reply, const struct dt_err *err);
/* Empties `r`. On 0 `done` comes exactly once, never from inside; on -1 it does not come. */
int dt_api_start(struct dt_api *api, struct dt_api_req *r, dt_api_done *done, void *ctx,
                 struct dt_api_op **ret, struct dt_err *err) DT_MUST_CHECK;
/* `done` comes later with CANCELLED; the command that ran in the sandbox is ended. */
void dt_api_cancel(struct dt_api_op *op);

#endif

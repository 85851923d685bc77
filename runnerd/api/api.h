/* The REST API: one route table (generated), credentials and scopes checked in one place. */
#ifndef DT_API_H
#define DT_API_H

#include "gen/rest_api.h"
#include "runnerd/lifecycle.h"

enum { DT_API_PARAMS_MAX = 4, DT_API_BODY_MAX = 4 * 1024 * 1024, DT_API_DEPTH_MAX = 32 };

/* One request. A handler answers it exactly once, now or later; what it starts holds a reference.
 */
struct dt_api_req {
    struct dt_runnerd *rd;
    struct dt_http_req *http; /* NULL once the client went away or the answer is out */
    unsigned refs;
    enum dt_rest_op op;
    char *params[DT_API_PARAMS_MAX]; /* decoded, in the order of the path */
    size_t nparams;
    struct dt_str rest; /* ANY routes: what stands behind, as sent; valid in the handler */
    struct dt_principal who;
    /* For a handler that waits: the exchange is over, whether or not it was answered. */
    void (*on_gone)(struct dt_api_req *a);
    bool waited;                  /* for the access token's issuer or user */
    json_t *body;                 /* of a handler with one */
    struct dt_audit_entry *audit; /* the action's, until it is answered; NULL: it has none */
    bool writing;                 /* that is not there yet, but the action has begun */
    int refused;                  /* the status, if it was answered meanwhile; else 0 */
    char *refusal;
    char id[24]; /* X-Request-Id */
    uint64_t start_ns;
};

/* For dt_http_server_new(); ctx is the struct dt_runnerd. */
void dt_api_handle(void *ctx, struct dt_http_req *req);

struct dt_api_req *dt_api_ref(struct dt_api_req *a);
void dt_api_unref(struct dt_api_req *a);
/* Answers with the route's status and the object (stolen; NULL = an empty body). A NULL made by a
 * printer without memory must be checked by the caller. */
void dt_api_reply(struct dt_api_req *a, json_t *body);
/* The same with an object that is text already. */
void dt_api_reply_text(struct dt_api_req *a, struct dt_str json);
/* A bare number or boolean, which clients expect as text. */
void dt_api_reply_plain(struct dt_api_req *a, struct dt_str text);
void dt_api_reply_as(struct dt_api_req *a, const char *type, struct dt_str text);
void dt_api_reply_row(struct dt_api_req *a, const struct dt_sandbox_row *row);
void dt_api_fail(struct dt_api_req *a, const struct dt_err *err);
/* Writes the request down in the audit log; `done` then runs once with a->audit set, or the error.
 * `base`: see dt_audit_begin(). */
int dt_api_audit_begin(struct dt_api_req *a,
                       void (*done)(struct dt_api_req *a, const struct dt_err *err),
                       struct dt_db_base **base, struct dt_err *err) DT_MUST_CHECK;
/* Completes that, if it was begun. `reply` (may be NULL) may name what was made. */
void dt_api_audit_end(struct dt_api_req *a, int status, const char *error, const json_t *reply);
/* The sandbox of that id, if the service that asks may see it: one with a region's key sees that
 * region's alone, and a registered runner none. NULL. */
struct dt_live *dt_api_live(const struct dt_api_req *a, const char *id);
/* The sandbox named by the first parameter; NULL when it was answered 404. */
struct dt_live *dt_api_sandbox(struct dt_api_req *a);
/* A dt_lifecycle_done for a request that it holds a reference of: answers with the row. */
void dt_api_on_row(void *ctx, const struct dt_sandbox_row *row, const struct dt_err *err);
/* START, STOP and the like of the sandbox in the path; answers. */
void dt_api_change(struct dt_api_req *a, enum dt_sandbox_call call);
/* Answers with the row as the store has it. */
void dt_api_read(struct dt_api_req *a);
/* Where clients find /toolbox/{id} of sandboxes there: at the region's own proxy if it has one. */
enum { DT_API_URL_MAX = 1200 };
const char *dt_api_toolbox_base(const struct dt_runnerd *rd, const char *org, const char *target,
                                char out[DT_API_URL_MAX]);
/* The object of the wire for a row; NULL without memory. */
json_t *dt_api_sandbox_json(const struct dt_runnerd *rd, const struct dt_sandbox_row *row);

/* The same for a volume and a snapshot. */
json_t *dt_api_volume_json(const struct dt_volume_row *r);
json_t *dt_api_snapshot_json(const struct dt_snapshot_row *r);

/* Tells those who wait at sandbox-changes; for rd->on_change. */
void dt_api_changed(struct dt_runnerd *rd, const char *org, const char *id);
/* Ends the answers of sandbox-changes that have lasted for a minute, or all. */
void dt_api_changes_end(struct dt_runnerd *rd, bool all);

/* Answers the polls of a registered runner that is gone; of all when NULL. */
void dt_api_polls_end(struct dt_runnerd *rd, const char *runner);
/* Tells of registered runners that are in another state than they were said to be. */
void dt_api_runners_review(struct dt_runnerd *rd);
/* Forgets those of a region or, when that is NULL, of an organization. */
void dt_api_runners_drop(struct dt_runnerd *rd, const char *region, const char *org);

/* The handlers: dt_api_<id>, one for each operation of schemas/rest. */
typedef void dt_api_op(struct dt_api_req *a);
typedef void dt_api_body_op(struct dt_api_req *a, json_t *body);

#include "gen/rest_handlers.h"

#endif

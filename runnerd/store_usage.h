/*
 * What sandboxes had of cpu, memory and disk, and for how long: periods without gaps or overlaps,
 * opened and closed by the transaction that changes the sandbox. All of these run inside a job.
 */
#ifndef DT_STORE_USAGE_H
#define DT_STORE_USAGE_H

#include "runnerd/store.h"

/* Whoever writes state, desired or resources of a row calls this in the same transaction; the
 * change happens at r->updated_ms. */
int dt_store_usage_note(struct dt_db_conn *c, const struct dt_sandbox_row *r,
                        struct dt_err *err) DT_MUST_CHECK;

/* Sums of amount times time: thousandths of a cpu, or MiB, times milliseconds. */
struct dt_usage {
    char sandbox[DT_UUID_SIZE];
    int64_t cpu, memory, disk;
};

struct dt_usage_query {
    const char *org;
    const char *sandbox; /* NULL: all of them */
    const char *after;   /* NULL: from the first */
    int64_t from_ms, to_ms, now_ms;
    int64_t limit;
};

/* Each sandbox that had something in [from_ms, to_ms), in the order of their ids. What lasts counts
 * up to now_ms. */
int dt_store_usage_each(struct dt_db_conn *c, const struct dt_usage_query *q,
                        int (*each)(void *ctx, const struct dt_usage *u, struct dt_err *err),
                        void *ctx, struct dt_err *err) DT_MUST_CHECK;
/* The same of all together; *sandboxes counts them. `after` and `limit` play no part. */
int dt_store_usage_total(struct dt_db_conn *c, const struct dt_usage_query *q, struct dt_usage *ret,
                         int64_t *sandboxes, struct dt_err *err) DT_MUST_CHECK;

#endif

/*
 * The store: one SQLite file, one thread that runs jobs on it in order, results posted back to the
 * loop. Each job is one transaction. A request is answered after its commit.
 */
#ifndef DT_DB_H
#define DT_DB_H

#include <uv.h>

#include "db/conn.h"

struct dt_db;

/* On the store's thread, inside a transaction: -1 (with err set) rolls it back. */
typedef int dt_db_fn(struct dt_db_conn *c, void *arg, struct dt_err *err);
/* On the loop, after the commit (err NULL) or the roll-back. */
typedef void dt_db_done(void *arg, const struct dt_err *err);

enum { DT_DB_JOBS_MAX = 4096 }; /* waiting at once */

/* Opens the file, applies migrations and starts the thread; blocks while it does. */
int dt_db_open(uv_loop_t *loop, const char *path, struct dt_db **ret,
               struct dt_err *err) DT_MUST_CHECK;
/* Queues a job. -1 (LIMIT): the queue is full, `done` will not come. On 0 it comes exactly once,
 * never from inside this call. `done` may be NULL. */
int dt_db_submit(struct dt_db *db, dt_db_fn *fn, void *arg, dt_db_done *done,
                 struct dt_err *err) DT_MUST_CHECK;
/* The same for a job that only reads. */
int dt_db_submit_read(struct dt_db *db, dt_db_fn *fn, void *arg, dt_db_done *done,
                      struct dt_err *err) DT_MUST_CHECK;
/* A job that others rest on: see dt_db_rest_on(). */
struct dt_db_base;
/* The same as dt_db_submit(); *ret is the caller's until dt_db_base_free(). */
int dt_db_submit_base(struct dt_db *db, dt_db_fn *fn, void *arg, dt_db_done *done,
                      struct dt_db_base **ret, struct dt_err *err) DT_MUST_CHECK;
/* Every job that is submitted from now on, until it is called with NULL, is run only if `base` was
 * committed; else it fails with the error of that. So nobody need wait for the one before the other
 * is submitted. */
void dt_db_rest_on(struct dt_db *db, struct dt_db_base *base);
/* NULL is fine; returns NULL. */
struct dt_db_base *dt_db_base_free(struct dt_db_base *base);
DT_DEFINE_AUTO(struct dt_db_base *, dt_db_base_free)
/* How many jobs wait or run. On the loop. */
size_t dt_db_waiting(const struct dt_db *db);
/* Runs the jobs that wait, ends the thread, and calls their `done`s from here. Returns NULL. The
 * loop must run once more afterwards, for the handle inside. */
struct dt_db *dt_db_close(struct dt_db *db);

#endif

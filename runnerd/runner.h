/* This machine as a runner: the one that runs the sandboxes of this server. */
#ifndef DT_RUNNER_H
#define DT_RUNNER_H

#include "base/rand.h"
#include "db/conn.h"

struct dt_runner {
    char id[DT_UUID_SIZE];
    bool unschedulable; /* makes no new sandboxes */
    bool draining;      /* the same, on the way to being switched off */
    int64_t created_ms, updated_ms;
};

/* Makes its row at the first start. */
int dt_runner_load(struct dt_runner *r, struct dt_db_conn *c, struct dt_err *err) DT_MUST_CHECK;
/* Inside a job: writes both flags and updated_ms. */
int dt_store_runner_edit(struct dt_db_conn *c, const struct dt_runner *r,
                         struct dt_err *err) DT_MUST_CHECK;

#endif

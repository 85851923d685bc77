/* The network's rules of a sandbox, changed while it exists: at once when it runs, else at its next
 * start. */
#ifndef DT_NETWORK_H
#define DT_NETWORK_H

#include "runnerd/lifecycle.h"

/* What is not said stays as it is; texts are borrowed for the call. */
struct dt_network_ask {
    bool has_block_all, block_all;
    const char *allow_list; /* NULL: not said; "": none */
};

/* `done` comes once, with the row after the change. CONFLICT while the sandbox changes. */
int dt_network_set(struct dt_runnerd *rd, struct dt_live *l, const struct dt_network_ask *ask,
                   dt_lifecycle_done *done, void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif

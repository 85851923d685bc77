/* The network's rules of a sandbox, changed while it exists: at once when it runs, else at its next
 * start. */
#ifndef DT_NETWORK_H
#define DT_NETWORK_H

#include "runnerd/lifecycle.h"

/* What is not said stays as it is, but: no block alone takes the list away, too, and a list alone
 * ends the block. Texts are borrowed for the call. */
struct dt_network_ask {
    bool has_block_all, block_all;
    const char *allow_list; /* NULL: not said; "": none */
};

/* `done` comes once, with the row after the change. CONFLICT while the sandbox changes, BAD_REQUEST
 * when its organization is limited. */
int dt_network_set(struct dt_runnerd *rd, struct dt_live *l, const struct dt_network_ask *ask,
                   dt_lifecycle_done *done, void *ctx, struct dt_err *err) DT_MUST_CHECK;

/* Checks the setting LIMITED_EGRESS_ALLOW_LIST. BAD_REQUEST. */
int dt_network_check(const struct dt_config_runnerd *config, struct dt_err *err) DT_MUST_CHECK;
/* The networks (a list for dt_cidr_list()) that sandboxes of a limited organization may reach;
 * NULL: it is not limited. */
const char *dt_network_limit(const struct dt_runnerd *rd, const char *org);
/* That is another one now: tells the launcher of the sandboxes that run, and of those that are on
 * their way as soon as they run. */
void dt_network_limit_changed(struct dt_runnerd *rd, const char *org);
/* Does what is due of that, if it can be done now: after each change of state, and by the clock. */
void dt_network_limit_apply(struct dt_runnerd *rd, struct dt_live *l);

#endif

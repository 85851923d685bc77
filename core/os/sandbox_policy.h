/* A network policy as the table holds it: what one slot has in which set. */
#ifndef DT_SANDBOX_POLICY_H
#define DT_SANDBOX_POLICY_H

#include "os/sandbox_net.h"

/* From `first` to `last`, host byte order. */
struct dt_sandbox_range {
    uint32_t first;
    uint32_t last;
};

struct dt_sandbox_policy {
    bool known; /* its source address may send */
    bool full;
    uint8_t n;
    /* Ascending, and never overlapping or next to each other. */
    struct dt_sandbox_range allow[DT_SANDBOX_NET_CIDRS];
};

/* Checks and normalises what dt_sandbox_net_policy() was given. */
int dt_sandbox_policy_read(struct dt_sandbox_policy *p, enum dt_sandbox_net_mode mode,
                           const struct dt_cidr *cidrs, unsigned n,
                           struct dt_err *err) DT_MUST_CHECK;
bool dt_sandbox_policy_same(const struct dt_sandbox_policy *a, const struct dt_sandbox_policy *b);

#endif

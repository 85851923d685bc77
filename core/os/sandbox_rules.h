/* The one table of an instance's sandbox network: the same rules for every sandbox, whose policies
 * are elements of the sets named here. sandbox_net.h says what the rules achieve. */
#ifndef DT_SANDBOX_RULES_H
#define DT_SANDBOX_RULES_H

#include "os/nft.h"

/* IFNAMSIZ bytes of interface name, then the address: who may send with which source. */
#define DT_RULES_SOURCES "sources"
/* Addresses of the sandboxes with FULL. */
#define DT_RULES_FULL "full"
/* Sandbox and destination as one 64-bit number, as ranges. */
#define DT_RULES_ALLOW "allow"
/* Gateway -> resolver, and the resolver; empty when there is none. */
#define DT_RULES_DNS      "dns"
#define DT_RULES_RESOLVER "resolver"

struct dt_sandbox_rules {
    const char *iface; /* what the names of this instance's interfaces begin with */
    uint32_t base;     /* its /20, host byte order */
    uint32_t gateway;
    uint32_t flows; /* most tracked connections of one sandbox */
};

/* Adds sets, chains and rules to the batch, for a table that is new in it. */
void dt_sandbox_rules_add(struct dt_nft *n, const struct dt_sandbox_rules *r);

#endif

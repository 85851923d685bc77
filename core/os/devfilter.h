/* Which devices processes of a cgroup may open: an eBPF program on the group and all below it. */
#ifndef DT_DEVFILTER_H
#define DT_DEVFILTER_H

#include "base/err.h"

/* The character devices that a sandbox may read and write; everything else, and making nodes, is
 * refused. minor -1 = any. */
struct dt_devfilter_rule {
    int major, minor;
};
extern const struct dt_devfilter_rule dt_devfilter_rules[];
extern const unsigned dt_devfilter_nrules;

/* Puts the program on the v2 group `cgroup_fd` in place of those that were put there before.
 * UNSUPPORTED when the kernel has no device programs (CONFIG_CGROUP_BPF). */
int dt_devfilter_attach(int cgroup_fd, struct dt_err *err) DT_MUST_CHECK;

#endif

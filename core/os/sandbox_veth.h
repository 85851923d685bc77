/* A network namespace, and the pair of interfaces that joins it to the host by a route. */
#ifndef DT_SANDBOX_VETH_H
#define DT_SANDBOX_VETH_H

#include "os/rtnl.h"

struct dt_sandbox_veth {
    const char *name; /* of the host's end; the other is eth0 */
    uint32_t addr;    /* of the sandbox, host byte order */
    uint32_t gateway;
    uint64_t rate;  /* bytes a second, in each direction; 0 = no limit */
    int host_netns; /* borrowed: where the caller is and the host's end goes */
};

/* The new namespace, with lo up and the settings every sandbox has. The thread is in `host_netns`
 * before and after; the process is aborted when it cannot get back there. */
int dt_sandbox_netns(int host_netns, int *netns_fd, struct dt_err *err) DT_MUST_CHECK;
/* As above, with the interfaces up, their addresses, neighbours and routes. `host` is a socket in
 * the host's namespace. Fails with sys_errno EEXIST when the host has that interface already. */
int dt_sandbox_veth(struct dt_nl *host, const struct dt_sandbox_veth *v, int *netns_fd,
                    struct dt_err *err) DT_MUST_CHECK;
/* Whether the kernel can limit a rate; UNSUPPORTED says what it lacks. */
int dt_sandbox_veth_can_limit(int host_netns, struct dt_err *err) DT_MUST_CHECK;

#endif

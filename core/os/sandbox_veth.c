#include "os/sandbox_veth.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>

#include "base/fd.h"

/* The same on every veth: its ends see only each other. */
static const struct dt_mac host_mac = {{0x02, 0, 0, 0, 0, 0x01}};

static struct dt_mac sandbox_mac(uint32_t addr)
{
    return (struct dt_mac){{0x02, 0x01, (uint8_t)(addr >> 24), (uint8_t)(addr >> 16),
                            (uint8_t)(addr >> 8), (uint8_t)addr}};
}

/* A kernel without IPv6 has nothing to switch off. */
static int disable_ipv6(const char *conf, struct dt_err *err)
{
    char path[80];
    struct dt_err why;
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", conf);
    if (dt_fd_put(AT_FDCWD, path, "1", &why) == 0 || why.sys_errno == ENOENT)
        return 0;
    *err = why;
    return -1;
}

static int apply_sysctls(struct dt_err *err)
{
    static const char *const rows[][2] = {
        {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
        {"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
    };
    if (disable_ipv6("all", err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (dt_fd_put(AT_FDCWD, rows[i][0], rows[i][1], err) < 0)
            return -1;
    return 0;
}

/* In the new namespace from here to the end. */
static int build_inside(const struct dt_sandbox_veth *v, struct dt_err *err)
{
    const unsigned lo = 1;
    DT_AUTO(dt_nl_close) struct dt_nl *nl = NULL;
    if (apply_sysctls(err) < 0 || dt_nl_open(NETLINK_ROUTE, 4096, &nl, err) < 0)
        return -1;
    dt_rtnl_link_up(nl, lo);
    if (v->name == NULL)
        return dt_nl_talk(nl, err);
    dt_rtnl_veth(nl, "eth0", sandbox_mac(v->addr), v->name, host_mac, v->host_netns);
    if (dt_nl_talk(nl, err) < 0)
        return -1;
    unsigned eth0 = dt_rtnl_ifindex(nl, "eth0");
    dt_nl_begin(nl);
    dt_rtnl_link_up_noarp(nl, eth0, false);
    dt_rtnl_addr_add(nl, eth0, v->addr, RT_SCOPE_UNIVERSE);
    dt_rtnl_neigh(nl, eth0, v->gateway, host_mac);
    dt_rtnl_route_host(nl, eth0, v->gateway, 0);
    dt_rtnl_route_default(nl, eth0, v->gateway);
    return dt_nl_talk(nl, err);
}

static int make(const struct dt_sandbox_veth *v, int *netns_fd, struct dt_err *err)
{
    if (unshare(CLONE_NEWNET) < 0)
        return dt_err_errno(err, "make a network namespace");
    DT_AUTO_FD int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? dt_err_errno(err, "open the new network namespace") : build_inside(v, err);
    /* Going on in a sandbox's namespace would give the next sandbox the wrong network. */
    if (setns(v->host_netns, CLONE_NEWNET) < 0)
        abort();
    if (rc == 0)
        *netns_fd = dt_take_fd(&fd);
    return rc;
}

int dt_sandbox_netns(int host_netns, int *netns_fd, struct dt_err *err)
{
    const struct dt_sandbox_veth alone = {.host_netns = host_netns};
    return make(&alone, netns_fd, err);
}

static int build_outside(struct dt_nl *host, const struct dt_sandbox_veth *v, struct dt_err *err)
{
    unsigned end = dt_rtnl_ifindex(host, v->name);
    if (end == 0)
        return dt_err_errno(err, "find interface %s", v->name);
    if (disable_ipv6(v->name, err) < 0)
        return -1;
    dt_nl_begin(host);
    dt_rtnl_link_up_noarp(host, end, true);
    dt_rtnl_neigh(host, end, v->addr, sandbox_mac(v->addr));
    dt_rtnl_route_host(host, end, v->addr, v->gateway);
    return dt_nl_talk(host, err);
}

int dt_sandbox_veth(struct dt_nl *host, const struct dt_sandbox_veth *v, int *netns_fd,
                    struct dt_err *err)
{
    DT_AUTO_FD int fd = -1;
    if (make(v, &fd, err) < 0 || build_outside(host, v, err) < 0)
        return dt_err_wrap(err, "network interface %s", v->name);
    *netns_fd = dt_take_fd(&fd);
    return 0;
}

#include "os/sandbox_veth.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/mount_api.h"

enum { LO = 1 };

/* The same on every veth: its ends see only each other. */
static const struct dt_mac host_mac = {{0x02, 0, 0, 0, 0, 0x01}};

static struct dt_mac sandbox_mac(uint32_t addr)
{
    return (struct dt_mac){{0x02, 0x01, (uint8_t)(addr >> 24), (uint8_t)(addr >> 16),
                            (uint8_t)(addr >> 8), (uint8_t)addr}};
}

/*
 * A proc of our own for every namespace. In one that is kept, the entries below sys/net of all live
 * namespaces have the same names and so share a hash chain: opening one took 0.07 ms alone and
 * 0.4 ms with 900 sandboxes.
 */
static int open_proc(struct dt_err *err)
{
    DT_AUTO_FD int fs = fsopen("proc", FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return dt_err_errno(err, "make a proc file system");
    int fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "mount a proc file system");
    return fd;
}

/* A kernel without IPv6 has nothing to switch off. */
static int disable_ipv6(int proc, const char *conf, struct dt_err *err)
{
    char path[80];
    (void)snprintf(path, sizeof(path), "sys/net/ipv6/conf/%s/disable_ipv6", conf);
    if (dt_fd_put(proc, path, "1", err) == 0 || err->sys_errno == ENOENT)
        return 0;
    return -1;
}

static int apply_sysctls(int proc, struct dt_err *err)
{
    if (disable_ipv6(proc, "all", err) < 0 ||
        dt_fd_put(proc, "sys/net/ipv4/ip_unprivileged_port_start", "0", err) < 0)
        return -1;
    /* A host that is silent is given up after half a minute, the kernel's own is over two. */
    if (dt_fd_put(proc, "sys/net/ipv4/tcp_syn_retries", "4", err) < 0)
        return -1;
    return dt_fd_put(proc, "sys/net/ipv4/ping_group_range", "0 2147483647", err);
}

/*
 * Comes back with a socket into the new namespace, so that the rest is done from the host's. In the
 * new namespace it makes only what no message can: the settings, and the socket itself.
 */
static int enter_and_open(int proc, int host_netns, int *netns_fd, struct dt_nl **inside,
                          struct dt_err *err)
{
    if (unshare(CLONE_NEWNET) < 0)
        return dt_err_errno(err, "make a network namespace");
    DT_AUTO_FD int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? dt_err_errno(err, "open the new network namespace") : 0;
    if (rc == 0)
        rc = apply_sysctls(proc, err);
    if (rc == 0)
        rc = dt_nl_open(NETLINK_ROUTE, 4096, inside, err);
    /* Going on in a sandbox's namespace would give the next sandbox the wrong network. */
    if (setns(host_netns, CLONE_NEWNET) < 0)
        abort();
    if (rc == 0)
        *netns_fd = dt_take_fd(&fd);
    return rc;
}

int dt_sandbox_netns(int host_netns, int *netns_fd, struct dt_err *err)
{
    DT_AUTO(dt_nl_close) struct dt_nl *inside = NULL;
    DT_AUTO_FD int fd = -1;
    DT_AUTO_FD int proc = open_proc(err);
    if (proc < 0 || enter_and_open(proc, host_netns, &fd, &inside, err) < 0)
        return -1;
    dt_rtnl_link_up(inside, LO);
    if (dt_nl_talk(inside, err) < 0)
        return dt_err_wrap(err, "lo");
    *netns_fd = dt_take_fd(&fd);
    return 0;
}

/* Tried on the lo of a namespace that is then forgotten; the kernel may load its module for it. */
int dt_sandbox_veth_can_limit(int host_netns, struct dt_err *err)
{
    DT_AUTO(dt_nl_close) struct dt_nl *inside = NULL;
    DT_AUTO_FD int fd = -1;
    DT_AUTO_FD int proc = open_proc(err);
    if (proc < 0 || enter_and_open(proc, host_netns, &fd, &inside, err) < 0)
        return -1;
    dt_rtnl_rate_limit(inside, LO, 1);
    if (dt_nl_talk(inside, err) == 0)
        return 0;
    if (err->sys_errno == ENOENT || err->sys_errno == EOPNOTSUPP)
        err->code = DT_E_UNSUPPORTED;
    return dt_err_wrap(err, "rate limit (the kernel's sch_tbf)");
}

static int up_outside(int proc, struct dt_nl *host, const struct dt_sandbox_veth *v,
                      struct dt_err *err)
{
    unsigned end = dt_rtnl_ifindex(host, v->name);
    if (disable_ipv6(proc, v->name, err) < 0)
        return -1;
    dt_nl_begin(host);
    if (v->rate != 0)
        dt_rtnl_rate_limit(host, end, v->rate);
    dt_rtnl_link_up_noarp(host, end, true);
    dt_rtnl_neigh(host, end, v->addr, sandbox_mac(v->addr));
    dt_rtnl_route_host(host, end, v->addr, v->gateway);
    return dt_nl_talk(host, err);
}

static int up_inside(struct dt_nl *inside, const struct dt_sandbox_veth *v, struct dt_err *err)
{
    unsigned eth0 = dt_rtnl_ifindex(inside, "eth0");
    dt_nl_begin(inside);
    if (v->rate != 0)
        dt_rtnl_rate_limit(inside, eth0, v->rate);
    dt_rtnl_link_up_noarp(inside, eth0, false);
    dt_rtnl_addr_add(inside, eth0, v->addr, RT_SCOPE_UNIVERSE);
    dt_rtnl_neigh(inside, eth0, v->gateway, host_mac);
    dt_rtnl_route_host(inside, eth0, v->gateway, 0);
    dt_rtnl_route_default(inside, eth0, v->gateway);
    return dt_nl_talk(inside, err);
}

int dt_sandbox_veth(struct dt_nl *host, const struct dt_sandbox_veth *v, int *netns_fd,
                    struct dt_err *err)
{
    DT_AUTO(dt_nl_close) struct dt_nl *inside = NULL;
    DT_AUTO_FD int fd = -1;
    DT_AUTO_FD int proc = open_proc(err);
    if (proc < 0 || enter_and_open(proc, v->host_netns, &fd, &inside, err) < 0)
        return dt_err_wrap(err, "network interface %s", v->name);
    dt_rtnl_link_up(inside, LO);
    dt_rtnl_veth(inside, "eth0", sandbox_mac(v->addr), v->name, host_mac, v->host_netns);
    /* The end that comes up last works at once, the other one when the kernel gets round to it:
     * the host's is first, and waited for, so that no first packet of a sandbox is lost. */
    if (dt_nl_talk(inside, err) < 0 || up_outside(proc, host, v, err) < 0 ||
        up_inside(inside, v, err) < 0 || dt_rtnl_wait_running(host, v->name, err) < 0)
        return dt_err_wrap(err, "network interface %s", v->name);
    *netns_fd = dt_take_fd(&fd);
    return 0;
}

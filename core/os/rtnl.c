#include "os/rtnl.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/clock.h"

static void link_msg(struct dt_nl *nl, uint16_t type, uint16_t flags, unsigned ifindex)
{
    struct ifinfomsg *m = dt_nl_msg(nl, type, flags, sizeof(*m));
    m->ifi_family = AF_UNSPEC;
    m->ifi_index = (int)ifindex;
}

void dt_rtnl_veth(struct dt_nl *nl, const char *name, struct dt_mac mac, const char *peer,
                  struct dt_mac peer_mac, int peer_netns_fd)
{
    link_msg(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    dt_nl_strz(nl, IFLA_IFNAME, name);
    dt_nl_put(nl, IFLA_ADDRESS, &mac, sizeof(mac));
    dt_nl_nest(nl, IFLA_LINKINFO);
    dt_nl_strz(nl, IFLA_INFO_KIND, "veth");
    dt_nl_nest(nl, IFLA_INFO_DATA);
    dt_nl_nest(nl, VETH_INFO_PEER);
    (void)dt_nl_raw(nl, sizeof(struct ifinfomsg));
    dt_nl_strz(nl, IFLA_IFNAME, peer);
    dt_nl_put(nl, IFLA_ADDRESS, &peer_mac, sizeof(peer_mac));
    dt_nl_u32(nl, IFLA_NET_NS_FD, (uint32_t)peer_netns_fd);
    dt_nl_end(nl);
    dt_nl_end(nl);
    dt_nl_end(nl);
}

static void up(struct dt_nl *nl, unsigned ifindex, unsigned flags)
{
    struct ifinfomsg *m = dt_nl_msg(nl, RTM_NEWLINK, 0, sizeof(*m));
    m->ifi_index = (int)ifindex;
    m->ifi_flags = IFF_UP | flags;
    m->ifi_change = IFF_UP | flags;
}

void dt_rtnl_link_up(struct dt_nl *nl, unsigned ifindex)
{
    up(nl, ifindex, 0);
}

void dt_rtnl_link_up_noarp(struct dt_nl *nl, unsigned ifindex, bool is_router)
{
    static const struct {
        uint16_t key;
        uint32_t value;
    } conf[] = {{IPV4_DEVCONF_FORWARDING, 1},
                {IPV4_DEVCONF_RP_FILTER, 1},
                {IPV4_DEVCONF_ACCEPT_REDIRECTS, 0},
                {IPV4_DEVCONF_SEND_REDIRECTS, 0},
                {IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, 0},
                {IPV4_DEVCONF_ROUTE_LOCALNET, 0},
                {IPV4_DEVCONF_PROXY_ARP, 0}};
    up(nl, ifindex, IFF_NOARP);
    if (!is_router)
        return;
    dt_nl_nest(nl, IFLA_AF_SPEC);
    dt_nl_nest(nl, AF_INET);
    dt_nl_nest(nl, IFLA_INET_CONF);
    for (size_t i = 0; i < sizeof(conf) / sizeof(conf[0]); i++)
        dt_nl_u32(nl, conf[i].key, conf[i].value);
    dt_nl_end(nl);
    dt_nl_end(nl);
    dt_nl_end(nl);
}

void dt_rtnl_rate_limit(struct dt_nl *nl, unsigned ifindex, uint64_t rate)
{
    /* A segment of TCP is up to 64 KiB until it leaves the host, and must fit a burst. */
    const uint64_t burst_min = 128 * 1024, queue_min = 128 * 1024;
    uint64_t burst = rate / 100 > burst_min ? rate / 100 : burst_min;
    uint64_t queue = rate / 50 > queue_min ? rate / 50 : queue_min;
    struct tc_tbf_qopt tbf = {.rate = {.linklayer = TC_LINKLAYER_ETHERNET}};
    tbf.rate.rate = rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
    tbf.limit = burst + queue < UINT32_MAX ? (uint32_t)(burst + queue) : UINT32_MAX;
    struct tcmsg *m = dt_nl_msg(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));
    m->tcm_family = AF_UNSPEC;
    m->tcm_ifindex = (int)ifindex;
    m->tcm_handle = TC_H_MAKE(1U << 16, 0);
    m->tcm_parent = TC_H_ROOT;
    dt_nl_strz(nl, TCA_KIND, "tbf");
    dt_nl_nest(nl, TCA_OPTIONS);
    dt_nl_put(nl, TCA_TBF_PARMS, &tbf, sizeof(tbf));
    dt_nl_put(nl, TCA_TBF_RATE64, &rate, sizeof(rate));
    dt_nl_u32(nl, TCA_TBF_BURST, burst < UINT32_MAX ? (uint32_t)burst : UINT32_MAX);
    dt_nl_end(nl);
}

void dt_rtnl_link_del(struct dt_nl *nl, const char *name)
{
    link_msg(nl, RTM_DELLINK, 0, 0);
    dt_nl_strz(nl, IFLA_IFNAME, name);
}

static void addr_msg(struct dt_nl *nl, uint16_t type, uint16_t flags, unsigned ifindex,
                     uint32_t addr, uint8_t scope)
{
    struct ifaddrmsg *m = dt_nl_msg(nl, type, flags, sizeof(*m));
    m->ifa_family = AF_INET;
    m->ifa_prefixlen = 32;
    m->ifa_scope = scope;
    m->ifa_index = ifindex;
    dt_nl_be32(nl, IFA_LOCAL, addr);
    dt_nl_be32(nl, IFA_ADDRESS, addr);
}

void dt_rtnl_addr_add(struct dt_nl *nl, unsigned ifindex, uint32_t addr, uint8_t scope)
{
    addr_msg(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, addr, scope);
}

void dt_rtnl_addr_del(struct dt_nl *nl, unsigned ifindex, uint32_t addr)
{
    addr_msg(nl, RTM_DELADDR, 0, ifindex, addr, 0);
}

void dt_rtnl_neigh(struct dt_nl *nl, unsigned ifindex, uint32_t addr, struct dt_mac mac)
{
    struct ndmsg *m = dt_nl_msg(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));
    m->ndm_family = AF_INET;
    m->ndm_ifindex = (int)ifindex;
    m->ndm_state = NUD_PERMANENT;
    dt_nl_be32(nl, NDA_DST, addr);
    dt_nl_put(nl, NDA_LLADDR, &mac, sizeof(mac));
}

static struct rtmsg *route_msg(struct dt_nl *nl, uint8_t prefix, uint8_t scope)
{
    struct rtmsg *m = dt_nl_msg(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*m));
    m->rtm_family = AF_INET;
    m->rtm_dst_len = prefix;
    m->rtm_table = RT_TABLE_MAIN;
    m->rtm_protocol = RTPROT_STATIC;
    m->rtm_scope = scope;
    m->rtm_type = RTN_UNICAST;
    return m;
}

void dt_rtnl_route_host(struct dt_nl *nl, unsigned ifindex, uint32_t dst, uint32_t source)
{
    (void)route_msg(nl, 32, RT_SCOPE_LINK);
    dt_nl_be32(nl, RTA_DST, dst);
    dt_nl_u32(nl, RTA_OIF, ifindex);
    if (source != 0)
        dt_nl_be32(nl, RTA_PREFSRC, source);
}

void dt_rtnl_route_default(struct dt_nl *nl, unsigned ifindex, uint32_t gateway)
{
    (void)route_msg(nl, 0, RT_SCOPE_UNIVERSE);
    dt_nl_be32(nl, RTA_GATEWAY, gateway);
    dt_nl_u32(nl, RTA_OIF, ifindex);
}

unsigned dt_rtnl_ifindex(const struct dt_nl *nl, const char *name)
{
    struct ifreq req = {0};
    (void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    if (ioctl(mnl_socket_get_fd(nl->sock), SIOCGIFINDEX, &req) < 0)
        return 0;
    return (unsigned)req.ifr_ifindex;
}

int dt_rtnl_wait_running(const struct dt_nl *nl, const char *name, struct dt_err *err)
{
    int fd = mnl_socket_get_fd(nl->sock);
    uint64_t deadline = dt_clock_ms() + DT_NL_WAIT_MS;
    for (;;) {
        struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
        struct ifreq req = {0};
        (void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
        req.ifr_data = (void *)&link;
        /* Asking makes the kernel handle the pending carrier event now, since 6.9; before, that
         * takes it a moment, and the lock that it waits for is the one this call takes. */
        if (ioctl(fd, SIOCETHTOOL, &req) < 0 || ioctl(fd, SIOCGIFFLAGS, &req) < 0)
            return dt_err_errno(err, "state of interface %s", name);
        if ((req.ifr_flags & IFF_RUNNING) != 0)
            return 0;
        if (dt_clock_ms() > deadline)
            return dt_err_set(err, DT_E_TIMEOUT, "interface %s has no carrier after %d ms", name,
                              DT_NL_WAIT_MS);
        (void)poll(NULL, 0, 1);
    }
}

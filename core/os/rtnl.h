/* Interfaces, addresses, neighbours and routes through rtnetlink; each verb adds one message to a
 * batch that dt_nl_talk() sends. Addresses are in host byte order. */
#ifndef DT_RTNL_H
#define DT_RTNL_H

#include <net/if.h>
#include <stdint.h>

#include "os/netlink.h"

struct dt_mac {
    uint8_t b[6];
};

/* A veth pair, both ends down: `name` in the socket's namespace, `peer` in that of peer_netns_fd.
 */
void dt_rtnl_veth(struct dt_nl *nl, const char *name, struct dt_mac mac, const char *peer,
                  struct dt_mac peer_mac, int peer_netns_fd);
void dt_rtnl_link_up(struct dt_nl *nl, unsigned ifindex);
/* Up without ARP; with `is_router` also the IPv4 settings of an end that faces an untrusted peer:
 * forwards, strict reverse path, no redirects, no source routes. */
void dt_rtnl_link_up_noarp(struct dt_nl *nl, unsigned ifindex, bool is_router);
/* A queue that lets out at most `rate` bytes a second, not 0, in bursts of 10 ms or 128 KiB, and
 * drops what waits longer than some 20 ms. For an interface that is down: on one that is up the
 * kernel waits for all processors. */
void dt_rtnl_rate_limit(struct dt_nl *nl, unsigned ifindex, uint64_t rate);
void dt_rtnl_link_del(struct dt_nl *nl, const char *name);
/* A /32. With scope RT_SCOPE_LINK the kernel never picks it as a source by itself. */
void dt_rtnl_addr_add(struct dt_nl *nl, unsigned ifindex, uint32_t addr, uint8_t scope);
void dt_rtnl_addr_del(struct dt_nl *nl, unsigned ifindex, uint32_t addr);
void dt_rtnl_neigh(struct dt_nl *nl, unsigned ifindex, uint32_t addr, struct dt_mac mac);
/* To one address on the link, from `source` unless that is 0. */
void dt_rtnl_route_host(struct dt_nl *nl, unsigned ifindex, uint32_t dst, uint32_t source);
void dt_rtnl_route_default(struct dt_nl *nl, unsigned ifindex, uint32_t gateway);

/* 0 when there is no such interface in the socket's namespace. */
unsigned dt_rtnl_ifindex(const struct dt_nl *nl, const char *name);
/* Until the interface, whose other end is up, takes packets. Usually at once, never longer than
 * DT_NL_WAIT_MS. */
int dt_rtnl_wait_running(const struct dt_nl *nl, const char *name,
                         struct dt_err *err) DT_MUST_CHECK;

#endif

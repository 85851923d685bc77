/*
 * The network of one instance's sandboxes: a routed veth per sandbox and one nftables table.
 *
 * A sandbox's network namespace belongs to the host's user namespace, so root inside has no power
 * over it. There is no bridge: the host's end `dt<instance>-<slot>` has a /32 route and a permanent
 * neighbour, ARP and IPv6 are off. The table `daytona<instance>` (family inet) never changes; what
 * belongs to a sandbox are set elements, and every change is one atomic batch.
 *
 * Connections of sandboxes that are gone are forgotten before their slot is used again; that reads
 * the host's connection table once in a while, inside dt_sandbox_net_make().
 *
 * For the root launcher only: synchronous, single-threaded (the caller enters the new namespace for
 * a moment and comes back; if it cannot come back it aborts). Holds three descriptors in all. No
 * call waits longer than DT_SANDBOX_NET_WAIT_MS for an answer of the kernel. `err` is never NULL.
 *
 * Limits of the host that no rule of ours can lift: a table of somebody else whose forward chain
 * drops (Docker and ufw do that) also drops sandboxes' packets, since an accept ends only our own
 * chain. net.ipv4.ip_forward is switched on and stays on.
 */
#ifndef DT_SANDBOX_NET_H
#define DT_SANDBOX_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    DT_SANDBOX_NET_INSTANCES = 16,
    DT_SANDBOX_NET_SLOTS = 4000, /* slots are 1..4000 */
    DT_SANDBOX_NET_CIDRS = 16,   /* most ranges of one ALLOW policy */
    DT_SANDBOX_NET_FLOWS = 4096, /* most tracked connections of one sandbox */
    DT_SANDBOX_NET_WAIT_MS = 5000,
};

struct dt_sandbox_net;

struct dt_sandbox_net_opts {
    unsigned instance; /* 0..15 */
    uint32_t base;     /* its /20, host byte order; 0 = 10.222.(16 * instance).0 */
    uint32_t resolver; /* host byte order; 0 = the host's own, see dt_sandbox_net_refresh() */
    bool unowned;      /* for tests: as on kernels before 6.9, see dt_sandbox_net_guard() */
    bool at_once;      /* fails at once when somebody else has the instance open */
    uint64_t rate;     /* bytes a second that each sandbox may send, and as many that it may
                          receive; 0 = no limit. For those made from now on. */
};

/* What may leave a sandbox. Never reachable, whatever the mode: the host's own addresses, other
 * sandboxes of any instance, 169.254.0.0/16, multicast and reserved ranges. Refused packets are
 * answered (TCP reset, ICMP admin-prohibited), so that programs fail at once. */
enum dt_sandbox_net_mode {
    DT_SANDBOX_NET_FULL = 0, /* all public addresses, and DNS through the gateway */
    DT_SANDBOX_NET_NONE = 1, /* nothing */
    DT_SANDBOX_NET_ALLOW = 2 /* only its ranges, which may be private ones; no DNS unless the
                                resolver's address lies in them */
};

struct dt_cidr {
    uint32_t addr;   /* host byte order */
    uint32_t prefix; /* 0..32; bits behind it are ignored */
};

/* Makes or replaces the instance's table, switches forwarding on and adds the gateway's address to
 * lo. From here on every sandbox of this instance that runs already is cut off until it is adopted.
 * On failure (UNSUPPORTED, SYSTEM, INVALID) nothing passes, and err says what the host lacks: the
 * launcher can go on without network. Only one process can have an instance open (SYSTEM, EPERM,
 * after 5 s of waiting unless `at_once`: the last one may be just ending); a child that inherited
 * our descriptors counts. The caller owns *ret, set on success only. */
int dt_sandbox_net_open(const struct dt_sandbox_net_opts *opts, struct dt_sandbox_net **ret,
                        struct dt_err *err) DT_MUST_CHECK;
/* The rate that is kept: 0 also when the kernel lacks what it takes. */
uint64_t dt_sandbox_net_rate(const struct dt_sandbox_net *net);
/* Leaves the rules in force, so running sandboxes keep their network. NULL is fine; returns NULL.
 */
struct dt_sandbox_net *dt_sandbox_net_close(struct dt_sandbox_net *net);
DT_DEFINE_AUTO(struct dt_sandbox_net *, dt_sandbox_net_close)
/* Removes the instance's interfaces, gateway address and table, in that order. Nothing there is
 * fine. Not while the instance is open elsewhere. `base` as in the options. */
int dt_sandbox_net_purge(unsigned instance, uint32_t base, struct dt_err *err) DT_MUST_CHECK;

/* A new namespace with lo and eth0 up, its address and route; nothing passes until
 * dt_sandbox_net_policy(). The caller owns *netns_fd (CLOEXEC); the veth goes when the last user of
 * the namespace does, a moment later. A leftover interface of the same slot is deleted first (tens
 * of milliseconds), so hand out slots in turn. INVALID for a slot out of range, CONFLICT for one
 * with a policy that was not dropped. */
int dt_sandbox_net_make(struct dt_sandbox_net *net, unsigned slot, int *netns_fd,
                        struct dt_err *err) DT_MUST_CHECK;
/* A new namespace with nothing but lo: for sandboxes that start with NONE, and for hosts without
 * network. Needs no slot; needs neither policy nor drop. */
int dt_sandbox_net_make_alone(int *netns_fd, struct dt_err *err) DT_MUST_CHECK;
/* Sets or replaces the policy, atomically and for established connections too. Call it before the
 * first process runs. `cidrs` only with ALLOW, 1..DT_SANDBOX_NET_CIDRS of them. On failure the old
 * policy stays. */
int dt_sandbox_net_policy(struct dt_sandbox_net *net, unsigned slot, enum dt_sandbox_net_mode mode,
                          const struct dt_cidr *cidrs, unsigned n,
                          struct dt_err *err) DT_MUST_CHECK;
/* Forgets the slot: from here on nothing passes. A slot without a policy is fine. Call it after the
 * processes are gone: TCP connections that are closing then can no longer finish, and the kernel
 * may keep the namespace and its interface for minutes because of them; the slot can be used again
 * nevertheless. */
int dt_sandbox_net_drop(struct dt_sandbox_net *net, unsigned slot,
                        struct dt_err *err) DT_MUST_CHECK;
/* The policy of a sandbox that outlived the previous launcher. NOT_FOUND when its interface is
 * gone. */
int dt_sandbox_net_adopt(struct dt_sandbox_net *net, unsigned slot, enum dt_sandbox_net_mode mode,
                         const struct dt_cidr *cidrs, unsigned n, struct dt_err *err) DT_MUST_CHECK;

/* Host byte order: the /20 of an instance whose options name none. */
uint32_t dt_sandbox_net_base(unsigned instance);
/* Host byte order. The gateway is also the sandbox's resolver: write it to its resolv.conf. */
uint32_t dt_sandbox_net_addr(const struct dt_sandbox_net *net, unsigned slot);
uint32_t dt_sandbox_net_gateway(const struct dt_sandbox_net *net);
/* Where DNS queries to the gateway go, host byte order; 0 when the host has only loopback resolvers
 * (or none): then names do not resolve in sandboxes. */
uint32_t dt_sandbox_net_resolver(const struct dt_sandbox_net *net);
/* On kernels before 6.9 nothing protects the table from `nft flush ruleset`, which firewalls do
 * when they start again; until it is put back sandboxes reach the host. Poll this descriptor
 * (POLLIN; borrowed) and call dt_sandbox_net_check() when something comes. -1: the kernel protects
 * it. */
int dt_sandbox_net_guard(const struct dt_sandbox_net *net);
/* Puts the table and all policies back when it is gone; *restored says whether that was so. On
 * failure sandboxes are cut off or the table is missing still: try again. */
int dt_sandbox_net_check(struct dt_sandbox_net *net, bool *restored,
                         struct dt_err *err) DT_MUST_CHECK;
/* Reads the host's resolver again (the first one that is not loopback, of /etc/resolv.conf, else of
 * /run/systemd/resolve/resolv.conf) and uses it from now on. Does nothing when the options name a
 * resolver. For a timer: the host may have changed networks. */
int dt_sandbox_net_refresh(struct dt_sandbox_net *net, struct dt_err *err) DT_MUST_CHECK;

#endif

#include "os/sandbox_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/conntrack.h"
#include "os/host_resolver.h"
#include "os/nft_watch.h"
#include "os/sandbox_policy.h"
#include "os/sandbox_rules.h"
#include "os/sandbox_veth.h"

#define DEFAULT_BASE UINT32_C(0x0ade0000) /* 10.222.0.0 */

enum {
    BASE_SIZE = 4096,
    LO = 1,
    RTNL_MAX = 16 * 1024,
    TABLE_PERSISTS = 4, /* NFT_TABLE_F_PERSIST, kernel 6.9 */
    OWNER_GONE_MS = 5000,
};

struct dt_sandbox_net {
    unsigned instance;
    uint32_t base;
    uint32_t resolver;
    bool resolver_fixed;
    uint64_t rate;
    char iface[8]; /* dt<instance>- */
    int netns;
    struct dt_nl *rtnl;
    struct dt_nft *nft;
    char table[16];
    bool suspect; /* the table may be gone */
    int guard;    /* hears of changes by others; -1: the kernel lets nobody else change the table */
    struct dt_sandbox_policy slots[DT_SANDBOX_NET_SLOTS + 1];
    /* Connections of the slot's last sandbox may still be tracked. */
    bool stale[DT_SANDBOX_NET_SLOTS + 1];
};

/* The kernel compares 8-byte keys as big-endian numbers, so one sandbox's destinations are a range.
 */
struct pair {
    uint32_t sandbox; /* network byte order */
    uint32_t remote;
};

struct source {
    char iface[IFNAMSIZ];
    uint32_t addr;
};

static int check_opts(unsigned instance, uint32_t base, struct dt_err *err)
{
    bool is_private = base >> 24 == 10 || base >> 20 == 0xac1 || base >> 16 == 0xc0a8 ||
                      base >> 22 == 0x64400000 >> 22;
    if (instance >= DT_SANDBOX_NET_INSTANCES)
        return dt_err_set(err, DT_E_INVALID, "instance %u is not in 0..%d", instance,
                          DT_SANDBOX_NET_INSTANCES - 1);
    if (base % BASE_SIZE != 0 || !is_private)
        return dt_err_set(err, DT_E_INVALID,
                          "the sandbox network %u.%u.%u.%u/20 is not a /20 of a private range; "
                          "use one like 10.222.0.0/20",
                          base >> 24, base >> 16 & 255, base >> 8 & 255, base & 255);
    return 0;
}

static uint32_t base_of(unsigned instance, uint32_t base)
{
    return base != 0 ? base : DEFAULT_BASE + instance * BASE_SIZE;
}

uint32_t dt_sandbox_net_base(unsigned instance)
{
    return base_of(instance, 0);
}

static int check_slot(unsigned slot, struct dt_err *err)
{
    if (slot < 1 || slot > DT_SANDBOX_NET_SLOTS)
        return dt_err_set(err, DT_E_INVALID, "network slot %u is not in 1..%d", slot,
                          DT_SANDBOX_NET_SLOTS);
    return 0;
}

uint32_t dt_sandbox_net_addr(const struct dt_sandbox_net *net, unsigned slot)
{
    return net->base + 1 + slot;
}

uint32_t dt_sandbox_net_gateway(const struct dt_sandbox_net *net)
{
    return net->base + 1;
}

uint32_t dt_sandbox_net_resolver(const struct dt_sandbox_net *net)
{
    return net->resolver;
}

uint64_t dt_sandbox_net_rate(const struct dt_sandbox_net *net)
{
    return net->rate;
}

static int enable_forwarding(struct dt_err *err)
{
    static const char path[] = "/proc/sys/net/ipv4/ip_forward";
    DT_AUTO_BUF struct dt_buf now;
    dt_buf_init(&now, 64);
    if (dt_fd_read_file(AT_FDCWD, path, &now, err) < 0)
        return -1;
    if (now.n > 0 && now.p[0] == '1')
        return 0;
    return dt_fd_put(AT_FDCWD, path, "1", err);
}

static void add_dns(struct dt_sandbox_net *net)
{
    uint32_t gateway = htonl(dt_sandbox_net_gateway(net));
    uint32_t resolver = htonl(net->resolver);
    if (net->resolver == 0)
        return;
    dt_nft_elems_add(net->nft, DT_RULES_DNS);
    dt_nft_elem_map(net->nft, &gateway, sizeof(gateway), &resolver, sizeof(resolver));
    dt_nft_elems_end(net->nft);
    dt_nft_elems_add(net->nft, DT_RULES_RESOLVER);
    dt_nft_elem(net->nft, &resolver, sizeof(resolver), 0);
    dt_nft_elems_end(net->nft);
}

static int put_table(struct dt_sandbox_net *net, uint32_t flags, struct dt_err *err)
{
    const struct dt_sandbox_rules rules = {.iface = net->iface,
                                           .base = net->base,
                                           .gateway = dt_sandbox_net_gateway(net),
                                           .flows = DT_SANDBOX_NET_FLOWS};
    dt_nft_begin(net->nft);
    if ((flags & TABLE_PERSISTS) != 0) {
        dt_nft_table_destroy(net->nft);
    } else {
        dt_nft_table_add(net->nft, 0);
        dt_nft_table_del(net->nft);
    }
    dt_nft_table_add(net->nft, flags);
    dt_sandbox_rules_add(net->nft, &rules);
    add_dns(net);
    return dt_nft_commit(net->nft, err);
}

static bool is_unsupported(int sys_errno)
{
    return sys_errno == ENOENT || sys_errno == EOPNOTSUPP || sys_errno == EAFNOSUPPORT ||
           sys_errno == EPROTONOSUPPORT || sys_errno == EINVAL;
}

/* Who was killed may still hold the table for a moment, when its locks are free already. */
static int put_owned(struct dt_sandbox_net *net, uint64_t wait_ms, struct dt_err *err)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    uint64_t end_ms = dt_clock_ms() + wait_ms;
    int rc;
    while ((rc = put_table(net, NFT_TABLE_F_OWNER | TABLE_PERSISTS, err)) < 0 &&
           err->sys_errno == EPERM && dt_clock_ms() < end_ms)
        (void)nanosleep(&pause, NULL);
    return rc;
}

static int replace_table(struct dt_sandbox_net *net, const struct dt_sandbox_net_opts *opts,
                         struct dt_err *err)
{
    bool unowned = opts->unowned;
    /* Owned by our socket, the table is safe from an administrator's `flush ruleset` while we run;
     * persistent, it stays when we are gone. Kernels before 6.9 do not know that: there it is put
     * back when it goes. */
    if (!unowned && put_owned(net, opts->at_once ? 0 : OWNER_GONE_MS, err) == 0)
        return 0;
    if (unowned || err->sys_errno != EPERM) {
        if ((net->guard = dt_nft_watch_open(err)) < 0)
            return -1;
        if (put_table(net, 0, err) == 0)
            return 0;
    }
    if (err->sys_errno == EPERM)
        return dt_err_wrap(err, "another process has instance %u open, or this one is not root",
                           net->instance);
    if (!is_unsupported(err->sys_errno))
        return -1;
    err->code = DT_E_UNSUPPORTED;
    return dt_err_wrap(err, "the kernel lacks a part of nf_tables (needed: inet tables, nft_ct, "
                            "nft_fib_inet, nft_reject_inet, nft_connlimit, nft_nat, nft_masq)");
}

static int open_sockets(struct dt_sandbox_net *net, struct dt_err *err)
{
    (void)snprintf(net->table, sizeof(net->table), "daytona%u", net->instance);
    net->netns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (net->netns < 0)
        return dt_err_errno(err, "open the host's network namespace");
    if (dt_nl_open(NETLINK_ROUTE, RTNL_MAX, &net->rtnl, err) < 0)
        return -1;
    return dt_nft_open(net->table, &net->nft, err);
}

/* A kernel that cannot limit is no reason to have no network. */
static int set_rate(struct dt_sandbox_net *net, uint64_t rate, struct dt_err *err)
{
    if (rate != 0 && dt_sandbox_veth_can_limit(net->netns, err) < 0)
        return err->code == DT_E_UNSUPPORTED ? 0 : -1;
    net->rate = rate;
    return 0;
}

int dt_sandbox_net_open(const struct dt_sandbox_net_opts *opts, struct dt_sandbox_net **ret,
                        struct dt_err *err)
{
    uint32_t base = base_of(opts->instance, opts->base);
    if (check_opts(opts->instance, base, err) < 0)
        return -1;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return dt_err_set(err, DT_E_NOMEM, "sandbox network");
    net->instance = opts->instance;
    net->base = base;
    net->netns = net->guard = -1;
    net->resolver_fixed = opts->resolver != 0;
    net->resolver = net->resolver_fixed ? opts->resolver : dt_host_resolver();
    (void)snprintf(net->iface, sizeof(net->iface), "dt%u-", opts->instance);
    memset(net->stale, true, sizeof(net->stale));
    if (open_sockets(net, err) < 0 || set_rate(net, opts->rate, err) < 0)
        return -1;
    /* The rules come first: nothing is forwarded a moment without them. */
    if (replace_table(net, opts, err) < 0)
        return dt_err_wrap(err, "sandbox network");
    dt_nl_begin(net->rtnl);
    dt_rtnl_addr_add(net->rtnl, LO, dt_sandbox_net_gateway(net), RT_SCOPE_LINK);
    dt_rtnl_link_up(net->rtnl, LO);
    if (dt_nl_talk(net->rtnl, err) < 0)
        return dt_err_wrap(err, "gateway address on lo");
    if (enable_forwarding(err) < 0)
        return dt_err_wrap(err, "switch IPv4 forwarding on");
    *ret = dt_take(net);
    return 0;
}

struct dt_sandbox_net *dt_sandbox_net_close(struct dt_sandbox_net *net)
{
    if (net == NULL)
        return NULL;
    (void)dt_nl_close(net->rtnl);
    (void)dt_nft_close(net->nft);
    dt_closep(&net->guard);
    dt_closep(&net->netns);
    free(net);
    return NULL;
}

static void iface_name(const struct dt_sandbox_net *net, unsigned slot, char out[IFNAMSIZ])
{
    memset(out, 0, IFNAMSIZ);
    (void)snprintf(out, IFNAMSIZ, "%s%u", net->iface, slot);
}

static int delete_link(struct dt_nl *nl, const char *name, struct dt_err *err)
{
    dt_nl_begin(nl);
    dt_rtnl_link_del(nl, name);
    if (dt_nl_talk(nl, err) == 0 || err->sys_errno == ENODEV)
        return 0;
    return dt_err_wrap(err, "delete interface %s", name);
}

static bool is_of_nobody(void *ctx, uint32_t addr)
{
    const struct dt_sandbox_net *net = ctx;
    uint32_t slot = addr - net->base - 1;
    return slot >= 1 && slot <= DT_SANDBOX_NET_SLOTS && !net->slots[slot].known;
}

/* A new sandbox must not get what was meant for its predecessor, nor pay for its connections. One
 * pass reads the host's whole table, so it is for all free slots at once: once in 4000 creations.
 */
static int forget_connections(struct dt_sandbox_net *net, unsigned slot, struct dt_err *err)
{
    if (!net->stale[slot])
        return 0;
    if (dt_conntrack_remove(is_of_nobody, net, err) < 0)
        return dt_err_wrap(err, "connections of network slot %u", slot);
    memset(net->stale, 0, sizeof(net->stale));
    return 0;
}

int dt_sandbox_net_make(struct dt_sandbox_net *net, unsigned slot, int *netns_fd,
                        struct dt_err *err)
{
    char name[IFNAMSIZ];
    if (check_slot(slot, err) < 0)
        return -1;
    if (net->slots[slot].known)
        return dt_err_set(err, DT_E_CONFLICT, "network slot %u is in use; drop it first", slot);
    if (forget_connections(net, slot, err) < 0)
        return -1;
    iface_name(net, slot, name);
    const struct dt_sandbox_veth v = {.name = name,
                                      .addr = dt_sandbox_net_addr(net, slot),
                                      .gateway = dt_sandbox_net_gateway(net),
                                      .rate = net->rate,
                                      .host_netns = net->netns};
    if (dt_sandbox_veth(net->rtnl, &v, netns_fd, err) == 0)
        return 0;
    if (err->sys_errno != EEXIST)
        return -1;
    /* The slot's last namespace is still being taken down by the kernel. */
    if (delete_link(net->rtnl, name, err) < 0)
        return -1;
    return dt_sandbox_veth(net->rtnl, &v, netns_fd, err);
}

int dt_sandbox_net_make_alone(int *netns_fd, struct dt_err *err)
{
    DT_AUTO_FD int host = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (host < 0)
        return dt_err_errno(err, "open the host's network namespace");
    return dt_sandbox_netns(host, netns_fd, err);
}

static void source_elem(const struct dt_sandbox_net *net, unsigned slot)
{
    struct source s;
    iface_name(net, slot, s.iface);
    s.addr = htonl(dt_sandbox_net_addr(net, slot));
    dt_nft_elem(net->nft, &s, sizeof(s), 0);
}

static void allow_elems(const struct dt_sandbox_net *net, unsigned slot,
                        const struct dt_sandbox_policy *p)
{
    struct pair key = {.sandbox = htonl(dt_sandbox_net_addr(net, slot))};
    for (unsigned i = 0; i < p->n; i++) {
        /* 255.255.255.255 is left out: the end would be the first key of the next sandbox, and it
         * is refused anyway. */
        uint32_t behind = p->allow[i].last == UINT32_MAX ? UINT32_MAX : p->allow[i].last + 1;
        key.remote = htonl(p->allow[i].first);
        if (p->allow[i].first == behind)
            continue;
        dt_nft_elem(net->nft, &key, sizeof(key), 0);
        key.remote = htonl(behind);
        dt_nft_elem(net->nft, &key, sizeof(key), NFT_SET_ELEM_INTERVAL_END);
    }
}

typedef void elems_begin(struct dt_nft *n, const char *set);

/* Adds to the batch what `p` has and `but` has not. */
static void put_policy(struct dt_sandbox_net *net, unsigned slot, const struct dt_sandbox_policy *p,
                       const struct dt_sandbox_policy *but, elems_begin *begin)
{
    uint32_t addr = htonl(dt_sandbox_net_addr(net, slot));
    if (p->known && !but->known) {
        begin(net->nft, DT_RULES_SOURCES);
        source_elem(net, slot);
        dt_nft_elems_end(net->nft);
    }
    if (p->full && !but->full) {
        begin(net->nft, DT_RULES_FULL);
        dt_nft_elem(net->nft, &addr, sizeof(addr), 0);
        dt_nft_elems_end(net->nft);
    }
    if (p->n > 0) {
        begin(net->nft, DT_RULES_ALLOW);
        allow_elems(net, slot, p);
        dt_nft_elems_end(net->nft);
    }
}

static int change(struct dt_sandbox_net *net, unsigned slot, const struct dt_sandbox_policy *to,
                  struct dt_err *err)
{
    struct dt_sandbox_policy *from = &net->slots[slot];
    if (dt_sandbox_policy_same(from, to))
        return 0;
    dt_nft_begin(net->nft);
    put_policy(net, slot, from, to, dt_nft_elems_del);
    put_policy(net, slot, to, from, dt_nft_elems_add);
    if (dt_nft_commit(net->nft, err) < 0)
        return dt_err_wrap(err, "network policy of slot %u", slot);
    *from = *to;
    return 0;
}

int dt_sandbox_net_policy(struct dt_sandbox_net *net, unsigned slot, enum dt_sandbox_net_mode mode,
                          const struct dt_cidr *cidrs, unsigned n, struct dt_err *err)
{
    struct dt_sandbox_policy to;
    if (check_slot(slot, err) < 0 || dt_sandbox_policy_read(&to, mode, cidrs, n, err) < 0)
        return -1;
    return change(net, slot, &to, err);
}

int dt_sandbox_net_drop(struct dt_sandbox_net *net, unsigned slot, struct dt_err *err)
{
    const struct dt_sandbox_policy nothing = {0};
    if (check_slot(slot, err) < 0)
        return -1;
    if (change(net, slot, &nothing, err) < 0)
        return -1;
    net->stale[slot] = true;
    return 0;
}

int dt_sandbox_net_adopt(struct dt_sandbox_net *net, unsigned slot, enum dt_sandbox_net_mode mode,
                         const struct dt_cidr *cidrs, unsigned n, struct dt_err *err)
{
    char name[IFNAMSIZ];
    if (check_slot(slot, err) < 0)
        return -1;
    iface_name(net, slot, name);
    if (dt_rtnl_ifindex(net->rtnl, name) == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "interface %s is gone", name);
    return dt_sandbox_net_policy(net, slot, mode, cidrs, n, err);
}

int dt_sandbox_net_refresh(struct dt_sandbox_net *net, struct dt_err *err)
{
    uint32_t before = net->resolver;
    uint32_t now = net->resolver_fixed ? before : dt_host_resolver();
    if (now == before)
        return 0;
    net->resolver = now;
    dt_nft_begin(net->nft);
    dt_nft_elems_flush(net->nft, DT_RULES_DNS);
    dt_nft_elems_flush(net->nft, DT_RULES_RESOLVER);
    add_dns(net);
    if (dt_nft_commit(net->nft, err) == 0)
        return 0;
    net->resolver = before;
    return dt_err_wrap(err, "resolver of the sandbox network");
}

int dt_sandbox_net_guard(const struct dt_sandbox_net *net)
{
    return net->guard;
}

/* Closed for all sandboxes in one step, then opened for one after the other: the elements of all
 * might not fit one batch. */
static int restore(struct dt_sandbox_net *net, struct dt_err *err)
{
    static const struct dt_sandbox_policy nothing;
    if (put_table(net, 0, err) < 0)
        return -1;
    for (unsigned slot = 1; slot <= DT_SANDBOX_NET_SLOTS; slot++) {
        if (!net->slots[slot].known)
            continue;
        dt_nft_begin(net->nft);
        put_policy(net, slot, &net->slots[slot], &nothing, dt_nft_elems_add);
        if (dt_nft_commit(net->nft, err) < 0)
            return -1;
    }
    return 0;
}

int dt_sandbox_net_check(struct dt_sandbox_net *net, bool *restored, struct dt_err *err)
{
    bool exists = true;
    *restored = false;
    if (net->guard >= 0 && dt_nft_watch_read(net->guard, net->table))
        net->suspect = true;
    if (!net->suspect)
        return 0;
    if (dt_nft_table_exists(net->nft, &exists, err) < 0)
        return -1;
    if (!exists && restore(net, err) < 0)
        return dt_err_wrap(err, "put the rules of the sandbox network back");
    net->suspect = false;
    *restored = !exists;
    return 0;
}

static int purge_links(struct dt_nl *nl, unsigned instance, struct dt_err *err)
{
    char prefix[8];
    int len = snprintf(prefix, sizeof(prefix), "dt%u-", instance);
    struct if_nameindex *all = if_nameindex();
    if (all == NULL)
        return dt_err_errno(err, "list interfaces");
    int rc = 0;
    for (const struct if_nameindex *i = all; rc == 0 && i->if_index != 0; i++)
        if (strncmp(i->if_name, prefix, (size_t)len) == 0)
            rc = delete_link(nl, i->if_name, err);
    if_freenameindex(all);
    return rc;
}

static int purge_gateway(struct dt_nl *nl, uint32_t gateway, struct dt_err *err)
{
    dt_nl_begin(nl);
    dt_rtnl_addr_del(nl, LO, gateway);
    if (dt_nl_talk(nl, err) == 0 || err->sys_errno == EADDRNOTAVAIL)
        return 0;
    return dt_err_wrap(err, "gateway address on lo");
}

static int purge_table(unsigned instance, struct dt_err *err)
{
    char table[32];
    DT_AUTO(dt_nft_close) struct dt_nft *nft = NULL;
    (void)snprintf(table, sizeof(table), "daytona%u", instance);
    if (dt_nft_open(table, &nft, err) < 0)
        return -1;
    dt_nft_begin(nft);
    dt_nft_table_del(nft);
    if (dt_nft_commit(nft, err) == 0 || err->sys_errno == ENOENT)
        return 0;
    return -1;
}

int dt_sandbox_net_purge(unsigned instance, uint32_t base, struct dt_err *err)
{
    DT_AUTO(dt_nl_close) struct dt_nl *nl = NULL;
    base = base_of(instance, base);
    if (check_opts(instance, base, err) < 0 || dt_nl_open(NETLINK_ROUTE, RTNL_MAX, &nl, err) < 0)
        return -1;
    if (purge_links(nl, instance, err) < 0 || purge_gateway(nl, base + 1, err) < 0)
        return -1;
    return purge_table(instance, err);
}

#include "os/sandbox_rules.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#define IP(a, b, c, d)                                                                             \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum { DNS_PORT = 53, BASE_BITS = 20 };
/* The kernel's names for what a packet is to its connection (NF_CT_STATE_BIT). */
enum { STATE_ESTABLISHED = 1 << 1, STATE_RELATED = 1 << 2, STATE_NEW = 1 << 3 };

struct range {
    uint32_t first;
    uint32_t behind; /* 0: up to the last address */
};

/* Refused whatever the policy says; 10.222.0.0/16 is where instances live by default. */
static const struct range never[] = {
    {IP(0, 0, 0, 0), IP(1, 0, 0, 0)},
    {IP(10, 222, 0, 0), IP(10, 223, 0, 0)},
    {IP(127, 0, 0, 0), IP(128, 0, 0, 0)},
    {IP(169, 254, 0, 0), IP(169, 255, 0, 0)},
    {IP(224, 0, 0, 0), 0},
};
/* Refused unless a range of the policy names them. */
static const struct range private[] = {
    {IP(10, 0, 0, 0), IP(11, 0, 0, 0)},       {IP(100, 64, 0, 0), IP(100, 128, 0, 0)},
    {IP(172, 16, 0, 0), IP(172, 32, 0, 0)},   {IP(192, 0, 0, 0), IP(192, 0, 1, 0)},
    {IP(192, 168, 0, 0), IP(192, 169, 0, 0)}, {IP(198, 18, 0, 0), IP(198, 20, 0, 0)},
};

static const struct dt_nft_set sets[] = {
    {.name = DT_RULES_SOURCES, .id = 1, .key_type = DT_NFT_IFNAME_IPV4, .key_len = IFNAMSIZ + 4},
    {.name = DT_RULES_FULL, .id = 2, .key_type = DT_NFT_IPV4, .key_len = 4},
    {.name = DT_RULES_ALLOW,
     .id = 3,
     .flags = NFT_SET_INTERVAL,
     .key_type = DT_NFT_INTEGER,
     .key_len = 8},
    {.name = DT_RULES_DNS,
     .id = 4,
     .flags = NFT_SET_MAP,
     .key_type = DT_NFT_IPV4,
     .key_len = 4,
     .data_type = DT_NFT_IPV4,
     .data_len = 4},
    {.name = DT_RULES_RESOLVER, .id = 5, .key_type = DT_NFT_IPV4, .key_len = 4},
    {.name = "never", .id = 6, .flags = NFT_SET_INTERVAL, .key_type = DT_NFT_IPV4, .key_len = 4},
    {.name = "private", .id = 7, .flags = NFT_SET_INTERVAL, .key_type = DT_NFT_IPV4, .key_len = 4},
    {.name = "flows", .id = 8, .flags = NFT_SET_EVAL, .key_type = DT_NFT_IPV4, .key_len = 4},
};

static void add_ranges(struct dt_nft *n, const char *set, const struct range *r, size_t count)
{
    dt_nft_elems_add(n, set);
    for (size_t i = 0; i < count; i++) {
        uint32_t first = htonl(r[i].first);
        uint32_t behind = htonl(r[i].behind);
        dt_nft_elem(n, &first, sizeof(first), 0);
        if (behind != 0)
            dt_nft_elem(n, &behind, sizeof(behind), NFT_SET_ELEM_INTERVAL_END);
    }
    dt_nft_elems_end(n);
}

static void add_sets(struct dt_nft *n)
{
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        dt_nft_set_add(n, &sets[i]);
    add_ranges(n, "never", never, sizeof(never) / sizeof(never[0]));
    add_ranges(n, "private", private, sizeof(private) / sizeof(private[0]));
}

static void add_chains(struct dt_nft *n)
{
    /* Before another table's destination NAT, so that a published port of the host's own containers
     * cannot catch what a sandbox sends. */
    const int before_dstnat = NF_IP_PRI_NAT_DST - 10;
    static const char *const plain[] = {"refuse", "resolve", "inward", "outward"};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        dt_nft_chain_add(n, plain[i]);
    dt_nft_chain_hook(n, "source", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW);
    dt_nft_chain_hook(n, "local", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_MANGLE);
    dt_nft_chain_hook(n, "names", "nat", NF_INET_PRE_ROUTING, before_dstnat);
    dt_nft_chain_hook(n, "host", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER);
    dt_nft_chain_hook(n, "through", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER);
    dt_nft_chain_hook(n, "masked", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC);
}

static void end(struct dt_nft *n, int verdict, const char *chain)
{
    dt_nft_verdict(n, verdict, chain);
    dt_nft_rule_end(n);
}

/* Starts a rule for what comes from a sandbox of this instance. */
static void from(struct dt_nft *n, const char *chain, const struct dt_sandbox_rules *r)
{
    dt_nft_rule(n, chain);
    dt_nft_if_iface(n, NFT_META_IIFNAME, r->iface);
}

static void gateway_dns(struct dt_nft *n, const char *chain, const struct dt_sandbox_rules *r,
                        uint8_t protocol)
{
    from(n, chain, r);
    dt_nft_if_daddr(n, r->gateway, 32);
    dt_nft_if_meta_u8(n, NFT_META_L4PROTO, NFT_CMP_EQ, protocol);
    dt_nft_if_dport(n, DNS_PORT);
}

/* Answers rather than drops, so that a program in a sandbox fails at once. */
static void chain_refuse(struct dt_nft *n)
{
    dt_nft_rule(n, "refuse");
    dt_nft_reject_tcp(n);
    dt_nft_rule_end(n);
    dt_nft_rule(n, "refuse");
    dt_nft_reject_prohibited(n);
    dt_nft_rule_end(n);
}

/* Only IPv4, and only from the address that the interface was given. */
static void chain_source(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    from(n, "source", r);
    dt_nft_if_meta_u8(n, NFT_META_NFPROTO, NFT_CMP_NEQ, NFPROTO_IPV4);
    end(n, NF_DROP, NULL);
    from(n, "source", r);
    dt_nft_if_in(n, DT_NFT_IIF_SADDR, DT_RULES_SOURCES, NFT_LOOKUP_F_INV);
    end(n, NF_DROP, NULL);
}

/* Nothing to the host's own addresses but answers, and questions that become the resolver's. */
static void chain_local(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    static const uint8_t dns[] = {IPPROTO_UDP, IPPROTO_TCP};
    for (size_t i = 0; i < sizeof(dns); i++) {
        gateway_dns(n, "local", r, dns[i]);
        end(n, NF_ACCEPT, NULL);
        gateway_dns(n, "names", r, dns[i]);
        dt_nft_dnat_map(n, DT_RULES_DNS);
        dt_nft_rule_end(n);
    }
    from(n, "local", r);
    dt_nft_if_ct_none(n, NFT_CT_STATE, STATE_ESTABLISHED);
    dt_nft_if_daddr_type(n, RTN_LOCAL);
    end(n, NFT_GOTO, "refuse");
    /* Of a host without network: the kernel's own answer is an ICMP error, which is limited to one
     * a second and lost when it arrives while connect() holds the socket. */
    from(n, "local", r);
    dt_nft_if_ct_any(n, NFT_CT_STATE, STATE_NEW);
    dt_nft_if_no_route(n);
    end(n, NFT_GOTO, "refuse");
}

/* Before anything is accepted: each connection takes a place in the host's table. */
static void limit_flows(struct dt_nft *n, const char *chain, const struct dt_sandbox_rules *r)
{
    from(n, chain, r);
    dt_nft_if_ct_any(n, NFT_CT_STATE, STATE_NEW);
    dt_nft_if_saddr_flows_over(n, "flows", r->flows);
    end(n, NFT_GOTO, "refuse");
}

/* The one private destination: the resolver, asked through the gateway, for FULL. */
static void chain_resolve(struct dt_nft *n)
{
    dt_nft_rule(n, "resolve");
    dt_nft_if_ct_any(n, NFT_CT_STATUS, IPS_DST_NAT);
    dt_nft_if_in(n, DT_NFT_DADDR, DT_RULES_RESOLVER, 0);
    dt_nft_if_dport(n, DNS_PORT);
    dt_nft_if_in(n, DT_NFT_SADDR, DT_RULES_FULL, 0);
    end(n, NF_ACCEPT, NULL);
}

static void chain_host(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    from(n, "host", r);
    dt_nft_if_ct_any(n, NFT_CT_STATE, STATE_ESTABLISHED);
    dt_nft_if_ct_none(n, NFT_CT_STATUS, IPS_DST_NAT);
    end(n, NF_ACCEPT, NULL);
    limit_flows(n, "host", r);
    from(n, "host", r);
    end(n, NFT_JUMP, "resolve");
    from(n, "host", r);
    end(n, NFT_GOTO, "refuse");
}

/* To a sandbox: answers, and only while its policy allows their connection. */
static void chain_inward(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    from(n, "inward", r);
    end(n, NFT_GOTO, "refuse");
    dt_nft_rule(n, "inward");
    dt_nft_if_ct_any(n, NFT_CT_STATE, STATE_RELATED);
    end(n, NF_ACCEPT, NULL);
    dt_nft_rule(n, "inward");
    dt_nft_if_ct_any(n, NFT_CT_STATE, STATE_NEW);
    end(n, NFT_GOTO, "refuse");
    dt_nft_rule(n, "inward");
    dt_nft_if_ct_none(n, NFT_CT_STATE, STATE_ESTABLISHED);
    end(n, NF_DROP, NULL);
    dt_nft_rule(n, "inward");
    dt_nft_if_in(n, DT_NFT_DADDR, DT_RULES_FULL, 0);
    end(n, NF_ACCEPT, NULL);
    dt_nft_rule(n, "inward");
    dt_nft_if_in(n, DT_NFT_DADDR_SADDR, DT_RULES_ALLOW, 0);
    end(n, NF_ACCEPT, NULL);
    dt_nft_rule(n, "inward");
    end(n, NF_DROP, NULL);
}

/* From a sandbox. Established connections have no short cut here: a new policy holds for them. */
static void chain_outward(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    limit_flows(n, "outward", r);
    dt_nft_rule(n, "outward");
    end(n, NFT_JUMP, "resolve");
    dt_nft_rule(n, "outward");
    dt_nft_if_in(n, DT_NFT_DADDR, "never", 0);
    end(n, NFT_GOTO, "refuse");
    dt_nft_rule(n, "outward");
    dt_nft_if_daddr(n, r->base, BASE_BITS);
    end(n, NFT_GOTO, "refuse");
    dt_nft_rule(n, "outward");
    dt_nft_if_in(n, DT_NFT_SADDR_DADDR, DT_RULES_ALLOW, 0);
    end(n, NF_ACCEPT, NULL);
    dt_nft_rule(n, "outward");
    dt_nft_if_in(n, DT_NFT_DADDR, "private", 0);
    end(n, NFT_GOTO, "refuse");
    dt_nft_rule(n, "outward");
    dt_nft_if_in(n, DT_NFT_SADDR, DT_RULES_FULL, 0);
    end(n, NF_ACCEPT, NULL);
    dt_nft_rule(n, "outward");
    end(n, NFT_GOTO, "refuse");
}

static void chain_through(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    dt_nft_rule(n, "through");
    dt_nft_if_iface(n, NFT_META_OIFNAME, r->iface);
    end(n, NFT_GOTO, "inward");
    from(n, "through", r);
    end(n, NFT_GOTO, "outward");
}

void dt_sandbox_rules_add(struct dt_nft *n, const struct dt_sandbox_rules *r)
{
    add_sets(n);
    add_chains(n);
    chain_refuse(n);
    chain_source(n, r);
    chain_local(n, r);
    chain_resolve(n);
    chain_host(n, r);
    chain_inward(n, r);
    chain_outward(n, r);
    chain_through(n, r);
    dt_nft_rule(n, "masked");
    dt_nft_if_saddr(n, r->base, BASE_BITS);
    dt_nft_if_iface(n, NFT_META_IIFNAME, r->iface);
    dt_nft_masquerade(n);
    dt_nft_rule_end(n);
}

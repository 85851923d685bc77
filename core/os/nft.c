#include "os/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "os/netlink.h"

/* A whole table is one batch: ours has some 40 rules of about 300 bytes. */
enum { BATCH_MAX = 64 * 1024 };
/* Newer than the headers of some systems. */
enum { MSG_DESTROYTABLE = 26 };

struct dt_nft {
    struct dt_nl *nl;
    char table[32];
};

int dt_nft_open(const char *table, struct dt_nft **ret, struct dt_err *err)
{
    DT_AUTO(dt_nft_close) struct dt_nft *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return dt_err_set(err, DT_E_NOMEM, "nftables socket");
    (void)snprintf(n->table, sizeof(n->table), "%s", table);
    if (dt_nl_open(NETLINK_NETFILTER, BATCH_MAX, &n->nl, err) < 0)
        return -1;
    *ret = dt_take(n);
    return 0;
}

struct dt_nft *dt_nft_close(struct dt_nft *n)
{
    if (n != NULL)
        (void)dt_nl_close(n->nl);
    free(n);
    return NULL;
}

static void message(struct dt_nft *n, uint16_t type, uint16_t flags, uint8_t family, uint16_t res)
{
    struct nfgenmsg *g = dt_nl_msg(n->nl, type, flags, sizeof(*g));
    g->nfgen_family = family;
    g->version = NFNETLINK_V0;
    g->res_id = htons(res);
}

static void nft_message(struct dt_nft *n, unsigned type, uint16_t flags)
{
    message(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET, 0);
}

void dt_nft_begin(struct dt_nft *n)
{
    dt_nl_begin(n->nl);
    n->nl->is_batch = true;
    message(n, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
}

int dt_nft_commit(struct dt_nft *n, struct dt_err *err)
{
    /* The acknowledgement is asked of the last real message, since older kernels send none for the
     * end of a batch; what dt_nl_talk() waits for is then that message. */
    struct dt_nl *nl = n->nl;
    nl->msg->nlmsg_flags |= NLM_F_ACK;
    message(n, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    nl->msg->nlmsg_seq = --nl->seq;
    if (dt_nl_talk(nl, err) < 0)
        return dt_err_wrap(err, "nftables table %s", n->table);
    return 0;
}

void dt_nft_table_add(struct dt_nft *n, uint32_t flags)
{
    nft_message(n, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    dt_nl_strz(n->nl, NFTA_TABLE_NAME, n->table);
    dt_nl_be32(n->nl, NFTA_TABLE_FLAGS, flags);
}

void dt_nft_table_del(struct dt_nft *n)
{
    nft_message(n, NFT_MSG_DELTABLE, 0);
    dt_nl_strz(n->nl, NFTA_TABLE_NAME, n->table);
}

void dt_nft_table_destroy(struct dt_nft *n)
{
    nft_message(n, MSG_DESTROYTABLE, 0);
    dt_nl_strz(n->nl, NFTA_TABLE_NAME, n->table);
}

int dt_nft_table_exists(struct dt_nft *n, bool *exists, struct dt_err *err)
{
    dt_nl_begin(n->nl);
    nft_message(n, NFT_MSG_GETTABLE, 0);
    dt_nl_strz(n->nl, NFTA_TABLE_NAME, n->table);
    int rc = dt_nl_talk(n->nl, err);
    if (rc < 0 && err->sys_errno != ENOENT)
        return dt_err_wrap(err, "nftables table %s", n->table);
    *exists = rc == 0;
    return 0;
}

void dt_nft_set_add(struct dt_nft *n, const struct dt_nft_set *set)
{
    nft_message(n, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
    dt_nl_strz(n->nl, NFTA_SET_TABLE, n->table);
    dt_nl_strz(n->nl, NFTA_SET_NAME, set->name);
    dt_nl_be32(n->nl, NFTA_SET_ID, set->id);
    dt_nl_be32(n->nl, NFTA_SET_FLAGS, set->flags);
    dt_nl_be32(n->nl, NFTA_SET_KEY_TYPE, set->key_type);
    dt_nl_be32(n->nl, NFTA_SET_KEY_LEN, set->key_len);
    if ((set->flags & NFT_SET_MAP) == 0)
        return;
    dt_nl_be32(n->nl, NFTA_SET_DATA_TYPE, set->data_type);
    dt_nl_be32(n->nl, NFTA_SET_DATA_LEN, set->data_len);
}

static void elems(struct dt_nft *n, unsigned type, uint16_t flags, const char *set)
{
    nft_message(n, type, flags);
    dt_nl_strz(n->nl, NFTA_SET_ELEM_LIST_TABLE, n->table);
    dt_nl_strz(n->nl, NFTA_SET_ELEM_LIST_SET, set);
}

void dt_nft_elems_add(struct dt_nft *n, const char *set)
{
    elems(n, NFT_MSG_NEWSETELEM, NLM_F_CREATE, set);
    dt_nl_nest(n->nl, NFTA_SET_ELEM_LIST_ELEMENTS);
}

void dt_nft_elems_del(struct dt_nft *n, const char *set)
{
    elems(n, NFT_MSG_DELSETELEM, 0, set);
    dt_nl_nest(n->nl, NFTA_SET_ELEM_LIST_ELEMENTS);
}

void dt_nft_elems_flush(struct dt_nft *n, const char *set)
{
    elems(n, NFT_MSG_DELSETELEM, 0, set);
}

static void data(struct dt_nft *n, uint16_t type, const void *p, size_t len)
{
    dt_nl_nest(n->nl, type);
    dt_nl_put(n->nl, NFTA_DATA_VALUE, p, len);
    dt_nl_end(n->nl);
}

void dt_nft_elem(struct dt_nft *n, const void *key, size_t len, uint32_t flags)
{
    dt_nl_nest(n->nl, NFTA_LIST_ELEM);
    data(n, NFTA_SET_ELEM_KEY, key, len);
    if (flags != 0)
        dt_nl_be32(n->nl, NFTA_SET_ELEM_FLAGS, flags);
    dt_nl_end(n->nl);
}

void dt_nft_elem_map(struct dt_nft *n, const void *key, size_t len, const void *value, size_t size)
{
    dt_nl_nest(n->nl, NFTA_LIST_ELEM);
    data(n, NFTA_SET_ELEM_KEY, key, len);
    data(n, NFTA_SET_ELEM_DATA, value, size);
    dt_nl_end(n->nl);
}

void dt_nft_elems_end(struct dt_nft *n)
{
    dt_nl_end(n->nl);
}

static void chain(struct dt_nft *n, const char *name)
{
    nft_message(n, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
    dt_nl_strz(n->nl, NFTA_CHAIN_TABLE, n->table);
    dt_nl_strz(n->nl, NFTA_CHAIN_NAME, name);
}

void dt_nft_chain_add(struct dt_nft *n, const char *name)
{
    chain(n, name);
}

void dt_nft_chain_hook(struct dt_nft *n, const char *name, const char *type, uint32_t hook,
                       int32_t priority)
{
    chain(n, name);
    dt_nl_strz(n->nl, NFTA_CHAIN_TYPE, type);
    dt_nl_nest(n->nl, NFTA_CHAIN_HOOK);
    dt_nl_be32(n->nl, NFTA_HOOK_HOOKNUM, hook);
    dt_nl_be32(n->nl, NFTA_HOOK_PRIORITY, (uint32_t)priority);
    dt_nl_end(n->nl);
    dt_nl_be32(n->nl, NFTA_CHAIN_POLICY, NF_ACCEPT);
}

void dt_nft_rule(struct dt_nft *n, const char *chain_name)
{
    nft_message(n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    dt_nl_strz(n->nl, NFTA_RULE_TABLE, n->table);
    dt_nl_strz(n->nl, NFTA_RULE_CHAIN, chain_name);
    dt_nl_nest(n->nl, NFTA_RULE_EXPRESSIONS);
}

void dt_nft_rule_end(struct dt_nft *n)
{
    dt_nl_end(n->nl);
}

/* One expression: its name, then its own attributes in a nest. */
static void expr(struct dt_nft *n, const char *name)
{
    dt_nl_nest(n->nl, NFTA_LIST_ELEM);
    dt_nl_strz(n->nl, NFTA_EXPR_NAME, name);
    dt_nl_nest(n->nl, NFTA_EXPR_DATA);
}

static void expr_end(struct dt_nft *n)
{
    dt_nl_end(n->nl);
    dt_nl_end(n->nl);
}

static void cmp(struct dt_nft *n, uint32_t op, const void *p, size_t len)
{
    expr(n, "cmp");
    dt_nl_be32(n->nl, NFTA_CMP_SREG, NFT_REG_1);
    dt_nl_be32(n->nl, NFTA_CMP_OP, op);
    data(n, NFTA_CMP_DATA, p, len);
    expr_end(n);
}

static void mask(struct dt_nft *n, const void *bits, size_t len)
{
    static const uint8_t zero[16];
    expr(n, "bitwise");
    dt_nl_be32(n->nl, NFTA_BITWISE_SREG, NFT_REG_1);
    dt_nl_be32(n->nl, NFTA_BITWISE_DREG, NFT_REG_1);
    dt_nl_be32(n->nl, NFTA_BITWISE_LEN, (uint32_t)len);
    data(n, NFTA_BITWISE_MASK, bits, len);
    data(n, NFTA_BITWISE_XOR, zero, len);
    expr_end(n);
}

static void load_meta(struct dt_nft *n, uint32_t key)
{
    expr(n, "meta");
    dt_nl_be32(n->nl, NFTA_META_KEY, key);
    dt_nl_be32(n->nl, NFTA_META_DREG, NFT_REG_1);
    expr_end(n);
}

static void load_payload(struct dt_nft *n, uint32_t base, size_t offset, size_t len, uint32_t reg)
{
    expr(n, "payload");
    dt_nl_be32(n->nl, NFTA_PAYLOAD_DREG, reg);
    dt_nl_be32(n->nl, NFTA_PAYLOAD_BASE, base);
    dt_nl_be32(n->nl, NFTA_PAYLOAD_OFFSET, (uint32_t)offset);
    dt_nl_be32(n->nl, NFTA_PAYLOAD_LEN, (uint32_t)len);
    expr_end(n);
}

static void load_addr(struct dt_nft *n, size_t offset, uint32_t reg)
{
    load_payload(n, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, reg);
}

void dt_nft_if_iface(struct dt_nft *n, uint32_t key, const char *prefix)
{
    load_meta(n, key);
    cmp(n, NFT_CMP_EQ, prefix, strlen(prefix));
}

void dt_nft_if_meta_u8(struct dt_nft *n, uint32_t key, uint32_t op, uint8_t value)
{
    load_meta(n, key);
    cmp(n, op, &value, sizeof(value));
}

static void if_addr(struct dt_nft *n, size_t offset, uint32_t addr, uint32_t prefix)
{
    uint32_t bits = htonl(prefix == 0 ? 0 : ~UINT32_C(0) << (32 - prefix));
    uint32_t want = htonl(addr) & bits;
    load_addr(n, offset, NFT_REG_1);
    if (prefix < 32)
        mask(n, &bits, sizeof(bits));
    cmp(n, NFT_CMP_EQ, &want, sizeof(want));
}

void dt_nft_if_saddr(struct dt_nft *n, uint32_t addr, uint32_t prefix)
{
    if_addr(n, offsetof(struct iphdr, saddr), addr, prefix);
}

void dt_nft_if_daddr(struct dt_nft *n, uint32_t addr, uint32_t prefix)
{
    if_addr(n, offsetof(struct iphdr, daddr), addr, prefix);
}

void dt_nft_if_dport(struct dt_nft *n, uint16_t port)
{
    /* TCP and UDP have it at the same place. */
    uint16_t want = htons(port);
    load_payload(n, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(want), NFT_REG_1);
    cmp(n, NFT_CMP_EQ, &want, sizeof(want));
}

static void if_ct(struct dt_nft *n, uint32_t key, uint32_t bits, uint32_t op)
{
    const uint32_t none = 0;
    expr(n, "ct");
    dt_nl_be32(n->nl, NFTA_CT_KEY, key);
    dt_nl_be32(n->nl, NFTA_CT_DREG, NFT_REG_1);
    expr_end(n);
    mask(n, &bits, sizeof(bits));
    cmp(n, op, &none, sizeof(none));
}

void dt_nft_if_ct_any(struct dt_nft *n, uint32_t key, uint32_t bits)
{
    if_ct(n, key, bits, NFT_CMP_NEQ);
}

void dt_nft_if_ct_none(struct dt_nft *n, uint32_t key, uint32_t bits)
{
    if_ct(n, key, bits, NFT_CMP_EQ);
}

static void if_route(struct dt_nft *n, uint32_t result, uint32_t want)
{
    expr(n, "fib");
    dt_nl_be32(n->nl, NFTA_FIB_DREG, NFT_REG_1);
    dt_nl_be32(n->nl, NFTA_FIB_RESULT, result);
    dt_nl_be32(n->nl, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    expr_end(n);
    cmp(n, NFT_CMP_EQ, &want, sizeof(want));
}

void dt_nft_if_daddr_type(struct dt_nft *n, uint32_t rtn_type)
{
    if_route(n, NFT_FIB_RESULT_ADDRTYPE, rtn_type);
}

void dt_nft_if_no_route(struct dt_nft *n)
{
    if_route(n, NFT_FIB_RESULT_OIF, 0);
}

static void load_key(struct dt_nft *n, enum dt_nft_key key)
{
    const size_t s = offsetof(struct iphdr, saddr);
    const size_t d = offsetof(struct iphdr, daddr);
    switch (key) {
    case DT_NFT_SADDR:
        load_addr(n, s, NFT_REG_1);
        break;
    case DT_NFT_DADDR:
        load_addr(n, d, NFT_REG_1);
        break;
    case DT_NFT_SADDR_DADDR:
        load_payload(n, NFT_PAYLOAD_NETWORK_HEADER, s, 8, NFT_REG_1);
        break;
    case DT_NFT_DADDR_SADDR:
        load_addr(n, d, NFT_REG32_00);
        load_addr(n, s, NFT_REG32_01);
        break;
    case DT_NFT_IIF_SADDR:
        load_meta(n, NFT_META_IIFNAME);
        load_addr(n, s, NFT_REG_2);
        break;
    }
}

static void lookup(struct dt_nft *n, const char *set, uint32_t flags, bool is_map)
{
    expr(n, "lookup");
    dt_nl_strz(n->nl, NFTA_LOOKUP_SET, set);
    dt_nl_be32(n->nl, NFTA_LOOKUP_SREG, NFT_REG_1);
    if (is_map)
        dt_nl_be32(n->nl, NFTA_LOOKUP_DREG, NFT_REG_1);
    if (flags != 0)
        dt_nl_be32(n->nl, NFTA_LOOKUP_FLAGS, flags);
    expr_end(n);
}

void dt_nft_if_in(struct dt_nft *n, enum dt_nft_key key, const char *set, uint32_t flags)
{
    load_key(n, key);
    lookup(n, set, flags, false);
}

void dt_nft_if_saddr_flows_over(struct dt_nft *n, const char *set, uint32_t count)
{
    load_key(n, DT_NFT_SADDR);
    expr(n, "dynset");
    dt_nl_strz(n->nl, NFTA_DYNSET_SET_NAME, set);
    dt_nl_be32(n->nl, NFTA_DYNSET_OP, NFT_DYNSET_OP_ADD);
    dt_nl_be32(n->nl, NFTA_DYNSET_SREG_KEY, NFT_REG_1);
    dt_nl_nest(n->nl, NFTA_DYNSET_EXPR);
    dt_nl_strz(n->nl, NFTA_EXPR_NAME, "connlimit");
    dt_nl_nest(n->nl, NFTA_EXPR_DATA);
    dt_nl_be32(n->nl, NFTA_CONNLIMIT_COUNT, count);
    dt_nl_be32(n->nl, NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
    dt_nl_end(n->nl);
    dt_nl_end(n->nl);
    expr_end(n);
}

void dt_nft_verdict(struct dt_nft *n, int verdict, const char *chain_name)
{
    expr(n, "immediate");
    dt_nl_be32(n->nl, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    dt_nl_nest(n->nl, NFTA_IMMEDIATE_DATA);
    dt_nl_nest(n->nl, NFTA_DATA_VERDICT);
    dt_nl_be32(n->nl, NFTA_VERDICT_CODE, (uint32_t)verdict);
    if (chain_name != NULL)
        dt_nl_strz(n->nl, NFTA_VERDICT_CHAIN, chain_name);
    dt_nl_end(n->nl);
    dt_nl_end(n->nl);
    expr_end(n);
}

static void reject(struct dt_nft *n, uint32_t type, uint8_t code)
{
    expr(n, "reject");
    dt_nl_be32(n->nl, NFTA_REJECT_TYPE, type);
    dt_nl_put(n->nl, NFTA_REJECT_ICMP_CODE, &code, sizeof(code));
    expr_end(n);
}

void dt_nft_reject_tcp(struct dt_nft *n)
{
    dt_nft_if_meta_u8(n, NFT_META_L4PROTO, NFT_CMP_EQ, IPPROTO_TCP);
    reject(n, NFT_REJECT_TCP_RST, 0);
}

void dt_nft_reject_prohibited(struct dt_nft *n)
{
    reject(n, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

void dt_nft_dnat_map(struct dt_nft *n, const char *map)
{
    load_key(n, DT_NFT_DADDR);
    lookup(n, map, 0, true);
    expr(n, "nat");
    dt_nl_be32(n->nl, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    dt_nl_be32(n->nl, NFTA_NAT_FAMILY, NFPROTO_IPV4);
    dt_nl_be32(n->nl, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
    expr_end(n);
}

void dt_nft_masquerade(struct dt_nft *n)
{
    expr(n, "masq");
    expr_end(n);
}

/*
 * One table of nf_tables, spoken to through nfnetlink: everything between dt_nft_begin() and
 * dt_nft_commit() is one atomic batch.
 *
 * A rule is written between dt_nft_rule() and dt_nft_rule_end() as matches, which all have to hold,
 * and then at most one verdict. Values of packets are in network byte order, of the kernel (marks,
 * connection states) in the host's.
 */
#ifndef DT_NFT_H
#define DT_NFT_H

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dt_nft;

/* `table` is copied, at most 31 bytes. Nothing is sent yet. The caller owns *ret. */
int dt_nft_open(const char *table, struct dt_nft **ret, struct dt_err *err) DT_MUST_CHECK;
/* NULL is fine; returns NULL. */
struct dt_nft *dt_nft_close(struct dt_nft *n);
DT_DEFINE_AUTO(struct dt_nft *, dt_nft_close)

void dt_nft_begin(struct dt_nft *n);
/* All or nothing. err->sys_errno says why (ENOENT: no such table, set or element, or the kernel
 * lacks an expression; EEXIST; EPERM: owned by somebody else). */
int dt_nft_commit(struct dt_nft *n, struct dt_err *err) DT_MUST_CHECK;

/* Adding one that exists is fine. `flags` is NFT_TABLE_F_*. */
void dt_nft_table_add(struct dt_nft *n, uint32_t flags);
/* With everything in it. */
void dt_nft_table_del(struct dt_nft *n);
/* As above, and one that does not exist is fine; kernel 6.3. */
void dt_nft_table_destroy(struct dt_nft *n);

/* Whether it is there. SYSTEM when the kernel does not say. */
int dt_nft_table_exists(struct dt_nft *n, bool *exists, struct dt_err *err) DT_MUST_CHECK;

/* The type numbers are what nft(8) shows elements by; the kernel looks at the lengths only. */
enum dt_nft_type {
    DT_NFT_INTEGER = 4,
    DT_NFT_IPV4 = 7,
    DT_NFT_IFNAME_IPV4 = 41 << 6 | 7,
};
struct dt_nft_set {
    const char *name;
    uint32_t id;       /* not 0, unique in the batch */
    uint32_t flags;    /* NFT_SET_* */
    uint32_t key_type; /* enum dt_nft_type */
    uint32_t key_len;
    uint32_t data_type; /* with NFT_SET_MAP */
    uint32_t data_len;
};
void dt_nft_set_add(struct dt_nft *n, const struct dt_nft_set *set);

/* Elements of one set, between begin and end. With NFT_SET_INTERVAL a range is two elements: its
 * first key, and the first key behind it with NFT_SET_ELEM_INTERVAL_END; the latter is left out
 * when the range reaches the last key there is. */
/* Adding one that exists is fine. */
void dt_nft_elems_add(struct dt_nft *n, const char *set);
/* Deleting one that is not there fails the batch. */
void dt_nft_elems_del(struct dt_nft *n, const char *set);
void dt_nft_elem(struct dt_nft *n, const void *key, size_t len, uint32_t flags);
void dt_nft_elem_map(struct dt_nft *n, const void *key, size_t len, const void *value, size_t size);
void dt_nft_elems_end(struct dt_nft *n);
/* Removes every element. */
void dt_nft_elems_flush(struct dt_nft *n, const char *set);

/* A chain of its own, to be jumped to; or with a hook, policy accept. `type` is filter or nat. */
void dt_nft_chain_add(struct dt_nft *n, const char *name);
void dt_nft_chain_hook(struct dt_nft *n, const char *name, const char *type, uint32_t hook,
                       int32_t priority);

void dt_nft_rule(struct dt_nft *n, const char *chain);
void dt_nft_rule_end(struct dt_nft *n);
/* Matches. `key` is NFT_META_IIFNAME or NFT_META_OIFNAME; the name begins with `prefix`. */
void dt_nft_if_iface(struct dt_nft *n, uint32_t key, const char *prefix);
void dt_nft_if_meta_u8(struct dt_nft *n, uint32_t key, uint32_t op, uint8_t value);
/* Addresses of the IPv4 header lie in addr/prefix (host byte order). */
void dt_nft_if_saddr(struct dt_nft *n, uint32_t addr, uint32_t prefix);
void dt_nft_if_daddr(struct dt_nft *n, uint32_t addr, uint32_t prefix);
void dt_nft_if_dport(struct dt_nft *n, uint16_t port);
/* Any of the bits is set, or none is. `key` is NFT_CT_STATE or NFT_CT_STATUS. */
void dt_nft_if_ct_any(struct dt_nft *n, uint32_t key, uint32_t bits);
void dt_nft_if_ct_none(struct dt_nft *n, uint32_t key, uint32_t bits);
/* What the host's routes say of the destination; RTN_LOCAL: an address of the host. */
void dt_nft_if_daddr_type(struct dt_nft *n, uint32_t rtn_type);
/* The host has no route to the destination. */
void dt_nft_if_no_route(struct dt_nft *n);
/* Set look-ups; `flags` is 0 or NFT_LOOKUP_F_INV. */
enum dt_nft_key {
    DT_NFT_SADDR,       /* 4 bytes */
    DT_NFT_DADDR,       /* 4 bytes */
    DT_NFT_SADDR_DADDR, /* 8 bytes */
    DT_NFT_DADDR_SADDR, /* 8 bytes */
    DT_NFT_IIF_SADDR,   /* IFNAMSIZ + 4 bytes */
};
void dt_nft_if_in(struct dt_nft *n, enum dt_nft_key key, const char *set, uint32_t flags);
/* The source has more than `count` tracked connections, which `set` (NFT_SET_EVAL) counts. */
void dt_nft_if_saddr_flows_over(struct dt_nft *n, const char *set, uint32_t count);

/* Verdicts; the two rejections answer the sender, dt_nft_reject_tcp() matches only TCP. `verdict`
 * is NF_ACCEPT, NF_DROP, or NFT_JUMP and NFT_GOTO with a chain. */
void dt_nft_verdict(struct dt_nft *n, int verdict, const char *chain);
void dt_nft_reject_tcp(struct dt_nft *n);
void dt_nft_reject_prohibited(struct dt_nft *n);
/* The new destination is what `map` says for the old one; no entry: the rule does not match. */
void dt_nft_dnat_map(struct dt_nft *n, const char *map);
void dt_nft_masquerade(struct dt_nft *n);

#endif

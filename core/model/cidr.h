/* Lists of IPv4 networks in text: `10.0.0.0/8, 192.0.2.1/32`. */
#ifndef DT_CIDR_H
#define DT_CIDR_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { DT_CIDRS_MAX = 5 };

struct dt_cidr {
    uint32_t addr; /* host byte order, host bits zero */
    uint32_t prefix;
};

/* Reads up to DT_CIDRS_MAX networks; empty items are skipped but counted, as clients expect.
 * Returns how many, or -1 with a BAD_REQUEST that quotes the bad one. */
int dt_cidr_list(struct dt_str text, struct dt_cidr out[DT_CIDRS_MAX],
                 struct dt_err *err) DT_MUST_CHECK;
/* What is in both lists, each of which has at most DT_CIDRS_MAX; nothing more than that many.
 * Returns how many. */
int dt_cidr_meet(const struct dt_cidr *a, int na, const struct dt_cidr *b, int nb,
                 struct dt_cidr out[DT_CIDRS_MAX]);
/* `192.0.2.1`: four decimal numbers without leading zeros. */
int dt_ipv4_parse(struct dt_str text, uint32_t *ret) DT_MUST_CHECK;
#define DT_IPV4_SIZE 16
char *dt_ipv4_text(uint32_t addr, char out[DT_IPV4_SIZE]);

#endif

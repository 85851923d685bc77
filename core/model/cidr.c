#include "model/cidr.h"

#include <stdio.h>

#include "base/utf8.h"

int dt_ipv4_parse(struct dt_str text, uint32_t *ret)
{
    struct dt_str part;
    uint32_t addr = 0;
    int n = 0;
    for (; dt_str_cut(&text, '.', &part); n++) {
        unsigned long long v;
        if (n == 4 || dt_str_u64(part, 255, &v) < 0)
            return -1;
        addr = addr << 8 | (uint32_t)v;
    }
    if (n != 4)
        return -1;
    *ret = addr;
    return 0;
}

char *dt_ipv4_text(uint32_t addr, char out[DT_IPV4_SIZE])
{
    (void)snprintf(out, DT_IPV4_SIZE, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
                   addr & 255);
    return out;
}

/* Quoted in messages: short, and nothing a terminal would obey. */
static const char *shown(struct dt_str s, char out[64])
{
    size_t n = dt_utf8_cut(s, 60);
    for (size_t i = 0; i < n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            out[i] = '?';
        else
            out[i] = s.p[i];
    out[n] = '\0';
    return out;
}

static int one(struct dt_str item, struct dt_cidr *out, struct dt_err *err)
{
    char a[64], b[64];
    struct dt_str rest = item, addr;
    unsigned long long prefix;
    if (!dt_str_cut(&rest, '/', &addr) || rest.p == NULL)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid network format: \"%s\". Missing CIDR prefix length (e.g., /24)",
                          shown(item, a));
    if (dt_ipv4_parse(addr, &out->addr) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid IP address: \"%s\" in network \"%s\". Must be a valid IPv4 "
                          "address",
                          shown(addr, a), shown(item, b));
    if (dt_str_u64(rest, 32, &prefix) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid CIDR prefix length: %s. Prefix must be between 0 and 32",
                          shown(item, a));
    out->prefix = (uint32_t)prefix;
    out->addr &= prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
    return 0;
}

int dt_cidr_list(struct dt_str text, struct dt_cidr out[DT_CIDRS_MAX], struct dt_err *err)
{
    struct dt_str item;
    int n = 0;
    for (int items = 0; dt_str_cut(&text, ',', &item);) {
        if (++items > DT_CIDRS_MAX)
            return dt_err_set(err, DT_E_BAD_REQUEST,
                              "Network allow list cannot contain more than %d networks",
                              DT_CIDRS_MAX);
        item = dt_str_trim(item);
        if (item.n > 0 && one(item, &out[n++], err) < 0)
            return -1;
    }
    return n;
}

static bool holds(const struct dt_cidr *outer, const struct dt_cidr *inner)
{
    uint32_t mask = outer->prefix == 0 ? 0 : UINT32_MAX << (32 - outer->prefix);
    return outer->prefix <= inner->prefix && (inner->addr & mask) == outer->addr;
}

static int add_new(const struct dt_cidr *c, struct dt_cidr out[DT_CIDRS_MAX], int n)
{
    for (int i = 0; i < n; i++) {
        if (holds(&out[i], c))
            return n;
    }
    if (n < DT_CIDRS_MAX)
        out[n++] = *c;
    return n;
}

int dt_cidr_meet(const struct dt_cidr *a, int na, const struct dt_cidr *b, int nb,
                 struct dt_cidr out[DT_CIDRS_MAX])
{
    int n = 0;
    for (int i = 0; i < na; i++) {
        for (int k = 0; k < nb; k++) {
            if (holds(&b[k], &a[i]))
                n = add_new(&a[i], out, n);
            else if (holds(&a[i], &b[k]))
                n = add_new(&b[k], out, n);
        }
    }
    return n;
}

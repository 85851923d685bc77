#include "os/sandbox_policy.h"

#include <string.h>

static void insert_range(struct dt_sandbox_policy *p, struct dt_sandbox_range r)
{
    unsigned at = p->n;
    while (at > 0 && p->allow[at - 1].first > r.first) {
        p->allow[at] = p->allow[at - 1];
        at--;
    }
    p->allow[at] = r;
    p->n++;
}

/* The kernel refuses ranges that overlap, so they are joined here. */
static void join_ranges(struct dt_sandbox_policy *p)
{
    uint8_t n = 0;
    for (unsigned i = 0; i < p->n; i++) {
        struct dt_sandbox_range r = p->allow[i];
        struct dt_sandbox_range *top = n > 0 ? &p->allow[n - 1] : NULL;
        if (top != NULL && (uint64_t)r.first <= (uint64_t)top->last + 1)
            top->last = r.last > top->last ? r.last : top->last;
        else
            p->allow[n++] = r;
    }
    p->n = n;
}

static int read_cidrs(struct dt_sandbox_policy *p, const struct dt_cidr *cidrs, unsigned n,
                      struct dt_err *err)
{
    if (n < 1 || n > DT_SANDBOX_NET_CIDRS)
        return dt_err_set(err, DT_E_INVALID, "an allow list has 1..%d ranges, not %u",
                          DT_SANDBOX_NET_CIDRS, n);
    for (unsigned i = 0; i < n; i++) {
        if (cidrs[i].prefix > 32)
            return dt_err_set(err, DT_E_INVALID, "prefix length /%u is not in 0..32",
                              cidrs[i].prefix);
        uint32_t host_bits = cidrs[i].prefix == 0
                                 ? UINT32_MAX
                                 : (uint32_t)((UINT64_C(1) << (32 - cidrs[i].prefix)) - 1);
        insert_range(
            p, (struct dt_sandbox_range){cidrs[i].addr & ~host_bits, cidrs[i].addr | host_bits});
    }
    join_ranges(p);
    return 0;
}

int dt_sandbox_policy_read(struct dt_sandbox_policy *p, enum dt_sandbox_net_mode mode,
                           const struct dt_cidr *cidrs, unsigned n, struct dt_err *err)
{
    memset(p, 0, sizeof(*p));
    p->known = true;
    p->full = mode == DT_SANDBOX_NET_FULL;
    if (mode == DT_SANDBOX_NET_ALLOW)
        return read_cidrs(p, cidrs, n, err);
    if (mode != DT_SANDBOX_NET_FULL && mode != DT_SANDBOX_NET_NONE)
        return dt_err_set(err, DT_E_INVALID, "network mode %d is unknown", (int)mode);
    if (n != 0)
        return dt_err_set(err, DT_E_INVALID, "only an allow list has ranges");
    return 0;
}

bool dt_sandbox_policy_same(const struct dt_sandbox_policy *a, const struct dt_sandbox_policy *b)
{
    return a->known == b->known && a->full == b->full && a->n == b->n &&
           memcmp(a->allow, b->allow, a->n * sizeof(a->allow[0])) == 0;
}

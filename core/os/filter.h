/*
 * A system call filter for the architecture that this is compiled for (x86_64, aarch64), as a
 * binary search tree over ranges of numbers. A foreign architecture (int 0x80) kills the process,
 * x32 and what no list names answer ENOSYS (so that libc falls back).
 */
#ifndef DT_FILTER_H
#define DT_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "base/err.h"

/* Numbers that are the same on every architecture and newer than some C libraries' headers. */
enum {
    DT_NR_QUOTACTL_FD = 443,
    DT_NR_MEMFD_SECRET = 447,
    DT_NR_PROCESS_MRELEASE = 448,
    DT_NR_FUTEX_WAITV = 449,
    DT_NR_SET_MEMPOLICY_HOME_NODE = 450,
    DT_NR_CACHESTAT = 451,
    DT_NR_FCHMODAT2 = 452,
    DT_NR_MAP_SHADOW_STACK = 453,
    DT_NR_FUTEX_WAKE = 454,
    DT_NR_FUTEX_WAIT = 455,
    DT_NR_FUTEX_REQUEUE = 456,
    DT_NR_STATMOUNT = 457,
    DT_NR_LISTMOUNT = 458,
    DT_NR_LSM_GET_SELF_ATTR = 459,
    DT_NR_LSM_SET_SELF_ATTR = 460,
    DT_NR_LSM_LIST_MODULES = 461,
    DT_NR_MSEAL = 462,
    DT_NR_SETXATTRAT = 463,
    DT_NR_GETXATTRAT = 464,
    DT_NR_LISTXATTRAT = 465,
    DT_NR_REMOVEXATTRAT = 466,
    DT_NR_OPEN_TREE_ATTR = 467,
    DT_NR_FILE_GETATTR = 468,
    DT_NR_FILE_SETATTR = 469,
    DT_NR_END = 470, /* from here on nothing is known: ENOSYS */
};

/* The program while it is written. */
struct dt_filter;

/* A call that its arguments decide. `put` writes code that ends with a return on every path. */
struct dt_filter_rule {
    int nr;
    void (*put)(struct dt_filter *f, unsigned flags);
};

struct dt_filter_list {
    const short *nrs;
    size_t n;
};

/* No number may be named twice. */
struct dt_filter_spec {
    struct dt_filter_list allowed;
    struct dt_filter_list forbidden; /* EPERM */
    const struct dt_filter_rule *rules;
    size_t nrules;  /* at most 16 */
    unsigned flags; /* for the rules */
};

/* The caller releases *prog with dt_filter_free; it is set on success only. */
int dt_filter_build(const struct dt_filter_spec *spec, struct sock_fprog *prog,
                    struct dt_err *err) DT_MUST_CHECK;
/* A zeroed program is fine; leaves a zeroed program. */
void dt_filter_free(struct sock_fprog *prog);

/* What rules are made of. `what` is SECCOMP_RET_*; a refusal is DT_FILTER_REFUSE(errno). */
#define DT_FILTER_REFUSE(e) (SECCOMP_RET_ERRNO | (unsigned)(e))
void dt_filter_return(struct dt_filter *f, unsigned what);
/* Loads the low 32 bits of an argument: the kernel looks at no more of those that are checked, and
 * with all 64 compared, garbage above would hide the value. */
void dt_filter_load(struct dt_filter *f, unsigned arg);
/* The high 32 bits, for pointers. */
void dt_filter_load_high(struct dt_filter *f, unsigned arg);
/* And keeps only these bits of what was loaded. */
void dt_filter_mask(struct dt_filter *f, unsigned bits);
/* `kind` is BPF_JEQ or BPF_JSET; skips `yes` or `no` instructions, at most 255. */
void dt_filter_jump(struct dt_filter *f, int kind, unsigned k, unsigned yes, unsigned no);
/* What was loaded is one of `values`: `match`, else `otherwise`. */
void dt_filter_one_of(struct dt_filter *f, const unsigned *values, unsigned n, unsigned match,
                      unsigned otherwise);
#define DT_FILTER_ONE_OF(f, match, otherwise, ...)                                                 \
    dt_filter_one_of(f, (const unsigned[]){__VA_ARGS__},                                           \
                     sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned), match, otherwise)

#endif

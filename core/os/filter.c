#include "os/filter.h"

#include <assert.h>
#include <linux/audit.h>
#include <stdint.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "the system call lists are written for x86_64 and aarch64"
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arguments are read as low words");

enum { INSNS_MAX = 1024, RULES_MAX = 16 };

/* What becomes of a number; from RULE on it is a rule's index, whose code is behind the tree. */
enum { NOSYS, ALLOW, PERM, RULE };

struct dt_filter {
    struct sock_filter *insns;
    unsigned n;
    unsigned holes[RULES_MAX]; /* jumps to the rules, whose places are not known yet */
};

/* From `first` up to the next range's, all numbers have the same action. */
struct range {
    unsigned first;
    uint8_t action;
};

static void put(struct dt_filter *f, struct sock_filter insn)
{
    assert(f->n < INSNS_MAX);
    f->insns[f->n++] = insn;
}

void dt_filter_return(struct dt_filter *f, unsigned what)
{
    put(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

static void load(struct dt_filter *f, size_t offset)
{
    put(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

void dt_filter_load(struct dt_filter *f, unsigned arg)
{
    load(f, offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t));
}

void dt_filter_load_high(struct dt_filter *f, unsigned arg)
{
    load(f, offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t) + sizeof(uint32_t));
}

void dt_filter_mask(struct dt_filter *f, unsigned bits)
{
    put(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits));
}

void dt_filter_jump(struct dt_filter *f, int kind, unsigned k, unsigned yes, unsigned no)
{
    assert(yes <= UINT8_MAX && no <= UINT8_MAX);
    put(f, (struct sock_filter)BPF_JUMP((unsigned short)(BPF_JMP | BPF_K | kind), k, (uint8_t)yes,
                                        (uint8_t)no));
}

void dt_filter_one_of(struct dt_filter *f, const unsigned *values, unsigned n, unsigned match,
                      unsigned otherwise)
{
    for (unsigned i = 0; i < n; i++)
        dt_filter_jump(f, BPF_JEQ, values[i], n - i, 0);
    dt_filter_return(f, otherwise);
    dt_filter_return(f, match);
}

static void put_leaf(struct dt_filter *f, uint8_t action)
{
    if (action >= RULE) {
        f->holes[action - RULE] = f->n;
        put(f, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
        return;
    }
    dt_filter_return(f, action == ALLOW  ? SECCOMP_RET_ALLOW
                        : action == PERM ? DT_FILTER_REFUSE(EPERM)
                                         : DT_FILTER_REFUSE(ENOSYS));
}

/* Ranges lo..hi. The lower half comes first; conditional jumps reach 255 instructions, so the way
 * over it is an unconditional one, which the kernel's JIT makes free. */
static void put_tree(struct dt_filter *f, const struct range *ranges, unsigned lo, unsigned hi)
{
    if (lo == hi) {
        put_leaf(f, ranges[lo].action);
        return;
    }
    unsigned mid = (lo + hi + 1) / 2;
    dt_filter_jump(f, BPF_JGE, ranges[mid].first, 0, 1);
    unsigned over = f->n;
    put(f, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
    put_tree(f, ranges, lo, mid - 1);
    f->insns[over].k = f->n - over - 1;
    put_tree(f, ranges, mid, hi);
}

static void put_rules(struct dt_filter *f, const struct dt_filter_spec *spec)
{
    for (size_t i = 0; i < spec->nrules; i++) {
        f->insns[f->holes[i]].k = f->n - f->holes[i] - 1;
        spec->rules[i].put(f, spec->flags);
    }
}

static void name(uint8_t *by_nr, int nr, uint8_t action)
{
    assert(nr >= 0 && nr < DT_NR_END && by_nr[nr] == NOSYS);
    by_nr[nr] = action;
}

/* Returns how many ranges there are; the last one reaches to the end of all numbers. */
static unsigned make_ranges(const struct dt_filter_spec *spec, struct range *ranges)
{
    uint8_t by_nr[DT_NR_END + 1] = {NOSYS};
    for (size_t i = 0; i < spec->allowed.n; i++)
        name(by_nr, spec->allowed.nrs[i], ALLOW);
    for (size_t i = 0; i < spec->forbidden.n; i++)
        name(by_nr, spec->forbidden.nrs[i], PERM);
    for (size_t i = 0; i < spec->nrules; i++)
        name(by_nr, spec->rules[i].nr, (uint8_t)(RULE + i));
    unsigned n = 0;
    for (unsigned nr = 0; nr <= DT_NR_END; nr++)
        /* cppcheck-suppress uninitvar -- n - 1 was written before */
        if (n == 0 || ranges[n - 1].action != by_nr[nr])
            ranges[n++] = (struct range){nr, by_nr[nr]};
    return n;
}

int dt_filter_build(const struct dt_filter_spec *spec, struct sock_fprog *prog, struct dt_err *err)
{
    assert(spec->nrules <= RULES_MAX);
    struct dt_filter f = {.insns = calloc(INSNS_MAX, sizeof(*f.insns))};
    if (f.insns == NULL)
        return dt_err_set(err, DT_E_NOMEM, "seccomp: no memory for the filter");

    struct range ranges[DT_NR_END + 1];
    unsigned n = make_ranges(spec, ranges);
    load(&f, offsetof(struct seccomp_data, arch));
    dt_filter_jump(&f, BPF_JEQ, OUR_ARCH, 1, 0);
    dt_filter_return(&f, SECCOMP_RET_KILL_PROCESS);
    load(&f, offsetof(struct seccomp_data, nr));
    put_tree(&f, ranges, 0, n - 1);
    put_rules(&f, spec);
    prog->filter = f.insns;
    prog->len = (unsigned short)f.n;
    return 0;
}

void dt_filter_free(struct sock_fprog *prog)
{
    free(prog->filter);
    *prog = (struct sock_fprog){0};
}

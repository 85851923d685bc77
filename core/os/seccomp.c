#include "os/seccomp.h"

#include <assert.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "os/seccomp_calls.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "the system call lists are written for x86_64 and aarch64"
#endif
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arguments are read as low words");

/* What becomes of a number; those from BY_ARGUMENT on have code of their own behind the tree. */
enum action {
    NOSYS,
    ALLOW,
    PERM,
    BY_ARGUMENT,
    CLONE = BY_ARGUMENT,
    SOCKET,
    SOCKETPAIR,
    IOCTL,
    PERSONALITY,
    MODIFY_LDT,
    ACTIONS
};

enum {
    REFUSE_NOSYS = SECCOMP_RET_ERRNO | ENOSYS,
    REFUSE_PERM = SECCOMP_RET_ERRNO | EPERM,
    REFUSE_FAMILY = SECCOMP_RET_ERRNO | EAFNOSUPPORT,
    REFUSE_PROTOCOL = SECCOMP_RET_ERRNO | EPROTONOSUPPORT,
    NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                     CLONE_NEWPID | CLONE_NEWNET,
    INSNS_MAX = 1024,
    HOLES_MAX = 32,
};

/* A jump to the code of `action`, whose place is not known yet. */
struct hole {
    unsigned at;
    enum action action;
};

struct program {
    struct sock_filter *insns;
    unsigned n;
    struct hole holes[HOLES_MAX];
    unsigned nholes;
};

/* From `first` up to the next range's, all numbers have the same action. */
struct range {
    unsigned first;
    enum action action;
};

static void put(struct program *p, struct sock_filter insn)
{
    assert(p->n < INSNS_MAX);
    p->insns[p->n++] = insn;
}

static void put_return(struct program *p, unsigned what)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

static void put_load(struct program *p, size_t offset)
{
    put(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void put_jump(struct program *p, int kind, unsigned k, unsigned yes, unsigned no)
{
    assert(yes <= UINT8_MAX && no <= UINT8_MAX);
    put(p, (struct sock_filter)BPF_JUMP((unsigned short)(BPF_JMP | BPF_K | kind), k, (uint8_t)yes,
                                        (uint8_t)no));
}

/* The kernel looks at no more than 32 bits of the arguments that we check, so neither do we: with
 * all 64 compared, garbage above would hide the value. */
static void put_load_arg(struct program *p, unsigned arg)
{
    put_load(p, offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t));
}

static void put_one_of(struct program *p, unsigned arg, const unsigned *values, unsigned n,
                       unsigned match, unsigned otherwise)
{
    put_load_arg(p, arg);
    for (unsigned i = 0; i < n; i++)
        put_jump(p, BPF_JEQ, values[i], n - i, 0);
    put_return(p, otherwise);
    put_return(p, match);
}
#define ONE_OF(p, arg, match, otherwise, ...)                                                      \
    put_one_of(p, arg, (const unsigned[]){__VA_ARGS__},                                            \
               sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned), match, otherwise)

static void put_clone(struct program *p)
{
    put_load_arg(p, 0);
    put_jump(p, BPF_JSET, NEW_NAMESPACES, 0, 1);
    put_return(p, REFUSE_PERM);
    put_return(p, SECCOMP_RET_ALLOW);
}

/* Other protocols of inet (sctp, mptcp, smc, l2tp) would load modules that nobody here needs. */
static void put_socket(struct program *p, bool inet6)
{
    put_load_arg(p, 0);
    put_jump(p, BPF_JEQ, AF_UNIX, 0, 1);
    put_return(p, SECCOMP_RET_ALLOW);
    put_jump(p, BPF_JEQ, AF_NETLINK, 0, 4);
    ONE_OF(p, 2, SECCOMP_RET_ALLOW, REFUSE_FAMILY, NETLINK_ROUTE);
    put_jump(p, BPF_JEQ, AF_INET, inet6 ? 2 : 1, 0);
    if (inet6)
        put_jump(p, BPF_JEQ, AF_INET6, 1, 0);
    put_return(p, REFUSE_FAMILY);
    ONE_OF(p, 2, SECCOMP_RET_ALLOW, REFUSE_PROTOCOL, IPPROTO_IP, IPPROTO_ICMP, IPPROTO_TCP,
           IPPROTO_UDP, IPPROTO_ICMPV6);
}

static void put_action(struct program *p, enum action action, unsigned flags)
{
    switch (action) {
    case CLONE:
        put_clone(p);
        break;
    case SOCKET:
        put_socket(p, (flags & DT_SECCOMP_NO_INET6) == 0);
        break;
    case SOCKETPAIR:
        ONE_OF(p, 0, SECCOMP_RET_ALLOW, REFUSE_FAMILY, AF_UNIX);
        break;
    case IOCTL:
        ONE_OF(p, 1, REFUSE_PERM, SECCOMP_RET_ALLOW, TIOCSTI, TIOCLINUX, TIOCCONS);
        break;
    case PERSONALITY:
        ONE_OF(p, 0, SECCOMP_RET_ALLOW, REFUSE_PERM, PER_LINUX, PER_LINUX32, UNAME26,
               PER_LINUX32 | UNAME26, 0xffffffff);
        break;
    case MODIFY_LDT:
        ONE_OF(p, 0, SECCOMP_RET_ALLOW, REFUSE_PERM, 0, 2);
        break;
    case ALLOW:
        put_return(p, SECCOMP_RET_ALLOW);
        break;
    case PERM:
        put_return(p, REFUSE_PERM);
        break;
    case NOSYS:
    case ACTIONS:
    default:
        put_return(p, REFUSE_NOSYS);
        break;
    }
}

static void put_leaf(struct program *p, enum action action)
{
    if (action < BY_ARGUMENT) {
        put_action(p, action, 0);
        return;
    }
    assert(p->nholes < HOLES_MAX);
    p->holes[p->nholes++] = (struct hole){p->n, action};
    put(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
}

/* Ranges lo..hi. The lower half comes first; conditional jumps reach 255 instructions, so the way
 * over it is an unconditional one, which the kernel's JIT makes free. */
static void put_tree(struct program *p, const struct range *ranges, unsigned lo, unsigned hi)
{
    if (lo == hi) {
        put_leaf(p, ranges[lo].action);
        return;
    }
    unsigned mid = (lo + hi + 1) / 2;
    put_jump(p, BPF_JGE, ranges[mid].first, 0, 1);
    unsigned over = p->n;
    put(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
    put_tree(p, ranges, lo, mid - 1);
    p->insns[over].k = p->n - over - 1;
    put_tree(p, ranges, mid, hi);
}

static void put_arguments(struct program *p, unsigned flags)
{
    for (enum action action = BY_ARGUMENT; action < ACTIONS; action++) {
        for (unsigned i = 0; i < p->nholes; i++)
            if (p->holes[i].action == action)
                p->insns[p->holes[i].at].k = p->n - p->holes[i].at - 1;
        put_action(p, action, flags);
    }
}

static void fill(enum action *by_nr, const short *nrs, size_t n, enum action action)
{
    for (size_t i = 0; i < n; i++) {
        assert(nrs[i] < NR_END && by_nr[nrs[i]] == NOSYS);
        by_nr[nrs[i]] = action;
    }
}

/* Returns how many ranges there are; the last one reaches to the end of all numbers. */
static unsigned make_ranges(struct range *ranges)
{
    enum action by_nr[NR_END + 1] = {NOSYS};
    fill(by_nr, allowed, sizeof(allowed) / sizeof(allowed[0]), ALLOW);
    fill(by_nr, forbidden, sizeof(forbidden) / sizeof(forbidden[0]), PERM);
    by_nr[SYS_clone] = CLONE;
    by_nr[SYS_socket] = SOCKET;
    by_nr[SYS_socketpair] = SOCKETPAIR;
    by_nr[SYS_ioctl] = IOCTL;
    by_nr[SYS_personality] = PERSONALITY;
#ifdef __x86_64__
    by_nr[SYS_modify_ldt] = MODIFY_LDT;
#endif
    unsigned n = 0;
    for (unsigned nr = 0; nr <= NR_END; nr++)
        /* cppcheck-suppress uninitvar -- n - 1 was written before */
        if (n == 0 || ranges[n - 1].action != by_nr[nr])
            ranges[n++] = (struct range){nr, by_nr[nr]};
    return n;
}

int dt_seccomp_build(unsigned flags, struct sock_fprog *prog, struct dt_err *err)
{
    if ((flags & ~(unsigned)DT_SECCOMP_NO_INET6) != 0)
        return dt_err_set(err, DT_E_INVALID, "seccomp: unknown flags %#x", flags);
    struct program p = {.insns = calloc(INSNS_MAX, sizeof(*p.insns))};
    if (p.insns == NULL)
        return dt_err_set(err, DT_E_NOMEM, "seccomp: no memory for the filter");

    struct range ranges[NR_END + 1];
    unsigned n = make_ranges(ranges);
    put_load(&p, offsetof(struct seccomp_data, arch));
    put_jump(&p, BPF_JEQ, OUR_ARCH, 1, 0);
    put_return(&p, SECCOMP_RET_KILL_PROCESS);
    put_load(&p, offsetof(struct seccomp_data, nr));
    put_tree(&p, ranges, 0, n - 1);
    put_arguments(&p, flags);
    prog->filter = p.insns;
    prog->len = (unsigned short)p.n;
    return 0;
}

void dt_seccomp_free(struct sock_fprog *prog)
{
    free(prog->filter);
    *prog = (struct sock_fprog){0};
}

int dt_seccomp_install(const struct sock_fprog *prog)
{
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog);
}

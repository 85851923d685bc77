#include "os/seccomp.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "os/filter.h"
#include "os/seccomp_calls.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

enum {
    REFUSE_PERM = DT_FILTER_REFUSE(EPERM),
    REFUSE_FAMILY = DT_FILTER_REFUSE(EAFNOSUPPORT),
    REFUSE_PROTOCOL = DT_FILTER_REFUSE(EPROTONOSUPPORT),
    NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                     CLONE_NEWPID | CLONE_NEWNET,
};

static void put_clone(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    dt_filter_jump(f, BPF_JSET, NEW_NAMESPACES, 0, 1);
    dt_filter_return(f, REFUSE_PERM);
    dt_filter_return(f, SECCOMP_RET_ALLOW);
}

/* Other protocols of inet (sctp, mptcp, smc, l2tp) would load modules that nobody here needs. */
static void put_socket(struct dt_filter *f, unsigned flags)
{
    bool inet6 = (flags & DT_SECCOMP_NO_INET6) == 0;
    dt_filter_load(f, 0);
    dt_filter_jump(f, BPF_JEQ, AF_UNIX, 0, 1);
    dt_filter_return(f, SECCOMP_RET_ALLOW);
    dt_filter_jump(f, BPF_JEQ, AF_NETLINK, 0, 4);
    dt_filter_load(f, 2);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_FAMILY, NETLINK_ROUTE);
    dt_filter_jump(f, BPF_JEQ, AF_INET, inet6 ? 2 : 1, 0);
    if (inet6)
        dt_filter_jump(f, BPF_JEQ, AF_INET6, 1, 0);
    dt_filter_return(f, REFUSE_FAMILY);
    dt_filter_load(f, 2);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PROTOCOL, IPPROTO_IP, IPPROTO_ICMP, IPPROTO_TCP,
                     IPPROTO_UDP, IPPROTO_ICMPV6);
}

static void put_socketpair(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_FAMILY, AF_UNIX);
}

static void put_ioctl(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 1);
    DT_FILTER_ONE_OF(f, REFUSE_PERM, SECCOMP_RET_ALLOW, TIOCSTI, TIOCLINUX, TIOCCONS);
}

static void put_personality(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PERM, PER_LINUX, PER_LINUX32, UNAME26,
                     PER_LINUX32 | UNAME26, 0xffffffff);
}

/* A core limit other than 1 would let a sandbox start the program that the host's core_pattern
 * may name, as root of the host: box.c sets it, and here asking for another succeeds in vain. sudo
 * and others want 0, which is what 1 amounts to. */
static void put_setrlimit(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    DT_FILTER_ONE_OF(f, DT_FILTER_REFUSE(0), SECCOMP_RET_ALLOW, RLIMIT_CORE);
}

static void put_prlimit(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 1);
    dt_filter_jump(f, BPF_JEQ, RLIMIT_CORE, 0, 8);
    dt_filter_load(f, 2); /* reading is fine */
    dt_filter_jump(f, BPF_JEQ, 0, 0, 2);
    dt_filter_load_high(f, 2);
    dt_filter_jump(f, BPF_JEQ, 0, 4, 0);
    dt_filter_load(f, 3); /* who wants the old one as well would get nothing */
    dt_filter_jump(f, BPF_JEQ, 0, 0, 4);
    dt_filter_load_high(f, 3);
    dt_filter_jump(f, BPF_JEQ, 0, 1, 2);
    dt_filter_return(f, SECCOMP_RET_ALLOW);
    dt_filter_return(f, DT_FILTER_REFUSE(0));
    dt_filter_return(f, REFUSE_PERM);
}

/* Huge pages that the host has set aside belong to nobody's memory limit. Who asks falls back to
 * usual pages, as on a host without. */
static void put_no_huge(struct dt_filter *f, unsigned arg, unsigned flag)
{
    dt_filter_load(f, arg);
    dt_filter_jump(f, BPF_JSET, flag, 0, 1);
    dt_filter_return(f, DT_FILTER_REFUSE(ENOMEM));
    dt_filter_return(f, SECCOMP_RET_ALLOW);
}

static void put_mmap(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    put_no_huge(f, 3, MAP_HUGETLB);
}

static void put_memfd_create(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    put_no_huge(f, 1, MFD_HUGETLB);
}

static void put_shmget(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    put_no_huge(f, 2, SHM_HUGETLB);
}

#ifdef __x86_64__
static void put_modify_ldt(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PERM, 0, 2);
}
#endif

static const struct dt_filter_rule rules[] = {
    {SYS_clone, put_clone},
    {SYS_socket, put_socket},
    {SYS_socketpair, put_socketpair},
    {SYS_ioctl, put_ioctl},
    {SYS_personality, put_personality},
    {SYS_setrlimit, put_setrlimit},
    {SYS_prlimit64, put_prlimit},
    {SYS_mmap, put_mmap},
    {SYS_memfd_create, put_memfd_create},
    {SYS_shmget, put_shmget},
#ifdef __x86_64__
    {SYS_modify_ldt, put_modify_ldt},
#endif
};

int dt_seccomp_build(unsigned flags, struct sock_fprog *prog, struct dt_err *err)
{
    if ((flags & ~(unsigned)DT_SECCOMP_NO_INET6) != 0)
        return dt_err_set(err, DT_E_INVALID, "seccomp: unknown flags %#x", flags);
    const struct dt_filter_spec spec = {
        .allowed = {allowed, COUNT(allowed)},
        .forbidden = {forbidden, COUNT(forbidden)},
        .rules = rules,
        .nrules = COUNT(rules),
        .flags = flags,
    };
    return dt_filter_build(&spec, prog, err);
}

void dt_seccomp_free(struct sock_fprog *prog)
{
    dt_filter_free(prog);
}

int dt_seccomp_install(const struct sock_fprog *prog)
{
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog);
}

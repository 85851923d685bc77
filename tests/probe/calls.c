/* System calls that the filter must refuse, each with arguments that do no harm if it does not. */
#include "probe.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing that the kernel could follow: EFAULT or EINVAL instead of EPERM shows a hole. */
#define BAD ((long)-8)

static void attempt_call(const struct probe *p, struct outcome *out)
{
    static const int eperm[] = {EPERM};
    const long *a = p->args;
    long ret = syscall(p->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (p->wants[0] != 0)
        judge(out, ret, p->wants, 2);
    else
        judge(out, ret, eperm, 1);
}

/* A child that exists must end, and count as success. */
static void attempt_clone(const struct probe *p, struct outcome *out)
{
    static const int eperm[] = {EPERM};
    long pid = syscall(SYS_clone, p->args[0] | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    int e = errno;
    if (pid > 0)
        (void)waitpid((pid_t)pid, NULL, 0);
    errno = e;
    judge(out, pid, eperm, 1);
}

static void attempt_clone3(const struct probe *p, struct outcome *out)
{
    static const int enosys[] = {ENOSYS};
    struct clone_args {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } a = {.flags = (uint64_t)p->args[0], .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &a, sizeof(a));
    if (pid == 0)
        _exit(0);
    int e = errno;
    if (pid > 0)
        (void)waitpid((pid_t)pid, NULL, 0);
    errno = e;
    judge(out, pid, enosys, 1);
}

static void attempt_terminal(const struct probe *p, struct outcome *out)
{
    static const int eperm[] = {EPERM};
    int master, slave;
    char c = 'x';
    if (openpty(&master, &slave, NULL, NULL, NULL) < 0) {
        say(out, false, "no pty to try it on: %s", strerror(errno));
        return;
    }
    judge(out, syscall(SYS_ioctl, slave, p->args[0], &c), eperm, 1);
}

static void attempt_weaken(const struct probe *p, struct outcome *out)
{
    static const int eperm[] = {EPERM};
    (void)p;
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {.len = 1, .filter = allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0) {
        say(out, false, "could not stack a filter: %s", strerror(errno));
        return;
    }
    judge(out, unshare(CLONE_NEWUSER), eperm, 1);
}

#ifdef __x86_64__
/* getpid of the 32-bit table: the filter kills who tries, or the kernel has no such table. */
static void attempt_int80(const struct probe *p, struct outcome *out)
{
    (void)p;
    long ret = 20;
    __asm__ volatile("int $0x80" : "+a"(ret) : : "memory", "r8", "r9", "r10", "r11");
    say(out, ret < 0, "returned %ld", ret);
}
#endif

#define CALL(name, ...)                                                                            \
    {                                                                                              \
#name, attempt_call, .nr = SYS_##name, .args = { __VA_ARGS__ }                             \
    }
#define NUMBER(name, number, ...)                                                                  \
    {                                                                                              \
        name, attempt_call, .nr = (number), .args = { __VA_ARGS__ }                                \
    }
#define ENOSYS_CALL(name, ...)                                                                     \
    {                                                                                              \
#name, attempt_call, .nr = SYS_##name, .args = {__VA_ARGS__ }, .wants = { ENOSYS }         \
    }
#define FAMILY(name, family, type, protocol)                                                       \
    {                                                                                              \
        "socket " name, attempt_call, .nr = SYS_socket, .args = {family, type, protocol},          \
                                      .wants = {                                                   \
                                          EAFNOSUPPORT,                                            \
                                          EPROTONOSUPPORT                                          \
                                      }                                                            \
    }

static const struct probe rows[] = {
    CALL(mount, BAD, BAD, BAD, 0, BAD),
    CALL(umount2, BAD, 2),
    CALL(pivot_root, BAD, BAD),
    CALL(move_mount, -1, BAD, -1, BAD, 0),
    CALL(open_tree, -1, BAD, 0),
    NUMBER("open_tree_attr", 467, -1, BAD, 0, BAD, 32),
    CALL(fsopen, BAD, 0),
    CALL(fsconfig, -1, 0, BAD, BAD, 0),
    CALL(fsmount, -1, 0, 0),
    CALL(fspick, -1, BAD, 0),
    CALL(mount_setattr, -1, BAD, 0, BAD, 32),
    CALL(bpf, BPF_PROG_LOAD, BAD, 128),
    CALL(perf_event_open, BAD, 0, -1, -1, 0),
    CALL(userfaultfd, 1),
    ENOSYS_CALL(io_uring_setup, 1, BAD),
    ENOSYS_CALL(io_uring_enter, -1, 0, 0, 0, 0),
    ENOSYS_CALL(io_uring_register, -1, 0, 0, 0),
    CALL(keyctl, 0, -3, 1),
    CALL(add_key, BAD, BAD, BAD, 1, -2),
    CALL(request_key, BAD, BAD, BAD, -2),
    CALL(open_by_handle_at, -100, BAD, 0),
    NUMBER("pidfd_getfd", SYS_pidfd_getfd, -1, 0, 0),
    NUMBER("process_madvise", SYS_process_madvise, -1, BAD, 1, 0, 0),
    CALL(kcmp, 1, 1, 0, 0, 0),
    CALL(init_module, BAD, 1, BAD),
    CALL(finit_module, -1, BAD, 0),
    CALL(delete_module, BAD, 2048),
    CALL(kexec_load, 0, 1, BAD, 0),
    CALL(kexec_file_load, -1, -1, 0, BAD, 0),
    CALL(swapon, BAD, 0),
    CALL(swapoff, BAD),
    CALL(reboot, 1, 2, 3, BAD),
    CALL(acct, BAD),
    CALL(syslog, 3, BAD, 1),
    CALL(quotactl, 0x800001, BAD, 0, BAD),
    NUMBER("quotactl_fd", 443, -1, 0x800001, 0, BAD),
    CALL(settimeofday, BAD, 0),
    CALL(clock_settime, 0, BAD),
    CALL(clock_adjtime, 0, BAD),
    CALL(adjtimex, BAD),
    CALL(sethostname, BAD, 1),
    CALL(setdomainname, BAD, 1),
    CALL(lookup_dcookie, 0, BAD, 1),
    CALL(nfsservctl, 0, BAD, BAD),
    CALL(vhangup, 0),
    CALL(fanotify_init, 0xffffffff, 0),
    CALL(mbind, 1, 0, 99, 0, 0, 0),
    CALL(migrate_pages, 0, 0, BAD, BAD),
    CALL(move_pages, 1, 1, BAD, BAD, BAD, 0),
    NUMBER("memfd_secret", 447, 0xffff),
    NUMBER("lsm_set_self_attr", 460, 100, BAD, 8, 0),
    CALL(unshare, CLONE_NEWUSER),
    {"unshare CLONE_NEWNET", attempt_call, .nr = SYS_unshare, .args = {CLONE_NEWNET}},
    {"unshare CLONE_NEWNS", attempt_call, .nr = SYS_unshare, .args = {CLONE_NEWNS}},
    {"unshare CLONE_NEWTIME", attempt_call, .nr = SYS_unshare, .args = {0x80}},
    CALL(setns, -1, 0),
    {"clone CLONE_NEWUSER", attempt_clone, .args = {CLONE_NEWUSER}},
    {"clone CLONE_NEWNET", attempt_clone, .args = {CLONE_NEWNET}},
    {"clone CLONE_NEWNS", attempt_clone, .args = {CLONE_NEWNS}},
    {"clone CLONE_NEWPID", attempt_clone, .args = {CLONE_NEWPID}},
    {"clone CLONE_NEWIPC", attempt_clone, .args = {CLONE_NEWIPC}},
    {"clone CLONE_NEWUTS", attempt_clone, .args = {CLONE_NEWUTS}},
    {"clone CLONE_NEWCGROUP", attempt_clone, .args = {CLONE_NEWCGROUP}},
    {"clone3", attempt_clone3, .args = {0}},
    {"clone3 CLONE_NEWUSER", attempt_clone3, .args = {CLONE_NEWUSER}},
    NUMBER("personality READ_IMPLIES_EXEC", SYS_personality, 0x0400000),
    NUMBER("personality BSD", SYS_personality, 6),
    {"TIOCSTI", attempt_terminal, .args = {0x5412}},
    {"TIOCSTI above 32 bits", attempt_terminal, .args = {0x7fffffff00005412}},
    {"TIOCLINUX", attempt_terminal, .args = {0x541c}},
    {"TIOCLINUX above 32 bits", attempt_terminal, .args = {0x10000541c}},
    {"TIOCCONS", attempt_terminal, .args = {0x541d}},
    {.name = "a filter that allows all", .attempt = attempt_weaken},
    {"mmap huge", attempt_call, .nr = SYS_mmap, .args = {0, 2 << 20, 3, 0x40022, -1, 0},
     .wants = {ENOMEM}},
    {"memfd_create huge", attempt_call, .nr = SYS_memfd_create, .args = {(long)"x", 4},
     .wants = {ENOMEM}},
    {"shmget huge", attempt_call, .nr = SYS_shmget, .args = {0, 2 << 20, 07600}, .wants = {ENOMEM}},
    {"ioprio_set real-time", attempt_call, .nr = SYS_ioprio_set, .args = {1, 0, 1 << 13}},
    {"system call 5000", attempt_call, .nr = 5000, .wants = {ENOSYS}},
    FAMILY("packet", AF_PACKET, SOCK_RAW, 0),
    FAMILY("vsock", AF_VSOCK, SOCK_STREAM, 0),
    FAMILY("alg", AF_ALG, SOCK_SEQPACKET, 0),
    FAMILY("rxrpc", AF_RXRPC, SOCK_DGRAM, AF_INET),
    FAMILY("key", AF_KEY, SOCK_RAW, 2),
    FAMILY("tipc", AF_TIPC, SOCK_SEQPACKET, 0),
    FAMILY("rds", AF_RDS, SOCK_SEQPACKET, 0),
    FAMILY("xdp", AF_XDP, SOCK_RAW, 0),
    FAMILY("smc", AF_SMC, SOCK_STREAM, 0),
    FAMILY("bluetooth", AF_BLUETOOTH, SOCK_RAW, 1),
    FAMILY("can", AF_CAN, SOCK_RAW, 1),
    FAMILY("llc", AF_LLC, SOCK_STREAM, 0),
    FAMILY("ax25", AF_AX25, SOCK_SEQPACKET, 0),
    FAMILY("kcm", AF_KCM, SOCK_DGRAM, 0),
    FAMILY("nfc", AF_NFC, SOCK_SEQPACKET, 0),
    FAMILY("qipcrtr", 42, SOCK_DGRAM, 0),
    FAMILY("unix, hidden above 32 bits", 0x100000000 | AF_VSOCK, SOCK_STREAM, 0),
    FAMILY("netlink netfilter", AF_NETLINK, SOCK_RAW, 12),
    FAMILY("netlink xfrm", AF_NETLINK, SOCK_RAW, 6),
    FAMILY("netlink audit", AF_NETLINK, SOCK_RAW, 9),
    FAMILY("netlink uevent", AF_NETLINK, SOCK_RAW, 15),
    FAMILY("netlink generic", AF_NETLINK, SOCK_RAW, 16),
    FAMILY("netlink crypto", AF_NETLINK, SOCK_RAW, 21),
    FAMILY("inet sctp", AF_INET, SOCK_STREAM, 132),
    FAMILY("inet mptcp", AF_INET, SOCK_STREAM, 262),
    FAMILY("inet l2tp", AF_INET, SOCK_DGRAM, 115),
    {"socket inet raw", attempt_call, .nr = SYS_socket, .args = {AF_INET, SOCK_RAW, 1}},
    {"socket inet6 raw", attempt_call, .nr = SYS_socket, .args = {AF_INET6, SOCK_RAW, 58},
     .wants = {EPERM, EAFNOSUPPORT}},
    {"socket inet packet", attempt_call, .nr = SYS_socket, .args = {AF_INET, SOCK_PACKET, 0}},
    {"socketpair tipc", attempt_call, .nr = SYS_socketpair, .args = {AF_TIPC, SOCK_STREAM, 0, BAD},
     .wants = {EAFNOSUPPORT}},
#ifdef __x86_64__
    CALL(iopl, 3),
    CALL(ioperm, 0x80, 1, 1),
    CALL(uselib, BAD),
    CALL(ustat, 0, BAD),
    CALL(sysfs, 3),
    CALL(_sysctl, BAD),
    {"modify_ldt write", attempt_call, .nr = SYS_modify_ldt, .args = {1, BAD, 16}},
    {"x32 getpid", attempt_call, .nr = 0x40000000 + SYS_getpid, .wants = {ENOSYS}},
    {.name = "int 0x80", .attempt = attempt_int80},
#endif
};

const struct probe_list probe_calls = {rows, sizeof(rows) / sizeof(rows[0])};

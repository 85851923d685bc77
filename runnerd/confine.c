#include "runnerd/confine.h"

#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "os/filter.h"
#include "os/landlock.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED DT_CONFINE_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED DT_CONFINE_SANITIZED
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum {
    REFUSE_PERM = DT_FILTER_REFUSE(EPERM),
    REFUSE_FAMILY = DT_FILTER_REFUSE(EAFNOSUPPORT),
    REFUSE_PROTOCOL = DT_FILTER_REFUSE(EPROTONOSUPPORT),
    NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                     CLONE_NEWPID | CLONE_NEWNET,
    TYPE_BITS = 0xf, /* of a socket's type; flags are above */
};

/* clang-format off */
static const short allowed[] = {
    /* memory and threads */
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_futex, SYS_set_robust_list, SYS_rseq,
    SYS_sched_yield, SYS_sched_getaffinity, SYS_membarrier, SYS_gettid, SYS_exit, SYS_exit_group,
    DT_NR_FUTEX_WAITV, DT_NR_FUTEX_WAKE, DT_NR_FUTEX_WAIT, DT_NR_FUTEX_REQUEUE,
    /* signals: its own, and abort() */
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_tgkill,
    SYS_restart_syscall,
    /* files */
    SYS_read, SYS_readv, SYS_pread64, SYS_preadv, SYS_write, SYS_writev, SYS_pwrite64,
    SYS_pwritev, SYS_lseek, SYS_close, SYS_close_range, SYS_openat, SYS_openat2, SYS_fstat,
    SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat, SYS_faccessat2,
    SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_fcntl, SYS_flock, SYS_dup, SYS_dup3,
    SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_fallocate, SYS_fchmod, SYS_fchmodat,
    DT_NR_FCHMODAT2, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_mkdirat, SYS_unlinkat,
    SYS_renameat, SYS_renameat2, SYS_umask, SYS_memfd_create, SYS_splice, SYS_sendfile,
    SYS_pipe2, SYS_eventfd2,
    /* sockets */
    SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname,
    SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_shutdown, SYS_sendto, SYS_sendmsg,
    SYS_sendmmsg, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
    /* waiting and time */
    SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_ppoll,
    SYS_pselect6, SYS_timerfd_create, SYS_timerfd_settime, SYS_clock_gettime, SYS_clock_getres,
    SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_wait4, SYS_waitid,
    /* what it is */
    SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname,
    SYS_sysinfo, SYS_getrusage, SYS_getrandom, SYS_getcpu,
#ifdef __x86_64__
    SYS_arch_prctl, SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_unlink,
    SYS_rename, SYS_mkdir, SYS_rmdir, SYS_chmod, SYS_dup2, SYS_pipe, SYS_poll, SYS_select,
    SYS_epoll_create, SYS_epoll_wait, SYS_time,
#endif
};

/* What an attacker tries first: a clear refusal. All else that is not allowed does not exist. */
static const short forbidden[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp,
    SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal, SYS_kill, SYS_tkill,
    SYS_rt_sigqueueinfo, SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root,
    SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
    SYS_mount_setattr, SYS_open_by_handle_at, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_syslog,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_sethostname, SYS_setdomainname,
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid,
    SYS_setgroups, SYS_capset, SYS_personality, SYS_mknodat, SYS_symlinkat, SYS_linkat,
    SYS_pkey_mprotect, SYS_shmget, SYS_fanotify_init,
#ifdef __x86_64__
    SYS_fork, SYS_vfork, SYS_mknod, SYS_symlink, SYS_link, SYS_modify_ldt, SYS_iopl, SYS_ioperm,
#endif
};

/* How the sanitizers look for leaks at the end: from a process beside this one. */
static const short tracing[] = {
    SYS_ptrace, SYS_kill,
#ifdef __x86_64__
    SYS_getdents,
#endif
};
/* clang-format on */

static bool is_tracing(short nr)
{
    for (size_t i = 0; i < COUNT(tracing); i++) {
        if (tracing[i] == nr)
            return true;
    }
    return false;
}

/* Threads, and nothing else; clone3 does not exist, so that libc comes here. */
static void put_clone(struct dt_filter *f, unsigned flags)
{
    bool sanitized = (flags & DT_CONFINE_SANITIZED) != 0;
    dt_filter_load(f, 0);
    dt_filter_jump(f, BPF_JSET, NEW_NAMESPACES, 1, 0);
    dt_filter_jump(f, BPF_JSET, sanitized ? CLONE_VM : CLONE_THREAD, 1, 0);
    dt_filter_return(f, REFUSE_PERM);
    dt_filter_return(f, SECCOMP_RET_ALLOW);
}

static void put_mmap(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 2);
    dt_filter_mask(f, PROT_WRITE | PROT_EXEC);
    DT_FILTER_ONE_OF(f, REFUSE_PERM, SECCOMP_RET_ALLOW, PROT_WRITE | PROT_EXEC);
}

static void put_mprotect(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 2);
    dt_filter_mask(f, PROT_EXEC);
    DT_FILTER_ONE_OF(f, REFUSE_PERM, SECCOMP_RET_ALLOW, PROT_EXEC);
}

/* Streams and datagrams; no raw ones, and no protocol that has to be loaded. */
static void put_socket(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    dt_filter_jump(f, BPF_JEQ, AF_UNIX, 0, 1);
    dt_filter_return(f, SECCOMP_RET_ALLOW);
    dt_filter_jump(f, BPF_JEQ, AF_INET, 2, 0);
    dt_filter_jump(f, BPF_JEQ, AF_INET6, 1, 0);
    dt_filter_return(f, REFUSE_FAMILY);
    dt_filter_load(f, 1);
    dt_filter_mask(f, TYPE_BITS);
    dt_filter_jump(f, BPF_JEQ, SOCK_STREAM, 2, 0);
    dt_filter_jump(f, BPF_JEQ, SOCK_DGRAM, 1, 0);
    dt_filter_return(f, REFUSE_PROTOCOL);
    dt_filter_load(f, 2);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PROTOCOL, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP);
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
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PERM, FIONBIO, FIONREAD, FIOCLEX, FIONCLEX,
                     TCGETS, TIOCGWINSZ);
}

/* Names of threads and of memory; whether it is dumpable, and never that it is. */
static void put_prctl(struct dt_filter *f, unsigned flags)
{
    enum { SET_VMA = 0x53564d41 }; /* newer than some headers */
    if ((flags & DT_CONFINE_SANITIZED) != 0) {
        dt_filter_return(f, SECCOMP_RET_ALLOW);
        return;
    }
    dt_filter_load(f, 0);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PERM, PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE,
                     SET_VMA);
}

/* Its own limits, not those of others. */
static void put_prlimit(struct dt_filter *f, unsigned flags)
{
    (void)flags;
    dt_filter_load(f, 0);
    DT_FILTER_ONE_OF(f, SECCOMP_RET_ALLOW, REFUSE_PERM, 0);
}

int dt_confine_filter(unsigned flags, struct sock_fprog *prog, struct dt_err *err)
{
    static const struct dt_filter_rule rules[] = {
        {SYS_clone, put_clone},           {SYS_mmap, put_mmap},
        {SYS_mprotect, put_mprotect},     {SYS_socket, put_socket},
        {SYS_socketpair, put_socketpair}, {SYS_ioctl, put_ioctl},
        {SYS_prctl, put_prctl},           {SYS_prlimit64, put_prlimit},
    };
    short yes[COUNT(allowed) + COUNT(tracing)], no[COUNT(forbidden)];
    bool sanitized = (flags & DT_CONFINE_SANITIZED) != 0;
    size_t nyes = COUNT(allowed), nno = 0;
    memcpy(yes, allowed, sizeof(allowed));
    for (size_t i = 0; sanitized && i < COUNT(tracing); i++)
        yes[nyes++] = tracing[i];
    for (size_t i = 0; i < COUNT(forbidden); i++) {
        if (!sanitized || !is_tracing(forbidden[i]))
            no[nno++] = forbidden[i];
    }
    const struct dt_filter_spec spec = {
        .allowed = {yes, nyes},
        .forbidden = {no, nno},
        .rules = rules,
        .nrules = COUNT(rules),
        .flags = flags,
    };
    return dt_filter_build(&spec, prog, err);
}

static int confine_calls(struct dt_err *err)
{
    struct sock_fprog prog = {0};
    if (dt_confine_filter(SANITIZED, &prog, err) < 0)
        return -1;
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
    int failed = errno;
    dt_filter_free(&prog);
    errno = failed;
    return rc < 0 ? dt_err_errno(err, "install the system call filter") : 0;
}

/* The folder that a path is in, if the path has one. */
static void folder_of(const char *path, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", path != NULL ? path : "");
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        slash[slash == out] = '\0';
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static int confine_files(const char *data_dir, const char *socket, struct dt_err *err)
{
    char state[PATH_MAX], run[PATH_MAX], folder[PATH_MAX];
    (void)snprintf(state, sizeof(state), "%s/state", data_dir);
    (void)snprintf(run, sizeof(run), "%s/run", data_dir);
    folder_of(socket, folder, sizeof(folder));
    const struct dt_landlock_place places[] = {
        {state, DT_LANDLOCK_READ | DT_LANDLOCK_WRITE},
        {run, DT_LANDLOCK_READ | DT_LANDLOCK_WRITE | DT_LANDLOCK_SOCKETS},
        {folder, DT_LANDLOCK_SOCKETS},
        /* users and groups, and the libraries that look them up */
        {"/etc", DT_LANDLOCK_READ},
        {"/lib", DT_LANDLOCK_READ},
        {"/lib64", DT_LANDLOCK_READ},
        {"/usr/lib", DT_LANDLOCK_READ},
        {"/usr/lib64", DT_LANDLOCK_READ},
        /* whom TLS trusts, see SSL_CTX_set_default_verify_paths(3); where name servers are told */
        {"/usr/share/ca-certificates", DT_LANDLOCK_READ},
        {"/usr/local/share/ca-certificates", DT_LANDLOCK_READ},
        {setting("SSL_CERT_FILE"), DT_LANDLOCK_READ},
        {setting("SSL_CERT_DIR"), DT_LANDLOCK_READ},
        {"/run/systemd/resolve", DT_LANDLOCK_READ},
        {SANITIZED ? "/proc" : "", DT_LANDLOCK_READ},
    };
    int version = dt_landlock_restrict(places, COUNT(places), err);
    if (version == 0)
        dt_log(DT_LOG_WARN,
               "the kernel has no Landlock: only the user id keeps runnerd from other files", NULL);
    return version < 0 ? -1 : 0;
}

int dt_confine(const char *data_dir, const char *socket, struct dt_err *err)
{
    return confine_files(data_dir, socket, err) < 0 ? -1 : confine_calls(err);
}

/*
 * The system call filter of every sandbox: an allow list, as a binary search tree over ranges of
 * numbers, for the architecture that this is compiled for (x86_64, aarch64).
 *
 * Refused with ENOSYS: numbers that the list does not know (so libc falls back), clone3, io_uring,
 * x32. Refused with EPERM: what is dangerous by name, new namespaces, terminal injection.
 * EAFNOSUPPORT: socket families other than unix, inet, inet6 and netlink's route. A foreign
 * architecture (int 0x80) kills the process. Processes inherit the filter and can only narrow it.
 */
#ifndef DT_SECCOMP_H
#define DT_SECCOMP_H

#include <linux/filter.h>

#include "base/err.h"

enum dt_seccomp_flag {
    DT_SECCOMP_NO_INET6 = 1, /* socket(AF_INET6) answers EAFNOSUPPORT too */
};

/* Builds the program once, for any number of installs. The caller releases *prog with
 * dt_seccomp_free; it is set on success only. INVALID: a flag that is not in the enum. */
int dt_seccomp_build(unsigned flags, struct sock_fprog *prog, struct dt_err *err) DT_MUST_CHECK;
/* A zeroed program is fine; leaves a zeroed program. */
void dt_seccomp_free(struct sock_fprog *prog);

/* For the cloned child, right before exec: allocates nothing. Needs CAP_SYS_ADMIN in the caller's
 * user namespace, or no_new_privs. About 100 us. -1 with errno. */
int dt_seccomp_install(const struct sock_fprog *prog) DT_MUST_CHECK;

#endif

/* The walls around daytona-runnerd itself, which parses what the network sends: the system calls
 * that it needs and no other, and no files but its own. */
#ifndef DT_CONFINE_H
#define DT_CONFINE_H

#include <linux/filter.h>

#include "base/err.h"

enum dt_confine_flag {
    /* What the sanitizers' run-time needs as well: processes that share the memory, ptrace. */
    DT_CONFINE_SANITIZED = 1,
};

/* The filter: threads, memory, files, sockets of unix and inet. No new programs or processes, no
 * namespaces, mounts, tracing, keys, modules, raw or netlink sockets; no memory that becomes
 * executable after it was written. The caller releases *prog with dt_filter_free. */
int dt_confine_filter(unsigned flags, struct sock_fprog *prog, struct dt_err *err) DT_MUST_CHECK;

/* Confines the process, which must have one thread and no_new_privs, for good. It keeps state/ and
 * run/ of the data directory, the folder of `socket` (may be NULL or empty), and what the C library
 * and OpenSSL read. Logs when the kernel has no Landlock; fails when it has no seccomp. */
int dt_confine(const char *data_dir, const char *socket, struct dt_err *err) DT_MUST_CHECK;

#endif

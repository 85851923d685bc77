/* The system calls of the unpacking process: reading, writing a file tree, memory; nothing else. */
#ifndef DT_JAIL_FILTER_H
#define DT_JAIL_FILTER_H

#include "base/err.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DT_JAIL_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DT_JAIL_SANITIZED
#endif
#endif

/* For the calling thread and for good. Other calls answer ENOSYS; those of another ABI kill. Needs
 * no_new_privs. */
int dt_jail_filter_install(struct dt_err *err) DT_MUST_CHECK;

#endif

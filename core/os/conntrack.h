/* The connections that the kernel tracks. */
#ifndef DT_CONNTRACK_H
#define DT_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Whether connections that this IPv4 address (host byte order) began are to be forgotten. */
typedef bool dt_conntrack_is_gone(void *ctx, uint32_t source);

/* Reads the whole table of the network namespace, which takes milliseconds, and removes what
 * `is_gone` says. A kernel that does not show its table is fine: then nothing is removed. */
int dt_conntrack_remove(dt_conntrack_is_gone *is_gone, void *ctx, struct dt_err *err) DT_MUST_CHECK;

#endif

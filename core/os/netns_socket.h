/*
 * TCP sockets in a network namespace where the caller is not. A socket belongs for ever to the
 * namespace it was made in, and keeps it alive.
 */
#ifndef DT_NETNS_SOCKET_H
#define DT_NETNS_SOCKET_H

#include "base/err.h"

/* Makes n unconnected, non-blocking sockets of `family` (AF_INET or AF_INET6) in the namespace of
 * the process that `pidfd` means. For the single-threaded root launcher: enters the namespace for a
 * moment and comes back to `own_netns`; if it cannot come back it aborts. The caller owns
 * fds[0..n), set on success only. GONE when the process has ended. */
int dt_netns_sockets(int pidfd, int own_netns, int family, int *fds, unsigned n,
                     struct dt_err *err) DT_MUST_CHECK;

#endif

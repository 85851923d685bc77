/* Descriptors that travel with a message over a unix socket (SCM_RIGHTS, see unix(7)). */
#ifndef DT_FDPASS_H
#define DT_FDPASS_H

#include <sys/types.h>

#include "base/err.h"

enum { DT_FDPASS_MAX = 16 };

/* Sends one message with up to DT_FDPASS_MAX descriptors, which stay the caller's. `flags` as for
 * sendmsg(2); never raises SIGPIPE. Like sendmsg(2) it returns the count or -1 with errno. */
ssize_t dt_fdpass_send(int sock, const void *p, size_t n, const int *fds, unsigned nfds, int flags);
/* Receives one message. The descriptors that came along are CLOEXEC and the caller's: *nfds is how
 * many there is room for in `fds`, then how many came. Returns the count of bytes, 0 at the end, or
 * -1 with errno, and then there are no descriptors: EMSGSIZE for a message (not of a stream) that
 * is longer than `n` or has more descriptors than there is room for; it is lost, and `fds` holds -1
 * where they were. */
ssize_t dt_fdpass_recv(int sock, void *p, size_t n, int *fds, unsigned *nfds, int flags);

#endif

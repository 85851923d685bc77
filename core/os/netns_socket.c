#include "os/netns_socket.h"

#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>

static int make(int family, int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fds[i] = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
        if (fds[i] >= 0)
            continue;
        int error = errno;
        while (i > 0)
            (void)close(fds[--i]);
        return error;
    }
    return 0;
}

int dt_netns_sockets(int pidfd, int own_netns, int family, int *fds, unsigned n, struct dt_err *err)
{
    /* By the process itself, not by its number, which another one may have by now. */
    if (setns(pidfd, CLONE_NEWNET) < 0) {
        bool gone = errno == ESRCH;
        (void)dt_err_errno(err, "enter a network namespace");
        if (gone)
            err->code = DT_E_GONE;
        return -1;
    }
    int error = make(family, fds, n);
    /* Going on in a sandbox's namespace would give the next sandbox the wrong network. */
    if (setns(own_netns, CLONE_NEWNET) < 0)
        abort();
    errno = error;
    return error == 0 ? 0 : dt_err_errno(err, "make a socket in a network namespace");
}

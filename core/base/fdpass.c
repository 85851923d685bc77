#include "base/fdpass.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * DT_FDPASS_MAX)];
};

ssize_t dt_fdpass_send(int sock, const void *p, size_t n, const int *fds, unsigned nfds, int flags)
{
    union control control = {.bytes = {0}};
    struct iovec iov = {(void *)p, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    assert(nfds <= DT_FDPASS_MAX);
    if (nfds > 0) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
    }
    return sendmsg(sock, &m, flags | MSG_NOSIGNAL);
}

/* Keeps as many as there is room for, and counts all. */
static void take(const struct cmsghdr *c, int *fds, unsigned room, unsigned *n)
{
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
        if (*n < room)
            fds[*n] = fd;
        else
            (void)close(fd);
        (*n)++;
    }
}

static ssize_t refuse(int *fds, unsigned *n, unsigned room)
{
    for (unsigned i = 0; i < *n && i < room; i++)
        dt_closep(&fds[i]); /* the caller may close what it finds there */
    *n = 0;
    errno = EMSGSIZE;
    return -1;
}

ssize_t dt_fdpass_recv(int sock, void *p, size_t n, int *fds, unsigned *nfds, int flags)
{
    union control control;
    struct iovec iov = {p, n};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    unsigned room = *nfds;
    *nfds = 0;
    ssize_t got = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            take(c, fds, room, nfds);
    }
    if (*nfds > room || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return refuse(fds, nfds, room);
    return got;
}

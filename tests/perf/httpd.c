/*
 * A small, fast HTTP server to put behind the preview proxy and nginx: GET /N answers N bytes.
 * Keep-alive, one thread, epoll; static, so that it runs in any sandbox.
 *
 * Usage: httpd PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CONNECTIONS = 4096, BODY_MAX = 1 << 20 };

static char body[BODY_MAX];

struct connection {
    char in[4096];
    size_t have;
    char head[256];
    size_t head_n, body_n, sent;
};
static struct connection *connections[CONNECTIONS];

/* Prepares the answer when a whole head is there. */
static bool next_request(struct connection *c)
{
    c->in[c->have] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return false;
    long n = strtol(c->in + strlen("GET /"), NULL, 10);
    c->body_n = n < 0 || n > BODY_MAX ? 0 : (size_t)n;
    c->head_n = (size_t)snprintf(
        c->head, sizeof(c->head),
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", c->body_n);
    c->sent = 0;
    size_t used = (size_t)(end + 4 - c->in);
    c->have -= used;
    memmove(c->in, c->in + used, c->have);
    return true;
}

/* 1: all sent; 0: the socket is full; -1: it is gone. */
static int send_answer(int fd, struct connection *c)
{
    while (c->sent < c->head_n + c->body_n) {
        size_t head = c->sent < c->head_n ? c->head_n - c->sent : 0;
        size_t from = c->sent < c->head_n ? 0 : c->sent - c->head_n;
        struct iovec parts[] = {{c->head + c->head_n - head, head},
                                {body + from, c->body_n - from}};
        ssize_t n = writev(fd, parts, 2);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        c->sent += (size_t)n;
    }
    c->head_n = 0;
    return 1;
}

static int serve(int fd, struct connection *c)
{
    for (;;) {
        if (c->head_n > 0) {
            int r = send_answer(fd, c);
            if (r <= 0)
                return r;
        }
        if (next_request(c))
            continue;
        ssize_t n = read(fd, c->in + c->have, sizeof(c->in) - 1 - c->have);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return -1;
        c->have += (size_t)n;
    }
}

static void accept_all(int listener, int poll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= CONNECTIONS || (connections[fd] = calloc(1, sizeof(struct connection))) == NULL) {
            (void)close(fd);
            continue;
        }
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
        (void)epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv)
{
    memset(body, 'x', sizeof(body));
    (void)signal(SIGPIPE, SIG_IGN); /* clients leave in the middle of an answer */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port =
                                htons((uint16_t)strtol(argc > 1 ? argv[1] : "3000", NULL, 10))};
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 1024) < 0) {
        perror("httpd");
        return 1;
    }
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    (void)epoll_ctl(poll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(poll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(listener, poll);
            } else if (serve(fd, connections[fd]) < 0) {
                free(connections[fd]);
                connections[fd] = NULL;
                (void)close(fd);
            }
        }
    }
}

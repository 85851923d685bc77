/* The whole server on a socket pair: the first byte says where the input is cut in two. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned running;

static void on_done(void *ctx, bool complete)
{
    (void)ctx;
    (void)complete;
    assert(running > 0);
    running--;
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *err)
{
    if (err == NULL)
        dt_http_req_reply(ctx, 200, NULL, body.p, body.n);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    (void)dt_http_req_write(ctx, p, n);
}

static void on_end(void *ctx)
{
    dt_http_req_end(ctx);
}

/* The target's length chooses what the handler does. */
static void handler(void *ctx, struct dt_http_req *r)
{
    (void)ctx;
    running++;
    dt_http_req_on_done(r, on_done, NULL);
    switch (dt_http_req_target(r).n % 4) {
    case 0:
        dt_http_req_collect(r, 64, on_body, r);
        break;
    case 1:
        dt_http_req_reply(r, 200, "text/plain", "ok", 2);
        break;
    case 2:
        dt_http_req_begin(r, 200, UINT64_MAX);
        dt_http_req_stream(r, on_data, on_end, r);
        break;
    default:
        break; /* never answers: on_done must still come */
    }
}

static void turn(uv_loop_t *loop, int fd)
{
    char sink[65536];
    for (int i = 0; i < 4; i++) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
        while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
            continue;
    }
}

/* An abstract listener, so that the descriptor comes the usual way. */
static int connect_to(struct dt_http_server *s)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(sa_family_t); /* autobind */
    struct dt_err err;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(listener >= 0 && fd >= 0);
    assert(bind(listener, (struct sockaddr *)&un, len) == 0 && listen(listener, 1) == 0);
    len = sizeof(un);
    assert(getsockname(listener, (struct sockaddr *)&un, &len) == 0);
    assert(dt_http_server_listen_fd(s, listener, &err) == 0);
    assert(connect(fd, (struct sockaddr *)&un, len) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uv_loop_t loop;
    struct dt_http_server *s = NULL;
    struct dt_err err;
    if (size < 2 || size > 65536)
        return 0;
    size_t cut = 1 + (size - 1) * data[0] / 256;
    running = 0;
    if (uv_loop_init(&loop) < 0 || dt_http_server_new(&loop, NULL, handler, NULL, &s, &err) < 0)
        abort();
    int fd = connect_to(s);
    turn(&loop, fd);
    (void)send(fd, data + 1, cut - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    turn(&loop, fd);
    (void)send(fd, data + cut, size - cut, MSG_NOSIGNAL | MSG_DONTWAIT);
    turn(&loop, fd);
    (void)close(fd);
    turn(&loop, -1);
    dt_http_server_stop(s, 0, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert(running == 0);
    assert(uv_loop_close(&loop) == 0);
    return 0;
}

/* A whole WebSocket connection on a socket pair: the first byte says where the frames are cut in
 * two, the second what the server does with its messages. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/ws_conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 300, MODE_ECHO = 1, MODE_PAUSE = 2, MODE_END = 4 };

static struct dt_ws_conn *conn;
static struct dt_ws_group group;
static unsigned mode, closed;

static void on_message(void *ctx, enum dt_ws_opcode kind, struct dt_str m)
{
    (void)ctx;
    assert(closed == 0 && m.n <= MESSAGE_MAX && (kind == DT_WS_TEXT || kind == DT_WS_BINARY));
    if (mode & MODE_ECHO)
        (void)dt_ws_conn_send(conn, kind, m);
    if (mode & MODE_PAUSE)
        dt_ws_conn_pause(conn);
    if ((mode & MODE_END) && m.n > 3)
        dt_ws_conn_close(conn, 1000, m);
}

static void on_close(void *ctx, int code, struct dt_str reason)
{
    (void)ctx;
    assert(code >= 1000 && code < 5000 && reason.n <= DT_WS_REASON_MAX);
    closed++;
}

static const struct dt_ws_events events = {.on_message = on_message, .on_close = on_close};

static void handler(void *ctx, struct dt_http_req *r)
{
    (void)ctx;
    struct dt_err err;
    const struct dt_ws_opts o = {.events = &events, .message_max = MESSAGE_MAX, .group = &group};
    if (dt_ws_conn_upgrade(r, &o, &conn, &err) < 0)
        abort();
}

static void turn(uv_loop_t *loop, int fd)
{
    char sink[65536];
    for (int i = 0; i < 4; i++) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
        if (group.first != NULL)
            dt_ws_conn_resume(conn);
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
    static const char hello[] =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    uv_loop_t loop;
    struct dt_http_server *s = NULL;
    struct dt_err err;
    if (size < 3 || size > 65536)
        return 0;
    size_t cut = 2 + (size - 2) * data[0] / 256;
    mode = data[1];
    closed = 0;
    if (uv_loop_init(&loop) < 0 || dt_http_server_new(&loop, NULL, handler, NULL, &s, &err) < 0)
        abort();
    int fd = connect_to(s);
    (void)send(fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if ((mode & 8) == 0) /* else the first frames come along with the handshake */
        turn(&loop, fd);
    (void)send(fd, data + 2, cut - 2, MSG_NOSIGNAL | MSG_DONTWAIT);
    turn(&loop, fd);
    (void)send(fd, data + cut, size - cut, MSG_NOSIGNAL | MSG_DONTWAIT);
    turn(&loop, fd);
    (void)close(fd);
    turn(&loop, -1);
    dt_http_server_stop(s, 0, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert(closed == 1 && group.first == NULL && group.count == 0);
    assert(uv_loop_close(&loop) == 0);
    return 0;
}

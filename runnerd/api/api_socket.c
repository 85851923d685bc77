#include "runnerd/api/api_socket.h"

#include <stdio.h>

#include "base/rand.h"
#include "net/ws.h"
#include "runnerd/forward.h"

enum { SESSION_MS = 10000, SESSIONS_MAX = 64, IN_MAX = 16 * 1024, OUT_MAX = 4096 };

#define HELLO                                                                                      \
    "0{\"sid\":\"%s\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,"               \
    "\"maxPayload\":1000000}"
#define REFUSAL "44{\"message\":\"this server sends no notifications: poll instead\"}"

/* Ends with its connection, at most SESSION_MS after it began. */
struct session {
    struct dt_conn *conn; /* NULL once it is closed */
    uv_timer_t deadline;
    struct dt_buf in;
    bool over; /* the refusal is out, what comes is dropped */
};

static unsigned sessions; /* of the one server of a program */

static void on_deadline_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_close(void *ctx, const struct dt_err *err)
{
    struct session *s = ctx;
    (void)err;
    s->conn = NULL;
    sessions--;
    dt_buf_done(&s->in);
    uv_close((uv_handle_t *)&s->deadline, on_deadline_closed);
}

static void on_deadline(uv_timer_t *t)
{
    struct session *s = t->data;
    dt_conn_close(s->conn);
}

static void on_eof(void *ctx)
{
    struct session *s = ctx;
    dt_conn_close(s->conn);
}

static void send_frame(struct session *s, enum dt_ws_opcode opcode, struct dt_str payload)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, OUT_MAX);
    if (dt_ws_put(&b, opcode, payload, NULL) < 0)
        dt_conn_close(s->conn);
    else
        (void)dt_conn_write(s->conn, b.p, b.n);
}

/* `code` in network byte order. The client closes its side next, or the deadline does. */
static void hang_up(struct session *s, struct dt_str code)
{
    s->over = true;
    send_frame(s, DT_WS_CLOSE, code);
    dt_conn_shutdown(s->conn);
}

static void on_frame(struct session *s, const struct dt_ws_frame *f)
{
    if (f->opcode == DT_WS_PING) {
        send_frame(s, DT_WS_PONG, f->payload);
    } else if (f->opcode == DT_WS_CLOSE) {
        hang_up(s, dt_str("\x03\xe8", 2)); /* 1000, a normal end */
    } else if (f->opcode == DT_WS_TEXT && dt_str_starts(f->payload, DT_STR("40"))) {
        send_frame(s, DT_WS_TEXT, DT_STR(REFUSAL));
        hang_up(s, dt_str("\x03\xe8", 2));
    }
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct session *s = ctx;
    struct dt_ws_frame f;
    ssize_t used = 0;
    if (s->over)
        return;
    if (dt_buf_add(&s->in, p, n, NULL) < 0) {
        dt_conn_close(s->conn);
        return;
    }
    while (!s->over && (used = dt_ws_take(s->in.p, s->in.n, IN_MAX / 2, &f, NULL)) > 0) {
        on_frame(s, &f);
        dt_buf_consume(&s->in, (size_t)used);
    }
    if (used < 0)
        hang_up(s, dt_str("\x03\xea", 2)); /* 1002, a protocol error */
}

static const struct dt_conn_events events = {
    .on_data = on_data, .on_eof = on_eof, .on_close = on_close};

static void greet(struct session *s)
{
    char sid[DT_UUID_SIZE], hello[200];
    dt_rand_uuid(sid);
    int n = snprintf(hello, sizeof(hello), HELLO, sid);
    send_frame(s, DT_WS_TEXT, dt_str(hello, (size_t)n));
}

static void begin(struct dt_http_req *req, const char *accept)
{
    uv_loop_t *loop = dt_http_req_loop(req);
    struct session *s = calloc(1, sizeof(*s));
    struct dt_str early;
    if (s == NULL) {
        dt_http_req_reply(req, 503, NULL, NULL, 0);
        return;
    }
    dt_http_req_add_header(req, "Upgrade", DT_STR("websocket"));
    dt_http_req_add_header(req, "Sec-WebSocket-Accept", dt_str_z(accept));
    dt_http_req_begin(req, 101, 0);
    s->conn = dt_http_req_take_conn(req, &events, s, &early);
    if (s->conn == NULL) {
        free(s);
        return;
    }
    sessions++;
    dt_buf_init(&s->in, IN_MAX);
    (void)uv_timer_init(loop, &s->deadline);
    s->deadline.data = s;
    (void)uv_timer_start(&s->deadline, on_deadline, SESSION_MS, 0);
    greet(s);
    if (early.n > 0)
        on_data(s, early.p, early.n);
}

static int check(const struct dt_http_req *req, char accept[DT_WS_ACCEPT_SIZE], struct dt_err *err)
{
    if (!dt_http_req_is_upgrade(req) ||
        !dt_str_eq_nocase(dt_http_req_header(req, "Upgrade"), DT_STR("websocket")) ||
        !dt_str_eq(dt_http_req_header(req, "Sec-WebSocket-Version"), DT_STR("13")))
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "the notification socket speaks WebSocket (version 13) only: use "
                          "transport=websocket");
    if (sessions >= SESSIONS_MAX)
        return dt_err_set(err, DT_E_UNAVAILABLE, "too many clients at once: try again soon");
    return dt_ws_accept(dt_http_req_header(req, "Sec-WebSocket-Key"), accept, err);
}

bool dt_api_socket(struct dt_http_req *req)
{
    char accept[DT_WS_ACCEPT_SIZE];
    struct dt_err err;
    struct dt_str path = dt_http_req_path(req);
    if (!dt_str_eq(path, DT_STR("/api/socket.io/")) && !dt_str_eq(path, DT_STR("/api/socket.io")))
        return false;
    if (check(req, accept, &err) < 0)
        dt_reply_error(req, &err, "DAYTONA_API");
    else
        begin(req, accept);
    return true;
}

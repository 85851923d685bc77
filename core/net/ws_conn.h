/*
 * A WebSocket connection (RFC 6455), the server's side, over an exchange of the HTTP server:
 * messages in and out, and everything between them that a server owes its client.
 *
 * - Messages come whole: their parts are joined up to a limit, above which the connection is closed
 *   with 1009. Text that is no UTF-8 closes it with 1007, what RFC 6455 forbids with 1002.
 * - A ping is answered as soon as it is read. While more is queued than DT_CONN_HIGH_MARK, only the
 *   last of them is answered, behind what is queued.
 * - A client that says nothing is pinged; one that stays silent for four pings has vanished.
 * - What is queued is bounded: dt_ws_conn_send() says false above DT_CONN_HIGH_MARK, and who goes
 * on regardless until queue_max closes the connection with 1008 `slow consumer`.
 * - The end is a handshake of close frames with a deadline: five seconds without progress, or a
 *   minute in all.
 * - No extension is used, so nothing is compressed.
 *
 * Callbacks run from the loop, never from inside a call into this module. on_close comes exactly
 * once and is the last; the connection's memory is gone after it returns. Until then every call is
 * allowed, also from callbacks.
 */
#ifndef DT_WS_CONN_H
#define DT_WS_CONN_H

#include "net/http_server.h"
#include "net/ws.h"

enum {
    DT_WS_NORMAL = 1000,
    DT_WS_GOING_AWAY = 1001,
    DT_WS_PROTOCOL = 1002,
    DT_WS_NO_CODE = 1005,  /* never sent: the peer's close frame had none */
    DT_WS_VANISHED = 1006, /* never sent: there was no close frame */
    DT_WS_BAD_TEXT = 1007,
    DT_WS_POLICY = 1008,
    DT_WS_TOO_LARGE = 1009,
    DT_WS_FAILURE = 1011,

    DT_WS_REASON_MAX = 123,
    DT_WS_MESSAGE_MAX = 1024 * 1024, /* when nothing else is asked for */
    DT_WS_QUEUE_MAX = 1024 * 1024,
    DT_WS_PING_MS = 30000,
    DT_WS_SILENT_PINGS = 4,
};

struct dt_ws_conn;

struct dt_ws_events {
    /* TEXT (which is UTF-8) or BINARY; borrowed for the call. */
    void (*on_message)(void *ctx, enum dt_ws_opcode kind, struct dt_str message);
    /* After dt_ws_conn_send() said false: below DT_CONN_LOW_MARK again. May be NULL. */
    void (*on_drain)(void *ctx);
    /* The code and the reason of the first close frame, ours or the client's. */
    void (*on_close)(void *ctx, int code, struct dt_str reason);
};

/* Connections that end together; zeroed, and empty when its memory goes. */
struct dt_ws_group {
    struct dt_ws_conn *first;
    unsigned count;
};

struct dt_ws_opts {
    const struct dt_ws_events *events; /* kept by pointer */
    void *ctx;
    struct dt_ws_group *group; /* NULL = none */
    struct dt_str protocol;    /* to answer with, of those offered; .p NULL = the first of them */
    size_t message_max;        /* bytes of a message; 0 = DT_WS_MESSAGE_MAX */
    size_t queue_max;          /* bytes; 0 = DT_WS_QUEUE_MAX */
    uint64_t ping_ms;          /* 0 = DT_WS_PING_MS */
};

/* The first offered subprotocol (Sec-WebSocket-Protocol) that begins with `prefix`, as in
 * "X-Daytona-SDK-Version~"; .p == NULL when there is none. Borrowed from the request. */
struct dt_str dt_ws_offered(const struct dt_http_req *req, struct dt_str prefix);

/* Answers the handshake and takes the connection over. The answer names exactly one subprotocol
 * when some were offered, and none else; headers added before go along. The request must have no
 * on_done, and is gone afterwards. Fails with BAD_REQUEST for what is no WebSocket handshake of
 * version 13: then nothing was answered, and the caller does. The connection's events come from
 * then on. */
int dt_ws_conn_upgrade(struct dt_http_req *req, const struct dt_ws_opts *opts,
                       struct dt_ws_conn **ret, struct dt_err *err) DT_MUST_CHECK;

/* Queues a message as one frame. False: the queue is above DT_CONN_HIGH_MARK, wait for on_drain.
 * Once the connection is closing it drops the message and says true. TEXT must be UTF-8. */
bool dt_ws_conn_send(struct dt_ws_conn *w, enum dt_ws_opcode kind, struct dt_str message);
/* Bytes that the kernel has not taken yet. */
size_t dt_ws_conn_queued(const struct dt_ws_conn *w);
/* Stops on_message, and with it reading: the client's pings wait, too. Nothing is lost. */
void dt_ws_conn_pause(struct dt_ws_conn *w);
void dt_ws_conn_resume(struct dt_ws_conn *w);
/* Sends what is queued, then a close frame; `reason` is cut to DT_WS_REASON_MAX bytes between two
 * characters. No message comes any more; on_close does. Only the first call counts. */
void dt_ws_conn_close(struct dt_ws_conn *w, int code, struct dt_str reason);
/* The same for all of a group. */
void dt_ws_group_close(struct dt_ws_group *group, int code, struct dt_str reason);

#endif

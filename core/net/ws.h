/* WebSocket (RFC 6455), the server's side: the handshake's answer and single frames. Extensions are
 * not offered. ws_conn.h makes a connection of them. */
#ifndef DT_WS_H
#define DT_WS_H

#include <sys/types.h>

#include "base/buf.h"

enum { DT_WS_ACCEPT_SIZE = 29, DT_WS_CONTROL_MAX = 125, DT_WS_HEAD_MAX = 10 };

enum dt_ws_opcode {
    DT_WS_CONTINUE = 0,
    DT_WS_TEXT = 1,
    DT_WS_BINARY = 2,
    DT_WS_CLOSE = 8,
    DT_WS_PING = 9,
    DT_WS_PONG = 10,
};

struct dt_ws_frame {
    enum dt_ws_opcode opcode;
    bool final;
    struct dt_str payload; /* unmasked, in the buffer it came in */
};

/* The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key. INVALID: the key is not one. */
int dt_ws_accept(struct dt_str key, char out[DT_WS_ACCEPT_SIZE], struct dt_err *err) DT_MUST_CHECK;
/* Reads a client's frame at the start of `p` and unmasks it there: call it once per frame. Returns
 * the bytes it takes, 0 when there is more to come, -1 for what no client may send (INVALID) or a
 * payload of more than `max` (TOO_LARGE). */
ssize_t dt_ws_take(char *p, size_t n, size_t max, struct dt_ws_frame *ret,
                   struct dt_err *err) DT_MUST_CHECK;
/* Writes the head of a server's frame: final, not masked. Returns its length. */
size_t dt_ws_head(enum dt_ws_opcode opcode, size_t n, char out[DT_WS_HEAD_MAX]);
/* Appends a server's frame: final, not masked. */
int dt_ws_put(struct dt_buf *out, enum dt_ws_opcode opcode, struct dt_str payload,
              struct dt_err *err) DT_MUST_CHECK;

#endif

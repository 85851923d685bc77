/*
 * Packets of Socket.IO (protocol 5) in those of Engine.IO (protocol 4), as text messages of a
 * WebSocket, the server's side. Binary attachments are not understood: no client of ours sends any.
 * https://socket.io/docs/v4/engine-io-protocol/, https://socket.io/docs/v4/socket-io-protocol/
 */
#ifndef DT_SOCKETIO_H
#define DT_SOCKETIO_H

#include "json/json.h"

enum dt_socketio_type {
    /* Engine.IO's own */
    DT_SOCKETIO_CLOSE,
    DT_SOCKETIO_PING,
    DT_SOCKETIO_PONG,
    DT_SOCKETIO_NOTHING, /* `upgrade` and `noop`: they say nothing on a WebSocket */
    /* Socket.IO's, in Engine.IO's `message` */
    DT_SOCKETIO_CONNECT,
    DT_SOCKETIO_DISCONNECT,
    DT_SOCKETIO_EVENT,
    DT_SOCKETIO_ACK,
};

enum { DT_SOCKETIO_NAMESPACE_MAX = 255, DT_SOCKETIO_DEPTH_MAX = 16 };

struct dt_socketio_packet {
    enum dt_socketio_type type;
    struct dt_str space; /* the namespace, "/" when none was named; borrowed */
    bool has_id;         /* EVENT: wants an answer; ACK: is one */
    uint32_t id;
    json_t *data; /* CONNECT: an object or NULL; EVENT, ACK: an array; owned by the packet */
};

/* Reads a client's message. INVALID: it is none that a client may send. *ret is set on success
 * only; then dt_socketio_done(). */
int dt_socketio_read(struct dt_str message, struct dt_socketio_packet *ret,
                     struct dt_err *err) DT_MUST_CHECK;
void dt_socketio_done(struct dt_socketio_packet *p);

struct dt_socketio_open {
    const char *sid; /* plain characters */
    unsigned ping_ms, timeout_ms;
    size_t message_max;
};

/* Append one message each. */
int dt_socketio_put_open(struct dt_buf *out, const struct dt_socketio_open *o,
                         struct dt_err *err) DT_MUST_CHECK;
int dt_socketio_put_connected(struct dt_buf *out, const char *sid,
                              struct dt_err *err) DT_MUST_CHECK;
/* The answer to CONNECT that refuses it. */
int dt_socketio_put_refused(struct dt_buf *out, struct dt_str space, const char *why,
                            struct dt_err *err) DT_MUST_CHECK;
int dt_socketio_put_event(struct dt_buf *out, const char *name, const json_t *data,
                          struct dt_err *err) DT_MUST_CHECK;

#define DT_SOCKETIO_PING_TEXT       "2"
#define DT_SOCKETIO_PONG_TEXT       "3"
#define DT_SOCKETIO_DISCONNECT_TEXT "41"

#endif

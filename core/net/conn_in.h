/* What conn.c (life, events), conn_write.c and conn_read.c share. */
#ifndef DT_CONN_IN_H
#define DT_CONN_IN_H

#include "net/conn_impl.h"

/* A handshake goes on while the owner pauses. */
static inline bool dt_conn_is_held(const struct dt_conn *c)
{
    return c->paused && c->open;
}

/* --- conn.c --- */
/* Nothing happens to a connection that has ended but on_close, from the loop. */
void dt_conn_end(struct dt_conn *c, const struct dt_err *err);
void dt_conn_fail(struct dt_conn *c, const char *what, int error);
void dt_conn_end_if_over(struct dt_conn *c);
void dt_conn_ask_turn(struct dt_conn *c);
/* Waits for what the state of the connection says, no more. */
void dt_conn_update_poll(struct dt_conn *c);
/* Connected, and with TLS the handshake is done. What was written meanwhile goes out. */
void dt_conn_opened(struct dt_conn *c);

/* --- conn_write.c --- */
/* Returns the bytes that the kernel took, 0 when it takes none now, -1 when the write side is dead.
 */
ssize_t dt_conn_send_iov(struct dt_conn *c, struct iovec *iov, int cnt, size_t total);
void dt_conn_flush(struct dt_conn *c);
/* Only ever called from the loop. */
void dt_conn_tell_drain(struct dt_conn *c);
/* Moves what TLS wants to send into the queue. -1: the connection has ended. */
int dt_conn_tls_collect(struct dt_conn *c);
/* The same for plain text. */
int dt_conn_tls_encrypt(struct dt_conn *c, const struct iovec *iov, int cnt);

/* --- conn_read.c --- */
/* The handshake's bytes pass by the queue, which holds plain text until then. */
void dt_conn_tls_send_flight(struct dt_conn *c);
void dt_conn_read_some(struct dt_conn *c);
/* What was put back or waits inside TLS, without reading more. */
void dt_conn_deliver(struct dt_conn *c);

#endif

/* Joins two connections: bytes pass both ways with backpressure and half-close. */
#ifndef DT_TUNNEL_H
#define DT_TUNNEL_H

#include "net/conn.h"

/* Bytes that were read before, per connection; borrowed for the call. */
struct dt_tunnel_end {
    struct dt_conn *conn;
    struct dt_str early;
};

struct dt_tunnel;

/* Owns both connections from here. `done` runs once, later, with the bytes of `a` and of `b`; the
 * tunnel is gone after it. After one end closed its side, the other must go on moving bytes or is
 * closed after five minutes. */
struct dt_tunnel *dt_tunnel_start(uv_loop_t *loop, const struct dt_tunnel_end *a,
                                  const struct dt_tunnel_end *b,
                                  void (*done)(void *ctx, uint64_t from_a, uint64_t from_b),
                                  void *ctx);
/* Drops what is on its way; `done` follows. */
void dt_tunnel_close(struct dt_tunnel *t);

#endif

/* Pipes and FIFOs on the loop. Both kinds own their descriptor, which must not block, and free
 * themselves when they are closed. */
#ifndef DT_TOOLBOX_PIPES_H
#define DT_TOOLBOX_PIPES_H

#include <uv.h>

#include "base/buf.h"

struct dt_inpipe;
/* n bytes, borrowed; 0: the end, and the pipe is gone after it. */
typedef void dt_inpipe_data(void *ctx, const char *p, size_t n);

/* Owns `fd` in every case. */
int dt_inpipe_new(uv_loop_t *loop, int fd, dt_inpipe_data *on_data, void *ctx,
                  struct dt_inpipe **ret, struct dt_err *err) DT_MUST_CHECK;
/* Hands out now what is in the pipe now, with on_data. */
void dt_inpipe_drain(struct dt_inpipe *p);
/* NULL is fine; no on_data follows. Returns NULL. */
struct dt_inpipe *dt_inpipe_close(struct dt_inpipe *p);

struct dt_outpipe;

/* At most `max` bytes wait for the reader. Owns `fd` in every case. */
int dt_outpipe_new(uv_loop_t *loop, int fd, size_t max, struct dt_outpipe **ret,
                   struct dt_err *err) DT_MUST_CHECK;
/* Writes or queues all of it; LIMIT when it does not fit. Once nobody reads, it is dropped. */
int dt_outpipe_write(struct dt_outpipe *p, const char *bytes, size_t n,
                     struct dt_err *err) DT_MUST_CHECK;
/* Whether all that was written has been read. */
bool dt_outpipe_is_read(const struct dt_outpipe *p);
/* Of a FIFO that was opened for reading, too: once all that waits is written and somebody else has
 * it open, that reader finds its end. Nothing may be written any more. */
int dt_outpipe_end(struct dt_outpipe *p, struct dt_err *err) DT_MUST_CHECK;
/* Drops what waits. NULL is fine; returns NULL. */
struct dt_outpipe *dt_outpipe_close(struct dt_outpipe *p);

#endif

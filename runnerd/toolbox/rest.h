/*
 * Memory of a toolbox that has nothing to do. A second after the last event it gives back what is
 * free in its heap, and takes its program out of its page tables: those pages are shared by all
 * sandboxes and come back, some microseconds each time, when they are needed (madvise(2),
 * MADV_DONTNEED).
 */
#ifndef DT_REST_H
#define DT_REST_H

#include <uv.h>

/* Keeps no loop alive. */
void dt_rest_init(uv_loop_t *loop);

#endif

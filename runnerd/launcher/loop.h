/* The launcher's event loop: descriptors by epoll, and timers. One event at a time, so that a
 * handler may release any other watch. */
#ifndef DT_LAUNCHER_LOOP_H
#define DT_LAUNCHER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dt_loop {
    int epoll;
    struct dt_timer *timers;
};

/* Both live in their owner's memory and must not move while they are set. Zeroed = not set. */
struct dt_watch {
    void (*fn)(void *ctx, uint32_t events);
    void *ctx;
    int fd;
    bool set;
};

struct dt_timer {
    void (*fn)(void *ctx);
    void *ctx;
    uint64_t at_ms;
    struct dt_timer *next;
    bool set;
};

int dt_loop_init(struct dt_loop *l, struct dt_err *err) DT_MUST_CHECK;
void dt_loop_done(struct dt_loop *l);

/* `w` has fd, fn and ctx filled in; `events` as for epoll_ctl(2). Watching again changes `events`.
 */
int dt_loop_watch(struct dt_loop *l, struct dt_watch *w, uint32_t events,
                  struct dt_err *err) DT_MUST_CHECK;
/* Before the descriptor is closed. Not being set is fine. */
void dt_loop_unwatch(struct dt_loop *l, struct dt_watch *w);

/* Runs t->fn once, `in_ms` from now; replaces what was set. */
void dt_loop_timer(struct dt_loop *l, struct dt_timer *t, uint64_t in_ms);
void dt_loop_untimer(struct dt_loop *l, struct dt_timer *t);

/* Handles one event or one timer that is due; true if there was one. Waits for it unless `poll`. */
bool dt_loop_once(struct dt_loop *l, bool poll);

#endif

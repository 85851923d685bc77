/*
 * Why a sandbox's processes are frozen: somebody paused it, or errands hold it still for a moment
 * to copy its disk. The kernel needs a while to freeze; the loop waits for its word.
 */
#ifndef DT_LAUNCHER_FREEZE_H
#define DT_LAUNCHER_FREEZE_H

#include <stdbool.h>

#include "runnerd/launcher/loop.h"
#include "runnerd/launcher/peer.h"

struct dt_sandbox;

struct dt_freeze {
    bool paused;
    unsigned holds;
    bool frozen;           /* the kernel says so */
    struct dt_asked asked; /* a PAUSE that waits for it */
    struct dt_watch watch; /* cgroup.events, while it is waited for */
    struct dt_timer timer;
};

void dt_freeze_init(struct dt_sandbox *s);
/* Answer *asked, now or later. The sandbox runs. */
void dt_freeze_pause(struct dt_sandbox *s, struct dt_asked *asked);
void dt_freeze_resume(struct dt_sandbox *s, struct dt_asked *asked);
/* dt_errand_frozen() tells when it is so, also from inside the call. */
void dt_freeze_hold(struct dt_sandbox *s);
void dt_freeze_release(struct dt_sandbox *s);
/* It must go on, to end: whoever wanted it frozen is told so. */
void dt_freeze_end(struct dt_sandbox *s);
/* As an earlier launcher left it: thawed unless it is paused. */
void dt_freeze_adopt(struct dt_sandbox *s, bool paused);

#endif

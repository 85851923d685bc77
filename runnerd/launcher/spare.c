#include "runnerd/launcher/spare.h"

#include "base/clock.h"
#include "runnerd/launcher/launcher.h"

enum { QUIET_MS = 10000 }; /* new sandboxes would want the devices back */

static void ask(void *ctx)
{
    struct dt_launcher *l = ctx;
    struct dt_err err;
    const struct dt_job job = {.op = DT_JOB_SPARE};
    l->spare.again = false;
    if (dt_clock_ms() - l->pool.request_ms < QUIET_MS)
        dt_spare_disk_free(l);
    else
        l->spare.asked = dt_worker_send(&l->sweeper, &job, &err) == 0;
}

void dt_spare_disk_free(struct dt_launcher *l)
{
    struct dt_spare *s = &l->spare;
    s->again = s->asked;
    if (s->asked || s->timer.set)
        return;
    s->timer.fn = ask;
    s->timer.ctx = l;
    dt_loop_timer(&l->loop, &s->timer, QUIET_MS);
}

void dt_spare_on_job(struct dt_launcher *l, const struct dt_job_done *done)
{
    l->spare.asked = false;
    if (done->code == DT_E_LIMIT)
        ask(l);
    else if (l->spare.again || done->code == DT_E_CONFLICT)
        dt_spare_disk_free(l);
}

void dt_spare_lost_job(struct dt_launcher *l)
{
    if (l->spare.asked)
        dt_spare_on_job(l, &(struct dt_job_done){.code = DT_E_CONFLICT});
}

void dt_spare_done(struct dt_launcher *l)
{
    dt_loop_untimer(&l->loop, &l->spare.timer);
}

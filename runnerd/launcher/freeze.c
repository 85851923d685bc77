#include "runnerd/launcher/freeze.h"

#include <sys/epoll.h>

#include "base/log.h"
#include "runnerd/launcher/errand.h"
#include "runnerd/launcher/launcher.h"

enum { FREEZE_MS = 10000 };

static void stop_waiting(struct dt_sandbox *s)
{
    struct dt_freeze *f = &s->freeze;
    dt_loop_untimer(&s->l->loop, &f->timer);
    dt_loop_unwatch(&s->l->loop, &f->watch);
    if (f->watch.fd >= 0)
        (void)close(dt_take_fd(&f->watch.fd));
}

static void thaw(struct dt_sandbox *s)
{
    struct dt_err err;
    stop_waiting(s);
    s->freeze.frozen = false;
    if (dt_cgroup_set_frozen(s->l->cgroups, s->kit.cgroup, false, &err) < 0)
        dt_log(DT_LOG_ERROR, "cannot thaw a sandbox", "err", err.msg, NULL);
}

static void thaw_if_free(struct dt_sandbox *s)
{
    if (!s->freeze.paused && s->freeze.holds == 0)
        thaw(s);
}

static void frozen(struct dt_sandbox *s)
{
    struct dt_freeze *f = &s->freeze;
    struct dt_err err;
    stop_waiting(s);
    f->frozen = true;
    if (f->asked.seq != 0) {
        int rc = dt_sandbox_note_paused(s, &err);
        dt_peer_reply(s->l, &f->asked, s->id, rc < 0 ? &err : NULL);
    }
    dt_errand_frozen(s->l, s->id, NULL);
}

static void failed(struct dt_sandbox *s, const struct dt_err *err)
{
    struct dt_freeze *f = &s->freeze;
    if (f->asked.seq != 0)
        f->paused = false;
    dt_peer_reply(s->l, &f->asked, s->id, err);
    dt_errand_frozen(s->l, s->id, err);
    thaw_if_free(s);
}

/* True when there is nothing more to wait for. Reading is what makes the file poll again. */
static bool look(struct dt_sandbox *s)
{
    struct dt_err err;
    char room[128];
    bool is = false;
    if (pread(s->freeze.watch.fd, room, sizeof(room), 0) >= 0 &&
        dt_cgroup_is_frozen(s->l->cgroups, s->kit.cgroup, &is, &err) == 0 && is)
        frozen(s);
    return is;
}

static void on_events(void *ctx, uint32_t events)
{
    (void)events;
    (void)look(ctx);
}

static void on_late(void *ctx)
{
    struct dt_sandbox *s = ctx;
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_TIMEOUT,
                     "a process of the sandbox cannot be frozen: it waits inside of the kernel");
    stop_waiting(s);
    failed(s, &err);
}

static int wait_for_events(struct dt_sandbox *s, struct dt_err *err)
{
    struct dt_freeze *f = &s->freeze;
    int fd = dt_cgroup_events(s->l->cgroups, s->kit.cgroup, err);
    if (fd < 0)
        return -1;
    f->watch = (struct dt_watch){.fn = on_events, .ctx = s, .fd = fd};
    if (look(s))
        return 0;
    dt_loop_timer(&s->l->loop, &f->timer, FREEZE_MS);
    return dt_loop_watch(&s->l->loop, &f->watch, EPOLLPRI, err);
}

static void freeze(struct dt_sandbox *s)
{
    struct dt_err err;
    if (s->freeze.frozen) {
        frozen(s);
        return;
    }
    if (s->freeze.watch.fd >= 0)
        return; /* on its way already */
    if (dt_cgroup_set_frozen(s->l->cgroups, s->kit.cgroup, true, &err) < 0 ||
        wait_for_events(s, &err) < 0) {
        stop_waiting(s);
        failed(s, &err);
    }
}

void dt_freeze_init(struct dt_sandbox *s)
{
    s->freeze.watch.fd = -1;
    s->freeze.timer = (struct dt_timer){.fn = on_late, .ctx = s};
}

void dt_freeze_pause(struct dt_sandbox *s, struct dt_asked *asked)
{
    struct dt_err err;
    if (s->freeze.asked.seq != 0) {
        (void)dt_err_set(&err, DT_E_CONFLICT, "the sandbox is just being paused");
        dt_peer_reply(s->l, asked, s->id, &err);
        return;
    }
    s->freeze.paused = true;
    s->freeze.asked = *asked;
    freeze(s);
}

void dt_freeze_resume(struct dt_sandbox *s, struct dt_asked *asked)
{
    struct dt_err err = {.code = DT_OK};
    s->freeze.paused = false;
    int rc = dt_sandbox_note_paused(s, &err);
    thaw_if_free(s);
    dt_peer_reply(s->l, asked, s->id, rc < 0 ? &err : NULL);
}

void dt_freeze_hold(struct dt_sandbox *s)
{
    s->freeze.holds++;
    freeze(s);
}

void dt_freeze_release(struct dt_sandbox *s)
{
    if (s->freeze.holds > 0)
        s->freeze.holds--;
    thaw_if_free(s);
}

void dt_freeze_end(struct dt_sandbox *s)
{
    struct dt_freeze *f = &s->freeze;
    bool any = f->paused || f->holds > 0;
    struct dt_err err;
    f->paused = false;
    f->holds = 0;
    (void)dt_err_set(&err, DT_E_GONE, "the sandbox ended meanwhile");
    dt_peer_reply(s->l, &f->asked, s->id, &err);
    if (any)
        thaw(s);
    stop_waiting(s);
}

void dt_freeze_adopt(struct dt_sandbox *s, bool paused)
{
    s->freeze.paused = paused;
    if (paused)
        freeze(s);
    else
        thaw(s);
}

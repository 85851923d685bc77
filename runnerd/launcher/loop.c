#include "runnerd/launcher/loop.h"

#include <sys/epoll.h>

#include "base/clock.h"

int dt_loop_init(struct dt_loop *l, struct dt_err *err)
{
    l->timers = NULL;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    return l->epoll < 0 ? dt_err_errno(err, "epoll") : 0;
}

void dt_loop_done(struct dt_loop *l)
{
    if (l->epoll >= 0)
        (void)close(dt_take_fd(&l->epoll));
}

int dt_loop_watch(struct dt_loop *l, struct dt_watch *w, uint32_t events, struct dt_err *err)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epoll, w->set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
        return dt_err_errno(err, "watch a descriptor");
    w->set = true;
    return 0;
}

void dt_loop_unwatch(struct dt_loop *l, struct dt_watch *w)
{
    if (w->set)
        (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    w->set = false;
}

void dt_loop_timer(struct dt_loop *l, struct dt_timer *t, uint64_t in_ms)
{
    dt_loop_untimer(l, t);
    t->at_ms = dt_clock_ms() + in_ms;
    struct dt_timer **at = &l->timers;
    while (*at != NULL && (*at)->at_ms <= t->at_ms)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    t->set = true;
}

void dt_loop_untimer(struct dt_loop *l, struct dt_timer *t)
{
    if (!t->set)
        return;
    struct dt_timer **at = &l->timers;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->set = false;
}

static int wait_ms(const struct dt_loop *l)
{
    if (l->timers == NULL)
        return -1;
    uint64_t now = dt_clock_ms();
    if (l->timers->at_ms <= now)
        return 0;
    uint64_t left = l->timers->at_ms - now;
    return left > 60000 ? 60000 : (int)left;
}

bool dt_loop_once(struct dt_loop *l, bool poll)
{
    struct epoll_event e;
    int n = epoll_wait(l->epoll, &e, 1, poll ? 0 : wait_ms(l));
    if (n == 1) {
        struct dt_watch *w = e.data.ptr;
        w->fn(w->ctx, e.events);
        return true;
    }
    struct dt_timer *t = l->timers;
    if (t == NULL || t->at_ms > dt_clock_ms())
        return false;
    dt_loop_untimer(l, t);
    t->fn(t->ctx);
    return true;
}

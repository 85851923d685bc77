#include "runnerd/launcher/network.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "runnerd/launcher/launch.h"
#include "runnerd/launcher/launcher.h"
#include "runnerd/launcher/sandbox_in.h"

enum {
    CHECK_MS = 5000,
    PAUSE_MIN_MS = 1000,
    PAUSE_MAX_MS = 60000,
    APART_MS = 100, /* two attempts that sandboxes ask for */
};

/* --- opening it --- */

static int try_open(struct dt_launcher *l, bool at_once)
{
    struct dt_network *n = &l->network;
    struct dt_err err = {.code = DT_OK};
    const struct dt_sandbox_net_opts opts = {
        .instance = l->instance, .rate = n->rate, .at_once = at_once};
    int rc = dt_sandbox_net_open(&opts, &l->net, &err);
    n->tried_ms = dt_clock_ms();
    (void)snprintf(n->why, sizeof(n->why), "%.255s", rc < 0 ? err.msg : "");
    if (rc == 0 && dt_sandbox_net_rate(l->net) != n->rate)
        dt_log(DT_LOG_WARN, "the bandwidth of sandboxes is not limited: the kernel has no sch_tbf",
               NULL);
    return rc;
}

void dt_network_open(struct dt_launcher *l, uint64_t rate)
{
    l->network.rate = rate;
    l->network.guard.fd = -1;
    if (try_open(l, false) < 0)
        dt_log(DT_LOG_WARN, "sandboxes have no network: that is tried again", "err", l->network.why,
               NULL);
}

static void adopt_again(struct dt_launcher *l, struct dt_sandbox *s)
{
    struct dt_err err;
    struct dt_record r;
    if (!s->adopted || s->gone || (s->state != DT_RUNNING && s->state != DT_STOPPING))
        return;
    DT_AUTO_FD int dir = dt_sandbox_folder(s);
    if (dir >= 0 && dt_record_read(dir, &r, &err) == 0)
        dt_network_adopt(l, s, &r);
    else
        dt_log(DT_LOG_WARN, "a sandbox stays cut off: it has no record", "cgroup", s->kit.cgroup,
               NULL);
}

static void say_up(struct dt_launcher *l)
{
    static const uint8_t nobody[16];
    const struct dt_asked event = {.op = DT_LW_NETWORK_UP};
    struct dt_lw_answer a;
    dt_answer_init(&a, &event, nobody, NULL);
    dt_network_tell(l, &a);
    dt_peer_event(l, &a);
}

static void try_again(struct dt_launcher *l)
{
    struct dt_err err;
    if (try_open(l, true) < 0)
        return;
    dt_log(DT_LOG_INFO, "sandboxes have a network now", NULL);
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        for (struct dt_sandbox *s = l->sandboxes_by_id[i]; s != NULL; s = s->next)
            adopt_again(l, s);
    }
    (void)dt_sandbox_cool(l, NULL);
    dt_pool_renew(l);
    if (dt_network_watch(l, &err) < 0)
        dt_log(DT_LOG_ERROR, "the sandbox network", "err", err.msg, NULL);
    say_up(l);
}

static void try_if_missing(struct dt_launcher *l)
{
    if (l->net == NULL && dt_clock_ms() - l->network.tried_ms >= APART_MS)
        try_again(l);
}

/* --- looking after it --- */

static void check(struct dt_launcher *l)
{
    bool restored = false;
    struct dt_err err;
    if (dt_sandbox_net_check(l->net, &restored, &err) < 0)
        dt_log(DT_LOG_ERROR, "the sandbox network", "err", err.msg, NULL);
    else if (restored)
        dt_log(DT_LOG_WARN, "something removed the rules of the sandbox network; they are back",
               NULL);
}

static void on_guard(void *ctx, uint32_t events)
{
    (void)events;
    check(ctx);
}

static void on_timer(void *ctx);

static void set_timer(struct dt_launcher *l)
{
    struct dt_network *n = &l->network;
    uint64_t in_ms = CHECK_MS;
    if (l->net == NULL) {
        n->pause_ms = n->pause_ms == 0 ? PAUSE_MIN_MS : n->pause_ms * 2;
        if (n->pause_ms > PAUSE_MAX_MS)
            n->pause_ms = PAUSE_MAX_MS;
        in_ms = n->pause_ms;
    }
    n->timer.fn = on_timer;
    n->timer.ctx = l;
    dt_loop_timer(&l->loop, &n->timer, in_ms);
}

/* The host may be in another network now, or in one at all. */
static void on_timer(void *ctx)
{
    struct dt_launcher *l = ctx;
    struct dt_err err;
    if (l->net == NULL) {
        try_again(l);
    } else {
        check(l);
        if (dt_sandbox_net_refresh(l->net, &err) < 0)
            dt_log(DT_LOG_WARN, "the sandbox network", "err", err.msg, NULL);
    }
    set_timer(l);
}

int dt_network_watch(struct dt_launcher *l, struct dt_err *err)
{
    struct dt_network *n = &l->network;
    set_timer(l);
    n->guard = (struct dt_watch){
        .fn = on_guard, .ctx = l, .fd = l->net != NULL ? dt_sandbox_net_guard(l->net) : -1};
    return n->guard.fd < 0 ? 0 : dt_loop_watch(&l->loop, &n->guard, EPOLLIN, err);
}

void dt_network_unwatch(struct dt_launcher *l)
{
    dt_loop_unwatch(&l->loop, &l->network.guard);
    dt_loop_untimer(&l->loop, &l->network.timer);
}

/* --- who uses it --- */

bool dt_network_serves(struct dt_launcher *l, const struct dt_lw_spec *spec)
{
    if (spec->net == DT_LW_NET_NONE)
        return true;
    try_if_missing(l);
    return l->net != NULL;
}

int dt_network_change(struct dt_launcher *l, struct dt_sandbox *s, struct dt_err *err)
{
    try_if_missing(l);
    bool nothing = s->spec->net == DT_LW_NET_NONE && s->kit.alone;
    if (l->net == NULL && !nothing)
        return dt_err_set(err, DT_E_UNAVAILABLE, "%s", l->network.why);
    if (s->kit.alone && !nothing)
        return dt_err_set(err, DT_E_SYSTEM,
                          "it was started while the host had no network for sandboxes: stop it and "
                          "start it again");
    return dt_launch_rules(s, err);
}

void dt_network_adopt(struct dt_launcher *l, struct dt_sandbox *s, const struct dt_record *r)
{
    struct dt_cidr cidrs[DT_LW_CIDRS_MAX];
    struct dt_err err;
    for (uint32_t i = 0; i < r->ncidrs; i++)
        cidrs[i] = (struct dt_cidr){r->cidrs[i].addr, r->cidrs[i].prefix};
    if (l->net == NULL || dt_sandbox_net_adopt(l->net, r->slot, (enum dt_sandbox_net_mode)r->net,
                                               cidrs, r->ncidrs, &err) == 0)
        return;
    s->kit.alone = err.code == DT_E_NOT_FOUND;
    if (!s->kit.alone || r->net != DT_LW_NET_NONE) /* cut off, but alive */
        dt_log(DT_LOG_WARN, "a sandbox has lost its network", "err", err.msg, NULL);
}

void dt_network_tell(const struct dt_launcher *l, struct dt_lw_answer *a)
{
    a->u.hello.version = DT_LW_VERSION;
    a->u.hello.instance = l->instance;
    a->u.hello.has_network = l->net != NULL;
    a->u.hello.network_base = dt_sandbox_net_base(l->instance);
    (void)snprintf(a->text, sizeof(a->text), "%s", l->network.why);
}

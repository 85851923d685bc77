#include "runnerd/launcher/sandbox.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pidfd.h"
#include "runnerd/launcher/launch.h"
#include "runnerd/launcher/sandbox_in.h"

enum {
    SETUP_MS = 20000, /* from clone to exec; a loaded host is slow */
    DEATH_MS = 10000, /* from SIGKILL to the end */
    RELEASE_MS = 2,
    YOUNG_MS = 5000,
    AGAIN_MS = 100,
};

static const unsigned allowed[] = {
    [DT_WAITING] = 1u << DT_STARTING | 1u << DT_ENDED,
    [DT_STARTING] = 1u << DT_RUNNING | 1u << DT_WARM | 1u << DT_KILLED,
    [DT_WARM] = 1u << DT_RUNNING | 1u << DT_KILLED,
    [DT_RUNNING] = 1u << DT_STOPPING | 1u << DT_KILLED | 1u << DT_ENDED,
    [DT_STOPPING] = 1u << DT_KILLED | 1u << DT_ENDED,
    [DT_KILLED] = 1u << DT_ENDED,
    [DT_ENDED] = 0,
};

void dt_sandbox_step(struct dt_sandbox *s, enum dt_sandbox_state next)
{
    assert(allowed[s->state] & 1u << next);
    s->state = next;
}

static void say_exited(const struct dt_sandbox *s)
{
    struct dt_lw_answer a;
    const struct dt_asked nobody = {.op = DT_LW_EXITED};
    dt_answer_init(&a, &nobody, s->id, NULL);
    a.status = s->exit_status;
    a.oom = s->oom;
    dt_peer_event(s->l, &a);
}

void dt_sandbox_finish(struct dt_sandbox *s)
{
    if (s->by_itself && !s->gone)
        say_exited(s);
    dt_peer_reply(s->l, &s->asked, s->id, NULL);
    dt_spare_disk_free(s->l);
    dt_sandbox_free(s);
}

/* The socket and the record go at once, so that nobody takes the sandbox for running. */
static bool wait_for_disk(struct dt_sandbox *s)
{
    DT_AUTO_FD int dir = s->gone ? -1 : dt_sandbox_folder(s);
    if (dir < 0)
        return false;
    dt_record_remove(dir);
    (void)unlinkat(dir, DT_TOOLBOX_SOCKET, 0);
    struct dt_job job = {.op = DT_JOB_DISK_FREE, .serial = dt_pool_serial(&s->l->pool)};
    memcpy(job.id, s->id, sizeof(job.id));
    struct dt_err err;
    if (dt_worker_send(&s->l->reaper, &job, &err) < 0)
        return false;
    s->disk_job = job.serial;
    return true;
}

/* A first process that has no handler yet does not get the signal at all: it is sent again. */
void dt_sandbox_ask_to_end(struct dt_sandbox *s)
{
    uint64_t now = dt_clock_ms();
    uint64_t left = s->kill_ms > now ? s->kill_ms - now : 0;
    (void)pidfd_send_signal(s->box.pidfd, SIGTERM, NULL, 0);
    if (now - s->started_ms < YOUNG_MS && left > AGAIN_MS)
        left = AGAIN_MS;
    dt_loop_timer(&s->l->loop, &s->timer, left);
}

static void release(struct dt_sandbox *s)
{
    if (s->kit.slot != 0 && !dt_pool_release(s->l, s->kit.slot, s->kit.cgroup)) {
        s->tries = s->tries < 8 ? s->tries + 1 : 8;
        dt_loop_timer(&s->l->loop, &s->timer, (uint64_t)RELEASE_MS << s->tries);
        return;
    }
    s->kit.slot = 0;
    if (!wait_for_disk(s))
        dt_sandbox_finish(s);
}

/* No process is left, or there never was one. */
void dt_sandbox_end(struct dt_sandbox *s)
{
    if (s->state == DT_WAITING) {
        if (s->waits_for_kit)
            dt_sandbox_wait_no_more(s);
        dt_box_abort(&s->box);
        dt_pool_disk_unmount(s->l, &s->disk);
        dt_volumes_unmount(s->l, &s->volumes);
    }
    dt_sandbox_step(s, DT_ENDED);
    dt_loop_untimer(&s->l->loop, &s->timer);
    dt_loop_unwatch(&s->l->loop, &s->on_exit);
    dt_loop_unwatch(&s->l->loop, &s->on_said);
    dt_closep(&s->box.pidfd);
    dt_closep(&s->box.sock);
    dt_sandbox_drop_materials(s);
    dt_sandbox_drop_request(s);
    release(s);
}

void dt_sandbox_kill(struct dt_sandbox *s)
{
    struct dt_err err;
    dt_sandbox_step(s, DT_KILLED);
    dt_errand_yield(s->l, s->id);
    if (dt_cgroup_kill(s->l->cgroups, s->kit.cgroup, &err) < 0)
        dt_log(DT_LOG_ERROR, "cannot kill a sandbox", "err", err.msg, NULL);
    dt_freeze_end(s); /* frozen ones die as well */
    dt_loop_timer(&s->l->loop, &s->timer, DEATH_MS);
}

/* A fresh sandbox that will not be. */
static void drop_folder(struct dt_sandbox *s)
{
    struct dt_err err;
    s->gone = true;
    if (!s->moved && s->disk.serial != 0)
        dt_pool_disk_drop(s->l, &s->disk);
    else if (s->moved && dt_sandbox_throw_away(s->l, s->id, &err) < 0)
        dt_log(DT_LOG_ERROR, "cannot throw a sandbox away", "err", err.msg, NULL);
    s->disk.serial = 0;
    s->moved = false;
}

/* One that was started ahead will not be needed. */
void dt_sandbox_give_up(struct dt_sandbox *s)
{
    dt_sandbox_leave_warm(s);
    drop_folder(s);
}

/* Ends a CREATE or START that cannot succeed. */
void dt_sandbox_fail(struct dt_sandbox *s, const struct dt_err *why)
{
    if (s->ahead)
        dt_sandbox_leave_warm(s);
    if (s->fresh)
        drop_folder(s);
    dt_peer_reply(s->l, &s->asked, s->id, why);
    if (s->state == DT_WAITING)
        dt_sandbox_end(s);
    else if (s->state != DT_KILLED && s->state != DT_ENDED)
        dt_sandbox_kill(s);
}

void dt_sandbox_started(struct dt_sandbox *s)
{
    struct dt_lw_answer a;
    dt_sandbox_step(s, DT_RUNNING);
    s->started_ms = dt_clock_ms();
    dt_loop_untimer(&s->l->loop, &s->timer);
    dt_answer_init(&a, &s->asked, s->id, NULL);
    a.addr = s->addr;
    dt_peer_answer(s->l, &s->asked, &a);
    if (s->fresh)
        dt_sandbox_mark_created(s);
    s->fresh = false;
    dt_closep(&s->box.sock);
    dt_sandbox_drop_request(s);
}

static void on_said(void *ctx, uint32_t events)
{
    (void)events;
    struct dt_sandbox *s = ctx;
    struct dt_err err = {.code = DT_OK};
    int rc = dt_box_result(&s->box, &err);
    if (rc == 0)
        return;
    dt_loop_unwatch(&s->l->loop, &s->on_said);
    if (s->state != DT_STARTING)
        return;
    if (rc < 0) {
        dt_sandbox_fail(s, &err);
    } else if (s->ahead) {
        dt_sandbox_step(s, DT_WARM);
        dt_loop_untimer(&s->l->loop, &s->timer);
    } else {
        dt_sandbox_started(s);
    }
}

static void reap(struct dt_sandbox *s)
{
    uint64_t kills = 0;
    struct dt_err err;
    s->exit_status = -1;
    if (!s->adopted && waitpid(s->box.pid, &s->exit_status, WNOHANG) != s->box.pid)
        s->exit_status = -1;
    if (dt_cgroup_oom_kills(s->l->cgroups, s->kit.cgroup, &kills, &err) == 0)
        s->oom = kills > 0 && (s->adopted || WIFSIGNALED(s->exit_status));
}

static void on_exit_event(void *ctx, uint32_t events)
{
    (void)events;
    struct dt_sandbox *s = ctx;
    if (s->state == DT_STARTING)
        on_said(s, 0); /* it says why */
    if (s->state == DT_STARTING) {
        struct dt_err err;
        (void)dt_err_set(&err, DT_E_SYSTEM, "the sandbox's first process ended too early");
        dt_sandbox_fail(s, &err);
    }
    reap(s);
    if (s->ahead)
        dt_sandbox_give_up(s);
    s->by_itself = s->state == DT_RUNNING;
    if (s->state != DT_KILLED)
        dt_sandbox_kill(s); /* nothing may outlive the first process */
    dt_sandbox_end(s);
}

void dt_sandbox_on_timer(void *ctx)
{
    struct dt_sandbox *s = ctx;
    struct dt_err err;
    if (s->state == DT_ENDED) {
        release(s);
    } else if (s->state == DT_STOPPING && dt_clock_ms() < s->kill_ms) {
        dt_sandbox_ask_to_end(s);
    } else if (s->state == DT_STOPPING) {
        dt_sandbox_kill(s);
    } else if (s->state == DT_STARTING) {
        (void)dt_err_set(&err, DT_E_TIMEOUT, "setting the sandbox up took longer than %d s",
                         SETUP_MS / 1000);
        dt_sandbox_fail(s, &err);
    } else if (s->state == DT_KILLED) {
        (void)dt_err_set(&err, DT_E_TIMEOUT, "the sandbox's processes do not end");
        dt_log(DT_LOG_ERROR, err.msg, "cgroup", s->kit.cgroup, NULL);
        dt_peer_reply(s->l, &s->asked, s->id, &err);
        dt_loop_timer(&s->l->loop, &s->timer, DEATH_MS);
    }
}

int dt_sandbox_watch(struct dt_sandbox *s, struct dt_err *err)
{
    s->on_exit = (struct dt_watch){.fn = on_exit_event, .ctx = s, .fd = s->box.pidfd};
    if (dt_loop_watch(&s->l->loop, &s->on_exit, EPOLLIN, err) < 0)
        return -1;
    if (s->box.sock < 0)
        return 0;
    s->on_said = (struct dt_watch){.fn = on_said, .ctx = s, .fd = s->box.sock};
    return dt_loop_watch(&s->l->loop, &s->on_said, EPOLLIN, err);
}

/* Once it has all it waits for. */
void dt_sandbox_launch(struct dt_sandbox *s)
{
    if (s->waits_for_kit || s->disk.mount < 0 || s->volumes.waiting > 0)
        return;
    struct dt_err err = {.code = DT_OK};
    if (dt_launch(s, &err) < 0) {
        dt_sandbox_fail(s, &err);
        return;
    }
    dt_sandbox_step(s, DT_STARTING);
    dt_sandbox_drop_materials(s);
    dt_loop_timer(&s->l->loop, &s->timer, SETUP_MS);
    if (dt_sandbox_watch(s, &err) < 0 || (!s->ahead && dt_launch_own(s, &err) < 0))
        dt_sandbox_fail(s, &err);
}

/* The end of a session: first they are asked, then they are killed. */
#include <malloc.h>
#include <signal.h>

#include "base/clock.h"
#include "toolbox/session_in.h"

enum {
    LOOK_MS = 20,
    LOOK_MAX_MS = 100,
    KILL_MS = 2000, /* who was killed and does not die is in the kernel's hands */
};

void dt_session_free(struct dt_session *s)
{
    while (s->jobs != NULL)
        dt_job_forget(s->jobs);
    s->feed = dt_outpipe_close(s->feed);
    s->report = dt_inpipe_close(s->report);
    for (int i = 0; i < 2; i++) {
        s->base[i] = dt_inpipe_close(s->base[i]);
        dt_buf_done(&s->late[i]);
    }
    (void)rmdir(s->folder); /* its commands have taken their names away */
    free(s->id);
    free(s);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct dt_session *s = h->data;
    void (*on_done)(void *ctx) = s->on_done;
    void *ctx = s->ctx;
    dt_session_free(s);
    (void)malloc_trim(0);
    on_done(ctx);
}

static void cancel_jobs(struct dt_session *s)
{
    s->running = NULL;
    for (struct dt_job *job = s->jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (job->state == DT_JOB_OVER)
            continue;
        job->cancelled = true;
        (void)dt_job_ref(job);
        dt_job_finish(job, -1);
        next = job->next;
        dt_job_unref(job);
    }
}

static void finish(struct dt_session *s)
{
    if (s->pid != 0)
        dt_process_forget(&s->watch);
    cancel_jobs(s);
    dt_session_unlist(s);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

static void on_timer(uv_timer_t *t)
{
    struct dt_session *s = t->data;
    uint64_t now_ms = dt_clock_ms();
    bool late = now_ms >= s->end_ms;
    size_t left = dt_process_signal_tree(s->pid, s->marker, 0);
    if (left == 0 || now_ms >= s->end_ms + KILL_MS) {
        finish(s);
        return;
    }
    if (late)
        dt_process_kill_tree(s->pid, s->marker);
    (void)uv_timer_start(t, on_timer, late ? LOOK_MS : LOOK_MAX_MS, 0);
}

void dt_session_delete(struct dt_session *s, void (*on_done)(void *ctx), void *ctx)
{
    s->deleting = true;
    s->on_done = on_done;
    s->ctx = ctx;
    s->end_ms = dt_clock_ms() + DT_SESSION_GRACE_MS;
    (void)dt_process_signal_tree(s->pid, s->marker, SIGTERM);
    (void)dt_process_signal_tree(s->pid, s->marker, SIGCONT); /* who is stopped cannot end */
    (void)uv_timer_start(&s->timer, on_timer, LOOK_MS, 0);
}

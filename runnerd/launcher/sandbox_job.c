/* What workers answer, and sandboxes of an earlier launcher. */
#include "runnerd/launcher/sandbox_in.h"

#include <string.h>

#include "base/log.h"

static struct dt_sandbox *find_job(struct dt_launcher *l, const struct dt_job *job,
                                   enum dt_sandbox_state state)
{
    struct dt_sandbox *s = *dt_sandbox_bucket(l, job->id);
    while (s != NULL && (s->disk_job != job->serial || s->state != state))
        s = s->next;
    return s;
}

void dt_sandbox_on_kit(struct dt_launcher *l, const struct dt_err *err)
{
    struct dt_sandbox *s = l->first_waiting;
    if (s == NULL || (err == NULL && !dt_pool_kit(l, &s->kit)))
        return;
    dt_sandbox_wait_no_more(s);
    if (err != NULL) {
        dt_sandbox_fail(s, err);
        return;
    }
    s->box = s->kit.box;
    dt_sandbox_launch(s);
}

bool dt_sandbox_on_disk(struct dt_launcher *l, const struct dt_job_done *done, const int fds[2])
{
    struct dt_sandbox *s = find_job(l, &done->job, DT_WAITING);
    if (s == NULL)
        return false;
    s->disk_job = 0;
    if (done->code != DT_OK) {
        struct dt_err err;
        /* NOT_FOUND would mean a layer. */
        enum dt_err_code code =
            done->code == DT_E_NOT_FOUND ? DT_E_GONE : (enum dt_err_code)done->code;
        (void)dt_err_set(&err, code, "%s", done->text);
        dt_sandbox_fail(s, &err);
        return true;
    }
    s->disk = (struct dt_pool_disk){done->job.serial, done->job.bytes, fds[0], fds[1]};
    dt_sandbox_launch(s);
    return true;
}

bool dt_sandbox_on_volume(struct dt_launcher *l, const struct dt_job_done *done, int mount)
{
    struct dt_sandbox *s = *dt_sandbox_bucket(l, done->job.id);
    while (s != NULL && (s->state != DT_WAITING || !dt_volumes_take(&s->volumes, done, mount)))
        s = s->next;
    if (s == NULL)
        return false;
    if (done->code == DT_OK) {
        dt_sandbox_launch(s);
        return true;
    }
    struct dt_err err;
    (void)dt_err_set(&err, (enum dt_err_code)done->code, "%s", done->text);
    dt_sandbox_fail(s, &err);
    return true;
}

void dt_sandbox_on_free(struct dt_launcher *l, const struct dt_job_done *done)
{
    struct dt_sandbox *s = find_job(l, &done->job, DT_ENDED);
    if (s == NULL)
        return;
    if (done->code != DT_OK && !s->gone) {
        struct dt_err err;
        (void)dt_err_set(&err, (enum dt_err_code)done->code, "%s", done->text);
        dt_log(DT_LOG_ERROR, "a disk stays in use", "err", err.msg, NULL);
        dt_peer_reply(l, &s->asked, s->id, &err);
    }
    dt_sandbox_finish(s);
}

static bool lost_job(const struct dt_sandbox *s, const struct dt_worker *w)
{
    if (w == &s->l->reaper)
        return s->disk_job != 0 && s->state == DT_ENDED;
    return s->state == DT_WAITING &&
           (w == &s->l->maker ? s->disk_job != 0 : s->volumes.waiting > 0);
}

void dt_sandbox_lost_jobs(struct dt_launcher *l, const struct dt_worker *w)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_UNAVAILABLE, "a helper of the launcher ended; try again");
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        struct dt_sandbox *s = l->sandboxes_by_id[i];
        while (s != NULL) {
            struct dt_sandbox *next = s->next;
            if (lost_job(s, w)) {
                s->disk_job = 0;
                if (w == &l->reaper)
                    dt_sandbox_finish(s);
                else
                    dt_sandbox_fail(s, &err);
            }
            s = next;
        }
    }
}

int dt_sandbox_adopt(struct dt_launcher *l, const uint8_t id[16], const struct dt_record *r,
                     int pidfd, struct dt_err *err)
{
    DT_AUTO_FD int fd = pidfd;
    struct dt_sandbox *s = dt_sandbox_new(l, id);
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    s->state = DT_RUNNING;
    s->adopted = true;
    s->addr = r->addr;
    s->kit.slot = r->slot;
    memcpy(s->kit.cgroup, r->cgroup, sizeof(s->kit.cgroup));
    s->volumes.n = r->nvolumes;
    memcpy(s->volumes.ids, r->volumes, sizeof(s->volumes.ids));
    s->box.pid = r->pid;
    s->box.pidfd = dt_take_fd(&fd);
    s->timer = (struct dt_timer){.fn = dt_sandbox_on_timer, .ctx = s};
    if (dt_sandbox_watch(s, err) < 0) {
        dt_sandbox_free(s);
        return -1;
    }
    if (r->creating)
        dt_sandbox_mark_created(s);
    dt_freeze_adopt(s, r->paused != 0);
    return 0;
}

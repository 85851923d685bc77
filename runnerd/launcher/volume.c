#include "runnerd/launcher/volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "runnerd/launcher/launcher.h"

/* Somebody waits until a volume is made. */
struct dt_volume_made {
    struct dt_volume_made *next;
    uint64_t job;
    uint8_t id[16];
    struct dt_asked asked;
};

void dt_volumes_init(struct dt_volumes *v)
{
    *v = (struct dt_volumes){.n = 0};
    for (unsigned i = 0; i < DT_LW_VOLUMES_MAX; i++)
        v->mounts[i] = -1;
}

int dt_volumes_ask(struct dt_sandbox *s, struct dt_err *err)
{
    struct dt_launcher *l = s->l;
    struct dt_volumes *v = &s->volumes;
    for (uint32_t i = 0; i < s->spec->nvolumes; i++) {
        const struct dt_lw_volume *one = &s->spec->volumes[i];
        struct dt_job job = {.op = DT_JOB_VOLUME_OPEN, .serial = dt_pool_serial(&l->pool)};
        memcpy(job.id, s->id, sizeof(job.id));
        memcpy(job.volume, one->id, sizeof(job.volume));
        memcpy(job.subpath, one->subpath, sizeof(job.subpath));
        if (dt_worker_send(&l->keeper, &job, err) < 0)
            return -1;
        memcpy(v->ids[i], one->id, sizeof(v->ids[i]));
        v->jobs[i] = job.serial;
        v->n++;
        v->waiting++;
    }
    return 0;
}

bool dt_volumes_take(struct dt_volumes *v, const struct dt_job_done *done, int mount)
{
    for (unsigned i = 0; i < v->n; i++) {
        if (v->jobs[i] != done->job.serial)
            continue;
        v->jobs[i] = 0;
        v->waiting--;
        v->mounts[i] = mount;
        return true;
    }
    return false;
}

void dt_volumes_close(struct dt_volumes *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        if (v->mounts[i] >= 0)
            (void)close(dt_take_fd(&v->mounts[i]));
    }
}

void dt_volumes_unmount(struct dt_launcher *l, struct dt_volumes *v)
{
    for (unsigned i = 0; i < v->n; i++) {
        if (v->mounts[i] >= 0)
            dt_worker_close(&l->sweeper, dt_take_fd(&v->mounts[i]));
    }
}

void dt_volume_create(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_err err;
    struct dt_job job = {
        .op = DT_JOB_VOLUME_NEW, .serial = dt_pool_serial(&l->pool), .bytes = r->bytes};
    memcpy(job.volume, r->id, sizeof(job.volume));
    struct dt_volume_made *m = malloc(sizeof(*m));
    if (m == NULL || dt_worker_send(&l->keeper, &job, &err) < 0) {
        if (m == NULL)
            (void)dt_err_set(&err, DT_E_NOMEM, "volume");
        free(m);
        dt_peer_reply(l, asked, r->id, &err);
        return;
    }
    *m = (struct dt_volume_made){.next = l->volumes_made, .job = job.serial, .asked = *asked};
    memcpy(m->id, r->id, sizeof(m->id));
    l->volumes_made = m;
}

static void answer(struct dt_launcher *l, struct dt_volume_made **at, const struct dt_err *err)
{
    struct dt_volume_made *m = *at;
    struct dt_lw_answer a;
    *at = m->next;
    dt_answer_init(&a, &m->asked, m->id, err);
    if (err != NULL && err->code == DT_E_CONFLICT)
        a.result = DT_LW_EXISTS;
    dt_peer_answer(l, &m->asked, &a);
    free(m);
}

void dt_volume_on_made(struct dt_launcher *l, const struct dt_job_done *done)
{
    struct dt_err err;
    (void)dt_err_set(&err, (enum dt_err_code)done->code, "%s", done->text);
    for (struct dt_volume_made **at = &l->volumes_made; *at != NULL; at = &(*at)->next) {
        if ((*at)->job == done->job.serial) {
            answer(l, at, done->code == DT_OK ? NULL : &err);
            return;
        }
    }
}

void dt_volume_lost_jobs(struct dt_launcher *l)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_UNAVAILABLE, "a helper of the launcher ended; try again");
    while (l->volumes_made != NULL)
        answer(l, &l->volumes_made, &err);
}

void dt_volume_delete(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    char name[DT_ID_TEXT_SIZE];
    struct dt_err err = {.code = DT_OK};
    dt_id_text(r->id, name);
    if (dt_sandbox_has_volume(l, r->id))
        (void)dt_err_set(&err, DT_E_CONFLICT, "a sandbox uses the volume");
    else if (faccessat(l->volumes, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        (void)dt_err_set(&err, DT_E_GONE, "there is no volume with this id");
    else
        (void)!dt_trash(l, l->volumes, name, &err);
    dt_peer_reply(l, asked, r->id, err.code == DT_OK ? NULL : &err);
}

/* Requests that make, start and end sandboxes. */
#include "runnerd/launcher/sandbox_in.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "runnerd/launcher/launch.h"

void dt_sandbox_refuse(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                       enum dt_lw_result result, const char *text)
{
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, r->id, NULL);
    a.result = result;
    (void)snprintf(a.text, sizeof(a.text), "%s", text);
    dt_peer_answer(l, asked, &a);
}

/* The first half of CREATE and START: afterwards a disk is missing, or nothing. */
static struct dt_sandbox *prepare(struct dt_launcher *l, const struct dt_lw_request *r,
                                  struct dt_asked *asked, int *config)
{
    struct dt_err err = {.code = DT_OK};
    struct dt_sandbox *s = NULL;
    if (dt_launch_check_layers(l, &r->spec, &err) == 0 && (s = dt_sandbox_new(l, r->id)) == NULL)
        (void)dt_err_set(&err, DT_E_NOMEM, "sandbox");
    if (s == NULL) {
        dt_peer_reply(l, asked, r->id, &err);
        return NULL;
    }
    s->asked = *asked;
    s->fresh = r->op != DT_LW_START;
    s->config = dt_take_fd(config);
    s->timer = (struct dt_timer){.fn = dt_sandbox_on_timer, .ctx = s};
    if ((s->spec = malloc(sizeof(*s->spec))) == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "sandbox");
    } else {
        *s->spec = r->spec;
        if (dt_pool_kit(l, &s->kit))
            s->box = s->kit.box;
        else
            dt_sandbox_wait_for_kit(s);
        if (dt_volumes_ask(s, &err) == 0)
            return s;
    }
    dt_sandbox_fail(s, &err);
    return NULL;
}

static void ask_for_disk(struct dt_sandbox *s, uint32_t op)
{
    struct dt_launcher *l = s->l;
    struct dt_err err;
    struct dt_job job = {.op = op,
                         .uid = l->uid,
                         .gid = l->gid,
                         .tag = DT_JOB_FOR_SANDBOX,
                         .serial = dt_pool_serial(&l->pool),
                         .bytes = s->spec->disk_bytes};
    memcpy(job.id, s->id, sizeof(job.id));
    if (dt_worker_send(&l->maker, &job, &err) < 0) {
        dt_sandbox_fail(s, &err);
        return;
    }
    s->disk_job = job.serial;
}

bool dt_sandbox_warm_up(struct dt_launcher *l, const struct dt_lw_spec *kind)
{
    struct dt_lw_request r = {.op = DT_LW_CREATE, .spec = *kind};
    struct dt_asked nobody = {.seq = 0};
    struct dt_pool_disk disk;
    int none = -1;
    if (!dt_pool_disk(l, kind->disk_bytes, &disk))
        return false;
    dt_rand_bytes(r.id, sizeof(r.id)); /* nobody knows it */
    struct dt_sandbox *s = prepare(l, &r, &nobody, &none);
    if (s == NULL) {
        dt_pool_disk_drop(l, &disk);
        return false;
    }
    s->gone = true;
    s->ahead = true;
    s->next_warm = l->warm;
    l->warm = s;
    l->nwarm++;
    s->disk = disk;
    dt_sandbox_launch(s);
    return true;
}

bool dt_sandbox_cool(struct dt_launcher *l, const struct dt_lw_spec *kind)
{
    bool any = false;
    for (struct dt_sandbox *s = l->warm, *next; s != NULL && !(any && kind != NULL); s = next) {
        next = s->next_warm;
        if (kind != NULL && dt_pool_same_kind(s->spec, kind))
            continue;
        any = true;
        dt_sandbox_give_up(s);
        if (s->state == DT_WAITING)
            dt_sandbox_end(s);
        else
            dt_sandbox_kill(s);
    }
    return any;
}

static struct dt_sandbox *find_warm(struct dt_launcher *l, const struct dt_lw_spec *spec)
{
    struct dt_sandbox *s = l->warm;
    while (s != NULL && (s->state != DT_WARM || !dt_pool_same_kind(s->spec, spec)))
        s = s->next_warm;
    return s;
}

/* A warm one gets the id that is asked for. False when it has just ended; then nothing was taken.
 */
static bool own(struct dt_sandbox *s, const struct dt_lw_request *r, struct dt_asked *asked,
                int *config)
{
    struct dt_err err = {.code = DT_OK};
    dt_sandbox_leave_warm(s);
    dt_sandbox_unlink(s);
    memcpy(s->id, r->id, sizeof(s->id));
    dt_sandbox_link(s);
    s->gone = false;
    s->config = *config;
    *s->spec = r->spec;
    if (dt_launch_own(s, &err) < 0) {
        s->config = -1;
        dt_sandbox_fail(s, &err);
        return false;
    }
    *config = -1;
    s->asked = *asked;
    dt_sandbox_started(s);
    return true;
}

static bool exists(struct dt_launcher *l, const uint8_t id[16])
{
    return dt_sandbox_find(l, id) != NULL || dt_sandbox_on_host(l, id) ||
           dt_object_exists(l, DT_PLACE_ARCHIVES, id);
}

/* A sandbox that asks for a network does not start without one. False when it was answered. */
static bool can_connect(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked)
{
    if (dt_network_serves(l, &r->spec))
        return true;
    dt_sandbox_refuse(l, r, asked, DT_LW_NO_NETWORK, l->network.why);
    return false;
}

void dt_sandbox_create(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                       int config)
{
    DT_AUTO_FD int conf = config;
    if (exists(l, r->id)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_EXISTS, "a sandbox with this id exists");
        return;
    }
    if (!can_connect(l, r, asked))
        return;
    dt_pool_note(&l->pool, &r->spec);
    struct dt_sandbox *s;
    while ((s = find_warm(l, &r->spec)) != NULL) {
        if (own(s, r, asked, &conf))
            return;
    }
    if ((s = prepare(l, r, asked, &conf)) == NULL)
        return;
    if (dt_pool_disk(l, r->spec.disk_bytes, &s->disk))
        dt_sandbox_launch(s);
    else
        ask_for_disk(s, DT_JOB_DISK_NEW);
}

void dt_sandbox_start(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                      int config)
{
    DT_AUTO_FD int conf = config;
    if (dt_sandbox_find(l, r->id) != NULL || dt_errand_blocks(l, r->id)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_BUSY, "the sandbox runs, or is just ending");
        return;
    }
    if (!dt_sandbox_on_host(l, r->id)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox with this id");
        return;
    }
    if (!can_connect(l, r, asked))
        return;
    dt_errand_yield(l, r->id);
    struct dt_sandbox *s = prepare(l, r, asked, &conf);
    if (s != NULL)
        ask_for_disk(s, DT_JOB_DISK_OPEN);
}

/* The new one waits for the copy of the disk as others wait for the maker. */
void dt_sandbox_fork(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                     int config)
{
    DT_AUTO_FD int conf = config;
    struct dt_err err;
    const struct dt_sandbox *parent = dt_sandbox_find(l, r->other);
    if (exists(l, r->id)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_EXISTS, "a sandbox with this id exists");
        return;
    }
    if (!dt_sandbox_on_host(l, r->other)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox to fork");
        return;
    }
    if ((parent != NULL && parent->state != DT_RUNNING) || dt_errand_blocks(l, r->other)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_BUSY,
                          "the sandbox to fork is just starting or ending");
        return;
    }
    if (!can_connect(l, r, asked))
        return;
    struct dt_sandbox *s = prepare(l, r, asked, &conf);
    if (s == NULL)
        return;
    struct dt_job job = {.uid = l->uid, .gid = l->gid, .serial = dt_pool_serial(&l->pool)};
    memcpy(job.id, s->id, sizeof(job.id));
    memcpy(job.other, r->other, sizeof(job.other));
    s->disk_job = job.serial;
    if (dt_errand_fork(l, &job, &err) < 0)
        dt_sandbox_fail(s, &err);
}

void dt_sandbox_stop(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s == NULL) {
        bool exists = dt_sandbox_on_host(l, r->id);
        dt_sandbox_refuse(l, r, asked, exists ? DT_LW_OK : DT_LW_NOT_FOUND,
                          exists ? "" : "there is no sandbox with this id");
        return;
    }
    if (s->asked.seq != 0) {
        dt_sandbox_refuse(l, r, asked, DT_LW_BUSY, "the sandbox is just starting or stopping");
        return;
    }
    s->asked = *asked;
    if (s->state != DT_RUNNING)
        return; /* it is ending already; answered when it has */
    dt_sandbox_step(s, DT_STOPPING);
    dt_errand_yield(l, s->id);
    dt_freeze_end(s);
    s->kill_ms = dt_clock_ms() + r->grace_ms;
    dt_sandbox_ask_to_end(s);
}

static void destroy_running(struct dt_sandbox *s)
{
    struct dt_err err;
    if (s->asked.seq != 0) {
        (void)dt_err_set(&err, DT_E_GONE, "the sandbox was destroyed meanwhile");
        dt_peer_reply(s->l, &s->asked, s->id, &err);
    }
    s->gone = true;
    if (s->state == DT_WAITING)
        dt_sandbox_end(s);
    else if (s->state != DT_KILLED && s->state != DT_ENDED)
        dt_sandbox_kill(s);
}

void dt_sandbox_destroy(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked)
{
    struct dt_err err = {.code = DT_OK};
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    dt_errand_drop(l, r->id);
    bool folder = dt_sandbox_on_host(l, r->id);
    if (s == NULL && !folder && !dt_object_exists(l, DT_PLACE_ARCHIVES, r->id) &&
        !dt_object_exists(l, DT_PLACE_BACKUPS, r->id)) {
        dt_sandbox_refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox with this id");
        return;
    }
    if (s != NULL)
        destroy_running(s);
    int rc = folder ? dt_sandbox_throw_away(l, r->id, &err) : 0;
    if (dt_object_drop(l, DT_PLACE_ARCHIVES, r->id, &err) < 0 ||
        dt_object_drop(l, DT_PLACE_BACKUPS, r->id, &err) < 0)
        rc = -1;
    dt_peer_reply(l, asked, r->id, rc < 0 ? &err : NULL);
}

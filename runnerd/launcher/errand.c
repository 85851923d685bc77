#include "runnerd/launcher/errand.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "runnerd/launcher/launcher.h"

enum {
    STALL_MS = 120000,
    SLOW_AT_ONCE = 2,  /* those that nobody waits for */
    QUICK_AT_ONCE = 8, /* the others */
    ERRANDS_MAX = 1024,
};

/* BLOCKS: it changes the disk, or needs it unchanged to its end. */
enum { SLOW = 1, BLOCKS = 2 };

static const unsigned flags[DT_ERRAND_KINDS] = {
    [DT_ERRAND_ARCHIVE] = SLOW | BLOCKS, [DT_ERRAND_BACKUP] = SLOW,
    [DT_ERRAND_RESTORE] = BLOCKS,        [DT_ERRAND_FORK] = 0,
    [DT_ERRAND_GROW] = BLOCKS,
};

static bool is_of(const struct dt_errand *e, const uint8_t id[16])
{
    return memcmp(e->disk, id, sizeof(e->disk)) == 0;
}

static void release(struct dt_errand *e)
{
    struct dt_sandbox *s = e->holds ? dt_sandbox_find(e->l, e->disk) : NULL;
    e->holds = false;
    if (s != NULL)
        dt_freeze_release(s);
}

static void drop_pooled(struct dt_launcher *l, const struct dt_job *job)
{
    struct dt_pool_disk d = {.serial = job->serial, .mount = -1, .listener = -1};
    char name[32];
    (void)snprintf(name, sizeof(name), "%016llx", (unsigned long long)job->serial);
    if (job->serial != 0 && faccessat(l->pool_dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        dt_pool_disk_drop(l, &d);
}

static void drop_part(struct dt_launcher *l, const struct dt_job *job)
{
    char id[DT_ID_TEXT_SIZE], name[DT_ID_TEXT_SIZE + sizeof(DT_PART)];
    dt_id_text(job->id, id);
    (void)snprintf(name, sizeof(name), "%s" DT_PART, id);
    (void)unlinkat(l->objects[job->place != 0], name, 0);
}

static void start_next(struct dt_launcher *l);

/* Nothing of it is left but what it was to make, when it worked. */
static void end(struct dt_errand *e)
{
    struct dt_launcher *l = e->l;
    struct dt_errand **at = &l->errands;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    l->nerrands--;
    dt_loop_untimer(&l->loop, &e->timer);
    dt_worker_stop(&e->worker);
    release(e);
    free(e);
    start_next(l);
}

/* FORK's disk goes to the sandbox that waits for it; without one nobody needs it. */
static void answer_fork(struct dt_errand *e, const struct dt_err *err, int fds[DT_JOB_FDS])
{
    struct dt_launcher *l = e->l;
    struct dt_job_done done = {.job = e->job, .code = err != NULL ? err->code : DT_OK};
    if (err != NULL)
        (void)snprintf(done.text, sizeof(done.text), "%.255s", err->msg);
    if (dt_sandbox_on_disk(l, &done, fds) || err != NULL)
        return;
    struct dt_pool_disk d = {e->job.serial, e->job.bytes, fds[0], fds[1]};
    dt_pool_disk_drop(l, &d);
}

static void fail(struct dt_errand *e, const struct dt_err *why)
{
    struct dt_err err = *why;
    int none[DT_JOB_FDS] = {-1, -1};
    dt_worker_stop(&e->worker);
    drop_pooled(e->l, &e->job);
    if (e->kind == DT_ERRAND_ARCHIVE || e->kind == DT_ERRAND_BACKUP)
        drop_part(e->l, &e->job);
    if (err.code == DT_E_NOT_FOUND)
        err.code = DT_E_GONE; /* for a peer NOT_FOUND means a layer */
    if (e->kind == DT_ERRAND_FORK)
        answer_fork(e, &err, none);
    else
        dt_peer_reply(e->l, &e->asked, e->disk, &err);
    end(e);
}

static void cancel(struct dt_errand *e, const char *why)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_CANCELLED, "%s", why);
    fail(e, &err);
}

static int send_job(struct dt_errand *e, uint32_t op, enum dt_errand_state next, struct dt_err *err)
{
    e->job.op = op;
    e->state = next;
    dt_loop_timer(&e->l->loop, &e->timer, STALL_MS);
    return dt_worker_send(&e->worker, &e->job, err);
}

/* --- what comes of it --- */

static int archived(struct dt_errand *e, struct dt_err *err)
{
    char id[DT_ID_TEXT_SIZE];
    dt_id_text(e->disk, id);
    if (dt_trash(e->l, e->l->sandboxes, id, err) < 0)
        return -1;
    /* The archive is newer than any backup. */
    return dt_object_drop(e->l, DT_PLACE_BACKUPS, e->disk, err);
}

static int restored(struct dt_errand *e, struct dt_err *err)
{
    struct dt_launcher *l = e->l;
    char serial[32], id[DT_ID_TEXT_SIZE];
    (void)snprintf(serial, sizeof(serial), "%016llx", (unsigned long long)e->job.serial);
    dt_id_text(e->disk, id);
    if (renameat2(l->pool_dir, serial, l->sandboxes, id, RENAME_NOREPLACE) < 0 ||
        fsync(l->sandboxes) < 0)
        return dt_err_errno(err, "put the sandbox's folder in its place");
    return e->job.place == DT_PLACE_ARCHIVES ? dt_object_drop(l, DT_PLACE_ARCHIVES, e->disk, err)
                                             : 0;
}

/* 1 = it goes on. */
static int go_on(struct dt_errand *e, int fds[DT_JOB_FDS], struct dt_err *err)
{
    switch (e->kind) {
    case DT_ERRAND_ARCHIVE:
        return archived(e, err);
    case DT_ERRAND_RESTORE:
        return restored(e, err);
    case DT_ERRAND_BACKUP:
        release(e);
        if (e->state == DT_ERRAND_COPYING)
            return send_job(e, DT_JOB_STORE, DT_ERRAND_WORKING, err) < 0 ? -1 : 1;
        drop_pooled(e->l, &e->job);
        return 0;
    case DT_ERRAND_FORK:
        release(e);
        answer_fork(e, NULL, fds);
        return 0;
    case DT_ERRAND_GROW:
    case DT_ERRAND_KINDS:
        return 0;
    }
    return 0;
}

static void on_done(void *ctx, const struct dt_job_done *done, int fds[DT_JOB_FDS])
{
    struct dt_errand *e = ctx;
    struct dt_err err = {.code = DT_OK};
    if (done->code != DT_OK) {
        (void)dt_err_set(&err, (enum dt_err_code)done->code, "%s", done->text);
        fail(e, &err);
        return;
    }
    int rc = go_on(e, fds, &err);
    if (rc < 0) {
        fail(e, &err);
    } else if (rc == 0) {
        dt_peer_reply(e->l, &e->asked, e->disk, NULL);
        end(e);
    }
}

static void on_died(void *ctx)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_UNAVAILABLE, "a helper of the launcher ended; try again");
    fail(ctx, &err);
}

static void on_alive(void *ctx)
{
    struct dt_errand *e = ctx;
    dt_loop_timer(&e->l->loop, &e->timer, STALL_MS);
}

static void on_stalled(void *ctx)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_TIMEOUT, "the host's disk did not go on for %d s", STALL_MS / 1000);
    fail(ctx, &err);
}

/* --- turns --- */

static int begin(struct dt_errand *e, struct dt_err *err)
{
    struct dt_launcher *l = e->l;
    struct dt_sandbox *s = dt_sandbox_find(l, e->disk);
    e->worker = l->common;
    e->worker.done = on_done;
    e->worker.died = on_died;
    e->worker.alive = on_alive;
    e->worker.ctx = e;
    e->worker.nice = (flags[e->kind] & SLOW) != 0 ? 10 : 0;
    e->state = DT_ERRAND_WORKING;
    if (dt_worker_start(&e->worker, err) < 0)
        return -1;
    switch (e->kind) {
    case DT_ERRAND_ARCHIVE:
        return send_job(e, DT_JOB_STORE, DT_ERRAND_WORKING, err);
    case DT_ERRAND_RESTORE:
        return send_job(e, DT_JOB_LOAD, DT_ERRAND_WORKING, err);
    case DT_ERRAND_GROW:
        return send_job(e, DT_JOB_GROW, DT_ERRAND_WORKING, err);
    case DT_ERRAND_BACKUP:
    case DT_ERRAND_FORK:
        if (s == NULL || s->state != DT_RUNNING)
            return send_job(e, e->kind == DT_ERRAND_FORK ? DT_JOB_FORK : DT_JOB_COPY,
                            DT_ERRAND_COPYING, err);
        e->state = DT_ERRAND_FREEZING;
        e->holds = true;
        dt_freeze_hold(s); /* may go on, or fail, from inside */
        return 0;
    case DT_ERRAND_KINDS:
        break;
    }
    return 0;
}

void dt_errand_frozen(struct dt_launcher *l, const uint8_t id[16], const struct dt_err *err)
{
    for (struct dt_errand *e = l->errands, *next; e != NULL; e = next) {
        struct dt_err why;
        next = e->next;
        if (e->state != DT_ERRAND_FREEZING || !is_of(e, id))
            continue;
        if (err != NULL)
            fail(e, err);
        else if (send_job(e, e->kind == DT_ERRAND_FORK ? DT_JOB_FORK : DT_JOB_COPY,
                          DT_ERRAND_COPYING, &why) < 0)
            fail(e, &why);
        else
            continue;
        next = l->errands; /* the list has changed */
    }
}

static struct dt_errand *find_turn(struct dt_launcher *l, bool slow)
{
    unsigned busy = 0;
    struct dt_errand *first = NULL;
    for (struct dt_errand *e = l->errands; e != NULL; e = e->next) {
        if (((flags[e->kind] & SLOW) != 0) != slow)
            continue;
        if (e->state != DT_ERRAND_QUEUED)
            busy++;
        else if (first == NULL)
            first = e;
    }
    return busy < (slow ? SLOW_AT_ONCE : QUICK_AT_ONCE) ? first : NULL;
}

static void start_next(struct dt_launcher *l)
{
    for (int slow = 0; slow < 2 && !l->stop; slow++) {
        struct dt_errand *e;
        while ((e = find_turn(l, slow != 0)) != NULL) {
            struct dt_err err;
            if (begin(e, &err) < 0) {
                fail(e, &err); /* comes back here */
                return;
            }
        }
    }
}

static struct dt_errand *errand_new(struct dt_launcher *l, enum dt_errand_kind kind,
                                    const uint8_t disk[16], struct dt_err *err)
{
    struct dt_errand *e = l->nerrands < ERRANDS_MAX ? calloc(1, sizeof(*e)) : NULL;
    if (e == NULL) {
        (void)dt_err_set(err, DT_E_UNAVAILABLE, "too much file work is waiting; try again later");
        return NULL;
    }
    e->l = l;
    e->kind = kind;
    memcpy(e->disk, disk, sizeof(e->disk));
    e->timer = (struct dt_timer){.fn = on_stalled, .ctx = e};
    struct dt_errand **at = &l->errands;
    while (*at != NULL)
        at = &(*at)->next;
    *at = e;
    l->nerrands++;
    return e;
}

/* --- requests --- */

static void refuse(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                   enum dt_err_code code, const char *text)
{
    struct dt_err err;
    (void)dt_err_set(&err, code, "%s", text);
    dt_peer_reply(l, asked, r->id, &err);
}

static void ask(struct dt_launcher *l, enum dt_errand_kind kind, const struct dt_lw_request *r,
                const struct dt_job *job, struct dt_asked *asked)
{
    struct dt_err err;
    struct dt_errand *e = errand_new(l, kind, r->id, &err);
    if (e == NULL) {
        dt_peer_reply(l, asked, r->id, &err);
        return;
    }
    e->job = *job;
    memcpy(e->job.id, r->id, sizeof(e->job.id));
    e->asked = *asked;
    start_next(l);
}

void dt_errand_archive(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    const struct dt_job job = {.place = DT_PLACE_ARCHIVES};
    if (dt_sandbox_find(l, r->id) != NULL || dt_errand_blocks(l, r->id)) {
        refuse(l, r, asked, DT_E_CONFLICT, "the sandbox runs, or is just ending");
        return;
    }
    dt_errand_yield(l, r->id);
    if (dt_sandbox_on_host(l, r->id))
        ask(l, DT_ERRAND_ARCHIVE, r, &job, asked);
    else if (dt_object_exists(l, DT_PLACE_ARCHIVES, r->id))
        dt_peer_reply(l, asked, r->id, NULL);
    else
        refuse(l, r, asked, DT_E_GONE, "there is no sandbox with this id");
}

void dt_errand_restore(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_job job = {.place = DT_PLACE_ARCHIVES};
    if (dt_errand_blocks(l, r->id)) {
        refuse(l, r, asked, DT_E_CONFLICT, "the sandbox is just being restored or archived");
        return;
    }
    if (dt_sandbox_on_host(l, r->id)) {
        struct dt_lw_answer a;
        dt_answer_init(&a, asked, r->id, NULL);
        a.result = DT_LW_EXISTS;
        dt_peer_answer(l, asked, &a);
        return;
    }
    if (!dt_object_exists(l, DT_PLACE_ARCHIVES, r->id))
        job.place = DT_PLACE_BACKUPS;
    if (!dt_object_exists(l, (enum dt_job_place)job.place, r->id)) {
        refuse(l, r, asked, DT_E_GONE, "the sandbox's archive is gone");
        return;
    }
    job.serial = dt_pool_serial(&l->pool);
    ask(l, DT_ERRAND_RESTORE, r, &job, asked);
}

void dt_errand_backup(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    const struct dt_job job = {.place = DT_PLACE_BACKUPS, .serial = dt_pool_serial(&l->pool)};
    const struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (!dt_sandbox_on_host(l, r->id))
        refuse(l, r, asked, DT_E_GONE, "there is no sandbox with this id");
    else if (dt_errand_blocks(l, r->id) || (s != NULL && s->state != DT_RUNNING))
        refuse(l, r, asked, DT_E_CANCELLED, "the sandbox is just starting or ending");
    else {
        struct dt_job copy = job;
        memcpy(copy.other, r->id, sizeof(copy.other));
        ask(l, DT_ERRAND_BACKUP, r, &copy, asked);
    }
}

void dt_errand_grow(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    const struct dt_job job = {.bytes = r->spec.disk_bytes};
    if (dt_errand_blocks(l, r->id)) {
        refuse(l, r, asked, DT_E_CONFLICT, "the sandbox's disk is in use");
        return;
    }
    dt_errand_yield(l, r->id);
    if (dt_sandbox_on_host(l, r->id))
        ask(l, DT_ERRAND_GROW, r, &job, asked);
    else
        refuse(l, r, asked, DT_E_GONE, "there is no sandbox with this id");
}

void dt_errand_cancel(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    for (struct dt_errand *e = l->errands; e != NULL; e = e->next) {
        if (!is_of(e, r->id) || e->asked.seq == 0 || e->kind == DT_ERRAND_GROW)
            continue;
        cancel(e, "it was cancelled");
        break;
    }
    dt_peer_reply(l, asked, r->id, NULL);
}

int dt_errand_fork(struct dt_launcher *l, const struct dt_job *job, struct dt_err *err)
{
    struct dt_errand *e = errand_new(l, DT_ERRAND_FORK, job->other, err);
    if (e == NULL)
        return -1;
    e->job = *job;
    start_next(l);
    return 0;
}

bool dt_errand_blocks(const struct dt_launcher *l, const uint8_t id[16])
{
    for (const struct dt_errand *e = l->errands; e != NULL; e = e->next) {
        if (is_of(e, id) && (flags[e->kind] & BLOCKS) != 0)
            return true;
    }
    return false;
}

static void end_some(struct dt_launcher *l, const uint8_t id[16], bool all, const char *why)
{
    for (struct dt_errand *e = l->errands, *next; e != NULL; e = next) {
        next = e->next;
        /* A backup that has its copy needs the disk no more. */
        bool reads = (flags[e->kind] & BLOCKS) == 0 && e->state != DT_ERRAND_WORKING;
        if (!is_of(e, id) || (!all && !reads))
            continue;
        cancel(e, why);
        next = l->errands;
    }
}

void dt_errand_yield(struct dt_launcher *l, const uint8_t id[16])
{
    end_some(l, id, false, "the sandbox was started or stopped meanwhile");
}

void dt_errand_drop(struct dt_launcher *l, const uint8_t id[16])
{
    end_some(l, id, true, "the sandbox was destroyed meanwhile");
}

void dt_errand_done(struct dt_launcher *l)
{
    while (l->errands != NULL) {
        struct dt_errand *e = l->errands;
        e->asked.seq = 0;
        dt_worker_stop(&e->worker);
        l->errands = e->next;
        dt_loop_untimer(&l->loop, &e->timer);
        free(e);
    }
    l->nerrands = 0;
}

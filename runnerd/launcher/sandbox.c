#include "runnerd/launcher/sandbox.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pidfd.h"
#include "base/rand.h"
#include "runnerd/launcher/launch.h"
#include "runnerd/launcher/launcher.h"

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

static void step(struct dt_sandbox *s, enum dt_sandbox_state next)
{
    assert(allowed[s->state] & 1u << next);
    s->state = next;
}

static struct dt_sandbox **bucket(struct dt_launcher *l, const uint8_t id[16])
{
    unsigned h;
    memcpy(&h, id + 12, sizeof(h));
    return &l->sandboxes_by_id[h % DT_SANDBOX_BUCKETS];
}

struct dt_sandbox *dt_sandbox_find(struct dt_launcher *l, const uint8_t id[16])
{
    struct dt_sandbox *s = *bucket(l, id);
    while (s != NULL && (s->gone || memcmp(s->id, id, sizeof(s->id)) != 0))
        s = s->next;
    return s;
}

bool dt_sandbox_on_host(const struct dt_launcher *l, const uint8_t id[16])
{
    char name[DT_ID_TEXT_SIZE];
    dt_id_text(id, name);
    return faccessat(l->sandboxes, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void link_id(struct dt_sandbox *s)
{
    struct dt_sandbox **b = bucket(s->l, s->id);
    s->next = *b;
    *b = s;
}

static void unlink_id(struct dt_sandbox *s)
{
    struct dt_sandbox **at = bucket(s->l, s->id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
}

static struct dt_sandbox *sandbox_new(struct dt_launcher *l, const uint8_t id[16])
{
    struct dt_sandbox *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->l = l;
    memcpy(s->id, id, sizeof(s->id));
    s->config = -1;
    s->disk = (struct dt_pool_disk){.mount = -1, .listener = -1};
    dt_volumes_init(&s->volumes);
    s->box = (struct dt_box)DT_BOX_NONE;
    dt_freeze_init(s);
    link_id(s);
    l->nsandboxes++;
    return s;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(dt_take_fd(fd));
}

/* What is only needed until the first process has it. */
static void drop_materials(struct dt_sandbox *s)
{
    close_fd(&s->box.userns);
    dt_pool_disk_close(&s->disk);
    dt_volumes_close(&s->volumes);
}

/* What is only needed until it is owned. */
static void drop_request(struct dt_sandbox *s)
{
    close_fd(&s->config);
    free(dt_take(s->spec));
}

static void wait_for_kit(struct dt_sandbox *s)
{
    struct dt_launcher *l = s->l;
    struct dt_sandbox **at = &l->first_waiting;
    while (*at != NULL)
        at = &(*at)->next_waiting;
    *at = s;
    s->next_waiting = NULL;
    s->waits_for_kit = true;
}

static void wait_no_more(struct dt_sandbox *s)
{
    struct dt_sandbox **at = &s->l->first_waiting;
    while (*at != NULL && *at != s)
        at = &(*at)->next_waiting;
    if (*at != NULL)
        *at = s->next_waiting;
    s->waits_for_kit = false;
}

static void sandbox_free(struct dt_sandbox *s)
{
    if (s->waits_for_kit)
        wait_no_more(s);
    unlink_id(s);
    s->l->nsandboxes--;
    dt_loop_untimer(&s->l->loop, &s->timer);
    dt_loop_untimer(&s->l->loop, &s->freeze.timer);
    dt_loop_unwatch(&s->l->loop, &s->on_exit);
    dt_loop_unwatch(&s->l->loop, &s->on_said);
    dt_loop_unwatch(&s->l->loop, &s->freeze.watch);
    drop_materials(s);
    drop_request(s);
    close_fd(&s->box.pidfd);
    close_fd(&s->box.sock);
    close_fd(&s->freeze.watch.fd);
    free(s);
}

static void leave_warm(struct dt_sandbox *s)
{
    struct dt_sandbox **at = &s->l->warm;
    while (*at != s)
        at = &(*at)->next_warm;
    *at = s->next_warm;
    s->l->nwarm--;
    s->ahead = false;
}

bool dt_sandbox_any_ending(const struct dt_launcher *l)
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        for (const struct dt_sandbox *s = l->sandboxes_by_id[i]; s != NULL; s = s->next) {
            if (s->state == DT_KILLED || s->state == DT_ENDED)
                return true;
        }
    }
    return false;
}

void dt_sandbox_forget_all(struct dt_launcher *l)
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        while (l->sandboxes_by_id[i] != NULL)
            sandbox_free(l->sandboxes_by_id[i]);
    }
}

static int folder_open(const struct dt_sandbox *s)
{
    char id[DT_ID_TEXT_SIZE];
    dt_id_text(s->id, id);
    return openat(s->l->sandboxes, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int throw_away(struct dt_launcher *l, const uint8_t id[16], struct dt_err *err)
{
    char name[DT_ID_TEXT_SIZE];
    dt_id_text(id, name);
    return dt_trash(l, l->sandboxes, name, err);
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

static void finish(struct dt_sandbox *s)
{
    if (s->by_itself && !s->gone)
        say_exited(s);
    dt_peer_reply(s->l, &s->asked, s->id, NULL);
    sandbox_free(s);
}

/* The socket and the record go at once, so that nobody takes the sandbox for running. */
static bool wait_for_disk(struct dt_sandbox *s)
{
    DT_AUTO_FD int dir = s->gone ? -1 : folder_open(s);
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

static void on_timer(void *ctx);

/* A first process that has no handler yet does not get the signal at all: it is sent again. */
static void ask_to_end(struct dt_sandbox *s)
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
        finish(s);
}

/* No process is left, or there never was one. */
static void end(struct dt_sandbox *s)
{
    if (s->state == DT_WAITING) {
        if (s->waits_for_kit)
            wait_no_more(s);
        dt_box_abort(&s->box);
        dt_pool_disk_unmount(s->l, &s->disk);
        dt_volumes_unmount(s->l, &s->volumes);
    }
    step(s, DT_ENDED);
    dt_loop_untimer(&s->l->loop, &s->timer);
    dt_loop_unwatch(&s->l->loop, &s->on_exit);
    dt_loop_unwatch(&s->l->loop, &s->on_said);
    close_fd(&s->box.pidfd);
    close_fd(&s->box.sock);
    drop_materials(s);
    drop_request(s);
    release(s);
}

static void kill_all(struct dt_sandbox *s)
{
    struct dt_err err;
    step(s, DT_KILLED);
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
    else if (s->moved && throw_away(s->l, s->id, &err) < 0)
        dt_log(DT_LOG_ERROR, "cannot throw a sandbox away", "err", err.msg, NULL);
    s->disk.serial = 0;
    s->moved = false;
}

/* One that was started ahead will not be needed. */
static void give_up(struct dt_sandbox *s)
{
    leave_warm(s);
    drop_folder(s);
}

/* Ends a CREATE or START that cannot succeed. */
static void fail(struct dt_sandbox *s, const struct dt_err *why)
{
    if (s->ahead)
        leave_warm(s);
    if (s->fresh)
        drop_folder(s);
    dt_peer_reply(s->l, &s->asked, s->id, why);
    if (s->state == DT_WAITING)
        end(s);
    else if (s->state != DT_KILLED && s->state != DT_ENDED)
        kill_all(s);
}

static int change_record(struct dt_sandbox *s,
                         void (*change)(struct dt_record *r, const struct dt_sandbox *s),
                         struct dt_err *err)
{
    struct dt_record r;
    DT_AUTO_FD int dir = folder_open(s);
    if (dir < 0)
        return dt_err_errno(err, "open the sandbox's folder");
    if (dt_record_read(dir, &r, err) < 0)
        return -1;
    change(&r, s);
    return dt_record_write(dir, &r, err);
}

static void set_created(struct dt_record *r, const struct dt_sandbox *s)
{
    (void)s;
    r->creating = 0;
}

static void set_paused(struct dt_record *r, const struct dt_sandbox *s)
{
    r->paused = s->freeze.paused;
}

static void set_rules(struct dt_record *r, const struct dt_sandbox *s)
{
    r->addr = s->addr;
    r->net = s->spec->net;
    r->ncidrs = s->spec->ncidrs;
    memcpy(r->cidrs, s->spec->cidrs, sizeof(r->cidrs));
}

/* So that the next launcher does not take it for half-made. */
static void mark_created(struct dt_sandbox *s)
{
    struct dt_err err = {.code = DT_OK};
    if (change_record(s, set_created, &err) < 0 && err.code != DT_E_NOT_FOUND)
        dt_log(DT_LOG_WARN, "cannot write a sandbox's record", "err", err.msg, NULL);
}

int dt_sandbox_note_paused(struct dt_sandbox *s, struct dt_err *err)
{
    return change_record(s, set_paused, err);
}

static void started(struct dt_sandbox *s)
{
    struct dt_lw_answer a;
    step(s, DT_RUNNING);
    s->started_ms = dt_clock_ms();
    dt_loop_untimer(&s->l->loop, &s->timer);
    dt_answer_init(&a, &s->asked, s->id, NULL);
    a.addr = s->addr;
    dt_peer_answer(s->l, &s->asked, &a);
    if (s->fresh)
        mark_created(s);
    s->fresh = false;
    close_fd(&s->box.sock);
    drop_request(s);
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
        fail(s, &err);
    } else if (s->ahead) {
        step(s, DT_WARM);
        dt_loop_untimer(&s->l->loop, &s->timer);
    } else {
        started(s);
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
        fail(s, &err);
    }
    reap(s);
    if (s->ahead)
        give_up(s);
    s->by_itself = s->state == DT_RUNNING;
    if (s->state != DT_KILLED)
        kill_all(s); /* nothing may outlive the first process */
    end(s);
}

static void on_timer(void *ctx)
{
    struct dt_sandbox *s = ctx;
    struct dt_err err;
    if (s->state == DT_ENDED) {
        release(s);
    } else if (s->state == DT_STOPPING && dt_clock_ms() < s->kill_ms) {
        ask_to_end(s);
    } else if (s->state == DT_STOPPING) {
        kill_all(s);
    } else if (s->state == DT_STARTING) {
        (void)dt_err_set(&err, DT_E_TIMEOUT, "setting the sandbox up took longer than %d s",
                         SETUP_MS / 1000);
        fail(s, &err);
    } else if (s->state == DT_KILLED) {
        (void)dt_err_set(&err, DT_E_TIMEOUT, "the sandbox's processes do not end");
        dt_log(DT_LOG_ERROR, err.msg, "cgroup", s->kit.cgroup, NULL);
        dt_peer_reply(s->l, &s->asked, s->id, &err);
        dt_loop_timer(&s->l->loop, &s->timer, DEATH_MS);
    }
}

static int watch_box(struct dt_sandbox *s, struct dt_err *err)
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
static void launch(struct dt_sandbox *s)
{
    if (s->waits_for_kit || s->disk.mount < 0 || s->volumes.waiting > 0)
        return;
    struct dt_err err = {.code = DT_OK};
    if (dt_launch(s, &err) < 0) {
        fail(s, &err);
        return;
    }
    step(s, DT_STARTING);
    drop_materials(s);
    dt_loop_timer(&s->l->loop, &s->timer, SETUP_MS);
    if (watch_box(s, &err) < 0 || (!s->ahead && dt_launch_own(s, &err) < 0))
        fail(s, &err);
}

/* The first half of CREATE and START: afterwards a disk is missing, or nothing. */
static struct dt_sandbox *prepare(struct dt_launcher *l, const struct dt_lw_request *r,
                                  struct dt_asked *asked, int *config)
{
    struct dt_err err = {.code = DT_OK};
    struct dt_sandbox *s = NULL;
    if (dt_launch_check_layers(l, &r->spec, &err) == 0 && (s = sandbox_new(l, r->id)) == NULL)
        (void)dt_err_set(&err, DT_E_NOMEM, "sandbox");
    if (s == NULL) {
        dt_peer_reply(l, asked, r->id, &err);
        return NULL;
    }
    s->asked = *asked;
    s->fresh = r->op != DT_LW_START;
    s->config = dt_take_fd(config);
    s->timer = (struct dt_timer){.fn = on_timer, .ctx = s};
    if ((s->spec = malloc(sizeof(*s->spec))) == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "sandbox");
    } else {
        *s->spec = r->spec;
        if (dt_pool_kit(l, &s->kit))
            s->box = s->kit.box;
        else
            wait_for_kit(s);
        if (dt_volumes_ask(s, &err) == 0)
            return s;
    }
    fail(s, &err);
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
        fail(s, &err);
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
    launch(s);
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
        give_up(s);
        if (s->state == DT_WAITING)
            end(s);
        else
            kill_all(s);
    }
    return any;
}

static void refuse(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                   enum dt_lw_result result, const char *text)
{
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, r->id, NULL);
    a.result = result;
    (void)snprintf(a.text, sizeof(a.text), "%s", text);
    dt_peer_answer(l, asked, &a);
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
    leave_warm(s);
    unlink_id(s);
    memcpy(s->id, r->id, sizeof(s->id));
    link_id(s);
    s->gone = false;
    s->config = *config;
    *s->spec = r->spec;
    if (dt_launch_own(s, &err) < 0) {
        s->config = -1;
        fail(s, &err);
        return false;
    }
    *config = -1;
    s->asked = *asked;
    started(s);
    return true;
}

static bool exists(struct dt_launcher *l, const uint8_t id[16])
{
    return dt_sandbox_find(l, id) != NULL || dt_sandbox_on_host(l, id) ||
           dt_object_exists(l, DT_PLACE_ARCHIVES, id);
}

void dt_sandbox_create(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                       int config)
{
    DT_AUTO_FD int conf = config;
    if (exists(l, r->id)) {
        refuse(l, r, asked, DT_LW_EXISTS, "a sandbox with this id exists");
        return;
    }
    dt_pool_note(&l->pool, &r->spec);
    struct dt_sandbox *s;
    while ((s = find_warm(l, &r->spec)) != NULL) {
        if (own(s, r, asked, &conf))
            return;
    }
    if ((s = prepare(l, r, asked, &conf)) == NULL)
        return;
    if (dt_pool_disk(l, r->spec.disk_bytes, &s->disk))
        launch(s);
    else
        ask_for_disk(s, DT_JOB_DISK_NEW);
}

void dt_sandbox_start(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked,
                      int config)
{
    DT_AUTO_FD int conf = config;
    if (dt_sandbox_find(l, r->id) != NULL || dt_errand_blocks(l, r->id)) {
        refuse(l, r, asked, DT_LW_BUSY, "the sandbox runs, or is just ending");
        return;
    }
    if (!dt_sandbox_on_host(l, r->id)) {
        refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox with this id");
        return;
    }
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
        refuse(l, r, asked, DT_LW_EXISTS, "a sandbox with this id exists");
        return;
    }
    if (!dt_sandbox_on_host(l, r->other)) {
        refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox to fork");
        return;
    }
    if ((parent != NULL && parent->state != DT_RUNNING) || dt_errand_blocks(l, r->other)) {
        refuse(l, r, asked, DT_LW_BUSY, "the sandbox to fork is just starting or ending");
        return;
    }
    struct dt_sandbox *s = prepare(l, r, asked, &conf);
    if (s == NULL)
        return;
    struct dt_job job = {.uid = l->uid, .gid = l->gid, .serial = dt_pool_serial(&l->pool)};
    memcpy(job.id, s->id, sizeof(job.id));
    memcpy(job.other, r->other, sizeof(job.other));
    s->disk_job = job.serial;
    if (dt_errand_fork(l, &job, &err) < 0)
        fail(s, &err);
}

void dt_sandbox_stop(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s == NULL) {
        bool exists = dt_sandbox_on_host(l, r->id);
        refuse(l, r, asked, exists ? DT_LW_OK : DT_LW_NOT_FOUND,
               exists ? "" : "there is no sandbox with this id");
        return;
    }
    if (s->asked.seq != 0) {
        refuse(l, r, asked, DT_LW_BUSY, "the sandbox is just starting or stopping");
        return;
    }
    s->asked = *asked;
    if (s->state != DT_RUNNING)
        return; /* it is ending already; answered when it has */
    step(s, DT_STOPPING);
    dt_errand_yield(l, s->id);
    dt_freeze_end(s);
    s->kill_ms = dt_clock_ms() + r->grace_ms;
    ask_to_end(s);
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
        end(s);
    else if (s->state != DT_KILLED && s->state != DT_ENDED)
        kill_all(s);
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
        refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox with this id");
        return;
    }
    if (s != NULL)
        destroy_running(s);
    int rc = folder ? throw_away(l, r->id, &err) : 0;
    if (dt_object_drop(l, DT_PLACE_ARCHIVES, r->id, &err) < 0 ||
        dt_object_drop(l, DT_PLACE_BACKUPS, r->id, &err) < 0)
        rc = -1;
    dt_peer_reply(l, asked, r->id, rc < 0 ? &err : NULL);
}

static void fill_stats(struct dt_sandbox *s, struct dt_lw_stats *out)
{
    struct dt_cgroup_stats c;
    struct dt_err err;
    if (dt_cgroup_stats(s->l->cgroups, s->kit.cgroup, &c, &err) == 0) {
        out->memory_bytes = c.memory_bytes;
        out->memory_limit = c.memory_limit;
        out->cpu_usec = c.cpu_usec;
        out->pids = c.pids;
        out->oom_kills = c.oom_kills;
    }
    char path[32];
    struct dt_disk_usage u;
    (void)snprintf(path, sizeof(path), "/proc/%d/root", (int)s->box.pid);
    DT_AUTO_FD int root = open(path, O_PATH | O_CLOEXEC);
    DT_AUTO_FD int dir = folder_open(s);
    if (root >= 0 && dir >= 0 && dt_disk_usage(s->l->disks, dir, root, &u, &err) == 0) {
        out->disk_used = u.used_bytes;
        out->disk_total = u.total_bytes;
    }
}

void dt_sandbox_stats(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s == NULL && !dt_sandbox_on_host(l, r->id)) {
        refuse(l, r, asked, DT_LW_NOT_FOUND, "there is no sandbox with this id");
        return;
    }
    struct dt_lw_answer a;
    dt_answer_init(&a, asked, r->id, NULL);
    if (s != NULL && (s->state == DT_RUNNING || s->state == DT_STOPPING))
        fill_stats(s, &a.u.stats);
    dt_peer_answer(l, asked, &a);
}

/* --- changes of what runs --- */

static int limit_running(struct dt_sandbox *s, const struct dt_lw_spec *spec, struct dt_err *err)
{
    struct dt_launcher *l = s->l;
    struct dt_cgroup_stats now;
    const struct dt_cgroup_limits limits = {
        .memory_bytes = spec->memory_bytes, .cpu_millis = spec->cpu_millis, .pids = spec->pids};
    /* The kernel would end processes to come below a limit. */
    if (dt_cgroup_stats(l->cgroups, s->kit.cgroup, &now, err) < 0)
        return -1;
    if (now.memory_bytes > spec->memory_bytes)
        return dt_err_set(err, DT_E_CONFLICT, "it uses more memory than that just now");
    return dt_cgroup_limit(l->cgroups, s->kit.cgroup, &limits, err);
}

/* NULL when it was answered. */
static struct dt_sandbox *running(struct dt_launcher *l, const struct dt_lw_request *r,
                                  struct dt_asked *asked)
{
    struct dt_sandbox *s = dt_sandbox_find(l, r->id);
    if (s != NULL && s->state == DT_RUNNING)
        return s;
    refuse(l, r, asked, s == NULL ? DT_LW_NOT_FOUND : DT_LW_BUSY,
           s == NULL ? "the sandbox does not run" : "the sandbox is just starting or ending");
    return NULL;
}

void dt_sandbox_resize(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_err err;
    if (dt_sandbox_find(l, r->id) == NULL) {
        dt_errand_grow(l, r, asked);
        return;
    }
    struct dt_sandbox *s = running(l, r, asked);
    if (s != NULL) {
        int rc = limit_running(s, &r->spec, &err);
        dt_peer_reply(l, asked, r->id, rc < 0 ? &err : NULL);
    }
}

void dt_sandbox_network(struct dt_launcher *l, const struct dt_lw_request *r,
                        struct dt_asked *asked)
{
    struct dt_err err;
    struct dt_sandbox *s = running(l, r, asked);
    if (s == NULL)
        return;
    struct dt_lw_spec spec = r->spec;
    s->spec = &spec; /* it has none of its own any more */
    int rc = dt_launch_rules(s, &err);
    if (rc == 0)
        rc = change_record(s, set_rules, &err);
    s->spec = NULL;
    dt_peer_reply(l, asked, r->id, rc < 0 ? &err : NULL);
}

void dt_sandbox_pause(struct dt_launcher *l, const struct dt_lw_request *r, struct dt_asked *asked)
{
    struct dt_sandbox *s = running(l, r, asked);
    if (s == NULL)
        return;
    if (r->op == DT_LW_PAUSE)
        dt_freeze_pause(s, asked);
    else
        dt_freeze_resume(s, asked);
}

static struct dt_sandbox *find_job(struct dt_launcher *l, const struct dt_job *job,
                                   enum dt_sandbox_state state)
{
    struct dt_sandbox *s = *bucket(l, job->id);
    while (s != NULL && (s->disk_job != job->serial || s->state != state))
        s = s->next;
    return s;
}

void dt_sandbox_on_kit(struct dt_launcher *l, const struct dt_err *err)
{
    struct dt_sandbox *s = l->first_waiting;
    if (s == NULL || (err == NULL && !dt_pool_kit(l, &s->kit)))
        return;
    wait_no_more(s);
    if (err != NULL) {
        fail(s, err);
        return;
    }
    s->box = s->kit.box;
    launch(s);
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
        fail(s, &err);
        return true;
    }
    s->disk = (struct dt_pool_disk){done->job.serial, done->job.bytes, fds[0], fds[1]};
    launch(s);
    return true;
}

bool dt_sandbox_on_volume(struct dt_launcher *l, const struct dt_job_done *done, int mount)
{
    struct dt_sandbox *s = *bucket(l, done->job.id);
    while (s != NULL && (s->state != DT_WAITING || !dt_volumes_take(&s->volumes, done, mount)))
        s = s->next;
    if (s == NULL)
        return false;
    if (done->code == DT_OK) {
        launch(s);
        return true;
    }
    struct dt_err err;
    (void)dt_err_set(&err, (enum dt_err_code)done->code, "%s", done->text);
    fail(s, &err);
    return true;
}

bool dt_sandbox_has_volume(const struct dt_launcher *l, const uint8_t id[16])
{
    for (unsigned i = 0; i < DT_SANDBOX_BUCKETS; i++) {
        for (const struct dt_sandbox *s = l->sandboxes_by_id[i]; s != NULL; s = s->next) {
            for (unsigned k = 0; !s->gone && k < s->volumes.n; k++) {
                if (memcmp(s->volumes.ids[k], id, sizeof(s->volumes.ids[k])) == 0)
                    return true;
            }
        }
    }
    return false;
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
    finish(s);
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
                    finish(s);
                else
                    fail(s, &err);
            }
            s = next;
        }
    }
}

int dt_sandbox_adopt(struct dt_launcher *l, const uint8_t id[16], const struct dt_record *r,
                     int pidfd, struct dt_err *err)
{
    DT_AUTO_FD int fd = pidfd;
    struct dt_sandbox *s = sandbox_new(l, id);
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
    s->timer = (struct dt_timer){.fn = on_timer, .ctx = s};
    if (watch_box(s, err) < 0) {
        sandbox_free(s);
        return -1;
    }
    if (r->creating)
        mark_created(s);
    dt_freeze_adopt(s, r->paused != 0);
    return 0;
}

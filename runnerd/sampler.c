#include "runnerd/sampler.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/boot.h"
#include "runnerd/store_log.h"

/* Two readings make a sample, and the start is one; the first need not wait for a minute. */
enum { CALL_MS = 5000, APART_MS = 200, EARLY_MS = 5000 };

static bool runs(const struct dt_live *l)
{
    return l->state == DT_SANDBOX_STARTED || l->state == DT_SANDBOX_PAUSED;
}

static float cpu_percent(const struct dt_live *l, uint64_t usec, uint64_t ms)
{
    double may = (double)ms * (double)l->cpu_millis; /* microseconds */
    double percent = may > 0 ? 100 * (double)usec / may : 0;
    return (float)(percent < 100 ? percent : 100);
}

static void add(struct dt_runnerd *rd, struct dt_live *l, const struct dt_lw_stats *s,
                uint64_t usec, uint64_t ms)
{
    struct dt_err err;
    uint64_t cache = s->cache_bytes < s->memory_bytes ? s->cache_bytes : s->memory_bytes;
    const struct dt_sample sample = {
        .at_ms = dt_clock_real_ms(),
        .span_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX,
        .values =
            {
                [DT_GAUGE_CPU_PERCENT] = cpu_percent(l, usec, ms),
                [DT_GAUGE_CPU_COUNT] = (float)l->cpu_millis / 1000,
                [DT_GAUGE_MEMORY_USED] = (float)(s->memory_bytes - cache),
                [DT_GAUGE_MEMORY_LIMIT] = (float)s->memory_limit,
                [DT_GAUGE_MEMORY_CACHE] = (float)cache,
                [DT_GAUGE_DISK_USED] = (float)s->disk_used,
                [DT_GAUGE_DISK_TOTAL] = (float)s->disk_total,
            },
    };
    if (dt_telemetry_add_sample(&rd->live.telemetry, &l->telemetry, &sample, &err) < 0)
        dt_log(DT_LOG_WARN, "history", "sandbox", l->id, "err", err.msg, NULL);
}

/* --- processes that were killed --- */

struct kills {
    char id[DT_UUID_SIZE];
    int64_t at_ms, memory_mib;
    uint64_t n;
};

static int kills_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    const struct kills *k = arg;
    char body[DT_LOG_BODY_MAX];
    (void)snprintf(body, sizeof(body),
                   "%" PRIu64 " of its processes ran out of memory (%" PRId64
                   " MiB in all) and %s killed: give it more memory, or do less at once",
                   k->n, k->memory_mib, k->n == 1 ? "was" : "were");
    const struct dt_log_entry e = {.at_ms = k->at_ms,
                                   .severity = DT_SEVERITY_ERROR,
                                   .operation = "oom",
                                   .by_server = true,
                                   .body = body};
    return dt_store_log_add(c, k->id, &e, err);
}

static void kills_done(void *arg, const struct dt_err *err)
{
    const struct kills *k = arg;
    if (err != NULL)
        dt_log(DT_LOG_WARN, "log", "sandbox", k->id, "err", err->msg, NULL);
    free(arg);
}

static void note_kills(struct dt_runnerd *rd, const struct dt_live *l, uint64_t n)
{
    struct dt_err err;
    struct kills *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return;
    memcpy(k->id, l->id, sizeof(k->id));
    k->at_ms = dt_clock_real_ms();
    k->memory_mib = l->memory_mib;
    k->n = n;
    if (dt_db_submit(rd->db, kills_job, k, kills_done, &err) < 0)
        kills_done(k, &err);
}

/* --- one reading --- */

/* Its control groups are new, so nobody has to read them to know what they say. */
void dt_sampler_started(struct dt_live *l)
{
    l->reading =
        (struct dt_live_reading){.at_ms = dt_clock_ms(), .starts = l->starts, .is_start = true};
}

/* Whether it made a sample: of the time since the last reading of the same start. */
static bool take(struct dt_runnerd *rd, struct dt_live *l, const struct dt_lw_stats *s,
                 uint64_t asked_ms)
{
    const struct dt_live_reading last = l->reading;
    bool follows = last.at_ms != 0 && last.starts == l->starts && s->cpu_usec >= last.cpu_usec;
    uint64_t apart = follows && asked_ms > last.at_ms ? asked_ms - last.at_ms : 0;
    if (s->memory_limit == 0) /* it has just ended */
        return false;
    if (follows && apart < APART_MS)
        return false;
    l->reading = (struct dt_live_reading){
        .at_ms = asked_ms, .starts = l->starts, .cpu_usec = s->cpu_usec, .oom_kills = s->oom_kills};
    if (follows && s->oom_kills > last.oom_kills)
        note_kills(rd, l, s->oom_kills - last.oom_kills);
    if (follows)
        add(rd, l, s, s->cpu_usec - last.cpu_usec, apart);
    return follows;
}

static int ask(struct dt_runnerd *rd, const char *id, dt_launcher_done *done, void *ctx,
               struct dt_err *err)
{
    struct dt_lw_request r = {.op = DT_LW_STATS};
    (void)dt_uuid_bytes(id, r.id);
    return dt_launcher_client_call(rd->launcher, &r, -1, CALL_MS, done, ctx, err);
}

/* NULL: nothing was read. */
static const struct dt_lw_stats *stats_of(const struct dt_lw_answer *a)
{
    struct dt_err why;
    return a != NULL && dt_launcher_result(a, &why) == 0 ? &a->u.stats : NULL;
}

/* --- by the clock --- */

/* One at a time, so that no request for the launcher waits for more than one reading. */
struct round {
    struct dt_runnerd *rd;
    uint64_t asked_ms;
    size_t n, next;
    char ids[][DT_UUID_SIZE];
};

static void go_on(struct round *r);

static void on_read(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct round *r = ctx;
    const struct dt_lw_stats *s = stats_of(a);
    struct dt_live *l = dt_live_by_id(&r->rd->live, r->ids[r->next++]);
    (void)err;
    if (l != NULL && runs(l) && s != NULL)
        (void)take(r->rd, l, s, r->asked_ms);
    go_on(r);
}

static void go_on(struct round *r)
{
    struct dt_err err;
    r->asked_ms = dt_clock_ms();
    if (r->next < r->n && ask(r->rd, r->ids[r->next], on_read, r, &err) == 0)
        return;
    r->rd->sampling = false;
    free(r);
}

static bool is_due(const struct dt_live *l, uint64_t now_ms)
{
    return runs(l) && !l->busy &&
           (l->reading.starts != l->starts || l->reading.is_start ||
            now_ms - l->reading.at_ms >= DT_SAMPLER_EVERY_MS - EARLY_MS);
}

void dt_sampler_run(struct dt_runnerd *rd)
{
    uint64_t now = dt_clock_ms();
    if (rd->sampling || !dt_launcher_client_is_up(rd->launcher))
        return;
    struct round *r = calloc(1, sizeof(*r) + rd->live.count * sizeof(r->ids[0]));
    if (r == NULL)
        return;
    r->rd = rd;
    for (const struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l)) {
        if (is_due(l, now))
            memcpy(r->ids[r->n++], l->id, sizeof(l->id));
    }
    rd->sampling = true;
    go_on(r);
}

/* --- at once --- */

/* ASKED, then perhaps WAITING and ASKED once more. */
struct wish {
    struct dt_runnerd *rd;
    void (*done)(void *ctx);
    void *ctx;
    uint64_t asked_ms;
    bool second;
    char id[DT_UUID_SIZE];
    uv_timer_t pause;
};

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void over(struct wish *w)
{
    w->done(w->ctx);
    uv_close((uv_handle_t *)&w->pause, on_closed);
}

static void on_wished(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err);

static void on_pause(uv_timer_t *t)
{
    struct wish *w = t->data;
    struct dt_err err;
    w->second = true;
    w->asked_ms = dt_clock_ms();
    if (ask(w->rd, w->id, on_wished, w, &err) < 0)
        over(w);
}

static void on_wished(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct wish *w = ctx;
    const struct dt_lw_stats *s = stats_of(a);
    struct dt_live *l = dt_live_by_id(&w->rd->live, w->id);
    (void)err;
    bool more = l != NULL && runs(l) && s != NULL && !take(w->rd, l, s, w->asked_ms);
    if (more && !w->second)
        (void)uv_timer_start(&w->pause, on_pause, APART_MS, 0);
    else
        over(w);
}

int dt_sampler_read(struct dt_runnerd *rd, struct dt_live *l, void (*done)(void *ctx), void *ctx,
                    struct dt_err *err)
{
    uint64_t now = dt_clock_ms();
    size_t n;
    (void)dt_history_samples(l->telemetry.history, &n);
    bool fresh = n > 0 && l->reading.starts == l->starts && !l->reading.is_start &&
                 now - l->reading.at_ms < DT_SAMPLER_FRESH_MS;
    if (!runs(l) || fresh || !dt_launcher_client_is_up(rd->launcher))
        return 1;
    struct wish *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    w->rd = rd;
    w->done = done;
    w->ctx = ctx;
    w->asked_ms = now;
    memcpy(w->id, l->id, sizeof(w->id));
    if (ask(rd, w->id, on_wished, w, err) < 0) {
        free(w);
        return -1;
    }
    (void)uv_timer_init(rd->loop, &w->pause);
    w->pause.data = w;
    return 0;
}

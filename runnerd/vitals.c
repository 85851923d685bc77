#include "runnerd/vitals.h"

#include "base/clock.h"
#include "gen/toolbox_api.h"
#include "runnerd/boot.h"
#include "runnerd/forward.h"

enum { CALL_MS = 5000 };

/* ASKED -> WAITING -> ASKED -> over. Lives until it is over and the exchange is, too. */
struct vitals {
    struct dt_runnerd *rd;
    struct dt_http_req *req; /* NULL: the exchange is over */
    bool over;               /* no step is under way */
    const char *source;
    uint8_t id[16];
    int64_t cpu_millis;
    bool second;
    uint64_t asked_ms, first_ms;
    uint64_t first_usec;
    uv_timer_t pause;
};

bool dt_vitals_asked(struct dt_http_req *req, struct dt_str target)
{
    const struct dt_str want = DT_STR("/system/metrics");
    struct dt_str path;
    return dt_str_eq(dt_http_req_method(req), DT_STR("GET")) && dt_str_cut(&target, '?', &path) &&
           dt_str_eq(path, want);
}

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

static void close_when_over(struct vitals *v)
{
    if (v->over && v->req == NULL)
        uv_close((uv_handle_t *)&v->pause, on_closed);
}

static void on_gone(void *ctx, bool complete)
{
    struct vitals *v = ctx;
    (void)complete;
    v->req = NULL;
    close_when_over(v);
}

static void end(struct vitals *v)
{
    v->over = true;
    close_when_over(v);
}

static void fail(struct vitals *v, const struct dt_err *err)
{
    if (v->req != NULL)
        dt_reply_error(v->req, err, v->source);
    end(v);
}

static double cpu_percent(const struct vitals *v, uint64_t usec)
{
    double ms = (double)(v->asked_ms - v->first_ms);
    double used = usec > v->first_usec ? (double)(usec - v->first_usec) / 1000 : 0;
    double percent =
        ms > 0 && v->cpu_millis > 0 ? 100 * used / ms * 1000 / (double)v->cpu_millis : 0;
    return percent < 100 ? percent : 100;
}

static json_t *describe(const struct vitals *v, const struct dt_lw_stats *s)
{
    char now[DT_CLOCK_ISO_SIZE];
    int64_t real = dt_clock_real_ms();
    uint64_t cache = s->cache_bytes < s->memory_bytes ? s->cache_bytes : s->memory_bytes;
    const struct dt_tb_system_metrics m = {
        .cpu_count = (double)v->cpu_millis / 1000,
        .cpu_used_pct = cpu_percent(v, s->cpu_usec),
        .mem_total = (int64_t)s->memory_limit,
        .mem_used = (int64_t)(s->memory_bytes - cache),
        .mem_cache = (int64_t)cache,
        .disk_total = (int64_t)s->disk_total,
        .disk_used = (int64_t)s->disk_used,
        .disk_free = s->disk_total > s->disk_used ? (int64_t)(s->disk_total - s->disk_used) : 0,
        .timestamp = dt_clock_iso(real, now),
        .timestamp_unix = real / 1000,
    };
    return dt_tb_system_metrics_print(&m);
}

static void answer(struct vitals *v, const struct dt_lw_stats *s)
{
    struct dt_err err;
    DT_AUTO_JSON json_t *j = describe(v, s);
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, 4096);
    if (j == NULL || dt_json_write(j, &text, NULL) < 0) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        fail(v, &err);
        return;
    }
    dt_http_req_reply(v->req, 200, "application/json; charset=utf-8", text.p, text.n);
    end(v);
}

static void ask(struct vitals *v);

static void on_pause(uv_timer_t *t)
{
    struct vitals *v = t->data;
    v->second = true;
    if (v->req == NULL)
        end(v);
    else
        ask(v);
}

static void on_stats(void *ctx, const struct dt_lw_answer *a, const struct dt_err *failed)
{
    struct vitals *v = ctx;
    struct dt_err err;
    if (a == NULL || dt_launcher_result(a, &err) < 0) {
        fail(v, a == NULL ? failed : &err);
    } else if (v->req == NULL) {
        end(v);
    } else if (a->u.stats.memory_limit == 0) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST, "the sandbox does not run any more: start it");
        fail(v, &err);
    } else if (v->second) {
        answer(v, &a->u.stats);
    } else {
        v->first_usec = a->u.stats.cpu_usec;
        v->first_ms = v->asked_ms;
        (void)uv_timer_start(&v->pause, on_pause, DT_VITALS_APART_MS, 0);
    }
}

static void ask(struct vitals *v)
{
    struct dt_err err;
    struct dt_lw_request r = {.op = DT_LW_STATS};
    memcpy(r.id, v->id, sizeof(r.id));
    v->asked_ms = dt_clock_ms();
    if (dt_launcher_client_call(v->rd->launcher, &r, -1, CALL_MS, on_stats, v, &err) < 0)
        fail(v, &err);
}

void dt_vitals_serve(struct dt_runnerd *rd, struct dt_http_req *req, const struct dt_live *l,
                     const char *source)
{
    struct dt_err err;
    struct vitals *v = calloc(1, sizeof(*v));
    if (v == NULL || dt_uuid_bytes(l->id, v->id) < 0) {
        free(v);
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_reply_error(req, &err, source);
        return;
    }
    v->rd = rd;
    v->req = req;
    v->source = source;
    v->cpu_millis = l->cpu_millis;
    (void)uv_timer_init(rd->loop, &v->pause);
    v->pause.data = v;
    dt_http_req_on_done(req, on_gone, v);
    ask(v);
}

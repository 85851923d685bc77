#include "mcp/recall.h"

enum {
    SLOTS = 64,
    TARGET_MAX = 512,
    ANSWER_MAX = 64 * 1024,
    MEMO_MAX = 16 * 1024 * 1024, /* never reached by what is made of such an answer */
    SOON_MS = 1000,              /* a question is asked again, and how long an answer is kept */
    LASTS_MS = 90000,            /* above what the server grants */
    PAUSE_MS = 60000,            /* after a server refused */
};

struct slot {
    char target[TARGET_MAX];
    size_t target_n;
    uint64_t asked_ms;
    uint64_t kept_ms;
    uint64_t mark; /* 0: nothing kept */
    json_t *answer;
    struct dt_memo memo;
};

struct dt_recall {
    uv_loop_t *loop;
    struct dt_http_call *call; /* sandbox-changes; NULL: not watched */
    bool open;                 /* its head came: from here on every change is told */
    bool silent;               /* nothing came, as the kernel said in this turn of the loop */
    bool freed;
    uint64_t mark; /* counts what was told, and every begin and end */
    uint64_t next_ms;
    uv_prepare_t turn;
    struct slot *last; /* asked for */
    struct slot slots[SLOTS];
};

static bool is_for(const struct slot *s, struct dt_str target)
{
    return dt_str_eq(dt_str(s->target, s->target_n), target);
}

/* The only place where `target` may be kept. */
static struct slot *slot_of(struct dt_recall *r, struct dt_str target)
{
    uint32_t h = 2166136261U;
    if (is_for(r->last, target))
        return r->last;
    for (size_t i = 0; i < target.n; i++)
        h = (h ^ (unsigned char)target.p[i]) * 16777619U;
    return r->last = &r->slots[h % SLOTS];
}

static void empty(struct slot *s)
{
    json_decref(s->answer);
    s->answer = NULL;
    s->mark = 0;
    s->memo.key = NULL;
    dt_buf_done(&s->memo.text);
}

/* --- the connection --- */

static void on_turn(uv_prepare_t *h)
{
    dt_recall_stir(h->data);
}

static void on_head(void *ctx, int status, const struct dt_http_header *h, size_t n)
{
    struct dt_recall *r = ctx;
    (void)h;
    (void)n;
    r->open = status == 200;
    if (!r->open)
        r->next_ms = uv_now(r->loop) + PAUSE_MS;
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct dt_recall *r = ctx;
    (void)p;
    (void)n;
    r->mark++;
}

static void on_turn_closed(uv_handle_t *h)
{
    struct dt_recall *r = h->data;
    for (size_t i = 0; i < SLOTS; i++)
        empty(&r->slots[i]);
    free(r);
}

static void on_done(void *ctx, const struct dt_err *err)
{
    struct dt_recall *r = ctx;
    (void)err;
    r->call = NULL;
    r->open = false;
    r->mark++;
    (void)uv_prepare_stop(&r->turn);
    if (r->freed)
        uv_close((uv_handle_t *)&r->turn, on_turn_closed);
}

static void watch(struct dt_recall *r, struct dt_http_client *http, const char *base)
{
    char target[256];
    struct dt_err err;
    size_t n = strlen(base);
    if (n + sizeof("/sandbox-changes") > sizeof(target))
        return;
    memcpy(target, base, n);
    memcpy(target + n, "/sandbox-changes", sizeof("/sandbox-changes"));
    const struct dt_http_call_opts opts = {.method = "GET",
                                           .target = dt_str_z(target),
                                           .host = "localhost",
                                           .total_ms = LASTS_MS,
                                           .on_head = on_head,
                                           .on_data = on_data,
                                           .on_done = on_done,
                                           .ctx = r};
    if (dt_http_call_start(http, &opts, &r->call, &err) < 0) {
        r->next_ms = uv_now(r->loop) + PAUSE_MS;
        return;
    }
    r->silent = false;
    (void)uv_prepare_start(&r->turn, on_turn);
}

/* --- life --- */

struct dt_recall *dt_recall_new(uv_loop_t *loop)
{
    struct dt_recall *r = calloc(1, sizeof(*r));
    if (r == NULL)
        abort();
    r->loop = loop;
    r->mark = 1;
    r->last = r->slots;
    (void)uv_prepare_init(loop, &r->turn);
    uv_unref((uv_handle_t *)&r->turn);
    r->turn.data = r;
    for (size_t i = 0; i < SLOTS; i++)
        dt_buf_init(&r->slots[i].memo.text, MEMO_MAX);
    return r;
}

struct dt_recall *dt_recall_free(struct dt_recall *r)
{
    if (r == NULL)
        return NULL;
    r->freed = true;
    if (r->call != NULL)
        dt_http_call_cancel(r->call);
    else
        uv_close((uv_handle_t *)&r->turn, on_turn_closed);
    return NULL;
}

void dt_recall_stir(struct dt_recall *r)
{
    r->silent = false;
}

void dt_recall_forget(struct dt_recall *r)
{
    r->mark++;
    r->next_ms = 0;
    if (r->call != NULL)
        dt_http_call_cancel(r->call);
}

/* --- answers --- */

json_t *dt_recall_get(struct dt_recall *r, struct dt_str target, struct dt_memo **memo)
{
    struct slot *s = slot_of(r, target);
    if (!r->open || s->mark != r->mark || uv_now(r->loop) - s->kept_ms >= SOON_MS ||
        !is_for(s, target))
        return NULL;
    if (!r->silent && !dt_http_call_is_quiet(r->call))
        return NULL;
    r->silent = true;
    *memo = &s->memo;
    return s->answer;
}

uint64_t dt_recall_ask(struct dt_recall *r, struct dt_http_client *http, const char *base,
                       struct dt_str target)
{
    struct slot *s = slot_of(r, target);
    uint64_t now = uv_now(r->loop);
    if (target.n > sizeof(s->target))
        return 0;
    bool again = is_for(s, target) && now - s->asked_ms < SOON_MS;
    if (!is_for(s, target)) {
        empty(s);
        memcpy(s->target, target.p, target.n);
        s->target_n = target.n;
    }
    s->asked_ms = now;
    if (again && r->call == NULL && now >= r->next_ms)
        watch(r, http, base);
    return r->open ? r->mark : 0;
}

void dt_recall_keep(struct dt_recall *r, struct dt_str target, uint64_t mark, json_t *answer,
                    size_t size)
{
    struct slot *s = slot_of(r, target);
    if (size > ANSWER_MAX || mark == 0 || mark != r->mark || !is_for(s, target))
        return;
    empty(s);
    s->answer = json_incref(answer);
    s->mark = mark;
    s->kept_ms = uv_now(r->loop);
}

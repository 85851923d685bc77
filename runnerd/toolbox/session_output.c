/* GET /process/session/{id}/command/{id}/output: what a command has printed since a place in its
 * log, for those who come back for more instead of holding a connection open. */
#include <math.h>

#include "base/utf8.h"
#include "toolbox/outcome.h"
#include "toolbox/reply.h"
#include "toolbox/session_reply.h"

enum { SETTLE_MS = 30, CHARACTER_MAX = 4 };

/*
 * WAITING  -> SETTLING | ANSWERED   nothing new, or not the end, and there is time
 * SETTLING -> ANSWERED              something came; what comes with it is waited for
 */
struct follower {
    struct dt_http_req *req; /* NULL once it is answered or the client is gone */
    struct dt_job *job;
    struct dt_job_reader reader;
    struct dt_tb_session_output_query in;
    uv_timer_t timer;
    uint64_t until_ms;
    bool settling;
};

/* A part of the log: how much of it, and which bytes came. */
struct part {
    struct dt_buf bytes;
    uint64_t first, end; /* in the output; `first` is later than asked for when bytes are lost */
    bool failed;
};

static void on_piece(void *ctx, enum dt_journal_stream stream, const char *p, size_t n)
{
    struct part *part = ctx;
    (void)stream;
    if (dt_buf_add(&part->bytes, p, n, NULL) < 0)
        part->failed = true;
}

static void read_part(struct dt_journal *j, uint64_t from, size_t most, struct part *part)
{
    struct dt_journal_cursor c;
    uint64_t lost = 0;
    dt_buf_init(&part->bytes, most);
    part->failed = false;
    dt_journal_seek(j, &c, from);
    part->first = c.payload;
    while (!part->failed && part->bytes.n < most && lost == 0 &&
           dt_journal_read_most(j, &c, most - part->bytes.n, &lost, on_piece, part))
        ;
    part->end = c.payload;
}

/* Characters are not cut. What is not whole comes with the next part; bytes that begin none are
 * never waited for. */
static void trim_end(struct part *part)
{
    for (size_t back = 1; back < CHARACTER_MAX && back <= part->bytes.n; back++) {
        unsigned char b = (unsigned char)part->bytes.p[part->bytes.n - back];
        if ((b & 0xc0) == 0x80)
            continue;
        size_t need = b >= 0xf5 ? 1 : b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc2 ? 2 : 1;
        if (need > back) {
            part->end -= back;
            part->bytes.n -= back;
        }
        return;
    }
}

static void trim_start(struct part *part)
{
    size_t n = 0;
    while (n < part->bytes.n && n < CHARACTER_MAX - 1 &&
           ((unsigned char)part->bytes.p[n] & 0xc0) == 0x80)
        n++;
    part->first += n;
    dt_buf_consume(&part->bytes, n);
}

static int set_text(json_t *to, const char *key, const struct part *part, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 3 * part->bytes.n + 1);
    if (part->failed)
        return dt_err_set(err, DT_E_NOMEM, "output");
    if (part->bytes.n > 0 && dt_utf8_repair(&clean, dt_buf_str(&part->bytes), err) < 0)
        return -1;
    dt_outcome_set_text(to, key, dt_buf_str(&clean));
    return 0;
}

static json_t *make(const struct follower *f, const struct part *head, const struct part *tail,
                    struct dt_err *err)
{
    bool cut = tail->end > head->end;
    uint64_t cursor = (uint64_t)f->in.cursor;
    const struct dt_tb_session_output out = {
        .output = "",
        .tail = "",
        .omitted = cut ? (int64_t)(tail->first - head->end) : 0,
        .resume = (int64_t)head->end,
        .cursor = (int64_t)(cut ? tail->end : head->end),
        .lost = head->first > cursor ? (int64_t)(head->first - cursor) : 0,
        .exit_code = dt_job_exit_code(f->job),
        .has_exit_code = dt_job_is_over(f->job),
    };
    json_t *j = dt_tb_session_output_print(&out);
    if (j == NULL || set_text(j, "output", head, err) < 0 ||
        (cut && set_text(j, "tail", tail, err) < 0))
        return dt_json_free(j);
    return j;
}

/* Returns whether there is anything to say; *ret is NULL for want of memory. */
static bool look(const struct follower *f, json_t **ret)
{
    struct dt_err err;
    struct dt_journal *j = dt_job_journal(f->job);
    size_t limit = (size_t)f->in.limit;
    struct part head, tail = {.end = 0};
    struct dt_journal_cursor first;
    dt_journal_seek(j, &first, (uint64_t)f->in.cursor);
    uint64_t total = dt_journal_total(j);
    bool over = dt_job_is_over(f->job), cut = total - first.payload > limit;
    dt_buf_init(&tail.bytes, 0);
    read_part(j, first.payload, cut ? limit / 2 : limit, &head);
    if (cut)
        read_part(j, total - (limit - limit / 2), limit - limit / 2, &tail);
    if (cut || !over)
        trim_end(&head);
    if (cut)
        trim_start(&tail);
    if (cut && !over)
        trim_end(&tail);
    bool news = over || head.end > head.first;
    *ret = make(f, &head, &tail, &err);
    dt_buf_done(&head.bytes);
    dt_buf_done(&tail.bytes);
    return news;
}

static void on_timer_closed(uv_handle_t *h)
{
    struct follower *f = h->data;
    dt_job_unref(f->job);
    dt_tb_session_output_query_done(&f->in);
    free(f);
}

static void on_done(void *ctx, bool complete)
{
    struct follower *f = ctx;
    (void)complete;
    f->req = NULL;
    dt_job_read_stop(f->job, &f->reader);
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

/* Answers if there is a reason to; `late`: there is no time left. */
static void answer(struct follower *f, bool late)
{
    json_t *j;
    bool news = look(f, &j);
    if (news || late || j == NULL)
        dt_reply_json(f->req, 200, j); /* on_done may have come */
    else
        json_decref(j);
}

static void on_timer(uv_timer_t *t)
{
    struct follower *f = t->data;
    uint64_t now_ms = uv_now(t->loop);
    bool late = now_ms >= f->until_ms;
    f->settling = false;
    if (!late)
        (void)uv_timer_start(t, on_timer, f->until_ms - now_ms, 0);
    answer(f, late);
}

static void on_news(void *ctx)
{
    struct follower *f = ctx;
    if (dt_job_is_over(f->job)) {
        answer(f, true);
    } else if (!f->in.until_end && !f->settling) {
        f->settling = true;
        (void)uv_timer_start(&f->timer, on_timer, SETTLE_MS, 0);
    }
}

static void start(struct follower *f)
{
    json_t *j;
    bool over = dt_job_is_over(f->job), news = look(f, &j);
    uint64_t wait_ms = (uint64_t)ceil(f->in.wait * 1000);
    if (over || wait_ms == 0 || j == NULL || (news && !f->in.until_end)) {
        dt_reply_json(f->req, 200, j);
        return;
    }
    json_decref(j);
    f->until_ms = uv_now(f->timer.loop) + wait_ms;
    f->reader = (struct dt_job_reader){.on_news = on_news, .ctx = f};
    dt_job_read(f->job, &f->reader);
    (void)uv_timer_start(&f->timer, on_timer, wait_ms, 0);
}

void dt_op_session_output(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    struct dt_err err;
    struct dt_job *job;
    struct dt_tb_session_output_query in;
    if (dt_tb_session_output_query_parse_query(dt_http_req_query(req), &in, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    struct follower *f = NULL;
    if (dt_session_find_path(segments, &job, &err) != NULL && (f = calloc(1, sizeof(*f))) == NULL)
        (void)dt_err_set(&err, DT_E_NOMEM, "reading the output");
    if (f == NULL) {
        dt_tb_session_output_query_done(&in);
        dt_reply_error(req, &err);
        return;
    }
    *f = (struct follower){.req = req, .job = dt_job_ref(job), .in = in};
    (void)uv_timer_init(tb->loop, &f->timer);
    f->timer.data = f;
    dt_http_req_on_done(req, on_done, f);
    start(f);
}

/* Logs over a WebSocket. */
#include "net/ws_conn.h"
#include "toolbox/logtext.h"
#include "toolbox/reply.h"
#include "toolbox/session_reply.h"

enum { FRAME_MAX = 8 * 1024, HELD_MAX = 1024 };

struct log_socket {
    struct dt_ws_conn *ws;
    struct dt_job *job;
    struct dt_job_reader reader;
    struct dt_logtext text;
    struct dt_buf out; /* what is not sent yet */
    bool follow, full, closing;
};

static void on_message(void *ctx, enum dt_ws_opcode kind, struct dt_str message)
{
    (void)ctx;
    (void)kind;
    (void)message; /* there is nothing to say to a log */
}

static void on_close(void *ctx, int code, struct dt_str reason)
{
    struct log_socket *s = ctx;
    (void)code;
    (void)reason;
    dt_job_read_stop(s->job, &s->reader);
    dt_job_unref(s->job);
    dt_buf_done(&s->out);
    free(s);
}

static void hang_up(struct log_socket *s, int code)
{
    s->closing = true;
    dt_ws_conn_close(s->ws, code, (struct dt_str){NULL, 0});
}

static bool is_marker_byte(char c)
{
    return c == 1 || c == 2;
}

/* How much of it to send in one frame: clients take a marker for output when a frame ends with it,
 * or one byte of its kind behind it. */
static size_t frame_end(struct dt_str bytes)
{
    size_t most = bytes.n < FRAME_MAX ? bytes.n : FRAME_MAX, n = most;
    while (n > 0 && is_marker_byte(bytes.p[n - 1]))
        n--;
    return n > 0 || most < HELD_MAX ? n : most;
}

/* Sends what can be; the rest stays for what comes next. */
static void send_frames(struct log_socket *s, bool last)
{
    struct dt_str bytes = dt_buf_str(&s->out);
    while (bytes.n > 0) {
        size_t n = frame_end(bytes);
        if (n == 0 && last)
            n = bytes.n;
        if (n == 0)
            break;
        s->full = !dt_ws_conn_send(s->ws, DT_WS_BINARY, dt_str(bytes.p, n));
        bytes = dt_str(bytes.p + n, bytes.n - n);
    }
    dt_buf_consume(&s->out, s->out.n - bytes.n);
    if (s->out.n == 0)
        dt_buf_done(&s->out);
}

static void pump(void *ctx)
{
    struct log_socket *s = ctx;
    while (!s->full && !s->closing) {
        int got = dt_logtext_next(&s->text, dt_job_journal(s->job), &s->out, NULL);
        bool last = got == 0 && !(s->follow && !dt_job_is_over(s->job));
        if (got < 0) {
            hang_up(s, DT_WS_FAILURE);
            break;
        }
        send_frames(s, last);
        if (last)
            hang_up(s, DT_WS_NORMAL);
        else if (got == 0)
            break;
    }
}

static void on_drain(void *ctx)
{
    struct log_socket *s = ctx;
    s->full = false;
    pump(s);
}

static const struct dt_ws_events events = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_close = on_close,
};

void dt_session_socket(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_job *job,
                       bool combined, bool follow)
{
    struct dt_err err;
    struct log_socket *s = calloc(1, sizeof(*s));
    const struct dt_ws_opts opts = {
        .events = &events,
        .ctx = s,
        .group = &tb->sockets,
        .protocol = dt_ws_offered(req, DT_STR("X-Daytona-SDK-Version~")),
    };
    if (s == NULL)
        (void)dt_err_set(&err, DT_E_NOMEM, "socket");
    if (s == NULL || dt_ws_conn_upgrade(req, &opts, &s->ws, &err) < 0) {
        free(s);
        dt_reply_error(req, &err);
        return;
    }
    s->job = dt_job_ref(job);
    s->follow = follow;
    dt_buf_init(&s->out, HELD_MAX + (size_t)DT_LOGTEXT_PART_MAX);
    s->reader = (struct dt_job_reader){.on_news = pump, .ctx = s};
    dt_logtext_init(&s->text, combined ? DT_LOGTEXT_COMBINED : DT_LOGTEXT_MARKED, false);
    if (!follow)
        s->text.until = dt_journal_end(dt_job_journal(job));
    dt_job_read(job, &s->reader);
    pump(s);
}

#include "toolbox/lsp_peer.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/rand.h"
#include "toolbox/lsp_answer.h"
#include "toolbox/lsp_frame.h"
#include "toolbox/process.h"

enum {
    DEPTH_MAX = 128,
    EXIT_MS = 200,      /* between the end of its output and its own, whose status tells more */
    ERRORS_KEPT = 2048, /* bytes of the end of standard error */
    ERRORS_SHOWN = 300, /* of those in a message to the client */
    LARGE = 256 * 1024, /* bytes of a message whose memory is given back at once */
    METHOD_MISSING = -32601,
};

enum pipe { IN, OUT, ERRORS, PIPES };

struct dt_lsp_peer {
    uint64_t closed_ms; /* its output ended; 0: not yet */
    bool over;          /* nobody hears of it any more; what is left of it goes */
    bool reaped;
    int handles; /* open ones of libuv */
    uint64_t heard_ms;
    struct dt_lsp_calls calls;
    struct dt_lsp_frame frame;
    uv_pipe_t pipes[PIPES];
    uv_timer_t timer; /* the earliest deadline; stopped when nothing waits */
    struct dt_buf errors;
    struct dt_process_watch watch;
    pid_t pid;
    char marker[64];
    char *root_uri;
    void (*on_end)(void *ctx, const struct dt_err *why);
    void *ctx;
};

struct message {
    uv_write_t write;
    char text[];
};

/* --- going away --- */

static char *read_buffer; /* of all peers; there while there are any */
static unsigned alive;

static void release(struct dt_lsp_peer *p)
{
    if (p->handles > 0 || !p->reaped)
        return;
    dt_lsp_frame_done(&p->frame);
    dt_buf_done(&p->errors);
    free(p->root_uri);
    free(p);
    if (--alive > 0)
        return;
    free(read_buffer);
    read_buffer = NULL;
    (void)malloc_trim(0);
}

static void on_closed(uv_handle_t *h)
{
    struct dt_lsp_peer *p = h->data;
    p->handles--;
    release(p);
}

static void close_handle(uv_handle_t *h)
{
    if (h->data != NULL && !uv_is_closing(h))
        uv_close(h, on_closed);
}

static void end(struct dt_lsp_peer *p, const struct dt_err *why, bool tell)
{
    p->over = true;
    /* Also when it ended by itself: its helpers may not have. */
    dt_process_kill_tree(p->pid, p->marker);
    for (int i = 0; i < PIPES; i++)
        close_handle((uv_handle_t *)&p->pipes[i]);
    close_handle((uv_handle_t *)&p->timer);
    if (tell)
        p->on_end(p->ctx, why);
    dt_lsp_calls_fail(&p->calls, why);
}

void dt_lsp_peer_kill(struct dt_lsp_peer *p)
{
    struct dt_err why;
    (void)dt_err_set(&why, DT_E_GONE, "the language server was stopped");
    if (!p->over)
        end(p, &why, false);
}

/* The last line that says something: interpreters print the reason behind the trace. */
static struct dt_str last_words(const struct dt_lsp_peer *p)
{
    struct dt_str rest = dt_buf_str(&p->errors), line, last = {NULL, 0};
    while (dt_str_cut(&rest, '\n', &line)) {
        line = dt_str_trim(line);
        if (line.n > 0)
            last = line;
    }
    if (last.n > ERRORS_SHOWN)
        last.n = ERRORS_SHOWN;
    return last;
}

static void end_by_itself(struct dt_lsp_peer *p, const char *what)
{
    struct dt_err why;
    if (p->over)
        return;
    struct dt_str words = last_words(p);
    (void)dt_err_set(&why, DT_E_UNREACHABLE, "the language server %s%s%.*s", what,
                     words.n > 0 ? "; it printed: " : "", (int)words.n, words.n > 0 ? words.p : "");
    end(p, &why, true);
}

static void keep_errors(struct dt_lsp_peer *p, const char *text, size_t n)
{
    if (n > ERRORS_KEPT) {
        text += n - ERRORS_KEPT;
        n = ERRORS_KEPT;
    }
    if (p->errors.n + n > ERRORS_KEPT)
        dt_buf_consume(&p->errors, p->errors.n + n - ERRORS_KEPT);
    if (n > 0 && dt_buf_add(&p->errors, text, n, NULL) < 0)
        dt_buf_clear(&p->errors);
}

static void on_exit_status(void *ctx, int status)
{
    struct dt_lsp_peer *p = ctx;
    char what[64], text[ERRORS_KEPT];
    p->reaped = true;
    if (p->over) {
        release(p);
        return;
    }
    int fd;
    ssize_t n;
    /* What it wrote last is still in the pipe. Bounded: its children may write on. */
    for (int i = 0; i < 32 && uv_fileno((uv_handle_t *)&p->pipes[ERRORS], &fd) == 0 &&
                    (n = read(fd, text, sizeof(text))) > 0;
         i++)
        keep_errors(p, text, (size_t)n);
    if (WIFEXITED(status))
        (void)snprintf(what, sizeof(what), "ended with status %d", WEXITSTATUS(status));
    else
        (void)snprintf(what, sizeof(what), "was ended by signal %d", WTERMSIG(status));
    end_by_itself(p, what);
}

/* --- sending --- */

static void on_written(uv_write_t *w, int status)
{
    struct dt_lsp_peer *p = w->handle->data;
    free(w); /* a message begins with it */
    if (status < 0 && status != UV_ECANCELED)
        end_by_itself(p, "does not read its input any more");
}

static int send_text(struct dt_lsp_peer *p, struct dt_str body, struct dt_err *err)
{
    char head[64];
    size_t nhead = (size_t)snprintf(head, sizeof(head), "Content-Length: %zu\r\n\r\n", body.n);
    uv_stream_t *to = (uv_stream_t *)&p->pipes[IN];
    if (uv_stream_get_write_queue_size(to) + body.n > DT_LSP_UNSENT_MAX)
        return dt_err_set(err, DT_E_LIMIT, "the language server does not read what it is sent");
    struct message *m = malloc(sizeof(*m) + nhead + body.n);
    if (m == NULL)
        return dt_err_set(err, DT_E_NOMEM, "message to the language server");
    memcpy(m->text, head, nhead);
    memcpy(m->text + nhead, body.p, body.n);
    uv_buf_t buf = uv_buf_init(m->text, (unsigned)(nhead + body.n));
    int r = uv_write(&m->write, to, &buf, 1, on_written);
    if (r == 0)
        return 0;
    free(m);
    return dt_err_set(err, DT_E_UNREACHABLE, "language server: %s", uv_strerror(r));
}

/* Takes `m`. */
static int send_message(struct dt_lsp_peer *p, json_t *m, struct dt_err *err)
{
    DT_AUTO_JSON json_t *own = m;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, DT_LSP_UNSENT_MAX);
    if (p->over)
        return dt_err_set(err, DT_E_GONE, "the language server was stopped");
    if (own == NULL || json_object_set_new(own, "jsonrpc", json_string("2.0")) < 0)
        return dt_err_set(err, DT_E_NOMEM, "message to the language server");
    if (dt_json_write(own, &text, err) < 0)
        return -1;
    return send_text(p, dt_buf_str(&text), err);
}

int dt_lsp_peer_notify(struct dt_lsp_peer *p, const char *method, json_t *params,
                       struct dt_err *err)
{
    return send_message(p, json_pack("{s:s, s:o}", "method", method, "params", params), err);
}

/* --- calls --- */

static void on_timer(uv_timer_t *t);

static void set_timer(struct dt_lsp_peer *p)
{
    if (p->over)
        return;
    uint64_t first = dt_lsp_calls_deadline(&p->calls), now = dt_clock_ms();
    if (p->closed_ms > 0 && p->closed_ms + EXIT_MS < first)
        first = p->closed_ms + EXIT_MS;
    uv_update_time(p->timer.loop);
    if (first == UINT64_MAX)
        (void)uv_timer_stop(&p->timer);
    else
        (void)uv_timer_start(&p->timer, on_timer, first > now ? first - now : 1, 0);
}

static void tell_cancelled(struct dt_lsp_peer *p, uint64_t number)
{
    struct dt_err err; /* who cannot be told will see that nobody reads the answer */
    if (dt_lsp_peer_notify(p, "$/cancelRequest", json_pack("{s:I}", "id", (json_int_t)number),
                           &err) < 0)
        return;
}

static void on_timer(uv_timer_t *t)
{
    struct dt_lsp_peer *p = t->data;
    uint64_t now = dt_clock_ms();
    bool silent = false;
    struct dt_lsp_call *c;
    while (!p->over && (c = dt_lsp_calls_take_late(&p->calls, now)) != NULL) {
        struct dt_err err;
        silent = silent || p->heard_ms < c->sent_ms;
        (void)dt_err_set(&err, DT_E_TIMEOUT, "the language server did not answer within %.3g s",
                         (double)(c->deadline_ms - c->sent_ms) / 1000);
        tell_cancelled(p, c->number);
        c->answer(c->ctx, NULL, &err);
        free(c);
    }
    if (p->closed_ms > 0 && now >= p->closed_ms + EXIT_MS)
        end_by_itself(p, "closed its output");
    else if (silent)
        end_by_itself(p, "hung and was ended");
    set_timer(p);
}

uint64_t dt_lsp_peer_call(struct dt_lsp_peer *p, const char *method, json_t *params,
                          uint64_t timeout_ms, dt_lsp_answer *answer, void *ctx, struct dt_err *err)
{
    DT_AUTO_JSON json_t *own = params;
    uint64_t number = dt_lsp_calls_add(&p->calls, dt_clock_ms(), timeout_ms, answer, ctx, err);
    if (number == 0)
        return 0;
    json_t *m =
        json_pack("{s:I, s:s, s:O}", "id", (json_int_t)number, "method", method, "params", own);
    if (send_message(p, m, err) < 0) {
        free(dt_lsp_calls_take(&p->calls, number));
        return 0;
    }
    set_timer(p);
    return number;
}

void dt_lsp_peer_cancel(struct dt_lsp_peer *p, uint64_t number)
{
    struct dt_lsp_call *c = dt_lsp_calls_take(&p->calls, number);
    if (c == NULL)
        return;
    free(c);
    tell_cancelled(p, number);
    set_timer(p);
}

/* --- receiving --- */

static void on_request(struct dt_lsp_peer *p, const json_t *m, const char *method, json_t *id)
{
    struct dt_err err;
    json_t *result = dt_lsp_answer_make(method, json_object_get(m, "params"), p->root_uri);
    json_t *reply = result != NULL
                        ? json_pack("{s:O, s:o}", "id", id, "result", result)
                        : json_pack("{s:O, s:{s:i, s:s}}", "id", id, "error", "code",
                                    METHOD_MISSING, "message", "the client has no such method");
    if (send_message(p, reply, &err) < 0)
        end_by_itself(p, "asks and does not read the answers");
}

static void on_response(struct dt_lsp_peer *p, const json_t *m, const json_t *id)
{
    json_int_t number = json_is_integer(id) ? json_integer_value(id) : 0;
    struct dt_lsp_call *c = number > 0 ? dt_lsp_calls_take(&p->calls, (uint64_t)number) : NULL;
    if (c == NULL)
        return; /* cancelled or late */
    const json_t *failure = json_object_get(m, "error");
    json_t *result = json_object_get(m, "result");
    struct dt_err err;
    if (json_is_object(failure))
        (void)dt_err_set(&err, DT_E_BAD_REQUEST, "the language server refused: %.400s",
                         dt_json_text(failure, "message", "without a reason"));
    if (json_is_object(failure))
        c->answer(c->ctx, NULL, &err);
    else
        c->answer(c->ctx, result != NULL ? result : json_null(), NULL);
    free(c);
    set_timer(p);
}

static int on_message(struct dt_lsp_peer *p, struct dt_str text, struct dt_err *err)
{
    DT_AUTO_JSON json_t *m = dt_json_parse(text, DEPTH_MAX, err);
    if (m == NULL)
        return -1;
    json_t *id = json_object_get(m, "id");
    const char *method = dt_json_text(m, "method", NULL);
    if (id != NULL && method != NULL)
        on_request(p, m, method, id);
    else if (id != NULL)
        on_response(p, m, id);
    return 0;
}

static void on_output(struct dt_lsp_peer *p, const char *bytes, size_t n)
{
    struct dt_err err;
    struct dt_str message;
    bool large = false;
    int r = dt_lsp_frame_add(&p->frame, bytes, n, &err);
    p->heard_ms = dt_clock_ms();
    while (r == 0 && !p->over && (r = dt_lsp_frame_next(&p->frame, &message, &err)) > 0) {
        large = large || message.n > LARGE;
        r = on_message(p, message, &err);
    }
    if (large)
        (void)malloc_trim(0);
    if (r >= 0)
        return;
    char what[192];
    (void)snprintf(what, sizeof(what), "was ended, as it sent what is no message: %.120s", err.msg);
    end_by_itself(p, what);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    if (read_buffer == NULL)
        read_buffer = malloc(DT_LSP_PIECE_MAX);
    *buf = uv_buf_init(read_buffer, read_buffer != NULL ? DT_LSP_PIECE_MAX : 0);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct dt_lsp_peer *p = s->data;
    bool output = s == (uv_stream_t *)&p->pipes[OUT];
    if (n > 0 && output)
        on_output(p, buf->base, (size_t)n);
    else if (n > 0)
        keep_errors(p, buf->base, (size_t)n);
    if (n >= 0)
        return;
    (void)uv_read_stop(s);
    if (!output || p->over)
        return;
    p->closed_ms = dt_clock_ms();
    set_timer(p);
}

/* --- starting --- */

static int open_pipe(struct dt_lsp_peer *p, uv_loop_t *loop, enum pipe i, int *theirs,
                     struct dt_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    int ours = i == IN ? ends[1] : ends[0];
    *theirs = i == IN ? ends[0] : ends[1];
    (void)uv_pipe_init(loop, &p->pipes[i], 0);
    p->pipes[i].data = p;
    p->handles++;
    int r = uv_pipe_open(&p->pipes[i], ours);
    if (r < 0)
        (void)close(ours);
    else if (i != IN)
        r = uv_read_start((uv_stream_t *)&p->pipes[i], on_alloc, on_read);
    return r < 0 ? dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r)) : 0;
}

static int spawn(struct dt_lsp_peer *p, struct dt_toolbox *tb, const struct dt_lsp_peer_opts *o,
                 struct dt_err *err)
{
    DT_AUTO_FD int in = -1;
    DT_AUTO_FD int out = -1;
    DT_AUTO_FD int errors = -1;
    const char *more[] = {p->marker, NULL};
    DT_AUTO_FREE char **env = dt_guest_env(&tb->guest, NULL, more, err);
    if (env == NULL || open_pipe(p, tb->loop, IN, &in, err) < 0 ||
        open_pipe(p, tb->loop, OUT, &out, err) < 0 ||
        open_pipe(p, tb->loop, ERRORS, &errors, err) < 0)
        return -1;
    const struct dt_process_opts process = {
        .argv = o->argv,
        .env = env,
        .cwd = o->cwd,
        .in = in,
        .out = out,
        .errors = errors,
        .extra = {-1, -1},
        .oom_fd = tb->guest.oom_fd,
    };
    if (dt_process_spawn(&process, &p->pid, err) < 0)
        return -1;
    dt_process_watch(&p->watch, p->pid, on_exit_status, p);
    return 0;
}

int dt_lsp_peer_start(struct dt_toolbox *tb, const struct dt_lsp_peer_opts *o,
                      struct dt_lsp_peer **ret, struct dt_err *err)
{
    char random[25];
    struct dt_lsp_peer *p = calloc(1, sizeof(*p));
    if (p == NULL || (p->root_uri = strdup(o->root_uri)) == NULL) {
        free(p);
        return dt_err_set(err, DT_E_NOMEM, "language server");
    }
    alive++;
    dt_rand_alnum(random, 24);
    (void)snprintf(p->marker, sizeof(p->marker), "DAYTONA_COMMAND_ID=%s", random);
    dt_lsp_frame_init(&p->frame);
    dt_buf_init(&p->errors, ERRORS_KEPT);
    (void)uv_timer_init(tb->loop, &p->timer);
    p->timer.data = p;
    p->handles = 1;
    p->on_end = o->on_end;
    p->ctx = o->ctx;
    if (spawn(p, tb, o, err) < 0) {
        p->over = p->reaped = true;
        for (int i = 0; i < PIPES; i++)
            close_handle((uv_handle_t *)&p->pipes[i]);
        close_handle((uv_handle_t *)&p->timer);
        return -1;
    }
    *ret = p;
    return 0;
}

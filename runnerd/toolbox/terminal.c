#include "toolbox/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/log.h"
#include "base/rand.h"
#include "toolbox/process.h"

enum {
    KILL_MS = 2000,        /* a killed program that does not die is in the kernel's hands */
    TRY_MS = 100,          /* input that waits is offered again, should no event come */
    REST_MAX = 256 * 1024, /* of what was printed before the end; the terminal holds less */
};

struct dt_terminal {
    int master;
    int slave; /* kept, so that output does not end while the program runs */
    bool paused, full, killed, over;
    bool eof; /* nothing more comes out */
    int armed, handles;
    struct dt_buf input;
    size_t input_at; /* taken so far */
    uv_poll_t poll;
    uv_timer_t timer;
    struct dt_process_watch watch;
    char marker[64];
    const struct dt_terminal_events *events;
    void *ctx;
};

static void on_poll(uv_poll_t *p, int status, int events);

static void update_poll(struct dt_terminal *t)
{
    int want = (t->paused || t->eof ? 0 : UV_READABLE) | (t->input.n > 0 ? UV_WRITABLE : 0);
    if (want == t->armed || t->over)
        return;
    t->armed = want;
    if (want == 0)
        (void)uv_poll_stop(&t->poll);
    else
        (void)uv_poll_start(&t->poll, want, on_poll);
}

/* --- the end --- */

static void on_handle_closed(uv_handle_t *h)
{
    struct dt_terminal *t = h->data;
    if (--t->handles == 0)
        free(t);
}

static void release(struct dt_terminal *t)
{
    t->over = true;
    dt_buf_done(&t->input);
    uv_close((uv_handle_t *)&t->timer, on_handle_closed);
    if (t->handles > 1)
        uv_close((uv_handle_t *)&t->poll, on_handle_closed);
    dt_closep(&t->slave);
    dt_closep(&t->master);
}

/* --- output --- */

/* Reads what is there, up to one piece. Returns its length; 0 when there is nothing now. */
static size_t read_some(struct dt_terminal *t, char *buf)
{
    size_t n = 0;
    while (n < DT_TERMINAL_READ_MAX) {
        ssize_t got = read(t->master, buf + n, DT_TERMINAL_READ_MAX - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0 || (got < 0 && errno != EAGAIN))
            t->eof = true;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    return n;
}

static void read_output(struct dt_terminal *t)
{
    char buf[DT_TERMINAL_READ_MAX];
    size_t n = read_some(t, buf);
    if (n > 0)
        t->events->on_output(t->ctx, buf, n);
}

static void on_exit_status(void *ctx, int status)
{
    struct dt_terminal *t = ctx;
    char buf[DT_TERMINAL_READ_MAX];
    size_t n;
    dt_closep(&t->slave);
    for (size_t all = 0; all < REST_MAX && (n = read_some(t, buf)) > 0; all += n)
        t->events->on_output(t->ctx, buf, n);
    release(t);
    t->events->on_exit(t->ctx, status);
}

/* --- input --- */

static void take_input(struct dt_terminal *t)
{
    while (t->input_at < t->input.n) {
        ssize_t n = write(t->master, t->input.p + t->input_at, t->input.n - t->input_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            n = (ssize_t)(t->input.n - t->input_at); /* nobody will ever read it */
        if (n <= 0)
            return;
        t->input_at += (size_t)n;
    }
    dt_buf_done(&t->input);
    t->input_at = 0;
    if (!t->full)
        return;
    t->full = false;
    t->events->on_drain(t->ctx);
}

static void on_timer(uv_timer_t *timer)
{
    struct dt_terminal *t = timer->data;
    if (t->killed) {
        dt_log(DT_LOG_WARN, "a killed terminal's program does not end", NULL);
        dt_process_forget(&t->watch);
        on_exit_status(t, SIGKILL);
        return;
    }
    take_input(t);
    update_poll(t);
    if (t->input.n > 0)
        (void)uv_timer_start(timer, on_timer, TRY_MS, 0);
}

bool dt_terminal_write(struct dt_terminal *t, const char *p, size_t n)
{
    while (n > 0 && t->input.n == 0) {
        ssize_t put = write(t->master, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            break;
        p += put;
        n -= (size_t)put;
    }
    if (n == 0)
        return true;
    dt_buf_consume(&t->input, t->input_at);
    t->input_at = 0;
    if (dt_buf_add(&t->input, p, n, NULL) < 0)
        dt_log(DT_LOG_WARN, "input of a terminal was dropped", NULL);
    if (!t->killed && !uv_is_active((uv_handle_t *)&t->timer))
        (void)uv_timer_start(&t->timer, on_timer, TRY_MS, 0);
    update_poll(t);
    t->full = t->input.n > DT_TERMINAL_INPUT_MARK;
    return !t->full;
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct dt_terminal *t = p->data;
    if (status < 0 || (events & (UV_READABLE | UV_DISCONNECT)) != 0)
        read_output(t);
    if ((events & UV_WRITABLE) != 0)
        take_input(t);
    update_poll(t);
}

/* --- what the owner does --- */

void dt_terminal_pause(struct dt_terminal *t)
{
    t->paused = true;
    update_poll(t);
}

void dt_terminal_resume(struct dt_terminal *t)
{
    t->paused = false;
    update_poll(t);
}

void dt_terminal_resize(struct dt_terminal *t, unsigned short cols, unsigned short rows)
{
    const struct winsize size = {.ws_col = cols, .ws_row = rows};
    (void)ioctl(t->master, TIOCSWINSZ, &size);
}

void dt_terminal_kill(struct dt_terminal *t)
{
    if (t->killed)
        return;
    t->killed = true;
    dt_process_kill_tree(t->watch.pid, t->marker);
    (void)uv_timer_start(&t->timer, on_timer, KILL_MS, 0);
}

void dt_terminal_hang_up(struct dt_terminal *t)
{
    if (t->watch.pid > 0)
        (void)kill(t->watch.pid, SIGHUP);
}

/* --- the start --- */

static int open_pair(struct dt_terminal *t, const struct dt_terminal_opts *o, struct dt_err *err)
{
    int unlock = 0;
    struct termios mode;
    t->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (t->master < 0 && errno == ENOSPC)
        return dt_err_set(err, DT_E_LIMIT,
                          "the sandbox has no terminal left: end PTYs that nobody uses any more");
    if (t->master < 0)
        return dt_err_errno(err, "open a terminal (/dev/ptmx)");
    if (ioctl(t->master, TIOCSPTLCK, &unlock) < 0)
        return dt_err_errno(err, "unlock a terminal");
    t->slave = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (t->slave < 0)
        return dt_err_errno(err, "open the other end of a terminal");
    if (tcgetattr(t->slave, &mode) == 0) {
        mode.c_iflag |= IUTF8; /* erasing takes whole characters */
        (void)tcsetattr(t->slave, TCSANOW, &mode);
    }
    dt_terminal_resize(t, o->cols, o->rows);
    return 0;
}

static int spawn(struct dt_terminal *t, struct dt_toolbox *tb, const struct dt_terminal_opts *o,
                 struct dt_err *err)
{
    const char *const more[] = {t->marker, NULL};
    DT_AUTO_FREE char **env = dt_guest_env(&tb->guest, o->env, more, err);
    if (env == NULL)
        return -1;
    const struct dt_process_opts p = {
        .argv = o->argv,
        .env = env,
        .cwd = o->cwd,
        .in = t->slave,
        .out = t->slave,
        .errors = t->slave,
        .terminal = true,
        .extra = {-1, -1},
        .oom_fd = tb->guest.oom_fd,
    };
    pid_t pid;
    if (dt_process_spawn(&p, &pid, err) < 0)
        return -1;
    dt_process_watch(&t->watch, pid, on_exit_status, t);
    return 0;
}

static int begin(struct dt_terminal *t, struct dt_toolbox *tb, const struct dt_terminal_opts *o,
                 struct dt_err *err)
{
    if (open_pair(t, o, err) < 0)
        return -1;
    int r = uv_poll_init(tb->loop, &t->poll, t->master);
    if (r < 0)
        return dt_err_set(err, DT_E_SYSTEM, "watch a terminal: %s", uv_strerror(r));
    t->poll.data = t;
    t->handles++;
    return spawn(t, tb, o, err);
}

int dt_terminal_start(struct dt_toolbox *tb, const struct dt_terminal_opts *o,
                      struct dt_terminal **ret, struct dt_err *err)
{
    char random[25];
    struct dt_terminal *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return dt_err_set(err, DT_E_NOMEM, "terminal");
    t->master = t->slave = -1;
    t->events = o->events;
    t->ctx = o->ctx;
    dt_buf_init(&t->input, DT_TERMINAL_INPUT_MAX);
    dt_rand_alnum(random, 24);
    (void)snprintf(t->marker, sizeof(t->marker), "DAYTONA_COMMAND_ID=%s", random);
    (void)uv_timer_init(tb->loop, &t->timer);
    t->timer.data = t;
    t->handles = 1;
    if (begin(t, tb, o, err) < 0) {
        release(t);
        return -1;
    }
    update_poll(t);
    *ret = t;
    return 0;
}

#include "toolbox/pty.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "gen/toolbox_api.h"
#include "toolbox/pty_text.h"
#include "toolbox/shell.h"
#include "toolbox/terminal.h"

enum { COLS = 80, ROWS = 24, STALL_TICK_MS = DT_PTY_STALL_MS / 3, STALL_TICKS = 3 };

struct dt_pty_viewer {
    struct dt_pty_viewer *next; /* of its PTY */
    struct dt_pty *pty;         /* NULL: none yet, or it has ended */
    struct dt_ws_conn *ws;
    bool exit_control;
    bool full;     /* its queue is above the mark */
    bool waits;    /* paused: the terminal's input is full */
    size_t queued; /* at the last look at who stalls */
};

struct dt_pty {
    struct dt_pty *next;
    struct dt_toolbox *tb;
    struct dt_terminal *terminal; /* NULL until it starts */
    struct dt_pty_viewer *viewers;
    unsigned nviewers, stalls;
    uv_timer_t timer; /* runs while output is held back */
    char id[DT_PTY_ID_MAX + 1];
    char *cwd;
    json_t *envs;
    unsigned short cols, rows;
    int64_t created_ms;
    bool lazy, held;
    struct dt_buf output; /* the last of it; twice the scrollback at most */
    bool cut;             /* `output` does not begin with the first byte */
};

static struct dt_pty *list; /* newest first */
static unsigned count, all_viewers;

static struct ended {
    char id[DT_PTY_ID_MAX + 1];
} ended[DT_PTY_ENDED];
static unsigned next_ended;

/* --- ids --- */

static bool has_ended(struct dt_str id)
{
    for (size_t i = 0; i < DT_PTY_ENDED; i++) {
        if (dt_str_eq(dt_str_z(ended[i].id), id))
            return true;
    }
    return false;
}

static void remember(const char *id)
{
    if (has_ended(dt_str_z(id)))
        return;
    (void)snprintf(ended[next_ended].id, sizeof(ended[0].id), "%s", id);
    next_ended = (next_ended + 1) % DT_PTY_ENDED;
}

static void forget(const char *id)
{
    for (size_t i = 0; i < DT_PTY_ENDED; i++) {
        if (strcmp(ended[i].id, id) == 0)
            ended[i].id[0] = '\0';
    }
}

static struct dt_pty *by_id(struct dt_str id)
{
    struct dt_pty *p = list;
    while (p != NULL && !dt_str_eq(dt_str_z(p->id), id))
        p = p->next;
    return p;
}

int dt_pty_find(struct dt_str id, struct dt_pty **ret, struct dt_err *err)
{
    struct dt_pty *p = by_id(id);
    if (p == NULL && has_ended(id))
        return dt_err_set(err, DT_E_GONE, "PTY session '%.*s' has ended", (int)id.n, id.p);
    if (p == NULL)
        return dt_err_set(err, DT_E_NOT_FOUND, "PTY session not found");
    *ret = p;
    return 0;
}

static void unlist(const struct dt_pty *p)
{
    for (struct dt_pty **at = &list; *at != NULL; at = &(*at)->next) {
        if (*at != p)
            continue;
        *at = p->next;
        count--;
        remember(p->id);
        return;
    }
}

/* --- viewers --- */

static void update_flow(struct dt_pty *p);

static void unlink_viewer(struct dt_pty_viewer *v)
{
    if (v->pty == NULL)
        return;
    for (struct dt_pty_viewer **at = &v->pty->viewers; *at != NULL; at = &(*at)->next) {
        if (*at != v)
            continue;
        *at = v->next;
        v->pty->nviewers--;
        break;
    }
    v->pty = NULL;
}

static void on_message(void *ctx, enum dt_ws_opcode kind, struct dt_str message)
{
    const struct dt_pty_viewer *v = ctx;
    (void)kind; /* text and bytes alike are what is typed */
    if (v->pty == NULL || v->pty->terminal == NULL ||
        dt_terminal_write(v->pty->terminal, message.p, message.n))
        return;
    for (struct dt_pty_viewer *each = v->pty->viewers; each != NULL; each = each->next) {
        each->waits = true;
        dt_ws_conn_pause(each->ws);
    }
}

static void on_viewer_drain(void *ctx)
{
    struct dt_pty_viewer *v = ctx;
    v->full = false;
    if (v->pty != NULL)
        update_flow(v->pty);
}

static void on_viewer_close(void *ctx, int code, struct dt_str reason)
{
    struct dt_pty_viewer *v = ctx;
    struct dt_pty *p = v->pty;
    (void)code;
    (void)reason;
    unlink_viewer(v);
    all_viewers--;
    free(v);
    if (p != NULL)
        update_flow(p);
}

static const struct dt_ws_events viewer_events = {on_message, on_viewer_drain, on_viewer_close};

int dt_pty_viewer_new(struct dt_toolbox *tb, struct dt_http_req *req, struct dt_pty_viewer **ret,
                      struct dt_err *err)
{
    struct dt_pty_viewer *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return dt_err_set(err, DT_E_NOMEM, "PTY viewer");
    struct dt_ws_opts o = {
        .events = &viewer_events,
        .ctx = v,
        .group = &tb->sockets,
        .protocol = dt_ws_offered(req, DT_STR(DT_PTY_EXIT_CONTROL)),
        .message_max = DT_PTY_FRAME_MAX,
        .queue_max = DT_PTY_LAG_MAX,
    };
    v->exit_control = dt_str_eq(o.protocol, DT_STR(DT_PTY_EXIT_CONTROL));
    if (dt_ws_conn_upgrade(req, &o, &v->ws, err) < 0) {
        free(v);
        return -1;
    }
    all_viewers++;
    *ret = v;
    return 0;
}

void dt_pty_viewer_refuse(struct dt_pty_viewer *v, const struct dt_err *why)
{
    struct dt_pty_text room;
    (void)dt_ws_conn_send(v->ws, DT_WS_TEXT, dt_pty_failed(why->msg, &room));
    dt_ws_conn_close(v->ws, DT_WS_FAILURE, DT_STR("{\"error\":\"no such terminal\"}"));
}

/* --- what is printed --- */

/* Cuts only when twice as much is there, so that a byte is moved once. */
static void keep(struct dt_pty *p, const char *bytes, size_t n)
{
    if (p->output.n + n > p->output.max) {
        dt_buf_consume(&p->output, p->output.n - DT_PTY_SCROLLBACK);
        p->cut = true;
    }
    if (dt_buf_add(&p->output, bytes, n, NULL) < 0)
        dt_log(DT_LOG_WARN, "output of a PTY was not kept", NULL);
}

/* The last of it, and not from within a line or an escape sequence. */
static struct dt_str scrollback(const struct dt_pty *p)
{
    struct dt_str s = dt_buf_str(&p->output);
    bool cut = p->cut || s.n > DT_PTY_SCROLLBACK;
    if (s.n > DT_PTY_SCROLLBACK)
        s = dt_str(s.p + s.n - DT_PTY_SCROLLBACK, DT_PTY_SCROLLBACK);
    const char *line = cut ? memchr(s.p, '\n', s.n) : NULL;
    return line == NULL ? s : dt_str(line + 1, s.n - (size_t)(line + 1 - s.p));
}

static void show(struct dt_pty_viewer *v, struct dt_str bytes)
{
    while (bytes.n > 0) {
        size_t n = bytes.n < DT_TERMINAL_READ_MAX ? bytes.n : DT_TERMINAL_READ_MAX;
        if (!dt_ws_conn_send(v->ws, DT_WS_BINARY, dt_str(bytes.p, n)))
            v->full = true;
        bytes = dt_str(bytes.p + n, bytes.n - n);
    }
}

static void drop_stalled(struct dt_pty *p)
{
    for (struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next) {
        if (v->full)
            dt_ws_conn_close(v->ws, DT_WS_POLICY, DT_STR("slow consumer"));
    }
}

static void on_stall_tick(uv_timer_t *t)
{
    struct dt_pty *p = t->data;
    bool moves = false;
    for (struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next) {
        size_t queued = dt_ws_conn_queued(v->ws);
        moves = moves || queued < v->queued;
        v->queued = queued;
    }
    p->stalls = moves ? 0 : p->stalls + 1;
    if (p->stalls < STALL_TICKS)
        return;
    drop_stalled(p);
    update_flow(p);
}

static bool all_are_full(const struct dt_pty *p)
{
    unsigned open = 0;
    for (const struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next) {
        if (!dt_ws_conn_is_open(v->ws))
            continue;
        if (!v->full)
            return false;
        open++;
    }
    return open > 0;
}

static void update_flow(struct dt_pty *p)
{
    bool hold = all_are_full(p);
    if (hold == p->held || p->terminal == NULL)
        return;
    p->held = hold;
    if (!hold) {
        (void)uv_timer_stop(&p->timer);
        dt_terminal_resume(p->terminal);
        return;
    }
    dt_terminal_pause(p->terminal);
    p->stalls = 0;
    (void)uv_timer_start(&p->timer, on_stall_tick, STALL_TICK_MS, STALL_TICK_MS);
}

static void on_output(void *ctx, const char *bytes, size_t n)
{
    struct dt_pty *p = ctx;
    keep(p, bytes, n);
    for (struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next)
        show(v, dt_str(bytes, n));
    update_flow(p);
}

static void on_input_drain(void *ctx)
{
    const struct dt_pty *p = ctx;
    for (struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next) {
        if (v->waits)
            dt_ws_conn_resume(v->ws);
        v->waits = false;
    }
}

/* --- life --- */

static void on_timer_closed(uv_handle_t *h)
{
    struct dt_pty *p = h->data;
    dt_buf_done(&p->output);
    json_decref(p->envs);
    free(p->cwd);
    free(p);
    if (count == 0)
        (void)malloc_trim(0);
}

static void pty_free(struct dt_pty *p)
{
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

static void on_shell_exit(void *ctx, int status)
{
    struct dt_pty *p = ctx;
    int code = dt_pty_exit_code(status);
    struct dt_pty_text room;
    unlist(p);
    while (p->viewers != NULL) {
        struct dt_pty_viewer *v = p->viewers;
        if (v->exit_control)
            (void)dt_ws_conn_send(v->ws, DT_WS_TEXT, dt_pty_exited(code, &room));
        dt_ws_conn_close(v->ws, code == 0 ? DT_WS_NORMAL : DT_WS_FAILURE,
                         dt_pty_close_reason(code, &room));
        unlink_viewer(v);
    }
    pty_free(p);
}

static const struct dt_terminal_events terminal_events = {on_output, on_input_drain, on_shell_exit};

/* What the shell finds over the guest's own: its kind of terminal, and itself. */
static json_t *shell_env(const struct dt_pty *p, const char *shell)
{
    json_t *j = p->envs != NULL ? json_copy(p->envs) : json_object();
    bool term = json_object_get(j, "TERM") != NULL;
    for (char **e = p->tb->guest.env; !term && *e != NULL; e++)
        term = dt_str_starts(dt_str_z(*e), DT_STR("TERM="));
    if ((!term && json_object_set_new(j, "TERM", json_string("xterm-256color")) < 0) ||
        (json_object_get(j, "SHELL") == NULL &&
         json_object_set_new(j, "SHELL", json_string(shell)) < 0)) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static int start(struct dt_pty *p, struct dt_err *err)
{
    const char *shell = dt_shell_login(p->tb->guest.user.shell, err);
    if (shell == NULL)
        return -1;
    DT_AUTO_JSON json_t *env = shell_env(p, shell);
    if (env == NULL)
        return dt_err_set(err, DT_E_NOMEM, "environment of a PTY");
    const char *const argv[] = {shell, "-i", "-l", NULL};
    const struct dt_terminal_opts o = {
        .argv = argv,
        .cwd = p->cwd,
        .env = env,
        .cols = p->cols,
        .rows = p->rows,
        .events = &terminal_events,
        .ctx = p,
    };
    return dt_terminal_start(p->tb, &o, &p->terminal, err);
}

static int check(const struct dt_pty_opts *o, struct dt_err *err)
{
    struct dt_str id = dt_str_z(o->id);
    if (dt_pty_check_id(id, err) < 0 || dt_pty_check_size(o->cols, o->rows, err) < 0 ||
        dt_env_check(o->envs, err) < 0)
        return -1;
    if (by_id(id) != NULL)
        return dt_err_set(err, DT_E_CONFLICT, "PTY session with ID '%s' already exists", o->id);
    if (count >= DT_PTYS_MAX)
        return dt_err_set(err, DT_E_LIMIT,
                          "the sandbox has %d PTYs, which is the most: delete those that are no "
                          "longer needed",
                          DT_PTYS_MAX);
    return 0;
}

static int check_cwd(const char *cwd, struct dt_err *err)
{
    struct stat st;
    if (stat(cwd, &st) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "working directory '%.300s': %s", cwd,
                          strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return dt_err_set(err, DT_E_BAD_REQUEST, "working directory '%.300s': not a directory",
                          cwd);
    return 0;
}

static struct dt_pty *make(struct dt_toolbox *tb, const struct dt_pty_opts *o)
{
    struct dt_pty *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->tb = tb;
    (void)snprintf(p->id, sizeof(p->id), "%s", o->id);
    p->envs = json_incref(o->envs);
    p->cols = (unsigned short)(o->cols > 0 ? o->cols : COLS);
    p->rows = (unsigned short)(o->rows > 0 ? o->rows : ROWS);
    p->created_ms = dt_clock_real_ms();
    p->lazy = o->lazy;
    dt_buf_init(&p->output, 2 * DT_PTY_SCROLLBACK);
    (void)uv_timer_init(tb->loop, &p->timer);
    p->timer.data = p;
    return p;
}

int dt_pty_new(struct dt_toolbox *tb, const struct dt_pty_opts *o, struct dt_pty **ret,
               struct dt_err *err)
{
    if (check(o, err) < 0)
        return -1;
    DT_AUTO_FREE char *cwd = dt_guest_cwd(&tb->guest, o->cwd, err);
    if (cwd == NULL || check_cwd(cwd, err) < 0 || dt_shell_login(tb->guest.user.shell, err) == NULL)
        return -1;
    struct dt_pty *p = make(tb, o);
    if (p == NULL)
        return dt_err_set(err, DT_E_NOMEM, "PTY");
    p->cwd = dt_take(cwd);
    if (!o->lazy && start(p, err) < 0) {
        pty_free(p);
        return -1;
    }
    forget(p->id);
    p->next = list;
    list = p;
    count++;
    if (ret != NULL)
        *ret = p;
    return 0;
}

void dt_pty_delete(struct dt_pty *p)
{
    unlist(p);
    if (p->terminal != NULL)
        dt_terminal_kill(p->terminal);
    else
        pty_free(p); /* nobody watches what has not started */
}

void dt_pty_hang_up(void)
{
    for (struct dt_pty *p = list; p != NULL; p = p->next) {
        if (p->terminal != NULL)
            dt_terminal_hang_up(p->terminal);
    }
}

void dt_pty_resize(struct dt_pty *p, int64_t cols, int64_t rows)
{
    p->cols = (unsigned short)cols;
    p->rows = (unsigned short)rows;
    if (p->terminal != NULL)
        dt_terminal_resize(p->terminal, p->cols, p->rows);
}

int dt_pty_viewer_join(struct dt_pty_viewer *v, struct dt_pty *p, struct dt_err *err)
{
    if (p->nviewers >= DT_PTY_VIEWERS_MAX || all_viewers > DT_PTYS_VIEWERS_MAX)
        return dt_err_set(err, DT_E_LIMIT,
                          "too many connections: at most %d to one PTY and %d to all of them",
                          DT_PTY_VIEWERS_MAX, DT_PTYS_VIEWERS_MAX);
    if (p->terminal == NULL && start(p, err) < 0)
        return -1;
    (void)dt_ws_conn_send(v->ws, DT_WS_TEXT, dt_pty_connected());
    show(v, scrollback(p));
    v->pty = p;
    v->next = p->viewers;
    p->viewers = v;
    p->nviewers++;
    update_flow(p);
    return 0;
}

/* --- what is told of them --- */

json_t *dt_pty_info(const struct dt_pty *p)
{
    char when[DT_CLOCK_ISO_SIZE];
    DT_AUTO_JSON json_t *none = json_object();
    const struct dt_tb_pty_info info = {
        .id = p->id,
        .cwd = p->cwd,
        .envs = p->envs != NULL ? p->envs : none,
        .cols = p->cols,
        .rows = p->rows,
        .created_at = dt_clock_iso(p->created_ms, when),
        .active = p->terminal != NULL,
        .lazy_start = p->lazy,
    };
    return dt_tb_pty_info_print(&info);
}

json_t *dt_pty_infos(void)
{
    DT_AUTO_JSON json_t *all = json_array();
    for (const struct dt_pty *p = list; p != NULL; p = p->next) {
        if (json_array_insert_new(all, 0, dt_pty_info(p)) < 0)
            return NULL;
    }
    return dt_take(all);
}

/* Who watches a PTY, and who is waited for. */
#include "toolbox/pty_impl.h"
#include "toolbox/pty_text.h"
#include "toolbox/sdk.h"

enum { STALL_TICK_MS = DT_PTY_STALL_MS / 3, STALL_TICKS = 3 };

static unsigned all_viewers;

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
    v->normal_end = dt_sdk_is_go(req);
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

void dt_pty_viewers_show(struct dt_pty *p, struct dt_str bytes)
{
    for (struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next)
        show(v, bytes);
    update_flow(p);
}

void dt_pty_viewers_resume(struct dt_pty *p)
{
    for (struct dt_pty_viewer *v = p->viewers; v != NULL; v = v->next) {
        if (v->waits)
            dt_ws_conn_resume(v->ws);
        v->waits = false;
    }
}

void dt_pty_viewers_init(struct dt_pty *p)
{
    (void)uv_timer_init(p->tb->loop, &p->timer);
    p->timer.data = p;
}

void dt_pty_viewers_end(struct dt_pty *p, int code)
{
    struct dt_pty_text room;
    while (p->viewers != NULL) {
        struct dt_pty_viewer *v = p->viewers;
        if (v->exit_control)
            (void)dt_ws_conn_send(v->ws, DT_WS_TEXT, dt_pty_exited(code, &room));
        dt_ws_conn_close(v->ws, code == 0 || v->normal_end ? DT_WS_NORMAL : DT_WS_FAILURE,
                         dt_pty_close_reason(code, &room));
        unlink_viewer(v);
    }
}

int dt_pty_viewer_join(struct dt_pty_viewer *v, struct dt_pty *p, struct dt_err *err)
{
    if (p->nviewers >= DT_PTY_VIEWERS_MAX || all_viewers > DT_PTYS_VIEWERS_MAX)
        return dt_err_set(err, DT_E_LIMIT,
                          "too many connections: at most %d to one PTY and %d to all of them",
                          DT_PTY_VIEWERS_MAX, DT_PTYS_VIEWERS_MAX);
    if (p->terminal == NULL && dt_pty_begin(p, err) < 0)
        return -1;
    (void)dt_ws_conn_send(v->ws, DT_WS_TEXT, dt_pty_connected());
    show(v, dt_scrollback_last(&p->output));
    v->pty = p;
    v->next = p->viewers;
    p->viewers = v;
    p->nviewers++;
    update_flow(p);
    return 0;
}

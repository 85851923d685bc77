#include "net/tunnel.h"

#include "net/conn_impl.h"

enum {
    TICK_MS = 10000,
    HALF_MS = 300000, /* without a byte, once one side has ended */
    FLUSH_MS = 30000, /* to take the last bytes, once the other end is gone */
};

struct side {
    struct dt_tunnel *tunnel;
    struct side *other;
    struct dt_conn *conn; /* NULL once closed */
    uint64_t bytes;       /* that came from it */
};

struct dt_tunnel {
    struct side a;
    struct side b;
    uv_timer_t timer; /* runs once one side has ended */
    void (*done)(void *ctx, uint64_t from_a, uint64_t from_b);
    void *ctx;
};

static void on_timer_closed(uv_handle_t *h)
{
    struct dt_tunnel *t = h->data;
    t->done(t->ctx, t->a.bytes, t->b.bytes);
    free(t);
}

static void check_side(const struct side *s, uint64_t limit_ms)
{
    if (s->conn != NULL && uv_now(s->conn->turn.loop) - s->conn->active_ms > limit_ms)
        dt_conn_close(s->conn);
}

static void on_tick(uv_timer_t *h)
{
    struct dt_tunnel *t = h->data;
    uint64_t limit_ms = t->a.conn == NULL || t->b.conn == NULL ? FLUSH_MS : HALF_MS;
    check_side(&t->a, limit_ms);
    check_side(&t->b, limit_ms);
}

static void watch(struct dt_tunnel *t)
{
    if (!uv_is_active((uv_handle_t *)&t->timer))
        (void)uv_timer_start(&t->timer, on_tick, TICK_MS, TICK_MS);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    struct side *s = ctx;
    s->bytes += n;
    if (s->other->conn != NULL && !dt_conn_write(s->other->conn, p, n))
        dt_conn_pause(s->conn);
}

static void on_drain(void *ctx)
{
    const struct side *s = ctx;
    if (s->other->conn != NULL)
        dt_conn_resume(s->other->conn);
}

static void on_eof(void *ctx)
{
    const struct side *s = ctx;
    if (s->other->conn != NULL)
        dt_conn_shutdown(s->other->conn);
    watch(s->tunnel);
}

static void on_close(void *ctx, const struct dt_err *err)
{
    (void)err;
    struct side *s = ctx;
    struct dt_conn *left = s->other->conn;
    s->conn = NULL;
    if (left == NULL) {
        uv_close((uv_handle_t *)&s->tunnel->timer, on_timer_closed);
    } else if (dt_conn_queued(left) == 0) {
        dt_conn_close(left);
    } else { /* the last bytes are still on their way */
        dt_conn_shutdown(left);
        dt_conn_resume(left);
        watch(s->tunnel);
    }
}

static const struct dt_conn_events events = {
    .on_data = on_data,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_close = on_close,
};

struct dt_tunnel *dt_tunnel_start(uv_loop_t *loop, const struct dt_tunnel_end *a,
                                  const struct dt_tunnel_end *b,
                                  void (*done)(void *ctx, uint64_t from_a, uint64_t from_b),
                                  void *ctx)
{
    struct dt_tunnel *t = calloc(1, sizeof(*t));
    if (t == NULL)
        abort(); /* both connections have left their owners: nobody could close them in order */
    t->a = (struct side){.tunnel = t, .other = &t->b, .conn = a->conn};
    t->b = (struct side){.tunnel = t, .other = &t->a, .conn = b->conn};
    t->done = done;
    t->ctx = ctx;
    (void)uv_timer_init(loop, &t->timer);
    t->timer.data = t;
    dt_conn_set_events(a->conn, &events, &t->a);
    dt_conn_set_events(b->conn, &events, &t->b);
    on_data(&t->a, a->early.p, a->early.n);
    on_data(&t->b, b->early.p, b->early.n);
    return t;
}

void dt_tunnel_close(struct dt_tunnel *t)
{
    if (t->a.conn != NULL)
        dt_conn_close(t->a.conn);
    if (t->b.conn != NULL)
        dt_conn_close(t->b.conn);
}

#include "base/log.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_events.h"

enum { LOOK_MS = 2000, SNAPSHOTS_MAX = 10000 };

struct seen {
    json_t *object; /* as the API shows it */
    bool again;     /* it is there in the next list, too */
};

struct list {
    struct seen *items;
    size_t n;
    int64_t count, updated_ms; /* of all rows: something changed when these do */
};

struct dt_snapshot_watch {
    struct dt_runnerd *rd; /* NULL: it is freed once the store has answered */
    uv_timer_t timer;
    bool looking; /* the store's thread has `next` */
    bool started; /* `now` holds what was there when the first listener came */
    struct list now, next;
};

static void list_clear(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        json_decref(l->items[i].object);
    free(l->items);
    *l = (struct list){0};
}

/* --- on the store's thread --- */

static int add(void *ctx, struct dt_snapshot_row *r, struct dt_err *err)
{
    struct list *l = ctx;
    struct seen *more = realloc(l->items, (l->n + 1) * sizeof(*more));
    json_t *object = more != NULL ? dt_api_snapshot_json(r) : NULL;
    if (more != NULL)
        l->items = more;
    if (object == NULL)
        return dt_err_set(err, DT_E_NOMEM, "snapshots");
    l->items[l->n++] = (struct seen){.object = object};
    return 0;
}

static int sum(struct dt_db_conn *c, struct list *l, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT count(*), coalesce(max(updated_ms), 0) FROM snapshot", NULL, &q,
                    err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0) {
        l->count = dt_db_int(q, 0);
        l->updated_ms = dt_db_int(q, 1);
    }
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

static bool same(const struct list *a, const struct list *b)
{
    return a->count == b->count && a->updated_ms == b->updated_ms;
}

static int look_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct dt_snapshot_watch *w = arg;
    const struct dt_snapshot_filter all = {.limit = SNAPSHOTS_MAX};
    int64_t total;
    if (sum(c, &w->next, err) < 0)
        return -1;
    if (w->started && same(&w->now, &w->next))
        return 0;
    return dt_store_snapshot_list(c, &all, add, &w->next, &total, err);
}

/* --- on the loop --- */

static struct seen *find(const struct list *l, const char *id)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(dt_json_text(l->items[i].object, "id", ""), id) == 0)
            return &l->items[i];
    }
    return NULL;
}

static void publish(struct dt_runnerd *rd, const char *name, json_t *data)
{
    dt_audience_send(rd, NULL, dt_rest_routes[DT_REST_SNAPSHOT_GET].permissions, name, data);
}

static void tell_one(struct dt_runnerd *rd, struct seen *before, json_t *object)
{
    const char *state = dt_json_text(object, "state", "");
    if (before == NULL) {
        publish(rd, "snapshot.created", json_incref(object));
        return;
    }
    const char *old = dt_json_text(before->object, "state", "");
    before->again = true;
    if (strcmp(old, state) != 0)
        publish(rd, "snapshot.state.updated",
                json_pack("{s:O,s:s,s:s}", "snapshot", object, "oldState", old, "newState", state));
}

static void tell(struct dt_snapshot_watch *w)
{
    for (size_t i = 0; i < w->next.n; i++) {
        json_t *object = w->next.items[i].object;
        tell_one(w->rd, find(&w->now, dt_json_text(object, "id", "")), object);
    }
    for (size_t i = 0; i < w->now.n; i++) {
        if (!w->now.items[i].again)
            publish(w->rd, "snapshot.removed", json_incref(w->now.items[i].object));
    }
}

static void forget(struct dt_snapshot_watch *w)
{
    list_clear(&w->now);
    w->started = false;
}

static void look_done(void *arg, const struct dt_err *err)
{
    struct dt_snapshot_watch *w = arg;
    w->looking = false;
    if (err != NULL)
        dt_log(DT_LOG_WARN, "cannot look for snapshots", "err", err->msg, NULL);
    if (w->rd == NULL || err != NULL || (w->started && same(&w->now, &w->next))) {
        list_clear(&w->next);
        return;
    }
    if (w->started)
        tell(w);
    list_clear(&w->now);
    w->now = w->next;
    w->next = (struct list){0};
    w->started = true;
}

static void on_timer(uv_timer_t *t)
{
    struct dt_snapshot_watch *w = t->data;
    struct dt_err err;
    if (w->looking)
        return;
    if (!dt_audience_wanted(w->rd, NULL))
        forget(w);
    else
        w->looking = dt_db_submit_read(w->rd->db, look_job, w, look_done, &err) == 0;
}

int dt_snapshot_watch_new(struct dt_runnerd *rd, struct dt_snapshot_watch **ret, struct dt_err *err)
{
    struct dt_snapshot_watch *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return dt_err_set(err, DT_E_NOMEM, "snapshots");
    w->rd = rd;
    (void)uv_timer_init(rd->loop, &w->timer);
    w->timer.data = w;
    (void)uv_timer_start(&w->timer, on_timer, LOOK_MS, LOOK_MS);
    *ret = w;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct dt_snapshot_watch *w = h->data;
    list_clear(&w->now);
    list_clear(&w->next);
    free(w);
}

struct dt_snapshot_watch *dt_snapshot_watch_free(struct dt_snapshot_watch *w)
{
    if (w == NULL)
        return NULL;
    w->rd = NULL;
    uv_close((uv_handle_t *)&w->timer, on_closed);
    return NULL;
}

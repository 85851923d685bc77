#include "db/db.h"

#include <pthread.h>

#include "db/migrate.h"

struct dt_db_base {
    unsigned refs; /* on the loop only */
    bool failed;   /* on the store's thread only, as the next */
    struct dt_err err;
};

struct job {
    struct job *next;
    struct dt_db_base *own;      /* who rests on this one */
    struct dt_db_base *rests_on; /* NULL: nobody */
    dt_db_fn *fn;
    dt_db_done *done;
    void *arg;
    bool write;
    bool failed;
    struct dt_err err;
};

struct queue {
    struct job *first;
    struct job **last;
};

struct dt_db {
    struct dt_db_conn *conn;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct queue todo, ready; /* both under the lock */
    size_t waiting;           /* on the loop only: jobs whose `done` has not run */
    struct dt_db_base *base;  /* on the loop only: what new jobs rest on, or NULL */
    bool stop;
    uv_async_t async;
};

static void push(struct queue *q, struct job *j)
{
    j->next = NULL;
    *q->last = j;
    q->last = &j->next;
}

static struct job *take_all(struct queue *q)
{
    struct job *all = q->first;
    q->first = NULL;
    q->last = &q->first;
    return all;
}

static struct dt_db_base *keep(struct dt_db_base *base)
{
    if (base != NULL)
        base->refs++;
    return base;
}

struct dt_db_base *dt_db_base_free(struct dt_db_base *base)
{
    if (base != NULL && --base->refs == 0)
        free(base);
    return NULL;
}

static void job_free(struct job *j)
{
    (void)dt_db_base_free(j->own);
    (void)dt_db_base_free(j->rests_on);
    free(j);
}

static void run_job(struct dt_db *db, struct job *j)
{
    j->failed = dt_db_begin(db->conn, j->write, &j->err) < 0;
    if (!j->failed) {
        j->failed = j->fn(db->conn, j->arg, &j->err) < 0 || dt_db_commit(db->conn, &j->err) < 0;
        if (j->failed)
            dt_db_rollback(db->conn);
    }
}

static void run(struct dt_db *db, struct job *j)
{
    if (j->rests_on != NULL && j->rests_on->failed) {
        j->failed = true;
        j->err = j->rests_on->err;
    } else {
        run_job(db, j);
    }
    if (j->own != NULL) {
        j->own->failed = j->failed;
        j->own->err = j->err;
    }
}

static void *work(void *arg)
{
    struct dt_db *db = arg;
    (void)pthread_mutex_lock(&db->lock);
    for (;;) {
        while (db->todo.first == NULL && !db->stop)
            (void)pthread_cond_wait(&db->wake, &db->lock);
        struct job *j = db->todo.first;
        if (j == NULL)
            break;
        db->todo.first = j->next;
        if (j->next == NULL)
            db->todo.last = &db->todo.first;
        (void)pthread_mutex_unlock(&db->lock);
        run(db, j);
        (void)pthread_mutex_lock(&db->lock);
        push(&db->ready, j);
        (void)uv_async_send(&db->async);
    }
    (void)pthread_mutex_unlock(&db->lock);
    return NULL;
}

static void deliver(struct dt_db *db)
{
    (void)pthread_mutex_lock(&db->lock);
    struct job *all = take_all(&db->ready);
    (void)pthread_mutex_unlock(&db->lock);
    while (all != NULL) {
        struct job *j = all;
        all = j->next;
        db->waiting--;
        if (j->done != NULL)
            j->done(j->arg, j->failed ? &j->err : NULL);
        job_free(j);
    }
}

static void on_async(uv_async_t *a)
{
    deliver(a->data);
}

static int start(struct dt_db *db, uv_loop_t *loop, struct dt_err *err)
{
    db->todo.last = &db->todo.first;
    db->ready.last = &db->ready.first;
    (void)pthread_mutex_init(&db->lock, NULL);
    (void)pthread_cond_init(&db->wake, NULL);
    if (uv_async_init(loop, &db->async, on_async) < 0)
        return dt_err_set(err, DT_E_SYSTEM, "store: no handle");
    db->async.data = db;
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, (size_t)1 << 20);
    int failed = pthread_create(&db->thread, &attr, work, db);
    (void)pthread_attr_destroy(&attr);
    if (failed != 0) {
        uv_close((uv_handle_t *)&db->async, NULL);
        errno = failed;
        return dt_err_errno(err, "store: thread");
    }
    return 0;
}

int dt_db_open(uv_loop_t *loop, const char *path, struct dt_db **ret, struct dt_err *err)
{
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *conn = NULL;
    if (dt_db_conn_open(path, &conn, err) < 0 || dt_db_migrate(conn, dt_db_migrations, err) < 0)
        return -1;
    struct dt_db *db = calloc(1, sizeof(*db));
    if (db == NULL)
        return dt_err_set(err, DT_E_NOMEM, "store");
    db->conn = conn;
    if (start(db, loop, err) < 0) {
        /* A handle that is closing is still the loop's; so few bytes may stay until exit. */
        return -1;
    }
    conn = NULL;
    *ret = db;
    return 0;
}

static int submit(struct dt_db *db, const struct job *like, struct dt_err *err)
{
    if (db->stop)
        return dt_err_set(err, DT_E_UNAVAILABLE, "the server is going down");
    if (db->waiting >= DT_DB_JOBS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "too many requests wait for the store: try again");
    struct job *j = malloc(sizeof(*j));
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "store");
    *j = *like;
    j->own = keep(like->own);
    j->rests_on = keep(db->base);
    db->waiting++;
    (void)pthread_mutex_lock(&db->lock);
    push(&db->todo, j);
    (void)pthread_cond_signal(&db->wake);
    (void)pthread_mutex_unlock(&db->lock);
    return 0;
}

int dt_db_submit(struct dt_db *db, dt_db_fn *fn, void *arg, dt_db_done *done, struct dt_err *err)
{
    return submit(db, &(struct job){.fn = fn, .arg = arg, .done = done, .write = true}, err);
}

int dt_db_submit_read(struct dt_db *db, dt_db_fn *fn, void *arg, dt_db_done *done,
                      struct dt_err *err)
{
    return submit(db, &(struct job){.fn = fn, .arg = arg, .done = done}, err);
}

int dt_db_submit_base(struct dt_db *db, dt_db_fn *fn, void *arg, dt_db_done *done,
                      struct dt_db_base **ret, struct dt_err *err)
{
    DT_AUTO(dt_db_base_free) struct dt_db_base *own = calloc(1, sizeof(*own));
    if (own == NULL)
        return dt_err_set(err, DT_E_NOMEM, "store");
    own->refs = 1;
    const struct job j = {.own = own, .fn = fn, .arg = arg, .done = done, .write = true};
    if (submit(db, &j, err) < 0)
        return -1;
    *ret = dt_take(own);
    return 0;
}

void dt_db_rest_on(struct dt_db *db, struct dt_db_base *base)
{
    db->base = base;
}

size_t dt_db_waiting(const struct dt_db *db)
{
    return db->waiting;
}

static void on_closed(uv_handle_t *h)
{
    struct dt_db *db = h->data;
    (void)pthread_mutex_destroy(&db->lock);
    (void)pthread_cond_destroy(&db->wake);
    free(db);
}

struct dt_db *dt_db_close(struct dt_db *db)
{
    if (db == NULL)
        return NULL;
    (void)pthread_mutex_lock(&db->lock);
    db->stop = true;
    (void)pthread_cond_signal(&db->wake);
    (void)pthread_mutex_unlock(&db->lock);
    (void)pthread_join(db->thread, NULL);
    deliver(db);
    (void)dt_db_conn_close(db->conn);
    uv_close((uv_handle_t *)&db->async, on_closed);
    return NULL;
}

/* /runners: whether this machine or another one may be given new sandboxes. */
#include "base/clock.h"
#include "runnerd/api/api_object.h"
#include "runnerd/api/api_runner.h"

struct job {
    struct dt_api_req *a;
    bool own;                /* it is this machine */
    struct dt_runner runner; /* as it is to be */
    char id[DT_UUID_SIZE];   /* of another one */
    bool unschedulable, draining;
    const bool *unschedulable_set, *draining_set; /* which of them changes; NULL: it does not */
    struct dt_remote *fresh;                      /* as it is afterwards */
};

static int on_store(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct job *j = arg;
    if (j->own)
        return dt_store_runner_edit(c, &j->runner, err);
    if (dt_store_remote_flags(c, j->id, j->unschedulable_set, j->draining_set, err) < 0)
        return -1;
    return dt_store_remote_get(c, j->id, &j->fresh, err);
}

/* Returns the other runner as it is now, NULL for this machine. */
static const struct dt_remote *put(struct job *j)
{
    struct dt_runnerd *rd = j->a->rd;
    if (j->own) {
        rd->runner = j->runner;
        return NULL;
    }
    dt_remotes_put(&rd->remotes, dt_take(j->fresh));
    const struct dt_remote *r = dt_remotes_find(&rd->remotes, j->id);
    dt_api_event_runner(rd, r, "runner.unschedulable.updated");
    return r;
}

static void on_loop(void *arg, const struct dt_err *err)
{
    struct job *j = arg;
    struct dt_api_req *a = j->a;
    const struct dt_remote *r = err == NULL ? put(j) : NULL;
    if (err != NULL)
        dt_api_fail(a, err);
    else if (a->op == DT_REST_ADMIN_RUNNER_SCHEDULING)
        dt_api_reply(a, NULL);
    else
        dt_api_reply_object(a, dt_api_runner_json(a, r));
    (void)dt_remote_free(j->fresh);
    dt_api_unref(a);
    free(j);
}

/* The job for the runner of the path; NULL when it was answered. */
static struct job *job_new(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_remote *r;
    if (!dt_api_runner_named(a, &r))
        return NULL;
    bool may = r != NULL || a->who.admin;
    struct job *j = may ? calloc(1, sizeof(*j)) : NULL;
    if (j == NULL) {
        (void)dt_err_set(&err, may ? DT_E_NOMEM : DT_E_FORBIDDEN,
                         may ? "out of memory"
                             : "This runner is the server's own machine: only administrators may "
                               "change it");
        dt_api_fail(a, &err);
        return NULL;
    }
    *j = (struct job){.a = dt_api_ref(a), .own = r == NULL, .runner = a->rd->runner};
    j->runner.updated_ms = dt_clock_real_ms();
    memcpy(j->id, r != NULL ? r->id : j->runner.id, sizeof(j->id));
    return j;
}

static void start(struct job *j)
{
    struct dt_err err;
    if (dt_db_submit(j->a->rd->db, on_store, j, on_loop, &err) < 0)
        on_loop(j, &err);
}

void dt_api_runner_scheduling(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_runner_scheduling in;
    struct dt_err err;
    if (dt_rest_runner_scheduling_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    struct job *j = job_new(a);
    if (j != NULL) {
        j->runner.unschedulable = j->unschedulable = in.unschedulable;
        j->unschedulable_set = &j->unschedulable;
        start(j);
    }
    dt_rest_runner_scheduling_done(&in);
}

void dt_api_runner_draining(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_runner_draining in;
    struct dt_err err;
    if (dt_rest_runner_draining_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    struct job *j = job_new(a);
    if (j != NULL) {
        j->runner.draining = j->draining = in.draining;
        j->draining_set = &j->draining;
        start(j);
    }
    dt_rest_runner_draining_done(&in);
}

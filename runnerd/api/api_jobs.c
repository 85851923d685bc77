/*
 * /jobs: what a runner on another machine is to do. Sandboxes of this server are on its own
 * machine, so there is never anything: pages are empty, no id is one of a job, and a poll is
 * answered at its deadline, unless its runner or its client is gone before.
 */
#include "runnerd/api/api_object.h"

enum { POLLS_MAX = 1024, POLLS_PER_RUNNER_MAX = 4 };

struct dt_poll {
    struct dt_poll *next; /* younger ones first */
    struct dt_api_req *a;
    uv_timer_t timer;
};

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

/* Takes it out of the list, with its reference. */
static struct dt_api_req *take(struct dt_runnerd *rd, struct dt_poll **at)
{
    struct dt_poll *p = *at;
    struct dt_api_req *a = p->a;
    *at = p->next;
    rd->npolls--;
    uv_close((uv_handle_t *)&p->timer, on_closed);
    return a;
}

static void reply_none(struct dt_api_req *a)
{
    DT_AUTO_JSON json_t *none = json_array();
    const struct dt_rest_poll_jobs_response out = {.jobs = none};
    dt_api_reply_object(a, dt_rest_poll_jobs_response_print(&out));
}

static struct dt_poll **place_of(const struct dt_api_req *a)
{
    struct dt_poll **at = &a->rd->polls;
    while (*at != NULL && (*at)->a != a)
        at = &(*at)->next;
    return at;
}

/* Nothing is done for a poll that is over: its own answer ends the exchange, too. */
static void on_gone(struct dt_api_req *a)
{
    struct dt_poll **at = place_of(a);
    if (*at != NULL)
        dt_api_unref(take(a->rd, at));
}

static void end(struct dt_runnerd *rd, struct dt_poll **at)
{
    struct dt_api_req *a = take(rd, at);
    reply_none(a);
    dt_api_unref(a);
}

static void on_deadline(uv_timer_t *t)
{
    const struct dt_poll *p = t->data;
    end(p->a->rd, place_of(p->a));
}

void dt_api_polls_end(struct dt_runnerd *rd, const char *runner)
{
    for (struct dt_poll **at = &rd->polls; *at != NULL;) {
        if (runner == NULL || strcmp((*at)->a->who.runner, runner) == 0)
            end(rd, at);
        else
            at = &(*at)->next;
    }
}

/* A runner that begins anew without having ended its polls gets rid of the oldest. */
static void make_room(struct dt_runnerd *rd, const char *runner)
{
    unsigned n = 0;
    struct dt_poll **oldest = NULL;
    for (struct dt_poll **at = &rd->polls; *at != NULL; at = &(*at)->next) {
        if (strcmp((*at)->a->who.runner, runner) != 0)
            continue;
        oldest = at;
        n++;
    }
    if (n >= POLLS_PER_RUNNER_MAX)
        end(rd, oldest);
}

static void wait_for_jobs(struct dt_api_req *a, uint64_t timeout_ms)
{
    struct dt_runnerd *rd = a->rd;
    struct dt_err err;
    make_room(rd, a->who.runner);
    struct dt_poll *p = rd->npolls < POLLS_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (p == NULL) {
        (void)dt_err_set(&err, DT_E_UNAVAILABLE, "too many runners at once: try again soon");
        dt_api_fail(a, &err);
        return;
    }
    p->next = rd->polls;
    p->a = dt_api_ref(a);
    rd->polls = p;
    rd->npolls++;
    a->on_gone = on_gone;
    (void)uv_timer_init(rd->loop, &p->timer);
    p->timer.data = p;
    (void)uv_timer_start(&p->timer, on_deadline, timeout_ms, 0);
}

void dt_api_job_poll(struct dt_api_req *a)
{
    struct dt_rest_poll_jobs_query in;
    struct dt_err err;
    if (dt_rest_poll_jobs_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    if (in.timeout == 0 || a->rd->stopping)
        reply_none(a);
    else
        wait_for_jobs(a, (uint64_t)(in.timeout * 1000));
    dt_rest_poll_jobs_query_done(&in);
}

void dt_api_job_list(struct dt_api_req *a)
{
    struct dt_rest_job_query in;
    struct dt_err err;
    if (dt_rest_job_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    DT_AUTO_JSON json_t *none = json_array();
    const struct dt_rest_paginated_jobs out = {.items = none,
                                               .total = 0,
                                               .has_total = true,
                                               .page = (double)in.page,
                                               .has_page = true,
                                               .total_pages = 0,
                                               .has_total_pages = true};
    dt_rest_job_query_done(&in);
    dt_api_reply_object(a, dt_rest_paginated_jobs_print(&out));
}

static void reply_missing(struct dt_api_req *a)
{
    struct dt_err err;
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Job with ID %.64s not found", a->params[0]);
    dt_api_fail(a, &err);
}

void dt_api_job_get(struct dt_api_req *a)
{
    reply_missing(a);
}

void dt_api_job_status(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_update_job_status in;
    struct dt_err err;
    if (dt_rest_update_job_status_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    dt_rest_update_job_status_done(&in);
    reply_missing(a);
}

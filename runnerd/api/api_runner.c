/* /runners: what is asked about this machine and others, and what they run. */
#include "runnerd/api/api_runner.h"
#include "runnerd/api/api_object.h"

/* Whether the runner (NULL: this machine) is one of that region. */
static bool is_in(const struct dt_runnerd *rd, const struct dt_remote *r, const char *region)
{
    const char *own = rd->config->default_runner_region;
    return region == NULL ||
           strcmp(region, r != NULL && r->region[0] != '\0' ? r->region : own) == 0;
}

void dt_api_runner_list(struct dt_api_req *a)
{
    struct dt_rest_runner_query in;
    struct dt_err err;
    if (dt_rest_runner_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    json_t *list = json_array();
    if (is_in(a->rd, NULL, in.region_id))
        (void)json_array_append_new(list, dt_api_runner_json(a, NULL));
    for (const struct dt_remote *r = a->rd->remotes.first; r != NULL; r = r->next) {
        if (is_in(a->rd, r, in.region_id) && dt_api_runner_shown(a, r))
            (void)json_array_append_new(list, dt_api_runner_json(a, r));
    }
    dt_rest_runner_query_done(&in);
    dt_api_reply_object(a, list);
}

void dt_api_runner_get(struct dt_api_req *a)
{
    struct dt_remote *r;
    if (dt_api_runner_named(a, &r))
        dt_api_reply_object(a, dt_api_runner_json(a, r));
}

/* This server runs its sandboxes itself and knows how they are: who reports the same is right. */
void dt_api_sandbox_state(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_update_sandbox_state in;
    struct dt_err err;
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (dt_rest_update_sandbox_state_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    bool rests = l->state == DT_SANDBOX_STARTED || l->state == DT_SANDBOX_STOPPED;
    if (rests && strcmp(dt_sandbox_state_text(l->state), in.state) == 0) {
        dt_api_reply(a, NULL);
    } else {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "Sandbox is not in a valid state to be updated: it is %s, as this server "
                         "sees itself",
                         dt_sandbox_state_text(l->state));
        dt_api_fail(a, &err);
    }
    dt_rest_update_sandbox_state_done(&in);
}

void dt_api_runner_by_sandbox(struct dt_api_req *a)
{
    struct dt_err err;
    if (dt_api_live(a, a->params[0]) != NULL) {
        dt_api_reply_object(a, dt_api_runner_json(a, NULL));
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Runner not found for sandbox %.64s", a->params[0]);
    dt_api_fail(a, &err);
}

/* --- snapshots that are there --- */

struct ref_job {
    struct dt_api_req *a;
    struct dt_rest_snapshot_ref_query in;
    char id[DT_UUID_SIZE]; /* empty: there is none */
};

static int ref_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct ref_job *j = arg;
    struct dt_err why;
    struct dt_snapshot_row row;
    if (dt_store_snapshot_get(c, j->in.ref, &row, &why) < 0) {
        if (why.code == DT_E_NOT_FOUND)
            return 0;
        *err = why;
        return -1;
    }
    memcpy(j->id, row.id, sizeof(j->id));
    dt_snapshot_row_done(&row);
    return 0;
}

static void ref_done(void *arg, const struct dt_err *err)
{
    struct ref_job *j = arg;
    const struct dt_runnerd *rd = j->a->rd;
    json_t *list = json_array();
    const struct dt_rest_runner_snapshot one = {
        .runner_snapshot_id = j->id, .runner_id = rd->runner.id, .runner_domain = "localhost"};
    if (j->id[0] != '\0')
        (void)json_array_append_new(list, dt_rest_runner_snapshot_print(&one));
    if (err != NULL) {
        json_decref(list);
        dt_api_fail(j->a, err);
    } else {
        dt_api_reply_object(j->a, list);
    }
    dt_rest_snapshot_ref_query_done(&j->in);
    dt_api_unref(j->a);
    free(j);
}

void dt_api_runner_by_snapshot(struct dt_api_req *a)
{
    struct dt_err err;
    struct ref_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    if (dt_rest_snapshot_ref_query_parse_query(dt_http_req_query(a->http), &j->in, &err) < 0) {
        dt_api_fail(a, &err);
        free(j);
        return;
    }
    j->a = dt_api_ref(a);
    if (a->who.runner[0] != '\0')
        ref_done(j, NULL); /* all snapshots are on this machine */
    else if (dt_db_submit_read(a->rd->db, ref_job, j, ref_done, &err) < 0)
        ref_done(j, &err);
}

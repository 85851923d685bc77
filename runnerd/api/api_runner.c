/* /runners: this machine, and what it runs. */
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_object.h"

#define SET(name, value) .name = (value), .has_##name = true

/* --- what is shown --- */

struct load {
    double cpu, memory_gib, disk_gib;
    double started;
};

static struct load load_of(const struct dt_runnerd *rd)
{
    struct load u = {0};
    for (const struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l)) {
        if (l->state == DT_SANDBOX_STARTED) {
            u.cpu += (double)l->cpu_millis / 1000;
            u.memory_gib += (double)l->memory_mib / 1024;
            u.started++;
        }
        u.disk_gib += (double)l->disk_mib / 1024;
    }
    return u;
}

/* 0 (full) to 100. */
static double score(const struct dt_runnerd *rd, const struct dt_host_figures *h)
{
    double worst = h->memory_percent > h->disk_percent ? h->memory_percent : h->disk_percent;
    if (rd->runner.unschedulable || rd->runner.draining)
        return 0;
    return (double)(int)(100 - (h->cpu_percent > worst ? h->cpu_percent : worst));
}

static json_t *runner_json(const struct dt_runnerd *rd, bool with_key)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], now[DT_CLOCK_ISO_SIZE];
    struct dt_host_figures h;
    struct load u = load_of(rd);
    const char *key = rd->config->default_runner_api_key;
    DT_AUTO_JSON json_t *tags = json_array();
    dt_host_read(&rd->host, &h);
    const struct dt_rest_runner out = {
        .id = rd->runner.id,
        .domain = "localhost",
        .api_url = rd->api_url,
        .proxy_url = rd->api_url,
        .api_key = !with_key     ? NULL
                   : key != NULL ? key
                                 : "",
        SET(cpu, h.cpus),
        SET(memory, h.memory_gib),
        SET(disk, h.disk_gib),
        SET(memory_gi_b, h.memory_gib),
        SET(disk_gi_b, h.disk_gib),
        SET(gpu, 0),
        .gpu_type = "none",
        .class_name = "small",
        .sandbox_class = "container",
        SET(current_cpu_usage_percentage, h.cpu_percent),
        SET(current_memory_usage_percentage, h.memory_percent),
        SET(current_disk_usage_percentage, h.disk_percent),
        SET(current_allocated_cpu, u.cpu),
        SET(current_allocated_memory_gi_b, u.memory_gib),
        SET(current_allocated_disk_gi_b, u.disk_gib),
        SET(current_started_sandboxes, u.started),
        SET(availability_score, score(rd, &h)),
        .region = rd->config->default_runner_region,
        .region_type = "shared",
        .name = "local",
        .state = dt_launcher_client_is_up(rd->launcher) ? "ready" : "unresponsive",
        .last_checked = dt_clock_iso(dt_clock_real_ms(), now),
        SET(unschedulable, rd->runner.unschedulable || rd->runner.draining),
        .tags = tags,
        .created_at = dt_clock_iso(rd->runner.created_ms, created),
        .updated_at = dt_clock_iso(rd->runner.updated_ms, updated),
        .version = "2",
        .api_version = "2",
        .runner_class = "container",
        .app_version = DT_VERSION,
    };
    return dt_rest_runner_print(&out);
}

/* Members see how the machine does, administrators and services also its key. */
static bool shows_key(const struct dt_api_req *a)
{
    return a->who.admin || a->who.kind == DT_BY_SERVICE;
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
    if (in.region_id == NULL || strcmp(in.region_id, a->rd->config->default_runner_region) == 0)
        (void)json_array_append_new(list, runner_json(a->rd, shows_key(a)));
    dt_rest_runner_query_done(&in);
    dt_api_reply_object(a, list);
}

/* False when it was answered 404. */
static bool is_ours(struct dt_api_req *a)
{
    struct dt_err err;
    if (a->nparams == 0 || strcmp(a->params[0], a->rd->runner.id) == 0)
        return true;
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Runner with ID %.64s not found", a->params[0]);
    dt_api_fail(a, &err);
    return false;
}

void dt_api_runner_get(struct dt_api_req *a)
{
    if (is_ours(a))
        dt_api_reply_object(a, runner_json(a->rd, shows_key(a)));
}

void dt_api_runner_delete(struct dt_api_req *a)
{
    struct dt_err err;
    if (!is_ours(a))
        return;
    (void)dt_err_set(&err, DT_E_CONFLICT,
                     "Runner with ID %.64s cannot be deleted: it is this machine, the only one of "
                     "this server",
                     a->params[0]);
    dt_api_fail(a, &err);
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
        dt_api_reply_object(a, runner_json(a->rd, true));
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
    if (dt_db_submit_read(a->rd->db, ref_job, j, ref_done, &err) < 0)
        ref_done(j, &err);
}

/* --- scheduling --- */

struct edit_job {
    struct dt_api_req *a;
    struct dt_runner runner;
};

static int edit_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    const struct edit_job *j = arg;
    return dt_store_runner_edit(c, &j->runner, err);
}

static void edit_done(void *arg, const struct dt_err *err)
{
    struct edit_job *j = arg;
    struct dt_api_req *a = j->a;
    if (err == NULL)
        a->rd->runner = j->runner;
    if (err != NULL)
        dt_api_fail(a, err);
    else if (a->op == DT_REST_ADMIN_RUNNER_SCHEDULING)
        dt_api_reply(a, NULL);
    else
        dt_api_reply_object(a, runner_json(a->rd, true));
    dt_api_unref(a);
    free(j);
}

static void edit(struct dt_api_req *a, const struct dt_runner *as)
{
    struct dt_err err;
    struct edit_job *j = malloc(sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    *j = (struct edit_job){dt_api_ref(a), *as};
    j->runner.updated_ms = dt_clock_real_ms();
    if (dt_db_submit(a->rd->db, edit_job, j, edit_done, &err) < 0)
        edit_done(j, &err);
}

void dt_api_runner_scheduling(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_runner_scheduling in;
    struct dt_err err;
    struct dt_runner r = a->rd->runner;
    if (!is_ours(a))
        return;
    if (dt_rest_runner_scheduling_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    r.unschedulable = in.unschedulable;
    dt_rest_runner_scheduling_done(&in);
    edit(a, &r);
}

void dt_api_runner_draining(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_runner_draining in;
    struct dt_err err;
    struct dt_runner r = a->rd->runner;
    if (!is_ours(a))
        return;
    if (dt_rest_runner_draining_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    r.draining = in.draining;
    dt_rest_runner_draining_done(&in);
    edit(a, &r);
}

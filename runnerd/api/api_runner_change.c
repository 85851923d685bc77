/* /runners: registering one, its reports, and its end. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "jose/jwt.h"
#include "model/name.h"
#include "runnerd/api/api_object.h"
#include "runnerd/api/api_runner.h"

enum { KEY_TEXT_SIZE = 201 };

static const char own_name[] = "local";

/* --- a change of one --- */

struct job {
    struct dt_api_req *a;
    int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err);
    struct dt_remote *remote; /* as it is to be, as far as `work` wants to know */
    struct dt_remote *fresh;  /* as it is after the job; NULL: it is gone */
    char id[DT_UUID_SIZE];
    char key[KEY_TEXT_SIZE]; /* of a new one */
};

static void job_free(struct job *j)
{
    (void)dt_remote_free(j->remote);
    (void)dt_remote_free(j->fresh);
    explicit_bzero(j->key, sizeof(j->key));
    dt_api_unref(j->a);
    free(j);
}

static void fail(struct job *j, const struct dt_err *err)
{
    dt_api_fail(j->a, err);
    job_free(j);
}

static struct job *job_new(struct dt_api_req *a, const char *id,
                           int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err))
{
    struct dt_err err;
    struct job *j = calloc(1, sizeof(*j));
    if (j == NULL || (j->remote = dt_remote_new()) == NULL) {
        free(j);
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return NULL;
    }
    j->a = dt_api_ref(a);
    j->work = work;
    (void)snprintf(j->id, sizeof(j->id), "%s", id);
    memcpy(j->remote->id, j->id, sizeof(j->id));
    return j;
}

static int on_store(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct job *j = arg;
    return j->work(c, j, err);
}

static void reply(struct job *j)
{
    const struct dt_rest_create_runner_response made = {.id = j->id, .api_key = j->key};
    if (j->key[0] != '\0')
        dt_api_reply_object(j->a, dt_rest_create_runner_response_print(&made));
    else
        dt_api_reply(j->a, NULL);
}

static void on_loop(void *arg, const struct dt_err *err)
{
    struct job *j = arg;
    struct dt_runnerd *rd = j->a->rd;
    if (err != NULL) {
        fail(j, err);
        return;
    }
    if (j->fresh != NULL) {
        dt_remotes_put(&rd->remotes, dt_take(j->fresh));
    } else {
        dt_remotes_remove(&rd->remotes, j->id);
        dt_api_polls_end(rd, j->id);
    }
    if (j->key[0] != '\0')
        dt_api_event_runner(rd, dt_remotes_find(&rd->remotes, j->id), "runner.created");
    dt_api_runners_review(rd);
    reply(j);
    job_free(j);
}

static void start(struct job *j)
{
    struct dt_err err;
    if (dt_db_submit(j->a->rd->db, on_store, j, on_loop, &err) < 0)
        fail(j, &err);
}

void dt_api_runners_drop(struct dt_runnerd *rd, const char *region, const char *org)
{
    char id[DT_UUID_SIZE];
    struct dt_remote *next;
    for (struct dt_remote *r = rd->remotes.first; r != NULL; r = next) {
        next = r->next;
        if (strcmp(region != NULL ? r->region : r->org, region != NULL ? region : org) != 0)
            continue;
        memcpy(id, r->id, sizeof(id));
        dt_remotes_remove(&rd->remotes, id);
        dt_api_polls_end(rd, id);
    }
}

/* --- registering --- */

static int create_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_remote_add(c, j->remote, err) < 0
               ? -1
               : dt_store_remote_get(c, j->id, &j->fresh, err);
}

static int set(struct dt_remote *r, enum dt_remote_text which, const char *text, struct dt_err *err)
{
    return dt_remote_set(r, which, text) < 0 ? dt_err_set(err, DT_E_NOMEM, "out of memory") : 0;
}

static int set_url(struct dt_remote *r, enum dt_remote_text which, const char *name,
                   const char *text, struct dt_err *err)
{
    if (text != NULL && text[0] != '\0' && dt_url_check(dt_str_z(text), NULL) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "%s must be a URL address such as https://runner1.example.com", name);
    return set(r, which, text, err);
}

/* The texts that come with a new one and with reports alike. */
static int set_addresses(struct dt_remote *r, const char *domain, const char *api_url,
                         const char *proxy_url, struct dt_err *err)
{
    if (set(r, DT_REMOTE_DOMAIN, domain, err) < 0 ||
        set_url(r, DT_REMOTE_API_URL, "apiUrl", api_url, err) < 0)
        return -1;
    return set_url(r, DT_REMOTE_PROXY_URL, "proxyUrl", proxy_url, err);
}

static int set_name(struct dt_remote *r, const struct dt_rest_create_runner *in, struct dt_err *err)
{
    const char *name = in->name != NULL ? in->name : in->domain;
    if (name == NULL)
        return dt_err_set(err, DT_E_BAD_REQUEST, "name is required");
    if (strlen(name) > 64 || strchr(name, '/') != NULL ||
        dt_snapshot_name_check(dt_str_z(name), NULL) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Runner name can only contain letters, numbers, underscores, periods, "
                          "colons and hyphens, 64 at most");
    return set(r, DT_REMOTE_NAME, name, err);
}

static int set_tags(struct dt_remote *r, const json_t *tags, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 65536);
    if (tags == NULL)
        return set(r, DT_REMOTE_TAGS, "[]", err);
    if (dt_json_write(tags, &b, err) < 0)
        return -1;
    DT_AUTO_FREE char *text = dt_buf_take(&b);
    if (text == NULL)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return set(r, DT_REMOTE_TAGS, text, err);
}

/* The shared region is the administrators', each other one its organization's. */
static int set_region(const struct dt_api_req *a, struct dt_remote *r, const char *id,
                      struct dt_err *err)
{
    const struct dt_runnerd *rd = a->rd;
    const struct dt_region *region = dt_regions_find(&rd->regions, a->who.org, id);
    if (region == NULL && a->who.admin)
        region = dt_regions_by_id(&rd->regions, id);
    if (region != NULL) {
        memcpy(r->region, region->id, sizeof(r->region));
        memcpy(r->org, region->org, sizeof(r->org));
        return 0;
    }
    if (strcmp(id, rd->config->default_runner_region) != 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Region not found");
    if (!a->who.admin)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "Only administrators may register runners in the shared region: make "
                          "one of your own with POST /regions");
    if (strcmp(r->texts[DT_REMOTE_NAME], own_name) == 0)
        return dt_err_set(err, DT_E_CONFLICT, "Runner with name %s already exists in this region",
                          own_name);
    return 0;
}

/* One that an administrator chose: it must travel in a header and be nobody's. */
static int check_key(const struct dt_runnerd *rd, const char *text, struct dt_err *err)
{
    uint8_t hash[DT_HASH_SIZE];
    uint32_t service;
    bool good = !dt_jwt_shaped(dt_str_z(text));
    for (const char *p = text; *p != '\0' && good; p++)
        good = *p > ' ' && *p < 0x7f;
    if (!good)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "apiKey: only visible ASCII characters, and no JSON web token");
    dt_hash(dt_str_z(text), hash);
    if (dt_services_find(&rd->services, hash) != 0 ||
        dt_directory_key(&rd->directory, hash) != NULL ||
        dt_regions_by_key(&rd->regions, hash, &service) != NULL)
        return dt_err_set(err, DT_E_CONFLICT, "apiKey: this key is in use already: take another");
    return 0;
}

static int set_key(struct job *j, const char *chosen, struct dt_err *err)
{
    char made[DT_API_KEY_SIZE];
    if (chosen != NULL && j->a->who.admin) {
        if (check_key(j->a->rd, chosen, err) < 0)
            return -1;
        (void)snprintf(j->key, sizeof(j->key), "%s", chosen);
    } else {
        dt_api_key_make(made);
        (void)snprintf(j->key, sizeof(j->key), "%s", made);
        explicit_bzero(made, sizeof(made));
    }
    dt_remote_set_key(j->remote, dt_str_z(j->key));
    return 0;
}

static double figure(bool has, double value)
{
    return has ? value : NAN;
}

static int fill(struct job *j, const struct dt_rest_create_runner *in, struct dt_err *err)
{
    struct dt_remote *r = j->remote;
    r->figures[DT_REMOTE_CPU] = figure(in->has_cpu, in->cpu);
    r->figures[DT_REMOTE_MEMORY] = figure(in->has_memory_gi_b, in->memory_gi_b);
    r->figures[DT_REMOTE_DISK] = figure(in->has_disk_gi_b, in->disk_gi_b);
    r->figures[DT_REMOTE_GPU] = figure(in->has_gpu, in->gpu);
    if (set_name(r, in, err) < 0 || set_region(j->a, r, in->region_id, err) < 0 ||
        set_tags(r, in->tags, err) < 0 || set(r, DT_REMOTE_API_VERSION, in->api_version, err) < 0 ||
        set_addresses(r, in->domain, in->api_url, in->proxy_url, err) < 0 ||
        set(r, DT_REMOTE_GPU_TYPE, in->gpu_type, err) < 0)
        return -1;
    return set_key(j, in->api_key, err);
}

/* Administrators must say more where they have a path of their own; the rest is the same. */
static int read_create(struct job *j, json_t *body, struct dt_err *err)
{
    struct dt_rest_admin_create_runner more;
    struct dt_rest_create_runner in;
    if (j->a->op == DT_REST_ADMIN_RUNNER_CREATE) {
        if (dt_rest_admin_create_runner_parse(body, &more, err) < 0)
            return -1;
        dt_rest_admin_create_runner_done(&more);
    }
    if (dt_rest_create_runner_parse(body, &in, err) < 0)
        return -1;
    int filled = fill(j, &in, err);
    dt_rest_create_runner_done(&in);
    return filled;
}

void dt_api_runner_create(struct dt_api_req *a, json_t *body)
{
    struct dt_err err;
    char id[DT_UUID_SIZE];
    dt_rand_uuid(id);
    struct job *j = job_new(a, id, create_work);
    if (j == NULL)
        return;
    if (read_create(j, body, &err) < 0)
        fail(j, &err);
    else
        start(j);
}

/* --- reports --- */

static int report_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_remote_report(c, j->remote, err) < 0
               ? -1
               : dt_store_remote_get(c, j->id, &j->fresh, err);
}

static void take_figures(struct dt_remote *r, const struct dt_rest_runner_health_metrics *in)
{
    double *f = r->figures;
    f[DT_REMOTE_CPU] = in->cpu;
    f[DT_REMOTE_MEMORY] = in->memory_gi_b;
    f[DT_REMOTE_DISK] = in->disk_gi_b;
    f[DT_REMOTE_GPU] = figure(in->has_gpu, in->gpu);
    f[DT_REMOTE_CPU_USED] = in->current_cpu_usage_percentage;
    f[DT_REMOTE_MEMORY_USED] = in->current_memory_usage_percentage;
    f[DT_REMOTE_DISK_USED] = in->current_disk_usage_percentage;
    f[DT_REMOTE_CPU_ALLOCATED] = in->current_allocated_cpu;
    f[DT_REMOTE_MEMORY_ALLOCATED] = in->current_allocated_memory_gi_b;
    f[DT_REMOTE_DISK_ALLOCATED] = in->current_allocated_disk_gi_b;
    f[DT_REMOTE_SNAPSHOTS] = in->current_snapshot_count;
    f[DT_REMOTE_STARTED] = in->current_started_sandboxes;
    f[DT_REMOTE_CPU_LOAD] = in->current_cpu_load_average;
}

static int take_metrics(struct dt_remote *r, json_t *metrics, struct dt_err *err)
{
    struct dt_rest_runner_health_metrics in;
    if (metrics == NULL)
        return 0;
    if (dt_rest_runner_health_metrics_parse(metrics, &in, err) < 0)
        return -1;
    take_figures(r, &in);
    int taken = set(r, DT_REMOTE_GPU_TYPE, in.gpu_type, err);
    dt_rest_runner_health_metrics_done(&in);
    return taken;
}

static int take_services(struct dt_remote *r, const json_t *services, struct dt_err *err)
{
    for (size_t i = 0; i < json_array_size(services); i++) {
        struct dt_rest_runner_service_health one;
        if (dt_rest_runner_service_health_parse(json_array_get(services, i), &one, err) < 0)
            return -1;
        r->troubled = r->troubled || !one.healthy;
        dt_rest_runner_service_health_done(&one);
    }
    return 0;
}

static int take_report(struct dt_remote *r, const struct dt_rest_runner_healthcheck *in,
                       struct dt_err *err)
{
    r->checked_ms = dt_clock_real_ms();
    if (take_metrics(r, in->metrics, err) < 0 || take_services(r, in->service_health, err) < 0 ||
        set_addresses(r, in->domain, in->api_url, in->proxy_url, err) < 0)
        return -1;
    return set(r, DT_REMOTE_APP_VERSION, in->app_version, err);
}

void dt_api_runner_healthcheck(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_runner_healthcheck in;
    struct dt_err err;
    if (dt_rest_runner_healthcheck_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    struct job *j = NULL;
    if (a->who.runner[0] == '\0') {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "This is the key of the server's own machine, which needs no reports: "
                         "register the runner with POST /runners and use the key that it gets");
        dt_api_fail(a, &err);
    } else {
        j = job_new(a, a->who.runner, report_work);
    }
    if (j != NULL && take_report(j->remote, &in, &err) < 0)
        fail(j, &err);
    else if (j != NULL)
        start(j);
    dt_rest_runner_healthcheck_done(&in);
}

/* --- the end of one --- */

static int delete_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_remote_delete(c, j->id, err);
}

void dt_api_runner_delete(struct dt_api_req *a)
{
    struct dt_err err;
    struct dt_remote *r;
    if (!dt_api_runner_named(a, &r))
        return;
    if (r == NULL) {
        (void)dt_err_set(&err, DT_E_CONFLICT,
                         "Runner with ID %.64s cannot be deleted: it is this machine, which runs "
                         "the sandboxes of this server",
                         a->params[0]);
        dt_api_fail(a, &err);
        return;
    }
    struct job *j = job_new(a, r->id, delete_work);
    if (j != NULL)
        start(j);
}

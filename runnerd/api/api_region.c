/* /regions: the one that this server is, and those that organizations name. */
#include <stdio.h>

#include "base/clock.h"
#include "model/name.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_object.h"

/* --- reading --- */

/* As old as the server's first user. */
static json_t *own_json(const struct dt_runnerd *rd)
{
    char created[DT_CLOCK_ISO_SIZE];
    const struct dt_user *u = dt_directory_user(&rd->directory, rd->directory.local_user);
    (void)dt_clock_iso(u != NULL ? u->created_ms : 0, created);
    const struct dt_rest_region out = {
        .id = rd->config->default_runner_region,
        .name = rd->config->default_runner_region,
        .region_type = "shared",
        .created_at = created,
        .updated_at = created,
    };
    return dt_rest_region_print(&out);
}

static json_t *region_json(const struct dt_region *r)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE];
    const struct dt_rest_region out = {
        .id = r->id,
        .name = r->name,
        .organization_id = r->org,
        .region_type = "custom",
        .created_at = dt_clock_iso(r->created_ms, created),
        .updated_at = dt_clock_iso(r->updated_ms, updated),
        .proxy_url = r->proxy_url,
        .ssh_gateway_url = r->ssh_gateway_url,
    };
    return dt_rest_region_print(&out);
}

void dt_api_shared_region_list(struct dt_api_req *a)
{
    json_t *list = json_array();
    (void)json_array_append_new(list, own_json(a->rd));
    dt_api_reply_object(a, list);
}

void dt_api_region_list(struct dt_api_req *a)
{
    json_t *list = json_array();
    (void)json_array_append_new(list, own_json(a->rd));
    for (const struct dt_region *r = a->rd->regions.first; r != NULL; r = r->next) {
        if (strcmp(r->org, a->who.org) == 0)
            (void)json_array_append_new(list, region_json(r));
    }
    dt_api_reply_object(a, list);
}

void dt_api_region_get(struct dt_api_req *a)
{
    struct dt_err err;
    const struct dt_region *r = dt_regions_find(&a->rd->regions, a->who.org, a->params[0]);
    if (r != NULL || strcmp(a->params[0], a->rd->config->default_runner_region) == 0) {
        dt_api_reply_object(a, r != NULL ? region_json(r) : own_json(a->rd));
        return;
    }
    (void)dt_err_set(&err, DT_E_NOT_FOUND, "Region not found");
    dt_api_fail(a, &err);
}

/* --- changes --- */

struct job {
    struct dt_api_req *a;
    int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err);
    struct dt_region *region; /* as it is to be; as it is after the job, NULL: it is gone */
    char id[DT_UUID_SIZE];
    char proxy_key[DT_API_KEY_SIZE], ssh_gateway_key[DT_API_KEY_SIZE]; /* fresh ones; empty: none */
};

static void job_free(struct job *j)
{
    (void)dt_region_free(j->region);
    explicit_bzero(j->proxy_key, sizeof(j->proxy_key));
    explicit_bzero(j->ssh_gateway_key, sizeof(j->ssh_gateway_key));
    dt_api_unref(j->a);
    free(j);
}

static void fail(struct job *j, const struct dt_err *err)
{
    dt_api_fail(j->a, err);
    job_free(j);
}

static const char *or_null(const char *z)
{
    return z[0] != '\0' ? z : NULL;
}

static json_t *reply_of(const struct job *j)
{
    const char *proxy = or_null(j->proxy_key), *ssh = or_null(j->ssh_gateway_key);
    if (j->a->op == DT_REST_REGION_CREATE)
        return dt_rest_create_region_response_print(&(struct dt_rest_create_region_response){
            .id = j->id, .proxy_api_key = proxy, .ssh_gateway_api_key = ssh});
    if (j->a->op == DT_REST_REGION_PROXY_KEY || j->a->op == DT_REST_REGION_SSH_KEY)
        return dt_rest_regenerate_api_key_response_print(
            &(struct dt_rest_regenerate_api_key_response){.api_key = proxy != NULL ? proxy : ssh});
    return NULL;
}

static int on_store(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct job *j = arg;
    return j->work(c, j, err);
}

/* Its runners went with it. */
static void forget(struct dt_runnerd *rd, const char *id)
{
    dt_regions_remove(&rd->regions, id);
    dt_api_runners_drop(rd, id, NULL);
}

static void on_loop(void *arg, const struct dt_err *err)
{
    struct job *j = arg;
    if (err != NULL) {
        fail(j, err);
        return;
    }
    if (j->region != NULL)
        dt_regions_put(&j->a->rd->regions, dt_take(j->region));
    else
        forget(j->a->rd, j->id);
    dt_api_reply(j->a, reply_of(j));
    job_free(j);
}

static struct job *job_new(struct dt_api_req *a,
                           int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err))
{
    struct dt_err err;
    struct job *j = calloc(1, sizeof(*j));
    if (j == NULL || (j->region = calloc(1, sizeof(*j->region))) == NULL) {
        free(j);
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return NULL;
    }
    j->a = dt_api_ref(a);
    j->work = work;
    memcpy(j->region->org, a->who.org, sizeof(j->region->org));
    return j;
}

static void start(struct job *j)
{
    struct dt_err err;
    (void)snprintf(j->id, sizeof(j->id), "%s", j->region->id);
    if (dt_db_submit(j->a->rd->db, on_store, j, on_loop, &err) < 0)
        fail(j, &err);
}

/* `id` of the path: a region of the organization, never the shared one. */
static struct job *job_of_path(struct dt_api_req *a,
                               int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err))
{
    struct dt_err err;
    const struct dt_region *r = dt_regions_find(&a->rd->regions, a->who.org, a->params[0]);
    if (r == NULL) {
        bool shared = strcmp(a->params[0], a->rd->config->default_runner_region) == 0;
        (void)dt_err_set(&err, shared ? DT_E_FORBIDDEN : DT_E_NOT_FOUND,
                         shared ? "The shared region cannot be changed" : "Region not found");
        dt_api_fail(a, &err);
        return NULL;
    }
    struct job *j = job_new(a, work);
    if (j != NULL)
        memcpy(j->region->id, r->id, sizeof(j->region->id));
    return j;
}

static void fresh_key(char text[DT_API_KEY_SIZE], bool *has, uint8_t hash[DT_HASH_SIZE])
{
    dt_api_key_make(text);
    dt_hash(dt_str_z(text), hash);
    *has = true;
}

/* Reads the region as it is into the job. */
static int reload(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    struct dt_region *fresh = NULL;
    if (dt_store_region_get(c, j->region->org, j->id, &fresh, err) < 0)
        return -1;
    (void)dt_region_free(j->region);
    j->region = fresh;
    return 0;
}

/* A text that was given, a null that takes it away, or nothing, which keeps it. */
static int set_url(char **at, const json_t *body, const char *name, struct dt_err *err)
{
    const json_t *given = json_object_get(body, name);
    const char *z = json_string_value(given);
    if (given == NULL)
        return 0;
    char *copy = NULL;
    if (z != NULL && z[0] != '\0') {
        size_t n = strlen(z);
        if (strstr(z, "://") == NULL || dt_url_check(dt_str_z(z), err) < 0)
            return dt_err_set(err, DT_E_BAD_REQUEST,
                              "%s must be a URL address such as https://proxy.example.com", name);
        while (z[n - 1] == '/')
            n--;
        copy = strndup(z, n);
        if (copy == NULL)
            return dt_err_set(err, DT_E_NOMEM, "out of memory");
    }
    free(*at);
    *at = copy;
    return 0;
}

static int check_snapshot_manager(const char *url, struct dt_err *err)
{
    if (url == NULL || url[0] == '\0')
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST,
                      "snapshotManagerUrl: snapshot managers come with image builds, in a later "
                      "version");
}

static int create_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_region_add(c, j->region, err) < 0 ? -1 : reload(c, j, err);
}

static int read_create(struct job *j, json_t *body, struct dt_err *err)
{
    struct dt_rest_create_region in;
    struct dt_region *r = j->region;
    if (dt_rest_create_region_parse(body, &in, err) < 0)
        return -1;
    int read = check_snapshot_manager(in.snapshot_manager_url, err);
    if (read == 0 &&
        (dt_snapshot_name_check(dt_str_z(in.name), NULL) < 0 || strpbrk(in.name, "/:") != NULL))
        read = dt_err_set(err, DT_E_BAD_REQUEST,
                          "Region name can only contain letters, numbers, underscores, periods, "
                          "and hyphens");
    if (read == 0 && strcmp(in.name, j->a->rd->config->default_runner_region) == 0)
        read = dt_err_set(err, DT_E_CONFLICT, "Region with name %s already exists", in.name);
    r->name = strdup(in.name);
    dt_rest_create_region_done(&in);
    if (read == 0 && r->name == NULL)
        read = dt_err_set(err, DT_E_NOMEM, "out of memory");
    if (read < 0 || set_url(&r->proxy_url, body, "proxyUrl", err) < 0 ||
        set_url(&r->ssh_gateway_url, body, "sshGatewayUrl", err) < 0)
        return -1;
    if (r->proxy_url != NULL)
        fresh_key(j->proxy_key, &r->has_proxy_key, r->proxy_key);
    if (r->ssh_gateway_url != NULL)
        fresh_key(j->ssh_gateway_key, &r->has_ssh_gateway_key, r->ssh_gateway_key);
    return 0;
}

void dt_api_region_create(struct dt_api_req *a, json_t *body)
{
    struct dt_err err;
    struct job *j = job_new(a, create_work);
    if (j == NULL)
        return;
    dt_rand_uuid(j->region->id);
    if (read_create(j, body, &err) < 0)
        fail(j, &err);
    else
        start(j);
}

/* A key goes with its URL. */
static int update_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    const json_t *body = j->a->body;
    if (reload(c, j, err) < 0 || set_url(&j->region->proxy_url, body, "proxyUrl", err) < 0 ||
        set_url(&j->region->ssh_gateway_url, body, "sshGatewayUrl", err) < 0)
        return -1;
    j->region->has_proxy_key = j->region->has_proxy_key && j->region->proxy_url != NULL;
    j->region->has_ssh_gateway_key =
        j->region->has_ssh_gateway_key && j->region->ssh_gateway_url != NULL;
    return dt_store_region_edit(c, j->region, err) < 0 ? -1 : reload(c, j, err);
}

void dt_api_region_update(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_update_region in;
    struct dt_err err;
    struct job *j = job_of_path(a, update_work);
    if (j == NULL)
        return;
    if (dt_rest_update_region_parse(body, &in, &err) < 0) {
        fail(j, &err);
        return;
    }
    int checked = check_snapshot_manager(in.snapshot_manager_url, &err);
    dt_rest_update_region_done(&in);
    if (checked < 0)
        fail(j, &err);
    else
        start(j);
}

static int delete_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    if (reload(c, j, err) < 0 || dt_store_region_delete(c, j->region, err) < 0)
        return -1;
    j->region = dt_region_free(j->region);
    return 0;
}

void dt_api_region_delete(struct dt_api_req *a)
{
    struct job *j = job_of_path(a, delete_work);
    if (j != NULL)
        start(j);
}

static int key_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    bool proxy = j->a->op == DT_REST_REGION_PROXY_KEY;
    if (reload(c, j, err) < 0)
        return -1;
    struct dt_region *r = j->region;
    if ((proxy ? r->proxy_url : r->ssh_gateway_url) == NULL)
        return dt_err_set(err, DT_E_BAD_REQUEST, "Region does not have %s URL configured",
                          proxy ? "a proxy" : "an SSH gateway");
    if (proxy)
        fresh_key(j->proxy_key, &r->has_proxy_key, r->proxy_key);
    else
        fresh_key(j->ssh_gateway_key, &r->has_ssh_gateway_key, r->ssh_gateway_key);
    return dt_store_region_edit(c, r, err) < 0 ? -1 : reload(c, j, err);
}

void dt_api_region_key(struct dt_api_req *a)
{
    struct job *j = job_of_path(a, key_work);
    if (j != NULL)
        start(j);
}

/* /docker-registry: where images come from and go to. Passwords are never shown again. */
#include <stdio.h>

#include "base/clock.h"
#include "model/name.h"
#include "runnerd/api/api.h"
#include "runnerd/api/api_object.h"
#include "runnerd/store_registry.h"

/* --- a job: some work on the store, then the registry or the list of them --- */

struct job {
    struct dt_api_req *a;
    int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err);
    struct dt_registry_row row;
    struct dt_buf password; /* sealed */
    union {
        json_t *owner;
        struct dt_rest_create_docker_registry create;
        struct dt_rest_update_docker_registry update;
    } in;
    json_t *reply; /* made on the store's thread, given over with the result */
};

static void job_free(struct job *j)
{
    json_decref(j->in.owner);
    json_decref(j->reply);
    dt_buf_done(&j->password);
    dt_api_unref(j->a);
    free(j);
}

static int on_store(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct job *j = arg;
    return j->work(c, j, err);
}

static void on_loop(void *arg, const struct dt_err *err)
{
    struct job *j = arg;
    if (err != NULL)
        dt_api_fail(j->a, err);
    else
        dt_api_reply(j->a, dt_take(j->reply));
    job_free(j);
}

/* NULL when it was answered. */
static struct job *job_new(struct dt_api_req *a,
                           int (*work)(struct dt_db_conn *c, struct job *j, struct dt_err *err))
{
    struct dt_err err;
    struct job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return NULL;
    }
    j->a = dt_api_ref(a);
    j->work = work;
    dt_buf_init(&j->password, (size_t)64 << 10);
    memcpy(j->row.org, a->who.org, sizeof(j->row.org));
    if (a->nparams > 0)
        (void)snprintf(j->row.id, sizeof(j->row.id), "%s",
                       dt_is_uuid(a->params[0]) ? a->params[0] : "");
    return j;
}

static void fail(struct job *j, const struct dt_err *err)
{
    dt_api_fail(j->a, err);
    job_free(j);
}

static void start(struct job *j)
{
    struct dt_err err;
    if (dt_db_submit(j->a->rd->db, on_store, j, on_loop, &err) < 0)
        fail(j, &err);
}

/* --- what is shown --- */

static json_t *registry_json(const struct dt_registry_row *r)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE];
    const struct dt_rest_docker_registry out = {
        .id = r->id,
        .name = r->name,
        .url = r->url,
        .username = r->username,
        .project = r->project,
        .registry_type = r->type,
        .created_at = dt_clock_iso(r->created_ms, created),
        .updated_at = dt_clock_iso(r->updated_ms, updated),
    };
    return dt_rest_docker_registry_print(&out);
}

static int show_one(void *ctx, const struct dt_registry_row *r, struct dt_err *err)
{
    struct job *j = ctx;
    j->reply = registry_json(r);
    return j->reply != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

static int show_next(void *ctx, const struct dt_registry_row *r, struct dt_err *err)
{
    const struct job *j = ctx;
    return json_array_append_new(j->reply, registry_json(r)) == 0
               ? 0
               : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

static int list_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    j->reply = json_array();
    return dt_store_registry_list(c, j->row.org, show_next, j, err);
}

static int get_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_registry_get(c, j->row.org, j->row.id, show_one, j, err);
}

void dt_api_registry_list(struct dt_api_req *a)
{
    struct job *j = job_new(a, list_work);
    if (j != NULL)
        start(j);
}

void dt_api_registry_get(struct dt_api_req *a)
{
    struct job *j = job_new(a, get_work);
    if (j != NULL)
        start(j);
}

/* --- changes --- */

static int seal(struct job *j, const char *password, struct dt_err *err)
{
    if (dt_vault_seal(&j->a->rd->vault, dt_str_z(j->row.id), dt_str_z(password), &j->password,
                      err) < 0)
        return -1;
    j->row.password = dt_buf_str(&j->password);
    return 0;
}

static int create_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_registry_add(c, &j->row, err) < 0 ? -1 : get_work(c, j, err);
}

/* Members make registries of their organization; the others belong to the whole system. */
static int check_create(const struct job *j, struct dt_err *err)
{
    const struct dt_rest_create_docker_registry *in = &j->in.create;
    if (!j->a->who.admin && strcmp(in->registry_type, "organization") != 0)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "Insufficient permissions for creating %s registries", in->registry_type);
    if (!j->a->who.admin && in->is_default)
        return dt_err_set(err, DT_E_FORBIDDEN,
                          "Insufficient permissions for setting a default registry");
    return dt_url_check(dt_str_z(in->url), err);
}

void dt_api_registry_create(struct dt_api_req *a, json_t *body)
{
    struct dt_err err;
    struct job *j = job_new(a, create_work);
    if (j == NULL)
        return;
    const struct dt_rest_create_docker_registry *in = &j->in.create;
    dt_rand_uuid(j->row.id);
    if (dt_rest_create_docker_registry_parse(body, &j->in.create, &err) < 0 ||
        check_create(j, &err) < 0 || seal(j, in->password, &err) < 0) {
        fail(j, &err);
        return;
    }
    j->row.name = in->name;
    j->row.url = in->url;
    j->row.username = in->username;
    j->row.project = in->project != NULL ? in->project : "";
    j->row.type = in->registry_type;
    j->row.is_default = in->is_default;
    start(j);
}

static int update_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_registry_edit(c, &j->row, err) < 0 ? -1 : get_work(c, j, err);
}

void dt_api_registry_update(struct dt_api_req *a, json_t *body)
{
    struct dt_err err;
    struct job *j = job_new(a, update_work);
    if (j == NULL)
        return;
    const struct dt_rest_update_docker_registry *in = &j->in.update;
    if (dt_rest_update_docker_registry_parse(body, &j->in.update, &err) < 0 ||
        dt_url_check(dt_str_z(in->url), &err) < 0 ||
        (in->password != NULL && seal(j, in->password, &err) < 0)) {
        fail(j, &err);
        return;
    }
    j->row.name = in->name;
    j->row.url = in->url;
    j->row.username = in->username;
    j->row.project = in->project;
    start(j);
}

static int delete_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    return dt_store_registry_delete(c, j->row.org, j->row.id, err);
}

void dt_api_registry_delete(struct dt_api_req *a)
{
    struct job *j = job_new(a, delete_work);
    if (j != NULL)
        start(j);
}

static int default_work(struct dt_db_conn *c, struct job *j, struct dt_err *err)
{
    if (dt_store_registry_set_default(c, j->row.id, err) < 0)
        return -1;
    return dt_store_registry_get(c, NULL, j->row.id, show_one, j, err);
}

void dt_api_registry_default(struct dt_api_req *a)
{
    struct job *j = job_new(a, default_work);
    if (j != NULL)
        start(j);
}

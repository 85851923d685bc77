#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"
#include "runnerd/volume.h"

json_t *dt_api_volume_json(const struct dt_volume_row *r)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], used[DT_CLOCK_ISO_SIZE];
    const struct dt_rest_volume v = {
        .id = r->id,
        .name = r->name,
        .organization_id = r->org,
        .state = dt_volume_state_text(r->state),
        .created_at = dt_clock_iso(r->created_ms, created),
        .updated_at = dt_clock_iso(r->updated_ms, updated),
        .last_used_at = r->last_used_ms > 0 ? dt_clock_iso(r->last_used_ms, used) : NULL,
        .error_reason = r->error_reason,
    };
    return dt_rest_volume_print(&v);
}

/* --- reading --- */

struct read_job {
    struct dt_api_req *a;
    bool deleted;
    enum dt_volume_key key;
    json_t *answer; /* made on the store's thread, given over with the result */
};

static int add(void *ctx, struct dt_volume_row *r, struct dt_err *err)
{
    struct read_job *j = ctx;
    if (json_array_append_new(j->answer, dt_api_volume_json(r)) < 0)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return 0;
}

static int list_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct read_job *j = arg;
    j->answer = json_array();
    return dt_store_volume_list(c, j->a->who.org, j->deleted, add, j, err);
}

static int get_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct read_job *j = arg;
    struct dt_volume_row row;
    if (dt_store_volume_get(c, j->a->who.org, j->a->params[0], j->key, &row, err) < 0)
        return -1;
    j->answer = dt_api_volume_json(&row);
    dt_volume_row_done(&row);
    return j->answer != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "out of memory");
}

static void read_done(void *arg, const struct dt_err *err)
{
    struct read_job *j = arg;
    if (err != NULL)
        dt_api_fail(j->a, err);
    else
        dt_api_reply(j->a, json_incref(j->answer));
    json_decref(j->answer);
    dt_api_unref(j->a);
    free(j);
}

static void submit(struct dt_api_req *a, dt_db_fn *fn, bool deleted, enum dt_volume_key key)
{
    struct dt_err err;
    struct read_job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    j->a = dt_api_ref(a);
    j->deleted = deleted;
    j->key = key;
    if (dt_db_submit_read(a->rd->db, fn, j, read_done, &err) < 0)
        read_done(j, &err);
}

void dt_api_volume_list(struct dt_api_req *a)
{
    struct dt_rest_volume_query in;
    struct dt_err err;
    if (dt_rest_volume_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    submit(a, list_job, in.include_deleted, DT_VOLUME_BY_ID);
    dt_rest_volume_query_done(&in);
}

void dt_api_volume_get(struct dt_api_req *a)
{
    submit(a, get_job, false, DT_VOLUME_BY_ID);
}

void dt_api_volume_get_by_name(struct dt_api_req *a)
{
    submit(a, get_job, false, DT_VOLUME_BY_NAME);
}

/* --- making and deleting --- */

static void on_created(void *ctx, const struct dt_volume_row *row, const struct dt_err *err)
{
    struct dt_api_req *a = ctx;
    json_t *answer = err == NULL ? dt_api_volume_json(row) : NULL;
    struct dt_err none;
    (void)dt_err_set(&none, DT_E_NOMEM, "out of memory");
    if (answer != NULL)
        dt_api_reply(a, answer);
    else
        dt_api_fail(a, err != NULL ? err : &none);
    dt_api_unref(a);
}

static void on_deleted(void *ctx, const struct dt_volume_row *row, const struct dt_err *err)
{
    struct dt_api_req *a = ctx;
    (void)row;
    if (err == NULL)
        dt_api_reply(a, NULL);
    else
        dt_api_fail(a, err);
    dt_api_unref(a);
}

void dt_api_volume_create(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_create_volume in;
    struct dt_err err;
    if (dt_rest_create_volume_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    (void)dt_api_ref(a);
    if (dt_volume_create(a->rd, a->who.org, in.name, on_created, a, &err) < 0) {
        dt_api_fail(a, &err);
        dt_api_unref(a);
    }
    dt_rest_create_volume_done(&in);
}

void dt_api_volume_delete(struct dt_api_req *a)
{
    struct dt_err err;
    (void)dt_api_ref(a);
    if (dt_volume_delete(a->rd, a->who.org, a->params[0], on_deleted, a, &err) < 0) {
        dt_api_fail(a, &err);
        dt_api_unref(a);
    }
}

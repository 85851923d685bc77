/* Lists that go beside the pages of sandboxes: forks and their parents, regions, and what a runner
 * asks for. */
#include "runnerd/api/api.h"

enum { ANCESTORS_MAX = 100 };

struct rows_job {
    struct dt_api_req *a;
    int (*work)(struct dt_db_conn *c, struct rows_job *j, struct dt_err *err);
    char id[DT_UUID_SIZE];
    bool destroyed; /* with those */
    bool one;       /* answered as an object */
    bool settled;   /* those alone that are as they are wanted */
    unsigned states;
    struct dt_sandbox_row *rows;
    size_t n, room;
    json_t *names;
};

static int keep(void *ctx, struct dt_sandbox_row *r, struct dt_err *err)
{
    struct rows_job *j = ctx;
    if (j->n == j->room) {
        size_t more = j->room == 0 ? 16 : j->room * 2;
        struct dt_sandbox_row *rows = realloc(j->rows, more * sizeof(*rows));
        if (rows == NULL)
            return dt_err_set(err, DT_E_NOMEM, "sandboxes");
        j->rows = rows;
        j->room = more;
    }
    j->rows[j->n++] = *r;
    memset(r, 0, sizeof(*r));
    return 0;
}

static void job_free(struct rows_job *j)
{
    for (size_t i = 0; i < j->n; i++)
        dt_sandbox_row_done(&j->rows[i]);
    free(j->rows);
    json_decref(j->names);
    dt_api_unref(j->a);
    free(j);
}

static int run(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct rows_job *j = arg;
    return j->work(c, j, err);
}

static void done(void *arg, const struct dt_err *err)
{
    struct rows_job *j = arg;
    if (err != NULL) {
        dt_api_fail(j->a, err);
    } else if (j->names != NULL) {
        dt_api_reply(j->a, json_incref(j->names));
    } else if (j->one) {
        dt_api_reply_row(j->a, &j->rows[0]);
    } else {
        json_t *items = json_array();
        for (size_t i = 0; i < j->n; i++)
            (void)json_array_append_new(items, dt_api_sandbox_json(j->a->rd, &j->rows[i]));
        dt_api_reply(j->a, items);
    }
    job_free(j);
}

static void submit(struct dt_api_req *a, const struct rows_job *like)
{
    struct dt_err err;
    struct rows_job *j = malloc(sizeof(*j));
    if (j == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
        dt_api_fail(a, &err);
        return;
    }
    *j = *like;
    j->a = dt_api_ref(a);
    if (dt_db_submit_read(a->rd->db, run, j, done, &err) < 0) {
        dt_api_fail(a, &err);
        job_free(j);
    }
}

/* --- forks --- */

static int forks_work(struct dt_db_conn *c, struct rows_job *j, struct dt_err *err)
{
    return dt_store_sandbox_forks(c, j->id, j->destroyed, keep, j, err);
}

/* 1 and the row above `id`, 0 when there is none any more. */
static int step_up(struct dt_db_conn *c, struct rows_job *j, const char *id, struct dt_err *err)
{
    struct dt_sandbox_row row, parent;
    struct dt_err why;
    if (dt_store_sandbox_get(c, id, &row, err) < 0)
        return -1;
    int got = 0;
    if (row.forked_from != NULL && dt_store_sandbox_get(c, row.forked_from, &parent, &why) == 0) {
        got = parent.state != DT_SANDBOX_DESTROYED && strcmp(parent.org, row.org) == 0;
        if (got == 1 && keep(j, &parent, err) < 0)
            got = -1;
        dt_sandbox_row_done(&parent);
    }
    dt_sandbox_row_done(&row);
    return got;
}

static int parent_work(struct dt_db_conn *c, struct rows_job *j, struct dt_err *err)
{
    int got = step_up(c, j, j->id, err);
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Sandbox with ID %s has no parent", j->id);
    return got < 0 ? -1 : 0;
}

static int ancestors_work(struct dt_db_conn *c, struct rows_job *j, struct dt_err *err)
{
    int got = step_up(c, j, j->id, err);
    while (got > 0 && j->n < ANCESTORS_MAX)
        got = step_up(c, j, j->rows[j->n - 1].id, err);
    return got < 0 ? -1 : 0;
}

static void family(struct dt_api_req *a, struct rows_job like)
{
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    memcpy(like.id, l->id, sizeof(like.id));
    submit(a, &like);
}

void dt_api_sandbox_forks(struct dt_api_req *a)
{
    struct dt_rest_forks_query in;
    struct dt_err err;
    if (dt_rest_forks_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    family(a, (struct rows_job){.work = forks_work, .destroyed = in.include_destroyed});
    dt_rest_forks_query_done(&in);
}

void dt_api_sandbox_parent(struct dt_api_req *a)
{
    family(a, (struct rows_job){.work = parent_work, .one = true});
}

void dt_api_sandbox_ancestors(struct dt_api_req *a)
{
    family(a, (struct rows_job){.work = ancestors_work});
}

/* --- regions --- */

static int add_region(void *ctx, const char *region, struct dt_err *err)
{
    struct rows_job *j = ctx;
    const struct dt_rest_sandbox_region r = {.name = region};
    if (json_array_append_new(j->names, dt_rest_sandbox_region_print(&r)) < 0)
        return dt_err_set(err, DT_E_NOMEM, "regions");
    return 0;
}

static int regions_work(struct dt_db_conn *c, struct rows_job *j, struct dt_err *err)
{
    j->names = json_array();
    return dt_store_sandbox_regions(c, j->a->who.org, add_region, j, err);
}

void dt_api_sandbox_regions(struct dt_api_req *a)
{
    submit(a, &(struct rows_job){.work = regions_work});
}

/* --- what runs here, for a runner --- */

static int keep_some(void *ctx, struct dt_sandbox_row *r, struct dt_err *err)
{
    const struct rows_job *j = ctx;
    static const enum dt_sandbox_state resting[DT_DESIRED_COUNT] = {
        [DT_DESIRED_STARTED] = DT_SANDBOX_STARTED,     [DT_DESIRED_STOPPED] = DT_SANDBOX_STOPPED,
        [DT_DESIRED_DESTROYED] = DT_SANDBOX_DESTROYED, [DT_DESIRED_ARCHIVED] = DT_SANDBOX_ARCHIVED,
        [DT_DESIRED_PAUSED] = DT_SANDBOX_PAUSED,
    };
    if ((j->states & 1u << r->state) == 0 || (j->settled && resting[r->desired] != r->state))
        return 0;
    return keep(ctx, r, err);
}

static int runner_work(struct dt_db_conn *c, struct rows_job *j, struct dt_err *err)
{
    return dt_store_sandbox_all(c, keep_some, j, err);
}

static int read_states(const char *text, unsigned *ret, struct dt_err *err)
{
    enum {
        ALLOWED = 1 << DT_SANDBOX_STARTED | 1 << DT_SANDBOX_STOPPED | 1 << DT_SANDBOX_ARCHIVED |
                  1 << DT_SANDBOX_DESTROYED
    };
    struct dt_str rest = dt_str_z(text != NULL ? text : ""), one;
    *ret = text == NULL || text[0] == '\0' ? UINT32_MAX : 0;
    while (rest.n > 0 && dt_str_cut(&rest, ',', &one)) {
        char word[32];
        enum dt_sandbox_state s;
        one = dt_str_trim(one);
        (void)snprintf(word, sizeof(word), "%.*s", one.n < sizeof(word) ? (int)one.n : 0, one.p);
        if (dt_sandbox_state_from_text(word, &s) < 0 || (ALLOWED & 1 << s) == 0)
            return dt_err_set(err, DT_E_BAD_REQUEST,
                              "Invalid sandbox state values: %.64s (started, stopped, archived and "
                              "destroyed can be asked for)",
                              text);
        *ret |= 1u << s;
    }
    return 0;
}

void dt_api_sandbox_for_runner(struct dt_api_req *a)
{
    struct dt_rest_for_runner_query in;
    struct dt_err err;
    struct rows_job like = {.work = runner_work};
    if (dt_rest_for_runner_query_parse_query(dt_http_req_query(a->http), &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    like.settled = in.skip_reconciling_sandboxes;
    if (read_states(in.states, &like.states, &err) < 0)
        dt_api_fail(a, &err);
    else if (a->who.runner[0] != '\0')
        dt_api_reply(a, json_array()); /* all sandboxes are on this machine */
    else
        submit(a, &like);
    dt_rest_for_runner_query_done(&in);
}

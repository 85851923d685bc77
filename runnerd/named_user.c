#include "runnerd/named_user.h"

#include <sys/wait.h>
#include <sysexits.h>

#include "json/json.h"
#include "runnerd/forward.h"

enum { ANSWER_MS = 10000, ANSWER_MAX = 4096, BOOT_DEPTH = 8 };

struct question {
    struct dt_runnerd *rd;
    const struct dt_sandbox_row *row;
    dt_named_user_done *done;
    void *ctx;
};

bool dt_named_user_is_set(const struct dt_sandbox_row *row)
{
    DT_AUTO_JSON json_t *boot = dt_json_parse(dt_str_z(row->boot), BOOT_DEPTH, NULL);
    return json_is_true(json_object_get(boot, "userRequired"));
}

/* The toolbox has hung up: because of the user, unless the launcher knows better already. */
static void explain(const struct question *q, struct dt_err *why)
{
    const struct dt_live *l = dt_live_by_id(&q->rd->live, q->row->id);
    if (l != NULL && l->exited &&
        !(WIFEXITED(l->exit_status) && WEXITSTATUS(l->exit_status) == EX_CONFIG))
        (void)dt_err_set(why, DT_E_UNREACHABLE, "the sandbox ended by itself (status %d)",
                         l->exit_status);
    else
        (void)dt_err_set(why, DT_E_BAD_REQUEST,
                         "user '%.100s' does not exist in snapshot '%.100s'; name a user of the "
                         "image or leave it out",
                         q->row->user, q->row->snapshot);
}

static void on_reply(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err)
{
    struct question *q = ctx;
    struct dt_err why;
    (void)reply;
    if (err != NULL && err->code == DT_E_TIMEOUT)
        (void)dt_err_set(&why, DT_E_UNREACHABLE, "its toolbox does not answer: try again");
    else if (err != NULL && (err->code == DT_E_CANCELLED || err->code == DT_E_NOMEM))
        why = *err;
    else if (err != NULL)
        explain(q, &why);
    q->done(q->ctx, err == NULL ? NULL : &why);
    free(q);
}

int dt_named_user_ask(struct dt_runnerd *rd, const struct dt_sandbox_row *row,
                      dt_named_user_done *done, void *ctx, struct dt_err *err)
{
    struct dt_live *l = dt_live_by_id(&rd->live, row->id);
    struct dt_http_call *call;
    struct question *q = malloc(sizeof(*q));
    if (q == NULL || l == NULL) {
        free(q);
        return dt_err_set(err, DT_E_NOMEM, "sandbox");
    }
    *q = (struct question){rd, row, done, ctx};
    const struct dt_http_call_opts opts = {
        .method = "GET", .target = DT_STR("/version"), .total_ms = ANSWER_MS};
    if (dt_forward_toolbox(rd, l, err) == 0 &&
        dt_http_fetch(l->toolbox, &opts, ANSWER_MAX, on_reply, q, &call, err) == 0)
        return 0;
    free(q);
    return -1;
}

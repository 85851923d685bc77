/* GET /git/history: streamed, so that a history of any length fills no memory. */
#include "base/utf8.h"
#include "toolbox/git_op.h"

enum { FIELD_MAX = 1024 * 1024, FIELDS = 5 };

struct history {
    struct dt_buf fields[FIELDS]; /* of the commit that is coming */
    size_t at;
    struct dt_buf text;
    bool any;
    bool failed;
};

static void history_done(void *state)
{
    struct history *h = state;
    for (size_t i = 0; i < FIELDS; i++)
        dt_buf_done(&h->fields[i]);
    dt_buf_done(&h->text);
}

static int add_commit(struct history *h)
{
    struct dt_buf clean[FIELDS];
    int r = 0;
    for (size_t i = 0; i < FIELDS; i++) {
        struct dt_str s = dt_buf_str(&h->fields[i]);
        while (s.n > 0 && s.p[s.n - 1] == '\n')
            s.n--;
        dt_buf_init(&clean[i], (size_t)3 * FIELD_MAX);
        if (dt_utf8_repair(&clean[i], s, NULL) < 0 || dt_buf_addz(&clean[i], "", NULL) < 0)
            r = -1;
    }
    const struct dt_tb_git_commit_info c = {
        .hash = clean[0].p,
        .author = clean[1].p,
        .email = clean[2].p,
        .timestamp = clean[3].p,
        .message = clean[4].p,
    };
    DT_AUTO_JSON json_t *j = r == 0 ? dt_tb_git_commit_info_print(&c) : NULL;
    for (size_t i = 0; i < FIELDS; i++)
        dt_buf_done(&clean[i]);
    if (j == NULL || dt_buf_addz(&h->text, h->any ? "," : "[", NULL) < 0)
        return -1;
    h->any = true;
    return dt_json_write(j, &h->text, NULL);
}

/* The end of a message that is too long is left out. */
static void add_bytes(struct history *h, const char *p, size_t n)
{
    struct dt_buf *b = &h->fields[h->at];
    size_t room = b->max - b->n;
    if (dt_buf_add(b, p, n < room ? n : room, NULL) < 0)
        h->failed = true;
}

static void on_out(void *ctx, const char *p, size_t n)
{
    struct dt_git_op *op = ctx;
    struct history *h = op->state;
    struct dt_err err;
    while (n > 0 && !h->failed) {
        const char *end = memchr(p, '\0', n);
        size_t piece = end != NULL ? (size_t)(end - p) : n;
        add_bytes(h, p, piece);
        if (end == NULL)
            break;
        p += piece + 1;
        n -= piece + 1;
        if (++h->at < FIELDS)
            continue;
        h->failed = h->failed || add_commit(h) < 0;
        for (h->at = FIELDS; h->at > 0; h->at--)
            dt_buf_clear(&h->fields[h->at - 1]);
    }
    if (h->failed) {
        (void)dt_err_set(&err, DT_E_NOMEM, "git history");
        dt_git_op_break(op, &err);
    } else if (h->text.n > 0) {
        dt_git_op_write(op, dt_buf_str(&h->text));
        dt_buf_clear(&h->text);
    }
}

static int finish(struct dt_git_op *op, const struct dt_git_end *end, struct dt_err *err)
{
    const struct history *h = op->state;
    int r = dt_git_run_check(end, NULL, err);
    if (r < 0 && !h->any && strstr(err->msg, "does not have any commits") != NULL)
        r = 0;
    if (r == 0)
        dt_git_op_write_last(op, h->any ? DT_STR("]") : DT_STR("[]"));
    return r;
}

static int begin(struct dt_git_op *op, json_t *body, struct dt_err *err)
{
    (void)body;
    struct history *h = NULL;
    if (dt_git_op_at_query(op, err) < 0 || (h = dt_git_op_state(op, sizeof(*h), err)) == NULL)
        return -1;
    op->state_done = history_done;
    for (size_t i = 0; i < FIELDS; i++)
        dt_buf_init(&h->fields[i], FIELD_MAX);
    dt_buf_init(&h->text, (size_t)64 * FIELD_MAX);
    DT_AUTO_GIT_ARGS struct dt_git_args a = {.v = NULL};
    dt_git_args_add(&a, "log", "-z", "-s", "--no-color", "--no-show-signature", "--encoding=UTF-8",
                    "--format=tformat:%H%x00%an%x00%ae%x00%aI%x00%B", NULL);
    struct dt_git_run_opts run = {.args = &a, .on_out = on_out};
    return dt_git_op_run_with(op, &run, finish, err);
}

void dt_op_git_history(struct dt_toolbox *tb, struct dt_http_req *req,
                       const struct dt_str *segments)
{
    (void)segments;
    dt_git_op_query(tb, req, begin);
}

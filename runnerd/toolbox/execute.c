/* POST /process/execute */
#include <math.h>

#include "toolbox/outcome.h"
#include "toolbox/reply.h"
#include "toolbox/shell.h"

enum {
    BODY_MAX = 16 * 1024 * 1024,
    RESULT_MAX = 4 * 1024 * 1024, /* bytes of `result`, and the most of X-Daytona-Output-Limit */
    SPLIT_DEFAULT = 64 * 1024,
    LIMIT_LEAST = 64,
    TIMEOUT_MAX = 31536000, /* seconds */
};

struct exec {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
    struct dt_command *command; /* NULL before and after it runs */
    bool split;
    unsigned long long default_timeout; /* seconds; 0: none */
    bool is_raw;                        /* came from no SDK: they know the status as `code` */
    size_t limit;
};

static void on_done(void *ctx, bool complete)
{
    struct exec *x = ctx;
    (void)complete;
    if (x->command != NULL)
        dt_command_cancel(x->command);
    free(x);
}

/* The typed struct holds C strings; output may hold NUL, so the texts are put in behind. */
static json_t *split_reply(const struct dt_command_end *end, const struct dt_capture_view *out,
                           const struct dt_capture_view *errors)
{
    const struct dt_tb_execute_split r = {
        .exit_code = end->exit_code,
        .stdout_bytes = (int64_t)end->out->total,
        .stderr_bytes = (int64_t)end->errors->total,
        .stdout_omitted = (int64_t)out->omitted,
        .stderr_omitted = (int64_t)errors->omitted,
        .stdout_path = out->path[0] != '\0' ? out->path : NULL,
        .stderr_path = errors->path[0] != '\0' ? errors->path : NULL,
        .duration_ms = (int64_t)end->duration_ms,
        .timed_out = end->timed_out,
        .has_timed_out = end->timed_out,
    };
    json_t *j = dt_tb_execute_split_print(&r);
    if (j == NULL)
        return NULL;
    dt_outcome_set_text(j, "stdout", dt_buf_str(&out->head));
    dt_outcome_set_text(j, "stderr", dt_buf_str(&errors->head));
    if (out->omitted > 0)
        dt_outcome_set_text(j, "stdoutTail", dt_buf_str(&out->tail));
    if (errors->omitted > 0)
        dt_outcome_set_text(j, "stderrTail", dt_buf_str(&errors->tail));
    return j;
}

static void on_end(void *ctx, const struct dt_command_end *end)
{
    struct exec *x = ctx;
    struct dt_capture_view out = {.omitted = 0}, errors = {.omitted = 0};
    struct dt_err err;
    x->command = NULL;
    json_t *j = NULL;
    if (!x->split)
        j = dt_outcome_plain(end, &err);
    else if (dt_capture_show(end->out, &out, &err) == 0 &&
             dt_capture_show(end->errors, &errors, &err) == 0)
        j = split_reply(end, &out, &errors);
    if (x->is_raw && !x->split && j != NULL)
        (void)json_object_set_new(j, "code", json_integer(end->exit_code));
    dt_outcome_reply(x->req, end, j);
    dt_capture_view_done(&out);
    dt_capture_view_done(&errors);
}

/* A command that could not begin: an error for split callers, the old answer for the others. */
static void not_started(struct exec *x, const struct dt_err *err)
{
    if (x->split)
        dt_reply_error(x->req, err);
    else
        dt_outcome_not_started(x->req, x->is_raw, err);
}

static uint64_t timeout_ms(const struct exec *x, double seconds)
{
    if (seconds <= 0)
        seconds = (double)x->default_timeout;
    return (uint64_t)ceil(seconds * 1000);
}

static int start(struct exec *x, const struct dt_tb_execute *in, struct dt_err *err)
{
    if (in->command[strspn(in->command, " \t\r\n\v\f")] == '\0')
        return dt_err_set(err, DT_E_BAD_REQUEST, "command cannot be empty or whitespace-only");
    if (dt_env_check(in->envs, err) < 0)
        return -1;
    DT_AUTO_FREE char *cwd = dt_guest_cwd(&x->tb->guest, in->cwd, err);
    struct dt_shell_argv argv;
    if (cwd == NULL || dt_shell_argv(&argv, in->command, err) < 0)
        return -1;
    const struct dt_command_opts opts = {
        .argv = argv.argv,
        .cwd = cwd,
        .env = in->envs,
        .extra = {argv.script_fd, -1},
        .split = x->split,
        .limit = x->limit,
        .timeout_ms = timeout_ms(x, in->timeout),
        .on_end = on_end,
        .ctx = x,
    };
    int r = dt_command_start(x->tb, &opts, &x->command, err);
    dt_shell_argv_done(&argv);
    return r;
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct exec *x = ctx;
    struct dt_err err;
    struct dt_tb_execute in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, &err);
    if (j == NULL || dt_tb_execute_parse(j, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(x->req, &err);
        return;
    }
    if (start(x, &in, &err) < 0)
        not_started(x, &err);
    dt_tb_execute_done(&in);
}

static size_t output_limit(const struct dt_http_req *req, bool split)
{
    unsigned long long limit = split ? SPLIT_DEFAULT : RESULT_MAX;
    struct dt_str header = dt_http_req_header(req, "X-Daytona-Output-Limit");
    if (header.p != NULL)
        (void)dt_str_u64(dt_str_trim(header), UINT64_MAX, &limit);
    return limit < LIMIT_LEAST ? LIMIT_LEAST : limit > RESULT_MAX ? RESULT_MAX : (size_t)limit;
}

/* The API's path asks for one; commands by other paths may take for ever. */
static unsigned long long default_timeout(const struct dt_http_req *req)
{
    unsigned long long seconds = 0;
    struct dt_str header = dt_http_req_header(req, "X-Daytona-Default-Timeout");
    if (header.p != NULL)
        (void)dt_str_u64(dt_str_trim(header), TIMEOUT_MAX, &seconds);
    return seconds;
}

void dt_op_process_execute(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)segments;
    struct exec *x = calloc(1, sizeof(*x));
    struct dt_err err;
    if (x == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "execute");
        dt_reply_error(req, &err);
        return;
    }
    x->tb = tb;
    x->req = req;
    x->split = dt_str_eq_nocase(dt_http_req_header(req, "X-Daytona-Split-Output"), DT_STR("true"));
    x->limit = output_limit(req, x->split);
    if (!x->split)
        x->default_timeout = default_timeout(req);
    x->is_raw = !dt_reply_is_api_route(req) &&
                dt_http_req_header(req, "X-Daytona-Source").p == NULL &&
                dt_http_req_header(req, "X-Daytona-SDK-Version").p == NULL;
    dt_http_req_on_done(req, on_done, x);
    dt_http_req_collect(req, BODY_MAX, on_body, x);
}

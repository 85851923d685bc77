/* POST /process/code-run: a program in python, javascript or typescript, and the charts it shows.
 */
#include <fcntl.h>
#include <math.h>

#include "toolbox/json_lines.h"
#include "toolbox/outcome.h"
#include "toolbox/reply.h"
#include "toolbox/script.h"

enum {
    BODY_MAX = 32 * 1024 * 1024,
    RESULT_MAX = 4 * 1024 * 1024,
    CHARTS_MAX = 64 * 1024 * 1024, /* bytes of JSON of all charts together */
    CHART_DEPTH = 16,
    READ_SIZE = 64 * 1024,
    ARGV_MAX = 1000,
};

struct run {
    struct dt_toolbox *tb;
    struct dt_http_req *req;    /* NULL once it is answered or the client is gone */
    struct dt_command *command; /* NULL before and after it runs */
    /* Charts come over a pipe of their own, so that no output can be taken for one. */
    uv_pipe_t pipe;
    bool pipe_open;
    struct dt_json_lines lines;
    size_t charts_bytes;
    unsigned lost; /* charts that were too much */
    json_t *charts;
};

static void free_run(struct run *x)
{
    dt_json_lines_done(&x->lines);
    json_decref(x->charts);
    free(x);
}

static void on_pipe_closed(uv_handle_t *h)
{
    free_run(h->data);
}

static void end(struct run *x)
{
    if (!x->pipe_open)
        free_run(x);
    else if (!uv_is_closing((uv_handle_t *)&x->pipe))
        uv_close((uv_handle_t *)&x->pipe, on_pipe_closed);
}

static void on_done(void *ctx, bool complete)
{
    struct run *x = ctx;
    (void)complete;
    x->req = NULL;
    if (x->command != NULL)
        dt_command_cancel(x->command);
    end(x);
}

/* --- charts --- */

static bool on_chart(void *ctx, json_t *chart, size_t size)
{
    struct run *x = ctx;
    x->charts_bytes += size;
    if (chart == NULL || x->charts_bytes > CHARTS_MAX || json_array_append(x->charts, chart) < 0)
        x->lost++;
    return true;
}

static void take_bytes(struct run *x, const char *p, size_t n)
{
    dt_json_lines_feed(&x->lines, dt_str(p, n), on_chart, x);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    (void)h;
    (void)suggested;
    char *p = malloc(READ_SIZE);
    *buf = uv_buf_init(p, p != NULL ? READ_SIZE : 0);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0)
        take_bytes(s->data, buf->base, (size_t)n);
    else if (n < 0)
        (void)uv_read_stop(s);
    free(buf->base);
}

/* What the program wrote before it ended and the loop has not brought yet. */
static void drain(struct run *x)
{
    char part[4096];
    ssize_t n;
    int fd;
    if (!x->pipe_open || uv_fileno((uv_handle_t *)&x->pipe, &fd) < 0)
        return;
    while ((n = read(fd, part, sizeof(part))) > 0)
        take_bytes(x, part, (size_t)n);
}

static int open_charts(struct run *x, int *write_end, struct dt_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    *write_end = ends[1];
    (void)uv_pipe_init(x->tb->loop, &x->pipe, 0);
    x->pipe.data = x;
    x->pipe_open = true;
    int r = uv_pipe_open(&x->pipe, ends[0]);
    if (r < 0) {
        (void)close(ends[0]);
        return dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r));
    }
    r = uv_read_start((uv_stream_t *)&x->pipe, on_alloc, on_read);
    return r < 0 ? dt_err_set(err, DT_E_SYSTEM, "pipe: %s", uv_strerror(r)) : 0;
}

/* --- the answer --- */

static int note_lost(const struct run *x, json_t *j, struct dt_err *err)
{
    const json_t *result = json_object_get(j, "result");
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, json_string_length(result) + 200);
    if (dt_buf_add(&text, json_string_value(result), json_string_length(result), err) < 0 ||
        dt_buf_addf(&text, err, "\n[%u charts left out: they were more than %d MiB, or no JSON]\n",
                    x->lost, CHARTS_MAX / 1024 / 1024) < 0)
        return -1;
    dt_outcome_set_text(j, "result", dt_buf_str(&text));
    return 0;
}

static void on_end(void *ctx, const struct dt_command_end *ended)
{
    struct run *x = ctx;
    struct dt_err err;
    x->command = NULL;
    drain(x);
    json_t *j = dt_outcome_plain(ended, &err);
    if (j != NULL && x->lost > 0 && note_lost(x, j, &err) < 0)
        j = dt_json_free(j);
    if (j != NULL && json_array_size(x->charts) > 0)
        (void)json_object_set_new(j, "artifacts", json_pack("{s:O}", "charts", x->charts));
    dt_outcome_reply(x->req, ended, j);
}

/* --- what to run --- */

enum language { PYTHON, JAVASCRIPT, TYPESCRIPT };

static const struct {
    const char *name;
    const char *program;
    const char *before[4]; /* the user's arguments come behind these */
} languages[] = {
    [PYTHON] = {"python", "python3", {"-u", "-c", DT_SCRIPT_PYTHON, NULL}},
    /* Behind the program, node takes no argument for an option of its own only after "--". */
    [JAVASCRIPT] = {"javascript",
                    "node",
                    {"-e", "(0,eval)(require('fs').readFileSync(3,'utf8'))('javascript')", "--",
                     NULL}},
    [TYPESCRIPT] = {"typescript",
                    "node",
                    {"-e", "(0,eval)(require('fs').readFileSync(3,'utf8'))('typescript')", "--",
                     NULL}},
};

static int find_language(const char *name, enum language *ret, struct dt_err *err)
{
    for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]); i++) {
        if (strcmp(name, languages[i].name) == 0) {
            *ret = (enum language)i;
            return 0;
        }
    }
    return dt_err_set(err, DT_E_BAD_REQUEST,
                      "unsupported language: %s (python, javascript and typescript are)", name);
}

static int fill_argv(const char **argv, enum language language, const char *program,
                     const json_t *arguments, struct dt_err *err)
{
    size_t n = 0, i;
    const json_t *argument;
    argv[n++] = program;
    for (i = 0; languages[language].before[i] != NULL; i++)
        argv[n++] = languages[language].before[i];
    json_array_foreach(arguments, i, argument)
    {
        argv[n] = json_string_value(argument);
        if (strlen(argv[n]) != json_string_length(argument))
            return dt_err_set(err, DT_E_BAD_REQUEST, "argv[%zu] holds a NUL character", i);
        n++;
    }
    argv[n] = NULL;
    return 0;
}

static int open_script(enum language language, struct dt_err *err)
{
    static const struct dt_str *const python[] = {&dt_script_run_py, &dt_script_hook_py,
                                                  &dt_script_charts_py};
    static const struct dt_str *const node[] = {&dt_script_run_js};
    return language == PYTHON ? dt_script_open(python, 3, err) : dt_script_open(node, 1, err);
}

static int start(struct run *x, const struct dt_tb_code_run *in, struct dt_err *err)
{
    enum language language = PYTHON;
    const char *argv[ARGV_MAX + 8];
    if (find_language(in->language, &language, err) < 0 || dt_env_check(in->envs, err) < 0)
        return -1;
    DT_AUTO_FREE char *program =
        dt_script_program(&x->tb->guest, in->envs, languages[language].program, err);
    DT_AUTO_FREE char *cwd = dt_guest_cwd(&x->tb->guest, NULL, err);
    if (program == NULL || cwd == NULL || fill_argv(argv, language, program, in->argv, err) < 0)
        return -1;
    DT_AUTO_FD int script = open_script(language, err);
    DT_AUTO_FD int code = script < 0 ? -1 : dt_script_open_text(in->code, err);
    DT_AUTO_FD int charts = -1;
    if (code < 0 || (language == PYTHON && open_charts(x, &charts, err) < 0))
        return -1;
    const struct dt_command_opts opts = {
        .argv = argv,
        .cwd = cwd,
        .env = in->envs,
        .in = code,
        .extra = {script, charts},
        .limit = RESULT_MAX,
        .timeout_ms = (uint64_t)ceil(in->timeout * 1000),
        .on_end = on_end,
        .ctx = x,
    };
    return dt_command_start(x->tb, &opts, &x->command, err);
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct run *x = ctx;
    struct dt_err err;
    struct dt_tb_code_run in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, &err);
    if (j == NULL || dt_tb_code_run_parse(j, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(x->req, &err);
        return;
    }
    if (start(x, &in, &err) < 0)
        dt_outcome_not_started(x->req, false, &err);
    dt_tb_code_run_done(&in);
}

void dt_op_code_run(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct run *x = calloc(1, sizeof(*x));
    struct dt_err err;
    if (x == NULL || (x->charts = json_array()) == NULL) {
        free(x);
        (void)dt_err_set(&err, DT_E_NOMEM, "code-run");
        dt_reply_error(req, &err);
        return;
    }
    x->tb = tb;
    x->req = req;
    dt_json_lines_init(&x->lines, CHARTS_MAX, CHART_DEPTH);
    dt_http_req_on_done(req, on_done, x);
    dt_http_req_collect(req, BODY_MAX, on_body, x);
}

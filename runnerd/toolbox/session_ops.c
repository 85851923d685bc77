/* /process/session */
#include "toolbox/entrypoint.h"
#include "toolbox/reply.h"
#include "toolbox/session.h"
#include "toolbox/session_reply.h"

enum {
    SMALL_BODY_MAX = 64 * 1024,
    EXEC_BODY_MAX = 16 * 1024 * 1024,
    INPUT_BODY_MAX = 8 * 1024 * 1024,
    SEGMENT_MAX = 1024
};

/* An exchange whose answer comes later. */
struct call {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
    struct dt_buf session, command; /* what its path is about, decoded */
    struct dt_session_reply reply;
};

static void fail(struct dt_http_req *req, enum dt_err_code code, const char *what)
{
    struct dt_err err;
    (void)dt_err_set(&err, code, "%s", what);
    dt_reply_error(req, &err);
}

/* --- finding --- */

static int decode(struct dt_str segment, struct dt_buf *out, struct dt_err *err)
{
    dt_buf_init(out, SEGMENT_MAX);
    return dt_http_decode(segment, out, err);
}

struct dt_session *dt_session_find_path(const struct dt_str *segments, struct dt_job **job,
                                        struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf session;
    DT_AUTO_BUF struct dt_buf command;
    dt_buf_init(&command, SEGMENT_MAX);
    if (decode(segments[0], &session, err) < 0 ||
        (job != NULL && decode(segments[1], &command, err) < 0))
        return NULL;
    struct dt_session *s = dt_session_find(dt_buf_str(&session), err);
    if (s == NULL || job == NULL)
        return s;
    *job = dt_session_job(s, dt_buf_str(&command), err);
    return *job != NULL ? s : NULL;
}

/* --- calls --- */

static void on_done(void *ctx, bool complete)
{
    struct call *c = ctx;
    (void)complete;
    dt_session_reply_done(&c->reply);
    dt_buf_done(&c->session);
    dt_buf_done(&c->command);
    free(c);
}

/* NULL: it was answered. */
static struct call *call_new(struct dt_toolbox *tb, struct dt_http_req *req,
                             const struct dt_str *segments)
{
    struct dt_err err;
    struct call *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        fail(req, DT_E_NOMEM, "out of memory");
        return NULL;
    }
    c->tb = tb;
    c->req = req;
    dt_session_reply_init(&c->reply, req);
    dt_http_req_on_done(req, on_done, c);
    if (decode(segments[0], &c->session, &err) == 0 && decode(segments[1], &c->command, &err) == 0)
        return c;
    dt_reply_error(req, &err);
    return NULL;
}

/* --- showing --- */

static json_t *show_job(const struct dt_job *job)
{
    const struct dt_tb_session_command c = {
        .id = dt_job_id(job),
        .command = dt_job_command(job),
        .exit_code = dt_job_exit_code(job),
        .has_exit_code = dt_job_is_over(job),
    };
    return dt_tb_session_command_print(&c);
}

static json_t *show_session(const struct dt_session *s)
{
    struct dt_tb_session out = {.session_id = dt_session_id(s), .commands = json_array()};
    for (const struct dt_job *job = dt_session_first_job(s); job != NULL; job = dt_job_next(job))
        (void)json_array_append_new(out.commands, show_job(job));
    json_t *j = dt_tb_session_print(&out);
    json_decref(out.commands);
    return j;
}

void dt_op_session_list(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    (void)tb;
    (void)segments;
    json_t *list = json_array();
    for (const struct dt_session *s = dt_session_first(); s != NULL; s = dt_session_next(s))
        (void)json_array_append_new(list, show_session(s));
    dt_reply_json(req, 200, list);
}

void dt_op_session_get(struct dt_toolbox *tb, struct dt_http_req *req,
                       const struct dt_str *segments)
{
    (void)tb;
    struct dt_err err;
    const struct dt_session *s = dt_session_find_path(segments, NULL, &err);
    if (s == NULL)
        dt_reply_error(req, &err);
    else
        dt_reply_json(req, 200, show_session(s));
}

void dt_op_session_command(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    (void)tb;
    struct dt_err err;
    struct dt_job *job;
    if (dt_session_find_path(segments, &job, &err) == NULL)
        dt_reply_error(req, &err);
    else
        dt_reply_json(req, 200, show_job(job));
}

/* --- logs --- */

static bool asks_socket(const struct dt_http_req *req)
{
    return dt_str_eq_nocase(dt_http_req_header(req, "Upgrade"), DT_STR("websocket"));
}

static bool asks_follow(const struct dt_http_req *req)
{
    DT_AUTO_BUF struct dt_buf value;
    dt_buf_init(&value, 64);
    return dt_http_query_get(dt_http_req_query(req), "follow", &value, NULL) == 1 &&
           dt_str_eq(dt_buf_str(&value), DT_STR("true"));
}

void dt_op_session_logs(struct dt_toolbox *tb, struct dt_http_req *req,
                        const struct dt_str *segments)
{
    struct dt_err err;
    struct dt_job *job;
    bool follow = asks_follow(req);
    if (dt_session_find_path(segments, &job, &err) == NULL) {
        dt_reply_error(req, &err);
        return;
    }
    if (asks_socket(req)) {
        dt_session_socket(tb, req, job, dt_sdk_gates_of(req).combined, follow);
        return;
    }
    struct call *c = call_new(tb, req, segments);
    if (c != NULL && follow && dt_reply_is_api_route(req))
        dt_session_reply_follow(&c->reply, job);
    else if (c != NULL)
        dt_session_reply_log(&c->reply, job);
}

/* --- the entrypoint --- */

static const struct dt_str entrypoint_path[DT_ROUTE_SEGMENTS_MAX] = {
    {DT_ENTRYPOINT_SESSION, sizeof(DT_ENTRYPOINT_SESSION) - 1},
    {DT_ENTRYPOINT_COMMAND, sizeof(DT_ENTRYPOINT_COMMAND) - 1},
};

/* NULL: there is none, and that was the answer. */
static struct dt_session *find_entrypoint(struct dt_http_req *req, struct dt_job **job)
{
    struct dt_err err;
    struct dt_session *s = dt_session_find_path(entrypoint_path, job, &err);
    if (s == NULL)
        fail(req, DT_E_NOT_FOUND,
             "session not found: the sandbox's image has no entrypoint, so nothing runs by itself");
    return s;
}

void dt_op_session_entrypoint(struct dt_toolbox *tb, struct dt_http_req *req,
                              const struct dt_str *segments)
{
    (void)tb;
    (void)segments;
    const struct dt_session *s = find_entrypoint(req, NULL);
    if (s != NULL)
        dt_reply_json(req, 200, show_session(s));
}

/* As the logs of other commands, but never without marks. */
void dt_op_session_entrypoint_logs(struct dt_toolbox *tb, struct dt_http_req *req,
                                   const struct dt_str *segments)
{
    (void)segments;
    struct dt_job *job;
    if (find_entrypoint(req, &job) == NULL)
        return;
    if (asks_socket(req)) {
        dt_session_socket(tb, req, job, false, asks_follow(req));
        return;
    }
    struct call *c = call_new(tb, req, entrypoint_path);
    if (c == NULL)
        return;
    c->reply.gates.combined = false;
    dt_session_reply_log(&c->reply, job);
}

/* --- creating and deleting --- */

static void on_create(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    const struct call *c = ctx;
    struct dt_err err;
    struct dt_tb_session_create in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 4, &err);
    if (j == NULL || dt_tb_session_create_parse(j, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(c->req, &err);
        return;
    }
    if (dt_session_new(c->tb, in.session_id, c->reply.gates.home_cwd, &err) < 0)
        dt_reply_error(c->req, &err);
    else
        dt_reply_empty(c->req, 201);
    dt_tb_session_create_done(&in);
}

void dt_op_session_create(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    struct call *c = call_new(tb, req, segments);
    if (c != NULL)
        dt_http_req_collect(req, SMALL_BODY_MAX, on_create, c);
}

static void on_deleted(void *ctx)
{
    dt_reply_empty(ctx, 204);
}

/* Without an on_done, the request stays until it is answered. */
void dt_op_session_delete(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    (void)tb;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf id;
    struct dt_session *s = NULL;
    if (decode(segments[0], &id, &err) == 0)
        s = dt_session_find_own(dt_buf_str(&id), &err);
    if (s == NULL)
        dt_reply_error(req, &err);
    else
        dt_session_delete(s, on_deleted, req);
}

/* --- commands --- */

static void reply_started(const struct call *c, const struct dt_job *job)
{
    const struct dt_tb_session_execute_reply out = {.cmd_id = dt_job_id(job)};
    dt_reply_json(c->req, 202, dt_tb_session_execute_reply_print(&out));
}

static int execute(struct call *c, const struct dt_tb_session_execute *in, struct dt_err *err)
{
    bool async = in->run_async || in->async;
    if (in->command[strspn(in->command, " \t\r\n\v\f")] == '\0')
        return dt_err_set(err, DT_E_BAD_REQUEST, "command cannot be empty");
    struct dt_job *job;
    struct dt_session *s = dt_session_find_own(dt_buf_str(&c->session), err);
    const struct dt_job_opts o = {
        .command = in->command, .input = async, .echo = !in->suppress_input_echo};
    if (s == NULL || dt_session_exec(s, &o, &job, err) < 0)
        return -1;
    if (async)
        reply_started(c, job);
    else
        dt_session_reply_result(&c->reply, job);
    return 0;
}

static void on_execute(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct call *c = ctx;
    struct dt_http_req *req = c->req;
    struct dt_err err;
    struct dt_tb_session_execute in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 4, &err);
    if (j == NULL || dt_tb_session_execute_parse(j, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(req, &err);
        return;
    }
    if (execute(c, &in, &err) < 0)
        dt_reply_error(req, &err);
    dt_tb_session_execute_done(&in);
}

void dt_op_session_execute(struct dt_toolbox *tb, struct dt_http_req *req,
                           const struct dt_str *segments)
{
    struct call *c = call_new(tb, req, segments);
    if (c != NULL)
        dt_http_req_collect(req, EXEC_BODY_MAX, on_execute, c);
}

static int input(const struct call *c, const struct dt_tb_session_input *in, struct dt_err *err)
{
    const struct dt_session *s = dt_session_find_own(dt_buf_str(&c->session), err);
    struct dt_job *job = s != NULL ? dt_session_job(s, dt_buf_str(&c->command), err) : NULL;
    return job != NULL ? dt_job_input(job, in->data, in->eof, err) : -1;
}

static void on_input(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    const struct call *c = ctx;
    struct dt_err err;
    struct dt_tb_session_input in;
    if (failed != NULL)
        return; /* answered */
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 4, &err);
    if (j == NULL || dt_tb_session_input_parse(j, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(c->req, &err);
        return;
    }
    if (input(c, &in, &err) < 0)
        dt_reply_error(c->req, &err);
    else
        dt_reply_empty(c->req, 204);
    dt_tb_session_input_done(&in);
}

void dt_op_session_input(struct dt_toolbox *tb, struct dt_http_req *req,
                         const struct dt_str *segments)
{
    struct call *c = call_new(tb, req, segments);
    if (c != NULL)
        dt_http_req_collect(req, INPUT_BODY_MAX, on_input, c);
}

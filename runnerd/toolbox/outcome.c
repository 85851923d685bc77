#include "toolbox/outcome.h"

#include <stdio.h>

#include "toolbox/reply.h"

void dt_outcome_set_text(json_t *to, const char *key, struct dt_str text)
{
    (void)json_object_set_new(to, key, json_stringn(text.p != NULL ? text.p : "", text.n));
}

static int join(struct dt_capture_view *out, struct dt_err *err)
{
    char note[256];
    if (out->omitted == 0)
        return 0;
    (void)snprintf(note, sizeof(note), "\n[%llu bytes left out%s%s]\n",
                   (unsigned long long)out->omitted,
                   out->path[0] != '\0' ? "; the whole output is in " : "", out->path);
    out->head.max += sizeof(note) + out->tail.n;
    if (dt_buf_addz(&out->head, note, err) < 0)
        return -1;
    return dt_buf_adds(&out->head, dt_buf_str(&out->tail), err);
}

json_t *dt_outcome_plain(const struct dt_command_end *end, struct dt_err *err)
{
    struct dt_capture_view out = {.omitted = 0};
    const struct dt_tb_execute_result r = {.exit_code = end->exit_code};
    json_t *j = NULL;
    if (dt_capture_show(end->out, &out, err) == 0 && join(&out, err) == 0 &&
        (j = dt_tb_execute_result_print(&r)) != NULL)
        dt_outcome_set_text(j, "result", dt_buf_str(&out.head));
    dt_capture_view_done(&out);
    return j;
}

void dt_outcome_reply(struct dt_http_req *req, const struct dt_command_end *end, json_t *j)
{
    int status = 200;
    if (end->timed_out && j != NULL) {
        struct dt_err err;
        (void)dt_err_set(&err, DT_E_PROCESS_EXECUTION_TIMEOUT,
                         "command execution timeout: it and all processes it started were "
                         "killed after %.3g seconds",
                         (double)end->duration_ms / 1000);
        status = dt_err_http(err.code);
        DT_AUTO_JSON json_t *failure = dt_reply_error_json(req, &err);
        (void)json_object_update(j, failure);
    }
    dt_reply_json(req, status, j);
}

void dt_outcome_not_started(struct dt_http_req *req, bool is_raw, const struct dt_err *err)
{
    if (err->code != DT_E_FILE_NOT_FOUND && err->code != DT_E_FILE_ACCESS_DENIED &&
        err->code != DT_E_UNSUPPORTED) {
        dt_reply_error(req, err);
        return;
    }
    const struct dt_tb_execute_result r = {
        .exit_code = -1, .code = -1, .has_code = is_raw, .result = err->msg};
    dt_reply_json(req, 200, dt_tb_execute_result_print(&r));
}

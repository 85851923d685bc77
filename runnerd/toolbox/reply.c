#include "toolbox/reply.h"

#include <limits.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { REPLY_MAX = 512 * 1024 * 1024 };

static json_t *failure(struct dt_str path, struct dt_str method, const struct dt_err *err)
{
    char when[DT_CLOCK_ISO_SIZE];
    DT_AUTO_BUF struct dt_buf clean_path, clean_method, message;
    dt_buf_init(&clean_path, (size_t)3 * DT_HTTP_HEAD_MAX);
    dt_buf_init(&clean_method, (size_t)3 * DT_HTTP_HEAD_MAX);
    dt_buf_init(&message, 3 * sizeof(err->msg));
    if (dt_utf8_repair(&clean_path, path, NULL) < 0 ||
        dt_utf8_repair(&clean_method, method, NULL) < 0 ||
        dt_utf8_repair(&message, dt_str_z(err->msg), NULL) < 0)
        return NULL;
    struct dt_tb_failure f = {
        .status_code = dt_err_http(err->code),
        .message = message.p,
        .code = dt_err_wire(err->code),
        .source = "DAYTONA_DAEMON",
        .path = clean_path.p,
        .method = clean_method.p,
        .timestamp = dt_clock_iso(dt_clock_real_ms(), when),
        .error = message.p,
    };
    return dt_tb_failure_print(&f);
}

json_t *dt_reply_error_json(const struct dt_http_req *req, const struct dt_err *err)
{
    return failure(dt_http_req_path(req), dt_http_req_method(req), err);
}

void dt_reply_error(struct dt_http_req *req, const struct dt_err *err)
{
    dt_reply_json(req, dt_err_http(err->code), dt_reply_error_json(req, err));
}

void dt_reply_json(struct dt_http_req *req, int status, json_t *body)
{
    DT_AUTO_JSON json_t *own = body;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, REPLY_MAX);
    if (own == NULL || dt_json_write(own, &text, NULL) < 0) {
        static const char sorry[] =
            "{\"statusCode\":503,\"message\":\"out of memory\",\"code\":\"OUT_OF_MEMORY\","
            "\"source\":\"DAYTONA_DAEMON\"}";
        dt_http_req_reply(req, 503, "application/json", sorry, sizeof(sorry) - 1);
        return;
    }
    dt_http_req_reply(req, status, "application/json; charset=utf-8", text.p, text.n);
}

void dt_reply_empty(struct dt_http_req *req, int status)
{
    dt_http_req_reply(req, status, NULL, NULL, 0);
}

bool dt_reply_is_api_route(const struct dt_http_req *req)
{
    return dt_str_eq(dt_http_req_header(req, "X-Daytona-Route"), DT_STR("api"));
}

int dt_reply_file_errno(struct dt_err *err, int number, const char *what)
{
    enum dt_err_code code = DT_E_BAD_REQUEST;
    if (number == ENOENT)
        code = DT_E_FILE_NOT_FOUND;
    else if (number == EACCES || number == EPERM || number == EROFS)
        code = DT_E_FILE_ACCESS_DENIED;
    else if (number == EEXIST)
        code = DT_E_FILE_EXISTS;
    else if (number == ENOSPC || number == EDQUOT || number == EIO || number == ENOMEM)
        code = DT_E_SYSTEM;
    return dt_err_set(err, code, "%s: %s", what, strerror(number));
}

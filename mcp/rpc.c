#include "mcp/rpc.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

static bool is_id(const json_t *id)
{
    return json_is_string(id) || json_is_number(id);
}

static void broken(struct dt_rpc_msg *m, int code, const char *why)
{
    m->kind = DT_RPC_BROKEN;
    m->code = code;
    m->why = why;
}

void dt_rpc_classify(json_t *one, struct dt_rpc_msg *ret)
{
    *ret = (struct dt_rpc_msg){.kind = DT_RPC_REQUEST};
    if (!json_is_object(one)) {
        broken(ret, DT_RPC_INVALID_REQUEST, "a message must be a JSON object");
        return;
    }
    const json_t *id = json_object_get(one, "id");
    const json_t *method = json_object_get(one, "method");
    json_t *params = json_object_get(one, "params");
    ret->id = is_id(id) ? id : NULL;
    ret->method = json_string_value(method);
    ret->params = json_is_null(params) ? NULL : params;
    if (strcmp(dt_json_text(one, "jsonrpc", ""), "2.0") != 0) {
        broken(ret, DT_RPC_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
    } else if (method == NULL &&
               (json_object_get(one, "result") != NULL || json_object_get(one, "error") != NULL)) {
        ret->kind = DT_RPC_RESPONSE;
    } else if (!json_is_string(method) || strlen(ret->method) != json_string_length(method)) {
        broken(ret, DT_RPC_INVALID_REQUEST, "method must be a string");
    } else if (id != NULL && ret->id == NULL) {
        broken(ret, DT_RPC_INVALID_REQUEST, "id must be a string or a number");
    } else if (ret->params != NULL && !json_is_object(ret->params)) {
        broken(ret, DT_RPC_INVALID_PARAMS, "params must be an object");
    } else if (id == NULL) {
        ret->kind = DT_RPC_NOTIFICATION;
    }
    /* Nobody waits for the answer to a notification, not even to a wrong one. */
    if (ret->kind == DT_RPC_BROKEN && ret->code == DT_RPC_INVALID_PARAMS && id == NULL)
        ret->kind = DT_RPC_RESPONSE;
}

json_t *dt_rpc_salvage_id(struct dt_str line)
{
    DT_AUTO_JSON json_t *root =
        json_loadb(line.p, line.n, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    json_t *id = json_object_get(root, "id");
    if (!json_is_real(id))
        return json_is_string(id) ? json_incref(id) : NULL;
    double v = json_real_value(id);
    bool whole = v > -9e15 && v < 9e15 && (double)(int64_t)v == v;
    return whole ? json_integer((int64_t)v) : json_incref(id);
}

int dt_rpc_err_set(struct dt_rpc_err *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    err->code = code;
    err->data[0] = '\0';
    return -1;
}

/* How a byte below 0x80 is written: 0 as it is, 'u' as \u00XX, else behind a backslash. */
static const char escapes[128] = {
    ['\b'] = 'b',  ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"',
    ['\\'] = '\\', [0] = 'u',    [1] = 'u',    [2] = 'u',    [3] = 'u',    [4] = 'u',
    [5] = 'u',     [6] = 'u',    [7] = 'u',    [11] = 'u',   [14] = 'u',   [15] = 'u',
    [16] = 'u',    [17] = 'u',   [18] = 'u',   [19] = 'u',   [20] = 'u',   [21] = 'u',
    [22] = 'u',    [23] = 'u',   [24] = 'u',   [25] = 'u',   [26] = 'u',   [27] = 'u',
    [28] = 'u',    [29] = 'u',   [30] = 'u',   [31] = 'u',   [127] = 'u',
};

static int add_escape(struct dt_buf *out, unsigned char c, struct dt_err *err)
{
    if (escapes[c] == 'u')
        return dt_buf_addf(out, err, "\\u%04x", c);
    char two[2] = {'\\', escapes[c]};
    return dt_buf_add(out, two, 2, err);
}

static int add_valid(struct dt_buf *out, struct dt_str s, struct dt_err *err)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 128 || escapes[c] == 0)
            continue;
        if (dt_buf_add(out, s.p + from, i - from, err) < 0 || add_escape(out, c, err) < 0)
            return -1;
        from = i + 1;
    }
    return dt_buf_add(out, s.p + from, s.n - from, err);
}

int dt_rpc_add_text(struct dt_buf *out, struct dt_str text, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf repaired;
    dt_buf_init(&repaired, SIZE_MAX / 4);
    if (!dt_utf8_valid(text)) {
        if (dt_utf8_repair(&repaired, text, err) < 0)
            return -1;
        text = dt_buf_str(&repaired);
    }
    if (dt_buf_reserve(out, text.n + 2, err) < 0 || dt_buf_add(out, "\"", 1, err) < 0 ||
        add_valid(out, text, err) < 0)
        return -1;
    return dt_buf_add(out, "\"", 1, err);
}

static int add_head(struct dt_buf *out, const json_t *id, struct dt_err *err)
{
    if (dt_buf_addz(out, "{\"jsonrpc\":\"2.0\",\"id\":", err) < 0)
        return -1;
    return id != NULL ? dt_json_write(id, out, err) : dt_buf_addz(out, "null", err);
}

int dt_rpc_add_error(struct dt_buf *out, const json_t *id, const struct dt_rpc_err *why,
                     struct dt_err *err)
{
    if (add_head(out, id, err) < 0 ||
        dt_buf_addf(out, err, ",\"error\":{\"code\":%d,\"message\":", why->code) < 0 ||
        dt_rpc_add_text(out, dt_str_z(why->msg), err) < 0)
        return -1;
    if (why->data[0] != '\0' && dt_buf_addf(out, err, ",\"data\":%s", why->data) < 0)
        return -1;
    return dt_buf_addz(out, "}}", err);
}

int dt_rpc_add_result(struct dt_buf *out, const json_t *id, struct dt_str first,
                      struct dt_str members, struct dt_err *err)
{
    if (add_head(out, id, err) < 0 || dt_buf_addz(out, ",\"result\":{", err) < 0 ||
        dt_buf_adds(out, first, err) < 0)
        return -1;
    if (first.n > 0 && members.n > 0 && dt_buf_addz(out, ",", err) < 0)
        return -1;
    if (dt_buf_adds(out, members, err) < 0)
        return -1;
    return dt_buf_addz(out, "}}", err);
}

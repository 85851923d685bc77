#include "mcp/api_in.h"

void dt_api_failure(const struct dt_api_reply *reply, struct dt_err *err)
{
    static const struct {
        const char *wire;
        int http;
        enum dt_err_code code;
    } table[] = {
#define X(name, wire, http, rpc) {wire, http, DT_E_##name},
        DT_ERR_TABLE(X)
#undef X
    };
    const char *wire = dt_json_text(reply->json, "code", "");
    const json_t *message = json_object_get(reply->json, "message");
    if (json_is_array(message))
        message = json_array_get(message, 0);
    const char *text = json_string_value(message);
    enum dt_err_code code = DT_OK;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && code == DT_OK; i++) {
        if (strcmp(table[i].wire, wire) == 0 && table[i].http == reply->status)
            code = table[i].code;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && code == DT_OK; i++) {
        if (table[i].http == reply->status && table[i].code != DT_E_INVALID)
            code = table[i].code;
    }
    if (code == DT_OK)
        code = reply->status < 500 ? DT_E_BAD_REQUEST : DT_E_SYSTEM;
    if (text == NULL || text[0] == '\0')
        text = dt_json_text(reply->json, "error", dt_http_reason(reply->status));
    /* What the toolbox routes have always answered for it, with a status of 400. */
    if (strcmp(text, "Sandbox not found") == 0)
        code = DT_E_NOT_FOUND;
    (void)dt_err_set(err, code, "%.400s", text);
}

uint64_t dt_api_total(const struct dt_http_reply *http)
{
    for (size_t i = 0; i < http->nheaders; i++) {
        struct dt_str v = http->headers[i].value;
        if (!dt_str_eq_nocase(http->headers[i].name, DT_STR("Content-Range")))
            continue;
        const char *slash = v.n > 0 ? memchr(v.p, '/', v.n) : NULL;
        unsigned long long total;
        if (slash != NULL &&
            dt_str_u64(dt_str(slash + 1, (size_t)(v.p + v.n - slash - 1)), UINT64_MAX, &total) == 0)
            return total;
    }
    return UINT64_MAX;
}

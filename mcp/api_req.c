#include "mcp/api.h"

#include <stdarg.h>

#include "mcp/api_in.h"
#include "net/http_server.h"

enum { TARGET_MAX = 32 * 1024, BODY_MAX = 32 * 1024 * 1024 };

void dt_api_req_init(struct dt_api_req *r, const char *method)
{
    *r = (struct dt_api_req){.method = method};
    dt_buf_init(&r->target, TARGET_MAX);
    dt_buf_init(&r->body, BODY_MAX);
}

void dt_api_req_done(struct dt_api_req *r)
{
    dt_buf_done(&r->target);
    dt_buf_done(&r->body);
}

/* A name made of dots alone would change which resource the path means. */
static int add_encoded(struct dt_buf *out, const char *z, struct dt_err *err)
{
    if (strspn(z, ".") == strlen(z)) {
        for (; *z != '\0'; z++) {
            if (dt_buf_addz(out, "%2E", err) < 0)
                return -1;
        }
        return 0;
    }
    return dt_http_encode(dt_str_z(z), out, err);
}

int dt_api_target(struct dt_api_req *r, struct dt_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int ret = 0;
    for (const char *p = fmt; *p != '\0' && ret == 0;) {
        size_t plain = strcspn(p, "%");
        ret = dt_buf_add(&r->target, p, plain, err);
        p += plain;
        if (*p == '\0' || ret < 0)
            break;
        if (p[1] == 's')
            ret = add_encoded(&r->target, va_arg(ap, const char *), err);
        else
            ret = dt_buf_addf(&r->target, err, "%lld", va_arg(ap, long long));
        p += 2;
    }
    va_end(ap);
    if (ret < 0 && err != NULL && err->code == DT_E_TOO_LARGE)
        (void)dt_err_set(err, DT_E_INVALID, "a name or path is longer than %d bytes",
                         TARGET_MAX / 3);
    return ret;
}

int dt_api_json_body(struct dt_api_req *r, json_t *body, struct dt_err *err)
{
    DT_AUTO_JSON json_t *owned = body;
    if (owned == NULL)
        return dt_err_set(err, DT_E_NOMEM, "request body");
    r->type = "application/json";
    return dt_json_write(owned, &r->body, err);
}

bool dt_api_req_same(const struct dt_api_req *a, const struct dt_api_req *b)
{
    return strcmp(a->method, "GET") == 0 && strcmp(b->method, "GET") == 0 && a->raw == b->raw &&
           a->range_first == b->range_first && a->range_length == b->range_length &&
           a->reply_max == b->reply_max &&
           dt_str_eq(dt_buf_str(&a->target), dt_buf_str(&b->target));
}

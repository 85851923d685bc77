#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Here they are functions, for analyzers too. */
#undef dt_err_set
#undef dt_err_errno
#undef dt_err_wrap

int dt_err_set(struct dt_err *err, enum dt_err_code code, const char *fmt, ...)
{
    if (err == NULL)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    err->code = code;
    err->sys_errno = 0;
    return -1;
}

int dt_err_errno(struct dt_err *err, const char *fmt, ...)
{
    int saved = errno;
    char what[320];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    (void)dt_err_set(err, DT_E_SYSTEM, "%s: %s", what, strerror(saved));
    if (err != NULL)
        err->sys_errno = saved;
    errno = saved;
    return -1;
}

int dt_err_wrap(struct dt_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return -1;
    char old[sizeof(err->msg)];
    memcpy(old, err->msg, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->msg))
        (void)snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", old);
    return -1;
}

static const struct {
    const char *wire;
    int http;
    int rpc;
} rows[] = {[DT_OK] = {"ok", 200, 0},
#define X(name, wire, http, rpc) [DT_E_##name] = {wire, http, rpc},
            DT_ERR_TABLE(X)
#undef X
};

const char *dt_err_wire(enum dt_err_code code)
{
    return rows[code].wire;
}

int dt_err_http(enum dt_err_code code)
{
    return rows[code].http;
}

int dt_err_rpc(enum dt_err_code code)
{
    return rows[code].rpc;
}

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"

static const char *log_program = "daytona";
static enum dt_log_level log_least = DT_LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void dt_log_init(const char *program, enum dt_log_level least)
{
    log_program = program;
    log_least = least;
}

static int add_quoted(struct dt_buf *b, const char *z)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 4096);
    size_t n = strnlen(z, 1024);
    if (dt_utf8_repair(&clean, dt_str(z, n), NULL) < 0 || dt_buf_addz(b, "\"", NULL) < 0)
        return -1;
    for (size_t i = 0; i < clean.n; i++) {
        unsigned char c = (unsigned char)clean.p[i];
        int r = c == '"' || c == '\\'   ? dt_buf_addf(b, NULL, "\\%c", c)
                : c < 0x20 || c == 0x7f ? dt_buf_addf(b, NULL, "\\u%04x", c)
                                        : dt_buf_add(b, &clean.p[i], 1, NULL);
        if (r < 0)
            return -1;
    }
    return dt_buf_addz(b, "\"", NULL);
}

void dt_log(enum dt_log_level level, const char *what, ...)
{
    if (level < log_least)
        return;
    char when[DT_CLOCK_ISO_SIZE];
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 16384);
    int r = dt_buf_addf(&b, NULL, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"msg\":",
                        dt_clock_iso(dt_clock_real_ms(), when), level_names[level], log_program);
    r = r < 0 ? r : add_quoted(&b, what);
    va_list ap;
    va_start(ap, what);
    const char *key;
    while (r == 0 && (key = va_arg(ap, const char *)) != NULL) {
        const char *value = va_arg(ap, const char *);
        if (value != NULL &&
            (dt_buf_addf(&b, NULL, ",\"%s\":", key) < 0 || add_quoted(&b, value) < 0))
            r = -1;
    }
    va_end(ap);
    if (r < 0 || dt_buf_addz(&b, "}\n", NULL) < 0)
        return;
    /* One write, so that lines of several threads do not mix; a log that is gone is no reason to
     * stop. */
    ssize_t put = write(STDERR_FILENO, b.p, b.n);
    (void)put;
}

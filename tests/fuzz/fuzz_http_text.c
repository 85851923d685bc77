#include <assert.h>
#include <stdint.h>

#include "net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DT_AUTO_BUF struct dt_buf out;
    DT_AUTO_BUF struct dt_buf back;
    struct dt_err err;
    struct dt_str s = dt_str((const char *)data, size);
    dt_buf_init(&out, 1 << 20);
    dt_buf_init(&back, 1 << 20);

    if (dt_http_decode(s, &out, &err) == 0)
        assert(out.n <= size && memchr(size > 0 ? (const char *)data : "x", '\0', size) == NULL);
    dt_buf_clear(&out);
    if (dt_http_query_get(s, "path", &out, &err) <= 0)
        assert(out.n == 0);
    dt_buf_clear(&out);
    if (size < 300000 && dt_http_encode(s, &out, &err) == 0 &&
        memchr(size > 0 ? (const char *)data : "x", '\0', size) == NULL) {
        assert(dt_http_decode(dt_buf_str(&out), &back, &err) == 0);
        assert(dt_str_eq(dt_buf_str(&back), s));
    }
    return 0;
}

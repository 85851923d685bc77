#include <assert.h>
#include <stdint.h>

#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MAX = 1000 };
    char accept[DT_WS_ACCEPT_SIZE];
    struct dt_err err;
    struct dt_ws_frame f;
    DT_AUTO_BUF struct dt_buf in;
    dt_buf_init(&in, 1 << 20);
    if (dt_ws_accept(dt_str((const char *)data, size), accept, &err) == 0)
        assert(strlen(accept) == DT_WS_ACCEPT_SIZE - 1);
    if (size == 0 || dt_buf_add(&in, data, size, &err) < 0)
        return 0;
    ssize_t used;
    while ((used = dt_ws_take(in.p, in.n, MAX, &f, &err)) > 0) {
        assert((size_t)used <= in.n && f.payload.n <= MAX);
        assert(f.payload.p >= in.p && f.payload.p + f.payload.n == in.p + used);
        dt_buf_consume(&in, (size_t)used);
    }
    return 0;
}

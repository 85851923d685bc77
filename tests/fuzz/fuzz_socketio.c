#include <assert.h>
#include <stdint.h>

#include "net/socketio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is understood says where it is for, and can be answered there. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_socketio_packet p;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, 1 << 16);
    if (dt_socketio_read(dt_str((const char *)data, size), &p, &err) < 0)
        return 0;
    assert(p.space.n > 0 && p.space.n <= DT_SOCKETIO_NAMESPACE_MAX && p.space.p[0] == '/');
    assert(p.type != DT_SOCKETIO_EVENT || json_is_array(p.data));
    assert(p.type != DT_SOCKETIO_CONNECT || p.data == NULL || json_is_object(p.data));
    assert(dt_socketio_put_refused(&out, p.space, "no", &err) == 0);
    assert(dt_str_starts(dt_buf_str(&out), DT_STR("44")));
    dt_socketio_done(&p);
    return 0;
}

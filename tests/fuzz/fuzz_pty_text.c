/* What a client of PTYs sends in its handshake: an id, an environment; and what goes back. */
#include <assert.h>
#include <stdint.h>

#include "toolbox/guest.h"
#include "toolbox/pty_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str s = dt_str((const char *)data, size);
    struct dt_err err;
    struct dt_pty_text room;
    json_t *envs = NULL;
    if (dt_pty_check_id(s, &err) == 0)
        assert(size > 0 && size <= DT_PTY_ID_MAX && memchr(data, '/', size) == NULL);
    if (dt_pty_envs(s, &envs, &err) == 0)
        assert(json_is_object(envs) && dt_env_check(envs, &err) == 0);
    else
        assert(err.code == DT_E_BAD_REQUEST);
    DT_AUTO_JSON json_t *told = dt_json_parse(dt_pty_failed(err.msg, &room), 2, &err);
    assert(json_is_object(told));
    json_decref(envs);
    return 0;
}

/* A frame as daytona-runnerd, taken over, could send it: never an overrun, and what passes is in
 * range. */
#include <assert.h>
#include <string.h>

#include "runnerd/launcher/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_lw_request r;
    struct dt_err err;
    if (size == 0)
        return 0;
    memset(&r, 0, sizeof(r));
    memcpy(&r, data + 1, size - 1 < sizeof(r) ? size - 1 : sizeof(r));
    if (dt_request_check(&r, (data[0] & 1) != 0, (data[0] & 2) != 0, &err) < 0)
        return 0;
    assert(r.count <= DT_LW_SOCKETS_MAX);
    assert(r.spec.nlayers <= DT_LW_LAYERS_MAX && r.spec.ncidrs <= DT_LW_CIDRS_MAX);
    for (uint32_t i = 0; i < r.spec.nvolumes; i++) {
        const struct dt_lw_volume *v = &r.spec.volumes[i];
        assert(memchr(v->path, '\0', sizeof(v->path)) != NULL && v->path[0] == '/');
        assert(strstr(v->path, "//") == NULL && strstr(v->path, "/../") == NULL);
        assert(memchr(v->subpath, '\0', sizeof(v->subpath)) != NULL && v->subpath[0] != '/');
    }
    assert(memchr(r.spec.hostname, '\0', sizeof(r.spec.hostname)) != NULL);
    return 0;
}

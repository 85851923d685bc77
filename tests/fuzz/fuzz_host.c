#include <assert.h>
#include <stdint.h>

#include "model/preview.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_preview_host host;
    struct dt_str text = dt_str((const char *)data, size);
    enum dt_preview_kind kind = dt_preview_parse(text, DT_STR("proxy.localhost:4000"), &host);
    if (kind == DT_PREVIEW_SANDBOX)
        assert(host.port > 0 && dt_is_uuid(host.label));
    if (kind == DT_PREVIEW_SIGNED)
        assert(host.port > 0 && strlen(host.label) == DT_SIGNED_TOKEN_LEN);
    return 0;
}

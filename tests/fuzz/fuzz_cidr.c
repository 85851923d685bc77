#include <assert.h>
#include <stdint.h>

#include "model/cidr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_cidr out[DT_CIDRS_MAX];
    struct dt_err err;
    int n = dt_cidr_list(dt_str((const char *)data, size), out, &err);
    assert(n >= -1 && n <= DT_CIDRS_MAX);
    for (int i = 0; i < n; i++) {
        assert(out[i].prefix <= 32);
        assert(out[i].prefix == 32 || (out[i].addr & UINT32_MAX >> out[i].prefix) == 0);
    }
    return 0;
}

/* Whatever the file holds: an error, or a file that a second run leaves alone. */
#include <assert.h>

#include "mcp/toml.h"

#define ENTRY "[m.d]\ncommand = \"x\"\n[m.d.env]\nH = \"h\"\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_err err;
    bool changed;
    DT_AUTO_BUF struct dt_buf out, again;
    dt_buf_init(&out, 1 << 22);
    dt_buf_init(&again, 1 << 22);
    if (size > 4096 ||
        dt_toml_merge(dt_str((const char *)data, size), DT_STR(ENTRY), &out, &changed, &err) < 0)
        return 0;
    assert(dt_toml_merge(dt_buf_str(&out), DT_STR(ENTRY), &again, &changed, &err) == 0);
    assert(!changed);
    return 0;
}

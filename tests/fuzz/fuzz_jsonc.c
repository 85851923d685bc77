/* Whatever the file holds: an error, or a file that a second run leaves alone. */
#include <assert.h>

#include "mcp/jsonc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_err err;
    bool changed;
    DT_AUTO_JSON json_t *wanted = dt_json_parse(
        DT_STR("{\"mcpServers\":{\"d\":{\"args\":[\"a\"],\"env\":{\"H\":\"h\"}}}}"), 8, &err);
    DT_AUTO_BUF struct dt_buf out, again;
    dt_buf_init(&out, 1 << 22);
    dt_buf_init(&again, 1 << 22);
    if (size > 4096 ||
        dt_jsonc_merge(dt_str((const char *)data, size), wanted, &out, &changed, &err) < 0)
        return 0;
    assert(dt_jsonc_merge(dt_buf_str(&out), wanted, &again, &changed, &err) == 0);
    assert(!changed);
    return 0;
}

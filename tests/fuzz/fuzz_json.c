/* Any bytes: accepted or refused as jansson's own parser does, with the same value; but that one
 * overlooks a NUL behind a number. */
#include <assert.h>

#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_err err;
    struct dt_str text = dt_str((const char *)data, size);
    DT_AUTO_JSON json_t *ours = dt_json_parse(text, 2048, &err);
    DT_AUTO_JSON json_t *theirs =
        json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool overlooked = ours == NULL && size > 0 && memchr(data, '\0', size) != NULL;
    assert(overlooked || (ours == NULL) == (theirs == NULL));
    assert(ours == NULL || json_equal(ours, theirs));
    return 0;
}

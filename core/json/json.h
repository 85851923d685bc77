/* JSON text to trees and back; the only door to jansson. */
#ifndef DT_JSON_H
#define DT_JSON_H

#include <jansson.h>

#include "base/buf.h"

static inline json_t *dt_json_free(json_t *j)
{
    json_decref(j);
    return NULL;
}
DT_DEFINE_AUTO(json_t *, dt_json_free)
#define DT_AUTO_JSON DT_AUTO(dt_json_free)

/* Any value, not only objects. Refuses duplicate keys, invalid UTF-8, nesting deeper than
 * `max_depth` and integers beyond 64 bits. NULL with `err` set on failure. Strings may hold U+0000.
 */
json_t *dt_json_parse(struct dt_str text, size_t max_depth, struct dt_err *err);
/* Compact text, appended. */
int dt_json_write(const json_t *j, struct dt_buf *out, struct dt_err *err) DT_MUST_CHECK;

/* Members of an object, borrowed; a missing one or one of another type gives the fallback. */
const char *dt_json_text(const json_t *object, const char *key, const char *fallback);
int64_t dt_json_int(const json_t *object, const char *key, int64_t fallback);
bool dt_json_bool(const json_t *object, const char *key, bool fallback);

#endif

/* What API keys and roles allow, as a set: bits of gen/permissions.h. Its text form is the wire
 * strings in the order of schemas/permissions.json, separated by one space. */
#ifndef DT_PERMISSION_H
#define DT_PERMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "gen/permissions.h"

/* The wire string of one bit; NULL when it is none. */
const char *dt_permission_text(uint32_t bit);
/* The bit of a wire string; 0 when there is no such permission. */
uint32_t dt_permission_bit(struct dt_str wire);

/* Words that are no permission are left out: a newer program may have written them. */
uint32_t dt_permissions_parse(const char *text);
enum { DT_PERMISSIONS_TEXT_MAX = 512 };
char *dt_permissions_print(uint32_t set, char out[DT_PERMISSIONS_TEXT_MAX]);

static inline bool dt_permissions_allow(uint32_t held, uint32_t needed)
{
    return (held & needed) == needed;
}

#endif

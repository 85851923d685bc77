/* Patterns: the matcher must agree with a simple one that tries everything. */
#include <assert.h>
#include <stdint.h>

#include "toolbox/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STARS_MAX = 4, NAME_MAX_BYTES = 24 };

/* What a star stands for is tried in every length, one star after the other. */
static bool simple(struct dt_str pattern, size_t from, struct dt_str name)
{
    size_t i = from;
    bool in_set = false;
    for (; i < pattern.n && (pattern.p[i] != '*' || in_set); i++) {
        if (pattern.p[i] == '\\')
            i++;
        else if (pattern.p[i] == '[')
            in_set = true;
        else if (pattern.p[i] == ']')
            in_set = false;
    }
    struct dt_str head = dt_str(pattern.p + from, (i < pattern.n ? i : pattern.n) - from);
    if (i >= pattern.n)
        return dt_glob_match(head, name);
    for (size_t n = 0; n <= name.n; n++) {
        if (!dt_glob_match(head, dt_str(name.p, n)))
            continue;
        for (size_t skip = n; skip <= name.n; skip++) {
            if (simple(pattern, i + 1, dt_str(name.p + skip, name.n - skip)))
                return true;
        }
    }
    return false;
}

/* The first line is the pattern, the rest the name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str name = dt_str((const char *)data, size), pattern;
    size_t stars = 0, wide = 0;
    if (!dt_str_cut(&name, '\n', &pattern) || dt_glob_check(pattern, NULL) < 0)
        return 0;
    if (name.p == NULL)
        name = dt_str("", 0);
    bool got = dt_glob_match(pattern, name);
    for (size_t i = 0; i < pattern.n; i++)
        stars += pattern.p[i] == '*';
    for (size_t i = 0; i < size; i++)
        wide += data[i] >= 0x80; /* a star takes whole characters, the simple one any bytes */
    if (stars <= STARS_MAX && name.n <= NAME_MAX_BYTES && wide == 0)
        assert(got == simple(pattern, 0, name));
    return 0;
}

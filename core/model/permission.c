#include "model/permission.h"

#include <stdio.h>

static const struct {
    uint32_t bit;
    const char *wire;
} table[] = {
#define X(bit, wire) {bit, wire},
    DT_PERMISSION_TABLE(X)
#undef X
};

enum { COUNT = sizeof(table) / sizeof(table[0]) };

const char *dt_permission_text(uint32_t bit)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (table[i].bit == bit)
            return table[i].wire;
    }
    return NULL;
}

uint32_t dt_permission_bit(struct dt_str wire)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (dt_str_eq(wire, dt_str_z(table[i].wire)))
            return table[i].bit;
    }
    return 0;
}

uint32_t dt_permissions_parse(const char *text)
{
    struct dt_str rest = dt_str_z(text), one;
    uint32_t set = 0;
    while (dt_str_cut(&rest, ' ', &one))
        set |= dt_permission_bit(one);
    return set;
}

char *dt_permissions_print(uint32_t set, char out[DT_PERMISSIONS_TEXT_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < COUNT; i++) {
        if ((set & table[i].bit) != 0)
            n += (size_t)snprintf(out + n, DT_PERMISSIONS_TEXT_MAX - n, "%s%s", n > 0 ? " " : "",
                                  table[i].wire);
    }
    return out;
}

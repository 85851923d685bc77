#include "toolbox/ports.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"

/* The kernel prints listeners first, so what lies behind this much is of no interest. */
enum { TABLE_MAX = 4 * 1024 * 1024, LISTEN = 0x0a };

static unsigned reach_of(const char *address)
{
    static const struct {
        const char *address; /* as the kernel prints it: 32-bit words in this machine's order */
        unsigned reach;
    } rows[] = {
        {"00000000", DT_PORT_V4},
        {"0100007F", DT_PORT_V4},
        {"00000000000000000000000000000000", DT_PORT_V6},
        {"00000000000000000000000001000000", DT_PORT_V6},
        {"0000000000000000FFFF000000000000", DT_PORT_V4},
        {"0000000000000000FFFF00000100007F", DT_PORT_V4},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].address, address) == 0)
            return rows[i].reach | DT_PORT_LISTENS;
    }
    return DT_PORT_LISTENS;
}

void dt_ports_parse(struct dt_ports *p, struct dt_str text)
{
    struct dt_str line;
    while (dt_str_cut(&text, '\n', &line)) {
        char copy[160], address[33];
        unsigned port, state;
        size_t n = line.n < sizeof(copy) - 1 ? line.n : sizeof(copy) - 1;
        if (n == 0)
            continue;
        memcpy(copy, line.p, n);
        copy[n] = '\0';
        if (sscanf(copy, " %*d: %32[0-9A-F]:%4x %*32[0-9A-F]:%*4x %2x", address, &port, &state) ==
                3 &&
            state == LISTEN && port < 65536)
            p->reach[port] |= (uint8_t)reach_of(address);
    }
}

struct dt_ports *dt_ports_read(void)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    struct dt_ports *p = calloc(1, sizeof(*p));
    for (size_t i = 0; p != NULL && i < 2; i++) {
        DT_AUTO_BUF struct dt_buf text;
        struct dt_err err;
        dt_buf_init(&text, TABLE_MAX);
        int r = dt_fd_read_file(AT_FDCWD, tables[i], &text, &err);
        if (r == 0 || err.code == DT_E_TOO_LARGE)
            dt_ports_parse(p, dt_buf_str(&text));
    }
    return p;
}

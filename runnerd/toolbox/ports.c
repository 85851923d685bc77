#include "toolbox/ports.h"

#include <fcntl.h>
#include <stdlib.h>

#include "base/fd.h"

/* The kernel prints listeners first, so what lies behind this much is of no interest. */
enum { TABLE_MAX = 4 * 1024 * 1024, LISTEN = 0x0a };

/* The next word of a line; .n == 0 at its end. */
static struct dt_str word(struct dt_str *line)
{
    struct dt_str piece = {NULL, 0};
    while (dt_str_cut(line, ' ', &piece)) {
        if (piece.n > 0)
            return piece;
    }
    return (struct dt_str){NULL, 0};
}

static int hex(struct dt_str s, unsigned *ret)
{
    unsigned v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')))
            return -1;
        v = v << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
    }
    *ret = v;
    return s.n > 0 && s.n <= 4 ? 0 : -1;
}

void dt_ports_parse(struct dt_ports *p, struct dt_str text)
{
    struct dt_str line;
    while (dt_str_cut(&text, '\n', &line)) {
        struct dt_str address, local;
        unsigned port, state;
        (void)word(&line); /* the number */
        local = word(&line);
        (void)word(&line); /* the other end */
        if (hex(word(&line), &state) == 0 && state == LISTEN && dt_str_cut(&local, ':', &address) &&
            hex(local, &port) == 0)
            p->listens[port] = true;
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

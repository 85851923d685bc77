/* Which TCP ports are being listened on in the sandbox, by /proc/net/tcp and tcp6. */
#ifndef DT_TOOLBOX_PORTS_H
#define DT_TOOLBOX_PORTS_H

#include <stdint.h>

#include "base/str.h"

struct dt_ports {
    bool listens[65536]; /* on any address, by port */
};

/* Adds the listeners of one table's text; lines that are something else are skipped. */
void dt_ports_parse(struct dt_ports *p, struct dt_str text);
/* Reads both tables. A new one on the heap (free()), NULL without memory. */
struct dt_ports *dt_ports_read(void);

#endif

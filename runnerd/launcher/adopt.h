/* What a launcher finds when it starts: sandboxes that run, and leftovers. */
#ifndef DT_LAUNCHER_ADOPT_H
#define DT_LAUNCHER_ADOPT_H

#include "base/err.h"

struct dt_launcher;

/* Takes over every sandbox whose record, process, start time and control group agree; ends and
 * removes everything else of this instance: processes, groups, records, sockets, half-made
 * sandboxes, pooled disks. Before the workers are started. */
int dt_adopt(struct dt_launcher *l, struct dt_err *err) DT_MUST_CHECK;

/* Ends every sandbox of this instance and removes what dt_adopt() would, and the trash. The disks
 * of sandboxes stay. Instead of dt_adopt(), in a launcher that serves nobody. */
int dt_end_all(struct dt_launcher *l, struct dt_err *err) DT_MUST_CHECK;

#endif

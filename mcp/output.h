/* What a command wrote, made fit for a model: escape sequences out, the middle of long output cut.
 */
#ifndef DT_OUTPUT_H
#define DT_OUTPUT_H

#include "base/buf.h"

enum { DT_OUTPUT_BUDGET = 10000 }; /* bytes of both streams together that are shown */

/* One stream as the toolbox gives it: all of it in `head`, or its two ends. Borrowed. */
struct dt_output {
    struct dt_str head;
    struct dt_str tail;
    uint64_t omitted; /* bytes between head and tail */
};

/* Shortens the streams to the budget, each by its share, counting what it takes away; only a stream
 * with something omitted already, since only of that one a file with everything exists. */
void dt_output_fit(struct dt_output *a, struct dt_output *b, size_t budget);
/* Appends head, a line that says how much is left out, and tail. */
int dt_output_print(struct dt_buf *out, const struct dt_output *o,
                    struct dt_err *err) DT_MUST_CHECK;
/* Appends text without terminal escape sequences (CSI, OSC and the other strings, two-byte ones).
 */
int dt_output_plain(struct dt_buf *out, struct dt_str text, struct dt_err *err) DT_MUST_CHECK;

#endif

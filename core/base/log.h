/* One JSON line per event, on stderr. core/ never logs above debug; whoever turns an error into an
 * outcome logs it once. Values are escaped, so user text cannot forge a line or move a cursor. */
#ifndef DT_LOG_H
#define DT_LOG_H

#include "base/err.h"

enum dt_log_level { DT_LOG_DEBUG, DT_LOG_INFO, DT_LOG_WARN, DT_LOG_ERROR };

/* Names the program in each line; the pointer is kept. Events below `least` are dropped. */
void dt_log_init(const char *program, enum dt_log_level least);

/* `what` is a fixed English phrase; then pairs of const char * key and value, ended by NULL. A NULL
 * value leaves its pair out. */
void dt_log(enum dt_log_level level, const char *what, ...) __attribute__((sentinel));

#endif

/* How a registered runner is, from when and what it reported last. Time comes in as an argument. */
#ifndef DT_RUNNER_STATE_H
#define DT_RUNNER_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    DT_RUNNER_REPORT_MS = 10000,                   /* how often runners are to report */
    DT_RUNNER_SILENT_MS = 6 * DT_RUNNER_REPORT_MS, /* who does not for so long is unresponsive */
};

/*
 *   INITIALIZING --report--> READY <--report / silence, trouble--> UNRESPONSIVE
 */
enum dt_runner_state {
    DT_RUNNER_INITIALIZING, /* it has not reported yet */
    DT_RUNNER_READY,
    DT_RUNNER_UNRESPONSIVE, /* silent, or one of its services is not healthy */
};

/* `checked_ms` is when it reported last, 0 for never; `trouble` whether a service was not healthy
 * then. A clock that was set back makes nobody unresponsive. */
enum dt_runner_state dt_runner_state(int64_t checked_ms, bool trouble, int64_t now_ms);
/* As the API says it. */
const char *dt_runner_state_text(enum dt_runner_state state);

/* 0 (take another one) to 100, from the busiest of cpu, memory and disk in percent; what is not
 * known counts as idle, what is out of range as the nearest that is in it. */
double dt_runner_score(double cpu, double memory, double disk);

#endif

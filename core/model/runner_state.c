#include "model/runner_state.h"

#include <math.h>

enum dt_runner_state dt_runner_state(int64_t checked_ms, bool trouble, int64_t now_ms)
{
    if (checked_ms == 0)
        return DT_RUNNER_INITIALIZING;
    if (trouble || now_ms - checked_ms > DT_RUNNER_SILENT_MS)
        return DT_RUNNER_UNRESPONSIVE;
    return DT_RUNNER_READY;
}

const char *dt_runner_state_text(enum dt_runner_state state)
{
    static const char *const texts[] = {
        [DT_RUNNER_INITIALIZING] = "initializing",
        [DT_RUNNER_READY] = "ready",
        [DT_RUNNER_UNRESPONSIVE] = "unresponsive",
    };
    return texts[state];
}

double dt_runner_score(double cpu, double memory, double disk)
{
    double worst = fmax(cpu, fmax(memory, disk)); /* of a number and none the number */
    if (isnan(worst))
        return 100;
    return trunc(100 - fmin(100, fmax(0, worst)));
}

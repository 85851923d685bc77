/* What is told of registered runners: on the notification socket to members of their organization
 * who may read runners, and in the log. */
#include "base/clock.h"
#include "base/log.h"
#include "runnerd/api/api_runner.h"

static void to_audience(struct dt_runnerd *rd, const struct dt_remote *r, const char *name,
                        json_t *data)
{
    dt_audience_send(rd, r->org, dt_rest_routes[DT_REST_RUNNER_GET].permissions, name, data);
}

/* Those of the shared region are the administrators' affair. */
static bool is_wanted(const struct dt_runnerd *rd, const struct dt_remote *r)
{
    return r->org[0] != '\0' && dt_audience_wanted(rd, r->org);
}

void dt_api_event_runner(struct dt_runnerd *rd, const struct dt_remote *r, const char *name)
{
    if (r != NULL && is_wanted(rd, r))
        to_audience(rd, r, name, dt_api_remote_json(rd, r, false));
}

static void tell(struct dt_runnerd *rd, const struct dt_remote *r, enum dt_runner_state now)
{
    const char *before = dt_runner_state_text(r->shown), *after = dt_runner_state_text(now);
    dt_log(now == DT_RUNNER_UNRESPONSIVE ? DT_LOG_WARN : DT_LOG_INFO, "registered runner", "runner",
           r->id, "name", r->texts[DT_REMOTE_NAME], "was", before, "is", after, NULL);
    if (is_wanted(rd, r))
        to_audience(rd, r, "runner.state.updated",
                    json_pack("{s:o,s:s,s:s}", "runner", dt_api_remote_json(rd, r, false),
                              "oldState", before, "newState", after));
}

void dt_api_runners_review(struct dt_runnerd *rd)
{
    int64_t now_ms = dt_clock_real_ms();
    for (struct dt_remote *r = rd->remotes.first; r != NULL; r = r->next) {
        enum dt_runner_state now = dt_runner_state(r->checked_ms, r->troubled, now_ms);
        if (now == r->shown)
            continue;
        tell(rd, r, now);
        r->shown = now;
    }
}

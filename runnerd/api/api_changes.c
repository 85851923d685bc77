/*
 * GET /sandbox-changes: an answer that does not end. It gets a line with the id whenever a sandbox
 * of the caller's organization changed, in the kernel's hands before the change is answered. So a
 * client on the unix socket whose connection is silent knows that what it has read behind the head
 * still holds. One that does not read is cut off, and one that lasts for a minute has to ask again,
 * with the rights it has then.
 */
#include <stdio.h>

#include "base/clock.h"
#include "runnerd/api/api.h"

enum { WATCHERS_MAX = 256, LASTS_MS = 60000 };

struct dt_watcher {
    struct dt_watcher *next;
    struct dt_api_req *a; /* its `http` is NULL once the client is gone */
    uint64_t since_ms;
};

static void drop(struct dt_runnerd *rd, struct dt_watcher **at)
{
    struct dt_watcher *w = *at;
    *at = w->next;
    rd->nwatchers--;
    dt_api_unref(w->a);
    free(w);
}

void dt_api_changes_end(struct dt_runnerd *rd, bool all)
{
    uint64_t now = dt_clock_ms();
    for (struct dt_watcher **at = &rd->watchers; *at != NULL;) {
        struct dt_watcher *w = *at;
        bool over = all || now - w->since_ms >= LASTS_MS;
        if (over && w->a->http != NULL)
            dt_http_req_end(w->a->http);
        if (over || w->a->http == NULL)
            drop(rd, at);
        else
            at = &w->next;
    }
}

void dt_api_changed(struct dt_runnerd *rd, const char *org, const char *id)
{
    char line[DT_UUID_SIZE + 1];
    int n = snprintf(line, sizeof(line), "%s\n", id);
    for (struct dt_watcher *w = rd->watchers; w != NULL; w = w->next) {
        if (w->a->http == NULL || strcmp(w->a->who.org, org) != 0)
            continue;
        (void)dt_http_req_write(w->a->http, line, (size_t)n);
        if (!dt_http_req_flush(w->a->http))
            dt_http_req_abort(w->a->http);
    }
}

void dt_api_sandbox_changes(struct dt_api_req *a)
{
    struct dt_runnerd *rd = a->rd;
    struct dt_err err;
    dt_api_changes_end(rd, false);
    struct dt_watcher *w = rd->nwatchers < WATCHERS_MAX ? calloc(1, sizeof(*w)) : NULL;
    if (w == NULL) {
        (void)dt_err_set(&err, DT_E_UNAVAILABLE, "too many clients at once: try again soon");
        dt_api_fail(a, &err);
        return;
    }
    *w = (struct dt_watcher){.next = rd->watchers, .a = dt_api_ref(a), .since_ms = dt_clock_ms()};
    rd->watchers = w;
    rd->nwatchers++;
    dt_http_req_add_header(a->http, "Content-Type", DT_STR("text/plain; charset=utf-8"));
    dt_http_req_begin(a->http, 200, UINT64_MAX);
    if (dt_str_eq(dt_http_req_method(a->http), DT_STR("HEAD")))
        dt_http_req_end(a->http);
    else
        (void)dt_http_req_flush(a->http);
}

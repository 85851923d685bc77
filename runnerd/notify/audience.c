#include "runnerd/notify/audience.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/socketio.h"
#include "runnerd/notify/listener.h"

enum { EVENT_MAX = 1024 * 1024 };

static unsigned bucket_of(const char *org)
{
    unsigned h = 2166136261u;
    for (; *org != '\0'; org++)
        h = (h ^ (unsigned char)*org) * 16777619u;
    return h % DT_AUDIENCE_BUCKETS;
}

struct dt_listener **dt_audience_bucket(struct dt_audience *a, const char *org)
{
    return &a->joined[bucket_of(org)];
}

unsigned dt_audience_count(const struct dt_audience *a, const char *org)
{
    unsigned count = 0;
    for (const struct dt_listener *l = a->joined[bucket_of(org)]; l != NULL;
         l = dt_listener_next(l))
        count += strcmp(dt_listener_org(l), org) == 0;
    return count;
}

bool dt_audience_wanted(const struct dt_runnerd *rd, const char *org)
{
    if (org == NULL || rd->audience.njoined == 0)
        return rd->audience.njoined > 0;
    return dt_audience_count(&rd->audience, org) > 0;
}

static void send_to(struct dt_listener *first, const char *org, uint32_t permissions,
                    struct dt_str message)
{
    int64_t now = dt_clock_real_ms();
    struct dt_listener *next;
    for (struct dt_listener *l = first; l != NULL; l = next) {
        next = dt_listener_next(l);
        if (org != NULL && strcmp(dt_listener_org(l), org) != 0)
            continue;
        if (!dt_listener_holds(l, now))
            dt_listener_dismiss(l, DT_LISTENER_OVER);
        else if (dt_listener_may(l, permissions))
            dt_listener_send(l, message);
    }
}

void dt_audience_send(struct dt_runnerd *rd, const char *org, uint32_t permissions,
                      const char *name, json_t *data)
{
    DT_AUTO_JSON json_t *owned = data;
    DT_AUTO_BUF struct dt_buf text;
    struct dt_err err;
    dt_buf_init(&text, EVENT_MAX);
    if (owned == NULL || dt_socketio_put_event(&text, name, owned, &err) < 0) {
        dt_log(DT_LOG_WARN, "an event is lost", "event", name, "err",
               owned == NULL ? "out of memory" : err.msg, NULL);
        return;
    }
    if (org != NULL) {
        send_to(*dt_audience_bucket(&rd->audience, org), org, permissions, dt_buf_str(&text));
        return;
    }
    for (unsigned i = 0; i < DT_AUDIENCE_BUCKETS; i++)
        send_to(rd->audience.joined[i], NULL, permissions, dt_buf_str(&text));
}

void dt_audience_review(struct dt_runnerd *rd)
{
    int64_t now = dt_clock_real_ms();
    for (unsigned i = 0; i < DT_AUDIENCE_BUCKETS && rd->audience.njoined > 0; i++) {
        struct dt_listener *next;
        for (struct dt_listener *l = rd->audience.joined[i]; l != NULL; l = next) {
            next = dt_listener_next(l);
            if (!dt_listener_holds(l, now))
                dt_listener_dismiss(l, DT_LISTENER_OVER);
        }
    }
}

void dt_audience_end(struct dt_runnerd *rd)
{
    dt_ws_group_close(&rd->audience.all, DT_WS_GOING_AWAY, DT_STR("the server stops"));
}

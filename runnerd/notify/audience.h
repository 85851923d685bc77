/*
 * Who is on the notification socket (/api/socket.io/), and what they are told: each event goes to
 * those of its organization who could have asked for the same with a request, checked anew each
 * time. Whose rights end, or who does not read, is let go. Loop only.
 */
#ifndef DT_AUDIENCE_H
#define DT_AUDIENCE_H

#include "json/json.h"
#include "net/ws_conn.h"

struct dt_runnerd;
struct dt_listener;

enum { DT_AUDIENCE_BUCKETS = 256, DT_AUDIENCE_WAITING_MAX = 512 };

struct dt_audience {
    struct dt_ws_group all; /* with those who have not shown anything yet */
    struct dt_listener *joined[DT_AUDIENCE_BUCKETS]; /* by organization */
    unsigned njoined;
};

/* Whether anybody of `org` listens, of any when NULL: without, an event need not be made. */
bool dt_audience_wanted(const struct dt_runnerd *rd, const char *org);
/* An event to all of `org` (NULL: of every organization) who have `permissions`. Takes `data` over;
 * NULL (without memory) sends nothing. */
void dt_audience_send(struct dt_runnerd *rd, const char *org, uint32_t permissions,
                      const char *name, json_t *data);
/* Lets those go who may listen no more: after each change of the directory, and by the clock. */
void dt_audience_review(struct dt_runnerd *rd);
/* Lets all go: the program ends. */
void dt_audience_end(struct dt_runnerd *rd);

#endif

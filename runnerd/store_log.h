/*
 * What happened to a sandbox, in its own log: written by the transaction that changes the sandbox,
 * the last DT_LOG_ENTRIES_MAX, and of all sandboxes together the last DT_LOG_ALL_MAX, gone with the
 * sandbox. All of these run inside a job.
 */
#ifndef DT_STORE_LOG_H
#define DT_STORE_LOG_H

#include "db/conn.h"

enum { DT_LOG_ENTRIES_MAX = 200, DT_LOG_ALL_MAX = 200000, DT_LOG_BODY_MAX = 512 };

/* OpenTelemetry's numbers. */
enum dt_severity {
    DT_SEVERITY_DEBUG = 5,
    DT_SEVERITY_INFO = 9,
    DT_SEVERITY_WARN = 13,
    DT_SEVERITY_ERROR = 17,
};

/* The name of a severity, and the way back (0: there is none of that name). */
const char *dt_severity_text(enum dt_severity s);
enum dt_severity dt_severity_from_text(const char *text);

struct dt_log_entry {
    int64_t at_ms; /* since 1970 */
    enum dt_severity severity;
    const char *operation; /* such as `start` */
    const char *state;     /* of the sandbox afterwards; NULL: it plays no part */
    bool by_server;        /* nobody asked for it */
    const char *body;      /* cut after DT_LOG_BODY_MAX - 1 bytes */
};

/* A sandbox that is destroyed, or not there, has no log: then it does nothing. */
int dt_store_log_add(struct dt_db_conn *c, const char *sandbox, const struct dt_log_entry *e,
                     struct dt_err *err) DT_MUST_CHECK;

struct dt_log_filter {
    const char *sandbox;
    int64_t from_ms, to_ms;
    bool any_severity; /* else those of `severities`, one bit for each number */
    uint32_t severities;
    const char *search; /* in the body, in any case; NULL = all */
    int64_t offset, limit;
};

/* Newest first. Texts of an entry are borrowed for the call. *total counts all that match. */
int dt_store_log_list(struct dt_db_conn *c, const struct dt_log_filter *f,
                      int (*each)(void *ctx, const struct dt_log_entry *e, struct dt_err *err),
                      void *ctx, int64_t *total, struct dt_err *err) DT_MUST_CHECK;
/* Keeps the last `most` entries of all sandboxes. For the clock: it takes some milliseconds when
 * there are that many. */
int dt_store_log_trim(struct dt_db_conn *c, int64_t most, struct dt_err *err) DT_MUST_CHECK;
/* The sandbox is no more. */
int dt_store_log_drop(struct dt_db_conn *c, const char *sandbox, struct dt_err *err) DT_MUST_CHECK;

#endif

#include "runnerd/store_log.h"

#include <string.h>

static const struct {
    enum dt_severity severity;
    const char *text;
} severities[] = {
    {DT_SEVERITY_DEBUG, "DEBUG"},
    {DT_SEVERITY_INFO, "INFO"},
    {DT_SEVERITY_WARN, "WARN"},
    {DT_SEVERITY_ERROR, "ERROR"},
};

enum { SEVERITIES = sizeof(severities) / sizeof(severities[0]) };

const char *dt_severity_text(enum dt_severity s)
{
    for (size_t i = 0; i < SEVERITIES; i++) {
        if (severities[i].severity == s)
            return severities[i].text;
    }
    return "INFO";
}

enum dt_severity dt_severity_from_text(const char *text)
{
    for (size_t i = 0; i < SEVERITIES; i++) {
        if (strcmp(severities[i].text, text) == 0)
            return severities[i].severity;
    }
    return (enum dt_severity)0;
}

/* As many bytes as fit, without half a character. */
static struct dt_str fitting(const char *z)
{
    struct dt_str s = dt_str_z(z);
    if (s.n < DT_LOG_BODY_MAX)
        return s;
    s.n = DT_LOG_BODY_MAX - 1;
    while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80)
        s.n--;
    return s;
}

int dt_store_log_add(struct dt_db_conn *c, const char *sandbox, const struct dt_log_entry *e,
                     struct dt_err *err)
{
    const struct dt_db_arg body = {.kind = DT_DB_TEXT, .s = fitting(e->body)};
    if (dt_db_run(c,
                  "INSERT INTO sandbox_log SELECT id, (SELECT coalesce(max(seq), 0) + 1 "
                  "FROM sandbox_log WHERE sandbox_id = ?1), ?2, ?3, ?4, ?5, ?6, ?7 "
                  "FROM sandbox WHERE id = ?1 AND state <> 'destroyed'",
                  DT_DB_ARGS(dt_db_t(sandbox), dt_db_i(e->at_ms), dt_db_i(e->severity),
                             dt_db_t(e->operation), dt_db_t(e->state), dt_db_i(e->by_server), body),
                  NULL, err) < 0)
        return -1;
    return dt_db_run(c,
                     "DELETE FROM sandbox_log WHERE sandbox_id = ?1 AND seq <= "
                     "(SELECT max(seq) FROM sandbox_log WHERE sandbox_id = ?1) - ?2",
                     DT_DB_ARGS(dt_db_t(sandbox), dt_db_i(DT_LOG_ENTRIES_MAX)), NULL, err);
}

#define MATCHES                                                                                    \
    "FROM sandbox_log WHERE sandbox_id = ?1 AND at_ms BETWEEN ?2 AND ?3 AND "                      \
    "(?4 OR (?5 >> severity) & 1) AND (?6 IS NULL OR instr(lower(body), lower(?6)) > 0) "
#define MATCH_ARGS                                                                                 \
    dt_db_t(f->sandbox), dt_db_i(f->from_ms), dt_db_i(f->to_ms), dt_db_i(f->any_severity),         \
        dt_db_i(f->severities), dt_db_t(f->search)

static int count(struct dt_db_conn *c, const struct dt_log_filter *f, int64_t *ret,
                 struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT count(*) " MATCHES, DT_DB_ARGS(MATCH_ARGS), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_log_list(struct dt_db_conn *c, const struct dt_log_filter *f,
                      int (*each)(void *ctx, const struct dt_log_entry *e, struct dt_err *err),
                      void *ctx, int64_t *total, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (count(c, f, total, err) < 0 ||
        dt_db_query(c,
                    "SELECT at_ms, severity, operation, state, by_server, body " MATCHES
                    "ORDER BY seq DESC LIMIT ?7 OFFSET ?8",
                    DT_DB_ARGS(MATCH_ARGS, dt_db_i(f->limit), dt_db_i(f->offset)), &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        const struct dt_log_entry e = {.at_ms = dt_db_int(q, 0),
                                       .severity = (enum dt_severity)dt_db_int(q, 1),
                                       .operation = dt_db_text(q, 2),
                                       .state = dt_db_text(q, 3),
                                       .by_server = dt_db_int(q, 4) != 0,
                                       .body = dt_db_text(q, 5)};
        if (each(ctx, &e, err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_log_drop(struct dt_db_conn *c, const char *sandbox, struct dt_err *err)
{
    return dt_db_run(c, "DELETE FROM sandbox_log WHERE sandbox_id = ?1",
                     DT_DB_ARGS(dt_db_t(sandbox)), NULL, err);
}

int dt_store_log_trim(struct dt_db_conn *c, int64_t most, struct dt_err *err)
{
    return dt_db_run(c,
                     "DELETE FROM sandbox_log WHERE (sandbox_id, seq) IN (SELECT sandbox_id, seq "
                     "FROM sandbox_log ORDER BY at_ms DESC LIMIT 1000000000 OFFSET ?1)",
                     DT_DB_ARGS(dt_db_i(most)), NULL, err);
}

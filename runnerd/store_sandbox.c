#include "runnerd/store.h"

#include <stdio.h>

#include "runnerd/store_log.h"
#include "runnerd/store_usage.h"

#define COLUMNS                                                                                    \
    "id, organization_id, name, snapshot_name, state, desired, error_reason, user, env, labels, "  \
    "is_public, net_block_all, net_allow_list, target, class, cpu_millis, memory_mib, disk_mib, "  \
    "auto_stop, auto_archive, auto_delete, starts, layers, boot, created_ms, updated_ms, "         \
    "activity_ms, backup_state, backup_ms, forked_from, is_lost, volumes, linked_to, "             \
    "auto_pause, destroy_ms"

void dt_sandbox_row_done(struct dt_sandbox_row *r)
{
    char *owned[] = {r->name,   r->snapshot,    r->error_reason, r->user,       r->env,
                     r->labels, r->allow_list,  r->target,       r->class_name, r->layers,
                     r->boot,   r->forked_from, r->volumes,      r->linked_to};
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        free(owned[i]);
    memset(r, 0, sizeof(*r));
}

static char *text(struct dt_db_rows *rows, int column, bool *failed)
{
    const char *z = dt_db_text(rows, column);
    char *copy = z != NULL ? strdup(z) : NULL;
    *failed = *failed || (z != NULL && copy == NULL);
    return copy;
}

static void text_id(struct dt_db_rows *rows, int column, char out[DT_UUID_SIZE])
{
    const char *z = dt_db_text(rows, column);
    (void)snprintf(out, DT_UUID_SIZE, "%s", z != NULL ? z : "");
}

static int read_row(struct dt_db_rows *q, struct dt_sandbox_row *ret, struct dt_err *err)
{
    bool failed = false;
    struct dt_sandbox_row r = {
        .name = text(q, 2, &failed),
        .snapshot = text(q, 3, &failed),
        .error_reason = text(q, 6, &failed),
        .user = text(q, 7, &failed),
        .env = text(q, 8, &failed),
        .labels = text(q, 9, &failed),
        .is_public = dt_db_int(q, 10) != 0,
        .block_all = dt_db_int(q, 11) != 0,
        .allow_list = text(q, 12, &failed),
        .target = text(q, 13, &failed),
        .class_name = text(q, 14, &failed),
        .res = {dt_db_int(q, 15), dt_db_int(q, 16), dt_db_int(q, 17)},
        .auto_stop = dt_db_int(q, 18),
        .auto_archive = dt_db_int(q, 19),
        .auto_delete = dt_db_int(q, 20),
        .starts = dt_db_int(q, 21),
        .layers = text(q, 22, &failed),
        .boot = text(q, 23, &failed),
        .created_ms = dt_db_int(q, 24),
        .updated_ms = dt_db_int(q, 25),
        .activity_ms = dt_db_int(q, 26),
        .backup_ms = dt_db_int(q, 28),
        .forked_from = text(q, 29, &failed),
        .lost = dt_db_int(q, 30) != 0,
        .volumes = text(q, 31, &failed),
        .linked_to = text(q, 32, &failed),
        .auto_pause = dt_db_int(q, 33),
        .destroy_ms = dt_db_int(q, 34),
        .signing_epoch = dt_db_int(q, 35),
    };
    text_id(q, 0, r.id);
    text_id(q, 1, r.org);
    bool known = dt_sandbox_state_from_text(dt_db_text(q, 4), &r.state) == 0 &&
                 dt_desired_from_text(dt_db_text(q, 5), &r.desired) == 0 &&
                 dt_backup_from_text(dt_db_text(q, 27), &r.backup) == 0;
    if (failed || !known) {
        int code = failed ? DT_E_NOMEM : DT_E_SYSTEM;
        (void)dt_err_set(err, (enum dt_err_code)code,
                         "store: sandbox %s has state '%s', '%s', '%s'", r.id, dt_db_text(q, 4),
                         dt_db_text(q, 5), dt_db_text(q, 27));
        dt_sandbox_row_done(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

static struct dt_db_arg backup_time(const struct dt_sandbox_row *r)
{
    return r->backup_ms > 0 ? dt_db_i(r->backup_ms) : dt_db_null();
}

int dt_store_sandbox_insert(struct dt_db_conn *c, const struct dt_sandbox_row *r,
                            struct dt_err *err)
{
    const struct dt_db_arg args[] = {
        dt_db_t(r->id),
        dt_db_t(r->org),
        dt_db_t(r->name),
        dt_db_t(r->snapshot),
        dt_db_t(dt_sandbox_state_text(r->state)),
        dt_db_t(dt_desired_text(r->desired)),
        dt_db_t(r->error_reason),
        dt_db_t(r->user),
        dt_db_t(r->env),
        dt_db_t(r->labels),
        dt_db_i(r->is_public),
        dt_db_i(r->block_all),
        dt_db_t(r->allow_list),
        dt_db_t(r->target),
        dt_db_t(r->class_name),
        dt_db_i(r->res.cpu_millis),
        dt_db_i(r->res.memory_mib),
        dt_db_i(r->res.disk_mib),
        dt_db_i(r->auto_stop),
        dt_db_i(r->auto_archive),
        dt_db_i(r->auto_delete),
        dt_db_i(r->starts),
        dt_db_t(r->layers),
        dt_db_t(r->boot),
        dt_db_i(r->created_ms),
        dt_db_i(r->updated_ms),
        dt_db_i(r->activity_ms),
        dt_db_t(dt_backup_text(r->backup)),
        backup_time(r),
        dt_db_t(r->forked_from),
        dt_db_i(r->lost),
        dt_db_t(r->volumes),
        dt_db_t(r->linked_to),
        dt_db_i(r->auto_pause),
        dt_db_i(r->destroy_ms),
        {0},
    };
    struct dt_err why;
    int64_t inserted = 0;
    if (dt_db_run(
            c,
            "INSERT INTO sandbox (" COLUMNS ") SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
            "?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, "
            "?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35 WHERE EXISTS (SELECT 1 FROM "
            "organization WHERE id = ?2)",
            args, &inserted, &why) == 0)
        return inserted > 0 ? dt_store_usage_note(c, r, err)
                            : dt_err_set(err, DT_E_FORBIDDEN,
                                         "Forbidden resource: the organization was deleted");
    if (why.code == DT_E_CONFLICT)
        return dt_err_set(err, DT_E_CONFLICT, "Sandbox with name %s already exists", r->name);
    *err = why;
    return -1;
}

int dt_store_sandbox_get(struct dt_db_conn *c, const char *id, struct dt_sandbox_row *r,
                         struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT " COLUMNS ", signing_epoch FROM sandbox WHERE id = ?1",
                    DT_DB_ARGS(dt_db_t(id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int result = got > 0 ? read_row(q, r, err) : -1;
    dt_db_end(q);
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Sandbox with ID or name %s not found", id);
    return result;
}

int dt_store_sandbox_move(struct dt_db_conn *c, const struct dt_sandbox_row *r, struct dt_err *err)
{
    if (dt_db_run(c,
                  "UPDATE sandbox SET state = ?2, desired = ?3, error_reason = ?4, name = ?5, "
                  "starts = ?6, updated_ms = ?7, activity_ms = ?8, cpu_millis = ?9, "
                  "memory_mib = ?10, disk_mib = ?11, backup_state = ?12, backup_ms = ?13, "
                  "is_lost = ?14 WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(r->id), dt_db_t(dt_sandbox_state_text(r->state)),
                             dt_db_t(dt_desired_text(r->desired)), dt_db_t(r->error_reason),
                             dt_db_t(r->name), dt_db_i(r->starts), dt_db_i(r->updated_ms),
                             dt_db_i(r->activity_ms), dt_db_i(r->res.cpu_millis),
                             dt_db_i(r->res.memory_mib), dt_db_i(r->res.disk_mib),
                             dt_db_t(dt_backup_text(r->backup)), backup_time(r), dt_db_i(r->lost)),
                  NULL, err) < 0)
        return -1;
    if (r->state == DT_SANDBOX_DESTROYED && dt_store_log_drop(c, r->id, err) < 0)
        return -1;
    return dt_store_usage_note(c, r, err);
}

int dt_store_sandbox_edit(struct dt_db_conn *c, const struct dt_sandbox_row *r, struct dt_err *err)
{
    return dt_db_run(
        c,
        "UPDATE sandbox SET labels = ?2, is_public = ?3, auto_stop = ?4, "
        "auto_archive = ?5, auto_delete = ?6, updated_ms = ?7, activity_ms = ?8, "
        "net_block_all = ?9, net_allow_list = ?10, auto_pause = ?11, destroy_ms = ?12 WHERE id = "
        "?1",
        DT_DB_ARGS(dt_db_t(r->id), dt_db_t(r->labels), dt_db_i(r->is_public), dt_db_i(r->auto_stop),
                   dt_db_i(r->auto_archive), dt_db_i(r->auto_delete), dt_db_i(r->updated_ms),
                   dt_db_i(r->activity_ms), dt_db_i(r->block_all), dt_db_t(r->allow_list),
                   dt_db_i(r->auto_pause), dt_db_i(r->destroy_ms)),
        NULL, err);
}

int dt_store_sandbox_backup(struct dt_db_conn *c, const char *id, enum dt_backup_state state,
                            int64_t backup_ms, struct dt_err *err)
{
    return dt_db_run(c,
                     "UPDATE sandbox SET backup_state = ?2, backup_ms = coalesce(?3, backup_ms) "
                     "WHERE id = ?1",
                     DT_DB_ARGS(dt_db_t(id), dt_db_t(dt_backup_text(state)),
                                backup_ms > 0 ? dt_db_i(backup_ms) : dt_db_null()),
                     NULL, err);
}

int dt_store_sandbox_rotate(struct dt_db_conn *c, const char *id, int64_t *epoch,
                            struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "UPDATE sandbox SET signing_epoch = signing_epoch + 1 WHERE id = ?1 "
                    "RETURNING signing_epoch",
                    DT_DB_ARGS(dt_db_t(id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    if (got > 0)
        *epoch = dt_db_int(q, 0);
    dt_db_end(q);
    if (got == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Sandbox with ID or name %s not found", id);
    return got > 0 ? 0 : -1;
}

int dt_store_sandbox_activity(struct dt_db_conn *c, const char *id, int64_t activity_ms,
                              struct dt_err *err)
{
    return dt_db_run(c, "UPDATE sandbox SET activity_ms = ?2 WHERE id = ?1",
                     DT_DB_ARGS(dt_db_t(id), dt_db_i(activity_ms)), NULL, err);
}

int dt_store_sweep(struct dt_db_conn *c, int64_t now_ms, int64_t before_ms, struct dt_err *err)
{
    if (dt_db_run(c, "DELETE FROM sandbox WHERE state = 'destroyed' AND updated_ms < ?1",
                  DT_DB_ARGS(dt_db_i(before_ms)), NULL, err) < 0)
        return -1;
    return dt_db_run(c, "DELETE FROM signed_url WHERE expires_ms < ?1", DT_DB_ARGS(dt_db_i(now_ms)),
                     NULL, err);
}

static int each_row(struct dt_db_rows *q,
                    int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err), void *ctx,
                    struct dt_err *err)
{
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        struct dt_sandbox_row r;
        if (read_row(q, &r, err) < 0) {
            got = -1;
            break;
        }
        int kept = each(ctx, &r, err);
        dt_sandbox_row_done(&r);
        if (kept < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got;
}

int dt_store_sandbox_all(struct dt_db_conn *c,
                         int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err),
                         void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT " COLUMNS ", signing_epoch FROM sandbox WHERE state <> 'destroyed'",
                    NULL, &q, err) < 0)
        return -1;
    return each_row(q, each, ctx, err);
}

int dt_store_sandbox_forks(struct dt_db_conn *c, const char *id, bool destroyed,
                           int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err),
                           void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT " COLUMNS ", signing_epoch FROM sandbox WHERE forked_from = ?1 AND "
                    "(?2 OR state <> 'destroyed') ORDER BY created_ms, id",
                    DT_DB_ARGS(dt_db_t(id), dt_db_i(destroyed)), &q, err) < 0)
        return -1;
    return each_row(q, each, ctx, err);
}

int dt_store_sandbox_regions(struct dt_db_conn *c, const char *org,
                             int (*each)(void *ctx, const char *region, struct dt_err *err),
                             void *ctx, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c,
                    "SELECT DISTINCT target FROM sandbox WHERE organization_id = ?1 AND "
                    "state <> 'destroyed' ORDER BY target",
                    DT_DB_ARGS(dt_db_t(org)), &q, err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        if (each(ctx, dt_db_text(q, 0), err) < 0) {
            got = -1;
            break;
        }
    }
    dt_db_end(q);
    return got;
}

/* What every list asks, answered by the index alone. */
#define LISTED                                                                                     \
    "organization_id = ?1 AND state <> 'destroyed' "                                               \
    "AND (?8 OR state <> 'error' OR desired <> 'destroyed') "                                      \
    "AND sandbox.created_ms BETWEEN ?17 AND ?18 "
/* Prefixes compare without case; LIKE would give % and _ a meaning. */
#define MATCHES                                                                                    \
    LISTED                                                                                         \
    "AND (?2 IS NULL OR lower(substr(id, 1, length(?2))) = lower(?2)) "                            \
    "AND (?3 IS NULL OR lower(substr(name, 1, length(?3))) = lower(?3)) "                          \
    "AND (?4 IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(?4) AS want WHERE NOT EXISTS ("        \
    "SELECT 1 FROM sandbox_label AS have WHERE have.organization_id = ?1 "                         \
    "AND have.key = want.key AND have.value = want.value "                                         \
    "AND have.created_ms = sandbox.created_ms AND have.sandbox_id = sandbox.id))) "                \
    "AND (?5 IS NULL OR state IN (SELECT value FROM json_each(?5))) "                              \
    "AND (?6 IS NULL OR snapshot_name IN (SELECT value FROM json_each(?6))) "                      \
    "AND (?7 IS NULL OR target IN (SELECT value FROM json_each(?7))) "                             \
    "AND (?9 < 0 OR is_public = ?9) "                                                              \
    "AND (?10 < 0 OR (state = 'error' AND desired <> 'destroyed' AND "                             \
    "(NOT is_lost OR backup_ms IS NOT NULL)) = ?10) "                                              \
    "AND cpu_millis BETWEEN ?11 AND ?12 AND memory_mib BETWEEN ?13 AND ?14 "                       \
    "AND disk_mib BETWEEN ?15 AND ?16 AND activity_ms BETWEEN ?19 AND ?20 "                        \
    "AND destroy_ms >= ?21 AND (?22 = 0 OR destroy_ms BETWEEN 1 AND ?22) "
/* The sandboxes with the first of the labels that are asked for, in the order of the list. */
#define LABELLED                                                                                   \
    "(SELECT created_ms AS label_ms, sandbox_id AS label_id FROM sandbox_label "                   \
    "WHERE organization_id = ?1 AND key = (SELECT key FROM json_each(?4) LIMIT 1) "                \
    "AND value = (SELECT value FROM json_each(?4) LIMIT 1) AND created_ms BETWEEN ?17 AND ?18) "   \
    "CROSS JOIN sandbox ON id = label_id "
enum { MATCH_ARGS = 22, AT_CREATED_BEFORE = 17, REST_ARGS = 6 };
#define SORT_KEY                                                                                   \
    "CASE ?23 WHEN 'id' THEN id WHEN 'name' THEN name WHEN 'state' THEN state "                    \
    "WHEN 'snapshot' THEN snapshot_name WHEN 'region' THEN target WHEN 'updatedAt' THEN "          \
    "updated_ms WHEN 'lastActivityAt' THEN activity_ms WHEN 'cpu' THEN cpu_millis "                \
    "WHEN 'memoryGib' THEN memory_mib WHEN 'diskGib' THEN disk_mib ELSE created_ms END "
#define SORTED                                                                                     \
    "ORDER BY CASE WHEN ?24 = 'asc' THEN " SORT_KEY "END ASC NULLS LAST, "                         \
    "CASE WHEN ?24 <> 'asc' THEN " SORT_KEY "END DESC NULLS LAST, created_ms DESC, id DESC "
#define BEHIND "AND (?25 IS NULL OR (sandbox.created_ms, id) < (?26, ?25)) "
#define PART   "LIMIT ?27 OFFSET ?28"

/* A statement has all the arguments, whether it needs them or not. */
#define UNASKED "AND ?22 IS NOT NULL"

/* A list by what it asks for: newest first, without filters; with them; with labels; in any order.
 */
enum list_kind { LIST_ALL, LIST_MATCHING, LIST_LABELLED, LIST_SORTED };
static const struct {
    const char *page, *count;
} lists[] = {
    [LIST_ALL] = {"SELECT " COLUMNS
                  ", signing_epoch FROM sandbox INDEXED BY sandbox_created WHERE " LISTED BEHIND
                  "ORDER BY created_ms DESC, id DESC " PART,
                  "SELECT count(*) FROM sandbox INDEXED BY sandbox_created WHERE " LISTED UNASKED},
    [LIST_MATCHING] = {"SELECT " COLUMNS
                       ", signing_epoch FROM sandbox INDEXED BY sandbox_created WHERE " MATCHES
                           BEHIND "ORDER BY created_ms DESC, id DESC " PART,
                       "SELECT count(*) FROM sandbox WHERE " MATCHES},
    [LIST_LABELLED] = {"SELECT " COLUMNS ", signing_epoch FROM " LABELLED "WHERE " MATCHES BEHIND
                       "ORDER BY label_ms DESC, label_id DESC " PART,
                       "SELECT count(*) FROM " LABELLED "WHERE " MATCHES},
    [LIST_SORTED] = {"SELECT " COLUMNS
                     ", signing_epoch FROM sandbox WHERE " MATCHES BEHIND SORTED PART,
                     "SELECT count(*) FROM sandbox WHERE " MATCHES},
};

static bool has_amounts(const struct dt_resources *r)
{
    return r->cpu_millis > 0 || r->memory_mib > 0 || r->disk_mib > 0;
}

static enum list_kind kind_of(const struct dt_sandbox_filter *f)
{
    if (strcmp(f->sort, "createdAt") != 0 || strcmp(f->order, "desc") != 0)
        return LIST_SORTED;
    if (f->labels != NULL)
        return LIST_LABELLED;
    bool amounts = has_amounts(&f->least) || has_amounts(&f->most);
    bool texts = f->id_prefix != NULL || f->name_prefix != NULL || f->states != NULL ||
                 f->snapshots != NULL || f->regions != NULL;
    bool others = f->is_public >= 0 || f->is_recoverable >= 0 || f->active_after_ms > 0 ||
                  f->active_before_ms > 0 || f->destroy_after_ms > 0 || f->destroy_before_ms > 0;
    return amounts || texts || others ? LIST_MATCHING : LIST_ALL;
}

static struct dt_db_arg at_most(int64_t v)
{
    return dt_db_i(v > 0 ? v : INT64_MAX);
}

static void match_args(const struct dt_sandbox_filter *f, struct dt_db_arg args[MATCH_ARGS])
{
    const struct dt_db_arg all[MATCH_ARGS] = {
        dt_db_t(f->org),
        dt_db_t(f->id_prefix),
        dt_db_t(f->name_prefix),
        dt_db_t(f->labels),
        dt_db_t(f->states),
        dt_db_t(f->snapshots),
        dt_db_t(f->regions),
        dt_db_i(f->errored_deleted),
        dt_db_i(f->is_public),
        dt_db_i(f->is_recoverable),
        dt_db_i(f->least.cpu_millis),
        at_most(f->most.cpu_millis),
        dt_db_i(f->least.memory_mib),
        at_most(f->most.memory_mib),
        dt_db_i(f->least.disk_mib),
        at_most(f->most.disk_mib),
        dt_db_i(f->created_after_ms),
        at_most(f->created_before_ms),
        dt_db_i(f->active_after_ms),
        at_most(f->active_before_ms),
        dt_db_i(f->destroy_after_ms),
        dt_db_i(f->destroy_before_ms),
    };
    memcpy(args, all, sizeof(all));
}

static int count(struct dt_db_conn *c, const char *sql, const struct dt_db_arg *args,
                 int64_t *total, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, sql, args, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *total = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

int dt_store_sandbox_list(struct dt_db_conn *c, const struct dt_sandbox_filter *f,
                          int (*each)(void *ctx, struct dt_sandbox_row *r, struct dt_err *err),
                          void *ctx, int64_t *total, struct dt_err *err)
{
    struct dt_db_rows *q;
    struct dt_db_arg args[MATCH_ARGS + REST_ARGS + 1] = {{0}};
    enum list_kind kind = kind_of(f);
    match_args(f, args);
    if (total != NULL && count(c, lists[kind].count, args, total, err) < 0)
        return -1;
    if (f->after_id != NULL && (f->created_before_ms == 0 || f->after_ms < f->created_before_ms))
        args[AT_CREATED_BEFORE] = dt_db_i(f->after_ms); /* where the index is entered */
    const struct dt_db_arg rest[REST_ARGS] = {dt_db_t(f->sort),     dt_db_t(f->order),
                                              dt_db_t(f->after_id), dt_db_i(f->after_ms),
                                              dt_db_i(f->limit),    dt_db_i(f->offset)};
    memcpy(args + MATCH_ARGS, rest, sizeof(rest));
    if (dt_db_query(c, lists[kind].page, args, &q, err) < 0)
        return -1;
    return each_row(q, each, ctx, err);
}

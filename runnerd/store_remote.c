/* Registered runners in the store. */
#include "runnerd/remote.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "json/json.h"

#define COLUMNS                                                                                    \
    "id, region_id, organization_id, key_hash, prefix, suffix, name, tags, api_version, domain, "  \
    "api_url, proxy_url, app_version, gpu_type, figures, checked_ms, is_troubled, "                \
    "unschedulable, draining, created_ms, updated_ms"

enum { FIRST_TEXT = 6, FIGURES_MAX = 1024 };

/* --- rows --- */

/* `null` for what is not known. *ret is the caller's. */
static int figures_text(const struct dt_remote *r, char **ret, struct dt_err *err)
{
    DT_AUTO_JSON json_t *list = json_array();
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, FIGURES_MAX);
    for (int i = 0; i < DT_REMOTE_FIGURES; i++)
        (void)json_array_append_new(list,
                                    isnan(r->figures[i]) ? json_null() : json_real(r->figures[i]));
    if (json_array_size(list) != DT_REMOTE_FIGURES)
        return dt_err_set(err, DT_E_NOMEM, "runner");
    if (dt_json_write(list, &b, err) < 0)
        return -1;
    *ret = dt_buf_take(&b);
    return *ret != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "runner");
}

static void figures_read(const char *text, double out[DT_REMOTE_FIGURES])
{
    DT_AUTO_JSON json_t *list = dt_json_parse(dt_str_z(text), 2, NULL);
    for (size_t i = 0; i < DT_REMOTE_FIGURES; i++) {
        const json_t *one = json_array_get(list, i);
        out[i] = json_is_number(one) ? json_number_value(one) : NAN;
    }
}

static void copy_text(struct dt_db_rows *q, int column, char *out, size_t size)
{
    const char *z = dt_db_text(q, column);
    (void)snprintf(out, size, "%s", z != NULL ? z : "");
}

static int read_row(struct dt_db_rows *q, struct dt_remote **ret, struct dt_err *err)
{
    DT_AUTO(dt_remote_free) struct dt_remote *r = dt_remote_new();
    if (r == NULL)
        return dt_err_set(err, DT_E_NOMEM, "runner");
    copy_text(q, 0, r->id, sizeof(r->id));
    copy_text(q, 1, r->region, sizeof(r->region));
    copy_text(q, 2, r->org, sizeof(r->org));
    struct dt_str hash = dt_db_blob(q, 3);
    memcpy(r->key, hash.p, hash.n < sizeof(r->key) ? hash.n : sizeof(r->key));
    copy_text(q, 4, r->prefix, sizeof(r->prefix));
    copy_text(q, 5, r->suffix, sizeof(r->suffix));
    for (int i = 0; i < DT_REMOTE_TEXTS; i++) {
        if (dt_remote_set(r, (enum dt_remote_text)i, dt_db_text(q, FIRST_TEXT + i)) < 0)
            return dt_err_set(err, DT_E_NOMEM, "runner");
    }
    int at = FIRST_TEXT + DT_REMOTE_TEXTS;
    figures_read(dt_db_text(q, at), r->figures);
    r->checked_ms = dt_db_int(q, at + 1);
    r->troubled = dt_db_int(q, at + 2) != 0;
    r->unschedulable = dt_db_int(q, at + 3) != 0;
    r->draining = dt_db_int(q, at + 4) != 0;
    r->created_ms = dt_db_int(q, at + 5);
    r->updated_ms = dt_db_int(q, at + 6);
    r->shown = dt_runner_state(r->checked_ms, r->troubled, dt_clock_real_ms());
    *ret = dt_take(r);
    return 0;
}

int dt_remotes_load(struct dt_remotes *t, struct dt_db_conn *c, struct dt_err *err)
{
    struct dt_db_rows *q;
    struct dt_remote **at = &t->first;
    if (dt_db_query(c, "SELECT " COLUMNS " FROM remote_runner ORDER BY created_ms, id", NULL, &q,
                    err) < 0)
        return -1;
    int got;
    while ((got = dt_db_next(q, err)) > 0) {
        if (read_row(q, at, err) < 0) {
            got = -1;
            break;
        }
        at = &(*at)->next;
    }
    dt_db_end(q);
    return got;
}

/* --- reading and writing --- */

static int missing(struct dt_err *err, const char *id)
{
    return dt_err_set(err, DT_E_NOT_FOUND, "Runner with ID %.64s not found", id);
}

int dt_store_remote_get(struct dt_db_conn *c, const char *id, struct dt_remote **ret,
                        struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, "SELECT " COLUMNS " FROM remote_runner WHERE id = ?1",
                    DT_DB_ARGS(dt_db_t(id)), &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    int result = got > 0 ? read_row(q, ret, err) : got;
    dt_db_end(q);
    return got == 0 ? missing(err, id) : result;
}

static const char *or_null(const char *z)
{
    return z[0] != '\0' ? z : NULL;
}

static int count(struct dt_db_conn *c, const char *sql, const struct dt_db_arg *args,
                 long long *ret, struct dt_err *err)
{
    struct dt_db_rows *q;
    if (dt_db_query(c, sql, args, &q, err) < 0)
        return -1;
    int got = dt_db_next(q, err);
    *ret = got > 0 ? dt_db_int(q, 0) : 0;
    dt_db_end(q);
    return got < 0 ? -1 : 0;
}

/* Whether its region is still there, has no other one of its name, and its organization not too
 * many. */
static int check_room(struct dt_db_conn *c, const struct dt_remote *r, struct dt_err *err)
{
    long long regions, same, all;
    if (count(c, "SELECT count(*) FROM region WHERE id = ?1", DT_DB_ARGS(dt_db_t(r->region)),
              &regions, err) < 0 ||
        count(c,
              "SELECT count(*) FROM remote_runner WHERE coalesce(region_id, '') = ?1 AND name = ?2",
              DT_DB_ARGS(dt_db_t(r->region), dt_db_t(r->texts[DT_REMOTE_NAME])), &same, err) < 0 ||
        count(c, "SELECT count(*) FROM remote_runner WHERE organization_id IS ?1",
              DT_DB_ARGS(dt_db_t(or_null(r->org))), &all, err) < 0)
        return -1;
    if (r->region[0] != '\0' && regions == 0)
        return dt_err_set(err, DT_E_NOT_FOUND, "Region not found");
    if (same > 0)
        return dt_err_set(err, DT_E_CONFLICT, "Runner with name %s already exists in this region",
                          r->texts[DT_REMOTE_NAME]);
    if (all >= DT_REMOTES_MAX)
        return dt_err_set(err, DT_E_FORBIDDEN, "You have reached the maximum number of runners");
    return 0;
}

int dt_store_remote_add(struct dt_db_conn *c, const struct dt_remote *r, struct dt_err *err)
{
    struct dt_err why;
    DT_AUTO_FREE char *figures = NULL;
    char *const *t = r->texts;
    if (check_room(c, r, err) < 0 || figures_text(r, &figures, err) < 0)
        return -1;
    if (dt_db_run(c,
                  "INSERT INTO remote_runner (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                  "?9, ?10, ?11, ?12, ?13, ?14, ?15, NULL, 0, 0, 0, ?16, ?16)",
                  DT_DB_ARGS(dt_db_t(r->id), dt_db_t(or_null(r->region)), dt_db_t(or_null(r->org)),
                             dt_db_b(r->key, sizeof(r->key)), dt_db_t(r->prefix),
                             dt_db_t(r->suffix), dt_db_t(t[DT_REMOTE_NAME]),
                             dt_db_t(t[DT_REMOTE_TAGS]), dt_db_t(t[DT_REMOTE_API_VERSION]),
                             dt_db_t(t[DT_REMOTE_DOMAIN]), dt_db_t(t[DT_REMOTE_API_URL]),
                             dt_db_t(t[DT_REMOTE_PROXY_URL]), dt_db_t(t[DT_REMOTE_APP_VERSION]),
                             dt_db_t(t[DT_REMOTE_GPU_TYPE]), dt_db_t(figures),
                             dt_db_i(dt_clock_real_ms())),
                  NULL, &why) == 0)
        return 0;
    if (why.code == DT_E_CONFLICT)
        return dt_err_set(err, DT_E_CONFLICT, "apiKey: this key is in use already: take another");
    *err = why;
    return -1;
}

static bool knows_figures(const struct dt_remote *r)
{
    for (int i = 0; i < DT_REMOTE_FIGURES; i++) {
        if (!isnan(r->figures[i]))
            return true;
    }
    return false;
}

int dt_store_remote_report(struct dt_db_conn *c, const struct dt_remote *r, struct dt_err *err)
{
    int64_t changed = 0;
    DT_AUTO_FREE char *figures = NULL;
    char *const *t = r->texts;
    if (knows_figures(r) && figures_text(r, &figures, err) < 0)
        return -1;
    if (dt_db_run(c,
                  "UPDATE remote_runner SET domain = coalesce(?2, domain), api_url = coalesce(?3, "
                  "api_url), proxy_url = coalesce(?4, proxy_url), app_version = coalesce(?5, "
                  "app_version), gpu_type = coalesce(?6, gpu_type), figures = coalesce(?7, "
                  "figures), is_troubled = ?8, checked_ms = ?9 WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(r->id), dt_db_t(t[DT_REMOTE_DOMAIN]),
                             dt_db_t(t[DT_REMOTE_API_URL]), dt_db_t(t[DT_REMOTE_PROXY_URL]),
                             dt_db_t(t[DT_REMOTE_APP_VERSION]), dt_db_t(t[DT_REMOTE_GPU_TYPE]),
                             dt_db_t(figures), dt_db_i(r->troubled), dt_db_i(r->checked_ms)),
                  &changed, err) < 0)
        return -1;
    return changed == 1 ? 0 : missing(err, r->id);
}

static struct dt_db_arg flag_arg(const bool *flag)
{
    return flag != NULL ? dt_db_i(*flag) : dt_db_null();
}

int dt_store_remote_flags(struct dt_db_conn *c, const char *id, const bool *unschedulable,
                          const bool *draining, struct dt_err *err)
{
    int64_t changed = 0;
    if (dt_db_run(c,
                  "UPDATE remote_runner SET unschedulable = coalesce(?2, unschedulable), draining "
                  "= coalesce(?3, draining), updated_ms = ?4 WHERE id = ?1",
                  DT_DB_ARGS(dt_db_t(id), flag_arg(unschedulable), flag_arg(draining),
                             dt_db_i(dt_clock_real_ms())),
                  &changed, err) < 0)
        return -1;
    return changed == 1 ? 0 : missing(err, id);
}

int dt_store_remote_delete(struct dt_db_conn *c, const char *id, struct dt_err *err)
{
    int64_t changed = 0;
    if (dt_db_run(c, "DELETE FROM remote_runner WHERE id = ?1", DT_DB_ARGS(dt_db_t(id)), &changed,
                  err) < 0)
        return -1;
    return changed == 1 ? 0 : missing(err, id);
}

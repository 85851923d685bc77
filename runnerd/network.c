#include "runnerd/network.h"

#include "base/clock.h"
#include "base/log.h"
#include "runnerd/boot.h"

enum { CALL_MS = 60000 };

struct change {
    struct dt_runnerd *rd;
    struct dt_sandbox_row row;
    dt_lifecycle_done *done;
    void *ctx;
    struct dt_network_ask ask;
    char *allow_list; /* of the ask */
    bool old_block_all;
    char *old_allow_list;
    bool back; /* the launcher could not: `why` */
    struct dt_err why;
};

static void change_free(struct change *ch)
{
    dt_sandbox_row_done(&ch->row);
    free(ch->allow_list);
    free(ch->old_allow_list);
    free(ch);
}

static void over(struct change *ch, const struct dt_err *err)
{
    struct dt_live *l = dt_live_by_id(&ch->rd->live, ch->row.id);
    if (l != NULL) {
        l->busy = false;
        l->changed_ms = dt_clock_ms();
    }
    ch->done(ch->ctx, &ch->row, err);
    if (l != NULL)
        dt_lifecycle_wake(ch->rd, l);
    change_free(ch);
}

static int write_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct change *ch = arg;
    struct dt_sandbox_row row;
    if (dt_store_sandbox_get(c, ch->row.id, &row, err) < 0)
        return -1;
    dt_sandbox_row_done(&ch->row);
    ch->row = row;
    char **list = ch->back ? &ch->old_allow_list : &ch->allow_list;
    if (!ch->back) {
        ch->old_block_all = row.block_all;
        ch->old_allow_list = row.allow_list != NULL ? strdup(row.allow_list) : NULL;
        if (row.allow_list != NULL && ch->old_allow_list == NULL)
            return dt_err_set(err, DT_E_NOMEM, "network");
    }
    if (ch->back || ch->ask.has_block_all)
        ch->row.block_all = ch->back ? ch->old_block_all : ch->ask.block_all;
    if (ch->back || ch->ask.allow_list != NULL) {
        free(ch->row.allow_list);
        ch->row.allow_list = *list != NULL && **list != '\0' ? dt_take(*list) : NULL;
    }
    ch->row.updated_ms = dt_clock_real_ms();
    ch->row.activity_ms = ch->row.updated_ms;
    return dt_store_sandbox_edit(c, &ch->row, err);
}

static void back_done(void *arg, const struct dt_err *err)
{
    struct change *ch = arg;
    if (err != NULL)
        dt_log(DT_LOG_ERROR, "network", "sandbox", ch->row.id, "err", err->msg, NULL);
    else
        (void)dt_lifecycle_show(ch->rd, &ch->row);
    over(ch, &ch->why);
}

/* What is not in force must not stand in the row. */
static void take_back(struct change *ch, const struct dt_err *why)
{
    struct dt_err err;
    ch->back = true;
    ch->why = *why;
    if (dt_db_submit(ch->rd->db, write_job, ch, back_done, &err) < 0)
        over(ch, why);
}

static void on_launcher(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct change *ch = ctx;
    struct dt_err why;
    /* It has ended: the rules are those of the next start. */
    if (a != NULL && (a->result == DT_LW_NOT_FOUND || dt_launcher_result(a, &why) == 0))
        over(ch, NULL);
    else
        take_back(ch, a != NULL ? &why : err);
}

static void write_done(void *arg, const struct dt_err *err)
{
    struct change *ch = arg;
    struct dt_lw_request r;
    struct dt_err why;
    if (err != NULL) {
        over(ch, err);
        return;
    }
    const struct dt_live *l = dt_lifecycle_show(ch->rd, &ch->row);
    if (l == NULL || (l->state != DT_SANDBOX_STARTED && l->state != DT_SANDBOX_PAUSED))
        over(ch, NULL);
    else if (dt_boot_request(&ch->row, dt_network_limit(ch->rd, ch->row.org), DT_LW_NETWORK, &r,
                             &why) < 0 ||
             dt_launcher_client_call(ch->rd->launcher, &r, -1, CALL_MS, on_launcher, ch, &why) < 0)
        take_back(ch, &why);
}

static int check(const struct dt_runnerd *rd, const struct dt_live *l,
                 const struct dt_network_ask *ask, struct dt_err *err)
{
    struct dt_cidr cidrs[DT_CIDRS_MAX];
    if (!ask->has_block_all && ask->allow_list == NULL)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "At least one of networkBlockAll and networkAllowList must be given");
    if (ask->allow_list != NULL && dt_cidr_list(dt_str_z(ask->allow_list), cidrs, err) < 0)
        return -1;
    if (dt_network_limit(rd, l->org) != NULL)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "the network of this organization's sandboxes is limited by an "
                          "administrator: their own settings cannot be changed");
    if (l->busy)
        return dt_err_set(err, DT_E_CONFLICT,
                          "Sandbox state change in progress: try again in a moment");
    return 0;
}

/* Adds what the clients' documentation says each of the two means by itself. */
static void complete(struct dt_network_ask *ask)
{
    if (ask->has_block_all && !ask->block_all && ask->allow_list == NULL)
        ask->allow_list = "";
    if (!ask->has_block_all && ask->allow_list[0] != '\0') {
        ask->has_block_all = true;
        ask->block_all = false;
    }
}

int dt_network_set(struct dt_runnerd *rd, struct dt_live *l, const struct dt_network_ask *ask,
                   dt_lifecycle_done *done, void *ctx, struct dt_err *err)
{
    if (check(rd, l, ask, err) < 0)
        return -1;
    struct change *ch = calloc(1, sizeof(*ch));
    if (ch == NULL)
        return dt_err_set(err, DT_E_NOMEM, "network");
    ch->rd = rd;
    ch->done = done;
    ch->ctx = ctx;
    ch->ask = *ask;
    memcpy(ch->row.id, l->id, sizeof(ch->row.id));
    complete(&ch->ask);
    if ((ch->ask.allow_list != NULL && (ch->allow_list = strdup(ch->ask.allow_list)) == NULL &&
         dt_err_set(err, DT_E_NOMEM, "network")) ||
        dt_db_submit(rd->db, write_job, ch, write_done, err) < 0) {
        change_free(ch);
        return -1;
    }
    l->busy = true;
    return 0;
}

/* --- limited organizations --- */

int dt_network_check(const struct dt_config_runnerd *config, struct dt_err *err)
{
    struct dt_cidr cidrs[DT_CIDRS_MAX];
    if (dt_cidr_list(dt_str_z(config->limited_egress_allow_list), cidrs, err) < 0)
        return dt_err_wrap(err, "LIMITED_EGRESS_ALLOW_LIST");
    return 0;
}

const char *dt_network_limit(const struct dt_runnerd *rd, const char *org)
{
    const struct dt_org *o = dt_directory_org(&rd->directory, org);
    const char *list = rd->config->limited_egress_allow_list;
    if (o == NULL || !o->limited_egress)
        return NULL;
    return list != NULL ? list : "";
}

struct limiting {
    struct dt_runnerd *rd;
    struct dt_sandbox_row row;
};

static void limiting_end(struct limiting *g, const struct dt_err *err)
{
    struct dt_live *l = dt_live_by_id(&g->rd->live, g->row.id);
    if (err != NULL) {
        dt_log(DT_LOG_ERROR, "network limit", "sandbox", g->row.id, "err", err->msg, NULL);
        if (l != NULL)
            l->limit_due = true; /* the clock tries again */
    }
    dt_sandbox_row_done(&g->row);
    free(g);
}

static void on_limited(void *ctx, const struct dt_lw_answer *a, const struct dt_err *err)
{
    struct dt_err why;
    bool failed = a == NULL || (a->result != DT_LW_NOT_FOUND && dt_launcher_result(a, &why) < 0);
    limiting_end(ctx, !failed ? NULL : a != NULL ? &why : err);
}

static int read_row(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct limiting *g = arg;
    char id[DT_UUID_SIZE];
    memcpy(id, g->row.id, sizeof(id));
    return dt_store_sandbox_get(c, id, &g->row, err);
}

static void row_read(void *arg, const struct dt_err *err)
{
    struct limiting *g = arg;
    struct dt_lw_request r;
    struct dt_err why;
    if (err != NULL)
        limiting_end(g, err);
    else if (dt_boot_request(&g->row, dt_network_limit(g->rd, g->row.org), DT_LW_NETWORK, &r,
                             &why) < 0 ||
             dt_launcher_client_call(g->rd->launcher, &r, -1, CALL_MS, on_limited, g, &why) < 0)
        limiting_end(g, &why);
}

void dt_network_limit_apply(struct dt_runnerd *rd, struct dt_live *l)
{
    struct dt_err err;
    if (!l->limit_due || (l->state != DT_SANDBOX_STARTED && l->state != DT_SANDBOX_PAUSED))
        return;
    struct limiting *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return;
    g->rd = rd;
    memcpy(g->row.id, l->id, sizeof(g->row.id));
    l->limit_due = false;
    if (dt_db_submit_read(rd->db, read_row, g, row_read, &err) < 0)
        limiting_end(g, &err);
}

void dt_network_limit_changed(struct dt_runnerd *rd, const char *org)
{
    for (struct dt_live *l = dt_live_next(&rd->live, NULL); l != NULL;
         l = dt_live_next(&rd->live, l)) {
        if (strcmp(l->org, org) != 0)
            continue;
        l->limit_due = true;
        dt_network_limit_apply(rd, l);
    }
}

#include <stdio.h>

#include "base/clock.h"
#include "model/name.h"
#include "runnerd/api/api.h"

/* --- the object of the wire --- */

static json_t *object_of(const char *text)
{
    json_t *j = text != NULL ? dt_json_parse(dt_str_z(text), 4, NULL) : NULL;
    return j != NULL ? j : json_object();
}

const char *dt_api_toolbox_base(const struct dt_runnerd *rd, const char *org, const char *target,
                                char out[DT_API_URL_MAX])
{
    const struct dt_region *r = dt_regions_find(&rd->regions, org, target);
    if (r == NULL || r->proxy_url == NULL)
        return rd->toolbox_base;
    (void)snprintf(out, DT_API_URL_MAX, "%s/toolbox", r->proxy_url);
    return out;
}

json_t *dt_api_sandbox_json(const struct dt_runnerd *rd, const struct dt_sandbox_row *row)
{
    char created[DT_CLOCK_ISO_SIZE], updated[DT_CLOCK_ISO_SIZE], active[DT_CLOCK_ISO_SIZE],
        backup[DT_CLOCK_ISO_SIZE], destroyed[DT_CLOCK_ISO_SIZE], toolbox[DT_API_URL_MAX];
    DT_AUTO_JSON json_t *env = object_of(row->env);
    DT_AUTO_JSON json_t *labels = object_of(row->labels);
    DT_AUTO_JSON json_t *volumes = dt_json_parse(dt_str_z(row->volumes), 4, NULL);
    const struct dt_live *l = dt_live_by_id(&rd->live, row->id);
    int64_t activity = l != NULL && l->timers.activity_ms > row->activity_ms ? l->timers.activity_ms
                                                                             : row->activity_ms;
    const struct dt_rest_sandbox s = {
        .id = row->id,
        .organization_id = row->org,
        .name = row->name,
        .snapshot = row->snapshot,
        .user = row->user,
        .env = env,
        .labels = labels,
        .is_public = row->is_public,
        .has_is_public = true,
        .network_block_all = row->block_all,
        .has_network_block_all = true,
        .network_allow_list = row->allow_list,
        .target = row->target,
        .cpu = (double)row->res.cpu_millis / 1000,
        .has_cpu = true,
        .gpu = 0,
        .has_gpu = true,
        .memory = (double)row->res.memory_mib / 1024,
        .has_memory = true,
        .disk = (double)row->res.disk_mib / 1024,
        .has_disk = true,
        .state = dt_sandbox_state_text(dt_sandbox_shown(row->state, row->desired)),
        .desired_state = dt_desired_text(row->desired),
        .error_reason = row->error_reason,
        .recoverable = row->state == DT_SANDBOX_ERROR && row->desired != DT_DESIRED_DESTROYED &&
                       (!row->lost || row->backup_ms > 0),
        .has_recoverable = true,
        .backup_state = dt_backup_text(row->backup),
        .backup_created_at = row->backup_ms > 0 ? dt_clock_iso(row->backup_ms, backup) : NULL,
        .auto_stop_interval = row->auto_stop,
        .has_auto_stop_interval = true,
        .auto_archive_interval = row->auto_archive,
        .has_auto_archive_interval = true,
        .auto_delete_interval = row->auto_delete,
        .has_auto_delete_interval = true,
        .auto_pause_interval = row->auto_pause,
        .has_auto_pause_interval = true,
        .auto_destroy_at = row->destroy_ms > 0 ? dt_clock_iso(row->destroy_ms, destroyed) : NULL,
        .volumes = volumes,
        .created_at = dt_clock_iso(row->created_ms, created),
        .updated_at = dt_clock_iso(row->updated_ms, updated),
        .last_activity_at = dt_clock_iso(activity, active),
        .class_name = row->class_name,
        .sandbox_class = "container",
        .daemon_version = DT_VERSION,
        .linked_sandbox_id = row->linked_to,
        .toolbox_proxy_url = dt_api_toolbox_base(rd, row->org, row->target, toolbox),
    };
    return dt_rest_sandbox_print(&s);
}

/* --- operations of the life cycle --- */

void dt_api_on_row(void *ctx, const struct dt_sandbox_row *row, const struct dt_err *err)
{
    struct dt_api_req *a = ctx;
    if (err != NULL)
        dt_api_fail(a, err);
    else
        dt_api_reply_row(a, row);
    dt_api_unref(a);
}

/* Blank texts count as absent. */
static const char *or_default(const char *text, const char *fallback)
{
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0' ? fallback : text;
}

static int check_create(const struct dt_rest_create_sandbox *in, struct dt_err *err)
{
    if (in->name != NULL && in->name[0] != '\0' && dt_name_check(dt_str_z(in->name), err) < 0)
        return -1;
    if (in->target != NULL && dt_name_check(dt_str_z(or_default(in->target, "us")), NULL) < 0)
        return dt_err_set(err, DT_E_BAD_REQUEST, "target must be a plain name such as \"us\"");
    return 0;
}

/* All sandboxes are on one machine: what is asked for is so already. */
static int check_link(const struct dt_api_req *a, const struct dt_rest_create_sandbox *in,
                      const char **id, struct dt_err *err)
{
    const char *name = or_default(in->linked_sandbox, NULL);
    const struct dt_live *to = name != NULL ? dt_live_find(&a->rd->live, a->who.org, name) : NULL;
    *id = to != NULL ? to->id : NULL;
    if (name == NULL)
        return 0;
    if (to == NULL)
        return dt_err_set(err, DT_E_NOT_FOUND,
                          "linkedSandbox: Sandbox with ID or name %.256s not found", name);
    if (to->linked)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "linkedSandbox: %.256s is linked to a sandbox itself: name that one",
                          name);
    if (in->auto_delete_interval != 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "linkedSandbox: a linked sandbox must be ephemeral: set "
                          "autoDeleteInterval to 0");
    return 0;
}

static const char *region_of(const struct dt_api_req *a)
{
    const struct dt_org *o = dt_directory_org(&a->rd->directory, a->who.org);
    return o != NULL && o->default_region != NULL ? o->default_region
                                                  : a->rd->config->default_runner_region;
}

/* Whether this machine makes sandboxes, and there. */
static int check_place(const struct dt_api_req *a, const char *target, struct dt_err *err)
{
    const struct dt_runnerd *rd = a->rd;
    const struct dt_region *r = dt_regions_find(&rd->regions, a->who.org, target);
    if (rd->runner.unschedulable || rd->runner.draining)
        return dt_err_set(err, DT_E_BAD_REQUEST, "No available runners");
    if (r == NULL || !dt_remotes_in(&rd->remotes, r->id))
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST,
                      "No available runners: region %s has runners of its own, and this server "
                      "makes sandboxes on its own machine only. Use target %s, or delete the "
                      "runners of the region",
                      r->name, rd->config->default_runner_region);
}

static int check_pause(int64_t auto_pause, int64_t auto_stop, int64_t auto_delete,
                       struct dt_err *err)
{
    if (auto_pause > 0 && auto_stop > 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "At most one of autoStopInterval and autoPauseInterval may be non-zero");
    if (auto_pause > 0 && auto_delete == 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Ephemeral sandboxes cannot have auto-pause enabled: set "
                          "autoPauseInterval to 0");
    return 0;
}

static int create(struct dt_api_req *a, const struct dt_rest_create_sandbox *in, struct dt_err *err)
{
    const struct dt_config_runnerd *config = a->rd->config;
    int64_t archive = in->auto_archive_interval;
    if (archive == 0 || archive > config->max_auto_archive_interval)
        archive = config->max_auto_archive_interval;
    struct dt_create c = {
        .org = a->who.org,
        .name = in->name != NULL && in->name[0] != '\0' ? in->name : NULL,
        .snapshot = or_default(in->snapshot, config->default_snapshot),
        .user = or_default(in->user, NULL),
        .target = or_default(in->target, region_of(a)),
        .class_name = in->class_name,
        .env = in->env,
        .labels = in->labels,
        .volumes = in->volumes,
        .is_public = in->is_public,
        .ask =
            {
                .has_build_info = in->build_info != NULL,
                .has_snapshot = or_default(in->snapshot, NULL) != NULL,
                .has_domains = or_default(in->domain_allow_list, NULL) != NULL,
                .gpu = in->gpu,
                .cpu = in->cpu,
                .memory_gib = in->memory,
                .disk_gib = in->disk,
                .block_all = in->network_block_all,
                .allow_list = or_default(in->network_allow_list, NULL),
            },
        /* Who asks for pauses alone wants no stops. */
        .auto_stop =
            in->auto_pause_interval > 0 && !in->has_auto_stop_interval ? 0 : in->auto_stop_interval,
        .auto_archive = archive,
        .auto_delete = in->auto_delete_interval,
        .auto_pause = in->auto_pause_interval,
        .ttl_min = in->ttl_minutes,
    };
    if (check_create(in, err) < 0 ||
        check_pause(c.auto_pause, c.auto_stop, c.auto_delete, err) < 0 ||
        check_link(a, in, &c.linked_to, err) < 0 || check_place(a, c.target, err) < 0)
        return -1;
    return dt_lifecycle_create(a->rd, &c, dt_api_on_row, a, err);
}

void dt_api_sandbox_create(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_create_sandbox in;
    struct dt_err err;
    if (dt_rest_create_sandbox_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    (void)dt_api_ref(a);
    if (create(a, &in, &err) < 0) {
        dt_api_fail(a, &err);
        dt_api_unref(a);
    }
    dt_rest_create_sandbox_done(&in);
}

/* --- one row, read or edited --- */

enum edit { READ, LABELS, PUBLIC, AUTO_STOP, AUTO_ARCHIVE, AUTO_DELETE, AUTO_PAUSE, TTL };

struct row_job {
    struct dt_api_req *a;
    char id[DT_UUID_SIZE];
    enum edit edit;
    uint64_t version; /* of the entry, when the job began */
    int64_t value;
    char *text;
    struct dt_sandbox_row row;
};

static void apply(struct row_job *j)
{
    switch (j->edit) {
    case READ:
        break;
    case LABELS:
        free(j->row.labels);
        j->row.labels = j->text;
        j->text = NULL;
        break;
    case PUBLIC:
        j->row.is_public = j->value != 0;
        break;
    case AUTO_STOP: /* of this and auto-pause one at most is on: the last */
        j->row.auto_stop = j->value;
        j->row.auto_pause = j->value > 0 ? 0 : j->row.auto_pause;
        break;
    case AUTO_ARCHIVE:
        j->row.auto_archive = j->value;
        break;
    case AUTO_DELETE:
        j->row.auto_delete = j->value;
        break;
    case AUTO_PAUSE:
        j->row.auto_pause = j->value;
        j->row.auto_stop = j->value > 0 ? 0 : j->row.auto_stop;
        break;
    case TTL:
        j->row.destroy_ms = j->value > 0 ? dt_clock_real_ms() + j->value * 60000 : 0;
        break;
    }
}

static int row_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct row_job *j = arg;
    if (dt_store_sandbox_get(c, j->id, &j->row, err) < 0)
        return -1;
    if (j->edit == READ)
        return 0;
    apply(j);
    if (check_pause(j->row.auto_pause, j->row.auto_stop, j->row.auto_delete, err) < 0)
        return -1;
    j->row.updated_ms = dt_clock_real_ms();
    j->row.activity_ms = j->row.updated_ms;
    return dt_store_sandbox_edit(c, &j->row, err);
}

static void reply_read(const struct row_job *j)
{
    DT_AUTO_JSON json_t *object = dt_api_sandbox_json(j->a->rd, &j->row);
    DT_AUTO_BUF struct dt_buf text;
    struct dt_err err;
    struct dt_live *l = dt_live_by_id(&j->a->rd->live, j->id);
    dt_buf_init(&text, (size_t)256 << 20);
    (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
    if (object == NULL || dt_json_write(object, &text, &err) < 0) {
        dt_api_fail(j->a, &err);
        return;
    }
    if (l != NULL)
        dt_live_keep(l, j->version, dt_buf_str(&text));
    dt_api_reply_text(j->a, dt_buf_str(&text));
}

static void row_job_done(void *arg, const struct dt_err *err)
{
    struct row_job *j = arg;
    if (err == NULL && j->edit != READ)
        (void)dt_lifecycle_show(j->a->rd, &j->row);
    if (err != NULL)
        dt_api_fail(j->a, err);
    else if (j->edit == READ)
        reply_read(j);
    else
        dt_api_reply_row(j->a, &j->row);
    dt_api_unref(j->a);
    dt_sandbox_row_done(&j->row);
    free(j->text);
    free(j);
}

/* `text` is owned from here on. */
static void submit_row_job(struct dt_api_req *a, enum edit edit, int64_t value, char *text)
{
    struct dt_err err;
    const struct dt_live *l = dt_api_sandbox(a);
    struct row_job *j = l != NULL ? calloc(1, sizeof(*j)) : NULL;
    if (j == NULL) {
        free(text);
        if (l != NULL) {
            (void)dt_err_set(&err, DT_E_NOMEM, "out of memory");
            dt_api_fail(a, &err);
        }
        return;
    }
    j->a = dt_api_ref(a);
    memcpy(j->id, l->id, sizeof(j->id));
    j->edit = edit;
    j->version = l->version;
    j->value = value;
    j->text = text;
    int queued = edit == READ ? dt_db_submit_read(a->rd->db, row_job, j, row_job_done, &err)
                              : dt_db_submit(a->rd->db, row_job, j, row_job_done, &err);
    if (queued < 0)
        row_job_done(j, &err);
}

/* From memory, if nothing changed since the store was asked. */
void dt_api_sandbox_get(struct dt_api_req *a)
{
    const struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    if (l->answer != NULL)
        dt_api_reply_text(a, dt_str(l->answer, l->answer_size));
    else
        submit_row_job(a, READ, 0, NULL);
}

void dt_api_read(struct dt_api_req *a)
{
    submit_row_job(a, READ, 0, NULL);
}

void dt_api_change(struct dt_api_req *a, enum dt_sandbox_call call)
{
    struct dt_err err;
    bool already = false;
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    (void)dt_api_ref(a);
    if (dt_lifecycle_change(a->rd, l, call, dt_api_on_row, a, &already, &err) < 0) {
        dt_api_fail(a, &err);
        dt_api_unref(a);
    } else if (already) {
        dt_api_unref(a);
        submit_row_job(a, READ, 0, NULL);
    }
}

void dt_api_sandbox_delete(struct dt_api_req *a)
{
    dt_api_change(a, DT_CALL_DELETE);
}

void dt_api_sandbox_start(struct dt_api_req *a)
{
    dt_api_change(a, DT_CALL_START);
}

void dt_api_sandbox_stop(struct dt_api_req *a)
{
    dt_api_change(a, DT_CALL_STOP);
}

void dt_api_sandbox_labels(struct dt_api_req *a, json_t *body)
{
    struct dt_rest_sandbox_labels in;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, (size_t)1 << 20);
    if (dt_rest_sandbox_labels_parse(body, &in, &err) < 0) {
        dt_api_fail(a, &err);
        return;
    }
    int written = dt_json_write(in.labels, &text, &err);
    dt_rest_sandbox_labels_done(&in);
    if (written < 0)
        dt_api_fail(a, &err);
    else
        submit_row_job(a, LABELS, 0, dt_buf_take(&text));
}

void dt_api_sandbox_public(struct dt_api_req *a)
{
    submit_row_job(a, PUBLIC, strcmp(a->params[1], "true") == 0, NULL);
}

enum { INTERVAL_MAX = 5256000 };

static void set_interval(struct dt_api_req *a, enum edit edit, const char *negative)
{
    struct dt_err err;
    const char *z = a->params[1];
    bool minus = z[0] == '-';
    unsigned long long v;
    int64_t maximum = a->rd->config->max_auto_archive_interval;
    if (dt_str_u64(dt_str_z(minus ? z + 1 : z), INTERVAL_MAX, &v) < 0) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST,
                         "the interval must be a whole number of minutes, at most %d",
                         INTERVAL_MAX);
        dt_api_fail(a, &err);
        return;
    }
    int64_t value = minus ? -(int64_t)v : (int64_t)v;
    if (value < 0 && negative != NULL) {
        (void)dt_err_set(&err, DT_E_BAD_REQUEST, "%s", negative);
        dt_api_fail(a, &err);
        return;
    }
    if (edit == AUTO_ARCHIVE && (value == 0 || value > maximum))
        value = maximum;
    submit_row_job(a, edit, value, NULL);
}

void dt_api_sandbox_autostop(struct dt_api_req *a)
{
    set_interval(a, AUTO_STOP, "Auto-stop interval must be non-negative");
}

void dt_api_sandbox_autoarchive(struct dt_api_req *a)
{
    set_interval(a, AUTO_ARCHIVE, "Auto-archive interval must be non-negative");
}

void dt_api_sandbox_autopause(struct dt_api_req *a)
{
    set_interval(a, AUTO_PAUSE, "Auto-pause interval must be non-negative");
}

void dt_api_sandbox_ttl(struct dt_api_req *a)
{
    set_interval(a, TTL, "TTL must be non-negative");
}

void dt_api_sandbox_autodelete(struct dt_api_req *a)
{
    set_interval(a, AUTO_DELETE, NULL);
}

void dt_api_sandbox_activity(struct dt_api_req *a)
{
    struct dt_live *l = dt_api_sandbox(a);
    if (l == NULL)
        return;
    dt_live_touch(l);
    dt_api_reply(a, NULL);
}

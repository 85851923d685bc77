#include "runnerd/api/api_events.h"

#include "runnerd/api/api.h"
#include "runnerd/store_volume.h"

/* {key: object, oldX: before, newX: after}; takes `object` over. */
static json_t *moved(const char *key, json_t *object, const char *old_key, const char *before,
                     const char *new_key, const char *after)
{
    return json_pack("{s:o,s:s,s:s}", key, object, old_key, before, new_key, after);
}

/* --- volumes that a sandbox began to use --- */

struct used {
    struct dt_runnerd *rd;
    char org[DT_UUID_SIZE];
    json_t *mounts;  /* as in the sandbox's row */
    json_t *volumes; /* made on the store's thread, given over with the result */
};

static int used_job(struct dt_db_conn *c, void *arg, struct dt_err *err)
{
    struct used *u = arg;
    u->volumes = json_array();
    for (size_t i = 0; i < json_array_size(u->mounts); i++) {
        struct dt_volume_row row;
        const char *id = dt_json_text(json_array_get(u->mounts, i), "volumeId", "");
        if (dt_store_volume_get(c, u->org, id, DT_VOLUME_BY_ID, &row, err) < 0)
            return -1;
        int added = json_array_append_new(u->volumes, dt_api_volume_json(&row));
        dt_volume_row_done(&row);
        if (added < 0)
            return dt_err_set(err, DT_E_NOMEM, "volumes");
    }
    return 0;
}

static void used_done(void *arg, const struct dt_err *err)
{
    struct used *u = arg;
    const uint32_t needs = dt_rest_routes[DT_REST_VOLUME_GET].permissions;
    for (size_t i = 0; err == NULL && i < json_array_size(u->volumes); i++)
        dt_audience_send(u->rd, u->org, needs, "volume.lastUsedAt.updated",
                         json_incref(json_array_get(u->volumes, i)));
    json_decref(u->mounts);
    json_decref(u->volumes);
    free(u);
}

static void tell_used(struct dt_runnerd *rd, const struct dt_sandbox_row *row)
{
    struct dt_err err;
    json_t *mounts = dt_json_parse(dt_str_z(row->volumes), 4, &err);
    struct used *u = json_array_size(mounts) > 0 ? calloc(1, sizeof(*u)) : NULL;
    if (u == NULL) {
        json_decref(mounts);
        return;
    }
    u->rd = rd;
    memcpy(u->org, row->org, sizeof(u->org));
    u->mounts = mounts;
    if (dt_db_submit_read(rd->db, used_job, u, used_done, &err) < 0)
        used_done(u, &err);
}

/* --- sandboxes --- */

void dt_api_event_sandbox(struct dt_runnerd *rd, const struct dt_sandbox_row *row,
                          const struct dt_live *before)
{
    bool is_new = before == NULL && row->state != DT_SANDBOX_DESTROYED;
    bool state = before != NULL && before->state != row->state;
    bool desired = before != NULL && before->desired != row->desired;
    if (!(is_new || state || desired) || !dt_audience_wanted(rd, row->org))
        return;
    const uint32_t needs = dt_rest_routes[DT_REST_SANDBOX_GET].permissions;
    json_t *object = dt_api_sandbox_json(rd, row);
    if (is_new)
        dt_audience_send(rd, row->org, needs, "sandbox.created", json_incref(object));
    if (desired)
        dt_audience_send(rd, row->org, needs, "sandbox.desired-state.updated",
                         moved("sandbox", json_incref(object), "oldDesiredState",
                               dt_desired_text(before->desired), "newDesiredState",
                               dt_desired_text(row->desired)));
    if (state)
        dt_audience_send(rd, row->org, needs, "sandbox.state.updated",
                         moved("sandbox", json_incref(object), "oldState",
                               dt_sandbox_state_text(before->state), "newState",
                               dt_sandbox_state_text(row->state)));
    json_decref(object);
    if (is_new ||
        (state && (row->state == DT_SANDBOX_STARTING || row->state == DT_SANDBOX_RESTORING)))
        tell_used(rd, row);
}

/* --- volumes --- */

void dt_api_event_volume(struct dt_runnerd *rd, const struct dt_volume_row *row,
                         const enum dt_volume_state *before)
{
    if ((before != NULL && *before == row->state) || !dt_audience_wanted(rd, row->org))
        return;
    const uint32_t needs = dt_rest_routes[DT_REST_VOLUME_GET].permissions;
    if (before == NULL)
        dt_audience_send(rd, row->org, needs, "volume.created", dt_api_volume_json(row));
    else
        dt_audience_send(rd, row->org, needs, "volume.state.updated",
                         moved("volume", dt_api_volume_json(row), "oldState",
                               dt_volume_state_text(*before), "newState",
                               dt_volume_state_text(row->state)));
}

#include "runnerd/mounts.h"

#include <stdio.h>

#include "gen/rest_api.h"
#include "runnerd/boot.h"

enum { TEXT_MAX = 64 * 1024, DEPTH = 4 };

_Static_assert((int)DT_MOUNTS_MAX == DT_LW_VOLUMES_MAX &&
                   (int)DT_MOUNT_PATH_SIZE == DT_LW_PATH_SIZE,
               "what a request may name fits a frame");

struct dt_mounts {
    size_t n;
    struct dt_rest_sandbox_volume list[DT_MOUNTS_MAX]; /* each keeps its part of the JSON */
};

struct dt_mounts *dt_mounts_free(struct dt_mounts *m)
{
    for (size_t i = 0; m != NULL && i < m->n; i++)
        dt_rest_sandbox_volume_done(&m->list[i]);
    free(m);
    return NULL;
}

static int parse(const json_t *array, struct dt_mounts **ret, struct dt_err *err)
{
    DT_AUTO(dt_mounts_free) struct dt_mounts *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return dt_err_set(err, DT_E_NOMEM, "volumes");
    if (json_array_size(array) > DT_MOUNTS_MAX)
        return dt_err_set(err, DT_E_BAD_REQUEST, "volumes: at most %d in one sandbox",
                          DT_MOUNTS_MAX);
    for (; m->n < json_array_size(array); m->n++) {
        if (dt_rest_sandbox_volume_parse(json_array_get(array, m->n), &m->list[m->n], err) < 0)
            return -1;
    }
    *ret = dt_take(m);
    return 0;
}

int dt_mounts_new(const json_t *volumes, struct dt_mounts **ret, struct dt_err *err)
{
    struct dt_mount plain[DT_MOUNTS_MAX];
    DT_AUTO(dt_mounts_free) struct dt_mounts *m = NULL;
    *ret = NULL;
    if (json_array_size(volumes) == 0)
        return 0;
    if (parse(volumes, &m, err) < 0)
        return -1;
    for (size_t i = 0; i < m->n; i++) {
        struct dt_rest_sandbox_volume *v = &m->list[i];
        if (v->subpath != NULL && v->subpath[0] == '\0')
            v->subpath = NULL;
        plain[i] = (struct dt_mount){v->volume_id, v->mount_path, v->subpath};
    }
    if (dt_mounts_check(plain, m->n, err) < 0)
        return -1;
    *ret = dt_take(m);
    return 0;
}

/* Replaces a volume's name by its id. */
static int resolve_one(struct dt_db_conn *c, const char *org, struct dt_rest_sandbox_volume *v,
                       char id[DT_UUID_SIZE], struct dt_err *err)
{
    struct dt_volume_row row;
    struct dt_err why;
    if (dt_store_volume_get(c, org, v->volume_id, DT_VOLUME_BY_EITHER, &row, &why) < 0) {
        if (why.code == DT_E_NOT_FOUND)
            return dt_err_set(err, DT_E_NOT_FOUND, "Volume '%.256s' not found", v->volume_id);
        *err = why;
        return -1;
    }
    if (row.state != DT_VOLUME_READY)
        (void)dt_err_set(err, DT_E_BAD_REQUEST,
                         "Volume '%.256s' is not in a ready state. Current state: %s", v->volume_id,
                         dt_volume_state_text(row.state));
    (void)snprintf(id, DT_UUID_SIZE, "%s", row.id);
    v->volume_id = id;
    bool ready = row.state == DT_VOLUME_READY;
    dt_volume_row_done(&row);
    return ready ? 0 : -1;
}

int dt_mounts_resolve(struct dt_db_conn *c, const char *org, const struct dt_mounts *m,
                      int64_t now_ms, char **text, struct dt_err *err)
{
    DT_AUTO_JSON json_t *array = json_array();
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, TEXT_MAX);
    for (size_t i = 0; m != NULL && i < m->n; i++) {
        struct dt_rest_sandbox_volume v = m->list[i];
        char id[DT_UUID_SIZE];
        if (resolve_one(c, org, &v, id, err) < 0 || dt_store_volume_used(c, id, now_ms, err) < 0)
            return -1;
        if (json_array_append_new(array, dt_rest_sandbox_volume_print(&v)) < 0)
            return dt_err_set(err, DT_E_NOMEM, "volumes");
    }
    if (dt_json_write(array, &b, err) < 0)
        return -1;
    *text = dt_buf_take(&b);
    return *text != NULL ? 0 : dt_err_set(err, DT_E_NOMEM, "volumes");
}

static int parse_text(const char *text, struct dt_mounts **ret, struct dt_err *err)
{
    DT_AUTO_JSON json_t *array = dt_json_parse(dt_str_z(text), DEPTH, err);
    return array == NULL ? -1 : parse(array, ret, err);
}

int dt_mounts_used(struct dt_db_conn *c, const char *text, int64_t now_ms, struct dt_err *err)
{
    DT_AUTO(dt_mounts_free) struct dt_mounts *m = NULL;
    if (parse_text(text, &m, err) < 0)
        return -1;
    for (size_t i = 0; i < m->n; i++) {
        if (dt_store_volume_used(c, m->list[i].volume_id, now_ms, err) < 0)
            return -1;
    }
    return 0;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct dt_lw_volume *)a)->path, ((const struct dt_lw_volume *)b)->path);
}

int dt_mounts_request(const char *text, struct dt_lw_spec *spec, struct dt_err *err)
{
    DT_AUTO(dt_mounts_free) struct dt_mounts *m = NULL;
    if (parse_text(text, &m, err) < 0)
        return -1;
    for (size_t i = 0; i < m->n; i++) {
        struct dt_lw_volume *v = &spec->volumes[i];
        const struct dt_rest_sandbox_volume *from = &m->list[i];
        if (dt_uuid_bytes(from->volume_id, v->id) < 0)
            return dt_err_set(err, DT_E_SYSTEM, "store: bad volume id");
        dt_mount_path_plain(from->mount_path, v->path);
        dt_mount_path_plain(from->subpath != NULL ? from->subpath : "", v->subpath);
    }
    spec->nvolumes = (uint32_t)m->n;
    qsort(spec->volumes, m->n, sizeof(spec->volumes[0]), by_path);
    return 0;
}

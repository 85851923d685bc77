#include "runnerd/cmd_snapshot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "db/migrate.h"
#include "model/name.h"
#include "oci/image.h"
#include "runnerd/privilege.h"
#include "runnerd/store.h"

static int fail(const struct dt_err *err)
{
    (void)fprintf(stderr, "daytona-runnerd: %s\n", err->msg);
    return 1;
}

/* The program that serves may run meanwhile: the file is shared. */
static int open_store(const struct dt_config_runnerd *config, const char *data_dir,
                      struct dt_db_conn **ret, struct dt_err *err)
{
    char path[4096];
    struct dt_identity who = dt_identity_of(config->daytona_runnerd_uid);
    if (dt_prepare_folders(data_dir, &who, err) < 0)
        return -1;
    if (snprintf(path, sizeof(path), "%s/state/daytona.db", data_dir) >= (int)sizeof(path))
        return dt_err_set(err, DT_E_INVALID, "data directory: the path is too long");
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    if (dt_db_conn_open(path, &c, err) < 0 || dt_db_migrate(c, dt_db_migrations, err) < 0)
        return -1;
    *ret = dt_take(c);
    return 0;
}

static int put(struct dt_db_conn *c, const char *name, const char *file,
               const struct dt_image *image, struct dt_err *err)
{
    struct dt_buf layers;
    dt_buf_init(&layers, (size_t)DT_IMAGE_LAYERS_MAX * 66);
    int joined = dt_buf_addz(&layers, "", err);
    for (size_t i = 0; joined == 0 && i < image->nlayers; i++)
        joined = dt_buf_addf(&layers, err, "%s%s", i > 0 ? " " : "", image->layers[i]);
    struct dt_snapshot_row r = {
        .name = (char *)name,
        .image_name = (char *)file,
        .state = (char *)"active",
        .layers = layers.p != NULL ? layers.p : (char *)"",
        .config = image->config_json,
        .size_bytes = (int64_t)image->size_bytes,
        .created_ms = dt_clock_real_ms(),
    };
    dt_rand_uuid(r.id);
    r.updated_ms = r.created_ms;
    int result = joined < 0 ? -1 : dt_store_snapshot_put(c, &r, err);
    dt_buf_done(&layers);
    return result;
}

static int import(const struct dt_config_runnerd *config, const char *data_dir, const char *name,
                  const char *file)
{
    struct dt_err err;
    struct dt_image image = {0};
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    if (geteuid() != 0) {
        (void)dt_err_set(&err, DT_E_FORBIDDEN,
                         "snapshot import must run as root: it writes files "
                         "of many owners; try sudo");
        return fail(&err);
    }
    if (dt_snapshot_name_check(dt_str_z(name), &err) < 0 ||
        open_store(config, data_dir, &c, &err) < 0)
        return fail(&err);
    DT_AUTO_FD int data = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0) {
        (void)dt_err_errno(&err, "%s", data_dir);
        return fail(&err);
    }
    if (dt_image_import(data, file, &image, &err) < 0)
        return fail(&err);
    int stored = put(c, name, file, &image, &err);
    if (stored == 0)
        (void)printf("%s: %zu layer%s, %.1f MB\n", name, image.nlayers,
                     image.nlayers == 1 ? "" : "s", (double)image.size_bytes / 1e6);
    dt_image_done(&image);
    return stored < 0 ? fail(&err) : 0;
}

static int print_row(void *ctx, struct dt_snapshot_row *r, struct dt_err *err)
{
    (void)ctx;
    (void)err;
    char created[DT_CLOCK_ISO_SIZE];
    (void)printf("%-32s %-8s %8.1f MB  %s\n", r->name, r->state, (double)r->size_bytes / 1e6,
                 dt_clock_iso(r->created_ms, created));
    return 0;
}

static int list(const struct dt_config_runnerd *config, const char *data_dir)
{
    struct dt_err err;
    int64_t total;
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    if (open_store(config, data_dir, &c, &err) < 0 ||
        dt_store_snapshot_list(c, &(struct dt_snapshot_filter){.limit = INT64_MAX}, print_row, NULL,
                               &total, &err) < 0)
        return fail(&err);
    return 0;
}

int dt_cmd_snapshot(const struct dt_config_runnerd *config, const char *data_dir, int nwords,
                    char **words)
{
    if (nwords == 4 && strcmp(words[1], "import") == 0)
        return import(config, data_dir, words[2], words[3]);
    if (nwords == 2 && strcmp(words[1], "list") == 0)
        return list(config, data_dir);
    (void)fprintf(stderr, "usage: daytona-runnerd snapshot import NAME FILE [--data-dir DIR]\n"
                          "       daytona-runnerd snapshot list [--data-dir DIR]\n");
    return 2;
}

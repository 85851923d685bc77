/* The launcher's part of objects/: archives and backups of disks, one file each. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "runnerd/launcher/errand.h"
#include "runnerd/launcher/launcher.h"

bool dt_object_exists(const struct dt_launcher *l, enum dt_job_place place, const uint8_t id[16])
{
    char name[DT_ID_TEXT_SIZE];
    dt_id_text(id, name);
    return faccessat(l->objects[place], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int dt_object_drop(struct dt_launcher *l, enum dt_job_place place, const uint8_t id[16],
                   struct dt_err *err)
{
    char name[DT_ID_TEXT_SIZE];
    dt_id_text(id, name);
    if (!dt_object_exists(l, place, id))
        return 0;
    return dt_trash(l, l->objects[place], name, err);
}

static bool is_half_made(const char *name)
{
    size_t n = strlen(name), end = sizeof(DT_PART) - 1;
    return n > end && strcmp(name + n - end, DT_PART) == 0;
}

static void clean(struct dt_launcher *l, enum dt_job_place place, const char *name)
{
    struct dt_err err;
    uint8_t id[16];
    if (is_half_made(name)) {
        (void)unlinkat(l->objects[place], name, 0);
        return;
    }
    /* A disk is at least as new as its archive: it was just made of it, or was just saved. */
    if (place == DT_PLACE_ARCHIVES && dt_id_parse(name, id) && dt_sandbox_on_host(l, id) &&
        dt_object_drop(l, place, id, &err) < 0)
        dt_log(DT_LOG_WARN, "an archive stays beside its disk", "err", err.msg, NULL);
}

void dt_object_clean(struct dt_launcher *l)
{
    for (int place = 0; place < 2; place++) {
        struct dirent **names = NULL;
        int n = scandirat(l->objects[place], ".", &names, NULL, NULL);
        for (int i = 0; i < n; i++) {
            clean(l, (enum dt_job_place)place, names[i]->d_name);
            free(names[i]);
        }
        free(names);
    }
}

#include "model/volume.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const char *const names[DT_VOLUME_STATE_COUNT] = {
    [DT_VOLUME_PENDING_CREATE] = "pending_create",
    [DT_VOLUME_CREATING] = "creating",
    [DT_VOLUME_READY] = "ready",
    [DT_VOLUME_PENDING_DELETE] = "pending_delete",
    [DT_VOLUME_DELETING] = "deleting",
    [DT_VOLUME_DELETED] = "deleted",
    [DT_VOLUME_ERROR] = "error",
};

const char *dt_volume_state_text(enum dt_volume_state s)
{
    return names[s];
}

int dt_volume_state_from_text(const char *text, enum dt_volume_state *ret)
{
    for (int i = 0; text != NULL && i < DT_VOLUME_STATE_COUNT; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = (enum dt_volume_state)i;
            return 0;
        }
    }
    return -1;
}

bool dt_volume_is_moving(enum dt_volume_state s)
{
    return s == DT_VOLUME_PENDING_CREATE || s == DT_VOLUME_CREATING ||
           s == DT_VOLUME_PENDING_DELETE || s == DT_VOLUME_DELETING;
}

/* What was found wrong, as far as the text of an error reaches. */
struct faults {
    char text[480];
    size_t n;
};

static void add(struct faults *f, const char *what, const char *path, const char *reason)
{
    int n = snprintf(f->text + f->n, sizeof(f->text) - f->n, "%sInvalid %s %.100s (%s)",
                     f->n > 0 ? ", " : "", what, path, reason);
    if (n > 0)
        f->n += (size_t)n < sizeof(f->text) - f->n ? (size_t)n : sizeof(f->text) - f->n - 1;
}

static bool has_dots(const char *path)
{
    struct dt_str rest = dt_str_z(path), name;
    while (dt_str_cut(&rest, '/', &name)) {
        if (dt_str_eq(name, DT_STR(".")) || dt_str_eq(name, DT_STR("..")))
            return true;
    }
    return false;
}

static bool has_control(const char *path)
{
    for (; *path != '\0'; path++) {
        if ((unsigned char)*path < 0x20 || *path == 0x7f)
            return true;
    }
    return false;
}

/* What paths of either kind must not have. */
static void check_text(struct faults *f, const char *what, const char *path)
{
    if (has_dots(path))
        add(f, what, path, "must not contain relative path components");
    if (path[0] != '\0' && strstr(path + 1, "//") != NULL)
        add(f, what, path, "must not contain consecutive slashes");
    if (has_control(path))
        add(f, what, path, "must not contain control characters");
    if (strlen(path) >= DT_MOUNT_PATH_SIZE)
        add(f, what, path, "must be at most 255 bytes");
}

static bool is_system(const char *path)
{
    static const char *const folders[] = {"/proc", "/sys",  "/dev", "/boot", "/etc",
                                          "/bin",  "/sbin", "/lib", "/lib64"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        size_t n = strlen(folders[i]);
        if (strncmp(path, folders[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

void dt_mount_path_plain(const char *path, char out[DT_MOUNT_PATH_SIZE])
{
    if (path[0] == '/' && path[1] == '/')
        path++;
    (void)snprintf(out, DT_MOUNT_PATH_SIZE, "%s", path);
    for (size_t n = strlen(out); n > 0 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
}

static void check_path(struct faults *f, const struct dt_mount *mounts, size_t i)
{
    static const char what[] = "mount path";
    const char *path = mounts[i].path;
    char plain[DT_MOUNT_PATH_SIZE], other[DT_MOUNT_PATH_SIZE];
    dt_mount_path_plain(path, plain);
    if (path[0] != '/')
        add(f, what, path, "must be absolute");
    else if (plain[0] == '\0')
        add(f, what, path, "must not be the root directory");
    check_text(f, what, path);
    if (is_system(plain))
        add(f, what, path, "must not be in a system directory");
    for (size_t k = 0; k < i; k++) {
        dt_mount_path_plain(mounts[k].path, other);
        if (strcmp(plain, other) == 0)
            add(f, what, path, "is there twice");
    }
}

static void check_subpath(struct faults *f, const char *subpath)
{
    if (subpath == NULL || subpath[0] == '\0')
        return;
    if (subpath[0] == '/')
        add(f, "subpath", subpath, "must be relative to the volume");
    check_text(f, "subpath", subpath);
}

int dt_mounts_check(const struct dt_mount *mounts, size_t n, struct dt_err *err)
{
    struct faults f = {.n = 0};
    if (n > DT_MOUNTS_MAX)
        return dt_err_set(err, DT_E_BAD_REQUEST, "volumes: at most %d in one sandbox",
                          DT_MOUNTS_MAX);
    for (size_t i = 0; i < n; i++) {
        check_path(&f, mounts, i);
        check_subpath(&f, mounts[i].subpath);
    }
    return f.n > 0 ? dt_err_set(err, DT_E_BAD_REQUEST, "%s", f.text) : 0;
}

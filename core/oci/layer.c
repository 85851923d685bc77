#include "oci/layer.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fd.h"

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

enum { CHUNK = 256 * 1024 };
static const int64_t MTIME_MAX = 253402300799; /* the end of the year 9999 */

/* What a folder gets once everything below it was written. */
struct dir {
    size_t name; /* in dir_names */
    uint32_t mode;
    uint32_t mtime_ns;
    int64_t mtime;
};

struct unpack {
    int rootfd;
    bool has_lower;
    struct dt_tar *tar;
    struct dt_layer_stats *stats;
    char *chunk;

    struct dt_layer_path path; /* of the entry */
    struct dt_layer_path link; /* target of a hard link */
    int parent;                /* the folder that `parent_name` names, kept from entry to entry */
    char parent_name[DT_TAR_PATH_MAX + 1];

    struct dir *dirs;
    size_t ndirs, dir_cap;
    struct dt_buf dir_names;
};

int dt_layer_path_parse(const char *raw, struct dt_layer_path *ret, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(raw);
    struct dt_str piece;
    size_t n = 0;
    unsigned depth = 0;
    if (rest.n > 0 && rest.p[0] == '/')
        return dt_err_set(err, DT_E_INVALID, "'%.200s': an absolute name", raw);
    if (rest.n > DT_TAR_PATH_MAX)
        return dt_err_set(err, DT_E_INVALID, "'%.200s...': a name of %zu bytes", raw, rest.n);
    ret->base = 0;
    while (dt_str_cut(&rest, '/', &piece)) {
        if (piece.n == 0 || dt_str_eq(piece, DT_STR(".")))
            continue;
        if (dt_str_eq(piece, DT_STR("..")))
            return dt_err_set(err, DT_E_INVALID, "'%.200s': a name with '..'", raw);
        if (piece.n > 255 || ++depth > DT_LAYER_DEPTH_MAX)
            return dt_err_set(err, DT_E_INVALID,
                              "'%.200s': a component of more than 255 bytes, or "
                              "more than %d of them",
                              raw, DT_LAYER_DEPTH_MAX);
        if (n > 0)
            ret->text[n++] = '/';
        ret->base = n;
        memcpy(ret->text + n, piece.p, piece.n);
        n += piece.n;
    }
    ret->text[n] = '\0';
    return 0;
}

/* Never through a symbolic link, never out of the root. `path` is plain; "" is the root. */
static int open_beneath(const struct unpack *u, const char *path, int flags)
{
    return dt_fd_openat2(u->rootfd, path[0] == '\0' ? "." : path, flags, 0,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                             RESOLVE_NO_XDEV);
}

static void drop_parent(struct unpack *u)
{
    if (u->parent >= 0)
        (void)close(u->parent);
    u->parent = -1;
}

/* Makes the folders of `dir` that no entry described. */
static int make_folders(const struct unpack *u, const char *dir, struct dt_err *err)
{
    char part[DT_TAR_PATH_MAX + 1];
    size_t n = strlen(dir);
    DT_AUTO_FD int at = open_beneath(u, "", O_RDONLY | O_DIRECTORY);
    memcpy(part, dir, n + 1);
    char *from = part;
    while (at >= 0 && from != NULL) {
        char *slash = strchr(from, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdirat(at, from, 0755) < 0 && errno != EEXIST)
            break;
        int next = openat(at, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(at);
        at = next;
        if (at >= 0 && slash == NULL)
            return 0;
        from = slash != NULL ? slash + 1 : NULL;
    }
    return dt_err_errno(err, "create the folder '%.200s'", dir);
}

/* Sets u->parent to the folder that holds the entry; makes it when the archive did not. */
static int enter_parent(struct unpack *u, struct dt_err *err)
{
    char dir[DT_TAR_PATH_MAX + 1];
    size_t n = u->path.base > 0 ? u->path.base - 1 : 0;
    memcpy(dir, u->path.text, n);
    dir[n] = '\0';
    if (u->parent >= 0 && strcmp(dir, u->parent_name) == 0)
        return 0;
    drop_parent(u);
    u->parent = open_beneath(u, dir, O_RDONLY | O_DIRECTORY);
    if (u->parent < 0 && errno == ENOENT) {
        if (make_folders(u, dir, err) < 0)
            return -1;
        u->parent = open_beneath(u, dir, O_RDONLY | O_DIRECTORY);
    }
    if (u->parent < 0 && (errno == ELOOP || errno == ENOTDIR))
        return dt_err_set(err, DT_E_INVALID,
                          "'%.200s': lies below a symbolic link or a file of the same archive",
                          u->path.text);
    if (u->parent < 0)
        return dt_err_errno(err, "open the folder of '%.200s'", u->path.text);
    memcpy(u->parent_name, dir, n + 1);
    return 0;
}

static const char *base_of(const struct dt_layer_path *p)
{
    return p->text + p->base;
}

/* Later entries replace earlier ones; a folder replaces only what is none. */
static int make_way(struct unpack *u, bool for_dir, struct dt_err *err)
{
    const char *base = base_of(&u->path);
    struct stat st;
    if (fstatat(u->parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : dt_err_errno(err, "'%.200s'", u->path.text);
    if (!S_ISDIR(st.st_mode)) {
        if (unlinkat(u->parent, base, 0) < 0)
            return dt_err_errno(err, "replace '%.200s'", u->path.text);
        return 0;
    }
    return for_dir ? 0 : dt_fd_remove_tree(u->parent, base, err);
}

static struct timespec when(const struct dt_tar_entry *e)
{
    int64_t s = e->mtime < 0 ? 0 : e->mtime > MTIME_MAX ? MTIME_MAX : e->mtime;
    return (struct timespec){.tv_sec = s, .tv_nsec = s == e->mtime ? (long)e->mtime_ns : 0};
}

static void put_le32(unsigned char *p, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

/* Versions 2 and 3 differ in the id of the namespace's root, which is not the image's to choose. */
static bool capability_value(struct dt_str v, unsigned char out[XATTR_CAPS_SZ_2])
{
    uint32_t magic = 0;
    for (size_t i = 0; i < 4 && i < v.n; i++)
        magic |= (uint32_t)(unsigned char)v.p[i] << 8 * i;
    uint32_t revision = magic & VFS_CAP_REVISION_MASK;
    if (!(revision == VFS_CAP_REVISION_2 && v.n == XATTR_CAPS_SZ_2) &&
        !(revision == VFS_CAP_REVISION_3 && v.n == XATTR_CAPS_SZ_3))
        return false;
    memcpy(out, v.p, XATTR_CAPS_SZ_2);
    put_le32(out, VFS_CAP_REVISION_2 | (magic & VFS_CAP_FLAGS_EFFECTIVE));
    return true;
}

static int set_xattr(struct unpack *u, int fd, const struct dt_tar_xattr *x, struct dt_err *err)
{
    struct dt_str name = dt_str_z(x->name);
    struct dt_str value = x->value;
    unsigned char caps[XATTR_CAPS_SZ_2];
    bool keep =
        dt_str_starts(name, DT_STR("user.")) && !dt_str_starts(name, DT_STR("user.overlay."));
    if (dt_str_eq(name, DT_STR("security.capability")) && capability_value(value, caps)) {
        value = dt_str((const char *)caps, sizeof(caps));
        keep = true;
    }
    if (!keep) {
        u->stats->xattrs++;
        return 0;
    }
    if (fsetxattr(fd, x->name, value.p, value.n, 0) < 0)
        return dt_err_errno(err, "'%.200s': set %.100s", u->path.text, x->name);
    return 0;
}

/* Owner first: changing it takes setuid bits and capabilities away. */
static int set_metadata(struct unpack *u, int fd, const struct dt_tar_entry *e, struct dt_err *err)
{
    if (fchown(fd, (uid_t)e->uid, (gid_t)e->gid) < 0)
        return dt_err_errno(err, "'%.200s': set owner", u->path.text);
    for (size_t i = 0; i < e->nxattrs; i++)
        if (set_xattr(u, fd, &e->xattrs[i], err) < 0)
            return -1;
    return 0;
}

static int write_at(int fd, const char *p, size_t n, uint64_t at, struct dt_err *err)
{
    while (n > 0) {
        ssize_t put = pwrite(fd, p, n, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return dt_err_errno(err, "write");
        p += put;
        n -= (size_t)put;
        at += (uint64_t)put;
    }
    return 0;
}

static int write_data(struct unpack *u, int fd, const struct dt_tar_entry *e, struct dt_err *err)
{
    uint64_t at = 0;
    ssize_t got;
    if (e->size > DT_LAYER_BYTES_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "a file of %llu bytes; a layer may have %llu",
                          (unsigned long long)e->size, DT_LAYER_BYTES_MAX);
    while ((got = dt_tar_data(u->tar, u->chunk, CHUNK, &at, err)) > 0) {
        u->stats->bytes += (uint64_t)got;
        if (u->stats->bytes > DT_LAYER_BYTES_MAX)
            return dt_err_set(err, DT_E_TOO_LARGE, "more than %llu bytes", DT_LAYER_BYTES_MAX);
        if (write_at(fd, u->chunk, (size_t)got, at, err) < 0)
            return -1;
    }
    if (got < 0)
        return -1;
    if (e->sparse && ftruncate(fd, (off_t)e->size) < 0)
        return dt_err_errno(err, "set its size");
    return 0;
}

static int add_file(struct unpack *u, const struct dt_tar_entry *e, struct dt_err *err)
{
    if (make_way(u, false, err) < 0)
        return -1;
    DT_AUTO_FD int fd = openat(u->parent, base_of(&u->path),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return dt_err_errno(err, "create '%.200s'", u->path.text);
    if (write_data(u, fd, e, err) < 0)
        return dt_err_wrap(err, "'%.200s'", u->path.text);
    if (set_metadata(u, fd, e, err) < 0)
        return -1;
    const struct timespec times[2] = {when(e), when(e)};
    if (fchmod(fd, e->mode) < 0 || futimens(fd, times) < 0)
        return dt_err_errno(err, "'%.200s': set mode and time", u->path.text);
    return 0;
}

static int add_symlink_to(struct unpack *u, const struct dt_tar_entry *e, const char *target,
                          struct dt_err *err)
{
    const char *base = base_of(&u->path);
    if (strlen(target) >= DT_TAR_PATH_MAX)
        return dt_err_set(err, DT_E_INVALID, "'%.200s': link target is too long", u->path.text);
    if (make_way(u, false, err) < 0)
        return -1;
    const struct timespec times[2] = {when(e), when(e)};
    if (symlinkat(target, u->parent, base) < 0 ||
        fchownat(u->parent, base, (uid_t)e->uid, (gid_t)e->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        utimensat(u->parent, base, times, AT_SYMLINK_NOFOLLOW) < 0)
        return dt_err_errno(err, "create the link '%.200s'", u->path.text);
    u->stats->xattrs += e->nxattrs;
    return 0;
}

/* The folder of the link's target, which must exist already. */
static int open_link_folder(const struct unpack *u)
{
    char dir[DT_TAR_PATH_MAX + 1];
    size_t n = u->link.base > 0 ? u->link.base - 1 : 0;
    memcpy(dir, u->link.text, n);
    dir[n] = '\0';
    return open_beneath(u, dir, O_PATH | O_DIRECTORY);
}

static int bad_link(const struct unpack *u, const char *why, struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID, "'%.200s': hard link to '%.200s', which %s", u->path.text,
                      u->link.text, why);
}

/* The root was empty at first, so whatever is found below it was made by this unpacking. */
static int add_hardlink(struct unpack *u, const struct dt_tar_entry *e, struct dt_err *err)
{
    struct stat st;
    if (dt_layer_path_parse(e->link, &u->link, err) < 0)
        return dt_err_wrap(err, "'%.200s': hard link", u->path.text);
    if (strcmp(u->link.text, u->path.text) == 0)
        return bad_link(u, "is itself", err);
    DT_AUTO_FD int dir = open_link_folder(u);
    if (dir < 0 || fstatat(dir, base_of(&u->link), &st, AT_SYMLINK_NOFOLLOW) < 0)
        return bad_link(u, "is no earlier file of this archive", err);
    if (S_ISLNK(st.st_mode)) {
        /* Two names of one symbolic link: archivers write these; a second link is as good. */
        char target[DT_TAR_PATH_MAX + 1];
        ssize_t n = readlinkat(dir, base_of(&u->link), target, sizeof(target) - 1);
        if (n < 0)
            return dt_err_errno(err, "'%.200s'", u->link.text);
        target[n] = '\0';
        return add_symlink_to(u, e, target, err);
    }
    if (!S_ISREG(st.st_mode))
        return bad_link(u, "is no regular file", err);
    if (make_way(u, false, err) < 0)
        return -1;
    if (linkat(dir, base_of(&u->link), u->parent, base_of(&u->path), 0) < 0)
        return dt_err_errno(err, "link '%.200s' to '%.200s'", u->path.text, u->link.text);
    return 0;
}

static int set_opaque(const struct unpack *u, int dirfd, struct dt_err *err)
{
    if (fsetxattr(dirfd, "user.overlay.opaque", "y", 1, 0) < 0)
        return dt_err_errno(err, "'%.200s': mark as opaque", u->path.text);
    return 0;
}

static int remember_dir(struct unpack *u, const struct dt_tar_entry *e, struct dt_err *err)
{
    if (u->ndirs == u->dir_cap) {
        size_t cap = u->dir_cap == 0 ? 256 : u->dir_cap * 2;
        void *grown = realloc(u->dirs, cap * sizeof(*u->dirs));
        if (grown == NULL)
            return dt_err_set(err, DT_E_NOMEM, "list of folders");
        u->dirs = grown;
        u->dir_cap = cap;
    }
    struct timespec t = when(e);
    u->dirs[u->ndirs++] = (struct dir){.name = u->dir_names.n,
                                       .mode = e->mode,
                                       .mtime = t.tv_sec,
                                       .mtime_ns = (uint32_t)t.tv_nsec};
    return dt_buf_add(&u->dir_names, u->path.text, strlen(u->path.text) + 1, err);
}

/* A folder over a whiteout of the same layer hides what is below, as the whiteout did. */
static bool is_whiteout(int dirfd, const char *base)
{
    struct stat st;
    return fstatat(dirfd, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode);
}

static int add_dir(struct unpack *u, const struct dt_tar_entry *e, struct dt_err *err)
{
    if (u->path.text[0] == '\0') {
        if (set_metadata(u, u->rootfd, e, err) < 0)
            return -1;
        return remember_dir(u, e, err);
    }
    bool opaque = is_whiteout(u->parent, base_of(&u->path));
    if (make_way(u, true, err) < 0)
        return -1;
    if (mkdirat(u->parent, base_of(&u->path), 0700) < 0 && errno != EEXIST)
        return dt_err_errno(err, "create the folder '%.200s'", u->path.text);
    DT_AUTO_FD int fd =
        openat(u->parent, base_of(&u->path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "open the folder '%.200s'", u->path.text);
    if (set_metadata(u, fd, e, err) < 0 || (opaque && set_opaque(u, fd, err) < 0))
        return -1;
    return remember_dir(u, e, err);
}

static int hide(struct unpack *u, const char *name, struct dt_err *err)
{
    struct stat st;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return dt_err_set(err, DT_E_INVALID, "'%.200s': a whiteout of nothing", u->path.text);
    if (mknodat(u->parent, name, S_IFCHR, 0) == 0)
        return 0;
    /* The layer has that name itself: its own stays, and a folder hides the one below. */
    if (errno != EEXIST || fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return dt_err_errno(err, "whiteout '%.200s'", u->path.text);
    if (!S_ISDIR(st.st_mode))
        return 0;
    DT_AUTO_FD int fd = openat(u->parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, "open '%.200s'", name);
    return set_opaque(u, fd, err);
}

/* 1 = the entry was a whiteout or the like, 0 = it is something to create. */
static int take_whiteout(struct unpack *u, struct dt_err *err)
{
    const char *base = base_of(&u->path);
    int rc = 0;
    if (!dt_str_starts(dt_str_z(base), DT_STR(WHITEOUT_PREFIX)))
        return 0;
    if (u->has_lower && strcmp(base, WHITEOUT_OPAQUE) == 0)
        rc = set_opaque(u, u->parent, err);
    else if (u->has_lower && !dt_str_starts(dt_str_z(base), DT_STR(WHITEOUT_META)))
        rc = hide(u, base + strlen(WHITEOUT_PREFIX), err);
    else
        u->stats->odd++;
    return rc < 0 ? -1 : 1;
}

static int add_entry(struct unpack *u, const struct dt_tar_entry *e, struct dt_err *err)
{
    if (dt_layer_path_parse(e->path, &u->path, err) < 0)
        return -1;
    if (e->uid > DT_LAYER_ID_MAX || e->gid > DT_LAYER_ID_MAX)
        return dt_err_set(err, DT_E_INVALID,
                          "'%.200s': owner %llu:%llu; ids above %d do not exist "
                          "in a sandbox",
                          u->path.text, (unsigned long long)e->uid, (unsigned long long)e->gid,
                          DT_LAYER_ID_MAX);
    if (e->type == DT_TAR_DEVICE) {
        u->stats->devices++;
        return 0;
    }
    if (u->path.text[0] == '\0') {
        if (e->type == DT_TAR_DIR)
            return add_dir(u, e, err);
        return dt_err_set(err, DT_E_INVALID, "'%.200s': the root is no folder", e->path);
    }
    if (enter_parent(u, err) < 0)
        return -1;
    int taken = take_whiteout(u, err);
    if (taken != 0)
        return taken < 0 ? -1 : 0;
    switch (e->type) {
    case DT_TAR_FILE:
        return add_file(u, e, err);
    case DT_TAR_DIR:
        return add_dir(u, e, err);
    case DT_TAR_SYMLINK:
        return add_symlink_to(u, e, e->link, err);
    case DT_TAR_HARDLINK:
        return add_hardlink(u, e, err);
    case DT_TAR_DEVICE:
        break;
    }
    return 0;
}

/* In the order of the archive, so that the last entry of a name wins. */
static int finish_dirs(const struct unpack *u, struct dt_err *err)
{
    for (size_t i = 0; i < u->ndirs; i++) {
        const struct dir *d = &u->dirs[i];
        const char *name = u->dir_names.p + d->name;
        DT_AUTO_FD int fd = open_beneath(u, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            continue; /* a later entry replaced it */
        const struct timespec times[2] = {{d->mtime, d->mtime_ns}, {d->mtime, d->mtime_ns}};
        if (fd < 0 || fchmod(fd, d->mode) < 0 || futimens(fd, times) < 0)
            return dt_err_errno(err, "'%.200s': set mode and time", name);
    }
    return 0;
}

static int unpack_all(struct unpack *u, struct dt_err *err)
{
    struct dt_tar_entry e;
    int got;
    if (fchown(u->rootfd, 0, 0) < 0 || fchmod(u->rootfd, 0755) < 0)
        return dt_err_errno(err, "prepare the layer's folder");
    while ((got = dt_tar_next(u->tar, &e, err)) > 0) {
        if (++u->stats->entries > DT_LAYER_ENTRIES_MAX)
            return dt_err_set(err, DT_E_LIMIT, "more than %d entries", DT_LAYER_ENTRIES_MAX);
        if (add_entry(u, &e, err) < 0)
            return -1;
    }
    return got < 0 ? -1 : finish_dirs(u, err);
}

int dt_layer_unpack(int rootfd, const struct dt_tar_source *src, bool has_lower, bool need_end,
                    struct dt_layer_stats *stats, struct dt_err *err)
{
    DT_AUTO(dt_tar_free) struct dt_tar *tar = NULL;
    DT_AUTO_FREE struct unpack *u = calloc(1, sizeof(*u));
    DT_AUTO_FREE char *chunk = malloc(CHUNK);
    DT_AUTO_FD int root = openat(rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u == NULL || chunk == NULL)
        return dt_err_set(err, DT_E_NOMEM, "unpacking");
    if (root < 0)
        return dt_err_errno(err, "open the layer's folder");
    if (dt_tar_new(src, need_end, &tar, err) < 0)
        return -1;
    *stats = (struct dt_layer_stats){0};
    *u = (struct unpack){.rootfd = root,
                         .has_lower = has_lower,
                         .tar = tar,
                         .stats = stats,
                         .chunk = chunk,
                         .parent = -1};
    dt_buf_init(&u->dir_names, DT_LAYER_DIR_BYTES_MAX);
    int rc = unpack_all(u, err);
    drop_parent(u);
    free(u->dirs);
    dt_buf_done(&u->dir_names);
    return rc;
}

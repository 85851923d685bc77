#include "os/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "os/tree_format.h"

/* What has several names gets one more here, until the end. */
#define SAME_FOLDER ".dt-same"

enum { PATH_ROOM = 320 };

static const char acl_access[] = "system.posix_acl_access";
static const char acl_default[] = "system.posix_acl_default";

/* A folder whose times are set when all is in it. */
struct level {
    int fd;
    bool inherits; /* what is made in it gets an access list at once */
    struct timespec mtime;
};

struct load {
    const struct dt_tree_source *in;
    int root, same_dir;
    uint32_t nsame;
    bool inherits; /* the entry being made */
    struct level levels[DT_TREE_DEPTH_MAX];
    size_t depth;
    struct dt_tree_head h;
    char name[DT_TREE_NAME_MAX + 1];
    char target[DT_TREE_TARGET_MAX + 1];
    unsigned char data[DT_TREE_STEP];
};

static int bad(const char *what, struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID, "the archive is damaged: %s", what);
}

static int no_room(struct dt_err *err)
{
    if (err->sys_errno == ENOSPC || err->sys_errno == EDQUOT)
        err->code = DT_E_LIMIT;
    return -1;
}

static int failed(const char *what, struct dt_err *err)
{
    (void)dt_err_errno(err, "%s", what);
    return no_room(err);
}

static int get(struct load *l, void *p, size_t n, struct dt_err *err)
{
    return n == 0 ? 0 : l->in->fn(l->in->ctx, p, n, err);
}

static bool name_ok(const char *name, size_t n)
{
    return n > 0 && memchr(name, '/', n) == NULL && memchr(name, '\0', n) == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int get_head(struct load *l, bool first, struct dt_err *err)
{
    struct dt_tree_head *h = &l->h;
    if (get(l, h, sizeof(*h), err) < 0)
        return -1;
    if (h->type >= DT_TREE_TYPES || h->name_size > DT_TREE_NAME_MAX ||
        h->target_size > DT_TREE_TARGET_MAX || h->nxattrs > DT_TREE_XATTRS_MAX ||
        h->mtime_ns > 999999999 || (h->mode & ~07777U) != 0 || h->size > INT64_MAX)
        return bad("an entry makes no sense", err);
    if (get(l, l->name, h->name_size, err) < 0 || get(l, l->target, h->target_size, err) < 0)
        return -1;
    l->name[h->name_size] = '\0';
    l->target[h->target_size] = '\0';
    bool named =
        h->type == DT_TREE_END || first ? h->name_size == 0 : name_ok(l->name, h->name_size);
    bool linked =
        (h->type == DT_TREE_LINK) == (h->target_size > 0 && strlen(l->target) == h->target_size);
    return named && linked ? 0 : bad("an entry has no proper name", err);
}

/* --- making --- */

static int make(const struct load *l, int dir, struct dt_err *err)
{
    int rc = -1;
    switch ((enum dt_tree_type)l->h.type) {
    case DT_TREE_FOLDER:
        rc = mkdirat(dir, l->name, 0700);
        break;
    case DT_TREE_FILE:
        rc = mknodat(dir, l->name, S_IFREG | 0600, 0);
        break;
    case DT_TREE_LINK:
        rc = symlinkat(l->target, dir, l->name);
        break;
    case DT_TREE_FIFO:
        rc = mknodat(dir, l->name, S_IFIFO | 0600, 0);
        break;
    case DT_TREE_SOCKET:
        rc = mknodat(dir, l->name, S_IFSOCK | 0600, 0);
        break;
    case DT_TREE_WHITEOUT:
        rc = mknodat(dir, l->name, S_IFCHR, 0);
        break;
    case DT_TREE_HARDLINK:
    case DT_TREE_END:
    case DT_TREE_TYPES:
        return bad("an entry of no kind", err);
    }
    return rc < 0 ? failed("make an entry", err) : 0;
}

static int get_stretch(struct load *l, int fd, uint64_t offset, uint64_t length, struct dt_err *err)
{
    while (length > 0) {
        size_t n = length < sizeof(l->data) ? (size_t)length : sizeof(l->data);
        if (get(l, l->data, n, err) < 0)
            return -1;
        for (size_t have = 0; have < n;) {
            ssize_t put = pwrite(fd, l->data + have, n - have, (off_t)(offset + have));
            if (put < 0 && errno == EINTR)
                continue;
            if (put <= 0)
                return failed("write a file", err);
            have += (size_t)put;
        }
        offset += n;
        length -= n;
    }
    return 0;
}

static int get_data(struct load *l, int dir, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(dir, l->name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)l->h.size) < 0)
        return failed("make a file", err);
    for (uint64_t at = 0;;) {
        uint64_t stretch[2];
        if (get(l, stretch, sizeof(stretch), err) < 0)
            return -1;
        if (stretch[0] < at || stretch[0] > l->h.size || stretch[1] > l->h.size - stretch[0] ||
            (stretch[1] == 0 && stretch[0] != l->h.size))
            return bad("a file's data is out of order", err);
        if (stretch[1] == 0)
            return 0;
        if (get_stretch(l, fd, stretch[0], stretch[1], err) < 0)
            return -1;
        at = stretch[0] + stretch[1];
    }
}

static int get_xattr(struct load *l, const char *path, struct dt_err *err)
{
    char name[DT_TREE_NAME_MAX + 1];
    uint32_t sizes[2];
    if (get(l, sizes, sizeof(sizes), err) < 0)
        return -1;
    if (sizes[0] == 0 || sizes[0] > DT_TREE_NAME_MAX || sizes[1] > DT_TREE_VALUE_MAX)
        return bad("an attribute makes no sense", err);
    if (get(l, name, sizes[0], err) < 0 || get(l, l->data, sizes[1], err) < 0)
        return -1;
    name[sizes[0]] = '\0';
    if (lsetxattr(path, name, l->data, sizes[1], 0) < 0)
        return failed("set an attribute", err);
    l->inherits = l->inherits || strcmp(name, acl_default) == 0;
    return 0;
}

/* An access list that came from the folder is none of the entry's own. */
static int undress(const struct load *l, const char *path, struct dt_err *err)
{
    if (l->depth == 0 || !l->levels[l->depth - 1].inherits || l->h.type == DT_TREE_LINK)
        return 0;
    for (int i = 0; i < 2; i++) {
        if (lremovexattr(path, i == 0 ? acl_access : acl_default) < 0 && errno != ENODATA)
            return failed("take an access list away", err);
    }
    return 0;
}

/* A mode after the owner, whose change clears set-uid; attributes after both, because it clears
 * capabilities, too. */
static int dress(struct load *l, int dir, const char *name, struct dt_err *err)
{
    char path[PATH_ROOM];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    l->inherits = false;
    if (undress(l, path, err) < 0)
        return -1;
    if (fchownat(dir, name, l->h.uid, l->h.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return failed("set an owner", err);
    if (l->h.type != DT_TREE_LINK && fchmodat(dir, name, l->h.mode, 0) < 0)
        return failed("set a mode", err);
    for (uint32_t i = 0; i < l->h.nxattrs; i++) {
        if (get_xattr(l, path, err) < 0)
            return -1;
    }
    return 0;
}

static int set_time(int dir, const char *name, struct timespec mtime, struct dt_err *err)
{
    const struct timespec times[2] = {mtime, mtime};
    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? failed("set a time", err) : 0;
}

/* --- several names --- */

static void same_name(uint32_t number, char out[16])
{
    (void)snprintf(out, 16, "%u", number);
}

static int remember(struct load *l, int dir, struct dt_err *err)
{
    char number[16];
    if (l->h.same != l->nsame + 1)
        return bad("its hard links are out of order", err);
    same_name(++l->nsame, number);
    return linkat(dir, l->name, l->same_dir, number, 0) < 0 ? failed("remember a file", err) : 0;
}

static int add_name(struct load *l, int dir, struct dt_err *err)
{
    char number[16];
    if (l->h.same == 0 || l->h.same > l->nsame)
        return bad("a hard link leads nowhere", err);
    same_name(l->h.same, number);
    if (linkat(l->same_dir, number, dir, l->name, 0) == 0)
        return 0;
    /* As many names as a file can have: this is the last one, then. */
    if (errno == EMLINK && renameat(l->same_dir, number, dir, l->name) == 0)
        return 0;
    return failed("link a file", err);
}

/* --- folders --- */

static int enter(struct load *l, int parent, const char *name, struct dt_err *err)
{
    if (l->depth == DT_TREE_DEPTH_MAX)
        return dt_err_set(err, DT_E_LIMIT, "the folders are nested too deep");
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed("open a folder", err);
    l->levels[l->depth++] =
        (struct level){fd, l->inherits, {.tv_sec = l->h.mtime, .tv_nsec = l->h.mtime_ns}};
    return 0;
}

static int leave(struct load *l, struct dt_err *err)
{
    struct level top = l->levels[--l->depth];
    if (l->depth == 0 && dt_fd_remove_tree(top.fd, SAME_FOLDER, err) < 0) {
        (void)close(top.fd);
        return -1;
    }
    int rc = set_time(top.fd, ".", top.mtime, err);
    (void)close(top.fd);
    return rc;
}

static int load_entry(struct load *l, struct dt_err *err)
{
    int dir = l->levels[l->depth - 1].fd;
    const struct timespec mtime = {.tv_sec = l->h.mtime, .tv_nsec = l->h.mtime_ns};
    if (l->h.type == DT_TREE_END)
        return leave(l, err);
    if (l->h.type == DT_TREE_HARDLINK)
        return add_name(l, dir, err);
    if (make(l, dir, err) < 0 || (l->h.type == DT_TREE_FILE && get_data(l, dir, err) < 0) ||
        dress(l, dir, l->name, err) < 0)
        return -1;
    if (l->h.type == DT_TREE_FOLDER)
        return enter(l, dir, l->name, err);
    if (l->h.same != 0 && remember(l, dir, err) < 0)
        return -1;
    return set_time(dir, l->name, mtime, err);
}

static int load_all(struct load *l, int dir, struct dt_err *err)
{
    if (get_head(l, true, err) < 0)
        return -1;
    if (l->h.type != DT_TREE_FOLDER)
        return bad("it does not begin with a folder", err);
    if (dress(l, dir, ".", err) < 0 || enter(l, dir, ".", err) < 0)
        return -1;
    if (mkdirat(dir, SAME_FOLDER, 0700) < 0)
        return failed("make a folder", err);
    l->same_dir = openat(dir, SAME_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->same_dir < 0)
        return failed("open a folder", err);
    while (l->depth > 0) {
        if (get_head(l, false, err) < 0 || load_entry(l, err) < 0)
            return -1;
    }
    return 0;
}

int dt_tree_load(int dir, const struct dt_tree_source *in, struct dt_err *err)
{
    struct load *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return dt_err_set(err, DT_E_NOMEM, "tree");
    l->in = in;
    l->same_dir = -1;
    int rc = load_all(l, dir, err);
    while (l->depth > 0)
        (void)close(l->levels[--l->depth].fd);
    if (l->same_dir >= 0)
        (void)close(l->same_dir);
    free(l);
    return rc;
}

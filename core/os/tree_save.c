#include "os/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "os/tree_format.h"

enum { PATH_ROOM = 320, NAMES_MAX = 65536 };

/* Inodes with several names, by number. */
struct links {
    uint64_t *inodes; /* 0 = free */
    uint32_t *numbers;
    size_t n, room; /* room: a power of two */
};

struct save {
    const struct dt_tree_sink *out;
    const char *skip;
    struct links links;
    DIR *open[DT_TREE_DEPTH_MAX]; /* the folders on the way */
    size_t depth;
    unsigned char data[DT_TREE_STEP];
    char names[NAMES_MAX];
};

static int put(struct save *s, const void *p, size_t n, struct dt_err *err)
{
    return n == 0 ? 0 : s->out->fn(s->out->ctx, p, n, err);
}

static size_t slot_of(const struct links *l, uint64_t inode)
{
    size_t at = (size_t)(inode * 0x9e3779b97f4a7c15ULL) & (l->room - 1);
    while (l->inodes[at] != 0 && l->inodes[at] != inode)
        at = (at + 1) & (l->room - 1);
    return at;
}

static int links_grow(struct links *l, struct dt_err *err)
{
    struct links more = {.n = l->n, .room = l->room == 0 ? 64 : l->room * 2};
    more.inodes = calloc(more.room, sizeof(*more.inodes));
    more.numbers = calloc(more.room, sizeof(*more.numbers));
    if (more.inodes == NULL || more.numbers == NULL) {
        free(more.inodes);
        free(more.numbers);
        return dt_err_set(err, DT_E_NOMEM, "hard links");
    }
    for (size_t i = 0; i < l->room; i++) {
        if (l->inodes[i] == 0)
            continue;
        size_t at = slot_of(&more, l->inodes[i]);
        more.inodes[at] = l->inodes[i];
        more.numbers[at] = l->numbers[i];
    }
    free(l->inodes);
    free(l->numbers);
    *l = more;
    return 0;
}

/* Its number, from 1; *known when it was there already. */
static int link_number(struct links *l, uint64_t inode, uint32_t *ret, bool *known,
                       struct dt_err *err)
{
    if (l->n * 2 >= l->room && links_grow(l, err) < 0)
        return -1;
    size_t at = slot_of(l, inode);
    *known = l->inodes[at] != 0;
    if (!*known) {
        l->inodes[at] = inode;
        l->numbers[at] = (uint32_t)++l->n;
    }
    *ret = l->numbers[at];
    return 0;
}

static enum dt_tree_type type_of(const struct stat *st)
{
    switch (st->st_mode & S_IFMT) {
    case S_IFDIR:
        return DT_TREE_FOLDER;
    case S_IFREG:
        return DT_TREE_FILE;
    case S_IFLNK:
        return DT_TREE_LINK;
    case S_IFIFO:
        return DT_TREE_FIFO;
    case S_IFSOCK:
        return DT_TREE_SOCKET;
    case S_IFCHR:
        return st->st_rdev == 0 ? DT_TREE_WHITEOUT : DT_TREE_TYPES;
    default:
        return DT_TREE_TYPES;
    }
}

/* --- attributes --- */

static int put_xattr(struct save *s, const char *path, const char *name, struct dt_err *err)
{
    uint32_t sizes[2] = {(uint32_t)strlen(name), 0};
    ssize_t n = lgetxattr(path, name, s->data, DT_TREE_VALUE_MAX);
    if (n < 0)
        return dt_err_errno(err, "read attribute %s", name);
    sizes[1] = (uint32_t)n;
    if (put(s, sizes, sizeof(sizes), err) < 0 || put(s, name, sizes[0], err) < 0)
        return -1;
    return put(s, s->data, sizes[1], err);
}

/* Names into s->names; how many. */
static int list_xattrs(struct save *s, const char *path, size_t *size, uint32_t *n,
                       struct dt_err *err)
{
    ssize_t got = llistxattr(path, s->names, sizeof(s->names));
    if (got < 0 && errno != ENOTSUP)
        return dt_err_errno(err, "list attributes");
    *size = got > 0 ? (size_t)got : 0;
    *n = 0;
    for (size_t at = 0; at < *size; at += strlen(s->names + at) + 1)
        ++*n;
    return *n <= DT_TREE_XATTRS_MAX ? 0 : dt_err_set(err, DT_E_LIMIT, "too many attributes");
}

/* --- data --- */

static int put_stretch(struct save *s, int fd, uint64_t offset, uint64_t length, struct dt_err *err)
{
    while (length > 0) {
        size_t want = length < sizeof(s->data) ? (size_t)length : sizeof(s->data);
        ssize_t n = pread(fd, s->data, want, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? dt_err_set(err, DT_E_SYSTEM, "a file became shorter")
                          : dt_err_errno(err, "read a file");
        if (put(s, s->data, (size_t)n, err) < 0)
            return -1;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

static int put_data(struct save *s, int dir, const char *name, uint64_t size, struct dt_err *err)
{
    DT_AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dt_err_errno(err, "open a file");
    for (uint64_t at = 0;;) {
        uint64_t stretch[2] = {size, 0};
        off_t data = at < size ? lseek(fd, (off_t)at, SEEK_DATA) : -1;
        if (data < 0 && at < size && errno != ENXIO)
            return dt_err_errno(err, "look for data in a file");
        off_t end = data >= 0 && (uint64_t)data < size ? lseek(fd, data, SEEK_HOLE) : -1;
        if (end > data) {
            stretch[0] = (uint64_t)data;
            stretch[1] = ((uint64_t)end < size ? (uint64_t)end : size) - (uint64_t)data;
        }
        if (put(s, stretch, sizeof(stretch), err) < 0 ||
            put_stretch(s, fd, stretch[0], stretch[1], err) < 0)
            return -1;
        if (stretch[1] == 0)
            return 0;
        at = stretch[0] + stretch[1];
    }
}

/* --- entries --- */

static int put_head(struct save *s, const struct stat *st, enum dt_tree_type type, uint32_t same,
                    const char *name, size_t target_size, uint32_t nxattrs, struct dt_err *err)
{
    const struct dt_tree_head h = {
        .type = type,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mtime = st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .same = same,
        .size = type == DT_TREE_FILE ? (uint64_t)st->st_size : 0,
        .name_size = (uint32_t)strlen(name),
        .target_size = (uint32_t)target_size,
        .nxattrs = nxattrs,
    };
    if (put(s, &h, sizeof(h), err) < 0)
        return -1;
    return put(s, name, h.name_size, err);
}

/* Everything of an entry but what is in a folder. `path` leads to it through /proc/self/fd. */
static int put_entry(struct save *s, int dir, const char *name, const struct stat *st,
                     const char *path, const char *shown, struct dt_err *err)
{
    char target[DT_TREE_TARGET_MAX + 1];
    enum dt_tree_type type = type_of(st);
    uint32_t same = 0, nxattrs = 0;
    size_t names = 0;
    bool known = false;
    if (type == DT_TREE_TYPES)
        return dt_err_set(err, DT_E_UNSUPPORTED, "'%.100s' is a device", name);
    if (type != DT_TREE_FOLDER && st->st_nlink > 1 &&
        link_number(&s->links, st->st_ino, &same, &known, err) < 0)
        return -1;
    if (known)
        return put_head(s, st, DT_TREE_HARDLINK, same, shown, 0, 0, err);
    ssize_t n = type == DT_TREE_LINK ? readlinkat(dir, name, target, sizeof(target)) : 0;
    if (n < 0 || n > DT_TREE_TARGET_MAX)
        return dt_err_errno(err, "read a link");
    if (list_xattrs(s, path, &names, &nxattrs, err) < 0 ||
        put_head(s, st, type, same, shown, (size_t)n, nxattrs, err) < 0 ||
        put(s, target, (size_t)n, err) < 0 ||
        (type == DT_TREE_FILE && put_data(s, dir, name, (uint64_t)st->st_size, err) < 0))
        return -1;
    for (size_t at = 0; at < names; at += strlen(s->names + at) + 1) {
        if (put_xattr(s, path, s->names + at, err) < 0)
            return -1;
    }
    return 0;
}

static int enter(struct save *s, int parent, const char *name, struct dt_err *err)
{
    if (s->depth == DT_TREE_DEPTH_MAX)
        return dt_err_set(err, DT_E_LIMIT, "the folders are nested too deep");
    DT_AUTO_FD int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL)
        return dt_err_errno(err, "open a folder");
    (void)dt_take_fd(&fd);
    s->open[s->depth++] = dir;
    return 0;
}

static int save_name(struct save *s, const char *name, struct dt_err *err)
{
    char path[PATH_ROOM];
    struct stat st;
    int dir = dirfd(s->open[s->depth - 1]);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        (s->depth == 1 && s->skip != NULL && strcmp(name, s->skip) == 0))
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return dt_err_errno(err, "look at '%.100s'", name);
    if (put_entry(s, dir, name, &st, path, name, err) < 0)
        return dt_err_wrap(err, "'%.100s'", name);
    if (!S_ISDIR(st.st_mode))
        return 0;
    return enter(s, dir, name, err);
}

static int leave(struct save *s, struct dt_err *err)
{
    const struct dt_tree_head end = {.type = DT_TREE_END};
    (void)closedir(s->open[--s->depth]);
    return put(s, &end, sizeof(end), err);
}

static int save_all(struct save *s, int dir, struct dt_err *err)
{
    char path[PATH_ROOM];
    struct stat st;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/.", dir);
    if (fstat(dir, &st) < 0)
        return dt_err_errno(err, "look at a folder");
    if (put_entry(s, dir, ".", &st, path, "", err) < 0 || enter(s, dir, ".", err) < 0)
        return -1;
    while (s->depth > 0) {
        errno = 0;
        const struct dirent *e = readdir(s->open[s->depth - 1]);
        if (e == NULL && errno != 0)
            return dt_err_errno(err, "read a folder");
        if ((e != NULL ? save_name(s, e->d_name, err) : leave(s, err)) < 0)
            return -1;
    }
    return 0;
}

int dt_tree_save(int dir, const char *skip, const struct dt_tree_sink *out, struct dt_err *err)
{
    struct save *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "tree");
    s->out = out;
    s->skip = skip;
    int rc = save_all(s, dir, err);
    while (s->depth > 0)
        (void)closedir(s->open[--s->depth]);
    free(s->links.inodes);
    free(s->links.numbers);
    free(s);
    return rc;
}

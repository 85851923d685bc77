#include "toolbox/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/buf.h"
#include "toolbox/reply.h"

enum { PATH_BYTES_MAX = DT_WALK_DEPTH_MAX * (NAME_MAX + 1) + PATH_MAX };

struct name {
    unsigned char type;
    char text[];
};

struct batch {
    struct name **list;
    size_t n, cap;
};

struct state {
    struct dt_walk *w;
    struct dt_buf path;
    struct dt_err *err;
};

static void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        free(b->list[i]);
    b->n = 0;
}

static void batch_done(struct batch *b)
{
    batch_clear(b);
    free((void *)b->list);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct name *const *)a)->text, (*(const struct name *const *)b)->text);
}

static int batch_add(struct batch *b, const struct dirent *e, struct dt_err *err)
{
    if (b->n == b->cap) {
        size_t cap = b->cap == 0 ? 32 : b->cap * 2;
        struct name **more = reallocarray((void *)b->list, cap, sizeof(void *));
        if (more == NULL)
            return dt_err_set(err, DT_E_NOMEM, "folder of %zu entries", cap);
        b->list = more;
        b->cap = cap;
    }
    size_t n = strlen(e->d_name);
    struct name *one = malloc(sizeof(*one) + n + 1);
    if (one == NULL)
        return dt_err_set(err, DT_E_NOMEM, "folder");
    one->type = e->d_type;
    memcpy(one->text, e->d_name, n + 1);
    b->list[b->n++] = one;
    return 0;
}

/* The next names of the folder, in order; none at its end. */
static int batch_read(struct batch *b, DIR *d, struct dt_err *err)
{
    const struct dirent *e;
    batch_clear(b);
    while (b->n < DT_WALK_SORTED_MAX && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && batch_add(b, e, err) < 0)
            return -1;
    }
    if (b->n > 1)
        qsort((void *)b->list, b->n, sizeof(void *), by_name);
    return 0;
}

static bool is_kernels(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 &&
           (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
            fs.f_type == CGROUP2_SUPER_MAGIC || fs.f_type == DEBUGFS_MAGIC ||
            fs.f_type == TRACEFS_MAGIC || fs.f_type == BPF_FS_MAGIC);
}

static bool is_cancelled(const struct dt_walk *w)
{
    return w->cancelled != NULL && atomic_load_explicit(w->cancelled, memory_order_relaxed);
}

static int walk_folder(struct state *s, int fd, unsigned level);

static int enter(struct state *s, const struct dt_walk_entry *e)
{
    struct dt_walk *w = s->w;
    if (e->type != DT_DIR || (w->depth != 0 && e->level >= w->depth))
        return 0;
    int fd = openat(e->dir, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0; /* it has just gone */
    if (fd < 0 || e->level >= DT_WALK_DEPTH_MAX || is_kernels(fd)) {
        w->skipped += fd < 0 || e->level >= DT_WALK_DEPTH_MAX;
        dt_closep(&fd);
        return 0;
    }
    return walk_folder(s, fd, e->level + 1);
}

static unsigned char type_of_mode(mode_t mode)
{
    return (unsigned char)IFTODT(mode);
}

static unsigned char type_of(int dir, const struct name *one)
{
    struct stat st;
    if (one->type != DT_UNKNOWN)
        return one->type;
    return fstatat(dir, one->text, &st, AT_SYMLINK_NOFOLLOW) == 0 ? type_of_mode(st.st_mode)
                                                                  : DT_WHT;
}

static int walk_name(struct state *s, int dir, const struct name *one, unsigned level)
{
    size_t before = s->path.n;
    bool slash = s->path.p != NULL && before > 0 && s->path.p[before - 1] != '/';
    if ((slash && dt_buf_addz(&s->path, "/", s->err) < 0) ||
        dt_buf_addz(&s->path, one->text, s->err) < 0)
        return -1;
    const struct dt_walk_entry e = {dir, one->text, s->path.p, type_of(dir, one), level};
    int r = s->w->visit(s->w->ctx, &e);
    if (r == 0)
        r = enter(s, &e);
    s->path.n = before;
    if (s->path.p != NULL)
        s->path.p[before] = '\0';
    return r;
}

/* Takes `fd`. */
static int walk_folder(struct state *s, int fd, unsigned level)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        dt_closep(&fd);
        return dt_err_errno(s->err, "folder");
    }
    struct batch b = {NULL, 0, 0};
    int r;
    do {
        r = batch_read(&b, d, s->err);
        for (size_t i = 0; r == 0 && i < b.n && !is_cancelled(s->w); i++)
            r = walk_name(s, fd, b.list[i], level);
    } while (r == 0 && b.n > 0 && !is_cancelled(s->w));
    batch_done(&b);
    (void)closedir(d);
    return r;
}

int dt_walk(struct dt_walk *w, struct dt_err *err)
{
    struct stat st;
    struct state s = {.w = w, .err = err};
    w->skipped = 0;
    if (stat(w->root, &st) < 0)
        return dt_reply_file_errno(err, errno, w->root);
    dt_buf_init(&s.path, PATH_BYTES_MAX);
    int r = dt_buf_adds(&s.path, w->shown, err);
    const char *slash = strrchr(w->root, '/');
    const struct dt_walk_entry e = {
        .dir = AT_FDCWD,
        .name = slash != NULL && slash[1] != '\0' ? slash + 1 : w->root,
        .path = s.path.p != NULL ? s.path.p : ".",
        .type = type_of_mode(st.st_mode),
    };
    if (r == 0)
        r = w->visit(w->ctx, &e);
    if (r == 0 && S_ISDIR(st.st_mode)) {
        int fd = open(w->root, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
        r = fd < 0 ? dt_reply_file_errno(err, errno, w->root) : walk_folder(&s, fd, 1);
    }
    dt_buf_done(&s.path);
    return r;
}

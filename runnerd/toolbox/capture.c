#include "toolbox/capture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/rand.h"
#include "base/utf8.h"

void dt_capture_init(struct dt_capture *c, size_t limit, const char *dir, const char *suffix)
{
    *c = (struct dt_capture){.limit = limit, .dir = dir, .suffix = suffix, .fd = -1};
    dt_buf_init(&c->head, limit / 2);
    /* Twice, so that old bytes are dropped once per half and not at each chunk. */
    dt_buf_init(&c->tail, 2 * (limit - limit / 2) + 1);
}

void dt_capture_done(struct dt_capture *c)
{
    dt_buf_done(&c->head);
    dt_buf_done(&c->tail);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

static int open_dir(const char *dir)
{
    char parent[128];
    const char *slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir && (size_t)(slash - dir) < sizeof(parent)) {
        (void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - dir), dir);
        (void)mkdir(parent, 0755);
    }
    (void)mkdir(dir, 0700);
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Removes the oldest file when there is no room for one more. */
static void make_room(int dir)
{
    DT_AUTO_FD int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = own >= 0 ? fdopendir(own) : NULL;
    if (list == NULL)
        return;
    (void)dt_take_fd(&own);
    for (int files = DT_CAPTURE_FILES_MAX; files >= DT_CAPTURE_FILES_MAX;) {
        char oldest[256] = "";
        struct timespec when = {0};
        const struct dirent *e;
        files = 0;
        rewinddir(list);
        while ((e = readdir(list)) != NULL) {
            struct stat st;
            if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
                continue;
            bool older = st.st_mtim.tv_sec < when.tv_sec ||
                         (st.st_mtim.tv_sec == when.tv_sec && st.st_mtim.tv_nsec < when.tv_nsec);
            if (files++ > 0 && !older)
                continue;
            when = st.st_mtim;
            (void)snprintf(oldest, sizeof(oldest), "%s", e->d_name);
        }
        if (files >= DT_CAPTURE_FILES_MAX && unlinkat(dir, oldest, 0) < 0)
            break;
    }
    (void)closedir(list);
}

static void store(struct dt_capture *c, const char *p, size_t n)
{
    if (c->fd < 0)
        return;
    uint64_t room = DT_CAPTURE_FILE_MAX - c->stored;
    size_t part = n < room ? n : (size_t)room;
    struct dt_err err;
    if (dt_fd_write_all(c->fd, p, part, &err) < 0 || part < n) {
        (void)close(c->fd);
        c->fd = -1;
        return;
    }
    c->stored += part;
}

/* Called when memory no longer holds everything; begins the file with what memory holds. */
static void spool(struct dt_capture *c)
{
    if (c->name[0] != '\0' || c->spool_failed)
        return;
    c->spool_failed = true;
    DT_AUTO_FD int dir = c->dir != NULL ? open_dir(c->dir) : -1;
    if (dir < 0)
        return;
    make_room(dir);
    char random[17];
    dt_rand_alnum(random, 16);
    (void)snprintf(c->name, sizeof(c->name), "%s.%.20s", random, c->suffix);
    c->fd = openat(dir, c->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (c->fd < 0) {
        c->name[0] = '\0';
        return;
    }
    c->spool_failed = false;
    store(c, c->head.p, c->head.n);
    store(c, c->tail.p, c->tail.n);
}

static void keep_tail(struct dt_capture *c, const char *p, size_t n)
{
    size_t most = c->limit - c->limit / 2;
    if (n > most) {
        p += n - most;
        n = most;
    }
    if (c->tail.n + n > c->tail.max)
        dt_buf_consume(&c->tail, c->tail.n + n > most ? c->tail.n + n - most : 0);
    if (dt_buf_add(&c->tail, p, n, NULL) < 0)
        dt_buf_clear(&c->tail);
}

void dt_capture_add(struct dt_capture *c, const char *p, size_t n)
{
    if (c->total <= c->limit && n > c->limit - c->total)
        spool(c);
    store(c, p, n);
    size_t room = c->limit / 2 - c->head.n;
    size_t part = c->total > c->head.n ? 0 : n < room ? n : room;
    c->total += n;
    if (part > 0 && dt_buf_add(&c->head, p, part, NULL) < 0)
        part = 0;
    if (n > part)
        keep_tail(c, p + part, n - part);
}

/* Where a character begins, at most three bytes on: the front of the tail may be inside one. */
static size_t skip_partial(const char *p, size_t n)
{
    size_t i = 0;
    while (i < 3 && i < n && ((unsigned char)p[i] & 0xc0) == 0x80)
        i++;
    return i < n && ((unsigned char)p[i] & 0xc0) != 0x80 ? i : 0;
}

static int show_whole(struct dt_capture *c, struct dt_capture_view *v, struct dt_err *err)
{
    /* A character may lie across the two: join them before the repair. */
    DT_AUTO_BUF struct dt_buf all;
    dt_buf_init(&all, c->limit);
    if (dt_buf_adds(&all, dt_buf_str(&c->head), err) < 0 ||
        dt_buf_adds(&all, dt_buf_str(&c->tail), err) < 0)
        return -1;
    return dt_utf8_repair(&v->head, dt_buf_str(&all), err);
}

int dt_capture_show(struct dt_capture *c, struct dt_capture_view *v, struct dt_err *err)
{
    *v = (struct dt_capture_view){.omitted = 0};
    dt_buf_init(&v->head, 3 * c->limit);
    dt_buf_init(&v->tail, 3 * c->limit);
    if (c->total <= c->limit && c->head.n + c->tail.n == c->total)
        return show_whole(c, v, err);
    size_t most = c->limit - c->limit / 2;
    if (c->tail.n > most)
        dt_buf_consume(&c->tail, c->tail.n - most);
    size_t head = c->head.n;
    for (size_t back = 1; back <= 3 && back <= head; back++) {
        unsigned char b = (unsigned char)c->head.p[head - back];
        size_t need = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc0 ? 2 : 1;
        if ((b & 0xc0) == 0x80)
            continue;
        if (need > back)
            head -= back;
        break;
    }
    size_t skip = c->tail.n > 0 ? skip_partial(c->tail.p, c->tail.n) : 0;
    v->omitted = c->total - head - (c->tail.n - skip);
    if (c->name[0] != '\0')
        (void)snprintf(v->path, sizeof(v->path), "%s/%s", c->dir, c->name);
    if (dt_utf8_repair(&v->head, dt_str(c->head.p, head), err) < 0)
        return -1;
    return dt_utf8_repair(&v->tail, dt_str(c->tail.p + skip, c->tail.n - skip), err);
}

void dt_capture_view_done(struct dt_capture_view *v)
{
    dt_buf_done(&v->head);
    dt_buf_done(&v->tail);
}

#include "toolbox/journal.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/rand.h"

enum {
    SMALL_MAX = 8 * 1024,   /* in memory, before there is a file */
    MEMORY_MAX = 64 * 1024, /* in memory, when there can be no file */
    FILE_LEAST = 1024 * 1024,
    RECORD_MAX = 32 * 1024, /* so that one record is never much of a ring */
    HEAD = sizeof(uint32_t),
    MARKS = 64, /* in a file, so that a place in it is found without reading all before it */
};
#define STREAM_BIT 0x80000000u

/* A place where a record begins. */
struct mark {
    uint64_t at, payload;
};

/* A sequence of records, each a head (stream and length) and its bytes. Positions count from the
 * first byte ever written and are never reused. */
struct dt_journal {
    struct dt_journal *older, *newer; /* of those with files */
    struct dt_buf mem;                /* from `start` on, when there is no file */
    int fd;                           /* -1: none. A ring of `cap` bytes */
    uint64_t cap;
    uint64_t start, end;
    uint64_t dropped;   /* bytes of output before `start` */
    uint64_t total;     /* bytes of output before `end` */
    struct mark *marks; /* of a file: a ring; NULL without memory */
    unsigned long nmarks;
    const char *home;
    bool sealed;
    bool no_file; /* one was given up, or could not be made or written */
};

static struct dt_journal *oldest, *newest;
static unsigned nfiles;
static uint64_t disk; /* all of their caps */

int dt_journal_new(const char *home, struct dt_journal **ret, struct dt_err *err)
{
    struct dt_journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "log of a command");
    dt_buf_init(&j->mem, MEMORY_MAX + RECORD_MAX + HEAD);
    j->fd = -1;
    j->home = home;
    *ret = j;
    return 0;
}

static void close_file(struct dt_journal *j)
{
    if (j->fd < 0)
        return;
    (void)close(j->fd);
    j->fd = -1;
    nfiles--;
    disk -= j->cap;
    free(j->marks);
    j->marks = NULL;
    *(j->older != NULL ? &j->older->newer : &oldest) = j->newer;
    *(j->newer != NULL ? &j->newer->older : &newest) = j->older;
    j->older = j->newer = NULL;
}

struct dt_journal *dt_journal_free(struct dt_journal *j)
{
    if (j != NULL) {
        close_file(j);
        dt_buf_done(&j->mem);
        free(j);
    }
    return NULL;
}

size_t dt_journal_memory(const struct dt_journal *j)
{
    return sizeof(*j) + j->mem.cap + (j->marks != NULL ? MARKS * sizeof(*j->marks) : 0);
}

void dt_journal_seal(struct dt_journal *j)
{
    j->sealed = true;
}

uint64_t dt_journal_end(const struct dt_journal *j)
{
    return j->end;
}

uint64_t dt_journal_total(const struct dt_journal *j)
{
    return j->total;
}

/* --- the ring --- */

static bool ring_write(const struct dt_journal *j, uint64_t at, const char *p, size_t n)
{
    while (n > 0) {
        uint64_t to = at % j->cap, room = j->cap - to;
        ssize_t put = pwrite(j->fd, p, n < room ? n : (size_t)room, (off_t)to);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += (uint64_t)put;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static bool ring_read(const struct dt_journal *j, uint64_t at, char *p, size_t n)
{
    while (n > 0) {
        uint64_t from = at % j->cap, room = j->cap - from;
        ssize_t got = pread(j->fd, p, n < room ? n : (size_t)room, (off_t)from);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (uint64_t)got;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static bool get(const struct dt_journal *j, uint64_t at, char *p, size_t n)
{
    if (j->fd >= 0)
        return ring_read(j, at, p, n);
    memcpy(p, j->mem.p + (at - j->start), n);
    return true;
}

static bool head_at(const struct dt_journal *j, uint64_t at, uint32_t *ret)
{
    return j->end - at >= HEAD && get(j, at, (char *)ret, HEAD) &&
           (*ret & ~STREAM_BIT) <= j->end - at - HEAD;
}

static void forget_all(struct dt_journal *j)
{
    j->dropped = j->total;
    close_file(j);
    dt_buf_done(&j->mem);
    j->start = j->end;
}

/* Drops the oldest records until what is left is at most `most` bytes. */
static void drop_oldest(struct dt_journal *j, uint64_t most)
{
    uint64_t start = j->start;
    uint32_t head;
    while (j->end - start > most && head_at(j, start, &head)) {
        start += HEAD + (head & ~STREAM_BIT);
        j->dropped += head & ~STREAM_BIT;
    }
    if (j->fd < 0)
        dt_buf_consume(&j->mem, (size_t)(start - j->start));
    j->start = start;
}

/* --- files --- */

static int nameless(const char *dir)
{
    if (dir == NULL)
        return -1;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0)
        return fd;
    char path[512], random[17];
    dt_rand_alnum(random, 16);
    int n = snprintf(path, sizeof(path), "%s/.log-%s", dir, random);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -1;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static bool make_room(void)
{
    if (nfiles < DT_JOURNAL_FILES_MAX)
        return true;
    for (struct dt_journal *j = oldest; j != NULL; j = j->newer) {
        if (!j->sealed)
            continue;
        j->no_file = true;
        forget_all(j);
        return true;
    }
    return false;
}

static uint64_t fair_share(void)
{
    uint64_t share = disk < DT_JOURNAL_DISK_MAX ? (DT_JOURNAL_DISK_MAX - disk) / 4 : 0;
    return share > DT_JOURNAL_FILE_MAX ? DT_JOURNAL_FILE_MAX
           : share < FILE_LEAST        ? FILE_LEAST
                                       : share;
}

static void to_file(struct dt_journal *j)
{
    const char *const dirs[] = {j->home, "/var/tmp", "/tmp"};
    if (j->no_file || !make_room()) {
        j->no_file = true;
        return;
    }
    for (size_t i = 0; i < 3 && j->fd < 0; i++)
        j->fd = nameless(dirs[i]);
    j->no_file = j->fd < 0;
    if (j->no_file)
        return;
    j->cap = fair_share();
    j->marks = calloc(MARKS, sizeof(*j->marks));
    j->nmarks = 0;
    disk += j->cap;
    nfiles++;
    j->older = newest;
    *(newest != NULL ? &newest->newer : &oldest) = j;
    newest = j;
    if (ring_write(j, j->start, j->mem.p, j->mem.n)) {
        dt_buf_done(&j->mem);
        return;
    }
    close_file(j); /* and memory still has it */
    j->no_file = true;
}

/* --- writing --- */

/* All marks together span the file. */
static void mark(struct dt_journal *j)
{
    uint64_t last = j->nmarks > 0 ? j->marks[(j->nmarks - 1) % MARKS].at : 0;
    if (j->nmarks == 0 || j->end - last >= j->cap / (MARKS - 1))
        j->marks[j->nmarks++ % MARKS] = (struct mark){j->end, j->total};
}

static bool put_file(struct dt_journal *j, uint32_t head, const char *p, size_t n)
{
    drop_oldest(j, j->cap - HEAD - n);
    if (ring_write(j, j->end, (const char *)&head, HEAD) && ring_write(j, j->end + HEAD, p, n)) {
        if (j->marks != NULL)
            mark(j);
        j->end += HEAD + n;
        return true;
    }
    forget_all(j); /* a full disk: what follows is kept in memory */
    j->no_file = true;
    return false;
}

static void put_memory(struct dt_journal *j, uint32_t head, const char *p, size_t n)
{
    /* To a half, so that old bytes are moved away once in a while and not at each record. */
    if (j->mem.n + HEAD + n > MEMORY_MAX)
        drop_oldest(j, MEMORY_MAX / 2);
    if (dt_buf_reserve(&j->mem, HEAD + n, NULL) < 0 || dt_buf_add(&j->mem, &head, HEAD, NULL) < 0 ||
        dt_buf_add(&j->mem, p, n, NULL) < 0) {
        forget_all(j);
        j->dropped += n;
        return;
    }
    j->end += HEAD + n;
}

void dt_journal_add(struct dt_journal *j, enum dt_journal_stream stream, const char *p, size_t n)
{
    while (n > 0) {
        size_t part = n < RECORD_MAX ? n : RECORD_MAX;
        uint32_t head = (uint32_t)part | (stream == DT_JOURNAL_ERR ? STREAM_BIT : 0);
        if (j->fd < 0 && !j->no_file && j->mem.n + HEAD + part > SMALL_MAX)
            to_file(j);
        if (j->fd < 0 || !put_file(j, head, p, part))
            put_memory(j, head, p, part);
        j->total += part;
        p += part;
        n -= part;
    }
}

/* --- reading --- */

/* A reader that was overtaken goes on with the oldest record there is. */
static uint64_t catch_up(const struct dt_journal *j, struct dt_journal_cursor *c)
{
    if (c->at >= j->start)
        return 0;
    uint64_t lost = j->dropped - c->payload;
    *c = (struct dt_journal_cursor){.at = j->start, .payload = j->dropped};
    return lost;
}

static uint32_t open_record(struct dt_journal_cursor *c, const char *p)
{
    uint32_t head;
    memcpy(&head, p, HEAD);
    c->left = head & ~STREAM_BIT;
    c->stream = (head & STREAM_BIT) != 0 ? DT_JOURNAL_ERR : DT_JOURNAL_OUT;
    return HEAD;
}

bool dt_journal_read_most(
    struct dt_journal *j, struct dt_journal_cursor *c, size_t most, uint64_t *lost,
    void (*piece)(void *ctx, enum dt_journal_stream stream, const char *p, size_t n), void *ctx)
{
    static char block[DT_JOURNAL_BLOCK];
    *lost = catch_up(j, c);
    size_t n = j->end - c->at < sizeof(block) ? (size_t)(j->end - c->at) : sizeof(block), i = 0;
    if (n == 0)
        return *lost > 0;
    if (!get(j, c->at, block, n)) {
        forget_all(j); /* the disk fails */
        return dt_journal_read_most(j, c, most, lost, piece, ctx);
    }
    while (i < n && most > 0) {
        if (c->left == 0 && n - i < HEAD)
            break; /* the next block has it whole */
        if (c->left == 0)
            i += open_record(c, block + i);
        size_t part = c->left < n - i ? c->left : n - i;
        part = part < most ? part : most;
        if (part > 0 && piece != NULL)
            piece(ctx, c->stream, block + i, part);
        i += part;
        most -= part;
        c->left -= (uint32_t)part;
        c->payload += part;
    }
    c->at += i;
    return true;
}

bool dt_journal_read(struct dt_journal *j, struct dt_journal_cursor *c, uint64_t *lost,
                     void (*piece)(void *ctx, enum dt_journal_stream stream, const char *p,
                                   size_t n),
                     void *ctx)
{
    return dt_journal_read_most(j, c, SIZE_MAX, lost, piece, ctx);
}

void dt_journal_seek(struct dt_journal *j, struct dt_journal_cursor *c, uint64_t payload)
{
    uint64_t lost;
    *c = (struct dt_journal_cursor){.at = 0};
    for (unsigned long i = 0; j->marks != NULL && i < j->nmarks && i < MARKS; i++) {
        const struct mark *m = &j->marks[i];
        if (m->at >= c->at && m->payload <= payload)
            *c = (struct dt_journal_cursor){.at = m->at, .payload = m->payload};
    }
    (void)catch_up(j, c);
    while (c->payload < payload &&
           dt_journal_read_most(j, c, payload - c->payload, &lost, NULL, NULL))
        ;
}

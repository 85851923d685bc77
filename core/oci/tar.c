#include "oci/tar.h"

#include <string.h>

#include "oci/tar_pax.h"

enum { BLOCK = 512, EXTENSIONS_MAX = 16 };

/* POSIX.1-1988; `tail` is the prefix of POSIX and what old GNU tar keeps of a sparse file. */
struct header {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[8];
    char names[64];
    char devices[16];
    char tail[167];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

struct dt_tar {
    struct dt_tar_source src;
    bool need_end;
    bool ended;
    uint64_t at; /* bytes consumed of the archive */
    union {
        struct header h;
        char block[BLOCK];
    } u;
    struct dt_tar_ext ext;
    char *path, *link;

    uint64_t left; /* bytes of the entry's data that are still in the archive */
    uint64_t pad;
    bool sparse;
    size_t segment;        /* the one being read, of ext.segments */
    uint64_t segment_done; /* bytes of it that were read */
    uint64_t offset;       /* in a file that is not sparse */
};

int dt_tar_new(const struct dt_tar_source *src, bool need_end, struct dt_tar **ret,
               struct dt_err *err)
{
    struct dt_tar *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return dt_err_set(err, DT_E_NOMEM, "tar reader");
    t->src = *src;
    t->need_end = need_end;
    *ret = t;
    return 0;
}

struct dt_tar *dt_tar_free(struct dt_tar *t)
{
    if (t == NULL)
        return NULL;
    dt_tar_ext_done(&t->ext);
    free(t->path);
    free(t->link);
    free(t);
    return NULL;
}

static int truncated(struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID, "the tar archive is truncated");
}

/* Reads exactly n bytes; fewer only when `end_ok` and the archive ends before the first. */
static int fill(struct dt_tar *t, void *buf, size_t n, bool end_ok, struct dt_err *err)
{
    size_t have = 0;
    while (have < n) {
        ssize_t got = t->src.read(t->src.ctx, (char *)buf + have, n - have, err);
        if (got < 0)
            return -1;
        if (got == 0)
            return have == 0 && end_ok ? 0 : truncated(err);
        have += (size_t)got;
        t->at += (uint64_t)got;
    }
    return 1;
}

static int skip(struct dt_tar *t, uint64_t n, struct dt_err *err)
{
    if (n > 0 && t->src.skip != NULL) {
        t->at += n;
        return t->src.skip(t->src.ctx, n, err);
    }
    char drop[16384];
    while (n > 0) {
        size_t some = n < sizeof(drop) ? (size_t)n : sizeof(drop);
        if (fill(t, drop, some, false, err) < 0)
            return -1;
        n -= some;
    }
    return 0;
}

static bool is_zero(const char block[BLOCK])
{
    for (size_t i = 0; i < BLOCK; i++)
        if (block[i] != 0)
            return false;
    return true;
}

/* Old archivers summed signed bytes. */
static bool checksum_ok(const struct header *h)
{
    const unsigned char *p = (const unsigned char *)h;
    const size_t from = offsetof(struct header, checksum);
    int64_t sum = 0;
    int64_t sum_signed = 0;
    int64_t want = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        unsigned char c = i >= from && i < from + sizeof(h->checksum) ? ' ' : p[i];
        sum += c;
        sum_signed += (signed char)c;
    }
    return dt_tar_number(h->checksum, sizeof(h->checksum), &want) == 0 &&
           (want == sum || want == sum_signed);
}

/* 1 = a header is in t->u, 0 = the end. */
static int next_header(struct dt_tar *t, struct dt_err *err)
{
    int got = fill(t, t->u.block, BLOCK, !t->need_end, err);
    if (got <= 0)
        return got;
    if (is_zero(t->u.block))
        return 0;
    if (!checksum_ok(&t->u.h))
        return dt_err_set(err, DT_E_INVALID,
                          "no tar archive, or a damaged one: bad checksum at byte %llu",
                          (unsigned long long)(t->at - BLOCK));
    return 1;
}

/* The data of an extension header, whole. */
static int read_extension(struct dt_tar *t, struct dt_buf *out, struct dt_err *err)
{
    uint64_t size = 0;
    if (dt_tar_count(t->u.h.size, sizeof(t->u.h.size), &size) < 0 || size > DT_TAR_PAX_MAX)
        return dt_err_set(err, DT_E_LIMIT, "tar extension header of more than %d bytes",
                          DT_TAR_PAX_MAX);
    if (dt_buf_reserve(out, (size_t)size, err) < 0 || fill(t, out->p, (size_t)size, false, err) < 0)
        return -1;
    out->n = (size_t)size;
    return skip(t, (BLOCK - size % BLOCK) % BLOCK, err);
}

/* 1 = it was an extension header and is applied, 0 = it is an entry. */
static int take_extension(struct dt_tar *t, struct dt_err *err)
{
    char type = t->u.h.type;
    if (type != 'L' && type != 'K' && type != 'x' && type != 'g' && type != 'V')
        return 0;
    DT_AUTO_BUF struct dt_buf data;
    dt_buf_init(&data, DT_TAR_PAX_MAX);
    if (read_extension(t, &data, err) < 0)
        return -1;
    struct dt_str text = dt_buf_str(&data);
    while (text.n > 0 && text.p[text.n - 1] == '\0')
        text.n--;
    if (type == 'L' && dt_tar_ext_text(&t->ext.path, text, "long name", err) < 0)
        return -1;
    if (type == 'K' && dt_tar_ext_text(&t->ext.link, text, "long link target", err) < 0)
        return -1;
    if (type == 'x' && dt_tar_ext_parse(&t->ext, dt_buf_str(&data), err) < 0)
        return -1;
    return 1; /* a global header (git's commit id) or a volume label changes no entry */
}

static struct dt_str field(const char *p, size_t n)
{
    return dt_str(p, strnlen(p, n));
}

static int set_path(struct dt_tar *t, struct dt_err *err)
{
    const struct header *h = &t->u.h;
    struct dt_tar_ext *x = &t->ext;
    if (x->sparse_name != NULL || x->path != NULL) {
        char **from = x->sparse_name != NULL ? &x->sparse_name : &x->path;
        free(t->path);
        t->path = dt_take(*from);
        return 0;
    }
    char joined[sizeof(h->name) + 1 + 155];
    struct dt_str name = field(h->name, sizeof(h->name));
    struct dt_str prefix = dt_str(NULL, 0);
    if (memcmp(h->magic, "ustar", 6) == 0)
        prefix = field(h->tail, 155);
    size_t n = 0;
    if (prefix.n > 0) {
        memcpy(joined, prefix.p, prefix.n);
        n = prefix.n;
        joined[n++] = '/';
    }
    memcpy(joined + n, name.p, name.n);
    return dt_tar_ext_text(&t->path, dt_str(joined, n + name.n), "name", err);
}

static int set_link(struct dt_tar *t, struct dt_err *err)
{
    if (t->ext.link == NULL)
        return dt_tar_ext_text(&t->link, field(t->u.h.link, sizeof(t->u.h.link)), "link target",
                               err);
    free(t->link);
    t->link = dt_take(t->ext.link);
    return 0;
}

static int set_type(const struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err)
{
    switch (t->u.h.type) {
    case '0':
    case '\0':
    case '7':
    case 'S':
        /* Before POSIX a directory was a file whose name ends with a slash. */
        e->type = t->path[strlen(t->path) - 1] == '/' ? DT_TAR_DIR : DT_TAR_FILE;
        return 0;
    case '1':
        e->type = DT_TAR_HARDLINK;
        return 0;
    case '2':
        e->type = DT_TAR_SYMLINK;
        return 0;
    case '5':
        e->type = DT_TAR_DIR;
        return 0;
    case '3':
    case '4':
    case '6':
        e->type = DT_TAR_DEVICE;
        return 0;
    default:
        return dt_err_set(err, DT_E_UNSUPPORTED, "'%s': tar entry of unknown type 0x%02x", t->path,
                          (unsigned)(unsigned char)t->u.h.type);
    }
}

static int set_numbers(const struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err)
{
    const struct header *h = &t->u.h;
    const struct dt_tar_ext *x = &t->ext;
    uint64_t mode = 0;
    if (dt_tar_count(h->mode, sizeof(h->mode), &mode) < 0 ||
        (!x->has_uid && dt_tar_count(h->uid, sizeof(h->uid), &e->uid) < 0) ||
        (!x->has_gid && dt_tar_count(h->gid, sizeof(h->gid), &e->gid) < 0) ||
        (!x->has_size && dt_tar_count(h->size, sizeof(h->size), &e->size) < 0) ||
        (!x->has_mtime && dt_tar_number(h->mtime, sizeof(h->mtime), &e->mtime) < 0))
        return dt_err_set(err, DT_E_INVALID, "'%s': a number in its tar header is damaged",
                          t->path);
    e->mode = (uint32_t)(mode & 07777);
    if (x->has_uid)
        e->uid = x->uid;
    if (x->has_gid)
        e->gid = x->gid;
    if (x->has_size)
        e->size = x->size;
    if (x->has_mtime) {
        e->mtime = x->mtime;
        e->mtime_ns = x->mtime_ns;
    }
    if (e->size > INT64_MAX - 2 * (int64_t)BLOCK)
        return dt_err_set(err, DT_E_LIMIT, "'%s': size of 2^63 bytes", t->path);
    return 0;
}

/* Old GNU format: four segments in the header, 21 in each block behind it. */
static int sparse_old_gnu(struct dt_tar *t, struct dt_err *err)
{
    struct dt_tar_ext *x = &t->ext;
    const char *p = t->u.block + 386;
    size_t n = 4;
    bool more = t->u.block[482] != 0;
    if (dt_tar_count(t->u.block + 483, 12, &x->real_size) < 0)
        return dt_err_set(err, DT_E_INVALID, "bad size of a sparse file");
    x->has_real_size = true;
    for (;;) {
        for (size_t i = 0; i < n && p[i * 24] != '\0'; i++) {
            uint64_t at = 0;
            uint64_t len = 0;
            if (dt_tar_count(p + i * 24, 12, &at) < 0 ||
                dt_tar_count(p + i * 24 + 12, 12, &len) < 0)
                return dt_err_set(err, DT_E_INVALID, "bad number in a sparse map");
            if (dt_tar_ext_segment(x, at, len, err) < 0)
                return -1;
        }
        if (!more)
            return 0;
        if (fill(t, t->u.block, BLOCK, false, err) < 0)
            return -1;
        p = t->u.block;
        n = 21;
        more = t->u.block[504] != 0;
    }
}

/* A decimal line of the map at the head of the data; *used counts the bytes of the current block.
 */
static int sparse_line(struct dt_tar *t, size_t *used, uint64_t *ret, struct dt_err *err)
{
    char digits[24];
    size_t n = 0;
    for (;;) {
        if (*used == BLOCK) {
            if (t->left < BLOCK)
                return dt_err_set(err, DT_E_INVALID, "sparse map is longer than the data");
            if (fill(t, t->u.block, BLOCK, false, err) < 0)
                return -1;
            t->left -= BLOCK;
            *used = 0;
        }
        char c = t->u.block[(*used)++];
        if (c == '\n')
            break;
        if (n == sizeof(digits))
            return dt_err_set(err, DT_E_INVALID, "bad number in a sparse map");
        digits[n++] = c;
    }
    unsigned long long v = 0;
    if (dt_str_u64(dt_str(digits, n), INT64_MAX, &v) < 0)
        return dt_err_set(err, DT_E_INVALID, "bad number in a sparse map");
    *ret = v;
    return 0;
}

static int sparse_in_data(struct dt_tar *t, struct dt_err *err)
{
    size_t used = BLOCK;
    uint64_t count = 0;
    t->ext.nsegments = 0;
    if (sparse_line(t, &used, &count, err) < 0)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = 0;
        uint64_t n = 0;
        if (sparse_line(t, &used, &at, err) < 0 || sparse_line(t, &used, &n, err) < 0 ||
            dt_tar_ext_segment(&t->ext, at, n, err) < 0)
            return -1;
    }
    return 0;
}

/* The map must cover exactly what the archive holds of the file, and lie within the file. */
static int sparse_check(struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err)
{
    const struct dt_tar_ext *x = &t->ext;
    uint64_t held = 0;
    if (!x->has_real_size || x->segment_open || x->real_size > INT64_MAX)
        return dt_err_set(err, DT_E_INVALID, "sparse file without its size or map");
    for (size_t i = 0; i < x->nsegments; i++)
        held += x->segments[i].n; /* apart and below 2^63, so the sum is too */
    const struct dt_tar_segment *last = x->nsegments > 0 ? &x->segments[x->nsegments - 1] : NULL;
    if (held != t->left || (last != NULL && last->at + last->n > x->real_size))
        return dt_err_set(err, DT_E_INVALID, "sparse map does not fit the file");
    e->size = x->real_size;
    return 0;
}

static int set_data(struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err)
{
    /* Links and folders have no data whatever their header says: what writes images agrees. */
    if (e->type != DT_TAR_FILE)
        e->size = 0;
    t->left = e->size;
    t->pad = (BLOCK - e->size % BLOCK) % BLOCK;
    t->segment = 0;
    t->segment_done = 0;
    t->offset = 0;
    bool old = t->u.h.type == 'S';
    t->sparse = e->type == DT_TAR_FILE && (t->ext.sparse || old);
    e->sparse = t->sparse;
    if (t->sparse &&
        ((old && sparse_old_gnu(t, err) < 0) ||
         (t->ext.sparse_in_data && sparse_in_data(t, err) < 0) || sparse_check(t, e, err) < 0))
        return dt_err_wrap(err, "'%s'", t->path);
    e->data_at = t->at;
    return 0;
}

static int set_entry(struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err)
{
    *e = (struct dt_tar_entry){.link = ""};
    if (set_path(t, err) < 0 || set_type(t, e, err) < 0 || set_numbers(t, e, err) < 0)
        return -1;
    if (e->type == DT_TAR_HARDLINK || e->type == DT_TAR_SYMLINK) {
        if (set_link(t, err) < 0)
            return dt_err_wrap(err, "'%s'", t->path);
        e->link = t->link;
    }
    e->path = t->path;
    e->xattrs = t->ext.xattrs;
    e->nxattrs = t->ext.nxattrs;
    return set_data(t, e, err);
}

int dt_tar_next(struct dt_tar *t, struct dt_tar_entry *e, struct dt_err *err)
{
    if (t->ended)
        return 0;
    if (skip(t, t->left, err) < 0 || skip(t, t->pad, err) < 0)
        return -1;
    t->left = 0;
    t->pad = 0;
    dt_tar_ext_done(&t->ext);
    for (unsigned i = 0; i <= EXTENSIONS_MAX; i++) {
        int got = next_header(t, err);
        if (got < 0)
            return -1;
        if (got == 0) {
            if (i > 0)
                return truncated(err);
            t->ended = true;
            return 0;
        }
        got = take_extension(t, err);
        if (got < 0)
            return -1;
        if (got == 0)
            return set_entry(t, e, err) < 0 ? -1 : 1;
    }
    return dt_err_set(err, DT_E_LIMIT, "more than %d extension headers before one entry",
                      EXTENSIONS_MAX);
}

/* How much of the current segment is left, and where in the file it goes. */
static uint64_t segment_left(struct dt_tar *t, uint64_t *offset)
{
    const struct dt_tar_ext *x = &t->ext;
    while (t->segment < x->nsegments && t->segment_done == x->segments[t->segment].n) {
        t->segment++;
        t->segment_done = 0;
    }
    if (t->segment == x->nsegments)
        return 0;
    *offset = x->segments[t->segment].at + t->segment_done;
    return x->segments[t->segment].n - t->segment_done;
}

ssize_t dt_tar_data(struct dt_tar *t, void *buf, size_t n, uint64_t *offset, struct dt_err *err)
{
    uint64_t left = t->left;
    *offset = t->offset;
    if (t->sparse)
        left = segment_left(t, offset);
    if (left == 0 || n == 0)
        return 0;
    ssize_t got = t->src.read(t->src.ctx, buf, left < n ? (size_t)left : n, err);
    if (got < 0)
        return -1;
    if (got == 0)
        return truncated(err);
    t->at += (uint64_t)got;
    t->left -= (uint64_t)got;
    t->offset += (uint64_t)got;
    t->segment_done += (uint64_t)got;
    return got;
}

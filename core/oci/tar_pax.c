#include "oci/tar_pax.h"

#include <string.h>

#define XATTR_PREFIX "SCHILY.xattr."

void dt_tar_ext_done(struct dt_tar_ext *x)
{
    free(x->path);
    free(x->link);
    free(x->sparse_name);
    free(x->segments);
    for (size_t i = 0; i < x->nxattrs; i++)
        free((void *)x->xattrs[i].name);
    memset(x, 0, sizeof(*x));
}

static int base256(const unsigned char *p, size_t n, int64_t *ret)
{
    bool negative = p[0] == 0xff;
    if (!negative && p[0] != 0x80)
        return -1;
    uint64_t v = negative ? UINT64_MAX : 0;
    for (size_t i = 1; i < n; i++) {
        if (n - i > 8 && p[i] != (negative ? 0xff : 0))
            return -1;
        v = v << 8 | p[i];
    }
    if ((int64_t)v < 0 ? !negative : negative)
        return -1;
    *ret = (int64_t)v;
    return 0;
}

int dt_tar_number(const char *field, size_t n, int64_t *ret)
{
    if ((unsigned char)field[0] >= 0x80)
        return base256((const unsigned char *)field, n, ret);
    size_t i = 0;
    uint64_t v = 0;
    while (i < n && field[i] == ' ')
        i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) {
        if (v > (uint64_t)INT64_MAX >> 3)
            return -1;
        v = v << 3 | (uint64_t)(field[i] - '0');
    }
    for (; i < n; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return -1;
    *ret = (int64_t)v;
    return 0;
}

int dt_tar_count(const char *field, size_t n, uint64_t *ret)
{
    int64_t v = 0;
    if (dt_tar_number(field, n, &v) < 0 || v < 0)
        return -1;
    *ret = (uint64_t)v;
    return 0;
}

int dt_tar_ext_text(char **text, struct dt_str s, const char *what, struct dt_err *err)
{
    if (s.n == 0 || s.n > DT_TAR_PATH_MAX)
        return dt_err_set(err, DT_E_INVALID, "%s of %zu bytes; 1 to %d are allowed", what, s.n,
                          DT_TAR_PATH_MAX);
    if (memchr(s.p, '\0', s.n) != NULL)
        return dt_err_set(err, DT_E_INVALID, "%s with a NUL byte", what);
    char *copy = strndup(s.p, s.n);
    if (copy == NULL)
        return dt_err_set(err, DT_E_NOMEM, "%s", what);
    free(*text);
    *text = copy;
    return 0;
}

int dt_tar_ext_segment(struct dt_tar_ext *x, uint64_t at, uint64_t n, struct dt_err *err)
{
    const struct dt_tar_segment *last = x->nsegments > 0 ? &x->segments[x->nsegments - 1] : NULL;
    if (at > INT64_MAX || n > INT64_MAX - at || (last != NULL && at < last->at + last->n))
        return dt_err_set(err, DT_E_INVALID, "sparse map is out of order");
    if (x->nsegments >= DT_TAR_SPARSE_MAX)
        return dt_err_set(err, DT_E_LIMIT, "more than %d sparse segments", DT_TAR_SPARSE_MAX);
    if (x->nsegments == x->segment_cap) {
        size_t cap = x->segment_cap == 0 ? 16 : x->segment_cap * 2;
        void *grown = realloc(x->segments, cap * sizeof(*x->segments));
        if (grown == NULL)
            return dt_err_set(err, DT_E_NOMEM, "sparse map");
        x->segments = grown;
        x->segment_cap = cap;
    }
    x->segments[x->nsegments++] = (struct dt_tar_segment){at, n};
    return 0;
}

static int decimal(struct dt_str v, uint64_t *ret, const char *what, struct dt_err *err)
{
    unsigned long long n = 0;
    if (dt_str_u64(v, INT64_MAX, &n) < 0)
        return dt_err_set(err, DT_E_INVALID, "pax %s is not a number", what);
    *ret = n;
    return 0;
}

/* `-12.5` is 12.5 seconds before 1970: -13 seconds and 500,000,000 nanoseconds. */
static int pax_time(struct dt_tar_ext *x, struct dt_str v, struct dt_err *err)
{
    bool negative = v.n > 0 && v.p[0] == '-';
    if (negative)
        v = dt_str(v.p + 1, v.n - 1);
    struct dt_str whole = dt_str(v.p, 0);
    (void)dt_str_cut(&v, '.', &whole);
    uint64_t seconds = 0;
    if (decimal(whole, &seconds, "mtime", err) < 0)
        return -1;
    uint32_t ns = 0;
    for (size_t i = 0; i < 9; i++) {
        unsigned digit = i < v.n ? (unsigned)(unsigned char)v.p[i] - '0' : 0;
        if (digit > 9)
            return dt_err_set(err, DT_E_INVALID, "pax mtime is not a number");
        ns = ns * 10 + digit;
    }
    x->mtime = negative ? -(int64_t)seconds - (ns > 0) : (int64_t)seconds;
    x->mtime_ns = negative && ns > 0 ? 1000000000u - ns : ns;
    x->has_mtime = true;
    return 0;
}

static int add_xattr(struct dt_tar_ext *x, struct dt_str name, struct dt_str value,
                     struct dt_err *err)
{
    if (name.n == 0 || name.n > 255 || memchr(name.p, '\0', name.n) != NULL)
        return dt_err_set(err, DT_E_INVALID, "extended attribute with a bad name");
    if (x->nxattrs >= DT_TAR_XATTRS_MAX ||
        x->xattr_bytes + name.n + value.n > DT_TAR_XATTR_BYTES_MAX)
        return dt_err_set(err, DT_E_LIMIT, "more than %d extended attributes or %d bytes of them",
                          DT_TAR_XATTRS_MAX, DT_TAR_XATTR_BYTES_MAX);
    char *both = malloc(name.n + 1 + value.n + 1);
    if (both == NULL)
        return dt_err_set(err, DT_E_NOMEM, "extended attribute");
    memcpy(both, name.p, name.n);
    both[name.n] = '\0';
    if (value.n > 0)
        memcpy(both + name.n + 1, value.p, value.n);
    both[name.n + 1 + value.n] = '\0';
    x->xattrs[x->nxattrs].name = both;
    x->xattrs[x->nxattrs].value = dt_str(both + name.n + 1, value.n);
    x->nxattrs++;
    x->xattr_bytes += name.n + value.n;
    return 0;
}

/* GNU.sparse.map of format 0.1: offset,length,offset,length... */
static int sparse_map(struct dt_tar_ext *x, struct dt_str v, struct dt_err *err)
{
    struct dt_str at;
    struct dt_str n;
    x->nsegments = 0;
    while (v.n > 0 && dt_str_cut(&v, ',', &at)) {
        uint64_t a = 0;
        uint64_t b = 0;
        if (!dt_str_cut(&v, ',', &n))
            return dt_err_set(err, DT_E_INVALID, "pax sparse map has an odd number of numbers");
        if (decimal(at, &a, "sparse map", err) < 0 || decimal(n, &b, "sparse map", err) < 0 ||
            dt_tar_ext_segment(x, a, b, err) < 0)
            return -1;
    }
    return 0;
}

/* The part of the key behind GNU.sparse. */
static int sparse_record(struct dt_tar_ext *x, struct dt_str key, struct dt_str v,
                         struct dt_err *err)
{
    uint64_t n = 0;
    x->sparse = true;
    if (dt_str_eq(key, DT_STR("name")))
        return dt_tar_ext_text(&x->sparse_name, v, "sparse name", err);
    if (dt_str_eq(key, DT_STR("map")))
        return sparse_map(x, v, err);
    if (decimal(v, &n, "GNU.sparse number", err) < 0)
        return -1;
    if (dt_str_eq(key, DT_STR("major"))) {
        x->sparse_in_data = n == 1;
        return n <= 1
                   ? 0
                   : dt_err_set(err, DT_E_UNSUPPORTED, "sparse format %llu", (unsigned long long)n);
    }
    if (dt_str_eq(key, DT_STR("size")) || dt_str_eq(key, DT_STR("realsize"))) {
        x->real_size = n;
        x->has_real_size = true;
        return 0;
    }
    if (dt_str_eq(key, DT_STR("offset"))) {
        if (x->segment_open)
            return dt_err_set(err, DT_E_INVALID, "sparse offset without a length");
        x->segment_open = true;
        return dt_tar_ext_segment(x, n, 0, err);
    }
    if (dt_str_eq(key, DT_STR("numbytes"))) {
        if (!x->segment_open)
            return dt_err_set(err, DT_E_INVALID, "sparse length without an offset");
        x->segment_open = false;
        uint64_t at = x->segments[--x->nsegments].at;
        return dt_tar_ext_segment(x, at, n, err);
    }
    return 0; /* minor, numblocks: nothing that is not known otherwise */
}

static int record(struct dt_tar_ext *x, struct dt_str key, struct dt_str v, struct dt_err *err)
{
    static const struct dt_str xattr = {XATTR_PREFIX, sizeof(XATTR_PREFIX) - 1};
    static const struct dt_str sparse = {"GNU.sparse.", 11};
    if (dt_str_starts(key, xattr))
        return add_xattr(x, dt_str(key.p + xattr.n, key.n - xattr.n), v, err);
    if (dt_str_starts(key, sparse))
        return sparse_record(x, dt_str(key.p + sparse.n, key.n - sparse.n), v, err);
    if (dt_str_eq(key, DT_STR("path")))
        return v.n == 0 ? 0 : dt_tar_ext_text(&x->path, v, "pax path", err);
    if (dt_str_eq(key, DT_STR("linkpath")))
        return v.n == 0 ? 0 : dt_tar_ext_text(&x->link, v, "pax linkpath", err);
    if (dt_str_eq(key, DT_STR("mtime")))
        return v.n == 0 ? 0 : pax_time(x, v, err);
    const struct {
        struct dt_str key;
        bool *has;
        uint64_t *value;
    } numbers[] = {{DT_STR("size"), &x->has_size, &x->size},
                   {DT_STR("uid"), &x->has_uid, &x->uid},
                   {DT_STR("gid"), &x->has_gid, &x->gid}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (!dt_str_eq(key, numbers[i].key))
            continue;
        *numbers[i].has = v.n > 0; /* an empty value takes an earlier one back */
        return v.n == 0 ? 0 : decimal(v, numbers[i].value, numbers[i].key.p, err);
    }
    return 0;
}

int dt_tar_ext_parse(struct dt_tar_ext *x, struct dt_str pax, struct dt_err *err)
{
    while (pax.n > 0) {
        /* "LENGTH KEY=VALUE\n", where LENGTH counts all of it; a value may hold any byte. */
        struct dt_str rest = pax;
        struct dt_str digits;
        unsigned long long len = 0;
        (void)dt_str_cut(&rest, ' ', &digits);
        if (rest.p == NULL || dt_str_u64(digits, pax.n, &len) < 0 || len < digits.n + 4 ||
            pax.p[len - 1] != '\n')
            return dt_err_set(err, DT_E_INVALID, "pax header with a bad record length");
        rest = dt_str(rest.p, len - digits.n - 2);
        struct dt_str key;
        (void)dt_str_cut(&rest, '=', &key);
        if (rest.p == NULL || key.n == 0)
            return dt_err_set(err, DT_E_INVALID, "pax header with a record that is no KEY=VALUE");
        if (record(x, key, rest, err) < 0)
            return -1;
        pax = dt_str(pax.p + len, pax.n - len);
    }
    return 0;
}

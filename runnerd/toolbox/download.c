/* GET /files/download and POST /files/bulk-download. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/rand.h"
#include "base/utf8.h"
#include "toolbox/files.h"
#include "toolbox/sdk.h"

enum {
    CHUNK = 128 * 1024,
    PIECE = 512 * 1024, /* that the kernel takes by itself */
    STEP = 4,           /* chunks per turn of the loop */
    TAKEN_MAX = 1024 * 1024,
    BODY_MAX = 4 * 1024 * 1024,
    NAME_MAX_BYTES = 4096,
    TYPED_ERRORS = 120,  /* clients from 0.120 on read JSON in the parts of a bulk download */
    DECODED_TWICE = 150, /* the Python client's first version that does so with names */
};

/* --- names in headers --- */

static int add_latin1(struct dt_buf *out, struct dt_str name, struct dt_err *err)
{
    for (size_t i = 0; i < name.n;) {
        unsigned char c = (unsigned char)name.p[i];
        size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        char put[2] = {(char)c, '\0'};
        size_t len = 1;
        if (c == '"' || c == '\\') {
            put[0] = '\\';
            put[1] = (char)c;
            len = 2;
        } else if (c == '\r' || c == '\n' || c == '\0') {
            len = 0;
        } else if (n == 2 && c <= 0xc3 && i + 1 < name.n) {
            put[0] = (char)((c & 3u) << 6 | ((unsigned char)name.p[i + 1] & 0x3fu));
            if ((unsigned char)put[0] < 0xa0)
                put[0] = '_';
        } else if (c < 0x20 || c == 0x7f || c >= 0x80) {
            put[0] = '_';
        }
        if (dt_buf_add(out, put, len, err) < 0)
            return -1;
        i += n;
    }
    return 0;
}

static int add_utf8(struct dt_buf *out, struct dt_str name, enum dt_files_name form,
                    struct dt_err *err)
{
    bool loose = form == DT_FILES_NAME_LOOSE && name.n > 0 && memchr(name.p, '"', name.n) == NULL;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        unsigned char put[2] = {c, 0};
        size_t len = c == '\r' || c == '\n' || c == '\0' ? 0 : 1;
        if (!loose && (c == '"' || c == '\\')) {
            put[0] = '\\';
            put[1] = c;
            len = 2;
        } else if (form == DT_FILES_NAME_TWICE && c >= 0x80) {
            put[0] = (unsigned char)(0xc0 | c >> 6);
            put[1] = (unsigned char)(0x80 | (c & 0x3f));
            len = 2;
        }
        if (dt_buf_add(out, put, len, err) < 0)
            return -1;
    }
    return 0;
}

static int add_percent(struct dt_buf *out, struct dt_str name, struct dt_err *err)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c != '\0' && strchr("!#$&+-.^_`|~", c) != NULL);
        int r =
            plain ? dt_buf_add(out, &c, 1, err) : dt_buf_addf(out, err, "%%%02X", (unsigned char)c);
        if (r < 0)
            return -1;
    }
    return 0;
}

int dt_files_disposition(struct dt_buf *out, const char *kind, struct dt_str name,
                         enum dt_files_name form, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, (size_t)3 * NAME_MAX_BYTES);
    if (name.n > NAME_MAX_BYTES)
        name.n = NAME_MAX_BYTES;
    if (dt_utf8_repair(&clean, name, err) < 0 || dt_buf_addf(out, err, "%s; filename=\"", kind) < 0)
        return -1;
    int r = form == DT_FILES_NAME_LATIN1 ? add_latin1(out, dt_buf_str(&clean), err)
                                         : add_utf8(out, dt_buf_str(&clean), form, err);
    if (r < 0 || dt_buf_addz(out, "\"; filename*=utf-8''", err) < 0)
        return -1;
    return add_percent(out, dt_buf_str(&clean), err);
}

/* --- opening --- */

int dt_files_open_regular(const char *path, struct stat *st, struct dt_err *err)
{
    if (stat(path, st) < 0)
        return dt_reply_file_errno(err, errno, path);
    if (S_ISDIR(st->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH,
                          "path must be a file: path points to a directory: %.400s", path);
    if (!S_ISREG(st->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH,
                          "path must be a file: %.400s is a device, pipe or socket", path);
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, st) < 0)
        return dt_reply_file_errno(err, errno, path);
    if (!S_ISREG(st->st_mode))
        return dt_err_set(err, DT_E_INVALID_FILE_PATH, "path must be a file: %.400s changed", path);
    return dt_take_fd(&fd);
}

/* --- files of the kernel --- */

static bool has_true_size(int fd, const struct stat *st)
{
    struct statfs fs;
    char probe;
    if (fstatfs(fd, &fs) == 0 && fs.f_type == SYSFS_MAGIC)
        return false; /* a page, whatever is in it */
    return st->st_size > 0 || pread(fd, &probe, 1, 0) != 1;
}

/* Returns how many bytes were copied; more than TAKEN_MAX: not all of it. */
static ssize_t take(int from, int to)
{
    char piece[4096];
    ssize_t n, taken = 0;
    while (taken <= TAKEN_MAX && (n = read(from, piece, sizeof(piece))) != 0) {
        if (n < 0 || write(to, piece, (size_t)n) != n)
            return -1;
        taken += n;
    }
    return taken;
}

/* Opens as dt_files_open_regular(). Of what does not tell its size (in /proc and /sys) the content
 * is taken down, so that it has one and parts of it fit together. */
static int open_settled(const char *path, struct stat *st, struct dt_err *err)
{
    DT_AUTO_FD int fd = dt_files_open_regular(path, st, err);
    if (fd < 0 || has_true_size(fd, st))
        return dt_take_fd(&fd);
    DT_AUTO_FD int copy = memfd_create("download", MFD_CLOEXEC);
    ssize_t n = copy < 0 ? -1 : take(fd, copy);
    if (n < 0 || lseek(copy, 0, SEEK_SET) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return dt_reply_file_errno(err, errno, path);
    if (n > TAKEN_MAX)
        return dt_take_fd(&fd);
    st->st_size = n;
    return dt_take_fd(&copy);
}

/* --- sending --- */

struct download {
    struct dt_toolbox *tb;
    struct dt_http_req *req;
    int fd;
    bool known; /* the length was announced; `left` bytes of it are to come */
    uint64_t left;
    char *buffer;
    uv_idle_t idle;
    bool idle_open;

    /* bulk-download */
    json_t *paths; /* NULL for a single file */
    size_t next;
    char boundary[48];
};

static void download_free(struct download *d)
{
    if (d->fd >= 0)
        (void)close(d->fd);
    free(d->buffer);
    json_decref(d->paths);
    free(d);
}

static void on_idle_closed(uv_handle_t *h)
{
    download_free(h->data);
}

static void on_done(void *ctx, bool complete)
{
    struct download *d = ctx;
    (void)complete;
    if (d->idle_open)
        uv_close((uv_handle_t *)&d->idle, on_idle_closed);
    else
        download_free(d);
}

enum sent { MORE, FULL, FILE_OVER, BROKEN };

/* Sends one piece of the open file. */
static enum sent send_chunk(struct download *d)
{
    ssize_t given =
        d->known ? dt_http_req_sendfile(d->req, d->fd, d->left < PIECE ? d->left : PIECE) : -1;
    if (given >= 0) {
        d->left -= (uint64_t)given;
        return d->left == 0 ? FILE_OVER : given > 0 ? MORE : FULL;
    }
    size_t want = d->known && d->left < CHUNK ? (size_t)d->left : CHUNK;
    ssize_t n = want == 0 ? 0 : read(d->fd, d->buffer, want);
    if (n < 0)
        return errno == EINTR ? MORE : BROKEN;
    if (n == 0)
        return d->known && d->left > 0 ? BROKEN : FILE_OVER; /* it shrank meanwhile */
    if (d->known)
        d->left -= (uint64_t)n;
    bool room = dt_http_req_write(d->req, d->buffer, (size_t)n);
    if (d->known && d->left == 0)
        return FILE_OVER;
    return room ? MORE : FULL;
}

static enum sent next_part(struct download *d);

static void on_idle(uv_idle_t *idle)
{
    struct download *d = idle->data;
    for (int i = 0; i < STEP; i++) {
        enum sent r = d->fd >= 0 ? send_chunk(d) : FILE_OVER;
        if (r == FILE_OVER) {
            if (d->fd >= 0)
                (void)close(d->fd);
            d->fd = -1;
            r = d->paths != NULL ? next_part(d) : FILE_OVER;
        }
        if (r == MORE)
            continue;
        (void)uv_idle_stop(idle);
        if (r == FILE_OVER)
            dt_http_req_end(d->req);
        else if (r == BROKEN)
            dt_http_req_abort(d->req);
        return;
    }
}

static void on_drain(void *ctx)
{
    struct download *d = ctx;
    (void)uv_idle_start(&d->idle, on_idle);
}

static struct download *download_new(struct dt_toolbox *tb, struct dt_http_req *req)
{
    struct download *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->tb = tb;
    d->req = req;
    d->fd = -1;
    dt_http_req_on_done(req, on_done, d);
    return d;
}

static int start_sending(struct download *d, int status, uint64_t length, struct dt_err *err)
{
    d->buffer = malloc(CHUNK);
    if (d->buffer == NULL)
        return dt_err_set(err, DT_E_NOMEM, "download");
    (void)uv_idle_init(d->tb->loop, &d->idle);
    d->idle.data = d;
    d->idle_open = true;
    dt_http_req_on_drain(d->req, on_drain, d);
    dt_http_req_begin(d->req, status, length);
    if (dt_str_eq(dt_http_req_method(d->req), DT_STR("HEAD")))
        dt_http_req_end(d->req);
    else
        (void)uv_idle_start(&d->idle, on_idle);
    return 0;
}

/* --- one file --- */

struct range {
    uint64_t first, n;
};

/* Reads `bytes=a-b`, `a-` or `-n`. Returns 1 for a range, 0 for the whole file (absent, malformed,
 * or several ranges), -1 when it lies behind the end. */
static int parse_range(struct dt_str header, uint64_t size, struct range *out)
{
    const struct dt_str unit = DT_STR("bytes=");
    if (header.n <= unit.n || !dt_str_eq_nocase(dt_str(header.p, unit.n), unit))
        return 0;
    struct dt_str rest = dt_str(header.p + unit.n, header.n - unit.n), first, last;
    if (!dt_str_cut(&rest, '-', &first) || rest.p == NULL)
        return 0;
    last = dt_str_trim(rest);
    first = dt_str_trim(first);
    unsigned long long a = 0, b = size - 1;
    if ((first.n > 0 && dt_str_u64(first, UINT64_MAX, &a) < 0) ||
        (last.n > 0 && dt_str_u64(last, UINT64_MAX, &b) < 0) || first.n + last.n == 0)
        return 0;
    if (first.n == 0) {
        if (b == 0 || size == 0)
            return -1;
        a = b < size ? size - b : 0;
        b = size - 1;
    } else if (b < a && last.n > 0) {
        return 0;
    }
    if (a >= size)
        return -1;
    *out = (struct range){a, (b < size ? b : size - 1) - a + 1};
    return 1;
}

static void http_date(time_t t, char out[40])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    out[0] = '\0';
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < -1900)
        return;
    (void)snprintf(out, 40, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   &days[3 * (size_t)tm.tm_wday], tm.tm_mday, &months[3 * (size_t)tm.tm_mon],
                   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static int add_headers(struct dt_http_req *req, const char *path, const char *date,
                       struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf disposition;
    dt_buf_init(&disposition, (size_t)32 * NAME_MAX_BYTES);
    const char *slash = strrchr(path, '/');
    struct dt_str name = dt_str_z(slash != NULL ? slash + 1 : path);
    if (dt_files_disposition(&disposition, "attachment", name, DT_FILES_NAME_LATIN1, err) < 0)
        return -1;
    dt_http_req_add_header(req, "Content-Type", DT_STR("application/octet-stream"));
    dt_http_req_add_header(req, "Content-Description", DT_STR("File Transfer"));
    dt_http_req_add_header(req, "Content-Disposition", dt_buf_str(&disposition));
    dt_http_req_add_header(req, "Content-Transfer-Encoding", DT_STR("binary"));
    dt_http_req_add_header(req, "Expires", DT_STR("0"));
    dt_http_req_add_header(req, "Cache-Control", DT_STR("must-revalidate"));
    dt_http_req_add_header(req, "Pragma", DT_STR("public"));
    dt_http_req_add_header(req, "Accept-Ranges", DT_STR("bytes"));
    if (date[0] != '\0')
        dt_http_req_add_header(req, "Last-Modified", dt_str_z(date));
    return 0;
}

static void answer_416(struct dt_http_req *req, uint64_t size)
{
    char text[48];
    struct dt_err err;
    (void)snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
    dt_http_req_add_header(req, "Content-Range", dt_str_z(text));
    (void)dt_err_set(&err, DT_E_INVALID, "the range begins behind the file's %llu bytes",
                     (unsigned long long)size);
    dt_reply_json(req, 416, dt_reply_error_json(req, &err));
}

/* So large that it was not taken down. */
static bool has_hidden_content(int fd, const struct stat *st)
{
    char probe;
    return st->st_size == 0 && pread(fd, &probe, 1, 0) == 1;
}

static int send_file(struct download *d, const char *path, const struct stat *st,
                     struct dt_err *err)
{
    char date[40], text[80];
    struct range r = {0, (uint64_t)st->st_size};
    struct dt_str condition = dt_http_req_header(d->req, "If-Range");
    http_date(st->st_mtim.tv_sec, date);
    int ranged = 0;
    if (condition.p == NULL || dt_str_eq(condition, dt_str_z(date)))
        ranged = parse_range(dt_http_req_header(d->req, "Range"), r.n, &r);
    if (ranged < 0) {
        answer_416(d->req, r.n);
        return 0;
    }
    if (add_headers(d->req, path, date, err) < 0)
        return -1;
    if (ranged == 0 && dt_str_eq(dt_http_req_header(d->req, "If-Modified-Since"), dt_str_z(date))) {
        dt_reply_empty(d->req, 304);
        return 0;
    }
    if (ranged > 0) {
        (void)snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)r.first,
                       (unsigned long long)(r.first + r.n - 1), (unsigned long long)st->st_size);
        dt_http_req_add_header(d->req, "Content-Range", dt_str_z(text));
        if (lseek(d->fd, (off_t)r.first, SEEK_SET) < 0)
            return dt_reply_file_errno(err, errno, path);
    }
    d->known = !has_hidden_content(d->fd, st);
    d->left = r.n;
    return start_sending(d, ranged > 0 ? 206 : 200, d->known ? r.n : UINT64_MAX, err);
}

void dt_op_files_download(struct dt_toolbox *tb, struct dt_http_req *req,
                          const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct dt_tb_path_query q;
    if (dt_tb_path_query_parse_query(dt_http_req_query(req), &q, &err) < 0) {
        dt_reply_error(req, &err);
        return;
    }
    DT_AUTO_FREE char *path = dt_guest_path(&tb->guest, q.path, &err);
    dt_tb_path_query_done(&q);
    struct stat st;
    DT_AUTO_FD int fd = path != NULL ? open_settled(path, &st, &err) : -1;
    struct download *d = fd >= 0 ? download_new(tb, req) : NULL;
    if (d == NULL) {
        if (fd >= 0)
            (void)dt_err_set(&err, DT_E_NOMEM, "download");
        dt_reply_error(req, &err);
        return;
    }
    d->fd = dt_take_fd(&fd);
    if (send_file(d, path, &st, &err) < 0)
        dt_reply_error(req, &err);
}

/* --- many files --- */

static enum dt_files_name name_form(const struct dt_http_req *req)
{
    if (!dt_sdk_is_python(req))
        return DT_FILES_NAME_UTF8;
    return dt_sdk_is_before(req, DECODED_TWICE) ? DT_FILES_NAME_LOOSE : DT_FILES_NAME_TWICE;
}

static int part_head(struct download *d, struct dt_buf *out, const char *kind, const char *path,
                     const char *type, struct dt_err *err)
{
    if (dt_buf_addf(out, err, "%s--%s\r\nContent-Disposition: ", d->next > 1 ? "\r\n" : "",
                    d->boundary) < 0 ||
        dt_files_disposition(out, kind, dt_str_z(path), name_form(d->req), err) < 0)
        return -1;
    return dt_buf_addf(out, err, "\r\nContent-Type: %s\r\n", type);
}

/* Old clients show the part as it is. */
static int plain_error_part(struct download *d, struct dt_buf *out, const char *path,
                            const struct dt_err *why, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf clean;
    dt_buf_init(&clean, 4 * sizeof(why->msg));
    if (part_head(d, out, "form-data; name=\"error\"", path, "text/plain; charset=utf-8", err) <
            0 ||
        dt_buf_addz(out, "\r\n", err) < 0 || dt_utf8_repair(&clean, dt_str_z(why->msg), err) < 0)
        return -1;
    return dt_buf_adds(out, dt_buf_str(&clean), err);
}

static int error_part(struct download *d, struct dt_buf *out, const char *path,
                      const struct dt_err *why, struct dt_err *err)
{
    if (dt_sdk_is_before(d->req, TYPED_ERRORS))
        return plain_error_part(d, out, path, why, err);
    DT_AUTO_JSON json_t *j = dt_reply_error_json(d->req, why);
    if (j == NULL)
        return dt_err_set(err, DT_E_NOMEM, "bulk download");
    (void)json_object_set_new(j, "path", json_string(path));
    if (part_head(d, out, "form-data; name=\"error\"", path, "application/json; charset=utf-8",
                  err) < 0 ||
        dt_buf_addz(out, "\r\n", err) < 0)
        return -1;
    return dt_json_write(j, out, err);
}

static int file_part(struct download *d, struct dt_buf *out, const char *path,
                     const struct stat *st, struct dt_err *err)
{
    d->known = !has_hidden_content(d->fd, st);
    d->left = (uint64_t)st->st_size;
    if (part_head(d, out, "form-data; name=\"file\"", path, "application/octet-stream", err) < 0)
        return -1;
    if (d->known &&
        dt_buf_addf(out, err, "Content-Length: %llu\r\n", (unsigned long long)st->st_size) < 0)
        return -1;
    return dt_buf_addz(out, "\r\n", err);
}

/* Opens the next file and writes its part's head; FILE_OVER after the last. */
static enum sent next_part(struct download *d)
{
    struct dt_err why, err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, (size_t)64 * NAME_MAX_BYTES);
    if (d->next == json_array_size(d->paths)) {
        if (dt_buf_addf(&out, &err, "\r\n--%s--\r\n", d->boundary) < 0)
            return BROKEN;
        (void)dt_http_req_write(d->req, out.p, out.n);
        return FILE_OVER;
    }
    const json_t *text = json_array_get(d->paths, d->next++);
    const char *path = json_string_value(text);
    DT_AUTO_FREE char *full =
        dt_guest_path(&d->tb->guest, dt_str(path, json_string_length(text)), &why);
    struct stat st;
    d->fd = full != NULL ? open_settled(full, &st, &why) : -1;
    int r =
        d->fd >= 0 ? file_part(d, &out, path, &st, &err) : error_part(d, &out, path, &why, &err);
    if (r < 0)
        return BROKEN;
    return dt_http_req_write(d->req, out.p, out.n) ? MORE : FULL;
}

static int bulk_start(struct download *d, struct dt_str body, struct dt_err *err)
{
    struct dt_tb_bulk_download in;
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, err);
    if (j == NULL || dt_tb_bulk_download_parse(j, &in, err) < 0)
        return -1;
    d->paths = json_incref(in.paths);
    dt_tb_bulk_download_done(&in);
    if (json_array_size(d->paths) == 0)
        return dt_err_set(err, DT_E_INVALID, "paths must not be empty");
    char random[25], type[128];
    dt_rand_alnum(random, 24);
    (void)snprintf(d->boundary, sizeof(d->boundary), "DAYTONA-%s", random);
    (void)snprintf(type, sizeof(type), "multipart/form-data; boundary=%s", d->boundary);
    dt_http_req_add_header(d->req, "Content-Type", dt_str_z(type));
    return start_sending(d, 200, UINT64_MAX, err);
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct download *d = ctx;
    struct dt_err err;
    if (failed != NULL || bulk_start(d, body, &err) == 0)
        return;
    if (err.code != DT_E_NOMEM)
        err.code = DT_E_INVALID;
    dt_reply_error(d->req, &err);
}

void dt_op_files_bulk_download(struct dt_toolbox *tb, struct dt_http_req *req,
                               const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct download *d = download_new(tb, req);
    if (d == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "download");
        dt_reply_error(req, &err);
        return;
    }
    dt_http_req_collect(req, BODY_MAX, on_body, d);
}

#include "oci/archive.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "oci/decompress.h"
#include "oci/flow.h"
#include "oci/jail.h"
#include "oci/layer.h"

enum { SCAN_MS = 600000 };

/* What the confined process tells about one member; this side checks all of it. */
struct member {
    char name[DT_ARCHIVE_NAME_MAX + 1];
    char link[DT_ARCHIVE_NAME_MAX + 1]; /* of a symbolic link, as written; else "" */
    uint64_t at, size;
};

struct dt_archive {
    enum dt_archive_kind kind;
    int dir; /* a folder, or -1 */
    int fd;  /* a plain tar file, or -1 */
    uint64_t size;
    struct member *members;
    size_t nmembers;
};

/* ---- in the confined process ---- */

struct cursor {
    uint64_t at, size;
};

static ssize_t scan_read(void *ctx, void *buf, size_t n, struct dt_err *err)
{
    struct cursor *c = ctx;
    ssize_t got;
    do
        got = pread(DT_JAIL_IN, buf, n, (off_t)c->at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return dt_err_errno(err, "read");
    c->at += (uint64_t)got;
    return got;
}

static int scan_skip(void *ctx, uint64_t n, struct dt_err *err)
{
    struct cursor *c = ctx;
    if (n > c->size - c->at)
        return dt_err_set(err, DT_E_INVALID, "the tar archive is truncated");
    c->at += n;
    return 0;
}

static bool ends_with(const char *z, const char *tail)
{
    size_t n = strlen(z);
    size_t k = strlen(tail);
    return n >= k && strcmp(z + n - k, tail) == 0;
}

/* An image's parts have such names; a root file system has few that look like it. */
static bool is_of_interest(const char *name)
{
    return strchr(name, '/') == NULL || strncmp(name, "blobs/", 6) == 0 ||
           ends_with(name, "/layer.tar");
}

static int scan_member(const struct dt_tar_entry *e, unsigned *count, struct dt_err *err)
{
    struct dt_layer_path path;
    if (dt_layer_path_parse(e->path, &path, NULL) < 0)
        return 0; /* unpacking a root file system will say what is wrong; here it is just no member
                   */
    bool is_link = e->type == DT_TAR_SYMLINK;
    if ((e->type != DT_TAR_FILE && !is_link) || e->sparse || !is_of_interest(path.text) ||
        strlen(path.text) > DT_ARCHIVE_NAME_MAX || strlen(e->link) > DT_ARCHIVE_NAME_MAX ||
        *count >= DT_ARCHIVE_MEMBERS_MAX)
        return 0;
    struct member m = {.at = e->data_at, .size = e->size};
    memcpy(m.name, path.text, strlen(path.text));
    memcpy(m.link, e->link, strlen(e->link));
    ++*count;
    return dt_fd_write_all(DT_JAIL_OUT, &m, sizeof(m), err);
}

static int scan_run(void *ctx, void *report, struct dt_err *err)
{
    (void)report;
    struct cursor c = {.size = *(const uint64_t *)ctx};
    const struct dt_tar_source src = {.read = scan_read, .skip = scan_skip, .ctx = &c};
    DT_AUTO(dt_tar_free) struct dt_tar *tar = NULL;
    struct dt_tar_entry e;
    unsigned count = 0;
    unsigned entries = 0;
    int got;
    if (dt_tar_new(&src, true, &tar, err) < 0)
        return -1;
    while ((got = dt_tar_next(tar, &e, err)) > 0) {
        if (++entries > DT_LAYER_ENTRIES_MAX)
            return dt_err_set(err, DT_E_LIMIT, "more than %d entries", DT_LAYER_ENTRIES_MAX);
        if (scan_member(&e, &count, err) < 0)
            return -1;
    }
    return got;
}

/* ---- in this process ---- */

static int add_member(struct dt_archive *a, const struct member *m, struct dt_err *err)
{
    if (memchr(m->name, '\0', sizeof(m->name)) == NULL ||
        memchr(m->link, '\0', sizeof(m->link)) == NULL || m->at > a->size ||
        m->size > a->size - m->at)
        return dt_err_set(err, DT_E_INVALID, "the tar archive is truncated");
    if (a->nmembers == DT_ARCHIVE_MEMBERS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "more than %d members", DT_ARCHIVE_MEMBERS_MAX);
    a->members[a->nmembers++] = *m;
    return 0;
}

static int receive_members(struct dt_archive *a, int fd, struct dt_err *err)
{
    struct member m;
    size_t have = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, SCAN_MS) == 0)
            return dt_err_set(err, DT_E_TIMEOUT, "reading the archive's headers took too long");
        ssize_t got = read(fd, (char *)&m + have, sizeof(m) - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dt_err_errno(err, "read the archive's members");
        if (got == 0)
            return 0;
        have += (size_t)got;
        if (have == sizeof(m)) {
            have = 0;
            if (add_member(a, &m, err) < 0)
                return -1;
        }
    }
}

static int scan(struct dt_archive *a, int userns, struct dt_err *err)
{
    int ends[2];
    struct dt_jail jail = {0};
    if ((a->members = calloc(DT_ARCHIVE_MEMBERS_MAX, sizeof(*a->members))) == NULL)
        return dt_err_set(err, DT_E_NOMEM, "archive members");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    DT_AUTO_FD int in = ends[0];
    DT_AUTO_FD int out = ends[1];
    uint64_t size = a->size;
    const struct dt_jail_spec spec = {
        .run = scan_run, .ctx = &size, .in = a->fd, .out = out, .rootfd = -1, .userns = userns};
    if (dt_jail_start(&spec, &jail, err) < 0)
        return -1;
    (void)close(dt_take_fd(&out));
    int rc = receive_members(a, in, err);
    if (rc == 0)
        rc = dt_jail_wait(&jail, SCAN_MS, NULL, err);
    dt_jail_kill(&jail);
    return rc;
}

/* Replaces the compressed file by an unnamed plain one. */
static int unpack_whole(struct dt_archive *a, int scratchfd, int userns, struct dt_err *err)
{
    DT_AUTO_FD int plain = openat(scratchfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (plain < 0)
        return dt_err_errno(err, "create a scratch file");
    struct dt_flow_sums sums;
    const struct dt_flow_spec spec = {.fd = a->fd,
                                      .size = a->size,
                                      .userns = userns,
                                      .out_max = DT_ARCHIVE_BYTES_MAX,
                                      .sink = plain};
    if (dt_flow_run(&spec, &sums, err) < 0)
        return -1;
    (void)close(a->fd);
    a->fd = dt_take_fd(&plain);
    a->size = sums.out_bytes;
    return 0;
}

static const struct member *lookup(const struct dt_archive *a, const char *name)
{
    for (size_t i = a->nmembers; i > 0; i--) /* the last of a name counts */
        if (strcmp(a->members[i - 1].name, name) == 0)
            return &a->members[i - 1];
    return NULL;
}

static bool has(const struct dt_archive *a, const char *name)
{
    return a->dir >= 0 ? faccessat(a->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0
                       : lookup(a, name) != NULL;
}

static int set_kind(struct dt_archive *a, const char *file, struct dt_err *err)
{
    if (has(a, "oci-layout") && has(a, "index.json"))
        a->kind = DT_ARCHIVE_OCI;
    else if (has(a, "manifest.json"))
        a->kind = DT_ARCHIVE_DOCKER;
    else if (a->dir < 0)
        a->kind = DT_ARCHIVE_ROOTFS;
    else
        return dt_err_set(err, DT_E_INVALID,
                          "%s is a folder without an OCI layout (oci-layout, index.json)", file);
    return 0;
}

static int open_tar(struct dt_archive *a, const struct stat *st, int scratchfd, int userns,
                    struct dt_err *err)
{
    unsigned char head[8];
    a->size = (uint64_t)st->st_size;
    ssize_t n = pread(a->fd, head, sizeof(head), 0);
    if (n < 0)
        return dt_err_errno(err, "read");
    if (n == 0)
        return dt_err_set(err, DT_E_INVALID, "the file is empty");
    if (dt_compression_of(head, (size_t)n) != DT_PLAIN &&
        unpack_whole(a, scratchfd, userns, err) < 0)
        return -1;
    if (a->size > DT_ARCHIVE_BYTES_MAX)
        return dt_err_set(err, DT_E_TOO_LARGE, "more than %llu bytes", DT_ARCHIVE_BYTES_MAX);
    return scan(a, userns, err);
}

static int open_any(struct dt_archive *a, const char *file, int scratchfd, int userns,
                    struct dt_err *err)
{
    struct stat st;
    DT_AUTO_FD int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND, "%s: there is no such file", file);
    if (fd < 0 || fstat(fd, &st) < 0)
        return dt_err_errno(err, "open %s", file);
    if (S_ISDIR(st.st_mode)) {
        a->dir = dt_take_fd(&fd);
        return set_kind(a, file, err);
    }
    if (!S_ISREG(st.st_mode))
        return dt_err_set(err, DT_E_INVALID, "%s is neither a file nor a folder", file);
    a->fd = dt_take_fd(&fd);
    if (open_tar(a, &st, scratchfd, userns, err) < 0)
        return dt_err_wrap(err, "%s", file);
    return set_kind(a, file, err);
}

int dt_archive_open(const char *file, int scratchfd, int userns, struct dt_archive **ret,
                    struct dt_err *err)
{
    DT_AUTO(dt_archive_free) struct dt_archive *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return dt_err_set(err, DT_E_NOMEM, "archive");
    a->dir = -1;
    a->fd = -1;
    if (open_any(a, file, scratchfd, userns, err) < 0)
        return -1;
    *ret = dt_take(a);
    return 0;
}

struct dt_archive *dt_archive_free(struct dt_archive *a)
{
    if (a == NULL)
        return NULL;
    dt_closep(&a->dir);
    dt_closep(&a->fd);
    free(a->members);
    free(a);
    return NULL;
}

enum dt_archive_kind dt_archive_kind(const struct dt_archive *a)
{
    return a->kind;
}

static int find_in_dir(const struct dt_archive *a, const char *name, struct dt_blob *ret,
                       struct dt_err *err)
{
    struct stat st;
    DT_AUTO_FD int fd =
        dt_fd_openat2(a->dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
                      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (fd < 0 && errno == ENOENT)
        return dt_err_set(err, DT_E_NOT_FOUND, "the image has no '%s'", name);
    if (fd < 0 || fstat(fd, &st) < 0)
        return dt_err_errno(err, "open %s", name);
    if (!S_ISREG(st.st_mode))
        return dt_err_set(err, DT_E_INVALID, "'%s' is no regular file", name);
    *ret = (struct dt_blob){.fd = dt_take_fd(&fd), .size = (uint64_t)st.st_size};
    return 0;
}

/* `docker save` wrote a layer that it had written already as a link "../OTHER/layer.tar". */
static const struct member *follow(const struct dt_archive *a, const struct member *m)
{
    if (m == NULL || m->link[0] == '\0')
        return m;
    const char *target = strncmp(m->link, "../", 3) == 0 ? m->link + 3 : m->link;
    const struct member *next = lookup(a, target);
    return next != NULL && next->link[0] == '\0' ? next : NULL;
}

int dt_archive_find(const struct dt_archive *a, const char *name, struct dt_blob *ret,
                    struct dt_err *err)
{
    if (a->dir >= 0)
        return find_in_dir(a, name, ret, err);
    const struct member *m = follow(a, lookup(a, name));
    if (m == NULL)
        return dt_err_set(err, DT_E_NOT_FOUND, "the image has no '%s'", name);
    int fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return dt_err_errno(err, "duplicate a descriptor");
    *ret = (struct dt_blob){.fd = fd, .at = m->at, .size = m->size};
    return 0;
}

int dt_archive_read(const struct dt_archive *a, const char *name, struct dt_buf *out,
                    struct dt_err *err)
{
    DT_AUTO_BLOB struct dt_blob b = {.fd = -1};
    if (dt_archive_find(a, name, &b, err) < 0)
        return -1;
    if (b.size > out->max)
        return dt_err_set(err, DT_E_TOO_LARGE, "'%s' has %llu bytes; %zu are allowed", name,
                          (unsigned long long)b.size, out->max);
    if (dt_buf_reserve(out, (size_t)b.size, err) < 0)
        return -1;
    while (out->n < b.size) {
        ssize_t got = pread(b.fd, out->p + out->n, (size_t)b.size - out->n, (off_t)(b.at + out->n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return dt_err_set(err, DT_E_INVALID, "'%s' ends too early", name);
        out->n += (size_t)got;
    }
    return 0;
}

int dt_archive_whole(const struct dt_archive *a, struct dt_blob *ret, struct dt_err *err)
{
    int fd = a->fd < 0 ? -1 : fcntl(a->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return dt_err_errno(err, "duplicate a descriptor");
    *ret = (struct dt_blob){.fd = fd, .size = a->size};
    return 0;
}

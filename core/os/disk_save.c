/*
 * A disk as a stream: what dt_disk_save() writes and dt_disk_load() reads, inside of a zfile.
 *
 *   head    "DTDISK1\n", u32 kind, u32 0, u64 size, u64 inodes (0 for an image)
 *   image   u64 offset, u64 length, data ... for each stretch of the image that is not a hole, in
 *           rising order; u64 size, u64 0 at the end
 *
 *   folder  a tree (tree.h), up to its end
 *
 * All numbers are little-endian. An image is saved as it is and not file by file: so ownership,
 * modes, times, links, holes, attributes and the overlay's own marks come back bit for bit without
 * anybody looking at them, and the file system that a sandbox filled is read by the kernel alone. A
 * folder under a project quota has no such image: there the tree is walked.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "os/disk_driver.h"
#include "os/zfile.h"

enum {
    KIND_IMAGE = 1,
    KIND_FOLDER = 2,
    HEAD_SIZE = 32,
    STRETCH_SIZE = 16,
    STEP = 1 << 20,
    ZERO_STEP = 65536,
    PACE_BYTES = 64 << 20
};

static const char magic[8] = "DTDISK1\n";
static const char fresh[] = "disk.img.new";

static void put_u64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static int open_image(int sandbox, uint64_t *size, struct dt_err *err)
{
    struct stat st;
    DT_AUTO_FD int fd = openat(sandbox, dt_disk_image, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? dt_err_set(err, DT_E_NOT_FOUND, "the sandbox has no disk")
                               : dt_err_errno(err, "open %s", dt_disk_image);
    *size = (uint64_t)st.st_size;
    return dt_take_fd(&fd);
}

static int read_at(int fd, unsigned char *p, size_t n, uint64_t at, struct dt_err *err)
{
    for (size_t have = 0; have < n;) {
        ssize_t got = pread(fd, p + have, n - have, (off_t)(at + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? dt_err_set(err, DT_E_SYSTEM, "the disk became shorter")
                            : dt_err_errno(err, "read a disk");
        have += (size_t)got;
    }
    return 0;
}

static int write_at(int fd, const unsigned char *p, size_t n, uint64_t at, struct dt_err *err)
{
    for (size_t have = 0; have < n;) {
        ssize_t put = pwrite(fd, p + have, n - have, (off_t)(at + have));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            (void)dt_err_errno(err, "write a disk");
            if (errno == ENOSPC || errno == EDQUOT)
                err->code = DT_E_LIMIT;
            return -1;
        }
        have += (size_t)put;
    }
    return 0;
}

/* The next stretch of data from `at` on; at the end *length is 0. */
static int next_stretch(int fd, uint64_t size, uint64_t at, uint64_t *offset, uint64_t *length,
                        struct dt_err *err)
{
    *offset = size;
    *length = 0;
    off_t data = at < size ? lseek(fd, (off_t)at, SEEK_DATA) : -1;
    if (data < 0)
        return at >= size || errno == ENXIO ? 0 : dt_err_errno(err, "look for data in a disk");
    off_t end = lseek(fd, data, SEEK_HOLE);
    if (end < 0)
        return dt_err_errno(err, "look for a hole in a disk");
    *offset = (uint64_t)data;
    *length = (uint64_t)(end - data);
    return 0;
}

static int save_stretch(struct dt_zfile_writer *w, int fd, uint64_t offset, uint64_t length,
                        const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    static unsigned char room[STEP];
    while (length > 0) {
        size_t n = length < STEP ? (size_t)length : STEP;
        if (read_at(fd, room, n, offset, err) < 0 || dt_zfile_write(w, room, n, err) < 0)
            return -1;
        offset += n;
        length -= n;
        dt_disk_pulse(pulse);
    }
    return 0;
}

static bool is_folder(int sandbox)
{
    return dt_disk_has(sandbox, dt_disk_folder, S_IFDIR);
}

static int save_head(struct dt_zfile_writer *w, int kind, struct dt_disk_size size,
                     struct dt_err *err)
{
    unsigned char head[HEAD_SIZE] = {0};
    memcpy(head, magic, sizeof(magic));
    head[8] = (unsigned char)kind;
    put_u64(head + 16, size.bytes);
    put_u64(head + 24, size.inodes);
    return dt_zfile_write(w, head, sizeof(head), err);
}

static int save_image(int sandbox, struct dt_zfile_writer *w, const struct dt_disk_pulse *pulse,
                      struct dt_err *err)
{
    uint64_t size = 0, offset = 0, length = 0, at = 0;
    DT_AUTO_FD int fd = open_image(sandbox, &size, err);
    if (fd < 0 || save_head(w, KIND_IMAGE, (struct dt_disk_size){size, 0}, err) < 0)
        return -1;
    do {
        unsigned char head[STRETCH_SIZE];
        if (next_stretch(fd, size, at, &offset, &length, err) < 0)
            return -1;
        put_u64(head, offset);
        put_u64(head + 8, length);
        if (dt_zfile_write(w, head, sizeof(head), err) < 0 ||
            save_stretch(w, fd, offset, length, pulse, err) < 0)
            return -1;
        at = offset + length;
    } while (length > 0);
    return 0;
}

static int save_folder(int sandbox, struct dt_zfile_writer *w, const struct dt_disk_pulse *pulse,
                       struct dt_err *err)
{
    struct dt_disk_size size = {0};
    if (dt_disk_folder_size(sandbox, &size, err) < 0 || save_head(w, KIND_FOLDER, size, err) < 0)
        return -1;
    return dt_disk_folder_save(sandbox, w, pulse, err);
}

int dt_disk_save(int sandbox_dirfd, int out_fd, const struct dt_disk_pulse *pulse,
                 struct dt_err *err)
{
    DT_AUTO(dt_zfile_writer_free) struct dt_zfile_writer *w = NULL;
    if (dt_zfile_writer_new(out_fd, &w, err) < 0)
        return -1;
    int rc = is_folder(sandbox_dirfd) ? save_folder(sandbox_dirfd, w, pulse, err)
                                      : save_image(sandbox_dirfd, w, pulse, err);
    return rc < 0 ? -1 : dt_zfile_finish(w, err);
}

static int bad(const char *what, struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID, "the archive is damaged: %s", what);
}

/* The kind, or -1. */
static int load_head(struct dt_zfile_reader *r, struct dt_disk_size *size, struct dt_err *err)
{
    unsigned char head[HEAD_SIZE];
    if (dt_zfile_read(r, head, sizeof(head), err) < 0)
        return -1;
    *size = (struct dt_disk_size){get_u64(head + 16), get_u64(head + 24)};
    if (memcmp(head, magic, sizeof(magic)) != 0 ||
        (head[8] != KIND_IMAGE && head[8] != KIND_FOLDER))
        return bad("it is of another kind", err);
    if (size->bytes < DT_DISK_MIN_BYTES || size->bytes > DT_DISK_MAX_BYTES ||
        size->bytes % DT_DISK_BLOCK != 0 || size->inodes > UINT32_MAX)
        return bad("its disk has an impossible size", err);
    return head[8];
}

/* What is done with the data of a saved image: all of it passes here, in rising order. */
struct sink {
    int fd;
    uint64_t size;
    int (*data)(struct sink *s, const unsigned char *p, size_t n, uint64_t at, struct dt_err *err);
    int (*hole)(struct sink *s, uint64_t from, uint64_t to, struct dt_err *err);
};

static int load_stretch(struct dt_zfile_reader *r, struct sink *s, uint64_t offset, uint64_t length,
                        const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    static unsigned char room[STEP];
    while (length > 0) {
        size_t n = length < STEP ? (size_t)length : STEP;
        if (dt_zfile_read(r, room, n, err) < 0 || s->data(s, room, n, offset, err) < 0)
            return -1;
        offset += n;
        length -= n;
        dt_disk_pulse(pulse);
    }
    return 0;
}

static int load_all(struct dt_zfile_reader *r, struct sink *s, const struct dt_disk_pulse *pulse,
                    struct dt_err *err)
{
    for (uint64_t at = 0;;) {
        unsigned char head[STRETCH_SIZE];
        if (dt_zfile_read(r, head, sizeof(head), err) < 0)
            return -1;
        uint64_t offset = get_u64(head), length = get_u64(head + 8);
        if (offset < at || offset > s->size || length > s->size - offset ||
            (length == 0 && offset != s->size))
            return bad("its stretches are out of order", err);
        if (s->hole(s, at, offset, err) < 0)
            return -1;
        if (length == 0)
            return dt_zfile_read_end(r, err);
        if (load_stretch(r, s, offset, length, pulse, err) < 0)
            return -1;
        at = offset + length;
    }
}

/* --- comparing --- */

static int differs(uint64_t at, struct dt_err *err)
{
    return dt_err_set(err, DT_E_INVALID, "the archive differs from the disk at byte %llu",
                      (unsigned long long)at);
}

static int compare_data(struct sink *s, const unsigned char *p, size_t n, uint64_t at,
                        struct dt_err *err)
{
    static unsigned char room[STEP];
    if (read_at(s->fd, room, n, at, err) < 0)
        return -1;
    return memcmp(room, p, n) == 0 ? 0 : differs(at, err);
}

static int compare_hole(struct sink *s, uint64_t from, uint64_t to, struct dt_err *err)
{
    uint64_t offset = 0, length = 0;
    if (next_stretch(s->fd, s->size, from, &offset, &length, err) < 0)
        return -1;
    return offset >= to || length == 0 ? 0 : differs(offset, err);
}

static int compare_image(int sandbox, struct dt_zfile_reader *r, uint64_t size,
                         const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    struct sink s = {.data = compare_data, .hole = compare_hole};
    DT_AUTO_FD int fd = open_image(sandbox, &s.size, err);
    if (fd < 0)
        return -1;
    s.fd = fd;
    return size == s.size ? load_all(r, &s, pulse, err) : differs(size, err);
}

int dt_disk_compare(int sandbox_dirfd, int in_fd, const struct dt_disk_pulse *pulse,
                    struct dt_err *err)
{
    struct dt_disk_size size = {0};
    DT_AUTO(dt_zfile_reader_free) struct dt_zfile_reader *r = NULL;
    if (dt_zfile_reader_new(in_fd, &r, err) < 0)
        return -1;
    int kind = load_head(r, &size, err);
    if (kind < 0)
        return -1;
    if ((kind == KIND_FOLDER) != is_folder(sandbox_dirfd))
        return bad("it is of another kind", err);
    return kind == KIND_FOLDER ? dt_disk_folder_compare(sandbox_dirfd, r, pulse, err)
                               : compare_image(sandbox_dirfd, r, size.bytes, pulse, err);
}

/* --- loading --- */

/* So that the sync at the end has little left to wait for. */
static void pace(int fd, uint64_t at, size_t n)
{
    enum { WHOLE = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE };
    if (at / PACE_BYTES != (at + n) / PACE_BYTES)
        (void)sync_file_range(fd, (off_t)(at / PACE_BYTES * PACE_BYTES), PACE_BYTES, WHOLE);
}

static int load_data(struct sink *s, const unsigned char *p, size_t n, uint64_t at,
                     struct dt_err *err)
{
    static const unsigned char zeros[ZERO_STEP];
    for (size_t done = 0; done < n;) {
        size_t step = n - done < ZERO_STEP ? n - done : ZERO_STEP;
        /* What is nothing but zeros stays a hole. */
        if (memcmp(p + done, zeros, step) != 0 &&
            write_at(s->fd, p + done, step, at + done, err) < 0)
            return -1;
        done += step;
    }
    pace(s->fd, at, n);
    return 0;
}

static int load_hole(struct sink *s, uint64_t from, uint64_t to, struct dt_err *err)
{
    (void)s;
    (void)from;
    (void)to;
    (void)err;
    return 0; /* the file is nothing but one to begin with */
}

static int load_image(int sandbox, struct dt_zfile_reader *r, uint64_t size,
                      const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    struct sink s = {.size = size, .data = load_data, .hole = load_hole};
    DT_AUTO_FD int fd =
        openat(sandbox, fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return dt_err_errno(err, "create %s", fresh);
    s.fd = fd;
    if (load_all(r, &s, pulse, err) < 0)
        return -1;
    dt_disk_pulse(pulse);
    if (fsync(fd) < 0 || renameat(sandbox, fresh, sandbox, dt_disk_image) < 0 || fsync(sandbox) < 0)
        return dt_err_errno(err, "complete %s", dt_disk_image);
    return 0;
}

int dt_disk_load(struct dt_disk_store *s, int sandbox_dirfd, int in_fd,
                 const struct dt_disk_pulse *pulse, struct dt_err *err)
{
    struct dt_disk_size size = {0};
    DT_AUTO(dt_zfile_reader_free) struct dt_zfile_reader *r = NULL;
    if (dt_disk_exists(sandbox_dirfd))
        return dt_err_set(err, DT_E_CONFLICT, "the sandbox has a disk already");
    if (dt_zfile_reader_new(in_fd, &r, err) < 0)
        return -1;
    int kind = load_head(r, &size, err);
    if (kind < 0)
        return -1;
    if (kind == KIND_FOLDER)
        return dt_disk_folder_load(sandbox_dirfd, size, r, pulse, err);
    if (s->loop_control < 0)
        return dt_err_set(err, DT_E_UNSUPPORTED,
                          "the archive is of a disk image and the host has no loop devices");
    if (load_image(sandbox_dirfd, r, size.bytes, pulse, err) == 0)
        return 0;
    (void)unlinkat(sandbox_dirfd, fresh, 0);
    return -1;
}

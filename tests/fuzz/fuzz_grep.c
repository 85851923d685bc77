/* Searching and replacing in pieces: the same comes out whatever the buffer's size. */
#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "toolbox/grep.h"
#include "toolbox/subst.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE = 1 << 20, NEEDLE_MAX = 16 };

static char whole[WHOLE];

static int add_line(void *ctx, uint64_t line, struct dt_str content, bool cut)
{
    (void)content;
    (void)cut;
    return dt_buf_addf(ctx, NULL, "%llu ", (unsigned long long)line) < 0;
}

static int add_bytes(void *ctx, const char *p, size_t n, struct dt_err *err)
{
    return dt_buf_add(ctx, p, n, err);
}

static void grep(int fd, struct dt_str needle, char *buf, size_t size, struct dt_buf *out)
{
    const struct dt_grep g = {
        .needle = needle, .buf = buf, .size = size, .match = add_line, .ctx = out};
    assert(lseek(fd, 0, SEEK_SET) == 0 && dt_grep(&g, fd) == 0);
}

static void subst(int fd, struct dt_str needle, char *buf, size_t size, struct dt_buf *out)
{
    const struct dt_subst s = {.needle = needle, .value = DT_STR("<>"), .buf = buf, .size = size};
    assert(lseek(fd, 0, SEEK_SET) == 0 && dt_subst_copy(&s, fd, add_bytes, out, NULL) == 0);
}

/* The first line is the text that is looked for, the rest the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char small[4 * NEEDLE_MAX];
    struct dt_str file = dt_str((const char *)data, size), needle;
    if (size > WHOLE / 4 || !dt_str_cut(&file, '\n', &needle) || needle.n == 0 ||
        needle.n > NEEDLE_MAX || memchr(file.p != NULL ? file.p : "", '\0', file.n) != NULL)
        return 0;
    DT_AUTO_FD int fd = memfd_create("file", MFD_CLOEXEC);
    assert(fd >= 0 && dt_fd_write_all(fd, file.p, file.n, NULL) == 0);
    DT_AUTO_BUF struct dt_buf a, b;
    dt_buf_init(&a, 4 * WHOLE);
    dt_buf_init(&b, 4 * WHOLE);
    grep(fd, needle, whole, WHOLE, &a);
    grep(fd, needle, small, 4 * needle.n, &b);
    assert(dt_str_eq(dt_buf_str(&a), dt_buf_str(&b)));
    dt_buf_clear(&a);
    dt_buf_clear(&b);
    subst(fd, needle, whole, WHOLE, &a);
    subst(fd, needle, small, 2 * needle.n, &b);
    assert(dt_str_eq(dt_buf_str(&a), dt_buf_str(&b)));
    return 0;
}

/* Streams of trees: whatever is made stays in the folder it is made in. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "os/tree.h"
#include "os/tree_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const uint8_t *p;
    size_t n;
};

/* Who is not root keeps the right to remove what was made. */
static void be_modest(void *p)
{
    struct dt_tree_head h;
    memcpy(&h, p, sizeof(h));
    h.uid = geteuid();
    h.gid = getegid();
    h.mode |= 0700;
    memcpy(p, &h, sizeof(h));
}

static int take(void *ctx, void *p, size_t n, struct dt_err *err)
{
    struct memory *m = ctx;
    if (n > m->n)
        return dt_err_set(err, DT_E_INVALID, "the end");
    memcpy(p, m->p, n);
    if (n == sizeof(struct dt_tree_head) && geteuid() != 0)
        be_modest(p);
    m->p += n;
    m->n -= n;
    return 0;
}

static int nowhere(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    (void)ctx;
    (void)p;
    (void)n;
    (void)err;
    return 0;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static char place[] = "/dev/shm/dt-fuzz-tree-XXXXXX";

static void tidy_up(void)
{
    (void)rmdir(place);
}

/* In memory: a folder with one entry, which is loaded into. */
static int playground(void)
{
    static int dir = -1;
    if (dir < 0) {
        check(mkdtemp(place) != NULL && atexit(tidy_up) == 0);
        dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return dir;
}

static unsigned entries(int dir)
{
    struct stat st;
    check(fstat(dir, &st) == 0);
    return (unsigned)st.st_nlink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_err err;
    struct memory m = {data, size};
    const struct dt_tree_source in = {take, &m};
    const struct dt_tree_sink out = {nowhere, NULL};
    int top = playground();
    check(mkdirat(top, "in", 0700) == 0);
    int dir = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dt_tree_load(dir, &in, &err) == 0)
        check(dt_tree_save(dir, NULL, &out, &err) == 0);
    (void)close(dir);
    check(dt_fd_remove_tree(top, "in", &err) == 0 && entries(top) == 2);
    return 0;
}

/* Trees as streams: what comes back, and what is refused. Needs root and a disk with attributes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "base/fd.h"
#include "os/tree.h"
#include "os/tree_format.h"
#include "tree_text.h"

enum { STREAM_MAX = 64 << 20, LINKS_OF_EXT4 = 65000 };

struct fixture {
    char path[64];
    int top, from, to;
    struct dt_buf stream;
    size_t at;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.path = "/var/tmp/dt-tree-XXXXXX"};
    dt_buf_init(&f.stream, STREAM_MAX);
    if (mkdtemp(f.path) == NULL)
        return -1;
    f.top = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(f.top, "from", 0750), 0);
    assert_int_equal(mkdirat(f.top, "to", 0700), 0);
    f.from = openat(f.top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f.to = openat(f.top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    dt_buf_done(&f->stream);
    (void)close(f->from);
    (void)close(f->to);
    (void)close(f->top);
    int top = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dt_fd_remove_tree(top, f->path + sizeof("/var/tmp"), &err) < 0)
        fail_msg("%s", err.msg);
    return close(top);
}

static int to_buffer(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    struct fixture *f = ctx;
    return dt_buf_add(&f->stream, p, n, err);
}

static int from_buffer(void *ctx, void *p, size_t n, struct dt_err *err)
{
    struct fixture *f = ctx;
    if (n > f->stream.n - f->at)
        return dt_err_set(err, DT_E_INVALID, "the end");
    memcpy(p, f->stream.p + f->at, n);
    f->at += n;
    return 0;
}

static int save(struct fixture *f, int dir, const char *skip, struct dt_err *err)
{
    const struct dt_tree_sink out = {to_buffer, f};
    dt_buf_clear(&f->stream);
    return dt_tree_save(dir, skip, &out, err);
}

static int load(struct fixture *f, struct dt_err *err)
{
    const struct dt_tree_source in = {from_buffer, f};
    f->at = 0;
    return dt_tree_load(f->to, &in, err);
}

/* Saved, loaded, looked at, and saved once more to the same bytes. */
static void there_and_back(struct fixture *f)
{
    struct dt_err err;
    if (save(f, f->from, NULL, &err) < 0 || load(f, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(f->at, f->stream.n);
    DT_AUTO_FREE char *before = tree_text(f->top, "from"), *after = tree_text(f->top, "to");
    assert_string_equal(before, after);
}

static void fresh_to(struct fixture *f)
{
    struct dt_err err;
    (void)close(f->to);
    if (dt_fd_remove_tree(f->top, "to", &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(mkdirat(f->top, "to", 0700), 0);
    f->to = openat(f->top, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_everything_comes_back(void **state)
{
    struct fixture *f = *state;
    struct stat from, to;
    const struct timespec old[2] = {{5, 6}, {7, 8}};
    tree_fill(f->from);
    assert_int_equal(fchown(f->from, 12, 13), 0);
    assert_int_equal(fchmod(f->from, 01751), 0);
    tree_xattr(f->from, ".", "trusted.overlay.opaque", "y", 1);
    assert_int_equal(futimens(f->from, old), 0);
    there_and_back(f);
    assert_int_equal(fstat(f->from, &from), 0);
    assert_int_equal(fstat(f->to, &to), 0);
    assert_int_equal(from.st_mode, to.st_mode);
    assert_int_equal(to.st_uid, 12);
    assert_int_equal(to.st_gid, 13);
    assert_int_equal(to.st_mtim.tv_sec, 7);
    assert_int_equal(to.st_mtim.tv_nsec, 8);
}

/* Writing, and a new owner, take set-uid and capabilities away. */
static void test_privileges_come_back(void **state)
{
    struct fixture *f = *state;
    static const unsigned char net_raw[20] = {1, 0, 0, 2, 0, 0x20};
    tree_put(f->from, "ping", "program", 0755);
    assert_int_equal(fchownat(f->from, "ping", 1000, 1000, 0), 0);
    tree_xattr(f->from, "ping", "security.capability", net_raw, sizeof(net_raw));
    tree_put(f->from, "su", "program", 0755);
    assert_int_equal(fchownat(f->from, "su", 7, 8, 0), 0);
    assert_int_equal(fchmodat(f->from, "su", 06755, 0), 0);
    assert_int_equal(mkdirat(f->from, "shared", 0), 0);
    assert_int_equal(fchownat(f->from, "shared", 7, 8, 0), 0);
    assert_int_equal(fchmodat(f->from, "shared", 02775, 0), 0);
    int shared = openat(f->from, "shared", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree_put(shared, "not of the group", "x", 0644);
    assert_int_equal(fchownat(shared, "not of the group", 1, 1, 0), 0);
    (void)close(shared);
    there_and_back(f);
    DT_AUTO_FREE char *text = tree_text(f->top, "to");
    assert_non_null(strstr(text, "security.capability="));
    assert_non_null(strstr(text, "/su 106755 7:8"));
}

/* What a folder passes on to new entries is not what its old ones had. */
static void test_access_lists_come_back(void **state)
{
    struct fixture *f = *state;
    static const unsigned char list[44] = {2,   0,   0,   0,   1,   0,   7,  0,   255, 255, 255,
                                           255, 2,   0,   7,   0,   232, 3,  0,   0,   4,   0,
                                           5,   0,   255, 255, 255, 255, 16, 0,   7,   0,   255,
                                           255, 255, 255, 32,  0,   5,   0,  255, 255, 255, 255};
    assert_int_equal(mkdirat(f->from, "passes on", 0755), 0);
    int dir = openat(f->from, "passes on", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree_put(dir, "before", "x", 0640);
    tree_put(dir, "listed", "x", 0640);
    tree_xattr(dir, "listed", "system.posix_acl_access", list, sizeof(list));
    assert_int_equal(mkdirat(dir, "below", 0750), 0);
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    assert_int_equal(symlinkat("x", dir, "link"), 0);
    assert_int_equal(mknodat(dir, "whiteout", S_IFCHR, 0), 0);
    tree_xattr(f->from, "passes on", "system.posix_acl_default", list, sizeof(list));
    tree_put(dir, "after", "x", 0600);
    (void)close(dir);
    there_and_back(f);
    DT_AUTO_FREE char *text = tree_text(f->top, "to");
    assert_non_null(strstr(text, "system.posix_acl_default="));
}

static void test_many_names(void **state)
{
    struct fixture *f = *state;
    char name[32];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        tree_put(f->from, name, name, 0600);
        (void)snprintf(name, sizeof(name), "%d again", i);
        char old[32];
        (void)snprintf(old, sizeof(old), "%d", i);
        assert_int_equal(linkat(f->from, old, f->from, name, 0), 0);
    }
    assert_int_equal(mknodat(f->from, "whiteout", S_IFCHR, 0), 0);
    assert_int_equal(linkat(f->from, "whiteout", f->from, "another", 0), 0);
    there_and_back(f);
}

/* A file that has all the names it can have. */
static void test_all_names(void **state)
{
    struct fixture *f = *state;
    char name[32];
    struct stat st;
    tree_put(f->from, "0", "", 0600);
    for (int i = 1; i <= LINKS_OF_EXT4; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        if (linkat(f->from, "0", f->from, name, 0) < 0) {
            assert_int_equal(errno, EMLINK);
            break;
        }
    }
    assert_int_equal(fstatat(f->from, "0", &st, 0), 0);
    struct dt_err err;
    if (save(f, f->from, NULL, &err) < 0 || load(f, &err) < 0)
        fail_msg("%s", err.msg);
    nlink_t want = st.st_nlink;
    assert_int_equal(fstatat(f->to, "0", &st, 0), 0);
    assert_int_equal(st.st_nlink, want);
}

static void make_deep(int dir, int n)
{
    int at = dup(dir);
    for (int i = 0; i < n; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(at);
        at = next;
    }
    tree_put(at, "bottom", "x", 0644);
    (void)close(at);
}

static void remove_deep(int dir, int n)
{
    int fds[DT_TREE_DEPTH_MAX + 1] = {dir};
    for (int i = 0; i < n; i++)
        fds[i + 1] = openat(fds[i], "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(unlinkat(fds[n], "bottom", 0), 0);
    for (int i = n; i > 0; i--) {
        (void)close(fds[i]);
        assert_int_equal(unlinkat(fds[i - 1], "d", AT_REMOVEDIR), 0);
    }
}

static void test_deep_folders(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    make_deep(f->from, DT_TREE_DEPTH_MAX - 1);
    if (save(f, f->from, NULL, &err) < 0 || load(f, &err) < 0)
        fail_msg("%s", err.msg);
    remove_deep(f->to, DT_TREE_DEPTH_MAX - 1);
    remove_deep(f->from, DT_TREE_DEPTH_MAX - 1);
    make_deep(f->from, DT_TREE_DEPTH_MAX);
    assert_int_equal(save(f, f->from, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_LIMIT);
    remove_deep(f->from, DT_TREE_DEPTH_MAX);
}

static void test_what_is_left_out(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    assert_int_equal(mkdirat(f->from, "work", 0), 0);
    assert_int_equal(mkdirat(f->from, "upper", 0755), 0);
    int upper = openat(f->from, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tree_put(upper, "work", "of a sandbox", 0644);
    if (save(f, f->from, "work", &err) < 0 || load(f, &err) < 0)
        fail_msg("%s", err.msg);
    DT_AUTO_FREE char *text = tree_text(f->top, "to");
    assert_null(strstr(text, "\n/work"));
    assert_non_null(strstr(text, "/upper/work"));
    assert_int_equal(mknodat(upper, "null", S_IFCHR | 0600, makedev(1, 3)), 0);
    (void)close(upper);
    assert_int_equal(save(f, f->from, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_UNSUPPORTED);
}

static void test_damage(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    tree_fill(f->from);
    if (save(f, f->from, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    DT_AUTO_FREE char *before = tree_text(f->top, "from");
    size_t all = f->stream.n;
    for (size_t n = 0; n < all; n += n < 600 ? 13 : 997) {
        f->stream.n = n;
        assert_int_equal(load(f, &err), -1);
        fresh_to(f);
    }
    f->stream.n = all;
    /* A changed byte may well be another tree, but one in the folder. */
    for (size_t at = 0; at < 1500 && at < all; at += 11) {
        f->stream.p[at] ^= (char)(1U << (at % 8));
        (void)!load(f, &err);
        f->stream.p[at] ^= (char)(1U << (at % 8));
        fresh_to(f);
    }
    DT_AUTO_FREE char *after = tree_text(f->top, "from");
    assert_string_equal(before, after);
}

static void add_entry(struct fixture *f, struct dt_tree_head h, const char *name,
                      const char *target)
{
    struct dt_err err;
    h.name_size = (uint32_t)strlen(name);
    h.target_size = (uint32_t)strlen(target);
    if (dt_buf_add(&f->stream, &h, sizeof(h), &err) < 0 ||
        dt_buf_addz(&f->stream, name, &err) < 0 || dt_buf_addz(&f->stream, target, &err) < 0)
        fail_msg("%s", err.msg);
}

static const struct dt_tree_head folder = {.type = DT_TREE_FOLDER, .mode = 0755};

static void refused(struct fixture *f, struct dt_tree_head h, const char *name, const char *target)
{
    struct dt_err err;
    dt_buf_clear(&f->stream);
    add_entry(f, folder, "", "");
    add_entry(f, h, name, target);
    add_entry(f, (struct dt_tree_head){.type = DT_TREE_END}, "", "");
    add_entry(f, (struct dt_tree_head){.type = DT_TREE_END}, "", "");
    assert_int_equal(load(f, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID);
    fresh_to(f);
}

static void test_hostile_streams(void **state)
{
    struct fixture *f = *state;
    struct dt_err err;
    const struct dt_tree_head fifo = {.type = DT_TREE_FIFO, .mode = 0600};
    refused(f, folder, "..", "");
    refused(f, folder, ".", "");
    refused(f, folder, "", "");
    refused(f, fifo, "../from/x", "");
    refused(f, fifo, "/etc/x", "");
    refused(f, fifo, "x", "target");
    refused(f, (struct dt_tree_head){.type = DT_TREE_LINK}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_TYPES}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_FIFO, .mode = S_IFBLK | 0600}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_HARDLINK, .same = 1}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_HARDLINK}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_FIFO, .same = 2}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_FIFO, .nxattrs = UINT32_MAX}, "x", "");
    refused(f, (struct dt_tree_head){.type = DT_TREE_FILE, .size = UINT64_MAX}, "x", "");
    dt_buf_clear(&f->stream);
    add_entry(f, fifo, "", "");
    assert_int_equal(load(f, &err), -1);
    assert_int_equal(faccessat(f->from, "x", F_OK, 0), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_everything_comes_back),
        TEST(test_privileges_come_back),
        TEST(test_access_lists_come_back),
        TEST(test_many_names),
        TEST(test_all_names),
        TEST(test_deep_folders),
        TEST(test_what_is_left_out),
        TEST(test_damage),
        TEST(test_hostile_streams),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}

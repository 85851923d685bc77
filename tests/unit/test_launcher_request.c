#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "runnerd/launcher/request.h"

#define MIB (1ULL << 20)

static const uint32_t ops[] = {
    DT_LW_HELLO,  DT_LW_CREATE,        DT_LW_START,         DT_LW_STOP,    DT_LW_DESTROY,
    DT_LW_LIST,   DT_LW_STATS,         DT_LW_RESIZE,        DT_LW_NETWORK, DT_LW_PAUSE,
    DT_LW_RESUME, DT_LW_ARCHIVE,       DT_LW_RESTORE,       DT_LW_BACKUP,  DT_LW_FORK,
    DT_LW_CANCEL, DT_LW_VOLUME_CREATE, DT_LW_VOLUME_DELETE, DT_LW_SOCKETS,
};

static bool takes_fd(uint32_t op)
{
    return op == DT_LW_CREATE || op == DT_LW_START || op == DT_LW_FORK;
}

static struct dt_lw_request good(uint32_t op)
{
    struct dt_lw_request r;
    memset(&r, 0, sizeof(r));
    r.version = DT_LW_VERSION;
    r.op = op;
    r.seq = 1;
    if (op != DT_LW_HELLO && op != DT_LW_LIST)
        r.id[15] = 1;
    if (op == DT_LW_VOLUME_CREATE)
        r.bytes = 64 * MIB;
    if (op == DT_LW_FORK)
        r.other[0] = 1;
    if (takes_fd(op) || op == DT_LW_RESIZE || op == DT_LW_NETWORK) {
        r.spec.memory_bytes = 256 * MIB;
        r.spec.disk_bytes = 1024 * MIB;
        r.spec.cpu_millis = 1000;
        r.spec.pids = 64;
        memcpy(r.spec.hostname, "box-1", 6);
    }
    if (op == DT_LW_SOCKETS) {
        r.count = DT_LW_SOCKETS_MAX;
        r.family = DT_LW_IPV6;
    }
    return r;
}

static bool passes(const struct dt_lw_request *r)
{
    struct dt_err err = {.code = DT_OK};
    int rc = dt_request_check(r, r->op != DT_LW_HELLO, takes_fd(r->op), &err);
    assert_true(rc == 0 || err.code == DT_E_INVALID);
    return rc == 0;
}

static void test_every_op_in_its_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
        uint32_t op = ops[i];
        struct dt_lw_request r = good(op);
        struct dt_err err;
        assert_true(passes(&r));
        assert_int_equal(dt_request_check(&r, op == DT_LW_HELLO, takes_fd(op), &err), -1);
        assert_int_equal(dt_request_check(&r, op != DT_LW_HELLO, !takes_fd(op), &err), -1);
        r.other[3] ^= 1; /* FORK alone is about another one */
        assert_int_equal(passes(&r), op == DT_LW_FORK);
    }
}

/* Each row sets one field of a good CREATE. */
static const struct {
    size_t offset;
    size_t size;
    uint64_t value;
    bool ok;
} rows[] = {
#define ROW(field, value, ok)                                                                      \
    {                                                                                              \
        offsetof(struct dt_lw_request, field), sizeof(((struct dt_lw_request *)0)->field), value,  \
            ok                                                                                     \
    }
    ROW(version, DT_LW_VERSION - 1, false),
    ROW(version, DT_LW_VERSION + 1, false),
    ROW(op, 0, false),
    ROW(op, DT_LW_SOCKETS + 1, false), /* a gap in the table */
    ROW(op, DT_LW_CANCEL + 1, false),
    ROW(op, UINT32_MAX, false),
    ROW(seq, 0, false),
    ROW(seq, UINT64_MAX, true),
    ROW(grace_ms, 1, false),
    ROW(cursor, 1, false),
    ROW(bytes, 64 * MIB, false),
    ROW(count, 1, false),
    ROW(family, DT_LW_IPV4, false),
    ROW(spec.memory_bytes, 16 * MIB, true),
    ROW(spec.memory_bytes, 16 * MIB - 1, false),
    ROW(spec.memory_bytes, 1ULL << 40, true),
    ROW(spec.memory_bytes, (1ULL << 40) + 1, false),
    ROW(spec.memory_bytes, UINT64_MAX, false),
    ROW(spec.disk_bytes, 64 * MIB, true),
    ROW(spec.disk_bytes, 63 * MIB, false),
    ROW(spec.disk_bytes, 16ULL << 40, true),
    ROW(spec.disk_bytes, (16ULL << 40) + MIB, false),
    ROW(spec.disk_bytes, 64 * MIB + 1, false),
    ROW(spec.cpu_millis, 10, true),
    ROW(spec.cpu_millis, 9, false),
    ROW(spec.cpu_millis, 1024000, true),
    ROW(spec.cpu_millis, 1024001, false),
    ROW(spec.pids, 15, false),
    ROW(spec.pids, 16, true),
    ROW(spec.pids, 65536, true),
    ROW(spec.pids, 65537, false),
    ROW(spec.net, DT_LW_NET_NONE, true),
    ROW(spec.net, DT_LW_NET_ALLOW, false), /* without a range */
    ROW(spec.net, 3, false),
    ROW(spec.ncidrs, 1, false), /* without ALLOW */
    ROW(spec.ncidrs, UINT32_MAX, false),
    ROW(spec.cidrs[4].addr, 1, false),
    ROW(spec.nlayers, 64, true),
    ROW(spec.nlayers, 65, false),
    ROW(spec.nlayers, UINT32_MAX, false),
    ROW(spec.layers[63][31], 1, false), /* behind nlayers */
    ROW(spec.hostname[0], '-', false),
    ROW(spec.hostname[0], 'B', false),
    ROW(spec.hostname[0], '.', false),
    ROW(spec.hostname[0], 0, false),
    ROW(spec.hostname[63], 'x', false),
    ROW(spec.nvolumes, 1, false), /* of zeros */
    ROW(spec.nvolumes, DT_LW_VOLUMES_MAX + 1, false),
    ROW(spec.nvolumes, UINT32_MAX, false),
    ROW(spec.volumes[0].path[0], '/', false), /* behind nvolumes */
    ROW(spec.volumes[7].subpath[255], 1, false),
    ROW(id[15], 0, false),
    ROW(other[15], 1, false),
};

static void test_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct dt_lw_request r = good(DT_LW_CREATE);
        memcpy((char *)&r + rows[i].offset, &rows[i].value, rows[i].size);
        if (passes(&r) != rows[i].ok)
            fail_msg("row %zu", i);
    }
}

static void test_allowed_ranges(void **state)
{
    (void)state;
    static const struct {
        uint32_t addr, prefix;
        bool ok;
    } cidrs[] = {{0x0a000000, 8, true},  {0x0a000001, 8, false}, {0x0a000001, 32, true},
                 {0, 0, true},           {1, 0, false},          {0, 33, false},
                 {0xfffffffe, 31, true}, {0xffffffff, 31, false}};
    for (size_t i = 0; i < sizeof(cidrs) / sizeof(*cidrs); i++) {
        struct dt_lw_request r = good(DT_LW_CREATE);
        r.spec.net = DT_LW_NET_ALLOW;
        r.spec.ncidrs = 1;
        r.spec.cidrs[0] = (struct dt_lw_cidr){cidrs[i].addr, cidrs[i].prefix};
        if (passes(&r) != cidrs[i].ok)
            fail_msg("row %zu", i);
    }
}

static void test_grace_and_cursor(void **state)
{
    (void)state;
    struct dt_lw_request r = good(DT_LW_STOP);
    r.grace_ms = 60000;
    assert_true(passes(&r));
    r.grace_ms = 60001;
    assert_false(passes(&r));
    r = good(DT_LW_LIST);
    r.cursor = UINT32_MAX;
    assert_true(passes(&r));
    r.spec.pids = 1;
    assert_false(passes(&r));
    r = good(DT_LW_FORK);
    memset(r.other, 0, sizeof(r.other));
    assert_false(passes(&r));
}

static void test_the_size_of_a_volume(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        bool ok;
    } sizes[] = {{64 * MIB, true},
                 {63 * MIB, false},
                 {64 * MIB + 1, false},
                 {16ULL << 40, true},
                 {(16ULL << 40) + MIB, false},
                 {0, false},
                 {UINT64_MAX, false}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct dt_lw_request r = good(DT_LW_VOLUME_CREATE);
        r.bytes = sizes[i].bytes;
        if (passes(&r) != sizes[i].ok)
            fail_msg("row %zu", i);
    }
}

static void test_sockets(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, family;
        bool ok;
    } cases[] = {{1, 4, true},  {16, 6, true}, {0, 4, false}, {17, 4, false},
                 {1, 0, false}, {1, 2, false}, {1, 5, false}, {UINT32_MAX, 4, false},
                 {0, 0, false}, {1, 10, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct dt_lw_request r = good(DT_LW_SOCKETS);
        r.count = cases[i].count;
        r.family = cases[i].family;
        if (passes(&r) != cases[i].ok)
            fail_msg("row %zu", i);
    }
}

#define LONG_63  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"
#define LONG_252 LONG_63 LONG_63 LONG_63 LONG_63

static void test_paths_of_volumes(void **state)
{
    (void)state;
    static const struct {
        const char *path, *subpath;
        bool ok;
    } paths[] = {
        {"/data", "", true},
        {"/home/daytona/my volume/\xc3\xbc", "a/b.c/..d", true},
        {"/" LONG_252 "/d", LONG_252 "/ab", true},
        {"", "", false},
        {"/", "", false},
        {"//", "", false},
        {"data", "", false},
        {"/data/", "", false},
        {"//data", "", false},
        {"/a//b", "", false},
        {"/.", "", false},
        {"/a/./b", "", false},
        {"/..", "", false},
        {"/a/..", "", false},
        {"/a/../b", "", false},
        {"/a\nb", "", false},
        {"/a\x7f", "", false},
        {"/proc", "", false},
        {"/proc/1", "", false},
        {"/processes", "", true},
        {"/sys/fs", "", false},
        {"/dev", "", false},
        {"/development", "", true},
        {"/data", "/a", false},
        {"/data", "a/", false},
        {"/data", "a//b", false},
        {"/data", "..", false},
        {"/data", "a/../..", false},
        {"/data", ".", false},
        {"/data", "a\tb", false},
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct dt_lw_request r = good(DT_LW_CREATE);
        struct dt_lw_volume *v = &r.spec.volumes[0];
        r.spec.nvolumes = 1;
        v->id[0] = 1;
        memcpy(v->path, paths[i].path, strlen(paths[i].path));
        memcpy(v->subpath, paths[i].subpath, strlen(paths[i].subpath));
        if (passes(&r) != paths[i].ok)
            fail_msg("row %zu: %s %s", i, paths[i].path, paths[i].subpath);
        v->id[0] = 0;
        assert_false(passes(&r));
        v->id[0] = 1;
        v->path[255] = 'x'; /* something behind the end */
        assert_false(passes(&r));
        memset(v->path + 1, 'x', sizeof(v->path) - 1); /* no end */
        assert_false(passes(&r));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_op_in_its_state),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_allowed_ranges),
        cmocka_unit_test(test_grace_and_cursor),
        cmocka_unit_test(test_the_size_of_a_volume),
        cmocka_unit_test(test_paths_of_volumes),
        cmocka_unit_test(test_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

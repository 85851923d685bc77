#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "model/create.h"
#include "model/name.h"
#include "model/permission.h"
#include "model/preview.h"
#include "model/sandbox.h"
#include "model/token.h"
#include "model/volume.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_cidr_lists(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int n;
        uint32_t addr, prefix; /* of the last */
        const char *error;
    } rows[] = {
        {"10.1.2.3/8", 1, 0x0a000000, 8, NULL},
        {" 10.0.0.0/8 , 192.0.2.1/32", 2, 0xc0000201, 32, NULL},
        {"1.2.3.4/0", 1, 0, 0, NULL},
        {"255.255.255.255/32", 1, 0xffffffff, 32, NULL},
        {"", 0, 0, 0, NULL},
        {",", 0, 0, 0, NULL},
        {"10.0.0.0", -1, 0, 0,
         "Invalid network format: \"10.0.0.0\". Missing CIDR prefix length (e.g., /24)"},
        {"10.0.0/8", -1, 0, 0,
         "Invalid IP address: \"10.0.0\" in network \"10.0.0/8\". Must be a valid IPv4 address"},
        {"10.0.0.256/8", -1, 0, 0, "Invalid IP address"},
        {"010.0.0.1/8", -1, 0, 0, "Invalid IP address"},
        {"1.2.3.4.5/8", -1, 0, 0, "Invalid IP address"},
        {"::1/64", -1, 0, 0, "Invalid IP address"},
        {"1.2.3.4/33", -1, 0, 0, "Invalid CIDR prefix length: 1.2.3.4/33"},
        {"1.2.3.4/ab", -1, 0, 0, "Invalid CIDR prefix length"},
        {"1.2.3.4/", -1, 0, 0, "Invalid CIDR prefix length"},
        {"1.2.3.4/-1", -1, 0, 0, "Invalid CIDR prefix length"},
        {"1.2.3.4/8/9", -1, 0, 0, "Invalid CIDR prefix length"},
        {"\x1b[31m/8", -1, 0, 0, "Invalid IP address: \"?[31m\""},
        {"1.1.1.1/8,,,,,", -1, 0, 0, "Network allow list cannot contain more than 5 networks"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dt_cidr out[DT_CIDRS_MAX];
        struct dt_err err = {0};
        assert_int_equal(dt_cidr_list(dt_str_z(rows[i].text), out, &err), rows[i].n);
        if (rows[i].n > 0) {
            assert_int_equal(out[rows[i].n - 1].addr, rows[i].addr);
            assert_int_equal(out[rows[i].n - 1].prefix, rows[i].prefix);
        }
        if (rows[i].error != NULL)
            assert_non_null(strstr(err.msg, rows[i].error));
    }
}

static void test_cidr_meet(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b, *both;
    } rows[] = {
        {"", "", ""},
        {"10.0.0.0/8", "", ""},
        {"", "10.0.0.0/8", ""},
        {"10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"},
        {"10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"},
        {"10.1.0.0/16", "10.0.0.0/8", "10.1.0.0/16"},
        {"10.0.0.0/9", "10.128.0.0/9", ""},
        {"0.0.0.0/0", "192.0.2.1/32, 198.51.100.0/24", "192.0.2.1/32, 198.51.100.0/24"},
        {"192.0.2.1/32, 198.51.100.0/24", "0.0.0.0/0", "192.0.2.1/32, 198.51.100.0/24"},
        {"10.0.0.0/8, 10.1.0.0/16", "10.0.0.0/7", "10.0.0.0/8"},
        {"1.0.0.0/8, 2.0.0.0/8, 3.0.0.0/8", "2.2.0.0/16, 3.3.0.0/16, 3.4.0.0/16",
         "2.2.0.0/16, 3.3.0.0/16, 3.4.0.0/16"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dt_cidr a[DT_CIDRS_MAX], b[DT_CIDRS_MAX], want[DT_CIDRS_MAX], got[DT_CIDRS_MAX];
        int na = dt_cidr_list(dt_str_z(rows[i].a), a, NULL);
        int nb = dt_cidr_list(dt_str_z(rows[i].b), b, NULL);
        int n = dt_cidr_list(dt_str_z(rows[i].both), want, NULL);
        assert_int_equal(dt_cidr_meet(a, na, b, nb, got), n);
        for (int k = 0; k < n; k++) {
            assert_int_equal(got[k].addr, want[k].addr);
            assert_int_equal(got[k].prefix, want[k].prefix);
        }
    }
}

#define ID "0123abcd-0000-4000-8000-00000000000f"

static void test_preview_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        enum dt_preview_kind kind;
        uint16_t port;
        const char *label;
    } rows[] = {
        {"3000-" ID ".proxy.localhost:4000", DT_PREVIEW_SANDBOX, 3000, ID},
        {"3000-" ID ".proxy.localhost", DT_PREVIEW_SANDBOX, 3000, ID},
        {"3000-0123ABCD-0000-4000-8000-00000000000F.PROXY.localhost", DT_PREVIEW_SANDBOX, 3000, ID},
        {"65535-abcdefgh12345678.proxy.localhost:9", DT_PREVIEW_SIGNED, 65535, "abcdefgh12345678"},
        {"proxy.localhost:4000", DT_PREVIEW_DOMAIN, 0, NULL},
        {"Proxy.Localhost", DT_PREVIEW_DOMAIN, 0, NULL},
        {"02280-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"+2280-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"2280 -" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {" 2280-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"0x8e8-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"0-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"65536-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"-" ID ".proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"3000-.proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"3000.proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"3000-abcdefgh1234567.proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"3000-abcdefgh123456789.proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"3000-" ID ".x.proxy.localhost", DT_PREVIEW_BAD, 0, NULL},
        {"x3000-" ID "proxy.localhost", DT_PREVIEW_NONE, 0, NULL},
        {"evil.example", DT_PREVIEW_NONE, 0, NULL},
        {"localhost", DT_PREVIEW_NONE, 0, NULL},
        {"", DT_PREVIEW_NONE, 0, NULL},
        {":4000", DT_PREVIEW_NONE, 0, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dt_preview_host out = {0};
        enum dt_preview_kind kind =
            dt_preview_parse(dt_str_z(rows[i].host), DT_STR("proxy.localhost:4000"), &out);
        if (kind != rows[i].kind)
            fail_msg("%s: %d", rows[i].host, kind);
        if (rows[i].label != NULL) {
            assert_int_equal(out.port, rows[i].port);
            assert_string_equal(out.label, rows[i].label);
        }
    }
}

static void test_ports_have_one_spelling(void **state)
{
    (void)state;
    static const char *const bad[] = {"",      "0",     "02280", "+2280",
                                      "2280 ", " 2280", "65536", "-1",
                                      "2280a", "1e3",   "0x50",  "99999999999999999999"};
    uint16_t port;
    struct dt_err err;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(dt_port_parse(dt_str_z(bad[i]), &port, &err), -1);
    assert_int_equal(dt_port_parse(DT_STR("1"), &port, &err), 0);
    assert_int_equal(dt_port_parse(DT_STR("65535"), &port, &err), 0);
    assert_int_equal(port, 65535);
    assert_true(dt_preview_port_internal(2280));
    assert_true(dt_preview_port_internal(22222));
    assert_false(dt_preview_port_internal(3000));
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int want;
    } rows[] = {
        {"a", 0},         {"Mein Kasten \xc3\xa4", 0},
        {"a < b", 0},     {"", -1},
        {"  ", -1},       {"a\nb", -1},
        {"a\x7f", -1},    {"a\xc2\x85z", -1},
        {"<b>x", -1},     {"</b", -1},
        {"<!--", -1},     {"http://x", -1},
        {"\xff\xfe", -1},
    };
    struct dt_err err;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (dt_name_check(dt_str_z(rows[i].name), &err) != rows[i].want)
            fail_msg("name '%s'", rows[i].name);
    }
    char longest[DT_NAME_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(dt_name_check(dt_str(longest, DT_NAME_MAX), &err), 0);
    assert_int_equal(dt_name_check(dt_str(longest, DT_NAME_MAX + 1), &err), -1);
    assert_int_equal(dt_name_check(dt_str("a\0b", 3), &err), -1);

    assert_int_equal(dt_snapshot_name_check(DT_STR("daytonaio/sandbox:0.4.3"), &err), 0);
    assert_int_equal(dt_snapshot_name_check(DT_STR(".tools"), &err), 0);
    static const char *const bad_snapshots[] = {"", "a/", "/a", "a//b", "a b", "a@b", "a\n"};
    for (size_t i = 0; i < COUNT(bad_snapshots); i++)
        assert_int_equal(dt_snapshot_name_check(dt_str_z(bad_snapshots[i]), &err), -1);

    assert_int_equal(dt_user_check(DT_STR("1000:1000"), &err), 0);
    static const char *const bad_users[] = {"", "-x", ":x", "a b", "a:b:c", "../x", "a\n"};
    for (size_t i = 0; i < COUNT(bad_users); i++)
        assert_int_equal(dt_user_check(dt_str_z(bad_users[i]), &err), -1);
    assert_int_equal(dt_env_name_check(DT_STR("A=B"), &err), -1);
    assert_int_equal(dt_env_name_check(DT_STR(""), &err), -1);
}

static void test_every_state_has_a_word(void **state)
{
    (void)state;
    for (int i = 0; i < DT_SANDBOX_STATE_COUNT; i++) {
        enum dt_sandbox_state back;
        const char *text = dt_sandbox_state_text((enum dt_sandbox_state)i);
        assert_int_equal(dt_sandbox_state_from_text(text, &back), 0);
        assert_int_equal(back, i);
    }
    for (int i = 0; i < DT_DESIRED_COUNT; i++) {
        enum dt_sandbox_desired back;
        const char *text = dt_desired_text((enum dt_sandbox_desired)i);
        assert_int_equal(dt_desired_from_text(text, &back), 0);
        assert_int_equal(back, i);
    }
    for (int i = 0; i < DT_BACKUP_STATE_COUNT; i++) {
        enum dt_backup_state back;
        const char *text = dt_backup_text((enum dt_backup_state)i);
        assert_int_equal(dt_backup_from_text(text, &back), 0);
        assert_int_equal(back, i);
    }
    enum dt_sandbox_state s;
    enum dt_backup_state b;
    assert_int_equal(dt_backup_from_text("none", &b), -1);
    assert_int_equal(dt_sandbox_state_from_text("flying", &s), -1);
    assert_int_equal(dt_sandbox_state_from_text(NULL, &s), -1);
    assert_true(dt_sandbox_state_known("archived"));
    assert_true(dt_sandbox_state_known("snapshotting"));
    assert_false(dt_sandbox_state_known("flying"));
}

/* The whole table: a row for each state, with those that may come after it. */
static void test_moves(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to; /* separated by one space */
    } rows[] = {
        {"creating", "started destroyed error"},
        {"started", "stopping stopped pausing paused resizing destroying error"},
        {"stopping", "stopped started error"},
        {"stopped", "starting archiving archived resizing destroying error"},
        {"starting", "started stopped error"},
        {"destroying", "destroyed error"},
        {"destroyed", ""},
        {"error", "restoring destroying"},
        {"archiving", "archived stopped error"},
        {"archived", "restoring stopped destroying error"},
        {"restoring", "started stopped archived error"},
        {"pausing", "paused started stopped error"},
        {"paused", "resuming started stopping stopped destroying error"},
        {"resuming", "started paused stopped error"},
        {"resizing", "started stopped error"},
    };
    assert_int_equal(COUNT(rows), DT_SANDBOX_STATE_COUNT);
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum dt_sandbox_state from;
        char list[256];
        (void)snprintf(list, sizeof(list), " %s ", rows[i].to);
        assert_int_equal(dt_sandbox_state_from_text(rows[i].from, &from), 0);
        for (int to = 0; to < DT_SANDBOX_STATE_COUNT; to++) {
            char word[32];
            (void)snprintf(word, sizeof(word), " %s ",
                           dt_sandbox_state_text((enum dt_sandbox_state)to));
            bool may = dt_sandbox_may_move(from, (enum dt_sandbox_state)to);
            if (may != (strstr(list, word) != NULL))
                fail_msg("%s ->%s", rows[i].from, word);
        }
    }
}

#define CALL(c, s, d, ...)                                                                         \
    {                                                                                              \
        DT_CALL_##c,                                                                               \
        {                                                                                          \
            .state = DT_SANDBOX_##s, .desired = DT_DESIRED_##d, __VA_ARGS__                        \
        }                                                                                          \
    }

static void test_calls(void **state)
{
    (void)state;
    static const struct {
        struct {
            enum dt_sandbox_call call;
            struct dt_sandbox_now now;
        } c;
        int want;
        enum dt_err_code code;
        const char *text;
    } rows[] = {
        {CALL(START, STOPPED, STOPPED, 0), 1, DT_OK, NULL},
        {CALL(START, ARCHIVED, ARCHIVED, 0), 1, DT_OK, NULL},
        {CALL(START, PAUSED, PAUSED, 0), 1, DT_OK, NULL},
        {CALL(START, STARTED, STARTED, 0), 0, DT_OK, NULL},
        {CALL(START, STARTED, STARTED, .busy = true), -1, DT_E_CONFLICT, "in progress"},
        {CALL(START, STOPPING, STOPPED, 0), -1, DT_E_CONFLICT, "in progress (stopping)"},
        {CALL(START, RESTORING, STARTED, .busy = true), -1, DT_E_CONFLICT, "(restoring)"},
        {CALL(START, ERROR, STARTED, 0), -1, DT_E_BAD_REQUEST, "Sandbox is not in valid state"},
        {CALL(STOP, STARTED, STARTED, 0), 1, DT_OK, NULL},
        {CALL(STOP, PAUSED, PAUSED, 0), 1, DT_OK, NULL},
        {CALL(STOP, STOPPED, STOPPED, 0), -1, DT_E_BAD_REQUEST, "Sandbox is not started"},
        {CALL(STOP, ARCHIVED, ARCHIVED, 0), -1, DT_E_BAD_REQUEST, "Sandbox is not started"},
        {CALL(STOP, CREATING, STARTED, .busy = true), -1, DT_E_CONFLICT, "in progress"},
        {CALL(DELETE, STARTED, STARTED, 0), 1, DT_OK, NULL},
        {CALL(DELETE, STOPPED, STOPPED, 0), 1, DT_OK, NULL},
        {CALL(DELETE, ARCHIVED, ARCHIVED, 0), 1, DT_OK, NULL},
        {CALL(DELETE, PAUSED, PAUSED, 0), 1, DT_OK, NULL},
        {CALL(DELETE, ERROR, DESTROYED, 0), 1, DT_OK, NULL},
        {CALL(DELETE, DESTROYING, DESTROYED, .busy = true), -1, DT_E_CONFLICT, "in progress"},
        {CALL(ARCHIVE, STOPPED, STOPPED, 0), 1, DT_OK, NULL},
        {CALL(ARCHIVE, STARTED, STARTED, 0), -1, DT_E_BAD_REQUEST, "Sandbox is not stopped"},
        {CALL(ARCHIVE, ARCHIVED, ARCHIVED, 0), -1, DT_E_BAD_REQUEST, "Sandbox is not stopped"},
        {CALL(ARCHIVE, STOPPED, STOPPED, .ephemeral = true), -1, DT_E_BAD_REQUEST,
         "Ephemeral sandboxes cannot be archived"},
        {CALL(ARCHIVE, STOPPED, STOPPED, .busy = true), -1, DT_E_CONFLICT, "in progress"},
        {CALL(PAUSE, STARTED, STARTED, 0), 1, DT_OK, NULL},
        {CALL(PAUSE, PAUSED, PAUSED, 0), 0, DT_OK, NULL},
        {CALL(PAUSE, STOPPED, STOPPED, 0), -1, DT_E_BAD_REQUEST, "Sandbox is not started"},
        {CALL(RESIZE, STARTED, STARTED, 0), 1, DT_OK, NULL},
        {CALL(RESIZE, STOPPED, STOPPED, 0), 1, DT_OK, NULL},
        {CALL(RESIZE, PAUSED, PAUSED, 0), -1, DT_E_BAD_REQUEST, "can be resized"},
        {CALL(RESIZE, ARCHIVED, ARCHIVED, 0), -1, DT_E_BAD_REQUEST, "can be resized"},
        {CALL(FORK, STARTED, STARTED, 0), 1, DT_OK, NULL},
        {CALL(FORK, STOPPED, STOPPED, 0), 1, DT_OK, NULL},
        {CALL(FORK, PAUSED, PAUSED, 0), 1, DT_OK, NULL},
        {CALL(FORK, ARCHIVED, ARCHIVED, 0), -1, DT_E_BAD_REQUEST, "can be forked"},
        {CALL(BACKUP, STARTED, STARTED, 0), 1, DT_OK, NULL},
        {CALL(BACKUP, STARTED, STARTED, .ephemeral = true), -1, DT_E_BAD_REQUEST,
         "Ephemeral sandboxes cannot be backed up"},
        {CALL(BACKUP, STOPPED, STOPPED, .backing_up = true), -1, DT_E_BAD_REQUEST,
         "Sandbox backup is already in progress"},
        {CALL(BACKUP, ARCHIVED, ARCHIVED, 0), -1, DT_E_BAD_REQUEST, "can be backed up"},
        {CALL(RECOVER, ERROR, STOPPED, .recoverable = true), 1, DT_OK, NULL},
        {CALL(RECOVER, ERROR, STOPPED, 0), -1, DT_E_BAD_REQUEST,
         "Sandbox is not in a recoverable state"},
        {CALL(RECOVER, STARTED, STARTED, 0), -1, DT_E_BAD_REQUEST,
         "Sandbox must be in error state to recover"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dt_err err = {0};
        if (dt_sandbox_check_call(rows[i].c.call, &rows[i].c.now, &err) != rows[i].want)
            fail_msg("row %zu: %s", i, err.msg);
        if (rows[i].want < 0) {
            assert_int_equal(err.code, rows[i].code);
            assert_non_null(strstr(err.msg, rows[i].text));
        }
    }
}

static void test_repairs(void **state)
{
    (void)state;
    enum { NONE, DISK, RUNS, FROZEN, ARCHIVED, BOTH, KINDS };
    static const struct dt_sandbox_found found[KINDS] = {
        [DISK] = {.has_disk = true},
        [RUNS] = {.has_disk = true, .running = true},
        [FROZEN] = {.has_disk = true, .running = true, .paused = true},
        [ARCHIVED] = {.archived = true},
        [BOTH] = {.has_disk = true, .archived = true},
    };
    static const struct {
        const char *s, *d;
        const char *want; /* a letter for each kind of `found`, in order */
    } rows[] = {
        /* Keep, sTarted, sTopped 'o', Paused, Archived 'a', stop 'x', Destroy, archive 'A', Resize,
         * Lost */
        {"started", "started", "loKpao"},      {"starting", "started", "lotpao"},
        {"started", "stopped", "loxxao"},      {"stopping", "stopped", "loxxao"},
        {"stopped", "stopped", "lKxxaK"},      {"creating", "started", "DDDDDD"},
        {"destroying", "destroyed", "DDDDDD"}, {"started", "destroyed", "DDDDDD"},
        {"error", "destroyed", "DDDDDD"},      {"error", "stopped", "KKKKKK"},
        {"archiving", "archived", "lAxxaA"},   {"archived", "archived", "loxxKo"},
        {"restoring", "started", "lotpao"},    {"pausing", "paused", "lotpao"},
        {"paused", "paused", "lotKao"},        {"resuming", "started", "lotpao"},
        {"resizing", "started", "lRRRaR"},     {"resizing", "stopped", "lRRRaR"},
    };
    static const struct {
        char letter;
        enum dt_sandbox_repair repair;
    } letters[] = {{'K', DT_REPAIR_KEEP},    {'t', DT_REPAIR_STARTED},  {'o', DT_REPAIR_STOPPED},
                   {'p', DT_REPAIR_PAUSED},  {'a', DT_REPAIR_ARCHIVED}, {'x', DT_REPAIR_STOP},
                   {'D', DT_REPAIR_DESTROY}, {'A', DT_REPAIR_ARCHIVE},  {'R', DT_REPAIR_RESIZE},
                   {'l', DT_REPAIR_LOST}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum dt_sandbox_state s;
        enum dt_sandbox_desired d;
        assert_int_equal(dt_sandbox_state_from_text(rows[i].s, &s), 0);
        assert_int_equal(dt_desired_from_text(rows[i].d, &d), 0);
        for (int k = 0; k < KINDS; k++) {
            enum dt_sandbox_repair got = dt_sandbox_repair(s, d, found[k]);
            char letter = '?';
            for (size_t n = 0; n < COUNT(letters); n++)
                letter = letters[n].repair == got ? letters[n].letter : letter;
            if (letter != rows[i].want[k])
                fail_msg("%s, %s wanted, found %d: %c, not %c", rows[i].s, rows[i].d, k, letter,
                         rows[i].want[k]);
        }
    }
}

static void test_shares(void **state)
{
    (void)state;
    enum {
        CPU = DT_SHARE_CPU,
        MEM = DT_SHARE_MEMORY,
        DISK = DT_SHARE_DISK,
        ALL = CPU | MEM | DISK
    };
    static const struct {
        const char *s, *d;
        unsigned want;
    } rows[] = {
        {"creating", "started", ALL},     {"started", "started", ALL},
        {"started", "stopped", ALL},      {"stopping", "stopped", ALL},
        {"starting", "started", ALL},     {"restoring", "started", ALL},
        {"pausing", "paused", ALL},       {"resuming", "started", ALL},
        {"paused", "paused", MEM | DISK}, {"stopped", "stopped", DISK},
        {"archiving", "archived", DISK},  {"archived", "archived", 0},
        {"destroying", "destroyed", 0},   {"destroyed", "destroyed", 0},
        {"error", "stopped", 0},          {"resizing", "started", ALL},
        {"resizing", "stopped", DISK},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum dt_sandbox_state s;
        enum dt_sandbox_desired d;
        assert_int_equal(dt_sandbox_state_from_text(rows[i].s, &s), 0);
        assert_int_equal(dt_desired_from_text(rows[i].d, &d), 0);
        assert_int_equal(dt_sandbox_shares(s, d), rows[i].want);
    }
    const struct dt_resources r = {1, 2, 3};
    const struct dt_resources part = dt_resources_share(&r, CPU | DISK);
    assert_true(part.cpu_millis == 1 && part.memory_mib == 0 && part.disk_mib == 3);
    assert_false(dt_resources_equal(&r, &part));
    assert_true(dt_resources_equal(&r, &r));
}

static void test_timers(void **state)
{
    (void)state;
    enum { MIN = 60000 };
    static const struct {
        enum dt_sandbox_state s;
        struct dt_sandbox_timers t; /* stop, delete, activity, archive, pause, destroy */
        int64_t now;
        enum dt_sandbox_repair want;
    } rows[] = {
        {DT_SANDBOX_STARTED, {15, -1, 0, 0, 0, 0}, 15 * MIN, DT_REPAIR_STOP},
        {DT_SANDBOX_STARTED, {15, -1, 0, 0, 0, 0}, 15 * MIN - 1, DT_REPAIR_KEEP},
        {DT_SANDBOX_STARTED, {15, 0, 0, 0, 0, 0}, 15 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_STARTED, {0, -1, 0, 0, 0, 0}, (int64_t)MIN << 20, DT_REPAIR_KEEP},
        {DT_SANDBOX_STARTED, {0, 5, 0, 5, 0, 0}, 10 * MIN, DT_REPAIR_KEEP},
        {DT_SANDBOX_STOPPED, {15, -1, 0, 0, 0, 0}, (int64_t)MIN << 20, DT_REPAIR_KEEP},
        {DT_SANDBOX_STOPPED, {15, 0, 0, 0, 0, 0}, 0, DT_REPAIR_DESTROY},
        {DT_SANDBOX_STOPPED, {15, 5, 0, 0, 0, 0}, 5 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_STOPPED, {15, 5, 0, 0, 0, 0}, 4 * MIN, DT_REPAIR_KEEP},
        {DT_SANDBOX_STOPPED, {15, -1, 0, 60, 0, 0}, 60 * MIN, DT_REPAIR_ARCHIVE},
        {DT_SANDBOX_STOPPED, {15, -1, 0, 60, 0, 0}, 60 * MIN - 1, DT_REPAIR_KEEP},
        {DT_SANDBOX_STOPPED, {15, 60, 0, 60, 0, 0}, 60 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_STOPPING, {1, 0, 0, 1, 0, 0}, 99 * MIN, DT_REPAIR_KEEP},
        {DT_SANDBOX_ARCHIVED, {1, 1, 0, 1, 0, 0}, 99 * MIN, DT_REPAIR_KEEP},
        {DT_SANDBOX_PAUSED, {1, 1, 0, 1, 0, 0}, 99 * MIN, DT_REPAIR_KEEP},
        {DT_SANDBOX_STARTED,
         {15, -1, 99 * MIN, 0, 0, 0},
         0,
         DT_REPAIR_KEEP}, /* the clock went back */
        {DT_SANDBOX_STARTED, {0, -1, 0, 0, 15, 0}, 15 * MIN, DT_REPAIR_PAUSE},
        {DT_SANDBOX_STARTED, {0, -1, 0, 0, 15, 0}, 15 * MIN - 1, DT_REPAIR_KEEP},
        {DT_SANDBOX_PAUSED, {0, -1, 0, 0, 15, 0}, 99 * MIN, DT_REPAIR_KEEP},
        {DT_SANDBOX_STARTED, {0, -1, 9 * MIN, 0, 0, 9 * MIN}, 9 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_STARTED, {0, -1, 0, 0, 0, 9 * MIN}, 9 * MIN - 1, DT_REPAIR_KEEP},
        {DT_SANDBOX_STOPPED, {15, -1, 0, 60, 0, 60 * MIN}, 60 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_PAUSED, {15, -1, 0, 0, 0, 9 * MIN}, 9 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_ARCHIVED, {15, -1, 0, 0, 0, 9 * MIN}, 9 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_ERROR, {15, -1, 0, 0, 0, 9 * MIN}, 9 * MIN, DT_REPAIR_DESTROY},
        {DT_SANDBOX_ARCHIVING, {15, -1, 0, 0, 0, 9 * MIN}, 9 * MIN, DT_REPAIR_KEEP},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(dt_sandbox_due(rows[i].s, &rows[i].t, rows[i].now), rows[i].want);
}

static void test_work_of_its_own(void **state)
{
    (void)state;
    static const struct {
        uint64_t usec, ms;
        bool want;
    } rows[] = {
        {0, 60000, false},       {600000, 60000, false}, /* one percent of a cpu */
        {1199999, 60000, false}, {1200000, 60000, true}, {60000000, 60000, true},
        {1000000, 0, false},     {UINT64_MAX, 1, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(dt_sandbox_at_work(rows[i].usec, rows[i].ms), rows[i].want);
}

static void test_resize_rules(void **state)
{
    (void)state;
    static const struct dt_create_limits limits = {4, 8, 10};
    static const struct dt_resources has = {1000, 1024, 3072};
    static const struct {
        struct dt_resize_ask ask;
        bool running;
        const char *error; /* NULL: allowed */
        struct dt_resources want;
    } rows[] = {
        {{0}, false, "At least one of cpu, memory and disk", {0}},
        {{.cpu = 2}, true, NULL, {2000, 1024, 3072}},
        {{.cpu = 2, .memory_gib = 4, .disk_gib = 10}, false, NULL, {2000, 4096, 10240}},
        {{.memory_gib = 2}, true, NULL, {1000, 2048, 3072}},
        {{.cpu = 5}, true, "CPU request 5 exceeds maximum allowed per sandbox (4).", {0}},
        {{.memory_gib = 9}, true, "Memory request 9GB exceeds maximum", {0}},
        {{.disk_gib = 11}, false, "Disk request 11GB exceeds maximum", {0}},
        {{.disk_gib = 2}, false, "Disk size can only be increased: the sandbox has 3GB", {0}},
        {{.disk_gib = 4}, true, "The disk can only be resized while the sandbox is stopped", {0}},
        {{.disk_gib = 3}, true, NULL, {1000, 1024, 3072}},
        {{.cpu = 1, .memory_gib = 1, .disk_gib = 3}, true, NULL, {1000, 1024, 3072}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dt_resources got = {0};
        struct dt_err err = {0};
        int rc = dt_resize_check(&rows[i].ask, &limits, &has, rows[i].running, &got, &err);
        if (rc != (rows[i].error == NULL ? 0 : -1))
            fail_msg("row %zu: %s", i, err.msg);
        if (rows[i].error != NULL)
            assert_non_null(strstr(err.msg, rows[i].error));
        else
            assert_true(dt_resources_equal(&got, &rows[i].want));
    }
    const struct dt_resources large = {1000, 4096, 3072};
    const struct dt_resize_ask less = {.memory_gib = 2};
    struct dt_resources got;
    struct dt_err err;
    assert_int_equal(dt_resize_check(&less, &limits, &large, true, &got, &err), -1);
    assert_non_null(strstr(err.msg, "Memory can only be reduced while the sandbox is stopped"));
    assert_int_equal(dt_resize_check(&less, &limits, &large, false, &got, &err), 0);
    assert_int_equal(got.memory_mib, 2048);
}

static void test_create_rules(void **state)
{
    (void)state;
    static const struct {
        struct dt_create_ask ask;
        const char *error; /* NULL: allowed */
        struct dt_resources want;
    } rows[] = {
        {{0}, NULL, {1000, 1024, 3072}},
        {{.cpu = 2, .memory_gib = 0.5, .disk_gib = 5}, NULL, {2000, 512, 5120}},
        {{.cpu = 0.25}, NULL, {250, 1024, 3072}},
        {{.cpu = 5}, "CPU request 5 exceeds maximum allowed per sandbox (4).", {0}},
        {{.memory_gib = 9}, "Memory request 9GB exceeds maximum", {0}},
        {{.disk_gib = 11}, "Disk request 11GB exceeds maximum", {0}},
        {{.cpu = 0.001}, "too small", {0}},
        {{.cpu = -1}, "out of range", {0}},
        {{.gpu = 1}, "GPU", {0}},
        {{.has_build_info = true}, "cannot build", {0}},
        {{.has_build_info = true, .has_snapshot = true}, "Cannot specify a snapshot", {0}},
        {{.has_domains = true}, "domainAllowList", {0}},
        {{.allow_list = "10.0.0.0/8"}, NULL, {1000, 1024, 3072}},
        {{.allow_list = "bad"}, "Invalid network format", {0}},
    };
    static const struct dt_create_limits limits = {4, 8, 10};
    static const struct dt_resources none = {0};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct dt_resources res = {0};
        struct dt_cidr cidrs[DT_CIDRS_MAX];
        struct dt_err err = {0};
        int n, got = dt_create_check(&rows[i].ask, &limits, &none, &res, cidrs, &n, &err);
        assert_int_equal(got, rows[i].error == NULL ? 0 : -1);
        if (rows[i].error != NULL)
            assert_non_null(strstr(err.msg, rows[i].error));
        else
            assert_memory_equal(&res, &rows[i].want, sizeof(res));
    }
}

static void test_states_of_a_volume(void **state)
{
    (void)state;
    static const char *const words[] = {"pending_create", "creating", "ready", "pending_delete",
                                        "deleting",       "deleted",  "error"};
    enum dt_volume_state got;
    for (int i = 0; i < DT_VOLUME_STATE_COUNT; i++) {
        assert_string_equal(dt_volume_state_text((enum dt_volume_state)i), words[i]);
        assert_int_equal(dt_volume_state_from_text(words[i], &got), 0);
        assert_int_equal(got, i);
    }
    assert_int_equal(dt_volume_state_from_text("started", &got), -1);
    assert_int_equal(dt_volume_state_from_text(NULL, &got), -1);
}

#define LONG_64  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
#define LONG_256 LONG_64 LONG_64 LONG_64 LONG_64

static void test_where_volumes_may_be(void **state)
{
    (void)state;
    static const struct {
        struct dt_mount mounts[2];
        const char *error; /* NULL: allowed */
    } rows[] = {
        {{{"v", "/data", NULL}}, NULL},
        {{{"v", "/home/daytona/volume", "users/alice"}}, NULL},
        {{{"v", "//data/", "a/"}}, NULL},
        {{{"v", "/..data/.x", "..a/b..c"}}, NULL},
        {{{"v", "/processes", NULL}, {"v", "/library", ""}}, NULL},
        {{{"v", "", NULL}}, "Invalid mount path  (must be absolute)"},
        {{{"v", "data", NULL}}, "Invalid mount path data (must be absolute)"},
        {{{"v", "/", NULL}}, "Invalid mount path / (must not be the root directory)"},
        {{{"v", "//", NULL}}, "Invalid mount path // (must not be the root directory)"},
        {{{"v", "/a/../b", NULL}}, "must not contain relative path components"},
        {{{"v", "/a/./b", NULL}}, "must not contain relative path components"},
        {{{"v", "/a/..", NULL}}, "must not contain relative path components"},
        {{{"v", "/.", NULL}}, "must not contain relative path components"},
        {{{"v", "/a//b", NULL}}, "must not contain consecutive slashes"},
        {{{"v", "///a", NULL}}, "must not contain consecutive slashes"},
        {{{"v", "/a\nb", NULL}}, "must not contain control characters"},
        {{{"v", "/" LONG_256, NULL}}, "must be at most 255 bytes"},
        {{{"v", "/data", "/a"}}, "Invalid subpath /a (must be relative to the volume)"},
        {{{"v", "/data", "a/../b"}}, "Invalid subpath a/../b (must not contain relative"},
        {{{"v", "/data", ".."}}, "Invalid subpath .. (must not contain relative"},
        {{{"v", "/data", "a//b"}}, "Invalid subpath a//b (must not contain consecutive"},
        {{{"v", "/data", LONG_256}}, "must be at most 255 bytes"},
        {{{"v", "/data", NULL}, {"w", "//data/", NULL}},
         "Invalid mount path //data/ (is there twice)"},
        {{{"v", "x//", NULL}, {"w", "/etc/../a", NULL}},
         "Invalid mount path x// (must be absolute), Invalid mount path x// (must not contain "
         "consecutive slashes), Invalid mount path /etc/../a (must not contain relative path "
         "components), Invalid mount path /etc/../a (must not be in a system directory)"},
    };
    struct dt_err err;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t n = rows[i].mounts[1].volume != NULL ? 2 : 1;
        err = (struct dt_err){0};
        if ((dt_mounts_check(rows[i].mounts, n, &err) == 0) != (rows[i].error == NULL) ||
            (rows[i].error != NULL && strstr(err.msg, rows[i].error) == NULL))
            fail_msg("row %zu: %s", i, err.msg);
    }
    static const char *const folders[] = {"proc", "sys",  "dev", "boot", "etc",
                                          "bin",  "sbin", "lib", "lib64"};
    static const char *const around[][2] = {{"/", ""}, {"//", ""}, {"/", "/"}, {"/", "/deeper"}};
    for (size_t i = 0; i < COUNT(folders); i++) {
        for (size_t k = 0; k < COUNT(around); k++) {
            char path[64];
            (void)snprintf(path, sizeof(path), "%s%s%s", around[k][0], folders[i], around[k][1]);
            const struct dt_mount m = {"v", path, NULL};
            assert_int_equal(dt_mounts_check(&m, 1, &err), -1);
            assert_non_null(strstr(err.msg, "(must not be in a system directory)"));
        }
    }
    const struct dt_mount many[9] = {{"v", "/a", NULL}};
    assert_int_equal(dt_mounts_check(many, 9, &err), -1);
}

static void test_plain_paths(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"/data", "/data"},
                                          {"//data", "/data"},
                                          {"/a/b///", "/a/b"},
                                          {"//", ""},
                                          {"/", ""},
                                          {"a/b/", "a/b"},
                                          {"", ""}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char got[DT_MOUNT_PATH_SIZE];
        dt_mount_path_plain(rows[i][0], got);
        assert_string_equal(got, rows[i][1]);
    }
}

static void test_keys_and_tokens(void **state)
{
    (void)state;
    char key[DT_API_KEY_SIZE], other[DT_API_KEY_SIZE], prefix[4], suffix[4];
    char mask[DT_API_KEY_MASK_SIZE];
    dt_api_key_make(key);
    dt_api_key_make(other);
    assert_int_equal(strlen(key), DT_API_KEY_SIZE - 1);
    assert_string_not_equal(key, other);
    assert_true(dt_api_key_shaped(dt_str_z(key)));
    assert_false(dt_api_key_shaped(DT_STR("dtn_short")));
    assert_false(dt_api_key_shaped(DT_STR("dtn_0123456789abcde\n")));
    dt_api_key_ends(DT_STR("dtn_0123456789abcdef"), prefix, suffix);
    assert_string_equal(dt_api_key_mask(prefix, suffix, mask), "dtn********************def");

    uint8_t hash[DT_HASH_SIZE];
    char hex[65];
    dt_hash(DT_STR("abc"), hash);
    dt_hex(hash, sizeof(hash), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    const uint8_t secret[DT_SECRET_SIZE] = {1};
    char token[DT_PREVIEW_TOKEN_SIZE], later[DT_PREVIEW_TOKEN_SIZE];
    dt_preview_token(secret, ID, 1, token);
    dt_preview_token(secret, ID, 2, later);
    assert_int_equal(strlen(token), 32);
    assert_string_not_equal(token, later);
}

static void test_cookies(void **state)
{
    (void)state;
    const uint8_t secret[DT_SECRET_SIZE] = {1}, wrong[DT_SECRET_SIZE] = {2};
    char c[DT_COOKIE_SIZE];
    dt_preview_cookie(secret, ID, 1, 3000, 1000, c);
    assert_true(dt_preview_cookie_check(secret, ID, 1, 3000, 999, dt_str_z(c)));
    assert_false(dt_preview_cookie_check(secret, ID, 1, 3000, 1000, dt_str_z(c)));
    assert_false(dt_preview_cookie_check(secret, ID, 2, 3000, 999, dt_str_z(c)));
    assert_false(dt_preview_cookie_check(secret, ID, 1, 2280, 999, dt_str_z(c)));
    assert_false(dt_preview_cookie_check(wrong, ID, 1, 3000, 999, dt_str_z(c)));
    c[0]++; /* another expiry */
    assert_false(dt_preview_cookie_check(secret, ID, 1, 3000, 999, dt_str_z(c)));
    assert_false(dt_preview_cookie_check(secret, ID, 1, 3000, 999, DT_STR("")));
    assert_false(dt_preview_cookie_check(secret, ID, 1, 3000, 999, DT_STR("99999999.")));
}

/* The signature was made with another implementation of HMAC. */
static void test_file_signatures(void **state)
{
    (void)state;
    static const char mac[] = "v1_UN4PIOqmtJBcxaY0BihPdIUFUlbM-y-JBIH875dwED4";
    const uint8_t secret[DT_SECRET_SIZE] = {1}, wrong[DT_SECRET_SIZE] = {2};
    char key[DT_FILE_KEY_SIZE], other[DT_FILE_KEY_SIZE], bad[sizeof(mac)];
    const struct dt_str path = DT_STR("/tmp/\xc3\xbc x"), until = DT_STR("1700000000");
    (void)snprintf(key, sizeof(key), "sgk_%064d", 0);
    assert_true(dt_file_signature_fits(key, "GET", path, until, dt_str_z(mac)));
    assert_false(dt_file_signature_fits(key, "POST", path, until, dt_str_z(mac)));
    assert_false(dt_file_signature_fits(key, "GET", DT_STR("/tmp"), until, dt_str_z(mac)));
    assert_false(dt_file_signature_fits(key, "GET", path, DT_STR("0"), dt_str_z(mac)));
    assert_false(dt_file_signature_fits("sgk_1", "GET", path, until, dt_str_z(mac)));
    for (size_t i = 0; i < sizeof(mac) - 1; i++) {
        memcpy(bad, mac, sizeof(bad));
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_false(dt_file_signature_fits(key, "GET", path, until, dt_str_z(bad)));
        assert_false(dt_file_signature_fits(key, "GET", path, until, dt_str(mac, i)));
    }
    dt_file_key(secret, ID, 0, key);
    assert_int_equal(strlen(key), DT_FILE_KEY_SIZE - 1);
    dt_file_key(secret, ID, 1, other);
    assert_string_not_equal(key, other);
    dt_file_key(wrong, ID, 0, other);
    assert_string_not_equal(key, other);
}

static void test_scopes(void **state)
{
    (void)state;
    char text[DT_PERMISSIONS_TEXT_MAX];
    const uint32_t two = DT_PERM_WRITE_SANDBOXES | DT_PERM_READ_VOLUMES;
    assert_int_equal(dt_permissions_parse(NULL), 0);
    assert_int_equal(dt_permissions_parse("read:volumes write:sandboxes"), two);
    assert_int_equal(dt_permissions_parse("read:volumes  no:such write:sandboxes "), two);
    assert_string_equal(dt_permissions_print(two, text), "write:sandboxes read:volumes");
    assert_string_equal(dt_permissions_print(0, text), "");
    assert_int_equal(dt_permissions_parse(dt_permissions_print(DT_PERM_ALL, text)), DT_PERM_ALL);
    assert_int_equal(dt_permission_bit(DT_STR("write:sandbox")), 0);
    assert_string_equal(dt_permission_text(DT_PERM_DELETE_RUNNERS), "delete:runners");
    assert_null(dt_permission_text(two));
    assert_true(dt_permissions_allow(0, 0));
    assert_true(dt_permissions_allow(DT_PERM_FIRST, two));
    assert_false(dt_permissions_allow(DT_PERM_READ_VOLUMES, two));
    assert_false(dt_permissions_allow(DT_PERM_FIRST, DT_PERM_WRITE_REGIONS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cidr_lists),
        cmocka_unit_test(test_cidr_meet),
        cmocka_unit_test(test_preview_hosts),
        cmocka_unit_test(test_ports_have_one_spelling),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_state_has_a_word),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_repairs),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_work_of_its_own),
        cmocka_unit_test(test_resize_rules),
        cmocka_unit_test(test_create_rules),
        cmocka_unit_test(test_states_of_a_volume),
        cmocka_unit_test(test_where_volumes_may_be),
        cmocka_unit_test(test_plain_paths),
        cmocka_unit_test(test_keys_and_tokens),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_file_signatures),
        cmocka_unit_test(test_scopes),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}

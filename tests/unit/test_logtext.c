#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "demux.h"
#include "json/json.h"
#include "toolbox/logtext.h"
#include "toolbox/sdk.h"

static struct dt_journal *journal(void)
{
    struct dt_journal *j;
    struct dt_err err;
    assert_int_equal(dt_journal_new("/tmp", &j, &err), 0);
    return j;
}

static void add(struct dt_journal *j, enum dt_journal_stream stream, const char *text)
{
    dt_journal_add(j, stream, text, strlen(text));
}

static struct dt_buf shown(struct dt_journal *j, enum dt_logtext_form form, bool json)
{
    struct dt_buf out;
    struct dt_logtext t;
    struct dt_err err;
    int got;
    dt_buf_init(&out, (size_t)256 << 20);
    dt_logtext_init(&t, form, json);
    while ((got = dt_logtext_next(&t, j, &out, &err)) > 0)
        ;
    assert_int_equal(got, 0);
    assert_int_equal(dt_logtext_end(&t, &out, &err), 0);
    return out;
}

static void check(struct dt_journal *j, enum dt_logtext_form form, bool json, const char *want)
{
    DT_AUTO_BUF struct dt_buf got = shown(j, form, json);
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.n > 0 ? got.p : "", want, got.n);
}

static void test_forms(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *j = journal();
    check(j, DT_LOGTEXT_MARKED, false, "");
    add(j, DT_JOURNAL_OUT, "one\n");
    add(j, DT_JOURNAL_OUT, "two");
    add(j, DT_JOURNAL_ERR, "bad\n");
    add(j, DT_JOURNAL_OUT, "three");
    check(j, DT_LOGTEXT_MARKED, false, "\1\1\1one\ntwo\2\2\2bad\n\1\1\1three");
    check(j, DT_LOGTEXT_COMBINED, false, "one\ntwobad\nthree");
    check(j, DT_LOGTEXT_OUT, false, "one\ntwothree");
    check(j, DT_LOGTEXT_ERR, false, "bad\n");
    check(j, DT_LOGTEXT_OUT, true, "one\\ntwothree");
}

/* Clients cannot tell them from markers (known bug 10 of the original). */
static void test_bug_10_marker_bytes_in_output(void **state)
{
    (void)state;
    static const char *const evil[] = {"\1\1\1", "\2\2\2", "\1\1\1\1\1", "\2\1\1\1\2", "a\1\1",
                                       "\1",     "\2",     "\1\2",       "\2\2\2\2",   "\1\1x"};
    enum { N = sizeof(evil) / sizeof(evil[0]) };
    for (size_t i = 0; i < (size_t)N * N * 2; i++) {
        DT_AUTO(dt_journal_free) struct dt_journal *j = journal();
        enum dt_journal_stream first = i % 2 == 0 ? DT_JOURNAL_OUT : DT_JOURNAL_ERR;
        add(j, first, evil[i / 2 % N]);
        add(j, first == DT_JOURNAL_OUT ? DT_JOURNAL_ERR : DT_JOURNAL_OUT, evil[i / 2 / N]);
        add(j, first, "\1\1\1\2\2\2");
        DT_AUTO_BUF struct dt_buf marked = shown(j, DT_LOGTEXT_MARKED, false);
        DT_AUTO_BUF struct dt_buf out = shown(j, DT_LOGTEXT_OUT, false);
        DT_AUTO_BUF struct dt_buf errors = shown(j, DT_LOGTEXT_ERR, false);
        struct demux d;
        demux(&d, dt_buf_str(&marked));
        assert_true(dt_str_eq(dt_buf_str(&d.streams[0]), dt_buf_str(&out)));
        assert_true(dt_str_eq(dt_buf_str(&d.streams[1]), dt_buf_str(&errors)));
        demux_done(&d);
    }
}

static void test_json(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *j = journal();
    static const char odd[] = "\"\\\n\r\t\0\x1b[0m \xff \xc3";
    dt_journal_add(j, DT_JOURNAL_OUT, odd, sizeof(odd) - 1);
    add(j, DT_JOURNAL_OUT,
        "\xa4\xf0\x9f\x98"); /* the rest of an a umlaut; a face without its end */
    check(j, DT_LOGTEXT_OUT, true,
          "\\\"\\\\\\n\\u000d\\u0009\\u0000\\u001b[0m \xef\xbf\xbd \xc3\xa4"
          "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_long_logs_go_to_disk(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *j = journal();
    DT_AUTO_BUF struct dt_buf want;
    struct dt_err err;
    dt_buf_init(&want, 8 << 20);
    for (unsigned i = 0; i < 300000; i++) {
        char line[16];
        int n = snprintf(line, sizeof(line), "%u\n", i);
        dt_journal_add(j, i % 7 == 0 ? DT_JOURNAL_ERR : DT_JOURNAL_OUT, line, (size_t)n);
        assert_int_equal(dt_buf_add(&want, line, (size_t)n, &err), 0);
    }
    assert_true(dt_journal_memory(j) < 4096);
    DT_AUTO_BUF struct dt_buf got = shown(j, DT_LOGTEXT_COMBINED, false);
    assert_true(dt_str_eq(dt_buf_str(&got), dt_buf_str(&want)));
}

static void test_the_oldest_is_dropped(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *j = journal();
    char *block = malloc(1 << 20);
    memset(block, 'x', 1 << 20);
    for (int i = 0; i < 70; i++) {
        block[0] = (char)('A' + i);
        dt_journal_add(j, DT_JOURNAL_OUT, block, 1 << 20);
    }
    free(block);
    DT_AUTO_BUF struct dt_buf got = shown(j, DT_LOGTEXT_COMBINED, false);
    unsigned long long lost = 0;
    assert_int_equal(sscanf(got.p, "\n[%llu bytes of output left out]\n", &lost), 1);
    const char *kept = strstr(got.p, "out]\n") + 5;
    size_t n = got.n - (size_t)(kept - got.p);
    assert_int_equal(lost + n, 70u << 20);
    assert_true(n > (60u << 20) && n <= DT_JOURNAL_FILE_MAX);
    assert_int_equal((unsigned char)got.p[got.n - (1 << 20)], 'A' + 69);
}

/* A reader that was overtaken goes on, and is told. */
static void test_slow_reader(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *j = journal();
    struct dt_logtext t;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, (size_t)256 << 20);
    add(j, DT_JOURNAL_OUT, "start");
    dt_logtext_init(&t, DT_LOGTEXT_COMBINED, false);
    assert_int_equal(dt_logtext_next(&t, j, &out, &err), 1);
    char *block = calloc(1, 1 << 20);
    for (int i = 0; i < 80; i++)
        dt_journal_add(j, DT_JOURNAL_OUT, block, 1 << 20);
    free(block);
    while (dt_logtext_next(&t, j, &out, &err) > 0)
        ;
    unsigned long long lost = 0;
    assert_int_equal(sscanf(out.p, "start\n[%llu bytes of output left out]\n", &lost), 1);
    size_t note = (size_t)(strstr(out.p, "out]\n") + 5 - out.p);
    assert_int_equal(lost + out.n - note, 80u << 20);
}

static void test_without_room_the_newest_stay_in_memory(void **state)
{
    (void)state;
    struct dt_journal *all[DT_JOURNAL_FILES_MAX], *more;
    for (int i = 0; i < DT_JOURNAL_FILES_MAX; i++) {
        all[i] = journal();
        for (int k = 0; k < 2000; k++)
            add(all[i], DT_JOURNAL_OUT, "0123456789");
    }
    more = journal();
    for (int k = 0; k < 100000; k++)
        add(more, DT_JOURNAL_OUT, "abcdefghi\n");
    DT_AUTO_BUF struct dt_buf got = shown(more, DT_LOGTEXT_COMBINED, false);
    assert_true(got.n > 16 * 1024 && got.n < 64 * 1024 && dt_journal_memory(more) < 256 * 1024);
    assert_non_null(strstr(got.p, "bytes of output left out"));
    (void)dt_journal_free(more);

    dt_journal_seal(all[5]); /* the only one that has ended: its file is given up */
    more = journal();
    for (int k = 0; k < 20000; k++)
        add(more, DT_JOURNAL_OUT, "abcdefghi\n");
    DT_AUTO_BUF struct dt_buf whole = shown(more, DT_LOGTEXT_COMBINED, false);
    assert_int_equal(whole.n, 200000);
    check(all[5], DT_LOGTEXT_COMBINED, false, "\n[20000 bytes of output left out]\n");
    (void)dt_journal_free(more);
    for (int i = 0; i < DT_JOURNAL_FILES_MAX; i++)
        (void)dt_journal_free(all[i]);
}

static void test_gates(void **state)
{
    (void)state;
    static const struct {
        const char *version;
        bool split;
        struct dt_sdk_gates want; /* combined, home_cwd, demuxed */
    } rows[] = {
        {"", false, {true, false, false}},
        {"", true, {false, false, false}},
        {"0.26.9", false, {true, true, false}},
        {"0.26.9", true, {true, true, false}},
        {"0.27.0-alpha.1", false, {true, true, false}},
        {"0.27.0", false, {false, true, false}},
        {"0.102.99", false, {false, true, false}},
        {"0.103.0", false, {false, false, false}},
        {"0.111.1", false, {false, false, false}},
        {"0.166.9", false, {false, false, false}},
        {"0.167.0a1", false, {false, false, true}},
        {"0.167.0-rc.2", false, {false, false, true}},
        {"0.190.1", false, {false, false, true}},
        {"1.0.0", false, {false, false, true}},
        {"0.0.0-dev", false, {false, false, true}},
        {"0.0.1.dev3", false, {false, false, true}},
        {"v0.26.0", false, {true, true, false}},
        {"v0.145.0", false, {false, false, false}},
        {"v0.173.0", false, {false, false, true}},
        {"vv0.173.0", false, {false, false, false}},
        {"v", false, {false, false, false}},
        {"v0.190.0", false, {false, false, true}},
        {"vv0.26.0", false, {false, false, false}},
        {"0.26", false, {false, false, false}},
        {"99999999999999999999.0.0", false, {false, false, false}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_sdk_gates got = dt_sdk_gates(dt_str_z(rows[i].version), rows[i].split);
        if (memcmp(&got, &rows[i].want, sizeof(got)) != 0)
            fail_msg("%s: %d %d %d", rows[i].version, got.combined, got.home_cwd, got.demuxed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_bug_10_marker_bytes_in_output),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_long_logs_go_to_disk),
        cmocka_unit_test(test_the_oldest_is_dropped),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_without_room_the_newest_stay_in_memory),
        cmocka_unit_test(test_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

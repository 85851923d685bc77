#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/buf.h"
#include "toolbox/journal.h"

/* What stands at each place of a log. */
static char byte_at(uint64_t at)
{
    return (char)((at * 2654435761u) >> 24);
}

static uint64_t add_bytes(struct dt_journal *j, uint64_t at, size_t n)
{
    static char text[100 * 1024];
    for (size_t i = 0; i < n; i++)
        text[i] = byte_at(at + i);
    dt_journal_add(j, at % 3 == 0 ? DT_JOURNAL_ERR : DT_JOURNAL_OUT, text, n);
    return at + n;
}

static void on_piece(void *ctx, enum dt_journal_stream stream, const char *p, size_t n)
{
    (void)stream;
    struct dt_err err;
    assert_int_equal(dt_buf_add(ctx, p, n, &err), 0);
}

/* What a reader finds at `from`; returns where it is. */
static uint64_t check_at(struct dt_journal *j, uint64_t from)
{
    struct dt_journal_cursor c;
    uint64_t lost;
    DT_AUTO_BUF struct dt_buf got;
    dt_buf_init(&got, DT_JOURNAL_BLOCK);
    dt_journal_seek(j, &c, from);
    uint64_t first = c.payload;
    (void)dt_journal_read_most(j, &c, 500, &lost, on_piece, &got);
    assert_int_equal(lost, 0);
    for (size_t i = 0; i < got.n; i++)
        assert_int_equal(got.p[i], byte_at(first + i));
    return first;
}

static struct dt_journal *make(uint64_t size, size_t part)
{
    struct dt_journal *j;
    struct dt_err err;
    assert_int_equal(dt_journal_new("/var/tmp", &j, &err), 0);
    for (uint64_t at = 0; at < size;)
        at = add_bytes(j, at, 1 + (size_t)(at * 7919 % part));
    assert_true(dt_journal_total(j) >= size);
    return j;
}

static void test_any_place_is_found(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        size_t part;
    } logs[] = {{3000, 100}, {100000, 10}, {3000000, 100}, {(uint64_t)80 << 20, 90000}};
    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
        DT_AUTO(dt_journal_free) struct dt_journal *j = make(logs[i].size, logs[i].part);
        uint64_t total = dt_journal_total(j), oldest = check_at(j, 0);
        assert_true(oldest == 0 || total > DT_JOURNAL_FILE_MAX);
        for (unsigned long k = 0; k < 1000; k++) {
            uint64_t at = k * 2654435761u % total;
            assert_int_equal(check_at(j, at), at < oldest ? oldest : at);
        }
        assert_int_equal(check_at(j, total), total);
        assert_int_equal(check_at(j, total + 5), total);
    }
}

static void test_what_was_given_up_is_lost(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *first = make(100000, 50);
    dt_journal_seal(first);
    struct dt_journal *more[DT_JOURNAL_FILES_MAX];
    for (size_t i = 0; i < DT_JOURNAL_FILES_MAX; i++)
        more[i] = make(10000, 50);
    uint64_t total = dt_journal_total(first);
    assert_int_equal(check_at(first, 0), total);
    (void)add_bytes(first, total, 100);
    assert_int_equal(check_at(first, 50), total);
    assert_int_equal(check_at(first, total + 50), total + 50);
    for (size_t i = 0; i < DT_JOURNAL_FILES_MAX; i++)
        (void)dt_journal_free(more[i]);
}

/* By the calls it takes, not by the time. */
static void test_a_place_far_in_is_found_without_reading_all(void **state)
{
    (void)state;
    DT_AUTO(dt_journal_free) struct dt_journal *j = make((uint64_t)40 << 20, 60000);
    struct dt_journal_cursor c;
    char before[4096], after[4096];
    FILE *f = fopen("/proc/self/io", "r");
    assert_non_null(f);
    before[fread(before, 1, sizeof(before) - 1, f)] = '\0';
    dt_journal_seek(j, &c, (uint64_t)39 << 20);
    rewind(f);
    (void)fflush(f);
    after[fread(after, 1, sizeof(after) - 1, f)] = '\0';
    (void)fclose(f);
    unsigned long long a = strtoull(strstr(before, "rchar:") + 6, NULL, 10);
    unsigned long long b = strtoull(strstr(after, "rchar:") + 6, NULL, 10);
    assert_true(b - a < 3u << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_place_is_found),
        cmocka_unit_test(test_what_was_given_up_is_lost),
        cmocka_unit_test(test_a_place_far_in_is_found_without_reading_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/output.h"

static const struct {
    const char *in, *out;
} plain[] = {
    {"", ""},
    {"text\n", "text\n"},
    {"\x1b[31mred\x1b[0m", "red"},
    {"\x1b[1;2;38;5;200mx", "x"},
    {"a\x1b[?25lb", "ab"},
    {"\x1b]0;title\a"
     "after",
     "after"},
    {"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"},
    {"\x1bPdevice\x1b\\after", "after"},
    {"\x1b(Bx", "x"},
    {"\x1b"
     "7x\x1b"
     "8",
     "x"},
    {"end\x1b", "end"},
    {"end\x1b[", "end"},
    {"end\x1b[12", "end"},
    {"\x1b]never ends\nnext line", "\nnext line"},
    {"\x1b[3\xc3\xa4", "\xc3\xa4"}, /* no letter ends it: the character stays whole */
    {"tab\tkept\r\n", "tab\tkept\r\n"},
};

static void test_plain(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        struct dt_err err;
        DT_AUTO_BUF struct dt_buf out;
        dt_buf_init(&out, 1000);
        assert_int_equal(dt_output_plain(&out, dt_str_z(plain[i].in), &err), 0);
        assert_string_equal(out.p != NULL ? out.p : "", plain[i].out);
    }
}

static void test_note(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_output o = {DT_STR("head"), DT_STR("tail"), 123};
    DT_AUTO_BUF struct dt_buf out;
    dt_buf_init(&out, 1000);
    assert_int_equal(dt_output_print(&out, &o, &err), 0);
    assert_string_equal(out.p, "head\n[... 123 bytes left out ...]\ntail");
}

/* head, tail, omitted of both; what is shown afterwards. */
static const struct {
    size_t head_a, tail_a, omitted_a, head_b, tail_b, omitted_b;
    size_t shown_a, shown_b;
} fits[] = {
    {100, 0, 0, 100, 0, 0, 100, 100},
    {9000, 0, 0, 9000, 0, 0, 9000, 9000},           /* nobody keeps the rest: both stay */
    {5000, 5000, 90000, 0, 0, 0, 10000, 0},         /* exactly the budget */
    {5000, 5000, 90000, 100, 0, 0, 9900, 100},      /* the long one gives way */
    {5000, 5000, 90000, 5000, 5000, 1, 5000, 5000}, /* both long: halves */
    {5000, 5000, 90000, 9500, 0, 0, 5000, 9500},    /* the other cannot be cut */
    {5000, 5000, 90000, 4000, 0, 0, 6000, 4000},
};

static void test_fit(void **state)
{
    (void)state;
    static char bytes[20000];
    memset(bytes, 'x', sizeof(bytes));
    for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++) {
        struct dt_output a = {dt_str(bytes, fits[i].head_a), dt_str(bytes, fits[i].tail_a),
                              fits[i].omitted_a};
        struct dt_output b = {dt_str(bytes, fits[i].head_b), dt_str(bytes, fits[i].tail_b),
                              fits[i].omitted_b};
        dt_output_fit(&a, &b, 10000);
        assert_int_equal(a.head.n + a.tail.n, fits[i].shown_a);
        assert_int_equal(b.head.n + b.tail.n, fits[i].shown_b);
        /* Not one byte is lost from the count. */
        assert_int_equal(a.head.n + a.tail.n + a.omitted,
                         fits[i].head_a + fits[i].tail_a + fits[i].omitted_a);
        assert_int_equal(b.head.n + b.tail.n + b.omitted,
                         fits[i].head_b + fits[i].tail_b + fits[i].omitted_b);
    }
}

/* A cut never splits a character, and where bytes were replaced it does not happen. */
static void test_characters(void **state)
{
    (void)state;
    static char wide[12000], replaced[12000];
    for (size_t i = 0; i < sizeof(wide); i += 3) {
        memcpy(wide + i, "\xe2\x82\xac", 3);
        memcpy(replaced + i, "\xef\xbf\xbd", 3);
    }
    struct dt_output a = {dt_str(wide, 6000), dt_str(wide, 6000), 5};
    struct dt_output none = {.omitted = 0};
    dt_output_fit(&a, &none, 10000);
    assert_int_equal(a.head.n % 3, 0);
    assert_int_equal(a.tail.n % 3, 0);
    assert_int_equal((unsigned char)a.tail.p[0], 0xe2);
    assert_true(a.head.n + a.tail.n <= 10000);
    struct dt_output b = {dt_str(replaced, 6000), dt_str(replaced, 6000), 5};
    dt_output_fit(&b, &none, 10000);
    assert_int_equal(b.omitted, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_note),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests_name("mcp_output", tests, NULL, NULL);
}

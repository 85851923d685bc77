#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/json_lines.h"

struct seen {
    struct dt_json_lines *lines;
    unsigned objects, bad;
    size_t bytes;
    unsigned stop_after;
};

static bool on_line(void *ctx, json_t *object, size_t size)
{
    struct seen *s = ctx;
    if (object != NULL)
        s->objects++;
    else
        s->bad++;
    s->bytes += size;
    if (s->objects + s->bad != s->stop_after)
        return true;
    dt_json_lines_done(s->lines);
    return false;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned objects, bad;
    } rows[] = {
        {"", 0, 0},
        {"{}\n", 1, 0},
        {"{}\n{\"a\":1}\n", 2, 0},
        {"{}", 0, 0}, /* not at its end */
        {"[]\n", 0, 1},
        {"\n", 0, 1},
        {"{\n}\n", 0, 2},
        {"{\"a\":{\"a\":{\"a\":1}}}\n{}\n", 1, 1},                            /* too deep */
        {"{\"a\":\"0123456789012345678901234567890123456789\"}\n{}\n", 1, 1}, /* too long */
        {"{\"a\":\"0123456789012345678901234567890123456789", 0, 1},          /* told at once */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece < 8; piece += 3) {
            struct dt_json_lines lines;
            struct seen s = {.lines = &lines};
            dt_json_lines_init(&lines, 32, 2);
            struct dt_str text = dt_str_z(rows[i].text);
            for (size_t at = 0; at < text.n; at += piece)
                dt_json_lines_feed(&lines,
                                   dt_str(text.p + at, text.n - at < piece ? text.n - at : piece),
                                   on_line, &s);
            assert_int_equal(s.objects, rows[i].objects);
            assert_int_equal(s.bad, rows[i].bad);
            dt_json_lines_done(&lines);
        }
    }
}

/* Who listens may end it all in the middle. */
static void test_stops(void **state)
{
    (void)state;
    struct dt_json_lines lines;
    struct seen s = {.lines = &lines, .stop_after = 2};
    dt_json_lines_init(&lines, 32, 2);
    dt_json_lines_feed(&lines, DT_STR("{}\n{\"b\":2}\n{}\n{}\n"), on_line, &s);
    assert_int_equal(s.objects, 2);
    assert_int_equal(s.bytes, 9);
    dt_json_lines_done(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_stops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

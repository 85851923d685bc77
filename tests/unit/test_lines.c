#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/stdio.h"

enum { LIMIT = 10 };

/* What came out: lines joined by '|', '!' for one that was too long. */
struct seen {
    char text[256];
    size_t n;
};

static void note(struct seen *s, const char *p, size_t n)
{
    assert_true(s->n + n < sizeof(s->text));
    memcpy(s->text + s->n, p, n);
    s->n += n;
    s->text[s->n] = '\0';
}

static void on_line(void *ctx, struct dt_str line)
{
    note(ctx, line.p, line.n);
    note(ctx, "|", 1);
}

static void on_too_long(void *ctx)
{
    note(ctx, "!", 1);
}

static const struct dt_stdio_events events = {.on_line = on_line, .on_too_long = on_too_long};

static const struct {
    const char *in;
    const char *out;
} rows[] = {
    {"", ""},
    {"a\n", "a|"},
    {"a\r\nb\n", "a|b|"},
    {"\n\n \t\n\r\n", ""},
    {"a", "a|"}, /* the end of input ends a line */
    {"a\nbc", "a|bc|"},
    {"0123456789\n", "0123456789|"},
    {"0123456789a\nb\n", "!b|"},
    {"0123456789abcdefghijklmnopqrstuvwxyz\nb", "!b|"},
    {"0123456789abcdefghijklmnopqrstuvwxyz", "!"},
    {"ok\n0123456789abcdefghijklmnopqrstuvwxyz\n\nok\n", "ok|!ok|"},
};

/* Whatever the pieces in which the bytes come, the lines are the same. */
static void test_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].in);
        for (size_t piece = 1; piece <= n + 1; piece++) {
            struct seen seen = {.n = 0};
            struct dt_lines lines;
            struct dt_err err;
            dt_lines_init(&lines, LIMIT);
            for (size_t at = 0; at < n; at += piece) {
                size_t len = n - at < piece ? n - at : piece;
                assert_int_equal(dt_lines_feed(&lines, rows[i].in + at, len, &events, &seen, &err),
                                 0);
            }
            dt_lines_end(&lines, &events, &seen);
            dt_lines_done(&lines);
            assert_string_equal(seen.text, rows[i].out);
        }
    }
}

/* A line far above the limit must not be kept. */
static void test_memory(void **state)
{
    (void)state;
    static char block[65536];
    struct seen seen = {.n = 0};
    struct dt_lines lines;
    struct dt_err err;
    memset(block, 'x', sizeof(block));
    dt_lines_init(&lines, 100000);
    for (int i = 0; i < 1600; i++) {
        assert_int_equal(dt_lines_feed(&lines, block, sizeof(block), &events, &seen, &err), 0);
        assert_true(lines.part.cap <= 200000);
    }
    assert_int_equal(dt_lines_feed(&lines, "\na\n", 3, &events, &seen, &err), 0);
    assert_string_equal(seen.text, "!a|");
    dt_lines_done(&lines);
}

/* Output: one LF a message, and the limit that clients have. */
static void test_send(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct dt_stdio *io;
    struct dt_err err;
    int in[2], out[2];
    char text[32] = "";
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(dt_stdio_new(&loop, in[0], out[1], &events, NULL, &io, &err), 0);
    assert_int_equal(dt_stdio_send(io, DT_STR("one"), &err), 0);
    assert_int_equal(dt_stdio_send(io, DT_STR("two"), &err), 0);
    static char big[DT_STDIO_LINE_OUT_MAX];
    assert_int_equal(dt_stdio_send(io, dt_str(big, sizeof(big)), &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(read(out[0], text, sizeof(text) - 1), 8);
    assert_string_equal(text, "one\ntwo\n");
    (void)dt_stdio_free(io);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_send),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}

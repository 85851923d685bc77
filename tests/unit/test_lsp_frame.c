#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/lsp_frame.h"

/* The messages, each followed by '|', and '!' where it failed. */
static const char *run(const char *input, size_t n, size_t step, struct dt_err *err)
{
    static struct dt_buf out;
    struct dt_lsp_frame f;
    struct dt_str message;
    dt_buf_done(&out);
    dt_buf_init(&out, 1024);
    dt_lsp_frame_init(&f);
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i += step) {
        r = dt_lsp_frame_add(&f, input + i, n - i < step ? n - i : step, err);
        while (r == 0 && (r = dt_lsp_frame_next(&f, &message, err)) > 0) {
            assert_int_equal(dt_buf_adds(&out, message, NULL), 0);
            assert_int_equal(dt_buf_addz(&out, "|", NULL), 0);
            r = 0;
        }
    }
    if (r < 0)
        assert_int_equal(dt_buf_addz(&out, "!", NULL), 0);
    dt_lsp_frame_done(&f);
    return out.n > 0 ? out.p : "";
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *input, *want;
    } rows[] = {
        {"", ""},
        {"Content-Length: 2\r\n\r\n{}", "{}|"},
        {"content-length:2\r\n\r\n{}Content-Length: 3 \r\n\r\n[1]", "{}|[1]|"},
        {"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 1\r\n\r\n7",
         "7|"},
        {"Content-Length: 0\r\n\r\nContent-Length: 1\r\n\r\n7", "|7|"},
        {"Content-Length: 4\r\n\r\n\r\n\r\n", "\r\n\r\n|"},
        {"Content-Length: 3\r\n\r\n{}", ""},
        {"Content-Length: 2\r\n", ""},
        {"Content-Length: 2\n\n{}", "!"},
        {"\r\n", "!"},
        {"X: y\r\n\r\n", "!"},
        {"Content-Length: \r\n\r\n", "!"},
        {"Content-Length: -1\r\n\r\n", "!"},
        {"Content-Length: 0x2\r\n\r\n{}", "!"},
        {"Content-Length: 2 2\r\n\r\n{}", "!"},
        {"Content-Length: 99999999999999999999\r\n\r\n", "!"},
        {"Content-Length: 16777217\r\n\r\n", "!"},
        {"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "!"},
        {": 2\r\n\r\n", "!"},
        {"Traceback (most recent call last):\r\n", ""},
        {"listening\r\n", "!"},
        {"npm warn\n", "!"},
        {"Content-Length: 2\r\n\r\n{}what?\r\n", "{}|!"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].input);
        for (size_t step = 1; step <= n + 1; step++)
            assert_string_equal(run(rows[i].input, n, step, NULL), rows[i].want);
    }
}

static void test_faults_are_named(void **state)
{
    (void)state;
    static const char huge[] = "Content-Length: 16777217\r\n\r\n", junk[] = "\x1b[31mhello\r\n";
    struct dt_err err;
    (void)run(huge, sizeof(huge) - 1, 7, &err);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    assert_non_null(strstr(err.msg, "16777217"));
    (void)run(junk, sizeof(junk) - 1, 7, &err);
    assert_int_equal(err.code, DT_E_INVALID);
    assert_string_equal(err.msg, "'?[31mhello' is no field of a message's head");
}

/* A head without end is refused before it fills memory, and a promise costs none. */
static void test_bounds(void **state)
{
    (void)state;
    struct dt_lsp_frame f;
    struct dt_str message;
    struct dt_err err;
    int r = 0;
    size_t n = 0;
    dt_lsp_frame_init(&f);
    for (; r == 0 && n < 1000; n++) {
        assert_int_equal(dt_lsp_frame_add(&f, "X: 12345\r\n", 10, &err), 0);
        r = dt_lsp_frame_next(&f, &message, &err);
    }
    assert_int_equal(r, -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    assert_true(n * 10 <= DT_LSP_HEAD_MAX + 10);
    dt_lsp_frame_done(&f);

    static const char head[] = "Content-Length: 16777216\r\n\r\nx";
    dt_lsp_frame_init(&f);
    assert_int_equal(dt_lsp_frame_add(&f, head, sizeof(head) - 1, &err), 0);
    assert_int_equal(dt_lsp_frame_next(&f, &message, &err), 0);
    assert_true(f.pending.cap < 4096);
    dt_lsp_frame_done(&f);
}

/* The largest message comes whole, and its memory goes with the next one. */
static void test_largest(void **state)
{
    (void)state;
    static char piece[DT_LSP_PIECE_MAX];
    static const char head[] = "Content-Length: 16777216\r\n\r\n", next[] = "Content-Length: 1\r\n";
    struct dt_lsp_frame f;
    struct dt_str message;
    dt_lsp_frame_init(&f);
    memset(piece, 'a', sizeof(piece));
    assert_int_equal(dt_lsp_frame_add(&f, head, sizeof(head) - 1, NULL), 0);
    for (size_t i = 0; i < DT_LSP_MESSAGE_MAX / sizeof(piece); i++) {
        assert_int_equal(dt_lsp_frame_next(&f, &message, NULL), 0);
        assert_int_equal(dt_lsp_frame_add(&f, piece, sizeof(piece), NULL), 0);
    }
    assert_int_equal(dt_lsp_frame_next(&f, &message, NULL), 1);
    assert_int_equal(message.n, DT_LSP_MESSAGE_MAX);
    assert_int_equal(dt_lsp_frame_add(&f, next, sizeof(next) - 1, NULL), 0);
    assert_true(f.pending.cap < 4096);
    dt_lsp_frame_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_faults_are_named),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

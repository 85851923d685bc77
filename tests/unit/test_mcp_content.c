#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/content.h"

#define BYTES(lit)                                                                                 \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

static const struct {
    struct dt_str bytes;
    const char *image;
    bool part; /* not from the start, not to the end */
    bool text;
    size_t from, n; /* of the text in the bytes */
} rows[] = {
    {BYTES(""), NULL, false, true, 0, 0},
    {BYTES("hello\n"), NULL, false, true, 0, 6},
    {BYTES("\x89PNG\r\n\x1a\n...."), "image/png", false, false, 0, 0},
    {BYTES("\xff\xd8\xff\xe0"), "image/jpeg", false, false, 0, 0},
    {BYTES("GIF89a"), "image/gif", false, true, 0, 6},
    {BYTES("GIF87a"), "image/gif", false, true, 0, 6},
    {BYTES("RIFF....WEBPVP8 "), "image/webp", false, true, 0, 16},
    {BYTES("RIFF....WAVE"), NULL, false, true, 0, 12},
    {BYTES("a\0b"), NULL, false, false, 0, 0},
    {BYTES("a\xff."), NULL, false, false, 0, 0},
    {BYTES("a\xe2\x82"), NULL, false, false, 0, 0},
    {BYTES("a\xe2\x82"), NULL, true, true, 0, 1}, /* cut in a character at the end */
    {BYTES("\x82\xac."), NULL, true, true, 2, 1}, /* and at the start */
    {BYTES("\x82\xac."), NULL, false, false, 0, 0},
    {BYTES("\xe2\x82\xac"), NULL, true, true, 0, 3},
    {BYTES("\x80\x80\x80"), NULL, true, false, 0, 0},
    {BYTES("\xf0\x9f\x98\x80"), NULL, true, true, 0, 4},
    {BYTES(""), NULL, true, true, 0, 0},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_str text = {NULL, 0};
        const char *image = dt_content_image(rows[i].bytes);
        assert_int_equal(image != NULL, rows[i].image != NULL);
        if (image != NULL)
            assert_string_equal(image, rows[i].image);
        assert_int_equal(dt_content_text(rows[i].bytes, !rows[i].part, !rows[i].part, &text),
                         rows[i].text);
        if (!rows[i].text)
            continue;
        assert_int_equal(text.n, rows[i].n);
        assert_ptr_equal(text.p, rows[i].bytes.p + rows[i].from);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("mcp_content", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/multipart.h"

/* What came out, as text: [name|filename]data; for each part. */
static struct dt_buf out;

static void on_part(void *ctx, const char *name, const char *filename)
{
    (void)ctx;
    assert_int_equal(dt_buf_addf(&out, NULL, "[%s|%s]", name != NULL ? name : "-",
                                 filename != NULL ? filename : "-"),
                     0);
}

static void on_data(void *ctx, const char *p, size_t n)
{
    (void)ctx;
    assert_int_equal(dt_buf_add(&out, p, n, NULL), 0);
}

static void on_part_end(void *ctx)
{
    (void)ctx;
    assert_int_equal(dt_buf_addz(&out, ";", NULL), 0);
}

static const struct dt_multipart_events events = {on_part, on_data, on_part_end};

static int parse(const char *type, struct dt_str body, size_t step)
{
    struct dt_multipart m;
    dt_buf_clear(&out);
    if (dt_multipart_init(&m, dt_str_z(type), &events, NULL, NULL) < 0)
        return -1;
    int r = 0;
    for (size_t i = 0; r == 0 && i < body.n; i += step)
        r = dt_multipart_feed(&m, body.p + i, body.n - i < step ? body.n - i : step, NULL);
    if (r == 0)
        r = dt_multipart_end(&m, NULL);
    dt_multipart_done(&m);
    return r;
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *want; /* NULL: refused */
    } rows[] = {
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--\r\n", "[a|-]x;"},
        {"--b\r\ncontent-disposition:form-data;name=a;filename=f\r\nX: y\r\n\r\n\r\n--b--",
         "[a|f];"},
        {"preamble\r\n--b \t\r\nContent-Disposition: form-data; name=\"a\"; "
         "filename=\"q\\\"\\\\.txt\""
         "\r\n\r\nx\r\n-bx\r\n-\r\n--b\r\n\r\ny\r\n--b--epilogue\r\n--b\r\n",
         "[a|q\"\\.txt]x\r\n-bx\r\n-;[-|-]y;"},
        {"--b\r\nContent-Disposition: form-data; name=\"C:\\dir\"\r\n\r\n\r\n\r\n--b--",
         "[C:\\dir|-]\r\n;"},
        {"--b--", ""},
        {"", NULL},
        {"--b\r\n\r\nx", NULL},
        {"--b\r\n\r\nx\r\n--b", NULL},
        {"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n", NULL},
        {"--b", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t step = 1; step < 80; step++) {
            int r = parse("multipart/form-data; boundary=b", dt_str_z(rows[i].body), step);
            assert_int_equal(r, rows[i].want == NULL ? -1 : 0);
            if (rows[i].want != NULL)
                assert_string_equal(out.p != NULL ? out.p : "", rows[i].want);
        }
    }
}

/* `--bx` begins with the delimiter, so this body cannot be written with the boundary b. */
static void test_garbage_behind_a_boundary(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step++)
        assert_int_equal(parse("multipart/form-data; boundary=b",
                               DT_STR("--b\r\n\r\nx\r\n--bx\r\n\r\n--b--"), step),
                         -1);
}

static void test_types(void **state)
{
    (void)state;
    static const char *const good[] = {
        "multipart/form-data; boundary=b",
        "Multipart/Form-Data;boundary=\"b\"",
        "multipart/form-data; charset=utf-8; Boundary=b; x=y",
    };
    static const char *const bad[] = {
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "text/plain; boundary=b",
        "multipart/form-data; boundary=\"\"",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(parse(good[i], DT_STR("--b--"), 5), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(bad[i], DT_STR("--b--"), 5), -1);
}

static void test_endless_head(void **state)
{
    (void)state;
    struct dt_multipart m;
    assert_int_equal(
        dt_multipart_init(&m, DT_STR("multipart/form-data; boundary=b"), &events, NULL, NULL), 0);
    assert_int_equal(dt_multipart_feed(&m, "--b\r\n", 5, NULL), 0);
    static const char line[] = "X-Header: 0123456789012345678901234567890123456789\r\n";
    int r = 0;
    int fed = 0;
    for (; r == 0 && fed < 10000; fed++)
        r = dt_multipart_feed(&m, line, sizeof(line) - 1, NULL);
    assert_int_equal(r, -1);
    assert_true(fed < 1000);
    dt_multipart_done(&m);
}

static void test_large_body_streams(void **state)
{
    (void)state;
    size_t n = 3 * 1024 * 1024;
    DT_AUTO_BUF struct dt_buf body;
    dt_buf_init(&body, n + 200);
    assert_int_equal(
        dt_buf_addz(&body, "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n", NULL), 0);
    for (size_t i = 0; i < n; i += 16)
        assert_int_equal(dt_buf_add(&body, "0123\r\n--\r\n\r\n-b--", 16, NULL), 0);
    assert_int_equal(dt_buf_addz(&body, "\r\n--b--", NULL), 0);
    assert_int_equal(parse("multipart/form-data; boundary=b", dt_buf_str(&body), 65536), 0);
    assert_int_equal(out.n, n + strlen("[f|-];"));
}

static int setup(void **state)
{
    (void)state;
    dt_buf_init(&out, 8 * 1024 * 1024);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dt_buf_done(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_garbage_behind_a_boundary),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_endless_head),
        cmocka_unit_test(test_large_body_streams),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

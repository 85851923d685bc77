#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mcp/toml.h"

#define ENTRY "[m.d]\ncommand = \"/x\"\nargs = [\"a\"]\n\n[m.d.env]\nHOME = \"/h\"\n"

static const struct {
    const char *text, *result; /* result NULL: an error; then `why` is part of its text */
    const char *why;
} rows[] = {
    {"", ENTRY, NULL},
    {"model = \"o\"\n", "model = \"o\"\n\n" ENTRY, NULL},
    {"model = \"o\"", "model = \"o\"\n\n" ENTRY, NULL},
    {"model = \"o\"\r\n",
     "model = \"o\"\r\n\r\n[m.d]\r\ncommand = \"/x\"\r\nargs = [\"a\"]\r\n\r\n[m.d.env]\r\nHOME = "
     "\"/h\"\r\n",
     NULL},
    {ENTRY, ENTRY, NULL},
    {"# mine\n[m.other]\ncommand = \"y\"\n", "# mine\n[m.other]\ncommand = \"y\"\n\n" ENTRY, NULL},
    /* The table is there: its other keys and its comments stay. */
    {"[m.d]\ncommand = \"/old\" # why\nextra = 1\n\n[z]\na = 1\n",
     "[m.d]\ncommand = \"/x\" # why\nextra = 1\nargs = [\"a\"]\n\n[z]\na = 1\n\n[m.d.env]\nHOME = "
     "\"/h\"\n",
     NULL},
    {"[ m . \"d\" ]\ncommand = \"/x\"\nargs = [\"a\"]\n[m.d.env]\nHOME=\"/h\"\n",
     "[ m . \"d\" ]\ncommand = \"/x\"\nargs = [\"a\"]\n[m.d.env]\nHOME=\"/h\"\n", NULL},
    {"[m.d]\nargs = [\n  \"old\", # c ]\n]\n[m.d.env]\nA = \"b\"\n",
     "[m.d]\nargs = [\"a\"]\ncommand = \"/x\"\n[m.d.env]\nA = \"b\"\nHOME = \"/h\"\n", NULL},
    /* What only looks like a header. */
    {"s = \"\"\"\n[m.d]\ncommand = 1\n\"\"\"\n", "s = \"\"\"\n[m.d]\ncommand = 1\n\"\"\"\n\n" ENTRY,
     NULL},
    {"s = '''\n[m.d]\n'''\n", "s = '''\n[m.d]\n'''\n\n" ENTRY, NULL},
    {"# [m.d]\n", "# [m.d]\n\n" ENTRY, NULL},
    {"s = \"a # b\"\nd = 1979-05-27 # day\nl = [[1], {a = \"]\"}]\n",
     "s = \"a # b\"\nd = 1979-05-27 # day\nl = [[1], {a = \"]\"}]\n\n" ENTRY, NULL},
    {"[[list]]\na = 1\n[[list]]\na = 2\n", "[[list]]\na = 1\n[[list]]\na = 2\n\n" ENTRY, NULL},
    {"s = \"\"\"x\"\"\"\"\"\n", "s = \"\"\"x\"\"\"\"\"\n\n" ENTRY, NULL},
    /* The same thing in a form that cannot be edited. */
    {"m = {d = {command = \"x\"}}\n", NULL, "cannot be edited"},
    {"m.d.command = \"x\"\n", NULL, "cannot be edited"},
    {"[m]\nd = {command = \"x\"}\n", NULL, "cannot be edited"},
    {"[m]\nd.command = \"x\"\n", NULL, "cannot be edited"},
    {"[[m]]\n", NULL, "cannot be edited"},
    {"[[m.d]]\n", NULL, "cannot be edited"},
    {"[m.d]\nenv = {A = \"b\"}\n", NULL, "cannot be edited"},
    /* No TOML. */
    {"\n[m.d\n", NULL, "line 2"},
    {"a\n", NULL, "expected '='"},
    {"a = \n", NULL, "value is missing"},
    {"= 1\n", NULL, "expected a key"},
    {"a = \"x\n", NULL, "does not end"},
    {"a = [1\n", NULL, "not closed"},
    {"a = [1}\n", NULL, "do not match"},
    {"a = \"\"\"x\n", NULL, "does not end"},
    {"a = \"x\" y\n", NULL, "follows"},
    {"a = \"\xff\"\n", NULL, "UTF-8"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        bool changed = false;
        DT_AUTO_BUF struct dt_buf out, again;
        dt_buf_init(&out, 10000);
        dt_buf_init(&again, 10000);
        int ret = dt_toml_merge(dt_str_z(rows[i].text), DT_STR(ENTRY), &out, &changed, &err);
        if (rows[i].result == NULL) {
            assert_int_equal(ret, -1);
            assert_non_null(strstr(err.msg, rows[i].why));
            assert_int_equal(out.n, 0);
            continue;
        }
        assert_int_equal(ret, 0);
        assert_string_equal(out.p, rows[i].result);
        assert_int_equal(changed, strcmp(rows[i].text, rows[i].result) != 0);
        assert_int_equal(dt_toml_merge(dt_buf_str(&out), DT_STR(ENTRY), &again, &changed, &err), 0);
        assert_false(changed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("toml", tests, NULL, NULL);
}

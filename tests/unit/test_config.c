#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "sample/config_sample.h"

static int load(struct dt_config_sample *c, struct dt_err *err, int *rest, const char *const *args)
{
    char *argv[16] = {(char *)"sample"};
    int argc = 1;
    for (; args[argc - 1] != NULL; argc++)
        argv[argc] = (char *)args[argc - 1];
    return dt_config_sample_load(argc, argv, c, rest, err);
}

static void test_order(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_config_sample c;
    int rest;
    char path[] = "/tmp/test_config.XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "# a comment\nSAMPLE_PORT: 1\nname: file\nSAMPLE_QUIET: true\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);

    assert_int_equal(load(&c, &err, &rest, (const char *[]){NULL}), 0);
    assert_int_equal(c.sample_port, 3000);
    assert_null(c.sample_name);
    dt_config_sample_done(&c);

    setenv("SAMPLE_PORT", "2", 1);
    assert_int_equal(
        load(&c, &err, &rest, (const char *[]){"--config", path, "run", "--name", NULL}), 0);
    assert_int_equal(rest, 3);
    assert_int_equal(c.sample_port, 2);
    assert_string_equal(c.sample_name, "file");
    assert_true(c.sample_quiet);
    dt_config_sample_done(&c);

    assert_int_equal(load(&c, &err, &rest,
                          (const char *[]){"--port=4", "--quiet=false", "--config", path, NULL}),
                     0);
    assert_int_equal(c.sample_port, 4);
    assert_false(c.sample_quiet);
    dt_config_sample_done(&c);
    unsetenv("SAMPLE_PORT");
    unlink(path);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *arg, *want;
    } rows[] = {
        {"--port=70000", "SAMPLE_PORT (--port=70000): 70000 is not between 0 and 65535"},
        {"--port=", "SAMPLE_PORT (--port=): '' is not a whole number"},
        {"--port", "--port needs a value"},
        {"--quiet=maybe", "SAMPLE_QUIET (--quiet=maybe): 'maybe' is neither true nor false"},
        {"--nothing", "unknown option --nothing; sample --help lists them"},
        {"--config=/nonexistent", "open /nonexistent: No such file or directory"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_err err;
        struct dt_config_sample c;
        int rest;
        assert_int_equal(load(&c, &err, &rest, (const char *[]){rows[i].arg, NULL}), -1);
        assert_string_equal(err.msg, rows[i].want);
    }
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const texts[] = {"- a\n",
                                        "SAMPLE_NAME: [1]\n",
                                        "SAMPLE_NAME: {a: b}\n",
                                        "SAMPLE_NAME: &x y\nSAMPLE_KEY: *x\n",
                                        "just text\n",
                                        "SAMPLE_OTHER: 1\n",
                                        "SAMPLE_PORT: many\n",
                                        "a: \"b\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char path[] = "/tmp/test_config.XXXXXX";
        int fd = mkstemp(path);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
        close(fd);
        struct dt_err err;
        struct dt_config_sample c;
        int rest;
        assert_int_equal(load(&c, &err, &rest, (const char *[]){"--config", path, NULL}), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        unlink(path);
    }
}

static void test_help(void **state)
{
    (void)state;
    char *help = dt_config_sample_help();
    assert_non_null(strstr(help, "--port"));
    assert_non_null(strstr(help, "SAMPLE_PORT"));
    assert_non_null(strstr(help, "[3000]"));
    assert_null(strstr(help, "hidden"));
    free(help);
    struct dt_err err;
    struct dt_config_sample c;
    int rest;
    assert_int_equal(load(&c, &err, &rest, (const char *[]){"--help", NULL}), 0);
    assert_true(c.common.help);
    dt_config_sample_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

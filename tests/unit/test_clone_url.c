#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/askpass.h"
#include "toolbox/clone_url.h"

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *clean, *username, *password, *site;
    } rows[] = {
        {"https://h.example/a.git", "https://h.example/a.git", NULL, NULL, "https://h.example"},
        {"http://h:8080/a", "http://h:8080/a", NULL, NULL, "http://h:8080"},
        {"https://u@h/a", "https://h/a", "u", NULL, "https://h"},
        {"https://u:p%40%3a@h/a@b", "https://h/a@b", "u", "p@:", "https://h"},
        {"https://u:p@x@h/a", "https://h/a", "u", "p@x", "https://h"},
        {"github.com/o/r", "https://github.com/o/r", NULL, NULL, "https://github.com"},
        {"ssh://git@h/a", "ssh://git@h/a", NULL, NULL, NULL},
        {"git@h:o/r.git", "git@h:o/r.git", NULL, NULL, NULL},
        {"file:///srv/a", "file:///srv/a", NULL, NULL, NULL},
        {"/srv/a", "/srv/a", NULL, NULL, NULL},
        {"git://h/a", "git://h/a", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_clone_url u;
        assert_int_equal(dt_clone_url_parse(rows[i].url, &u, NULL), 0);
        assert_string_equal(u.clean, rows[i].clean);
        assert_string_equal(u.username != NULL ? u.username : "-",
                            rows[i].username != NULL ? rows[i].username : "-");
        assert_string_equal(u.password != NULL ? u.password : "-",
                            rows[i].password != NULL ? rows[i].password : "-");
        assert_string_equal(u.site != NULL ? u.site : "-",
                            rows[i].site != NULL ? rows[i].site : "-");
        dt_clone_url_done(&u);
    }
}

static void test_bad_urls(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",
        "-upload-pack=x",
        "ext::sh -c id",
        "ext::sh",
        "ftp://h/a",
        "https:///a",
        "https://u@",
        "a b",
        "https://h/\na",
        "name",
        "fd::17/x",
        "--",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct dt_clone_url u;
        struct dt_err err;
        assert_int_equal(dt_clone_url_parse(urls[i], &u, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
}

static void test_redact(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1000);
    assert_int_equal(dt_buf_addz(&b, "a pass b passpass", NULL), 0);
    assert_int_equal(dt_clone_url_redact(&b, "pass", NULL), 0);
    assert_string_equal(b.p, "a *** b ******");
    assert_int_equal(dt_clone_url_redact(&b, "", NULL), 0);
    assert_int_equal(dt_clone_url_redact(&b, NULL, NULL), 0);
    assert_string_equal(b.p, "a *** b ******");
}

static void test_password_is_for_one_site_only(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        int want; /* 0: no answer, 1: the name, 2: the password */
    } rows[] = {
        {"Username for 'https://h:8443': ", 1},
        {"Password for 'https://u@h:8443': ", 2},
        {"Password for 'https://u%40x@h:8443': ", 2},
        {"Username for 'https://h': ", 0},
        {"Username for 'http://h:8443': ", 0},
        {"Username for 'https://evil': ", 0},
        {"Password for 'https://h:8443@evil': ", 0},
        {"Password for 'https://h:8443.evil': ", 0},
        {"Username for 'xhttps://h:8443': ", 0},
        {"Are you sure you want to continue connecting (yes/no)? ", 0},
        {"Username for '", 0},
        {"Username for 'https://", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool password = false;
        bool ok = dt_askpass_match(rows[i].prompt, "https://h:8443", &password);
        assert_int_equal(ok ? 1 + password : 0, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_redact),
        cmocka_unit_test(test_password_is_for_one_site_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

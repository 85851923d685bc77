#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "runnerd/vault.h"

static const struct dt_vault vault = {.key = {7}};
#define CONTEXT DT_STR("an id")

static void seal(struct dt_str plain, struct dt_buf *out)
{
    struct dt_err err;
    dt_buf_init(out, 1 << 20);
    assert_int_equal(dt_vault_seal(&vault, CONTEXT, plain, out, &err), 0);
    assert_int_equal(out->n, plain.n + DT_VAULT_OVERHEAD);
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const char text[] = "pa\0ss\xff";
    for (size_t n = 0; n < sizeof(text); n++) {
        DT_AUTO_BUF struct dt_buf sealed, again, plain;
        struct dt_err err;
        seal(dt_str(n > 0 ? text : NULL, n), &sealed);
        seal(dt_str(text, n), &again);
        assert_memory_not_equal(sealed.p, again.p, sealed.n); /* another nonce */
        dt_buf_init(&plain, 64);
        assert_int_equal(dt_vault_open(&vault, CONTEXT, dt_buf_str(&sealed), &plain, &err), 0);
        assert_int_equal(plain.n, n);
        assert_memory_equal(plain.p, text, n);
    }
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    DT_AUTO_BUF struct dt_buf sealed, plain;
    struct dt_err err;
    struct dt_vault other = {.key = {8}};
    seal(DT_STR("secret"), &sealed);
    dt_buf_init(&plain, 64);
    assert_int_equal(dt_vault_open(&other, CONTEXT, dt_buf_str(&sealed), &plain, &err), -1);
    assert_int_equal(dt_vault_open(&vault, DT_STR("an ie"), dt_buf_str(&sealed), &plain, &err), -1);
    for (size_t i = 0; i < sealed.n; i++) {
        sealed.p[i] ^= 1;
        assert_int_equal(dt_vault_open(&vault, CONTEXT, dt_buf_str(&sealed), &plain, &err), -1);
        sealed.p[i] ^= 1;
        assert_int_equal(dt_vault_open(&vault, CONTEXT, dt_str(sealed.p, i), &plain, &err), -1);
    }
    assert_int_equal(plain.n, 0);
    assert_int_equal(err.code, DT_E_SYSTEM);
    assert_int_equal(dt_vault_open(&vault, CONTEXT, dt_buf_str(&sealed), &plain, &err), 0);
}

static void test_the_key_stays(void **state)
{
    (void)state;
    char folder[] = "/tmp/dt-vault-XXXXXX", path[128];
    struct dt_vault a, b;
    struct dt_err err;
    struct stat st;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/state", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(dt_vault_load(&a, folder, &err), 0);
    assert_int_equal(dt_vault_load(&b, folder, &err), 0);
    assert_memory_equal(a.key, b.key, sizeof(a.key));
    (void)snprintf(path, sizeof(path), "%s/state/vault.key", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(truncate(path, 5), 0);
    assert_int_equal(dt_vault_load(&b, folder, &err), -1);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/state", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_the_key_stays),
    };
    return cmocka_run_group_tests_name("vault", tests, NULL, NULL);
}

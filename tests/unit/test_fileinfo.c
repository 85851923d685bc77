#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/fileinfo.h"

static void test_modes(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        const char *want;
    } rows[] = {
        {S_IFREG | 0644, "-rw-r--r--"},   {S_IFDIR | 0755, "drwxr-xr-x"},
        {S_IFDIR | 01777, "dtrwxrwxrwx"}, {S_IFREG | 04755, "urwxr-xr-x"},
        {S_IFREG | 02755, "grwxr-xr-x"},  {S_IFREG | 06755, "ugrwxr-xr-x"},
        {S_IFCHR | 0666, "Dcrw-rw-rw-"},  {S_IFBLK | 0660, "Drw-rw----"},
        {S_IFIFO | 0600, "prw-------"},   {S_IFSOCK | 0755, "Srwxr-xr-x"},
        {S_IFLNK | 0777, "Lrwxrwxrwx"},   {S_IFREG, "----------"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char got[DT_FILEINFO_MODE_SIZE];
        dt_fileinfo_mode(rows[i].mode, got);
        assert_string_equal(got, rows[i].want);
    }
}

static void test_times(void **state)
{
    (void)state;
    static const struct {
        struct timespec t;
        const char *mod_time, *modified_at;
    } rows[] = {
        {{1761914096, 123456789},
         "2025-10-31 12:34:56.123456789 +0000 UTC",
         "2025-10-31T12:34:56.123456789Z"},
        {{1761914096, 120000000}, "2025-10-31 12:34:56.12 +0000 UTC", "2025-10-31T12:34:56.12Z"},
        {{1761914096, 1},
         "2025-10-31 12:34:56.000000001 +0000 UTC",
         "2025-10-31T12:34:56.000000001Z"},
        {{1761914096, 0}, "2025-10-31 12:34:56 +0000 UTC", "2025-10-31T12:34:56Z"},
        {{0, 0}, "1970-01-01 00:00:00 +0000 UTC", "1970-01-01T00:00:00Z"},
        {{-1, 0}, "1969-12-31 23:59:59 +0000 UTC", "1969-12-31T23:59:59Z"},
        {{INT64_MAX, 0}, "9999-12-31 00:00:00 +0000 UTC", "9999-12-31T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char got[DT_FILEINFO_TIME_SIZE];
        dt_fileinfo_mod_time(rows[i].t, got);
        assert_string_equal(got, rows[i].mod_time);
        dt_fileinfo_modified_at(rows[i].t, got);
        assert_string_equal(got, rows[i].modified_at);
    }
}

static void test_json(void **state)
{
    (void)state;
    const struct stat st = {.st_mode = S_IFREG | 0600, .st_size = 5, .st_uid = 7, .st_gid = 8};
    DT_AUTO_JSON json_t *j =
        dt_fileinfo_json(&(struct dt_fileinfo){.name = dt_str("a\xff", 2), .st = &st});
    assert_non_null(j);
    assert_int_equal(json_object_size(j), 9);
    assert_string_equal(dt_json_text(j, "name", ""), "a\xef\xbf\xbd");
    assert_string_equal(dt_json_text(j, "permissions", ""), "0600");
    assert_string_equal(dt_json_text(j, "owner", ""), "7");
    assert_string_equal(dt_json_text(j, "group", ""), "8");
    assert_int_equal(dt_json_int(j, "size", 0), 5);
    assert_false(dt_json_bool(j, "isDir", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

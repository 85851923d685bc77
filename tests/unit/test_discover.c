#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fd.h"
#include "mcp/discover.h"

static const struct {
    const char *url, *host, *base;
    uint16_t port;
    bool tls;
} good[] = {
    {"http://localhost:3000/api", "localhost", "/api", 3000, false},
    {"http://localhost:3000/api/", "localhost", "/api", 3000, false},
    {"https://app.example.com/api", "app.example.com", "/api", 443, true},
    {"http://10.0.0.1", "10.0.0.1", "", 80, false},
    {"http://[::1]:8080/x/y", "::1", "/x/y", 8080, false},
    {"https://[fe80::1]", "fe80::1", "", 443, true},
};

static void test_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct dt_server s = {0};
        struct dt_err err;
        assert_int_equal(dt_server_parse_url(good[i].url, &s, &err), 0);
        assert_string_equal(s.host, good[i].host);
        assert_string_equal(s.base, good[i].base);
        assert_int_equal(s.port, good[i].port);
        assert_int_equal(s.tls, good[i].tls);
        dt_server_done(&s);
    }
}

static void test_bad_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "localhost:3000",
                                      "ftp://x",
                                      "http://",
                                      "http://:80/api",
                                      "http://x:0/api",
                                      "http://x:65536/api",
                                      "http://x:1a/api",
                                      "http://user:pw@x/api",
                                      "http://x/api?y=1",
                                      "http://x /api",
                                      "http://x/a\r\nb"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_server s = {0};
        struct dt_err err;
        assert_int_equal(dt_server_parse_url(bad[i], &s, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        dt_server_done(&s);
    }
}

static char folder[] = "/tmp/dt-discover-XXXXXX";

/* An environment in which nothing is configured. */
static int clear(void **state)
{
    (void)state;
    unsetenv("DAYTONA_API_URL");
    unsetenv("DAYTONA_API_KEY");
    unsetenv("DAYTONA_SOCKET");
    setenv("DAYTONA_DATA_DIR", folder, 1);
    setenv("DAYTONA_CONFIG_DIR", folder, 1);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dt_fd_remove_tree(tmp, folder + strlen("/tmp/"), &err);
}

static void write_config(const char *text)
{
    char path[256];
    struct dt_err err;
    (void)snprintf(path, sizeof(path), "%s/config.json", folder);
    assert_int_equal(dt_fd_replace(AT_FDCWD, path, text, strlen(text), 0600, &err), 0);
}

static void test_environment(void **state)
{
    (void)state;
    struct dt_server s;
    struct dt_err err;
    bool may_start;
    setenv("DAYTONA_API_URL", "http://one:1/api", 1);
    assert_int_equal(dt_discover_now(&s, &may_start, &err), -1); /* half a configuration */
    assert_int_equal(err.code, DT_E_UNAUTHORIZED);
    setenv("DAYTONA_API_KEY", "secret", 1);
    write_config(
        "{\"activeProfile\":\"p\",\"profiles\":[{\"id\":\"p\",\"api\":{\"url\":\"http://two/api\","
        "\"key\":\"k\"}}]}");
    assert_int_equal(dt_discover_now(&s, &may_start, &err), 0);
    assert_string_equal(s.host, "one");
    assert_string_equal(s.key, "secret");
    assert_null(s.socket);
    dt_server_done(&s);
}

static void test_profile(void **state)
{
    (void)state;
    struct dt_server s;
    struct dt_err err;
    bool may_start;
    write_config(
        "{\"activeProfile\":\"b\",\"profiles\":[{\"id\":\"a\",\"api\":{\"url\":\"http://x/api\","
        "\"key\":\"k\"}},{\"id\":\"b\",\"api\":{\"url\":\"https://two/api\",\"key\":null,"
        "\"token\":{\"accessToken\":\"t\"}},\"activeOrganizationId\":\"o\"}]}");
    assert_int_equal(dt_discover_now(&s, &may_start, &err), 0);
    assert_string_equal(s.host, "two");
    assert_string_equal(s.key, "t");
    assert_string_equal(s.organization, "o");
    assert_true(s.tls);
    dt_server_done(&s);
    write_config("{not json");
    assert_int_equal(dt_discover_now(&s, &may_start, &err), -1);
    assert_non_null(strstr(err.msg, "config.json"));
    assert_false(may_start);
}

static void test_sockets(void **state)
{
    (void)state;
    struct dt_server s;
    struct dt_err err;
    bool may_start;
    char path[256];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    write_config("");
    (void)snprintf(path, sizeof(path), "%s/run", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(dt_discover_now(&s, &may_start, &err), -1);
    assert_int_equal(may_start, geteuid() == 0);
    assert_null(strchr(err.msg, '\n'));

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/run/runnerd.sock", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(dt_discover_now(&s, &may_start, &err), -1); /* bound, but nobody listens */
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(dt_discover_now(&s, &may_start, &err), 0);
    assert_string_equal(s.socket, addr.sun_path);
    assert_string_equal(s.base, "/api");
    assert_null(s.key);
    dt_server_done(&s);

    setenv("DAYTONA_SOCKET", "/nonexistent/socket", 1); /* named: nothing else is tried */
    assert_int_equal(dt_discover_now(&s, &may_start, &err), -1);
    assert_false(may_start);
    assert_non_null(strstr(err.msg, "/nonexistent/socket"));
    setenv("DAYTONA_SOCKET", addr.sun_path, 1);
    assert_int_equal(dt_discover_now(&s, &may_start, &err), 0);
    dt_server_done(&s);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test_setup(test_environment, clear),
        cmocka_unit_test_setup(test_profile, clear),
        cmocka_unit_test_setup(test_sockets, clear),
    };
    return cmocka_run_group_tests_name("discover", tests, make_folder, remove_folder);
}

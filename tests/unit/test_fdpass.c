#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"

enum { MANY = 3 };

static unsigned count_open(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

static int setup(void **state)
{
    static int pair[2];
    *state = pair;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
    const int *pair = *state;
    return close(pair[0]) + close(pair[1]);
}

static void test_travel(void **state)
{
    const int *pair = *state;
    int sent[MANY] = {pair[0], pair[1], pair[0]}, got[MANY];
    unsigned n = MANY;
    char text[8];
    assert_int_equal(dt_fdpass_send(pair[0], "abc", 3, sent, MANY, 0), 3);
    assert_int_equal(dt_fdpass_recv(pair[1], text, sizeof(text), got, &n, 0), 3);
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(n, MANY);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
        (void)close(got[i]);
    }
}

static void test_none(void **state)
{
    const int *pair = *state;
    int got = -1;
    unsigned n = 1;
    char text[8];
    assert_int_equal(dt_fdpass_recv(pair[1], text, sizeof(text), &got, &n, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(dt_fdpass_send(pair[0], "abc", 3, NULL, 0, 0), 3);
    n = 1;
    assert_int_equal(dt_fdpass_recv(pair[1], text, sizeof(text), &got, &n, 0), 3);
    assert_int_equal(n, 0);
    assert_int_equal(got, -1);
}

/* What does not fit is refused as a whole, and nothing of it stays open. */
static void test_too_much(void **state)
{
    const int *pair = *state;
    int sent[DT_FDPASS_MAX];
    for (size_t i = 0; i < DT_FDPASS_MAX; i++)
        sent[i] = pair[0];
    static const struct {
        size_t bytes;
        unsigned fds, room;
    } rows[] = {{3, 2, 1}, {3, 1, 0}, {3, DT_FDPASS_MAX, 1}, {9, 1, 1}, {9, 0, 1}, {9, 2, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int got[1] = {-1};
        unsigned n = rows[i].room, before = count_open();
        char text[8];
        assert_int_equal(dt_fdpass_send(pair[0], "abcdefghi", rows[i].bytes, sent, rows[i].fds, 0),
                         rows[i].bytes);
        assert_int_equal(dt_fdpass_recv(pair[1], text, sizeof(text), got, &n, 0), -1);
        assert_int_equal(errno, EMSGSIZE);
        assert_int_equal(n, 0);
        assert_int_equal(got[0], -1);
        assert_int_equal(count_open(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_travel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
    };
    return cmocka_run_group_tests_name("fdpass", tests, NULL, NULL);
}

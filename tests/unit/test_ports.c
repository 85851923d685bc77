#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "toolbox/ports.h"

static const char table[] = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
                            "retrnsmt   uid  timeout inode\n"
                            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 "
                            "00000000     0        0 1 1\n"
                            "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 "
                            "00000000     0        0 1 1\n"
                            "   2: 0100000A:0051 00000000:0000 0A 00000000:00000000 00:00000000 "
                            "00000000     0        0 1 1\n"
                            "   3: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 "
                            "00000000     0        0 1 1\n"
                            "garbage\n\n   4: 0100007F";
static const char table6[] =
    "  sl  local_address                         remote_address                        st "
    "tx_queue\n"
    "   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0:0\n"
    "   1: 00000000000000000000000001000000:0BB9 00000000000000000000000000000000:0000 0A 0:0\n"
    "   2: 0000000000000000FFFF00000100007F:0BBA 00000000000000000000000000000000:0000 0A 0:0\n"
    "   3: 000080FE00000000FF005450DC7C00FE:0BBB 00000000000000000000000000000000:0000 0A 0:0\n";

static void test_tables(void **state)
{
    (void)state;
    static struct dt_ports p;
    dt_ports_parse(&p, dt_str_z(table));
    dt_ports_parse(&p, dt_str_z(table6));
    static const struct {
        unsigned port;
        bool listens;
    } rows[] = {
        {8080, true}, {80, true},   {81, true},   {8081, false}, {3000, true},
        {3001, true}, {3002, true}, {3003, true}, {0, false},    {65535, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(p.listens[rows[i].port], rows[i].listens);
}

/* The kernel's own table, with a listener of ours. */
static void test_own_listener(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    DT_AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    DT_AUTO_FREE struct dt_ports *before = dt_ports_read();
    assert_non_null(before);
    assert_false(before->listens[ntohs(a.sin_port)]);
    assert_int_equal(listen(fd, 1), 0);
    DT_AUTO_FREE struct dt_ports *after = dt_ports_read();
    assert_non_null(after);
    assert_true(after->listens[ntohs(a.sin_port)]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_own_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

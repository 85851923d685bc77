#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/ip.h"

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: refused */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {" 192.0.2.1 ", "192.0.2.1"},
        {"192.0.2.1:80", "192.0.2.1"},
        {"::1", "::1"},
        {"2001:DB8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"", NULL},
        {"unix", NULL},
        {"unknown", NULL},
        {"192.0.2", NULL},
        {"192.0.2.256", NULL},
        {"192.0.2.1/32", NULL},
        {"2001:db8::g", NULL},
        {"[2001:db8::1", NULL},
        {"1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_ip ip;
        char text[DT_IP_TEXT_SIZE];
        int got = dt_ip_parse(dt_str_z(rows[i].text), &ip);
        if (got != (rows[i].want != NULL ? 0 : -1))
            fail_msg("'%s': %d", rows[i].text, got);
        if (got == 0)
            assert_string_equal(dt_ip_text(&ip, text), rows[i].want);
    }
    struct dt_ip ip;
    assert_int_equal(dt_ip_parse(dt_str("1.2.3.4\0x", 9), &ip), -1);
}

static void test_networks(void **state)
{
    (void)state;
    static const struct {
        const char *nets, *ip;
        bool within;
    } rows[] = {
        {"127.0.0.1,::1", "127.0.0.1", true},
        {"127.0.0.1,::1", "::1", true},
        {"127.0.0.1,::1", "127.0.0.2", false},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"192.168.1.128/25", "192.168.1.127", false},
        {"192.168.1.128/25", "192.168.1.200", true},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::/0", "203.0.113.9", true},
        {"", "127.0.0.1", false},
    };
    struct dt_ip_net nets[DT_IP_NETS_MAX];
    struct dt_err err;
    size_t n;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct dt_ip ip;
        assert_int_equal(dt_ip_nets_parse(dt_str_z(rows[i].nets), nets, &n, &err), 0);
        assert_int_equal(dt_ip_parse(dt_str_z(rows[i].ip), &ip), 0);
        if (dt_ip_within(&ip, nets, n) != rows[i].within)
            fail_msg("%s in %s", rows[i].ip, rows[i].nets);
    }
    static const char *const bad[] = {"localhost", "10.0.0.0/33", "::/129",
                                      "10.0.0.0/", "10.0.0.0/-1", "1.1.1.1,,x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(dt_ip_nets_parse(dt_str_z(bad[i]), nets, &n, &err), -1);
    const char *many = "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
                       "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1";
    assert_int_equal(dt_ip_nets_parse(dt_str_z(many), nets, &n, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_networks),
    };
    return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "runnerd/identity/peers.h"

/* In a mount namespace of our own, the users and groups of a made-up machine. */
static char folder[] = "/tmp/test_peers.XXXXXX";
static const char *const files[] = {"nsswitch.conf", "passwd", "group"};

static void put(const char *file, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, file);
    DT_AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static int own_machine(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    put("nsswitch.conf", "passwd: files\ngroup: files\n");
    put("passwd", "root:x:0:0::/:/bin/sh\nada:x:1001:1001::/:/bin/sh\n"
                  "bob:x:1002:1002::/:/bin/sh\neve:x:1003:1003::/:/bin/sh\n");
    put("group", "");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char from[64], to[64];
        (void)snprintf(from, sizeof(from), "%s/%s", folder, files[i]);
        (void)snprintf(to, sizeof(to), "/etc/%s", files[i]);
        if (mount(from, to, NULL, MS_BIND, NULL) < 0)
            return -1;
    }
    return 0;
}

static int remove_machine(void **state)
{
    (void)state;
    struct dt_err err;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char to[64];
        (void)snprintf(to, sizeof(to), "/etc/%s", files[i]);
        if (umount2(to, MNT_DETACH) < 0)
            return -1;
    }
    DT_AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dt_fd_remove_tree(tmp, folder + strlen("/tmp/"), &err);
}

static void check_in_group(const struct dt_peers *p, uid_t uid, gid_t gid, bool may)
{
    struct dt_err err;
    int rc = dt_peers_check(p, uid, gid, &err);
    assert_int_equal(rc, may ? 0 : -1);
    if (may)
        return;
    assert_int_equal(err.code, DT_E_FORBIDDEN);
    assert_non_null(strstr(err.msg, "usermod -aG daytona"));
    assert_null(strchr(err.msg, '\n'));
}

/* Each has a group of its own, of the same number. */
static void check(const struct dt_peers *p, uid_t uid, bool may)
{
    check_in_group(p, uid, uid, may);
}

static void test_members(void **state)
{
    (void)state;
    struct dt_peers p = {.busy = false};
    put("group", "root:x:0:\ndaytona:x:900:ada,nobody-here,bob\nother:x:901:eve\n");
    dt_peers_read(&p);
    check(&p, 0, true);
    check(&p, 1001, true);
    check(&p, 1002, true);
    check(&p, 1003, false);
    check_in_group(&p, 900, 100, false); /* a group's number is no user's */
    check(&p, UINT32_MAX, false);
}

static void test_own_group(void **state)
{
    (void)state;
    struct dt_peers p = {.busy = false};
    put("group", "root:x:0:\ndaytona:x:1003:\n");
    dt_peers_read(&p);
    check(&p, 1003, true);
    check(&p, 1001, false);
    check_in_group(&p, 1001, 1003, true);
    check_in_group(&p, 1003, 1001, false);
    put("group", "root:x:0:\n");
    dt_peers_read(&p);
    check(&p, 1003, false); /* there is no such group any more */
}

static void test_many_members(void **state)
{
    (void)state;
    static char text[300000] = "root:x:0:\ndaytona:x:900:";
    struct dt_peers p = {.busy = false};
    char *end = text + strlen(text);
    for (int i = 0; i < 20000; i++)
        end += snprintf(end, (size_t)(text + sizeof(text) - end), "member%d,", i);
    (void)snprintf(end, (size_t)(text + sizeof(text) - end), "bob\n");
    put("group", text);
    dt_peers_read(&p);
    check(&p, 1002, true);
    check(&p, 1001, false);
}

static void test_who_leaves(void **state)
{
    (void)state;
    struct dt_peers p = {.busy = false};
    put("group", "root:x:0:\ndaytona:x:900:ada,bob\n");
    dt_peers_read(&p);
    put("group", "root:x:0:\ndaytona:x:900:bob\n");
    check(&p, 1001, true); /* until it is read again */
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    dt_peers_refresh(&p, &loop);
    dt_peers_refresh(&p, &loop);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    check(&p, 1001, false);
    check(&p, 1002, true);
}

static void test_no_group(void **state)
{
    (void)state;
    struct dt_peers p = {.busy = false};
    put("group", "root:x:0:\nusers:x:100:ada\n");
    dt_peers_read(&p);
    check(&p, 0, true);
    check(&p, 1001, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),      cmocka_unit_test(test_own_group),
        cmocka_unit_test(test_many_members), cmocka_unit_test(test_who_leaves),
        cmocka_unit_test(test_no_group),
    };
    return cmocka_run_group_tests_name("peers", tests, own_machine, remove_machine);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runnerd/launcher/record.h"

static char folder[] = "/tmp/dt-record-XXXXXX";
static int dir;

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    struct dt_err err;
    (void)close(dir);
    DT_AUTO_FD int top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dt_fd_remove_tree(top, folder + sizeof("/tmp"), &err);
}

static struct dt_record record_of(pid_t pid)
{
    struct dt_err err;
    struct dt_record r = {.slot = 7, .creating = 1, .ncidrs = 1};
    memcpy(r.cgroup, "s7-abc", 7);
    assert_int_equal(dt_record_init(&r, pid, &err), 0);
    return r;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct dt_err err = {.code = DT_OK};
    struct dt_record r = record_of(getpid());
    struct dt_record got;
    assert_int_equal(dt_record_read(dir, &got, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_record_write(dir, &r, &err), 0);
    assert_int_equal(dt_record_read(dir, &got, &err), 0);
    assert_memory_equal(&got, &r, sizeof(r));
    dt_record_remove(dir);
    assert_int_equal(dt_record_read(dir, &got, &err), -1);
}

static void test_what_is_not_of_this_boot_is_not_found(void **state)
{
    (void)state;
    struct dt_err err = {.code = DT_OK};
    for (int i = 0; i < 7; i++) {
        struct dt_record r = record_of(getpid());
        struct dt_record got;
        r.boot[0] = (char)(i == 0 ? r.boot[0] ^ 1 : r.boot[0]);
        r.magic += i == 1;
        r.size += i == 2;
        r.ncidrs = i == 3 ? DT_LW_CIDRS_MAX + 1 : 0;
        r.net = i == 4 ? 3 : 0;
        r.pid = i == 5 ? 1 : r.pid;
        r.nvolumes = i == 6 ? DT_LW_VOLUMES_MAX + 1 : 0;
        assert_int_equal(dt_record_write(dir, &r, &err), 0);
        assert_int_equal(dt_record_read(dir, &got, &err), -1);
        assert_int_equal(err.code, DT_E_NOT_FOUND);
    }
    struct dt_record r = record_of(getpid());
    assert_int_equal(dt_record_write(dir, &r, &err), 0);
    DT_AUTO_FD int fd = openat(dir, "run", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, sizeof(r) - 1), 0);
    assert_int_equal(dt_record_read(dir, &r, &err), -1);
}

static void test_a_process_is_its_number_and_its_start(void **state)
{
    (void)state;
    struct dt_err err = {.code = DT_OK};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    struct dt_record r = record_of(pid);
    int fd = dt_record_pidfd(&r, &err);
    assert_true(fd >= 0);
    (void)close(fd);
    struct dt_record other = r;
    other.started++;
    assert_int_equal(dt_record_pidfd(&other, &err), -1);
    assert_int_equal(err.code, DT_E_GONE);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(dt_record_pidfd(&r, &err), -1);
    assert_int_equal(err.code, DT_E_GONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_is_not_of_this_boot_is_not_found),
        cmocka_unit_test(test_a_process_is_its_number_and_its_start),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "os/memfd.h"

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static void assert_sealed(int fd)
{
    char path[64], c = 'x';
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    assert_int_equal(pwrite(fd, &c, 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 1 << 20), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
    assert_ptr_equal(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    int again = open(path, O_RDWR | O_CLOEXEC);
    if (again >= 0) {
        assert_int_equal(pwrite(again, &c, 1, 0), -1);
        (void)close(again);
    }
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static int run(int fd)
{
    char *const argv[] = {(char[]){"x"}, (char[]){"-c"}, (char[]){"exit 42"}, NULL},
                *env[] = {NULL};
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
        _exit(errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_a_program(void **state)
{
    (void)state;
    struct dt_err err;
    struct stat st, original;
    int fd = -1;
    if (dt_memfd_from_file("sh", AT_FDCWD, "/bin/sh", &fd, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(stat("/bin/sh", &original), 0);
    assert_int_equal(st.st_size, original.st_size);
    assert_int_equal(st.st_mode & 07777, 0555);
    assert_sealed(fd);
    assert_int_equal(run(fd), 42);
    if ((fcntl(fd, F_GET_SEALS) & F_SEAL_EXEC) != 0) /* Linux 6.3 */
        assert_int_equal(fchmod(fd, 0666), -1);
    (void)close(fd);
}

static void test_bytes(void **state)
{
    (void)state;
    struct dt_err err;
    struct stat st;
    int fd = -1;
    char got[8] = "";
    if (dt_memfd_from_bytes("data", "a\0b", 3, &fd, &err) < 0)
        fail_msg("%s", err.msg);
    assert_sealed(fd);
    assert_int_equal(read(fd, got, sizeof(got)), 3);
    assert_memory_equal(got, "a\0b", 3);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0444);
    assert_int_equal(run(fd), EACCES);
    (void)close(fd);

    assert_int_equal(dt_memfd_from_bytes("empty", "", 0, &fd, &err), 0);
    assert_int_equal(read(fd, got, sizeof(got)), 0);
    (void)close(fd);
}

static void test_what_is_no_program(void **state)
{
    (void)state;
    struct dt_err err;
    int fd = -1;
    static const char *const rows[] = {"/nowhere/at/all", "/", "/dev/zero", "/dev/null"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(dt_memfd_from_file("x", AT_FDCWD, rows[i], &fd, &err), -1);
        assert_non_null(strstr(err.msg, rows[i]));
        assert_int_equal(fd, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_program),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_what_is_no_program),
    };
    return cmocka_run_group_tests_name("memfd", tests, NULL, NULL);
}

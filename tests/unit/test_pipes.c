#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "toolbox/pipes.h"

enum { MAX = 1024 };

static uv_loop_t loop;
static char fifo[64];

static int begin(void **state)
{
    (void)state;
    (void)snprintf(fifo, sizeof(fifo), "/tmp/dt-pipes-%d", (int)getpid());
    return uv_loop_init(&loop) == 0 && mkfifo(fifo, 0600) == 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return unlink(fifo) == 0 && uv_loop_close(&loop) == 0 ? 0 : -1;
}

static struct dt_outpipe *open_out(void)
{
    struct dt_err err;
    struct dt_outpipe *out;
    int fd = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(dt_outpipe_new(&loop, fd, MAX, &out, &err), 0);
    return out;
}

/* Takes the numbers that are free now, so that a descriptor closed twice is somebody else's. */
static void take_numbers(int fds[8])
{
    for (int i = 0; i < 8; i++)
        assert_true((fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
}

static void give_numbers(const int fds[8])
{
    for (int i = 0; i < 8; i++)
        assert_int_equal(close(fds[i]), 0);
}

static void test_an_end_closes_only_its_own(void **state)
{
    (void)state;
    struct dt_err err;
    char text[8];
    int fds[8];
    struct dt_outpipe *out = open_out();
    assert_int_equal(dt_outpipe_write(out, "last", 4, &err), 0);
    assert_int_equal(dt_outpipe_end(out, &err), 0);
    assert_int_equal(dt_outpipe_write(out, "more", 4, &err), -1);
    assert_int_equal(err.code, DT_E_BAD_REQUEST);
    int reader = open(fifo, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(reader, text, sizeof(text)), 4);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* until it has seen the reader */
    assert_int_equal(read(reader, text, sizeof(text)), 0);
    take_numbers(fds);
    (void)dt_outpipe_close(out);
    give_numbers(fds);
    (void)close(reader);
}

static void test_an_end_that_nobody_reads(void **state)
{
    (void)state;
    struct dt_err err;
    int fds[8];
    struct dt_outpipe *out = open_out();
    assert_int_equal(dt_outpipe_end(out, &err), 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    take_numbers(fds);
    (void)dt_outpipe_close(out);
    give_numbers(fds);
}

struct one {
    struct dt_inpipe *pipe;
    struct one *other; /* read while this one is */
    char text[16];
    bool close;
};

static void on_data(void *ctx, const char *p, size_t n)
{
    struct one *o = ctx;
    if (o->other != NULL)
        dt_inpipe_drain(o->other->pipe);
    (void)strncat(o->text, p, n);
    if (n == 0)
        o->pipe = NULL;
    else if (o->close)
        o->pipe = dt_inpipe_close(o->pipe);
}

static int open_in(struct one *o, const char *text)
{
    struct dt_err err;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(dt_inpipe_new(&loop, ends[0], on_data, o, &o->pipe, &err), 0);
    return ends[1];
}

static void test_one_is_read_inside_of_another(void **state)
{
    (void)state;
    struct one inner = {.other = NULL};
    struct one outer = {.other = &inner};
    int fds[2] = {open_in(&inner, "inner"), open_in(&outer, "outer")};
    dt_inpipe_drain(outer.pipe);
    assert_string_equal(inner.text, "inner");
    assert_string_equal(outer.text, "outer");
    outer.other = NULL;
    for (int i = 0; i < 2; i++)
        (void)close(fds[i]);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_null(inner.pipe);
    assert_null(outer.pipe);
}

static void test_closed_by_what_it_said(void **state)
{
    (void)state;
    struct one o = {.close = true};
    int theirs = open_in(&o, "bye");
    dt_inpipe_drain(o.pipe);
    assert_string_equal(o.text, "bye");
    assert_null(o.pipe);
    (void)close(theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_end_closes_only_its_own, begin, end),
        cmocka_unit_test_setup_teardown(test_an_end_that_nobody_reads, begin, end),
        cmocka_unit_test_setup_teardown(test_one_is_read_inside_of_another, begin, end),
        cmocka_unit_test_setup_teardown(test_closed_by_what_it_said, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

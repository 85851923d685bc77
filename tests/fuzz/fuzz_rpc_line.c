/* Lines of any bytes through the whole server; what comes out must be lines of valid JSON. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "mcp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct target {
    uv_loop_t loop;
    struct dt_session session;
};

static void on_line(void *ctx, struct dt_str line)
{
    dt_server_line(ctx, line);
}

static void on_too_long(void *ctx)
{
    dt_server_too_long(ctx);
}

static void on_end(void *ctx)
{
    (void)ctx;
}

static void check_output(int fd)
{
    static char text[1 << 20];
    ssize_t n = read(fd, text, sizeof(text));
    const char *p = text;
    while (n > 0) {
        const char *lf = memchr(p, '\n', (size_t)n);
        assert(lf != NULL);
        struct dt_err err;
        json_t *j = dt_json_parse(dt_str(p, (size_t)(lf - p)), 100, &err);
        assert(json_is_object(j) || json_is_array(j));
        json_decref(j);
        n -= lf + 1 - p;
        p = lf + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dt_stdio_events events = {on_line, on_too_long, on_end};
    struct target t;
    struct dt_err err;
    struct dt_lines lines;
    int in[2], out[2];
    if (size > 16384)
        return 0;
    setenv("DAYTONA_SOCKET", "/nonexistent", 1);
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || uv_loop_init(&t.loop) < 0)
        abort();
    (void)fcntl(out[1], F_SETPIPE_SZ, 1 << 20);
    (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
    dt_session_init(&t.session, &t.loop);
    t.session.agreed = DT_ERA_2025_03_26;
    t.session.api = dt_api_new(&t.loop);
    if (dt_stdio_new(&t.loop, in[0], out[1], &events, &t.session, &t.session.io, &err) < 0)
        abort();
    dt_lines_init(&lines, 4096);
    if (dt_lines_feed(&lines, (const char *)data, size, &events, &t.session, &err) < 0)
        abort();
    dt_lines_end(&lines, &events, &t.session);
    dt_lines_done(&lines);
    while (t.session.calls != NULL) { /* what is left is ended as a client would */
        json_t *id = json_deep_copy(t.session.calls->msg.id);
        dt_session_cancel(&t.session, id);
        json_decref(id);
    }
    dt_stdio_flush(t.session.io, 0);
    check_output(out[0]);
    (void)dt_stdio_free(t.session.io);
    (void)dt_api_free(t.session.api);
    dt_session_done(&t.session);
    (void)uv_run(&t.loop, UV_RUN_DEFAULT);
    assert(uv_loop_close(&t.loop) == 0);
    for (int i = 0; i < 2; i++) {
        (void)close(in[i]);
        (void)close(out[i]);
    }
    return 0;
}

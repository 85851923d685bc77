#include "net_fixture.h"

#include <signal.h>
#include <stdio.h>

#include "net/http_client.h"
#include "net/tls.h"

/* A certificate authority, a server's certificate for `localhost`, and a stranger's one. */
static const char make_keys[] =
    "set -e; cd $1; exec >/dev/null 2>&1\n"
    "new() { openssl req -newkey rsa:2048 -nodes -keyout $1.key -subj /CN=$1 \"${@:2}\"; }\n"
    "new ca -x509 -out ca.pem -days 2\n"
    "new good -out good.csr\n"
    "printf 'subjectAltName=DNS:localhost' > san\n"
    "openssl x509 -req -in good.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
    "-extfile san -out good.pem\n"
    "new stranger -x509 -out stranger.pem -days 2 -addext subjectAltName=DNS:localhost\n";

static char dir[] = "/tmp/dt-tls-XXXXXX";

/* --- programs on the loop --- */

struct program {
    uv_process_t process;
    uv_pipe_t out;
    char text[4096];
    size_t n;
    bool ended;
    int64_t status;
    unsigned open;
};

static void on_closed(uv_handle_t *h)
{
    struct program *p = h->data;
    p->open--;
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
    struct program *p = process->data;
    (void)signal;
    p->ended = true;
    p->status = status;
    uv_close((uv_handle_t *)process, on_closed);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    (void)hint;
    struct program *p = h->data;
    size_t room = sizeof(p->text) - 1 - p->n;
    *buf = uv_buf_init(p->text + p->n, (unsigned)room);
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct program *p = s->data;
    if (n > 0)
        p->n += (size_t)n;
    else if (n < 0)
        uv_close((uv_handle_t *)s, on_closed);
    p->text[p->n] = '\0';
}

static void program_start(struct program *p, uv_loop_t *loop, char **args)
{
    uv_stdio_container_t io[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out},
        {.flags = UV_IGNORE}};
    uv_process_options_t o = {.file = args[0],
                              .args = args,
                              .cwd = dir,
                              .exit_cb = on_exit_of,
                              .stdio = io,
                              .stdio_count = 3};
    *p = (struct program){.open = 2};
    assert_int_equal(uv_pipe_init(loop, &p->out, 0), 0);
    p->process.data = p->out.data = p;
    assert_int_equal(uv_spawn(loop, &p->process, &o), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&p->out, on_alloc, on_output), 0);
}

/* --- the test --- */

struct fetched {
    bool done;
    int status;
    enum dt_err_code code;
    char message[512];
    bool page;
};

static void on_fetched(void *ctx, const struct dt_http_reply *reply, const struct dt_err *err)
{
    struct fetched *x = ctx;
    x->done = true;
    x->code = err != NULL ? err->code : DT_OK;
    (void)snprintf(x->message, sizeof(x->message), "%s", err != NULL ? err->msg : "");
    if (reply == NULL)
        return;
    x->status = reply->status;
    x->page = memmem(reply->body.p, reply->body.n, "s_server", 8) != NULL;
}

static void run(const char *certificate, const char *host, const char *complaint)
{
    char cert[64], key[64];
    char *args[] = {(char *)(uintptr_t) "openssl",
                    (char *)(uintptr_t) "s_server",
                    (char *)(uintptr_t) "-accept",
                    (char *)(uintptr_t) "127.0.0.1:0",
                    (char *)(uintptr_t) "-www",
                    (char *)(uintptr_t) "-cert",
                    cert,
                    (char *)(uintptr_t) "-key",
                    key,
                    NULL};
    struct fixture f;
    struct program server;
    struct fetched x = {0};
    struct dt_http_client *c;
    struct dt_http_call *call;
    struct dt_err err;
    (void)snprintf(cert, sizeof(cert), "%s.pem", certificate);
    (void)snprintf(key, sizeof(key), "%s.key", certificate);
    fixture_init(&f, NULL, NULL);
    program_start(&server, &f.loop, args);
    const char *port = NULL;
    while ((port = strstr(server.text, "ACCEPT 127.0.0.1:")) == NULL ||
           strchr(port, '\n') == NULL) {
        assert_false(f.late || server.ended);
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    }
    unsigned long number = strtoul(port + strlen("ACCEPT 127.0.0.1:"), NULL, 10);
    assert_true(number > 0 && number <= UINT16_MAX);
    struct dt_addr addr = {.host = host, .port = (uint16_t)number, .tls = true};
    struct dt_http_call_opts o = {.method = "GET", .target = DT_STR("/"), .total_ms = 60000};
    assert_int_equal(dt_http_client_new(&f.loop, &addr, 1, &c, &err), 0);
    assert_int_equal(dt_http_fetch(c, &o, 1 << 20, on_fetched, &x, &call, &err), 0);
    fixture_until(&f, &x.done);
    if (complaint == NULL) {
        assert_string_equal(x.message, "");
        assert_int_equal(x.status, 200);
        assert_true(x.page);
    } else {
        assert_int_equal(x.code, DT_E_UNREACHABLE);
        if (strstr(x.message, complaint) == NULL)
            fail_msg("'%s'", x.message);
    }
    (void)dt_http_client_free(c);
    (void)uv_process_kill(&server.process, SIGKILL);
    while (server.open > 0 && !f.late)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    fixture_done(&f);
}

static void test_trusted(void **state)
{
    (void)state;
    run("good", "localhost", NULL);
}

static void test_other_name(void **state)
{
    (void)state;
    run("good", "127.0.0.1", "not trusted");
}

static void test_other_authority(void **state)
{
    (void)state;
    run("stranger", "localhost", "not trusted");
}

/* A peer that does not speak TLS at all. */
static void test_no_tls(void **state)
{
    (void)state;
    struct fixture f;
    struct fetched x = {0};
    struct dt_http_client *c;
    struct dt_http_call *call;
    struct dt_err err;
    fixture_init(&f, NULL, NULL);
    struct dt_addr addr = {.host = "127.0.0.1", .port = f.port, .tls = true};
    struct dt_http_call_opts o = {.method = "GET", .target = DT_STR("/"), .connect_ms = 60000};
    assert_int_equal(dt_http_client_new(&f.loop, &addr, 1, &c, &err), 0);
    assert_int_equal(dt_http_fetch(c, &o, 1 << 20, on_fetched, &x, &call, &err), 0);
    fixture_until(&f, &x.done);
    assert_int_equal(x.code, DT_E_UNREACHABLE);
    (void)dt_http_client_free(c);
    fixture_done(&f);
}

static int setup(void **state)
{
    char ca[64];
    struct program p;
    uv_loop_t loop;
    char *args[] = {(char *)(uintptr_t) "bash",
                    (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t)make_keys,
                    (char *)(uintptr_t) "keys",
                    dir,
                    NULL};
    (void)state;
    if (mkdtemp(dir) == NULL || uv_loop_init(&loop) < 0)
        return -1;
    program_start(&p, &loop, args);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
    if (!p.ended || p.status != 0 || setenv("SSL_CERT_FILE", ca, 1) < 0)
        return -1;
    dt_tls_enable();
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"ca.pem",   "ca.key",       "ca.srl",
                                        "good.key", "good.csr",     "good.pem",
                                        "san",      "stranger.key", "stranger.pem"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trusted),
        cmocka_unit_test(test_other_name),
        cmocka_unit_test(test_other_authority),
        cmocka_unit_test(test_no_tls),
    };
    return cmocka_run_group_tests_name("tls", tests, setup, teardown);
}

#include "mcp_server.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define REVISION "2025-11-25"

void mcp_die(const char *what, struct dt_str line)
{
    fprintf(stderr, "%s: %.*s\n", what, (int)(line.n < 2000 ? line.n : 2000), line.p);
    exit(1);
}

static void start(struct mcp_server *s, char **argv)
{
    int in[2], out[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        mcp_die("pipe", dt_str_z(strerror(errno)));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (posix_spawnp(&s->pid, argv[0], &actions, NULL, argv, environ) != 0)
        mcp_die("cannot start", dt_str_z(argv[0]));
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    s->in = in[1];
    s->out = out[0];
}

void mcp_server_send(const struct mcp_server *s, struct dt_str text)
{
    while (text.n > 0) {
        ssize_t n = write(s->in, text.p, text.n);
        if (n < 0 && errno != EINTR)
            mcp_die("write", dt_str_z(strerror(errno)));
        text = n > 0 ? dt_str(text.p + n, text.n - (size_t)n) : text;
    }
}

void mcp_server_read(struct mcp_server *s, void (*each)(void *ctx, struct dt_str line), void *ctx)
{
    if (s->have == sizeof(s->chunk))
        mcp_die("a line is too long", dt_str(s->chunk, s->have));
    ssize_t n = read(s->out, s->chunk + s->have, sizeof(s->chunk) - s->have);
    if (n <= 0)
        mcp_die("the server ended", DT_STR(""));
    s->have += (size_t)n;
    const char *p = s->chunk, *end = s->chunk + s->have, *lf;
    while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        each(ctx, dt_str(p, (size_t)(lf - p)));
        p = lf + 1;
    }
    s->have = (size_t)(end - p);
    memmove(s->chunk, p, s->have);
}

static void on_initialized(void *ctx, struct dt_str line)
{
    static const char agreed[] = "\"protocolVersion\":\"" REVISION "\"";
    if (memmem(line.p, line.n, agreed, sizeof(agreed) - 1) == NULL)
        mcp_die("not the revision asked for", line);
    *(bool *)ctx = true;
}

void mcp_server_start(struct mcp_server *s, char **argv)
{
    bool initialized = false;
    start(s, argv);
    mcp_server_send(s, DT_STR("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                              "\"protocolVersion\":\"" REVISION "\",\"capabilities\":{},"
                              "\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}\n"));
    while (!initialized)
        mcp_server_read(s, on_initialized, &initialized);
    mcp_server_send(s, DT_STR("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"));
}

bool mcp_server_end(struct mcp_server *s)
{
    int status;
    (void)close(s->in);
    return waitpid(s->pid, &status, 0) == s->pid && status == 0;
}

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "mcp/agents.h"
#include "mcp/cmd.h"
#include "mcp/server.h"

enum { LAST_WORDS_MS = 250 };

static const char help[] =
    "Usage: daytona mcp start\n"
    "       daytona mcp init AGENT\n"
    "       daytona mcp config [AGENT]\n"
    "\n"
    "start   Serves the Model Context Protocol on standard input and output until input ends.\n"
    "init    Adds the server `daytona-mcp` to the configuration file of AGENT, keeping everything "
    "else\n"
    "        in it; a backup is written beside it. Variables named DAYTONA_... that are set now go "
    "into\n"
    "        the entry.\n"
    "config  Prints the entry instead, in the form of AGENT or as `mcpServers` JSON.\n"
    "\n"
    "AGENT is one of: ";

struct serving {
    struct dt_session session;
    uv_signal_t term;
    uv_signal_t interrupt;
};

static void on_line(void *ctx, struct dt_str line)
{
    struct serving *s = ctx;
    dt_server_line(&s->session, line);
}

static void on_too_long(void *ctx)
{
    struct serving *s = ctx;
    dt_server_too_long(&s->session);
}

/* The kernel closes the connections, which ends the commands in the sandboxes. */
static void on_end(void *ctx)
{
    struct serving *s = ctx;
    dt_stdio_flush(s->session.io, LAST_WORDS_MS);
    exit(0);
}

static void on_signal(uv_signal_t *h, int number)
{
    (void)number;
    on_end(h->data);
}

static void watch(struct serving *s, uv_signal_t *h, int number)
{
    (void)uv_signal_init(s->session.loop, h);
    h->data = s;
    (void)uv_signal_start(h, on_signal, number);
    uv_unref((uv_handle_t *)h);
}

int dt_cmd_mcp_start(int argc, char **argv)
{
    static const struct dt_stdio_events events = {on_line, on_too_long, on_end};
    static struct serving s;
    struct dt_err err;
    if (argc > 1) {
        fprintf(stderr, "daytona mcp start: unexpected argument '%s'\n", argv[1]);
        return 1;
    }
    dt_session_init(&s.session, uv_default_loop());
    watch(&s, &s.term, SIGTERM);
    watch(&s, &s.interrupt, SIGINT);
    s.session.api = dt_api_new(s.session.loop);
    if (dt_stdio_new(s.session.loop, STDIN_FILENO, STDOUT_FILENO, &events, &s, &s.session.io,
                     &err) < 0) {
        fprintf(stderr, "daytona mcp start: %s\n", err.msg);
        return 1;
    }
    (void)uv_run(s.session.loop, UV_RUN_DEFAULT);
    return 0;
}

int dt_cmd_mcp_init(int argc, char **argv)
{
    struct dt_err err;
    bool changed;
    char path[4096];
    if (argc != 2) {
        fprintf(stderr, "daytona mcp init: name one agent: %s\n", dt_agents_names());
        return 1;
    }
    if (dt_agents_init(argv[1], path, sizeof(path), &changed, &err) < 0) {
        fprintf(stderr, "daytona mcp init: %s\n", err.msg);
        return 1;
    }
    printf(changed
               ? "Added daytona-mcp to %s. Restart %s to use it.\n"
               : "%s has daytona-mcp already; nothing changed. Restart %s if it does not show.\n",
           path, argv[1]);
    return 0;
}

int dt_cmd_mcp_config(int argc, char **argv)
{
    struct dt_err err;
    DT_AUTO_FREE char *text = NULL;
    if (argc > 2) {
        fprintf(stderr, "daytona mcp config: name at most one agent: %s\n", dt_agents_names());
        return 1;
    }
    if (dt_agents_config(argc > 1 ? argv[1] : NULL, &text, &err) < 0) {
        fprintf(stderr, "daytona mcp config: %s\n", err.msg);
        return 1;
    }
    fputs(text, stdout);
    return 0;
}

int dt_cmd_mcp(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "--help";
    if (strcmp(command, "start") == 0)
        return dt_cmd_mcp_start(argc - 1, argv + 1);
    if (strcmp(command, "init") == 0)
        return dt_cmd_mcp_init(argc - 1, argv + 1);
    if (strcmp(command, "config") == 0)
        return dt_cmd_mcp_config(argc - 1, argv + 1);
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "-h") == 0) {
        printf("%s%s\n", help, dt_agents_names());
        return 0;
    }
    fprintf(stderr, "daytona mcp: unknown command '%s'; run `daytona mcp --help`\n", command);
    return 1;
}

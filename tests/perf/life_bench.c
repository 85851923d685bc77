/*
 * Times sandboxes as an MCP client sees them. For every line on its input, `life N` or `exec N`, it
 * prints N lines and an empty one, in microseconds:
 *   life: create_sandbox, its first execute_command, destroy_sandbox; before each sandbox 50 ms
 *   exec: execute_command in a sandbox that lives as long as this program
 *
 * Usage: life_bench PROGRAM [ARG ...]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "mcp_server.h"

enum { PAUSE_US = 50000, ID_MAX = 64 };

static struct mcp_server server;

struct answer {
    bool here;
    const char *must; /* in it */
    char id[ID_MAX];  /* a sandbox's, if it has one */
};

static void on_answer(void *ctx, struct dt_str line)
{
    static const char key[] = "\"structuredContent\":{\"id\":\"";
    struct answer *a = ctx;
    if (memmem(line.p, line.n, a->must, strlen(a->must)) == NULL)
        mcp_die("a call failed", line);
    const char *id = memmem(line.p, line.n, key, sizeof(key) - 1);
    if (id != NULL)
        (void)snprintf(a->id, sizeof(a->id), "%.36s", id + sizeof(key) - 1);
    a->here = true;
}

/* Calls a tool; `arguments` are members of its object. Returns the microseconds. */
static double call(const char *tool, const char *arguments, struct answer *a)
{
    static unsigned id;
    char line[1024];
    a->here = false;
    int n = snprintf(line, sizeof(line),
                     "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"tools/call\",\"params\":{"
                     "\"name\":\"%s\",\"arguments\":{%s}}}\n",
                     ++id, tool, arguments);
    uint64_t start = dt_clock_ns();
    mcp_server_send(&server, dt_str(line, (size_t)n));
    while (!a->here)
        mcp_server_read(&server, on_answer, a);
    return (double)(dt_clock_ns() - start) / 1000;
}

static double create(char id[ID_MAX])
{
    struct answer a = {.must = "\"state\":\"started\""};
    double us = call("create_sandbox", "", &a);
    memcpy(id, a.id, sizeof(a.id));
    return us;
}

static double execute(const char *id)
{
    char arguments[256];
    struct answer a = {.must = "\"stdout\":\"hi\\n\""};
    (void)snprintf(arguments, sizeof(arguments), "\"id\":\"%s\",\"command\":\"echo hi\"", id);
    return call("execute_command", arguments, &a);
}

static double destroy(const char *id)
{
    char arguments[128];
    struct answer a = {.must = "\"result\":"};
    (void)snprintf(arguments, sizeof(arguments), "\"id\":\"%s\"", id);
    return call("destroy_sandbox", arguments, &a);
}

static void live_once(void)
{
    char id[ID_MAX];
    (void)usleep(PAUSE_US);
    double made = create(id);
    double first = execute(id);
    printf("%.1f %.1f %.1f\n", made, first, destroy(id));
}

int main(int argc, char **argv)
{
    char kind[8], box[ID_MAX] = "";
    unsigned n;
    if (argc < 2)
        return 2;
    mcp_server_start(&server, argv + 1);
    while (scanf("%7s %u", kind, &n) == 2) {
        bool life = strcmp(kind, "life") == 0;
        if (!life && box[0] == '\0')
            (void)create(box);
        for (unsigned i = 0; i < n; i++) {
            if (life)
                live_once();
            else
                printf("%.1f\n", execute(box));
        }
        (void)putchar('\n');
        (void)fflush(stdout);
    }
    if (box[0] != '\0')
        (void)destroy(box);
    return mcp_server_end(&server) ? 0 : 1;
}

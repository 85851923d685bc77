/* An MCP server that a benchmark started: requests go to its standard input, lines come back. */
#ifndef PERF_MCP_SERVER_H
#define PERF_MCP_SERVER_H

#include <sys/types.h>

#include "base/str.h"

enum { MCP_LINE_MAX = 256 * 1024 };

struct mcp_server {
    pid_t pid;
    int in, out;
    size_t have;
    char chunk[MCP_LINE_MAX];
};

/* Says so on standard error and ends the program. */
_Noreturn void mcp_die(const char *what, struct dt_str line);
/* Starts it and agrees on revision 2025-11-25. */
void mcp_server_start(struct mcp_server *s, char **argv);
void mcp_server_send(const struct mcp_server *s, struct dt_str text);
/* Reads once and hands every complete line to `each`. */
void mcp_server_read(struct mcp_server *s, void (*each)(void *ctx, struct dt_str line), void *ctx);
/* Closes its input; whether it ended well. */
bool mcp_server_end(struct mcp_server *s);

#endif

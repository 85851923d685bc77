#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "mcp/cmd.h"

static const char help[] =
    "Daytona CLI " DT_VERSION "\n"
    "\n"
    "Usage: daytona COMMAND\n"
    "\n"
    "  mcp start           Serve MCP on standard input and output, for an agent\n"
    "  mcp init AGENT      Add this server to an agent's configuration\n"
    "  mcp config [AGENT]  Print what `mcp init` would add\n"
    "  version             Print the version\n"
    "  help                Print this text; `daytona mcp --help` says more\n"
    "\n"
    "Without configuration the server of this machine is used (as root it is started when "
    "needed).\n"
    "DAYTONA_API_URL with DAYTONA_API_KEY name another one, DAYTONA_SOCKET another unix socket.\n";

static int version(void)
{
    puts("Daytona CLI version " DT_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "help";
    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(command, "mcp") == 0)
        return dt_cmd_mcp(argc - 1, argv + 1);
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0 ||
        strcmp(command, "-v") == 0)
        return version();
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "-h") == 0) {
        fputs(help, stdout);
        return 0;
    }
    fprintf(stderr, "daytona: unknown command '%s'; run `daytona --help`\n", command);
    return 1;
}

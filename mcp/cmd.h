/* The commands of `daytona`. Each returns the exit status. */
#ifndef DT_CMD_H
#define DT_CMD_H

int dt_cmd_mcp(int argc, char **argv);
int dt_cmd_mcp_start(int argc, char **argv);
int dt_cmd_mcp_init(int argc, char **argv);
int dt_cmd_mcp_config(int argc, char **argv);

#endif

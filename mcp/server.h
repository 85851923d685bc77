/* The MCP server: lines in, answers out. */
#ifndef DT_SERVER_H
#define DT_SERVER_H

#include "mcp/session.h"

/* One line of input, whatever it holds. Leads to at most one answer (for a batch: one array). */
void dt_server_line(struct dt_session *s, struct dt_str line);
/* Answers a line that was too long to be read. */
void dt_server_too_long(struct dt_session *s);

/* resources.c, completion.c */
void dt_resources_list(struct dt_call *c);
void dt_resources_templates(struct dt_call *c);
void dt_resources_read(struct dt_call *c);
void dt_completion(struct dt_call *c);

#endif

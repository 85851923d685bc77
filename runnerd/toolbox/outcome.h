/* How the end of a command is told in an answer. */
#ifndef DT_TOOLBOX_OUTCOME_H
#define DT_TOOLBOX_OUTCOME_H

#include "toolbox/command.h"

/* Puts a text that may hold NUL, which typed structs cannot. */
void dt_outcome_set_text(json_t *to, const char *key, struct dt_str text);
/* {exitCode, result}: the output, with a note in the middle where bytes were left out. */
json_t *dt_outcome_plain(const struct dt_command_end *end, struct dt_err *err);
/* Answers with `j` (taken; NULL is answered as out of memory): 200, or 408 with the members of the
 * error added when the command's time was over. */
void dt_outcome_reply(struct dt_http_req *req, const struct dt_command_end *end, json_t *j);
/* Answers a command that could not begin: `err`, or, when the sandbox lacks what it needs, 200 with
 * exitCode -1 (and `code`, if `is_raw`) and the text, as clients expect. */
void dt_outcome_not_started(struct dt_http_req *req, bool is_raw, const struct dt_err *err);

#endif

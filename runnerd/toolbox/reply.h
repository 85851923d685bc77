/* Answers in the shapes that the official clients read. */
#ifndef DT_TOOLBOX_REPLY_H
#define DT_TOOLBOX_REPLY_H

#include "gen/toolbox_api.h"
#include "net/http_server.h"

/* {statusCode, message, code, source, path, method, timestamp, error}. */
void dt_reply_error(struct dt_http_req *req, const struct dt_err *err);
/* Takes `body`; NULL is answered as out of memory. */
void dt_reply_json(struct dt_http_req *req, int status, json_t *body);
void dt_reply_empty(struct dt_http_req *req, int status);
/* The members of an error, for answers that add some. Owned by the caller. */
json_t *dt_reply_error_json(const struct dt_http_req *req, const struct dt_err *err);
/* Whether the request came by the API's path (/toolbox/{id}/toolbox/...), whose clients are the
 * oldest: what that path did for them is done here. */
bool dt_reply_is_api_route(const struct dt_http_req *req);
/* Turns errno of a file operation into FILE_NOT_FOUND, FILE_ACCESS_DENIED or BAD_REQUEST: "what:
 * text". Returns -1. */
int dt_reply_file_errno(struct dt_err *err, int number, const char *what);

#endif

/* The page that warns browsers before they show what a sandbox serves. */
#ifndef DT_PREVIEW_PAGE_H
#define DT_PREVIEW_PAGE_H

#include "net/http_server.h"

/* True when it answered: with the page, or with the cookie that ends the asking. */
bool dt_preview_warn(struct dt_http_req *req, uint16_t port);

#endif

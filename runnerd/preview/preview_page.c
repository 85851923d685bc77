#include "runnerd/preview/preview_page.h"

#include <stdio.h>

#include "model/preview.h"

#define ACCEPT_PATH "/accept-daytona-preview-warning"

static const char page[] =
    "<!doctype html><meta charset=\"utf-8\"><title>Preview</title>"
    "<body style=\"font:16px sans-serif;max-width:40em;margin:4em auto\">"
    "<h1>You are about to see a preview</h1>"
    "<p>What follows is served by a program in a sandbox. Do not type passwords or other secrets "
    "into it unless you know who runs it.</p>"
    "<form method=\"post\" action=\"" ACCEPT_PATH "\"><button>Go on</button></form>";

static bool contains(struct dt_str s, const char *word)
{
    return s.p != NULL && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static bool is_browser(struct dt_http_req *req)
{
    static const char *const names[] = {"Chrome/",  "Firefox/", "Safari/",         "Edg/",
                                        "Vivaldi/", "OPR/",     "SamsungBrowser/", "Brave/"};
    struct dt_str agent = dt_http_req_header(req, "User-Agent");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (contains(agent, names[i]))
            return true;
    }
    return false;
}

bool dt_preview_warn(struct dt_http_req *req, uint16_t port)
{
    if (dt_preview_port_internal(port) || dt_http_req_is_upgrade(req) || !is_browser(req) ||
        dt_str_eq(dt_http_req_header(req, "X-Daytona-Skip-Preview-Warning"), DT_STR("true")))
        return false;
    if (dt_str_eq(dt_http_req_path(req), DT_STR(ACCEPT_PATH))) {
        dt_http_req_add_header(req, "Set-Cookie",
                               DT_STR("daytona-preview-page-accepted=true; Path=/; Max-Age=86400; "
                                      "HttpOnly; SameSite=Lax"));
        dt_http_req_add_header(req, "Location", DT_STR("/"));
        dt_http_req_reply(req, 302, NULL, NULL, 0);
        return true;
    }
    if (contains(dt_http_req_header(req, "Cookie"), "daytona-preview-page-accepted=true"))
        return false;
    dt_http_req_add_header(req, "Cache-Control", DT_STR("no-store"));
    dt_http_req_reply(req, 200, "text/html; charset=utf-8", page, sizeof(page) - 1);
    return true;
}

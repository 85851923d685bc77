#include "runnerd/client.h"

#include <stdio.h>

int dt_trusted_load(struct dt_trusted *t, const char *setting, struct dt_err *err)
{
    if (dt_ip_nets_parse(dt_str_z(setting), t->nets, &t->n, err) < 0)
        return dt_err_wrap(err, "TRUSTED_PROXIES");
    return 0;
}

/* Cuts the last item off a list; false when it is used up. */
static bool cut_last(struct dt_str *list, struct dt_str *item)
{
    if (list->p == NULL)
        return false;
    const char *comma = list->n > 0 ? memrchr(list->p, ',', list->n) : NULL;
    if (comma == NULL) {
        *item = *list;
        *list = dt_str(NULL, 0);
        return true;
    }
    size_t before = (size_t)(comma - list->p);
    *item = dt_str(comma + 1, list->n - before - 1);
    list->n = before;
    return true;
}

/* Each proxy adds whom it saw at the end: what stands there is as good as the one who wrote it. */
static void go_back(const struct dt_trusted *t, const struct dt_http_req *req, struct dt_ip *ip)
{
    const struct dt_http_header *h;
    size_t n = dt_http_req_headers(req, &h);
    while (n-- > 0) {
        struct dt_str list = h[n].value, item;
        if (!dt_str_eq_nocase(h[n].name, DT_STR("X-Forwarded-For")))
            continue;
        while (cut_last(&list, &item)) {
            if (!dt_ip_within(ip, t->nets, t->n) || dt_ip_parse(item, ip) < 0)
                return;
        }
    }
}

bool dt_client_address(const struct dt_trusted *t, struct dt_http_req *req, struct dt_ip *ip,
                       char text[DT_IP_TEXT_SIZE])
{
    struct dt_ip found;
    const struct dt_conn *conn = dt_http_req_conn(req);
    if (conn == NULL || dt_ip_parse(dt_str_z(dt_conn_peer_text(conn)), &found) < 0) {
        (void)snprintf(text, DT_IP_TEXT_SIZE, "local");
        return false;
    }
    go_back(t, req, &found);
    (void)dt_ip_text(&found, text);
    if (ip != NULL)
        *ip = found;
    return true;
}

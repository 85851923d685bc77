/* Where a request comes from. */
#ifndef DT_CLIENT_H
#define DT_CLIENT_H

#include "model/ip.h"
#include "net/http_server.h"

/* The proxies whose X-Forwarded-For is believed. */
struct dt_trusted {
    struct dt_ip_net nets[DT_IP_NETS_MAX];
    size_t n;
};

/* From the setting TRUSTED_PROXIES. INVALID. */
int dt_trusted_load(struct dt_trusted *t, const char *setting, struct dt_err *err) DT_MUST_CHECK;
/* The address of the client: the connection's, or behind trusted proxies the nearest one that is no
 * such proxy. False, with the text `local`, for the unix socket. `ip` may be NULL. */
bool dt_client_address(const struct dt_trusted *t, struct dt_http_req *req, struct dt_ip *ip,
                       char text[DT_IP_TEXT_SIZE]);

#endif

#include "net/dns.h"

#include <netdb.h>
#include <stdio.h>

#include "net/conn_impl.h"

struct dt_dns_query {
    uv_getaddrinfo_t req;
    dt_dns_done *done; /* NULL once cancelled */
    void *ctx;
    char host[256];
};

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct dt_dns_query *q = req->data;
    struct sockaddr_storage addrs[DT_DNS_MAX] = {0};
    struct dt_err err;
    size_t n = 0;
    for (const struct addrinfo *a = list; a != NULL && n < DT_DNS_MAX; a = a->ai_next) {
        if ((a->ai_family == AF_INET || a->ai_family == AF_INET6) &&
            a->ai_addrlen <= sizeof(addrs[0]))
            memcpy(&addrs[n++], a->ai_addr, a->ai_addrlen);
    }
    uv_freeaddrinfo(list);
    if (q->done != NULL && n > 0) {
        q->done(q->ctx, addrs, n, NULL);
    } else if (q->done != NULL) {
        (void)dt_err_set(&err, DT_E_UNREACHABLE, "look up '%s': %s", q->host,
                         status < 0 ? uv_strerror(status) : "no address");
        q->done(q->ctx, NULL, 0, &err);
    }
    free(q);
}

static struct dt_dns_query *start(uv_loop_t *loop, const char *host, uint16_t port,
                                  dt_dns_done *done, void *ctx, struct dt_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char service[8];
    if (strlen(host) >= sizeof(((struct dt_dns_query *)NULL)->host)) {
        (void)dt_err_set(err, DT_E_INVALID, "the host name is too long");
        return NULL;
    }
    DT_AUTO_FREE struct dt_dns_query *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "look up '%s'", host);
        return NULL;
    }
    (void)snprintf(q->host, sizeof(q->host), "%s", host);
    (void)snprintf(service, sizeof(service), "%u", port);
    q->done = done;
    q->ctx = ctx;
    q->req.data = q;
    int r = uv_getaddrinfo(loop, &q->req, on_resolved, host, service, &hints);
    if (r < 0) {
        (void)dt_err_set(err, DT_E_UNREACHABLE, "look up '%s': %s", host, uv_strerror(r));
        return NULL;
    }
    return dt_take(q);
}

/* The look-up itself may run on in its thread; it frees itself at the end. */
static void cancel(struct dt_dns_query *q)
{
    q->done = NULL;
    (void)uv_cancel((uv_req_t *)&q->req);
}

void dt_dns_enable(void)
{
    static const struct dt_dns_ops ops = {.start = start, .cancel = cancel};
    dt_conn_dns_ops = &ops;
}

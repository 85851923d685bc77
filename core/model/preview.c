#include "model/preview.h"

struct dt_str dt_host_name(struct dt_str host)
{
    size_t n = host.n;
    while (n > 0 && host.p[n - 1] >= '0' && host.p[n - 1] <= '9')
        n--;
    if (n > 0 && n < host.n && host.p[n - 1] == ':')
        return dt_str(host.p, n - 1);
    return host;
}

bool dt_preview_port_internal(uint16_t port)
{
    return port == 2280 || port == 22222 || port == 22220 || port == 33333;
}

int dt_port_parse(struct dt_str text, uint16_t *ret, struct dt_err *err)
{
    unsigned long long v;
    if (dt_str_u64(text, 65535, &v) < 0 || v == 0)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "Invalid port: it must be a number from 1 to 65535");
    *ret = (uint16_t)v;
    return 0;
}

static bool is_token(const char *z)
{
    size_t n = 0;
    for (; z[n] != '\0'; n++) {
        if (!((z[n] >= 'a' && z[n] <= 'z') || (z[n] >= '0' && z[n] <= '9')))
            return false;
    }
    return n == DT_SIGNED_TOKEN_LEN;
}

enum dt_preview_kind dt_preview_parse(struct dt_str host, struct dt_str domain,
                                      struct dt_preview_host *out)
{
    host = dt_host_name(host);
    domain = dt_host_name(domain);
    if (host.n < domain.n ||
        !dt_str_eq_nocase(dt_str(host.p + host.n - domain.n, domain.n), domain))
        return DT_PREVIEW_NONE;
    if (host.n == domain.n)
        return DT_PREVIEW_DOMAIN;
    struct dt_str rest = dt_str(host.p, host.n - domain.n), port;
    if (rest.p[rest.n - 1] != '.')
        return DT_PREVIEW_NONE;
    rest.n--;
    if (!dt_str_cut(&rest, '-', &port) || rest.p == NULL || rest.n >= sizeof(out->label) ||
        dt_port_parse(port, &out->port, NULL) < 0)
        return DT_PREVIEW_BAD;
    for (size_t i = 0; i < rest.n; i++) {
        char c = rest.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        out->label[i] = c;
    }
    out->label[rest.n] = '\0';
    if (memchr(out->label, '\0', rest.n) != NULL)
        return DT_PREVIEW_BAD;
    if (dt_is_uuid(out->label))
        return DT_PREVIEW_SANDBOX;
    return is_token(out->label) ? DT_PREVIEW_SIGNED : DT_PREVIEW_BAD;
}

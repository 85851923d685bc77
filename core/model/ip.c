#include "model/ip.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* The address without a port: what follows it must be one. */
static struct dt_str without_port(struct dt_str s)
{
    const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
    if (s.n > 1 && s.p[0] == '[') {
        const char *end = memchr(s.p, ']', s.n);
        return end != NULL ? dt_str(s.p + 1, (size_t)(end - s.p - 1)) : s;
    }
    if (colon != NULL && memchr(s.p, '.', (size_t)(colon - s.p)) != NULL)
        return dt_str(s.p, (size_t)(colon - s.p));
    return s;
}

int dt_ip_parse(struct dt_str text, struct dt_ip *ret)
{
    char z[DT_IP_TEXT_SIZE];
    struct dt_ip ip;
    struct dt_str s = without_port(dt_str_trim(text));
    if (s.n == 0 || s.n >= sizeof(z) || memchr(s.p, '\0', s.n) != NULL)
        return -1;
    (void)snprintf(z, sizeof(z), "%.*s", (int)s.n, s.p);
    memcpy(ip.b, mapped, sizeof(mapped));
    if (inet_pton(AF_INET, z, ip.b + sizeof(mapped)) != 1 && inet_pton(AF_INET6, z, ip.b) != 1)
        return -1;
    *ret = ip;
    return 0;
}

char *dt_ip_text(const struct dt_ip *ip, char out[DT_IP_TEXT_SIZE])
{
    bool v4 = memcmp(ip->b, mapped, sizeof(mapped)) == 0;
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip->b + sizeof(mapped) : ip->b, out,
                  DT_IP_TEXT_SIZE) == NULL)
        out[0] = '\0';
    return out;
}

static int net_parse(struct dt_str item, struct dt_ip_net *ret)
{
    struct dt_str rest = item, address;
    unsigned long long prefix;
    if (!dt_str_cut(&rest, '/', &address) || dt_ip_parse(address, &ret->ip) < 0)
        return -1;
    bool v4 = memcmp(ret->ip.b, mapped, sizeof(mapped)) == 0;
    prefix = v4 ? 32 : 128;
    if (rest.p != NULL && dt_str_u64(rest, prefix, &prefix) < 0)
        return -1;
    ret->prefix = (unsigned)prefix + (v4 ? 96 : 0);
    return 0;
}

int dt_ip_nets_parse(struct dt_str text, struct dt_ip_net out[DT_IP_NETS_MAX], size_t *n,
                     struct dt_err *err)
{
    struct dt_str item;
    *n = 0;
    while (dt_str_cut(&text, ',', &item)) {
        item = dt_str_trim(item);
        if (item.n == 0)
            continue;
        if (*n == DT_IP_NETS_MAX)
            return dt_err_set(err, DT_E_INVALID, "more than %d networks", DT_IP_NETS_MAX);
        if (net_parse(item, &out[*n]) < 0)
            return dt_err_set(err, DT_E_INVALID,
                              "'%.*s' is no network such as 10.0.0.0/8 or 2001:db8::/32",
                              (int)(item.n < 100 ? item.n : 100), item.p);
        (*n)++;
    }
    return 0;
}

static bool is_in(const struct dt_ip *ip, const struct dt_ip_net *net)
{
    unsigned bytes = net->prefix / 8, bits = net->prefix % 8;
    if (memcmp(ip->b, net->ip.b, bytes) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00u >> bits);
    return bits == 0 || ((ip->b[bytes] ^ net->ip.b[bytes]) & mask) == 0;
}

bool dt_ip_within(const struct dt_ip *ip, const struct dt_ip_net *nets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_in(ip, &nets[i]))
            return true;
    }
    return false;
}

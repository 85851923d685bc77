#include "os/host_resolver.h"

#include <arpa/inet.h>
#include <fcntl.h>

#include "base/fd.h"

enum { FILE_MAX = 64 * 1024 };

/* 0 unless the line is `nameserver <IPv4>`. */
static uint32_t parse_line(struct dt_str line)
{
    const struct dt_str word = DT_STR("nameserver");
    char text[INET_ADDRSTRLEN] = "";
    struct in_addr addr;
    line = dt_str_trim(line);
    if (!dt_str_starts(line, word) || line.n == word.n ||
        (line.p[word.n] != ' ' && line.p[word.n] != '\t'))
        return 0;
    struct dt_str value = dt_str_trim(dt_str(line.p + word.n, line.n - word.n));
    if (value.n >= sizeof(text))
        return 0;
    memcpy(text, value.p, value.n);
    return inet_pton(AF_INET, text, &addr) == 1 ? ntohl(addr.s_addr) : 0;
}

uint32_t dt_host_resolver_parse(struct dt_str resolv_conf)
{
    struct dt_str line;
    while (dt_str_cut(&resolv_conf, '\n', &line)) {
        uint32_t addr = parse_line(line);
        if (addr != 0 && addr >> 24 != 127)
            return addr;
    }
    return 0;
}

uint32_t dt_host_resolver(void)
{
    static const char *const files[] = {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        DT_AUTO_BUF struct dt_buf b;
        dt_buf_init(&b, FILE_MAX);
        uint32_t addr = 0;
        if (dt_fd_read_file(AT_FDCWD, files[i], &b, NULL) == 0)
            addr = dt_host_resolver_parse(dt_buf_str(&b));
        if (addr != 0)
            return addr;
    }
    return 0;
}

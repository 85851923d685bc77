/* The sandbox's own network, which its root may use and not change, and what lies beyond it. */
#include "probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A sandbox without network has lo alone. */
static unsigned interface(void)
{
    unsigned index = if_nametoindex("eth0");
    return index != 0 ? index : if_nametoindex("lo");
}

/* The heads of all these messages begin with a family and hold the interface at another place; the
 * kernel asks for the privilege before it looks at either. */
static void attempt_change(const struct probe *p, struct outcome *out)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
        char rest[64];
    } m = {.head = {.nlmsg_len = sizeof(m),
                    .nlmsg_type = (uint16_t)p->args[0],
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
           .link = {.ifi_family = AF_INET, .ifi_index = (int)interface(), .ifi_change = IFF_UP}};
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char rest[512];
    } answer = {.head = {.nlmsg_len = 0}};
    static const int eperm[] = {EPERM};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &m, sizeof(m), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0 ||
        answer.head.nlmsg_type != NLMSG_ERROR) {
        say(out, false, "no answer of the kernel: %s", strerror(errno));
        return;
    }
    errno = -answer.error.error;
    judge(out, answer.error.error == 0 ? 0 : -1, eperm, 1);
}

static void attempt_ioctl(const struct probe *p, struct outcome *out)
{
    union {
        struct ifreq r;
        struct rtentry route;
        struct arpreq arp;
    } u = {0};
    static const int eperm[] = {EPERM};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (p->args[1] == 0)
        (void)if_indextoname(interface(), u.r.ifr_name);
    if ((unsigned long)p->args[0] == SIOCSIFHWADDR) {
        u.r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
        memcpy(u.r.ifr_hwaddr.sa_data, "\x02\x01\x0a\xde\x10\x03", 6);
    }
    judge(out, fd < 0 ? fd : ioctl(fd, (unsigned long)p->args[0], &u), eperm, 1);
}

/* By TCP; a datagram that leaves and is dropped on the way looks like one that arrives. */
static void attempt_connect6(const struct probe *p, struct outcome *out)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons((uint16_t)p->args[0]),
                              .sin6_scope_id = interface()};
    if (inet_pton(AF_INET6, p->path, &to.sin6_addr) != 1) {
        say(out, false, "not an IPv6 address");
        return;
    }
    int error = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? fd : connect(fd, (const struct sockaddr *)&to, sizeof(to));
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (rc < 0 && errno == EINPROGRESS) {
        errno = ETIMEDOUT;
        if (poll(&wait, 1, 2000) > 0 &&
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)}) == 0) {
            rc = error == 0 ? 0 : -1;
            errno = error;
        }
    }
    judge_any(out, rc);
}

static void attempt_address6(const struct probe *p, struct outcome *out)
{
    char line[200] = "";
    FILE *f = fopen(p->path, "re");
    bool other = false;
    while (f != NULL && !other && fgets(line, sizeof(line), f) != NULL)
        other = strstr(line, " lo\n") == NULL;
    say(out, !other, "%.*s", (int)strcspn(line, "\n"), other ? line : "none but on lo");
}

/* Another interface would be another way out. */
static void attempt_interfaces(const struct probe *p, struct outcome *out)
{
    (void)p;
    struct if_nameindex *all = if_nameindex();
    say(out, true, "lo and eth0 at most");
    for (const struct if_nameindex *i = all; i != NULL && i->if_index != 0; i++)
        if (strcmp(i->if_name, "lo") != 0 && strcmp(i->if_name, "eth0") != 0)
            say(out, false, "there is %s", i->if_name);
    if (all == NULL)
        say(out, false, "cannot list them: %s", strerror(errno));
    else
        if_freenameindex(all);
}

#define CHANGE(type)                                                                               \
    {                                                                                              \
#type, attempt_change, .args = { type }                                                    \
    }
#define IOCTL(nr, other)                                                                           \
    {                                                                                              \
#nr, attempt_ioctl, .args = { nr, other }                                                  \
    }
#define TCP6(address, port)                                                                        \
    {                                                                                              \
        "tcp to " address, attempt_connect6, .path = (address), .args = { port }                   \
    }
#define TCP4(address)                                                                              \
    {                                                                                              \
        "tcp to " address, attempt_connect_tcp, .path = address                                    \
    }

static const struct probe rows[] = {
    CHANGE(RTM_NEWLINK),
    CHANGE(RTM_SETLINK),
    CHANGE(RTM_DELLINK),
    CHANGE(RTM_NEWADDR),
    CHANGE(RTM_DELADDR),
    CHANGE(RTM_NEWROUTE),
    CHANGE(RTM_DELROUTE),
    CHANGE(RTM_NEWNEIGH),
    CHANGE(RTM_DELNEIGH),
    CHANGE(RTM_NEWRULE),
    CHANGE(RTM_NEWQDISC),
    CHANGE(RTM_DELQDISC),
    CHANGE(RTM_NEWTCLASS),
    CHANGE(RTM_NEWTFILTER),
    IOCTL(SIOCSIFHWADDR, 0),
    IOCTL(SIOCSIFADDR, 0),
    IOCTL(SIOCSIFFLAGS, 0),
    IOCTL(SIOCSIFMTU, 0),
    IOCTL(SIOCSIFNAME, 0),
    IOCTL(SIOCSIFTXQLEN, 0),
    IOCTL(SIOCADDRT, 1),
    IOCTL(SIOCDELRT, 1),
    IOCTL(SIOCSARP, 1),
    IOCTL(SIOCDARP, 1),
    {.name = "more interfaces", .attempt = attempt_interfaces},
    {"an IPv6 address", attempt_address6, .path = "/proc/net/if_inet6"},
    TCP6("fe80::1", 22),
    TCP6("fe80::1", 80),
    TCP6("2001:4860:4860::8888", 53),
    TCP6("fd00:ec2::254", 80),
    TCP6("::ffff:169.254.169.254", 80),
    TCP6("64:ff9b::a9fe:a9fe", 80),
    TCP6("2002:a9fe:a9fe::1", 80),
    TCP4("169.254.169.254:80"),
    TCP4("169.254.169.253:53"),
    TCP4("169.254.170.2:80"),
    TCP4("100.100.100.200:80"),
    TCP4("10.0.0.1:80"),
    TCP4("172.17.0.1:2375"),
    TCP4("192.168.0.1:80"),
    TCP4("0.0.0.1:80"),
    TCP4("224.0.0.1:80"),
    TCP4("255.255.255.255:80"),
};

const struct probe_list probe_network = {rows, sizeof(rows) / sizeof(rows[0])};

/*
 * The sandbox network, in a network namespace that plays the host: `up0` leads to an "internet"
 * namespace that has a public address, the metadata address and a private network. Sockets are made
 * inside a namespace and used from outside; one child process answers on all listening ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "os/host_resolver.h"
#include "os/nft.h"
#include "os/sandbox_net.h"

#define PUBLIC   "203.0.113.10"
#define UPLINK   "203.0.113.1"
#define METADATA "169.254.169.254"
#define LAN      "192.168.77.1"
#define RESOLVER "192.168.77.53"

#define USUAL_RATE UINT64_C(125000000)

enum { A = 5, B = 6, WEB = 80, HOLD = 81, HOST_SERVICE = 9998, DNS = 53, MAX = 32 };
enum { WAIT_MS = 60000 };

/* What a program in a sandbox sees. */
enum seen { REACHED, REFUSED, SILENT };

static struct {
    int host;     /* its network namespace */
    int internet; /* the other end of up0 */
    int fds[MAX];
    unsigned nfds;
} world;

static uint32_t ip(const char *text)
{
    struct in_addr a;
    assert_int_equal(inet_pton(AF_INET, text, &a), 1);
    return ntohl(a.s_addr);
}

static void run(const char *command)
{
    int rc = system(command);
    if (rc != 0)
        fail_msg("`%s` ended with %d", command, rc);
}

static void enter(int netns)
{
    assert_int_equal(setns(netns, CLONE_NEWNET), 0);
}

static void run_in(int netns, const char *command)
{
    enter(netns);
    run(command);
    enter(world.host);
}

static int socket_in(int netns, int type)
{
    enter(netns);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    enter(world.host);
    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_in at(uint32_t addr, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr), .sin_port = htons(port)};
}

static int bound_in(int netns, int type, uint32_t addr, uint16_t port)
{
    const int on = 1;
    int fd = socket_in(netns, type);
    struct sockaddr_in a = at(addr, port);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static void listen_in(int netns, int type, uint32_t addr, uint16_t port)
{
    assert_true(world.nfds < MAX);
    world.fds[world.nfds++] = bound_in(netns, type, addr, port);
}

/* Answers `hi` to a connection and to a datagram; on HOLD it then echoes until the other end ends.
 */
static void answer(struct pollfd *p, struct pollfd *held)
{
    char buf[16];
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    struct sockaddr_in self = {0};
    int type = 0;
    (void)getsockopt(p->fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){sizeof(type)});
    (void)getsockname(p->fd, (struct sockaddr *)&self, &(socklen_t){sizeof(self)});
    if (type == SOCK_DGRAM) {
        if (recvfrom(p->fd, buf, sizeof(buf), 0, (struct sockaddr *)&peer, &len) >= 0)
            (void)sendto(p->fd, "hi", 2, 0, (struct sockaddr *)&peer, len);
        return;
    }
    int c = accept(p->fd, NULL, NULL);
    if (c < 0)
        return;
    (void)!write(c, "hi", 2);
    if (ntohs(self.sin_port) == HOLD && held->fd < 0)
        held->fd = c;
    else
        (void)close(c);
}

static void serve(void)
{
    struct pollfd p[MAX + 1];
    struct pollfd *held = &p[world.nfds];
    char c;
    for (unsigned i = 0; i < world.nfds; i++)
        p[i] = (struct pollfd){.fd = world.fds[i], .events = POLLIN};
    *held = (struct pollfd){.fd = -1, .events = POLLIN};
    while (poll(p, world.nfds + 1, -1) >= 0) {
        for (unsigned i = 0; i < world.nfds; i++)
            if (p[i].revents != 0)
                answer(&p[i], held);
        if (held->fd >= 0 && held->revents != 0 &&
            (read(held->fd, &c, 1) != 1 || write(held->fd, &c, 1) != 1)) {
            (void)close(held->fd);
            held->fd = -1;
        }
    }
}

/* Else the child would keep namespaces and the table's owner alive. */
static void close_others(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        bool ours = false;
        for (unsigned i = 0; i < world.nfds; i++)
            ours = ours || world.fds[i] == fd;
        if (!ours)
            (void)close(fd);
    }
}

/* Hands what listen_in() made to a child that answers; stop_serving() ends it. */
static pid_t start_serving(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_others();
        (void)signal(SIGPIPE, SIG_IGN);
        serve();
        _exit(1);
    }
    for (unsigned i = 0; i < world.nfds; i++)
        (void)close(world.fds[i]);
    world.nfds = 0;
    return pid;
}

static void stop_serving(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static enum seen refused_or_silent(void)
{
    switch (errno) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EACCES:
        return REFUSED;
    default:
        return SILENT;
    }
}

/* The next bytes, or how waiting for them ended. */
static enum seen wait_for(int fd, const char *want)
{
    char buf[16] = "";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, WAIT_MS) == 0)
        return SILENT;
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    if (n < 0)
        return refused_or_silent();
    return strcmp(buf, want) == 0 ? REACHED : SILENT;
}

static int start_connect(int netns, int type, uint32_t addr, uint16_t port)
{
    int fd = socket_in(netns, type | SOCK_NONBLOCK);
    struct sockaddr_in a = at(addr, port);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    if (type == SOCK_DGRAM)
        assert_int_equal(send(fd, "q", 1, 0), 1);
    return fd;
}

static enum seen probe(int netns, int type, uint32_t addr, uint16_t port)
{
    DT_AUTO_FD int fd = start_connect(netns, type, addr, port);
    return fd < 0 ? refused_or_silent() : wait_for(fd, "hi");
}

static enum seen tcp(int netns, const char *addr, uint16_t port)
{
    return probe(netns, SOCK_STREAM, ip(addr), port);
}

static enum seen udp(int netns, uint32_t addr, uint16_t port)
{
    return probe(netns, SOCK_DGRAM, addr, port);
}

#define ok(call)                                                                                   \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err.msg);                                                    \
    } while (0)

static struct dt_sandbox_net *open_limited(unsigned instance, uint32_t base, const char *resolver,
                                           uint64_t rate)
{
    struct dt_err err;
    struct dt_sandbox_net *net = NULL;
    const struct dt_sandbox_net_opts opts = {.instance = instance,
                                             .base = base,
                                             .resolver = resolver == NULL ? 0 : ip(resolver),
                                             .rate = rate};
    ok(dt_sandbox_net_open(&opts, &net, &err));
    assert_int_equal(dt_sandbox_net_rate(net), rate);
    return net;
}

static struct dt_sandbox_net *open_net(unsigned instance, uint32_t base, const char *resolver)
{
    return open_limited(instance, base, resolver, USUAL_RATE);
}

static int make(struct dt_sandbox_net *net, unsigned slot)
{
    struct dt_err err;
    int fd = -1;
    ok(dt_sandbox_net_make(net, slot, &fd, &err));
    return fd;
}

static struct dt_cidr cidr(const char *addr, uint32_t prefix)
{
    return (struct dt_cidr){ip(addr), prefix};
}

static void policy(struct dt_sandbox_net *net, unsigned slot, enum dt_sandbox_net_mode mode)
{
    struct dt_err err;
    ok(dt_sandbox_net_policy(net, slot, mode, NULL, 0, &err));
}

static void allow(struct dt_sandbox_net *net, unsigned slot, const struct dt_cidr *c, unsigned n)
{
    struct dt_err err;
    ok(dt_sandbox_net_policy(net, slot, DT_SANDBOX_NET_ALLOW, c, n, &err));
}

static unsigned count_entries(const char *dir, const char *prefix)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    (void)closedir(d);
    return n;
}

static unsigned count_ifaces(const char *prefix)
{
    unsigned n = 0;
    struct if_nameindex *all = if_nameindex();
    assert_non_null(all);
    for (const struct if_nameindex *i = all; i->if_index != 0; i++)
        n += strncmp(i->if_name, prefix, strlen(prefix)) == 0;
    if_freenameindex(all);
    return n;
}

/* The kernel takes a namespace down in the background. */
static void wait_for_no_iface(const char *prefix)
{
    uint64_t deadline = dt_clock_ms() + WAIT_MS;
    while (count_ifaces(prefix) > 0 && dt_clock_ms() < deadline)
        (void)poll(NULL, 0, 5);
    assert_int_equal(count_ifaces(prefix), 0);
}

/* What nft(8) or tc(8) says, which reads the kernel's state with none of our code. */
static bool output_has(const char *command, const char *text)
{
    char out[16384];
    FILE *f = popen(command, "re");
    assert_non_null(f);
    size_t n = fread(out, 1, sizeof(out) - 1, f);
    out[n] = '\0';
    (void)pclose(f);
    return strstr(out, text) != NULL;
}

static void assert_no_elements(unsigned instance)
{
    static const char *const sets[] = {"sources", "full", "allow"};
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        char cmd[80];
        (void)snprintf(cmd, sizeof(cmd), "nft list set inet daytona%u %s", instance, sets[i]);
        assert_true(output_has(cmd, "set "));
        assert_false(output_has(cmd, "elements"));
    }
}

static int build_world(void **state)
{
    (void)state;
    struct dt_err err;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    world.host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ok(dt_sandbox_net_make_alone(&world.internet, &err));
    run("ip link set lo up");
    run("ip link add up0 type veth peer name in0");
    char cmd[96];
    (void)snprintf(cmd, sizeof(cmd), "ip link set in0 netns /proc/%d/fd/%d", getpid(),
                   world.internet);
    run(cmd);
    run("ip addr add " UPLINK
        "/24 dev up0 && ip link set up0 up && ip route add default via " PUBLIC);
    run_in(world.internet, "ip addr add " PUBLIC "/24 dev in0 && ip link set in0 up && "
                           "for a in " METADATA " " LAN " " RESOLVER " 10.77.0.5 100.64.0.5 "
                           "172.30.16.98 10.222.96.98 "
                           "198.51.100.7; do ip addr add $a/32 dev lo; done");
    /* Refusals of datagrams are limited to one a second otherwise. */
    ok(dt_fd_put(AT_FDCWD, "/proc/sys/net/ipv4/icmp_ratelimit", "0", &err));
    return 0;
}

static int destroy_world(void **state)
{
    (void)state;
    (void)close(world.internet);
    (void)close(world.host);
    return 0;
}

static pid_t serve_the_internet(void)
{
    listen_in(world.internet, SOCK_STREAM, INADDR_ANY, WEB);
    listen_in(world.internet, SOCK_STREAM, INADDR_ANY, HOLD);
    listen_in(world.internet, SOCK_STREAM, INADDR_ANY, DNS);
    listen_in(world.internet, SOCK_DGRAM, ip(RESOLVER), DNS);
    listen_in(world.internet, SOCK_DGRAM, ip(PUBLIC), DNS);
    listen_in(world.internet, SOCK_DGRAM, ip(METADATA), DNS);
    listen_in(world.host, SOCK_STREAM, INADDR_ANY, HOST_SERVICE);
    listen_in(world.host, SOCK_STREAM, INADDR_ANY, DNS);
    listen_in(world.host, SOCK_DGRAM, ip(UPLINK), DNS);
    return start_serving();
}

/* Every destination against every policy. */
static void test_matrix(void **state)
{
    (void)state;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int full = make(net, 1);
    DT_AUTO_FD int none = make(net, 2);
    DT_AUTO_FD int all = make(net, 3);
    DT_AUTO_FD int some = make(net, 4);
    DT_AUTO_FD int peer = make(net, 5);
    const struct dt_cidr everything[] = {cidr("0.0.0.0", 0)};
    const struct dt_cidr lan[] = {cidr("192.168.77.9", 24), cidr("192.168.0.0", 16),
                                  cidr("198.51.100.7", 32)};
    policy(net, 1, DT_SANDBOX_NET_FULL);
    policy(net, 2, DT_SANDBOX_NET_NONE);
    allow(net, 3, everything, 1);
    allow(net, 4, lan, 3);
    policy(net, 5, DT_SANDBOX_NET_FULL);
    listen_in(peer, SOCK_STREAM, INADDR_ANY, WEB);
    pid_t server = serve_the_internet();

    static const struct {
        const char *addr;
        uint16_t port;
        enum seen full, none, all, some;
    } rows[] = {
        {PUBLIC, WEB, REACHED, REFUSED, REACHED, REFUSED},
        {"198.51.100.7", WEB, REACHED, REFUSED, REACHED, REACHED},
        {METADATA, WEB, REFUSED, REFUSED, REFUSED, REFUSED},
        {METADATA, DNS, REFUSED, REFUSED, REFUSED, REFUSED},
        {LAN, WEB, REFUSED, REFUSED, REACHED, REACHED},
        {RESOLVER, DNS, REFUSED, REFUSED, REACHED, REACHED},
        {"10.77.0.5", WEB, REFUSED, REFUSED, REACHED, REFUSED},
        {"100.64.0.5", WEB, REFUSED, REFUSED, REACHED, REFUSED},
        {UPLINK, HOST_SERVICE, REFUSED, REFUSED, REFUSED, REFUSED},
        {UPLINK, DNS, REFUSED, REFUSED, REFUSED, REFUSED},
        {"10.222.80.1", HOST_SERVICE, REFUSED, REFUSED, REFUSED, REFUSED}, /* the gateway */
        {"10.222.80.6", WEB, REFUSED, REFUSED, REFUSED, REFUSED},          /* the peer */
        {"10.222.80.99", WEB, REFUSED, REFUSED, REFUSED, REFUSED},
        {"127.0.0.1", HOST_SERVICE, REFUSED, REFUSED, REFUSED, REFUSED},
        {"10.222.80.1", DNS, REACHED, REFUSED, REACHED, REACHED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const enum seen want[] = {rows[i].full, rows[i].none, rows[i].all, rows[i].some};
        const int from[] = {full, none, all, some};
        for (size_t k = 0; k < 4; k++) {
            enum seen got = tcp(from[k], rows[i].addr, rows[i].port);
            if (got != want[k])
                fail_msg("%s:%u from sandbox %zu: %d, not %d", rows[i].addr, rows[i].port, k + 1,
                         (int)got, (int)want[k]);
        }
    }
    assert_int_equal(tcp(world.host, "10.222.80.6", WEB), REACHED);
    stop_serving(server);
}

/* Names are resolved through the gateway where the policy lets the resolver be reached. */
static void test_names(void **state)
{
    (void)state;
    struct dt_err err;
    pid_t server = serve_the_internet();
    static const char *const resolvers[] = {RESOLVER, METADATA, UPLINK, PUBLIC};
    for (size_t i = 0; i < 4; i++) {
        DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, resolvers[i]);
        uint32_t gateway = dt_sandbox_net_gateway(net);
        const struct dt_cidr other[] = {cidr("198.51.100.0", 24)};
        DT_AUTO_FD int ns = make(net, 1);
        policy(net, 1, DT_SANDBOX_NET_FULL);
        assert_int_equal(udp(ns, gateway, DNS), REACHED);
        assert_int_equal(udp(ns, gateway, 54), REFUSED);
        assert_int_equal(probe(ns, SOCK_STREAM, gateway, DNS), REACHED);
        assert_int_equal(udp(ns, ip(resolvers[i]), DNS), i == 3 ? REACHED : REFUSED);
        policy(net, 1, DT_SANDBOX_NET_NONE);
        assert_int_equal(udp(ns, gateway, DNS), REFUSED);
        assert_int_equal(probe(ns, SOCK_STREAM, gateway, DNS), REFUSED);
        assert_int_equal(udp(ns, ip(PUBLIC), DNS), REFUSED);
        assert_int_equal(tcp(ns, PUBLIC, DNS), REFUSED);
        allow(net, 1, other, 1);
        assert_int_equal(udp(ns, gateway, DNS), REFUSED);
        const struct dt_cidr itself[] = {{ip(resolvers[i]), 32}};
        allow(net, 1, itself, 1);
        /* The metadata address and the host itself are in nobody's reach. */
        assert_int_equal(udp(ns, gateway, DNS), i == 0 || i == 3 ? REACHED : REFUSED);
        ok(dt_sandbox_net_drop(net, 1, &err));
    }
    stop_serving(server);
}

static void put_resolv_conf(const char *text)
{
    struct dt_err err;
    DT_AUTO_FD int fd = open("/etc/resolv.conf", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    ok(dt_fd_write_all(fd, text, strlen(text), &err));
}

static void test_resolver_follows_the_host(void **state)
{
    (void)state;
    struct dt_err err;
    char path[] = "/tmp/dt-test-resolv-XXXXXX";
    DT_AUTO_FD int file = mkstemp(path);
    assert_true(file >= 0);
    /* Only in this process's mount namespace. */
    assert_int_equal(mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
    assert_int_equal(unlink(path), 0);
    pid_t server = serve_the_internet();
    put_resolv_conf("nameserver 127.0.0.53\nnameserver " RESOLVER "\n");
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, NULL);
    DT_AUTO_FD int ns = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    assert_int_equal(dt_sandbox_net_resolver(net), ip(RESOLVER));
    assert_int_equal(udp(ns, dt_sandbox_net_gateway(net), DNS), REACHED);
    put_resolv_conf("nameserver 198.51.100.7\n");
    ok(dt_sandbox_net_refresh(net, &err));
    assert_int_equal(udp(ns, dt_sandbox_net_gateway(net), DNS), REFUSED);
    put_resolv_conf("nameserver " PUBLIC "\n");
    ok(dt_sandbox_net_refresh(net, &err));
    ok(dt_sandbox_net_refresh(net, &err));
    assert_int_equal(udp(ns, dt_sandbox_net_gateway(net), DNS), REACHED);
    ok(dt_sandbox_net_drop(net, 1, &err));
    assert_int_equal(umount2("/etc/resolv.conf", MNT_DETACH), 0);
    stop_serving(server);
}

/* Sends and expects to be the first to arrive at `at_fd`, in front of nothing. */
static void assert_first(int at_fd, const char *want)
{
    char buf[16] = "";
    struct pollfd p = {.fd = at_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    assert_true(recv(at_fd, buf, sizeof(buf) - 1, MSG_DONTWAIT) > 0);
    assert_string_equal(buf, want);
    assert_int_equal(recv(at_fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void send_from(int netns, uint32_t source, const char *text)
{
    const int on = 1;
    DT_AUTO_FD int fd = socket_in(netns, SOCK_DGRAM);
    struct sockaddr_in from = at(source, 7001);
    struct sockaddr_in to = at(ip(PUBLIC), 7000);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)),
                     (ssize_t)strlen(text));
}

/* The rules alone must do it: `rp_filter` is the second lock. */
static void check_sources(const char *rp_filter)
{
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int one = make(net, 1);
    DT_AUTO_FD int two = make(net, 2);
    DT_AUTO_FD int arrivals = bound_in(world.internet, SOCK_DGRAM, ip(PUBLIC), 7000);
    ok(dt_fd_put(AT_FDCWD, "/proc/sys/net/ipv4/conf/all/rp_filter", rp_filter, &err));
    ok(dt_fd_put(AT_FDCWD, "/proc/sys/net/ipv4/conf/dt5-1/rp_filter", rp_filter, &err));
    send_from(one, dt_sandbox_net_addr(net, 1), "early");
    policy(net, 1, DT_SANDBOX_NET_FULL);
    policy(net, 2, DT_SANDBOX_NET_FULL);
    send_from(one, dt_sandbox_net_addr(net, 2), "peer's");
    send_from(one, dt_sandbox_net_gateway(net), "gateway's");
    send_from(one, ip("198.51.100.1"), "anybody's");
    send_from(one, dt_sandbox_net_addr(net, 1), "own");
    assert_first(arrivals, "own");
    send_from(two, dt_sandbox_net_addr(net, 2), "two");
    assert_first(arrivals, "two");
    ok(dt_sandbox_net_drop(net, 1, &err));
    send_from(one, dt_sandbox_net_addr(net, 1), "late");
    send_from(two, dt_sandbox_net_addr(net, 2), "still");
    assert_first(arrivals, "still");
    ok(dt_sandbox_net_drop(net, 2, &err));
}

static void test_source_is_fixed(void **state)
{
    (void)state;
    check_sources("1");
    check_sources("0");
}

/* What another program of the host publishes on the host's address is the host's too. */
static void test_published_ports_are_the_hosts(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    pid_t server = serve_the_internet();
    policy(net, 1, DT_SANDBOX_NET_FULL);
    run("nft 'table ip dt_test_publish { chain pre { type nat hook prerouting priority -100; "
        "tcp dport { 53, 8080 } dnat to " PUBLIC ":80; }; }'");
    assert_int_equal(tcp(ns, UPLINK, 8080), REFUSED);
    assert_int_equal(tcp(ns, "10.222.80.1", 8080), REFUSED);
    assert_int_equal(tcp(ns, "198.51.100.7", 8080), REACHED); /* the rule works */
    assert_int_equal(tcp(ns, "10.222.80.1", DNS), REACHED);   /* and ours comes first */
    run("nft delete table ip dt_test_publish");
    ok(dt_sandbox_net_drop(net, 1, &err));
    stop_serving(server);
}

static void test_no_ipv6(void **state)
{
    (void)state;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    enter(ns);
    DT_AUTO_FD int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_scope_id = if_nametoindex("eth0")};
    enter(world.host);
    static const char *const targets[] = {"fe80::1", "ff02::1", "2001:db8::1",
                                          "::ffff:169.254.169.254"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(inet_pton(AF_INET6, targets[i], &to.sin6_addr), 1);
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), -1);
    }
    run("test -z \"$(ip -6 addr show dev dt5-1)\"");
    run_in(ns, "test -z \"$(ip -6 addr)\"");
}

static void send_ipv6(int netns, const char *text)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(7000)};
    assert_int_equal(inet_pton(AF_INET6, "fd00:6::2", &to.sin6_addr), 1);
    enter(netns);
    DT_AUTO_FD int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    enter(world.host);
    assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)),
                     (ssize_t)strlen(text));
}

/* Even when somebody switches IPv6 on everywhere. The source holds 10.222.80.2 and 8.8.8.8 where an
 * IPv4 header has its addresses, so that rules which forget to ask for the protocol would take it
 * for sandbox 1. */
static void test_rules_drop_ipv6(void **state)
{
    (void)state;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(7000)};
    struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    run("cd /proc/sys/net/ipv6/conf && echo 0 > dt5-1/disable_ipv6 && echo 1 > all/forwarding && "
        "ip addr add fd00:5:ade:5002::1/64 dev dt5-1 nodad && "
        "ip addr add fd00:6::1/64 dev up0 nodad");
    run_in(world.internet, "echo 0 > /proc/sys/net/ipv6/conf/in0/disable_ipv6 && "
                           "ip addr add fd00:6::2/64 dev in0 nodad");
    run_in(ns, "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6 && "
               "ip addr add fd00:5:ade:5002:808:808::2/64 dev eth0 nodad && "
               "ip neigh replace fd00:5:ade:5002::1 lladdr 02:00:00:00:00:01 dev eth0 nud "
               "permanent && ip -6 route add default via fd00:5:ade:5002::1");
    enter(world.internet);
    DT_AUTO_FD int arrivals = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    enter(world.host);
    assert_int_equal(bind(arrivals, (struct sockaddr *)&any, sizeof(any)), 0);
    send_ipv6(ns, "ruled");
    (void)dt_sandbox_net_close(net);
    run("nft delete table inet daytona5");
    send_ipv6(ns, "unruled");
    assert_first(arrivals, "unruled");
    run("echo 0 > /proc/sys/net/ipv6/conf/all/forwarding && ip addr del fd00:6::1/64 dev up0");
}

/* Frames that only a program with power over the namespace could send: another source MAC and
 * protocol, and questions for the host's MAC. Nothing answers. */
static void test_raw_frames_are_ignored(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    static const uint8_t arp[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  1,   10, 222, 80, 2, 8, 6, /* to all, ARP */
        0,    1,    8,    0,    6,    4,    0,  1,                         /* who has */
        2,    1,    10,   222,  80,   2,    10, 222, 80, 2,                /* says us */
        0,    0,    0,    0,    0,    0,    10, 222, 80, 1,                /* the gateway */
    };
    enter(ns);
    DT_AUTO_FD int raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0806));
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("eth0")};
    enter(world.host);
    assert_true(raw >= 0);
    assert_int_equal(sendto(raw, arp, sizeof(arp), 0, (struct sockaddr *)&to, sizeof(to)),
                     sizeof(arp));
    struct pollfd p = {.fd = raw, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 200), 0);
    ok(dt_sandbox_net_drop(net, 1, &err));
}

static void test_instances_are_strangers(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *a = open_net(A, 0, RESOLVER);
    static const uint32_t bases[] = {0, 0xac1e1000}; /* 172.30.16.0 */
    for (size_t i = 0; i < 2; i++) {
        DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *b = open_net(B, bases[i], RESOLVER);
        DT_AUTO_FD int from = make(a, 1);
        DT_AUTO_FD int to = make(b, 1);
        const struct dt_cidr everything[] = {cidr("0.0.0.0", 0)};
        const struct dt_cidr exactly[] = {{dt_sandbox_net_addr(b, 1), 32}};
        allow(b, 1, everything, 1);
        listen_in(to, SOCK_STREAM, INADDR_ANY, WEB);
        listen_in(world.internet, SOCK_STREAM, INADDR_ANY, WEB);
        pid_t server = start_serving();
        policy(a, 1, DT_SANDBOX_NET_FULL);
        assert_int_equal(probe(from, SOCK_STREAM, exactly[0].addr, WEB), REFUSED);
        allow(a, 1, everything, 1);
        assert_int_equal(probe(from, SOCK_STREAM, exactly[0].addr, WEB), REFUSED);
        allow(a, 1, exactly, 1);
        assert_int_equal(probe(from, SOCK_STREAM, exactly[0].addr, WEB), REFUSED);
        assert_int_equal(probe(from, SOCK_STREAM, dt_sandbox_net_gateway(b), HOST_SERVICE),
                         REFUSED);
        assert_int_equal(probe(world.host, SOCK_STREAM, exactly[0].addr, WEB), REACHED);
        /* Nor does an address of its own /20 that no sandbox has lead to the LAN. */
        policy(b, 1, DT_SANDBOX_NET_NONE);
        allow(b, 1, everything, 1);
        assert_int_equal(probe(to, SOCK_STREAM, dt_sandbox_net_addr(b, 97), WEB), REFUSED);
        stop_serving(server);
        ok(dt_sandbox_net_drop(a, 1, &err));
        b = dt_sandbox_net_close(b);
        ok(dt_sandbox_net_purge(B, bases[i], &err));
    }
}

/* A new policy holds for a connection that is open. */
static void test_change_in_flight(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    pid_t server = serve_the_internet();
    const struct dt_cidr there[] = {cidr(PUBLIC, 32)};
    const struct dt_cidr elsewhere[] = {cidr("198.51.100.0", 24)};
    for (int i = 0; i < 2; i++) {
        policy(net, 1, DT_SANDBOX_NET_FULL);
        DT_AUTO_FD int fd = start_connect(ns, SOCK_STREAM, ip(PUBLIC), HOLD);
        assert_int_equal(wait_for(fd, "hi"), REACHED);
        allow(net, 1, there, 1);
        assert_int_equal(send(fd, "a", 1, 0), 1);
        assert_int_equal(wait_for(fd, "a"), REACHED);
        if (i == 0)
            policy(net, 1, DT_SANDBOX_NET_NONE);
        else
            allow(net, 1, elsewhere, 1);
        assert_int_equal(send(fd, "b", 1, 0), 1);
        assert_int_equal(wait_for(fd, "b"), REFUSED);
        assert_int_equal(tcp(ns, PUBLIC, WEB), REFUSED);
        /* The server never hears that the connection is over, so it gets a new one. */
        stop_serving(server);
        server = serve_the_internet();
    }
    ok(dt_sandbox_net_drop(net, 1, &err));
    stop_serving(server);
}

/* A datagram each way, so that the host tracks a connection; `peer` is where answers go. */
static int exchange(int netns, int remote, struct sockaddr_in *peer)
{
    char c;
    socklen_t len = sizeof(*peer);
    int fd = socket_in(netns, SOCK_DGRAM);
    struct sockaddr_in to = at(ip(PUBLIC), 7000);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, "q", 1, 0), 1);
    assert_int_equal(recvfrom(remote, &c, 1, 0, (struct sockaddr *)peer, &len), 1);
    return fd;
}

static void push(int remote, const struct sockaddr_in *peer, const char *text)
{
    assert_int_equal(
        sendto(remote, text, strlen(text), 0, (const struct sockaddr *)peer, sizeof(*peer)),
        (ssize_t)strlen(text));
}

/* Nor does anything come in on a connection that the policy no longer allows. */
static void test_change_stops_what_comes_in(void **state)
{
    (void)state;
    struct dt_err err;
    struct sockaddr_in peer;
    const struct dt_cidr there[] = {cidr(PUBLIC, 32)};
    const struct dt_cidr elsewhere[] = {cidr("198.51.100.0", 24)};
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    DT_AUTO_FD int remote = bound_in(world.internet, SOCK_DGRAM, ip(PUBLIC), 7000);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    DT_AUTO_FD int fd = exchange(ns, remote, &peer);
    push(remote, &peer, "full");
    assert_first(fd, "full");
    policy(net, 1, DT_SANDBOX_NET_NONE);
    push(remote, &peer, "none");
    allow(net, 1, elsewhere, 1);
    push(remote, &peer, "elsewhere");
    allow(net, 1, there, 1);
    push(remote, &peer, "there");
    assert_first(fd, "there");
    ok(dt_sandbox_net_drop(net, 1, &err));
}

/* Questions to the gateway count as well. */
static void flood(int netns, uint32_t gateway, bool names)
{
    for (unsigned i = 0; i < DT_SANDBOX_NET_FLOWS + 10; i++) {
        DT_AUTO_FD int fd = bound_in(netns, SOCK_DGRAM, INADDR_ANY, (uint16_t)(10000 + i));
        struct sockaddr_in to = names ? at(gateway, DNS) : at(ip(PUBLIC), 9);
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
    }
}

static void check_flows(const char *resolver, bool names)
{
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, resolver);
    DT_AUTO_FD int greedy = make(net, 1);
    DT_AUTO_FD int other = make(net, 2);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    policy(net, 2, DT_SANDBOX_NET_FULL);
    pid_t server = serve_the_internet();
    flood(greedy, dt_sandbox_net_gateway(net), names);
    assert_int_equal(tcp(greedy, PUBLIC, WEB), REFUSED);
    assert_int_equal(tcp(other, PUBLIC, WEB), REACHED);
    ok(dt_sandbox_net_drop(net, 1, &err));
    /* The next sandbox of the slot does not pay for them; the others keep theirs. */
    struct sockaddr_in peer;
    DT_AUTO_FD int remote = bound_in(world.internet, SOCK_DGRAM, ip(PUBLIC), 7000);
    DT_AUTO_FD int kept = exchange(other, remote, &peer);
    DT_AUTO_FD int next = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    assert_int_equal(tcp(next, PUBLIC, WEB), REACHED);
    push(remote, &peer, "kept");
    assert_first(kept, "kept");
    stop_serving(server);
    ok(dt_sandbox_net_drop(net, 1, &err));
    ok(dt_sandbox_net_drop(net, 2, &err));
}

static void test_flows_are_limited(void **state)
{
    (void)state;
    check_flows(RESOLVER, false);
    check_flows(RESOLVER, true);
    check_flows(UPLINK, true);
}

/* A connection from a sandbox to the internet, both of its ends here. */
static void join(int netns, int listener, int *inside, int *outside)
{
    *inside = start_connect(netns, SOCK_STREAM, ip(PUBLIC), 8000);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    *outside = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(*inside >= 0 && *outside >= 0);
}

/* Milliseconds that so many bytes take. */
static uint64_t pour(int from, int to, size_t bytes)
{
    static char buf[65536];
    uint64_t start = dt_clock_ms();
    size_t sent = 0, got = 0;
    while (got < bytes) {
        struct pollfd p[] = {{.fd = from, .events = sent < bytes ? POLLOUT : 0},
                             {.fd = to, .events = POLLIN}};
        assert_true(poll(p, 2, WAIT_MS) > 0);
        size_t left = bytes - sent < sizeof(buf) ? bytes - sent : sizeof(buf);
        ssize_t n = (p[0].revents & POLLOUT) != 0 ? write(from, buf, left) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = (p[1].revents & POLLIN) != 0 ? read(to, buf, sizeof(buf)) : 0;
        got += n > 0 ? (size_t)n : 0;
    }
    return dt_clock_ms() - start;
}

/* A busy machine only makes it slower: what counts is that nothing is faster than the limit. */
static void test_bandwidth_is_limited(void **state)
{
    (void)state;
    enum { RATE = 4000000, BYTES = 8000000, LEAST_MS = 1500 };
    DT_AUTO_FD int listener = bound_in(world.internet, SOCK_STREAM, ip(PUBLIC), 8000);
    static const struct {
        uint64_t rate;
        const char *queue;
    } rows[] = {{RATE, "rate 32Mbit"}, {0, NULL}};
    for (size_t i = 0; i < 2; i++) {
        struct dt_err err;
        DT_AUTO_FD int inside = -1;
        DT_AUTO_FD int outside = -1;
        DT_AUTO(dt_sandbox_net_close)
        struct dt_sandbox_net *net = open_limited(A, 0, RESOLVER, rows[i].rate);
        DT_AUTO_FD int ns = make(net, 1);
        policy(net, 1, DT_SANDBOX_NET_FULL);
        assert_int_equal(output_has("tc qdisc show dev dt5-1", "tbf"), rows[i].rate != 0);
        join(ns, listener, &inside, &outside);
        uint64_t up = pour(inside, outside, BYTES);
        uint64_t down = pour(outside, inside, BYTES);
        print_message("%8d bytes up in %d ms, down in %d ms\n", BYTES, (int)up, (int)down);
        if (rows[i].rate != 0) {
            assert_true(up >= LEAST_MS && down >= LEAST_MS);
            assert_true(output_has("tc qdisc show dev dt5-1", rows[i].queue));
        }
        ok(dt_sandbox_net_drop(net, 1, &err));
    }
}

static void test_restart_adopts(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    pid_t server = serve_the_internet();
    DT_AUTO_FD int ns = make(net, 7);
    policy(net, 7, DT_SANDBOX_NET_FULL);
    (void)dt_sandbox_net_close(net);
    assert_int_equal(tcp(ns, PUBLIC, WEB), REACHED);
    assert_int_equal(tcp(ns, UPLINK, HOST_SERVICE), REFUSED);
    net = open_net(A, 0, RESOLVER);
    assert_no_elements(A);
    ok(dt_sandbox_net_adopt(net, 7, DT_SANDBOX_NET_FULL, NULL, 0, &err));
    assert_int_equal(tcp(ns, PUBLIC, WEB), REACHED);
    assert_int_equal(dt_sandbox_net_adopt(net, 8, DT_SANDBOX_NET_FULL, NULL, 0, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    stop_serving(server);
    ok(dt_sandbox_net_drop(net, 7, &err));
    (void)dt_sandbox_net_close(net);
}

/* Its successor starts when the locks are free, which may be before the kernel has closed the rest.
 */
static void test_the_last_one_is_just_ending(void **state)
{
    (void)state;
    struct dt_err err;
    int ready[2], status;
    char c;
    ok(dt_sandbox_net_purge(A, 0, &err)); /* a table that stayed keeps its flags */
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t last = fork();
    if (last == 0) {
        struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
        (void)!write(ready[1], "r", 1);
        (void)usleep(300000);
        _exit(net == NULL);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    assert_int_equal(waitpid(last, &status, 0), last);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

/* What an administrator's firewall does when it starts again: nothing to us, or, on older kernels,
 * we notice and put our rules back. */
static void check_flush(bool unowned)
{
    struct dt_err err;
    bool restored = true;
    struct dt_sandbox_net *net = NULL;
    const struct dt_sandbox_net_opts opts = {
        .instance = A, .resolver = ip(RESOLVER), .unowned = unowned};
    ok(dt_sandbox_net_purge(A, 0, &err)); /* a table that stayed keeps its flags */
    ok(dt_sandbox_net_open(&opts, &net, &err));
    bool guarded = dt_sandbox_net_guard(net) >= 0;
    assert_true(guarded || !unowned);
    pid_t server = serve_the_internet();
    DT_AUTO_FD int full = make(net, 1);
    DT_AUTO_FD int none = make(net, 2);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    policy(net, 2, DT_SANDBOX_NET_NONE);
    ok(dt_sandbox_net_check(net, &restored, &err));
    assert_false(restored);
    run("nft add table inet other; nft delete table inet other");
    ok(dt_sandbox_net_check(net, &restored, &err));
    assert_false(restored);
    run("nft flush ruleset");
    struct pollfd p = {.fd = dt_sandbox_net_guard(net), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), guarded);
    ok(dt_sandbox_net_check(net, &restored, &err));
    assert_int_equal(restored, guarded);
    ok(dt_sandbox_net_check(net, &restored, &err));
    assert_false(restored);
    assert_int_equal(tcp(full, PUBLIC, WEB), REACHED);
    assert_int_equal(tcp(full, UPLINK, HOST_SERVICE), REFUSED);
    assert_int_equal(tcp(none, PUBLIC, WEB), REFUSED);
    assert_int_equal(tcp(none, UPLINK, HOST_SERVICE), REFUSED);
    stop_serving(server);
    ok(dt_sandbox_net_drop(net, 1, &err));
    ok(dt_sandbox_net_drop(net, 2, &err));
    (void)dt_sandbox_net_close(net);
}

static void test_flushed_rules_come_back(void **state)
{
    (void)state;
    check_flush(false);
    check_flush(true);
}

/* A slot that is used again at once, while its last interface is still there. */
static void test_slot_is_reused(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    pid_t server = serve_the_internet();
    DT_AUTO_FD int first = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    int unused;
    assert_int_equal(dt_sandbox_net_make(net, 1, &unused, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    ok(dt_sandbox_net_drop(net, 1, &err));
    ok(dt_sandbox_net_drop(net, 1, &err));
    DT_AUTO_FD int second = make(net, 1);
    assert_int_equal(tcp(first, PUBLIC, WEB), REFUSED); /* its interface is gone */
    policy(net, 1, DT_SANDBOX_NET_FULL);
    assert_int_equal(tcp(second, PUBLIC, WEB), REACHED);
    ok(dt_sandbox_net_drop(net, 1, &err));
    stop_serving(server);
}

static void test_settings_inside(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int routed = make(net, 1);
    DT_AUTO_FD int alone = -1;
    ok(dt_sandbox_net_make_alone(&alone, &err));
    const int both[] = {routed, alone};
    for (size_t i = 0; i < 2; i++) {
        run_in(both[i], "test \"$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)\" = 0");
        run_in(both[i], "test \"$(cat /proc/sys/net/ipv4/tcp_syn_retries)\" = 4");
        run_in(both[i], "test \"$(tr '\\t' ' ' < /proc/sys/net/ipv4/ping_group_range)\" = "
                        "'0 2147483647'");
        run_in(both[i], "ip link show lo | grep -q ',UP'");
        assert_true((fcntl(both[i], F_GETFD) & FD_CLOEXEC) != 0);
    }
    run_in(alone, "test \"$(ls /sys/class/net | grep -c eth0)\" -ge 0 && ! ip link show eth0 "
                  "2>/dev/null");
    assert_int_equal(tcp(alone, PUBLIC, WEB), REFUSED);
    run("test \"$(cat /proc/sys/net/ipv4/conf/dt5-1/rp_filter)\" = 1");
    run("test \"$(cat /proc/sys/net/ipv6/conf/dt5-1/disable_ipv6)\" = 1");
    run("ip link show dt5-1 | grep -q NOARP");
    run("ip neigh show dev dt5-1 | grep -q PERMANENT");
}

static bool is_running(const char *name)
{
    struct ifreq req = {0};
    DT_AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &req), 0);
    return (req.ifr_flags & IFF_RUNNING) != 0;
}

/* An interface that is up may still lose packets until the kernel has noticed its other end. */
static void test_first_packet_counts(void **state)
{
    (void)state;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    for (unsigned slot = 20; slot < 60; slot++) {
        char name[IFNAMSIZ];
        (void)snprintf(name, sizeof(name), "dt5-%u", slot);
        DT_AUTO_FD int ns = make(net, slot);
        assert_true(is_running(name));
        enter(ns);
        assert_true(is_running("eth0"));
        enter(world.host);
    }
}

/* Whatever runs out on the way, nothing is left and we are back on the host. */
static void test_failure_leaves_nothing(void **state)
{
    (void)state;
    struct dt_err err;
    struct rlimit old;
    int rc = -1;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int lowest = dup(world.host); /* what is free from here on is free for good */
    unsigned fds = count_entries("/proc/self/fd", "");
    unsigned failures = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (rlim_t more = 1; rc < 0; more++) {
        int ns = -1;
        const struct rlimit low = {(rlim_t)lowest + more, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        rc = dt_sandbox_net_make(net, 1, &ns, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        failures += rc < 0;
        assert_int_equal(ns >= 0, rc == 0);
        if (ns >= 0)
            (void)close(ns);
        assert_int_equal(count_entries("/proc/self/fd", ""), fds);
        assert_int_not_equal(if_nametoindex("up0"), 0);
    }
    assert_true(failures >= 3);
    /* Not of all slots: an earlier test's closing connections keep its namespace for a while. */
    wait_for_no_iface("dt5-1");
}

/* Without a way out, programs are told so. */
static void test_offline_host_fails_fast(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    run("ip route del default");
    for (int i = 0; i < 10; i++)
        assert_int_equal(tcp(ns, "198.51.100.7", WEB), REFUSED);
    assert_int_equal(udp(ns, ip("198.51.100.7"), DNS), REFUSED);
    run("ip route add default via " PUBLIC);
    ok(dt_sandbox_net_drop(net, 1, &err));
}

static void test_many_leave_nothing(void **state)
{
    (void)state;
    struct dt_err err;
    enum { MANY = 300 };
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    unsigned fds = count_entries("/proc/self/fd", "");
    struct dt_cidr ranges[DT_SANDBOX_NET_CIDRS];
    for (uint32_t k = 0; k < DT_SANDBOX_NET_CIDRS; k++)
        ranges[k] = (struct dt_cidr){0xcb007100 + k * 4, 31};
    int ns[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        ns[i] = make(net, i + 1);
        allow(net, i + 1, ranges, 1 + i % DT_SANDBOX_NET_CIDRS);
        if (i % 3 != 0)
            policy(net, i + 1, i % 3 == 1 ? DT_SANDBOX_NET_FULL : DT_SANDBOX_NET_NONE);
    }
    assert_int_equal(count_ifaces("dt5-"), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        (void)close(ns[i]);
        ok(dt_sandbox_net_drop(net, i + 1, &err));
    }
    assert_no_elements(A);
    assert_int_equal(count_entries("/proc/self/fd", ""), fds);
    wait_for_no_iface("dt5-");
}

static void test_purge(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    DT_AUTO_FD int ns = make(net, 1);
    policy(net, 1, DT_SANDBOX_NET_FULL);
    if (dt_sandbox_net_guard(net) < 0) /* then it is ours while it is open */
        assert_int_equal(dt_sandbox_net_purge(A, 0, &err), -1);
    (void)dt_sandbox_net_close(net);
    ok(dt_sandbox_net_purge(A, 0, &err));
    ok(dt_sandbox_net_purge(A, 0, &err));
    assert_int_equal(count_ifaces("dt5-"), 0);
    assert_false(output_has("nft list tables", "daytona5"));
    run("! ip addr show dev lo | grep -q 10.222.80.1");
}

static void test_bad_input(void **state)
{
    (void)state;
    struct dt_err err;
    static const struct dt_sandbox_net_opts opts[] = {
        {.instance = 16}, {.base = 0x0ade0001}, {.base = 0x08080000}, {.base = 0x7f000000}};
    for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
        struct dt_sandbox_net *none = NULL;
        assert_int_equal(dt_sandbox_net_open(&opts[i], &none, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_null(none);
    }
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    const struct dt_cidr c[DT_SANDBOX_NET_CIDRS + 1] = {{0, 33}};
    static const struct {
        unsigned slot;
        enum dt_sandbox_net_mode mode;
        unsigned n;
    } rows[] = {{0, DT_SANDBOX_NET_FULL, 0},   {4001, DT_SANDBOX_NET_FULL, 0},
                {1, DT_SANDBOX_NET_FULL, 1},   {1, DT_SANDBOX_NET_NONE, 1},
                {1, DT_SANDBOX_NET_ALLOW, 0},  {1, DT_SANDBOX_NET_ALLOW, 1},
                {1, DT_SANDBOX_NET_ALLOW, 17}, {1, (enum dt_sandbox_net_mode)3, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(dt_sandbox_net_policy(net, rows[i].slot, rows[i].mode, c, rows[i].n, &err),
                         -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
    int fd = -1;
    assert_int_equal(dt_sandbox_net_make(net, 4001, &fd, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID);
    assert_int_equal(fd, -1);
    assert_no_elements(A);
}

/* Overlapping, nested and adjacent ranges become what the kernel can hold. */
static void test_ranges_are_joined(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_sandbox_net_close) struct dt_sandbox_net *net = open_net(A, 0, RESOLVER);
    const struct dt_cidr rows[][3] = {
        {{0, 0}, {0, 0}, {0xffffffff, 32}},
        {{0x80000000, 1}, {0, 1}, {0x7fffffff, 32}},
        {{0xcb007100, 24}, {0xcb007200, 24}, {0xcb007180, 25}},
        {{0xffffffff, 32}, {0xfffffffe, 32}, {0, 32}},
        {{0xffffffff, 32}, {0xffffffff, 32}, {0xffffffff, 32}},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (unsigned slot = 1; slot <= 3; slot++)
            allow(net, slot, rows[i], 3);
    for (unsigned slot = 1; slot <= 3; slot++)
        ok(dt_sandbox_net_drop(net, slot, &err));
    assert_no_elements(A);
}

/* A batch that fails in one message changes nothing. */
static void test_batch_is_atomic(void **state)
{
    (void)state;
    struct dt_err err;
    DT_AUTO(dt_nft_close) struct dt_nft *n = NULL;
    const uint32_t one = htonl(1);
    const uint32_t two = htonl(2);
    const struct dt_nft_set set = {
        .name = "numbers", .id = 1, .key_type = DT_NFT_IPV4, .key_len = 4};
    ok(dt_nft_open("dt_test_batch", &n, &err));
    dt_nft_begin(n);
    dt_nft_table_add(n, 0);
    dt_nft_set_add(n, &set);
    ok(dt_nft_commit(n, &err));
    dt_nft_begin(n);
    dt_nft_elems_add(n, "numbers");
    dt_nft_elem(n, &one, sizeof(one), 0);
    dt_nft_elems_end(n);
    dt_nft_elems_del(n, "numbers");
    dt_nft_elem(n, &two, sizeof(two), 0);
    dt_nft_elems_end(n);
    assert_int_equal(dt_nft_commit(n, &err), -1);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_false(output_has("nft list table inet dt_test_batch", "elements"));
    dt_nft_begin(n);
    dt_nft_table_del(n);
    ok(dt_nft_commit(n, &err));
    dt_nft_begin(n);
    for (unsigned i = 0; i < 1000; i++)
        dt_nft_chain_hook(n, "a", "filter", 0, 0);
    assert_int_equal(dt_nft_commit(n, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
}

static void test_resolv_conf(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t want;
    } rows[] = {
        {"", 0},
        {"nameserver 1.2.3.4", 0x01020304},
        {"# nameserver 9.9.9.9\nsearch x\nnameserver\t1.2.3.4  \nnameserver 5.6.7.8", 0x01020304},
        {"nameserver 127.0.0.53\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver 10.0.0.2\n",
         0x0a000002},
        {"nameserver 127.0.0.1\n", 0},
        {"nameserver", 0},
        {"nameserver1.2.3.4\nnameservers 1.2.3.4", 0},
        {"nameserver 1.2.3\nnameserver 1.2.3.4.5\nnameserver 300.1.1.1", 0},
        {"nameserver 0.0.0.0", 0},
        {"nameserver 1111111111111111111111111111111111111111", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(dt_host_resolver_parse(dt_str_z(rows[i].text)), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_batch_is_atomic),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_resolver_follows_the_host),
        cmocka_unit_test(test_source_is_fixed),
        cmocka_unit_test(test_published_ports_are_the_hosts),
        cmocka_unit_test(test_no_ipv6),
        cmocka_unit_test(test_rules_drop_ipv6),
        cmocka_unit_test(test_raw_frames_are_ignored),
        cmocka_unit_test(test_instances_are_strangers),
        cmocka_unit_test(test_change_in_flight),
        cmocka_unit_test(test_change_stops_what_comes_in),
        cmocka_unit_test(test_flows_are_limited),
        cmocka_unit_test(test_bandwidth_is_limited),
        cmocka_unit_test(test_restart_adopts),
        cmocka_unit_test(test_the_last_one_is_just_ending),
        cmocka_unit_test(test_flushed_rules_come_back),
        cmocka_unit_test(test_slot_is_reused),
        cmocka_unit_test(test_settings_inside),
        cmocka_unit_test(test_first_packet_counts),
        cmocka_unit_test(test_failure_leaves_nothing),
        cmocka_unit_test(test_offline_host_fails_fast),
        cmocka_unit_test(test_ranges_are_joined),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_many_leave_nothing),
        cmocka_unit_test(test_purge),
    };
    return cmocka_run_group_tests_name("sandbox_net", tests, build_world, destroy_world);
}

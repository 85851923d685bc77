#include "oci/flow.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "oci/decompress.h"
#include "oci/jail.h"

enum { CHUNK = 128 * 1024, CHILD_END_MS = 30000 };

/* One direction: a buffer that is filled when empty and emptied when filled. */
struct half {
    char *p;
    size_t from, to;
    bool ended; /* nothing more will come in */
    struct dt_digest *digest;
};

struct flow {
    const struct dt_flow_spec *spec;
    struct dt_flow_sums *sums;
    struct half in;  /* file -> decompressor */
    struct half out; /* decompressor -> sink */
    uint64_t read;   /* bytes of the part that were read */
    int child;       /* socket */
    bool child_deaf; /* it ended before all input was sent */
    bool sink_is_file;
};

static ssize_t child_read(void *ctx, void *buf, size_t n, struct dt_err *err)
{
    (void)ctx;
    ssize_t got;
    do
        got = read(DT_JAIL_IN, buf, n);
    while (got < 0 && errno == EINTR);
    return got < 0 ? dt_err_errno(err, "read") : got;
}

static int child_write(void *ctx, const void *p, size_t n, struct dt_err *err)
{
    (void)ctx;
    return dt_fd_write_all(DT_JAIL_OUT, p, n, err);
}

static int child_run(void *ctx, void *report, struct dt_err *err)
{
    (void)report;
    const struct dt_decompress_io io = {
        .read = child_read, .write = child_write, .out_max = *(const uint64_t *)ctx};
    return dt_decompress(&io, err);
}

static int start_child(const struct dt_flow_spec *spec, struct dt_jail *jail, int *socket_ret,
                       struct dt_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return dt_err_errno(err, "socketpair");
    DT_AUTO_FD int ours = ends[0];
    DT_AUTO_FD int theirs = ends[1];
    uint64_t out_max = spec->out_max;
    const struct dt_jail_spec s = {.run = child_run,
                                   .ctx = &out_max,
                                   .in = theirs,
                                   .out = theirs,
                                   .rootfd = -1,
                                   .userns = spec->userns};
    if (dt_jail_start(&s, jail, err) < 0)
        return -1;
    *socket_ret = dt_take_fd(&ours);
    return 0;
}

static int read_file(struct flow *f, struct dt_err *err)
{
    uint64_t left = f->spec->size - f->read;
    ssize_t got;
    do
        got = pread(f->spec->fd, f->in.p, left < CHUNK ? (size_t)left : CHUNK,
                    (off_t)(f->spec->at + f->read));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return dt_err_errno(err, "read the archive");
    if (got == 0 && left > 0)
        return dt_err_set(err, DT_E_INVALID, "the archive ends too early");
    f->read += (uint64_t)got;
    f->in.from = 0;
    f->in.to = (size_t)got;
    if (dt_digest_add(f->in.digest, f->in.p, (size_t)got, err) < 0)
        return -1;
    if (f->read == f->spec->size && got == 0) {
        f->in.ended = true;
        (void)shutdown(f->child, SHUT_WR);
    }
    return 0;
}

static bool is_later(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static void send_to_child(struct flow *f)
{
    ssize_t put =
        send(f->child, f->in.p + f->in.from, f->in.to - f->in.from, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put >= 0) {
        f->in.from += (size_t)put;
    } else if (!is_later()) {
        f->child_deaf = true; /* why, its report will say */
        f->in.ended = true;
        f->in.from = f->in.to;
    }
}

static int read_from_child(struct flow *f, struct dt_err *err)
{
    ssize_t got = recv(f->child, f->out.p, CHUNK, MSG_DONTWAIT);
    if (got < 0 && is_later())
        return 0;
    if (got <= 0) {
        f->out.ended = true;
        return 0;
    }
    f->sums->out_bytes += (uint64_t)got;
    if (f->sums->out_bytes > f->spec->out_max)
        return dt_err_set(err, DT_E_TOO_LARGE, "more than %llu bytes uncompressed",
                          (unsigned long long)f->spec->out_max);
    f->out.from = 0;
    f->out.to = f->spec->sink >= 0 ? (size_t)got : 0;
    return dt_digest_add(f->out.digest, f->out.p, (size_t)got, err);
}

static int send_to_sink(struct flow *f, struct dt_err *err)
{
    const char *p = f->out.p + f->out.from;
    size_t n = f->out.to - f->out.from;
    ssize_t put = f->sink_is_file ? write(f->spec->sink, p, n)
                                  : send(f->spec->sink, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put >= 0) {
        f->out.from += (size_t)put;
        return 0;
    }
    if (is_later())
        return 0;
    f->sums->sink_closed = errno == EPIPE || errno == ECONNRESET;
    return dt_err_errno(err, "write");
}

static bool is_empty(const struct half *h)
{
    return h->from == h->to;
}

/* One round: waits until a direction can move and moves it. */
static int turn(struct flow *f, struct dt_err *err)
{
    struct pollfd p[2] = {{.fd = f->child}, {.fd = -1}};
    if (!is_empty(&f->in))
        p[0].events |= POLLOUT;
    if (is_empty(&f->out))
        p[0].events |= POLLIN;
    else
        p[1] = (struct pollfd){.fd = f->spec->sink, .events = POLLOUT};
    if (p[0].events == 0)
        p[0].fd = -1; /* else its hang-up would keep this turning */
    int ready = poll(p, 2, DT_FLOW_STALL_MS);
    if (ready < 0 && errno != EINTR)
        return dt_err_errno(err, "poll");
    if (ready == 0)
        return dt_err_set(err, DT_E_TIMEOUT, "nothing moved for %d s", DT_FLOW_STALL_MS / 1000);
    if (!is_empty(&f->in) && (p[0].revents & (POLLOUT | POLLERR | POLLHUP)) != 0)
        send_to_child(f);
    if (is_empty(&f->out) && (p[0].revents & (POLLIN | POLLERR | POLLHUP)) != 0)
        return read_from_child(f, err);
    return !is_empty(&f->out) && p[1].revents != 0 ? send_to_sink(f, err) : 0;
}

static int run(struct flow *f, struct dt_err *err)
{
    while (!f->out.ended || !is_empty(&f->out)) {
        if (!f->in.ended && is_empty(&f->in) && read_file(f, err) < 0)
            return -1;
        if (turn(f, err) < 0)
            return -1;
    }
    return 0;
}

static int finish(struct flow *f, struct dt_jail *jail, struct dt_err *err)
{
    if (dt_jail_wait(jail, CHILD_END_MS, NULL, err) < 0)
        return -1;
    if (f->child_deaf || !f->in.ended)
        return dt_err_set(err, DT_E_SYSTEM, "the decompressing process ended too early");
    if (dt_digest_end(f->in.digest, f->sums->in, err) < 0)
        return -1;
    return dt_digest_end(f->out.digest, f->sums->out, err);
}

int dt_flow_run(const struct dt_flow_spec *spec, struct dt_flow_sums *ret, struct dt_err *err)
{
    DT_AUTO(dt_digest_free) struct dt_digest *in = NULL;
    DT_AUTO(dt_digest_free) struct dt_digest *out = NULL;
    DT_AUTO_FREE char *buffers = malloc(2 * (size_t)CHUNK);
    DT_AUTO_FD int child = -1;
    struct dt_jail jail = {0};
    struct stat st = {0};
    *ret = (struct dt_flow_sums){0};
    if (buffers == NULL)
        return dt_err_set(err, DT_E_NOMEM, "buffers");
    if (spec->sink >= 0 && fstat(spec->sink, &st) < 0)
        return dt_err_errno(err, "fstat");
    if (dt_digest_new(&in, err) < 0 || dt_digest_new(&out, err) < 0 ||
        start_child(spec, &jail, &child, err) < 0)
        return -1;
    struct flow f = {.spec = spec,
                     .sums = ret,
                     .in = {.p = buffers, .digest = in},
                     .out = {.p = buffers + CHUNK, .digest = out},
                     .child = child,
                     .sink_is_file = S_ISREG(st.st_mode)};
    int rc = run(&f, err);
    if (rc == 0)
        rc = finish(&f, &jail, err);
    dt_jail_kill(&jail);
    return rc;
}

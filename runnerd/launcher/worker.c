#include "runnerd/launcher/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/fdpass.h"
#include "base/rand.h"

enum { FD_SOCKET = 3, FD_KEEP = 4, FD_ASIDE = 32, QUEUE_BYTES = 8 << 20 };

void dt_id_text(const uint8_t id[16], char out[DT_ID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = out;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[id[i] >> 4];
        *at++ = digits[id[i] & 15];
    }
    *at = '\0';
}

bool dt_id_parse(const char *text, uint8_t id[16])
{
    if (!dt_is_uuid(text))
        return false;
    for (int i = 0; i < 16; i++) {
        if (*text == '-')
            text++;
        unsigned v = 0;
        for (int k = 0; k < 2; k++, text++)
            v = v * 16 + (unsigned)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
        id[i] = (uint8_t)v;
    }
    return true;
}

static void worker_gone(struct dt_worker *w)
{
    dt_worker_stop(w);
    w->died(w->ctx);
}

static void on_answer(void *ctx, uint32_t events)
{
    struct dt_worker *w = ctx;
    struct dt_job_done done;
    int fds[DT_JOB_FDS] = {-1, -1};
    unsigned nfds = DT_JOB_FDS;
    ssize_t n = dt_fdpass_recv(w->watch.fd, &done, sizeof(done), fds, &nfds, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && (events & EPOLLHUP) == 0)
        return;
    if (n != (ssize_t)sizeof(done)) {
        worker_gone(w);
        return;
    }
    done.text[sizeof(done.text) - 1] = '\0';
    if (done.alive == 0)
        w->done(w->ctx, &done, fds);
    else if (w->alive != NULL)
        w->alive(w->ctx);
}

/* In the forked child. */
static _Noreturn void become_worker(const struct dt_worker *w, int sock, pid_t launcher)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != launcher)
        _exit(127);
    int from[3] = {sock, w->keep[0], w->keep[1]};
    for (int i = 0; i < 3; i++) {
        if (from[i] >= 0)
            from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FD_ASIDE);
    }
    for (int i = 0; i < 3; i++) {
        if (from[i] >= 0 && dup2(from[i], FD_SOCKET + i) < 0)
            _exit(127);
    }
    (void)setpriority(PRIO_PROCESS, 0, w->nice);
    (void)execl("/proc/self/exe", "daytona-launcher", "--worker", "--data-dir", w->data_dir, NULL);
    _exit(127);
}

int dt_worker_start(struct dt_worker *w, struct dt_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return dt_err_errno(err, "socketpair");
    DT_AUTO_FD int ours = ends[0];
    DT_AUTO_FD int theirs = ends[1];
    int size = QUEUE_BYTES;
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    pid_t self = getpid();
    w->pid = fork();
    if (w->pid < 0)
        return dt_err_errno(err, "fork");
    if (w->pid == 0)
        become_worker(w, theirs, self);
    w->watch = (struct dt_watch){.fn = on_answer, .ctx = w, .fd = dt_take_fd(&ours)};
    if (dt_loop_watch(w->loop, &w->watch, EPOLLIN, err) < 0) {
        dt_worker_stop(w);
        return -1;
    }
    return 0;
}

void dt_worker_stop(struct dt_worker *w)
{
    if (w->pid <= 0)
        return;
    dt_loop_unwatch(w->loop, &w->watch);
    (void)close(w->watch.fd);
    (void)kill(w->pid, SIGKILL);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    w->pid = -1;
}

int dt_worker_send(struct dt_worker *w, const struct dt_job *job, struct dt_err *err)
{
    if (w->pid <= 0 || send(w->watch.fd, job, sizeof(*job), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return dt_err_set(err, DT_E_UNAVAILABLE,
                          "too much file work is waiting; try again in a moment");
    return 0;
}

void dt_worker_close(struct dt_worker *w, int fd)
{
    struct dt_job job = {.op = DT_JOB_KEEP};
    bool sent =
        w->pid > 0 && dt_fdpass_send(w->watch.fd, &job, sizeof(job), &fd, 1, MSG_DONTWAIT) > 0;
    (void)close(fd);
    job.op = DT_JOB_CLOSE;
    if (sent)
        (void)send(w->watch.fd, &job, sizeof(job), MSG_NOSIGNAL | MSG_DONTWAIT);
}

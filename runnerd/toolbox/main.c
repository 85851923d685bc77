/* daytona-toolbox: pid 1 of a sandbox. Descriptor 3 is its listening socket, 4 its configuration.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "toolbox/askpass.h"
#include "toolbox/capture.h"
#include "toolbox/entrypoint.h"
#include "toolbox/process.h"
#include "toolbox/pty.h"
#include "toolbox/rest.h"
#include "toolbox/toolbox.h"
#include "toolbox/work.h"

enum { LISTEN_FD = 3, CONFIG_FD = 4, GRACE_MS = 3000, LOOK_MS = 20 };

static struct dt_toolbox toolbox;
static uv_poll_t term;
static uv_timer_t look;
static uint64_t term_ms;

/* As pid 1 everybody in the sandbox is ours; anywhere else only what we started is. */
static bool signal_everybody(int sig)
{
    if (getpid() == 1)
        return kill(-1, sig) == 0;
    dt_process_signal_all(sig);
    return false;
}

static void on_look(uv_timer_t *t)
{
    if (signal_everybody(0) && dt_clock_ms() - term_ms < GRACE_MS)
        return;
    uv_stop(t->loop);
}

static void end(uv_loop_t *loop)
{
    if (term_ms != 0)
        return;
    term_ms = dt_clock_ms();
    dt_ws_group_close(&toolbox.sockets, DT_WS_GOING_AWAY, DT_STR("the sandbox stops"));
    dt_pty_hang_up(); /* a shell at a terminal ignores SIGTERM */
    (void)signal_everybody(SIGTERM);
    (void)signal_everybody(SIGCONT); /* who is stopped cannot end */
    (void)uv_timer_init(loop, &look);
    (void)uv_timer_start(&look, on_look, 0, LOOK_MS);
}

/* A signal from outside of our pid namespace has no sender. One from inside is a stray kill: nobody
 * in the sandbox decides over its end. */
static void on_term(uv_poll_t *p, int status, int events)
{
    struct signalfd_siginfo info;
    int fd;
    (void)status;
    (void)events;
    if (uv_fileno((uv_handle_t *)p, &fd) < 0)
        return;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_pid == 0 || getpid() != 1)
            end(p->loop);
    }
}

static int watch_term(uv_loop_t *loop, struct dt_err *err)
{
    sigset_t only;
    (void)sigemptyset(&only);
    (void)sigaddset(&only, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &only, NULL);
    int fd = signalfd(-1, &only, SFD_CLOEXEC | SFD_NONBLOCK);
    int r = fd < 0 ? UV_EMFILE : uv_poll_init(loop, &term, fd);
    if (r == 0)
        r = uv_poll_start(&term, UV_READABLE, on_term);
    return r < 0 ? dt_err_set(err, DT_E_SYSTEM, "SIGTERM: %s", uv_strerror(r)) : 0;
}

static void reset_signals(void)
{
    sigset_t none;
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, s == SIGPIPE ? SIG_IGN : SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* One arena, and what is free goes back soon: there are many sandboxes, and most of them wait. */
static void save_memory(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_TRIM_THRESHOLD, 64 * 1024);
    (void)mallopt(M_TOP_PAD, 4 * 1024);
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

static int start(uv_loop_t *loop, struct dt_err *err)
{
    struct dt_http_server *server;
    toolbox.loop = loop;
    dt_rest_init(loop);
    toolbox.output_dir = DT_CAPTURE_DIR;
    /* Whose the sandbox is may not be known for a while: all else comes before. */
    if (dt_process_init(loop, err) < 0 || dt_work_init(loop, err) < 0 ||
        dt_http_server_new(loop, NULL, dt_toolbox_handle, &toolbox, &server, err) < 0 ||
        watch_term(loop, err) < 0)
        return -1;
    dt_guest_prepare();
    if (dt_guest_init(&toolbox.guest, CONFIG_FD, err) < 0)
        return -1;
    if (dt_http_server_listen_fd(server, LISTEN_FD, err) < 0)
        return -1;
    dt_entrypoint_start(&toolbox);
    return 0;
}

int main(int argc, char **argv)
{
    if (dt_askpass_wanted(argc))
        return dt_askpass_run(argv[1]);
    struct dt_err err;
    reset_signals();
    save_memory();
    (void)umask(022); /* incoming.h counts on it */
    dt_log_init("daytona-toolbox", DT_LOG_INFO);
    if (chdir("/") < 0 || start(uv_default_loop(), &err) < 0) {
        dt_log(DT_LOG_ERROR, "cannot start", "err", err.msg, NULL);
        return toolbox.guest.no_user ? EX_CONFIG : 1;
    }
    dt_log(DT_LOG_INFO, "ready", "user", toolbox.guest.user.name, "workdir", toolbox.guest.workdir,
           NULL);
    (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return 0;
}

/*
 * Looking after the shell of a session. `set -n` makes it read everything and run nothing, also not
 * the line that reports a command's status: it would seem to work for ever. So it is looked at once
 * in a while, less and less often, while it has a command. One that has read all that we wrote,
 * is back on our pipe, sleeps without a child, and has reported nothing, waits for more: its script
 * ends, and it with that.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "toolbox/session_in.h"

enum { LOOK_MS = 200, LOOK_MAX_MS = 30 * 1000, STAT_MAX = 1024 };

static size_t read_text(const char *path, char *text, size_t size)
{
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Itself, and not until a program has ended, such as one of a trap. */
static bool sleeps(pid_t pid)
{
    char path[64], text[STAT_MAX];
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (read_text(path, text, sizeof(text)) > 0)
        return false;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    (void)read_text(path, text, sizeof(text));
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") S", 3) == 0;
}

/* While it runs a command, its standard input is the command's. */
static bool reads_script(const struct dt_session *s)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)s->pid);
    return stat(path, &st) == 0 && st.st_ino == s->feed_inode;
}

static bool waits_for_more(struct dt_session *s)
{
    if (s->feed == NULL || s->report == NULL || !reads_script(s) || !sleeps(s->pid) ||
        !dt_outpipe_is_read(s->feed))
        return false;
    const struct dt_job *job = s->running;
    dt_inpipe_drain(s->report); /* it may have reported since the loop has looked */
    return s->feed != NULL && s->running == job;
}

static void on_look(uv_timer_t *t)
{
    struct dt_session *s = t->data;
    if (s->running == NULL || s->dead || s->deleting)
        return;
    if (waits_for_more(s)) {
        s->feed = dt_outpipe_close(s->feed);
        return;
    }
    if (s->running == NULL)
        return;
    s->look_ms = s->look_ms < LOOK_MAX_MS / 2 ? 2 * s->look_ms : LOOK_MAX_MS;
    (void)uv_timer_start(t, on_look, s->look_ms, 0);
}

void dt_session_look(struct dt_session *s)
{
    s->look_ms = LOOK_MS;
    (void)uv_timer_start(&s->timer, on_look, LOOK_MS, 0);
}

/* Finding and killing all that a command left behind. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"
#include "toolbox/process.h"

enum { ATTEMPTS_MAX = 4, ROUNDS_MAX = 32, ENVIRON_MAX = 256 * 1024, FOUND_MAX = 65536 };

struct entry {
    pid_t pid, parent, session;
    bool ours;
};

struct walk {
    struct entry *list;
    size_t n, cap;
};

/* The fields behind the command's name, which may itself hold blanks and parentheses. */
static bool read_stat(int proc, const char *pid, struct entry *out)
{
    char path[32], text[512];
    (void)snprintf(path, sizeof(path), "%.16s/stat", pid);
    DT_AUTO_FD int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return false;
    char state = at[2], *next;
    int parent = (int)strtol(at + 3, &next, 10);
    (void)strtol(next, &next, 10); /* the process group */
    int session = (int)strtol(next, &next, 10);
    *out =
        (struct entry){.pid = (pid_t)strtol(pid, NULL, 10), .parent = parent, .session = session};
    return state != 'Z' && state != 'X';
}

static bool has_marker(int proc, pid_t pid, const char *marker, struct dt_buf *text)
{
    char path[32];
    (void)snprintf(path, sizeof(path), "%d/environ", pid);
    dt_buf_clear(text);
    struct dt_err err;
    /* TOO_LARGE leaves the beginning, which is where our variable is when nobody moved it. */
    if (dt_fd_read_file(proc, path, text, &err) < 0 && text->n == 0)
        return false;
    return text->n > 0 && memmem(text->p, text->n, marker, strlen(marker) + 1) != NULL;
}

static bool grow(struct walk *w)
{
    if (w->n < w->cap)
        return true;
    size_t cap = w->cap == 0 ? 64 : w->cap * 2;
    struct entry *list = cap <= FOUND_MAX ? reallocarray(w->list, cap, sizeof(*list)) : NULL;
    if (list == NULL)
        return false;
    w->list = list;
    w->cap = cap;
    return true;
}

static void look(int proc, struct walk *w)
{
    w->n = 0;
    DT_AUTO_FD int own = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL)
        return;
    (void)dt_take_fd(&own);
    const struct dirent *e;
    while ((e = readdir(dir)) != NULL && grow(w)) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
            read_stat(proc, e->d_name, &w->list[w->n]) && w->list[w->n].pid != getpid())
            w->n++;
    }
    (void)closedir(dir);
}

static bool leads(const struct entry *e, pid_t leader)
{
    return leader > 0 && (e->pid == leader || e->session == leader);
}

static bool is_ours(const struct walk *w, const struct entry *e, pid_t leader)
{
    if (leads(e, leader))
        return true;
    for (size_t i = 0; i < w->n; i++) {
        if (w->list[i].ours && (w->list[i].pid == e->parent || w->list[i].pid == e->session))
            return true;
    }
    return false;
}

/* Marks the marked, then their descendants until nothing changes. Returns how many there are. */
static size_t mark(int proc, struct walk *w, pid_t leader, const char *marker, struct dt_buf *text)
{
    size_t count = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct entry *e = &w->list[i];
        e->ours = leads(e, leader) || has_marker(proc, e->pid, marker, text);
        count += e->ours;
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < w->n; i++) {
            if (w->list[i].ours || !is_ours(w, &w->list[i], leader))
                continue;
            w->list[i].ours = changed = true;
            count++;
        }
    }
    return count;
}

static void signal_marked(const struct walk *w, int sig)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->list[i].ours)
            (void)kill(w->list[i].pid, sig);
    }
}

/* One attempt; returns how many there were. Stopped first: who does not run cannot fork away
 * between two walks. */
static size_t kill_marked(int proc, struct walk *w, pid_t leader, const char *marker,
                          struct dt_buf *text)
{
    size_t before = 0, now = 0;
    for (int i = 0; i < ROUNDS_MAX; i++) {
        look(proc, w);
        now = mark(proc, w, leader, marker, text);
        signal_marked(w, SIGSTOP);
        if (now == before)
            break;
        before = now;
    }
    signal_marked(w, SIGKILL);
    if (leader > 0)
        (void)kill(-leader, SIGKILL);
    return now;
}

void dt_process_kill_tree(pid_t leader, const char *marker)
{
    DT_AUTO_FD int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0) {
        if (leader > 0)
            (void)kill(-leader, SIGKILL);
        return;
    }
    struct walk w = {NULL, 0, 0};
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, ENVIRON_MAX);
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        if (kill_marked(proc, &w, leader, marker, &text) == 0)
            break;
    }
    free(w.list);
}

size_t dt_process_signal_tree(pid_t leader, const char *marker, int sig)
{
    DT_AUTO_FD int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return leader > 0 && kill(-leader, sig) == 0 ? 1 : 0;
    struct walk w = {NULL, 0, 0};
    DT_AUTO_BUF struct dt_buf text;
    dt_buf_init(&text, ENVIRON_MAX);
    look(proc, &w);
    size_t n = mark(proc, &w, leader, marker, &text);
    if (n > 0 && sig != 0)
        signal_marked(&w, sig);
    free(w.list);
    return n;
}

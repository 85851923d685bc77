#include "toolbox/session_in.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/rand.h"
#include "toolbox/entrypoint.h"
#include "toolbox/shell.h"

enum {
    FEED_MAX = 64 * 1024 * 1024, /* a command whose every byte is quoted, and more */
    LATE_MAX = 16 * 1024,
    NOT_RUN = -1,
};

static struct dt_session *sessions;
static unsigned count; /* those that are being deleted, too */

/* --- the queue --- */

static void run_next(struct dt_session *s);

static void late(struct dt_session *s, int stream, const char *p, size_t n)
{
    if (n == 0) {
        s->base[stream] = NULL;
        return;
    }
    struct dt_buf *b = &s->late[stream];
    size_t room = b->max - b->n;
    if (dt_buf_add(b, p, n < room ? n : room, NULL) < 0)
        dt_buf_clear(b);
}

static void on_base_out(void *ctx, const char *p, size_t n)
{
    late(ctx, DT_JOURNAL_OUT, p, n);
}

static void on_base_err(void *ctx, const char *p, size_t n)
{
    late(ctx, DT_JOURNAL_ERR, p, n);
}

static void drain_base(struct dt_session *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->base[i] != NULL)
            dt_inpipe_drain(s->base[i]);
    }
}

/* What the shell prints between commands is about our own lines (set -x, set -v, traps). */
static void drop_late(struct dt_session *s)
{
    drain_base(s);
    for (int i = 0; i < 2; i++)
        dt_buf_done(&s->late[i]);
}

/* At its end it is what its EXIT trap prints. */
static void give_late(struct dt_session *s, struct dt_job *job)
{
    drain_base(s);
    for (int i = 0; i < 2; i++) {
        if (job != NULL)
            dt_job_say(job, (enum dt_journal_stream)i, dt_buf_str(&s->late[i]));
        dt_buf_done(&s->late[i]);
    }
}

static void finish_running(struct dt_session *s, int exit_code)
{
    struct dt_job *job = s->running;
    s->running = NULL;
    if (job == NULL)
        return;
    if (!s->deleting)
        (void)uv_timer_stop(&s->timer);
    job->cancelled = s->deleting;
    dt_job_finish(job, exit_code);
}

static void on_status(struct dt_session *s, struct dt_str line)
{
    unsigned long long status;
    if (dt_str_u64(line, 255, &status) < 0)
        return;
    drop_late(s);
    finish_running(s, (int)status);
}

static void on_report(void *ctx, const char *p, size_t n)
{
    struct dt_session *s = ctx;
    if (n == 0) {
        /* Nobody can report any more: another program took the shell's place and will end, or the
         * shell has lost the descriptor, and ends with its script. */
        s->report = NULL;
        s->feed = dt_outpipe_close(s->feed);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            on_status(s, dt_str(s->said, s->nsaid));
            s->nsaid = 0;
        } else if (s->nsaid < sizeof(s->said)) {
            s->said[s->nsaid++] = p[i];
        }
    }
    run_next(s);
}

static int feed(struct dt_session *s, struct dt_job *job, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf script;
    dt_buf_init(&script, FEED_MAX);
    if (s->feed == NULL)
        return dt_err_set(err, DT_E_SESSION_ENDED, "session process has exited");
    if (dt_session_script(&script, s->bash, dt_str_z(job->command), &job->fifos, err) < 0 ||
        dt_job_open(job, err) < 0)
        return -1;
    return dt_outpipe_write(s->feed, script.p, script.n, err);
}

static struct dt_job *first_waiting(const struct dt_session *s)
{
    struct dt_job *job = s->jobs;
    while (job != NULL && job->state != DT_JOB_WAITING)
        job = job->next;
    return job;
}

static void start_job(struct dt_session *s, struct dt_job *job)
{
    struct dt_err err;
    if (feed(s, job, &err) == 0) {
        job->state = DT_JOB_RUNNING;
        s->waiting--;
        s->running = job;
        dt_session_look(s);
        return;
    }
    dt_job_say(job, DT_JOURNAL_ERR, dt_str_z(err.msg));
    job->never_ran = err.code == DT_E_SESSION_ENDED;
    dt_job_finish(job, NOT_RUN);
}

static void run_next(struct dt_session *s)
{
    while (!s->dead && !s->deleting && s->running == NULL) {
        struct dt_job *job = first_waiting(s);
        if (job == NULL)
            return;
        start_job(s, job);
    }
}

int dt_session_exec(struct dt_session *s, const struct dt_job_opts *o, struct dt_job **ret,
                    struct dt_err *err)
{
    if (s->dead || s->feed == NULL)
        return dt_err_set(err, DT_E_SESSION_ENDED,
                          "the session's shell has ended: delete the session and create it again");
    if (s->waiting >= DT_SESSION_WAITING_MAX)
        return dt_err_set(err, DT_E_LIMIT, "%d commands of this session wait already",
                          DT_SESSION_WAITING_MAX);
    struct dt_job *job = dt_job_new(s, o, err);
    if (job == NULL)
        return -1;
    *s->jobs_end = job;
    s->jobs_end = &job->next;
    s->waiting++;
    *ret = job;
    if (s->running != NULL)
        dt_session_look(s);
    run_next(s);
    return 0;
}

/* --- the shell's end --- */

static void on_exit_status(void *ctx, int status)
{
    struct dt_session *s = ctx;
    struct dt_job *job;
    s->pid = 0;
    s->dead = true;
    if (s->report != NULL)
        dt_inpipe_drain(s->report); /* it may have said how its last command ended */
    give_late(s, s->running);
    finish_running(s, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    while (!s->deleting && (job = first_waiting(s)) != NULL) {
        job->never_ran = true;
        dt_job_say(job, DT_JOURNAL_ERR,
                   DT_STR("the session's shell ended before this command began\n"));
        dt_job_finish(job, NOT_RUN);
    }
}

/* --- the shell's beginning --- */

static int make_pipe(int ends[2], int ours, struct dt_err *err)
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return dt_err_errno(err, "pipe");
    (void)fcntl(ends[ours], F_SETFL, O_NONBLOCK);
    return 0;
}

static int reading_end(struct dt_session *s, dt_inpipe_data *on_data, struct dt_inpipe **pipe,
                       int *theirs, struct dt_err *err)
{
    int ends[2];
    if (make_pipe(ends, 0, err) < 0)
        return -1;
    *theirs = ends[1];
    return dt_inpipe_new(s->tb->loop, ends[0], on_data, s, pipe, err);
}

static int writing_end(struct dt_session *s, int *theirs, struct dt_err *err)
{
    struct stat st;
    int ends[2];
    if (make_pipe(ends, 1, err) < 0)
        return -1;
    *theirs = ends[0];
    if (fstat(ends[0], &st) == 0)
        s->feed_inode = st.st_ino;
    return dt_outpipe_new(s->tb->loop, ends[1], FEED_MAX, &s->feed, err);
}

static int spawn(struct dt_session *s, bool in_home, struct dt_err *err)
{
    const struct dt_guest *g = &s->tb->guest;
    DT_AUTO_FD int in = -1;
    DT_AUTO_FD int out = -1;
    DT_AUTO_FD int errors = -1;
    DT_AUTO_FD int report = -1;
    const char *const more[] = {s->marker, NULL};
    const char *shell = dt_shell_find(err);
    DT_AUTO_FREE char **env = dt_guest_env(g, NULL, more, err);
    bool homely = in_home && access(g->user.home, X_OK) == 0;
    DT_AUTO_FREE char *cwd = dt_guest_cwd(g, homely ? g->user.home : NULL, err);
    if (shell == NULL || env == NULL || cwd == NULL || writing_end(s, &in, err) < 0 ||
        reading_end(s, on_base_out, &s->base[0], &out, err) < 0 ||
        reading_end(s, on_base_err, &s->base[1], &errors, err) < 0 ||
        reading_end(s, on_report, &s->report, &report, err) < 0)
        return -1;
    const char *const argv[] = {shell, "-s", NULL};
    s->bash = strstr(shell, "bash") != NULL;
    const struct dt_process_opts o = {
        .argv = argv,
        .env = env,
        .cwd = cwd,
        .in = in,
        .out = out,
        .errors = errors,
        .extra = {report, -1},
        .oom_fd = g->oom_fd,
    };
    if (dt_process_spawn(&o, &s->pid, err) < 0)
        return -1;
    dt_process_watch(&s->watch, s->pid, on_exit_status, s);
    return dt_outpipe_write(s->feed, DT_SESSION_SCRIPT_BEGIN, strlen(DT_SESSION_SCRIPT_BEGIN), err);
}

struct dt_session *dt_session_make(struct dt_toolbox *tb, const char *id)
{
    struct dt_session *s = calloc(1, sizeof(*s));
    if (s == NULL || (s->id = strdup(id)) == NULL) {
        free(s);
        return NULL;
    }
    char random[25];
    dt_rand_alnum(random, 24);
    (void)snprintf(s->marker, sizeof(s->marker), "DAYTONA_COMMAND_ID=%s", random);
    dt_rand_alnum(random, 8);
    (void)snprintf(s->folder, sizeof(s->folder), "/tmp/.daytona/%.8s", random);
    s->tb = tb;
    s->jobs_end = &s->jobs;
    dt_buf_init(&s->late[0], LATE_MAX);
    dt_buf_init(&s->late[1], LATE_MAX);
    return s;
}

void dt_session_list(struct dt_session *s)
{
    s->next = sessions;
    sessions = s;
}

static int check_own(struct dt_str id, struct dt_err *err)
{
    if (!dt_str_eq(id, DT_STR(DT_ENTRYPOINT_SESSION)))
        return 0;
    return dt_err_set(err, DT_E_BAD_REQUEST,
                      "the session '" DT_ENTRYPOINT_SESSION
                      "' is the image's own program: it can be read, and neither created nor "
                      "deleted nor given commands or input");
}

static int check_id(const char *id, struct dt_err *err)
{
    if (id[0] == '\0')
        return dt_err_set(err, DT_E_BAD_REQUEST, "sessionId cannot be empty");
    if (check_own(dt_str_z(id), err) < 0)
        return -1;
    if (strlen(id) > DT_SESSION_ID_MAX)
        return dt_err_set(err, DT_E_BAD_REQUEST, "sessionId is longer than %d bytes",
                          DT_SESSION_ID_MAX);
    if (dt_session_find(dt_str_z(id), NULL) != NULL)
        return dt_err_set(err, DT_E_CONFLICT, "session already exists");
    if (count >= DT_SESSIONS_MAX)
        return dt_err_set(err, DT_E_LIMIT, "%d sessions are open already: delete one",
                          DT_SESSIONS_MAX);
    return 0;
}

int dt_session_new(struct dt_toolbox *tb, const char *id, bool in_home, struct dt_err *err)
{
    if (check_id(id, err) < 0)
        return -1;
    struct dt_session *s = dt_session_make(tb, id);
    if (s == NULL)
        return dt_err_set(err, DT_E_NOMEM, "session");
    if (spawn(s, in_home, err) < 0) {
        if (s->pid != 0) {
            dt_process_forget(&s->watch);
            (void)kill(s->pid, SIGKILL);
        }
        dt_session_free(s);
        return dt_err_wrap(err, "session");
    }
    (void)uv_timer_init(tb->loop, &s->timer);
    s->timer.data = s;
    dt_session_list(s);
    count++;
    return 0;
}

/* --- finding --- */

struct dt_session *dt_session_find(struct dt_str id, struct dt_err *err)
{
    for (struct dt_session *s = sessions; s != NULL; s = s->next) {
        if (!s->deleting && dt_str_eq(dt_str_z(s->id), id))
            return s;
    }
    (void)dt_err_set(err, DT_E_NOT_FOUND, "session not found");
    return NULL;
}

struct dt_session *dt_session_find_own(struct dt_str id, struct dt_err *err)
{
    return check_own(id, err) == 0 ? dt_session_find(id, err) : NULL;
}

static struct dt_session *visible(struct dt_session *s)
{
    while (s != NULL && (s->deleting || strcmp(s->id, DT_ENTRYPOINT_SESSION) == 0))
        s = s->next;
    return s;
}

struct dt_session *dt_session_first(void)
{
    return visible(sessions);
}

struct dt_session *dt_session_next(const struct dt_session *s)
{
    return visible(s->next);
}

const char *dt_session_id(const struct dt_session *s)
{
    return s->id;
}

struct dt_job *dt_session_job(const struct dt_session *s, struct dt_str id, struct dt_err *err)
{
    for (struct dt_job *job = s->jobs; job != NULL; job = job->next) {
        if (dt_str_eq(dt_str_z(job->id), id))
            return job;
    }
    (void)dt_err_set(err, DT_E_NOT_FOUND, "command not found");
    return NULL;
}

struct dt_job *dt_session_first_job(const struct dt_session *s)
{
    return s->jobs;
}

void dt_session_unlist(struct dt_session *s)
{
    for (struct dt_session **at = &sessions; *at != NULL; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            count--;
            return;
        }
    }
}

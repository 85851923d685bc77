/* Commands of sessions: their pipes, their logs, their end. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/rand.h"
#include "toolbox/session_in.h"

enum { LINGER_MAX = 256 };

static struct dt_job *ended_first, *ended_last;
static size_t ended_weight;

/* --- making --- */

struct dt_job *dt_job_ref(struct dt_job *job)
{
    job->refs++;
    return job;
}

static void close_pipes(struct dt_job *job)
{
    for (int i = 0; i < 2; i++)
        job->streams[i] = dt_inpipe_close(job->streams[i]);
    job->in = dt_outpipe_close(job->in);
}

void dt_job_unref(struct dt_job *job)
{
    if (--job->refs > 0)
        return;
    close_pipes(job);
    dt_buf_done(&job->early);
    (void)dt_journal_free(job->journal);
    free(job->command);
    free(job);
}

struct dt_job *dt_job_new(struct dt_session *s, const struct dt_job_opts *o, struct dt_err *err)
{
    struct dt_job *job = calloc(1, sizeof(*job));
    if (job == NULL || (job->command = strdup(o->command)) == NULL) {
        (void)dt_err_set(err, DT_E_NOMEM, "command");
        free(job);
        return NULL;
    }
    job->refs = 1;
    job->input = o->input;
    job->echo = o->echo;
    job->session = s;
    job->fifos = (struct dt_session_fifos){s->folder, ++s->numbers, o->input};
    dt_buf_init(&job->early, DT_SESSION_INPUT_MAX);
    dt_rand_uuid(job->id);
    if (dt_journal_new(s->tb->guest.user.home, &job->journal, err) < 0) {
        dt_job_unref(job);
        return NULL;
    }
    return job;
}

/* --- readers --- */

void dt_job_read(struct dt_job *job, struct dt_job_reader *r)
{
    r->next = job->readers;
    job->readers = r;
}

void dt_job_read_stop(struct dt_job *job, struct dt_job_reader *r)
{
    if (job->reading == r)
        job->reading = r->next;
    for (struct dt_job_reader **at = &job->readers; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            return;
        }
    }
}

static void tell(struct dt_job *job)
{
    (void)dt_job_ref(job);
    job->reading = job->readers;
    while (job->reading != NULL) {
        const struct dt_job_reader *r = job->reading;
        job->reading = r->next;
        r->on_news(r->ctx);
    }
    dt_job_unref(job);
}

void dt_job_say(struct dt_job *job, enum dt_journal_stream stream, struct dt_str text)
{
    if (text.n == 0)
        return;
    dt_journal_add(job->journal, stream, text.p, text.n);
    tell(job);
}

/* --- pipes --- */

static void name(const struct dt_job *job, char kind, char out[128])
{
    (void)snprintf(out, 128, "%s/%lu%c", job->fifos.folder, job->fifos.number, kind);
}

static void drop_names(struct dt_job *job)
{
    char path[128];
    if (!job->has_fifos)
        return;
    for (const char *kind = "oei"; *kind != '\0'; kind++) {
        name(job, *kind, path);
        (void)unlink(path);
    }
    job->has_fifos = false;
}

static void on_stream(struct dt_job *job, enum dt_journal_stream stream, const char *p, size_t n)
{
    if (n > 0)
        drop_names(job); /* the shell has opened all of them */
    if (n == 0)
        job->streams[stream] = NULL;
    else
        dt_job_say(job, stream, dt_str(p, n));
}

static void on_out(void *ctx, const char *p, size_t n)
{
    on_stream(ctx, DT_JOURNAL_OUT, p, n);
}

static void on_err(void *ctx, const char *p, size_t n)
{
    on_stream(ctx, DT_JOURNAL_ERR, p, n);
}

static int open_fifo(const struct dt_job *job, char kind, int mode, struct dt_err *err)
{
    char path[128];
    name(job, kind, path);
    (void)unlink(path);
    if (mkfifo(path, 0600) < 0)
        return dt_err_errno(err, "the command's pipes: %s", path);
    int fd = open(path, mode | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : dt_err_errno(err, "the command's pipes: %s", path);
}

static int open_all(struct dt_job *job, struct dt_err *err)
{
    uv_loop_t *loop = job->session->tb->loop;
    int fd = open_fifo(job, 'o', O_RDONLY, err);
    if (fd < 0 || dt_inpipe_new(loop, fd, on_out, job, &job->streams[0], err) < 0)
        return -1;
    fd = open_fifo(job, 'e', O_RDONLY, err);
    if (fd < 0 || dt_inpipe_new(loop, fd, on_err, job, &job->streams[1], err) < 0)
        return -1;
    if (!job->input)
        return 0;
    fd = open_fifo(job, 'i', O_RDWR, err); /* whoever opens it to read finds a writer */
    if (fd < 0 || dt_outpipe_new(loop, fd, DT_SESSION_INPUT_MAX, &job->in, err) < 0)
        return -1;
    int r = job->early.n > 0 ? dt_outpipe_write(job->in, job->early.p, job->early.n, err) : 0;
    dt_buf_done(&job->early);
    return r == 0 && job->early_end ? dt_outpipe_end(job->in, err) : r;
}

int dt_job_open_plain(struct dt_job *job, int theirs[2], struct dt_err *err)
{
    uv_loop_t *loop = job->session->tb->loop;
    dt_inpipe_data *const on_data[2] = {on_out, on_err};
    for (int i = 0; i < 2; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
            return dt_err_errno(err, "pipe");
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
        theirs[i] = ends[1];
        if (dt_inpipe_new(loop, ends[0], on_data[i], job, &job->streams[i], err) < 0)
            return -1;
    }
    return 0;
}

int dt_job_open(struct dt_job *job, struct dt_err *err)
{
    const char *folder = job->fifos.folder;
    char parent[64];
    (void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(folder, '/') - folder), folder);
    job->has_fifos = true;
    if (mkdir(folder, 0700) < 0 && errno == ENOENT) { /* somebody cleaned up */
        (void)mkdir(parent, 0755);
        (void)mkdir(folder, 0700);
    }
    if (open_all(job, err) == 0)
        return 0;
    drop_names(job);
    close_pipes(job);
    return -1;
}

/* --- input --- */

static int check_input(const struct dt_job *job, struct dt_err *err)
{
    if (job->never_ran || job->cancelled)
        return dt_err_set(err, DT_E_SESSION_ENDED, "session process has exited");
    if (job->state == DT_JOB_OVER)
        return dt_err_set(err, DT_E_COMMAND_ALREADY_COMPLETED,
                          "command has already completed with exit code %d", job->exit_code);
    if (!job->input)
        return dt_err_set(err, DT_E_BAD_REQUEST,
                          "the command has no input: start it with runAsync to give it some");
    return 0;
}

static int end_input(struct dt_job *job, struct dt_err *err)
{
    job->early_end = job->state == DT_JOB_WAITING;
    return job->early_end ? 0 : dt_outpipe_end(job->in, err);
}

static int put_line(struct dt_job *job, struct dt_str data, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf line;
    dt_buf_init(&line, DT_SESSION_INPUT_MAX);
    if (job->early_end)
        return dt_err_set(err, DT_E_BAD_REQUEST, "the input has ended");
    if (dt_buf_adds(&line, data, err) < 0 ||
        (data.p[data.n - 1] != '\n' && dt_buf_addz(&line, "\n", err) < 0))
        return dt_err_wrap(err, "input");
    int r = job->state == DT_JOB_WAITING ? dt_buf_adds(&job->early, dt_buf_str(&line), err)
                                         : dt_outpipe_write(job->in, line.p, line.n, err);
    if (r < 0 && err->code == DT_E_BAD_REQUEST)
        return -1;
    if (r < 0) {
        err->code = err->code == DT_E_TOO_LARGE ? DT_E_LIMIT : err->code;
        return dt_err_wrap(err, "the command does not read its input");
    }
    if (job->echo)
        dt_job_say(job, DT_JOURNAL_OUT, dt_buf_str(&line));
    return 0;
}

int dt_job_input(struct dt_job *job, struct dt_str data, bool end, struct dt_err *err)
{
    if (check_input(job, err) < 0)
        return -1;
    if (data.n == 0 && !end)
        return dt_err_set(err, DT_E_BAD_REQUEST, "data cannot be empty");
    if (data.n > 0 && put_line(job, data, err) < 0)
        return -1;
    return end ? end_input(job, err) : 0;
}

/* --- the end --- */

static void unlink_ended(struct dt_job *job)
{
    if (job->weight == 0)
        return;
    ended_weight -= job->weight;
    job->weight = 0;
    *(job->ended_prev != NULL ? &job->ended_prev->ended_next : &ended_first) = job->ended_next;
    *(job->ended_next != NULL ? &job->ended_next->ended_prev : &ended_last) = job->ended_prev;
}

void dt_job_forget(struct dt_job *job)
{
    struct dt_session *s = job->session;
    for (struct dt_job **at = &s->jobs; *at != NULL; at = &(*at)->next) {
        if (*at != job)
            continue;
        *at = job->next;
        if (s->jobs_end == &job->next)
            s->jobs_end = at;
        break;
    }
    unlink_ended(job);
    drop_names(job);
    close_pipes(job);
    s->ended -= job->state == DT_JOB_OVER;
    s->waiting -= job->state == DT_JOB_WAITING;
    job->session = NULL;
    job->next = NULL;
    dt_job_unref(job);
}

/* Background processes keep our pipes; too many of them would use up our descriptors. */
static void bound_lingering(void)
{
    unsigned n = 0;
    for (struct dt_job *job = ended_last; job != NULL; job = job->ended_prev) {
        n += job->streams[0] != NULL || job->streams[1] != NULL;
        if (n > LINGER_MAX)
            close_pipes(job);
    }
}

static void bound_memory(const struct dt_job *but)
{
    while (ended_weight > DT_SESSION_MEMORY_MAX && ended_first != but)
        dt_job_forget(ended_first);
    const struct dt_session *s = but->session;
    while (s->ended > DT_SESSION_ENDED_MAX) {
        struct dt_job *job = s->jobs;
        while (job->state != DT_JOB_OVER)
            job = job->next;
        if (job == but)
            break;
        dt_job_forget(job);
    }
}

static void shorten(struct dt_job *job)
{
    size_t n = strlen(job->command);
    if (n <= DT_SESSION_SHOWN_MAX)
        return;
    for (n = DT_SESSION_SHOWN_MAX; ((unsigned char)job->command[n] & 0xc0) == 0x80; n--)
        ;
    char *copy = strndup(job->command, n);
    if (copy == NULL)
        return;
    free(job->command);
    job->command = copy;
}

static void link_ended(struct dt_job *job)
{
    job->weight = sizeof(*job) + strlen(job->command) + dt_journal_memory(job->journal);
    ended_weight += job->weight;
    job->ended_prev = ended_last;
    job->ended_next = NULL;
    *(ended_last != NULL ? &ended_last->ended_next : &ended_first) = job;
    ended_last = job;
    job->session->ended++;
}

void dt_job_finish(struct dt_job *job, int exit_code)
{
    (void)dt_job_ref(job);
    for (int i = 0; i < 2; i++) {
        if (job->streams[i] != NULL)
            dt_inpipe_drain(job->streams[i]);
    }
    drop_names(job);
    job->in = dt_outpipe_close(job->in);
    dt_buf_done(&job->early);
    job->session->waiting -= job->state == DT_JOB_WAITING;
    job->state = DT_JOB_OVER;
    job->exit_code = exit_code;
    dt_journal_seal(job->journal);
    shorten(job);
    if (!job->kept) {
        link_ended(job);
        bound_lingering();
        bound_memory(job);
    }
    tell(job);
    dt_job_unref(job);
}

/* --- what others see --- */

struct dt_job *dt_job_next(const struct dt_job *job)
{
    return job->next;
}

const char *dt_job_id(const struct dt_job *job)
{
    return job->id;
}

const char *dt_job_command(const struct dt_job *job)
{
    return job->command;
}

bool dt_job_is_over(const struct dt_job *job)
{
    return job->state == DT_JOB_OVER;
}

bool dt_job_is_cancelled(const struct dt_job *job)
{
    return job->cancelled;
}

bool dt_job_never_ran(const struct dt_job *job)
{
    return job->never_ran;
}

int dt_job_exit_code(const struct dt_job *job)
{
    return job->exit_code;
}

struct dt_journal *dt_job_journal(struct dt_job *job)
{
    return job->journal;
}

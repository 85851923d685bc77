#include "toolbox/entrypoint.h"

#include <stdio.h>
#include <sys/wait.h>

#include "base/log.h"
#include "json/json.h"
#include "toolbox/program.h"
#include "toolbox/session_in.h"
#include "toolbox/shell.h"

enum { NOT_FOUND = 127, NOT_STARTED = 126 };

/* --- how it is shown --- */

static bool is_plain(const char *word)
{
    return word[0] != '\0' && word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789"
                                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ@%+=:,./-_")] == '\0';
}

static int add_word(struct dt_buf *out, const char *word, struct dt_err *err)
{
    struct dt_str rest = dt_str_z(word), piece;
    if (out->n > 0 && dt_buf_addz(out, " ", err) < 0)
        return -1;
    if (is_plain(word))
        return dt_buf_addz(out, word, err);
    const char *before = "'";
    for (; dt_str_cut(&rest, '\'', &piece); before = "'\\''") {
        if (dt_buf_addz(out, before, err) < 0 || dt_buf_adds(out, piece, err) < 0)
            return -1;
    }
    return dt_buf_addz(out, "'", err);
}

/* As one would type it. */
static char *command_line(const json_t *words, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf line;
    dt_buf_init(&line, 4 * (size_t)DT_GUEST_CONFIG_MAX);
    size_t i;
    const json_t *word;
    json_array_foreach((json_t *)words, i, word)
    {
        if (add_word(&line, json_string_value(word), err) < 0)
            return NULL;
    }
    return dt_buf_take(&line);
}

/* --- its run --- */

static void on_exit_status(void *ctx, int status)
{
    struct dt_session *s = ctx;
    s->pid = 0;
    s->dead = true;
    dt_job_finish(s->jobs, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* argv behind one place more, for the shell of a script that names none. */
static const char **make_argv(const json_t *words, struct dt_err *err)
{
    size_t i;
    const json_t *word;
    const char **argv = calloc(json_array_size(words) + 2, sizeof(*argv));
    if (argv == NULL)
        (void)dt_err_set(err, DT_E_NOMEM, "entrypoint");
    json_array_foreach((json_t *)words, i, word)
    {
        if (argv != NULL)
            argv[i + 1] = json_string_value(word);
    }
    return argv;
}

static int run(struct dt_session *s, const int output[2], struct dt_err *err)
{
    const struct dt_guest *g = &s->tb->guest;
    DT_AUTO_FREE char *cwd = dt_guest_cwd(g, NULL, err);
    DT_AUTO_FREE const char **argv = make_argv(g->entrypoint, err);
    DT_AUTO_FREE char *program = NULL;
    if (cwd == NULL || argv == NULL || (program = dt_program_find(g->env, argv[1], err)) == NULL)
        return -1;
    struct dt_process_opts o = {
        .program = program,
        .argv = argv + 1,
        .env = g->env,
        .cwd = cwd,
        .in = -1,
        .out = output[0],
        .errors = output[1],
        .extra = {-1, -1},
        .oom_fd = g->oom_fd,
    };
    int r = dt_process_spawn(&o, &s->pid, err);
    if (r == 0 || err->sys_errno != ENOEXEC || (argv[0] = dt_shell_find(NULL)) == NULL)
        return r;
    o.program = argv[0];
    o.argv = argv;
    argv[1] = program;
    return dt_process_spawn(&o, &s->pid, err);
}

static int start(struct dt_session *s, struct dt_job *job, struct dt_err *err)
{
    DT_AUTO_FD int out = -1;
    DT_AUTO_FD int errors = -1;
    int theirs[2] = {-1, -1};
    int r = dt_job_open_plain(job, theirs, err);
    out = theirs[0];
    errors = theirs[1];
    if (r < 0 || run(s, theirs, err) < 0)
        return -1;
    dt_process_watch(&s->watch, s->pid, on_exit_status, s);
    job->state = DT_JOB_RUNNING;
    return 0;
}

static struct dt_job *add_job(struct dt_session *s, struct dt_err *err)
{
    DT_AUTO_FREE char *line = command_line(s->tb->guest.entrypoint, err);
    const struct dt_job_opts o = {.command = line};
    struct dt_job *job = line != NULL ? dt_job_new(s, &o, err) : NULL;
    if (job == NULL)
        return NULL;
    (void)snprintf(job->id, sizeof(job->id), DT_ENTRYPOINT_COMMAND);
    job->kept = true;
    *s->jobs_end = job;
    s->jobs_end = &job->next;
    s->waiting++;
    return job;
}

void dt_entrypoint_start(struct dt_toolbox *tb)
{
    struct dt_err err;
    if (json_array_size(tb->guest.entrypoint) == 0)
        return;
    (void)dt_err_set(&err, DT_E_NOMEM, "session");
    struct dt_session *s = dt_session_make(tb, DT_ENTRYPOINT_SESSION);
    struct dt_job *job = s != NULL ? add_job(s, &err) : NULL;
    if (job == NULL) {
        dt_log(DT_LOG_WARN, "the image's entrypoint does not run", "err", err.msg, NULL);
        if (s != NULL)
            dt_session_free(s);
        return;
    }
    dt_session_list(s);
    if (start(s, job, &err) == 0) {
        s->waiting--;
        return;
    }
    (void)dt_err_wrap(&err, "the image's entrypoint cannot be started");
    dt_job_say(job, DT_JOURNAL_ERR, dt_str_z(err.msg));
    dt_job_say(job, DT_JOURNAL_ERR, DT_STR("\n"));
    s->dead = true;
    dt_job_finish(job, err.code == DT_E_FILE_NOT_FOUND ? NOT_FOUND : NOT_STARTED);
}

/* One run of git: its arguments, environment, credentials, deadline and output. */
#ifndef DT_TOOLBOX_GIT_RUN_H
#define DT_TOOLBOX_GIT_RUN_H

#include "json/json.h"
#include "toolbox/clone_url.h"
#include "toolbox/command.h"

enum { DT_GIT_TIMEOUT_MS = 30 * 60 * 1000, DT_GIT_OUT_MAX = 4 * 1024 * 1024 };

/* Arguments behind `git` and its settings. Views: the texts are the caller's, but for those given
 * to dt_git_args_own(). */
struct dt_git_args {
    const char **v;
    size_t n, cap;
    char **owned;
    size_t nowned;
    bool failed; /* no memory: dt_git_run_start() tells */
};
/* Adds texts up to NULL. */
void dt_git_args_add(struct dt_git_args *a, ...) __attribute__((sentinel));
/* Takes `text`; NULL counts as no memory. */
void dt_git_args_own(struct dt_git_args *a, char *text);
void dt_git_args_done(struct dt_git_args *a);
#define DT_AUTO_GIT_ARGS __attribute__((unused, cleanup(dt_git_args_done)))

/* What git may tell one site, and nobody else: see askpass.h. */
struct dt_git_secret {
    char *site; /* scheme://host[:port] */
    char *username;
    char *password;
    int store; /* askpass's descriptor; -1: there are no credentials */
};
void dt_git_secret_init(struct dt_git_secret *s);
void dt_git_secret_done(struct dt_git_secret *s);
/* Copies all three; `username` may be NULL or empty. */
int dt_git_secret_set(struct dt_git_secret *s, const char *site, const char *username,
                      const char *password, struct dt_err *err) DT_MUST_CHECK;

struct dt_git_end {
    int exit_code; /* -1: ended by a signal */
    bool timed_out;
    bool too_long;            /* there was more on standard output than DT_GIT_OUT_MAX */
    const struct dt_buf *out; /* standard output, without on_out; borrowed */
    struct dt_capture *errors;
};

struct dt_git_run_opts {
    const struct dt_git_args *args;
    const char *dir;                    /* -C; NULL: none, and it runs in `/` */
    const struct dt_git_secret *secret; /* NULL, or without credentials: those of the user count */
    const json_t *env;                  /* over the rest; may be NULL */
    int in;                             /* standard input; 0: none; the caller's */
    bool no_hooks;
    bool no_tls_check;
    bool servers_only; /* no file URLs: the addresses are a repository's, not the caller's */
    bool own_ssh;      /* core.sshCommand of the user's settings counts */
    bool kill_at_once; /* nothing it leaves half-made will stay; else it gets a SIGTERM first */
    /* Gets standard output; NULL: it is kept. */
    void (*on_out)(void *ctx, const char *p, size_t n);
    void (*on_end)(void *ctx, const struct dt_git_end *end); /* once, from the loop */
    void *ctx;
};

struct dt_git_run;

/* Errors of dt_command_start(), and GIT_NOT_AVAILABLE. *ret is gone when on_end comes. The texts of
 * the options need not outlive the call. */
int dt_git_run_start(struct dt_toolbox *tb, const struct dt_git_run_opts *opts,
                     struct dt_git_run **ret, struct dt_err *err) DT_MUST_CHECK;
/* Ends it; no callback comes any more. */
void dt_git_run_cancel(struct dt_git_run *r);
/* on_out does not come until the resume. */
void dt_git_run_pause(struct dt_git_run *r);
void dt_git_run_resume(struct dt_git_run *r);
/* -1 with the error that a failed run stands for; 0 when it did not fail. */
int dt_git_run_check(const struct dt_git_end *end, const struct dt_git_secret *secret,
                     struct dt_err *err) DT_MUST_CHECK;

#endif

/* What the toolbox knows about the sandbox it lives in, and how it settles there at its start. */
#ifndef DT_TOOLBOX_GUEST_H
#define DT_TOOLBOX_GUEST_H

#include "toolbox/user.h"

struct json_t;

enum { DT_GUEST_CONFIG_MAX = 512 * 1024, DT_GUEST_ENV_MAX = 1024 * 1024 };

struct dt_guest {
    char *id;
    char *workdir;             /* absolute; where relative paths and commands without cwd begin */
    char **env;                /* of commands, ended by NULL */
    struct json_t *entrypoint; /* the image's program and its arguments; NULL or empty: none */
    struct dt_user user;
    bool no_user; /* dt_guest_init() failed because the image has not got the user */
    /* Opened while that was allowed; -1 if it was not. */
    int oom_fd; /* our own oom_score_adj */
    int exe_fd; /* our own program, for dt_askpass() */
};

/* What dt_guest_init() and the first command will need of the disk is looked up once, so that they
 * need not wait for it. Runs nothing of the image. */
void dt_guest_prepare(void);
/* Reads the configuration (JSON) from `config_fd`, a file, or a socket over which the descriptor of
 * one comes (waits for it), and closes it; writes /etc/resolv.conf, /etc/hosts
 * and /etc/hostname, finds the user, makes its home and becomes it. Only a configuration that
 * cannot be read, a required user that is not there, or an identity that cannot be given up, is an
 * error. */
int dt_guest_init(struct dt_guest *g, int config_fd, struct dt_err *err) DT_MUST_CHECK;
void dt_guest_done(struct dt_guest *g);

/* The environment of a command: the guest's, then `extra` (an object of strings, or NULL) over it,
 * then the pairs of `more` ("A=b", ended by NULL, or NULL). One block: free() it. */
char **dt_guest_env(const struct dt_guest *g, const struct json_t *extra, const char *const *more,
                    struct dt_err *err);
/* Changes what dt_guest_env() gives from now on: variables go whose value begins with
 * `value_prefix` (NULL or empty: none), except those in `set`; then those of `unset` (an array of
 * strings, or NULL); then those of `set` (an object of strings, or NULL) come. INVALID for names
 * that no variable can have, LIMIT above DT_GUEST_ENV_MAX bytes; then nothing has changed. */
int dt_guest_env_update(struct dt_guest *g, const struct json_t *set, const struct json_t *unset,
                        const char *value_prefix, struct dt_err *err) DT_MUST_CHECK;
/* Whether a name may be an environment variable's: [A-Za-z_][A-Za-z0-9_]* */
bool dt_env_name_ok(const char *name);
/* Whether a client may give these (an object of strings, or NULL); BAD_REQUEST names the one that
 * is none. */
int dt_env_check(const struct json_t *envs, struct dt_err *err) DT_MUST_CHECK;
/* Where a command begins: in `wanted`, or when that is NULL or empty in the work dir, or if that is
 * gone in the home or the root. free() it. */
char *dt_guest_cwd(const struct dt_guest *g, const char *wanted, struct dt_err *err);
/* Makes an absolute path of one that may be relative to the work dir; INVALID_FILE_PATH when it is
 * empty, holds a NUL, or is too long. free() the result. */
char *dt_guest_path(const struct dt_guest *g, struct dt_str path, struct dt_err *err);

#endif

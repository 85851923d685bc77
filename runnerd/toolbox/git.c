/* POST /git/clone: git itself, in a process, with its words turned into the contract's errors. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "toolbox/askpass.h"
#include "toolbox/command.h"
#include "toolbox/files.h"
#include "toolbox/clone_url.h"
#include "toolbox/work.h"

enum {
    BODY_MAX = 256 * 1024,
    OUTPUT_MAX = 16 * 1024,
    TIMEOUT_MS = 30 * 60 * 1000,
    ARGS_MAX = 48,
};

/*
 * CLONE -> CHECKOUT             with a commit
 * CHECKOUT -> FETCH             the commit is on no branch that was cloned
 * FETCH -> CHECKOUT_AGAIN
 * each -> answered, or on failure CLEAN (a thread removes what is there) -> answered
 */
enum step { CLONE, CHECKOUT, FETCH, CHECKOUT_AGAIN };

struct clone {
    struct dt_toolbox *tb;
    struct dt_http_req *req; /* NULL: nobody waits any more */
    struct dt_command *command;
    bool cleaning;
    enum step step;
    char *path, *branch, *commit;
    bool existed; /* the target was there, and empty */
    struct dt_clone_url url;
    char *username, *password;
    int store; /* askpass's descriptor, -1: no credentials */
    struct dt_err err;
};

/* Where git is. The one that comes with the sandbox is first: it needs nothing of the image, and
 * `run` is its own loader for images with another libc or none. Then the image's. */
struct git {
    const char *argv0;
    const char *argv1;  /* NULL: argv0 is git itself */
    const char *env[4]; /* of ours, which finds nothing at the places of an installed one */
};

#define OWN_GIT "/.daytona/git"

/* What the image has is left in charge: its certificates may be a company's own. */
static void own_env(struct git *out)
{
#define CAINFO "GIT_SSL_CAINFO="
    static const char *const settings[] = {
        CAINFO "/etc/ssl/certs/ca-certificates.crt", CAINFO "/etc/pki/tls/certs/ca-bundle.crt",
        CAINFO "/etc/ssl/cert.pem", CAINFO "/etc/ssl/ca-bundle.pem",
        CAINFO OWN_GIT "/ca-certificates.crt"};
    size_t i = 0;
    while (i < 4 && access(settings[i] + strlen(CAINFO), R_OK) < 0)
        i++;
    out->env[0] = "GIT_EXEC_PATH=" OWN_GIT "/libexec/git-core";
    out->env[1] = "GIT_TEMPLATE_DIR=" OWN_GIT "/templates";
    out->env[2] = settings[i];
}

/* The image's ssh, or ours. */
static const char *ssh_command(void)
{
#define SSH_OPTIONS                                                                                \
    " -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30 "                  \
    "-o ServerAliveInterval=30"
    static const char *const images[] = {"/usr/bin/ssh", "/usr/local/bin/ssh", "/bin/ssh"};
    for (size_t i = 0; i < 3; i++) {
        if (access(images[i], X_OK) == 0)
            return "GIT_SSH_COMMAND=ssh" SSH_OPTIONS;
    }
    return "GIT_SSH_COMMAND=" OWN_GIT "/bin/ssh" SSH_OPTIONS;
}

static int git_program(struct git *out, struct dt_err *err)
{
    static const char *const images[] = {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"};
    const char *own = OWN_GIT "/bin/git", *loader = OWN_GIT "/run";
    if (access(own, X_OK) == 0) {
        bool wrapped = access(loader, X_OK) == 0;
        *out = (struct git){.argv0 = wrapped ? loader : own, .argv1 = wrapped ? own : NULL};
        own_env(out);
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        if (access(images[i], X_OK) == 0) {
            *out = (struct git){.argv0 = images[i]};
            return 0;
        }
    }
    return dt_err_set(err, DT_E_GIT_NOT_AVAILABLE,
                      "the sandbox has no git; install it there, or create the sandbox from a "
                      "snapshot that has it");
}

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void clone_free(struct clone *c)
{
    free(c->path);
    free(c->branch);
    free(c->commit);
    dt_clone_url_done(&c->url);
    free(c->username);
    wipe(c->password);
    if (c->store >= 0)
        (void)close(c->store);
    free(c);
}

/* --- after a failure: nothing half-made stays --- */

static void empty_folder(const char *path)
{
    DT_AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DT_AUTO_FD int own = fd >= 0 ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (d == NULL)
        return;
    (void)dt_take_fd(&own);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            dt_fd_remove_tree(fd, e->d_name, NULL) < 0)
            break;
    }
    (void)closedir(d);
}

static void clean_work(void *ctx)
{
    const struct clone *c = ctx;
    struct dt_err err;
    if (c->existed)
        empty_folder(c->path);
    else if (dt_files_remove_tree(c->path, &err) < 0)
        return; /* the error that led here is the one to tell */
}

static void clean_done(void *ctx)
{
    struct clone *c = ctx;
    c->cleaning = false;
    if (c->req != NULL)
        dt_reply_error(c->req, &c->err); /* on_done frees */
    else
        clone_free(c);
}

static void clean(struct clone *c)
{
    struct dt_err err;
    c->cleaning = true;
    if (dt_work_start(clean_work, clean_done, c, &err) < 0)
        clean_done(c);
}

static void on_done(void *ctx, bool complete)
{
    struct clone *c = ctx;
    (void)complete;
    c->req = NULL;
    if (c->command != NULL) {
        dt_command_cancel(c->command); /* all of it is dead when this returns */
        c->command = NULL;
        clean(c);
    } else if (!c->cleaning) {
        clone_free(c);
    }
}

/* --- running git --- */

static int run_step(struct clone *c, enum step step, struct dt_err *err);

static int tell_failure(struct clone *c, const struct dt_command_end *end)
{
    struct dt_capture_view v;
    struct dt_err *err = &c->err;
    if (end->timed_out)
        return dt_err_set(err, DT_E_TIMEOUT, "git took longer than %d minutes and was stopped",
                          TIMEOUT_MS / 60000);
    int r = dt_capture_show(end->out, &v, err);
    v.head.max += (size_t)3 * OUTPUT_MAX;
    if (r == 0 && v.tail.n > 0)
        r = dt_buf_adds(&v.head, dt_buf_str(&v.tail), err);
    enum dt_err_code code =
        r == 0 && v.head.p != NULL ? dt_clone_url_classify(v.head.p) : DT_E_SYSTEM;
    if (r == 0)
        r = dt_clone_url_redact(&v.head, c->password, err);
    /* A short name is in half of git's words; the caller knows it anyway. */
    if (r == 0 && c->username != NULL && strlen(c->username) > 3)
        r = dt_clone_url_redact(&v.head, c->username, err);
    if (r == 0) {
        const char *words = v.head.p != NULL ? v.head.p : "";
        /* The reason stands at the end. */
        size_t n = strlen(words), most = sizeof(err->msg) - 32;
        while (n > 0 && words[n - 1] == '\n')
            n--;
        const char *from = n > most ? words + n - most : words;
        (void)dt_err_set(err, code, "git: %.*s", (int)(words + n - from),
                         n > 0 ? from : "failed without a word");
    }
    dt_capture_view_done(&v);
    return -1;
}

static void on_end(void *ctx, const struct dt_command_end *end)
{
    struct clone *c = ctx;
    c->command = NULL;
    bool ok = end->exit_code == 0 && !end->timed_out;
    int r = 0;
    if (ok && c->step == CLONE && c->commit != NULL)
        r = run_step(c, CHECKOUT, &c->err);
    else if (ok && c->step == FETCH)
        r = run_step(c, CHECKOUT_AGAIN, &c->err);
    else if (!ok && c->step == CHECKOUT && !end->timed_out)
        r = run_step(c, FETCH, &c->err);
    else if (!ok)
        r = tell_failure(c, end);
    else
        dt_reply_empty(c->req, 200);
    if (r < 0)
        clean(c);
}

struct args {
    const char *v[ARGS_MAX];
    size_t n;
};

static void add(struct args *a, const char *first, const char *second)
{
    if (a->n + 3 > ARGS_MAX)
        return;
    a->v[a->n++] = first;
    if (second != NULL)
        a->v[a->n++] = second;
}

static void add_settings(struct args *a, const struct git *g)
{
    static const char *const settings[] = {
        "credential.helper=", /* or a helper of the user's would write the password down */
        "http.followRedirects=initial",
        "core.hooksPath=/dev/null",
        "core.askPass=",
        "protocol.allow=never",
        "protocol.http.allow=always",
        "protocol.https.allow=always",
        "protocol.ssh.allow=always",
        "protocol.git.allow=always",
        "protocol.file.allow=always",
        "advice.detachedHead=false",
        /* A server that makes a pack says so every few seconds; one this silent is gone. */
        "http.lowSpeedLimit=1",
        "http.lowSpeedTime=120",
    };
    add(a, g->argv0, g->argv1);
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        add(a, "-c", settings[i]);
}

static void add_step(struct args *a, const struct clone *c, enum step step)
{
    if (step == CLONE) {
        add(a, "clone", "--quiet");
        if (c->branch != NULL) {
            add(a, "--single-branch", "--branch");
            add(a, c->branch, NULL);
        }
        if (c->commit != NULL)
            add(a, "--no-checkout", NULL);
        add(a, "--", c->url.clean);
        add(a, c->path, NULL);
        return;
    }
    add(a, "-C", c->path);
    if (step == FETCH) {
        add(a, "fetch", "--quiet");
        add(a, "origin", c->commit);
    } else {
        add(a, "checkout", "--quiet");
        add(a, "--detach", "--force");
        add(a, c->commit, NULL);
    }
}

static int run_step(struct clone *c, enum step step, struct dt_err *err)
{
    struct git g = {.argv0 = NULL};
    struct args a = {.n = 0};
    if (git_program(&g, err) < 0)
        return -1;
    add_settings(&a, &g);
    add_step(&a, c, step);
    bool ask = c->store >= 0 && c->tb->guest.exe_fd >= 0;
    const char *env[] = {
        "GIT_TERMINAL_PROMPT=0",
        "LC_ALL=C.UTF-8",
        "LANGUAGE=C",
        ssh_command(),
        ask ? DT_ASKPASS_PROGRAM : "GIT_ASKPASS=",
        ask ? DT_ASKPASS_ENV : "SSH_ASKPASS=",
        g.env[0],
        g.env[1],
        g.env[2],
        NULL,
    };
    c->step = step;
    const struct dt_command_opts opts = {
        .argv = a.v,
        .cwd = "/",
        .more_env = env,
        .extra = {ask ? c->tb->guest.exe_fd : -1, ask ? c->store : -1},
        .limit = OUTPUT_MAX,
        .timeout_ms = TIMEOUT_MS,
        .on_end = on_end,
        .ctx = c,
    };
    return dt_command_start(c->tb, &opts, &c->command, err);
}

/* --- the request --- */

static int check_target(struct clone *c, struct dt_err *err)
{
    struct stat st;
    if (lstat(c->path, &st) < 0)
        return errno == ENOENT ? dt_files_make_parents(c->path, 0755, err)
                               : dt_reply_file_errno(err, errno, c->path);
    DIR *d = opendir(c->path);
    if (d == NULL)
        return errno == ENOTDIR
                   ? dt_err_set(err, DT_E_FILE_EXISTS, "%.400s exists and is not a folder", c->path)
                   : dt_reply_file_errno(err, errno, c->path);
    size_t n = 0;
    while (n < 3 && readdir(d) != NULL)
        n++;
    (void)closedir(d);
    c->existed = true;
    return n < 3 ? 0
                 : dt_err_set(err, DT_E_FILE_EXISTS,
                              "%.400s exists and is not empty: clone into another folder, or "
                              "delete it first",
                              c->path);
}

static bool name_ok(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return false;
    }
    return name[0] != '-' && strlen(name) < 1024;
}

/* Credentials of the fields count before those in the URL; both parts are needed. */
static int take_credentials(struct clone *c, const struct dt_tb_git_clone *in, struct dt_err *err)
{
    bool fields = in->password != NULL && in->password[0] != '\0';
    const char *username = fields ? in->username : c->url.username;
    const char *password = fields ? in->password : c->url.password;
    if (c->url.site == NULL || password == NULL || password[0] == '\0')
        return 0;
    c->username = strdup(username != NULL && username[0] != '\0' ? username : "git");
    c->password = strdup(password);
    if (c->username == NULL || c->password == NULL)
        return dt_err_set(err, DT_E_NOMEM, "git credentials");
    c->store = dt_askpass_store(c->url.site, c->username, c->password, err);
    return c->store < 0 ? -1 : 0;
}

static int prepare(struct clone *c, const struct dt_tb_git_clone *in, struct dt_err *err)
{
    if (in->branch != NULL && in->branch[0] != '\0') {
        if (!name_ok(in->branch))
            return dt_err_set(err, DT_E_INVALID, "branch is not a branch's name");
        c->branch = strdup(in->branch);
    }
    if (in->commit_id != NULL && in->commit_id[0] != '\0') {
        if (strspn(in->commit_id, "0123456789abcdefABCDEF") != strlen(in->commit_id) ||
            strlen(in->commit_id) < 4)
            return dt_err_set(err, DT_E_INVALID,
                              "commit_id must be 4 to 64 hexadecimal digits: a commit's hash");
        c->commit = strdup(in->commit_id);
    }
    c->path = dt_guest_path(&c->tb->guest, dt_str_z(in->path), err);
    if (c->path == NULL || dt_clone_url_parse(in->url, &c->url, err) < 0 ||
        take_credentials(c, in, err) < 0 || check_target(c, err) < 0)
        return -1;
    return run_step(c, CLONE, err);
}

static void on_body(void *ctx, struct dt_str body, const struct dt_err *failed)
{
    struct clone *c = ctx;
    struct dt_err err;
    struct dt_tb_git_clone in;
    if (failed != NULL)
        return;
    DT_AUTO_JSON json_t *j = dt_json_parse(body, 8, &err);
    if (j == NULL || dt_tb_git_clone_parse(j, &in, &err) < 0) {
        err.code = DT_E_INVALID;
        dt_reply_error(c->req, &err);
        return;
    }
    int r = prepare(c, &in, &err);
    dt_tb_git_clone_done(&in);
    if (r < 0)
        dt_reply_error(c->req, &err);
}

void dt_op_git_clone(struct dt_toolbox *tb, struct dt_http_req *req, const struct dt_str *segments)
{
    (void)segments;
    struct dt_err err;
    struct clone *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)dt_err_set(&err, DT_E_NOMEM, "git clone");
        dt_reply_error(req, &err);
        return;
    }
    c->tb = tb;
    c->req = req;
    c->store = -1;
    dt_http_req_on_done(req, on_done, c);
    dt_http_req_collect(req, BODY_MAX, on_body, c);
}

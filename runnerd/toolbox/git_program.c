#include "toolbox/git_program.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define OWN_GIT "/.daytona/git"

/* What the image has is left in charge: its certificates may be a company's own. They are looked
 * for at each call, so one that was added meanwhile counts. */
static void own_env(struct dt_git_program *out)
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

const char *dt_git_program_ssh(void)
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

int dt_git_program_find(struct dt_git_program *out, struct dt_err *err)
{
    static const char *const images[] = {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"};
    const char *own = OWN_GIT "/bin/git", *loader = OWN_GIT "/run";
    if (access(own, X_OK) == 0) {
        bool wrapped = access(loader, X_OK) == 0;
        *out =
            (struct dt_git_program){.argv0 = wrapped ? loader : own, .argv1 = wrapped ? own : NULL};
        own_env(out);
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        if (access(images[i], X_OK) == 0) {
            *out = (struct dt_git_program){.argv0 = images[i]};
            return 0;
        }
    }
    return dt_err_set(err, DT_E_GIT_NOT_AVAILABLE,
                      "the sandbox has no git; install it there, or create the sandbox from a "
                      "snapshot that has it");
}

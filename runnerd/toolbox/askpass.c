#include "toolbox/askpass.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/fd.h"

enum { STORE_FD = 4, STORE_MAX = 256 * 1024 };

int dt_askpass_store(const char *site, const char *username, const char *password,
                     struct dt_err *err)
{
    DT_AUTO_FD int fd = memfd_create("git", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return dt_err_errno(err, "memfd");
    const char *const texts[] = {site, username, password};
    for (size_t i = 0; i < 3; i++) {
        if (dt_fd_write_all(fd, texts[i], strlen(texts[i]) + 1, err) < 0)
            return -1;
    }
    return dt_take_fd(&fd);
}

bool dt_askpass_wanted(int argc)
{
    return argc == 2 && getenv("DAYTONA_ASKPASS") != NULL;
}

bool dt_askpass_match(const char *prompt, const char *site, bool *password)
{
    const struct dt_str text = dt_str_z(prompt);
    *password = dt_str_starts(text, DT_STR("Password for '"));
    if (!*password && !dt_str_starts(text, DT_STR("Username for '")))
        return false;
    const char *from = strchr(prompt, '\'') + 1;
    const char *host = strstr(from, "://");
    const char *site_host = strstr(site, "://");
    if (host == NULL || site_host == NULL || host - from != site_host - site ||
        strncmp(from, site, (size_t)(host - from)) != 0)
        return false;
    host += 3;
    site_host += 3;
    const char *end = strchr(host, '\'');
    if (end == NULL)
        return false;
    const char *at = memrchr(host, '@', (size_t)(end - host));
    if (at != NULL)
        host = at + 1;
    size_t n = strcspn(host, "/'");
    return n == strlen(site_host) && strncmp(host, site_host, n) == 0;
}

int dt_askpass_run(const char *prompt)
{
    static char store[STORE_MAX];
    ssize_t n = pread(STORE_FD, store, sizeof(store) - 1, 0);
    if (n <= 0)
        return 1;
    store[n] = '\0';
    const char *site = store;
    const char *username = site + strlen(site) + 1;
    if (username >= store + n)
        return 1;
    const char *word = username + strlen(username) + 1;
    bool password;
    if (word >= store + n || !dt_askpass_match(prompt, site, &password))
        return 1;
    struct dt_err err;
    const char *answer = password ? word : username;
    bool ok = dt_fd_write_all(STDOUT_FILENO, answer, strlen(answer), &err) == 0 &&
              dt_fd_write_all(STDOUT_FILENO, "\n", 1, &err) == 0;
    return ok ? 0 : 1;
}

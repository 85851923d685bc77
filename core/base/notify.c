#include "base/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/auto.h"

void dt_notify_ready(void)
{
    static const char message[] = "READY=1";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t n = path == NULL ? 0 : strlen(path);
    if (n == 0 || n >= sizeof(addr.sun_path))
        return;
    memcpy(addr.sun_path, path, n);
    if (path[0] == '@') /* an abstract name */
        addr.sun_path[0] = '\0';
    (void)unsetenv("NOTIFY_SOCKET");
    DT_AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (fd >= 0)
        (void)sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL, (const struct sockaddr *)&addr,
                     size);
}

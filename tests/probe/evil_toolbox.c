/*
 * A toolbox that wishes runnerd and its clients ill. Static, pid 1 of a sandbox; each connection to
 * descriptor 3 is served by a process of its own. How it answers is what stands behind `evil=` in
 * the request, head or body; without it, properly.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTENER = 3 };

#define OK   "HTTP/1.1 200 OK\r\n"
#define JSON OK "Content-Type: application/json\r\n"
#define SWITCHING                                                                                  \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

/* `head` once, then `again` for ever or not at all; and what comes then. */
struct way {
    const char *name;
    const char *head;
    const char *again;
    enum { STAYS, CLOSES, SERVES } then; /* SERVES: answers the next request properly */
};

static const struct way ways[] = {
    {"silent", "", NULL, STAYS},
    {"hangup", "", NULL, CLOSES},
    {"slow", "HTTP/1.1 2", NULL, STAYS},
    {"text", "hello\r\n\r\n", NULL, CLOSES},
    {"garbage", "\x16\x03\x01\xff\xfe\x80\r\n\r\n\x01\x02", NULL, CLOSES},
    {"ssh", "SSH-2.0-OpenSSH_9.2\r\n", NULL, STAYS},
    {"many-headers", OK, "X-A: b\r\n", STAYS},
    {"long-header", OK "X-A: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", STAYS},
    {"long-status", "HTTP/1.1 200 ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", STAYS},
    {"interim", "", "HTTP/1.1 100 Continue\r\n\r\n", STAYS},
    {"hints", "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", STAYS},
    {"status-99", "HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n", NULL, CLOSES},
    {"status-1000", "HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n", NULL, CLOSES},
    {"version", "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n", NULL, CLOSES},
    {"length-2-63", OK "Content-Length: 9223372036854775808\r\n\r\nx", NULL, STAYS},
    {"length-2-64", OK "Content-Length: 18446744073709551617\r\n\r\nx", NULL, STAYS},
    {"length-minus", OK "Content-Length: -1\r\n\r\nx", NULL, STAYS},
    {"length-plus", OK "Content-Length: +1\r\n\r\nx", NULL, STAYS},
    {"length-hex", OK "Content-Length: 0x1\r\n\r\nx", NULL, STAYS},
    {"length-twice", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", NULL, STAYS},
    {"length-and-chunked", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     NULL, STAYS},
    {"coding", OK "Transfer-Encoding: gzip\r\n\r\nx", NULL, STAYS},
    {"bare-cr", OK "X-A: b\rSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n", NULL, STAYS},
    {"control", "HTTP/1.1 200 OK\r\nX-A: b\x80\x01\r\nContent-Length: 0\r\n\r\n", NULL, STAYS},
    {"fold", OK "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", NULL, STAYS},
    {"space-before-colon", OK "Content-Length : 1\r\n\r\nx", NULL, STAYS},
    {"switching", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nx",
     NULL, STAYS},
    {"chunk-size", OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx", NULL, STAYS},
    {"chunk-word", OK "Transfer-Encoding: chunked\r\n\r\nzz\r\nx", NULL, STAYS},
    {"chunk-extension", OK "Transfer-Encoding: chunked\r\n\r\n1;", "aaaaaaaaaaaaaaaa", STAYS},
    {"trailers", OK "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n", STAYS},
    {"cut", OK "Content-Length: 1000\r\n\r\nonly this", NULL, CLOSES},
    {"cut-chunk", OK "Transfer-Encoding: chunked\r\n\r\n64\r\nonly this", NULL, CLOSES},
    {"length-max", OK "Content-Length: 9223372036854775807\r\n\r\nx", NULL, CLOSES},
    {"endless", OK "\r\n", "for ever and ever and ever and ever and ", STAYS},
    {"endless-chunks", OK "Transfer-Encoding: chunked\r\n\r\n", "8\r\nand ever\r\n", STAYS},
    {"poison", OK "Content-Length: 4\r\n\r\ngood" OK "Content-Length: 6\r\n\r\nvenom!", NULL,
     SERVES},
    {"poison-204", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nvenom!", NULL, SERVES},
    {"poison-304",
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n" OK "Content-Length: 6\r\n\r\nvenom!",
     NULL, SERVES},
    {"half-frame", SWITCHING "\x82\x7f\x7f\xff", NULL, STAYS},
    {"endless-frames", SWITCHING,
     "\x82\x7d"
     "and ever and ever and ever and ever and ever and ever and ever and ever and ever and ever "
     "and ever and ever and ever and ever",
     STAYS},
    {"json-half", JSON "Content-Length: 1\r\n\r\n{", NULL, SERVES},
    {"json-list", JSON "Content-Length: 2\r\n\r\n[]", NULL, SERVES},
    {"json-null", JSON "Content-Length: 4\r\n\r\nnull", NULL, SERVES},
    {"json-empty", JSON "Content-Length: 0\r\n\r\n", NULL, SERVES},
    {"json-deep", JSON "\r\n{\"stdout\":", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", STAYS},
    {"json-long", JSON "\r\n{\"exitCode\":0,\"stdout\":\"", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     STAYS},
    {"json-types",
     JSON "\r\n{\"exitCode\":\"x\",\"stdout\":{},\"stderr\":7,\"stdoutBytes\":[],"
          "\"stdoutOmitted\":\"9\",\"durationMs\":null}",
     NULL, CLOSES},
    {"json-numbers", JSON "\r\n{\"exitCode\":1e400}", NULL, CLOSES},
    {"json-sizes",
     JSON "\r\n{\"exitCode\":-9223372036854775808,\"stdout\":\"a\",\"stderr\":\"\","
          "\"stdoutBytes\":-1,\"stderrBytes\":9223372036854775807,"
          "\"stdoutOmitted\":-5,\"stderrOmitted\":9223372036854775807,"
          "\"stdoutTail\":\"b\",\"stdoutPath\":\"../../../etc/shadow\","
          "\"durationMs\":-1}",
     NULL, CLOSES},
    {"json-bytes", JSON "\r\n{\"exitCode\":0,\"stdout\":\"\xff\xfe\",\"stderr\":\"\"}", NULL,
     CLOSES},
    {"json-nul", JSON "\r\n{\"exitCode\":0,\"stdout\":\"a\\u0000b\",\"stderr\":\"\\ud800\"}", NULL,
     CLOSES},
    {"error", "HTTP/1.1 500 X\r\nContent-Type: application/json\r\n\r\n{\"message\":",
     "\"\\u001b]0;\\u0007", STAYS},
    {"html", "HTTP/1.1 404 X\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<script/>",
     NULL, SERVES},
};

static void say(int fd, const char *text)
{
    size_t n = strlen(text);
    if (write(fd, text, n) != (ssize_t)n)
        _exit(0);
}

static void be_evil(int fd, const struct way *w)
{
    static char block[65536];
    say(fd, w->head);
    if (w->again != NULL) {
        size_t n = strlen(w->again), fits = sizeof(block) / n;
        for (size_t i = 0; i < fits; i++)
            memcpy(block + i * n, w->again, n);
        while (write(fd, block, fits * n) > 0)
            ;
    }
    if (w->then == CLOSES)
        _exit(0);
    while (w->then == STAYS)
        (void)pause();
}

/* The mark may come percent-encoded. */
static const struct way *chosen(const char *request)
{
    const char *plain = strstr(request, "evil="), *encoded = strstr(request, "evil%3D");
    const char *name = plain != NULL ? plain + 5 : encoded != NULL ? encoded + 7 : "";
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strlen(ways[i].name) == n && strncmp(ways[i].name, name, n) == 0)
            return &ways[i];
    return NULL;
}

static bool is_whole(const char *request)
{
    const char *body = strstr(request, "\r\n\r\n");
    const char *length = strstr(request, "Content-Length: ");
    return body != NULL &&
           (length == NULL || length > body ||
            strlen(body + 4) >= (size_t)strtoul(length + strlen("Content-Length: "), NULL, 10));
}

static _Noreturn void serve(int fd)
{
    static char request[16384];
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd, request + n, sizeof(request) - 1 - n)) > 0) {
        n += (size_t)got;
        request[n] = '\0';
        const struct way *w = chosen(request);
        if (w != NULL) {
            be_evil(fd, w);
            n = 0;
        }
        if (w != NULL || !is_whole(request))
            continue;
        say(fd, JSON "Content-Length: 18\r\n\r\n{\"version\":\"evil\"}");
        n = 0;
    }
    _exit(0);
}

int main(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)signal(SIGCHLD, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return 1;
        if (fork() == 0)
            serve(fd);
        (void)close(fd);
    }
}

/*
 * Times a program from outside, as a peer of the sandboxes: spawns it N times, each after a pause,
 * and prints, a line each, the microseconds until its first byte of output, or its end, and until
 * it was reaped.
 *
 * Usage: spawn_bench N PAUSE_MS PROGRAM [ARG ...]
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

static int run_once(char **argv)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    uint64_t start = dt_clock_ns();
    pid_t pid;
    if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) != 0)
        return -1;
    (void)close(out[1]);
    char byte;
    ssize_t got = read(out[0], &byte, 1);
    uint64_t first = dt_clock_ns();
    while (got == 1 && read(out[0], &byte, 1) == 1)
        continue;
    int status;
    (void)waitpid(pid, &status, 0);
    uint64_t end = dt_clock_ns();
    (void)close(out[0]);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (got < 0 || status != 0)
        return -1;
    printf("%.1f %.1f\n", (double)(first - start) / 1000, (double)(end - start) / 1000);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    useconds_t pause = (useconds_t)strtoul(argv[2], NULL, 10) * 1000;
    for (long n = strtol(argv[1], NULL, 10); n > 0; n--) {
        (void)usleep(pause);
        if (run_once(argv + 3) < 0) {
            fprintf(stderr, "spawn_bench: %s failed\n", argv[3]);
            return 1;
        }
    }
    return 0;
}

/*
 * What runs inside a sandbox and tries what must not be possible (docs/threat-model.md). A table
 * row is a name and an attempt; each attempt runs in a child process of its own, with a deadline.
 */
#ifndef DT_PROBE_H
#define DT_PROBE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct probe;

struct outcome {
    bool refused;
    char detail[200]; /* printable ASCII */
};

/* Who may run an attempt: some are fine for root inside, and some need to be root to mean anything.
 */
enum who { ANYBODY, ROOT_ONLY, USER_ONLY };

struct probe {
    const char *name;
    void (*attempt)(const struct probe *p, struct outcome *out);
    const char *path;
    long nr; /* a system call's number */
    long args[6];
    int wants[2]; /* errors that count as refused; none given = EPERM */
    enum who who;
};

struct probe_list {
    const struct probe *rows;
    size_t n;
};
extern const struct probe_list probe_calls, probe_files, probe_network, probe_processes;

/* What a system call returned, and the errors that are a refusal (0 ends the list; none = any). */
void judge(struct outcome *out, long ret, const int *wants, size_t n);
/* Refused whenever it failed, whatever the error. */
void judge_any(struct outcome *out, long ret);
void say(struct outcome *out, bool refused, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Attempts with the path in p->path; also used for those that the command line adds. */
void attempt_read(const struct probe *p, struct outcome *out);
void attempt_exists(const struct probe *p, struct outcome *out);
void attempt_connect_tcp(const struct probe *p, struct outcome *out);
void attempt_connect_unix(const struct probe *p, struct outcome *out);

#endif

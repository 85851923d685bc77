/* `git status --porcelain=v2 --branch -z` (git-status(1), "Porcelain Format Version 2"), in pieces
 * of any size. Memory is bounded by the longest record. */
#ifndef DT_TOOLBOX_GIT_PORCELAIN_H
#define DT_TOOLBOX_GIT_PORCELAIN_H

#include <stdint.h>

#include "base/buf.h"

enum { DT_GIT_RECORD_MAX = 64 * 1024, DT_GIT_BRANCH_MAX = 1024 };

struct dt_git_branch {
    char head[DT_GIT_BRANCH_MAX];     /* empty when detached */
    char upstream[DT_GIT_BRANCH_MAX]; /* empty: none */
    bool detached;
    bool has_counts; /* the upstream is there */
    uint64_t ahead, behind;
};

/* One path that changed. Bytes as they are in the repository: not always UTF-8. */
struct dt_git_change {
    struct dt_str name;
    struct dt_str from;     /* of a rename or copy; else empty */
    char staging, worktree; /* one of " MADRCU?"; both '?' for what git does not know */
};

struct dt_git_porcelain {
    struct dt_git_branch branch; /* complete when the first change comes, or at the end */
    struct dt_buf record;
    struct dt_buf renamed; /* a rename whose source is to come */
    /* Runs inside of _feed(). */
    void (*on_change)(void *ctx, const struct dt_git_change *change);
    void *ctx;
};

void dt_git_porcelain_init(struct dt_git_porcelain *p,
                           void (*on_change)(void *ctx, const struct dt_git_change *change),
                           void *ctx);
void dt_git_porcelain_done(struct dt_git_porcelain *p);
/* SYSTEM for what is no such output, TOO_LARGE above DT_GIT_RECORD_MAX; it is over then. */
int dt_git_porcelain_feed(struct dt_git_porcelain *p, struct dt_str bytes,
                          struct dt_err *err) DT_MUST_CHECK;
/* SYSTEM when the output ended within a record. */
int dt_git_porcelain_end(const struct dt_git_porcelain *p, struct dt_err *err) DT_MUST_CHECK;

/* The contract's word for a letter. */
const char *dt_git_change_word(char letter);

#endif

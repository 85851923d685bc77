/* A walk through a tree of folders: names in byte order, a folder before what is in it. Links are
 * not followed, except that the root may be one. Blocks. */
#ifndef DT_TOOLBOX_WALK_H
#define DT_TOOLBOX_WALK_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    DT_WALK_DEPTH_MAX = 200,     /* deeper folders are skipped */
    DT_WALK_SORTED_MAX = 100000, /* of a folder with more names each so many are in order */
};

struct dt_walk_entry {
    int dir; /* where `name` is; AT_FDCWD for the root */
    const char *name;
    const char *path;   /* below what the walk calls its root */
    unsigned char type; /* DT_REG, DT_DIR, ... of dirent.h, never DT_UNKNOWN */
    unsigned level;     /* the root is 0 */
};

struct dt_walk {
    const char *root;             /* to be opened */
    struct dt_str shown;          /* what it is called in paths; empty: they begin with a name */
    unsigned depth;               /* levels below the root; 0 = all */
    const atomic_bool *cancelled; /* checked at each name; may be NULL */
    /* Returns 0 to go on, anything else ends the walk. */
    int (*visit)(void *ctx, const struct dt_walk_entry *e);
    void *ctx;
    uint64_t skipped; /* out: folders that could not be read */
};

/* Visits the root, too. File systems of the kernel (proc, sysfs) are skipped unless the root is in
 * one. 0 at the end or when it was cancelled, the visitor's value when that ended it, -1 with `err`
 * when the root cannot be read or memory ran out. */
int dt_walk(struct dt_walk *w, struct dt_err *err) DT_MUST_CHECK;

#endif

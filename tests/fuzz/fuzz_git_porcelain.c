/* The parser of git's status: the same must come out whatever the pieces it is fed in. */
#include <assert.h>
#include <stdint.h>

#include "toolbox/git_porcelain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t hash;
    size_t changes;
};

static void mix(struct sum *s, struct dt_str text)
{
    for (size_t i = 0; i < text.n; i++)
        s->hash = (s->hash ^ (unsigned char)text.p[i]) * 1099511628211u;
    s->hash = (s->hash ^ text.n) * 1099511628211u;
}

static void on_change(void *ctx, const struct dt_git_change *c)
{
    struct sum *s = ctx;
    assert(c->name.n > 0 && strchr(" MADRCU?", c->staging) != NULL && c->staging != '\0');
    assert(dt_git_change_word(c->worktree) != NULL);
    mix(s, c->name);
    mix(s, c->from);
    s->changes++;
}

static int run(struct dt_str text, size_t step, struct sum *s)
{
    struct dt_git_porcelain p;
    struct dt_err err;
    *s = (struct sum){.hash = 14695981039346656037u};
    dt_git_porcelain_init(&p, on_change, s);
    int r = 0;
    for (size_t i = 0; r == 0 && i < text.n; i += step)
        r = dt_git_porcelain_feed(&p, dt_str(text.p + i, text.n - i < step ? text.n - i : step),
                                  &err);
    if (r == 0)
        r = dt_git_porcelain_end(&p, &err);
    mix(s, dt_str_z(p.branch.head));
    mix(s, dt_str_z(p.branch.upstream));
    dt_git_porcelain_done(&p);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str text = dt_str((const char *)data, size);
    struct sum whole, bytes, sevens;
    int r = run(text, size + 1, &whole);
    assert(run(text, 1, &bytes) == r && run(text, 7, &sevens) == r);
    assert(bytes.changes == whole.changes && bytes.hash == whole.hash);
    assert(sevens.changes == whole.changes && sevens.hash == whole.hash);
    return 0;
}

#include "toolbox/git_porcelain.h"

#include <stdio.h>

void dt_git_porcelain_init(struct dt_git_porcelain *p,
                           void (*on_change)(void *ctx, const struct dt_git_change *change),
                           void *ctx)
{
    *p = (struct dt_git_porcelain){.on_change = on_change, .ctx = ctx};
    dt_buf_init(&p->record, DT_GIT_RECORD_MAX);
    dt_buf_init(&p->renamed, DT_GIT_RECORD_MAX);
}

void dt_git_porcelain_done(struct dt_git_porcelain *p)
{
    dt_buf_done(&p->record);
    dt_buf_done(&p->renamed);
}

static int malformed(struct dt_err *err)
{
    return dt_err_set(err, DT_E_SYSTEM, "git status answered in a form that is not known");
}

static void copy(char out[DT_GIT_BRANCH_MAX], struct dt_str s)
{
    size_t n = s.n < DT_GIT_BRANCH_MAX ? s.n : DT_GIT_BRANCH_MAX - 1;
    memcpy(out, s.p, n);
    out[n] = '\0';
}

/* `+3 -0` */
static int read_counts(struct dt_git_branch *b, struct dt_str s, struct dt_err *err)
{
    struct dt_str ahead;
    unsigned long long a, z;
    if (!dt_str_cut(&s, ' ', &ahead) || ahead.n < 2 || s.n < 2 || ahead.p[0] != '+' ||
        s.p[0] != '-' || dt_str_u64(dt_str(ahead.p + 1, ahead.n - 1), INT32_MAX, &a) < 0 ||
        dt_str_u64(dt_str(s.p + 1, s.n - 1), INT32_MAX, &z) < 0)
        return malformed(err);
    b->ahead = a;
    b->behind = z;
    b->has_counts = true;
    return 0;
}

static int read_header(struct dt_git_branch *b, struct dt_str s, struct dt_err *err)
{
    struct dt_str key;
    if (!dt_str_cut(&s, ' ', &key) || s.p == NULL)
        return malformed(err);
    if (dt_str_eq(key, DT_STR("branch.head"))) {
        b->detached = dt_str_eq(s, DT_STR("(detached)"));
        copy(b->head, b->detached ? DT_STR("") : s);
    } else if (dt_str_eq(key, DT_STR("branch.upstream"))) {
        copy(b->upstream, s);
    } else if (dt_str_eq(key, DT_STR("branch.ab"))) {
        return read_counts(b, s, err);
    }
    return 0; /* others may come with later versions */
}

/* A letter of XY as we name it; 0 for one that is none. */
static char letter(char c)
{
    switch (c) {
    case '.':
        return ' ';
    case 'T': /* a file became a link, or the like */
        return 'M';
    case 'M':
    case 'A':
    case 'D':
    case 'R':
    case 'C':
    case 'U':
        return c;
    default:
        return '\0';
    }
}

/* `XY` and then `fields` more words; the rest is the name. */
static int read_change(struct dt_str s, int fields, struct dt_git_change *out, struct dt_err *err)
{
    struct dt_str word;
    if (!dt_str_cut(&s, ' ', &word) || word.n != 2)
        return malformed(err);
    *out = (struct dt_git_change){.staging = letter(word.p[0]), .worktree = letter(word.p[1])};
    for (int i = 0; i < fields; i++) {
        if (!dt_str_cut(&s, ' ', &word) || word.n == 0)
            return malformed(err);
    }
    if (out->staging == '\0' || out->worktree == '\0' || s.p == NULL || s.n == 0)
        return malformed(err);
    out->name = s;
    return 0;
}

enum { ORDINARY_FIELDS = 6, RENAMED_FIELDS = 7, UNMERGED_FIELDS = 8 };

static int read_record(struct dt_git_porcelain *p, struct dt_str s, struct dt_err *err)
{
    struct dt_git_change c;
    if (p->renamed.n > 0) {
        if (s.n == 0 || read_change(dt_buf_str(&p->renamed), RENAMED_FIELDS, &c, err) < 0)
            return malformed(err);
        c.from = s;
        p->on_change(p->ctx, &c);
        dt_buf_clear(&p->renamed);
        return 0;
    }
    if (s.n < 3 || s.p[1] != ' ')
        return malformed(err);
    struct dt_str rest = dt_str(s.p + 2, s.n - 2);
    int r = 0;
    switch (s.p[0]) {
    case '#':
        return read_header(&p->branch, rest, err);
    case '!':
        return 0;
    case '2':
        return dt_buf_adds(&p->renamed, rest, err);
    case '?':
        c = (struct dt_git_change){.name = rest, .staging = '?', .worktree = '?'};
        break;
    case '1':
        r = read_change(rest, ORDINARY_FIELDS, &c, err);
        break;
    case 'u':
        r = read_change(rest, UNMERGED_FIELDS, &c, err);
        break;
    default:
        return malformed(err);
    }
    if (r == 0)
        p->on_change(p->ctx, &c);
    return r;
}

int dt_git_porcelain_feed(struct dt_git_porcelain *p, struct dt_str bytes, struct dt_err *err)
{
    while (bytes.n > 0) {
        const char *end = memchr(bytes.p, '\0', bytes.n);
        size_t n = end != NULL ? (size_t)(end - bytes.p) : bytes.n;
        if (dt_buf_add(&p->record, bytes.p, n, err) < 0)
            return -1;
        if (end == NULL)
            return 0;
        if (read_record(p, dt_str(p->record.p != NULL ? p->record.p : "", p->record.n), err) < 0)
            return -1;
        dt_buf_clear(&p->record);
        bytes = dt_str(bytes.p + n + 1, bytes.n - n - 1);
    }
    return 0;
}

int dt_git_porcelain_end(const struct dt_git_porcelain *p, struct dt_err *err)
{
    return p->record.n == 0 && p->renamed.n == 0 ? 0 : malformed(err);
}

const char *dt_git_change_word(char c)
{
    switch (c) {
    case '?':
        return "Untracked";
    case 'M':
        return "Modified";
    case 'A':
        return "Added";
    case 'D':
        return "Deleted";
    case 'R':
        return "Renamed";
    case 'C':
        return "Copied";
    case 'U':
        return "Updated but unmerged";
    default:
        return "Unmodified";
    }
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/git_porcelain.h"

struct seen {
    struct dt_buf text;
};

static void on_change(void *ctx, const struct dt_git_change *c)
{
    struct seen *s = ctx;
    assert_int_equal(dt_buf_addf(&s->text, NULL, "%c%c[%.*s|%.*s]", c->staging, c->worktree,
                                 (int)c->name.n, c->name.p, (int)c->from.n,
                                 c->from.n > 0 ? c->from.p : ""),
                     0);
}

/* Feeds it in pieces of `step`; what came out is in `seen`, the branch in `branch`. */
static int feed(struct dt_str text, size_t step, struct seen *seen, struct dt_git_branch *branch)
{
    struct dt_git_porcelain p;
    struct dt_err err;
    dt_buf_init(&seen->text, 1000000);
    dt_git_porcelain_init(&p, on_change, seen);
    int r = 0;
    for (size_t i = 0; r == 0 && i < text.n; i += step)
        r = dt_git_porcelain_feed(&p, dt_str(text.p + i, text.n - i < step ? text.n - i : step),
                                  &err);
    if (r == 0)
        r = dt_git_porcelain_end(&p, &err);
    *branch = p.branch;
    dt_git_porcelain_done(&p);
    return r;
}

#define HASHES "1111111111111111111111111111111111111111 2222222222222222222222222222222222222222"
#define MODES  "N... 100644 100644 100644 " HASHES

static void test_all(void **state)
{
    (void)state;
    static const char text[] =
        "# branch.oid 1111\0# branch.head main\0# branch.upstream origin/main\0# branch.ab +3 -12\0"
        "# branch.later thing\0"
        "1 .M " MODES " a b\0"
        "1 A. " MODES " \351\0"
        "1 .T " MODES " link\0"
        "2 R. " MODES " R100 new name\0old\nname\0"
        "2 C. " MODES " C75 copy\0of\0"
        "u UU N... 100644 100644 100644 100644 " HASHES " 3333 both\0"
        "? new\0! ignored\0? two\0";
    static const char want[] =
        " M[a b|]A [\351|] M[link|]R [new name|old\nname]C [copy|of]UU[both|]"
        "\?\?[new|]\?\?[two|]";
    for (size_t step = 1; step <= sizeof(text); step += step < 8 ? 1 : 97) {
        struct seen seen;
        struct dt_git_branch b;
        assert_int_equal(feed(dt_str(text, sizeof(text) - 1), step, &seen, &b), 0);
        assert_string_equal(seen.text.p, want);
        assert_string_equal(b.head, "main");
        assert_string_equal(b.upstream, "origin/main");
        assert_true(b.has_counts && !b.detached && b.ahead == 3 && b.behind == 12);
        dt_buf_done(&seen.text);
    }
}

static void test_branches(void **state)
{
    (void)state;
    struct seen seen;
    struct dt_git_branch b;
    assert_int_equal(
        feed(DT_STR("# branch.oid (initial)\0# branch.head (detached)\0"), 5, &seen, &b), 0);
    assert_true(b.detached && b.head[0] == '\0' && !b.has_counts);
    assert_int_equal(feed(DT_STR("# branch.head x\0# branch.upstream origin/gone\0"), 5, &seen, &b),
                     0);
    assert_true(!b.has_counts && !b.detached);
    assert_int_equal(feed(DT_STR(""), 1, &seen, &b), 0);
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "x",
        "1 .M",
        "1 .M \0",
        "M file",
        "1 .M N... 100644 name",
        "1 Mx " MODES " name",
        "1 M " MODES " name",
        "2 R. " MODES " R100 name",
        "2 R. " MODES " name",
        "u UU " MODES " name",
        "# branch.ab 1 2",
        "# branch.ab +1",
        "# branch.ab +x -1",
        "# branch.ab +1 -99999999999",
        "#x",
        "# ",
        "? ",
        "",
        "1  " MODES " name",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct seen seen;
        struct dt_git_branch b;
        assert_int_equal(feed(dt_str(texts[i], strlen(texts[i]) + 1), 3, &seen, &b), -1);
        dt_buf_done(&seen.text);
    }
    struct seen seen;
    struct dt_git_branch b;
    assert_int_equal(feed(DT_STR("? name without an end"), 3, &seen, &b), -1);
    static char longest[DT_GIT_RECORD_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[0] = '?';
    longest[1] = ' ';
    longest[DT_GIT_RECORD_MAX] = '\0';
    assert_int_equal(feed(dt_str(longest, DT_GIT_RECORD_MAX + 1), 1000, &seen, &b), 0);
    dt_buf_done(&seen.text);
    longest[DT_GIT_RECORD_MAX] = 'x';
    assert_int_equal(feed(dt_str(longest, DT_GIT_RECORD_MAX + 2), 1000, &seen, &b), -1);
}

static void test_words(void **state)
{
    (void)state;
    static const char *const rows[] = {
        " Unmodified", "?Untracked", "MModified", "AAdded",
        "DDeleted",    "RRenamed",   "CCopied",   "UUpdated but unmerged",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(dt_git_change_word(rows[i][0]), rows[i] + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

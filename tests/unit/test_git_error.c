#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "toolbox/git_error.h"

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        enum dt_err_code code;
    } rows[] = {
        {"fatal: Authentication failed for 'https://h/a/'", DT_E_GIT_AUTH_FAILED},
        {"fatal: could not read Username for 'https://h': terminal prompts disabled",
         DT_E_GIT_AUTH_FAILED},
        {"git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
         DT_E_GIT_AUTH_FAILED},
        {"fatal: repository 'https://h/a/' not found", DT_E_GIT_REPO_NOT_FOUND},
        {"fatal: repository '/srv/a' does not exist", DT_E_GIT_REPO_NOT_FOUND},
        {"warning: Could not find remote branch x to clone.\nfatal: Remote branch x not found in "
         "upstream origin",
         DT_E_GIT_BRANCH_NOT_FOUND},
        {"fatal: unable to access 'https://h/': Could not resolve host: h",
         DT_E_GIT_TRANSPORT_FAILED},
        {"fatal: unable to access 'https://h/': server certificate verification failed",
         DT_E_GIT_TRANSPORT_FAILED},
        {"fatal: unable to access 'https://h/': The requested URL returned error: 403",
         DT_E_FORBIDDEN},
        {"fatal: remote error: upload-pack: not our ref 123", DT_E_GIT_BRANCH_NOT_FOUND},
        {"fatal: destination path 'a' already exists and is not an empty directory.",
         DT_E_FILE_EXISTS},
        {"error: Your local changes to the following files would be overwritten by merge:\n\ta",
         DT_E_GIT_DIRTY_WORKTREE},
        {"fatal: Not possible to fast-forward, aborting.", DT_E_GIT_MERGE_CONFLICT},
        {"error: Committing is not possible because you have unmerged files.",
         DT_E_GIT_MERGE_CONFLICT},
        {"fatal: a branch named 'a' already exists", DT_E_GIT_BRANCH_EXISTS},
        {"error: branch 'nope' not found.", DT_E_GIT_BRANCH_NOT_FOUND},
        {"error: Cannot delete branch 'a' checked out at '/a'", DT_E_CONFLICT},
        {"fatal: '-x' is not a valid branch name", DT_E_INVALID},
        {" ! [rejected]        main -> main (fetch first)\nerror: failed to push some refs to 'h'",
         DT_E_GIT_PUSH_REJECTED},
        {"remote: no\n ! [remote rejected] main -> main (pre-receive hook declined)\n"
         "error: failed to push some refs to 'h'",
         DT_E_GIT_REMOTE_REJECTED},
        {"error: src refspec a does not match any", DT_E_GIT_BRANCH_NOT_FOUND},
        {"fatal: pathspec 'x' did not match any files", DT_E_FILE_NOT_FOUND},
        {"fatal: detected dubious ownership in repository at '/a'", DT_E_FORBIDDEN},
        {"fatal: cannot change to '/a': No such file or directory", DT_E_GIT_REPO_NOT_FOUND},
        {"fatal: not a git repository (or any of the parent directories): .git",
         DT_E_GIT_REPO_NOT_FOUND},
        {"something new", DT_E_SYSTEM},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(dt_git_error_code(rows[i].words), rows[i].code);
}

static void words(const char *text, const char *secret, struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 100000);
    assert_int_equal(dt_buf_addz(&b, text, NULL), 0);
    assert_int_equal(dt_git_error_set(err, &b, secret), -1);
}

static void test_messages(void **state)
{
    (void)state;
    struct dt_err err;
    static const struct {
        const char *text, *secret, *want;
    } rows[] = {
        {"fatal: x\n\n", NULL, "git: fatal: x"},
        {"", NULL, "git failed without a word"},
        {"fatal: unable to access 'https://u:p4ss@h/a/': x", NULL,
         "git: fatal: unable to access 'https://***@h/a/': x"},
        {"a https://t@h b http://h/@c ssh://u@h", NULL,
         "git: a https://*@h b http://h/@c ssh://*@h"},
        {"it says p4ss", "p4ss", "git: it says ***"},
        {"https://", NULL, "git: https://"},
        {"pathspec ':(literal)a' ':(literal)' x", NULL, "git: pathspec 'a' '' x"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        words(rows[i].text, rows[i].secret, &err);
        assert_string_equal(err.msg, rows[i].want);
    }
}

static void test_the_end_of_long_words_stays(void **state)
{
    (void)state;
    struct dt_err err;
    char text[5000];
    memset(text, 'x', sizeof(text));
    memcpy(text + sizeof(text) - 30, "\nfatal: Authentication failed", 30);
    words(text, NULL, &err);
    assert_int_equal(err.code, DT_E_GIT_AUTH_FAILED);
    assert_non_null(strstr(err.msg, "Authentication failed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_the_end_of_long_words_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

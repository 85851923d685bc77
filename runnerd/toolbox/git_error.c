#include "toolbox/git_error.h"

#include <stdio.h>

#include "toolbox/clone_url.h"

/* The first row that fits counts, so a cause stands before what git says about every failure. */
static const struct {
    const char *words;
    enum dt_err_code code;
} rows[] = {
    {"already exists and is not an empty directory", DT_E_FILE_EXISTS},
    {"No space left on device", DT_E_SYSTEM},
    {"cannot change to", DT_E_GIT_REPO_NOT_FOUND},
    {"detected dubious ownership", DT_E_FORBIDDEN},
    {"unsafe repository", DT_E_FORBIDDEN},
    {"could not lock config file", DT_E_FILE_ACCESS_DENIED},
    {".lock': File exists", DT_E_CONFLICT},
    {": File exists", DT_E_FILE_EXISTS},
    {"empty ident name", DT_E_INVALID},
    {"consists only of disallowed characters", DT_E_INVALID},
    {"empty commit message", DT_E_INVALID},
    /* merges, and trees with changes */
    {"would be overwritten", DT_E_GIT_DIRTY_WORKTREE},
    {". Cannot merge.", DT_E_GIT_DIRTY_WORKTREE},
    {"commit your changes or stash them", DT_E_GIT_DIRTY_WORKTREE},
    {"would lose untracked files", DT_E_GIT_DIRTY_WORKTREE},
    {"need to resolve your current index", DT_E_GIT_MERGE_CONFLICT},
    {"unmerged files", DT_E_GIT_MERGE_CONFLICT},
    {"unresolved conflict", DT_E_GIT_MERGE_CONFLICT},
    {"have not concluded your merge", DT_E_GIT_MERGE_CONFLICT},
    {"is unmerged", DT_E_GIT_MERGE_CONFLICT},
    {"in the middle of a merge", DT_E_GIT_MERGE_CONFLICT},
    {"Not possible to fast-forward", DT_E_GIT_MERGE_CONFLICT},
    {"refusing to merge unrelated histories", DT_E_GIT_MERGE_CONFLICT},
    /* pushes */
    {"[remote rejected]", DT_E_GIT_REMOTE_REJECTED},
    {"hook declined", DT_E_GIT_REMOTE_REJECTED},
    {"[rejected]", DT_E_GIT_PUSH_REJECTED},
    {"Updates were rejected", DT_E_GIT_PUSH_REJECTED},
    {"non-fast-forward", DT_E_GIT_PUSH_REJECTED},
    /* branches and commits */
    {"a branch named", DT_E_GIT_BRANCH_EXISTS},
    {"cannot delete branch", DT_E_CONFLICT},
    {"Cannot delete branch", DT_E_CONFLICT},
    {"is not a valid branch name", DT_E_INVALID},
    {"invalid initial branch name", DT_E_INVALID},
    {"matched multiple", DT_E_BAD_REQUEST},
    {"is ambiguous", DT_E_BAD_REQUEST},
    {"error: branch '", DT_E_GIT_BRANCH_NOT_FOUND},
    {"Remote branch", DT_E_GIT_BRANCH_NOT_FOUND},
    {"Could not find remote branch", DT_E_GIT_BRANCH_NOT_FOUND},
    {"couldn't find remote ref", DT_E_GIT_BRANCH_NOT_FOUND},
    {"src refspec", DT_E_GIT_BRANCH_NOT_FOUND},
    {"something we can merge", DT_E_GIT_BRANCH_NOT_FOUND},
    {"reference is not a tree", DT_E_GIT_BRANCH_NOT_FOUND},
    {"not our ref", DT_E_GIT_BRANCH_NOT_FOUND},
    {"unable to read tree", DT_E_GIT_BRANCH_NOT_FOUND},
    {"is not a commit", DT_E_GIT_BRANCH_NOT_FOUND},
    {"did not match any file(s) known to git", DT_E_GIT_BRANCH_NOT_FOUND},
    {"invalid reference", DT_E_GIT_BRANCH_NOT_FOUND},
    {"ambiguous argument", DT_E_GIT_BRANCH_NOT_FOUND},
    {"could not resolve", DT_E_GIT_BRANCH_NOT_FOUND},
    {"bad revision", DT_E_GIT_BRANCH_NOT_FOUND},
    {"unknown revision", DT_E_GIT_BRANCH_NOT_FOUND},
    {"Could not parse object", DT_E_GIT_BRANCH_NOT_FOUND},
    {"Failed to resolve", DT_E_GIT_BRANCH_NOT_FOUND},
    {"did not match any files", DT_E_FILE_NOT_FOUND},
    {"is outside repository", DT_E_INVALID_FILE_PATH},
    {"are ignored by one of your .gitignore files", DT_E_BAD_REQUEST},
    {"is beyond a symbolic link", DT_E_INVALID_FILE_PATH},
    {"must be run in a work tree", DT_E_BAD_REQUEST},
    {"key does not contain", DT_E_INVALID},
    {"invalid key", DT_E_INVALID},
    {"is not a valid remote name", DT_E_INVALID},
    {"No such remote", DT_E_GIT_REPO_NOT_FOUND},
    /* servers */
    {"Authentication failed", DT_E_GIT_AUTH_FAILED},
    {"could not read Username", DT_E_GIT_AUTH_FAILED},
    {"could not read Password", DT_E_GIT_AUTH_FAILED},
    {"terminal prompts disabled", DT_E_GIT_AUTH_FAILED},
    {"Access denied", DT_E_GIT_AUTH_FAILED},
    {"Permission denied (", DT_E_GIT_AUTH_FAILED},
    {"returned error: 401", DT_E_GIT_AUTH_FAILED},
    {"returned error: 403", DT_E_FORBIDDEN},
    {"Could not resolve", DT_E_GIT_TRANSPORT_FAILED},
    {"Failed to connect", DT_E_GIT_TRANSPORT_FAILED},
    {"unable to connect", DT_E_GIT_TRANSPORT_FAILED},
    {"Connection refused", DT_E_GIT_TRANSPORT_FAILED},
    {"Host key verification failed", DT_E_GIT_TRANSPORT_FAILED},
    {"transport '", DT_E_GIT_TRANSPORT_FAILED},
    {"returned error: 404", DT_E_GIT_REPO_NOT_FOUND},
    {"Repository not found", DT_E_GIT_REPO_NOT_FOUND},
    {"' not found", DT_E_GIT_REPO_NOT_FOUND},
    {"does not appear to be a git repository", DT_E_GIT_REPO_NOT_FOUND},
    {"not a git repository", DT_E_GIT_REPO_NOT_FOUND},
    {"not in a git directory", DT_E_GIT_REPO_NOT_FOUND},
    {"inside a git repository", DT_E_GIT_REPO_NOT_FOUND},
    {"does not exist", DT_E_GIT_REPO_NOT_FOUND},
    {"unable to access", DT_E_GIT_TRANSPORT_FAILED},
    {"Could not read from remote", DT_E_GIT_TRANSPORT_FAILED},
    {"early EOF", DT_E_GIT_TRANSPORT_FAILED},
    {"RPC failed", DT_E_GIT_TRANSPORT_FAILED},
    {"hung up unexpectedly", DT_E_GIT_TRANSPORT_FAILED},
    {"Permission denied", DT_E_FILE_ACCESS_DENIED},
};

enum dt_err_code dt_git_error_code(const char *words)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strstr(words, rows[i].words) != NULL)
            return rows[i].code;
    }
    return DT_E_SYSTEM;
}

/* What a caller can do about it, where git's own words speak to somebody at a shell. */
static const char *advice(enum dt_err_code code, const char *words)
{
    if (strstr(words, "dubious ownership") != NULL || strstr(words, "unsafe repository") != NULL)
        return "the repository belongs to another user of the sandbox, whose settings and hooks "
               "would run. Change its owner, or trust it: set safe.directory to its path with "
               "scope global. ";
    if (strstr(words, "Not possible to fast-forward") != NULL)
        return "both sides have commits that the other has not; merge or rebase first. ";
    if (code == DT_E_GIT_PUSH_REJECTED)
        return "the remote has commits that are not here; pull first. ";
    return "";
}

/* What stands before the @ of a URL becomes stars. */
static void hide_user_information(struct dt_buf *words)
{
    for (char *at = words->p; (at = strstr(at, "://")) != NULL;) {
        at += 3;
        size_t n = strcspn(at, "/ \t\n'\"?#");
        char *end = memrchr(at, '@', n);
        if (end == NULL)
            continue;
        size_t cut = (size_t)(end - at), stars = cut < 3 ? cut : 3;
        memset(at, '*', stars);
        memmove(at + stars, end, words->n + 1 - (size_t)(end - words->p));
        words->n -= cut - stars;
    }
}

/* What git_pathspec.h put in front of names is nothing to the caller. */
static void strip_magic(struct dt_buf *words)
{
    static const char magic[] = ":(literal)";
    const size_t n = sizeof(magic) - 1;
    for (char *at = words->p; (at = strstr(at, magic)) != NULL;) {
        memmove(at, at + n, words->n + 1 - (size_t)(at + n - words->p));
        words->n -= n;
    }
}

int dt_git_error_set(struct dt_err *err, struct dt_buf *words, const char *secret)
{
    if (dt_clone_url_redact(words, secret, err) < 0)
        return -1;
    if (words->n > 0) {
        hide_user_information(words);
        strip_magic(words);
    }
    const char *text = words->n > 0 ? words->p : "";
    enum dt_err_code code = dt_git_error_code(text);
    const char *hint = advice(code, text);
    /* The reason stands at the end. */
    size_t n = strlen(text), most = sizeof(err->msg) - 32 - strlen(hint);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    if (n == 0)
        return dt_err_set(err, code, "git failed without a word");
    const char *from = n > most ? text + n - most : text;
    return dt_err_set(err, code, "git: %s%.*s", hint, (int)(text + n - from), from);
}

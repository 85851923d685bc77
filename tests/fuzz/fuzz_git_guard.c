/* The reader of git's settings: what it refuses once it refuses wherever it stands in the list. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "toolbox/git_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first line is the branch, the rest the list. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_str list = dt_str((const char *)data, size), line;
    struct dt_git_guard g, again;
    if (!dt_str_cut(&list, '\n', &line))
        return 0;
    char *branch = strndup(line.n > 0 ? line.p : "", line.n);
    if (branch != NULL && dt_git_guard_read(list, branch, &g, NULL) == 0) {
        struct dt_buf more;
        dt_buf_init(&more, size + 100);
        static const char bad[] = "local\0http.proxy\nx\0local\0branch.main.merge\ny";
        if (dt_buf_add(&more, bad, sizeof(bad), NULL) < 0 ||
            (list.n > 0 && dt_buf_adds(&more, list, NULL) < 0))
            abort();
        assert(dt_git_guard_read(dt_buf_str(&more), branch, &again, NULL) == 0);
        assert(strcmp(again.refused, "http.proxy") == 0 && again.ssh_command == g.ssh_command);
        assert(strlen(g.merge) < sizeof(g.merge) && strlen(g.remote) < sizeof(g.remote));
        dt_buf_done(&more);
    }
    free(branch);
    return 0;
}

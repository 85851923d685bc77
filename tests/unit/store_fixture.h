/* A store of its own for a test, with one organization in it, and sandboxes to put there. */
#ifndef DT_STORE_FIXTURE_H
#define DT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>

#include "base/fd.h"
#include "db/migrate.h"
#include "runnerd/store.h"

#define ORG "11111111-0000-4000-8000-000000000000"

struct place {
    char folder[64];
    char path[96];
    struct dt_db_conn *c;
};

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err.msg);                                                    \
    } while (0)

static inline void open_store(struct place *p)
{
    struct dt_err err;
    OK(dt_db_conn_open(p->path, &p->c, &err));
    OK(dt_db_migrate(p->c, dt_db_migrations, &err));
}

/* setup and teardown of a test */
static inline int open_place(void **state)
{
    static struct place p;
    struct dt_err err;
    (void)snprintf(p.folder, sizeof(p.folder), "/tmp/dt-store-XXXXXX");
    if (mkdtemp(p.folder) == NULL)
        return -1;
    (void)snprintf(p.path, sizeof(p.path), "%s/a.db", p.folder);
    open_store(&p);
    OK(dt_db_script(
        p.c, "INSERT INTO organization (id, name, created_ms) VALUES ('" ORG "', 'o', 0)", &err));
    *state = &p;
    return 0;
}

static inline int close_place(void **state)
{
    struct place *p = *state;
    (void)dt_db_conn_close(p->c);
    DT_AUTO_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dt_fd_remove_tree(tmp, p->folder + sizeof("/tmp/") - 1, NULL);
}

/* Being made, and nowhere yet. */
static inline struct dt_sandbox_row row_of(const char *id)
{
    static char text[] = "x", object[] = "{}", list[] = "[]";
    struct dt_sandbox_row r = {
        .org = ORG,
        .snapshot = text,
        .user = text,
        .env = object,
        .labels = object,
        .target = text,
        .class_name = text,
        .layers = text,
        .boot = object,
        .volumes = list,
        .res = {2000, 1024, 3072},
        .state = DT_SANDBOX_CREATING,
        .desired = DT_DESIRED_STARTED,
    };
    (void)snprintf(r.id, sizeof(r.id), "%s", id);
    r.name = r.id;
    return r;
}

static inline void born(struct place *p, struct dt_sandbox_row *r, int64_t at)
{
    struct dt_err err;
    r->name = r->id;
    r->updated_ms = r->created_ms = at;
    OK(dt_store_sandbox_insert(p->c, r, &err));
}

#endif

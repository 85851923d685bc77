/* Numbered changes of the store's form, each in a transaction of its own. */
#ifndef DT_MIGRATE_H
#define DT_MIGRATE_H

#include "db/conn.h"

struct dt_db_migration {
    int number; /* 1, 2, 3 ...; 0 ends a table */
    const char *name;
    const char *sql;
};

/* Made from core/db/migrations/. */
extern const struct dt_db_migration dt_db_migrations[];

/* Applies what the file lacks. When one fails the file is as it was before that one, and stays
 * usable for the program that made it. Fails UNSUPPORTED on a file from a newer program. */
int dt_db_migrate(struct dt_db_conn *c, const struct dt_db_migration *table,
                  struct dt_err *err) DT_MUST_CHECK;

#endif

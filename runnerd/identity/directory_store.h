/* The directory as the store has it. These run inside a job (db/db.h) or, at the start of the
 * program, on a connection of their own. */
#ifndef DT_DIRECTORY_STORE_H
#define DT_DIRECTORY_STORE_H

#include "db/conn.h"
#include "runnerd/identity/directory.h"

/* Fills an empty directory. */
int dt_directory_load(struct dt_directory *d, struct dt_db_conn *c,
                      struct dt_err *err) DT_MUST_CHECK;
/* One object with all that belongs to it; NOT_FOUND. The caller owns *ret. */
int dt_org_load(struct dt_db_conn *c, const char *id, struct dt_org **ret,
                struct dt_err *err) DT_MUST_CHECK;
int dt_user_load(struct dt_db_conn *c, const char *id, struct dt_user **ret,
                 struct dt_err *err) DT_MUST_CHECK;

#endif

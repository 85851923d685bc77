/* What a store must have before anybody can use it: the local user, its personal organization, and
 * a key. */
#ifndef DT_BOOTSTRAP_H
#define DT_BOOTSTRAP_H

#include "db/conn.h"
#include "model/token.h"

/* Makes what is missing; blocks. `admin_key` (NULL: none) becomes the local user's key "admin" with
 * all permissions. *made is the text of a key made because there was none at all, to be shown once;
 * empty otherwise. */
int dt_bootstrap(struct dt_db_conn *c, const char *admin_key, char made[DT_API_KEY_SIZE],
                 struct dt_err *err) DT_MUST_CHECK;

#endif

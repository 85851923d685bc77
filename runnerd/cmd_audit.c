#include "runnerd/cmd_audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/rand.h"
#include "runnerd/audit/audit.h"
#include "runnerd/audit/verify.h"
#include "runnerd/keyfile.h"
#include "runnerd/privilege.h"

static int fail(const struct dt_err *err)
{
    (void)fprintf(stderr, "daytona-runnerd: %s\n", err->msg);
    return 1;
}

/* Reading makes files beside the store: as its owner, so that the server can use them. */
static int become_owner(const char *path, struct dt_err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return dt_err_errno(err, "%s", path);
    if (geteuid() != 0 || st.st_uid == 0)
        return 0;
    return dt_privileges_drop(&(struct dt_identity){st.st_uid, st.st_gid}, err);
}

static int open_log(const char *data_dir, struct dt_db_conn **ret, uint8_t key[DT_SECRET_SIZE],
                    struct dt_err *err)
{
    char store[4200], path[4200];
    (void)snprintf(store, sizeof(store), "%s/state/daytona.db", data_dir);
    if (dt_audit_key_path(data_dir, path) < 0 || become_owner(store, err) < 0)
        return -1;
    if (dt_keyfile_read(path, key, err) < 0)
        return -1;
    return dt_db_conn_open(store, ret, err);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `NUMBER:HASH` */
static int read_mark(const char *text, struct dt_audit_mark *mark, struct dt_err *err)
{
    struct dt_str hash = dt_str_z(text), number;
    unsigned long long seq = 0;
    bool good = dt_str_cut(&hash, ':', &number) && dt_str_u64(number, INT64_MAX, &seq) == 0 &&
                seq > 0 && hash.n == 2 * sizeof(mark->hash);
    for (size_t i = 0; good && i < sizeof(mark->hash); i++) {
        int high = hex_digit(hash.p[2 * i]), low = hex_digit(hash.p[2 * i + 1]);
        good = high >= 0 && low >= 0;
        mark->hash[i] = (uint8_t)(high << 4 | low);
    }
    mark->seq = (int64_t)seq;
    return good ? 0
                : dt_err_set(err, DT_E_INVALID,
                             "'%s' is no mark: give what an earlier `audit verify` printed last, "
                             "NUMBER:HASH",
                             text);
}

static void tell(void *ctx, const char *what)
{
    (void)ctx;
    (void)printf("%s\n", what);
}

static int print_report(const struct dt_audit_report *r)
{
    char hash[2 * DT_HASH_SIZE + 1];
    dt_hex(r->hash, sizeof(r->hash), hash);
    if (r->problems > DT_AUDIT_PROBLEMS_MAX)
        (void)printf("and %" PRId64 " more\n", r->problems - DT_AUDIT_PROBLEMS_MAX);
    if (r->problems > 0) {
        (void)printf("the audit log is broken: %" PRId64 " problems in %" PRId64 " records\n",
                     r->problems, r->records);
        return 1;
    }
    (void)printf("the audit log is whole: %" PRId64 " records\n", r->records);
    if (r->records > 0)
        (void)printf("%" PRId64 ":%s\n", r->last, hash);
    return 0;
}

static int verify(const char *data_dir, const char *mark_text)
{
    struct dt_err err;
    struct dt_audit_report report;
    struct dt_audit_mark mark = {0};
    uint8_t key[DT_SECRET_SIZE];
    DT_AUTO(dt_db_conn_close) struct dt_db_conn *c = NULL;
    if ((mark_text != NULL && read_mark(mark_text, &mark, &err) < 0) ||
        open_log(data_dir, &c, key, &err) < 0 ||
        /* One transaction: the server may write meanwhile. */
        dt_db_begin(c, false, &err) < 0 ||
        dt_audit_verify(c, key, &mark, tell, NULL, &report, &err) < 0)
        return fail(&err);
    dt_db_rollback(c);
    return print_report(&report);
}

int dt_cmd_audit(const struct dt_config_runnerd *config, const char *data_dir, int nwords,
                 char **words)
{
    (void)config;
    if ((nwords == 2 || nwords == 3) && strcmp(words[1], "verify") == 0)
        return verify(data_dir, nwords == 3 ? words[2] : NULL);
    (void)fprintf(stderr, "usage: daytona-runnerd audit verify [NUMBER:HASH] [--data-dir DIR]\n");
    return 2;
}

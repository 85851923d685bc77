#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "db/migrate.h"
#include "runnerd/identity/bootstrap.h"
#include "runnerd/identity/directory_store.h"
#include "runnerd/identity/identity_store.h"
#include "runnerd/runnerd.h"

#define ADMIN_KEY "dtn_0123456789abcdef"

static struct dt_runnerd rd; /* only its directory is used */
static struct dt_db_conn *db;
static char org[DT_UUID_SIZE];

static const struct dt_key *key_of(const char *text)
{
    uint8_t hash[DT_HASH_SIZE];
    dt_hash(dt_str_z(text), hash);
    return dt_directory_key(&rd.directory, hash);
}

/* As a change of the API does it: what the store has becomes what the directory has. */
static void refresh(void)
{
    struct dt_err err;
    struct dt_org *o = NULL;
    assert_int_equal(dt_org_load(db, org, &o, &err), 0);
    dt_directory_put_org(&rd.directory, o);
}

static void add_user(const char *id)
{
    struct dt_err err;
    struct dt_user *u = NULL;
    char personal[DT_UUID_SIZE];
    assert_int_equal(
        dt_store_user_add_with_org(db, &(struct dt_new_user){.id = id, .name = id, .email = ""},
                                   NULL, NULL, personal, &err),
        0);
    assert_int_equal(dt_user_load(db, id, &u, &err), 0);
    dt_directory_put_user(&rd.directory, u);
}

static int add_key(const char *user, const char *name, const char *text, uint32_t permissions)
{
    return dt_store_key_add(
        db,
        &(struct dt_new_key){
            .org = org, .user = user, .name = name, .text = text, .permissions = permissions},
        NULL);
}

static int set_up(void **state)
{
    struct dt_err err;
    char made[DT_API_KEY_SIZE];
    (void)state;
    memset(&rd, 0, sizeof(rd));
    assert_int_equal(dt_db_conn_open(":memory:", &db, &err), 0);
    assert_int_equal(dt_db_migrate(db, dt_db_migrations, &err), 0);
    assert_int_equal(dt_bootstrap(db, ADMIN_KEY, made, &err), 0);
    assert_string_equal(made, "");
    assert_int_equal(dt_directory_load(&rd.directory, db, &err), 0);
    add_user("olga");
    add_user("max");
    assert_int_equal(
        dt_store_org_add(db, &(struct dt_new_org){.name = "o", .created_by = "olga"}, org, &err),
        0);
    refresh();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dt_directory_clear(&rd.directory);
    db = dt_db_conn_close(db);
    return 0;
}

static void test_bootstrap(void **state)
{
    struct dt_err err;
    char made[DT_API_KEY_SIZE];
    (void)state;
    const struct dt_key *k = key_of(ADMIN_KEY);
    assert_non_null(k);
    assert_string_equal(k->user, rd.directory.local_user);
    assert_string_equal(k->org->id, rd.directory.local_org);
    assert_int_equal(k->permissions, DT_PERM_FIRST);
    assert_int_equal(rd.directory.nbuiltin, 7);
    /* Again: nothing is made twice; another text replaces the key. */
    assert_int_equal(dt_bootstrap(db, "dtn_fedcba9876543210", made, &err), 0);
    dt_directory_clear(&rd.directory);
    assert_int_equal(dt_directory_load(&rd.directory, db, &err), 0);
    assert_null(key_of(ADMIN_KEY));
    assert_non_null(key_of("dtn_fedcba9876543210"));
    assert_int_equal(dt_bootstrap(db, "short", made, &err), -1);
}

static void test_replaced_objects(void **state)
{
    (void)state;
    assert_int_equal(add_key("olga", "a", "dtn_aaaaaaaaaaaaaaaa", DT_PERM_ALL), 0);
    assert_int_equal(add_key("olga", "a", "dtn_bbbbbbbbbbbbbbbb", 0), -1); /* the name is taken */
    refresh();
    struct dt_key *k = (struct dt_key *)(uintptr_t)key_of("dtn_aaaaaaaaaaaaaaaa");
    assert_non_null(k);
    k->last_used_ms = 77; /* the store does not know yet */
    refresh();
    assert_int_equal(key_of("dtn_aaaaaaaaaaaaaaaa")->last_used_ms, 77);
    assert_int_equal(dt_store_key_delete(db, org, "olga", "a", NULL), 0);
    refresh();
    assert_null(key_of("dtn_aaaaaaaaaaaaaaaa"));
    dt_directory_drop_org(&rd.directory, org);
    assert_null(dt_directory_org(&rd.directory, org));
    dt_directory_drop_org(&rd.directory, org); /* twice is fine */
    assert_non_null(key_of(ADMIN_KEY));
}

static void test_keys_never_hold_more_than_their_member(void **state)
{
    (void)state;
    struct dt_err err;
    char role[DT_UUID_SIZE];
    const struct dt_new_role asked = {.org = org,
                                      .name = "r",
                                      .description = "",
                                      .permissions =
                                          DT_PERM_READ_VOLUMES | DT_PERM_WRITE_SANDBOXES};
    struct dt_new_role less = asked;
    assert_int_equal(dt_store_role_add(db, &asked, role, &err), 0);
    const char *const roles[] = {role};
    const struct dt_access access = {.roles = roles, .nroles = 1};
    assert_int_equal(dt_store_member_add(db, org, "max", &access, &err), 0);
    assert_int_equal(dt_store_member_add(db, org, "max", &access, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(add_key("max", "v", "dtn_vvvvvvvvvvvvvvvv", DT_PERM_READ_VOLUMES), 0);
    assert_int_equal(add_key("max", "s", "dtn_ssssssssssssssss", DT_PERM_WRITE_SANDBOXES), 0);
    assert_int_equal(add_key("max", "x", "dtn_xxxxxxxxxxxxxxxx", DT_PERM_DELETE_SANDBOXES), -1);
    less.permissions = DT_PERM_READ_VOLUMES;
    assert_int_equal(dt_store_role_edit(db, role, &less, &err), 0);
    refresh();
    assert_non_null(key_of("dtn_vvvvvvvvvvvvvvvv"));
    assert_null(key_of("dtn_ssssssssssssssss"));
    assert_int_equal(dt_store_role_delete(db, org, role, &err), 0);
    refresh();
    assert_null(key_of("dtn_vvvvvvvvvvvvvvvv"));
    assert_int_equal(dt_org_member(dt_directory_org(&rd.directory, org), "max")->permissions, 0);
}

static void test_the_last_owner_stays(void **state)
{
    (void)state;
    struct dt_err err;
    const struct dt_access member = {0}, owner = {.owner = true};
    assert_int_equal(dt_store_member_access(db, org, "olga", &member, &err), -1);
    assert_int_equal(err.code, DT_E_FORBIDDEN);
    assert_int_equal(dt_store_member_remove(db, org, "olga", &err), -1);
    assert_int_equal(dt_store_member_add(db, org, "max", &owner, &err), 0);
    assert_int_equal(dt_store_member_remove(db, org, "olga", &err), 0);
    assert_int_equal(dt_store_member_remove(db, org, "max", &err), -1);
    assert_int_equal(dt_store_member_remove(db, org, "nobody", &err), -1);
}

static void test_suspensions_end(void **state)
{
    (void)state;
    const int64_t now = dt_clock_real_ms();
    struct dt_err err;
    assert_false(dt_org_suspended(dt_directory_org(&rd.directory, org), now));
    assert_int_equal(dt_store_org_suspend(db, org, "why", now + 1000, 24, &err), 0);
    refresh();
    assert_true(dt_org_suspended(dt_directory_org(&rd.directory, org), now + 999));
    assert_false(dt_org_suspended(dt_directory_org(&rd.directory, org), now + 1000));
    assert_int_equal(dt_store_org_suspend(db, org, NULL, 0, 24, &err), 0);
    refresh();
    assert_true(dt_org_suspended(dt_directory_org(&rd.directory, org), INT64_MAX));
    assert_int_equal(dt_store_org_unsuspend(db, "no-such", &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
}

/* What the wire tests cannot have: an organization that goes while its member waits. */
static void test_a_principal_whose_organization_is_gone(void **state)
{
    (void)state;
    struct dt_err err;
    struct dt_principal who = {.kind = DT_BY_TOKEN, .user = "olga"};
    assert_int_equal(dt_principal_enter(&rd, &who, org, &err), 0);
    assert_true(who.owner);
    assert_int_equal(who.permissions, DT_PERM_ALL);
    dt_directory_drop_org(&rd.directory, org);
    assert_int_equal(dt_principal_enter(&rd, &who, org, &err), -1);
    assert_int_equal(err.code, DT_E_FORBIDDEN);
    assert_int_equal(dt_principal_enter(&rd, &who, "", &err), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bootstrap),
        TEST(test_replaced_objects),
        TEST(test_keys_never_hold_more_than_their_member),
        TEST(test_the_last_owner_stays),
        TEST(test_suspensions_end),
        TEST(test_a_principal_whose_organization_is_gone),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}

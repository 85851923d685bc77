/* Registered runners: the table in memory, and what the store keeps of them. */
#include "store_fixture.h"

#include <math.h>

#include "runnerd/remote.h"

#define REGION "22222222-0000-4000-8000-000000000000"

static int setup(void **state)
{
    struct dt_err err;
    if (open_place(state) < 0)
        return -1;
    const struct place *p = *state;
    OK(dt_db_script(p->c,
                    "INSERT INTO region (id, organization_id, name, created_ms, updated_ms) "
                    "VALUES ('" REGION "', '" ORG "', 'lab', 0, 0)",
                    &err));
    return 0;
}

/* Its id and its key's text are its name, as far as that goes. */
static struct dt_remote *remote_of(const char *name, const char *region)
{
    struct dt_remote *r = dt_remote_new();
    assert_non_null(r);
    (void)snprintf(r->id, sizeof(r->id), "%s", name);
    (void)snprintf(r->region, sizeof(r->region), "%s", region);
    (void)snprintf(r->org, sizeof(r->org), "%s", region[0] != '\0' ? ORG : "");
    dt_remote_set_key(r, dt_str_z(name));
    assert_int_equal(dt_remote_set(r, DT_REMOTE_NAME, name), 0);
    assert_int_equal(dt_remote_set(r, DT_REMOTE_TAGS, "[]"), 0);
    assert_int_equal(dt_remote_set(r, DT_REMOTE_API_VERSION, "2"), 0);
    return r;
}

static void test_the_table(void **state)
{
    (void)state;
    struct dt_remotes t = {0};
    uint8_t hash[DT_HASH_SIZE];
    dt_remotes_put(&t, remote_of("one", REGION));
    dt_remotes_put(&t, remote_of("two", ""));
    dt_remotes_put(&t, remote_of("three", ""));
    dt_hash(DT_STR("two"), hash);
    assert_string_equal(dt_remotes_by_key(&t, hash)->id, "two");
    hash[31] ^= 1;
    assert_null(dt_remotes_by_key(&t, hash));
    assert_true(dt_remotes_in(&t, REGION));
    assert_false(dt_remotes_in(&t, ORG));
    /* In its place, with what was told of it. */
    dt_remotes_find(&t, "two")->shown = DT_RUNNER_READY;
    dt_remotes_put(&t, remote_of("two", REGION));
    assert_string_equal(t.first->next->id, "two");
    assert_string_equal(t.first->next->region, REGION);
    assert_int_equal(t.first->next->shown, DT_RUNNER_READY);
    assert_string_equal(t.first->next->next->id, "three");
    dt_remotes_remove(&t, "one");
    dt_remotes_remove(&t, "one");
    assert_null(dt_remotes_find(&t, "one"));
    assert_string_equal(t.first->id, "two");
    dt_remotes_clear(&t);
    assert_null(t.first);
}

static void test_all_of_it_is_kept(void **state)
{
    const struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_remote_free) struct dt_remote *r = remote_of("one", REGION);
    DT_AUTO(dt_remote_free) struct dt_remote *got = NULL;
    assert_int_equal(dt_remote_set(r, DT_REMOTE_TAGS, "[\"a\"]"), 0);
    r->figures[DT_REMOTE_CPU] = 4;
    OK(dt_store_remote_add(p->c, r, &err));
    OK(dt_store_remote_get(p->c, "one", &got, &err));
    assert_string_equal(got->region, REGION);
    assert_string_equal(got->org, ORG);
    assert_memory_equal(got->key, r->key, sizeof(r->key));
    assert_string_equal(got->prefix, "one");
    assert_string_equal(got->texts[DT_REMOTE_TAGS], "[\"a\"]");
    assert_null(got->texts[DT_REMOTE_DOMAIN]);
    assert_true(got->figures[DT_REMOTE_CPU] == 4 && isnan(got->figures[DT_REMOTE_MEMORY]));
    assert_true(got->checked_ms == 0 && got->shown == DT_RUNNER_INITIALIZING);
    assert_true(got->created_ms > 0 && got->created_ms == got->updated_ms);
}

static void test_reports_replace_what_they_say(void **state)
{
    const struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_remote_free) struct dt_remote *r = remote_of("one", "");
    DT_AUTO(dt_remote_free) struct dt_remote *said = dt_remote_new();
    DT_AUTO(dt_remote_free) struct dt_remote *got = NULL, *later = NULL;
    assert_non_null(said);
    OK(dt_store_remote_add(p->c, r, &err));
    memcpy(said->id, r->id, sizeof(said->id));
    said->figures[DT_REMOTE_CPU_USED] = 12.5;
    said->checked_ms = 5;
    assert_int_equal(dt_remote_set(said, DT_REMOTE_DOMAIN, "d"), 0);
    OK(dt_store_remote_report(p->c, said, &err));
    /* The next one knows no figures and no domain: they stay. */
    said->figures[DT_REMOTE_CPU_USED] = NAN;
    said->checked_ms = 6;
    said->troubled = true;
    assert_int_equal(dt_remote_set(said, DT_REMOTE_DOMAIN, NULL), 0);
    assert_int_equal(dt_remote_set(said, DT_REMOTE_APP_VERSION, "v2"), 0);
    OK(dt_store_remote_report(p->c, said, &err));
    OK(dt_store_remote_get(p->c, "one", &got, &err));
    assert_true(got->figures[DT_REMOTE_CPU_USED] == 12.5 && got->checked_ms == 6 && got->troubled);
    assert_string_equal(got->texts[DT_REMOTE_DOMAIN], "d");
    assert_string_equal(got->texts[DT_REMOTE_APP_VERSION], "v2");
    assert_int_equal(got->shown, DT_RUNNER_UNRESPONSIVE);
    /* Each flag for itself. */
    OK(dt_store_remote_flags(p->c, "one", &(bool){true}, NULL, &err));
    OK(dt_store_remote_flags(p->c, "one", NULL, &(bool){true}, &err));
    OK(dt_store_remote_flags(p->c, "one", &(bool){false}, NULL, &err));
    OK(dt_store_remote_get(p->c, "one", &later, &err));
    assert_true(later->draining && !later->unschedulable && later->checked_ms == 6);
}

static void test_what_is_not_there(void **state)
{
    const struct place *p = *state;
    struct dt_err err;
    DT_AUTO(dt_remote_free) struct dt_remote *r = remote_of("none", "");
    DT_AUTO(dt_remote_free) struct dt_remote *got = NULL;
    assert_int_equal(dt_store_remote_get(p->c, "none", &got, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_store_remote_report(p->c, r, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_store_remote_flags(p->c, "none", NULL, NULL, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    assert_int_equal(dt_store_remote_delete(p->c, "none", &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
    /* A region that was deleted meanwhile. */
    (void)snprintf(r->region, sizeof(r->region), "%s", ORG);
    (void)snprintf(r->org, sizeof(r->org), "%s", ORG);
    assert_int_equal(dt_store_remote_add(p->c, r, &err), -1);
    assert_int_equal(err.code, DT_E_NOT_FOUND);
}

static int add(const struct place *p, const char *name, const char *region, const char *key,
               struct dt_err *err)
{
    static int count;
    DT_AUTO(dt_remote_free) struct dt_remote *r = remote_of(name, region);
    (void)snprintf(r->id, sizeof(r->id), "%d", ++count);
    dt_remote_set_key(r, dt_str_z(key));
    return dt_store_remote_add(p->c, r, err);
}

static void test_names_keys_and_room(void **state)
{
    const struct place *p = *state;
    struct dt_err err;
    OK(add(p, "one", REGION, "first key", &err));
    OK(add(p, "one", "", "second key", &err));
    assert_int_equal(add(p, "one", REGION, "third key", &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_string_equal(err.msg, "Runner with name one already exists in this region");
    assert_int_equal(add(p, "two", REGION, "second key", &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_non_null(strstr(err.msg, "this key is in use"));
    for (int i = 1; i < DT_REMOTES_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "runner%d", i);
        OK(add(p, name, REGION, name, &err));
    }
    assert_int_equal(add(p, "more", REGION, "one key more", &err), -1);
    assert_int_equal(err.code, DT_E_FORBIDDEN);
    OK(add(p, "more", "", "one key more", &err)); /* that is another account */
}

static void test_they_go_with_their_region(void **state)
{
    const struct place *p = *state;
    struct dt_err err;
    struct dt_remotes t = {0};
    OK(add(p, "one", REGION, "first key", &err));
    OK(add(p, "shared", "", "second key", &err));
    OK(dt_db_script(p->c, "DELETE FROM region", &err));
    OK(dt_remotes_load(&t, p->c, &err));
    assert_string_equal(t.first->texts[DT_REMOTE_NAME], "shared");
    assert_null(t.first->next);
    dt_remotes_clear(&t);
}

static void test_figures_that_nobody_understands(void **state)
{
    const struct place *p = *state;
    struct dt_err err;
    struct dt_remotes t = {0};
    OK(add(p, "one", "", "first key", &err));
    OK(add(p, "two", "", "second key", &err));
    OK(dt_db_script(p->c,
                    "UPDATE remote_runner SET figures = '[1,\"x\",3' WHERE name = 'one';"
                    "UPDATE remote_runner SET figures = '[1,\"x\",3]' WHERE name = 'two'",
                    &err));
    OK(dt_remotes_load(&t, p->c, &err));
    for (const struct dt_remote *r = t.first; r != NULL; r = r->next) {
        bool two = strcmp(r->texts[DT_REMOTE_NAME], "two") == 0;
        assert_true(two ? r->figures[DT_REMOTE_DISK] == 3 : isnan(r->figures[DT_REMOTE_DISK]));
        assert_true(isnan(r->figures[DT_REMOTE_MEMORY]));
    }
    dt_remotes_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test_setup_teardown(test_all_of_it_is_kept, setup, close_place),
        cmocka_unit_test_setup_teardown(test_reports_replace_what_they_say, setup, close_place),
        cmocka_unit_test_setup_teardown(test_what_is_not_there, setup, close_place),
        cmocka_unit_test_setup_teardown(test_names_keys_and_room, setup, close_place),
        cmocka_unit_test_setup_teardown(test_they_go_with_their_region, setup, close_place),
        cmocka_unit_test_setup_teardown(test_figures_that_nobody_understands, setup, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mount_api.h"
#include "oci/digest.h"
#include "oci/image.h"
#include "oci/jail.h"
#include "oci/manifest.h"
#include "oci/store.h"
#include "tar_build.h"

#define ROWS(r) (sizeof(r) / sizeof((r)[0]))

/* A data directory, and beside it what a hostile archive would like to reach. */
struct world {
    char dir[64];
    int top, data;
};

static void run(const char *fmt, ...) DT_PRINTF(1, 2);
static void run(const char *fmt, ...)
{
    char command[4096];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: status %d", command, status);
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/dt-test-oci.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->top = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(w->top, "data", 0755), 0);
    w->data = openat(w->top, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    run("echo untouched > %s/canary && chmod 0600 %s/canary", w->dir, w->dir);
    *state = w;
    return 0;
}

static int drop_world(void **state)
{
    struct world *w = *state;
    struct dt_err err;
    DT_AUTO_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)close(w->data);
    (void)close(w->top);
    int rc = dt_fd_remove_tree(tmp, w->dir + strlen("/tmp/"), &err);
    free(w);
    return rc;
}

static const char *in_world(const struct world *w, const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    return path;
}

static void write_file(const struct world *w, const char *name, struct dt_str s)
{
    struct dt_err err;
    DT_AUTO_FD int fd = openat(w->top, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(dt_fd_write_all(fd, s.p, s.n, &err), 0);
}

static int import(const struct world *w, const char *name, struct dt_image *image,
                  struct dt_err *err)
{
    memset(err, 0, sizeof(*err));
    return dt_image_import(w->data, in_world(w, name), image, err);
}

static struct dt_image import_ok(const struct world *w, const char *name)
{
    struct dt_image image;
    struct dt_err err;
    if (import(w, name, &image, &err) < 0)
        fail_msg("import of %s: %s", name, err.msg);
    return image;
}

static unsigned count_layers(const struct world *w)
{
    unsigned n = 0;
    DIR *d = opendir(in_world(w, "data/layers"));
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, ".lock") != 0)
            n++;
    (void)closedir(d);
    return n;
}

static const char *in_layer(const struct world *w, const struct dt_image *image, size_t layer,
                            const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "%s/data/layers/%s/%s", w->dir, image->layers[layer], name);
    return path;
}

static struct stat stat_of(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return st;
}

static void assert_content(const char *path, const char *want)
{
    DT_AUTO_BUF struct dt_buf b;
    struct dt_err err;
    dt_buf_init(&b, 1 << 20);
    assert_int_equal(dt_fd_read_file(AT_FDCWD, path, &b, &err), 0);
    assert_int_equal(b.n, strlen(want));
    assert_memory_equal(b.p, want, b.n);
}

/* ---- root file systems ---- */

/* v2, effective, permitted NET_BIND_SERVICE */
static const char caps[20] = {1, 0, 0, 2, 0, 4};

static void add_one_of_each(struct dt_buf *b)
{
    DT_AUTO_BUF struct dt_buf pax;
    dt_buf_init(&pax, 1 << 20);
    tb_put(b, &(struct tb_entry){.type = '5', .name = "./", .mode = 0751, .mtime = 1000});
    tb_put(b, &(struct tb_entry){
                  .type = '5', .name = "./d/", .mode = 02500, .uid = 7, .gid = 8, .mtime = 2000});
    tb_record(&pax, "SCHILY.xattr.user.kept", "yes", 3);
    tb_record(&pax, "SCHILY.xattr.user.overlay.opaque", "y", 1);
    tb_record(&pax, "SCHILY.xattr.user.overlay.redirect", "/etc", 4);
    tb_record(&pax, "SCHILY.xattr.trusted.overlay.opaque", "y", 1);
    tb_record(&pax, "SCHILY.xattr.security.selinux", "x", 1);
    tb_record(&pax, "SCHILY.xattr.security.capability", caps, sizeof(caps));
    tb_put(b, &(struct tb_entry){.type = 'x', .name = "p", .data = pax.p, .n = pax.n});
    tb_put(b, &(struct tb_entry){.name = "d/f",
                                 .data = "data",
                                 .n = 4,
                                 .mode = 06755,
                                 .uid = 65535,
                                 .gid = 1000,
                                 .mtime = 3000});
    tb_put(b, &(struct tb_entry){.type = '1', .name = "hard", .link = "./d/f"});
    tb_put(b, &(struct tb_entry){
                  .type = '2', .name = "soft", .link = "/etc/shadow", .uid = 5, .mtime = 4000});
    tb_put(b, &(struct tb_entry){.type = '1', .name = "soft2", .link = "soft", .uid = 5});
    tb_put(b, &(struct tb_entry){.name = "deep/er/file", .data = "x", .n = 1});
    tb_put(b, &(struct tb_entry){.type = '3', .name = "dev/sda"});
    tb_put(b, &(struct tb_entry){.type = '4', .name = "dev/sdb"});
    tb_put(b, &(struct tb_entry){.type = '6', .name = "dev/fifo"});
    tb_put(b, &(struct tb_entry){.name = ".wh.gone"});
    tb_end(b);
}

static void check_files(const struct world *w, const struct dt_image *image)
{
    struct stat st = stat_of(in_layer(w, image, 0, ""));
    assert_int_equal(st.st_mode, S_IFDIR | 0751);
    assert_int_equal(st.st_mtime, 1000);
    st = stat_of(in_layer(w, image, 0, "d"));
    assert_int_equal(st.st_mode, S_IFDIR | 02500);
    assert_int_equal(st.st_uid, 7);
    assert_int_equal(st.st_gid, 8);
    assert_int_equal(st.st_mtime, 2000);
    st = stat_of(in_layer(w, image, 0, "d/f"));
    assert_int_equal(st.st_mode, S_IFREG | 06755);
    assert_int_equal(st.st_uid, 65535);
    assert_int_equal(st.st_gid, 1000);
    assert_int_equal(st.st_mtime, 3000);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(stat_of(in_layer(w, image, 0, "hard")).st_ino, st.st_ino);
    assert_content(in_layer(w, image, 0, "d/f"), "data");
    st = stat_of(in_layer(w, image, 0, "soft"));
    assert_true(S_ISLNK(st.st_mode) && st.st_uid == 5 && st.st_mtime == 4000);
    assert_true(S_ISLNK(stat_of(in_layer(w, image, 0, "soft2")).st_mode));
    assert_int_equal(stat_of(in_layer(w, image, 0, "deep/er")).st_mode, S_IFDIR | 0755);
    assert_int_equal(access(in_layer(w, image, 0, "dev"), F_OK), -1);
    assert_int_equal(access(in_layer(w, image, 0, ".wh.gone"), F_OK), -1);
}

static void check_attributes(const struct world *w, const struct dt_image *image)
{
    char value[64];
    const char *f = in_layer(w, image, 0, "d/f");
    assert_int_equal(lgetxattr(f, "user.kept", value, sizeof(value)), 3);
    assert_int_equal(lgetxattr(f, "user.overlay.opaque", value, sizeof(value)), -1);
    assert_int_equal(lgetxattr(f, "user.overlay.redirect", value, sizeof(value)), -1);
    assert_int_equal(lgetxattr(f, "trusted.overlay.opaque", value, sizeof(value)), -1);
    /* As root of the host sees it: the capability of the image, for the root of whoever mounts it.
     */
    assert_int_equal(lgetxattr(f, "security.capability", value, sizeof(value)), 20);
    assert_memory_equal(value, caps, sizeof(caps));
    assert_int_equal(stat_of(in_world(w, "data/layers")).st_mode, S_IFDIR | 0700);
}

static void test_metadata_is_kept(void **state)
{
    const struct world *w = *state;
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1 << 20);
    add_one_of_each(&b);
    write_file(w, "rootfs.tar", dt_buf_str(&b));
    struct dt_image image = import_ok(w, "rootfs.tar");

    assert_int_equal(image.nlayers, 1);
    assert_int_equal(image.dropped, 3 + 4);
    assert_true(image.size_bytes >= 4096);
    char diff_id[DT_DIGEST_SIZE];
    struct dt_err err;
    assert_int_equal(dt_digest_of(dt_buf_str(&b), diff_id, &err), 0);
    assert_string_equal(image.layers[0], diff_id);
    assert_string_equal(image.config_json,
                        "{\"user\":\"\",\"env\":{},\"workdir\":\"\",\"entrypoint\":[],\"cmd\":[]}");

    check_files(w, &image);
    check_attributes(w, &image);
    dt_image_done(&image);
}

static void test_later_entries_replace(void **state)
{
    const struct world *w = *state;
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1 << 20);
    tb_put(&b, &(struct tb_entry){.name = "f", .data = "one", .n = 3});
    tb_put(&b, &(struct tb_entry){.type = '1', .name = "g", .link = "f"});
    tb_put(&b, &(struct tb_entry){.name = "f", .data = "two!", .n = 4}); /* g keeps the old one */
    tb_put(&b, &(struct tb_entry){.type = '2', .name = "s", .link = "../../../canary"});
    tb_put(&b, &(struct tb_entry){.name = "s", .data = "file", .n = 4});
    tb_put(&b, &(struct tb_entry){.name = "dir/a/b", .data = "x", .n = 1});
    tb_put(&b, &(struct tb_entry){.type = '2', .name = "dir", .link = "/"});
    tb_put(&b, &(struct tb_entry){.type = '2', .name = "link", .link = "/"});
    tb_put(&b, &(struct tb_entry){.type = '5', .name = "link", .mode = 0700});
    tb_put(&b, &(struct tb_entry){.name = "link/below", .data = "x", .n = 1});
    tb_put(&b, &(struct tb_entry){.type = '5', .name = "link/", .mode = 0711});
    tb_end(&b);
    write_file(w, "t.tar", dt_buf_str(&b));
    struct dt_image image = import_ok(w, "t.tar");
    assert_content(in_layer(w, &image, 0, "f"), "two!");
    assert_content(in_layer(w, &image, 0, "g"), "one");
    assert_content(in_layer(w, &image, 0, "s"), "file");
    assert_true(S_ISLNK(stat_of(in_layer(w, &image, 0, "dir")).st_mode));
    assert_int_equal(stat_of(in_layer(w, &image, 0, "link")).st_mode, S_IFDIR | 0711);
    assert_content(in_layer(w, &image, 0, "link/below"), "x");
    assert_content(in_world(w, "canary"), "untouched\n");
    dt_image_done(&image);
}

#define LINK(at, to)                                                                               \
    {                                                                                              \
        .type = '2', .name = (at), .link = (to)                                                    \
    }
#define FILE_AT(at)                                                                                \
    {                                                                                              \
        .name = (at), .data = "evil", .n = 4                                                       \
    }

static char long_name[DT_TAR_PATH_MAX + 1];
static char deep[2 * (DT_LAYER_DEPTH_MAX + 1) + 1];

static const struct {
    const char *what;
    struct tb_entry e[3];
    const char *gnu_name; /* of the first entry */
    enum dt_err_code code;
    const char *says;
} hostile[] = {
    {"dot dot", {FILE_AT("../canary")}, NULL, DT_E_INVALID, "'..'"},
    {"dot dot within", {FILE_AT("a/../../../canary")}, NULL, DT_E_INVALID, "'..'"},
    {"trailing dot dot", {{.type = '5', .name = "a/.."}}, NULL, DT_E_INVALID, "'..'"},
    {"absolute", {FILE_AT("/etc/passwd")}, NULL, DT_E_INVALID, "absolute"},
    {"through a link out",
     {LINK("l", "../../.."), FILE_AT("l/canary")},
     NULL,
     DT_E_INVALID,
     "symbolic link"},
    {"through an absolute link",
     {LINK("l", "/tmp"), FILE_AT("l/canary")},
     NULL,
     DT_E_INVALID,
     "symbolic link"},
    {"through a link inside",
     {{.type = '5', .name = "real", .mode = 0755}, LINK("l", "real"), FILE_AT("l/x")},
     NULL,
     DT_E_INVALID,
     "symbolic link"},
    {"folder below a link",
     {LINK("l", "/tmp"), {.type = '5', .name = "l/new/"}},
     NULL,
     DT_E_INVALID,
     "symbolic link"},
    {"folder far below a link",
     {LINK("l", "/tmp"), FILE_AT("l/a/b/c")},
     NULL,
     DT_E_INVALID,
     "symbolic link"},
    {"below a file", {FILE_AT("f"), FILE_AT("f/g")}, NULL, DT_E_INVALID, "file of the same"},
    {"hard link out",
     {{.type = '1', .name = "h", .link = "../../canary"}},
     NULL,
     DT_E_INVALID,
     "'..'"},
    {"absolute hard link",
     {{.type = '1', .name = "h", .link = "/etc/shadow"}},
     NULL,
     DT_E_INVALID,
     "absolute"},
    {"hard link through a link",
     {LINK("l", "/etc"), {.type = '1', .name = "h", .link = "l/shadow"}},
     NULL,
     DT_E_INVALID,
     "no earlier file"},
    {"hard link to nothing",
     {{.type = '1', .name = "h", .link = "none"}},
     NULL,
     DT_E_INVALID,
     "no earlier file"},
    {"hard link to a folder",
     {{.type = '5', .name = "d", .mode = 0755}, {.type = '1', .name = "h", .link = "d"}},
     NULL,
     DT_E_INVALID,
     "no regular file"},
    {"hard link to itself",
     {FILE_AT("h"), {.type = '1', .name = "h", .link = "h"}},
     NULL,
     DT_E_INVALID,
     "itself"},
    {"empty link target",
     {{.type = '2', .name = "l", .link = ""}},
     NULL,
     DT_E_INVALID,
     "link target"},
    {"big uid", {{.name = "f", .uid = 65536}}, NULL, DT_E_INVALID, "owner 65536:0"},
    {"big gid", {{.name = "f", .gid = 0200000}}, NULL, DT_E_INVALID, "owner 0:65536"},
    {"64-bit uid",
     {{.name = "f", .uid_field = "\200\0\0\1\0\0\0\0"}},
     NULL,
     DT_E_INVALID,
     "owner 4294967296:0"},
    {"huge size", {{.name = "f", .size_field = "77777777777"}}, NULL, DT_E_INVALID, "truncated"},
    {"huge size in base 256",
     {{.name = "f", .size_field = "\200\0\0\0\1\0\0\0\0\0\0\0"}},
     NULL,
     DT_E_INVALID,
     "truncated"},
    {"long component", {FILE_AT("f")}, long_name, DT_E_INVALID, "255 bytes"},
    {"deep", {FILE_AT("f")}, deep, DT_E_INVALID, "more than 128"},
    {"root as a file", {FILE_AT("./.")}, NULL, DT_E_INVALID, "root is no folder"},
    {"unknown type", {{.type = 'Z', .name = "f"}}, NULL, DT_E_UNSUPPORTED, "unknown type"},
};

static void test_hostile_archives(void **state)
{
    const struct world *w = *state;
    memset(long_name, 'n', 256);
    for (size_t i = 0; i + 1 < sizeof(deep); i += 2)
        memcpy(deep + i, "d/", 2);
    deep[sizeof(deep) - 2] = '\0';
    for (size_t i = 0; i < ROWS(hostile); i++) {
        DT_AUTO_BUF struct dt_buf b;
        struct dt_image image;
        struct dt_err err;
        dt_buf_init(&b, 1 << 20);
        if (hostile[i].gnu_name != NULL)
            tb_put(&b, &(struct tb_entry){.type = 'L',
                                          .name = "L",
                                          .data = hostile[i].gnu_name,
                                          .n = strlen(hostile[i].gnu_name)});
        for (size_t k = 0; k < 3 && hostile[i].e[k].name != NULL; k++)
            tb_put(&b, &hostile[i].e[k]);
        tb_end(&b);
        write_file(w, "hostile.tar", dt_buf_str(&b));
        if (import(w, "hostile.tar", &image, &err) == 0)
            fail_msg("%s: was accepted", hostile[i].what);
        if (err.code != hostile[i].code || strstr(err.msg, hostile[i].says) == NULL)
            fail_msg("%s: %s: %s", hostile[i].what, dt_err_wire(err.code), err.msg);
        assert_int_equal(count_layers(w), 0);
    }
    assert_content(in_world(w, "canary"), "untouched\n");
}

static void test_what_is_no_archive(void **state)
{
    const struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    write_file(w, "empty", DT_STR(""));
    write_file(w, "text", DT_STR("this is no archive but it has some bytes\n"));
    run("cd %s && mkdir folder && mkfifo fifo && head -c 4096 /dev/zero | tr '\\0' x > junk && "
        "xz -c text > text.xz && gzip -c junk > junk.gz",
        w->dir);
    const struct {
        const char *name;
        enum dt_err_code code;
        const char *says;
    } rows[] = {
        {"absent", DT_E_NOT_FOUND, "no such file"},  {"empty", DT_E_INVALID, "empty"},
        {"text", DT_E_INVALID, "truncated"},         {"junk", DT_E_INVALID, "no tar archive"},
        {"junk.gz", DT_E_INVALID, "no tar archive"}, {"text.xz", DT_E_UNSUPPORTED, "gzip or zstd"},
        {"folder", DT_E_INVALID, "OCI layout"},      {"fifo", DT_E_INVALID, "neither"},
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(import(w, rows[i].name, &image, &err), -1);
        if (err.code != rows[i].code || strstr(err.msg, rows[i].says) == NULL)
            fail_msg("%s: %s: %s", rows[i].name, dt_err_wire(err.code), err.msg);
    }
}

static void test_compressed_rootfs(void **state)
{
    const struct world *w = *state;
    run("cd %s && mkdir -p r/bin && head -c 3000000 /dev/urandom > r/bin/x && tar -C r -cf r.tar . "
        "&& "
        "gzip -1 -c r.tar > r.tar.gz && zstd -q r.tar -o r.tar.zst && "
        "{ head -c 1000000 r.tar | gzip -1; tail -c +1000001 r.tar | gzip -1; } > two.gz && "
        "{ head -c 1000000 r.tar | zstd -q; tail -c +1000001 r.tar | zstd -q; } > two.zst && "
        "{ cat r.tar.gz; head -c 5000 /dev/zero; } > padded.gz && "
        "{ cat r.tar.gz; echo garbage; } > garbage.gz && head -c 2000000 r.tar.gz > cut.gz && "
        "head -c 2000000 r.tar.zst > cut.zst",
        w->dir);
    static const char *const good[] = {"r.tar",  "r.tar.gz", "r.tar.zst",
                                       "two.gz", "two.zst",  "padded.gz"};
    static const char *const bad[] = {"garbage.gz", "cut.gz", "cut.zst"};
    char chain[65] = "";
    for (size_t i = 0; i < ROWS(good); i++) {
        struct dt_image image = import_ok(w, good[i]);
        if (i > 0)
            assert_string_equal(image.layers[0], chain);
        memcpy(chain, image.layers[0], sizeof(chain));
        dt_image_done(&image);
    }
    assert_int_equal(count_layers(w), 1);
    for (size_t i = 0; i < ROWS(bad); i++) {
        struct dt_image image;
        struct dt_err err;
        assert_int_equal(import(w, bad[i], &image, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
    }
    run("cmp %s/r/bin/x %s/data/layers/%s/bin/x", w->dir, w->dir, chain);
}

static void test_bombs(void **state)
{
    const struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    /* 70 MB of zeros: more than 1000:1 even in one go with zstd. */
    run("head -c 200000000 /dev/zero | zstd -q -19 > %s/bomb.zst", w->dir);
    assert_int_equal(import(w, "bomb.zst", &image, &err), -1);
    assert_int_equal(err.code, DT_E_LIMIT);
    assert_non_null(strstr(err.msg, "bomb"));
    /* A window that needs 1 GiB of memory. */
    run("head -c 3000000 /dev/urandom | zstd -q --ultra -22 --long=30 > %s/window.zst", w->dir);
    assert_int_equal(import(w, "window.zst", &image, &err), -1);
    /* A sparse file larger than a layer may be. */
    run("cd %s && truncate -s 30G sparse && tar -Scf sparse.tar sparse && rm sparse", w->dir);
    assert_int_equal(import(w, "sparse.tar", &image, &err), -1);
    assert_int_equal(err.code, DT_E_TOO_LARGE);
    assert_int_equal(count_layers(w), 0);
}

static void test_interrupted_import_is_cleaned_up(void **state)
{
    const struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    run("cd %s && mkdir -p data/layers/.stage-0123456789abcdef/x/y && mkdir r && tar -C r -cf "
        "r.tar .",
        w->dir);
    DT_AUTO_FD int lock =
        open(in_world(w, "data/layers/.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(import(w, "r.tar", &image, &err), -1);
    assert_int_equal(err.code, DT_E_CONFLICT);
    assert_int_equal(count_layers(w), 1);
    assert_int_equal(flock(lock, LOCK_UN), 0);
    image = import_ok(w, "r.tar");
    assert_int_equal(count_layers(w), 1);
    assert_int_equal(access(in_layer(w, &image, 0, ""), F_OK), 0);
    dt_image_done(&image);
}

static bool has_stage(const struct world *w)
{
    bool found = false;
    const struct dirent *e;
    DIR *d = opendir(in_world(w, "data/layers"));
    while (d != NULL && (e = readdir(d)) != NULL)
        found |= strncmp(e->d_name, ".stage-", 7) == 0;
    if (d != NULL)
        (void)closedir(d);
    return found;
}

/* Killed in the middle: its children go with it, and only a stage is left for the next one. */
static void test_killed_import(void **state)
{
    const struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    run("mkdir %s/r && cd %s/r && for i in $(seq 40); do mkdir $i; done && "
        "for i in *; do (cd $i && seq 500 | xargs touch); done && cd .. && tar -C r -cf r.tar .",
        w->dir, w->dir);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(import(w, "r.tar", &image, &err) == 0 ? 0 : 1);
    uint64_t deadline = dt_clock_ms() + 60000;
    while (!has_stage(w) && dt_clock_ms() < deadline)
        (void)sched_yield();
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (waitpid(-1, NULL, 0) > 0) /* all that it had started, too */
        continue;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
    assert_true(has_stage(w));
    assert_int_equal(count_layers(w), 1);
    image = import_ok(w, "r.tar");
    assert_false(has_stage(w));
    assert_int_equal(count_layers(w), 1);
    run("diff -r %s/r %s/data/layers/%s", w->dir, w->dir, image.layers[0]);
    dt_image_done(&image);
}

/* The data directory is full: the error says so and nothing is left. */
static void test_full_disk(void **state)
{
    struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    int status = 0;
    /* Not tmpfs: it can be idmapped since Linux 6.3 only. */
    run("cd %s && mkdir r && head -c 3000000 /dev/urandom > r/f && tar -C r -cf r.tar . && "
        "truncate -s 2M disk && mke2fs -q -F -t ext4 -O ^has_journal disk",
        w->dir);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(100);
        run("cd %s && mount -o loop disk data", w->dir);
        if ((w->data = open(in_world(w, "data"), O_RDONLY | O_DIRECTORY)) < 0)
            _exit(100);
        int rc = import(w, "r.tar", &image, &err);
        bool told = rc < 0 && strstr(err.msg, "No space left") != NULL;
        _exit(told && count_layers(w) == 0 ? 0 : 101);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Becomes user 1000 of a sandbox: an overlay over the idmapped layer, in the namespace that it is
 * mapped to, and runs the layer's program. */
_Noreturn static void run_in_overlay(const struct world *w, const struct dt_image *image,
                                     int userns, int out)
{
    char options[512];
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, in_layer(w, image, 0, ""),
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    (void)snprintf(options, sizeof(options), "userxattr,lowerdir=%s/low:%s/below", w->dir, w->dir);
    if (tree < 0 || unshare(CLONE_NEWNS) < 0 || chdir(w->dir) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, "low", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        mount("none", "m", "overlay", MS_RDONLY, options) < 0 || dup2(out, 1) < 0 ||
        setgroups(0, NULL) < 0 || setns(userns, CLONE_NEWUSER) < 0 ||
        setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
        _exit(100);
    (void)execl("m/cat", "cat", "/proc/self/status", NULL);
    _exit(101);
}

static void test_capabilities_work_in_a_sandbox(void **state)
{
    const struct world *w = *state;
    DT_AUTO_BUF struct dt_buf b;
    DT_AUTO_BUF struct dt_buf pax;
    DT_AUTO_BUF struct dt_buf cat;
    struct dt_err err;
    int userns = -1;
    int ends[2];
    dt_buf_init(&b, 16 << 20);
    dt_buf_init(&pax, 1 << 16);
    dt_buf_init(&cat, 8 << 20);
    assert_int_equal(dt_fd_read_file(AT_FDCWD, "/bin/cat", &cat, &err), 0);
    tb_record(&pax, "SCHILY.xattr.security.capability", caps, sizeof(caps));
    tb_put(&b, &(struct tb_entry){.type = 'x', .name = "p", .data = pax.p, .n = pax.n});
    tb_put(&b, &(struct tb_entry){.name = "cat", .data = cat.p, .n = cat.n, .mode = 0755});
    tb_end(&b);
    write_file(w, "caps.tar", dt_buf_str(&b));
    struct dt_image image = import_ok(w, "caps.tar");
    run("cd %s && mkdir low below m && chmod 0755 .", w->dir);
    assert_int_equal(dt_jail_userns(&userns, &err), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_in_overlay(w, &image, userns, ends[1]);
    (void)close(ends[1]);
    (void)close(userns);
    dt_buf_clear(&b);
    assert_int_equal(dt_fd_read_all(ends[0], &b, &err), 0);
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_non_null(strstr(b.p, "CapEff:\t0000000000000400\n")); /* NET_BIND_SERVICE */
    dt_image_done(&image);
}

/* ---- images ---- */

/* A `docker save` archive of these layers. */
static void write_docker(const struct world *w, const char *name, const struct dt_buf *layers,
                         size_t n, const char *arch, bool lie)
{
    DT_AUTO_BUF struct dt_buf b;
    DT_AUTO_BUF struct dt_buf config;
    DT_AUTO_BUF struct dt_buf manifest;
    struct dt_err err;
    char digest[DT_DIGEST_SIZE];
    char file[96];
    dt_buf_init(&b, 16 << 20);
    dt_buf_init(&config, 1 << 16);
    dt_buf_init(&manifest, 1 << 16);
    assert_int_equal(
        dt_buf_addf(&config, &err,
                    "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"User\":"
                    "\"1000:1000\",\"Env\":[\"A=1\",\"B=x=y\",\"A=2\"],\"WorkingDir\":"
                    "\"/srv\",\"Entrypoint\":[\"/init\",\"-v\"],\"Cmd\":null},\"rootfs\":{"
                    "\"type\":\"layers\",\"diff_ids\":[",
                    arch),
        0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(dt_digest_of(dt_buf_str(&layers[i]), digest, &err), 0);
        if (lie)
            digest[0] = digest[0] == '0' ? '1' : '0';
        assert_int_equal(dt_buf_addf(&config, &err, "%s\"sha256:%s\"", i > 0 ? "," : "", digest),
                         0);
        (void)snprintf(file, sizeof(file), "layer%zu/layer.tar", i);
        tb_put(&b, &(struct tb_entry){.name = file, .data = layers[i].p, .n = layers[i].n});
    }
    assert_int_equal(dt_buf_addz(&config, "]}}", &err), 0);
    assert_int_equal(dt_digest_of(dt_buf_str(&config), digest, &err), 0);
    (void)snprintf(file, sizeof(file), "%s.json", digest);
    tb_put(&b, &(struct tb_entry){.name = file, .data = config.p, .n = config.n});
    assert_int_equal(dt_buf_addf(&manifest, &err, "[{\"Config\":\"%s\",\"Layers\":[", file), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            dt_buf_addf(&manifest, &err, "%s\"layer%zu/layer.tar\"", i > 0 ? "," : "", i), 0);
    assert_int_equal(dt_buf_addz(&manifest, "]}]", &err), 0);
    tb_put(&b, &(struct tb_entry){.name = "manifest.json", .data = manifest.p, .n = manifest.n});
    tb_end(&b);
    write_file(w, name, dt_buf_str(&b));
}

static void two_layers(struct dt_buf layers[2])
{
    dt_buf_init(&layers[0], 1 << 20);
    dt_buf_init(&layers[1], 1 << 20);
    tb_put(&layers[0], &(struct tb_entry){.name = "keep", .data = "low", .n = 3});
    tb_put(&layers[0], &(struct tb_entry){.name = "gone", .data = "low", .n = 3});
    tb_put(&layers[0], &(struct tb_entry){.name = "opaque/old", .data = "low", .n = 3});
    tb_put(&layers[0], &(struct tb_entry){.name = "again/old", .data = "low", .n = 3});
    tb_put(&layers[0], &(struct tb_entry){.name = "again2/old", .data = "low", .n = 3});
    tb_put(&layers[0], &(struct tb_entry){.name = "both", .data = "low", .n = 3});
    tb_end(&layers[0]);
    tb_put(&layers[1], &(struct tb_entry){.name = ".wh.gone"});
    tb_put(&layers[1], &(struct tb_entry){.name = "opaque/.wh..wh..opq"});
    tb_put(&layers[1], &(struct tb_entry){.name = "opaque/new", .data = "up", .n = 2});
    tb_put(&layers[1], &(struct tb_entry){.name = ".wh.again"});
    tb_put(&layers[1], &(struct tb_entry){.type = '5', .name = "again/", .mode = 0755});
    tb_put(&layers[1], &(struct tb_entry){.type = '5', .name = "again2/", .mode = 0755});
    tb_put(&layers[1], &(struct tb_entry){.name = ".wh.again2"});
    tb_put(&layers[1], &(struct tb_entry){.name = "both", .data = "up", .n = 2});
    tb_put(&layers[1], &(struct tb_entry){.name = ".wh.both"});
    tb_put(&layers[1], &(struct tb_entry){.name = ".wh..wh.plnk"});
    tb_end(&layers[1]);
}

static void test_whiteouts_work_in_an_overlay(void **state)
{
    const struct world *w = *state;
    struct dt_buf layers[2];
    two_layers(layers);
    write_docker(w, "image.tar", layers, 2, dt_manifest_arch(), false);
    struct dt_image image = import_ok(w, "image.tar");
    assert_int_equal(image.nlayers, 2);
    assert_string_equal(image.config_json,
                        "{\"user\":\"1000:1000\",\"env\":{\"A\":\"2\",\"B\":\"x=y\"},"
                        "\"workdir\":\"/srv\",\"entrypoint\":[\"/init\",\"-v\"],\"cmd\":[]}");
    char chain[DT_DIGEST_SIZE];
    char text[256];
    char diff[2][DT_DIGEST_SIZE];
    struct dt_err err;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(dt_digest_of(dt_buf_str(&layers[i]), diff[i], &err), 0);
    (void)snprintf(text, sizeof(text), "sha256:%s sha256:%s", diff[0], diff[1]);
    assert_int_equal(dt_digest_of(dt_str_z(text), chain, &err), 0);
    assert_string_equal(image.layers[0], diff[0]);
    assert_string_equal(image.layers[1], chain);

    struct stat st = stat_of(in_layer(w, &image, 1, "gone"));
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    run("cd %s/data/layers && mkdir ../m && unshare -m --propagation private sh -ec '"
        "mount -t overlay none -o ro,userxattr,lowerdir=%s:%s ../m; cd ../m; "
        "[ \"$(ls)\" = \"$(printf \"again\\nagain2\\nboth\\nkeep\\nopaque\")\" ]; "
        "[ \"$(ls opaque again again2)\" = \"$(printf "
        "\"again:\\n\\nagain2:\\n\\nopaque:\\nnew\")\" ]; "
        "[ $(cat both) = up ]; [ $(cat keep) = low ]'",
        w->dir, image.layers[1], image.layers[0]);
    dt_image_done(&image);
    dt_buf_done(&layers[0]);
    dt_buf_done(&layers[1]);
}

static void test_images_that_are_refused(void **state)
{
    const struct world *w = *state;
    struct dt_buf layers[2];
    struct dt_image image;
    struct dt_err err;
    two_layers(layers);
    write_docker(w, "other.tar", layers, 2, "riscv64", false);
    assert_int_equal(import(w, "other.tar", &image, &err), -1);
    assert_int_equal(err.code, DT_E_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "riscv64"));
    write_docker(w, "lie.tar", layers, 2, dt_manifest_arch(), true);
    assert_int_equal(import(w, "lie.tar", &image, &err), -1);
    assert_int_equal(err.code, DT_E_INVALID);
    assert_non_null(strstr(err.msg, "digest"));
    assert_int_equal(count_layers(w), 0);
    dt_buf_done(&layers[0]);
    dt_buf_done(&layers[1]);
}

/* Images that others' tools wrote: the same image in four wrappings has the same layers. */
static void test_images_of_umoci_and_skopeo(void **state)
{
    const struct world *w = *state;
    run("cd %s && exec >log 2>&1 && umoci init --layout l && umoci new --image l:t && "
        "umoci unpack --image l:t b && mkdir -p b/rootfs/etc b/rootfs/usr/bin && "
        "echo one > b/rootfs/etc/one && echo two > b/rootfs/etc/two && "
        "ln b/rootfs/etc/one b/rootfs/usr/bin/hard && ln -s usr/bin b/rootfs/bin && "
        "chown 12:34 b/rootfs/etc/two && chmod 4711 b/rootfs/etc/two && "
        "umoci repack --image l:t b && rm -rf b && umoci unpack --image l:t b && "
        "rm b/rootfs/etc/one && echo three > b/rootfs/etc/three && umoci repack --image l:t b && "
        "umoci config --image l:t --config.user daytona --config.env P=q --config.cmd /bin/sh && "
        "skopeo copy oci:l:t oci-archive:oci.tar && skopeo copy oci:l:t docker-archive:docker.tar "
        "&& "
        "skopeo copy --dest-compress-format zstd oci:l:t oci-archive:zstd.tar && gzip -k "
        "docker.tar",
        w->dir);
    static const char *const files[] = {"oci.tar", "zstd.tar", "docker.tar", "docker.tar.gz", "l"};
    char chain[65] = "";
    for (size_t i = 0; i < ROWS(files); i++) {
        struct dt_image image = import_ok(w, files[i]);
        assert_int_equal(image.nlayers, 2);
        if (i > 0)
            assert_string_equal(image.layers[1], chain);
        memcpy(chain, image.layers[1], sizeof(chain));
        assert_string_equal(image.config_json,
                            "{\"user\":\"daytona\",\"env\":{\"P\":\"q\"},\"workdir\":\"\","
                            "\"entrypoint\":[],\"cmd\":[\"/bin/sh\"]}");
        if (i == 0) {
            struct stat st = stat_of(in_layer(w, &image, 0, "etc/two"));
            assert_true(st.st_mode == (S_IFREG | 04711) && st.st_uid == 12 && st.st_gid == 34);
            assert_true(S_ISCHR(stat_of(in_layer(w, &image, 1, "etc/one")).st_mode));
            assert_content(in_layer(w, &image, 1, "etc/three"), "three\n");
        }
        dt_image_done(&image);
    }
    assert_int_equal(count_layers(w), 2);
}

/* One byte of a blob is changed: whatever it is, the import fails and leaves nothing. */
static void test_damaged_blobs(void **state)
{
    const struct world *w = *state;
    run("cd %s && exec >log 2>&1 && umoci init --layout l && umoci new --image l:t && "
        "umoci unpack --image l:t b && head -c 100000 /dev/urandom > b/rootfs/f && "
        "umoci repack --image l:t b && umoci gc --layout l",
        w->dir);
    DIR *d = opendir(in_world(w, "l/blobs/sha256"));
    assert_non_null(d);
    const struct dirent *e;
    unsigned blobs = 0;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        struct dt_image image;
        struct dt_err err;
        run("cd %s && rm -rf damaged && cp -a l damaged && "
            "printf '\\377' | dd of=damaged/blobs/sha256/%s bs=1 seek=40 conv=notrunc status=none",
            w->dir, e->d_name);
        assert_int_equal(import(w, "damaged", &image, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        assert_int_equal(count_layers(w), 0);
        run("cd %s && rm -rf damaged && cp -a l damaged && echo >> damaged/blobs/sha256/%s", w->dir,
            e->d_name);
        assert_int_equal(import(w, "damaged", &image, &err), -1);
        assert_int_equal(err.code, DT_E_INVALID);
        blobs++;
    }
    (void)closedir(d);
    assert_int_equal(blobs, 3); /* manifest, configuration, layer */
}

/* A layout whose blobs are links to files of the host. */
static void test_layout_folder_with_links(void **state)
{
    const struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    run("cd %s && exec >log 2>&1 && umoci init --layout l && umoci new --image l:t && "
        "f=$(ls l/blobs/sha256/* | head -1) && mv $f away && ln -s $PWD/away $f",
        w->dir);
    assert_int_equal(import(w, "l", &image, &err), -1);
    assert_non_null(strstr(err.msg, "Too many levels of symbolic links"));
}

static void test_nothing_is_left(void **state)
{
    const struct world *w = *state;
    struct dt_image image;
    struct dt_err err;
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 1 << 20);
    tb_put(&b, &(struct tb_entry){.name = "f", .data = "x", .n = 1});
    tb_put(&b, &(struct tb_entry){.name = "../f"});
    tb_end(&b);
    write_file(w, "bad.tar", dt_buf_str(&b));
    int before = dup(0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(import(w, "bad.tar", &image, &err), -1);
    int after = dup(0);
    assert_int_equal(before + 1, after); /* no descriptor */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD); /* no process */
    (void)close(before);
    (void)close(after);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, drop_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_metadata_is_kept),
        TEST(test_killed_import),
        TEST(test_full_disk),
        TEST(test_capabilities_work_in_a_sandbox),
        TEST(test_later_entries_replace),
        TEST(test_hostile_archives),
        TEST(test_what_is_no_archive),
        TEST(test_compressed_rootfs),
        TEST(test_bombs),
        TEST(test_interrupted_import_is_cleaned_up),
        TEST(test_whiteouts_work_in_an_overlay),
        TEST(test_images_that_are_refused),
        TEST(test_images_of_umoci_and_skopeo),
        TEST(test_damaged_blobs),
        TEST(test_layout_folder_with_links),
        TEST(test_nothing_is_left),
    };
    return cmocka_run_group_tests_name("oci", tests, NULL, NULL);
}

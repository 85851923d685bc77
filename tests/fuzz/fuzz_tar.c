/* Archives: every entry, its data in uneven pieces, and what layers make of its name. */
#include <stdint.h>
#include <string.h>

#include "oci/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const uint8_t *p;
    size_t n, at;
};

static ssize_t memory_read(void *ctx, void *buf, size_t n, struct dt_err *err)
{
    (void)err;
    struct memory *m = ctx;
    size_t k = m->n - m->at < n ? m->n - m->at : n;
    if (k > 777)
        k = 777;
    if (k > 0)
        memcpy(buf, m->p + m->at, k);
    m->at += k;
    return (ssize_t)k;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void read_data(struct dt_tar *t, const struct dt_tar_entry *e)
{
    char buf[300];
    uint64_t at = 0;
    uint64_t end = 0;
    ssize_t got;
    struct dt_err err;
    while ((got = dt_tar_data(t, buf, sizeof(buf), &at, &err)) > 0) {
        check(at >= end && at + (uint64_t)got <= e->size);
        end = at + (uint64_t)got;
    }
}

static void look_at(const struct dt_tar_entry *e)
{
    struct dt_layer_path path;
    size_t bytes = 0;
    check(e->path[0] != '\0' && strlen(e->path) <= DT_TAR_PATH_MAX);
    check(strlen(e->link) <= DT_TAR_PATH_MAX && e->mode <= 07777 && e->mtime_ns < 1000000000);
    check(e->nxattrs <= DT_TAR_XATTRS_MAX);
    for (size_t i = 0; i < e->nxattrs; i++)
        bytes += strlen(e->xattrs[i].name) + e->xattrs[i].value.n;
    check(bytes <= DT_TAR_XATTR_BYTES_MAX);
    if (dt_layer_path_parse(e->path, &path, NULL) < 0)
        return;
    check(path.text[0] != '/' && strstr(path.text, "//") == NULL);
    check(strcmp(path.text + path.base, "..") != 0 && strchr(path.text + path.base, '/') == NULL);
    check(strncmp(path.text, "../", 3) != 0 && strstr(path.text, "/../") == NULL);
}

static void walk(const uint8_t *data, size_t size, bool need_end, bool with_data)
{
    struct memory m = {data, size, 0};
    const struct dt_tar_source src = {.read = memory_read, .ctx = &m};
    DT_AUTO(dt_tar_free) struct dt_tar *t = NULL;
    struct dt_tar_entry e;
    struct dt_err err;
    if (dt_tar_new(&src, need_end, &t, &err) < 0)
        return;
    while (dt_tar_next(t, &e, &err) > 0) {
        look_at(&e);
        if (with_data)
            read_data(t, &e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    walk(data, size, true, true);
    walk(data, size, false, false);
    return 0;
}

#include "runnerd/keyfile.h"

#include <fcntl.h>

#include "base/fd.h"
#include "base/rand.h"

int dt_keyfile_read(const char *path, uint8_t out[DT_SECRET_SIZE], struct dt_err *err)
{
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 4096);
    if (dt_fd_read_file(AT_FDCWD, path, &b, err) < 0)
        return -1;
    if (b.n != DT_SECRET_SIZE)
        return dt_err_set(err, DT_E_SYSTEM, "%s: it must hold %d bytes, it has %zu", path,
                          DT_SECRET_SIZE, b.n);
    memcpy(out, b.p, b.n);
    explicit_bzero(b.p, b.n);
    return 0;
}

int dt_keyfile_load(const char *path, uint8_t out[DT_SECRET_SIZE], struct dt_err *err)
{
    struct dt_err why = {0};
    if (dt_keyfile_read(path, out, &why) == 0)
        return 0;
    if (why.sys_errno != ENOENT)
        return dt_err_set(err, why.code, "%s", why.msg);
    dt_rand_bytes(out, DT_SECRET_SIZE);
    return dt_fd_replace(AT_FDCWD, path, out, DT_SECRET_SIZE, 0600, err);
}

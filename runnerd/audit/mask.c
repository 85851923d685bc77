#include "runnerd/audit/mask.h"

#define SCHEME "://"

/* How many bytes in front of the '@' belong to a URL's user and password; `s` is what stands behind
 * its "://". 0: there is no '@'. */
static size_t userinfo(struct dt_str s)
{
    size_t at = 0;
    for (size_t i = 0; i < s.n && strchr("/?#\\<>\"'`", s.p[i]) == NULL; i++) {
        if ((unsigned char)s.p[i] <= ' ')
            break;
        if (s.p[i] == '@')
            at = i;
    }
    return at;
}

static int hide_users(struct dt_str s, struct dt_buf *out, struct dt_err *err)
{
    const size_t mark = sizeof(SCHEME) - 1;
    const char *found;
    while (s.n > 0 && (found = memmem(s.p, s.n, SCHEME, mark)) != NULL) {
        size_t head = (size_t)(found - s.p) + mark;
        struct dt_str rest = dt_str(s.p + head, s.n - head);
        size_t hidden = userinfo(rest);
        if (dt_buf_add(out, s.p, head, err) < 0 ||
            (hidden > 0 && dt_buf_addz(out, "********", err) < 0))
            return -1;
        s = dt_str(rest.p + hidden, rest.n - hidden);
    }
    return dt_buf_adds(out, s, err);
}

int dt_mask_text(struct dt_str text, struct dt_buf *out, struct dt_err *err)
{
    size_t n = text.n;
    if (n > DT_MASK_TEXT_MAX) {
        n = DT_MASK_TEXT_MAX;
        while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
            n--;
    }
    if (hide_users(dt_str(text.p, n), out, err) < 0)
        return -1;
    return n < text.n ? dt_buf_addf(out, err, " (%zu bytes more)", text.n - n) : 0;
}

static int mask_one(json_t *j, struct dt_err *err)
{
    struct dt_str text = dt_str(json_string_value(j), json_string_length(j));
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 4 * (DT_MASK_TEXT_MAX + 64));
    if (dt_mask_text(text, &b, err) < 0)
        return -1;
    if (json_string_setn(j, b.p != NULL ? b.p : "", b.n) < 0)
        return dt_err_set(err, DT_E_NOMEM, "out of memory");
    return 0;
}

int dt_mask_tree(json_t *tree, struct dt_err *err)
{
    const char *key;
    size_t i;
    json_t *one;
    if (json_is_string(tree))
        return mask_one(tree, err);
    json_object_foreach(tree, key, one)
    {
        if (dt_mask_tree(one, err) < 0)
            return -1;
    }
    json_array_foreach(tree, i, one)
    {
        if (dt_mask_tree(one, err) < 0)
            return -1;
    }
    return 0;
}

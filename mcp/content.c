#include "mcp/content.h"

#include "base/utf8.h"

const char *dt_content_image(struct dt_str bytes)
{
    if (dt_str_starts(bytes, DT_STR("\x89PNG\r\n\x1a\n")))
        return "image/png";
    if (dt_str_starts(bytes, DT_STR("\xff\xd8\xff")))
        return "image/jpeg";
    if (dt_str_starts(bytes, DT_STR("GIF87a")) || dt_str_starts(bytes, DT_STR("GIF89a")))
        return "image/gif";
    if (bytes.n >= 12 && dt_str_starts(bytes, DT_STR("RIFF")) &&
        memcmp(bytes.p + 8, "WEBP", 4) == 0)
        return "image/webp";
    return NULL;
}

static bool is_follower(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* How many of the last bytes begin a character that is not complete. */
static size_t unfinished(struct dt_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        unsigned char c = (unsigned char)s.p[s.n - back];
        if (is_follower((char)c))
            continue;
        size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        return length > back ? back : 0;
    }
    return 0;
}

bool dt_content_text(struct dt_str bytes, bool from_start, bool to_end, struct dt_str *text)
{
    struct dt_str s = bytes;
    for (size_t i = 0; !from_start && i < 3 && s.n > 0 && is_follower(s.p[0]); i++)
        s = dt_str(s.p + 1, s.n - 1);
    s.n -= to_end ? 0 : unfinished(s);
    if (s.n == 0 && bytes.n > 0)
        return false;
    if ((s.n > 0 && memchr(s.p, '\0', s.n) != NULL) || !dt_utf8_valid(s))
        return false;
    *text = s;
    return true;
}

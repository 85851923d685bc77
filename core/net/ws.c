#include "net/ws.h"

#include <stdio.h>

#include "base/base64.h"
#include "base/sha1.h"

#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { KEY_BYTES = 16, MASK_BYTES = 4 };
enum { FINAL = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };

int dt_ws_accept(struct dt_str key, char out[DT_WS_ACCEPT_SIZE], struct dt_err *err)
{
    unsigned char sum[DT_SHA1_SIZE];
    DT_AUTO_BUF struct dt_buf b;
    dt_buf_init(&b, 128);
    key = dt_str_trim(key);
    if (key.n != 24 || dt_base64_decode(&b, key, NULL) < 0 || b.n != KEY_BYTES)
        return dt_err_set(err, DT_E_INVALID,
                          "Sec-WebSocket-Key must be 16 bytes in Base64: use a WebSocket client");
    dt_buf_clear(&b);
    if (dt_buf_adds(&b, key, err) < 0 || dt_buf_addz(&b, MAGIC, err) < 0)
        return -1;
    dt_sha1(b.p, b.n, sum);
    dt_buf_clear(&b);
    if (dt_base64_encode(&b, sum, sizeof(sum), err) < 0)
        return -1;
    (void)snprintf(out, DT_WS_ACCEPT_SIZE, "%.*s", (int)b.n, b.p);
    return 0;
}

static uint64_t big_endian(const char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

static int check_head(uint8_t first, uint8_t second, struct dt_err *err)
{
    unsigned opcode = first & OPCODE;
    bool control = opcode >= DT_WS_CLOSE;
    if ((first & RESERVED) != 0 || (opcode > DT_WS_BINARY && !control) || opcode > DT_WS_PONG)
        return dt_err_set(err, DT_E_INVALID, "a WebSocket frame of an unknown kind");
    if ((second & MASKED) == 0)
        return dt_err_set(err, DT_E_INVALID, "a WebSocket client must mask its frames");
    if (control && ((first & FINAL) == 0 || (second & LENGTH) > DT_WS_CONTROL_MAX))
        return dt_err_set(err, DT_E_INVALID, "a WebSocket control frame must be short and whole");
    return 0;
}

ssize_t dt_ws_take(char *p, size_t n, size_t max, struct dt_ws_frame *ret, struct dt_err *err)
{
    if (n < 2)
        return 0;
    uint8_t first = (uint8_t)p[0], second = (uint8_t)p[1];
    if (check_head(first, second, err) < 0)
        return -1;
    uint64_t length = second & LENGTH;
    size_t more = length == 126 ? 2 : length == 127 ? 8 : 0, head = 2 + more + MASK_BYTES;
    if (n < head)
        return 0;
    if (more > 0)
        length = big_endian(p + 2, more);
    if (length > max)
        return dt_err_set(err, DT_E_TOO_LARGE, "a WebSocket frame of more than %zu bytes", max);
    if (n - head < length)
        return 0;
    const char *mask = p + 2 + more;
    for (size_t i = 0; i < length; i++)
        p[head + i] = (char)(p[head + i] ^ mask[i % MASK_BYTES]);
    *ret = (struct dt_ws_frame){.opcode = (enum dt_ws_opcode)(first & OPCODE),
                                .final = (first & FINAL) != 0,
                                .payload = dt_str(p + head, (size_t)length)};
    return (ssize_t)(head + length);
}

size_t dt_ws_head(enum dt_ws_opcode opcode, size_t n, char out[DT_WS_HEAD_MAX])
{
    size_t more = n <= DT_WS_CONTROL_MAX ? 0 : n <= UINT16_MAX ? 2 : 8;
    out[0] = (char)(FINAL | (unsigned)opcode);
    out[1] = (char)(more == 0 ? n : more == 2 ? 126 : 127);
    for (size_t i = 0; i < more; i++)
        out[2 + i] = (char)(uint8_t)((uint64_t)n >> 8 * (more - 1 - i));
    return 2 + more;
}

int dt_ws_put(struct dt_buf *out, enum dt_ws_opcode opcode, struct dt_str payload,
              struct dt_err *err)
{
    char head[DT_WS_HEAD_MAX];
    size_t n = dt_ws_head(opcode, payload.n, head);
    if (dt_buf_reserve(out, n + payload.n, err) < 0 || dt_buf_add(out, head, n, err) < 0)
        return -1;
    return dt_buf_adds(out, payload, err);
}

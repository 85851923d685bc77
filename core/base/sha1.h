/* SHA-1 (RFC 3174). Broken as a signature; WebSocket's handshake (RFC 6455) wants it all the same.
 */
#ifndef DT_SHA1_H
#define DT_SHA1_H

#include <stddef.h>

enum { DT_SHA1_SIZE = 20 };

void dt_sha1(const void *p, size_t n, unsigned char out[DT_SHA1_SIZE]);

#endif

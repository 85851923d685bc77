/* UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef DT_UTF8_H
#define DT_UTF8_H

#include "base/buf.h"

bool dt_utf8_valid(struct dt_str s);
/* The length of the longest prefix that ends between two characters; bytes that are no UTF-8 at all
 * count as characters of their own. Used to cut text without splitting a character. */
size_t dt_utf8_cut(struct dt_str s, size_t max);
/* Appends s with every invalid byte replaced by U+FFFD. */
int dt_utf8_repair(struct dt_buf *out, struct dt_str s, struct dt_err *err) DT_MUST_CHECK;
/* Replaces every invalid byte by a question mark, in place. */
void dt_utf8_mask(char *z);

#endif

/*
 * One entry of a tree's stream: this head (little-endian, without gaps), its name, the target of a
 * symbolic link; for a file its data (u64 offset and u64 length before each stretch, the size and 0
 * behind the last); its attributes (u32 length of the name, u32 of the value, both). Attributes
 * come last because writing to a file takes its capabilities away.
 *
 * The first entry is the folder itself. What is in a folder follows it, up to an END.
 */
#ifndef DT_TREE_FORMAT_H
#define DT_TREE_FORMAT_H

#include <stdint.h>

enum dt_tree_type {
    DT_TREE_END,
    DT_TREE_FOLDER,
    DT_TREE_FILE,
    DT_TREE_LINK,
    DT_TREE_FIFO,
    DT_TREE_SOCKET,
    DT_TREE_WHITEOUT, /* a character device 0, 0 */
    DT_TREE_HARDLINK, /* to the entry before that had the same `same` */
    DT_TREE_TYPES
};

struct dt_tree_head {
    uint32_t type;
    uint32_t mode, uid, gid;
    int64_t mtime;
    uint32_t mtime_ns;
    uint32_t same; /* of entries with several names, from 1; 0 = it has one */
    uint64_t size; /* of a file */
    uint32_t name_size, target_size;
    uint32_t nxattrs, reserved;
};

enum {
    DT_TREE_NAME_MAX = 255,
    DT_TREE_TARGET_MAX = 4095,
    DT_TREE_XATTRS_MAX = 1024,
    DT_TREE_VALUE_MAX = 65536,
    DT_TREE_STEP = 1 << 20,
};

_Static_assert(sizeof(struct dt_tree_head) == 56, "the head has no gaps");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "heads are written as they are");

#endif

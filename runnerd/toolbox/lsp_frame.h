/* Cutting a language server's output into messages: "Content-Length: N", other fields, an empty
 * line, N bytes (Language Server Protocol 3.17, Base Protocol). The sender is a process of the
 * sandbox, so every byte is a stranger's. */
#ifndef DT_TOOLBOX_LSP_FRAME_H
#define DT_TOOLBOX_LSP_FRAME_H

#include "base/buf.h"

enum {
    DT_LSP_HEAD_MAX = 4 * 1024,            /* bytes of all fields of one message */
    DT_LSP_MESSAGE_MAX = 16 * 1024 * 1024, /* bytes of one message */
    DT_LSP_PIECE_MAX = 64 * 1024,          /* bytes of one dt_lsp_frame_add() */
};

/* In the caller's memory. Memory grows with what came, never with what a field promises. */
struct dt_lsp_frame {
    struct dt_buf pending;
    size_t at;     /* where in `pending` the next unread byte is */
    size_t length; /* of the message whose head was read */
    bool in_body;
};

void dt_lsp_frame_init(struct dt_lsp_frame *f);
void dt_lsp_frame_done(struct dt_lsp_frame *f);
/* Appends what was read. Every message in it must be taken before the next piece comes. */
int dt_lsp_frame_add(struct dt_lsp_frame *f, const char *p, size_t n,
                     struct dt_err *err) DT_MUST_CHECK;
/* 1: *message is the next one, valid until the next dt_lsp_frame_add(). 0: more bytes are needed.
 * -1: INVALID or TOO_LARGE says what is wrong; nothing behind it can be read any more. */
int dt_lsp_frame_next(struct dt_lsp_frame *f, struct dt_str *message,
                      struct dt_err *err) DT_MUST_CHECK;

#endif

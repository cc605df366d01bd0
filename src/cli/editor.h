/* Line editing at a terminal: history, completion and hints behind the cursor, over libedit.
 *
 * ^C clears the line, ^D on an empty line ends. The history file has mode 0600; who calls decides
 * what is remembered. One editor at a time in a process. */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

struct editor;

struct editor_ops {
    /* Appends what is still to be typed, in faint letters behind the cursor; only shown. */
    void (*hint)(void *ctx, struct slice line, struct buffer *out);
    /* Calls found(found_ctx, word, len) for each word that can stand in place of the one that
     * starts at line[start] and goes to the end of the line. */
    void (*complete)(void *ctx, struct slice line, size_t start,
                     void (*found)(void *found_ctx, const char *word), void *found_ctx);
};

/* history_path NULL: none is kept. NULL when the terminal is of no use. */
struct editor *editor_create(const struct editor_ops *ops, void *ctx, const char *history_path);
void editor_free(struct editor *editor); /* saves the history; NULL is allowed */

/* One line, without its end, valid until the next call. False at the end of the input. */
bool editor_read(struct editor *editor, const char *prompt, struct slice *ret_line);
void editor_remember(struct editor *editor, struct slice line);

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "common/buffer.h"
#include "common/json.h"

/* Text that another party wrote, on its way to a terminal. An agent, a repository or a web page it read may put control
 * sequences into it, which can rewrite what was shown before, set the clipboard or answer for the person. They are taken
 * out: escape sequences whole, other control characters and the ones that turn the direction of writing as U+FFFD. A
 * carriage return becomes a new line. Text for a file or a pipe stays as it is. */

typedef struct Sanitizer {
        enum {
                SANITIZER_TEXT,
                SANITIZER_ESCAPE,
                SANITIZER_CSI,
                SANITIZER_STRING, /* OSC, DCS, …: up to BEL or ST */
                SANITIZER_STRING_ESCAPE,
        } state;
        size_t skipped;
        bool carriage_return;
} Sanitizer;

/* Appends what of text may be shown. Sequences may be cut anywhere between two calls; characters may not. s starts as {}.
 * Returns 0 or -ENOMEM. */
int sanitize(Sanitizer *s, const char *text, size_t size, Buffer *out);
/* One line of at most max characters, for the caller to free; NULL without memory. */
char *sanitize_line(const char *text, size_t max);

/* Inspects the terminal, once, before anything is printed or a pager runs. */
void terminal_open(void);
bool terminal_is_out(void); /* stdout is one, or was before the pager */
bool terminal_is_err(void);

typedef enum Style {
        STYLE_NORMAL,
        STYLE_BOLD,
        STYLE_DIM,
        STYLE_RED,
        STYLE_GREEN,
        STYLE_YELLOW,
} Style;
/* The escape sequence, or "" where that stream shows no colours ($NO_COLOR, dumb, no terminal). */
const char *style(FILE *f, Style s);

/* Prints to stdout or stderr; sanitised where that is a terminal. s may be NULL: text is whole. */
void put_text(FILE *f, Sanitizer *s, const char *text, size_t size);
void put_str(FILE *f, const char *text);

/* Sends stdout through $PAGER (less) where it is a terminal. */
void pager_open(void);
/* Waits for it to be left. */
void pager_close(void);

void print_json(Json *o); /* to stdout, as --json= says */

/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* What a repository says to agents, as one text for the agent to read: each file quoted below a heading that names it.
 *
 * A quotation is a block of Markdown between two lines of tildes, more of them than the file has anywhere in a row. So no
 * file can end its own quotation and continue in another's name, and Claude Code, which takes "@path" for a file to read
 * in as well, does not search for it there. */

/* Of all files together, as they are handed over; headings do not count. */
#define WORDS_MAX (256 * 1024)
#define WORDS_FILES_MAX 8
/* A longer row of tildes loses the rest: the lines around a quotation are not to be as long as what they enclose. */
#define WORDS_TILDES_MAX 64

typedef struct Words {
        Buffer text;
        size_t taken; /* of WORDS_MAX */
        struct {
                dev_t dev;
                ino_t ino;
        } seen[WORDS_FILES_MAX];
        unsigned n_seen;
} Words;

void words_done(Words *w);

/* Adds the file of that name below the directory; nothing where there is none, where it is empty, or where it is a file
 * that was added under another name. A link is followed inside of the directory only. What is no regular file, cannot be
 * read, or does not fit any more is named with the reason. Bytes that are not UTF-8, and NUL, become U+FFFD.
 * Returns 0, or -ENOMEM, -E2BIG after WORDS_FILES_MAX files. */
int words_add(Words *w, int dirfd, const char *name);

/* Makes directory/repository/CLAUDE.md of it, new. The file's directory, for the caller to free; negative errno. */
int words_write(const Words *w, const char *directory, char **ret);

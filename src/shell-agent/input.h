/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"

/* The agent's stdin: bytes become lines, lines become messages. */

#define INPUT_LINE_MAX (32 * 1024 * 1024)

typedef enum InputType {
        INPUT_NONE, /* nothing to do: no whole line yet, or a blank one */
        INPUT_USER,
        INPUT_INTERRUPT,
        INPUT_END,
        INPUT_BAD, /* text says what is wrong with the line */
} InputType;

typedef struct InputMessage {
        InputType type;
        char *id;   /* JSON text; NULL where the message has none */
        char *text; /* the script, or the complaint */
        size_t size;
} InputMessage;

void input_message_done(InputMessage *m);

typedef struct Input {
        Buffer bytes;
        size_t taken;    /* bytes that were lines already */
        size_t searched; /* no newline before this */
        bool too_long;   /* the rest of the line is thrown away */
} Input;

void input_done(Input *in);

/* Adds what one read from fd gives. 1, or 0 at the end, or negative errno. */
int input_read(Input *in, int fd);

/* The next message. Returns false where no whole line is left; call again while it returns true. */
bool input_next(Input *in, InputMessage *ret);

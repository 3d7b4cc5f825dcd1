/* SPDX-License-Identifier: MIT */
#pragma once

#include "ctl/terminal/terminal.h"

/* Shows neutral events to a person. Text of the agent goes to stdout (stderr, where it is the shell agent's stderr), all that
 * is about it to stderr. */
typedef struct Renderer {
        Sanitizer out, err;
        bool in_line_out, in_line_err; /* the last line there has no newline yet */
        bool delta;                    /* text of the message was shown piece by piece */
        bool talk; /* a conversation, not a script: thinking and the ends of turns are shown too */
} Renderer;

/* What an event means for who waits for the turn. */
typedef struct TurnEnd {
        bool ended;
        int status; /* what run exits with */
} TurnEnd;

/* Shows what there is to see of an event; *ret_turn is what it means for the turn. event is borrowed. */
void render_event(Renderer *r, Json *event, TurnEnd *ret_turn);
/* A line of our own on stderr, on a line of its own. */
void render_note(Renderer *r, Style s, const char *text);
/* The question, in full, on stderr; a member that was cut is named with its size, and with the command for all of it. */
void render_question(Renderer *r, Json *question);

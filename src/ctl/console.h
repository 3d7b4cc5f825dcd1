/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"
#include "ctl/terminal/render.h"

/* The person at the keyboard: lines for the agent, and one key for each of its questions. While a question stands the
 * terminal hands keys on one by one and shows none of them; else it edits lines as always. */
typedef struct Console Console;

typedef struct ConsoleOps {
        void (*line)(const char *line, void *userdata);   /* NULL: no lines are read */
        void (*eof)(void *userdata);                      /* Ctrl-D */
        void (*failed)(const char *text, void *userdata); /* an answer was refused */
} ConsoleOps;

/* id: the conversation's. renderer, ops and userdata are borrowed. Returns 0 or negative errno. */
int console_new(
        sd_event *event,
        const char *id,
        Renderer *renderer,
        const ConsoleOps *ops,
        void *userdata,
        Console **ret);
Console *console_free(Console *c); /* the terminal is as it was */
DEFINE_TRIVIAL_CLEANUP_FUNC(Console *, console_free);

/* A question: params of permission.request, or of Describe(), of which a reference is taken. One that stands already is not
 * asked twice. */
void console_ask(Console *c, Json *question);
/* It needs no answer any more; request NULL: none does. */
void console_gone(Console *c, const char *request);
/* The two above, as an event says. */
void console_follow(Console *c, Json *event);

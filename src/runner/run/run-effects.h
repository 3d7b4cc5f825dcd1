/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/util.h"

typedef struct Run Run;

/* Lines for the agent, and the message that they come from. */
typedef struct RunInputPart {
        int64_t seq; /* of the message, which is completed by that; 0: of none */
        size_t size; /* bytes of `lines`; 0: the message has none, and is done */
} RunInputPart;

/* The effects of a piece of the agent's output, or of a batch of messages, on the run: a value, which takes effect with
 * run_store_effects(). The driver in memory includes them already. */
#define RUN_INPUT_PARTS_MAX 64
/* A piece of output ends where its lines for the agent are as many; one line of the agent's may add to that. */
#define RUN_EFFECTS_BYTES_MAX ((size_t) 64 * 1024)
typedef struct RunEffects {
        Run *run;
        Buffer lines;
        RunInputPart parts[RUN_INPUT_PARTS_MAX];
        size_t n_parts;
        const char *session; /* the agent's, where it is another one than is known; or NULL; the driver's */
        bool replayed;       /* it was read before: its effects were reported then */
} RunEffects;

void run_effects_done(RunEffects *e);
/* Begins a part of a message (seq), of what was added to `lines` since its size was begun. -ENOBUFS: there are
 * RUN_INPUT_PARTS_MAX already. */
int run_effects_add(RunEffects *e, int64_t seq, size_t begun);
/* Stores the lines, which messages are done, how far the output was read, and the driver's state. Part of the open
 * transaction. */
int run_store_effects(const RunEffects *e);
/* Stores the same without lines, where the store is behind. */
int run_store_driven(Run *r);
/* Reports whether the store lacks output that was read. */
bool run_is_behind(const Run *r);
/* The transaction of run_store_driven() was rolled back. */
void run_store_undone(Run *r);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "runner/run/run.h"
#include "runner/run/timeouts.h"

/* In place of a run: all that src/runner/run declares and a conversation uses, except what is a function of values. Nothing
 * runs in it. The test reports through `ops` of what a run would, and reads in `calls` what the conversation had done to it.
 *
 * What a real run stores is stored. A message whose content is "refuse" is refused, "mute" is refused without a text, a number
 * N becomes a line of so many bytes, and anything else a line of its own. */
struct Run {
        const RunOps *ops;
        void *userdata;
        RunContext *context;
        RunRow row;
        Json *spec;
        char *failure;
        bool ended, frozen, stopping, end_sent, under_way;
};

typedef struct FakeRun {
        Buffer calls; /* words, in their order: here and in the hooks of the test */
        unsigned n_made, n_freed;
        DriverPhase phase;
        DriverUsage usage;
        const char *waits; /* a message with that content waits; NULL: none */
        bool has_question, is_short, begun, has_folder;
        bool orders[_LAUNCHER_VERB_MAX];
        Timeouts timeouts;    /* as begun last */
        uint64_t max_secs;    /* the same of runtimeMaxSec */
        RunEndFacts facts;    /* for ended() */
        LauncherVerb refused; /* such orders are, with order_error */
        int order_error, start_error, answer_error, input_error;
        int effects_error, started_error, end_error; /* after what these store was stored */
} FakeRun;
extern FakeRun fake_run;

void fake_run_reset(void);
/* Adds a word to the calls. */
void fake_run_call(const char *format, ...) _printf_(1, 2);

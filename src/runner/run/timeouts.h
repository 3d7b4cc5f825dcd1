/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "runner/agent/driver.h"

/* `timeouts` of conversation.start: {"silenceSec", "answerSec"}, each optional. How long an agent may say nothing in the
 * middle of a turn, and how long a question of it waits for an answer. */
typedef struct Timeouts {
        uint64_t silence_usec, answer_usec; /* 0: for ever */
} Timeouts;

/* Members that timeouts (which may be NULL) lacks keep their values in *ret. 0, or -EINVAL with *ret_error, a sentence
 * that names the member. */
int timeouts_parse(Json *timeouts, Timeouts *ret, char **ret_error);

/* The clocks of one run. No clock is read in here; times are microseconds of any one that only grows. They stand still
 * while the run is frozen, and begin again when the runner starts. */
typedef struct Watchdog Watchdog;

int watchdog_new(const Timeouts *timeouts, uint64_t now, Watchdog **ret);
Watchdog *watchdog_free(Watchdog *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(Watchdog *, watchdog_free);

/* The agent has written or received something. */
void watchdog_heard(Watchdog *w, uint64_t now);
/* Takes the agent's present phase, and its n_questions open questions, as DriverOps has them. -ENOMEM: nothing has
 * changed. */
int watchdog_update(
        Watchdog *w,
        DriverPhase phase,
        const DriverQuestion *questions,
        size_t n_questions,
        uint64_t now);
void watchdog_freeze(Watchdog *w, bool frozen, uint64_t now);

/* Returns when the next clock expires; USEC_INFINITY: none runs. */
uint64_t watchdog_next(const Watchdog *w);
bool watchdog_is_silent(const Watchdog *w, uint64_t now);
/* Returns a question whose time has expired; it is not named again. */
bool watchdog_take_expired(Watchdog *w, uint64_t now, uint64_t *ret_offset, unsigned *ret_n);

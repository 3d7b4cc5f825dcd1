/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/scope/launcher-queue.h"

typedef struct Run Run;

/* What the launcher is asked to do with the scope of a run, after its start. */

/* Orders it behind what was ordered before, as launcher_order() has it; limits are for LAUNCHER_SET_LIMITS. ordered() reports
 * how it went, later. A negative errno: nothing was ordered, which is in the journal. */
int run_order(Run *r, LauncherVerb verb, const LauncherLimit *limits, size_t n_limits);
/* The same without a result. */
void run_order_unheard(Run *r, LauncherVerb verb);
/* It is under way or waits. */
bool run_has_order(const Run *r, LauncherVerb verb);
/* One more may wait. */
bool run_has_room_for_order(const Run *r);
/* Their results are not reported any more. They are carried out. */
void run_forget_orders(Run *r);
/* Those that wait for others are answered with -ECANCELED, later. */
void run_cancel_orders(Run *r);

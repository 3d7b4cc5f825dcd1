/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/agent/driver.h"
#include "runner/store/store-conversation.h"
#include "runner/store/store.h"

typedef struct Run Run;

/* Queries of a run's owner, and the few decisions that it makes. All results are borrowed. */

const RunRow *run_row(const Run *r);
int run_store_row(Run *r); /* part of an open transaction where there is one */
Json *run_spec(const Run *r);

/* Its driver: as the functions of DriverOps. */
const DriverOps *run_driver_ops(const Run *r);
DriverPhase run_phase(const Run *r);
int run_command(const Run *r, const DriverCommand *command, Buffer *ret_lines, char **ret_error);
unsigned run_background(const Run *r);
void run_usage(const Run *r, DriverUsage *ret);
/* Returns how many lines of output were read. */
uint64_t run_lines(const Run *r);

/* Reports whether no process of the run is left; its output may have to be read to the end. */
bool run_has_ended(const Run *r);
/* Marks the run as ended: it ended under an earlier runner, or was never started. */
void run_set_ended(Run *r);

bool run_is_frozen(const Run *r);
/* All processes of the run are frozen or were thawed, by any party: its clocks stop with it. */
void run_set_frozen(Run *r, bool frozen);

/* Returns the reason why the run has to be ended, a text for people; NULL: it has not failed. */
const char *run_failure(const Run *r);
int run_set_failure(Run *r, char *text_consume); /* -ENOMEM for NULL */
/* Reports whether the agent was asked to end. */
bool run_end_was_sent(const Run *r);
/* A stop was ordered: its own clocks order none any more. */
void run_set_stopping(Run *r);
/* Schedules that its output is read and its scope is checked, in a turn of its own: something of it may have changed. */
void run_wake(Run *r);

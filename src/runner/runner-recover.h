/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"

/* A store that is damaged, and a new one in its place. */
typedef struct Recovery Recovery;

/* ctx is borrowed; it has its two directories before anything else is called. */
int recovery_new(const RunContext *ctx, Recovery **ret);
Recovery *recovery_free(Recovery *v);
/* The damaged store is kept under another name, and one may be opened in its place. */
int recovery_set_store_aside(Recovery *v);
/* Once the store is open: where another one was set aside, even by a runner before us, the new one is the same runner's, and
 * the recovery is active. */
int recovery_begin(Recovery *v);
/* Between these two, rows were made of what is in the runs' directories. */
bool recovery_is_active(const Recovery *v);
/* Makes the rows, where it is active. units: the scopes that systemd has. */
int recovery_make_rows(Recovery *v, char *const *units);
/* What they say is adopted. */
void recovery_done(Recovery *v);

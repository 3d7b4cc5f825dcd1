/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/run/run-context.h"

/* A store that is damaged, and a new one in its place. */
typedef struct Recovery Recovery;

/* ctx is borrowed; it has its two directories before anything else is called. */
int recovery_new(const RunContext *ctx, Recovery **ret);
Recovery *recovery_free(Recovery *v);
/* Keeps the damaged store under another name: a new one may be opened in its place. */
int recovery_set_store_aside(Recovery *v);
/* The store is open. If another one was set aside, even by an earlier runner, the new store is given the identity of
 * the same runner, and the recovery is active. */
int recovery_begin(Recovery *v);
/* Reports whether the recovery is active: the rows are made from the files in the runs' directories, and are not
 * adopted yet. */
bool recovery_is_active(const Recovery *v);
/* Makes the rows, if the recovery is active. units: the scopes that systemd has. */
int recovery_make_rows(Recovery *v, char *const *units);
/* The rows were adopted: the recovery is not active any more. */
void recovery_done(Recovery *v);

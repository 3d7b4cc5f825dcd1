/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/store/store.h"

/* Calls of the store that are kept or undone as one:
 *
 *         _cleanup_(transaction_done) Transaction t = {};
 *         int r = transaction_begin(store, &t);
 *         if (r >= 0)
 *                 r = store_…(store, …);
 *         return transaction_finish(&t, r);
 *
 * To leave before transaction_finish() undoes them. Transactions nest by counting: only the outermost one begins and commits
 * in the database. One inside that fails or is left undoes nothing by itself but spoils what it stands in, as any failed call
 * of the store does: each call returns that first error from then on, transaction_begin() too, and so does the outermost
 * transaction_finish(), which undoes all. */
typedef struct Transaction {
        Store *store; /* NULL: none is open */
} Transaction;

/* Returns 0, or a negative errno with *t unchanged: then nothing was begun. */
int transaction_begin(Store *s, Transaction *t);
/* Ends it: where r is negative it is undone, else kept. Returns r, or where r is not negative the first error inside or that
 * of the commit, after which it is undone. Where none is open, returns r. */
int transaction_finish(Transaction *t, int r);
/* Undoes one that is still open. */
void transaction_done(Transaction *t);
/* Undoes all that are open: for the store's end. */
void transaction_abandon(Store *s);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/json.h"
#include "common/util.h"

/* The runner's memory: one SQLite database in WAL mode with synchronous=FULL. Every function is one transaction of
 * its own unless one is open (transaction.h); then it is part of that one. Text arguments are copied, returned ones
 * belong to the caller. Errors are negative errnos: -ENOSPC (disk full), -EIO, -EUCLEAN (corrupt), -ENOMEM; after
 * an error inside a transaction its end undoes it and returns the first error. */
typedef struct Store Store;

#define STORE_SCHEMA_VERSION 4

/* Opens or makes dir/store.db and takes an exclusive lock (two runners on one store: -EBUSY). Upgrades an older
 * schema in one transaction. -EPROTONOSUPPORT: written by a newer program; -EMEDIUMTYPE: no store at all; -EUCLEAN:
 * damaged. *ret_error is a sentence. */
int store_open(int dirfd, const char *dir_path, Store **ret, char **ret_error);
Store *store_close(Store *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Store *, store_close);

/* Files beside store.db: the identity of the runner, for a store that has to be created again; the same while it is being
 * created; a mark that the next start checks the whole store. */
#define STORE_IDENTITY_FILE "store.db-identity"
#define STORE_RECOVER_FILE "store.db-recover"
#define STORE_CHECK_FILE "store.db-check"
/* Renames a damaged store.db to store.db.corrupt-TIME (*ret_name) and makes STORE_RECOVER_FILE of the identity. */
int store_set_aside_damaged(int dirfd, char **ret_name);
/* The next opening reads the whole file, however large it is. */
int store_suspect(Store *s);
/* Called once, from inside whatever call meets damage first, which then returns -EUCLEAN: many callers take any error for
 * one that passes, and this one does not. The function must not use the store but for store_suspect(). */
void store_on_damage(Store *s, void (*damaged)(void *userdata), void *userdata);
/* Makes a new store continue as the one with this id (may be NULL), with numbers that the old one cannot have given. Does
 * nothing where it has that identity already. */
int store_adopt_identity(Store *s, const char *store_id, uint64_t generation);

/* Moves what the WAL holds into the database and gives freed pages back, a little at a time: for idle moments. Without it
 * SQLite does the former by itself inside some commit. Nothing happens inside a transaction. */
int store_checkpoint(Store *s);

/* Identity and other single values: "storeId" (made at first open), "generation" (increased by
 * store_next_generation at every start), "cursor", "runnerId", "runnerUid", "activeUid", "registered", "draining",
 * "lastProcessedAt", "maxBodyBytes", "running" and "crashed" (runner-crash.c). get: 1, or 0 where there is none. set with NULL deletes. */
#define STORE_MAX_BODY_BYTES "maxBodyBytes"
int store_get(Store *s, const char *key, char **ret);
int store_set(Store *s, const char *key, const char *value);
int store_next_generation(Store *s, uint64_t *ret);

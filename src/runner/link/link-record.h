/* SPDX-License-Identifier: MIT */
#pragma once

#include <systemd/sd-event.h>

#include "common/json.h"
#include "runner/store/store.h"

/* What the store holds of the link: who the runner is to the orchestrator, and how far its messages are dealt with. */
typedef struct LinkRecord LinkRecord;

/* What the answer to runner.register says; the strings are borrowed from it. */
typedef struct Registered {
        const char *runner_id, *runner_uid, *cursor, *last_processed_at;
        bool is_active, can_claim;
        uint64_t heartbeat_usec; /* 0: not said */
        uint64_t max_body_bytes; /* the same */
} Registered;

/* flush_usec: a cursor that no message stores is stored after this. The store is borrowed. */
int link_record_new(sd_event *event, Store *store, uint64_t flush_usec, LinkRecord **ret);
/* Stores nothing more: see link_record_flush(). */
LinkRecord *link_record_free(LinkRecord *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(LinkRecord *, link_record_free);

/* ---- who we are ---- */

const char *link_record_runner_id(LinkRecord *r);  /* NULL before the first registration */
const char *link_record_runner_uid(LinkRecord *r); /* the same */
bool link_record_is_registered(LinkRecord *r);     /* once, with this store, as of the program's start */
bool link_record_is_active(LinkRecord *r);
/* Adds storeId, generation and previousRunnerUid, for a registration. Each call is another generation. */
int link_record_describe(LinkRecord *r, Json *params);
/* The answer becomes what we are: stored first, known second. */
int link_record_take(LinkRecord *r, const Registered *g);
/* Another runner is the active one. The first writes it, within a transaction of the caller's; the second is for when that
 * was committed. */
int link_record_store_active(LinkRecord *r, const char *uid);
void link_record_set_active(LinkRecord *r, char *uid_consume);

/* ---- how far we are ---- */

const char *link_record_cursor(LinkRecord *r); /* NULL: none */
const char *link_record_last_processed_at(LinkRecord *r);
/* All up to cursor (may be NULL) is dealt with, the last of which was made at created_at (may be NULL). stored: the store has
 * the cursor already. 1: that is so, and it is another one than before; 0; negative errno. */
int link_record_advance(LinkRecord *r, const char *cursor, const char *created_at, bool stored);
/* Stores what is not stored yet. */
int link_record_flush(LinkRecord *r);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "common/buffer.h"
#include "common/json-scan.h"
#include "orchestrator/hub/hub.h"
#include "orchestrator/wire/rpc.h"

/* What runners post, and the events of it for those who follow them. */

/* Stores the notifications and responses of a body, which is valid JSON, in one transaction; requests in it are left to
 * the caller. 1: refused whole. */
int hub_receive(Hub *h, const char *token, const char *uid, Slice body, RpcError *e);

typedef struct EventFilter {
        const char *conversation, *runner; /* NULL: any */
} EventFilter;
/* The next event behind place *n as one line of JSON; moves *n on. 1, or 0 where there is none. */
int hub_next_event(Hub *h, const EventFilter *filter, int64_t *n, Buffer *b);

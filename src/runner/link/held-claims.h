/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/backoff.h"
#include "runner/link/endpoint.h"

/* Work that was accepted before a restart and has not begun: it is claimed again before it begins, since the orchestrator
 * may have given it to another runner meanwhile. */
typedef struct HeldClaims HeldClaims;

typedef struct HeldClaimsOps {
        /* Adds the ids of the messages; negative errno: asked again later. */
        int (*list)(void *userdata, Json *ids);
        /* owner: who has it instead, or NULL. */
        void (*decided)(void *userdata, const char *id, bool granted, const char *owner);
} HeldClaimsOps;

int held_claims_new(
        sd_event *event,
        Endpoint *endpoint,
        const Backoff *backoff,
        const HeldClaimsOps *ops,
        void *userdata,
        HeldClaims **ret);
HeldClaims *held_claims_free(HeldClaims *h);
DEFINE_TRIVIAL_CLEANUP_FUNC(HeldClaims *, held_claims_free);

/* Asks about all that are listed now, in the place of an earlier request, until an answer comes. Where there are no claims all
 * are granted at once. */
void held_claims_ask(HeldClaims *h);
void held_claims_stop(HeldClaims *h);

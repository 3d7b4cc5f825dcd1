/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/backoff.h"
#include "runner/link/endpoint.h"

/* runner.claim for messages that create work: the orchestrator says to whom each belongs. One request at a time, and after one
 * that was not answered a while of waiting. */
typedef struct Claims Claims;

/* Ids in one request. */
#define LINK_CLAIM_MAX 64

typedef enum ClaimOutcome {
        CLAIMS_ANSWERED,   /* result says what is granted: claim_result_grants(), claim_result_owner() */
        CLAIMS_REFUSED,    /* all of them */
        CLAIMS_UNKNOWN,    /* the orchestrator has no claims after all: see endpoint_can_claim() */
        CLAIMS_UNANSWERED, /* nothing is known of any; retry comes by itself */
} ClaimOutcome;

typedef struct ClaimsOps {
        /* The ids that were asked for are decided. result is borrowed, and NULL where there is none. */
        void (*decided)(void *userdata, ClaimOutcome outcome, Json *result);
        /* The waiting is over. */
        void (*retry)(void *userdata);
} ClaimsOps;

int claims_new(
        sd_event *event,
        Endpoint *endpoint,
        const Backoff *backoff,
        const ClaimsOps *ops,
        void *userdata,
        Claims **ret);
Claims *claims_free(Claims *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(Claims *, claims_free);

/* A request is under way, or the waiting is not over. */
bool claims_is_busy(Claims *c);
/* Only where it is not busy. ids is left to the caller; NULL: they could not be collected, which is as if they were not
 * answered. */
void claims_ask(Claims *c, Json *ids);
/* Forgets what is under way. */
void claims_stop(Claims *c);

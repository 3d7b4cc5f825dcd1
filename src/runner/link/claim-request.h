/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/endpoint.h"

/* runner.claim and its answer: {"granted":["ID",…],"refused":[{"id":"ID","owner":"UID"},…]}. */

/* Asks for these ids, which it leaves to the caller. NULL: no memory. */
int claim_request_post(
        Endpoint *e,
        Json *ids,
        uint64_t *ret_id,
        HttpDone done,
        void *userdata,
        HttpRequest **ret);
/* Only what is granted in so many words is ours. result may be NULL. */
bool claim_result_grants(Json *result, const char *id);
/* Who has it instead, borrowed from the result; NULL: not said. */
const char *claim_result_owner(Json *result, const char *id);

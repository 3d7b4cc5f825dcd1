/* SPDX-License-Identifier: MIT */
#pragma once

#include "runner/link/link.h"

/* When to try to register again, and when to give up. Pure: the caller brings the clock and the dice. */

#define EXIT_REFUSED 77

/* How an attempt failed. */
typedef struct RegistrationFailure {
        int error; /* negative errno where no HTTP answer came; or the answer could not be read (-EBADMSG) */
        long status;  /* HTTP status, 0 where none came */
        int rpc_code; /* of a JSON-RPC error in a 2xx answer, or 0 */
        uint64_t retry_after_usec;
} RegistrationFailure;

typedef struct RegistrationVerdict {
        bool give_up;
        int exit_code;       /* with give_up: 1 or 77 */
        uint64_t delay_usec; /* without: until the next attempt */
        LinkState state;     /* meanwhile */
} RegistrationVerdict;

/* A number from 0 to max; 0 in tests. */
typedef uint64_t (*JitterFunc)(uint64_t max, void *userdata);
uint64_t jitter_random(uint64_t max, void *userdata);

typedef struct Registration {
        RetryStrategy strategy;
        uint64_t interval_usec, duration_usec;
        uint64_t retry_min_usec, retry_max_usec; /* of a runner that does not give up: a second, a minute */
        bool registered;                         /* once, with this store */
        JitterFunc jitter;
        void *userdata;

        uint64_t begun_usec; /* of the first attempt */
        unsigned attempts;   /* failed ones since the beginning or the last success */
} Registration;

/* The first attempt is about to be made. */
void registration_begin(Registration *g, uint64_t now_usec);
/* The attempt failed: what now? has_work: there are live conversations. */
RegistrationVerdict
registration_failed(Registration *g, const RegistrationFailure *f, bool has_work, uint64_t now_usec);
void registration_succeeded(Registration *g);

/* The delay before attempt n (from 1) of something that is tried for ever: min, doubling up to max; a part of it is left
 * to chance, so that many runners do not come at the same moment. Retry-After is honoured up to max. */
uint64_t
backoff_delay(unsigned n,
              uint64_t min_usec,
              uint64_t max_usec,
              uint64_t retry_after_usec,
              JitterFunc jitter,
              void *userdata);

/* 408, 425, 429, 5xx. */
bool http_status_is_transient(long status);

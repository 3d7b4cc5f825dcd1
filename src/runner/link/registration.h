/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>
#include <stdbool.h>

#include "runner/link/backoff.h"
#include "runner/link/link-state.h"

/* When to try to register again, and when to give up. Pure: the caller brings the clock and the dice. */

#define EXIT_REFUSED 77

typedef enum RetryStrategy {
        RETRY_NONE,
        RETRY_INTERVAL,
        RETRY_EXPONENTIAL,
        _RETRY_INVALID = -EINVAL,
} RetryStrategy;

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

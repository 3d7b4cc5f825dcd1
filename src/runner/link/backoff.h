/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* A number from 0 to max; 0 in tests. */
typedef uint64_t (*JitterFunc)(uint64_t max, void *userdata);
uint64_t jitter_random(uint64_t max, void *userdata);

/* The delay before attempt n (from 1) of something that is tried for ever: min, doubling up to max; a part of it is left
 * to chance, so that many runners do not come at the same moment. Retry-After is honoured up to max. */
uint64_t backoff_delay(
        unsigned n,
        uint64_t min_usec,
        uint64_t max_usec,
        uint64_t retry_after_usec,
        JitterFunc jitter,
        void *userdata);

/* The same with what stays from attempt to attempt. */
typedef struct Backoff {
        uint64_t min_usec, max_usec;
        JitterFunc jitter;
        void *userdata;
} Backoff;
uint64_t backoff_next(const Backoff *b, unsigned n, uint64_t retry_after_usec);

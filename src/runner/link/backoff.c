/* SPDX-License-Identifier: MIT */
#include "common/util.h"
#include "runner/link/backoff.h"

#define SHIFT_MAX 20

uint64_t jitter_random(uint64_t max, void *userdata) {
        return max > 0 ? random_u64() % (max + 1) : 0;
}

uint64_t backoff_delay(
        unsigned n,
        uint64_t min_usec,
        uint64_t max_usec,
        uint64_t retry_after_usec,
        JitterFunc jitter,
        void *userdata) {

        unsigned shift = MIN(n > 0 ? n - 1 : 0, (unsigned) SHIFT_MAX);
        uint64_t delay = MIN(min_usec << shift, max_usec);

        /* Taken off, not added, so that the limit holds. */
        delay -= jitter(delay / 4, userdata);
        return MAX(delay, MIN(retry_after_usec, max_usec));
}

uint64_t backoff_next(const Backoff *b, unsigned n, uint64_t retry_after_usec) {
        return backoff_delay(n, b->min_usec, b->max_usec, retry_after_usec, b->jitter, b->userdata);
}

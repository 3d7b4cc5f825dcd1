/* SPDX-License-Identifier: MIT */
#include "common/util.h"
#include "runner/link/http-status.h"
#include "runner/link/registration.h"
#include "runner/link/rpc.h"

#define EXPONENTIAL_FIRST (8 * USEC_PER_SEC)
#define SHIFT_MAX 20
/* An orchestrator may ask for patience, but not switch a runner off. */
#define RETRY_AFTER_MAX (900 * USEC_PER_SEC)

void registration_begin(Registration *g, uint64_t now) {
        g->begun_usec = now;
        g->attempts = 0;
}

void registration_succeeded(Registration *g) {
        g->registered = true;
        g->attempts = 0;
}

typedef enum Cause {
        CAUSE_PASSING, /* may be better the next time */
        CAUSE_FINAL,   /* an answer that the same request will get again */
        CAUSE_REFUSED,
        CAUSE_STALE,
} Cause;

static Cause cause_of(const RegistrationFailure *f) {
        if (f->rpc_code == RPC_STALE_STORE)
                return CAUSE_STALE;
        if (f->rpc_code == RPC_INVALID_REQUEST || f->rpc_code == RPC_METHOD_NOT_FOUND ||
            f->rpc_code == RPC_INVALID_PARAMS)
                return CAUSE_FINAL;
        if (f->rpc_code != 0 || f->error < 0 || f->status < 300 || http_status_is_transient(f->status))
                return CAUSE_PASSING;
        if (f->status == 401 || f->status == 403)
                return CAUSE_REFUSED;
        return CAUSE_FINAL;
}

static RegistrationVerdict give_up(int exit_code) {
        return (RegistrationVerdict){ .give_up = true, .exit_code = exit_code, .state = LINK_REGISTERING };
}

/* The first registration of a runner that has nothing to lose. */
static RegistrationVerdict first_failed(Registration *g, uint64_t retry_after, uint64_t now) {
        uint64_t elapsed = now > g->begun_usec ? now - g->begun_usec : 0, delay;

        switch (g->strategy) {
        case RETRY_INTERVAL:
                delay = g->interval_usec;
                break;
        case RETRY_EXPONENTIAL:
                if (elapsed >= g->duration_usec)
                        return give_up(EXIT_FAILURE);
                delay = EXPONENTIAL_FIRST << MIN(g->attempts - 1, (unsigned) SHIFT_MAX);
                break;
        default:
                return give_up(EXIT_FAILURE);
        }
        delay = MAX(delay, MIN(retry_after, RETRY_AFTER_MAX));
        delay += g->jitter(delay / 10, g->userdata);
        /* One last attempt at the limit. */
        if (g->strategy == RETRY_EXPONENTIAL)
                delay = MIN(delay, g->duration_usec - elapsed);
        return (RegistrationVerdict){ .delay_usec = delay, .state = LINK_REGISTERING };
}

RegistrationVerdict
registration_failed(Registration *g, const RegistrationFailure *f, bool has_work, uint64_t now) {
        Cause cause = cause_of(f);

        g->attempts++;
        if (cause == CAUSE_STALE)
                return give_up(EXIT_FAILURE);
        if (!g->registered && !has_work) {
                if (cause == CAUSE_REFUSED)
                        return give_up(EXIT_REFUSED);
                if (cause == CAUSE_FINAL)
                        return give_up(EXIT_FAILURE);
                return first_failed(g, f->retry_after_usec, now);
        }
        if (cause == CAUSE_REFUSED)
                return (RegistrationVerdict){ .delay_usec = g->retry_max_usec, .state = LINK_REFUSED };
        return (RegistrationVerdict){
                .delay_usec = backoff_delay(
                        g->attempts,
                        g->retry_min_usec,
                        g->retry_max_usec,
                        f->retry_after_usec,
                        g->jitter,
                        g->userdata),
                .state = LINK_OFFLINE,
        };
}
